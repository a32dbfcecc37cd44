#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What devlink says of the flow engine, and has to do with it: how full it is, which rules it was not given, modes of the eswitch."""

# sets: quick
# quick: resource tables_of_chains masks_that_come_and_go refusals many_refusals no_room no_room_for_masks shared_block offload_off leave_with_qdisc rules_in_legacy_mode vlan_devices_from_before legacy_fails missing_rules interim encap
# vm: PORTS=1 MEM=4G

import json

from lib import PF, Control, Failure, Injector, VfEnd, Wire, at_least, case, defer, equal, fails, ip, main, setup, sh, skip, true, until
from lib.eswitch import HANDLE, devlink, eswitch, representor, set_mode, switchdev, vfs_with_hooks
from lib.link import Link
from lib.nft import Chain, gone
from lib.packet import raw_frame
from lib.rules import agree, device_rules, objects
from lib.tc import clsact, filter_add, filter_del, filters, in_hw, packets, the_filter

control = near = None
KINDS = ("tables", "match_templates", "action_templates", "rules", "counters", "meters", "encaps", "tunnel_ports", "queues")


@setup
def topology():
    global control, near
    near = PF().link()
    if "hw-tc-offload" not in near.features():
        skip(f"{near} has no hw-tc-offload")
    control = Control()
    defer(control.close)


def stage():
    links = switchdev(2)
    clsact(*links)
    return links


def resources():
    """Name to (size, used, most so far)."""
    shown = devlink(f"resource show {HANDLE}")["resources"][HANDLE]
    found = {}
    for entry in shown:
        most = [part for part in entry["resources"] if part["name"] == "most_so_far"]
        equal(len(most), 1, f"resources below {entry['name']}")
        equal(most[0]["size"], entry["size"], f"size of most_so_far of {entry['name']}")
        found[entry["name"]] = (entry["size"], entry.get("occ"), most[0].get("occ"))
    return found


@case
def resource():
    """Size, occupancy and high-water mark of each kind of object, as the device has them itself."""
    links = stage()
    before = resources()
    equal(sorted(before), sorted(KINDS), "names of resources")
    for number in range(1, 21):
        police = "action police rate 10mbit burst 100k conform-exceed drop/pipe action drop" if number < 4 else "action drop"
        filter_add(links[0], ("pref 1 protocol ip", f"dst_ip 10.0.0.{number} {police}"))
    during, there = resources(), objects(control)
    equal({name: used for name, (_, used, _) in during.items()}, there, "occupancy, and what the device itself says")
    equal((during["rules"][1], during["meters"][1]), (before["rules"][1] + 20, before["meters"][1] + 3), "rules and meters in use")
    agree(control, *links)
    filter_del(links[0], "pref 1")
    after = resources()
    for name, (size, used, most) in after.items():
        equal(size, before[name][0], f"size of {name}")
        equal(used, before[name][1], f"{name} in use after the rules were deleted")
        true(during[name][1] <= most <= size, f"most {name} so far: {most}, with {during[name][1]} at once")
    true(after["rules"][2] >= 20, f"most rules so far: {after['rules'][2]}")


@case
def tables_of_chains():
    """The table of a chain goes with the last rule that is in it or leads to it, and with one that is refused."""
    (link, _) = stage()
    tables = lambda: objects(control)["tables"]  # noqa: E731
    before = tables()
    for number in range(1, 4):
        filter_add(link, (f"pref {number} protocol ip", f"dst_ip 10.0.0.{number} action goto chain {number + 3}"), flags="")
        filter_add(link, (f"chain {number + 3} pref 1 protocol ip", "action drop"), flags="")
    filter_add(link, ("pref 9 protocol ip", f"dst_ip 10.0.0.9 {FOREIGN} continue action goto chain 20"), flags="")
    fails(filter_add(link, ("chain 21 pref 9 protocol ip", FOREIGN), check=False), "a rule with skip_sw", NO_PORT)
    equal(tables(), before + 3, "tables with three chains")
    filter_del(link, "pref 1")
    equal(tables(), before + 3, "tables while a rule is in each chain")
    for number in range(1, 4):
        filter_del(link, f"chain {number + 3} pref 1 protocol ip")
    equal(tables(), before + 2, "tables while a rule leads to two of the chains")
    agree(control, link)
    for number in (2, 3, 9):
        filter_del(link, f"pref {number}")
    equal(tables(), before, "tables after the rules were deleted")


