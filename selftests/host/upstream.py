# SPDX-License-Identifier: GPL-2.0-only
"""Runs the kernel's own selftests in guests and says how each file did; how to use it is written in selftests/upstream."""

import argparse
import os
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
FOLDER = os.path.dirname(HERE)
sys.path[:0] = [FOLDER, os.path.join(os.path.dirname(FOLDER), "scripts")]

from host import expect  # noqa: E402
from host import ledger  # noqa: E402
from host import execute  # noqa: E402
from host import runner  # noqa: E402
from host import suite  # noqa: E402
from host import tap  # noqa: E402
from vm import options  # noqa: E402
from vm import session  # noqa: E402
from vm.machine import MachineError  # noqa: E402

NET, HW = "drivers/net/", "drivers/net/hw/"
SIM = "drivers/net/netdevsim/"
FORWARDING = "net/forwarding/"
# tdc's cases for a device; they are in this file.
TDC = suite.TDC + "/tc-tests/filters/flower.json"
# Each file by step.
A0 = [SIM + name for name in ("devlink.sh", "ethtool-coalesce.sh", "ethtool-features.sh", "ethtool-fec.sh", "ethtool-pause.sh")]
A1 = [NET + name for name in ("ping.py", "stats.py", "queues.py", "ring_reconfig.py", "napi_id.py", "napi_threaded.py")]
A1 += [HW + name for name in ("csum.py", "irq.py", "ethtool_std_stats.sh", "rss_api.py", "rss_drv.py", "uso.py", "ntuple.py")]
A1 += [NET + "xdp.py", HW + "nic_timestamp.py"]
A2 = [FORWARDING + name for name in ("bridge_vlan_aware.sh", "bridge_vlan_unaware.sh", "bridge_port_isolation.sh", "min_max_mtu.sh")]
A2 += [FORWARDING + name for name in ("router.sh", "router_bridge.sh")] + [suite.FILTER]
RULES = ("flower", "actions", "chains", "shblocks", "flower_port_range", "vlan_modify", "tunnel_key", "police")
A3 = [f"{FORWARDING}tc_{name}.sh" for name in RULES] + [TDC]
# Made for netdevsim; here it has a netdev of ours in its place.
MQ = SIM + "tc-mq-visibility.sh"
SPLIT = HW + "devlink_port_split.py"
A5 = [f"{suite.YNL}/{name}" for name in suite.YNL_FAMILIES] + [SPLIT, MQ]
MORE = [NET + name for name in ("gro.py", "hds.py", "shaper.py", "so_txtime.py", "netpoll_basic.py")]
MORE += [HW + name for name in ("tso.py", "rss_ctx.py", "rss_input_xfrm.py", "rss_flow_label.py", "toeplitz.py", "ethtool_rmon.sh")]
MORE += [HW + name for name in ("xsk_reconfig.py", "pp_alloc_fail.py", "gro_hw.py", "xdp_metadata.py")]
QUICK = [NET + "ping.py", NET + "stats.py", NET + "queues.py", NET + "ring_reconfig.py", HW + "irq.py", HW + "csum.py"]
STEPS = {"A0": A0, "A1": A1, "A2": A2, "A3": A3, "A5": A5, "more": MORE, "quick": QUICK}
NETIFS = ("uplink", "vf")
# What other tests run on: netdevs that they make; VFs and their representors as the ends of cables; representors at both ends; one.
SPECIAL = {SIM: "none", suite.FILTER: "none", FORWARDING: "cables", FORWARDING + "tc_": "representors", TDC: "representor"}
# Whose cases are not told as TAP.
PLAIN = (*SPECIAL, SPLIT)
SECONDS = 900.0
# Exit status of kselftest that some case of the file accounts for.
STATUS = {1: "fail", 2: "xfail", 4: "skip"}
NOT_OFFLOADED = "Could not test offloaded functionality"


def arguments(words=None):
    parser = argparse.ArgumentParser(prog="selftests/upstream", add_help=False)
    parser.add_argument("--kernel", default=os.environ.get("KERNEL") or "stock")
    parser.add_argument("--nic", default="oxnic")
    parser.add_argument("--step", action="append", choices=STEPS)
    parser.add_argument("--netif", action="append", choices=NETIFS)
    parser.add_argument("--pattern", default="")
    parser.add_argument("--record", default="")
    parser.add_argument("--vm", action="append", default=[])
    parser.add_argument("--ledger", default="")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--set", default="upstream")
    chosen = parser.parse_args(words)
    if chosen.pattern == "upstream":
        chosen.pattern = ""
    return chosen


