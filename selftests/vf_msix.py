#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""MSI-X vectors of VFs are shared out by the PF: sriov_vf_total_msix and sriov_vf_msix_count."""

# sets: quick
# vm: PORTS=1 CPUS=4

from lib import PF, VfEnd, Wire, at_least, case, defer, equal, main, ping, setup, true

wire = None


@setup
def topology():
    global wire
    wire = Wire()
    PF().with_vfs(2)


def refused(function, value, what):
    try:
        function.write("sriov_vf_msix_count", value)
    except OSError:
        return
    true(False, f"{what} was accepted")


def set_count(vf, value):
    vf.unbind()
    vf.write("sriov_vf_msix_count", value)
    vf.bind("oxnic")


@case
def total_named():
    """The PF names how many vectors there are to share, enough for all VFs' defaults."""
    total = int(PF().read("sriov_vf_total_msix"))
    at_least(total, 128 * 2, "sriov_vf_total_msix")


@case
def count_changes():
    """A VF without a driver gets another number of vectors; its driver then has that many queues, and works."""
    vf = PF().vf(0)
    default = vf.vectors()
    defer(set_count, vf, 0)
    for count in (2, 3, 5):
        set_count(vf, count)
        equal(vf.vectors(), count, "size of the VF's MSI-X table")
        end = VfEnd(0)
        at_least(end.link.queues()[0], 1, "receive queues of the VF")
        true(end.link.queues()[0] <= count - 1, f"no more queues than vectors: {end.link.queues()} with {count}")
        ping(wire.far4, ns=end.ns)
        end.close()
    equal(PF().vf(1).vectors(), default, "vectors of the other VF")
    set_count(vf, 0)
    equal(vf.vectors(), default, "vectors after the default was asked for")


@case
def refusals():
    """One vector, more than a VF can have, and a change while the driver works the VF, are refused."""
    vf = PF().vf(1)
    before = vf.vectors()
    refused(vf, before + 1, "a change while the driver is bound")
    vf.unbind()
    defer(vf.bind, "oxnic")
    for value in (1, 100000, int(PF().read("sriov_vf_total_msix")) + 1):
        refused(vf, value, f"{value} vectors")
        equal(vf.vectors(), before, f"vectors after {value} were refused")


main()
