#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Random rules over random frames: what the device does is what software does, byte for byte, with the same counters (`lib.trial`)."""

# sets: quick
# vm: PORTS=1 MEM=4G

from lib import case, defer, main, setup, sh
from lib.rule_maker import Maker, Way
from lib.stage import Stage
from lib.trial import Trial, watch_the_rest

BLOCK = 22
stage = None

ALONE, MIXED = Way(ingress=True), Way(ingress=True, mixed=True, chained=True, targets=("WIRE", "WIRE", "R1", "R2", "V7"))
# Frames of two interfaces, and rules that say of which.
SHARED = Way(f"block {BLOCK}", origins=("vf0", "vf1"), targets=("WIRE", "WIRE", "R2"), indevs=("R0", "R1"))
# What no rule takes leaves, in the device and in software: a later chain needs no help of either.
EGRESS = Way("dev R1 egress", before=("filter add dev R0 ingress pref 1 protocol all matchall {} action mirred egress redirect dev R1",), targets=("WIRE", "WIRE", "R2"), chained=True)
# Rules of a VLAN device above the wire port; what comes with a second tag counts 4 bytes more in the device.
UPPER = Way("dev V7 ingress", mixed=True, chained=True, origins=("wire",), targets=("R1", "R2", "R2", "WIRE", "V7"), counts_bytes=False)


@setup
def topology():
    global stage
    stage = Stage(3)
    watch_the_rest(stage)
    stage.add_hooked("upper7", f"link {stage.wire.near.name} type vlan id 7")
    stage.names["V7"] = "upper7"


class EgressMaker(Maker):
    """No checksums behind two tags: software at egress sums nothing there, and takes the frame's start for IP afterwards (`tcf_csum_act`)."""

    def actions(self, protocol, chain):
        # Only rules of IP without tags have checksums.
        while (actions := super().actions(protocol, chain)).rpartition("action csum")[0].count("vlan push") > 1:
            pass
        return actions


class UpperMaker(Maker):
    """Frames of the VLAN, and some others; no policers, which would see the 4 bytes, too."""

    def edit(self, protocol):
        while "police" in (edit := super().edit(protocol)):
            pass
        return edit

    def frames(self):
        tags = lambda: self.pick([b"\x81\x00"] * 6 + [b"\x88\xa8"]) + bytes([self.number() << 5, self.pick([7] * 6 + [6])])  # noqa: E731
        return [frame[:12] + tags() + frame[12:] for frame in super().frames()]


def rounds(way, part=1.0, maker=Maker):
    Trial(stage, way, maker).rounds(part)


@case
def device_alone():
    """Rules with skip_sw, against the same with skip_hw; with chains, where the kernel can go on in them."""
    rounds(ALONE)


@case
def device_and_software():
    """Rules without either, with chains, and some that only software can do, against the same with skip_hw."""
    rounds(MIXED)


@case
def shared_block():
    """Rules of a block that two representors share."""
    hooks = [f"dev {link.name}" for link in stage.reps[:2]]
    before = list(stage.hooked)
    stage.hooked[:] = [way for way in before if way.removesuffix(" ingress") not in hooks] + [SHARED.place]
    defer(stage.hooked.__setitem__, slice(None), before)
    for hook in hooks:
        sh(f"tc qdisc del {hook} clsact")
        defer(sh, f"tc qdisc add {hook} clsact")
        sh(f"tc qdisc add {hook} ingress_block {BLOCK} clsact")
        defer(sh, f"tc qdisc del {hook} clsact")
    rounds(SHARED, 0.5)


@case
def at_egress():
    """Rules for what the device sends out of a representor, with chains, which need no help of software there."""
    stage.hooked.append(EGRESS.place.replace("R1", stage.names["R1"]))
    defer(stage.hooked.pop)
    rounds(EGRESS, 0.5, EgressMaker)


@case
def vlan_device():
    """Rules of a VLAN device."""
    rounds(UPPER, 0.5, UpperMaker)


main()
