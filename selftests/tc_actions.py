#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Actions of tc in the device whose packets come up: copies for listeners, ok, trap, marks, misses in the middle of chains."""

# sets: quick
# quick: sampled shared_policer accepted misses_go_on hw_stats_immediate
# debug: misses_go_on
# vm: PORTS=1 MEM=4G

import json
import os
import socket
import time

from lib import Capture, Control, Injector, at_least, at_most, case, defer, equal, fails, ip, main, ping, setup, sh, true, until
from lib.eswitch import offloading_wire, vfs_with_hooks
from lib.genl import Samples
from lib.packet import datagram
from lib.tc import counted, filter_add, filter_del, in_hw, packets, the_filter

# Whether software can go on in the chain where the device stopped (NET_TC_SKB_EXT).
CONTINUES = os.environ.get("KERNEL") == "debug"
SO_MARK, SO_RCVMARK = 36, 75

wire = None


@setup
def topology():
    global wire
    wire = offloading_wire()


def frame_to(vfs, port, payload=b"x" * 100):
    """A datagram from the first VF to the second, to a port."""
    macs = (vfs[0].link.mac, vfs[1].link.mac)
    return datagram(macs, (vfs[0].address4, vfs[1].address4), (9, port), payload)


def to_port(port):
    return lambda parsed: parsed.ports[1:] == (port,)


def through_the_host(links, vfs):
    """Addresses by which the first VF reaches the host at its representor, in a subnet of their own."""
    links[0].address("198.51.100.1/24")
    vfs[0].link.address("198.51.100.2/24")
    return "198.51.100.1"


@case
def sampled():
    """Listeners get copies with all that belongs to them, the receiver gets the packets, and the host's stack nothing."""
    links, vfs = vfs_with_hooks()
    redirect = f"action mirred egress redirect dev {links[1].name}"
    filter_add(links[0], ("pref 1 protocol ip", f"ip_proto udp dst_port 1000 action sample rate 1 group 7 cookie 0a0b0c {redirect}"))
    filter_add(links[0], ("pref 2 protocol ip", f"ip_proto udp dst_port 2000 action sample rate 1 group 8 trunc 60 {redirect}"))
    equal([in_hw(links[0], pref) for pref in (1, 2)], [True, True], "in_hw")
    whole, cut = Samples(7), Samples(8)
    theirs, stack = Capture(vfs[1].link), Capture(links[0])
    frames = {port: frame_to(vfs, port) for port in (1000, 2000)}
    for frame in frames.values():
        Injector(vfs[0].link).send(frame, frame, frame)
    index = links[0].show()["ifindex"]
    for listener, port, rest in ((whole, 1000, {"cookie": bytes.fromhex("0a0b0c")}), (cut, 2000, {})):
        frame = frames[port]
        data = frame if port == 1000 else frame[:60]
        for number, sample in enumerate(listener.take(3)):
            wanted = {"iif": index, "size": len(frame), "group": listener.group, "sequence": number, "rate": 1, "data": data, "protocol": 0x0800}
            equal({key: sample.get(key) for key in (*wanted, *rest)}, {**wanted, **rest}, f"sample of a datagram to port {port}")
            equal(sample.get("oif"), None, "interface that it left by")
    # Those to one port may come before those to the other: they are of two receive queues.
    found = [parsed.ports[1] for parsed in theirs.expect("all datagrams", lambda p: p.source == vfs[0].link.mac and p.ports, 6)]
    equal(sorted(found), [1000] * 3 + [2000] * 3, "ports of the datagrams")
    stack.expect_none("a datagram of the VF", lambda p: p.source == vfs[0].link.mac, 0.5)
    counted(links[0], 1, 3)
    filter_del(links[0], "pref 1")
    Injector(vfs[0].link).send(frames[1000])
    equal(whole.take(seconds=0.5), [], "samples when the rule has gone")


@case
def sampled_as_in_software():
    """A sample by the device has what one by software has."""
    links, vfs = vfs_with_hooks()
    sample = "action sample rate 1 group 9 trunc 80"
    # It brings psample along.
    filter_add(links[0], ("pref 9 protocol ip", f"dst_ip 203.0.113.9 {sample} action drop"))
    listener, seen = Samples(9), []
    for flags in ("skip_sw", "skip_hw"):
        filter_add(links[0], ("pref 1 protocol 802.1Q", f"vlan_id 5 {sample} action drop"), flags=flags)
        frame = datagram((vfs[0].link.mac, vfs[1].link.mac), (vfs[0].address4, vfs[1].address4), (9, 1000), bytes(200), tags=[(0x8100, 5)])
        Injector(vfs[0].link).send(frame)
        seen.append(listener.take(1)[0])
        filter_del(links[0], "pref 1")
    for one in seen:
        del one["sequence"]
    equal(seen[0], seen[1], "what a listener learns")


