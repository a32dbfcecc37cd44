#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The eswitch's mode and representors: what a VF sends arrives at its representor and the other way round, and nowhere else."""

# sets: quick
# alone: in_time
# debug: mode
# vm: PORTS=1 MEM=4G

import json
import os
import time

from lib import (
    PF, Capture, Control, Injector, VfEnd, Wire, at_least, at_most, case, defer, equal, fails, ip, main, note, ping, setup, sh, skip, tcp,
    true, until,
)
from lib.eswitch import HANDLE, devlink, eswitch, port_names, representor, representors, set_mode, switchdev
from lib.packet import TEST_TYPE, raw_frame

CHANGE = 1.0  # seconds that a change of the mode may take with 128 VFs
DEBUG = os.environ.get("KERNEL") == "debug"
wire = None


@setup
def topology():
    global wire
    wire = Wire()


def is_mine(body):
    return lambda parsed: parsed.kind == TEST_TYPE and parsed.payload.startswith(body)


def ends(vfs):
    """The VFs' netdevs in namespaces, with carrier."""
    return [VfEnd(vf) for vf in range(vfs)]


@case
def mode():
    """The mode is set and reads back; VFs keep their netdevs, representors come and go."""
    vfs = PF().with_vfs(2)
    before = [open(f"/sys/class/net/{vf.link().name}/ifindex").read() for vf in vfs]
    equal((eswitch()["mode"], representors()), ("legacy", {}), "mode and representors at first")
    defer(set_mode, "legacy")
    for wanted in ("switchdev", "switchdev_inactive", "switchdev", "legacy", "switchdev_inactive", "legacy"):
        set_mode(wanted)
        equal(eswitch()["mode"], wanted, "mode that reads back")
        names = [] if wanted == "legacy" else ["pf0vf0", "pf0vf1"]
        equal(sorted(representors()), names, f"representors in mode {wanted}")
    after = [open(f"/sys/class/net/{vf.link().name}/ifindex").read() for vf in vfs]
    equal(after, before, "netdevs of the VFs")
    ping(wire.far4)


@case
def names():
    """Ports are listed with their flavours; all netdevs of the eswitch show its id."""
    links = switchdev(2)
    ports = {k: v for k, v in devlink("port show")["port"].items() if k.startswith(HANDLE + "/")}
    physical = [v for v in ports.values() if v["flavour"] == "physical"]
    virtual = sorted((v for v in ports.values() if v["flavour"] == "pcivf"), key=lambda v: v["vfnum"])
    equal([v["netdev"] for v in physical], [wire.near.name], "physical ports")
    equal([(v["pfnum"], v["vfnum"], v["netdev"]) for v in virtual], [(0, n, links[n].name) for n in range(2)], "ports of VFs")
    ids = {link.read("phys_switch_id") for link in (wire.near, *links)}
    true(len(ids) == 1 and "" not in ids and None not in ids, f"one switch id: {ids}")
    equal(port_names()[wire.near.read("phys_port_name")], wire.near.name, "netdev of the wire port")
    equal(len({link.mac for link in links}), 2, "different addresses of the representors")


@case
def slow_path():
    """A VF and its representor reach each other, by IPv4, IPv6 and TCP, and nobody else hears of it."""
    first, second = switchdev(2)
    vf, other = ends(2)
    first.address("192.0.2.50/32", "2001:db8:0::50/128")
    ip(["route", "add", vf.address4, "dev", first.name])
    ip(["-6", "route", "add", vf.address6, "dev", first.name])
    elsewhere = [Capture(link) for link in (second, other.link, wire.far, wire.near)]
    ping(vf.address4, options=["-I", "192.0.2.50"])
    ping("192.0.2.50", ns=vf.ns)
    ping("2001:db8:0::50", ns=vf.ns)
    tcp("192.0.2.50", client_ns=vf.ns, size="4M")
    tcp("192.0.2.50", client_ns=vf.ns, size="4M", reverse=True)
    for capture in elsewhere:
        capture.expect_none("a frame of the VF", lambda p: vf.link.mac in (p.source, p.destination))


