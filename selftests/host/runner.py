# SPDX-License-Identifier: GPL-2.0-only
"""Runs test files in guests and counts what came of them; how to use it is written in selftests/run."""

import argparse
import os
import shutil
import signal
import sys
import tempfile

HERE = os.path.dirname(os.path.realpath(__file__))
FOLDER = os.path.dirname(HERE)
sys.path[:0] = [FOLDER, os.path.join(os.path.dirname(FOLDER), "scripts")]

from host import lanes  # noqa: E402
from host import ledger  # noqa: E402
from host import plan  # noqa: E402
from host.execute import Tally, end_session, run_file, say  # noqa: E402
from vm import options  # noqa: E402
from vm import session  # noqa: E402

SECONDS = 1200.0  # that a file may take on the stock kernel, if its `# vm:` words have no other TIMEOUT
SLOWER = {"debug": 4}  # times that a kernel takes the time of the stock one


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


def run_group(wanted, members, tally, environment, done):
    """One guest's files."""
    runs = session.Session(wanted)
    with runs:
        for test, names in members:
            before = len(tally.cases)
            run_file(runs, test, names, tally, environment)
            done.ran(test.name, names, tally.cases[before:])
        before = len(tally.cases)
        end_session(runs, tally)
        done.guest_ended(tally.cases[before:])


def arguments():
    parser = argparse.ArgumentParser(prog="selftests/run", add_help=False)
    parser.add_argument("--kernel", default=os.environ.get("KERNEL") or "stock")
    parser.add_argument("--set", default="all", choices=("quick", "all"), dest="chosen")
    parser.add_argument("--pattern", default="")
    parser.add_argument("--nic", default="oxnic")
    parser.add_argument("--vm", action="append", default=[])
    parser.add_argument("--env", action="append", default=[])
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--packages", action="store_true", help="say which further packages the guests need, a list a line")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--ledger", default="")
    parser.add_argument("--alone", choices=("too", "none", "only"), default="too")
    return parser.parse_args()


def main():
    wanted = arguments()
    selected = plan.select(FOLDER, wanted.chosen, wanted.kernel, wanted.pattern)
    if wanted.alone != "too":
        selected = plan.apart(selected)[wanted.alone == "only"]
    if not selected:
        print(f"selftests: error: no test matches '{wanted.pattern}': see selftests/run --list", file=sys.stderr)
        return 2
    tally = Tally()
    groups = plan.groups(selected)
    if wanted.packages:
        needed = {word.removeprefix("PACKAGES=") for vm in groups for word in vm if word.startswith("PACKAGES=")}
        print("\n".join(sorted(needed)))
        return 0
    if wanted.list:
        for vm, members in groups.items():
            say(f"guest {' '.join(vm) or '(default)'}: {', '.join(test.name for test, _ in members)}")
        return 0

    def make_options(vm, pcap):
        return machine_options(vm, wanted.kernel, wanted.nic, pcap, wanted.vm)

    done = ledger.Ledger(wanted.ledger, wanted.kernel)
    selected = done.take_known(selected, tally)
    run_folder = make_folder(os.path.join(options.CACHE, "run"))
    if wanted.jobs > 1:
        lanes.run(selected, wanted.jobs, make_options, wanted.env, tally, done)
        return tally.report()
    pcap = tempfile.mkdtemp(prefix="selftest-pcap-", dir=run_folder)
    try:
        for vm, members in plan.groups(selected).items():
            run_group(make_options(vm, pcap), members, tally, wanted.env, done)
    finally:
        shutil.rmtree(pcap, ignore_errors=True)
    return tally.report()


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
