# SPDX-License-Identifier: GPL-2.0-only
"""Leaks: what must be the same before and after."""

import glob
import os
import re
import time

from .case import Failure, at_most, equal, note
from .command import sh

KMEMLEAK = "/sys/kernel/debug/kmemleak"


def settle():
    """Let deferred frees happen, then drop what is only cached."""
    sh("sync; echo 3 > /proc/sys/vm/drop_caches", check=False)
    for _ in range(3):
        sh(["sh", "-c", "ip netns add settle && ip netns del settle"], check=False)  # waits for RCU and the clean-up work
        time.sleep(0.5)
    sh("echo 3 > /proc/sys/vm/drop_caches", check=False)
    # KASAN keeps freed objects for a while, as memory in use: 25 MB after ten times rmmod and insmod. Each cache gives them back as it shrinks.
    sh("for cache in /sys/kernel/slab/*/shrink; do echo 1 > $cache; done", check=False)
    # Each CPU keeps free pages for itself, more of them after a large file was freed: the module's. With each look at its statistics it
    # gives an eighth of what is too many back.
    for _ in range(32):
        sh("echo 1 > /proc/sys/vm/stat_refresh", check=False)


def meminfo():
    with open("/proc/meminfo") as file:
        return {name: int(value) for name, value in re.findall(r"^(\w+):\s+(\d+)", file.read(), re.M)}


# What the kernel can say of a page that is in use. The rest was allocated page by page: by page pools, rings, and caches of free
# pages of each CPU. Memory of processes and files comes and goes with the tests' own programs, and is no driver's.
OWNED = (
    "MemFree Buffers Cached SwapCached AnonPages SReclaimable SUnreclaim KernelStack PageTables SecPageTables VmallocUsed Percpu"
).split()


def unowned(memory):
    """kB of pages in use of which /proc/meminfo does not say whose they are."""
    return memory["MemTotal"] - sum(memory.get(name, 0) for name in OWNED)


def interrupts(pattern="oxnic"):
    with open("/proc/interrupts") as file:
        return sum(pattern in line for line in file)


class Watch:
    """A picture of what a driver may leave behind; check() compares with a later one."""

    def __init__(self):
        settle()
        self.before = self.picture()

    @staticmethod
    def picture():
        memory = meminfo()
        return {
            "netdevs": sorted(os.listdir("/sys/class/net")),
            "PCI functions": sorted(os.listdir("/sys/bus/pci/devices")),
            "interrupt lines": interrupts(),
            "devlink instances": [word for word in sh("devlink dev show", check=False).out.split() if "/" in word],
            "debugfs": sorted(glob.glob("/sys/kernel/debug/oxnic*")),
            "kB": memory["SUnreclaim"] + memory["KernelStack"] + memory["PageTables"] + memory.get("VmallocUsed", 0),
            "unowned kB": unowned(memory),
        }

    def check(self, slack=8192, pages=32768):
        """Countable things must be equal; kernel memory may have grown by slack kB, and what was allocated as pages by `pages` kB, as caches of a
        running system breathe, those of pages most."""
        settle()
        after = self.picture()
        for name in ("netdevs", "PCI functions", "interrupt lines", "devlink instances", "debugfs"):
            equal(after[name], self.before[name], f"{name} afterwards")
        at_most(after["kB"] - self.before["kB"], slack, "growth of kernel memory in kB")
        growth = after["unowned kB"] - self.before["unowned kB"]
        note(f"kernel memory grew by {after['kB'] - self.before['kB']} kB, pages that nobody owns by {growth} kB")
        at_most(growth, pages, "growth of what was allocated as pages in kB")


def kmemleak():
    """On a kernel with kmemleak: fails if two scans find anything unreferenced."""
    if not os.access(KMEMLEAK, os.W_OK):
        return False
    time.sleep(6)
    for _ in range(2):
        sh(f"echo scan > {KMEMLEAK}", check=False)
    with open(KMEMLEAK) as file:
        found = file.read()
    if found:
        raise Failure(f"kmemleak: {found[:4000]}")
    return True
