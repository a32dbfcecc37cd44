# SPDX-License-Identifier: GPL-2.0-only
"""Whether tc and the device agree, rule by rule, on what is in hardware; and what objects the device has."""

import ipaddress
import json
import re

from .case import Failure, at_most, until
from .command import sh
from .tc import filters


def network(text):
    return ipaddress.ip_network(text, strict=False).network_address.packed


# Keys of tc whose values stand in the device's key as they are, and the bytes of each.
NEEDLES = {
    "dst_mac": lambda text: bytes.fromhex(text.replace(":", "")),
    "src_mac": lambda text: bytes.fromhex(text.replace(":", "")),
    "dst_ip": network,
    "src_ip": network,
    "dst_port": lambda number: int(number).to_bytes(2, "big"),
    "src_port": lambda number: int(number).to_bytes(2, "big"),
}


def device_rules(control):
    """All that the device says of its rules: `rules`, `tables`, `ports`."""
    answer = control.do("rules")
    while answer.get("next") is not None:
        more = control.do("rules", first=answer["next"])
        answer["rules"] += more["rules"]
        answer["next"] = more.get("next")
    return answer


def objects(control):
    """How many objects of each kind the device has."""
    flow = control.do("stats")["nic"]["flow"]
    return {**flow["objects"], "queues": len(flow["queues"])}


def empty(control):
    """The device has no object at all, soon."""
    until(lambda: not any(objects(control).values()), "no object of the flow engine is left in the device", 10)


def needles(entry):
    """Bytes that must be in the device's key of a filter."""
    keys = entry["options"].get("keys", {})
    found = []
    for name, make in NEEDLES.items():
        value = keys.get(name)
        # Of ranges, and of masks that are no prefix, nothing does.
        prefix = make is network and re.search(r"/\d+$", value or "")
        if isinstance(value, int) or (isinstance(value, str) and (prefix or not {"/", "-"} & set(value))):
            found.append(make(value))
    return found


def holds(key, needle):
    return needle in bytes.fromhex(key)


def hardware_packets(entry):
    return max((action.get("stats", {}).get("hw_packets", 0) for action in entry["options"]["actions"]), default=0)


def fits(rule, entry, counts):
    """Whether a rule of the device can be that filter."""
    same = rule["priority"] >> 16 == entry["pref"] and all(holds(rule["key"], needle) for needle in needles(entry))
    seen = max((counter["packets"] for counter in rule["counters"]), default=0)
    return same and (not counts or seen == hardware_packets(entry))


def pick(rules, entry, counts):
    """Takes the rule of the device that is that filter out of the list; False if there is none. What counts goes before what may stand in for another
    filter of the same preference."""
    found = [rule for rule in rules if fits(rule, entry, counts)]
    if found:
        rules.remove(max(found, key=lambda rule: len(rule["counters"])))
    return bool(found)


def text(entry):
    return f"pref {entry['pref']} chain {entry.get('chain', 0)} {json.dumps(entry['options'].get('keys', {}))}"


def place(link):
    """(kind, index) of the eswitch port that an interface stands for, as the device names it."""
    name = sh(["cat", f"/sys/class/net/{link.name}/phys_port_name"]).out.strip()
    return ("VF", int(name.split("vf")[1])) if "vf" in name else ("wire port", int(name.removeprefix("p")))


def table_of(dump, link, side="ingress"):
    """The table in the device that packets of an interface come to first, or None."""
    roots = {(port["kind"], port["index"], port["direction"]): port["table"] for port in dump["ports"]}
    return roots.get((*place(link), side))


def disagreement(control, *links, counts=False, besides=()):
    """The first thing on which tc and the device do not agree about rules of these interfaces, or None.

    Interfaces of one shared block have one table. Rules of other chains than 0 are looked for in all tables that no port has. Rules of
    `besides` are not tc's.
    """
    dump = device_rules(control)
    others = {table_of(dump, link) for link in besides}
    rules = [rule for rule in dump["rules"] if rule["table"] not in others]
    roots = {port["table"] for port in dump["ports"]} - others
    left = {table: [rule for rule in rules if rule["table"] == table] for table in roots}
    chained = [rule for rule in rules if rule["table"] not in left]
    outside, done = [], set()
    for link, side in [(link, side) for link in links for side in ("ingress", "egress")]:
        table = table_of(dump, link, side)
        if table in done:
            continue
        done.add(table)
        # The fuller a key, the earlier its turn: a filter with less of it would take the rule of one with more.
        for entry in sorted(filters(link, side), key=lambda entry: -len(needles(entry))):
            options = entry["options"]
            if not options.get("in_hw"):
                outside += [] if options.get("skip_hw") else [entry]
                continue
            rules = chained if entry.get("chain", 0) else left.get(table, [])
            if not pick(rules, entry, counts):
                return f"{link} {side}: in_hw, and the device has it not: {text(entry)}"
    for rule in [*chained, *(rule for rules in left.values() for rule in rules)]:
        # What stands in for a rule of software counts nothing and has at most its key.
        stands = [entry for entry in outside if rule["priority"] >> 16 == entry["pref"]]
        if rule["counters"] or not stands:
            return f"the device has a rule that tc has not in hardware: {rule}"
        outside.remove(stands[0])
    return None


def agree(control, *links, counts=False, besides=(), seconds=10):
    """tc and the device agree, rule by rule, soon."""
    seen = []

    def settled():
        seen[:] = [disagreement(control, *links, counts=counts, besides=besides)]
        return seen[0] is None

    try:
        until(settled, "tc and the device agree", seconds, pause=0.5)
    except Failure as error:
        raise Failure(f"{error}: {seen[0]}") from None


def agreed_rules(control, *links, counts=False):
    """As agree(); how many rules are in hardware then, which must be as many as tc says."""
    agree(control, *links, counts=counts)
    said = sum(bool(entry["options"].get("in_hw")) for link in links for entry in filters(link))
    there = len(device_rules(control)["rules"])
    at_most(said, there, "rules that tc says are in hardware, of those in the device")
    return said
