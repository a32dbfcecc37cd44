# SPDX-License-Identifier: GPL-2.0-only
"""Filters of tc: laying them, and what is shown of them."""

import json

from .case import Failure, defer, until
from .command import sh

# The device writes changed counters each 100 ms, and what is shown may be 200 ms old.
FRESH = 5.0


def clsact(*links):
    """Hooks for filters, until the end of the case."""
    for link in links:
        sh(["tc", "qdisc", "add", "dev", link.name, "clsact"])
        defer(sh, ["tc", "qdisc", "del", "dev", link.name, "clsact"], check=False)


def filter_add(link, words, flags="skip_sw", side="ingress", kind="flower", check=True):
    """`tc filter add dev LINK ingress <selector> flower|matchall <flags> <rest>`; `words` is (selector, rest)."""
    selector, rest = words
    argv = f"tc filter add dev {link.name} {side} {selector} {kind} {flags} {rest}"
    return sh(argv.split(), check=check)


def filter_del(link, selector, side="ingress"):
    sh(f"tc filter del dev {link.name} {side} {selector}".split())


def show(place):
    """What tc shows of the filters of a place ("dev NAME ingress", "block N"), without its lines that only name a chain.

    A dump of the kernel loses a matchall filter for which a part of the answer has no room left: mall_walk() counts it as shown, so the next
    part goes on behind it. What names its priority is there; it is asked for by itself, then.
    """
    shown = _entries(place)
    found = [entry for entry in shown if "actions" in entry.get("options", {})]
    there = {(entry.get("chain", 0), entry["pref"]) for entry in found}
    named = {(entry.get("chain", 0), entry["pref"]) for entry in shown if entry["kind"] == "matchall"}
    for chain, pref in sorted(named - there):
        lost = _entries(f"{place} chain {chain} pref {pref}")
        # What was asked for, tc does not say again.
        found += [{"chain": chain, "pref": pref, **entry} for entry in lost if "actions" in entry.get("options", {})]
    return found


def _entries(place):
    return json.loads(sh(f"tc -s -j filter show {place}").out or "[]")


def filters(link, side="ingress"):
    return show(f"dev {link.name} {side}")


def the_filter(link, pref, side="ingress", chain=0):
    """The only filter of a priority."""
    found = [entry for entry in filters(link, side) if entry["pref"] == pref and entry.get("chain", 0) == chain]
    if len(found) != 1:
        raise Failure(f"{len(found)} filters of pref {pref} on {link}")
    return found[0]


def in_hw(link, pref, side="ingress", chain=0):
    return the_filter(link, pref, side, chain)["options"].get("in_hw", False)


def packets(link, pref, side="ingress", chain=0, action=0):
    """Packets that the device has counted for an action of the only filter of a priority."""
    return the_filter(link, pref, side, chain)["options"]["actions"][action]["stats"].get("hw_packets", 0)


def counted(link, pref, wanted, side="ingress", chain=0):
    """Wait until the device has counted that many for a filter."""
    until(lambda: packets(link, pref, side, chain) >= wanted, f"{wanted} packets counted by pref {pref} of {link}", FRESH)
