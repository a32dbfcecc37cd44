#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The fault matrix: each fault of the device, while nothing happens, under traffic, in a storm of rules, while firmware is flashed, while the mode of the
eswitch changes, and while VFs come and go; nothing is lost, and no packet beyond the pause that Documentation/driver.rst states for the fault.

Afterwards eswitch mode, VFs with their settings and rates, representors, rules, policers, steering rules, versions and the settings of the net device
are as they were. A card that is pulled out comes back as a new one. OXNIC_FAULT_ROUNDS (1) is how often each fault is met, and OXNIC_FAULT_CYCLES (28)
how many faults follow each other in any order; the project asks for 500.
"""

# sets: all
# vm: PORTS=1 MEM=4G TIMEOUT=7200

import itertools
import os
import random
import socket
import subprocess
import tempfile
import time

from lib import PF, Control, VfEnd, Wire, at_most, case, defer, equal, main, note, ping, setup, sh, skip, until
from lib.aer import total
from lib.eswitch import HANDLE, devlink, eswitch, port_names, representor, representors, set_mode, switchdev, vfs_with_hooks
from lib.health import Reporter, all_reporters
from lib.pace import slow
from lib.probe import Probe
from lib.rules import agree
from lib.storm import Storm
from lib.tc import clsact, filter_add, in_hw

ROUNDS = int(os.environ.get("OXNIC_FAULT_ROUNDS", "1"))
CYCLES = int(os.environ.get("OXNIC_FAULT_CYCLES", "28"))
wire = control = field = None
# Of a steering rule that stays.
PLACE = 5
FW, FATAL, TX, RX, FLOW = (Reporter(name) for name in ("fw", "fw_fatal", "tx", "rx", "flow"))


class Field:
    """Three VFs and their representors with rules: two whose rules stay, the third for the storm; and settings that are not the first ones.

    Nodes of rates do not let the mode change, so they are there with `nodes` only."""

    def __init__(self, nodes=True):
        self.make()
        self.lay(connect=True)
        wire.near.set_mtu(3000)
        defer(wire.near.set_mtu, 1500)
        wire.near.ethtool("-G", "rx 512")
        defer(wire.near.ethtool, "-G", "rx 1024", check=False)
        wire.near.ethtool("-N", f"flow-type udp4 dst-port 99 action 0 loc {PLACE}")
        defer(wire.near.ethtool, "-N", f"delete {PLACE}")
        wire.near.ethtool("--set-hwtimestamp-cfg", "tx on rx-filter all")
        defer(wire.near.ethtool, "--set-hwtimestamp-cfg", "tx off rx-filter none")
        if nodes:
            self.rate("add", "tenant", "tx_max 2gbit")
            defer(self.rate, "del", "tenant")
            self.rate("set", self.leaf(0), "parent tenant tx_share 10mbit tx_weight 3")
            defer(self.rate, "set", self.leaf(0), "noparent")
        self.before = self.configuration()

    def make(self):
        switchdev(3)

    def leaf(self, vf):
        """The devlink port of a VF, without the device's own name."""
        shown = devlink("port show")["port"].items()
        (name,) = [name for name, entry in shown if name.startswith(HANDLE + "/") and entry.get("vfnum") == vf]
        return name.removeprefix(HANDLE + "/")

    def rate(self, verb, name, words=""):
        sh(f"devlink port function rate {verb} {HANDLE}/{name} {words}")

    def settle(self):
        """What is set of the VFs, which goes with them."""
        wire.near.ip("vf 0 trust on")
        # Of one whose driver needs not take it at once.
        wire.near.ip("vf 2 mac 02:cc:00:00:00:02")
        self.rate("set", self.leaf(1), "tx_max 800mbit")

    def lay(self, connect):
        """Rules on the representors that there are; and takes the VFs, whose links follow these."""
        self.links = [representor(vf) for vf in range(3)]
        for link in self.links:
            link.ip("up")
        if connect:
            self.vfs = [VfEnd(vf) for vf in range(2)]
            self.settle()
        for link in (*self.links[:2], *(vf.link for vf in self.vfs)):
            link.wait_carrier()
        for link in self.links:
            # A mode that nothing has changed meanwhile has left the rules.
            sh(f"tc qdisc del dev {link.name} clsact", check=False)
        clsact(*self.links)
        for one, other in (self.links[:2], self.links[1::-1]):
            filter_add(one, ("pref 9 protocol all", f"action mirred egress redirect dev {other.name}"))
            police = "action police rate 100mbit burst 100k conform-exceed drop/pipe action drop"
            filter_add(one, ("pref 1 protocol ip", f"dst_ip 198.51.100.0/24 {police}"))

    def configuration(self):
        """All that must be the same afterwards. Firmware that is flashed meanwhile is stored, and does not run."""
        versions = devlink(f"dev info {HANDLE}")["info"][HANDLE]["versions"]
        views = [wire.near.ethtool(view).out for view in ("-l", "-g", "-x", "-c", "-k", "-n", "--get-hwtimestamp-cfg")]
        near = wire.near.show()
        vfs = [{key: value for key, value in vf.items() if key != "stats"} for vf in near["vfinfo_list"]]
        rates = devlink("port function rate show").get("rate", {})
        return (eswitch(), PF().count(), sorted(representors()), versions["running"], near["mtu"], near["address"], views, vfs, rates)

    def answers(self):
        """Packets come through."""
        until(lambda: ping(wire.far4, count=1, check=False, seconds=1) == 1, "the wire is reached", 60)
        one, other = self.vfs
        until(lambda: ping(other.address4, ns=one.ns, count=1, check=False, seconds=1) == 1, "the VFs reach each other", 60)

    def check(self):
        """Everything works and is as it was."""
        self.answers()
        for seen, wanted in zip(self.configuration(), self.before, strict=True):
            equal(seen, wanted, "mode, VFs, representors and settings")
        if self.links:
            agree(control, *self.links, seconds=60)
        for link in self.links[:2]:
            equal([in_hw(link, pref) for pref in (1, 9)], [True, True], "in_hw of the rules that stay")
        bad = [f"{where} {name}" for (where, name), shown in all_reporters().items() if shown["state"] != "healthy"]
        equal(bad, [], "reporters that are not healthy")