@case
def masks_that_come_and_go():
    """Of two masks in turns that are always there, each comes after more turns than a priority has numbers, and the device has what tc has."""
    (link, _) = stage()
    where, udp = f"dev {link.name} ingress pref 5 handle", "ip_proto udp dst_port 1000-2000"
    add = [f"filter add {where} {n} protocol ip flower skip_sw {side}_mac 02:ee:00:00:00:01 {udp} action drop" for n, side in ((1, "src"), (2, "dst"))]
    gone = [f"filter del {where} {n} protocol ip flower" for n in (1, 2)]
    turn = [add[1], gone[0], add[0], gone[1]]
    # Each mask with ranges takes 64 of 65536 numbers.
    sh("tc -b -", data="\n".join([add[0], *turn * 600, add[1], ""]))
    agree(control, link)
    equal(len(filters(link)), 2, "filters afterwards")
    filter_add(link, ("pref 6 protocol ip", "action drop"))
    agree(control, link)


# Rules that nobody can have in the device, and why.
FOREIGN, NO_PORT = "action mirred egress redirect dev lo", "mirred egress redirect: the interface is no port of this eswitch"
KEPT, SHOWN, MISSING_SHOWN = 1024, 256, 128
NOTHING = {"refused": 0, "not_listed": 0, "missing": 0, "missing_not_listed": 0, "missing_objects": 0}
TO_LEGACY = "mode: wire port p0 has filters in hardware"


def diagnosis():
    return devlink(f"health diagnose {HANDLE} reporter rules")


def refused(link=None):
    """The rules that devlink lists, of a netdev or all, as (side, chain, pref, reason)."""
    listed = diagnosis().get("rules", [])
    return sorted((e["side"], e["chain"], e["pref"], e["reason"]) for e in listed if link is None or e["netdev"] == link.name)


@case
def refusals():
    """Rules that software has since they were refused are listed, with what tc shows of them and the reason, until they go."""
    links = stage()
    equal(diagnosis(), NOTHING, "what is said without a rule")
    verbose = filter_add(links[0], ("pref 1 protocol ip", f"dst_ip 10.0.0.1 {FOREIGN}"), flags="verbose")
    true(NO_PORT in verbose.text, f"the reason that tc shows: {verbose.text}")
    filter_add(links[0], ("pref 2 protocol all", "action drop"), flags="")
    filter_add(links[0], ("chain 7 pref 3 protocol 802.1Q", f"vlan_id 5 {FOREIGN}"), flags="")
    filter_add(links[0], ("pref 4 protocol ip", f"dst_ip 10.0.0.4 {FOREIGN}"), flags="skip_hw")
    fails(filter_add(links[0], ("pref 5 protocol ip", f"dst_ip 10.0.0.5 {FOREIGN}"), check=False), "a rule with skip_sw", NO_PORT)
    filter_add(links[1], ("pref 6 protocol all", f"{FOREIGN} index 77"), flags="", kind="matchall")
    filter_add(links[1], ("pref 7 protocol all", f"indev lo {FOREIGN}"), flags="", side="egress")
    first, second = [("ingress", 0, 1, NO_PORT), ("ingress", 7, 3, NO_PORT)], [("egress", 0, 7, "indev"), ("ingress", 0, 6, NO_PORT)]
    equal(refused(links[0]), first, "rules listed of the first netdev")
    seen = [(*entry[:3], wanted[3] if wanted[3] in entry[3] else entry[3]) for entry, wanted in zip(refused(links[1]), second)]
    equal(seen, second, "rules listed of the second netdev")
    entry = next(e for e in diagnosis()["rules"] if e["pref"] == 6)
    action = the_filter(links[1], 6)["options"]["actions"][0]
    equal((entry["kind"], entry["protocol"], entry["index"], action["index"]), ("matchall", "all", 77, 77), "what the rule is found by")
    true("redirect" in entry["action"] and 0 <= entry["age_s"] < 600, f"action and age: {entry}")
    entry = next(e for e in diagnosis()["rules"] if e["pref"] == 3)
    equal((entry["kind"], entry["protocol"]), ("flower", "0x8100"), "kind and protocol")
    # A rule that takes another one's place: of those that are listed one goes, and the other comes.
    handle = the_filter(links[0], 1)["options"]["handle"]
    sh(f"tc filter replace dev {links[0].name} ingress pref 1 protocol ip handle {handle} flower dst_ip 10.0.0.1 action drop".split())
    equal((refused(links[0]), in_hw(links[0], 1)), (first[1:], True), "after the first rule was replaced by one that can be had")
    sh(f"tc filter replace dev {links[0].name} ingress pref 1 protocol ip handle {handle} flower dst_ip 10.0.0.1 {FOREIGN}".split())
    equal((refused(links[0]), in_hw(links[0], 1)), (first, False), "after it was replaced by one that cannot")
    filter_del(links[0], "pref 1")
    filter_del(links[1], "pref 7", side="egress")
    equal((refused(links[0]), [e[:3] for e in refused(links[1])]), (first[1:], [second[1][:3]]), "after two were deleted")
    for link in links:
        sh(["tc", "qdisc", "del", "dev", link.name, "clsact"])
    equal(diagnosis(), NOTHING, "after the qdiscs have gone")


