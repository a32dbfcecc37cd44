#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Health reporters: each fault is seen, counted, dumped and recovered from by the reporter that it belongs to, as the user has set."""

# sets: quick
# vm: PORTS=2 MEM=4G

import json
import socket
import time

from lib import PF, Control, Stream, VfEnd, Wire, at_least, at_most, case, defer, equal, fails, main, note, ping, setup, sh, skip, true, until
from lib.eswitch import HANDLE, switchdev
from lib.health import Reporter, all_reporters
from lib.namespace import open_socket
from lib.rules import agree
from lib.tc import clsact, filter_add, filter_del

wire = control = None
FW, FATAL, TX, RX, FLOW = (Reporter(name) for name in ("fw", "fw_fatal", "tx", "rx", "flow"))


@setup
def topology():
    global wire, control
    wire = Wire()
    if (HANDLE, "fw_fatal") not in all_reporters():
        skip(f"{HANDLE} has no health reporters")
    control = Control()
    defer(control.close)
    defer(control.chaos, "off")


def function(number=0):
    return control.function(number)


def calm():
    """The device does what it should again. A reset by the user has the driver count resets anew."""
    control.chaos("off")
    PF().write("reset", 1)
    works()


def works(seconds=40):
    until(lambda: ping(wire.far4, count=1, check=False, seconds=1) == 1, "the wire is reached", seconds)


def others_well(*but):
    """All reporters but these are healthy."""
    bad = [f"{where} {name}" for (where, name), shown in all_reporters().items() if shown["state"] != "healthy" and name not in but]
    equal(bad, [], "reporters that are not healthy")


@case
def shown():
    """The reporters that there are; what they say is true, and changes with the device."""
    ports = {f"{HANDLE}/{port}" for port in (0, 1)}
    wanted = {(HANDLE, name) for name in ("fw", "fw_fatal", "flow", "rules")} | {(port, name) for port in ports for name in ("tx", "rx")}
    equal(set(all_reporters()), wanted, "reporters")
    others_well()
    said = FATAL.diagnose()
    equal((said["state"], said["accepted"], said["halted"], said["generation"]), ("running", True, False, function()["generation"]), "fw_fatal")
    beat = said["heartbeat"]
    until(lambda: FATAL.diagnose()["heartbeat"] > beat, "the heartbeat moves", 2)
    said = FW.diagnose()
    equal((said["severity"], said["errors"]), ("healthy", function()["errors"]), "fw")
    for reporter, key in ((TX, "queued"), (RX, "taken")):
        said = reporter.diagnose()
        equal((said["netdev"], said["open"], said["working"], len(said["queues"])), (wire.near.name, True, True, wire.near.queues()[1]), f"{reporter}")
        before = sum(queue[key] for queue in said["queues"])
        ping(wire.far4)
        at_least(sum(queue[key] for queue in reporter.diagnose()["queues"]), before + 3, f"{key} of {reporter} after three pings")
    wire.near.down()
    defer(wire.near.up)
    equal((TX.diagnose()["open"], RX.diagnose()["open"]), (False, False), "open, of an interface that is closed")
    equal(FLOW.diagnose(), {"in_use": False}, "flow without rules")


@case
def fatal():
    """A halt: fw_fatal counts it, has the dump that the device made then, and recovers."""
    stream = Stream(wire.near, wire.far, wire.near4, wire.far4)
    before, generation = FATAL.counts(), function()["generation"]
    control.do("halt", function=0, reason=8)
    FATAL.counted(before)
    took = stream.resumes()
    note(f"traffic resumed {took:.1f} s after it was looked for")
    at_least(function()["generation"], generation + 1, "generation of the function")
    said = FATAL.diagnose()
    equal((said["state"], said["last_fault"]), ("running", "the function has halted: internal error"), "what fw_fatal says of it")
    note(f"the function was down for {said['last_outage_ms']} ms")
    equal(FATAL.has_dump(), True, "there is a dump")
    dump = FATAL.dump()
    equal((dump["trigger"], dump["reason"], dump["generation"]), ("halt", "internal error", generation), "what the dump is of")
    equal(dump["log"][-1]["text"], "halted: internal error", "the last line of the device's log")
    busy = [queue for queue in dump["queues"] if queue["kind"] == "transmit" and queue["done"]]
    at_least(len(busy), 1, "transmit queues that had sent")
    equal(FATAL.has_dump(), False, "the dump is deleted")
    others_well()


