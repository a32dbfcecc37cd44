#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Interrupt moderation: what is set reads back and has its effect; what the device cannot do is refused."""

# sets: quick
# vm: PORTS=1

import re
import time

from lib import Injector, Wire, at_least, at_most, case, defer, equal, fails, main, ping, setup, skip
from lib.genl import Netdev
from lib.packet import raw_frame

wire = None


@setup
def topology():
    global wire
    wire = Wire()


def settings():
    """`ethtool -c` as a dictionary of texts."""
    return dict(re.findall(r"^([\w-]+):\s+(\S+)", wire.near.ethtool("-c").out, re.M))


def change(words):
    before = settings()
    wire.near.ethtool("-C", words)
    names = words.split()[::2]
    old = " ".join(f"{name} {before[name]}" for name in names if before.get(name, "n/a").isdigit())
    if old:
        defer(wire.near.ethtool, "-C", old, check=False)


@case
def reads_back():
    """Times and frame counts for both directions read back as they were set."""
    if settings().get("rx-usecs") in (None, "n/a"):
        skip("there is no moderation by time")
    for name, value in (("rx-usecs", 40), ("tx-usecs", 60), ("rx-frames", 16), ("tx-frames", 32), ("rx-usecs", 0)):
        if settings().get(name) in (None, "n/a"):
            continue
        change(f"{name} {value}")
        equal(settings()[name], str(value), name)
    ping(wire.far4)


@case
def survives():
    """Settings hold over down and up and a change of rings."""
    change("rx-usecs 77")
    wire.near.down()
    wire.near.up()
    equal(settings()["rx-usecs"], "77", "rx-usecs after down and up")
    wire.near.ethtool("-G", "rx 128")
    equal(settings()["rx-usecs"], "77", "rx-usecs after a change of rings")


@case
def over_the_limit():
    """A time beyond the device's is refused and the old one stays."""
    before = settings()["rx-usecs"]
    fails(wire.near.ethtool("-C", "rx-usecs 1000000000", check=False), "a moderation of 1000 s")
    equal(settings()["rx-usecs"], before, "rx-usecs after the refusal")


def interrupts_for(packets, pause):
    """Interrupts of the netdev while so many packets come in one at a time."""
    kernel = Netdev(wire.near)
    defer(kernel.close)
    irqs = set(kernel.napis().values())

    def count():
        with open("/proc/interrupts") as file:
            lines = [line.split() for line in file]
        return sum(sum(int(w) for w in words[1:] if w.isdigit()) for words in lines if words and words[0].rstrip(":") in map(str, irqs))

    injector, frame = Injector(wire.far), raw_frame(wire.near.mac, wire.far.mac, b"moderated")
    before, received = count(), wire.near.stats()["rx"]["packets"]
    for _ in range(packets):
        injector.send(frame)
        time.sleep(pause)
    time.sleep(0.5)
    at_least(wire.near.stats()["rx"]["packets"] - received, packets, "packets received")
    return count() - before


@case
def has_effect():
    """The same slow packets make fewer interrupts when many of them may wait for each other."""
    if settings().get("rx-usecs") in (None, "n/a"):
        skip("there is no moderation by time")
    if "on" in wire.near.ethtool("-c").out.split("\n")[1]:
        wire.near.ethtool("-C", "adaptive-rx off", check=False)
        defer(wire.near.ethtool, "-C", "adaptive-rx on", check=False)
    change("rx-usecs 0")
    without = interrupts_for(200, 0.002)
    longest = 60000
    while wire.near.ethtool("-C", f"rx-usecs {longest}", check=False).status:
        longest //= 2
    moderated = interrupts_for(200, 0.002)
    at_most(moderated, without * 3 // 4, f"interrupts with {longest} us against {without} without")
    ping(wire.far4)


main()
