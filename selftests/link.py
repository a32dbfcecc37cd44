#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Link: carrier, speed and duplex, as the wire and the operator change them."""

# sets: quick
# vm: PORTS=2

import re
import time

from lib import PF, Control, Link, VfEnd, Wire, case, defer, equal, fails, main, ping, setup, true, until

wire = control = None


@setup
def topology():
    global wire, control
    wire = Wire()
    control = Control()
    defer(control.close)
    defer(control.do, "link", port=0, up=True)


def speed(link):
    """(speed, duplex) as ethtool shows them."""
    lines = dict(line.strip().split(": ", 1) for line in link.ethtool("").out.splitlines() if ": " in line)
    return lines.get("Speed", ""), lines.get("Duplex", ""), lines.get("Link detected", "")


@case
def up_with_speed():
    """An enabled port has a carrier, a speed and full duplex; a disabled one has none."""
    rate, duplex, detected = speed(wire.near)
    true(rate.endswith("Mb/s"), f"speed is {rate}")
    equal((duplex, detected), ("Full", "yes"), "duplex and link")
    wire.near.down()
    defer(wire.near.up)
    until(lambda: speed(wire.near)[2] == "no", "ethtool says that there is no link")
    equal(speed(wire.near)[0], "Unknown!", "speed without a link")


@case
def cable_pulled():
    """The operator pulls the cable: the carrier goes at once, traffic stops; plugged in again, it works again."""
    for _ in range(3):
        control.do("link", port=0, up=False)
        wire.near.wait_carrier(False)
        equal(ping(wire.far4, count=1, check=False, seconds=1), 0, "answered pings without a cable")
        control.do("link", port=0, up=True)
        wire.near.wait_carrier(True)
        ping(wire.far4)


@case
def module_and_its_absence():
    """-m shows what is plugged in, by pages and as raw bytes; without a cable ethtool says that there is none."""
    out = wire.near.ethtool("-m").out
    shown = dict(re.findall(r"^\s*(\S[^:\n]*?)\s*: (.*)$", out, re.M))
    true("QSFP-DD" in shown["Identifier"], f"identifier in {out}")
    equal((shown["Vendor name"], shown["Vendor PN"]), ("Oxnic", "REF-CR8-1M"), "vendor and part")
    serial = wire.near.show()["address"].replace(":", "").upper()
    equal(shown["Vendor SN"], serial, "serial number")
    raw = wire.near.ethtool("-m", "raw on page 0 offset 128 length 4 i2c 0x50").out
    equal(raw, "\x18Oxn", "first bytes of the page")
    fails(wire.near.ethtool("-m", "page 1 offset 128 length 1", check=False), "a page that a flat memory has not", "value not allowed")
    no_cable = "Link detected: no (No cable)"
    equal(no_cable in wire.near.ethtool("").out, False, "a cable that is missing")
    control.do("link", port=0, up=False)
    wire.near.wait_carrier(False)
    true(no_cable in wire.near.ethtool("").out, f"ethtool says why the link is down: {wire.near.ethtool('').out}")
    fails(wire.near.ethtool("-m", check=False), "reading what is not plugged in", "not in this state")
    control.do("link", port=0, up=True)
    wire.near.wait_carrier(True)


@case
def carrier_changes_counted():
    """The kernel counts each change of the carrier, and none that did not happen."""
    before = int(wire.near.read("carrier_changes"))
    control.do("link", port=0, up=False)
    wire.near.wait_carrier(False)
    control.do("link", port=0, up=True)
    wire.near.wait_carrier(True)
    time.sleep(0.5)
    equal(int(wire.near.read("carrier_changes")) - before, 2, "carrier changes")


@case
def other_port_unmoved():
    """What happens to port 0 is not seen on port 1."""
    other = PF().link(1)
    other.up()
    defer(other.down)
    before = other.read("carrier_changes")
    control.do("link", port=0, up=False)
    wire.near.wait_carrier(False)
    equal(other.carrier(), True, "carrier of the other port")
    control.do("link", port=0, up=True)
    wire.near.wait_carrier(True)
    equal(other.read("carrier_changes"), before, "carrier changes of the other port")


@case
def change_while_down():
    """A change while the netdev is down is seen when it comes up."""
    wire.near.down()
    defer(wire.near.ip, "up")
    control.do("link", port=0, up=False)
    wire.near.ip("up")
    time.sleep(1)
    equal(wire.near.carrier(), False, "carrier with the cable pulled")
    control.do("link", port=0, up=True)
    wire.near.wait_carrier(True)


@case
def vf_follows():
    """A VF's carrier follows the wire; a VF set to enable keeps it, one set to disable never has it."""
    PF().with_vfs(1)
    vf = VfEnd(0)
    control.do("link", port=0, up=False)
    vf.link.wait_carrier(False)
    wire.near.ip("vf 0 state enable")
    vf.link.wait_carrier(True)
    wire.near.ip("vf 0 state disable")
    vf.link.wait_carrier(False)
    control.do("link", port=0, up=True)
    wire.near.wait_carrier(True)
    equal(vf.link.carrier(), False, "carrier of a VF whose state is disable")
    wire.near.ip("vf 0 state auto")
    vf.link.wait_carrier(True)
    ping(wire.far4, ns=vf.ns)


