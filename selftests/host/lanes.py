# SPDX-License-Identifier: GPL-2.0-only
"""Several guests at a time. Each is looked after by a process of its own, which is given one test file after the other.

What a file prints is kept until it has ended, so that reports do not mix. Cases that measure time (`# alone:`) come at the
end, when nothing else runs.
"""

import io
import multiprocessing
import os
import shutil
import sys
import tempfile
import traceback
from multiprocessing import connection

from host import execute
from host import plan
from host import tap
from vm import options
from vm import session

FORK = multiprocessing.get_context("fork")


class Lane:
    """The parent's end: a process, and which guest it has."""

    def __init__(self, make_options, environment, ledger):
        self.pipe, theirs = FORK.Pipe()
        self.vm, self.test = None, None
        self.process = FORK.Process(target=serve, args=(theirs, make_options, environment, ledger), daemon=True)
        self.process.start()
        theirs.close()

    def give(self, work):
        """The next (file, cases), or None: there is none."""
        self.test = work and work[0]
        self.vm = work and work[0].vm
        self.pipe.send(work)

    def take(self):
        """(output, cases, whether there is room for the next file). A process that is gone failed with what it had."""
        try:
            return self.pipe.recv()
        except EOFError:
            name = self.test.name if self.test else "lane"
            return "", [tap.Case(f"{name}.(guest)", "fail", "the process that looks after the guest has ended")], False


class Output:
    """Standard output of the process, kept."""

    def __enter__(self):
        self.before, self.bytes = sys.stdout, io.BytesIO()
        # Kept, since with it the bytes would go.
        self.file = sys.stdout = io.TextIOWrapper(self.bytes, encoding="utf-8", errors="replace", write_through=True)
        return self

    def __exit__(self, *_):
        sys.stdout = self.before

    def text(self):
        return self.bytes.getvalue().decode(errors="replace")


def serve(pipe, make_options, environment, ledger):
    """The process of a lane: a guest for one file after the other, a new one where a file needs another."""
    folder = tempfile.mkdtemp(prefix="selftest-pcap-", dir=os.path.join(options.CACHE, "run"))
    runs, vm, work = None, None, True
    try:
        while work:
            work = pipe.recv()
            tally = execute.Tally()
            with Output() as output:
                try:
                    if runs is not None and (work is None or work[0].vm != vm or ledger.is_full()):
                        execute.end_session(runs, tally)
                        runs = None
                        ledger.guest_ended(tally.cases)
                    if work and runs is None:
                        vm = work[0].vm
                        runs = session.Session(make_options(vm, folder))
                    if work:
                        before = len(tally.cases)
                        execute.run_file(runs, *work, tally, environment)
                        ledger.ran(work[0].name, work[1], tally.cases[before:])
                except Exception as error:
                    execute.say(traceback.format_exc())
                    tally.add([tap.Case(f"{work[0].name if work else 'end'}.(harness)", "fail", repr(error))])
            pipe.send((output.text(), tally.cases, bool(work)))
    finally:
        if runs is not None:
            runs.__exit__(*sys.exc_info())
        shutil.rmtree(folder, ignore_errors=True)


def choose(waiting, vm):
    """The next file for a guest: one that it suits, else one from the end, where those are that few others are like."""
    suits = [work for work in waiting if work[0].vm == vm]
    work = suits[0] if suits else waiting[-1]
    waiting.remove(work)
    return work


def spread(selected, count, make_options, environment, tally, ledger):
    """Run the files in so many guests at a time."""
    waiting = [work for members in plan.groups(selected).values() for work in members]
    lanes = [Lane(make_options, environment, ledger) for _ in range(min(count, len(waiting)))]
    for at, lane in enumerate(lanes):
        lane.give(choose(waiting, waiting[0][0].vm if at == 0 else None))
    while lanes:
        for pipe in connection.wait([lane.pipe for lane in lanes]):
            lane = next(lane for lane in lanes if lane.pipe is pipe)
            text, cases, goes_on = lane.take()
            sys.stdout.write(text)
            sys.stdout.flush()
            tally.add(cases)
            if goes_on:
                lane.give(choose(waiting, lane.vm) if waiting else None)
            else:
                lanes.remove(lane)
                lane.process.join()
    tally.add([tap.Case(f"{test.name}.(file)", "fail", "no process was left to run it") for test, _ in waiting])


def run(selected, count, make_options, environment, tally, ledger):
    """All of it: what can be beside others first."""
    together, alone = plan.apart(selected)
    for some, at_once in ((together, count), (alone, 1)):
        if some:
            spread(some, at_once, make_options, environment, tally, ledger)
