#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Checksum offload: what is sent has right checksums on the wire, and wrong ones are told from right ones on receive."""

# sets: quick
# vm: PORTS=1 PCAP=1

import os
import re
import socket
import subprocess

from lib import Capture, Injector, Wire, at_least, case, defer, equal, main, note, setup, sh, skip, tcp, tcpdump_verdict, true, until
from lib.pace import fewer
from lib.packet import TCP, UDP, datagram

LENGTHS = [0, 1, 2, 3, 17, 18, 19, 20, 63, 64, 255, 256, 1000, 1001, 1451, 1452]
wire = None


@setup
def topology():
    global wire
    wire = Wire()


def payload(size):
    return bytes((n * 37 + size) & 0xFF for n in range(size))


def udp_sock(version, near=True):
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_DGRAM)
    defer(sock.close)
    sock.bind((wire.addresses(version)[0], 0))
    return sock


def send_and_capture(version):
    """Datagrams of many lengths from the near side, as the far end sees them."""
    far = wire.addresses(version)[1]
    sh(["ping", "-c1", far])  # the neighbour is known from here on
    sock, capture = udp_sock(version), Capture(wire.far)
    for size in LENGTHS:
        sock.sendto(payload(size), (far, 7100))
    found = capture.expect("datagrams", lambda p: p.protocol == UDP and p.ports[1:] == (7100,), len(LENGTHS))
    equal([len(p.payload) for p in found], LENGTHS, "lengths of payload")
    for parsed, size in zip(found, LENGTHS, strict=True):
        equal(parsed.payload, payload(size), f"payload of {size} bytes")
        equal(parsed.sum, True, f"UDP checksum over IPv{version} with {size} bytes is right")
        equal(parsed.ip_sum, None if version == 6 else True, "IP header checksum is right")


@case
def transmit_udp():
    """UDP of all lengths over IPv4 and IPv6 leaves with right checksums, inserted by the device."""
    wire.near.feature(tx_checksumming=True) if "tx-checksumming" in wire.near.features() else None
    before = wire.near.counters().get("tx_csum")
    for version in (4, 6):
        send_and_capture(version)
    if before is not None:
        at_least(wire.near.counters()["tx_csum"] - before, 2 * len(LENGTHS), "checksums that the device inserted")


@case
def transmit_without_offload():
    """Control: with the offload off the checksums are right too, and the device inserts none."""
    wire.near.ethtool("-K", "tx off")
    defer(wire.near.ethtool, "-K", "tx on")
    before = wire.near.counters().get("tx_csum")
    send_and_capture(4)
    send_and_capture(6)
    if before is not None:
        equal(wire.near.counters()["tx_csum"] - before, 0, "checksums that the device inserted with the offload off")


@case
def transmit_tcp_by_tcpdump():
    """A TCP stream each way over both IP versions: tcpdump at the far end finds no wrong checksum, nor does the kernel there."""
    path = "/tmp/csum.pcap"
    dump = subprocess.Popen(
        ["ip", "netns", "exec", wire.ns.name, "tcpdump", "-i", wire.far.name, "-w", path, "-Q", "in", "-U", "tcp"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )
    defer(dump.kill)
    until(lambda: "listening" in (dump.stderr.readline() or "listening"), "tcpdump listens")
    for version in (4, 6):
        near, far = wire.addresses(version)
        tcp(far, server_ns=wire.ns, size="1M")
        tcp(near, client_ns=wire.ns, size="1M")
    dump.terminate()
    dump.wait()
    wrong, packets = tcpdump_verdict(path)
    at_least(packets, fewer(1000), "packets in the capture")
    equal(wrong, [], "what tcpdump finds wrong")
    counts = sh("nstat -asz TcpInCsumErrors", ns=wire.ns).out
    equal(re.findall(r"TcpInCsumErrors\s+(\d+)", counts), ["0"], "TcpInCsumErrors at the far end")


@case
def outside_capture_is_clean():
    """The device's own recording of the wire, read by tcpdump, has no wrong checksum either."""
    folder = os.environ.get("OXNIC_PCAP")
    if not folder:
        skip("the wire is not recorded")
    send_and_capture(4)
    wrong, packets = until(lambda: (v := tcpdump_verdict(f"{folder}/port0.pcap"))[1] > 2 * len(LENGTHS) and v, "packets in the recording")
    equal(wrong, [], f"what tcpdump finds wrong in {packets} packets outside the guest")


def receive(version, protocol, good, tags=()):
    """Send ten segments from the far end with right or wrong checksums; (datagrams that arrived, errors the kernel counted)."""
    near, far = wire.addresses(version)
    macs = (wire.far.mac, wire.near.mac)
    name = {UDP: "Udp", TCP: "Tcp"}[protocol]
    stat = f"{name}{'6' if version == 6 and protocol == UDP else ''}InCsumErrors"
    read = lambda: int(re.search(rf"{stat}\s+(\d+)", sh(f"nstat -asz {stat}").out).group(1))  # noqa: E731
    sock = udp_sock(version)
    sock.settimeout(0.5)
    port = sock.getsockname()[1] if protocol == UDP else 9
    before = read()
    frames = [
        datagram(macs, (far, near), (7200, port), payload(100 + n), protocol, tags, break_sum=0 if good else 1 << (n % 15 + 1))
        for n in range(10)
    ]
    Injector(wire.far).send(*frames)
    arrived = 0
    try:
        while arrived < 10:
            data = sock.recv(4096)
            equal(data, payload(len(data)), "payload")
            arrived += 1
    except TimeoutError:
        pass
    return arrived, read() - before


@case
def receive_good():
    """Right checksums are accepted."""
    for version in (4, 6):
        equal(receive(version, UDP, True), (10, 0), f"(datagrams, checksum errors) over IPv{version}")
        equal(receive(version, TCP, True)[1], 0, f"TCP checksum errors over IPv{version}")


@case
def receive_bad():
    """Wrong checksums do not reach a socket: the kernel counts them, and so does the device where it verifies."""
    before = wire.near.counters().get("rx_csum_bad")
    for version in (4, 6):
        equal(receive(version, UDP, False), (0, 10), f"(datagrams, checksum errors) over IPv{version}")
        equal(receive(version, TCP, False)[1], 10, f"TCP checksum errors over IPv{version}")
    if before is not None:
        equal(wire.near.counters()["rx_csum_bad"] - before, 40, "wrong checksums that the device counts")


@case
def receive_without_offload():
    """Control: with the offload off the kernel verifies by itself, with the same result."""
    wire.near.ethtool("-K", "rx off")
    defer(wire.near.ethtool, "-K", "rx on")
    for version in (4, 6):
        equal(receive(version, UDP, True), (10, 0), f"right checksums over IPv{version}")
        equal(receive(version, UDP, False), (0, 10), f"wrong checksums over IPv{version}")


@case
def receive_zero_udp():
    """IPv4 UDP without a checksum is accepted; a header checksum of IPv4 that is wrong is not."""
    near, far = wire.addresses(4)
    sock = udp_sock(4)
    sock.settimeout(1)
    frame = datagram((wire.far.mac, wire.near.mac), (far, near), (7200, sock.getsockname()[1]), b"no checksum", zero_sum=True)
    Injector(wire.far).send(frame)
    equal(sock.recv(100), b"no checksum", "the datagram without a checksum")
    broken = bytearray(frame)
    broken[24] ^= 0x40
    Injector(wire.far).send(bytes(broken))
    try:
        true(False, f"a datagram with a wrong IP header arrived: {sock.recv(100)!r}")
    except TimeoutError:
        note("dropped, as it must be")


main()
