# SPDX-License-Identifier: GPL-2.0-only
"""The command line behind scripts/vm/vm, run in the root file system. How to use it is written there."""

import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))

from vm import options  # noqa: E402
from vm import session  # noqa: E402
from vm.machine import MachineError  # noqa: E402
from vm.terminal import Terminal  # noqa: E402

MODES = ("--each", "--shell")


def say(text):
    print(f"vm: {text}", file=sys.stderr, flush=True)


def show(result):
    for text in result.complaints():
        say(text)


def show_with_status(result):
    show(result)
    say(f"{'ok' if result.code == 0 else 'FAILED'}: {result.script} (status {result.code}, {result.seconds:.1f} s)")


def log_sinks(folder):
    """For --each with LOG: one file a script, both streams in it."""
    os.makedirs(folder, exist_ok=True)

    def sinks(script):
        path = os.path.join(folder, os.path.basename(script) + ".log")
        with open(path, "wb"):
            pass

        def write(data):
            with open(path, "ab") as file:
                file.write(data)

        return write, write

    return sinks


def run_one(wanted, argv):
    runs = session.Session(wanted, on_result=show)
    results = runs.run_each([argv])
    return finish(wanted, runs, next((result.code for result in results if result.code), 0))


def run_each(wanted, scripts):
    runs = session.Session(wanted, on_result=show_with_status)
    extra = {"sinks": log_sinks(wanted.log)} if wanted.log else {}
    results = runs.run_each(scripts, **extra)
    bad = [result for result in results if result.code]
    say(f"{len(results) - len(bad)} of {len(results)} passed" + "".join(f"\n    {r.script}: {r.code}" for r in bad))
    only_splats = bad and all(result.code == session.SPLAT_STATUS for result in bad)
    return finish(wanted, runs, session.SPLAT_STATUS if only_splats else int(bool(bad)))


def run_shell(wanted):
    runs = session.Session(wanted, on_result=show, terminal=True)
    with runs:
        machine = runs.guest()
        say("the guest is up; its console is in " + machine.folder.file("console.log"))
        with Terminal(machine) as terminal:
            outcome = machine.await_shell(machine.shell(*terminal.size()))
        runs.finish()
    bad = [result for result in runs.results if result.code]
    return finish(wanted, runs, outcome.status or (session.SPLAT_STATUS if bad else 0))


def finish(wanted, runs, status):
    if wanted.json:
        session.write_json(wanted.json, runs.results)
    show_kept(runs)
    return status


def show_kept(runs):
    for path in runs.kept:
        say(f"kept: {path} (console.log, device.log, qemu.command)")


def main(arguments):
    mode = next((word for word in arguments if word in MODES), "")
    words = [word for word in arguments if word != mode or not mode]
    wanted, rest = options.parse(words, os.environ)
    for script in rest if mode == "--each" else rest[:1]:
        if not os.path.isfile(script):
            raise options.UsageError(f"SCRIPT={script}: there is no such file")
    if mode == "--shell":
        if not Terminal.is_there():
            raise options.UsageError("a shell needs a terminal; to run commands from a file: make vm SCRIPT=<file>")
        return run_shell(wanted)
    if not rest:
        raise options.UsageError("give a script to run: make vm SCRIPT=<file> (see scripts/vm/vm --help)")
    return run_each(wanted, rest) if mode == "--each" else run_one(wanted, rest)


def end(number, _frame):
    """Leave through all the `finally` clauses, so that nothing stays behind."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(128 + number)


if __name__ == "__main__":
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, end)
    try:
        sys.exit(main(sys.argv[1:]))
    except (options.UsageError, MachineError) as error:
        say(f"error: {error}")
        sys.exit(getattr(error, "status", session.NO_GUEST_STATUS))
    except BrokenPipeError:  # nobody reads our output any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
