#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What devlink says of the flow engine: how full it is."""

# sets: quick
# vm: PORTS=1 MEM=4G

from lib import PF, Control, case, defer, equal, main, setup, skip, true
from lib.eswitch import HANDLE, devlink, switchdev
from lib.rules import agree, objects
from lib.tc import clsact, filter_add, filter_del

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


main()