def planned(chosen):
    """(file, netif) in the order in which they run: one kind of netdev after the other."""
    files = [file for step in chosen.step or ("A0", "A1", "A2", "A3", "A5") for file in STEPS[step]]
    files = [file for file in dict.fromkeys(files) if any(text in file for text in chosen.pattern.split(","))]
    special = {file: kind for file in files for start, kind in SPECIAL.items() if file.startswith(start) and file != MQ}
    jobs = [(file, netif) for netif in chosen.netif or NETIFS for file in files if file not in special]
    groups = {kind: [(file, kind) for file in special if special[file] == kind] for kind in set(SPECIAL.values())}
    return groups["none"] + jobs + groups["cables"] + groups["representors"] + groups["representor"]


class Judge:
    """Turns cases into verdicts with the expectations in mind, and remembers them for the table."""

    def __init__(self, chosen):
        self.kernel, self.own = chosen.kernel, chosen.nic == "oxnic"
        self.entries = expect.read(os.path.join(FOLDER, "upstream.expect")) if self.own else []
        self.rows = {}
        self.restored = set()
        self.tally = execute.Tally()

    def omitted(self, file, netif):
        """The reason why a file is not run, or an empty text."""
        entry = expect.find(self.entries, "omit", file, "*", netif, self.kernel)
        if entry is not None:
            self.rows[file, netif] = None
            self.tally.add([tap.Case(f"{file} on {netif}", "skip", entry.reason)])
        return entry.reason if entry else ""

    def add(self, file, netif, cases):
        for case in cases:
            if self.own:
                self._explain(file, netif, case)
            case.name = f"{file} on {netif}: {case.name}"
        self.rows[file, netif] = cases
        self.tally.add(cases)

    def restore(self, file, netif, cases):
        """What was made of a file before."""
        self.rows[file, netif] = cases
        self.restored.add((file, netif))
        self.tally.add(cases)

    def _explain(self, file, netif, case):
        name = case.name if file.startswith(PLAIN) else case.name.partition(".")[2]
        if case.verdict == "pass" or file.startswith(SIM):
            return
        # The test's own expected failures are upstream's statement about the environment; only skips need ours.
        entry = expect.find(self.entries, case.verdict, file, name, netif, self.kernel)
        if entry is not None:
            case.reason = entry.reason
            if case.verdict == "fail":
                case.verdict, case.reason = "skip", f"fails, since {entry.reason}"
        elif case.verdict == "skip":
            case.verdict, case.reason = "fail", f"skipped without a reason in upstream.expect: {case.reason}"

    def counts(self, file, netif):
        cases = self.rows.get((file, netif)) or []
        return {verdict: sum(case.verdict == verdict for case in cases) for verdict in ("pass", "fail", "xfail", "skip")}

    def stale(self):
        """Entries of expectations for files that ran, which nothing needed."""
        ran = [(file, netif) for (file, netif), cases in self.rows.items() if cases and (file, netif) not in self.restored]
        return [
            entry
            for entry in self.entries
            if not entry.used and entry.verdict != "omit" and any(entry.covers(f, entry.case, n, self.kernel) for f, n in ran)
        ]


def text_of(counts):
    return " ".join(f"{counts.get(key, 0):3d}" for key in ("pass", "fail", "xfail", "skip"))


def table(judge, jobs, peers):
    """Result of each file beside that of the kernel's igb; the names of the files that are below it."""
    below = []
    print(f"# {'file':34} {'netdev':7} pass fail xfl skip   igb: pass fail xfl skip")
    for file, netif in jobs:
        counts, peer = judge.counts(file, netif), peers.get((file, netif))
        name = file.removeprefix("drivers/net/")
        ran = text_of(counts) if judge.rows.get((file, netif)) else "not run        "
        worse = judge.own and peer and judge.rows.get((file, netif)) and counts["pass"] < peer["pass"]
        if worse:
            below.append(f"{file} on {netif}")
        print(f"# {name:34} {netif:7} {ran}        {text_of(peer) if peer else '-':>15}{'  BELOW' if worse else ''}")
    return below


def run_job(runs, file, netif, folder, netdevsim, judge):
    """One file on one netdev, in the session's guest."""
    print(f"# {file} on {netif}: start", flush=True)
    start, before, echo = time.monotonic(), len(runs.results), execute.Echo()
    try:
        result = runs.run([os.path.join(FOLDER, "guest", "upstream"), folder, file, netif, netdevsim], echo, echo)
    except MachineError as error:
        execute.say(error)
        judge.add(file, netif, [tap.Case("(guest)", "fail", str(error))])
        return
    complaints = [text for one in runs.results[before:] for text in one.complaints()]
    for text in complaints:
        execute.say(text)
    if file == TDC:
        cases = said_cases(echo.text()) + tap.complete(file, echo.text(), result.code, complaints[0].splitlines()[0] if complaints else "")
    elif file.startswith(PLAIN):
        cases = shell_cases(echo.text(), result.code, complaints)
    else:
        cases = tap.complete(os.path.basename(file), echo.text(), result.code, complaints[0].splitlines()[0] if complaints else "")
    judge.add(file, netif, cases)
    bad = any(case.verdict == "fail" for case in judge.rows[file, netif])
    execute.say(f"{file} on {netif}: {'FAILED' if bad else 'ok'} in {time.monotonic() - start:.0f} s")
    if bad and runs.machine is not None:
        execute.end_guest(runs, judge.tally)


