# SPDX-License-Identifier: GPL-2.0-only
"""Scripts run in guests, and what became of each.

    from vm.options import Options
    from vm.session import Session
    session = Session(Options(kernel="debug", ports=2))
    results = session.run_each(["tests/a.sh", ["tests/b.sh", "an argument"]])
    for result in results: print(result.script, result.status, result.code, [s.title for s in result.splats])

A session boots a guest when a script needs one and uses it for the next scripts, until one of them hangs, crashes it or
leaves a splat: lockdep and KASAN report once only, so that the scripts after it would not be watched. After a report of
lockdep that is set aside (splat.CORES_OWN) the guest is given up too, in good health. Before that, and at the end, the
driver is unloaded and (with kmemleak) the leaks are read; what that shows is a result of its own, named UNLOAD, since any
script before it may be the cause.
"""

import json
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass
from dataclasses import field

from . import leaks
from . import options
from . import splat
from .machine import Machine
from .machine import MachineError

SPLAT_STATUS = 99
NO_GUEST_STATUS = 98
TIMEOUT_STATUS = 124
BOOT = "(boot)"
UNLOAD = "(unload)"
LAST_WORDS = 8  # lines of the kernel log that are shown when a guest did not come up without any splat


@dataclass
class Result:
    """status: the script's own, or None with a reason; splats: what nobody expected in its part of the kernel log;
    unmet: expected messages that did not come; trouble: what the harness itself has to say against the run."""

    script: str
    status: int | None = 0
    reason: str = ""
    timed_out: bool = False
    seconds: float = 0.0
    splats: list = field(default_factory=list)
    unmet: list = field(default_factory=list)
    trouble: list = field(default_factory=list)

    @property
    def bad_log(self):
        return bool(self.splats or self.unmet or self.trouble)

    @property
    def code(self):
        """One exit status for all of it."""
        if self.timed_out:
            return TIMEOUT_STATUS
        return self.status or (SPLAT_STATUS if self.bad_log or self.status is None else 0)

    def complaints(self):
        """What is wrong besides the status, as texts to print."""
        texts = [self.reason] if self.reason else []
        texts += [f"{one.kind} in the kernel log:\n{one.text()}" for one in self.splats]
        texts += [f"the expected kernel message did not come: {pattern}" for pattern in self.unmet]
        return texts + self.trouble

    def as_json(self):
        return {
            "script": self.script,
            "status": self.status,
            "code": self.code,
            "seconds": round(self.seconds, 3),
            "reason": self.reason,
            "splats": [{"kind": one.kind, "title": one.title, "text": one.text()} for one in self.splats],
            "unmet": self.unmet,
            "trouble": self.trouble,
        }


def to_stdout(data):
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def to_stderr(data):
    sys.stderr.buffer.write(data)
    sys.stderr.buffer.flush()