@case
def many_refusals():
    """More rules than are listed, and than are remembered, are counted; when some go there is room for others."""
    (link, _) = stage()
    lines = [f"filter add dev {link.name} ingress pref {1 + n} protocol ip flower dst_ip 10.0.{n >> 8}.{n & 255} {FOREIGN}" for n in range(KEPT + 76)]
    sh(["tc", "-b", "-"], data="\n".join(lines) + "\n", seconds=300)
    said = diagnosis()
    equal((said["refused"], said["not_listed"], len(said["rules"])), (KEPT + 76, KEPT + 76 - SHOWN, SHOWN), "rules counted, not listed, and listed")
    # The last 76 have no reason any more; all others go.
    sh(["tc", "-b", "-"], data="".join(f"filter del dev {link.name} ingress pref {1 + n}\n" for n in range(KEPT)), seconds=300)
    equal(diagnosis(), {**NOTHING, "refused": 76, "not_listed": 76}, "those that came when the list was full")
    filter_add(link, ("pref 2000 protocol ip", f"dst_ip 10.9.9.9 {FOREIGN}"), flags="")
    equal(([e[2] for e in refused()], diagnosis()["not_listed"]), ([2000], 76), "one more, and those that are not listed")


def without_room(what, keys):
    """With as many rules (keys for more are given) as leave only those objects of a kind that are kept back for what stands in for others."""
    most, kept = len(keys), len(keys) // 64
    defer(control.do, "flow-limits")
    control.do("flow-limits", **{what: most})
    links, vfs = vfs_with_hooks(2)
    filter_add(links[0], ("pref 9 protocol all", f"action mirred egress redirect dev {links[1].name}"))
    lines = [f"filter add dev {links[0].name} ingress pref 8 protocol ip flower skip_sw {key} action drop" for key in keys[kept + 1 :]]
    sh(["tc", "-b", "-"], data="\n".join(lines) + "\n", seconds=60)
    says = f"no more {what.removeprefix('match_')}: there can be {most - kept}"
    fails(filter_add(links[0], ("pref 8 protocol ip", f"{keys[0]} action drop"), check=False), "one more", says)
    ours = ("pref 1 protocol all", "dst_mac 02:ee:00:00:00:01 action drop")
    filter_add(links[0], ours, flags="")
    equal((in_hw(links[0], 1), refused(), objects(control)[what]), (False, [("ingress", 0, 1, says)], most - kept + 1), f"in_hw, reason, and {what} in the device")
    equal((takes(links[0], vfs[0], 1), packets(links[0], 9)), ((5, 0), 0), "what the rule of software has counted, and the one behind it")
    for pref in (1, 8):
        filter_del(links[0], f"pref {pref}")
    filter_add(links[0], ours, flags="")
    equal((in_hw(links[0], 1), diagnosis()["refused"]), (True, 0), "in_hw when there is room again, and rules refused")
    agree(control, links[0])


@case
def no_room():
    """Where no rule has room any more, what stands in for one of software has: no rule behind takes its packets."""
    without_room("rules", [f"dst_ip 10.0.{n}.1" for n in range(128)])


@case
def no_room_for_masks():
    """The same where no mask has."""
    without_room("match_templates", [f"src_ip 10.0.0.0/{n % 16 + 9} dst_ip 10.1.0.0/{n // 16 + 9}" for n in range(128)])


