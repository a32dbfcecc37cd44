# SPDX-License-Identifier: GPL-2.0-only
"""Chains of nftables at the ingress of an interface: making them, with and without offload, and what is shown of their rules."""

import json

from .case import Failure, until
from .command import sh

TABLE = "netdev trial"
# The device writes its counters each 100 ms; what a dump cannot get at once comes with the next.
FRESH = 5.0


def nft(script, check=True):
    """Commands of nft, as one transaction."""
    return sh(["nft", "-f", "-"], data=script + "\n", check=check)


def refused(script):
    """What nft says to commands that must fail."""
    result = nft(script, check=False)
    if result.status == 0:
        raise Failure(f"nft takes {script}")
    return result.text


def gone():
    """No table, and so no chain and no rule."""
    nft(f"add table {TABLE}\ndelete table {TABLE}")


class Chain:
    """A chain of its own on interfaces (their names), until `delete` or `gone`."""

    def __init__(self, devices, offload=True, name="c", priority=1):
        self.name = name
        device = f"device {devices[0]}" if len(devices) == 1 else f"devices = {{ {', '.join(devices)} }}"
        flags = " flags offload;" if offload else ""
        nft(f"add table {TABLE}")
        nft(f"add chain {TABLE} {name} {{ type filter hook ingress {device} priority {priority};{flags} policy accept; }}")

    def line(self, rule, after=None):
        """A rule at the end, or behind the one of a handle."""
        place = f" handle {after}" if after is not None else ""
        return f"add rule {TABLE} {self.name}{place} {rule}"

    def add(self, *rules, check=True):
        return nft("\n".join(self.line(rule) for rule in rules), check=check)

    def rules(self):
        """What nft shows of the rules, in their order."""
        shown = json.loads(sh(f"nft -j -a list chain {TABLE} {self.name}").out)["nftables"]
        return [entry["rule"] for entry in shown if "rule" in entry]

    def order(self):
        """Comments of the rules, in their order."""
        return [rule.get("comment") for rule in self.rules()]

    def handle(self, comment):
        found = [rule["handle"] for rule in self.rules() if rule.get("comment") == comment]
        if len(found) != 1:
            raise Failure(f"{len(found)} rules with the comment {comment}")
        return found[0]

    def remove(self, comment):
        nft(f"delete rule {TABLE} {self.name} handle {self.handle(comment)}")

    def counts(self):
        """(packets, bytes) of each rule by its comment: what software and the device have counted."""
        counters = {}
        for rule in self.rules():
            for part in rule["expr"]:
                if "counter" in part:
                    counters[rule.get("comment")] = (part["counter"]["packets"], part["counter"]["bytes"])
        return counters

    def counted(self, wanted):
        """Wait until rules have counted so many packets: by comment."""
        packets = lambda: {comment: count[0] for comment, count in self.counts().items() if comment in wanted}  # noqa: E731
        until(lambda: packets() == wanted, f"{wanted} packets counted", FRESH)

    def flush(self):
        nft(f"flush chain {TABLE} {self.name}")

    def delete(self):
        nft(f"delete chain {TABLE} {self.name}")