@case
def nobody_else():
    """A frame goes to the other end whatever its address: that of another VF, of the PF, of the far end, broadcast."""
    links = switchdev(2)
    vfs = ends(2)
    addresses = [vfs[1].link.mac, wire.near.mac, wire.far.mac, "ff:ff:ff:ff:ff:ff", "02:77:00:00:00:01"]
    captures = {link: Capture(link) for link in (*links, *(vf.link for vf in vfs), wire.near, wire.far)}
    for number, address in enumerate(addresses):
        body = b"from vf 0, %d" % number
        Injector(vfs[0].link).send(raw_frame(address, vfs[0].link.mac, body))
        captures[links[0]].expect(f"a frame to {address}", is_mine(body))
    body = b"to vf 1"
    Injector(links[1]).send(raw_frame(vfs[1].link.mac, links[1].mac, body))
    captures[vfs[1].link].expect("a frame to the VF", is_mine(body))
    for link, capture in captures.items():
        capture.expect_none("a frame that is for another", lambda p: is_mine(b"from vf 0")(p) or is_mine(b"to vf 1")(p), 0.5)


@case
def uplink():
    """The PF's netdev is the wire's representor: it reaches the far end, and gets frames for VFs too."""
    switchdev(1)
    vf = ends(1)[0]
    ping(wire.far4)
    ping(wire.far6)
    capture, theirs = Capture(wire.near), Capture(vf.link)
    Injector(wire.far).send(raw_frame(vf.link.mac, wire.far.mac, b"for the vf"))
    capture.expect("a frame from the wire for the VF", is_mine(b"for the vf"))
    theirs.expect_none("a frame from the wire", is_mine(b"for the vf"))


@case
def bridged():
    """Representors and uplink in a bridge: the VFs reach each other and the far end, as Linux forwards it."""
    links = switchdev(2)
    vfs = ends(2)
    if ip("link add sdbridge type bridge", check=False).status != 0:
        skip("the kernel has no bridge")
    defer(ip, "link del sdbridge", check=False)
    ip(["address", "del", f"{wire.near4}/24", "dev", wire.near.name])
    defer(ip, ["address", "replace", f"{wire.near4}/24", "dev", wire.near.name])
    for link in (*links, wire.near):
        link.ip("master sdbridge")
        defer(link.ip, "nomaster", check=False)
    ip("link set dev sdbridge up")
    until(lambda: ping(wire.far4, ns=vfs[0].ns, count=1, check=False, seconds=1) == 1, "the bridge forwards", 60)
    ping(vfs[1].address4, ns=vfs[0].ns)
    ping(wire.far6, ns=vfs[1].ns)
    tcp(vfs[1].address4, server_ns=vfs[1].ns, client_ns=vfs[0].ns, size="8M")
    tcp(wire.far4, server_ns=wire.ns, client_ns=vfs[1].ns, size="8M")


@case
def links_follow():
    """The carrier of a VF is that of its representor, and the other way round; the wire is no matter."""
    first, second = switchdev(2)
    vf, other = ends(2)
    for link in (first, second):
        link.wait_carrier()
    first.down()
    vf.link.wait_carrier(False)
    first.ip("up")
    vf.link.wait_carrier()
    vf.link.down()
    first.wait_carrier(False)
    vf.link.ip("up")
    first.wait_carrier()
    control = Control()
    defer(control.close)
    defer(control.do, "link", port=0, up=True)
    control.do("link", port=0, up=False)
    wire.near.wait_carrier(False)
    equal([link.carrier() for link in (first, second, vf.link, other.link)], [True] * 4, "carriers without one of the wire")
    control.do("link", port=0, up=True)
    wire.near.wait_carrier()