class LegacyField(Field):
    """Three VFs in legacy mode, which have no representors; all that only this mode takes is set of them."""

    def __init__(self):
        super().__init__(nodes=False)

    def make(self):
        PF().with_vfs(3)

    def lay(self, connect):
        self.links, self.vfs = [], [VfEnd(vf) for vf in range(2)]
        wire.near.ip("vf 0 trust on spoofchk off")
        wire.near.ip("vf 1 max_tx_rate 800 min_tx_rate 10")
        wire.near.ip("vf 2 mac 02:cc:00:00:00:02 vlan 7 qos 3 state disable")


@setup
def topology():
    global wire, control
    wire = Wire()
    if (HANDLE, "fw_fatal") not in all_reporters():
        skip(f"{HANDLE} has no health reporters")
    for module in ("act_police", "act_vlan"):
        sh(["modprobe", module])
    control = Control()
    defer(control.close)
    defer(control.chaos, "off")


def counted(*reporters):
    """Errors of these reporters together."""
    return sum(reporter.counts()[0] for reporter in reporters)


def is_told(reporters, before, seconds):
    """Whether one of the reporters tells of more errors than before, within so many seconds."""
    end = time.monotonic() + slow(seconds)
    while not (found := counted(*reporters) > before) and time.monotonic() < end:
        time.sleep(0.2)
    return found


def meets(fault, reporters, act, seconds=60, pause=0.3):
    """Turns the fault on and acts until one of the reporters tells of it within so many seconds; again and again, as it may be met by somebody else."""
    before = counted(*reporters)

    def met():
        control.chaos(fault)
        act()
        return is_told(reporters, before, pause)

    try:
        until(met, f"{fault} is told", seconds)
    finally:
        control.chaos("off")