@case
def one_in_so_many():
    """With a rate, about that part of the packets is sampled."""
    links, vfs = vfs_with_hooks()
    filter_add(links[0], ("pref 1 protocol ip", "ip_proto udp action sample rate 4 group 7 action drop"))
    listener = Samples(7)
    Injector(vfs[0].link).send(*[frame_to(vfs, 1000)] * 400)
    counted(links[0], 1, 400)
    found = len(listener.take(seconds=1))
    # Five standard deviations.
    at_least(found, 57, "samples of 400 packets, one in 4")
    at_most(found, 143, "samples of 400 packets, one in 4")


@case
def trapped():
    """A trapped packet is seen at the representor, and goes nowhere else."""
    links, vfs = vfs_with_hooks()
    filter_add(links[0], ("pref 1 protocol ip", "ip_proto udp dst_port 1000 action trap"))
    filter_add(links[0], ("pref 2 protocol all", f"action mirred egress redirect dev {links[1].name}"))
    equal(in_hw(links[0], 1), True, "in_hw")
    here, there = Capture(links[0]), Capture(vfs[1].link)
    for port in (1000, 2000):
        Injector(vfs[0].link).send(frame_to(vfs, port))
    here.expect("the trapped datagram", to_port(1000))
    there.expect("the other datagram", to_port(2000))
    here.expect_none("the other datagram", to_port(2000), 0.5)
    there.expect_none("the trapped datagram", to_port(1000), 0.5)
    counted(links[0], 1, 1)


@case
def accepted():
    """What `ok` lets through in the device gets to the host, past the rules behind, also those of software."""
    links, vfs = vfs_with_hooks()
    host = through_the_host(links, vfs)
    for flags in ("skip_sw", ""):
        filter_add(links[0], ("pref 1 protocol all", "action ok"), flags=flags)
        filter_add(links[0], ("pref 2 protocol all", "action drop"), flags="skip_sw")
        filter_add(links[0], ("pref 3 protocol all", "action drop"), flags="skip_hw")
        equal(in_hw(links[0], 1), True, "in_hw")
        ping(host, ns=vfs[0].ns)
        if flags:
            counted(links[0], 1, 3)
        filter_del(links[0], "pref 1")
        equal(ping(host, ns=vfs[0].ns, check=False, seconds=1), 0, "answers without the rule that accepts")
        for pref in (2, 3):
            filter_del(links[0], f"pref {pref}")


@case
def marked():
    """A mark that a rule in the device gives is that of the packet in the stack."""
    links, vfs = vfs_with_hooks()
    host = through_the_host(links, vfs)
    filter_add(links[0], ("pref 1 protocol ip", "ip_proto udp dst_port 1000 action skbedit mark 77 action ok"))
    equal(in_hw(links[0], 1), True, "in_hw")
    seen = {}
    for port in (1000, 2000):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
            receiver.setsockopt(socket.SOL_SOCKET, SO_RCVMARK, 1)
            receiver.settimeout(20)
            receiver.bind((host, port))
            macs = (vfs[0].link.mac, links[0].mac)
            Injector(vfs[0].link).send(datagram(macs, ("198.51.100.2", host), (9, port), b"marked?"))
            _, control, _, _ = receiver.recvmsg(100, 100)
        marks = [data for level, kind, data in control if (level, kind) == (socket.SOL_SOCKET, SO_MARK)]
        seen[port] = [int.from_bytes(data, "little") for data in marks]
    equal(seen, {1000: [77], 2000: [0]}, "marks")
    counted(links[0], 1, 1)


@case
def prioritised():
    """A priority goes along with what is sent on, and changes nothing of the packet."""
    links, vfs = vfs_with_hooks()
    filter_add(links[0], ("pref 1 protocol ip", f"ip_proto udp action skbedit priority 5 action mirred egress redirect dev {links[1].name}"))
    equal(in_hw(links[0], 1), True, "in_hw")
    capture = Capture(vfs[1].link)
    frame = frame_to(vfs, 1000)
    Injector(vfs[0].link).send(frame)
    equal(capture.expect("the datagram", to_port(1000))[0].frame, frame, "the datagram")
    counted(links[0], 1, 1)
    fails(filter_add(links[0], ("pref 2 protocol ip", "action skbedit priority 5 action ok"), check=False), "a priority for the host", "priority")


