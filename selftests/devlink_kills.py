#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""A flash that is killed at a random place: by a reset, by firmware that stops or hangs, by a driver that goes, by power that goes, by its user.

OXNIC_KILL_POINTS (5) is how many there are; OXNIC_FLOW_SEED gives the places of an earlier run again.
"""

# sets: long
# vm: PORTS=1 MEM=4G TIMEOUT=7200

import os
import random
import time
from collections import Counter

from lib import PF, Control, Wire, at_least, case, defer, equal, main, note, ping, setup, true, until
from lib.firmware import COMPONENTS, Build, activate, all_of, prepare, versions
from lib.pace import slow

POINTS = int(os.environ.get("OXNIC_KILL_POINTS", 5))
wire = control = None


@setup
def topology():
    global wire, control
    wire = Wire()
    control = Control()
    defer(control.close)
    prepare()


def pull():
    """Power goes: the card is pulled out and plugged in."""
    control.do("remove")
    until(lambda: not PF().exists(), "the function is gone", 60)
    control.do("insert")


def rebind():
    PF().unbind()
    PF().bind("oxnic")


KILLS = {
    "reset": lambda _: PF().write("reset", 1),
    "halt": lambda _: control.do("halt", function=0, reason=8),
    "hang": lambda _: control.do("hang", function=0),
    "rebind": lambda _: rebind(),
    "power": lambda _: pull(),
    "signal": lambda child: child.kill(),
}


def is_written(component, blocks):
    """Whether the device has so many blocks of what is flashed now."""
    return control.do("stats")["nic"]["firmware"][component]["written"] >= blocks


def works():
    """The device answers, and the wire is reached."""
    until(lambda: PF().exists() and PF().netdevs(), "the function has its interface", 60)
    wire.renew()
    until(lambda: ping(wire.far4, count=1, check=False, seconds=1) == 1, "the wire is reached", 60)


def kill(how, place):
    """Answers whether the flash was killed: it may have been done before."""
    before, build = versions(), Build("--content 1040000")
    component, blocks = place
    child = build.begin()
    end = time.monotonic() + slow(60)
    while child.poll() is None and not is_written(component, blocks) and time.monotonic() < end:
        pass
    KILLS[how](child)
    said = child.communicate(timeout=slow(120))[1].strip()
    works()
    now = versions()
    # A component is stored in whole or not at all, and only what is stored is started.
    for name in COMPONENTS:
        old = {before["running"][name], before["stored"][name]}
        true(now["stored"][name] in old | {build.version}, f"stored {name} is one of {old}, or {build.version}: {now['stored'][name]}")
        true(now["running"][name] in old | {now["stored"][name]}, f"running {name} is one of {old}, or what is stored: {now['running'][name]}")
    if child.returncode == 0:
        equal(now["stored"], all_of(build.version), "what is stored of a flash that went well")
    note(f"{how} at {blocks} blocks of {component}: status {child.returncode}, {said!r}")
    return child.returncode != 0


def whole():
    """The next flash is taken, and runs."""
    build = Build()
    build.flash()
    activate()
    works()
    equal(versions()["running"], all_of(build.version), "running versions")


@case
def at_any_point():
    """Whatever ends a flash, wherever: the device starts from what is whole, and the next flash is taken."""
    seed = int(os.environ.get("OXNIC_FLOW_SEED", time.time_ns() % 10**9))
    note(f"seed {seed}")
    places = random.Random(seed)
    components = list(control.do("stats")["nic"]["firmware"])
    done, killed = Counter(), 0
    while sum(done.values()) < POINTS:
        how = places.choice(list(KILLS))
        killed += kill(how, (places.choice(components), places.randrange(1, 250)))
        done[how] += 1
        # What was stored must not wait any longer: the next would be written over it.
        whole()
    note(f"{dict(done)}, of which {killed} have ended a flash")
    at_least(killed, POINTS // 2, "flashes that were ended, and were not done before")


main()
