#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Documentation/operations.rst can be followed: each command does what the page says, and each line of the kernel log that it has comes.

Of what a command shows, lines of the page have to be there in its order, with all their words but those that are numbers other than versions.
"""

# A guest of its own (no other file has these options), whose device runs the firmware that it was made with.
# sets: quick
# vm: PORTS=1 TIMEOUT=600

import os
import re
import tempfile

from lib import PF, Control, Wire, case, defer, equal, main, note, setup, sh, true, until
from lib.eswitch import HANDLE
from lib.firmware import versions
from lib.health import Reporter

PAGE = f"{os.environ['OXNIC_TOP']}/Documentation/operations.rst"
VERSION = re.compile(r"\d+\.\d+\.\d+[.;]?$")
FATAL = Reporter("fw_fatal")
control = None


@setup
def topology():
    global control
    control = Control()
    defer(control.close)
    wire = Wire()
    equal(wire.near.carrier(), True, "carrier")
    os.chdir(tempfile.mkdtemp())
    # What the page begins with makes the packages that the rest of it names.
    follow("Firmware and faults, for operators")


def section(title):
    """The text below a title, up to the next one."""
    with open(PAGE, encoding="utf-8") as file:
        text = file.read()
    return re.split(r"\n[^\n]+\n=+\n", text.split(f"\n{title}\n=", 1)[1].partition("\n")[2], maxsplit=1)[0]


def steps(title):
    """(command, lines of its output) of a section, in order; lines of the log and of what happens meanwhile have no command."""
    found = []
    for line in re.findall(r"^   ( *\S.*)$", section(title), re.M):
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.startswith(("oxnic ", "... ")):
            found.append((None, [line]))
        elif line != "...":
            found[-1][1].append(line)
    return found


def words(line):
    """Those that have to be there."""
    return [word for word in line.split() if word != "..." and (VERSION.match(word) or not re.search(r"\d", word))]


def compare(command, shown, wanted):
    lines = iter(re.split(r"[\r\n]+", shown))
    for line in wanted:
        true(any(set(words(line)) <= set(there.split()) for there in lines), f"{command}: '{line}' is not in its place in {shown!r}")


def logged(line):
    """The page's line of the log comes."""
    text = line.split(": ", 1)[1].partition("...")[0]
    until(lambda: text in sh("dmesg").out, f"'{text}' in the kernel log", 30)


def follow(title, happens=lambda: None):
    """All of a section; what is to happen at a line "... it ... ..." is a function."""
    for command, wanted in steps(title):
        if command is None:
            (line,) = wanted
            if line.startswith("oxnic "):
                logged(line)
            else:
                happens()
            continue
        if command.startswith("DEV="):
            continue
        result = sh(f"DEV={HANDLE}; {command}", check=False)
        note(f"{command}: status {result.status}")
        equal(result.status != 0, any(line.startswith("Error: ") for line in wanted), f"{command} fails ({result.text!r})")
        compare(command, result.text, wanted)


@case
def update():
    """A package is flashed, shown and activated; one that is damaged and one that does not work are refused, and what ran before runs."""
    sh("dmesg -C")
    follow("An update")
    equal({version for kind in ("running", "stored") for version in versions()[kind].values()}, {"1.1.0"}, "versions after the update")
    sh("dmesg -C")
    follow("An update that fails")
    equal({version for kind in ("running", "stored") for version in versions()[kind].values()}, {"1.1.0"}, "versions after updates that fail")
    true("pipeline firmware: rolled back" in sh("dmesg").out, "the roll-back is in the log")


def crash():
    control.do("halt", function=0, reason=8)


@case
def crashed():
    """A crash is told of, recovered from and kept; with recovery turned off it waits for the user."""
    defer(FATAL.set, auto_recover=True)
    sh("dmesg -C")
    before = FATAL.counts()
    crash()
    FATAL.counted(before)

    def again():
        sh("dmesg -C")
        crash()
        until(lambda: FATAL.state() == "error", "the function is down")

    follow("A crash", again)
    with open("dump.txt", encoding="utf-8") as file:
        dump = file.read()
    for name in ("reason", "registers", "queues", "log"):
        true(name in dump, f"{name} in what was kept: {dump[:300]!r}")
    equal((FATAL.state(), FATAL.show()["auto_recover"]), ("healthy", True), "state and auto_recover in the end")


@case
def does_not_start():
    """A PF that does not let itself be taken over says why, and is started by other firmware."""
    defer(control.do, "broken", part="pipeline", on=False)
    control.do("broken", part="pipeline", on=True)
    sh("dmesg -C")
    PF().unbind()
    PF().bind("oxnic")
    follow("A device that does not start")
    equal(set(versions()["running"].values()), {"1.2.1"}, "running versions")


main()
