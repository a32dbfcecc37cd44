# SPDX-License-Identifier: GPL-2.0-only
"""A PTP hardware clock, by the system calls that user space has for it. Times are in nanoseconds."""

import ctypes
import fcntl
import os
import re
import struct
import time

from .case import Failure, defer

ADJ_FREQUENCY, ADJ_SETOFFSET, ADJ_NANO = 0x2, 0x100, 0x2000
PTP_CLOCK_GETCAPS = 0x80503D01
PTP_SYS_OFFSET_EXTENDED = 0xC4C03D09
SAMPLES_OFFSET, TIME_BYTES = 16, 16
SECOND = 1_000_000_000

_libc = ctypes.CDLL(None, use_errno=True)


class Timex(ctypes.Structure):
    """struct timex of a 64-bit machine, as far as it is used here."""

    _fields_ = [
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long),
        ("precision", ctypes.c_long),
        ("tolerance", ctypes.c_long),
        ("seconds", ctypes.c_long),
        ("part", ctypes.c_long),
        ("rest", ctypes.c_byte * 128),
    ]


class PtpClock:
    """`/dev/ptp<index>`, open until the end of the case."""

    def __init__(self, index):
        self.index = index
        self.fd = os.open(f"/dev/ptp{index}", os.O_RDWR | os.O_CLOEXEC)
        defer(os.close, self.fd)
        self.id = (~self.fd << 3) | 3

    @classmethod
    def of(cls, link):
        """The clock that a netdev's stamps are of."""
        found = re.search(r"(?:PTP Hardware Clock|Hardware timestamp provider index): (\d+)", link.ethtool("-T").out)
        if not found:
            raise Failure(f"{link} names no PTP hardware clock")
        return cls(int(found[1]))

    @property
    def name(self):
        with open(f"/sys/class/ptp/ptp{self.index}/clock_name") as file:
            return file.read().strip()

    def now(self):
        return time.clock_gettime_ns(self.id)

    def with_system(self):
        """The clock's time and the system's (CLOCK_MONOTONIC_RAW) at one moment: the tightest of ten readings."""
        readings = []
        for _ in range(10):
            before = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
            clock = self.now()
            after = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
            readings.append((after - before, clock, (before + after) // 2))
        _, clock, system = min(readings)
        return clock, system

    def rate(self, seconds=2):
        """Nanoseconds of the clock in one of the system, over some seconds."""
        start, system = self.with_system()
        time.sleep(seconds)
        end, later = self.with_system()
        return (end - start) / (later - system)

    def set(self, nanoseconds):
        time.clock_settime_ns(self.id, nanoseconds)

    def _adjust(self, **fields):
        timex = Timex(**fields)
        if _libc.clock_adjtime(self.id, ctypes.byref(timex)) < 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
        return timex

    def step(self, nanoseconds):
        """Add to the time."""
        seconds, part = divmod(nanoseconds, SECOND)
        self._adjust(modes=ADJ_SETOFFSET | ADJ_NANO, seconds=seconds, part=part)

    def tune(self, parts):
        """Run faster than nominal by so many parts in 10^9."""
        self._adjust(modes=ADJ_FREQUENCY, freq=round(parts * 65536 / 1000))

    def tuned(self):
        """What tune() has set."""
        return self._adjust(modes=0).freq * 1000 / 65536

    def most(self):
        """The most that tune() takes."""
        (most,) = struct.unpack_from("=i", fcntl.ioctl(self.fd, PTP_CLOCK_GETCAPS, bytes(80)))
        return most

    def samples(self, count=5):
        """Pairs of the clock's time and the system's right before and after: [(before, clock, after)]."""
        data = bytearray(SAMPLES_OFFSET + 25 * 3 * TIME_BYTES)
        struct.pack_into("=I", data, 0, count)
        fcntl.ioctl(self.fd, PTP_SYS_OFFSET_EXTENDED, data)
        times = [
            seconds * SECOND + part for seconds, part in (struct.unpack_from("=qI", data, SAMPLES_OFFSET + n * TIME_BYTES) for n in range(3 * count))
        ]
        return list(zip(times[0::3], times[1::3], times[2::3], strict=True))
