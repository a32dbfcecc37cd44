# SPDX-License-Identifier: GPL-2.0-only
"""Frames in tunnels: VXLAN (RFC 7348), Geneve (RFC 8926) and Ethernet over GRE with a key (RFC 2890), over IPv4 and IPv6."""

import ipaddress
import struct
from dataclasses import dataclass

from .frames import ip4, ip6
from .packet import IPV4, IPV6, UDP, checksum, ethernet, transport

VXLAN, GENEVE = 4789, 6081
GRE, ETHERNET = 47, 0x6558


@dataclass(frozen=True)
class Outer:
    """What is around a frame: `kind` is vxlan, geneve or gretap; `macs` and `ends` are (source, destination)."""

    kind: str
    macs: tuple
    ends: tuple
    id: int
    tos: int = 0
    ttl: int = 64
    # UDP source port.
    port: int = 40000
    # Geneve options as in the header.
    options: bytes = b""

    def around(self, inner):
        build = ip6 if ":" in self.ends[0] else ip4
        kind, packet = build(lambda a, b: self._body(a, b, inner), *self.ends, tos=self.tos, ttl=self.ttl)
        return ethernet(self.macs[1], self.macs[0], kind, packet)

    def _body(self, source, destination, inner):
        if self.kind == "gretap":
            return GRE, struct.pack(">HHI", 0x2000, ETHERNET, self.id) + inner
        if self.kind == "vxlan":
            head, port = struct.pack(">II", 0x08000000, self.id << 8), VXLAN
        else:
            head, port = struct.pack(">BBHI", len(self.options) // 4, 0, ETHERNET, self.id << 8) + self.options, GENEVE
        return UDP, transport(source, destination, UDP, (self.port, port), head + inner)


def inner_of(frame):
    """Where the frame within begins; None in a frame that is in no tunnel."""
    kind, place = struct.unpack(">H", frame[12:14])[0], 14
    if kind == IPV4:
        protocol, place = frame[23], place + 4 * (frame[14] & 15)
    elif kind == IPV6:
        protocol, place = frame[20], place + 40
    else:
        return None
    if protocol == GRE:
        flags = frame[place]
        return place + 4 + sum(4 for bit in (0x80, 0x20, 0x10) if flags & bit)
    if protocol != UDP or len(frame) < place + 16:
        return None
    port = struct.unpack(">H", frame[place + 2 : place + 4])[0]
    if port == VXLAN:
        return place + 16
    return place + 16 + 4 * (frame[place + 8] & 63) if port == GENEVE else None


def _sum_holds(frame, place):
    """Of the UDP header at a place: 0, there is none; 1, it holds; 2, it does not."""
    if frame[place + 6 : place + 8] == b"\0\0":
        return 0
    raw = frame[26:34] if place < 54 else frame[22:54]
    ends = [ipaddress.ip_address(raw[: len(raw) // 2]), ipaddress.ip_address(raw[len(raw) // 2 :])]
    body = frame[place:]
    pseudo = ends[0].packed + ends[1].packed + struct.pack(">IHBB", len(body), 0, 0, UDP)
    return 1 if checksum(pseudo + body) == 0 else 2


def _tags(frame):
    return next(number for number in range(len(frame)) if frame[12 + 4 * number : 14 + 4 * number] not in (b"\x81\x00", b"\x88\xa8"))


def settled(frame):
    """The frame without what each sender chooses for itself: IPv4 identification, UDP source port; checksums say only whether they hold.

    Nor with a congestion mark where Linux looks for the header within in the wrong place (`ip_tunnel_get_dsfield`): behind two tags, or one in GRE.
    """
    place = inner_of(frame)
    if place is None:
        return frame
    frame = bytearray(frame)
    gre = GRE in (frame[23], frame[20])
    at, wrong = 54, _tags(frame[place:]) > (0 if gre else 1)
    if frame[12:14] == b"\x08\x00":
        at = 14 + 4 * (frame[14] & 15)
        right = checksum(bytes(frame[14:at])) == 0
        frame[18:20] = b"\0\0"
        frame[24:26] = struct.pack(">H", right)
        frame[15] &= 0xFC if wrong else 0xFF
    # A flow label, which goes by the flow.
    elif frame[12:14] == b"\x86\xdd":
        frame[15] &= 0xC0 if wrong else 0xF0
        frame[16:18] = b"\0\0"
    if (frame[23] if at < 54 else frame[20]) == UDP:
        verdict = _sum_holds(bytes(frame), at)
        frame[at : at + 2] = b"\0\0"
        frame[at + 6 : at + 8] = struct.pack(">H", verdict)
    return bytes(frame)