def said_cases(text):
    """What is said in lines "TEST: name [ OK ]"."""
    cases = []
    for line in text.splitlines():
        if line.startswith("TEST: ") and line.rstrip().endswith("]"):
            name, _, verdict = line[6:].rstrip(" ]").rpartition("[")
            verdict = verdict.strip().lower()
            cases.append(tap.Case(name.strip(), {"ok": "pass", "skip": "skip", "xfail": "xfail"}.get(verdict, "fail")))
    return cases


def shell_cases(text, code, complaints):
    """These scripts print "TEST: name [ OK ]" or "PASSED all N checks", not TAP; the exit status decides, but for what its cases say."""
    cases = said_cases(text)
    if code == 4 and not cases:
        return [tap.Case("(file)", "skip", text.strip().splitlines()[-1] if text.strip() else "")]
    said = any(case.verdict == STATUS.get(code) for case in cases)
    if code and not said or complaints:
        cases.append(tap.Case("(file)", "fail", complaints[0].splitlines()[0] if complaints else f"status {code}"))
    elif not cases:
        cases.append(tap.Case("(file)", "pass"))
    if NOT_OFFLOADED in text:
        cases.append(tap.Case("(file)", "fail", "its second half, with rules in the device, did not run"))
    return cases


def record(path, judge, jobs):
    with open(path, "w", encoding="utf-8") as file:
        file.write("# SPDX-License-Identifier: GPL-2.0-only\n# How the kernel's igb does on QEMU's igb in the same guest:\n")
        file.write("# selftests/upstream --nic igb --step A1 --step more --record selftests/upstream.igb\n")
        for name, netif in jobs:
            counts = judge.counts(name, netif)
            file.write(f"{name} {netif} {' '.join(f'{key}={value}' for key, value in counts.items())}\n")


def run_jobs(jobs, chosen, judge):
    """All of them in as few guests as there are failures."""
    folder, netdevsim = suite.install(), ""
    if any(file.startswith(SIM) for file, _ in jobs):
        netdevsim = suite.netdevsim(chosen.kernel)
    words = [f"KERNEL={chosen.kernel}", f"NIC={chosen.nic}", f"DIR={os.path.dirname(folder)}", "PEER=e1000e", *chosen.vm]
    wanted, _ = options.parse([*words, f"TIMEOUT={SECONDS * runner.SLOWER.get(chosen.kernel, 1)}"], {})
    done = ledger.Ledger(chosen.ledger, chosen.kernel)
    runs = session.Session(wanted)
    with runs:
        for file, netif in jobs:
            if judge.omitted(file, netif):
                continue
            found = done.find(f"{file} on {netif}", None)
            if found is not None:
                judge.restore(file, netif, found)
                continue
            run_job(runs, file, netif, folder, netdevsim, judge)
            done.ran(f"{file} on {netif}", None, judge.rows[file, netif])
            if done.is_full():
                end_guest(runs, judge.tally, done)
        end_guest(runs, judge.tally, done)
    for path in runs.kept:
        execute.say(f"kept: {path}")


def end_guest(runs, tally, done):
    before = len(tally.cases)
    execute.end_guest(runs, tally)
    done.guest_ended(tally.cases[before:])


def run(words=None):
    """The whole of it; returns the Tally."""
    chosen = arguments(words)
    jobs = planned(chosen)
    judge = Judge(chosen)
    if chosen.list:
        for file, netif in jobs:
            print(f"# {file} on {netif}")
        return None
    run_jobs(jobs, chosen, judge)
    path = os.path.join(FOLDER, "upstream.igb")
    below = table(judge, jobs, expect.read_counts(path) if os.path.exists(path) else {})
    judge.tally.add([tap.Case(name, "fail", "fewer cases pass than with igb") for name in below])
    judge.tally.add([tap.Case(f"upstream.expect:{e.line}", "fail", "nothing behaves as it says") for e in judge.stale()])
    if chosen.record:
        record(chosen.record, judge, jobs)
    return judge.tally


def main():
    try:
        tally = run()
    except (options.UsageError, suite.BuildError, ValueError) as error:
        print(f"selftests: error: {error}", file=sys.stderr)
        return 2
    return tally.report() if tally is not None else 0


if __name__ == "__main__":
    for name in (runner.signal.SIGINT, runner.signal.SIGTERM, runner.signal.SIGHUP):
        runner.signal.signal(name, runner.end)
    sys.exit(main())
