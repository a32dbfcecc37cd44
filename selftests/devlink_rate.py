#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""`devlink port function rate`: what is set is in the device and is measured at the far end of the wire; groups, refusals, resets."""

# sets: quick
# quick: set_and_show hierarchy refused refused_by_device after_reset
# alone: max_holds group_by_weight priority promised classes
# vm: PORTS=1 MEM=4G

from lib import PF, Control, Wire, at_least, at_most, case, defer, equal, fails, main, setup, sh, until
from lib.eswitch import HANDLE, devlink, representor, set_mode, switchdev
from lib.flood import Flood
from lib.tc import in_hw

MEGABIT = 125_000
PLAIN = {"tx_share": 0, "tx_max": 0, "tx_priority": 0, "tx_weight": 0}
wire = control = None


@setup
def topology():
    global wire, control
    wire, control = Wire(), Control()
    defer(control.close)
    defer(control.chaos)


def stage(count=2):
    """VFs with representors."""
    links = switchdev(count)
    # The mode cannot be changed while there are nodes.
    defer(clear_nodes)
    return links


def ports():
    """The devlink ports of VFs, by number."""
    shown = devlink("port show")["port"].items()
    return {entry["vfnum"]: name for name, entry in shown if name.startswith(HANDLE + "/") and "vfnum" in entry}


def rate(verb, name, words="", check=True):
    """`devlink port function rate VERB`: of a VF by its number, of a node by its name."""
    place = ports()[name] if isinstance(name, int) else f"{HANDLE}/{name}"
    return sh(f"devlink port function rate {verb} {place} {words}", check=check)


def shown():
    """What devlink lists: name (VF's number, or node's name) to what is set."""
    found = devlink("port function rate show").get("rate", {})
    leaves = {name: vf for vf, name in ports().items()}
    mine = {name: entry for name, entry in found.items() if name.startswith(HANDLE + "/")}
    return {leaves.get(name, name.rsplit("/", 1)[1]): {"tx_share": 0, "tx_max": 0, **entry} for name, entry in mine.items()}


def nodes():
    return sorted(name for name in shown() if not isinstance(name, int))


def clear_nodes():
    """Nodes go, those with nothing below them first."""
    for _ in range(8):
        for name, entry in shown().items():
            if "parent" in entry:
                rate("set", name, "noparent", check=False)
        for name in nodes():
            rate("del", name, check=False)
        if not nodes():
            return


def device():
    """What the device itself has."""
    return control.do("rates")


def leaf(vf):
    return device()["leaves"][vf]


@case
def set_and_show():
    """Each setting reads back, of a leaf and of a node, and the device has it; nothing is set at first, and nothing is left."""
    stage()
    at_first = shown()
    equal(sorted(at_first), [0, 1], "leaves at first")
    equal([{key: entry.get(key, 0) for key in PLAIN} for entry in at_first.values()], [PLAIN] * 2, "what is set at first")
    equal(device()["in_force"], False, "rates in force at first")
    rate("add", "group")
    for name in (1, "group"):
        rate("set", name, "tx_share 10mbit tx_max 20mbit tx_priority 3 tx_weight 7")
        rate("set", name, "tc-bw 0:10 1:0 2:0 3:20 4:0 5:70 6:0 7:0")
        entry = shown()[name]
        equal([entry.get(key) for key in PLAIN], [10 * MEGABIT, 20 * MEGABIT, 3, 7], f"what is shown of {name}")
        there = leaf(1) if name == 1 else list(device()["nodes"].values())[0]
        equal([there[key] for key in ("share", "max", "priority", "weight")], [10 * MEGABIT, 20 * MEGABIT, 3, 7], f"{name} in the device")
        equal(there["classes"], [10, 0, 0, 20, 0, 70, 0, 0], f"traffic classes of {name} in the device")
    equal(leaf(0)["max"], 0, "max of the other VF")
    info = wire.near.show()["vfinfo_list"][1]["rate"]
    equal((info["max_tx"], info["min_tx"]), (20, 10), "what `ip link` shows of the VF in Mbit/s")
    rate("set", 1, "tx_share 0 tx_max 0 tx_priority 0 tx_weight 0")
    rate("set", 1, "tc-bw 0:0 1:0 2:0 3:0 4:0 5:0 6:0 7:0")
    rate("del", "group")
    equal((device()["nodes"], device()["in_force"]), ({}, False), "what is left")