@case
def stands_still():
    """A function that hangs is seen by its heartbeat, dumped as it stands, and recovered from; and one that answers no command."""
    before = FATAL.counts()
    control.do("hang", function=0)
    FATAL.counted(before)
    works()
    equal(FATAL.diagnose()["last_fault"], "the heartbeat stands still", "the fault")
    dump = FATAL.dump()
    equal((dump["trigger"], dump["log"][-1]["text"]), ("asked by the driver", "stands still"), "the dump")
    before = FATAL.counts()
    control.chaos("nic.command-silent=1")
    sh(f"ethtool -G {wire.near.name} rx 512", check=False)
    sh(f"ethtool -G {wire.near.name} rx 1024", check=False)
    FATAL.counted(before)
    control.chaos("off")
    works()
    true("no answer to" in FATAL.diagnose()["last_fault"], "the fault is a command without an answer")


def vf_statistics():
    """Packets of the first VF as `ip -s link` shows them of the PF."""
    (shown,) = json.loads(sh(f"ip -s -j link show dev {wire.near.name}").out)
    stats = shown["vfinfo_list"][0]["stats"]
    return {way: stats[way].get("packets", stats[way].get(f"{way}_packets")) for way in ("rx", "tx")}


@case
def stays_down():
    """With auto_recover off the function stays down, says so, and nothing but `recover` brings it back: rules, VFs, settings as before."""
    FATAL.set(auto_recover=False)
    (link,) = switchdev(1)
    vf = VfEnd(0)
    clsact(link)
    filter_add(link, ("pref 1 protocol ip", "dst_ip 10.0.0.1 action drop"))
    ping(wire.far4, ns=vf.ns, count=2, check=False)
    time.sleep(0.5)
    seen = vf_statistics()
    true(sum(seen.values()) > 0, f"statistics of the VF: {seen}")
    before, generation = FATAL.counts(), function()["generation"]
    control.do("halt", function=0, reason=8)
    FATAL.counted(before, recoveries=0)
    equal(FATAL.state(), "error", "state")
    equal(vf_statistics(), seen, "statistics of the VF while the function is down")
    time.sleep(4)
    equal((FATAL.counts(), FATAL.diagnose()["state"]), ((before[0] + 1, before[1]), "down"), "errors, recoveries and state 4 s later")
    equal((function()["generation"], function()["halted"]), (generation, True), "the device, which nobody has reset")
    fails(sh(f"devlink dev eswitch set {HANDLE} mode legacy", check=False), "a change of the mode meanwhile", "mode")
    FATAL.recover()
    equal((FATAL.state(), FATAL.counts()), ("healthy", (before[0] + 1, before[1] + 1)), "state and counts after it was recovered")
    works()
    agree(control, link)
    until(lambda: ping(wire.far4, ns=vf.ns, count=1, check=False, seconds=1) in (0, 1), "the VF is there", 10)
    filter_del(link, "pref 1")
    others_well()


@case
def not_destroyed():
    """Queues that the device does not destroy as their interface is closed: it may not use their memory, nor any other, until it is reset."""
    FATAL.set(auto_recover=False)
    before = FATAL.counts()
    defer(wire.near.up)
    equal(function()["bus_master"], True, "bus mastering")
    control.chaos("nic.fail-command=2+")
    wire.near.down()
    control.chaos("off")
    FATAL.counted(before, recoveries=0)
    equal(function()["bus_master"], False, "bus mastering while the function is down")
    FATAL.recover()
    equal(function()["bus_master"], True, "bus mastering after it was recovered")
    wire.near.up()
    works()
    others_well()