@case
def shared_block():
    """A rule of a block that two netdevs share is listed for both; when one leaves the block, tc's count of the other stays right."""
    links = switchdev(2)
    for link in links:
        sh(f"tc qdisc add dev {link.name} ingress_block 9 clsact".split())
        defer(sh, f"tc qdisc del dev {link.name} clsact".split(), check=False)
    add = "tc filter add block 9 pref {} protocol ip flower dst_ip 10.0.0.{} {}"
    sh(add.format(1, 1, FOREIGN).split())
    sh(add.format(2, 2, "action drop").split())
    equal([len(refused(link)) for link in links], [1, 1], "entries of the two netdevs")
    sh(f"tc qdisc del dev {links[0].name} clsact".split())
    equal([len(refused(link)) for link in links], [0, 1], "entries after the first has left the block")
    shown = {entry["pref"]: entry["options"] for entry in json.loads(sh("tc -j filter show block 9").out) if "keys" in entry.get("options", {})}
    equal({pref: (o.get("in_hw", False), o.get("in_hw_count", 0)) for pref, o in shown.items()}, {1: (False, 0), 2: (True, 1)}, "in_hw of both rules")
    for pref in (1, 2):
        sh(f"tc filter del block 9 pref {pref}".split())
    equal(refused(), [], "entries after the rules were deleted")
    # A netdev that takes over no rules cannot join a block of which tc counts any as offloaded.
    ip("link add plain0 type dummy")
    defer(ip, "link del plain0", check=False)
    sh("tc qdisc add dev plain0 ingress_block 9 clsact".split())


def takes(link, vf, pref, count=5, sends=None):
    """Which rules take frames of a VF: sends them, and says what the rule of that pref has counted in software and in hardware, `count` in all."""
    # A VF whose PF was reset just now looks for that once a second, and sends nothing before.
    until(lambda: (seen := control.function(vf.index + 1))["accepted"] and seen["completion_queues"], f"VF {vf.index} works")
    vf.link.wait_carrier()
    Injector(vf.link).send(*[raw_frame("02:ee:00:00:00:01", vf.link.mac, b"taken")] * (sends or count))

    def stats():
        return the_filter(link, pref)["options"]["actions"][0]["stats"]

    until(lambda: stats().get("packets", 0) >= count, f"pref {pref} takes {count} frames", 5)
    return stats()["packets"] - stats().get("hw_packets", 0), stats().get("hw_packets", 0)


@case
def offload_off():
    """A rule that came with hw-tc-offload off is listed; no rule gets past it into the device later, until it goes."""
    (link, _) = stage()
    vf = VfEnd(0)
    link.wait_carrier()
    link.feature(hw_tc_offload=False)
    filter_add(link, ("pref 1 protocol all", f"dst_mac 02:ee:00:00:00:01 {FOREIGN}"), flags="")
    equal(refused(), [("ingress", 0, 1, "hw-tc-offload is off for this interface")], "rules listed")
    link.feature(hw_tc_offload=True)
    fails(filter_add(link, ("pref 2 protocol all", "action drop"), check=False), "a rule behind it", "lay the block's anew")
    filter_add(link, ("pref 2 protocol all", "action drop"), flags="")
    equal((takes(link, vf, 1), in_hw(link, 2)), ((5, 0), False), "what the first rule has counted, in software and not, and the second in hardware")
    sh(f"tc filter del dev {link.name} ingress".split())
    filter_add(link, ("pref 2 protocol all", "action drop"))
    equal((takes(link, vf, 2), diagnosis()["refused"]), ((0, 5), 0), "what the second has counted afterwards, and rules listed")


@case
def leave_with_qdisc():
    """Legacy mode is refused while a wire port has rules in hardware, and not for its qdisc, nor for rules of software in it."""
    switchdev(1)
    clsact(near)
    set_mode("legacy")
    equal(objects(control), dict.fromkeys(objects(control), 0), "objects in the device in legacy mode")
    set_mode("switchdev")
    filter_add(near, ("pref 5 protocol ip", "dst_ip 10.0.0.1 action drop"))
    agree(control, near)
    fails(set_mode("legacy", check=False), "legacy mode with a rule on the wire port", TO_LEGACY)
    equal((eswitch()["mode"], in_hw(near, 5)), ("switchdev", True), "mode, and in_hw, afterwards")
    agree(control, near)
    filter_add(near, ("pref 6 protocol ip", "dst_ip 10.0.0.2 action drop"))
    for pref in (5, 6):
        filter_del(near, f"pref {pref}")
    filter_add(near, ("pref 7 protocol ip", f"dst_ip 10.0.0.3 {FOREIGN}"), flags="")
    filter_add(near, ("pref 8 protocol ip", f"dst_ip 10.0.0.4 {FOREIGN}"), flags="", side="egress")
    for _ in range(3):
        set_mode("legacy")
        set_mode("switchdev")
    equal([e[:3] for e in refused(near)], [("egress", 0, 8), ("ingress", 0, 7)], "rules listed afterwards")
    filter_add(near, ("pref 9 protocol ip", "dst_ip 10.0.0.0/24 action drop"))
    agree(control, near)


