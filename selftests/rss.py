#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Receive side scaling: each flow goes to the queue that key, table and Microsoft's definition of the hash say."""

# sets: quick
# vm: PORTS=1 CPUS=4

import ipaddress
import itertools
import random
import re
import time

from lib import Control, Injector, Wire, at_least, case, defer, equal, fails, main, note, setup, skip, true
from lib.genl import Netdev
from lib.packet import TCP, UDP, datagram, raw_frame

PACKETS = 12
wire = queues = None


@setup
def topology():
    global wire, queues
    wire = Wire()
    queues = Netdev(wire.near)
    defer(queues.close)
    if wire.near.queues()[0] < 4:
        skip(f"{wire.near} has fewer than 4 receive queues")


def toeplitz(key, data):
    """The hash as in Microsoft's RSS specification, bit by bit."""
    bits = int.from_bytes(key, "big")
    length, value = len(key) * 8, 0
    for place in range(len(data) * 8):
        if data[place // 8] & 0x80 >> place % 8:
            value ^= bits >> (length - 32 - place) & 0xFFFFFFFF
    return value


def table_and_key(context=None):
    out = wire.near.ethtool("-x", f"context {context}" if context else "").out
    entries = [int(word) for line in re.findall(r"^ *\d+: +([\d ]+)$", out, re.M) for word in line.split()]
    key = bytes.fromhex(re.search(r"(?:[0-9a-f]{2}:){39,}[0-9a-f]{2}", out).group(0).replace(":", ""))
    return entries, key


def flow(number, version, protocol=UDP):
    """Addresses and ports of the far and near side of a flow."""
    chance = random.Random(number * 8 + version)
    source = f"198.51.100.{chance.randrange(1, 250)}" if version == 4 else f"2001:db8:99::{chance.randrange(1, 65000):x}"
    return (source, wire.addresses(version)[0]), (chance.randrange(1024, 65000), chance.randrange(1024, 65000)), protocol


def entry(table, key, addresses, ports):
    """The table's entry for a flow; no ports where they are not part of the hash."""
    data = b"".join(ipaddress.ip_address(a).packed for a in addresses) + b"".join(p.to_bytes(2, "big") for p in ports)
    return table[toeplitz(key, data) % len(table)]


def expected(addresses, ports):
    return entry(*table_and_key(), addresses, ports)


def took(frames, enough=sum):
    """{queue: packets} that a burst from the far end made; enough(packets by queue) says how many of it have come."""
    before = queues.received()
    Injector(wire.far).send(*frames)
    end = time.monotonic() + 5
    while time.monotonic() < end:
        now = queues.received()
        moved = {n: now[n] - before.get(n, 0) for n in now if now[n] != before.get(n, 0)}
        if moved and enough(moved.values()) >= len(frames):
            return moved
        time.sleep(0.05)
    return moved


def frames_of(addresses, ports, protocol, count=PACKETS):
    return [datagram((wire.far.mac, wire.near.mac), addresses, ports, b"flow", protocol)] * count


def goes_to(addresses, ports, protocol, queue, what):
    # All on one queue: others may have a packet of the system's own meanwhile.
    moved = took(frames_of(addresses, ports, protocol), max)
    best = max(moved, key=moved.get) if moved else None
    equal(best, queue, f"queue of {what} ({moved})")
    at_least(moved[best], PACKETS, f"packets of {what} on queue {queue}")


def new_context(words):
    """A further context, until the end of the case."""
    made = wire.near.ethtool("-X", f"context new {words}", check=False)
    if made.status:
        skip(f"no contexts: {made.text}")
    context = re.search(r"is (\d+)", made.text).group(1)
    defer(wire.near.ethtool, "-X", f"context {context} delete", check=False)
    return context


def new_rule(words):
    """A steering rule, until the end of the case."""
    location = re.search(r"ID (\d+)", wire.near.ethtool("-N", f"flow-type udp4 {words}").text).group(1)
    defer(wire.near.ethtool, "-N", f"delete {location}", check=False)
    return location


@case
def flows_by_definition():
    """TCP and UDP flows over IPv4 and IPv6 land where the definition puts them."""
    table, key = table_and_key()
    note(f"{len(table)} entries over queues {sorted(set(table))}, key of {len(key)} bytes")
    for version, protocol in itertools.product((4, 6), (UDP, TCP)):
        wire.near.ethtool("-N", f"rx-flow-hash {'udp' if protocol == UDP else 'tcp'}{version} sdfn", check=False)
        # The key is another one after each boot: as many flows as it takes to have one for each queue.
        left = set(table)
        for number in range(500):
            addresses, ports, _ = flow(number, version, protocol)
            queue = entry(table, key, addresses, ports)
            if queue in left or number < 3:
                goes_to(addresses, ports, protocol, queue, f"flow {number} (IPv{version}, protocol {protocol})")
            left.discard(queue)
            if not left and number >= 3:
                break
        equal(left, set(), f"queues without a flow (IPv{version}, protocol {protocol})")


@case
def key_decides():
    """Another key gives another distribution, again by the definition; a key of the wrong length is refused."""
    _, old = table_and_key()
    defer(wire.near.ethtool, "-X", f"hkey {old.hex(':')}")
    new = bytes(random.Random(4).randrange(256) for _ in range(len(old)))
    wire.near.ethtool("-X", f"hkey {new.hex(':')}")
    equal(table_and_key()[1], new, "key that reads back")
    for number in range(6):
        addresses, ports, protocol = flow(number, 4)
        goes_to(addresses, ports, protocol, expected(addresses, ports), f"flow {number} with another key")
    fails(wire.near.ethtool("-X", f"hkey {new[:-1].hex(':')}", check=False), "a key that is too short")


@case
def table_decides():
    """`-X equal 2` uses two queues, `-X weight` the named ones, `-X default` all."""
    defer(wire.near.ethtool, "-X", "default")
    for words, allowed in (("equal 2", {0, 1}), ("start 2 equal 1", {2}), ("weight 0 1 0 1", {1, 3})):
        wire.near.ethtool("-X", words)
        equal(set(table_and_key()[0]), allowed, f"queues in the table after -X {words}")
        moved = took([f for n in range(24) for f in frames_of(*flow(n, 4), count=2)])
        stray = {q: n for q, n in moved.items() if q not in allowed and n > 3}
        equal(stray, {}, f"packets on other queues after -X {words} ({moved})")
    wire.near.ethtool("-X", "default")
    equal(len(set(table_and_key()[0])), wire.near.queues()[0], "queues in the default table")


@case
def fields_decide():
    """Hashing by address alone keeps flows of two hosts together whatever their ports."""
    before = wire.near.ethtool("-n", "rx-flow-hash udp4", check=False).out
    if "L4" not in before:
        wire.near.ethtool("-N", "rx-flow-hash udp4 sdfn")
    defer(wire.near.ethtool, "-N", "rx-flow-hash udp4 sdfn")
    wire.near.ethtool("-N", "rx-flow-hash udp4 sd")
    addresses, _, protocol = flow(1, 4)
    queue = expected(addresses, ())
    for ports in ((1000, 2000), (1001, 2000), (5555, 7)):
        goes_to(addresses, ports, protocol, queue, f"ports {ports} hashed by address")


@case
def not_ip_goes_first():
    """A frame that is not IP has no hash and takes the first entry."""
    table, _ = table_and_key()
    frame = raw_frame(wire.near.mac, wire.far.mac, b"no hash")
    moved = took([frame] * PACKETS)
    at_least(moved.get(table[0], 0), PACKETS, f"packets on queue {table[0]} ({moved})")


@case
def contexts():
    """A further context with its own table serves the flows that a rule sends to it, and goes when deleted."""
    context = new_context("start 3 equal 1")
    addresses, _, protocol = flow(3, 4)
    rule = wire.near.ethtool("-N", f"flow-type udp4 dst-port 4711 context {context}").text
    location = re.search(r"ID (\d+)", rule).group(1)
    defer(wire.near.ethtool, "-N", f"delete {location}", check=False)
    goes_to(addresses, (99, 4711), protocol, 3, "the flow of the rule")
    fails(wire.near.ethtool("-X", f"context {context} delete", check=False), "deleting a context that a rule uses")
    wire.near.ethtool("-N", f"delete {location}")
    wire.near.ethtool("-X", f"context {context} delete")
    fails(wire.near.ethtool("-x", f"context {context}", check=False), "reading a context that is gone")
    goes_to(addresses, (99, 4711), protocol, expected(addresses, (99, 4711)), "the same flow without the rule")


@case
def rules():
    """`ethtool -N`: a rule sends its flow to its queue or drops it, others go their way; deleted, all is as before."""
    if wire.near.ethtool("-n", check=False).status:
        skip("no n-tuple rules")
    wire.near.feature(ntuple_filters=True) if "ntuple-filters" in wire.near.features() else None
    addresses, ports, protocol = flow(5, 4)
    normal = expected(addresses, ports)
    other = (normal + 1) % 4
    added = wire.near.ethtool("-N", f"flow-type udp4 src-ip {addresses[0]} dst-port {ports[1]} action {other}").text
    location = re.search(r"ID (\d+)", added).group(1)
    goes_to(addresses, ports, protocol, other, "the rule's flow")
    goes_to(addresses, (ports[0], ports[1] ^ 1), protocol, expected(addresses, (ports[0], ports[1] ^ 1)), "a flow that the rule does not name")
    wire.near.ethtool("-N", f"delete {location}")
    goes_to(addresses, ports, protocol, normal, "the flow without its rule")
    drop = wire.near.ethtool("-N", f"flow-type udp4 dst-port {ports[1]} action -1").text
    defer(wire.near.ethtool, "-N", f"delete {re.search(r'ID ([0-9]+)', drop).group(1)}")
    before = wire.near.counters().get("rx_steering")
    moved = took(frames_of(addresses, ports, protocol))
    true(sum(moved.values()) < PACKETS, f"the dropped flow reaches a queue: {moved}")
    if before is not None:
        at_least(wire.near.counters()["rx_steering"] - before, PACKETS, "drops by rule that the device counts")


@case
def rules_outlive_a_refusal_of_features():
    """Where the device fails the k-th command as n-tuple rules are switched off with another feature, rules and features are as before."""
    control = Control()
    defer(control.close)
    defer(control.chaos)
    defer(wire.near.ethtool, "-K", "ntuple on rxvlan on")
    wire.near.feature(ntuple_filters=True, rx_vlan_offload=True)
    location = new_rule("dst-port 4711 action 1")
    kept = wire.near.features()
    for number in (1, 2):
        control.chaos(f"nic.fail-command={number}")
        fails(wire.near.ethtool("-K", "ntuple off rxvlan off", check=False), f"-K with command {number} failing")
        control.chaos()
        equal(wire.near.features(), kept, f"features after command {number} failed")
        true(f"Filter: {location}" in wire.near.ethtool("-n").out, f"the rule is there after command {number} failed")
        # To the core they are still wanted off, and asking for that again would change nothing.
        wire.near.ethtool("-K", "ntuple on rxvlan on")
    wire.near.ethtool("-K", "ntuple off rxvlan off")
    true(f"Filter: {location}" not in wire.near.ethtool("-n", check=False).out, "the rule has gone")


@case
def offsets_stay_within_channels():
    """What would lead a rule that adds to a context's queues beyond the last channel is refused: fewer channels, another table."""
    defer(wire.near.ethtool, "-L", f"combined {wire.near.queues()[0]}", check=False)
    if wire.near.queues()[0] != 4:
        wire.near.ethtool("-L", "combined 4")
    context = new_context("equal 2")
    fails(wire.near.ethtool("-N", f"flow-type udp4 dst-port 4711 context {context} action 3", check=False), "a rule to queues 3 and 4")
    # The tables of 3 and 4 channels have as many entries: they can stay.
    location = new_rule(f"dst-port 4711 context {context} action 2")
    fails(wire.near.ethtool("-L", "combined 3", check=False), "3 channels with a rule to queues 2 and 3")
    equal(wire.near.queues()[0], 4, "channels after the refusal")
    wire.near.ethtool("-N", f"delete {location}")
    location = new_rule(f"dst-port 4711 context {context} action 1")
    wire.near.ethtool("-L", "combined 3")
    fails(wire.near.ethtool("-X", f"context {context} equal 3", check=False), "a table that makes it queues 1 to 3")
    equal(set(table_and_key(context)[0]), {0, 1}, "queues of the context after the refusal")
    reached = took([f for n in range(24) for f in frames_of(flow(n, 4)[0], (n, 4711), UDP, 2)])
    at_least(sum(reached.get(queue, 0) for queue in (1, 2)), 48, f"packets of the rule on its queues ({reached})")
    wire.near.ethtool("-N", f"delete {location}")
    wire.near.ethtool("-X", f"context {context} equal 3")


@case
def offsets_to_the_first_context():
    """A rule that adds to the queues of context 0 keeps its table from spreading over all channels again."""
    defer(wire.near.ethtool, "-X", "default")
    fails(wire.near.ethtool("-N", "flow-type udp4 dst-port 4711 context 0 action 1", check=False), "a rule beyond the last channel")
    wire.near.ethtool("-X", "equal 2")
    location = new_rule(f"dst-port 4711 context 0 action {wire.near.queues()[0] - 2}")
    fails(wire.near.ethtool("-X", "default", check=False), "all channels, and more")
    equal(set(table_and_key()[0]), {0, 1}, "queues in the table after the refusal")
    wire.near.ethtool("-N", f"delete {location}")
    wire.near.ethtool("-X", "default")


@case
def symmetric_contexts_stay_so():
    """A symmetric context takes no fields of one end only, and a context with such fields does not become symmetric."""
    hashed = "rx-flow-hash udp4 {} context {}"
    context = new_context("equal 4")
    if wire.near.ethtool("-X", f"context {context} xfrm symmetric-xor", check=False).status:
        skip("no symmetric hashing")
    for fields in ("s", "sdf"):
        fails(wire.near.ethtool("-N", hashed.format(fields, context), check=False), f"fields {fields} of a symmetric context")
    wire.near.ethtool("-N", hashed.format("fn", context))
    wire.near.ethtool("-X", f"context {context} xfrm none")
    for fields in ("s", "sdf"):
        wire.near.ethtool("-N", hashed.format(fields, context))
        for transform in ("symmetric-xor", "symmetric-or-xor"):
            fails(wire.near.ethtool("-X", f"context {context} xfrm {transform}", check=False), f"{transform} with fields {fields}")
    wire.near.ethtool("-N", hashed.format("sd", context))
    wire.near.ethtool("-X", f"context {context} xfrm symmetric-or-xor")


@case
def rule_refused():
    """A queue that there is not, and a location beyond the table, are refused."""
    count = wire.near.queues()[0]
    fails(wire.near.ethtool("-N", f"flow-type udp4 dst-port 1 action {count + 100}", check=False), "a rule to a queue that there is not")
    fails(wire.near.ethtool("-N", "flow-type udp4 dst-port 1 action 0 loc 99999999", check=False), "a rule beyond the table")
    fails(wire.near.ethtool("-X", f"equal {count + 100}", check=False), "a table over queues that there are not")


main()
