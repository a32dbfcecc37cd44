# SPDX-License-Identifier: GPL-2.0-only
"""Runs test files in guests and counts what came of them; how to use it is written in selftests/run."""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.realpath(__file__))
FOLDER = os.path.dirname(HERE)
sys.path[:0] = [FOLDER, os.path.join(os.path.dirname(FOLDER), "scripts")]

from host import plan  # noqa: E402
from host import tap  # noqa: E402
from vm import options  # noqa: E402
from vm import session  # noqa: E402
from vm.machine import MachineError  # noqa: E402

SECONDS = 1200.0  # that a file may take on the stock kernel, if its `# vm:` words have no other TIMEOUT
SLOWER = {"debug": 4}  # times that a kernel takes the time of the stock one


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


def machine_options(vm, kernel, nic, pcap, extra=()):
    """Options of a guest from a file's `# vm:` words, and those that the user gave."""
    words = dict(word.split("=", 1) for word in vm)
    words["TIMEOUT"] = str(float(words.get("TIMEOUT", SECONDS)) * SLOWER.get(kernel, 1))
    words.update(word.split("=", 1) for word in extra)
    if words.pop("PCAP", "0") == "1" and nic == "oxnic":
        words["PCAP"] = pcap
        words["DIR"] = pcap
    words["KERNEL"] = kernel
    words.setdefault("NIC", nic)
    wanted, _ = options.parse([f"{name}={value}" for name, value in words.items()], {})
    return wanted


def run_group(wanted, members, tally, environment=()):
    """One guest's files; a new guest after a failure. environment: NAME=value words for the tests."""
    environment = [*environment, *([f"OXNIC_PCAP={wanted.pcap}"] if wanted.pcap else [])]
    runs = session.Session(wanted)
    with runs:
        for test, names in members:
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
                continue
            complaints = [text for one in runs.results[before:] for text in one.complaints()]
            for text in complaints:
                say(text)
            cases = tap.complete(test.name, echo.text(), result.code, complaints[0].splitlines()[0] if complaints else "")
            tally.add(cases)
            bad = [case for case in cases if case.verdict == "fail"]
            say(f"{test.name}: {'FAILED' if bad else 'ok'} in {time.monotonic() - start:.0f} s")
            if bad and runs.machine is not None:
                end_guest(runs, tally)
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


def arguments():
    parser = argparse.ArgumentParser(prog="selftests/run", add_help=False)
    parser.add_argument("--kernel", default=os.environ.get("KERNEL") or "stock")
    parser.add_argument("--set", default="all", choices=("quick", "all"), dest="chosen")
    parser.add_argument("--pattern", default="")
    parser.add_argument("--nic", default="oxnic")
    parser.add_argument("--vm", action="append", default=[])
    parser.add_argument("--env", action="append", default=[])
    parser.add_argument("--list", action="store_true")
    return parser.parse_args()


def main():
    wanted = arguments()
    selected = plan.select(FOLDER, wanted.chosen, wanted.kernel, wanted.pattern)
    if not selected:
        print(f"selftests: error: no test matches '{wanted.pattern}': see selftests/run --list", file=sys.stderr)
        return 2
    tally = Tally()
    pcap = tempfile.mkdtemp(prefix="selftest-pcap-", dir=make_folder(os.path.join(options.CACHE, "run")))
    try:
        for vm, members in plan.groups(selected).items():
            if wanted.list:
                say(f"guest {' '.join(vm) or '(default)'}: {', '.join(test.name for test, _ in members)}")
                continue
            run_group(machine_options(vm, wanted.kernel, wanted.nic, pcap, wanted.vm), members, tally, wanted.env)
    finally:
        shutil.rmtree(pcap, ignore_errors=True)
    return 0 if wanted.list else tally.report()


def make_folder(path):
    os.makedirs(path, exist_ok=True)
    return path


def end(number, _frame):
    sys.exit(128 + number)


if __name__ == "__main__":
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, end)
    try:
        sys.exit(main())
    except options.UsageError as error:
        print(f"selftests: error: {error}", file=sys.stderr)
        sys.exit(2)
