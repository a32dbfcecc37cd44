# SPDX-License-Identifier: GPL-2.0-only
"""TCG or KVM. /dev/kvm can exist, and even make a VM, while no guest boots on it: so a guest is booted to find out."""

import os
import tempfile

from . import image
from . import initramfs
from . import kernel
from . import options
from . import qemu
from .process import Child

PROBE_SECONDS = 10


def choose(wanted):
    """"tcg" or "kvm" for these options. UsageError if KVM is demanded and does not work."""
    if wanted.icount or wanted.accel == "tcg":
        return "tcg"
    works = os.access("/dev/kvm", os.R_OK | os.W_OK) and probe()
    if wanted.accel == "kvm" and not works:
        raise options.UsageError("ACCEL=kvm: no guest boots on this machine's KVM; leave ACCEL out to use TCG")
    return "kvm" if works else "tcg"


def probe():
    """Whether a guest runs on KVM; asked once for each boot of the host and remembered in the cache."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot = file.read().strip()
    path = os.path.join(options.CACHE, "vm", "kvm")
    try:
        with open(path, encoding="ascii") as file:
            known, answer = file.read().split()
        if known == boot:
            return answer == "works"
    except (OSError, ValueError):
        pass
    works = boots()
    os.makedirs(os.path.dirname(path), exist_ok=True)
    initramfs.write_atomically(path, f"{boot} {'works' if works else 'fails'}\n".encode())
    return works


def boots():
    stock = kernel.find("stock")
    with tempfile.TemporaryDirectory(prefix="oxnic-kvm-") as folder:
        small = options.Options(mem="256M", cpus=1, nic="none")
        argv = qemu.machine(small, "kvm") + qemu.boot(image.bootable(stock), initramfs.build(stock), [], " OXNIC_PROBE=1") + qemu.console()
        child = Child("probe", argv, folder)
        child.wait(PROBE_SECONDS)
        child.stop(0.5)
        console = os.path.join(folder, "console.log")
        if not os.path.exists(console):
            return False
        with open(console, "rb") as file:
            return b"oxnic-vm: alive" in file.read()
