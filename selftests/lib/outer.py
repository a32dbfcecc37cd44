# SPDX-License-Identifier: GPL-2.0-only
"""Frames in tunnels: VXLAN (RFC 7348), Geneve (RFC 8926) and Ethernet over GRE with a key (RFC 2890), over IPv4 and IPv6."""

import struct
from dataclasses import dataclass

from .frames import ip4, ip6
from .packet import IPV4, IPV6, UDP, ethernet, parse, transport

VXLAN, GENEVE = 4789, 6081
GRE, ETHERNET = 47, 0x6558
OAM, CRIT = 0x80, 0x40


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
    # The group of VXLAN, if there is one.
    group: int | None = None
    # Around all of it, as `packet.ethernet` has them.
    tags: tuple = ()
    # UDP destination port where it is not the kind's own.
    to: int | None = None
    # Whether UDP has a checksum, and IPv4 may not be cut.
    summed: bool = True
    df: bool = False
    # First bits of the second byte of Geneve: OAM, CRIT.
    marks: int = 0

    def around(self, inner):
        build, more = (ip6, {}) if ":" in self.ends[0] else (ip4, {"fragment": 0x4000 if self.df else 0})
        kind, packet = build(lambda a, b: self._body(a, b, inner), *self.ends, tos=self.tos, ttl=self.ttl, **more)
        return ethernet(self.macs[1], self.macs[0], kind, packet, self.tags)

    def _body(self, source, destination, inner):
        if self.kind == "gretap":
            return GRE, struct.pack(">HHI", 0x2000, ETHERNET, self.id) + inner
        if self.kind == "vxlan":
            flags = 0x08000000 if self.group is None else 0x88000000 | self.group
            head, port = struct.pack(">II", flags, self.id << 8), VXLAN
        else:
            head, port = struct.pack(">BBHI", len(self.options) // 4, self.marks, ETHERNET, self.id << 8) + self.options, GENEVE
        return UDP, transport(source, destination, UDP, (self.port, self.to or port), head + inner, zero_sum=not self.summed)


def _transport(outer):
    """Where the header behind that of IP begins."""
    return 14 + (4 * (outer.frame[14] & 15) if outer.kind == IPV4 else 40)


def inner_of(frame):
    """Where the frame within begins; None in a frame that is in no tunnel."""
    outer = parse(frame)
    if outer.tags or outer.kind not in (IPV4, IPV6):
        return None
    place = _transport(outer)
    if outer.protocol == GRE:
        return place + 4 + sum(4 for bit in (0x80, 0x20, 0x10) if frame[place] & bit)
    if not outer.ports or outer.protocol != UDP or outer.ports[1] not in (VXLAN, GENEVE):
        return None
    return place + 16 + (4 * (frame[place + 8] & 63) if outer.ports[1] == GENEVE else 0)


def settled(frame):
    """The frame without what each sender chooses for itself: IPv4 identification, flow label, UDP source port; checksums say only whether they hold.

    Nor with a congestion mark where Linux looks for the header within in the wrong place (`ip_tunnel_get_dsfield`): behind two tags, or one in GRE.
    """
    place = inner_of(frame)
    if place is None:
        return frame
    outer, left = parse(frame), bytearray(frame)
    unmarked = len(parse(frame[place:]).tags) > (0 if outer.protocol == GRE else 1)
    if outer.kind == IPV4:
        left[15] &= 0xFC if unmarked else 0xFF
        left[18:20] = b"\0\0"
        left[24:26] = struct.pack(">H", outer.ip_sum)
    else:
        left[15] &= 0xC0 if unmarked else 0xF0
        left[16:18] = b"\0\0"
    if outer.protocol == UDP:
        at = _transport(outer)
        left[at : at + 2] = b"\0\0"
        if any(left[at + 6 : at + 8]):
            left[at + 6 : at + 8] = struct.pack(">H", 1 if outer.sum else 2)
    return bytes(left)
