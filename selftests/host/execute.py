# SPDX-License-Identifier: GPL-2.0-only
"""One test file in a guest, and what came of it."""

import os
import sys
import time

from host import expect
from host import tap
from vm.machine import MachineError

SKIPS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "skips.expect")


class Tally:
    """All results of a run, and the lines for its end."""

    def __init__(self):
        self.cases = []

    def add(self, cases):
        self.cases += cases

    def count(self, *verdicts):
        return sum(case.verdict in verdicts for case in self.cases)

    def summary(self):
        return f"{self.count('pass', 'xfail')} passed, {self.count('fail')} failed, {self.count('skip')} skipped"

    def report(self):
        for case in self.cases:
            if case.verdict == "skip":
                print(f"# skipped: {case.name}: {case.reason}")
        for case in self.cases:
            if case.verdict == "fail":
                print(f"# FAILED: {case.name}" + (f": {case.reason.splitlines()[0]}" if case.reason else ""))
        print(self.summary(), flush=True)
        return 1 if self.count("fail") or not self.cases else 0


class Echo:
    """Passes a test's output on and keeps it."""

    def __init__(self):
        self.data = bytearray()

    def __call__(self, data):
        self.data += data
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    def text(self):
        return self.data.decode(errors="replace")


def say(text):
    print("\n".join(f"# {line}" for line in str(text).splitlines()), flush=True)


def judge_skips(cases, file, wanted):
    """What our own device has to have may not be skipped for want of it: a skip without a reason in skips.expect becomes a failure."""
    if wanted.nic != "oxnic":
        return
    entries = expect.read(SKIPS)
    for case in cases:
        if case.verdict == "skip" and not expect.find(entries, "skip", file, case.name.partition(".")[2], "*", wanted.kernel):
            case.verdict, case.reason = "fail", f"skipped without a reason in skips.expect: {case.reason}"


def run_file(runs, test, names, tally, environment=()):
    """One file in the guest of a session; the guest goes after a failure. environment: NAME=value words for the tests."""
    environment = [*environment, *([f"OXNIC_PCAP={runs.wanted.pcap}"] if runs.wanted.pcap else [])]
    say(f"{test.name}: start")
    start = time.monotonic()
    before = len(runs.results)
    try:
        if environment:
            runs.guest().command("environment", *environment)
        echo = Echo()
        result = runs.run([test.path, *(names or [])], echo, echo)
    except MachineError as error:
        tally.add([tap.Case(f"{test.name}.(guest)", "fail", str(error))])
        say(error)
        return
    complaints = [text for one in runs.results[before:] for text in one.complaints()]
    for text in complaints:
        say(text)
    cases = tap.complete(test.name, echo.text(), result.code, complaints[0].splitlines()[0] if complaints else "")
    judge_skips(cases, test.name, runs.wanted)
    tally.add(cases)
    bad = [case for case in cases if case.verdict == "fail"]
    say(f"{test.name}: {'FAILED' if bad else 'ok'} in {time.monotonic() - start:.0f} s")
    if bad and runs.machine is not None:
        end_guest(runs, tally)


def end_session(runs, tally):
    """End the guest, and say what was kept of all that the session had."""
    end_guest(runs, tally)
    for path in runs.kept:
        say(f"kept: {path}")


def end_guest(runs, tally):
    """Unload, look for leaks, power off: that is a result too when it is bad."""
    before = len(runs.results)
    runs.finish()
    for one in runs.results[before:]:
        for text in one.complaints():
            say(text)
        if one.code:
            tally.add([tap.Case(f"end of the guest {one.script}", "fail", (one.complaints() or ["bad"])[0].splitlines()[0])])