def one_packet():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(bytes(100), (wire.far4, 9))


def little_traffic():
    ping(wire.far4, count=3, check=False, seconds=1)
    one_packet()


def told(*reporters):
    """Waits until one of the reporters has told of what was done just now: it may be met by a queue or a command first."""
    before = counted(*reporters)
    return lambda: until(lambda: counted(*reporters) > before, "the fault is told", 30)


def halt():
    done = told(FATAL, TX, FLOW)
    control.do("halt", function=0, reason=8)
    done()


def hang():
    done = told(FATAL, TX, FLOW)
    control.do("hang", function=0)
    done()


def command_timeout():
    # A request of the storm may be what is not answered, or a command of the driver's own.
    sizes = (256, 512)
    turn = iter(range(1000))
    meets("nic.command-silent=1", (FATAL,), lambda: sh(f"ethtool -G {wire.near.name} rx {sizes[next(turn) % 2]}", check=False), 60)
    until(lambda: sh(f"ethtool -G {wire.near.name} rx 512", check=False).status in (0, 80) and "512" in sh(f"ethtool -g {wire.near.name}", check=False).out.split("Current")[-1], "the size of the ring is as before", 60, pause=0.5)


def corrupt_transmit():
    meets("nic.tx-head=1", (TX,), little_traffic)


def corrupt_receive():
    meets("nic.rx-buffer=1", (RX,), little_traffic)


def stalled_queue():
    # All, as a later completion makes up for one that is missing.
    meets("nic.tx-silent=1+", (TX,), little_traffic, 90, 12)


def lost_interrupt():
    meets("nic.interrupt-lost=1", (TX, RX), little_traffic, 90, 3)


def lost_doorbell():
    # Of a queue, a vector, the commands: told as what it leads to. Those of events, receive buffers and packets are made up for by the
    # next one, so every other time there is one packet and no next one, until its queue has stalled.
    reporters = (TX, RX, FLOW, FATAL)
    before = counted(*reporters)

    def alone():
        one_packet()
        is_told(reporters, before, 10)

    turns = itertools.cycle((little_traffic, alone))
    meets("doorbell@pf=1", reporters, lambda: next(turns)(), 120, 3)


def silent_rules():
    link = field.links[2]

    def add():
        sh(f"tc filter add dev {link.name} ingress pref 77 protocol ip flower skip_sw dst_ip 203.0.113.1 action drop", check=False)
        sh(f"tc filter del dev {link.name} ingress pref 77", check=False)

    meets("nic.flow-silent=1", (FLOW,), add, 60)


def generation():
    return control.function()["generation"]


def asked_by_the_device():
    done = told(FW)
    control.do("reset-request")
    done()


def flr():
    before = generation()
    PF().write("reset", 1)
    until(lambda: generation() > before, "the function is reset", 30)


def aer(kind):
    before = total(kind)
    control.do("aer", kind=kind)
    until(lambda: total(kind) > before, f"the kernel counts an error ({kind})", 30)


FAULTS = {
    "firmware crash": halt,
    "hang": hang,
    "command without an answer": command_timeout,
    "corrupt completion of transmit": corrupt_transmit,
    "corrupt completion of receive": corrupt_receive,
    "completion that never comes": stalled_queue,
    "lost interrupt": lost_interrupt,
    "lost doorbell": lost_doorbell,
    "request about a rule without a result": silent_rules,
    "reset asked by the device": asked_by_the_device,
    "FLR": flr,
    "AER, corrected": lambda: aer("correctable"),
    "AER, non-fatal": lambda: aer("nonfatal"),
    "AER, fatal": lambda: aer("fatal"),
}


