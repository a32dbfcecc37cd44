#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""VFs come and go: any number up to 128, in time, with traffic running, and they are real functions."""

# sets: quick
# alone: all_of_them
# vm: PORTS=1 MEM=4G

import os
import time

from lib import PF, Capture, Stream, VfEnd, Watch, Wire, at_least, at_most, case, defer, equal, main, note, ping, setup, sh, true

CREATE, REMOVE = 5.0, 3.0  # seconds that the issue allows for 128 VFs
DEBUG = os.environ.get("KERNEL") == "debug"
wire = None


@setup
def topology():
    global wire
    wire = Wire()
    defer(PF().set_vfs, 0)


def timed_removal():
    start = time.monotonic()
    PF().write("sriov_numvfs", 0)
    return time.monotonic() - start


@case
def all_of_them():
    """128 VFs are created and removed in time, each with a netdev, an address of its own and the driver bound."""
    total = PF().total()
    equal(total, 128, "sriov_totalvfs")
    took = PF().set_vfs(total)
    functions = PF().vfs()
    equal([f.driver for f in functions], ["oxnic"] * total, "drivers of the VFs")
    macs = [open(f"/sys/class/net/{f.netdevs()[0]}/address").read() for f in functions]
    equal(len(set(macs)), total, "different addresses")
    listed = sh(["lspci", "-n", "-d", "6f78:0002"]).out.splitlines()
    equal(len(listed), total, "VFs that lspci lists")
    removed = timed_removal()
    equal(PF().vfs(), [], "VFs afterwards")
    equal(sh(["lspci", "-n", "-d", "6f78:0002"]).out, "", "VFs that lspci lists afterwards")
    note(f"{total} VFs: created in {took:.2f} s, removed in {removed:.2f} s")
    if not DEBUG:
        at_most(took, CREATE, "seconds for the creation of 128 VFs")
        at_most(removed, REMOVE, "seconds for the removal of 128 VFs")


@case
def any_number():
    """0 to 1, 2, 7, 64 and back, several times; more than there are, and a change without a stop at 0, are refused."""
    for count in (1, 2, 7, 64, 1):
        PF().set_vfs(count)
        equal(PF().count(), count, "sriov_numvfs")
        if count > 1:
            try:
                PF().write("sriov_numvfs", count - 1)
                true(False, "a change from one number to another without 0 between was accepted")
            except OSError:
                equal(PF().count(), count, "VFs after the refusal")
        PF().set_vfs(0)
    try:
        PF().write("sriov_numvfs", PF().total() + 1)
        true(False, "one VF more than there are was accepted")
    except OSError:
        equal(PF().count(), 0, "VFs after the refusal")


@case
def with_traffic_on_the_pf():
    """The PF's traffic goes on while 128 VFs come and go."""
    stream = Stream(wire.near, wire.far, wire.near4, wire.far4, rate="5M")
    PF().set_vfs(128)
    stream.resumes()
    timed_removal()
    stream.resumes()


@case
def with_traffic_on_vfs():
    """VFs that carry traffic are removed, and come back, and carry traffic again; memory does not grow."""
    watch = None
    for turn in range(3):
        PF().set_vfs(4)
        vf = VfEnd(0)
        stream = Stream(vf.link, wire.far, vf.address4, wire.far4, rate="5M")
        PF().write("sriov_numvfs", 0)
        stream.stop()
        vf.close()
        if turn == 0:
            watch = Watch()
    watch.check()


@case
def many_that_work():
    """16 VFs in namespaces reach the wire and each other, all at the same time."""
    PF().with_vfs(16)
    ends = [VfEnd(n) for n in range(16)]
    for end in ends:
        ping(wire.far4, ns=end.ns, count=1)
    for one, other in zip(ends, ends[1:] + ends[:1], strict=True):
        ping(other.address4, ns=one.ns, count=1)
        ping(other.address6, ns=one.ns, count=1)
    macs = {end.link.mac for end in ends}
    capture = Capture(wire.far)
    for one, other in zip(ends, ends[5:] + ends[:5], strict=True):
        ping(other.address4, ns=one.ns, count=2)
    capture.expect_none("a frame from one VF to another on the wire", lambda p: p.destination in macs)


@case
def vf_is_a_function():
    """A VF has its own vectors, BARs and reset, and can be unbound and bound."""
    PF().with_vfs(2)
    vf = PF().vf(0)
    at_least(vf.vectors(), 2, "MSI-X vectors of a VF")
    sizes = [int(b, 16) - int(a, 16) + 1 for a, b, _ in (line.split() for line in vf.read("resource").splitlines()) if int(b, 16)]
    equal(sizes[:3], [0x4000, 0x4000, 0x4000], "sizes of the VF's BARs")
    vf.unbind()
    equal(vf.netdevs(), [], "netdevs of an unbound VF")
    equal(PF().vf(1).driver, "oxnic", "driver of the other VF")
    vf.bind("oxnic")
    end = VfEnd(0)
    ping(wire.far4, ns=end.ns)
    vf.write("reset", 1)
    end.link.wait_carrier()
    ping(wire.far4, ns=end.ns, count=5)


@case
def without_probe():
    """With sriov_drivers_autoprobe off the VFs are there without a driver, and can be bound one by one."""
    PF().write("sriov_drivers_autoprobe", 0)
    defer(PF().write, "sriov_drivers_autoprobe", 1)
    defer(PF().write, "sriov_numvfs", 0)
    PF().write("sriov_numvfs", 3)
    equal([vf.driver for vf in PF().vfs()], [None] * 3, "drivers of the VFs")
    # The kernel binds nothing by hand either while this is off.
    PF().write("sriov_drivers_autoprobe", 1)
    PF().vf(2).bind("oxnic")
    equal([vf.driver for vf in PF().vfs()], [None, None, "oxnic"], "drivers of the VFs after binding one")


main()
