#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Rounds of load, VFs, traffic, reset, rmmod leave no leak.

The project asks for 100: selftests/run --pattern soak --env OXNIC_SOAK_ROUNDS=100. Without that there are 3.
"""

# sets: long
# vm: PORTS=1 MEM=4G TIMEOUT=7200

import os
import time

from lib import PF, Control, VfEnd, Watch, Wire, at_least, case, defer, equal, ip, kmemleak, main, note, ping, setup, sh, tcp, until
from lib.genl import Netdev

ROUNDS = int(os.environ.get("OXNIC_SOAK_ROUNDS") or 3)
wire = None


@setup
def topology():
    global wire
    wire = Wire()


def insmod():
    if not os.path.exists("/sys/module/oxnic"):
        sh(["insmod", os.environ["OXNIC_MODULE"]])
    until(lambda: PF().netdevs(), "the netdev of the PF")


def one_round(number):
    """Load, VFs, traffic on PF and VFs, resets of all kinds, VFs away under traffic, rmmod."""
    insmod()
    near = PF().link()
    ip(["address", "replace", f"{wire.near4}/24", "dev", near.name])
    near.up()
    ping(wire.far4)
    count = (1, 4, 16)[number % 3]
    PF().set_vfs(count)
    vf = VfEnd(0)
    ping(wire.far4, ns=vf.ns)
    tcp(wire.far4, server_ns=wire.ns, client_ns=vf.ns, size="1M")
    tcp(wire.far4, server_ns=wire.ns, size="1M")
    flood = sh(f"timeout 60 ping -q -f {wire.far4} >/dev/null 2>&1 & echo $!").out.strip()
    PF().write("reset", 1)
    near.wait_carrier()
    PF().vf(0).write("reset", 1)
    near.ethtool("-L", f"combined {1 + number % 4}", check=False)
    near.ethtool("-G", f"rx {(64, 256, 512)[number % 3]}", check=False)
    control = Control()
    control.do("reset-request")
    control.close()
    until(lambda: ping(wire.far4, count=1, check=False, seconds=1) == 1, "the wire answers after the resets", 40)
    if number % 2:
        PF().write("sriov_numvfs", 0)
    sh("rmmod oxnic")
    vf.close()
    sh(f"kill {flood}", check=False)


@case
def rounds():
    """Nothing countable is left, kernel memory does not grow with the rounds, and kmemleak (debug kernel) is silent."""
    defer(insmod)
    # What the first rounds allocate for good (caches, per-CPU areas) is not a leak.
    for number in range(2):
        one_round(number)
    watch, start = Watch(), time.monotonic()
    for number in range(ROUNDS):
        one_round(number)
    note(f"{ROUNDS} rounds in {time.monotonic() - start:.0f} s")
    # Less than 16 KiB a round beyond what a running system breathes: some hundred KiB, and of pages some 10 MiB.
    watch.check(slack=1024 + 16 * ROUNDS, pages=16384 + 64 * ROUNDS)
    equal(kmemleak() in (True, False), True, "kmemleak")


@case
def nothing_pending():
    """No page pool waits for pages, no module is left half unloaded."""
    insmod()
    near = PF().link()
    near.up()
    PF().set_vfs(8)
    kernel = Netdev(near)
    defer(kernel.close)
    at_least(sum(ifindex == kernel.ifindex for ifindex, _, _ in kernel.pools()), 1, "page pools of the PF's netdev that the kernel knows")
    flood = sh(f"timeout 60 ping -q -f {wire.far4} >/dev/null 2>&1 & echo $!").out.strip()
    PF().set_vfs(0)
    sh("rmmod oxnic")
    defer(insmod)
    sh(f"kill {flood}", check=False)
    equal(os.path.exists("/sys/module/oxnic"), False, "the module is there after rmmod")
    # One that waits is looked at each second; the kernel itself complains after 60 of them only.
    until(lambda: not any(waits or ifindex == kernel.ifindex for ifindex, _, waits in kernel.pools()), "no page pool waits for pages, or is left", 10)


main()