@case
def speeds_can_be_set():
    """A supported speed can be set and reads back; one that nobody has is refused."""
    words = wire.near.ethtool("").out
    modes = [w for w in ("1000", "10000", "25000", "40000", "100000") if f" {w}base" in words or f"\t{w}base" in words]
    true(modes, f"ethtool lists supported link modes: {words}")
    defer(wire.near.ethtool, "-s", "autoneg on", check=False)
    defer(wire.near.ethtool, "-s", f"speed {modes[-1]} duplex full autoneg off", check=False)
    wire.near.ethtool("-s", f"speed {modes[0]} duplex full autoneg off")
    until(lambda: speed(wire.near)[0] == f"{modes[0]}Mb/s", f"the speed is {modes[0]}")
    wire.near.wait_carrier(True)
    ping(wire.far4)
    fails(wire.near.ethtool("-s", "speed 123 duplex full autoneg off", check=False), "a speed of 123 Mbit/s")
    equal(Link(wire.near.name).carrier(), True, "carrier after a refusal")


@case
def what_cannot_be_set_is_refused():
    """Port, PHY address, MDI-X, advertised modes, autonegotiation and half duplex are refused, and the link stays as it is."""
    before = speed(wire.near)
    for words in ("port tp", "port aui", "phyad 3", "mdix on", "advertise 0x1000", "autoneg on", "duplex half"):
        fails(wire.near.ethtool("-s", words, check=False), f"-s {words}")
        equal(speed(wire.near), before, f"link after -s {words}")
    wire.near.down()
    defer(wire.near.up)
    fails(wire.near.ethtool("-s", "port tp", check=False), "another port while the link is down")


def fec(link):
    """Forward error correction: what was set, what is in force, and blocks that were mended and that could not be."""
    out = link.ethtool("-I --show-fec").out
    found = dict(line.strip().split(": ", 1) for line in out.splitlines() if ": " in line)
    sets, active = (next(value for name, value in found.items() if word in name) for word in ("onfigured", "ctive"))
    return sets, active, int(found["corrected_blocks"]), int(found["uncorrectable_blocks"])


def set_fec(word, check=True):
    return wire.near.ethtool("--set-fec", f"encoding {word}", check=check)


def set_speed(number):
    wire.near.ethtool("-s", f"speed {number} duplex full autoneg off")
    until(lambda: speed(wire.near)[0] == f"{number}Mb/s", f"the speed is {number}")
    wire.near.wait_carrier(True)


@case
def error_correction():
    """--set-fec takes what the speed has and reads back; it stays through a reset, and makes way for a speed that has it not."""
    defer(set_speed, 400000)
    defer(set_fec, "auto")
    set_speed(400000)
    equal(fec(wire.near)[:2], ("Auto", "RS"), "at the fastest speed")
    for word in ("off", "baser"):
        fails(set_fec(word, check=False), f"{word} at a speed that has it not")
    equal(fec(wire.near)[:2], ("Auto", "RS"), "after refusals")
    for number, words in ((10000, ("Off", "BaseR")), (25000, ("Off", "BaseR", "RS")), (100000, ("Off", "RS"))):
        set_speed(number)
        equal(fec(wire.near)[:2], ("Auto", words[-1]), f"at {number} Mbit/s by itself")
        for word in words:
            set_fec(word.lower())
            equal(fec(wire.near)[:2], (word, word), f"at {number} Mbit/s, set to {word}")
        set_fec("auto")
    set_speed(25000)
    set_fec("baser")
    PF().write("reset", 1)
    wire.near.wait_carrier(True)
    equal((fec(wire.near)[:2], speed(wire.near)[0]), (("BaseR", "BaseR"), "25000Mb/s"), "after a reset")
    wire.near.down()
    PF().write("reset", 1)
    equal(fec(wire.near)[:2], ("BaseR", "BaseR"), "of an interface that is closed, after a reset")
    PF().with_vfs(1)
    vf = VfEnd(0)
    until(lambda: speed(vf.link)[0] == "25000Mb/s", "a VF has the speed of the wire")
    wire.near.up()
    wire.near.wait_carrier(True)
    set_speed(100000)
    equal(fec(wire.near)[:2], ("Auto", "RS"), "at a speed without BASE-R")
    fails(vf.link.ethtool("--show-fec", check=False), "a VF's", "not supported")


@case
def noise_on_the_wire():
    """What a noisy wire does depends on --set-fec: frames are mended and counted, or lost and counted."""
    defer(set_speed, 400000)
    defer(set_fec, "auto")
    defer(control.do, "noise", port=0, level=0)
    set_speed(25000)

    def answered():
        return ping(wire.far4, count=3, check=False, seconds=1)

    def errors():
        stats = wire.near.ethtool("-S", "--groups eth-mac").out
        return int(re.search(r"FrameCheckSequenceErrors: (\d+)", stats)[1])

    for level, word, wanted in ((1, "off", "fcs"), (1, "baser", "mended"), (1, "rs", "mended"), (2, "baser", "lost"), (2, "rs", "mended")):
        control.do("noise", port=0, level=0)
        set_fec(word)
        ping(wire.far4)
        control.do("noise", port=0, level=level)
        before = (*fec(wire.near)[2:], errors())
        equal(answered() > 0, wanted == "mended", f"answers through noise {level} with {word}")
        after = (*fec(wire.near)[2:], errors())
        grown = [now > then for now, then in zip(after, before, strict=True)]
        equal(grown, [wanted == "mended", wanted == "lost", wanted == "fcs"], f"mended, lost and FCS errors of noise {level} with {word}")
    control.do("noise", port=0, level=0)
    ping(wire.far4)


main()
