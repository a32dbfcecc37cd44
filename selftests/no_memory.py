#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""One allocation of a command fails, then another: it fails or works, breaks nothing, and works when it is tried again."""

# sets: long
# kernel: debug
# vm: PORTS=1

import ctypes
import fcntl
import glob
import os
import socket
import struct

from lib import Wire, at_least, case, defer, equal, main, note, ping, setup, sh
from lib.function import write_once

SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
SIOCETHTOOL, ETHTOOL_GRINGPARAM, ETHTOOL_SRINGPARAM = 0x8946, 0x10, 0x11
FAULTS = "/sys/kernel/debug"
wire = None


@setup
def topology():
    global wire
    wire = Wire()
    # Those that may sleep, and single pages, too; without a word for each.
    for name, value in (("ignore-gfp-wait", "N"), ("verbose", 0)):
        for fault in ("failslab", "fail_page_alloc"):
            sh(f"echo {value} > {FAULTS}/{fault}/{name}")
    sh(f"echo 0 > {FAULTS}/fail_page_alloc/min-order")
    # Of the slabs those of memory by size, which is what a driver asks for: the checker of DMA mappings switches itself off when a slab of its
    # own has nothing for it.
    sh(f"echo Y > {FAULTS}/failslab/cache-filter")
    for path in glob.glob("/sys/kernel/slab/kmalloc-*/failslab"):
        write_once(path, 1)
    # Few allocations, most of them the driver's.
    wire.near.ethtool("-L", "combined 1", check=False)
    wire.near.ethtool("-G", "rx 64 tx 64")


class Allocations:
    """Lets one allocation of this task fail, counted from when it is told."""

    def __init__(self):
        self.file = os.open("/proc/thread-self/fail-nth", os.O_RDWR)
        defer(os.close, self.file)

    def during(self, number, function):
        """Calls function() with that allocation failing: (whether it was met, whether the function succeeded)."""
        worked = True
        os.pwrite(self.file, b"%d" % number, 0)
        try:
            function()
        except OSError:
            worked = False
        left = int(os.pread(self.file, 16, 0))
        os.pwrite(self.file, b"0", 0)
        return left == 0, worked


def later(number):
    """Which allocation fails after that of this number: each of the first 64, then fewer and fewer."""
    return number + 1 + number // 64


def request(number, data):
    """A call of this very task about the netdev, which may change what is in data."""
    whole = bytearray(struct.pack("16s", wire.near.name.encode()) + data)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, number, whole)
    return whole[16:]


def switch(up):
    """The netdev goes up or down."""
    (flags,) = struct.unpack_from("H", request(SIOCGIFFLAGS, bytes(24)))
    request(SIOCSIFFLAGS, struct.pack("H22x", flags | IFF_UP if up else flags & ~IFF_UP))


def rings(size=None):
    """Entries of a transmit ring; so many from now on if they are given."""
    words = (ctypes.c_uint32 * 9)(ETHTOOL_GRINGPARAM)
    argument = struct.pack("P16x", ctypes.addressof(words))
    request(SIOCETHTOOL, argument)
    if size:
        words[0], words[8] = ETHTOOL_SRINGPARAM, size
        request(SIOCETHTOOL, argument)
    return words[8]


@case
def open_without_memory():
    """The netdev comes up or does not, whichever allocation fails, and comes up afterwards."""
    allocations = Allocations()
    switch(False)
    defer(switch, True)
    number, failures = 0, 0
    while True:
        number = later(number)
        met, worked = allocations.during(number, lambda: switch(True))
        failures += not worked
        if not met:
            break
        switch(False)
    note(f"fewer than {number} allocations, {failures} of those that failed were needed")
    at_least(failures, 20, "allocations without which the netdev does not come up (else nothing was tested)")
    ping(wire.far4)


@case
def rings_without_memory():
    """A change of the rings is done or not, whichever allocation fails, and the netdev works on."""
    allocations = Allocations()
    number, failures = 0, 0
    while True:
        number = later(number)
        before = rings()
        wanted = 192 - before
        met, worked = allocations.during(number, lambda wanted=wanted: rings(wanted))
        failures += not worked
        equal(rings(), wanted if worked else before, f"entries of a transmit ring when allocation {number} has failed")
        if not met:
            break
        if not worked and failures % 8 == 0:
            ping(wire.far4)
    note(f"fewer than {number} allocations, {failures} of those that failed were needed")
    at_least(failures, 20, "allocations without which the rings stay (else nothing was tested)")
    ping(wire.far4)


main()
