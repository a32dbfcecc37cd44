# SPDX-License-Identifier: GPL-2.0-only
"""Frames as bytes: building them, taking them apart, checksums as in RFC 1071. Knows nothing of devices."""

import ipaddress
import struct
from dataclasses import dataclass, field

BROADCAST = "ff:ff:ff:ff:ff:ff"
IPV4, IPV6, VLAN, QINQ = 0x0800, 0x86DD, 0x8100, 0x88A8
TEST_TYPE = 0x88B5  # IEEE 802, for local experiments: no stack answers it
TCP, UDP = 6, 17


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def mac_text(raw):
    return raw.hex(":")


def checksum(data):
    """The internet checksum of the data, as a number to be stored big-endian."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ethernet(destination, source, kind, payload, tags=()):
    """tags: (TPID, TCI) from the outside in."""
    head = mac(destination) + mac(source)
    for tpid, tci in tags:
        head += struct.pack(">HH", tpid, tci)
    return head + struct.pack(">H", kind) + payload


def raw_frame(destination, source, body, tags=(), size=60):
    """A frame of the experimental type that carries body, padded to size."""
    frame = ethernet(destination, source, TEST_TYPE, body, tags)
    return frame + bytes(max(0, size - len(frame)))


def _pseudo(source, destination, protocol, length):
    if source.version == 4:
        return source.packed + destination.packed + struct.pack(">BBH", 0, protocol, length)
    return source.packed + destination.packed + struct.pack(">IHBB", length, 0, 0, protocol)


def transport(source, destination, protocol, ports, payload, break_sum=0, zero_sum=False):
    """A TCP segment or UDP datagram. break_sum is exclusive-ored into the checksum."""
    a, b = ipaddress.ip_address(source), ipaddress.ip_address(destination)
    if protocol == UDP:
        head, place = struct.pack(">HHHH", *ports, 8 + len(payload), 0), 6
    else:
        head, place = struct.pack(">HHIIBBHHH", *ports, 1, 1, 5 << 4, 0x18, 8192, 0, 0), 16
    value = checksum(_pseudo(a, b, protocol, len(head) + len(payload)) + head + payload)
    if protocol == UDP and value == 0:
        value = 0xFFFF
    value = 0 if zero_sum else value ^ break_sum
    return head[:place] + struct.pack(">H", value) + head[place + 2 :] + payload


def ip_packet(source, destination, protocol, body, tos=0, break_sum=0):
    """IPv4 or IPv6 around a body; returns (EtherType, bytes)."""
    a, b = ipaddress.ip_address(source), ipaddress.ip_address(destination)
    if a.version == 6:
        return IPV6, struct.pack(">IHBB", 6 << 28 | tos << 20, len(body), protocol, 64) + a.packed + b.packed + body
    head = struct.pack(">BBHHHBBH", 0x45, tos, 20 + len(body), 0x1234, 0x4000, 64, protocol, 0) + a.packed + b.packed
    return IPV4, head[:10] + struct.pack(">H", checksum(head) ^ break_sum) + head[12:] + body


def datagram(macs, addresses, ports, payload, protocol=UDP, tags=(), **options):
    """A whole frame; macs, addresses and ports are (source, destination)."""
    body = transport(*addresses, protocol, ports, payload, **options)
    kind, packet = ip_packet(*addresses, protocol, body)
    frame = ethernet(macs[1], macs[0], kind, packet, tags)
    return frame + bytes(max(0, 60 - len(frame)))


@dataclass
class Parsed:
    """A frame taken apart. Numbers are None where the frame has no such field; sums say whether the checksum holds."""

    frame: bytes
    destination: str = ""
    source: str = ""
    tags: list = field(default_factory=list)
    kind: int = 0
    addresses: tuple = ()
    protocol: int | None = None
    ports: tuple = ()
    payload: bytes = b""
    ip_sum: bool | None = None
    sum: bool | None = None
    sequence: int | None = None
    tcp_flags: int | None = None
    identification: int | None = None
    ip_length: int | None = None

    def vids(self):
        return [tci & 0xFFF for _, tci in self.tags]


def parse(frame):
    """Take a frame apart as far as it is Ethernet, VLAN, IP, TCP and UDP."""
    found = Parsed(frame, mac_text(frame[:6]), mac_text(frame[6:12]))
    place = 12
    (found.kind,) = struct.unpack_from(">H", frame, place)
    while found.kind in (VLAN, QINQ):
        found.tags.append((found.kind, struct.unpack_from(">H", frame, place + 2)[0]))
        place += 4
        (found.kind,) = struct.unpack_from(">H", frame, place)
    body = frame[place + 2 :]
    found.payload = body
    if found.kind == IPV4 and len(body) >= 20:
        _parse_ipv4(found, body)
    elif found.kind == IPV6 and len(body) >= 40:
        found.ip_length = 40 + struct.unpack_from(">H", body, 4)[0]
        found.protocol = body[6]
        found.addresses = tuple(ipaddress.ip_address(body[n : n + 16]) for n in (8, 24))
        _parse_transport(found, body[40 : found.ip_length])
    return found


def _parse_ipv4(found, body):
    length = (body[0] & 15) * 4
    found.ip_length, found.identification = struct.unpack_from(">HH", body, 2)
    found.ip_sum = checksum(body[:length]) == 0
    found.protocol = body[9]
    found.addresses = tuple(ipaddress.ip_address(body[n : n + 4]) for n in (12, 16))
    if struct.unpack_from(">H", body, 6)[0] & 0x3FFF == 0:
        _parse_transport(found, body[length : found.ip_length])


def _parse_transport(found, body):
    found.payload = body
    head = {TCP: 20, UDP: 8}.get(found.protocol)
    if head is None or len(body) < head:
        return
    found.ports = struct.unpack_from(">HH", body)
    found.sum = checksum(_pseudo(*found.addresses, found.protocol, len(body)) + body) == 0
    if found.protocol == UDP:
        found.payload = body[8:]
        return
    found.sequence = struct.unpack_from(">I", body, 4)[0]
    found.tcp_flags = body[13]
    found.payload = body[(body[12] >> 4) * 4 :]
