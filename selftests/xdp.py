#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""XDP in the driver: every verdict, packets of several buffers, redirection, and what a program must outlive."""

# sets: quick
# quick: dropped transmitted several_buffers mtu_under_program aborted metadata outlives on_a_vf
# vm: PORTS=1

import json
import os
import struct

from lib import PF, Capture, Injector, Stream, VfEnd, Wire, at_least, case, defer, equal, fails, main, ping, setup, sh, true, until
from lib.packet import datagram

PORT = 7009  # as in xdp.bpf.c
SINGLE_MTU = 3498  # largest MTU whose packets are in one buffer
OBJECT = "/tmp/xdp.bpf.o"
wire = None


@setup
def topology():
    global wire
    source = os.path.join(os.path.dirname(os.path.realpath(__file__)), "xdp.bpf.c")
    sh(f"clang -O2 -g -Wall -target bpf -I/usr/include/x86_64-linux-gnu -c {source} -o {OBJECT}")
    wire = Wire()
    wire.far.ethtool("-K", "gro off", check=False)


def attach(link, name, check=True, force=False):
    """Attach to the driver until the end of the case; replaces what is there with force."""
    words = ["ip", *(["-force"] if force else []), "link", "set", "dev", link.name, "xdpdrv", "object", OBJECT, "program", name]
    result = sh(words, ns=link.ns, check=check)
    if result.status == 0:
        defer(detach, link, check=False)
    return result


def detach(link, check=True):
    link.ip("xdpdrv off", check=check)


def program(link):
    """What is attached: its name, or None."""
    return link.show().get("xdp", {}).get("prog", {}).get("name")


def counted(link, what):
    """A counter of all channels."""
    return sum(value for name, value in link.counters().items() if name.endswith(what) and name[0] in "rt" and name[2].isdigit())


def frames(size, number=1, destination=None, source_port=7010):
    """Datagrams from the far end to the port that programs look at."""
    payload = bytes((n * 13 + size) & 0xFF for n in range(size))
    macs = (wire.far.mac, destination or wire.near.mac)
    return [datagram(macs, (wire.far4, wire.near4), (source_port, PORT), payload)] * number, payload


def back(parsed):
    return parsed.ports == (PORT, 7010)


def drops(link, number=20, destination=None):
    """The program attached drops what is for it, counts it, and lets pass the rest."""
    before = counted(link, "_xdp_drop")
    Injector(wire.far).send(*frames(100, number, destination)[0])
    until(lambda: counted(link, "_xdp_drop") >= before + number, f"{number} packets are counted as dropped by the program")
    equal(counted(link, "_xdp_drop"), before + number, "packets that the program dropped")


def bounces(size):
    """A datagram comes back from the driver, with right checksums, addresses swapped, and unharmed."""
    sent, payload = frames(size)
    capture = Capture(wire.far)
    Injector(wire.far).send(*sent)
    got = capture.expect(f"a datagram of {size} bytes that comes back", back)[0]
    equal((got.source, got.destination), (wire.near.mac, wire.far.mac), "addresses of what came back")
    equal((got.ip_sum, got.sum), (True, True), f"checksums of a datagram of {size} bytes that came back")
    true(payload in got.frame, f"a datagram of {size} bytes came back changed")


@case
def attach_under_traffic():
    """Attaching, replacing and detaching under traffic: it goes on each time, and the name shown is that of what is attached."""
    stream = Stream(wire.near, wire.far, wire.near4, wire.far4)
    for _ in range(3):
        attach(wire.near, "pass")
        equal(program(wire.near), "pass", "the program attached")
        stream.resumes()
        attach(wire.near, "drop", force=True)
        equal(program(wire.near), "drop", "the program attached after the replacement")
        stream.resumes()
        detach(wire.near)
        equal(program(wire.near), None, "the program attached after detaching")
        stream.resumes()
    fails(sh(f"ip link set dev {wire.near.name} xdpoffload object {OBJECT} program pass", check=False), "offloading a program")


