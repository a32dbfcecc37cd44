# SPDX-License-Identifier: GPL-2.0-only
"""Sockets that tell when their packets were sent and received (SO_TIMESTAMPING). Times are in nanoseconds; 0 is none."""

import select
import socket
import struct
import time
from dataclasses import dataclass

from .clock import SECOND
from .namespace import open_socket

SO_TIMESTAMPING = 37
TX_HARDWARE, TX_SOFTWARE, RX_HARDWARE, RX_SOFTWARE, SOFTWARE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 4
RAW_HARDWARE, OPT_ID, OPT_CMSG, OPT_TSONLY = 1 << 6, 1 << 7, 1 << 10, 1 << 11
REPORTS = SOFTWARE | RAW_HARDWARE | OPT_CMSG
# Level and kind of what says which packet a stamp is of.
ERRORS = ((socket.SOL_IP, 11), (41, 25))
ORIGIN_TIMESTAMPING = 4
SECONDS = 10


@dataclass
class Stamp:
    """number: which of the socket's packets (or its last byte, for TCP), counted from 0."""

    number: int
    software: int
    hardware: int


def _times(ancillary):
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPING):
            values = struct.unpack("=6q", data[:48])
            return values[0] * SECOND + values[1], values[4] * SECOND + values[5]
    return 0, 0


class Stamped:
    """A socket whose packets are stamped as the flags say; UDP where nothing else is said."""

    def __init__(self, flags, ns=None, kind=socket.SOCK_DGRAM, family=socket.AF_INET):
        self.socket = open_socket(ns, family, kind)
        self.socket.settimeout(SECONDS)
        self.flags = flags

    def start(self):
        """From here on; for TCP to be called once it is connected."""
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, self.flags | REPORTS | OPT_ID | OPT_TSONLY)
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def sent(self, count, seconds=5.0):
        """Stamps of so many packets sent, or of those that there are in the time given."""
        found, end = [], time.monotonic() + seconds
        poll = select.poll()
        poll.register(self.socket, 0)
        self.socket.setblocking(False)
        while len(found) < count and time.monotonic() < end:
            if not poll.poll(200):
                continue
            try:
                _, ancillary, _, _ = self.socket.recvmsg(0, 512, socket.MSG_ERRQUEUE)
            except BlockingIOError:
                continue
            for level, kind, data in ancillary:
                if (level, kind) in ERRORS and data[4] == ORIGIN_TIMESTAMPING:
                    (number,) = struct.unpack_from("=I", data, 12)
                    found.append(Stamp(number, *_times(ancillary)))
        self.socket.settimeout(SECONDS)
        return found

    def received(self):
        """Data and stamp of the next packet."""
        data, ancillary, _, _ = self.socket.recvmsg(65536, 512)
        return data, Stamp(0, *_times(ancillary))
