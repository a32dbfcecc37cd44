#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Segmentation by the device: what the far end receives are well-formed segments, as if the stack had cut them."""

# sets: quick
# vm: PORTS=1

import socket
import struct
import threading

from lib import Capture, Link, Wire, at_least, at_most, case, defer, equal, ip, main, setup, sh, sysctl, true
from lib.genl import Netdev
from lib.namespace import open_socket
from lib.packet import QINQ, TCP, UDP, VLAN

UDP_SEGMENT, SOL_UDP = 103, 17
FIN, SYN, PSH = 1, 2, 8
wire = None


@setup
def topology():
    global wire
    wire = Wire()
    # No window or memory of earlier connections should decide how long the bursts are.
    sysctl("net.ipv4.tcp_no_metrics_save", 1)


def data_of(size):
    return b"".join(struct.pack(">I", n) for n in range(size // 4))


def stream(near, far, version, size, mss=None):
    """Send size bytes from near to far by TCP and capture them; returns (data segments as seen at the far end, bytes read)."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    server = open_socket(wire.ns, family, socket.SOCK_STREAM)
    defer(server.close)
    server.bind((far, 0))
    server.listen()
    port = server.getsockname()[1]
    capture = Capture(wire.far)
    client = socket.socket(family, socket.SOCK_STREAM)
    defer(client.close)
    if mss:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, mss)
    client.bind((near, 0))
    client.connect((far, port))
    peer, _ = server.accept()
    client.settimeout(30)
    peer.settimeout(30)
    sent, received = data_of(size), bytearray()
    sender = threading.Thread(target=client.sendall, args=(sent,))
    sender.start()
    while len(received) < size:
        data = peer.recv(1 << 20)
        true(data, f"the stream ended after {len(received)} bytes")
        received += data
    sender.join()
    equal(bytes(received) == sent, True, "the bytes that arrived are those that were sent")
    client.close()
    peer.close()
    server.close()
    return capture.frames(lambda p: p.protocol == TCP and p.ports[1] == port and p.payload, seconds=1), sent


def check_segments(segments, sent, mtu, version):
    """Sums right, none too long, no byte missing, every byte where it belongs, flags as a stack would set them."""
    first = min(p.sequence for p in segments)
    covered = bytearray(len(sent))
    for parsed in segments:
        equal(parsed.sum, True, "TCP checksum of a segment is right")
        equal(parsed.ip_sum, None if version == 6 else True, "IP checksum of a segment is right")
        at_most(parsed.ip_length, mtu, "length of a segment")
        place = (parsed.sequence - first) & 0xFFFFFFFF
        equal(parsed.payload == sent[place : place + len(parsed.payload)], True, f"the bytes of the segment at {place}")
        equal(parsed.tcp_flags & SYN, 0, "SYN in a data segment")
        covered[place : place + len(parsed.payload)] = b"\1" * len(parsed.payload)
    equal(covered.count(0), 0, "bytes that no segment carried")
    full = [p for p in segments if p.ip_length == mtu]
    at_least(len(full), len(segments) // 2, "segments of full length")
    if version == 4:
        ids = [p.identification for p in full]
        steps = [(b - a) & 0xFFFF for a, b in zip(ids, ids[1:], strict=False)]
        true(steps.count(1) > len(steps) // 2, f"IPv4 identifications grow by one from segment to segment: {ids[:20]}")


def segmented(link):
    """Packets that the device says it cut, or None if it does not say."""
    return link.counters().get("tx_segmented")


@case
def tcp_segments():
    """TSO over IPv4 and IPv6: the device cuts, and the far end sees right segments."""
    wire.near.feature(tx_tcp_segmentation=True)
    for version in (4, 6):
        before = segmented(wire.near)
        near, far = wire.addresses(version)
        segments, sent = stream(near, far, version, 1 << 20)
        check_segments(segments, sent, 1500, version)
        if before is not None:
            at_least(segmented(wire.near) - before, 10, f"packets that the device cut over IPv{version}")


@case
def segments_are_summed():
    """Each segment that the device cuts counts as one whose checksum it has made, by queue."""
    wire.near.feature(tx_tcp_segmentation=True)
    kernel = Netdev(wire.near)
    defer(kernel.close)
    before = kernel.totals()
    near, far = wire.addresses(4)
    stream(near, far, 4, 1 << 20)
    after = kernel.totals()
    moved = {name: after[name] - before[name] for name in after}
    at_least(moved["tx_cut"], 500, "segments that the device has cut")
    at_least(moved["tx_summed"], moved["tx_cut"], "packets whose checksum the device has made")
    equal(moved["tx_summed"] + moved["tx_plain"], moved["tx"], "packets with a checksum of the device's and without")


@case
def tcp_without_offload():
    """Control: with TSO off the same stream is right too and the device cuts nothing."""
    wire.near.ethtool("-K", "tso off")
    defer(wire.near.ethtool, "-K", "tso on")
    before = segmented(wire.near)
    near, far = wire.addresses(4)
    segments, sent = stream(near, far, 4, 1 << 18)
    check_segments(segments, sent, 1500, 4)
    if before is not None:
        equal(segmented(wire.near) - before, 0, "packets that the device cut with TSO off")


@case
def tcp_small_segments():
    """Segments of 536 and of 88 bytes, as the peer's MSS may ask for."""
    near, far = wire.addresses(4)
    for mss in (536, 88):
        segments, sent = stream(near, far, 4, 1 << 17, mss)
        # Timestamps take 12 bytes of each.
        check_segments(segments, sent, mss + 40, 4)


@case
def tcp_in_vlan():
    """Segments of a tagged stream carry the tag, all of them."""
    ip(f"link add link {wire.near.name} name {wire.near.name}.7 type vlan id 7")
    defer(ip, f"link del {wire.near.name}.7")
    ip(f"link add link {wire.far.name} name {wire.far.name}.7 type vlan id 7", ns=wire.ns)
    defer(ip, f"link del {wire.far.name}.7", ns=wire.ns)
    for link, address in ((Link(f"{wire.near.name}.7"), "198.51.100.1/24"), (Link(f"{wire.far.name}.7", wire.ns), "198.51.100.2/24")):
        link.address(address)
        link.ip("up")
    before = segmented(wire.near)
    segments, sent = stream("198.51.100.1", "198.51.100.2", 4, 1 << 18)
    check_segments(segments, sent, 1500, 4)
    equal({tuple(p.tags) for p in segments}, {((VLAN, 7),)}, "tags of the segments")
    if before is not None:
        at_least(segmented(wire.near) - before, 3, "packets that the device cut")


@case
def tcp_in_a_tag_pushed_over_another():
    """Segments of a tagged stream over which tc pushes a second tag: none is lost for where the stack says that IP is."""
    near, far = (Link(f"{wire.near.name}.5"), Link(f"{wire.far.name}.5", wire.ns))
    for lower, link, ns, address in ((wire.near, near, None, "203.0.113.1/24"), (wire.far, far, wire.ns, "203.0.113.2/24")):
        ip(f"link add link {lower.name} name {link.name} type vlan id 5", ns=ns)
        defer(ip, f"link del {link.name}", ns=ns)
        # The far end takes no frames that are longer for a second tag.
        ip(f"link set {link.name} mtu 1496", ns=ns)
        link.address(address)
        link.ip("up")
    for link, ns, rule in (
        (wire.near, None, "egress matchall skip_hw action vlan push id 100 protocol 802.1ad"),
        (wire.far, wire.ns, "ingress protocol 802.1ad matchall action vlan pop"),
    ):
        sh(f"tc qdisc add dev {link.name} clsact", ns=ns)
        defer(sh, f"tc qdisc del dev {link.name} clsact", ns=ns)
        sh(f"tc filter add dev {link.name} {rule}", ns=ns)
    before = wire.near.counters().get("tx_bad")
    segments, sent = stream("203.0.113.1", "203.0.113.2", 4, 1 << 17)
    check_segments(segments, sent, 1496, 4)
    equal({tuple(p.tags) for p in segments}, {((QINQ, 100), (VLAN, 5))}, "tags of the segments")
    if before is not None:
        equal(wire.near.counters()["tx_bad"] - before, 0, "packets that the device cannot make sense of")


@case
def tcp_jumbo():
    """Segments at MTU 9000."""
    wire.far.set_mtu(9000)
    wire.near.set_mtu(9000)
    near, far = wire.addresses(4)
    segments, sent = stream(near, far, 4, 1 << 20)
    check_segments(segments, sent, 9000, 4)


@case
def tcp_last_segment_flags():
    """PSH and FIN of a long packet are on its last segment only."""
    near, far = wire.addresses(4)
    segments, _ = stream(near, far, 4, 1 << 18)
    ordered = sorted(segments, key=lambda p: p.sequence)
    equal([p for p in ordered[:-1] if p.tcp_flags & FIN], [], "segments with FIN before the last one")
    pushed = sum(bool(p.tcp_flags & PSH) for p in ordered)
    at_most(pushed, len(ordered) // 2, "segments with PSH")


def usend(version, size, total):
    near, far = wire.addresses(version)
    sh(["ping", "-c1", far])
    sock = socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
    defer(sock.close)
    sock.bind((near, 0))
    sock.setsockopt(SOL_UDP, UDP_SEGMENT, size)
    capture = Capture(wire.far)
    sent = data_of(total)
    sock.sendto(sent, (far, 7300))
    count = -(-total // size)
    found = capture.expect("datagrams", lambda p: p.protocol == UDP and p.ports[1:] == (7300,), count)
    equal(b"".join(p.payload for p in found), sent, "payload of all datagrams in order")
    equal({len(p.payload) for p in found[:-1]}, {size}, "payload length of all but the last")
    equal({p.sum for p in found}, {True}, "UDP checksums are right")
    equal({p.ip_sum for p in found}, {None if version == 6 else True}, "IP checksums are right")
    return count


@case
def udp_segments():
    """USO: one long send with UDP_SEGMENT becomes datagrams of the asked size, cut by the device where it says it can."""
    offered = wire.near.features().get("tx-udp-segmentation")
    before = segmented(wire.near)
    for version in (4, 6):
        for size, total in ((1000, 20000), (1472 if version == 4 else 1452, 40000), (100, 6000), (1200, 1204)):
            usend(version, size, total)
    if offered and before is not None:
        at_least(segmented(wire.near) - before, 8, "packets that the device cut")


@case
def udp_without_offload():
    """Control: with USO off the same datagrams arrive and the device cuts nothing."""
    if wire.near.features().get("tx-udp-segmentation"):
        wire.near.feature(tx_udp_segmentation=False)
    before = segmented(wire.near)
    usend(4, 1000, 20000)
    if before is not None:
        equal(segmented(wire.near) - before, 0, "packets that the device cut with USO off")


main()