@case
def misses_go_on():
    """What no rule of a later chain in the device takes goes on in software, at the right chain, once."""
    links, vfs = vfs_with_hooks()
    redirect = f"action mirred egress redirect dev {links[1].name}"
    filter_add(links[0], ("pref 1 protocol ip", "ip_proto udp action goto chain 1"), flags="")
    filter_add(links[0], ("chain 1 pref 1 protocol ip", f"ip_proto udp dst_port 1000 {redirect}"), flags="")
    filter_add(links[0], ("chain 1 pref 2 protocol ip", f"ip_proto udp dst_port 2000 {redirect}"), flags="skip_hw")
    # Not of all protocols: the VF's own stack speaks IPv6.
    filter_add(links[0], ("pref 2 protocol ip", "action drop"), flags="")
    equal([in_hw(links[0], 1), in_hw(links[0], 1, chain=1), in_hw(links[0], 2)], [True] * 3, "in_hw")
    there, here = Capture(vfs[1].link), Capture(links[0])
    for port in (1000, 2000, 3000):
        Injector(vfs[0].link).send(*[frame_to(vfs, port)] * 5)
    found = [parsed.ports[1] for parsed in there.expect("datagrams that are sent on", lambda p: p.ports[1:] in ((1000,), (2000,)), 10)]
    equal(sorted(found), [1000] * 5 + [2000] * 5, "ports of the datagrams that are sent on")
    there.expect_none("a datagram that no rule sends on", to_port(3000), 0.5)
    here.expect("datagrams that software looks at", to_port(3000), 5)
    here.expect_none("a datagram that the device has sent on", to_port(1000), 0.5)

    def seen():
        stats = the_filter(links[0], 1)["options"]["actions"][0]["stats"]
        return stats["packets"], stats.get("hw_packets", 0)

    # Each of the 15 datagrams counts once; those of software's are not the device's where the device takes back what it did.
    wanted = (15, 15) if CONTINUES else (15, 5)
    until(lambda: seen() == wanted, f"packets of the first rule, in all and in the device, are {wanted}", 5)
    equal(packets(links[0], 2), 0, "packets of the rule behind in the first chain")


@case
def misses_take_edits_along():
    """Where software can go on in a chain, it does so with the packet as the device has left it; elsewhere the rule is refused."""
    links, vfs = vfs_with_hooks()
    words = ("pref 1 protocol ip", "ip_proto udp dst_port 1000 action pedit ex munge udp dport set 4242 pipe action csum udp pipe action goto chain 7")
    if not CONTINUES:
        fails(filter_add(links[0], words, check=False), "goto chain without software", "chain")
        return
    filter_add(links[0], words)
    filter_add(links[0], ("chain 7 pref 1 protocol ip", f"ip_proto udp dst_port 4242 action mirred egress redirect dev {links[1].name}"), flags="skip_hw")
    filter_add(links[0], ("pref 2 protocol all", "action drop"), flags="skip_hw")
    capture = Capture(vfs[1].link)
    Injector(vfs[0].link).send(frame_to(vfs, 1000))
    found = capture.expect("the edited datagram", to_port(4242))[0]
    true(found.sum, "its checksum is right")
    counted(links[0], 1, 1)
    stats = the_filter(links[0], 1, chain=7)["options"]["actions"][0]["stats"]
    equal(stats["packets"], 1, "packets of the rule of software")


@case
def hw_stats():
    """`hw_stats delayed` is what the device does by itself, `disabled` takes no counter."""
    links, vfs = vfs_with_hooks()
    for pref, words in ((1, "disabled"), (2, "delayed"), (3, "")):
        stats = f" hw_stats {words}" if words else ""
        filter_add(links[0], (f"pref {pref} protocol ip", f"ip_proto udp dst_port {pref}000 action drop{stats}"))
    Injector(vfs[0].link).send(*[frame_to(vfs, port) for port in (1000, 2000, 3000)])
    counted(links[0], 2, 1)
    counted(links[0], 3, 1)
    equal(packets(links[0], 1), 0, "packets of a rule that does not count")
    used = [the_filter(links[0], pref)["options"]["actions"][0].get("used_hw_stats") for pref in (1, 2, 3)]
    equal(used, [["disabled"], ["delayed"], ["delayed"]], "used_hw_stats")