@case
def hierarchy():
    """Leaves and nodes below nodes, as the device has them; what has something below it stays; as deep as the device says and no deeper."""
    stage()
    for number in range(5):
        rate("add", f"n{number}")
        if 0 < number < 4:
            rate("set", f"n{number}", f"parent n{number - 1}")
    rate("set", 0, "parent n3")
    chain = [leaf(0)["parent"]]
    while (above := device()["nodes"][str(chain[-1])]["parent"]) != 0:
        chain.append(above)
    equal(len(chain), 4, "nodes above the VF in the device")
    equal(shown()[0].get("parent"), "n3", "parent that is shown")
    fails(rate("set", "n4", "parent n3", check=False), "a fifth node in a row", "parent: more than 4 nodes")
    fails(rate("set", "n0", "parent n3", check=False), "a node below itself")
    fails(rate("del", "n3", check=False), "a node with a VF below it")
    fails(set_mode("legacy", check=False), "a change of the mode with nodes")
    rate("set", 0, "noparent")
    equal(leaf(0)["parent"], 0, "parent after it was taken away")
    rate("set", "n3", "noparent")
    rate("del", "n3")
    equal(nodes(), ["n0", "n1", "n2", "n4"], "nodes that are left")


@case
def refused():
    """What may not be is refused with the name of the setting and why, and nothing changes."""
    stage()
    rate("add", "group", "tx_max 10mbit")
    rate("set", 0, "parent group tx_share 6mbit")
    before = device(), shown()
    cases = (
        (0, "tx_priority 8", "tx_priority: at most 7"),
        (0, "tx_weight 1001", "tx_weight: at most 1000"),
        (0, "tc-bw 0:101 1:0 2:0 3:0 4:0 5:0 6:0 7:0", "tc-bw: at most 100"),
        (0, "tx_share 11mbit", "tx_share: tx_share would be over tx_max"),
        (0, "tx_max 5mbit", "tx_share <= tx_max"),  # devlink's own program knows better
        ("group", "tx_max 5mbit", "tx_max: tx_share would be over tx_max"),
        (1, "tx_share 900gbit", "tx_share: tx_share would be over the speed of the wire"),
        (1, "tx_max 9999999gbit", "tx_max: at most"),
    )
    for name, words, text in cases:
        fails(rate("set", name, words, check=False), f"{words} of {name}", text)
    rate("set", 1, "tx_share 5mbit")
    fails(rate("set", 1, "parent group", check=False), "a VF below a node that is promised too much then", "parent: ")
    rate("set", 1, "tx_share 0")
    equal((device(), shown()), before, "what is set afterwards")
    fails(wire.near.ip("vf 0 max_tx_rate 10", check=False), "`ip link set vf` in switchdev mode")
    rate("set", 0, "noparent")
    rate("del", "group")
    set_mode("legacy")
    fails(rate("add", "group", check=False), "a node in legacy mode", "switchdev")
    equal(devlink("port function rate show").get("rate", {}), {}, "rates in legacy mode")


@case
def refused_by_device():
    """Whichever command the device refuses: what is shown is what the device has."""
    for vf, _ in enumerate(stage()):
        # Of a VF that could change its address the device is asked for that whenever ports are listed, and would refuse that instead.
        sh(f"ip link set dev {wire.near.name} vf {vf} mac 02:00:5e:00:00:0{vf + 1}")
    rate("add", "group")
    steps = (
        (0, "tx_share 1mbit"), (0, "tx_max 2mbit"), (0, "tx_priority 1"), (0, "tx_weight 2"), (0, "tc-bw 0:1 1:0 2:0 3:0 4:0 5:0 6:0 7:0"),
        (0, "parent group"), ("group", "tx_share 3mbit"), ("group", "tx_max 4mbit"), ("group", "tx_priority 2"), ("group", "tx_weight 3"),
    )  # fmt: skip
    for name, words in steps:
        before = device()["leaves"], device()["nodes"], shown()
        control.chaos("nic.fail-command=1")
        setting = words.split()[0]
        fails(rate("set", name, words, check=False), f"{words} that the device refuses", f"{setting}: device refuses 'set rate': injected")
        control.chaos()
        equal((device()["leaves"], device()["nodes"], shown()), before, f"what is set after {words} was refused")
        rate("set", name, words)
    shown()  # so that no command is needed for it next time
    control.chaos("nic.fail-command=1")
    fails(rate("set", 0, "noparent", check=False), "a VF that is to leave its node", "parent: device refuses 'set rate': injected")
    control.chaos("nic.fail-allocation=1")
    fails(rate("add", "other", check=False), "a node", "node: device refuses 'set rate': injected")
    control.chaos()
    equal((nodes(), shown()[0].get("parent")), (["group"], "group"), "nodes, and where the VF is")
    # devlink forgets a node whatever the device says; the next one takes its place there.
    rate("set", 0, "noparent")
    control.chaos("nic.fail-command=1")
    rate("del", "group", check=False)
    control.chaos()
    equal((nodes(), len(device()["nodes"])), ([], 1), "nodes shown and in the device")
    rate("add", "next")
    there = device()["nodes"]
    equal([(entry["max"], entry["share"], entry["weight"]) for entry in there.values()], [(0, 0, 0)], "the next node in the device")


