# SPDX-License-Identifier: GPL-2.0-only
"""Cases, checks and clean-up of a test file, reported as TAP.

A case passes when it returns, fails when a check in it fails or anything is raised, and is skipped when it says so. What it
deferred is undone in reverse order afterwards, whatever happened; a failure while undoing is a failure of the case.
"""

import inspect
import os
import sys
import time
import traceback

from .pace import slow

_cases = []
_setups = []
_deferred = []

PASSED, FAILED, SKIPPED = 0, 1, 4


class Failure(Exception):
    """A check did not hold; the text says what was wanted and what was seen."""


class Skip(Exception):
    """The case does not apply here; the text says why."""


def case(function):
    """Decorator: a case, named as the function; its first line of documentation says what must hold."""
    _cases.append(function)
    return function


def setup(function):
    """Decorator: runs once before the first case; what it defers is undone after the last."""
    _setups.append(function)
    return function


def defer(function, *arguments, **keywords):
    """Undo by calling function(...) at the end of the case."""
    _deferred.append((function, arguments, keywords))


def skip(reason):
    raise Skip(reason)


def note(text):
    """A line for who reads the output."""
    for line in str(text).splitlines():
        print(f"# {line}", flush=True)


def true(condition, what):
    if not condition:
        raise Failure(what)


def equal(seen, wanted, what):
    if seen != wanted:
        raise Failure(f"{what}: {seen!r} and not {wanted!r}")


def at_least(seen, wanted, what):
    if seen is None or not seen >= wanted:
        raise Failure(f"{what}: {seen!r} and not at least {wanted!r}")


def at_most(seen, wanted, what):
    if seen is None or not seen <= wanted:
        raise Failure(f"{what}: {seen!r} and not at most {wanted!r}")


def until(condition, what, seconds=20.0, pause=0.05):
    """Wait for condition() to be true and return what it gave; seconds are those of the stock kernel."""
    seconds = slow(seconds)
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"not within {seconds:.0f} s: {what}")
        time.sleep(pause)


def fails(result, what, pattern=""):
    """A command must be refused, and its message hold the pattern (any case)."""
    if result.status == 0:
        raise Failure(f"{what}: accepted, and must be refused")
    if pattern.lower() not in result.text.lower():
        raise Failure(f"{what}: refused with {result.text!r}, which does not speak of {pattern!r}")


def _undo(down_to):
    """Undo what was deferred since; the texts of what went wrong."""
    errors = []
    while len(_deferred) > down_to:
        function, arguments, keywords = _deferred.pop()
        try:
            function(*arguments, **keywords)
        except Exception as error:  # noqa: BLE001 - every clean-up has its turn
            errors.append(f"clean-up: {error!r}")
    return errors


def _where(error):
    frames = [f for f in traceback.extract_tb(error.__traceback__) if os.sep + "lib" + os.sep not in f.filename]
    return f" (line {frames[-1].lineno})" if frames else ""


def _run(function):
    """Verdict and reason of one case."""
    level = len(_deferred)
    try:
        function()
        verdict, reason = PASSED, ""
    except Skip as error:
        verdict, reason = SKIPPED, str(error)
    except Failure as error:
        verdict, reason = FAILED, f"{error}{_where(error)}"
    except Exception as error:  # noqa: BLE001 - whatever it is, the case failed
        note(traceback.format_exc())
        verdict, reason = FAILED, repr(error) + _where(error)
    errors = _undo(level)
    if errors:
        verdict, reason = FAILED, "; ".join([reason] * bool(reason) + errors)
    return verdict, reason


def _line(number, name, verdict, reason):
    word = "not ok" if verdict == FAILED else "ok"
    end = f" # SKIP {reason}" if verdict == SKIPPED else ""
    for line in reason.splitlines() if verdict == FAILED else ():
        print(f"# {name}: {line}")
    print(f"{word} {number} {name}{end}", flush=True)


def main():
    """Run the cases (those whose names contain an argument, if there are any) and exit with the file's status."""
    file = os.path.basename(inspect.stack()[1].filename).removesuffix(".py")
    chosen = [c for c in _cases if not sys.argv[1:] or any(word in c.__name__ for word in sys.argv[1:])]
    print("TAP version 13")
    print(f"1..{len(chosen)}", flush=True)
    verdicts, blocked = [], None
    for function in _setups:
        verdict, reason = PASSED, ""
        try:
            function()
        except Skip as error:
            verdict, reason = SKIPPED, str(error)
        except Exception as error:  # noqa: BLE001
            if not isinstance(error, Failure):
                note(traceback.format_exc())
            verdict, reason = FAILED, f"set-up: {error}{_where(error)}"
        if verdict != PASSED:
            blocked = verdict, reason
            break
    for number, function in enumerate(chosen, start=1):
        start = time.monotonic()
        verdict, reason = blocked or _run(function)
        if number == len(chosen):
            errors = _undo(0)
            if errors:
                verdict, reason = FAILED, "; ".join([reason] * bool(reason) + errors)
        _line(number, f"{file}.{function.__name__}", verdict, reason)
        note(f"{time.monotonic() - start:.1f} s")
        verdicts.append(verdict)
    passed, failed, skipped = (verdicts.count(v) for v in (PASSED, FAILED, SKIPPED))
    print(f"# Totals: pass:{passed} fail:{failed} skip:{skipped}", flush=True)
    sys.exit(FAILED if failed or not verdicts else SKIPPED if not passed else PASSED)