@case
def statistics():
    """A representor shows what its VF sent and received, and apart from it what the CPU handled."""
    link = switchdev(1)[0]
    vf = ends(1)[0]
    body, size, count = b"counted", 200, 50
    before = link.stats()
    capture = Capture(link)
    Injector(vf.link).send(*[raw_frame(link.mac, vf.link.mac, body, size=size)] * count)
    capture.expect("frames of the VF", is_mine(body), count)

    def seen():
        now = link.stats()
        return now["rx"]["packets"] - before["rx"]["packets"] >= count and now["rx"]["bytes"] - before["rx"]["bytes"] >= count * size

    until(seen, "what the VF sent is in the representor's receive counters")
    groups = json.loads(sh(f"ip -j stats show dev {link.name} group offload subgroup cpu_hit").out)
    handled = next(group["stats64"]["rx"]["packets"] for group in groups if group.get("subgroup") == "cpu_hit")
    at_least(handled, count, "packets that the CPU received")
    before = link.stats()["tx"]["packets"]
    Injector(link).send(*[raw_frame(vf.link.mac, link.mac, body, size=size)] * count)
    until(lambda: link.stats()["tx"]["packets"] >= before + count, "what the VF received is in the representor's transmit counters")


@case
def inactive():
    """In the inactive mode nothing passes; made active, it does, with the same netdevs."""
    link = switchdev(1, "switchdev_inactive")[0]
    vf = ends(1)[0]
    captures = [Capture(end) for end in (link, vf.link, wire.far, wire.near)]

    def send(body):
        for end in (link, vf.link, wire.far, wire.near):
            Injector(end).send(raw_frame("ff:ff:ff:ff:ff:ff", end.mac, body))

    send(b"inactive")
    for capture in captures:
        capture.expect_none("a frame", is_mine(b"inactive"))
    set_mode("switchdev")
    equal(representor(0).name, link.name, "representor afterwards")
    send(b"active")
    for capture in captures:
        capture.expect("a frame", is_mine(b"active"))


@case
def hw_addr():
    """`devlink port function` sets and shows a VF's address, and `ip link` shows the same."""
    link = switchdev(1)[0]
    address = "02:cc:00:00:00:07"
    sh(f"devlink port function set {link.name} hw_addr {address}")
    defer(wire.near.ip, "vf 0 mac 00:00:00:00:00:00", check=False)
    shown = next(iter(devlink(f"port show {link.name}")["port"].values()))
    equal(shown["function"]["hw_addr"], address, "address that devlink shows")
    equal(wire.near.show()["vfinfo_list"][0]["address"], address, "address that ip shows")
    wire.near.ip("vf 0 mac 02:cc:00:00:00:08")
    shown = next(iter(devlink(f"port show {link.name}")["port"].values()))
    equal(shown["function"]["hw_addr"], "02:cc:00:00:00:08", "address that devlink shows after ip has set it")
    refused = sh(f"devlink port function set {link.name} hw_addr 01:00:5e:00:00:01", check=False)
    fails(refused, "a multicast address for a VF")
    equal(wire.near.show()["vfinfo_list"][0]["address"], "02:cc:00:00:00:08", "address after the refusal")


@case
def refusals():
    """What the mode has no room for is refused, with a reason where the kernel lets one through, and changes nothing."""
    switchdev(1)
    before = wire.near.show()["vfinfo_list"][0]
    fails(wire.near.ip("vf 0 vlan 7", check=False), "a transparent VLAN in switchdev mode")
    fails(wire.near.ip("vf 0 spoofchk off", check=False), "the spoof check in switchdev mode")
    fails(wire.near.ip("vf 0 max_tx_rate 100", check=False), "a rate that is devlink's to set in switchdev mode")
    wire.near.ip("vf 0 trust on")
    wire.near.ip("vf 0 trust off")
    after = wire.near.show()["vfinfo_list"][0]
    equal([after[key] for key in ("vlan_list", "spoofchk", "rate")], [before[key] for key in ("vlan_list", "spoofchk", "rate")], "settings after the refusals")
    fails(sh(f"devlink dev eswitch set {HANDLE} inline-mode link", check=False), "an inline mode", "inline")
    equal(eswitch()["mode"], "switchdev", "mode after the refusals")


