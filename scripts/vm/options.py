# SPDX-License-Identifier: GPL-2.0-only
"""What a run is asked to do: the options of scripts/vm/vm, from the environment and the command line, checked."""

import os
import shlex
from dataclasses import dataclass, field
from dataclasses import fields

NICS = ("e1000e", "igb", "virtio-net")
MAX_PORTS = 4
TOP = os.environ.get("OXNIC_TOP") or os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
CACHE = os.environ.get("OXNIC_CACHE") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "oxnic"
)


class UsageError(Exception):
    """The user asked for something impossible; the text says what to do. Becomes one line and status 98."""


@dataclass
class Options:
    """One field for each NAME=value option, in lower case; defaults as in the help text of scripts/vm/vm."""

    kernel: str = "stock"
    cpus: int = 0
    mem: str = ""
    ports: int = 1
    peer: str = "e1000e"
    nic: str = "oxnic"
    load: bool = True
    module: str = ""
    module_args: list = field(default_factory=list)
    dir: list = field(default_factory=list)
    packages: list = field(default_factory=list)
    pcap: str = ""
    device_args: list = field(default_factory=list)
    device_socket: str = ""
    qemu_args: list = field(default_factory=list)
    icount: bool = False
    timeout: float = 1800.0
    boot_timeout: float = 0.0
    accel: str = "auto"
    keep: bool = False
    json: str = ""
    log: str = ""

    def __post_init__(self):
        self.cpus = self.cpus or (1 if self.icount else 4)
        self.mem = self.mem or ("4G" if self.kernel == "debug" else "2G")
        slow = (3 if self.kernel == "debug" else 1) * (8 if self.icount else 1)
        self.boot_timeout = self.boot_timeout or 120.0 * slow
        if self.nic != "oxnic":
            self.load = False
        self.check()

    def check(self):
        one_of("PEER", self.peer, NICS)
        one_of("NIC", self.nic, ("oxnic", "none") + NICS)
        one_of("ACCEL", self.accel, ("auto", "tcg", "kvm"))
        if not 1 <= self.ports <= MAX_PORTS:
            raise UsageError(f"PORTS is a number from 1 to {MAX_PORTS}, not {self.ports}")
        if not 1 <= self.cpus <= 64:
            raise UsageError(f"CPUS is a number from 1 to 64, not {self.cpus}")
        for path in self.dir:
            if not os.path.isabs(path) or not os.path.isdir(path):
                raise UsageError(f"DIR={path} is not a folder: create it, and give its absolute path")

    @property
    def has_device(self):
        """True when a vfio-user device is attached."""
        return self.nic == "oxnic"


def one_of(name, value, choices):
    if value not in choices:
        raise UsageError(f"{name}={value} is not known: it is one of {', '.join(choices)}")


def truth(name, text):
    if text in ("", "0", "no", "n"):
        return False
    if text in ("1", "yes", "y"):
        return True
    raise UsageError(f"{name}={text}: give 1 or 0")


def number(name, text, kind):
    try:
        return kind(text)
    except ValueError:
        raise UsageError(f"{name}={text} is not a number") from None


def parse_value(name, kind, text):
    """One option's text as the type of its field."""
    if kind is bool:
        return truth(name, text)
    if kind in (int, float):
        return number(name, text, kind)
    if kind is list:
        if name == "DIR":
            return [os.path.realpath(path) for path in text.split(":") if path]
        return shlex.split(text)
    if name in ("PCAP", "MODULE", "JSON", "LOG", "DEVICE_SOCKET") and text:
        return os.path.realpath(text)
    return text


def parse(arguments, environment):
    """Options and what is left of the arguments. Arguments win over the environment.

    Raises UsageError for an unknown NAME or a value that does not fit.
    """
    kinds = {f.name.upper(): f.type for f in fields(Options)}
    texts = {name: environment[name] for name in kinds if environment.get(name)}
    script, nodev = environment.get("SCRIPT", ""), environment.get("NODEV", "")
    rest = list(arguments)
    while rest and "=" in rest[0] and rest[0].split("=", 1)[0].replace("_", "").isupper():
        name, text = rest.pop(0).split("=", 1)
        if name == "SCRIPT":
            script = text
        elif name == "NODEV":
            nodev = text
        elif name in kinds:
            texts[name] = text
        else:
            raise UsageError(f"there is no option {name}: see scripts/vm/vm --help")
    if truth("NODEV", nodev):
        texts["NIC"] = "none"
    if not rest and script:
        rest = [script]
    # An empty text leaves the default, so that `make vm PEER=` means the same as `make vm`.
    values = {name.lower(): parse_value(name, kinds[name], text) for name, text in texts.items() if text != ""}
    return Options(**values), rest
