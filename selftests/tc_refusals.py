#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What cannot be in the device: refused with skip_sw by name and reason, and nothing stays; without it software does it, in its order.

Each entry of a table is a rule that the device cannot have, and a rule behind it that the device can have. With skip_sw the first is
refused. Without, its packets must come by software all the same, and those that it does not take by the second, as with skip_hw.
"""

# sets: quick
# vm: PORTS=1 MEM=4G

from collections import Counter
from dataclasses import dataclass

from lib import Control, Failure, case, defer, equal, fails, main, setup, sh, true
from lib.frames import frame, icmp, ip4, ip6, other, other_type, tcp
from lib.packet import VLAN
from lib.stage import Stage, trial_mac

stage = None
TO_WIRE, TO_VF = "action mirred egress redirect dev WIRE", "action mirred egress redirect dev R1"
TEST, TAGGED = other_type(), (ip4(), {"tags": [(VLAN, 5)]})
EVERY = [ip4(), ip4(tcp()), ip4(icmp()), ip4(fragment=0x2000), ip6(), ip6(tcp()), TEST, TAGGED]
# What the kernel's core says before a driver is asked; it names no action.
CORE = "Action does not support offload"


@dataclass
class Refused:
    """Words of a rule of a protocol, and what must be said of it. packets: what it takes, if anything, besides `EVERY`.

    unseen: the driver is not told of such a rule (the kernel's core refuses it), so that a rule behind it takes its packets; there is
    none then. takes: software takes packets of those that are sent.
    """

    protocol: str
    words: str
    says: str
    packets: tuple = ()
    unseen: bool = False
    takes: bool = True

    def lines(self, number, flags):
        mac = trial_mac(number)
        first = f"filter add dev R0 ingress pref {2 * number} protocol {self.protocol} flower {flags} dst_mac {mac} {self.words}"
        behind = f"filter add dev R0 ingress pref {2 * number + 1} protocol all flower {flags} dst_mac {mac} {TO_VF}"
        return [first] if self.unseen else [first, behind]

    def frames(self, number):
        every = [(packet if isinstance(packet[1], dict) else (packet, {})) for packet in (*EVERY, *self.packets)]
        return [frame(packet, trial_mac(number), **more) for packet, more in every]


@setup
def topology():
    global stage
    stage = Stage(2)


def nothing_left():
    left = stage.batch(["filter show dev R0 ingress"]).out.strip()
    equal(left, "", "what is left of a refused rule")


def refuse(line, says):
    """What is wrong with how a rule is refused, as a list."""
    try:
        fails(stage.batch([line], check=False), line, says)
        nothing_left()
    except Failure as error:
        stage.clear([line])
        return [str(error)]
    return []


def table(entries):
    """Each entry with skip_sw, then all of them without, then with skip_hw."""
    numbered = list(enumerate(entries, start=1))
    errors = [error for number, entry in numbered for error in refuse(entry.lines(number, "skip_sw")[0], entry.says)]
    frames = [f for number, entry in numbered for f in entry.frames(number)]
    rules = lambda flags: [line for number, entry in numbered for line in entry.lines(number, flags)]  # noqa: E731
    software = stage.run(rules("skip_hw"), frames)
    both = stage.run(rules(""), frames, wanted=software.packets())
    for number, entry in numbered:
        mac = entry.frames(number)[0][:5]
        if both.of_pref(number * 2)[1] or not entry.unseen and not both.of_pref(number * 2 + 1)[1]:
            errors.append(f"{entry.words}: in_hw, or what is behind is not")
        for pref in [2 * number] + [2 * number + 1] * (not entry.unseen):
            ours, theirs = ([counts[:3] for counts in seen.of_pref(pref)[0]][:1] for seen in (both, software))
            if ours != theirs:
                errors.append(f"{entry.words}: pref {pref} counts {ours}, and software {theirs}")
        if entry.takes and not software.of_pref(2 * number)[0][0][0]:
            errors.append(f"{entry.words}: takes nothing, not even in software")
        for place in ("wire", "vf1"):
            ours, theirs = (Counter({f: n for f, n in seen.frames[place].items() if f[:5] == mac}) for seen in (both, software))
            if ours != theirs:
                errors.append(f"{entry.words}: at {place}: only here {[f.hex() for f in ours - theirs]}, only in software {[f.hex() for f in theirs - ours]}")
    if errors:
        raise Failure("\n".join(errors))


def modules(*names):
    """What some of the rules need in the kernel."""
    for name in names:
        sh(["modprobe", name], check=False)


@case
def keys():
    """Keys that the engine does not have, by name."""
    pppoe = (0x8864, bytes.fromhex("110000050042") + b"\0\x21" + ip4()[1])
    esp = ip4(other(50, bytes.fromhex("0000000500000001") + bytes(40)))
    l2tp = ip4(other(115, bytes.fromhex("00000007") + bytes(40)))
    cfm = (0x8902, bytes.fromhex("a0010000") + bytes(60))
    table([
        Refused("ip", f"ct_state -trk {TO_WIRE}", "match on ct"),
        Refused("ppp_ses", f"pppoe_sid 5 ppp_proto ip {TO_WIRE}", "match on pppoe", (pppoe,)),
        Refused("ip", f"ip_proto l2tp l2tpv3_sid 7 {TO_WIRE}", "match on l2tpv3", (l2tp,)),
        Refused("ip", f"ip_proto esp spi 0x5 {TO_WIRE}", "match on ", (esp,)),
        Refused("cfm", f"cfm mdl 5 op 1 {TO_WIRE}", "match on cfm", (cfm,)),
        Refused("all", f"l2_miss 1 {TO_WIRE}", "match on l2_miss", takes=False),
        Refused("all", f"enc_key_id 5 {TO_WIRE}", "enc_key_id: only rules of a tunnel device", takes=False),
        Refused("ip", f"src_ip 0.0.0.0/0 {TO_WIRE}", "an address with an empty mask", takes=False),
        Refused("all", f"indev lo {TO_WIRE}", "indev: the interface is no port of this eswitch", takes=False),
    ])  # fmt: skip


@case
def actions():
    """Actions that the engine does not have, by name, and parts of those that it has."""
    modules("act_ct", "act_mpls", "act_gate")
    sh("ip link add refused0 type dummy", check=False)
    defer(sh, "ip link del refused0")
    sh("ip link set refused0 up")
    stage.names["OTHER"] = "refused0"
    police = f"conform-exceed drop/pipe {TO_WIRE}"
    table([
        Refused("ip", f"action ct pipe {TO_WIRE}", "action ct"),
        Refused("ip", f"action mpls push protocol mpls_uc label 9 ttl 64 pipe {TO_WIRE}", "action mpls push"),
        Refused("all", f"action gate clockid CLOCK_TAI sched-entry open 200000000 pipe {TO_WIRE}", "action gate"),
        Refused("all", f"action skbedit ptype otherhost pipe {TO_WIRE}", "action skbedit ptype"),
        Refused("all", f"action vlan push_eth dst_mac {trial_mac(5, 1)} src_mac 02:00:00:00:00:01 pipe {TO_WIRE}", "action vlan push_eth"),
        Refused("all", "action mirred egress redirect dev OTHER", "the interface is no port of this eswitch"),
        Refused("all", f"action mirred egress mirror dev OTHER pipe {TO_WIRE}", "the interface is no port of this eswitch"),
        Refused("all", f"action police rate 1gbit burst 1m peakrate 2gbit mtu 9000 {police}", "action police: peakrate"),
        Refused("all", f"action police rate 1gbit burst 1m overhead 24 {police}", "action police: overhead"),
        Refused("all", f"action police rate 1gbit burst 1m linklayer atm {police}", "action police: overhead, mpu or linklayer"),
    ])  # fmt: skip


@case
def actions_of_software():
    """Actions of which the kernel tells no driver: refused by the core, and done in software."""
    modules("act_nat", "act_bpf", "act_connmark", "act_simple", "act_skbmod")
    table([
        Refused("ip", f"action nat egress 198.51.100.1/32 10.1.1.1 pipe {TO_WIRE}", CORE, unseen=True),
        Refused("all", f"action skbmod set smac 02:ee:09:09:09:09 pipe {TO_WIRE}", CORE, unseen=True),
        Refused("all", f"action simple sdata oxnic pipe {TO_WIRE}", CORE, unseen=True),
        Refused("ip", f"action connmark pipe {TO_WIRE}", CORE, unseen=True),
        Refused("all", f'action bpf bytecode "1,6 0 0 3" pipe {TO_WIRE}', CORE, unseen=True),
        Refused("all", "action continue", "continue", unseen=True),
        Refused("all", f"action police rate 1gbit burst 1m conform-exceed reclassify/pipe {TO_WIRE}", "reclassify", unseen=True),
    ])  # fmt: skip


@case
def limits():
    """More than a rule can have; and a range of ports that software would look up in another order."""
    many = " ".join(f"munge ip ttl set {n + 1}" for n in range(100))
    line = f"filter add dev R0 ingress pref 1 protocol ip flower {{}} dst_mac {trial_mac(1)} action pedit ex {many} pipe {TO_WIRE}"
    behind = f"filter add dev R0 ingress pref 2 protocol all flower {{}} dst_mac {trial_mac(1)} {TO_VF}"
    # More words than tc takes in a batch.
    fails(stage.tc(line.format("skip_sw"), check=False), "100 edits", "at most")
    nothing_left()
    frames = [frame(packet, trial_mac(1)) for packet in EVERY if not isinstance(packet[1], dict)]
    # Nor does a dump of filters have room for it: who has seen what shows where the two are.
    for flags, cpu in (("", [f for f in frames if f[12:14] == b"\x08\x00"]), ("skip_hw", frames)):
        stage.tc(line.format(flags))
        seen = stage.run([behind.format(flags)], frames, devs=())
        equal(seen.frames["cpu"], Counter(cpu), f"what the CPU has seen ({flags})")
        equal(seen.frames["vf1"], Counter(f for f in frames if f[12:14] != b"\x08\x00"), f"what the rule behind has taken ({flags})")
        equal(sorted(f[22] for f in seen.frames["wire"]), [100] * 4, f"TTL of what the rule has edited ({flags})")
    rule = f"filter add dev R0 ingress pref 1 protocol ip flower skip_sw dst_mac {trial_mac(1)} ip_proto udp {{}} {TO_WIRE}"
    ranges = [rule.format(words) for words in ("dst_port 100-200", "dst_port 150-250", "dst_port 300-400", "ip_tos 4 dst_port 1-9")]
    stage.batch(ranges)
    defer(stage.clear)
    again = f"filter add dev R0 ingress pref 1 protocol ip flower skip_sw dst_mac {trial_mac(2)} ip_proto udp dst_port 100-200 {TO_WIRE}"
    fails(stage.batch([again], check=False), "a range that another one has followed", "came between")
    equal(len(stage.shown()), 4, "rules that are there")


@case
def place():
    """A rule of which only the actions are software's has its place among those of its prio: the one that its mask has since an older rule."""
    rule = f"filter add dev R0 ingress pref 1 protocol all flower {{}} dst_mac {trial_mac(1)}"
    rules = [f"{rule} num_of_vlans 1 {TO_WIRE}", f"{rule} action drop", f"{rule} num_of_vlans 2 action skbedit ptype host pipe {TO_VF}"]
    frames = [frame(TEST, trial_mac(1), tags=[(VLAN, 5)] * count) for count in (0, 1, 2)]
    for flags in ("", "skip_hw"):
        seen = stage.run([line.format(flags) for line in rules], frames)
        equal((seen.frames["wire"], seen.frames["vf1"]), (Counter(frames[1:2]), Counter(frames[2:])), f"what comes to the wire and to the VF ({flags})")
        equal(len(seen.in_hw), 0 if flags else 2, f"rules in hardware ({flags})")


@case
def offload_off():
    """With hw-tc-offload off nothing is taken over, and software does it."""
    link = stage.reps[0]
    link.feature(hw_tc_offload=False)
    line = f"filter add dev R0 ingress pref 1 protocol all flower {{}} dst_mac {trial_mac(1)} {TO_WIRE}"
    equal(refuse(line.format("skip_sw"), "hw-tc-offload"), [], "how it is refused")
    frames = [frame(TEST, trial_mac(1))] * 3
    seen = stage.run([line.format("")], frames)
    equal((sum(seen.frames["wire"].values()), sum(seen.frames["cpu"].values()), len(seen.in_hw)), (3, 3, 0), "at the wire, at the CPU, in hardware")


@case
def undone_binding():
    """An interface cannot join a block, for a filter that is not offered anew: what the kernel takes back for it stays with the one that has it."""
    modules("cls_basic")
    for name in ("R0", "R1"):
        stage.tc(f"qdisc del dev {name} clsact")
        defer(stage.tc, f"qdisc add dev {name} clsact")
    stage.tc("qdisc add dev R0 ingress_block 9 clsact")
    defer(stage.tc, "qdisc del dev R0 clsact", check=False)
    rule = f"filter add block 9 pref {{}} protocol all flower skip_sw dst_mac {trial_mac(1)} {{}}"
    stage.batch(["filter add block 9 pref 1 protocol arp basic action ok", rule.format(3, TO_WIRE)])
    frames = [frame(TEST, trial_mac(1))] * 3
    for _ in range(2):
        fails(stage.tc("qdisc add dev R1 ingress_block 9 clsact", check=False), "the second interface", "re-offloading")
        options = next(entry["options"] for entry in stage.shown("block 9") if entry["pref"] == 3)
        equal((options.get("in_hw"), options.get("in_hw_count")), (True, 1), "whether the rule is in hardware, and how often")
        stage.seen = stage.nothing()
        stage.send(frames)
        stage.collect()
        equal((stage.seen.frames["wire"], stage.seen.frames["cpu"]), (Counter(frames), Counter()), "at the wire, and at the CPU")
    stage.tc("filter del block 9 pref 1")
    stage.tc("qdisc add dev R1 ingress_block 9 clsact")
    defer(stage.tc, "qdisc del dev R1 clsact", check=False)
    stage.tc("qdisc del dev R0 clsact")
    stage.seen = stage.nothing()
    stage.send(frames)
    stage.collect()
    equal((stage.seen.frames["wire"], stage.seen.frames["cpu"]), (Counter(), Counter(frames)), "when only the second has the block")


@case
def device_errors():
    """The device fails or has no room: the reason is said, nothing stays, and the same rule is taken afterwards."""
    control = Control()
    defer(control.close)
    words = f"flower {{}} dst_mac {trial_mac(1)} ip_proto udp dst_port 1-1000 action vlan push id 7 pipe action police pkts_rate 1000 pkts_burst 100 conform-exceed drop/pipe"
    line = f"filter add dev R0 ingress chain 0 pref 1 protocol ip {words} {TO_WIRE}"
    defer(control.chaos)
    wrong = []
    for fault, says in (("fail-command", "device refuses"), ("fail-allocation", "device refuses")):
        for count in range(1, 12):
            control.chaos(f"nic.{fault}={count}")
            result = stage.batch([line.format("skip_sw")], check=False)
            control.chaos()
            if result.status == 0:
                # More requests than it takes: the failure was never reached.
                stage.clear()
                true(count > 1, f"{fault}: no request of the rule has failed")
                break
            if says not in result.text:
                wrong.append(f"{fault} {count}: {result.text}")
            nothing_left()
        else:
            raise Failure(f"{fault}: the rule was never taken")
    equal(wrong, [], "what is said")
    frames = [frame(ip4(), trial_mac(1))] * 3 + [frame(ip4(tcp(destination=5)), trial_mac(1))]
    seen = stage.run([line.format("skip_sw")], frames)
    equal((len(seen.in_hw), sum(seen.frames["cpu"].values())), (1, 4), "in hardware, and missed")


@case
def place_after_refusal():
    """A rule of software that the device itself has refused has its place there all the same: no rule behind it takes its packets."""
    control = Control()
    defer(control.close)
    defer(control.chaos)
    line = f"filter add dev R0 ingress pref 1 protocol ip flower dst_mac {trial_mac(1)} action {{}}"
    behind = f"filter add dev R0 ingress pref 2 protocol all flower skip_sw dst_mac {trial_mac(1)} {TO_VF}"
    frames = [frame(ip4(), trial_mac(1))] * 3 + [frame(TEST, trial_mac(1))]
    refused = {}
    # What comes to an empty chain comes up, whoever sends it there.
    for action, fault, most in (("drop", "fail-request", 4), ("drop", "fail-command", 8), ("goto chain 5", "fail-command", 8)):
        for count in range(1, most):
            control.chaos(f"nic.{fault}={count}")
            stage.tc(line.format(action))
            control.chaos()
            seen = stage.run([behind], frames)
            refused[action, fault] = count - 1
            equal(seen.frames["vf1"], Counter(frames[3:]), f"what the rule behind has taken ({action}, {fault} {count})")
            if len(seen.in_hw) == 2:
                break
            equal(seen.frames["cpu"], Counter(frames[:3]), f"what the CPU has seen ({action}, {fault} {count})")
        else:
            raise Failure(f"{action}, {fault}: the rule was never taken")
    # Its counter, and the rule; two templates at least; the table of a chain, which stays from then on, and a template.
    true(all(count >= 2 for count in refused.values()), f"requests that were refused: {refused}")


@case
def no_place():
    """A rule of software for which the device refuses even what stands in: its own reason is said, and nothing gets past it until it is gone."""
    control = Control()
    defer(control.close)
    defer(control.chaos)
    rule = f"filter add dev R0 ingress pref {{}} protocol {{}} flower {{}} dst_mac {trial_mac(1)} {{}}"
    behind = rule.format(2, "all", "skip_sw", TO_VF)
    frames = [frame(ip4(), trial_mac(1))] * 3 + [frame(TEST, trial_mac(1))]
    ways = [
        ("fail-request", "action drop", "device refuses"),
        ("fail-command", "action drop", "device refuses"),
        ("fail-request", "ct_state -trk action drop", "match on ct"),
        ("fail-command", "ct_state -trk action drop", "match on ct"),
    ]
    for fault, words, says in ways:
        control.chaos(f"nic.{fault}=1+")
        said = stage.tc(rule.format(1, "ip", "verbose", words)).text
        control.chaos()
        true(says in said, f"{fault}, {words}: {said}")
        fails(stage.tc(behind, check=False), f"{fault}, {words}: a rule behind it", "lay the block's anew")
        seen = stage.run([rule.format(2, "all", "", TO_VF)], frames)
        came = (seen.frames["vf1"], seen.frames["cpu"], len(seen.in_hw))
        equal(came, (Counter(frames[3:]), Counter(frames), 0), f"{fault}, {words}: at the VF, at the CPU, in hardware")
        seen = stage.run([behind], frames)
        equal((seen.frames["vf1"], len(seen.in_hw)), (Counter(frames), 1), f"{fault}, {words}: the same when it is gone")


main()