@case
def hw_stats_immediate():
    """With `hw_stats immediate` what is shown is what the device has counted at that moment, of rules and of actions by themselves."""
    links, vfs = vfs_with_hooks()
    redirect = f"mirred egress redirect dev {links[1].name}"
    shared(f"{redirect} index 47 hw_stats immediate skip_sw")
    for pref, action in ((1, f"{redirect} hw_stats immediate"), (2, "mirred index 47"), (3, redirect)):
        filter_add(links[0], (f"pref {pref} protocol ip", f"ip_proto udp dst_port {pref}000 action {action}"))
    capture, injector = Capture(vfs[1].link), Injector(vfs[0].link)
    for number in range(1, 11):
        for port, seen in ((1000, lambda: packets(links[0], 1)), (2000, lambda: shared_action("mirred", 47)["stats"].get("hw_packets", 0))):
            injector.send(frame_to(vfs, port))
            capture.expect("the datagram", to_port(port))
            equal(seen(), number, f"packets of port {port} that are shown at once")
    injector.send(frame_to(vfs, 1))
    used = [the_filter(links[0], pref)["options"]["actions"][0].get("used_hw_stats") for pref in (1, 2, 3)]
    equal(used, [["immediate"], ["immediate"], ["delayed"]], "used_hw_stats")
    equal(packets(links[0], 1), 10, "packets that the rule does not take")


