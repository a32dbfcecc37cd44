# SPDX-License-Identifier: GPL-2.0-only
"""Runs the measurements in guests and shows them: table, JSON, plots. How to use it is written in selftests/bench/run."""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(TOP, "scripts")]

import plot  # noqa: E402
from vm import options  # noqa: E402
from vm import session  # noqa: E402
from vm.machine import MachineError  # noqa: E402

NICS = ("oxnic", "virtio-net", "e1000e", "igb")
FOLDER = os.path.join(options.CACHE, "bench")


def say(text):
    print(f"# {text}", flush=True)


def run_in_guest(words, argv):
    """The last line that a script prints in a guest, as JSON, and the seconds of its boot."""
    wanted, _ = options.parse([*words, f"DIR={FOLDER}"], {})
    data, runs = bytearray(), session.Session(wanted)
    with runs:
        seconds = runs.guest().boot_seconds.get("script")
        result = runs.run(argv, data.extend, session.to_stderr)
        runs.finish()
    problems = [text for one in runs.results for text in one.complaints()]
    if result.code or problems:
        raise MachineError("; ".join(problems) or f"{argv[0]} ended with status {result.code}")
    return json.loads(data.decode().strip().splitlines()[-1]), seconds


def arguments():
    parser = argparse.ArgumentParser(prog="selftests/bench/run", add_help=False)
    parser.add_argument("--nics", default=",".join(NICS))
    parser.add_argument("--count", type=int, default=16384)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--publish", action="store_true")
    parser.add_argument("--vm", action="append", default=[])
    return parser.parse_args()


def measure(wanted):
    load = os.path.join(FOLDER, "load")
    subprocess.run(["gcc", "-O2", "-static", "-o", load, os.path.join(HERE, "load.c")], check=True)
    packets, boots = {}, {}
    for nic in wanted.nics.split(","):
        start = time.monotonic()
        say(f"{nic}: instructions per packet")
        words = ["ICOUNT=1", f"NIC={nic}", "TIMEOUT=3600", *wanted.vm]
        argv = [os.path.join(HERE, "guest"), load, str(wanted.repeats), str(wanted.count)]
        try:
            packets[nic], _ = run_in_guest(words, argv)
        except MachineError as error:
            say(f"{nic}: not measured: {error}")
        say(f"{nic}: {time.monotonic() - start:.0f} s")
    vfs = {}
    if "oxnic" in packets:
        say("oxnic: creation of VFs, and boot")
        vfs, boots["oxnic"] = run_in_guest(["MEM=4G", *wanted.vm], [os.path.join(HERE, "vfs")])
    return {"packets": packets, "vfs": vfs, "boot_seconds": boots, "count": wanted.count, "repeats": wanted.repeats}


def medians(packets):
    """{what: {NIC: median}} in the order of measuring, without the base costs in parentheses."""
    names = dict.fromkeys(name for found in packets.values() for name in found)
    return {
        name: {nic: statistics.median(found[name]) for nic, found in packets.items() if name in found}
        for name in names
        if not name.startswith("(") and ": lost" not in name
    }


def table(results):
    """Ratios first: ours to the best of the others; then the numbers."""
    rows, nics = medians(results["packets"]), list(results["packets"])
    others = [nic for nic in nics if nic != "oxnic"]
    print(f"\n{'instructions each':44} {'to best':>8}  " + " ".join(f"{nic:>11}" for nic in nics))
    for name, found in rows.items():
        best = min((found[nic] for nic in others if nic in found), default=None)
        ratio = f"{found['oxnic'] / best:8.2f}" if best and "oxnic" in found else "       -"
        print(f"{name:44} {ratio}  " + " ".join(f"{found[nic]:11.0f}" if nic in found else f"{'-':>11}" for nic in nics))
    for nic, found in results["packets"].items():
        for name, values in found.items():
            if ": lost" in name:
                print(f"{nic}: {name}: {values[0]:.1%}")
    for count, times in results["vfs"].items():
        create, remove = (statistics.median(t[n] for t in times) for n in (0, 1))
        print(f"{count} VF{'s' if count != '1' else ''}: created in {create:.2f} s, removed in {remove:.2f} s")
    for nic, seconds in results["boot_seconds"].items():
        print(f"boot until the first script runs, with {nic}: {seconds:.1f} s")


def main():
    wanted = arguments()
    os.makedirs(FOLDER, exist_ok=True)
    try:
        results = measure(wanted)
    except (MachineError, options.UsageError) as error:
        print(f"bench: error: {error}", file=sys.stderr)
        return 1
    if not results["packets"]:
        return 1
    with open(os.path.join(FOLDER, "bench.json"), "w", encoding="utf-8") as file:
        json.dump(results, file, indent=1)
        file.write("\n")
    plots = plot.all_plots(medians(results["packets"]), results["vfs"], FOLDER)
    table(results)
    if wanted.publish:
        target = os.path.join(TOP, "Documentation", "bench")
        os.makedirs(target, exist_ok=True)
        for path in [*plots, os.path.join(FOLDER, "bench.json")]:
            shutil.copy(path, target)
    say(f"{FOLDER}/bench.json, " + ", ".join(os.path.basename(path) for path in plots))
    return 0


if __name__ == "__main__":
    sys.exit(main())