@case
def taken_for_gone():
    """A function that does not answer for a while may use no memory from then on, until it is reset; how long it was away is shown."""
    before = FATAL.counts()
    control.chaos("nic.register-ones=1+")
    # Whatever cannot be destroyed now is freed.
    until(lambda: FATAL.state() == "error" and not function()["bus_master"], "the function is gone, and has no bus mastering", 30)
    wire.near.down()
    defer(wire.near.up)
    time.sleep(2)
    control.chaos("off")
    until(lambda: FATAL.state() == "healthy", "the function is back", 30)
    true(FATAL.counts() > before, f"errors and recoveries: {FATAL.counts()}, {before} before")
    equal(function()["bus_master"], True, "bus mastering of a function that is back")
    at_least(FATAL.diagnose()["last_outage_ms"], 2000, "milliseconds that it was away")
    wire.near.up()
    works()
    others_well()


@case
def gone_and_let_go():
    """A function that answers again, and is let go before anybody has looked, is reset: the next driver meets none that goes on."""
    control.chaos("nic.register-ones=1+")
    until(lambda: FATAL.state() == "error" and not function()["bus_master"], "the function is gone, and has no bus mastering", 30)
    generation = function()["generation"]
    control.chaos("off")
    PF().unbind()
    at_least(function()["generation"], generation + 1, "generation of a function that was let go")
    equal(function()["bus_master"], False, "bus mastering without a driver")
    PF().bind("oxnic")
    wire.renew()
    equal(function()["bus_master"], True, "bus mastering of a function that was taken over")
    works()
    switchdev(1)


@case
def vfs_of_the_driver_before():
    """VFs that the device could not be told to disable, as the driver went while the function was down, are no hindrance to the next driver."""
    FATAL.set(auto_recover=False)
    PF().set_vfs(2)
    before = FATAL.counts()
    control.do("halt", function=0, reason=8)
    FATAL.counted(before, recoveries=0)
    PF().unbind()
    PF().bind("oxnic")
    wire.near = PF().link()
    wire.near.ip("up")
    sh(f"ip address replace {wire.near4}/24 dev {wire.near.name}")
    PF().set_vfs(3)
    PF().set_vfs(0)
    works()


@case
def goes_while_down():
    """What is removed while the function stays down does not wait for it: an interface is closed, VFs and their representors go."""
    FATAL.set(auto_recover=False)
    switchdev(2)
    before = FATAL.counts()
    control.do("halt", function=0, reason=8)
    FATAL.counted(before, recoveries=0)
    wire.near.down()
    defer(wire.near.up)
    start = time.monotonic()
    PF().set_vfs(0)
    at_most(time.monotonic() - start, 30, "seconds that it took to remove two VFs")
    FATAL.recover()
    wire.near.up()
    works()
    PF().set_vfs(2)
    PF().set_vfs(0)


@case
def grace_period():
    """A second error within the grace period is counted and not recovered from, until the user does it."""
    FATAL.test()
    works()
    FATAL.set(grace_period=600000)
    before = FATAL.counts()
    FATAL.test()
    FATAL.counted(before, recoveries=0)
    equal((FATAL.state(), FATAL.diagnose()["state"]), ("error", "down"), "states")
    FATAL.recover()
    equal(FATAL.state(), "healthy", "state after it was recovered")
    works()


@case
def reset_by_user():
    """A reset through sysfs brings back what stays down, and the reporter says so."""
    FATAL.set(auto_recover=False)
    before = FATAL.counts()
    FATAL.test()
    FATAL.counted(before, recoveries=0)
    PF().write("reset", 1)
    equal((FATAL.state(), FATAL.diagnose()["state"]), ("healthy", "running"), "states after a reset by the user")
    works()


