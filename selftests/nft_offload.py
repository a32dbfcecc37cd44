#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Chains of nftables with `flags offload`: what they say is done by the device, in their order, and never otherwise than by software.

OXNIC_FLOW_SEED and OXNIC_FLOW_SECONDS are as `lib.trial` says.
"""

# sets: quick
# quick: verdicts order refusals with_tc random_rules
# vm: PORTS=1 MEM=4G

import time

from lib import PF, Control, Failure, at_least, case, defer, equal, fails, main, note, setup, sh, true, until
from lib.dice import Dice
from lib.eswitch import HANDLE, devlink
from lib.frames import arp, frame, icmp, ip4, ip6, other_type, tcp, udp
from lib.nft import TABLE, Chain, gone, nft, refused
from lib.packet import QINQ, TEST_TYPE, VLAN
from lib.rules import device_rules, objects
from lib.stage import Stage, trial_mac
from lib.trial import MOST, SECONDS, SEED

stage = None


@setup
def topology():
    global stage
    stage = Stage(3, hooks=False)
    defer(gone)


def chain(*devices, **options):
    """An empty chain on representors (on the first VF's, if none is said), until the end of the case."""
    made = Chain([stage.names[name] for name in devices or ("R0",)], **options)
    defer(gone)
    return made


def to(name):
    return stage.names[name]


def came(frames, origin="vf0"):
    """Place to how many frames came there."""
    seen = stage.watch(frames, devs=(), origin=origin)
    return {place: sum(counter.values()) for place, counter in seen.frames.items() if counter}


def reasons():
    """Reasons to refuse rules that the driver has logged."""
    return sh("dmesg | grep 'rules refused:' || true").out.splitlines()


def one(packet, number=1, tags=()):
    return frame(packet, trial_mac(number), tags=tags)


@case
def verdicts():
    """drop and fwd, alone and behind copies, are the device's alone; accept is the host's, and its copies are made once."""
    made = chain()
    r1, r2, wire = to("R1"), to("R2"), to("WIRE")
    made.add(
        'udp dport 1 counter drop comment "drop"',
        f'udp dport 2 counter fwd to {r1} comment "fwd"',
        'udp dport 3 counter accept comment "accept"',
        f'udp dport 4 counter dup to {r1} fwd to {wire} comment "dup fwd"',
        f'udp dport 5 counter dup to {r1} dup to {r2} drop comment "dup dup drop"',
        f'udp dport 6 counter dup to {r2} comment "dup"',
        f'udp dport 7 counter dup to {r2} accept comment "dup accept"',
    )
    wanted = {1: {}, 2: {"vf1": 3}, 3: {"cpu": 3}, 4: {"vf1": 3, "wire": 3}, 5: {"vf1": 3, "vf2": 3}, 6: {"cpu": 3, "vf2": 3}, 7: {"cpu": 3, "vf2": 3}, 8: {"cpu": 3}}
    for port, places in wanted.items():
        equal(came([one(ip4(udp(9, port)))] * 3), places, f"port {port}: what came")
    made.counted({name: 3 for name in made.order()})


@case
def without_offload():
    """The same chain without offload: the host sees every frame (what shows that the other cases can fail)."""
    made = chain(offload=False)
    made.add(f'udp dport 2 counter fwd to {to("R1")} comment "fwd"')
    equal(came([one(ip4(udp(9, 2)))] * 3), {"cpu": 3, "vf1": 3}, "what came")
    made.counted({"fwd": 3})


@case
def expressions():
    """Each expression that can be offloaded takes its frames in the device, which the host does not see, and no others."""
    made = chain()
    index = sh(["cat", f"/sys/class/net/{to('R0')}/ifindex"]).out.strip()
    other_index = sh(["cat", f"/sys/class/net/{to('R1')}/ifindex"]).out.strip()
    four, six = (lambda **o: one(ip4(udp(5, 6), **o))), (lambda **o: one(ip6(udp(5, 6), **o)))
    tagged = lambda *tags: one(ip4(udp(5, 6)), tags=tags)  # noqa: E731
    trials = [
        ("ether daddr 02:ee:00:00:01:00", one(ip4()), one(ip4(), 2)),
        ("ether saddr 02:ee:00:00:00:07", frame(ip4(), trial_mac(1), "02:ee:00:00:00:07"), frame(ip4(), trial_mac(1), "02:ee:00:00:00:08")),
        ("ether daddr & ff:ff:00:00:00:ff == 02:ee:00:00:00:05", frame(ip4(), trial_mac(9, 5)), frame(ip4(), trial_mac(9, 6))),
        (f"ether type {TEST_TYPE:#x}", one(other_type()), one(ip4())),
        ("meta protocol ip6", six(), four()),
        ("meta protocol arp", one(arp()), four()),
        ("meta l4proto icmp", one(ip4(icmp())), four()),
        ("meta l4proto udp", six(), one(ip6(tcp()))),
        (f"meta iif {index}", four(), None),
        (f"meta iif {other_index}", None, four()),
        ("meta iiftype ether", four(), None),
        ("ip saddr 203.0.113.1", four(source="203.0.113.1"), four(source="203.0.113.2")),
        ("ip daddr 203.0.113.1", four(destination="203.0.113.1"), four(destination="203.0.113.3")),
        ("ip saddr 203.0.113.0/25", four(source="203.0.113.100"), four(source="203.0.113.200")),
        ("ip daddr 203.0.0.0/16", four(destination="203.0.7.7"), four(destination="203.1.7.7")),
        ("ip daddr & 255.0.0.255 == 203.0.0.9", four(destination="203.7.7.9"), four(destination="203.7.7.8")),
        ("ip protocol tcp", one(ip4(tcp())), four()),
        ("ip6 saddr 2001:db8:7::1", six(source="2001:db8:7::1"), six(source="2001:db8:7::2")),
        ("ip6 daddr 2001:db8:7::/48", six(destination="2001:db8:7:8::2"), six(destination="2001:db8:8::2")),
        ("ip6 nexthdr tcp", one(ip6(tcp())), six()),
        ("tcp dport 80", one(ip6(tcp(1, 80))), one(ip4(udp(1, 80)))),
        ("tcp sport 80", one(ip4(tcp(80, 1))), one(ip4(tcp(1, 80)))),
        ("udp dport 53", one(ip4(udp(1, 53))), one(ip4(udp(1, 54)))),
        ("udp sport 53", one(ip6(udp(53, 1))), one(ip6(tcp(53, 1)))),
        ("ip saddr 203.0.113.1 udp dport 53", one(ip4(udp(1, 53), source="203.0.113.1")), one(ip4(udp(1, 53)))),
        ("vlan id 5", tagged((VLAN, 5)), tagged((VLAN, 6))),
        ("vlan id 5 ip daddr 203.0.113.1", one(ip4(destination="203.0.113.1"), tags=[(VLAN, 5)]), tagged((VLAN, 5))),
        ("ether type 8021ad vlan id 5", tagged((QINQ, 5)), tagged((VLAN, 5))),
    ]
    for expression, taken, left in trials:
        made.flush()
        made.add(f'{expression} counter fwd to {to("R1")} comment "it"')
        if taken:
            equal(came([taken] * 2), {"vf1": 2}, f"{expression}: frames that it takes")
        if left:
            equal(came([left]), {"cpu": 1}, f"{expression}: a frame that it does not take")
        made.counted({"it": 2 if taken else 0})


@case
def unclear():
    """Where offload does not know what the expression says of a frame, the host decides: tags before meta protocol, fragments, port 0."""
    made = chain()
    rule = f"counter fwd to {to('R1')}"
    trials = [
        ("meta protocol ip", one(ip4(), tags=[(VLAN, 5)]), 1),
        ("ether type ip", one(ip4(), tags=[(VLAN, 5)]), 0),
        ("udp dport 53", one(ip4(udp(1, 53), fragment=0x2000)), 1),
        ("udp dport 53", one(ip6(udp(1, 53), fragment=1)), 1),
        ("udp dport 53", one(ip4(udp(1, 53), fragment=0x0010)), 0),
        ("udp dport 0", one(ip4(udp(1, 0))), 1),
        ("udp dport 0", one(ip4(udp(1, 0), fragment=0x0010)), 0),
    ]
    for expression, packet, takes in trials:
        made.flush()
        made.add(f'{expression} {rule} comment "it"')
        seen = came([packet])
        equal(seen.get("vf1", 0), takes, f"{expression}: frames that it takes")
        made.counted({"it": takes})


@case
def order():
    """The position in the chain decides: at the end, behind another rule, after deletions, and after a transaction that failed."""
    made = chain()
    rule = lambda name, place, match="meta l4proto udp": f'{match} counter fwd to {to(place)} comment "{name}"'  # noqa: E731
    packet = [one(ip4(udp(9, 1)))]

    def wins(place, what):
        equal(came(packet), {place: 1}, what)

    made.add(rule("a", "R1"), rule("b", "R2", "udp dport 1"))
    wins("vf1", "the first of two")
    made.remove("a")
    wins("vf2", "the second one, alone")
    made.add(rule("a", "R1"))
    wins("vf2", "the one that was there, and the first one laid anew")
    nft(made.line(rule("c", "WIRE", "ip protocol udp"), after=made.handle("b")))
    equal(made.order(), ["b", "c", "a"], "the order that nft shows")
    made.remove("b")
    wins("wire", "the one laid behind the first, before the last")
    # What is deleted comes back where it was.
    text = refused(f"delete rule netdev trial c handle {made.handle('c')}\n" + made.line('counter fwd to lo comment "no"'))
    note(text.splitlines()[0])
    equal(made.order(), ["c", "a"], "the order after a transaction that failed")
    wins("wire", "the one that was deleted in a transaction that failed")
    # More than there is room for between two numbers.
    for number in range(40):
        nft(made.line(rule(f"n{number}", "R2", f"udp dport {1000 + number}"), after=made.handle("c")))
    equal(made.order()[1:41], [f"n{number}" for number in reversed(range(40))], "the order of many behind one")
    wins("wire", "the first of many")
    made.remove("c")
    wins("vf1", "the last of many")
    nft(made.line(rule("last", "R2", "udp dport 1"), after=made.handle("n0")))
    wins("vf2", "the one behind many")


@case
def flushed():
    """A chain that is flushed or deleted leaves nothing in the device, and can be made again on several interfaces."""
    for _ in range(2):
        made = Chain([to("R0"), to("R1")])
        made.add('counter drop comment "all"')
        equal(came([one(ip4())]), {}, "what came of a frame from the first VF")
        equal(came([one(ip4())], origin="vf1"), {}, "what came of a frame from the second VF")
        made.counted({"all": 2})
        made.flush()
        equal(came([one(ip4())]), {"cpu": 1}, "what came after the flush")
        made.add('counter drop comment "all"')
        equal(came([one(ip4())]), {}, "what came of a frame that is dropped again")
        made.flush()
        made.delete()
        equal(came([one(ip4())]), {"cpu": 1}, "what came without the chain")


@case
def refusals():
    """What cannot be offloaded is refused: by nft itself, or by the driver, which tells the log why; nothing is left."""
    made = chain()
    r1 = to("R1")
    made.add(f'udp dport 1 counter fwd to {r1} comment "stays"')
    kernel = ["ct state new", "limit rate 1/second", "udp dport { 1, 2 }", "udp dport 1-5", "udp dport != 5", "tcp flags syn", "icmp type 8", "ip ttl 5", "ip dscp 1"]
    for match in kernel:
        refused(made.line(f"{match} counter drop"))
    for rule in ("udp dport 7 dup to lo drop", "udp dport 7 fwd to lo"):
        before = len(reasons())
        refused(made.line(rule))
        true(any("no port of this eswitch" in line for line in reasons()[before:]), f"{rule}: the reason in the log")
    refused("insert rule netdev trial c counter drop")
    refused("add chain netdev trial d { type filter hook ingress device " + to("R2") + " priority 1; flags offload; policy drop; }")
    equal(made.order(), ["stays"], "rules that are left")
    equal(came([one(ip4(udp(1, 1)))] + [one(ip4(udp(1, 7)))] * 2), {"vf1": 1, "cpu": 2}, "what came")


ONLY_UP = "nothing: the rule itself only sends up"


@case
def brought_back():
    """A rule that a failed transaction brings back, and that the device refuses then, is missing: listed, and tried again; software does it meanwhile."""
    control = Control()
    defer(control.close)
    made = chain()
    made.add('udp dport 1 counter drop comment "first"', f'counter fwd to {to("R1")} comment "all"')
    frames = [one(ip4(udp(9, 1)))] * 4
    equal(came(frames), {}, "what came before")
    made.counted({"first": 4})
    rules = device_rules(control)["rules"]
    parts = [rule for rule in rules if rule["priority"] == min(rule["priority"] for rule in rules)]
    before = objects(control)

    def fail(faults):
        """A transaction that deletes the first rule, and fails with what comes next. Answers what devlink then has as missing."""
        defer(until, lambda: "missing_rules" not in said(), "nothing is missing any more", 60, pause=0.5)
        defer(control.chaos)
        control.chaos(faults)
        handle = made.handle("first")
        refused(f"delete rule {TABLE} {made.name} handle {handle}\n{made.line('udp dport 7 fwd to lo')}")
        equal(made.order(), ["first", "all"], "rules in the chain afterwards")
        return said().get("missing_rules", [])

    said = lambda: devlink(f"health diagnose {HANDLE} reporter rules")  # noqa: E731
    equal((fail("off"), objects(control)), ([], before), "what is missing if the device refuses nothing, and its objects")
    equal(came(frames), {}, "what came then")
    # Each part goes with one request, and what comes behind that is to bring them back.
    missing = fail(f"nic.fail-request={len(parts) + 1}+")
    equal(sorted((e["rule"], e["part"]) for e in missing), [(1, number) for number in range(len(parts))], "parts of the rule that are missing")
    for entry in missing:
        equal((entry["kind"], entry["state"]), ("nftables", "missing since a transaction failed"), f"kind and state of {entry}")
        true(entry["in_its_place"] == ONLY_UP or "nothing: device refuses the rule" in entry["in_its_place"], f"what stands in for it: {entry}")
    true(any(entry["in_its_place"] != ONLY_UP for entry in missing), f"a part that does more than to send up: {missing}")
    equal(len(device_rules(control)["rules"]), len(rules) - len(parts), "rules in the device")
    control.chaos()
    until(lambda: objects(control) == before, "the rule is tried again, and is back", 20)
    equal(came(frames), {}, "what came then")
    # One request fails, and so something can stand in where the part does more than to send up; the rule itself is refused until the end.
    for request in range(len(parts) + 1, 3 * len(parts) + 1):
        missing = fail(f"nic.fail-request={request},nic.fail-update=1+")
        if [entry for entry in missing if entry["in_its_place"] != ONLY_UP]:
            break
        until(lambda: objects(control) == before, "the part that only sends up is back", 20)
    wanted = [(1, "a rule that sends its packets up, to software")]
    equal([(entry["rule"], entry["in_its_place"]) for entry in missing], wanted, "parts of rules that are missing, and what stands in for them")
    counts = made.counts()
    equal(came(frames), {"cpu": 4}, "what comes while software does the rule")
    made.counted({"first": counts["first"][0] + 4, "all": counts["all"][0]})
    until(lambda: said()["missing_rules"][0]["tries"] >= 2, "it is tried again", 10)
    control.chaos()
    until(lambda: "missing_rules" not in said(), "the rule is back", 40)
    equal(came(frames), {}, "what came in the end")
    made.counted({"first": counts["first"][0] + 8})


@case
def with_tc():
    """An interface has rules of tc in the device or a chain of nftables, not both; whoever comes second is told."""
    r0 = to("R0")
    made = chain()
    made.add('counter drop comment "all"')
    qdisc = ["tc", "qdisc", "add", "dev", r0, "clsact"]
    fails(sh(qdisc, check=False), "a qdisc beside a chain")
    true("a chain of nftables" in reasons()[-1], "the reason in the log")
    refused(f"add chain netdev trial d {{ type filter hook ingress device {r0} priority 2; flags offload; policy accept; }}")
    equal(came([one(ip4())]), {}, "what came")
    gone()
    sh(qdisc)
    defer(sh, ["tc", "qdisc", "del", "dev", r0, "clsact"], check=False)
    refused(f"add table netdev trial\nadd chain netdev trial c {{ type filter hook ingress device {r0} priority 1; flags offload; policy accept; }}")
    true("qdisc" in reasons()[-1], "the reason in the log")
    sh(["tc", "qdisc", "del", "dev", r0, "clsact"])
    made = chain()
    made.add('counter drop comment "all"')
    equal(came([one(ip4())]), {}, "what came of a chain where a qdisc was")
    fails(sh(["ethtool", "-K", r0, "hw-tc-offload", "off"], check=False), "offload off below a chain")


class Maker(Dice):
    """Makes rules and frames out of few values, so that frames meet many rules."""

    def address(self, version, part):
        last = self.number()
        return f"10.{part}.{self.number()}.{last}" if version == 4 else f"fd00::{part}:{self.number():x}:{last:x}"

    def network(self):
        version = self.pick([4, 6])
        name = "ip" if version == 4 else "ip6"
        words = []
        # In this order nft does not make one expression of both, which could not be offloaded.
        for field, part in (("daddr", 2), ("saddr", 1)):
            if self.chance(45):
                length = self.pick([32, 32, 31, 24, 16]) + (96 if version == 6 else 0)
                words.append(f"{name} {field} {self.address(version, part)}/{length}")
        return words or [self.pick([f"meta protocol {name}", f"ether type {name}"])]

    def transport(self):
        protocol = self.pick(["tcp", "udp", "udp"])
        return self.pick([f"{protocol} dport {self.number(4)}", f"{protocol} sport {self.number(4)}", f"meta l4proto {self.pick(['tcp', 'udp', 'icmp', 'sctp'])}"])

    def tag(self):
        return self.pick([f"vlan id {self.number()}", f"ether type 8021ad vlan id {self.number()}", f"vlan id {self.number()} vlan type ip"])

    def match(self):
        words = []
        if self.chance(25):
            words.append(f"ether daddr {self.mac(0)}")
        if self.chance(15):
            words.append(f"ether saddr {self.mac(1)}")
        tagged = self.chance(20)
        if tagged:
            words.append(self.tag())
        if self.chance(60):
            words += self.network() if not tagged or self.chance(50) else []
        if self.chance(55) or not words:
            words.append(self.transport())
        return " ".join(words)

    def verdict(self):
        place = lambda: to(self.pick(["R1", "R2", "WIRE"]))  # noqa: E731
        copies = "".join(f"dup to {place()} " for _ in range(self.pick([0, 0, 0, 1, 2])))
        return copies + self.pick(["drop", "accept", f"fwd to {place()}", f"fwd to {place()}", f"dup to {place()}"])

    def rule(self, number):
        return f'{self.match()} counter {self.verdict()} comment "r{number}"'.strip()

    def packet(self):
        kind = self.pick([4, 4, 4, 6, 6, 6, "arp", "other"])
        if kind == "arp":
            return arp(sender_ip=self.address(4, 1))
        if kind == "other":
            return other_type(body=bytes(70))
        body = bytes(self.pick([40, 70, 90]))
        inner = self.pick([udp, udp, tcp])
        inner = inner(self.number(4), self.number(4), body=body) if self.chance(85) else icmp(body=body)
        more = {"source": self.address(kind, 1), "destination": self.address(kind, 2)}
        if self.chance(20):
            more["fragment"] = self.pick([0x2000, 0x2005, 0x5]) if kind == 4 else self.pick([1, 0x41, 0x40])
        if self.chance(15):
            more["options"] = b"\1\1\1\0" if kind == 4 else True
        return (ip4 if kind == 4 else ip6)(inner, **more)

    def frames(self, count):
        made = []
        for _ in range(count):
            tags = [(self.pick([VLAN, VLAN, QINQ]), self.number() << 13 | self.number()) for _ in range(self.pick([0, 0, 0, 0, 1, 1, 2]))]
            made.append(frame(self.packet(), self.mac(0), self.mac(1), tags))
        return made


RULES, CHANGES, FRAMES = 20, 8, 200


def lay(maker):
    """A chain that has grown at random: rules at the end and in between, and deletions. Gives it with its rules in nft's order."""
    made, laid, refusals = chain(), {}, 0
    for number in range(RULES + CHANGES):
        rule, name = maker.rule(number), f"r{number}"
        after = made.handle(maker.pick(sorted(laid))) if number >= RULES and laid and maker.chance(60) else None
        if nft(made.line(rule, after), check=False).status == 0:
            laid[name] = rule
        else:
            refusals += 1
        if number >= RULES and laid and maker.chance(50):
            name = maker.pick(sorted(laid))
            made.remove(name)
            del laid[name]
    return made, [laid[name] for name in made.order()], refusals


def until_still(made):
    """Counts of all rules, once they do not grow any more."""
    end, before = time.monotonic() + 5, None
    while (now := made.counts()) != before and time.monotonic() < end:
        before = now
        time.sleep(0.4)
    return now


def trial(seed):
    maker = Maker(seed)
    made, rules, refusals = lay(maker)
    frames = maker.frames(FRAMES)
    hardware, ours = stage.watch(frames, devs=()).frames, until_still(made)
    gone()
    made = chain(offload=False)
    made.add(*rules)
    software, theirs = stage.watch(frames, devs=()).frames, until_still(made)
    gone()
    found = [f"counts {name}: {ours.get(name)} and in software {count}" for name, count in theirs.items() if ours.get(name) != count]
    for place in ("wire", "vf1", "vf2"):
        found += [f"{place}: only the device: {f.hex()}" for f in list(hardware[place] - software[place])[:3]]
        found += [f"{place}: only software: {f.hex()}" for f in list(software[place] - hardware[place])[:3]]
    if found:
        note("\n".join([f"seed {seed}", *rules, *(f.hex() for f in frames)]))
        raise Failure("\n".join([f"OXNIC_FLOW_SEED={seed}:", *found[:20]]))
    silent = sum(software["cpu"].values()) - sum(hardware["cpu"].values())
    return len(rules), refusals, silent, sum(count[0] for count in theirs.values())


@case
def random_rules():
    """Random rules in random order, laid, deleted and laid between others, do with random frames what they do without offload."""
    def says_little():
        """So few frames went by the device that the rounds would say little: then there are more of them, which say enough together."""
        rules, refusals, silent, _ = total
        return rules < 2 * refusals or silent < (seed - SEED) * FRAMES // 8

    end, seed, total = time.monotonic() + SECONDS, SEED, [0, 0, 0, 0]
    while seed == SEED or time.monotonic() < end or says_little() and seed < SEED + MOST:
        total = [a + b for a, b in zip(total, trial(seed), strict=True)]
        seed += 1
    rules, refusals, silent, hits = total
    note(f"{seed - SEED} rounds from seed {SEED}: {rules} rules, {refusals} refused, {hits} packets counted, {silent} that the host did not see")
    at_least(rules, 2 * refusals, "rules, against those that are refused")
    at_least(silent, (seed - SEED) * FRAMES // 8, "frames that the host did not see")


@case
def reset():
    """After a reset of the PF the rules are in the device again, in their order."""
    made = chain()
    made.add(f'udp dport 1 counter fwd to {to("R1")} comment "first"', 'udp dport 1 counter drop comment "second"')
    equal(came([one(ip4(udp(9, 1)))] * 4), {"vf1": 4}, "what came before")
    PF().write("reset", 1)
    until(lambda: came([one(ip4(udp(9, 1)))]) == {"vf1": 1}, "a frame goes through again", 30)
    at_least(made.counts()["first"][0], 4, "packets of the first rule")
    equal(made.counts()["second"][0], 0, "packets of the second rule")


main()