@case
def dropped():
    """What a program drops is counted and goes nowhere; the rest passes. Without the program, it arrives."""
    attach(wire.near, "drop")
    capture = Capture(wire.near)
    drops(wire.near, 50)
    capture.expect_none("a datagram that the program has dropped", lambda p: p.ports == (7010, PORT))
    ping(wire.far4)
    detach(wire.near)
    Injector(wire.far).send(*frames(100)[0])
    capture.expect("a datagram without the program", lambda p: p.ports == (7010, PORT))


@case
def transmitted():
    """What a program sends back arrives whole with right checksums, next to the stack's own traffic."""
    attach(wire.near, "tx")
    for size in (0, 1, 17, 18, 19, 200, 256, 1000, 1471, 1472):
        bounces(size)
    # Little of it, for each frame is looked at.
    stream = Stream(wire.near, wire.far, wire.near4, wire.far4, rate="1M")
    before, capture = counted(wire.near, "_xdp_frames"), Capture(wire.far)
    injector = Injector(wire.far)
    for _ in range(20):
        injector.send(*frames(600, 25)[0])
    found = capture.expect("500 datagrams that come back", back, 500, 30)
    equal({(p.ip_sum, p.sum) for p in found}, {(True, True)}, "checksums under traffic")
    at_least(counted(wire.near, "_xdp_frames") - before, 500, "frames counted as sent for the program")
    stream.resumes()


@case
def several_buffers():
    """With MTU 9000 only xdp.frags programs are taken; their packets come back whole, grow, and pass."""
    wire.far.set_mtu(9000)
    wire.near.set_mtu(9000)
    fails(attach(wire.near, "tx", check=False), "a program for single buffers with MTU 9000", f"MTU 9000 is over {SINGLE_MTU}")
    equal(program(wire.near), None, "the program after the refusal")
    attach(wire.near, "tx_frags")
    for size in (10, 3478, 3479, 4000, 6998, 7040, 8000, 8972):
        bounces(size)
    fails(attach(wire.near, "tx", check=False, force=True), "its replacement by one for single buffers", str(SINGLE_MTU))
    attach(wire.near, "grow", force=True)
    for size in (100, 3400, 3478, 5000, 8000):
        capture = Capture(wire.near)
        sent, payload = frames(size)
        Injector(wire.far).send(*sent)
        if size in (3400, 3478):  # hardly any room is left in the only buffer
            continue
        got = capture.expect(f"a datagram of {size} bytes that has grown", lambda p: p.ports == (7010, PORT))[0]
        equal(len(got.frame), len(sent[0]) + 200, "its length")
        true(payload in got.frame and got.frame.endswith(bytes(200)), "a datagram was changed as it grew")
    ping(wire.far4, size=8000)


@case
def mtu_under_program():
    """Under a program for single buffers the MTU goes up to the limit and no further, and what is refused changes nothing."""
    attach(wire.near, "drop")
    wire.near.set_mtu(SINGLE_MTU)
    drops(wire.near)
    fails(wire.near.ip(f"mtu {SINGLE_MTU + 1}", check=False), "one more byte of MTU")
    equal(wire.near.mtu, SINGLE_MTU, "the MTU after the refusal")
    true("is not xdp.frags" in sh("dmesg | tail -5").out, "the log says why")
    drops(wire.near)
    ping(wire.far4)


@case
def aborted():
    """What a program aborts, or decides in a way that does not exist, is dropped and counted."""
    sh("echo 'oxnic-expect: Illegal XDP return value' > /dev/kmsg")
    for name in ("abort_it", "unknown"):
        attach(wire.near, name, force=True)
        before = counted(wire.near, "_xdp_aborted")
        Injector(wire.far).send(*frames(100, 10)[0])
        until(lambda: counted(wire.near, "_xdp_aborted") >= before + 10, "10 aborted packets are counted")  # noqa: B023
        ping(wire.far4)


