# SPDX-License-Identifier: GPL-2.0-only
"""The rate of the host's time stamp counter, which is what the guest's counter shows under TCG.

The guest would measure it against emulated timers while the host runs something else, find a wrong rate, and its
clock would run several times too fast for the rest of its life. So the host measures, and tells it on the kernel command line.
"""

import ctypes
import functools
import mmap
import platform
import time

# rdtsc; shl rdx, 32; or rax, rdx; ret
CODE = bytes.fromhex("0f3148c1e2204809d0c3")
SPAN = 0.05  # seconds between two readings
TRIES = 20  # readings, of which the quickest counts


def _counter():
    """A function that reads the counter; OSError where code may not be made at run time."""
    memory = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(CODE)
    function = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(ctypes.c_char.from_buffer(memory)))
    function.memory = memory
    return function


def _reading(counter):
    """(counter, nanoseconds) of the same moment, as nearly as can be had."""
    found = []
    for _ in range(TRIES):
        before = time.monotonic_ns()
        ticks = counter()
        after = time.monotonic_ns()
        found.append((after - before, ticks, (before + after) / 2))
    _, ticks, moment = min(found)
    return ticks, moment


@functools.cache
def khz():
    """The rate in kHz, or 0 where it cannot be measured."""
    if platform.machine() != "x86_64":
        return 0
    try:
        counter = _counter()
    except OSError:
        return 0
    ticks, moment = _reading(counter)
    time.sleep(SPAN)
    later, end = _reading(counter)
    return round((later - ticks) * 1e6 / (end - moment))
