#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Statistics: all the places where a packet is counted agree with each other and with the far end of the wire."""

# sets: quick
# vm: PORTS=1

import time

from lib import PF, Injector, VfEnd, Wire, at_least, case, defer, equal, main, note, ping, setup, skip, sysctl, true, until
from lib.genl import Netdev
from lib.packet import BROADCAST, raw_frame

GROUP = "33:33:00:00:77:77"
COUNT, SIZE = 200, 500
wire = None


@setup
def topology():
    global wire
    wire = Wire(addresses=False)
    # Nothing but what is sent on purpose.
    for link in (wire.near, wire.far):
        sysctl(f"net.ipv6.conf.{link.name}.disable_ipv6", 1, ns=link.ns)
        defer(sysctl, f"net.ipv6.conf.{link.name}.disable_ipv6", 0, ns=link.ns)
    time.sleep(1)


def settle():
    """Statistics by DMA are this much behind at most."""
    time.sleep(1.2)


def burst(sender, destination, source, count=COUNT, size=SIZE):
    injector, frame = Injector(sender), raw_frame(destination, source, b"count me", size=size)
    for _ in range(count // 20):
        injector.send(*[frame] * 20)
        time.sleep(0.002)


def all_views():
    kernel = Netdev(wire.near)
    try:
        return wire.near.stats(), kernel.totals(), kernel.received(), kernel.sent(), wire.near.counters(), wire.far.stats()
    finally:
        kernel.close()


def moved(before, after):
    return {key: after[key] - before[key] for key in after if isinstance(after[key], int) and key in before}


@case
def received_everywhere():
    """Frames from the wire: netdev, queues, device and far end count the same number and bytes."""
    settle()
    before = all_views()
    burst(wire.far, wire.near.mac, wire.far.mac)
    settle()
    after = all_views()
    link, queues, device = moved(before[0]["rx"], after[0]["rx"]), moved(before[1], after[1]), moved(before[4], after[4])
    equal((link["packets"], link["bytes"]), (COUNT, COUNT * SIZE), "netdev: packets, bytes")
    equal((queues["rx"], queues["rx_bytes"]), (COUNT, COUNT * SIZE), "queue statistics in sum: packets, bytes")
    equal(sum(moved(before[2], after[2]).values()), COUNT, "queue statistics, each")
    equal(moved(before[5]["tx"], after[5]["tx"])["packets"], COUNT, "far end: packets sent")
    if "rx_unicast" in device:
        equal((device["rx_unicast"], device["rx_multicast"], device["rx_broadcast"]), (COUNT, 0, 0), "device: uni-, multi-, broadcast")
        equal(device["rx_bytes"], COUNT * SIZE, "device: bytes")


@case
def sent_everywhere():
    """Frames to the wire: likewise."""
    settle()
    before = all_views()
    burst(wire.near, wire.far.mac, wire.near.mac)
    settle()
    after = all_views()
    link = moved(before[0]["tx"], after[0]["tx"])
    equal((link["packets"], link["bytes"]), (COUNT, COUNT * SIZE), "netdev: packets, bytes")
    equal(after[1]["tx"] - before[1]["tx"], COUNT, "queue statistics in sum")
    equal(sum(moved(before[3], after[3]).values()), COUNT, "queue statistics, each")
    equal(moved(before[5]["rx"], after[5]["rx"])["packets"], COUNT, "far end: packets received")
    device = moved(before[4], after[4])
    if "tx_unicast" in device:
        equal((device["tx_unicast"], device["tx_bytes"]), (COUNT, COUNT * SIZE), "device: frames, bytes")


@case
def multicast_and_broadcast():
    """Kinds of address are counted apart."""
    wire.near.ip("allmulticast on")
    defer(wire.near.ip, "allmulticast off")
    settle()
    before, device = wire.near.stats()["rx"], wire.near.counters()
    burst(wire.far, GROUP, wire.far.mac, 60)
    burst(wire.far, BROADCAST, wire.far.mac, 40)
    settle()
    equal(wire.near.stats()["rx"]["packets"] - before["packets"], 100, "netdev: packets")
    if "rx_multicast" in device:
        now = moved(device, wire.near.counters())
        equal((now["rx_multicast"], now["rx_broadcast"]), (60, 40), "device: multi- and broadcast")
        equal(wire.near.stats()["rx"]["multicast"] - before["multicast"], 60, "netdev: multicast")


def groups():
    """ethtool's standard statistics: {"eth-mac": {...}, "rmon": {...}}."""
    return wire.near.ethtool("-S", "--groups eth-mac rmon", parse=True)[0]


@case
def standard_groups():
    """ethtool's MAC and RMON statistics count exactly what passed, in the right histogram bucket, FCS included in bytes."""
    settle()
    before = groups()
    burst(wire.far, wire.near.mac, wire.far.mac)
    burst(wire.near, wire.far.mac, wire.near.mac, 100, 1514)
    settle()
    after = groups()
    mac = moved(before.get("eth-mac", {}), after.get("eth-mac", {}))
    true(mac, f"the group eth-mac has numbers: {after}")
    equal((mac["FramesReceivedOK"], mac["FramesTransmittedOK"]), (COUNT, 100), "frames received and sent")
    equal((mac["OctetsReceivedOK"], mac["OctetsTransmittedOK"]), (COUNT * (SIZE + 4), 100 * 1518), "octets received and sent")
    for way, low, count in (("rx", 256, COUNT), ("tx", 1024, 100)):
        name = f"{way}-pktsNtoM"
        buckets = {b["low"]: b["val"] for b in after["rmon"].get(name, [])}
        old = {b["low"]: b["val"] for b in before["rmon"].get(name, [])}
        true(buckets, f"the group rmon has a histogram {name}: {after['rmon']}")
        equal({k: v - old[k] for k, v in buckets.items() if v != old[k]}, {low: count}, f"RMON histogram {way}")


@case
def drops_have_reasons():
    """A frame that nobody buffers is counted as dropped for lack of a buffer, not lost without a trace."""
    if "rx_no_buffer" not in wire.near.counters():
        skip("the driver names no drop counter")
    wire.near.ethtool("-G", "rx 64")
    if wire.near.queues()[0] > 1:
        wire.near.ethtool("-L", "combined 1")
        defer(wire.near.ethtool, "-L", "combined 4", check=False)
    frame = raw_frame(wire.near.mac, wire.far.mac, b"flood", size=1514)
    before, link = wire.near.counters(), wire.near.stats()["rx"]
    Injector(wire.far).send(*[frame] * 3000)
    settle()
    now, after = moved(before, wire.near.counters()), wire.near.stats()["rx"]
    got, lost = after["packets"] - link["packets"], now["rx_no_buffer"]
    note(f"{got} received, {lost} dropped for lack of a buffer")
    equal(got + lost, 3000, "frames received and frames dropped")
    # rx_dropped also has what the stack drops; what the device had no buffer for is "missed".
    equal(after["missed_errors"] - link["missed_errors"], lost, "missed frames in the netdev's statistics")


@case
def counters_survive_changes():
    """No counter goes back when channels change, the netdev goes down and up, or the function is reset."""
    burst(wire.far, wire.near.mac, wire.far.mac)
    burst(wire.near, wire.far.mac, wire.near.mac)
    settle()
    before, kernel = (wire.near.stats(), wire.near.counters()), Netdev(wire.near)
    defer(kernel.close)
    totals = kernel.totals()

    def check(when):
        link, device = wire.near.stats(), wire.near.counters()
        for way in ("rx", "tx"):
            for key, value in before[0][way].items():
                at_least(link[way][key], value, f"{way} {key} after {when}")
        for key, value in before[1].items():
            if key.startswith(("rx_", "tx_")) and "queue" not in key and key in device:
                at_least(device[key], value, f"{key} after {when}")
        now = kernel.totals()
        for key, value in totals.items():
            at_least(now[key], value, f"queue statistics {key} after {when}")

    wire.near.ethtool("-L", "combined 1")
    defer(wire.near.ethtool, "-L", "combined 4", check=False)
    check("a change of channels")
    wire.near.ethtool("-L", "combined 4")
    check("another")
    wire.near.down()
    wire.near.up()
    check("down and up")
    if PF().driver == "oxnic":
        PF().write("reset", 1)
        wire.near.wait_carrier()
        settle()
        check("a reset")


@case
def vf_statistics():
    """What a VF sends is counted by the VF, and by the PF under the VF's number (`ip -s link`)."""
    PF().with_vfs(1)
    vf = VfEnd(0)
    wire.far.address("192.0.2.2/24")
    ping(wire.far4, ns=vf.ns)

    def of_pf():
        stats = wire.near.show()["vfinfo_list"][0].get("stats", {})
        true(stats, "`ip -s link` shows statistics of the VF")
        return stats["tx"].get("packets", stats["tx"].get("tx_packets"))

    def counts():
        """What the VF and the PF have counted, with nothing sent between the two readings."""
        own = vf.link.stats()["tx"]["packets"]
        settle()
        seen = of_pf()
        return (own, seen) if vf.link.stats()["tx"]["packets"] == own else None

    own, seen = until(counts, "the VF is quiet for a moment")
    ping(wire.far4, ns=vf.ns, count=50)
    own_after, seen_after = until(counts, "the VF is quiet for a moment")
    at_least(own_after - own, 50, "packets that the VF counts as sent")
    equal(seen_after - seen, own_after - own, "packets of the VF that the PF counts")


main()