@case
def after_reset():
    """After resets of the PF and of a VF, and a reload of the driver, rates are as they were; VFs made anew have none."""
    stage()
    rate("add", "upper", "tx_max 90mbit")
    rate("add", "lower")
    rate("set", "lower", "parent upper tx_weight 9")
    rate("set", 0, "tx_share 10mbit tx_max 50mbit tx_priority 2 tx_weight 3")
    rate("set", 0, "tc-bw 0:50 1:0 2:0 3:0 4:0 5:50 6:0 7:0")
    rate("set", 0, "parent lower")

    def both():
        now = device()
        return now["leaves"], now["nodes"], shown()

    before = both()
    generation = control.function()["generation"]
    PF().write("reset", 1)
    wire.near.wait_carrier()
    equal(both(), before, "rates after FLR of the PF")
    control.do("reset-request", function=0)
    until(lambda: control.function()["generation"] >= generation + 2 and control.function()["accepted"], "the PF is reset", 30)
    until(lambda: both() == before, "rates are back after a reset that the device asked for", 30)
    PF().vf(0).write("reset", 1)
    equal(both(), before, "rates after FLR of the VF")
    # devlink wants nodes to be gone; what is set of the VF itself stays.
    sh(f"devlink dev reload {HANDLE} action driver_reinit", seconds=120)
    wire.near.ip("up")
    wire.near.wait_carrier()
    until(lambda: sorted(shown()) == [0, 1], "leaves after a reload")
    entry = shown()[0]
    equal([entry.get(key) for key in PLAIN], [10 * MEGABIT, 50 * MEGABIT, 2, 3], "what is shown of the VF after a reload")
    equal((leaf(0), device()["nodes"]), ({**before[0][0], "parent": 0}, {}), "what the device has after a reload")
    PF().set_vfs(0)
    equal((shown(), device()["in_force"]), ({}, False), "rates without VFs")
    PF().set_vfs(2)
    until(lambda: sorted(shown()) == [0, 1], "leaves of new VFs")
    equal([{key: entry.get(key, 0) for key in PLAIN} for entry in shown().values()], [PLAIN] * 2, "what is set of new VFs")


@case
def same_as_ip_link():
    """What `ip link set vf` has set in legacy mode is there in switchdev mode, and the other way round; the rest goes with the mode."""
    PF().with_vfs(2)
    defer(set_mode, "legacy")
    wire.near.ip("vf 1 min_tx_rate 10 max_tx_rate 20")
    set_mode("switchdev")
    entry = shown()[1]
    equal((entry["tx_share"], entry["tx_max"]), (10 * MEGABIT, 20 * MEGABIT), "what devlink shows")
    rate("set", 1, "tx_share 0 tx_max 30mbit tx_priority 5 tx_weight 5")
    set_mode("legacy")
    info = wire.near.show()["vfinfo_list"][1]["rate"]
    equal((info["max_tx"], info["min_tx"]), (30, 0), "what `ip link` shows in legacy mode")
    there = leaf(1)
    equal((there["max"], there["priority"], there["weight"]), (30 * MEGABIT, 0, 0), "what the device has in legacy mode")
    wire.near.ip("vf 1 max_tx_rate 0")
    equal(device()["in_force"], False, "rates in force afterwards")


def held_to(seen, wanted, what, below=0.4):
    """A rate: on a busy host the device misses turns, but it never takes more than its own."""
    at_least(seen, wanted * (1 - below), what)
    at_most(seen, wanted * 1.15, what)


def ratio(seen, wanted, what):
    at_least(seen, wanted * 0.75, what)
    at_most(seen, wanted * 1.33, what)