def send_to(link, source):
    """The redirecting program's target."""
    maps = json.loads(sh("bpftool -j map show").out)
    number = max(entry["id"] for entry in maps if entry.get("name") == "target")
    index = int(link.read("ifindex"))
    value = struct.pack("=I", index) + bytes.fromhex((source + wire.far.mac).replace(":", ""))
    words = " ".join(str(byte) for byte in value)
    sh(f"bpftool map update id {number} key 0 0 0 0 value {words}")


@case
def redirected():
    """What a program on the PF redirects to a VF's netdev leaves by the VF, long frames too; and from the VF to the PF."""
    vf = PF().with_vfs(1)[0].link()
    vf.ip("up")
    vf.wait_carrier()
    for link in (wire.far, wire.near, vf):
        link.set_mtu(9000)
    for here, there in ((wire.near, vf), (vf, wire.near)):
        attach(here, "redirect")
        send_to(there, there.mac)
        for size in (20, 1400, 5000, 8900):
            sent, payload = frames(size, 10, here.mac)
            before, capture = counted(there, "_xdp_frames"), Capture(wire.far)
            Injector(wire.far).send(*sent)
            found = capture.expect(
                f"datagrams of {size} bytes redirected from {here} to {there}",
                lambda p: p.ports == (7010, PORT) and p.source == there.mac,  # noqa: B023
                10,
            )
            equal({(p.ip_sum, p.sum, payload in p.frame) for p in found}, {(True, True, True)}, "their checksums and contents")
            equal(counted(there, "_xdp_frames") - before, 10, f"frames that {there} sent for programs")
        there.ip("down")
        Injector(wire.far).send(*frames(100, 5, here.mac)[0])
        ping(wire.far4) if here is wire.near else None
        there.ip("up")
        there.wait_carrier()
        detach(here)


@case
def metadata():
    """What a program puts in front of a packet is with it in the stack, for short and long packets."""
    sh(f"tc qdisc add dev {wire.near.name} clsact")
    defer(sh, f"tc qdisc del dev {wire.near.name} clsact")
    sh(f"tc filter add dev {wire.near.name} ingress bpf direct-action object-file {OBJECT} section tc")
    equal(ping(wire.far4, check=False, count=2, seconds=1), 0, "pings answered without metadata")
    attach(wire.near, "meta")
    for size in (56, 300, 1400):
        ping(wire.far4, size=size)


@case
def outlives():
    """A program is there and works after a reset, changes of rings, channels and MTU, and down and up."""
    attach(wire.near, "drop")
    PF().write("reset", 1)
    wire.near.wait_carrier()
    drops(wire.near)
    for option, words, undo in (("-G", "rx 256 tx 256", "rx 1024 tx 1024"), ("-L", "combined 1", "combined 4")):
        wire.near.ethtool(option, words)
        defer(wire.near.ethtool, option, undo)
        drops(wire.near)
    wire.near.set_mtu(2000)
    drops(wire.near)
    wire.near.down()
    equal(program(wire.near), "drop", "the program while the netdev is down")
    wire.near.up()
    drops(wire.near)
    equal(program(wire.near), "drop", "the program at the end")


@case
def while_down():
    """A program is attached, replaced and detached while the netdev is down."""
    wire.near.down()
    defer(wire.near.up)
    attach(wire.near, "pass")
    attach(wire.near, "drop", force=True)
    wire.near.up()
    drops(wire.near)
    wire.near.down()
    detach(wire.near)
    wire.near.up()
    ping(wire.far4)


@case
def on_a_vf():
    """A VF has all of it, too; a program that is attached when the VF goes away goes with it."""
    PF().with_vfs(1)
    vf = VfEnd(0)
    attach(vf.link, "drop")
    drops(vf.link, destination=vf.link.mac)
    ping(wire.far4, ns=vf.ns)
    vf.function.write("reset", 1)
    until(lambda: ping(wire.far4, ns=vf.ns, count=1, check=False, seconds=1) == 1, "the VF reaches the wire after a reset")
    drops(vf.link, destination=vf.link.mac)
    vf.function.unbind()
    vf.function.bind("oxnic")


main()