@case
def counted_singly():
    """Where actions of a rule do not all get the same packets, each shows what it gets, as in software, by its own hw_stats."""
    links, vfs = vfs_with_hooks()
    redirect = f"mirred egress redirect dev {links[1].name}"
    police = "police pkts_rate 1 pkts_burst 5 conform-exceed drop/pipe"
    shared(f"{redirect} index 48 skip_sw")
    for pref, actions in (
        (1, f"action {police} action {redirect}"),
        (2, f"action {police} action mirred index 48"),
        (3, f"action {police} action mirred index 48"),
        (4, f"action vlan push id 5 hw_stats disabled action {redirect}"),
        (5, f"action drop action {redirect}"),
    ):
        filter_add(links[0], (f"pref {pref} protocol ip", f"ip_proto udp dst_port {pref}000 {actions}"))
        equal(in_hw(links[0], pref), True, f"pref {pref}: in_hw")
    sh(f"ip link set dev {wire.near.name} vf 1 trust on")
    vfs[1].link.ip("promisc on")
    capture, patient = Capture(vfs[1].link), Capture(vfs[1].link)
    # A bucket of packets is empty at first, as in software, and each second brings one.
    time.sleep(1.2)
    for pref in range(1, 6):
        Injector(vfs[0].link).send(*[frame_to(vfs, pref * 1000)] * 40)
    patient.expect("datagrams that come through without a policer", to_port(4000), count=40, seconds=20)
    arrived = [parsed.ports[1] // 1000 for parsed in capture.frames(lambda p: p.source == vfs[0].link.mac and p.ports, seconds=1)]
    came = [arrived.count(pref) for pref in range(1, 6)]
    equal(came[3:], [40, 0], "datagrams that come through without a policer")
    for number in came[:3]:
        at_least(number, 1, "datagrams that a policer lets through")
        at_most(number, 25, "datagrams that a policer lets through")
    wanted = {1: [40, came[0]], 2: [40, came[1] + came[2]], 3: [40, came[1] + came[2]], 4: [0, 40], 5: [40, 0]}

    def seen(pref):
        return [packets(links[0], pref, action=number) for number in (0, 1)]

    for pref in wanted:
        until(lambda p=pref: seen(p) == wanted[p], f"pref {pref}: packets of its actions are {wanted[pref]}", 5)
    filter_del(links[0], "pref 2")
    equal(seen(3), wanted[3], "packets of the actions of a rule when one that shares an action has gone")
    used = [action.get("used_hw_stats") for action in the_filter(links[0], 4)["options"]["actions"]]
    equal(used, [["disabled"], ["delayed"]], "used_hw_stats of single actions")


@case
def edits_behind_a_policer():
    """An action of pedit that sets and adds shows what gets to it, also where that is less than the rule takes."""
    links, vfs = vfs_with_hooks()
    redirect = f"action mirred egress redirect dev {links[1].name}"
    police = "action police mtu 500 conform-exceed drop/pipe"

    def edit(tos=0, words=""):
        return f"action pedit ex munge ip tos set {tos} munge ip ttl add 255 pipe {words} action csum ip4h pipe"

    rules = {1: f"{police} {edit()} {redirect}", 2: f"{police} {edit(words='hw_stats immediate')} {redirect}", 3: f"{police} {edit()} {edit(4)} {redirect}"}
    for pref, actions in rules.items():
        filter_add(links[0], (f"pref {pref} protocol ip", f"ip_proto udp dst_port {pref}000 {actions}"))
        equal(in_hw(links[0], pref), True, f"pref {pref}: in_hw")
    # The kernel takes one number for both.
    other = filter_add(links[0], ("pref 4 protocol ip", f"{edit()} {police} {edit()} {redirect}"), check=False)
    fails(other, "two actions of pedit that set and add, before and behind a policer", "pedit")
    capture = Capture(vfs[1].link)
    for times in (1, 2):
        for pref in rules:
            short, long = (frame_to(vfs, pref * 1000, bytes(size)) for size in (100, 900))
            Injector(vfs[0].link).send(*[short] * 4, *[long] * 3)
            capture.expect("datagrams that the policer lets through", to_port(pref * 1000), 4)

        def seen(pref):
            actions = the_filter(links[0], pref)["options"]["actions"]
            # The kernel shows nothing of a device for csum.
            return [action["stats"]["packets"] for action in actions if action["kind"] != "csum"]

        for pref in rules:
            wanted = [7 * times, *[4 * times] * (1 + rules[pref].count("action pedit"))]
            until(lambda: seen(pref) == wanted, f"pref {pref}: packets of its actions are {wanted}", 5)  # noqa: B023
    used = [the_filter(links[0], pref)["options"]["actions"][1].get("used_hw_stats") for pref in rules]
    equal(used, [["delayed"], ["immediate"], ["delayed"]], "used_hw_stats of edits")


def shared(words, check=True):
    """An action by itself, until the end of the case."""
    result = sh(f"tc actions add action {words}".split(), check=check)
    kind, index = words.split()[0], words.split("index ")[1].split()[0]
    if result.status == 0:
        defer(sh, f"tc actions del action {kind} index {index}", check=False)
    return result


def shared_action(kind, index):
    """What tc shows of it."""
    shown = json.loads(sh(f"tc -s -j actions list action {kind}").out)
    return next(action for group in shown for action in group.get("actions", []) if action["index"] == index)


@case
def shared_policer():
    """Rules that name one policer share its bucket; a change is felt at once; it shows what all of them have counted."""
    links, vfs = vfs_with_hooks()
    shared("police pkts_rate 1 pkts_burst 5 conform-exceed drop/pipe index 40 skip_sw")
    equal(shared_action("police", 40).get("in_hw_count"), 1, "in_hw_count")
    for pref, port in ((1, 1000), (2, 2000)):
        words = f"ip_proto udp dst_port {port} action police index 40 action mirred egress redirect dev {links[1].name}"
        filter_add(links[0], (f"pref {pref} protocol ip", words))
    capture = Capture(vfs[1].link)
    for port in (1000, 2000):
        Injector(vfs[0].link).send(*[frame_to(vfs, port)] * 40)
    counted(links[0], 2, 40)
    either = lambda p: p.ports[1:] in ((1000,), (2000,))  # noqa: E731
    # Its bucket starts empty, and holds 5.
    came = len(capture.frames(either, seconds=1))
    at_most(came, 25, "datagrams of 80, by a policer of one in a second")
    until(lambda: shared_action("police", 40)["stats"].get("hw_packets", 0) == 80, "the policer shows the packets of both rules", 5)
    sh("tc actions change action police pkts_rate 100000 pkts_burst 1000 conform-exceed drop/pipe index 40 skip_sw")
    time.sleep(0.2)
    Injector(vfs[0].link).send(*[frame_to(vfs, 1000)] * 40)
    capture.expect("all datagrams by the policer as it is now", either, 40)
    # What the device has not told of by itself is read together with the deletion.
    filter_del(links[0], "pref 1")
    filter_del(links[0], "pref 2")
    stats = shared_action("police", 40)["stats"]
    equal((stats.get("hw_packets", 0), stats["drops"]), (120, 80 - came), "packets and drops of rules that have gone")


@case
def shared_by_rules():
    """Other actions by themselves serve rules too; a change that they cannot follow is refused, and they go on as before."""
    links, vfs = vfs_with_hooks()
    shared("gact drop index 41 skip_sw")
    shared(f"mirred egress redirect dev {links[1].name} index 42 skip_sw")
    fails(shared("mirred egress redirect dev lo index 43 skip_sw", check=False), "a redirect to lo by itself")
    filter_add(links[0], ("pref 1 protocol ip", "ip_proto udp dst_port 1000 action gact index 41"))
    filter_add(links[0], ("pref 2 protocol ip", "ip_proto udp action mirred index 42"))
    capture = Capture(vfs[1].link)

    def drops():
        Injector(vfs[0].link).send(frame_to(vfs, 1000), frame_to(vfs, 2000))
        capture.expect("the datagram that is sent on", to_port(2000))
        capture.expect_none("the datagram that is dropped", to_port(1000), 0.5)

    drops()
    for kind, index in (("gact", 41), ("mirred", 42)):
        equal(shared_action(kind, index).get("in_hw_count"), 1, f"in_hw_count of {kind}")
        until(lambda k=kind, i=index: shared_action(k, i)["stats"].get("hw_packets", 0) == 1, f"{kind} shows the packet of its rule", 5)
    fails(sh("tc actions change action mirred egress redirect dev lo index 42 skip_sw", check=False), "a change to a redirect to lo")
    drops()
    for pref in (1, 2):
        filter_del(links[0], f"pref {pref}")


def complaints(kind, index):
    """Lines of the kernel log about a change of an action that rules do not follow."""
    return sh(f"dmesg | grep -c 'action {kind}.* index {index}: ' || true").out.strip()


@case
def changed_in_a_rule():
    """Rules follow a change of an action that one of them has brought as far as they can, and one that they cannot follow the log tells of."""
    links, vfs = vfs_with_hooks()
    sh(f"ip link set dev {wire.near.name} vf 1 trust on")
    vfs[1].link.ip("promisc on")
    capture = Capture(vfs[1].link)
    # For each action its kind, and versions: words, whether the device follows, tags of a datagram that then passes.
    actions = [
        ("police", [("mtu 50 conform-exceed drop/pipe", None, None), ("mtu 50 conform-exceed pipe/pipe", False, None)]),
        (
            "police",
            [
                ("mtu 50 conform-exceed drop/pipe", None, None),
                ("mtu 2000 conform-exceed drop/pipe", True, []),
                ("mtu 2000 conform-exceed drop/drop", False, []),
                ("mtu 50 conform-exceed drop/pipe", True, None),
            ],
        ),
        ("vlan", [("push id 5", None, [5]), ("push id 6", False, [5]), ("push id 5", False, [5])]),
    ]
    for index, (kind, versions) in enumerate(actions, 61):
        refused = 0
        for words, taken, tags in versions:
            action = f"action {kind} {words} index {index}"
            if taken is None:
                rule = f"ip_proto udp dst_port 1000 {action} action mirred egress redirect dev {links[1].name}"
                filter_add(links[0], (f"pref {index} protocol ip", rule), flags="")
            else:
                sh(f"tc actions change {action}")
                refused += not taken
                equal(shared_action(kind, index).get("in_hw_count", 0), int(taken), f"{action}: in_hw_count")
            equal(in_hw(links[0], index), True, f"{action}: in_hw of the rule")
            equal(complaints(kind, index), str(refused), f"{action}: lines of the log")
            Injector(vfs[0].link).send(frame_to(vfs, 1000))
            if tags is None:
                capture.expect_none(action, to_port(1000), 0.5)
            else:
                found = capture.expect(action, to_port(1000))[0]
                equal(found.vids(), tags, f"{action}: tags of the datagram")
        filter_del(links[0], f"pref {index}")


@case
def shared_and_let_go():
    """Where a change is refused, rules go on with the action as it was, and all that it has told of packets is told once."""
    links, vfs = vfs_with_hooks()
    shared(f"mirred egress redirect dev {links[1].name} index 44 skip_sw")
    filter_add(links[0], ("pref 1 protocol ip", "ip_proto udp dst_port 1000 action vlan push id 5 action mirred index 44"))
    told = lambda: shared_action("mirred", 44)["stats"].get("hw_packets", 0)  # noqa: E731
    both = lambda: [packets(links[0], 1, action=action) for action in (0, 1)]  # noqa: E731
    for number, count in enumerate((3, 8)):
        Injector(vfs[0].link).send(*[frame_to(vfs, 1000)] * (3 + 2 * number))
        # tc asks about the action alone, and not about the rule.
        until(lambda n=count: told() == n, f"the action shows {count} packets", 5)
        if not number:
            fails(sh("tc actions change action mirred egress redirect dev lo index 44 skip_sw", check=False), "a change to a redirect to lo")
            equal((both(), told()), ([3, 3], 3), "packets of both actions of the rule, and of the one by itself, after the change")
    until(lambda: both() == [8, 8], "both actions show 8 packets", 5)
    time.sleep(0.3)
    equal((both(), told()), ([8, 8], 8), "packets of both actions, and of the one by itself, in the end")
    filter_del(links[0], "pref 1")
    equal(told(), 8, "packets of the action when the rule is gone")


@case
def counted_up_to_a_change():
    """What came just before an action is changed is counted by the actions that it met, also where some are not reached any more."""
    links, vfs = vfs_with_hooks()
    shared("police pkts_rate 100000 pkts_burst 1000 conform-exceed drop/pipe index 60 skip_sw")
    shared(f"mirred egress redirect dev {links[1].name} index 61 skip_sw")
    filter_add(links[0], ("pref 1 protocol ip", "ip_proto udp dst_port 1000 action police index 60 action mirred index 61"))
    capture = Capture(vfs[1].link)
    for number in range(1, 5):
        Injector(vfs[0].link).send(*[frame_to(vfs, 1000)] * 20)
        capture.expect("datagrams", to_port(1000), 20)
        for verdict in ("drop", "pipe"):
            sh(f"tc actions change action police pkts_rate 100000 pkts_burst 1000 conform-exceed drop/{verdict} index 60 skip_sw")
        both = lambda: [shared_action(*one)["stats"].get("hw_packets", 0) for one in (("police", 60), ("mirred", 61))]  # noqa: E731
        until(lambda n=number: both() == [20 * n] * 2, f"both actions show {20 * number} packets", 5)
        time.sleep(0.1 * number / 3)
    filter_del(links[0], "pref 1")


@case
def miss_in_a_bridge():
    """What misses in a later chain, where software has no rules at all, starts in the first chain of the interface that it leaves by."""
    links, vfs = vfs_with_hooks()
    ip("link add over type bridge")
    defer(ip, "link del over", check=False)
    for link in links:
        ip(f"link set {link.name} master over")
        defer(ip, f"link set {link.name} nomaster", check=False)
    ip("link set over up")
    flags = "skip_sw" if CONTINUES else "skip_hw"
    filter_add(links[0], ("pref 1 protocol ip", "ip_proto udp action goto chain 5"), flags=flags)
    filter_add(links[0], ("chain 5 pref 1 protocol ip", "ip_proto udp dst_port 2000 action drop"), flags=flags)
    filter_add(links[1], ("pref 1 protocol ip", "ip_proto udp dst_port 3000 action drop"), side="egress", flags="skip_hw")
    capture = Capture(vfs[1].link)
    until(lambda: Injector(vfs[0].link).send(frame_to(vfs, 4000)) or capture.frames(to_port(4000), 1, 1), "the bridge forwards")
    for port in (2000, 3000, 4000):
        Injector(vfs[0].link).send(frame_to(vfs, port))
    capture.expect("the datagram that no rule drops", to_port(4000))
    capture.expect_none("a datagram that a rule drops", lambda p: p.ports[1:] in ((2000,), (3000,)), 0.5)


@case
def last_used():
    """An action by itself was last used when the last of its packets came, whichever rule took it, and whenever somebody asks."""
    links, vfs = vfs_with_hooks()
    shared(f"mirred egress redirect dev {links[1].name} index 46 skip_sw")
    for pref in (1, 2):
        filter_add(links[0], (f"pref {pref} protocol ip", f"ip_proto udp dst_port {pref}000 action mirred index 46"))
    capture = Capture(vfs[1].link)

    def send(port):
        Injector(vfs[0].link).send(frame_to(vfs, port))
        capture.expect("the datagram", to_port(port))

    def seen():
        stats = shared_action("mirred", 46)
        return stats["stats"].get("hw_packets", 0), stats.get("last_used", 0)

    # The rule whose packet came first is not that which was laid first.
    send(2000)
    time.sleep(6)
    send(1000)
    time.sleep(0.5)
    count, ago = seen()
    equal(count, 2, "packets")
    at_most(ago, 4, "seconds since the last packet, of two rules")
    # Nobody asks before the rule has gone.
    send(1000)
    filter_del(links[0], "pref 1")
    time.sleep(6)
    count, ago = seen()
    equal(count, 3, "packets of a rule that has gone")
    at_least(ago, 5, "seconds since the last packet, of a rule that has gone")


@case
def shared_and_named_twice():
    """A rule may name an action by itself twice in a row, and follows it in both places."""
    links, vfs = vfs_with_hooks()
    sh(f"ip link set dev {wire.near.name} vf 1 trust on")
    vfs[1].link.ip("promisc on")
    shared("vlan push id 5 index 49 skip_sw")
    named = "action vlan index 49"
    filter_add(links[0], ("pref 1 protocol ip", f"ip_proto udp dst_port 1000 {named} {named} action mirred egress redirect dev {links[1].name}"))
    capture = Capture(vfs[1].link)
    for number in (5, 6):
        if number == 6:
            sh("tc actions change action vlan push id 6 index 49 skip_sw")
        Injector(vfs[0].link).send(frame_to(vfs, 1000))
        found = capture.expect(f"the datagram with tags {number}", lambda p: p.source == vfs[0].link.mac and to_port(1000)(p))[0]
        equal(found.vids(), [number, number], "tags")
    filter_del(links[0], "pref 1")


@case
def shared_and_half_changed():
    """Whatever of a policer's change the device refuses, rate and verdicts are those from before, or the new ones."""
    links, vfs = vfs_with_hooks()
    control = Control()
    defer(control.close)
    defer(control.chaos)
    # Each lets the frame pass, and no mixture of both does.
    before, after = "mtu 2000 conform-exceed drop/pipe", "mtu 50 conform-exceed pipe/drop"
    capture = Capture(vfs[1].link)
    refused = {}
    for fault in ("fail-command", "fail-request"):
        for count in range(1, 9):
            shared(f"police {before} index 45 skip_sw")
            filter_add(links[0], ("pref 1 protocol ip", f"ip_proto udp dst_port 1000 action police index 45 action mirred egress redirect dev {links[1].name}"))
            control.chaos(f"nic.{fault}={count}")
            changed = sh(f"tc actions change action police {after} index 45 skip_sw", check=False)
            control.chaos()
            Injector(vfs[0].link).send(frame_to(vfs, 1000))
            capture.expect(f"the frame after {fault} {count}", to_port(1000))
            filter_del(links[0], "pref 1")
            sh("tc actions del action police index 45")
            refused[fault] = count - 1
            if changed.status == 0:
                break
    # The meter; the rule.
    true(all(0 < count < 8 for count in refused.values()), f"requests that were refused: {refused}")


@case
def shared_and_changed():
    """Rules do what an action by itself does when that is changed, and what it has counted stays."""
    links, vfs = vfs_with_hooks()
    sh(f"ip link set dev {wire.near.name} vf 1 trust on")
    vfs[1].link.ip("promisc on")
    redirect = f"mirred egress redirect dev {links[1].name}"
    filter_add(links[0], ("pref 99 protocol ip", "action sample rate 1 group 5 action drop"))
    places = {"vf": Capture(vfs[1].link), "wire": Capture(wire.far), "cpu": Capture(links[0]), "sevens": Samples(7), "eights": Samples(8)}

    def tagged(tag):
        return lambda frame: frame[:12] + bytes([0x81, 0, 0, tag]) + frame[12:]

    def live(ttl):
        return lambda frame: frame[:22] + bytes([ttl]) + frame[23:]

    def as_it_is(frame):
        return frame

    # Kind, what stands behind it in the rule, and versions: words, where a frame then comes, and as what.
    cases = [
        ("gact", "", [("drop", None, None), ("trap", "cpu", as_it_is), ("drop", None, None)]),
        ("mirred", "", [(redirect.removeprefix("mirred "), "vf", as_it_is), (f"egress redirect dev {wire.near.name}", "wire", as_it_is)]),
        ("vlan", f"action {redirect}", [("push id 5", "vf", tagged(5)), ("push id 6", "vf", tagged(6)), ("pop", "vf", as_it_is)]),
        ("pedit", f"action {redirect}", [("ex munge ip ttl set 9 pipe", "vf", live(9)), ("ex munge ip ttl set 7 munge ip tos set 0 pipe", "vf", live(7))]),
        ("police", f"action {redirect}", [("mtu 2000 conform-exceed drop/pipe", "vf", as_it_is), ("mtu 50 conform-exceed drop/pipe", None, None), ("mtu 50 conform-exceed pipe/drop", "vf", as_it_is)]),
        ("sample", "action drop", [("rate 1 group 7", "sevens", as_it_is), ("rate 1 group 8", "eights", as_it_is)]),
    ]
    for number, (kind, behind, versions) in enumerate(cases):
        index, port = 50 + number, 1000 + number
        frame = frame_to(vfs, port)
        for count, (words, place, form) in enumerate(versions, 1):
            if count == 1:
                shared(f"{kind} {words} index {index} skip_sw")
                filter_add(links[0], (f"pref {number + 1} protocol ip", f"ip_proto udp dst_port {port} action {kind} index {index} {behind}"))
            else:
                sh(f"tc actions change action {kind} {words} index {index} skip_sw")
            equal(shared_action(kind, index).get("in_hw_count"), 1, f"{kind} {words}: in_hw_count")
            Injector(vfs[0].link).send(frame)
            if place in ("sevens", "eights"):
                equal(places[place].take(1)[0]["data"], frame, f"{kind} {words}: sample")
            elif place:
                wanted = form(frame)
                places[place].expect(f"{kind} {words}", lambda p, w=wanted: p.frame == w)
            else:
                for place in ("vf", "cpu"):
                    places[place].expect_none(f"{kind} {words}", to_port(port), 0.3)
            until(lambda k=kind, i=index, n=count: shared_action(k, i)["stats"].get("hw_packets", 0) == n, f"{kind} shows {count} packets", 5)
        filter_del(links[0], f"pref {number + 1}")


main()