@case
def asked_by_the_device():
    """A reset that the device asks for is fw's; with auto_recover off the function works on until it is recovered."""
    before = FW.counts()
    generation = function()["generation"]
    control.do("reset-request")
    FW.counted(before)
    at_least(function()["generation"], generation + 1, "generation")
    works()
    FW.set(auto_recover=False)
    before, generation = FW.counts(), function()["generation"]
    control.do("reset-request")
    FW.counted(before, recoveries=0)
    equal(FW.diagnose()["reset_requested"], True, "reset_requested")
    time.sleep(3)
    ping(wire.far4)
    equal((FW.counts(), function()["generation"]), ((before[0] + 1, before[1]), generation), "counts and generation 3 s later")
    FW.recover()
    equal((FW.state(), function()["generation"]), ("healthy", generation + 1), "state and generation after it was recovered")
    works()


@case
def noted():
    """What the health block notes while work goes on is fw's, is acknowledged, and told again."""
    for _ in range(2):
        before, generation = FW.counts(), function()["generation"]
        control.do("note", function=0, severity=1, reason=6)
        FW.counted(before)
        equal((function()["severity"], function()["generation"]), (0, generation), "severity and generation afterwards")
        said = FW.diagnose()
        equal((said["severity"], said["syndrome"], said["errors"]), ("healthy", "event ring overrun", function()["errors"]), "fw")
    FW.set(auto_recover=False)
    before = FW.counts()
    control.do("note", function=0, severity=1, reason=6)
    FW.counted(before, recoveries=0)
    equal(FW.diagnose()["severity"], "warning", "severity before it is acknowledged")
    FW.recover()
    equal((FW.state(), FW.diagnose()["severity"]), ("healthy", "healthy"), "state and severity afterwards")


def send_until(fault, reporter, before):
    """Makes traffic until the fault is counted."""
    for _ in range(20):
        control.chaos(f"nic.{fault}=1")
        ping(wire.far4, count=3, check=False, seconds=1)
        if reporter.counts()[0] > before[0]:
            break
    control.chaos("off")


@case
def corrupt_completion():
    """A completion that breaks the rules is told by tx or rx of the port, with what is in the rings."""
    defer(calm)
    for fault, reporter in (("tx-head", TX), ("rx-buffer", RX)):
        before = reporter.counts()
        send_until(fault, reporter, before)
        reporter.counted(before)
        works()
        true("breaks the rules" in FATAL.diagnose()["last_fault"], "the fault")
        dump = reporter.dump()
        equal((dump["netdev"], dump["open"]), (wire.near.name, True), "what the dump is of")
        true(all(len(queue["completions"]) == 8 for queue in dump["queues"]), "each queue shows completions")
        others_well()


@case
def lost_interrupt():
    """An interrupt of receive that is lost is told by rx and mended by a poll; with auto_recover off the packet waits for the user."""
    def lose():
        for number in range(10):
            control.chaos("nic.interrupt-lost=1")
            far.sendto(str(number).encode(), (wire.near4, 7410))
            try:
                near.settimeout(1)
                near.recv(100)
            except TimeoutError:
                return
        true(False, "no datagram of ten met the fault")

    near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    defer(near.close)
    near.bind((wire.near4, 7410))
    far = open_socket(wire.far.ns, socket.AF_INET, socket.SOCK_DGRAM)
    defer(far.close)
    ping(wire.far4)
    generation, before = function()["generation"], RX.counts()
    lose()
    RX.counted(before, seconds=10)
    near.settimeout(10)
    true(near.recv(100), "the datagram that had waited")
    RX.set(auto_recover=False)
    before = RX.counts()
    lose()
    RX.counted(before, recoveries=0, seconds=10)
    equal(RX.state(), "error", "state of rx")
    at_least(max(queue.get("waits_ms", 0) for queue in RX.diagnose()["queues"]), 1, "time that a queue says it waits, in milliseconds")
    RX.recover()
    near.settimeout(10)
    true(near.recv(100), "the datagram that had waited for the user")
    equal((RX.state(), function()["generation"]), ("healthy", generation), "state, and generation, which no reset has changed")


