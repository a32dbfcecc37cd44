# SPDX-License-Identifier: GPL-2.0-only
"""Reads the TAP of a test, ours or the kernel's own, into counted results. Pure text in, records out."""

import re
from dataclasses import dataclass

LINE = re.compile(r"^(?P<word>not ok|ok)\s+(?P<number>\d+)\s*-?\s*(?P<name>.*?)\s*(?:#\s*(?P<mark>SKIP|XFAIL|XPASS)\b\s*:?\s*(?P<reason>.*))?$", re.I)
PLAN = re.compile(r"^1\.\.(\d+)")


@dataclass
class Case:
    """verdict: pass, fail, skip or xfail (an upstream test's own known failure)."""

    name: str
    verdict: str
    reason: str = ""


def verdict_of(word, mark):
    mark = (mark or "").upper()
    if word == "not ok":
        return "fail"
    if mark == "XPASS":
        return "fail"
    return {"SKIP": "skip", "XFAIL": "xfail"}.get(mark, "pass")


def parse(text):
    """The cases in order, and how many the plan announced (None without a plan)."""
    cases, planned = [], None
    for line in text.replace("\r", "").splitlines():
        plan = PLAN.match(line)
        if plan and planned is None:
            planned = int(plan.group(1))
        found = LINE.match(line)
        if found:
            cases.append(Case(found["name"], verdict_of(found["word"], found["mark"]), found["reason"] or ""))
    return cases, planned


def complete(file, text, code, complaint):
    """Cases of a file with what TAP alone does not say: a file that broke off, or failed though its cases passed."""
    cases, planned = parse(text)
    missing = (planned or 0) - len(cases)
    if planned is None:
        cases.append(Case(f"{file}.(file)", "fail", complaint or f"no test plan, status {code}"))
    elif missing > 0:
        cases.append(Case(f"{file}.(file)", "fail", f"{missing} of {planned} cases have no result: {complaint or f'status {code}'}"))
    elif code not in (0, 4) and not any(case.verdict == "fail" for case in cases) or complaint:
        cases.append(Case(f"{file}.(file)", "fail", complaint or f"status {code}"))
    return cases
