#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""PCI errors: correctable ones are counted, non-fatal and fatal ones are recovered from, with traffic running."""

# sets: quick
# vm: PORTS=1

import os

from lib import PF, Control, Stream, VfEnd, Wire, at_least, case, defer, equal, main, note, ping, setup, skip, until
from lib.aer import total

wire = control = None


@setup
def topology():
    global wire, control
    wire = Wire()
    control = Control()
    defer(control.close)
    if not os.path.exists(f"{PF().path}/aer_dev_fatal"):
        skip("the kernel has no AER for the function")


def generation():
    return control.function(0)["generation"]


@case
def correctable():
    """A correctable error is counted and disturbs nothing."""
    stream = Stream(wire.near, wire.far, wire.near4, wire.far4)
    before, life = total("correctable"), generation()
    control.do("aer", kind="correctable")
    until(lambda: total("correctable") > before, "the kernel counts a correctable error")
    equal(generation(), life, "generation of the function")
    stream.resumes()


def recovered(kind):
    stream = Stream(wire.near, wire.far, wire.near4, wire.far4)
    for _ in range(3):
        before = total(kind)
        control.do("aer", kind=kind)
        until(lambda: total(kind) > before, f"the kernel counts an error ({kind})", 30)  # noqa: B023
        note(f"traffic resumed after {stream.resumes(seconds=60):.1f} s")
    equal(PF().driver, "oxnic", "driver of the PF")
    ping(wire.far4)


@case
def nonfatal():
    """A non-fatal error: recovery runs and traffic resumes."""
    recovered("nonfatal")


@case
def fatal():
    """A fatal error: the link is reset, the driver brings the function back, traffic resumes."""
    before = generation()
    recovered("fatal")
    at_least(generation(), before + 1, "generation of the function")


@case
def fatal_with_vfs():
    """A fatal error with VFs in use: PF and VFs work afterwards."""
    PF().with_vfs(2)
    ends = [VfEnd(n) for n in range(2)]
    stream = Stream(wire.near, wire.far, wire.near4, wire.far4)
    control.do("aer", kind="fatal")
    stream.resumes(seconds=60)
    equal(PF().count(), 2, "VFs afterwards")
    for end in ends:
        until(lambda: ping(wire.far4, ns=end.ns, count=1, check=False, seconds=1) == 1, f"VF {end.index} reaches the wire", 60)  # noqa: B023


@case
def without_a_driver_of_a_vf():
    """A fatal error while a VF has no driver, for which the kernel gives recovery up: the PF is found to be there all the same."""
    (vf,) = PF().with_vfs(1)
    vf.unbind()
    stream = Stream(wire.near, wire.far, wire.near4, wire.far4)
    life = generation()
    control.do("aer", kind="fatal")
    until(lambda: generation() > life, "the driver resets the function", 60)
    stream.resumes(seconds=60)
    equal(PF().driver, "oxnic", "driver of the PF")


@case
def while_down():
    """An error while the netdev is down: it can be brought up afterwards."""
    wire.near.down()
    defer(wire.near.up)
    before = total("fatal")
    control.do("aer", kind="fatal")
    until(lambda: total("fatal") > before, "the kernel counts a fatal error", 30)
    until(lambda: wire.near.ip("up", check=False).status == 0, "the netdev can be brought up after the recovery", 40)
    until(lambda: ping(wire.far4, count=1, check=False, seconds=1) == 1, "the PF reaches the wire", 40)


main()