@case
def flow_queue():
    """A request about a rule without a result is told by flow; the rule is there afterwards, or was refused."""
    (link,) = switchdev(1)
    clsact(link)
    filter_add(link, ("pref 1 protocol ip", "dst_ip 10.0.0.1 action drop"))
    said = FLOW.diagnose()
    true(said["in_use"] and said["working"] and said["queues"][0]["requests"] >= 0, f"flow in use: {said}")
    before = FLOW.counts()
    control.chaos("nic.flow-silent=1")
    filter_add(link, ("pref 2 protocol ip", "dst_ip 10.0.0.2 action drop"), check=False)
    FLOW.counted(before)
    control.chaos("off")
    works()
    equal(FLOW.dump()["in_use"], True, "the dump is of queues in use")
    agree(control, link)
    sh(f"tc filter del dev {link.name} ingress".split())
    others_well()


@case
def tests():
    """`devlink health test` of each reporter: an error is counted and recovered from; a function that is down refuses."""
    calm()
    for reporter in (FW, FATAL, TX, RX, FLOW):
        before = reporter.counts()
        reporter.test()
        reporter.counted(before)
        works()
    FATAL.set(auto_recover=False)
    before = FATAL.counts()
    FATAL.test()
    FATAL.counted(before, recoveries=0)
    for reporter in (FATAL, TX, RX, FLOW):
        fails(reporter.test(check=False), f"a test of {reporter} while the function is down", "does not work")
    FATAL.recover()
    works()


@case
def of_a_vf():
    """A VF has reporters of its own, whose faults are not the PF's."""
    vf = PF().with_vfs(1)[0]
    mine = Reporter("fw_fatal", f"pci/{vf.address}")
    before, others = mine.counts(), FATAL.counts()
    control.do("halt", function=1, reason=7)
    mine.counted(before)
    equal((mine.diagnose()["state"], FATAL.counts()), ("running", others), "the VF's state, and the PF's counts")
    dump = mine.dump()
    equal((dump["trigger"], dump["reason"]), ("halt", "halted by the operator"), "the VF's dump")
    equal({queue["kind"] for queue in dump["queues"]} <= {"completion", "transmit", "receive"}, True, "kinds of queues in it")


@case
def failed_probe():
    """A PF that does not let itself be taken over stays in devlink, says why, and is brought up by `recover` once it is mended."""
    names = PF().netdevs()
    defer(control.do, "broken", on=False)
    control.do("broken", on=True)
    PF().unbind()
    PF().bind("oxnic")
    equal((PF().driver, PF().netdevs()), ("oxnic", []), "driver and netdevs of a PF that cannot be taken over")
    info = sh(f"devlink dev info {HANDLE}").out
    true("driver oxnic" in info and "fw.mgmt.api" in info, f"devlink dev info: {info}")
    said = FATAL.diagnose()
    equal((FATAL.state(), said["state"], said["halted"], said["reason"]), ("error", "not started", True, "internal error"), "what fw_fatal says")
    equal(FATAL.dump()["trigger"], "halt", "the dump that was kept")
    fails(FATAL.recover(check=False), "recovery of a device that is still broken", "could not be brought back")
    fails(sh(f"devlink dev eswitch show {HANDLE}", check=False), "the mode of an eswitch that is not known")
    control.do("broken", on=False)
    FATAL.recover()
    equal((FATAL.state(), FATAL.diagnose()["state"]), ("healthy", "running"), "states once it is mended")
    equal(len(PF().netdevs()), len(names), "netdevs")
    wire.renew()
    equal({(HANDLE, "flow"), (f"{HANDLE}/0", "tx")} <= set(all_reporters()), True, "reporters of queues are there")
    works()
    switchdev(1)


@case
def broken_then_removed():
    """A PF that could not be taken over can be unbound, and bound again once it is mended."""
    defer(control.do, "broken", on=False)
    control.do("broken", on=True)
    PF().unbind()
    PF().bind("oxnic")
    equal(PF().netdevs(), [], "netdevs")
    PF().unbind()
    control.do("broken", on=False)
    PF().bind("oxnic")
    wire.renew()
    works()


main()
