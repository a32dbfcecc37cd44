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
    parser.add_argument("--parts", default="packets,rules,vfs")
    parser.add_argument("--count", type=int, default=16384)
    parser.add_argument("--rules", default="1000,10000,100000")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--publish", action="store_true")
    parser.add_argument("--vm", action="append", default=[])
    return parser.parse_args()


def measure_packets(wanted, load):
    packets = {}
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
    return packets


def netdevsim():
    """The path of netdevsim for the stock kernel: Debian has none, but the kernel's source has."""
    made = os.path.join(FOLDER, "netdevsim")
    os.makedirs(made, exist_ok=True)
    source = os.path.join(options.CACHE, "src", "linux", "drivers/net/netdevsim")
    say("netdevsim: build")
    make = [os.path.join(TOP, "scripts/kernel/make"), "stock", "-s", f"M={source}", f"MO={made}", "CONFIG_NETDEVSIM=m", "modules"]
    subprocess.run(make, check=True)
    return os.path.join(made, "netdevsim.ko")


def measure_rules(wanted, load):
    """Instructions in one guest, and seconds of the smaller files in another one."""
    argv = [os.path.join(HERE, "rules"), load, netdevsim(), wanted.rules]
    say("oxnic: instructions per rule")
    rules, _ = run_in_guest(["ICOUNT=1", "MEM=4G", "TIMEOUT=14400", *wanted.vm], argv)
    say("oxnic: rules per second")
    argv[3] = ",".join(count for count in wanted.rules.split(",") if int(count) <= 10000) or "1000"
    rules["seconds"], _ = run_in_guest(["MEM=4G", "TIMEOUT=7200", *wanted.vm], [*argv, "clock"])
    return rules


def measure(wanted):
    load = os.path.join(FOLDER, "load")
    subprocess.run(["gcc", "-O2", "-static", "-o", load, os.path.join(HERE, "load.c")], check=True)
    parts = wanted.parts.split(",")
    packets = measure_packets(wanted, load) if "packets" in parts else {}
    rules = measure_rules(wanted, load) if "rules" in parts else {}
    vfs, boots = {}, {}
    if "vfs" in parts:
        say("oxnic: creation of VFs, and boot")
        vfs, boots["oxnic"] = run_in_guest(["MEM=4G", *wanted.vm], [os.path.join(HERE, "vfs")])
    return {
        "packets": packets, "rules": rules, "vfs": vfs, "boot_seconds": boots, "count": wanted.count, "repeats": wanted.repeats,
    }  # fmt: skip


def medians(packets):
    """{what: {NIC: median}} in the order of measuring, without the base costs in parentheses."""
    names = dict.fromkeys(name for found in packets.values() for name in found)
    return {
        name: {nic: statistics.median(found[name]) for nic, found in packets.items() if name in found}
        for name in names
        if not name.startswith("(") and ": lost" not in name
    }


def packet_table(results):
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


# Rules of a file that can be told from noise by the clock, and by the kernel's free memory.
MANY = 10000


def quotient(value, cost, width, digits):
    """One by the other, or a dash where what was measured is less than what was subtracted from it: it is noise."""
    return f"{value / cost:{width}.{digits}f}" if value > 0 and cost > 0 else f"{'-':>{width}}"


def rule_table(rules):
    """What a rule costs in the device, beside the same in software; instructions, then seconds as rules a second."""
    for title, found, rate in (("instructions a rule", rules, False), ("rules a second, by the clock", rules["seconds"], True)):
        print(f"\n{title:32} {'ratio':>8} {'skip_sw':>11} {'skip_hw':>11} {'netdevsim':>11}")
        for count, ours in found["skip_sw"].items():
            # By the clock small files and hundredths are lost in what tc needs to start, which is subtracted.
            if rate and int(count) < MANY:
                continue
            for name in ("insert", "dump", "delete") if rate else ("insert", "first", "last", "dump", "delete"):
                costs = (ours[name], *(found[other][count][name] for other in ("skip_hw", "netdevsim")))
                print(f"{f'{name} of {count}':32} {quotient(costs[0], costs[1], 8, 2)} " + " ".join(quotient(1, cost, 11, 0) if rate else f"{cost:11.0f}" for cost in costs))
    for count, ours in rules["skip_sw"].items():
        if int(count) < MANY:
            continue
        pair = (ours["bytes"], rules["skip_hw"][count]["bytes"])
        print(f"memory a rule, of {count}: {pair[0]:.0f} bytes, {pair[1]:.0f} with skip_hw: {pair[0] - pair[1]:.0f} are the driver's")
    alone = rules["forward"]["alone"]["instructions"]
    for what in ("device", "software"):
        found = rules["forward"][what]
        print(f"a packet forwarded by {what}: {found['instructions'] - alone:.0f} instructions, {found['seen']} of {found['packets']} seen")


def table(results, rules):
    if results["packets"]:
        packet_table(results)
    if rules:
        rule_table(rules)
    for count, times in results["vfs"].items():
        create, remove = (statistics.median(t[n] for t in times) for n in (0, 1))
        print(f"{count} VF{'s' if count != '1' else ''}: created in {create:.2f} s, removed in {remove:.2f} s")
    for nic, seconds in results["boot_seconds"].items():
        print(f"boot until the first script runs, with {nic}: {seconds:.1f} s")


def write(name, found):
    """The path of a file of results."""
    path = os.path.join(FOLDER, name)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(found, file, indent=1)
        file.write("\n")
    return path


def main():
    wanted = arguments()
    os.makedirs(FOLDER, exist_ok=True)
    try:
        results = measure(wanted)
    except (MachineError, options.UsageError) as error:
        print(f"bench: error: {error}", file=sys.stderr)
        return 1
    if "packets" in wanted.parts and not results["packets"]:
        return 1
    rules = results.pop("rules")
    files = [write(name, found) for name, found in (("rules.json", rules), ("bench.json", results["packets"] and results)) if found]
    plots = plot.all_plots(medians(results["packets"]), results["vfs"], FOLDER) if results["packets"] else []
    table(results, rules)
    if wanted.publish:
        target = os.path.join(TOP, "Documentation", "bench")
        os.makedirs(target, exist_ok=True)
        for path in [*plots, *files]:
            shutil.copy(path, target)
    say(f"{FOLDER}: " + ", ".join(os.path.basename(path) for path in [*files, *plots]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