@case
def vfs_come_and_go():
    """VFs made in switchdev mode get representors; those of VFs that go, go."""
    defer(PF().set_vfs, 0)
    defer(set_mode, "legacy")
    set_mode("switchdev")
    for count in (3, 0, 1, 0):
        PF().set_vfs(count)
        equal(sorted(representors()), [f"pf0vf{vf}" for vf in range(count)], f"representors of {count} VFs")
        ping(wire.far4)
    equal([p for p in devlink("port show")["port"].values() if p["flavour"] == "pcivf"], [], "ports of VFs that are gone")


@case
def legacy_again():
    """After switchdev mode a VF reaches the wire as before, and what was laid on it is in force."""
    PF().with_vfs(1)
    wire.near.ip("vf 0 vlan 7")
    defer(wire.near.ip, "vf 0 vlan 0", check=False)
    defer(set_mode, "legacy")
    for wanted in ("switchdev", "legacy"):
        set_mode(wanted)
    vf = ends(1)[0]
    capture = Capture(wire.far)
    Injector(vf.link).send(raw_frame(wire.far.mac, vf.link.mac, b"laid"))
    found = capture.expect("a frame with the VF's tag", is_mine(b"laid"))[0]
    equal([tci & 0xFFF for _, tci in found.tags], [7], "VLAN on the wire")


@case
def recovery():
    """A reset of the device brings mode and representors back, with the same netdevs."""
    link = switchdev(1)[0]
    vf = ends(1)[0]
    link.wait_carrier()
    index = link.read("ifindex")
    control = Control()
    defer(control.close)
    generation = control.function()["generation"]
    control.do("reset-request", function=0)
    until(lambda: control.function()["generation"] > generation and control.function()["accepted"], "the PF has been reset", 60)
    link.wait_carrier()
    vf.link.wait_carrier()
    equal((eswitch()["mode"], link.read("ifindex")), ("switchdev", index), "mode and representor")
    capture = Capture(link)
    Injector(vf.link).send(raw_frame(wire.far.mac, vf.link.mac, b"after the reset"))
    capture.expect("a frame of the VF", is_mine(b"after the reset"))


@case
def way_to_legacy_fails():
    """A command on the way to legacy mode that is not answered, whichever: mode and representors are those of before, or the new ones."""
    switchdev(2)
    control = Control()
    defer(control.close)
    defer(control.chaos, "off")
    names = ["pf0vf0", "pf0vf1"]
    failed = 0
    for step in range(1, 40):
        result, met = control.meets(f"nic.command-silent={step}", lambda: set_mode("legacy", check=False))
        done = result.status == 0
        mode = "legacy" if done else "switchdev"
        until(lambda: control.function()["accepted"] and sorted(representors()) == ([] if done else names), f"representors in mode {mode}", 60)  # noqa: B023
        equal(eswitch()["mode"], mode, f"mode after a change with command {step} unanswered")
        failed += not done
        if done and not met:
            break
        until(lambda: set_mode("switchdev", check=False).status == 0, "switchdev mode", 60)
        PF().write("reset", 1)  # so that the driver counts resets anew
        equal(sorted(representors()), names, "representors again")
    at_least(failed, 1, "changes that have failed")
    ping(wire.far4)


@case
def in_time():
    """With 128 VFs the mode changes in time, there and back."""
    total = PF().total()
    PF().with_vfs(total)
    defer(set_mode, "legacy")
    took = {}
    for wanted in ("switchdev", "legacy"):
        start = time.monotonic()
        set_mode(wanted)
        took[wanted] = time.monotonic() - start
        equal(len(representors()), total if wanted == "switchdev" else 0, f"representors in mode {wanted}")
    note(f"{total} VFs: " + ", ".join(f"{name} in {seconds:.2f} s" for name, seconds in took.items()))
    if not DEBUG:
        at_most(max(took.values()), CHANGE, "seconds for a change of the mode")


main()
