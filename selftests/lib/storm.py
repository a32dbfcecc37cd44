# SPDX-License-Identifier: GPL-2.0-only
"""Rules that come and go without an end, by several programs of tc and nft at once, in blocks of their own."""

import collections
import os
import random
import re
import signal
import subprocess
import tempfile

from .case import Failure, at_least, defer
from .pace import slow


def mac(number):
    return f"02:00:{number >> 24 & 0xFF:02x}:{number >> 16 & 0xFF:02x}:{number >> 8 & 0xFF:02x}:{number & 0xFF:02x}"


def address(number):
    return f"10.{number >> 16 & 0xFF}.{number >> 8 & 0xFF}.{number & 0xFF}"


# Masks: tc's protocol, and the match for a number.
MATCHES = (
    ("all", lambda n: f"dst_mac {mac(n)}"),
    ("all", lambda n: f"src_mac {mac(n)}"),
    ("ip", lambda n: f"dst_ip {address(n)}"),
    ("ip", lambda n: f"ip_proto udp src_ip {address(n)} dst_port {1 + n % 60000}"),
    ("ip", lambda n: f"ip_proto tcp dst_ip {address(n << 8)}/24"),
)
ACTIONS = (
    "action drop",
    "action mirred egress redirect dev {to}",
    "action vlan push id 7 action mirred egress redirect dev {to}",
    "action police rate 100mbit burst 64k conform-exceed drop/pipe action mirred egress redirect dev {to}",
)
# Rules of a worker, and files of commands that it goes through again and again.
RULES, FILES = 40, 4


class Worker:
    """A program that runs files of commands again and again, until it is stopped between two of them."""

    def __init__(self, command, files):
        self.folder = tempfile.TemporaryDirectory()
        names = []
        for number, text in enumerate(files):
            names.append(f"{self.folder.name}/{number}")
            with open(names[-1], "w") as file:
                file.write(text)
        # One line more in `done` for each file.
        body = "; ".join(f"[ -e stop ] && exit; {command} {name}; echo >>done" for name in names)
        self.output = open(f"{self.folder.name}/output", "w+")
        self.process = subprocess.Popen(
            ["sh", "-c", f"while :; do {body}; done"],
            cwd=self.folder.name, stdout=self.output, stderr=self.output, start_new_session=True,
        )
        defer(self._end)

    def stop(self):
        """Waits for the file that is being run; how many were, and what the commands said."""
        open(f"{self.folder.name}/stop", "w").close()
        try:
            self.process.wait(slow(120))
        except subprocess.TimeoutExpired:
            raise Failure("a program of a storm does not end") from None
        self.output.seek(0)
        done = 0
        if os.path.exists(f"{self.folder.name}/done"):
            with open(f"{self.folder.name}/done") as file:
                done = len(file.read())
        return done, self.output.read()

    def _end(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.output.close()
        self.folder.cleanup()


def tc_files(number, where, targets, seed):
    """Commands of tc for worker `number`: each file adds rules at random, with other actions than before, and deletes others."""
    dice, files = random.Random(seed), []
    for _ in range(FILES):
        lines = []
        for rule in dice.sample(range(RULES), RULES):
            kind = rule % len(MATCHES)
            protocol, match = MATCHES[kind]
            place = f"{where} pref {10 * number + kind + 1} handle {rule + 1} protocol {protocol} flower"
            lines.append(f"filter del {place}")
            if dice.random() < 0.6:
                flags = "skip_sw" if dice.random() < 0.8 else ""
                action = dice.choice(ACTIONS).format(to=dice.choice(targets))
                lines.append(f"filter add {place} {flags} {match(number << 20 | rule + 1)} {action}")
        files.append("".join(line + "\n" for line in lines))
    return files


def nft_files(chain, target, seed):
    """Transactions of nft: each replaces all rules of a chain by others."""
    dice, files = random.Random(seed), []
    for _ in range(FILES):
        lines = [f"flush chain {chain}"]
        for port in dice.sample(range(1, 1000), 8):
            verdict = dice.choice(("drop", f"fwd to {target}"))
            lines.append(f"add rule {chain} udp dport {port} counter {verdict}")
        files.append("".join(line + "\n" for line in lines))
    return files


class Storm:
    """Several workers. What they are refused does not stop them."""

    def __init__(self):
        self.workers = []

    def of_tc(self, where, targets, seed):
        number = len(self.workers)
        self.workers.append(Worker("tc -force -b", tc_files(number, where, targets, f"{seed} {number}")))

    def of_nft(self, chain, target, seed):
        self.workers.append(Worker("nft -f", nft_files(chain, target, seed)))

    def stop(self):
        """All have ended. Answers a line about what they did and were told."""
        results = [worker.stop() for worker in self.workers]
        self.workers = []
        for done, _ in results:
            at_least(done, 1, "files of commands that a program of the storm has run")
        said = collections.Counter(reason for _, text in results for reason in re.findall(r"^Error: (.*)$", text, re.M))
        for reason in ("Specified filter handle not found.", "Cannot find specified filter chain.", "Filter with specified priority/protocol not found."):
            del said[reason]
        reasons = "; ".join(f"{count} times {reason}" for reason, count in said.most_common(6))
        return f"{sum(done for done, _ in results)} files of commands; {reasons or 'nothing was refused'}"
