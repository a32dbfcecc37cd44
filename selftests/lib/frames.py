# SPDX-License-Identifier: GPL-2.0-only
"""Frames of every kind that a rule can tell apart, built from the inside out.

A transport is a function (source, destination) -> (protocol, bytes), as its checksum needs the addresses; a packet is
(EtherType, bytes); `frame` puts Ethernet around it. Nothing here is random.
"""

import ipaddress
import struct

from .packet import IPV4, IPV6, TCP, TEST_TYPE, UDP, _pseudo, checksum, ethernet, mac, transport

ARP, RARP = 0x0806, 0x8035
ICMP, ICMPV6, SCTP, FRAGMENT, HOP_BY_HOP = 1, 58, 132, 44, 0
A4, B4, A6, B6 = "198.51.100.1", "198.51.100.2", "2001:db8:a::1", "2001:db8:a::2"
MAC_A, MAC_B = "02:00:00:00:0a:0a", "02:00:00:00:0b:0b"
# Long enough that no edit of the tests makes a frame of it that has to be padded.
BODY = bytes(range(48, 96))


def udp(source=1111, destination=2222, body=BODY, **options):
    return lambda a, b: (UDP, transport(a, b, UDP, (source, destination), body, **options))


def tcp(source=1111, destination=2222, flags=0x18, body=BODY):
    """A TCP segment with any of the 12 bits of flags."""

    def build(a, b):
        first = struct.pack(">HHIIHHHH", source, destination, 7, 9, 5 << 12 | flags, 8192, 0, 0) + body
        a, b = ipaddress.ip_address(a), ipaddress.ip_address(b)
        total = checksum(_pseudo(a, b, TCP, len(first)) + first)
        return TCP, first[:16] + struct.pack(">H", total) + first[18:]

    return build


def crc32c(data):
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def sctp(source=1111, destination=2222, body=BODY):
    """An SCTP packet with one chunk of data."""
    chunk = struct.pack(">BBHIHHI", 0, 3, 16 + len(body), 1, 0, 0, 0) + body
    head = struct.pack(">HHI", source, destination, 99)
    total = struct.pack("<I", crc32c(head + bytes(4) + chunk))
    return lambda a, b: (SCTP, head + total + chunk)


def icmp(kind=8, code=0, body=BODY):
    """ICMP over IPv4, ICMPv6 over IPv6."""

    def build(a, b):
        head = struct.pack(">BBHHH", kind, code, 0, 5, 6) + body
        a, b = ipaddress.ip_address(a), ipaddress.ip_address(b)
        before = _pseudo(a, b, ICMPV6, len(head)) if a.version == 6 else b""
        return ICMP if a.version == 4 else ICMPV6, head[:2] + struct.pack(">H", checksum(before + head)) + head[4:]

    return build


def other(protocol, body=BODY):
    """Any other protocol above IP."""
    return lambda a, b: (protocol, body)


def ip4(inner=None, source=A4, destination=B4, tos=0, ttl=64, fragment=0, options=b"", identification=0x1234):
    """fragment: flags and offset as in the header, such as 0x2000 for the first of several."""
    protocol, body = (inner or udp())(source, destination)
    words = 5 + len(options) // 4
    head = struct.pack(">BBHHHBBH", 0x40 | words, tos, 4 * words + len(body), identification, fragment, ttl, protocol, 0)
    head += ipaddress.ip_address(source).packed + ipaddress.ip_address(destination).packed + options
    return IPV4, head[:10] + struct.pack(">H", checksum(head)) + head[12:] + body


def ip6(inner=None, source=A6, destination=B6, tos=0, ttl=64, fragment=None, label=0, options=False):
    """fragment: offset and flag as in the fragment header, None without one; options: a hop-by-hop header before it."""
    protocol, body = (inner or udp())(source, destination)
    if fragment is not None:
        body, protocol = struct.pack(">BBHI", protocol, 0, fragment, 0xABCD) + body, FRAGMENT
    if options:
        body, protocol = struct.pack(">BB6s", protocol, 0, b"\x01\x04\0\0\0\0") + body, HOP_BY_HOP
    head = struct.pack(">IHBB", 6 << 28 | tos << 20 | label, len(body), protocol, ttl)
    return IPV6, head + ipaddress.ip_address(source).packed + ipaddress.ip_address(destination).packed + body


def arp(operation=1, sender=MAC_A, sender_ip=A4, target="00:00:00:00:00:00", target_ip=B4, kind=ARP):
    packed = lambda address: ipaddress.ip_address(address).packed  # noqa: E731
    head = struct.pack(">HHBBH", 1, IPV4, 6, 4, operation)
    return kind, head + mac(sender) + packed(sender_ip) + mac(target) + packed(target_ip) + BODY


def other_type(kind=TEST_TYPE, body=BODY):
    return kind, body


def frame(packet, destination=MAC_B, source=MAC_A, tags=()):
    """Ethernet around a packet, not padded: bodies are long enough."""
    kind, body = packet
    return ethernet(destination, source, kind, body, tags)