@case
def rules_in_legacy_mode():
    """What is laid on a wire port in legacy mode stays in software, in its place, and a qdisc that stays is of use again afterwards."""
    ends = Wire(addresses=False)
    wire, far = ends.near, ends.far
    switchdev(1)
    clsact(wire)
    set_mode("legacy")
    fails(filter_add(wire, ("pref 1 protocol all", "action drop"), check=False), "a rule with skip_sw in legacy mode", "legacy mode")
    filter_add(wire, ("pref 2 protocol all", "dst_mac 02:ee:00:00:00:02 action pass"), flags="")
    equal(refused(), [("ingress", 0, 2, "the eswitch is in legacy mode")], "rules listed")
    generation = control.function()["generation"]
    control.do("reset-request", function=0)
    until(lambda: control.function()["generation"] > generation and control.function()["accepted"], "the PF has been reset", 60)
    until(lambda: set_mode("switchdev", check=False).status == 0, "the mode can be set after the reset", 30)
    fails(filter_add(wire, ("pref 3 protocol all", "action drop"), check=False), "a rule behind it", "lay the block's anew")
    filter_del(wire, "pref 2")
    filter_add(wire, ("pref 3 protocol all", "dst_mac 02:ee:00:00:00:02 action drop"))
    agree(control, wire)
    Injector(far).send(*[raw_frame("02:ee:00:00:00:02", far.mac, b"dropped")] * 5)
    until(lambda: the_filter(wire, 3)["options"]["actions"][0]["stats"].get("hw_packets", 0) == 5, "the rule counts in hardware", 5)
    filter_del(wire, "pref 3")
    set_mode("legacy")
    sh(["tc", "qdisc", "del", "dev", wire.name, "clsact"])
    set_mode("switchdev")
    clsact(wire)
    filter_add(wire, ("pref 4 protocol all", "action drop"))
    agree(control, wire)


@case
def vlan_devices_from_before():
    """Rules that a VLAN device has as switchdev mode begins are not told of, so that none goes past them, until its qdisc is new. One without may stay."""
    sh(["modprobe", "8021q"])
    uppers = []
    for vid in (5, 6):
        ip(f"link add link {near.name} name upper{vid} type vlan id {vid}")
        defer(ip, f"link del upper{vid}", check=False)
        uppers.append(Link(f"upper{vid}"))
        clsact(uppers[-1])
    before, empty = uppers
    rule = lambda pref: (f"pref {pref} protocol all", f"src_mac 02:ee:00:00:00:0{pref} action drop")  # noqa: E731
    filter_add(before, rule(1), flags="")
    filter_add(empty, rule(1), flags="")
    filter_del(empty, "pref 1")
    switchdev(1)
    for link in uppers:
        filter_add(link, rule(2), flags="")
    equal([in_hw(link, 2) for link in uppers], [False, True], "in_hw of later rules")
    equal(refused(), [("ingress", 0, 2, "the block had rules before the driver took part: make its qdisc anew")], "rules listed")
    sh(f"tc qdisc del dev {before.name} clsact".split())
    clsact(before)
    for pref in (1, 2):
        filter_add(before, rule(pref), flags="")
    equal([in_hw(before, pref) for pref in (1, 2)], [True, True], "in_hw of rules of a new qdisc")
    equal(refused(), [], "rules listed of a new qdisc")


@case
def legacy_fails():
    """Whichever command the device refuses on the way to legacy mode: the mode is the new one, or the old one and works as before."""
    switchdev(1)
    clsact(near)
    filter_add(near, ("pref 7 protocol ip", f"dst_ip 10.0.0.3 {FOREIGN}"), flags="")
    rule = ("pref 8 protocol ip", "dst_ip 10.0.0.0/24 action drop")
    defer(control.chaos)
    failed, first = 0, control.function()["generation"]
    for count in range(1, 60):
        control.chaos(f"nic.fail-command={count}")
        result = set_mode("legacy", check=False)
        control.chaos()
        equal(eswitch()["mode"], "legacy" if result.status == 0 else "switchdev", "mode afterwards")
        failed += result.status != 0
        true(result.status == 0 or "mode: " in result.text, f"what is said of command {count}: {result.text}")
        if result.status == 0:
            set_mode("switchdev")
        until(lambda: filter_add(near, rule, check=False).status == 0, f"a rule can be laid after command {count} has failed", 30, pause=0.5)
        representor(0)
        agree(control, near)
        equal(refused(near), [("ingress", 0, 7, NO_PORT)], "rules listed")
        filter_del(near, "pref 8")
        # The driver gives a device up that it has to reset ten times in a minute.
        if control.function()["generation"] - first > 6:
            break
    at_least(failed, 5, "changes that have failed")


