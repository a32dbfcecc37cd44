# SPDX-License-Identifier: GPL-2.0-only
"""Seeing and sending frames on a netdev with packet sockets, and tcpdump's opinion of what is in a capture.

The witness that matters is the far end of the wire: a stock NIC with the kernel's own driver. Receive offloads are switched
off there, so that what is seen is what was on the wire.
"""

import re
import socket
import struct
import time

from . import packet
from .case import Failure, defer
from .command import sh
from .namespace import open_socket
from .pace import slow

ETH_P_ALL = 3
SOL_PACKET, PACKET_AUXDATA = 263, 8
SO_RCVBUFFORCE = 33
TP_STATUS_VLAN_VALID, TP_STATUS_VLAN_TPID_VALID = 1 << 4, 1 << 6
BUFFER = 64 << 20
LONGEST = 60.0  # seconds for looking at what came in


class Capture:
    """All frames that a netdev receives from now on (with outgoing, also those that it sends)."""

    def __init__(self, link, outgoing=False):
        self.link = link
        self.outgoing = outgoing
        self.socket = open_socket(link.ns, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        defer(self.socket.close)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        self.socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self.socket.bind((link.name, ETH_P_ALL))
        # What came in between making and binding is of any netdev.
        self.socket.setblocking(False)
        self._drain()

    def _drain(self):
        while self._receive() is not None:
            pass

    def _receive(self):
        try:
            frame, control, _, address = self.socket.recvmsg(1 << 17, 256)
        except (BlockingIOError, OSError):
            return None
        for level, kind, data in control:
            if level == SOL_PACKET and kind == PACKET_AUXDATA:
                frame = self._with_tag(frame, data)
        return frame, address[2]

    @staticmethod
    def _with_tag(frame, data):
        """The kernel takes the outer tag out of what it shows: put it back."""
        status, _, _, _, _, tci, tpid = struct.unpack("=IIIHHHH", data[:20])
        if not status & TP_STATUS_VLAN_VALID:
            return frame
        if not status & TP_STATUS_VLAN_TPID_VALID:
            tpid = packet.VLAN
        return frame[:12] + struct.pack(">HH", tpid, tci) + frame[12:]

    def receive(self):
        """The next frame that has come in, as bytes; None when there is none (left)."""
        while (got := self._receive()) is not None:
            frame, kind = got
            if (kind != socket.PACKET_OUTGOING or self.outgoing) and len(frame) >= 14:
                return frame
        return None

    def frames(self, wanted=None, count=None, seconds=10.0):
        """Parsed frames for which wanted(parsed) holds: until there are count of them, else all that come in seconds."""
        found, end = [], time.monotonic() + slow(seconds)
        while (count is None or len(found) < count) and time.monotonic() < end + LONGEST:
            frame = self.receive()
            if frame is None:
                # Time counts only when there is nothing left to look at.
                if time.monotonic() > end:
                    break
                time.sleep(0.005)
                continue
            parsed = packet.parse(frame)
            if wanted is None or wanted(parsed):
                found.append(parsed)
        return found

    def expect(self, what, wanted, count=1, seconds=10.0):
        """Like frames, and fails the case when there are fewer than count."""
        found = self.frames(wanted, count, seconds)
        if len(found) < count:
            raise Failure(f"{self.link}: {what}: {len(found)} of {count} frames came within {slow(seconds):.0f} s")
        return found

    def expect_none(self, what, wanted, seconds=1.0):
        found = self.frames(wanted, 1, seconds)
        if found:
            raise Failure(f"{self.link}: {what}: there is one: {found[0].frame[:64].hex()}")


class Injector:
    """Sends frames as they are."""

    def __init__(self, link):
        self.socket = open_socket(link.ns, socket.AF_PACKET, socket.SOCK_RAW, 0)
        defer(self.socket.close)
        self.socket.bind((link.name, 0))

    def send(self, *frames):
        for frame in frames:
            self.socket.send(frame)


def tcpdump_verdict(path):
    """What tcpdump finds wrong in a capture file: the lines that say "incorrect" or "bad cksum", and the number of packets."""
    out = sh(["tcpdump", "-nnvvr", path], seconds=300).out
    packets = len(re.findall(r"^\d\d:\d\d:\d\d\.\d+ ", out, re.M))
    return [line.strip() for line in out.splitlines() if "incorrect" in line or "bad cksum" in line], packets