@case
def max_holds():
    """A VF sends what its tx_max says, and without it more; the other one is not held up."""
    flood = Flood(wire, stage())
    free = flood.measure()
    rate("set", 0, "tx_max 4mbit")
    held = flood.measure()
    held_to(held[0], 4, "Mbit/s with tx_max 4mbit")
    at_least(held[1], 2 * held[0], "Mbit/s of the other VF")
    at_least(free[0], 2 * held[0], "Mbit/s without tx_max (else it was not what held it)")
    rate("set", 0, "tx_max 0")
    at_least(flood.measure()[0], 2 * held[0], "Mbit/s after it was taken away")


@case
def group_by_weight():
    """VFs below a node share its tx_max by their weights, and what one leaves the other has."""
    flood = Flood(wire, stage())
    rate("add", "group", "tx_max 8mbit")
    for vf, weight in ((0, 1), (1, 3)):
        rate("set", vf, f"parent group tx_weight {weight}")
    first, second = flood.measure()
    held_to(first + second, 8, "Mbit/s of the group")
    ratio(second / first, 3, "ratio of weights 3 and 1")
    rate("set", 0, "tx_weight 3")
    first, second = flood.measure()
    ratio(second / first, 1, "ratio of equal weights")
    held_to(flood.measure([0])[0], 8, "Mbit/s of one that is alone")
    # A node above halves it.
    rate("add", "upper", "tx_max 4mbit")
    rate("set", "group", "parent upper")
    held_to(sum(flood.measure()), 4, "Mbit/s below two nodes")


@case
def priority():
    """Of two VFs below a node the one of higher priority has all that it wants, and the other one what is left."""
    flood = Flood(wire, stage())
    rate("add", "group", "tx_max 8mbit")
    rate("set", 0, "parent group tx_priority 1")
    rate("set", 1, "parent group tx_priority 5 tx_max 6mbit")
    first, second = flood.measure()
    held_to(second, 6, "Mbit/s of the VF of higher priority, at its tx_max")
    held_to(first, 2, "Mbit/s that are left for the other one", 0.6)
    rate("set", 1, "tx_max 0")
    first, second = flood.measure()
    at_least(second, 10 * first, "Mbit/s of the VF of higher priority, compared with the other one")


@case
def promised():
    """tx_share is kept whatever priority and weight the others have; `ip link set vf min_tx_rate` is the same."""
    flood = Flood(wire, stage())
    rate("add", "group", "tx_max 8mbit")
    rate("set", 0, "parent group tx_share 3mbit")
    rate("set", 1, "parent group tx_priority 7 tx_weight 100")
    first, second = flood.measure()
    held_to(first, 3, "Mbit/s of the VF that is promised 3")
    held_to(second, 5, "Mbit/s of the other one")
    # Kept by a reset.
    PF().write("reset", 1)
    wire.near.wait_carrier()
    for vf in (0, 1):
        until(lambda vf=vf: in_hw(representor(vf), 1), "the way out is back in hardware")
        representor(vf).wait_carrier()
    held_to(flood.measure()[0], 3, "Mbit/s of the VF that is promised 3, after a reset")


@case
def classes():
    """tc-bw of a node shares it out by the priority in tags."""
    flood = Flood(wire, stage(), priorities=(1, 6))
    rate("add", "group", "tx_max 8mbit")
    rate("set", "group", "tc-bw 0:0 1:20 2:0 3:0 4:0 5:0 6:80 7:0")
    for vf in (0, 1):
        rate("set", vf, "parent group")
    first, second = flood.measure()
    held_to(first + second, 8, "Mbit/s of the group")
    ratio(second / first, 4, "ratio of classes of 80 and 20")


def start_again():
    """The PF's driver is bound anew; its interface has the name that it had."""
    PF().unbind()
    PF().bind("oxnic")
    link = PF().link()
    if link.name != wire.near.name:
        link.ip(f"name {wire.near.name}")
    wire.near.ip("up")
    wire.near.wait_carrier()


@case
def not_offered():
    """A device that does not offer rates has no leaves, takes no verb about them, and `ip link set vf` works in both modes."""
    defer(start_again)
    defer(control.do, "rates", offered=True)
    control.do("rates", offered=False)
    start_again()
    switchdev(1)
    equal(devlink("port function rate show").get("rate", {}), {}, "rates")
    fails(rate("set", 0, "tx_max 10mbit", check=False), "a rate of a VF")
    fails(rate("add", "group", check=False), "a node", "Rate nodes aren't supported")
    wire.near.ip("vf 0 max_tx_rate 10")
    equal(wire.near.show()["vfinfo_list"][0]["rate"]["max_tx"], 10, "rate that reads back")


main()
