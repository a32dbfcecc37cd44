#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""ethtool's everyday commands on PF and VF."""

# sets: quick
# vm: PORTS=1

import os
import re
import subprocess
import time

from lib import PF, Control, Link, VfEnd, Wire, at_least, case, defer, equal, fails, main, ping, setup, true, until

wire = None


@setup
def topology():
    global wire
    wire = Wire()


@case
def driver_information():
    """-i names driver, version, device and bus."""
    for link, function in ((wire.near, PF()), (PF().with_vfs(1)[0].link(), PF().vf(0))):
        info = dict(re.findall(r"^([\w-]+): (.*)$", link.ethtool("-i").out, re.M))
        equal((info["driver"], info["bus-info"]), ("oxnic", function.address), "driver and bus")
        true(info["version"] and info["version"] != "N/A", f"a version: {info}")


@case
def private_statistics():
    """-S has counters with names of their own, none twice, the same number each time."""
    out = wire.near.ethtool("-S").out
    names = re.findall(r"^ *([^\n:]+): \d+$", out, re.M)
    at_least(len(names), 20, "counters")
    equal(len(names), len(set(names)), "counters with names of their own")
    equal(all(re.fullmatch(r"[a-z0-9_\[\].-]+", name.strip()) for name in names), True, "names are lower case words")


@case
def features():
    """-k has the offloads of a good NIC; each that can change does, and back."""
    for link in (wire.near, PF().with_vfs(1)[0].link()):
        have = link.features()
        for name in ("rx-checksumming", "tx-checksumming", "scatter-gather", "tcp-segmentation-offload", "generic-receive-offload",
                     "rx-vlan-offload", "tx-vlan-offload", "receive-hashing"):
            equal(have.get(name), True, f"{name} of {link}")
        changeable = [
            n for n, s in re.findall(r"^\t?([\w-]+): (on|off)$", link.ethtool("-k").out, re.M)
            if n not in ("rx-checksumming", "tx-checksumming", "scatter-gather", "tcp-segmentation-offload")
        ]
        for name in changeable:
            was = link.features()[name]
            result = link.ethtool("-K", f"{name} {'off' if was else 'on'}", check=False)
            # What needs another feature (or another needs it) follows that one, and is not to be had alone.
            equal(result.status == 0, link.features()[name] != was, f"{name} of {link} has changed, or was refused ({result.text!r})")
            link.ethtool("-K", f"{name} {'on' if was else 'off'}", check=False)
            equal(link.features()[name], was, f"{name} of {link} after there and back")
    ping(wire.far4)


@case
def self_test():
    """-t passes, online and offline, and traffic works afterwards."""
    for mode in ("online", "offline"):
        out = wire.near.ethtool("-t", mode).out
        true("PASS" in out, f"self-test {mode}: {out}")
    wire.near.wait_carrier()
    ping(wire.far4)


@case
def self_test_of_a_device_that_fails():
    """A command of an offline self-test that is not answered, each twelfth: the interface is open again once the function is reset."""
    control = Control()
    defer(control.close)
    defer(control.chaos, "off")
    failed = 0
    for step in range(5, 41, 12):
        _, met = control.meets(f"nic.command-silent={step}", lambda: wire.near.ethtool("-t", "offline", check=False))
        if not met:
            break
        failed += 1
        until(lambda: ping(wire.far4, count=1, check=False, seconds=1) == 1, f"the wire is reached after command {step} was not answered", 60)  # noqa: B023
        PF().write("reset", 1)  # so that the driver counts resets anew
    at_least(failed, 2, "commands that were not answered")


@case
def identify():
    """-p blinks: the device is told to, and told to stop."""
    from lib import Control

    control = Control()
    defer(control.close)
    blinking = lambda: control.do("stats")["nic"]["ports"][0]["identify"]  # noqa: E731
    equal(bool(blinking()), False, "the port blinks at first")
    child = subprocess.Popen(["ethtool", "-p", wire.near.name, "5"])
    defer(child.wait)
    end = time.monotonic() + 5
    while not blinking() and time.monotonic() < end:
        time.sleep(0.1)
    equal(bool(blinking()), True, "the port blinks")
    child.wait()
    equal(bool(blinking()), False, "the port blinks afterwards")


@case
def registers():
    """-d dumps registers, all of known content at the start."""
    out = wire.near.ethtool("-d", "raw on", check=False)
    if out.status:
        fails(out, "a register dump", "not supported")
        return
    at_least(len(out.out), 64, "bytes of the dump")


@case
def on_a_netdev_that_is_down():
    """All of them work while the netdev is down, or refuse, but do not hang."""
    wire.near.down()
    defer(wire.near.up)
    for option in ("-i", "-S", "-k", "-g", "-l", "-c", "-x", "-a", "-T", "--show-fec", "-n", "-d", "-m", "--show-priv-flags", ""):
        wire.near.ethtool(option, check=False)
    equal(Link("lo").carrier(), True, "the machine goes on")
    equal(os.path.exists(PF().path), True, "the PF is there")


@case
def vf_subset():
    """A VF has rings, channels, hashing and statistics too."""
    PF().with_vfs(1)
    vf = VfEnd(0)
    for option in ("-g", "-l", "-x", "-S", "-k", "-c"):
        vf.link.ethtool(option)
    vf.link.ethtool("-G", "rx 128")
    ping(wire.far4, ns=vf.ns)


main()
