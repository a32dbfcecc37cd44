#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Rules of tc that come, go and are shown in several blocks at once, from all CPUs: afterwards tc and the device agree."""

# vm: PORTS=1 MEM=4G

import json
import os
import random
import subprocess
import tempfile
import time

from lib import Control, at_least, case, defer, equal, main, note, setup, sh, skip, true, until
from lib.case import Failure
from lib.eswitch import switchdev
from lib.function import PF
from lib.pace import slow
from lib.storm import ACTIONS, MATCHES

ROUNDS, RULES = 4, 150
OBJECTS = ("rules", "counters", "meters", "match_templates", "action_templates", "tables")


@setup
def needs_offload():
    if "hw-tc-offload" not in PF().link().features():
        skip("no hw-tc-offload")
    Control().close()


class Worker:
    """A process of tc at a time, which adds and deletes rules of prefs of its own in a block."""

    def __init__(self, number, where, to, seed):
        self.number, self.where, self.to = number, where, to
        self.random = random.Random(seed)
        self.there, self.next, self.process, self.file = {}, 1, None, None

    def _rule(self, number):
        kind = number % len(MATCHES)
        return f"{self.where} pref {10 * self.number + kind + 1} handle {number}", kind

    def plan(self):
        """The next commands: what goes, chosen at random, among what comes."""
        lines = []
        gone = self.random.sample(sorted(self.there), len(self.there) // 2)
        new = range(self.next, self.next + RULES)
        self.next += RULES
        for number in new:
            rule, kind = self._rule(number)
            protocol, match = MATCHES[kind]
            match = match(self.number << 20 | number)
            action = ACTIONS[self.random.randrange(len(ACTIONS))].format(to=self.to)
            lines.append((f"filter add {rule} protocol {protocol} flower skip_sw {match} {action}", number, action))
        for number in gone:
            rule, kind = self._rule(number)
            line = f"filter del {rule} protocol {MATCHES[kind][0]} flower"
            lines.insert(self.random.randrange(len(lines)), (line, number, None))
        for _, number, action in lines:
            if action:
                self.there[number] = action
            else:
                del self.there[number]
        return [line for line, _, _ in lines]

    def start(self, lines):
        with tempfile.NamedTemporaryFile("w", delete=False) as file:
            file.writelines(line + "\n" for line in lines)
        self.file = file.name
        self.process = subprocess.Popen(["tc", "-b", self.file], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def wait(self):
        try:
            out, _ = self.process.communicate(timeout=slow(180))
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise Failure(f"tc of worker {self.number} does not end") from None
        os.unlink(self.file)
        if self.process.returncode:
            raise Failure(f"tc of worker {self.number}: {out.strip()[:400]}")

    def deletions(self):
        lines = []
        for number in self.there:
            rule, kind = self._rule(number)
            lines.append(f"filter del {rule} protocol {MATCHES[kind][0]} flower")
        self.random.shuffle(lines)
        self.there = {}
        return lines


def shown(where):
    """The rules of a block, as tc shows them."""
    found = json.loads(sh(f"tc -s -j filter show {where}").out or "[]")
    return [entry for entry in found if "options" in entry and "actions" in entry["options"]]


def objects(control):
    """How many objects of each kind the device has."""
    found = control.do("stats")["nic"]["flow"]["objects"]
    return {kind: found[kind] for kind in OBJECTS}


class Dumper:
    """Shows all rules with their statistics, again and again."""

    def __init__(self, wheres):
        text = "; ".join(f"tc -s filter show {where} >/dev/null || exit 1" for where in wheres)
        self.process = subprocess.Popen(["sh", "-c", f"while :; do {text}; done"])
        defer(self._end)

    def _end(self):
        self.process.kill()
        self.process.wait()

    def still_works(self):
        true(self.process.poll() is None, "tc shows the rules all the time")


@case
def storm():
    """Four tc at once in three blocks, one of them shared by two interfaces, and one that shows everything; then counts agree."""
    links = switchdev(4)
    wheres = []
    for link in links[:2]:
        sh(f"tc qdisc add dev {link.name} clsact")
        defer(sh, f"tc qdisc del dev {link.name} clsact", check=False)
        wheres.append(f"dev {link.name} ingress")
    for link in links[2:]:
        sh(f"tc qdisc add dev {link.name} ingress_block 7 clsact")
        defer(sh, f"tc qdisc del dev {link.name} clsact", check=False)
    wheres.append("block 7")
    control = Control()
    defer(control.close)
    before = objects(control)
    seed = random.randrange(1 << 32)
    note(f"seed {seed}")
    workers = [Worker(n, wheres[min(n, 2)], links[(n + 1) % 4].name, f"{seed} {n}") for n in range(4)]
    dumper = Dumper(wheres)
    start, laid = time.monotonic(), 0
    for _ in range(ROUNDS):
        plans = [worker.plan() for worker in workers]
        laid += sum(len(plan) for plan in plans)
        for worker, lines in zip(workers, plans, strict=True):
            worker.start(lines)
        for worker in workers:
            worker.wait()
    note(f"{laid} rules added or deleted in {time.monotonic() - start:.1f} s")
    dumper.still_works()
    agree(control, before, workers, wheres)
    for worker in workers:
        worker.start(worker.deletions())
    for worker in workers:
        worker.wait()
    dumper.still_works()
    equal([len(shown(where)) for where in wheres], [0, 0, 0], "rules that tc still shows")
    until(lambda: objects(control) == before, f"the device's objects are those of before ({before})", 5)


def agree(control, before, workers, wheres):
    """What the workers believe is what tc shows, all of it in hardware, and as many as the device has."""
    for number, where in enumerate(wheres):
        wanted = {(10 * w.number + n % len(MATCHES) + 1, n) for w in workers if wheres[min(w.number, 2)] == where for n in w.there}
        rules = shown(where)
        equal({(rule["pref"], rule["options"]["handle"]) for rule in rules}, wanted, f"rules of block {number}")
        equal({rule["options"].get("in_hw") for rule in rules}, {True}, f"in_hw in block {number}")
    actions = [action for worker in workers for action in worker.there.values()]
    now = objects(control)
    policers = sum("police" in action for action in actions)
    # What a policer drops and what is behind it is counted, too.
    for kind, wanted in (("rules", len(actions)), ("counters", len(actions) + 2 * policers), ("meters", policers)):
        equal(now[kind] - before[kind], wanted, f"{kind} in the device")
    at_least(now["match_templates"] - before["match_templates"], len(MATCHES), "match templates")


main()
