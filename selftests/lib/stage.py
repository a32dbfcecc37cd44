# SPDX-License-Identifier: GPL-2.0-only
"""One set of rules and frames, twice: in the device and in software, and what came of it.

VF 0 sends, its representor has the rules, and they send to the representors of the other VFs and to the wire. Everything that a
test sends has an address of a range of its own (`TRIAL`), so that nothing that a stack says by itself is taken for it. In hardware the
representor of VF 0 shows what the host's CPU has seen; in software that is everything.
"""

import re
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from .capture import Capture, Injector
from .case import Failure, defer
from .command import ip, sh
from .eswitch import switchdev
from .namespace import sysctl
from .pace import slow
from .packet import mac
from .tc import show
from .topology import VfEnd, Wire

TRIAL = "02:ee"
_RANGE = mac(TRIAL)
# The device writes its counters each 100 ms, on a host that has other work, too.
COUNTERS, FRESH = 0.3, 5.0
BURST = 64


def trial_mac(number, last=0):
    """Destination of frames that are meant for one rule of many."""
    return f"{TRIAL}:00:{number >> 8:02x}:{number & 255:02x}:{last:02x}"


class Count(NamedTuple):
    """What an action shows."""

    packets: int
    # Those that a policer has dropped; None of other actions, of which the device does not say that: they drop only what is cut short.
    drops: int | None
    bytes: int
    # Packets of the device.
    hw_packets: int

    @classmethod
    def of(cls, action):
        stats = action.get("stats", {})
        drops = stats.get("drops", 0) if action.get("kind") == "police" else None
        return cls(stats.get("packets", 0), drops, stats.get("bytes", 0), stats.get("hw_packets", 0))


@dataclass
class Seen:
    """What came of a trial."""

    # Place ("wire": its far end; "vf1"; "cpu", "rep1", "port": the host, by an interface) to how often each frame came there.
    frames: dict = field(default_factory=dict)
    # (interface, chain, pref, handle) of a rule to a list, for each action a Count.
    counts: dict = field(default_factory=dict)
    # The same names, of rules that are in hardware.
    in_hw: set = field(default_factory=set)

    def packets(self):
        """Packets that the first actions of all rules have counted."""
        return sum(counts[0].packets for counts in self.counts.values())

    def is_policed(self):
        return any(count.drops is not None for counts in self.counts.values() for count in counts)

    def of_pref(self, pref):
        """The only rule of a priority: counts of its actions, and whether it is in hardware."""
        names = [name for name in self.counts if name[2] == pref]
        if len(names) != 1:
            raise Failure(f"{len(names)} rules of pref {pref}")
        return self.counts[names[0]], names[0] in self.in_hw


