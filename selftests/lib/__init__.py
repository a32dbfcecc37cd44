# SPDX-License-Identifier: GPL-2.0-only
"""What the in-VM tests stand on: cases and checks, commands, namespaces, frames, captures, PCI functions, traffic.

A test file is a program: it declares cases with @case and ends with main(). It runs as root in the guest, finds PF, PEER
and PCI in its environment (see scripts/vm/vm) and prints TAP.
"""

from .capture import Capture, Injector, tcpdump_verdict
from .case import Failure, at_least, at_most, case, defer, equal, fails, main, note, setup, skip, true, until
from .command import Result, ethtool, ip, sh
from .control import Control
from .function import PF, PciFunction
from .link import Link
from .memory import Watch, kmemleak
from .namespace import Namespace, sysctl
from .topology import VfEnd, Wire
from .traffic import Sender, Stream, ping, tcp, udp_echo

__all__ = [
    "Capture", "Control", "Failure", "Injector", "Link", "Namespace", "PF", "PciFunction", "Result", "Sender", "Stream", "VfEnd", "Watch", "Wire",
    "at_least", "at_most", "case", "defer", "equal", "ethtool", "fails", "ip", "kmemleak", "main", "note", "ping", "setup", "sh", "skip",
    "sysctl", "tcp", "tcpdump_verdict", "true", "udp_echo", "until",
]
