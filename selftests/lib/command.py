# SPDX-License-Identifier: GPL-2.0-only
"""Running the tools that users have: ip, ethtool and the like, in any namespace."""

import json
import shlex
import subprocess
from dataclasses import dataclass

from .case import Failure
from .pace import slow

SECONDS = 120


@dataclass
class Result:
    """status: the exit status; out: standard output; text: both outputs together."""

    status: int
    out: str
    text: str


def sh(command, ns=None, check=True, seconds=SECONDS, data=None):
    """Run a command (a list, or a text for the shell) in a namespace. With check, a failure of it fails the case."""
    seconds = slow(seconds)
    argv = ["sh", "-c", command] if isinstance(command, str) else [str(word) for word in command]
    if ns is not None:
        argv = ["ip", "netns", "exec", ns.name] + argv
    try:
        done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=seconds, check=False, input=data)
    except subprocess.TimeoutExpired:
        raise Failure(f"{shlex.join(argv)}: no end within {seconds} s") from None
    result = Result(done.returncode, done.stdout, (done.stdout + done.stderr).strip())
    if check and result.status != 0:
        raise Failure(f"{shlex.join(argv)}: status {result.status}: {result.text}")
    return result


def _words(words):
    return shlex.split(words) if isinstance(words, str) else list(words)


def ip(words, ns=None, check=True, parse=False):
    """`ip ...` in a namespace; with parse, what its JSON output says."""
    argv = ["ip"] + (["-n", ns.name] if ns is not None else []) + (["-j", "-d", "-s"] if parse else []) + _words(words)
    result = sh(argv, check=check)
    return json.loads(result.out or "[]") if parse else result


def ip_batch(lines, ns=None, check=True):
    """Several commands of `ip`, in one program; without check, also those behind one that fails."""
    argv = ["ip"] + (["-n", ns.name] if ns is not None else []) + ([] if check else ["-force"]) + ["-batch", "-"]
    return sh(argv, check=check, data="".join(f"{line}\n" for line in lines))


def ethtool(words, ns=None, check=True, parse=False):
    """`ethtool ...`; with parse, what its JSON output says (not all subcommands have it)."""
    argv = ["ethtool"] + (["--json"] if parse else []) + _words(words)
    result = sh(argv, ns=ns, check=check)
    return json.loads(result.out) if parse else result