class Stage:
    """Made once in @setup; `run` leaves no rule behind. Without hooks, the interfaces have no place for rules of tc."""

    def __init__(self, vfs=3, hooks=True):
        self.wire = Wire(addresses=False)
        self.reps = switchdev(vfs)
        for number in range(vfs):
            # A VF shows to its captures what the rules send there, whatever the address.
            sh(f"ip link set dev {self.wire.near.name} vf {number} trust on")
        self.vfs = [VfEnd(number) for number in range(vfs)]
        for vf in self.vfs[1:]:
            vf.link.ip("promisc on")
        for link in (*self.reps, *(vf.link for vf in self.vfs), self.wire.near, self.wire.far):
            # A stack that looks for routers would send through rules that match everything.
            sysctl(f"net.ipv6.conf.{link.name}.disable_ipv6", 1, ns=link.ns)
        for link in (self.wire.near, self.wire.far):
            defer(sysctl, f"net.ipv6.conf.{link.name}.disable_ipv6", 0, ns=link.ns)
        for link in (*self.reps, *(vf.link for vf in self.vfs)):
            link.wait_carrier()
        # So that software gets what rules of the device get.
        self.wire.near.ip("promisc on")
        defer(self.wire.near.ip, "promisc off")
        for link in (*self.reps, self.wire.near):
            # What software sends on is to be what has come.
            link.ethtool("-K", "gro off")
            if not hooks:
                continue
            sh(["tc", "qdisc", "add", "dev", link.name, "clsact"])
            defer(sh, ["tc", "qdisc", "del", "dev", link.name, "clsact"], check=False)
        self.names = {"R0": self.reps[0].name, "WIRE": self.wire.near.name}
        # Where rules can be, as tc says it, and are looked for when a trial is over.
        self.hooked = [f"dev {link.name} ingress" for link in (*self.reps, self.wire.near)]
        self.names.update({f"R{number}": link.name for number, link in enumerate(self.reps)})
        self.places = {"cpu": Capture(self.reps[0]), "wire": Capture(self.wire.far), "port": Capture(self.wire.near)}
        self.senders = {"wire": Injector(self.wire.far)}
        for number, vf in enumerate(self.vfs):
            self.senders[f"vf{number}"] = Injector(vf.link)
            if number:
                self.places[f"vf{number}"] = Capture(vf.link)
                self.places[f"rep{number}"] = Capture(self.reps[number])

    def add_hooked(self, name, how):
        """Makes an interface, as `ip link add` says it, that can have rules at ingress; until the end of the file."""
        ip(f"link add name {name} {how}")
        defer(ip, f"link del {name}")
        sysctl(f"net.ipv6.conf.{name}.disable_ipv6", 1)
        ip(f"link set {name} up")
        sh(f"tc qdisc add dev {name} clsact")
        self.hooked.append(f"dev {name} ingress")

    def batch(self, lines, check=True):
        """Commands of tc, with R0, R1... and WIRE for interfaces; one program for all of them."""
        text = "\n".join(" ".join(self._words(line)) for line in lines)
        return sh(["tc", "-force", "-b", "-"], data=text + "\n", check=check, seconds=300)

    def tc(self, line, check=True):
        """A single command."""
        return sh(["tc", *self._words(line)], check=check)

    def _words(self, line):
        return [self.names.get(word, word) for word in line.split()]

    def rule(self, words, flags, dev="R0", kind="flower"):
        """A line of `batch`: words are (selector, rest)."""
        selector, rest = words
        return f"filter add dev {dev} ingress {selector} {kind} {flags} {rest}"

    def clear(self, lines=()):
        """No rule anywhere, in chain 0 and in those that lines name."""
        chains = sorted({f" chain {number}" for line in lines for number in re.findall(r" chain (\d+)", line)})
        self.batch([f"filter del {place}{chain}" for chain in (*chains, "") for place in self.hooked], check=False)
        left = self.batch([f"filter show {place}" for place in self.hooked]).out.strip()
        if left:
            raise Failure(f"rules are left: {left}")

    def send(self, frames, origin="vf0"):
        """All frames from one place, in bursts that no ring is too short for."""
        for start in range(0, len(frames), BURST):
            self.senders[origin].send(*frames[start : start + BURST])
            self._gather()
            time.sleep(0.01)

    def _gather(self):
        """Takes in what the captures have; whether there was anything."""
        any_came = False
        for place, capture in self.places.items():
            while (got := capture.receive()) is not None:
                if self.mine(got):
                    self.seen.frames[place][self.settled(got)] += 1
                    any_came = True
        return any_came

    def mine(self, frame):
        """Whether a frame is of the trial. An edit may have put another address in the place of one of the two."""
        return _RANGE in (frame[:2], frame[6:8])

    def settled(self, frame):
        """The frame without what is not to be compared."""
        return frame

    def collect(self, quiet=0.25):
        """Until nothing has come for a while."""
        end = time.monotonic() + slow(quiet)
        while time.monotonic() < end:
            if self._gather():
                end = time.monotonic() + slow(quiet)
            time.sleep(0.01)

    def shown(self, dev="R0"):
        """Filters that tc shows of an interface at ingress, or of a place as tc says it, with their statistics."""
        place = dev if " " in dev else f"dev {dev} ingress"
        return show(" ".join(self._words(place)))

    def note_counts(self, dev="R0"):
        for entry in self.shown(dev):
            options = entry["options"]
            name = (dev, entry.get("chain", 0), entry["pref"], options.get("handle"))
            if options.get("in_hw"):
                self.seen.in_hw.add(name)
            # The kernel keeps no statistics of a device for these.
            self.seen.counts[name] = [Count.of(action) for action in options["actions"] if action.get("kind") not in ("csum", "tunnel_key")]

    def nothing(self):
        return Seen({place: Counter() for place in self.places})

    def run(self, lines, frames, devs=("R0",), origin="vf0", pause=0.0, wanted=None):
        """Lays rules, waits, sends frames, and takes the rules away again. wanted: packets that all rules together are to count."""
        try:
            result = self.batch(lines, check=False)
            if result.status != 0:
                wrong = [f"{lines[int(number) - 1]}" for number in re.findall(r"Command failed -:(\d+)", result.text)]
                raise Failure("\n".join(["tc refuses:", *wrong, result.text[:3000]]))
            time.sleep(pause)
            return self.watch(frames, devs, origin, wanted)
        finally:
            self.clear(lines)

    def watch(self, frames, devs=("R0",), origin="vf0", wanted=None):
        """Sends frames through the rules that are there, from each origin if there are several."""
        self.seen = self.nothing()
        for one in [origin] if isinstance(origin, str) else origin:
            self.send(frames, one)
        self.collect()
        self._count(devs, wanted)
        return self.seen

    def _count(self, devs, wanted):
        """Reads counters, until they have come to what is wanted, or have stopped to grow."""
        end, before = time.monotonic() + slow(FRESH), None
        while devs:
            time.sleep(COUNTERS)
            for dev in devs:
                self.note_counts(dev)
            settled = self.seen.counts == before
            if wanted is not None:
                # What a policer has dropped may be written a little later.
                done = self.seen.packets() >= wanted and (settled or not self.seen.is_policed())
            else:
                done = settled or not self.seen.in_hw
            if done or time.monotonic() > end:
                return
            before = dict(self.seen.counts)