# What stands in for missing rules.
SENDS_UP, NO_SOFTWARE = "a rule that sends its packets up, to software", "nothing: software does not have the rule (skip_sw)"
ONLY_UP, TOO = "nothing: the rule itself only sends up", "nothing: device refuses the rule: injected failure"


def health():
    """What devlink shows of the reporter: (state, failures, recoveries)."""
    (shown,) = devlink(f"health show {HANDLE} reporter rules")["health"][HANDLE]
    return shown["state"], shown["error"], shown["recover"]


def dump():
    return devlink(f"health dump show {HANDLE} reporter rules")


def reset_refusing(requests):
    """Resets the PF while the device refuses such requests about rules; ends that in the end, and has it forgotten."""
    defer(until, lambda: diagnosis()["missing"] == 0, "nothing is missing any more", 60, pause=0.5)
    defer(control.chaos)
    control.chaos(f"nic.fail-request={requests}")
    PF().write("reset", 1)


def missing():
    """The rules that devlink lists as missing, as (netdev, side, where in its block, kind)."""
    listed = diagnosis().get("missing_rules", [])
    where = lambda e: (e["chain"], e["pref"]) if e["kind"] == "tc" else (e["rule"], e["part"])  # noqa: E731
    return sorted((e["netdev"], e["side"], where(e), e["kind"]) for e in listed)


@case
def missing_rules():
    """Rules that the device does not take back after a reset are listed beside those that software has; they are a failure, until they are back."""
    links = switchdev(3)
    clsact(*links[:2])
    chain = Chain([links[2].name])
    defer(gone)
    chain.add("udp dport 1 drop", "udp dport 2 drop")
    sh(["devlink", "health", "dump", "clear", HANDLE, "reporter", "rules"])
    failures, recoveries = health()[1:]
    equal((health()[0], diagnosis()), ("healthy", NOTHING), "state, and what is said, before")
    filter_add(links[0], ("pref 1 protocol ip", f"dst_ip 10.0.0.1 {FOREIGN}"), flags="")
    filter_add(links[0], ("pref 2 protocol ip", "dst_ip 10.0.0.2 action drop"))
    filter_add(links[0], ("chain 7 pref 3 protocol ip", "dst_ip 10.0.0.3 action drop"))
    filter_add(links[1], ("pref 4 protocol ip", "dst_ip 10.0.0.4 action drop"), flags="", side="egress")
    agree(control, *links[:2], besides=links[2:])
    names = [link.name for link in links]
    # What stands in for the first rule can be missing as well.
    wanted = [(names[0], "ingress", (0, 1), "tc"), (names[0], "ingress", (0, 2), "tc"), (names[0], "ingress", (7, 3), "tc"), (names[1], "egress", (0, 4), "tc")]
    count = len(device_rules(control)["rules"])
    reset_refusing("1+")
    until(lambda: diagnosis()["missing"] == count, f"all {count} rules are missing", 10)
    listed = missing()
    equal([entry for entry in listed if entry[3] == "tc"], sorted(wanted), "rules of tc that are listed as missing")
    equal({(e[0], e[1], e[2][0]) for e in listed if e[3] == "nftables"}, {(names[2], "ingress", 1), (names[2], "ingress", 2)}, "rules of nftables")
    equal((len(listed), len(set(listed))), (count, count), "parts of rules listed, and different ones")
    equal(refused(), [("ingress", 0, 1, NO_PORT)], "rules that are listed as refused")
    for entry in diagnosis()["missing_rules"]:
        equal((entry["state"], entry["netdevs"]), ("missing since a reset", 1), f"state, and number of netdevs, of {entry}")
        true("device refuses the rule" in entry["reason"] and entry["age_s"] < 60, f"reason and age: {entry}")
        places = {1: [ONLY_UP], 2: [NO_SOFTWARE], 3: [NO_SOFTWARE], 4: ["nothing: at egress no packet can be sent up"], None: [ONLY_UP, TOO]}
        true(entry["in_its_place"] in places[entry.get("pref")], f"what stands in for it: {entry}")
    true(TOO in [entry["in_its_place"] for entry in diagnosis()["missing_rules"]], "a rule for which what stands in is refused, too")
    until(lambda: health() == ("error", failures + 1, recoveries), "the reporter is in error, with one failure more", 5)
    equal((dump()["missing"], len(dump()["missing_rules"])), (count, count), "rules missing in the dump that was made then")
    until(lambda: all(entry["tries"] >= 3 for entry in diagnosis()["missing_rules"]), "rules are tried again and again", 10)
    at_least(min(entry["age_s"] for entry in diagnosis()["missing_rules"]), 2, "seconds that they are missing")
    filter_del(links[0], "chain 7 pref 3")
    equal((diagnosis()["missing"], (7, 3) in [entry[2] for entry in missing()]), (count - 1, False), "rules missing, after one was deleted")
    equal([in_hw(links[0], 2), in_hw(links[1], 4, side="egress")], [True, True], "in_hw of missing rules, which the kernel cannot take back")
    control.chaos()
    until(lambda: diagnosis()["missing"] == 0, "all rules are back", 30)
    agree(control, *links[:2], besides=links[2:])
    until(lambda: health() == ("healthy", failures + 1, recoveries + 1), "the reporter is healthy, with one recovery more", 5)
    equal(dump()["missing"], count, "rules missing in the dump that is kept")
    # Asked once: ages grow.
    said = diagnosis()
    equal(said, {**NOTHING, "refused": 1, "rules": said["rules"]}, "what is said in the end")


