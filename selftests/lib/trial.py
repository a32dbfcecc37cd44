# SPDX-License-Identifier: GPL-2.0-only
"""Rounds of random rules over random frames: in the device and in software, which is to do the same, byte for byte, with the same counters.

OXNIC_FLOW_SEED is the seed of the first round (else the clock's); a failure says its own, and with OXNIC_FLOW_ROUNDS=1 a seed makes
just that round again. OXNIC_FLOW_SECONDS (20) is how long each case goes on; by `selftests/run --env`.
"""

import os
import re
import time

from .case import Failure, at_most, defer, note, true
from .capture import Capture
from .command import ip
from .link import Link
from .rule_maker import CHAINS, FRAMES

SECONDS = float(os.environ.get("OXNIC_FLOW_SECONDS", "20"))
ROUNDS = int(os.environ.get("OXNIC_FLOW_ROUNDS", "1000000"))
SEED = int(os.environ.get("OXNIC_FLOW_SEED", "0")) or time.time_ns() % 1_000_000_000
ALL_CHAINS = [f" chain {chain}" for chain in CHAINS[1:]]
LAST = 60000
# Rounds after which rules at random must have said enough.
MOST = 12


def watch_the_rest(stage):
    """What no rule has brought to an end gets to an interface, by a rule of software's that is the last in each chain."""
    ip("link add up0 type dummy")
    defer(ip, "link del up0")
    ip("link set up0 up")
    stage.names["UP"] = "up0"
    stage.places["up"] = Capture(Link("up0"), outgoing=True)


def deletion(line):
    """The command that deletes the rule that a line adds."""
    return re.sub(r"^filter add (.*? handle \d+ protocol \S+ flower) .*$", r"filter del \1", line)


def replacement(maker, line):
    """The command that gives the rule that a line adds other actions, in its place."""
    head = line.split(" action ", 1)[0]
    chain, protocol = (re.search(rf" {word} (\S+)", head).group(1) for word in ("chain", "protocol"))
    return f"{head.replace('filter add', 'filter replace', 1)} {maker.actions(protocol, int(chain))}"


class Trial:
    """One way of it, on a stage, with rules and frames of a kind of Maker."""

    def __init__(self, stage, way, make):
        self.stage, self.way, self.make = stage, way, make

    def lay(self, lines, software):
        """All that tc takes; numbers of lines that it does not, as can be with rules for the device only."""
        up = [f"filter add {self.way.place} chain {chain} pref {LAST} protocol all matchall skip_hw action mirred egress redirect dev UP" for chain in CHAINS]
        flags = "skip_hw" if software else "skip_sw"
        others = [line.format(flags) for line in self.way.before] + ([] if self.way.egress else up)
        result = self.stage.batch([*lines, *others], check=False)
        wrong = [int(number) - 1 for number in re.findall(r"Command failed -:(\d+)", result.text)]
        if software and wrong or any(number >= len(lines) for number in wrong):
            raise Failure(f"software refuses {[lines[n] for n in wrong if n < len(lines)]}: {result.text[:500]}")
        return wrong

    def rounds(self, part=1.0):
        """For as long as it is to go on, and further where rules at random have said too little."""
        end, seed = time.monotonic() + SECONDS * part, SEED
        done, refused, laid, hits, by_device = 0, 0, 0, 0, 0
        while done < ROUNDS and (time.monotonic() < end or done < MOST and not self.is_enough(done, hits, by_device)):
            try:
                counts = self.one(seed)
            except Failure as error:
                raise Failure(f"OXNIC_FLOW_SEED={seed} OXNIC_FLOW_ROUNDS=1: {error}") from None
            laid, refused, hits, by_device = (sum(pair) for pair in zip((laid, refused, hits, by_device), counts, strict=True))
            done, seed = done + 1, seed + 1
        note(f"{done} rounds from seed {SEED}: {laid} rules, {refused} refused by the device, {hits} packets counted, {by_device} by the device")
        # Else the trial would say little.
        at_most(refused, laid // 3, "refused rules")
        true(done == ROUNDS or self.is_enough(done, hits, by_device), "enough packets are counted, and enough of them by the device")

    def is_enough(self, done, hits, by_device):
        """Whether so many rounds have met rules often, and a good part of these in the device."""
        return done > 0 and hits >= done * FRAMES / self.way.share and by_device >= hits / 8

    def difference(self, hardware, software, lines):
        found = []
        for place in self.stage.places:
            if place not in self.way.hosts:
                ours, theirs = hardware.frames[place], software.frames[place]
                found += [f"{place}: only the device: {f.hex()}" for f in list(ours - theirs)[:3]]
                found += [f"{place}: only software: {f.hex()}" for f in list(theirs - ours)[:3]]
        # What the host's CPU has seen is what software had to do; in hardware alone, what goes on upwards as it came.
        came = sum(sum(hardware.frames[place].values()) for place in self.way.hosts)
        if not self.way.mixed and came != sum(software.frames["up"].values()):
            found.append(f"the CPU has seen {came}, and {sum(software.frames['up'].values())} were not brought to an end")
        for name, counts in software.counts.items():
            ours = hardware.counts.get(name)
            # In a later chain a second tag that an edit has pushed counts in software.
            upto = 3 if name[1] == 0 and self.way.counts_bytes else 2
            line = next((line for line in lines if f" handle {name[3]} " in line), "")
            # Where there is a policer, each action shows what gets to it.
            actions = None if " police " in line else 1
            theirs = [count[:upto] for count in counts[:actions]]
            if ours is None or [count[:upto] for count in ours[:actions]] != theirs:
                found.append(f"counts {ours and ours[:actions]}, and software {counts[:actions]}: {line}")
        return found

    def one(self, seed):
        """A round: all rules, and then what is left when some have been deleted and others replaced."""
        maker = self.make(seed, self.way)
        flags = self.way.flags
        lines, frames = maker.rules(), maker.frames()
        fate = [maker.pick([None, deletion, deletion, replacement]) for _ in lines]
        hardware, software = [], []
        try:
            wrong = self.lay(lines, software=False)
            fate = [do for number, do in enumerate(fate) if number not in wrong]
            lines = [line for number, line in enumerate(lines) if number not in wrong]
            changes = [deletion(line) if do is deletion else replacement(maker, line) for do, line in zip(fate, lines, strict=True) if do]
            in_software = lambda some: [line.replace(f" flower {flags} ", " flower skip_hw ") for line in some]  # noqa: E731
            for seen in (hardware, software):
                if seen is software:
                    self.lay(in_software(lines), software=True)
                    changes = in_software(changes)
                seen.append(self.stage.watch(frames, (self.way.place,), self.way.origins))
                self.stage.batch(changes)
                seen.append(self.stage.watch(frames, (self.way.place,), self.way.origins))
                self.stage.clear(ALL_CHAINS)
        finally:
            self.stage.clear(ALL_CHAINS)
        for number in range(2):
            found = self.difference(hardware[number], software[number], lines)
            if found:
                note("\n".join([*lines, "then:", *(changes if number else []), *(f.hex() for f in frames)]))
                raise Failure("\n".join(["after changes:" if number else "at first:", *found[:20]]))
        rules = [name for name in software[0].counts if name[2] != LAST]
        hits = sum(software[0].counts[name][0].packets for name in rules)
        by_device = sum(hardware[0].counts[name][0].hw_packets for name in rules)
        return len(lines), len(wrong), hits, by_device
