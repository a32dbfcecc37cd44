# SPDX-License-Identifier: GPL-2.0-only
"""Firmware: packages that the project's tool makes, and `devlink dev flash`, `info` and `reload action fw_activate` of the PF."""

import os
import subprocess
import tempfile

from .case import defer, skip
from .command import sh
from .eswitch import HANDLE, devlink

TOOL = os.environ.get("OXNIC_FIRMWARE", "")
COMPONENTS = ("fw.app", "fw.bootloader", "fw.mgmt")


def prepare():
    """The kernel looks for packages where builds are put. Skips the file on a kernel that cannot read them."""
    Build.folder = tempfile.mkdtemp()
    with open("/sys/module/firmware_class/parameters/path", "w") as file:
        file.write(Build.folder)
    with open(f"{Build.folder}/empty.pldm", "w") as file:
        file.write("nothing")
    refused = sh(f"devlink dev flash {HANDLE} file empty.pldm", check=False).text
    if "CONFIG_PLDMFW" in refused:
        skip(refused)


class Build:
    """A package that the tool has made, of a version and a limit that no other has."""

    numbers = iter(range(1, 1000))
    folder = None
    # Security number of what the device has run.
    least = 0

    def __init__(self, options="", live=False):
        number = next(self.numbers)
        self.version, self.rules = f"2.{number}.0", 1024 + 16 * number
        self.file = f"{number}.pldm"
        words = f"--out {self.folder}/{self.file} --version {self.version} --rules {self.rules} {'--live' if live else ''}"
        if "--security" not in options:
            words += f" --security {self.least}"
        sh(f"{TOOL} {words} {options}")

    def flash(self, component="", check=True):
        return sh(f"devlink dev flash {HANDLE} file {self.file} {component and f'component {component}'}", check=check, seconds=120)

    def begin(self):
        """`devlink dev flash` in the background."""
        child = subprocess.Popen(["devlink", "dev", "flash", HANDLE, "file", self.file], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        defer(child.wait)
        defer(child.kill)
        return child

    def bytes(self):
        with open(f"{self.folder}/{self.file}", "rb") as file:
            return bytearray(file.read())

    def put(self, data):
        with open(f"{self.folder}/{self.file}", "wb") as file:
            file.write(data)
        return self


def versions():
    """{fixed, running, stored} to {component: version}, of the components."""
    shown = devlink(f"dev info {HANDLE}")["info"][HANDLE]["versions"]
    return {kind: {name: shown[kind].get(name) for name in COMPONENTS} for kind in ("fixed", "running", "stored")}


def all_of(version):
    return dict.fromkeys(COMPONENTS, version)


def activate(check=True):
    return sh(f"devlink dev reload {HANDLE} action fw_activate", check=check, seconds=120)