@case
def interim():
    """What stands in for a missing rule sends its packets up, so that software does it and no rule behind does; it goes with the rule, or becomes it."""
    (links, vfs) = vfs_with_hooks(2)
    ours, behind = ("pref 1 protocol all", "dst_mac 02:ee:00:00:00:01 action drop"), ("pref 2 protocol all", f"action mirred egress redirect dev {links[1].name}")
    filter_add(links[0], behind)

    def lose():
        """A reset after which the device has not taken back the first rule, and goes on so, and has taken back the other."""
        filter_add(links[0], ours, flags="")
        defer(until, lambda: diagnosis()["missing"] == 0, "nothing is missing any more", 60, pause=0.5)
        defer(control.chaos)
        # Each rule has a counter, and which of the two comes first is not known. The other rule is back after a second, since it has no stand-in.
        for request in range(1, 5):
            control.chaos(f"nic.fail-request={request},nic.fail-update=1+")
            PF().write("reset", 1)
            found = [entry for entry in diagnosis().get("missing_rules", []) if entry["pref"] == 1]
            if found:
                return found[0]
            until(lambda: diagnosis()["missing"] == 0, "the other rule is back", 20)
        raise Failure("the rule is never missing")

    def there(pref):
        return [rule for rule in device_rules(control)["rules"] if rule["priority"] >> 16 == pref]

    entry = lose()
    equal(entry["in_its_place"], SENDS_UP, "what stands in for the rule")
    equal((len(there(1)), there(1)[0]["counters"], len(there(2))), (1, [], 1), "rules in the device, and counters of the one that stands in")
    before = packets(links[0], 2)
    equal(takes(links[0], vfs[0], 1), (5, 0), "what the missing rule has counted, in software and in hardware")
    until(lambda: diagnosis()["missing_rules"][0]["tries"] >= 3, "the rule is tried again and again", 20)
    equal(takes(links[0], vfs[0], 1, 10, sends=5), (10, 0), "the same after it was tried again")
    equal((diagnosis()["missing_rules"][0]["in_its_place"], packets(links[0], 2)), (SENDS_UP, before), "what stands in for it then, and packets of the rule behind")
    equal(in_hw(links[0], 1), True, "in_hw of the missing rule")
    control.chaos()
    until(lambda: diagnosis()["missing"] == 0, "the rule is back", 40)
    equal(takes(links[0], vfs[0], 1, 15, sends=5), (10, 5), "what it has counted then")
    agree(control, links[0])
    filter_del(links[0], "pref 1")
    used = objects(control)
    equal(lose()["in_its_place"], SENDS_UP, "what stands in for the rule once more")
    filter_del(links[0], "pref 1")
    equal((len(there(1)), diagnosis()["missing"]), (0, 0), "rules in the device, and missing, after it was deleted")
    until(lambda: objects(control) == used, f"objects of the device are those of before: {used}", 40)
    agree(control, links[0])