class Session:
    """on_result(result) is called for each result as soon as it is known; what a guest's end adds to it comes later."""

    def __init__(self, wanted, on_result=lambda result: None, terminal=False):
        self.wanted, self.on_result, self.terminal = wanted, on_result, terminal
        self.machine, self.last = None, None
        self.results, self.kept = [], []
        self.aside = Counter()
        self.unwatched = False  # by lockdep

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.machine is not None:
            self._give_up(keep=kind is not None and issubclass(kind, Exception))

    def run_each(self, scripts, sinks=lambda script: (to_stdout, to_stderr)):
        """Run the scripts (paths, or lists of a path and arguments) and end the guest. The results, in order.

        sinks(path) gives the two functions that take the script's output, as bytes.
        """
        with self:
            for script in scripts:
                argv = [script] if isinstance(script, str) else list(script)
                self.run(argv, *sinks(argv[0]))
            self.finish()
        return self.results

    def run(self, argv, on_stdout=to_stdout, on_stderr=to_stderr):
        """Run one script; its result. MachineError if no guest can be had for it."""
        machine = self.guest()
        self._judge_last()
        command = [machine.guest_path(argv[0]), *argv[1:]]
        if not os.access(argv[0], os.X_OK):
            command.insert(0, "bash")
        start = time.monotonic()
        number, outcome = machine.run(command, on_stdout, on_stderr, self.wanted.timeout)
        result = Result(argv[0], outcome.status, outcome.reason, outcome.timed_out, time.monotonic() - start)
        # The dump that a hanging script gets would read like one splat after the other.
        last = "dump." if outcome.timed_out else f"end {number}."
        text = machine.log.take_to(f"oxnic-vm: {last}", 5, machine.alive)
        result.splats, result.unmet = self._verdict(text)
        return self._done(result)

    def _done(self, result):
        self.last = result
        self.results.append(result)
        if result.code:
            self.machine.folder.keep = True
        if result.bad_log or result.status is None:
            self._give_up(keep=True)
        self.on_result(result)
        return result

    def guest(self):
        """The guest that the next script runs in: a new one if there is none, or none that lockdep watches."""
        if self.unwatched:
            self.finish()
        if self.machine is None:
            machine = Machine(self.wanted, self.terminal)
            try:
                machine.boot()
            except MachineError as error:
                raise self._no_guest(machine, error) from None
            except BaseException:
                machine.close()
                raise
            self.machine = machine
            self._judge(Result(BOOT))
        return self.machine

    def _no_guest(self, machine, error):
        """The error with what the kernel said: its splats, or else its last words."""
        text = machine.log.take()
        splats = [one.text() for one in splat.scan(text)]
        shown = splats or text.splitlines()[-LAST_WORDS:]
        machine.folder.keep = True
        machine.close()
        full = MachineError("\n".join([str(error), *shown, f"kept: {machine.folder.path}"]))
        full.status = SPLAT_STATUS if splats else NO_GUEST_STATUS
        return full

    def _verdict(self, text):
        """What splat.judge() says of a part of the kernel log; what it leaves out is counted."""
        aside = splat.set_aside(text)
        self.aside.update(known.reason for known in aside)
        self.unwatched |= any(known.locks for known in aside)
        return splat.judge(text)

    def _judge(self, result):
        """Judge what the kernel has said since; a result of its own if that is bad."""
        result.splats, result.unmet = self._verdict(self.machine.log.take())
        if result.bad_log:
            self._add(result)

    def _judge_last(self):
        """What came after a script's end and before the next one's start belongs to the former."""
        late, _ = self._verdict(self.machine.log.take())
        if late and self.last is not None:
            self.last.splats += late
            self.machine.folder.keep = True
        elif late:
            self._add(Result(BOOT, splats=late))

    def _add(self, result):
        self.results.append(result)
        self.machine.folder.keep = True
        self.on_result(result)

    def finish(self):
        """Unload the driver, read the leaks, end the guest."""
        if self.machine is None:
            return
        self._judge_last()
        result = Result(UNLOAD)
        start = time.monotonic()
        self._unload(result)
        result.seconds = time.monotonic() - start
        if result.bad_log:
            self._add(result)
        self._give_up()

    def _unload(self, result):
        machine, found = self.machine, []
        try:
            if machine.loaded:
                machine.command("unload", machine.loaded)
            if machine.loaded and machine.command("leaks") == "read":
                found = self._leaks()
            machine.command("mark", "end of run.")
        except MachineError as error:
            result.trouble.append(str(error))
        text = machine.log.take_to("oxnic-vm: end of run.", 2, machine.alive)
        result.splats, result.unmet = self._verdict(text)
        reasons = [leaks.cores_own(text) for text in found]
        self.aside.update(reason for reason in reasons if reason)
        result.trouble += [f"memory leak:\n{text}" for text, reason in zip(found, reasons, strict=True) if not reason]
        if found and all(reasons):
            # The kernel's log only says that there are some.
            result.splats = [one for one in result.splats if one.kind != "memory leak"]

    def _leaks(self):
        texts = []
        for name in ("kmemleak", "symbols"):
            with open(self.machine.folder.guest(name), encoding="utf-8", errors="replace") as file:
                texts.append(file.read())
        return leaks.reports(texts[0], leaks.Symbols(texts[1]))

    def _give_up(self, keep=False):
        machine, self.machine = self.machine, None
        for reason, times in self.aside.items():
            print(f"vm: set aside {times} times: {reason}", file=sys.stderr)
        self.aside.clear()
        self.unwatched = False
        folder = machine.folder
        folder.keep = folder.keep or keep or self.wanted.keep
        if folder.keep:
            self.kept.append(folder.path)
        machine.close()


def write_json(path, results):
    with open(path, "w", encoding="utf-8") as file:
        for result in results:
            file.write(json.dumps(result.as_json()) + "\n")