# Seconds without an answer from the wire, at most, of the stock kernel: those that Documentation/driver.rst states. Most of it is the time in which the
# fault is found; the rest is for a guest that is emulated on a busy host.
PAUSES = {
    "firmware crash": 4,
    "hang": 10,
    "command without an answer": 10,
    "corrupt completion of transmit": 3,
    "corrupt completion of receive": 3,
    "completion that never comes": 15,
    "lost interrupt": 6,
    "lost doorbell": 15,
    "request about a rule without a result": 4,
    "reset asked by the device": 3,
    "FLR": 4,
    "AER, corrected": 1,
    "AER, non-fatal": 1,
    "AER, fatal": 4,
}
# More where commands are under way, each of which may be what is not answered.
COMMANDS = 10
# And of a card that is plugged in, until its new interface has an answer.
BACK = 10


class Loop:
    """Commands that a shell goes through again and again, until it is stopped after the last of them. What fails is not looked at."""

    def __init__(self, *commands):
        self.flag = tempfile.mkdtemp()
        body = "; ".join(commands)
        self.process = subprocess.Popen(["sh", "-c", f"while [ -e {self.flag} ]; do {body}; done"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        defer(self.stop)

    def stop(self):
        if os.path.exists(self.flag):
            os.rmdir(self.flag)
        self.process.wait(slow(120))


def begin_field(make=Field):
    global field
    # A completion that never comes is found by the watch or by the kernel's own, whichever is earlier.
    sh("echo 'oxnic-expect: NETDEV WATCHDOG|transmit queue \\d+ timed out' > /dev/kmsg")
    field = make()


def matrix(condition, but=(), make=Field, more=0):
    """Each fault but some under a condition, which is a function that begins it and gives one that ends it, and costs so many seconds more at most."""
    begin_field(make)
    for name, fault in FAULTS.items():
        if name in but:
            continue
        for _ in range(ROUNDS):
            probe = Probe(wire.far4)
            end = condition()
            fault()
            end()
            field.check()
            gap = probe.gap()
            outage = FATAL.diagnose().get("last_outage_ms", 0)
            note(f"{name}: without an answer for {1000 * gap:.0f} ms, last outage of the function {outage} ms")
            at_most(gap, slow(PAUSES[name] + more), f"{name}: seconds without an answer")
        # The driver gives a device up that it has to reset ten times in a minute; a reset by the user has it count anew.
        flr()
        field.check()


# Without a representor of its own it is not met.
RULE_FAULT = "request about a rule without a result"


def without_nodes():
    return Field(nodes=False)


@case
def idle():
    """While nothing else happens."""
    matrix(lambda: lambda: None)


@case
def legacy():
    """The same in legacy mode."""
    matrix(lambda: lambda: None, (RULE_FAULT,), LegacyField)


@case
def cycles():
    """One after the other, in any order: each is recovered from."""
    begin_field()
    seed = random.randrange(1 << 32)
    note(f"seed {seed}")
    dice, bag = random.Random(seed), []
    for number in range(1, CYCLES + 1):
        bag = bag or dice.sample(list(FAULTS), len(FAULTS))
        name = bag.pop()
        begin = time.monotonic()
        FAULTS[name]()
        field.answers()
        note(f"{number}: {name}, {time.monotonic() - begin:.1f} s")
        # As in the matrix, it is not to be given up.
        if number % 7 == 0:
            flr()
            field.check()
    field.check()


@case
def traffic():
    """Under traffic of the PF and between VFs."""
    def begin():
        script = "/tmp/load"
        sh(f"ping -f -q {wire.far4} >/dev/null 2>&1 & echo $! > {script}.pid")
        sh(f"ip netns exec {field.vfs[0].ns.name} ping -q -i 0.01 {field.vfs[1].address4} >/dev/null 2>&1 & echo $! >> {script}.pid")
        return lambda: sh(f"kill $(cat {script}.pid); rm {script}.pid", check=False)

    matrix(begin)


@case
def storm():
    """While two programs add and delete rules of a representor without an end."""
    seed = random.randrange(1 << 32)
    note(f"seed {seed}")

    def begin():
        storm = Storm()
        names = [link.name for link in field.links]
        for _ in range(2):
            storm.of_tc(f"dev {names[2]} ingress", names, seed)

        def end():
            note(storm.stop())
            sh(f"tc filter del dev {names[2]} ingress", check=False)

        return end

    matrix(begin)


@case
def flash():
    """While firmware is flashed, again and again: a flash that a fault ends has stored nothing, and nothing else runs."""
    folder = tempfile.mkdtemp()
    with open("/sys/module/firmware_class/parameters/path", "w") as file:
        file.write(folder)
    sh(f"{os.environ['OXNIC_FIRMWARE']} --out {folder}/new.pldm --version 3.0.0 --content 500000")
    first = sh(f"devlink dev flash {HANDLE} file new.pldm", check=False)
    if "CONFIG_PLDMFW" in first.text:
        skip(first.text)
    equal((first.status, first.text.count("Verifying")), (0, 3), f"a flash without a fault: {first.text}")
    matrix(lambda: Loop(f"devlink dev flash {HANDLE} file new.pldm").stop, more=COMMANDS)


@case
def mode_changes():
    """While the mode of the eswitch changes, again and again; rules go with it, and are laid anew."""

    def begin():
        loop = Loop(*(f"devlink dev eswitch set {HANDLE} mode {mode}" for mode in ("legacy", "switchdev")))

        def end():
            loop.stop()
            until(lambda: set_mode("switchdev", check=False).status == 0, "the eswitch can be switched", 30)
            field.lay(connect=False)

        return end

    matrix(begin, (RULE_FAULT,), without_nodes, COMMANDS)


@case
def vfs_come_and_go():
    """While VFs are disabled and enabled, again and again; their netdevs and rules are made anew."""

    def begin():
        for vf in field.vfs:
            vf.close()
        path = f"{PF().path}/sriov_numvfs"
        loop = Loop(*(f"echo {count} >{path}" for count in (0, 3)))

        def end():
            loop.stop()
            until(lambda: PF().count() == 0 or sh(f"echo 0 >{path}", check=False).status == 0, "VFs can be disabled", 30)
            PF().set_vfs(3)
            field.lay(connect=True)

        return end

    # Of the kernel's own, AER holds its lock of buses and waits for that of the function, and who removes VFs the other way round.
    matrix(begin, (RULE_FAULT, "AER, non-fatal", "AER, fatal"), without_nodes, COMMANDS)


@case
def surprise_removal():
    """The card is pulled out under traffic and plugged in: it is soon there, as a new one, with nothing of what was set, and can do it all again."""
    switchdev(2)
    before = devlink(f"dev info {HANDLE}")["info"][HANDLE]["versions"]["running"]
    first = {vf: representor(vf) for vf in range(2)}
    clsact(*first.values())
    filter_add(first[0], ("pref 1 protocol all", f"action mirred egress redirect dev {first[1].name}"))
    Probe(wire.far4)
    control.do("remove")
    until(lambda: not PF().exists(), "the function is gone", 60)
    equal(port_names(), {}, "net devices of a card that is gone")
    control.do("insert")
    begin = time.monotonic()
    until(lambda: PF().exists() and PF().netdevs(), "the function has its interface", 60)
    wire.renew()
    until(lambda: ping(wire.far4, count=1, check=False, seconds=1) == 1, "the wire is reached", 60)
    back = time.monotonic() - begin
    note(f"surprise removal: {back:.1f} s from plugging in to the first answer")
    at_most(back, slow(BACK), "seconds from plugging in to the first answer")
    shown = devlink(f"dev info {HANDLE}")["info"][HANDLE]["versions"]["running"]
    equal((eswitch()["mode"], PF().count(), representors(), shown), ("legacy", 0, {}, before), "mode, VFs, representors and running versions")
    equal(control.do("stats")["nic"]["flow"]["objects"]["rules"], 0, "rules in the device")
    links, _ = vfs_with_hooks(2)
    filter_add(links[0], ("pref 1 protocol all", f"action mirred egress redirect dev {links[1].name}"))
    equal(in_hw(links[0], 1), True, "in_hw of a new rule")


main()