@case
def many_missing():
    """More missing rules than are listed are counted, also as they are deleted; and a device without rules is said to be one."""
    (link, _) = stage()
    count = MISSING_SHOWN + 12
    lines = [f"filter add dev {link.name} ingress pref 5 protocol ip flower skip_sw dst_ip 10.0.1.{n} action drop" for n in range(count)]
    sh(["tc", "-b", "-"], data="\n".join(lines) + "\n", seconds=60)
    agree(control, link)
    reset_refusing("1+")
    until(lambda: diagnosis()["missing"] == count, "all rules are missing", 10)
    said = diagnosis()
    equal((said["missing_not_listed"], len(said["missing_rules"])), (12, MISSING_SHOWN), "rules not listed, and listed")
    filter_del(link, "pref 5")
    until(lambda: health()[0] == "healthy" and diagnosis() == NOTHING, "nothing is missing when nothing is to be there", 10)
    control.chaos()
    filter_add(link, ("pref 6 protocol ip", "dst_ip 10.0.0.6 action drop"))
    control.chaos("nic.flow-silent=1+")
    PF().write("reset", 1)
    until(lambda: "stopped answering" in diagnosis().get("outage", ""), "the device is said to have no rules", 30)
    until(lambda: health()[0] == "error", "the reporter is in error", 5)
    control.chaos()
    PF().write("reset", 1)
    until(lambda: health()[0] == "healthy" and diagnosis() == NOTHING, "all is back", 60)
    agree(control, link)


def encap_mode(mode, check=True):
    return sh(f"devlink dev eswitch set {HANDLE} encap-mode {mode}", check=check)


@case
def encap():
    """encap-mode none: rules of tunnels are refused by name, and it is refused itself while there are any; basic: they are taken."""
    wire = Wire()
    (link,) = switchdev(1)
    sh("modprobe -a vxlan act_tunnel_key")
    ip("link add tun0 type vxlan dstport 4789 external")
    defer(ip, "link del tun0", check=False)
    ip("link set tun0 up")
    tunnel = Link("tun0")
    clsact(link, tunnel)
    defer(encap_mode, "basic")
    into = ("pref 1 protocol all", f"action tunnel_key set src_ip {wire.near4} dst_ip {wire.far4} id 5 dst_port 4789 action mirred egress redirect dev tun0")
    out = ("pref 1 protocol all", f"enc_src_ip {wire.far4} enc_dst_ip {wire.near4} enc_key_id 5 enc_dst_port 4789 action drop")
    says = "rules of tunnels are in hardware"
    equal(eswitch()["encap-mode"], "basic", "encap-mode at first")
    filter_add(link, into)
    fails(encap_mode("none", check=False), "none with a rule that encapsulates", says)
    filter_del(link, "pref 1")
    filter_add(tunnel, out, flags="")
    equal(in_hw(tunnel, 1), True, "in_hw of a rule that decapsulates")
    fails(encap_mode("none", check=False), "none with a rule that decapsulates", says)
    filter_del(tunnel, "pref 1")
    encap_mode("none")
    filter_add(link, ("pref 9 protocol ip", "action drop"))
    for mode in ("none", "none", "legacy", "switchdev"):
        equal(eswitch()["encap-mode"], "none", "encap-mode that reads back")
        encap_mode("none") if mode == "none" else set_mode(mode)
    link = representor(0)
    link.ip("up")
    clsact(link)
    fails(filter_add(link, into, check=False), "encapsulation", "encap-mode is none: action tunnel_key set")
    filter_add(link, into, flags="")
    filter_add(tunnel, out, flags="")
    reasons = ["encap-mode is none: a rule of a tunnel device is not possible", "encap-mode is none: action tunnel_key set is not possible"]
    equal(sorted(e["reason"] for e in diagnosis()["rules"]), reasons, "reasons listed")
    encap_mode("basic")
    equal((in_hw(link, 1), in_hw(tunnel, 1)), (False, False), "rules of software, afterwards")
    for place in (link, tunnel):
        filter_del(place, "pref 1")
    filter_add(link, into)
    filter_add(tunnel, out, flags="")
    equal((in_hw(link, 1), in_hw(tunnel, 1), diagnosis()["refused"]), (True, True, 0), "in_hw of both laid anew, and rules refused")


main()
