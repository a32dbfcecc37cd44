#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Storms of rules on a device that is reset, refuses, does not answer, lies, loses its VFs, or goes: then tc and the device agree, rule by rule.

OXNIC_STORM_SECONDS (3) is how long each kind of trouble lasts.
"""

# sets: quick
# quick: resets
# vm: PORTS=1 MEM=4G

import os
import random
import time

from lib import PF, Capture, Control, Failure, VfEnd, at_least, case, defer, equal, ip, main, note, ping, setup, sh, true, until
from lib.eswitch import offloading_wire, representor, set_mode, switchdev
from lib.function import write_once
from lib.nft import TABLE, Chain, gone
from lib.rules import agree, device_rules, empty, holds, objects, table_of
from lib.storm import Storm
from lib.tc import clsact, counted, filter_add, filters, in_hw, packets

SECONDS = float(os.environ.get("OXNIC_STORM_SECONDS", "3"))
# A rule by which the VFs talk, behind those of the storm.
BASE = 60000
wire = control = None


@setup
def topology():
    global wire, control
    wire = offloading_wire()
    for module in ("vxlan", "act_tunnel_key", "act_police", "act_vlan"):
        sh(["modprobe", module])
    control = Control()
    defer(control.close)
    defer(control.chaos)


def calm():
    """The device does what it should again. A reset by the user has the driver count resets anew."""
    control.chaos()
    PF().write("reset", 1)


class Field:
    """Four VFs with their representors: two with blocks of their own and a rule to each other, two with one block or a chain of nftables."""

    def __init__(self, chain=False):
        self.links = switchdev(4)
        self.vfs = [VfEnd(vf) for vf in range(2)]
        for link in (*self.links[:2], *(vf.link for vf in self.vfs)):
            link.wait_carrier()
        clsact(*self.links[:2])
        self.seed = random.randrange(1 << 32)
        note(f"seed {self.seed}")
        self.chain = None
        if chain:
            self.chain = Chain([self.links[3].name])
            defer(gone)
        else:
            for link in self.links[2:]:
                sh(f"tc qdisc add dev {link.name} ingress_block 7 clsact")
                defer(sh, f"tc qdisc del dev {link.name} clsact", check=False)
        for one, other in (self.links[:2], self.links[1::-1]):
            filter_add(one, (f"pref {BASE} protocol all", f"action mirred egress redirect dev {other.name}"))
        self.generation = control.function()["generation"]

    def storm(self):
        storm, names = Storm(), [link.name for link in self.links]
        for number in range(2):
            storm.of_tc(f"dev {names[number]} ingress", names[:3], self.seed)
        if self.chain:
            storm.of_nft(f"{TABLE} {self.chain.name}", names[0], self.seed)
        else:
            storm.of_tc("block 7", names[:3], self.seed)
        return storm

    def counted(self):
        """Packets of the rules by which the VFs talk."""
        return [packets(link, BASE) for link in self.links[:2]]

    def agrees(self, before=None):
        """tc and the device agree, and packets follow the rules: they are counted, on top of what was, and the host does not see them."""
        tc, besides = (self.links[:3], self.links[3:]) if self.chain else (self.links, ())
        agree(control, *tc, besides=besides, seconds=60)
        there = sum(bool(entry["options"].get("in_hw")) for link in self.links[:3] for entry in filters(link))
        note(f"{there} rules in hardware, {control.function()['generation'] - self.generation} resets")
        equal([in_hw(link, BASE) for link in self.links[:2]], [True, True], "in_hw of the rules by which the VFs talk")
        if self.chain:
            self.chain_agrees()
        ways = self.vfs[0], self.vfs[1]
        until(lambda: ping(ways[1].address4, ns=ways[0].ns, count=1, check=False, seconds=1) == 1, "the VFs reach each other", 40)
        now = self.counted()
        for seen, was in zip(now, before or [0, 0], strict=True):
            at_least(seen, was, "packets that were counted before")
        capture = Capture(self.links[0])
        ping(ways[1].address4, ns=ways[0].ns, count=5)
        capture.expect_none("a frame between the VFs", lambda parsed: self.vfs[0].link.mac in (parsed.source, parsed.destination), 0.3)
        for link, was in zip(self.links[:2], now, strict=True):
            counted(link, BASE, was + 5)
        return there

    def chain_agrees(self):
        """The device has each rule of the chain of nftables, and no other one. All parts of a rule have one number."""
        rules = [rule["expr"][0]["match"]["right"] for rule in self.chain.rules()]
        seen = []

        def same():
            dump = device_rules(control)
            table = table_of(dump, self.links[3])
            inside = [rule for rule in dump["rules"] if rule["table"] == table]
            numbers = sorted({rule["priority"] for rule in inside})
            seen[:] = [[rule["key"] for rule in inside if rule["priority"] == number] for number in numbers]
            has = lambda port, keys: any(holds(key, port.to_bytes(2, "big")) for key in keys)  # noqa: E731
            return len(seen) == len(rules) and all(map(has, rules, seen))

        try:
            until(same, f"the device has the rules for the ports {rules} in this order", 20, pause=0.5)
        except Failure as error:
            raise Failure(f"{error}: {seen}") from None


def talk(field):
    """Some packets are counted. Answers how many."""
    ping(field.vfs[1].address4, ns=field.vfs[0].ns, count=5)
    for link in field.links[:2]:
        counted(link, BASE, 5)
    return field.counted()


def reset_by_device(how):
    before = control.function()["generation"]
    control.do(how, **({"function": 0, "reason": 8} if how == "halt" else {}))
    until(lambda: control.function()["generation"] > before, "the driver resets the function", 60)


@case
def resets():
    """Reset by the user and by the device, again and again: all rules are in the device, with what they have counted."""
    field = Field()
    before = talk(field)
    storm = field.storm()
    for _ in range(2):
        time.sleep(SECONDS / 3)
        PF().write("reset", 1)
        time.sleep(SECONDS / 3)
        reset_by_device("reset-request")
    reset_by_device("halt")
    time.sleep(SECONDS / 3)
    note(storm.stop())
    at_least(field.agrees(before), 20, "rules in hardware")
    equal(control.function()["halted"], False, "the function is halted")


@case
def transactions():
    """The same with transactions of nftables beside rules of tc: none fails for a reset, and the order is kept."""
    field = Field(chain=True)
    before = talk(field)
    storm = field.storm()
    for _ in range(4):
        time.sleep(SECONDS / 2)
        PF().write("reset", 1)
    time.sleep(SECONDS / 3)
    note(storm.stop())
    field.agrees(before)


@case
def refusals():
    """Requests, commands and new objects that are refused now and then, also while rules are put back."""
    field = Field()
    defer(calm)
    before = talk(field)
    storm = field.storm()
    for spec in ("nic.fail-request=*5", "nic.fail-allocation=*3", "nic.status=28,nic.fail-command=*4"):
        control.chaos(spec)
        time.sleep(SECONDS)
    # What the interfaces need of the device must not be refused: else the function is given up.
    control.chaos("nic.fail-request=*7")
    PF().write("reset", 1)
    time.sleep(SECONDS)
    control.chaos()
    note(storm.stop())
    field.agrees(before)


@case
def silence():
    """Requests and commands that are not answered."""
    field = Field()
    defer(calm)
    before = talk(field)
    for spec in ("nic.flow-silent=20", "nic.command-silent=20", "nic.flow-late=*5"):
        storm = field.storm()
        time.sleep(SECONDS / 2)
        control.chaos(spec)
        time.sleep(SECONDS)
        note(f"{spec}: {storm.stop()}")
        calm()
        field.agrees(before)


@case
def lies():
    """Results that are wrong in each of their parts."""
    field = Field()
    defer(calm)
    kinds = ["nic.flow-" + kind for kind in ("twice", "head", "queue", "object", "status", "generation")]
    for spec in (*kinds, "nic.command-status"):
        storm = field.storm()
        control.chaos(f"{spec}=*31")
        time.sleep(SECONDS)
        note(f"{spec}: {storm.stop()}")
        calm()
        agree(control, *field.links, seconds=60)
    field.agrees()


def rich(links):
    """A rule that needs one object of each kind, in a chain that has no table yet."""
    police = "action police rate 10mbit burst 100k conform-exceed drop/pipe"
    key = f"action tunnel_key set id 9 src_ip {wire.near4} dst_ip {wire.far4} dst_port 4789"
    return (
        ("pref 5 protocol ip", f"dst_ip 10.9.9.9 ip_proto udp {police} {key} action mirred egress redirect dev storm0"),
        links[0],
    )


def tunnel():
    ip("link add storm0 type vxlan external dstport 4789")
    defer(ip, "link del storm0", check=False)
    ip("link set storm0 up")


def each_step(fault, links, after, most=12):
    """A rule is added with the first, second, third… step of its kind failing, until none does. Answers how many have failed."""
    words, link = rich(links)
    for step in range(1, most + 1):
        before = objects(control)
        result, met = control.meets(f"nic.{fault}={step}", lambda: filter_add(link, words, check=False))
        note(f"{fault} {step}: {'met' if met else 'not met'}, status {result.status} {result.text[:120]}")
        after(result, met, before)
        sh(f"tc filter del dev {link.name} ingress pref 5", check=False)
        until(lambda: objects(control) == before, f"objects of the device are those of before: {before}", 10)  # noqa: B023
        if not met:
            equal(result.status, 0, "status of tc for a rule that nothing stands in the way of")
            return step - 1
    raise Failure(f"a rule takes more than {most} steps")


@case
def steps_refused():
    """Each step of an install refused: the rule is refused with its reason, and device and driver are as they were."""
    links = switchdev(2)
    clsact(*links)
    tunnel()
    defer(calm)
    filter_add(links[1], ("pref 1 protocol all", "action drop"))

    def after(result, met, before):
        true((result.status != 0) == met, "a rule is refused if and only if a step fails")
        if met:
            true("device refuses" in result.text, f"the reason: {result.text}")
            equal(objects(control), before, "objects in the device")
        agree(control, *links)

    # Templates for matches and actions, a meter, headers; counters of the rule, of what the policer drops and of what it lets through; the rule.
    at_least(each_step("fail-command", links, after), 4, "commands that an install takes")
    at_least(each_step("fail-allocation", links, after), 5, "objects that an install makes")
    equal(each_step("fail-request", links, after), 4, "requests that an install takes")


@case
def steps_unanswered():
    """Each step of an install without an answer: the device is reset, and the rule refused, or in hardware."""
    links = switchdev(2)
    clsact(*links)
    tunnel()
    defer(calm)
    filter_add(links[1], ("pref 1 protocol all", "action drop"))

    def after(result, met, _):
        if met:
            calm()
        agree(control, *links, seconds=60)
        equal(in_hw(links[1], 1), True, "in_hw of a rule that was there")
        if not met:
            equal(result.status, 0, "status of tc")

    at_least(each_step("flow-silent", links, after), 2, "requests")
    at_least(each_step("command-silent", links, after), 4, "commands")


@case
def steps_of_return():
    """Each step of putting rules back refused, or without an answer: they come back all the same, a little later."""
    links = switchdev(2)
    clsact(*links)
    tunnel()
    defer(calm)
    words, link = rich(links)
    filter_add(link, words)
    filter_add(links[1], ("pref 1 protocol all", "action drop"))
    before = objects(control)
    for fault in ("fail-allocation", "fail-request", "flow-silent"):
        for step in range(1, 4):
            generation = control.function()["generation"]
            control.chaos(f"nic.{fault}={step}")
            PF().write("reset", 1)
            at_least(control.function()["generation"], generation + 1, "generation of the function")
            until(lambda: objects(control) == before, f"all objects are back: {before}", 40, pause=0.2)
            control.chaos()
            agree(control, *links)


def look_for_no_modules():
    """The kernel looks for a module for each name of a netdev that it does not know, which takes longer than all else that a storm does while its
    netdevs are gone. What it needs has been loaded when this is called."""
    path = "/proc/sys/kernel/modprobe"
    with open(path) as file:
        before = file.read()
    defer(write_once, path, before)
    write_once(path, "\n")


def close(field):
    for vf in field.vfs:
        vf.close()


def after_going(field):
    """Everything is made anew, and works. Answers what was made, to be closed by `close`."""
    until(lambda: PF().exists() and PF().driver == "oxnic" and PF().netdevs(), "the function with its netdev", 60)
    close(field)
    empty(control)
    wire.near = PF().link()
    ip(["address", "replace", f"{wire.near4}/24", "dev", wire.near.name])
    wire.near.up()
    again = Field()
    again.agrees()
    return again


@case
def vfs_go():
    """All VFs go in the middle of a storm, once in the middle of a reset, too, and come back without rules."""
    field = Field()
    clsact(wire.near)
    for number in range(10):
        filter_add(wire.near, (f"pref {number + 1} protocol ip", f"dst_ip 10.8.0.{number} action mirred egress redirect dev {field.links[0].name}"))
    storm = field.storm()
    for turn in range(3):
        time.sleep(SECONDS / 2)
        if turn == 1:
            control.do("reset-request")
        PF().set_vfs(0)
        PF().set_vfs(4)
        for vf in range(4):
            name = representor(vf).name
            sh(f"ip link set dev {name} up; tc qdisc add dev {name} clsact", check=False)
    note(storm.stop())
    agree(control, wire.near, *(representor(vf) for vf in range(4)), seconds=60)
    PF().set_vfs(0)
    agree(control, wire.near, seconds=60)
    sh(f"tc qdisc del dev {wire.near.name} clsact")
    set_mode("legacy")
    close(after_going(field))


@case
def unloaded():
    """The module is unloaded in the middle of a storm, once while the function is being reset."""
    field = Field()
    for reset in (False, True):
        storm = field.storm()
        time.sleep(SECONDS / 2)
        look_for_no_modules()
        if reset:
            control.do("reset-request")
        sh("rmmod oxnic", seconds=60)
        empty(control)
        sh(["insmod", os.environ["OXNIC_MODULE"]])
        note(storm.stop())
        field = after_going(field)
    close(field)


@case
def pulled():
    """The card is pulled out in the middle of a storm, and plugged in again."""
    field = Field()
    storm = field.storm()
    time.sleep(SECONDS / 2)
    look_for_no_modules()
    control.do("remove")
    until(lambda: not PF().exists(), "the function is gone from the bus", 60)
    time.sleep(1)
    control.do("insert")
    note(storm.stop())
    close(after_going(field))


main()
