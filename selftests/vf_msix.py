#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""MSI-X vectors of VFs are shared out by the PF: sriov_vf_total_msix and sriov_vf_msix_count, and max_io_eqs of devlink's ports."""

# sets: quick
# vm: PORTS=1 CPUS=4

import re

from lib import PF, Capture, Injector, VfEnd, Wire, at_least, case, defer, equal, fails, main, ping, setup, sh, true, until
from lib.eswitch import devlink, representor, representors, set_mode
from lib.packet import raw_frame

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


def event_queues(vf):
    """max_io_eqs, as devlink shows it of the port that leads to a VF."""
    port = representor(vf).name
    return next(iter(devlink(f"port show {port}")["port"].values()))["function"]["max_io_eqs"]


def set_event_queues(vf, count, check=True):
    return sh(f"devlink port function set {representor(vf).name} max_io_eqs {count}", check=check)


@case
def event_queues_of_a_vf():
    """max_io_eqs of a VF's port is its number of vectors less the one for commands; either shows what the other set, and its driver has them."""
    defer(set_mode, "legacy")
    set_mode("switchdev")
    vf, other = PF().vf(0), PF().vf(1)
    defer(set_count, vf, 0)
    default = (vf.vectors() - 1, other.vectors() - 1)
    equal((event_queues(0), event_queues(1)), default, "max_io_eqs at first")
    fails(set_event_queues(0, 3, check=False), "a change while the driver is bound", "the VF is in use")
    for count in (3, 1, 12):
        vf.unbind()
        set_event_queues(0, count)
        equal((event_queues(0), vf.vectors()), (count, count + 1), "max_io_eqs, and size of the VF's MSI-X table")
        vf.bind("oxnic")
        link = vf.link()
        most = int(re.search(r"Combined:\s+(\d+)", link.ethtool("-l").out).group(1))
        equal(most, count, "most channels of the VF's netdev")
        fails(link.ethtool("-L", f"combined {count + 1}", check=False), f"{count + 1} channels")
    rep = representor(0)
    rep.ip("up")
    end = VfEnd(0)
    capture = Capture(rep)
    Injector(end.link).send(raw_frame(rep.mac, end.link.mac, b"through twelve"))
    capture.expect("a frame of the VF", lambda parsed: parsed.payload.startswith(b"through twelve"))
    end.close()
    set_count(vf, 5)
    equal(event_queues(0), 4, "max_io_eqs after sriov_vf_msix_count was set to 5")
    for count in (0, 65, 1 << 31):
        fails(set_event_queues(0, count, check=False), f"{count} event queues", "from 1 to 64 are possible")
    vf.unbind()
    PF().write("reset", 1)
    until(lambda: representor(0).name and event_queues(0) == 4, "max_io_eqs is shown after a reset", 60)
    equal((vf.vectors(), event_queues(1)), (5, default[1]), "vectors of the VF, and max_io_eqs of the other one, after a reset")
    vf.bind("oxnic")


@case
def all_event_queues():
    """VFs can have as many event queues as there are for all, and not one more."""
    total = int(PF().read("sriov_vf_total_msix"))
    defer(PF().set_vfs, 2)
    defer(PF().write, "sriov_numvfs", 0)
    defer(PF().write, "sriov_drivers_autoprobe", 1)
    defer(set_mode, "legacy")
    PF().write("sriov_numvfs", 0)
    PF().write("sriov_drivers_autoprobe", 0)
    set_mode("switchdev")
    count = PF().total()
    PF().write("sriov_numvfs", count)
    equal(len(representors()), count, "representors")
    vectors = [vf.vectors() for vf in PF().vfs()]
    for number in range(count):
        left = total - sum(vectors)
        if vectors[number] + left < 65:
            fails(set_event_queues(number, vectors[number] + left, check=False), "one more than are left", "not so many are left")
            equal(PF().vf(number).vectors(), vectors[number], "vectors of the VF that was refused")
            set_event_queues(number, vectors[number] + left - 1)
            vectors[number] += left
            break
        set_event_queues(number, 64)
        vectors[number] = 65
    equal(([vf.vectors() for vf in PF().vfs()], sum(vectors)), (vectors, total), "vectors of all VFs, and their sum")
    fails(set_event_queues(count - 1, vectors[-1], check=False), "one more, of the last VF", "not so many are left")
    set_event_queues(0, 1)
    set_event_queues(count - 1, vectors[-1])
    equal(PF().vf(count - 1).vectors(), vectors[-1] + 1, "vectors of the last VF, after another one has given some back")


main()
