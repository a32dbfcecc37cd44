# SPDX-License-Identifier: GPL-2.0-only
"""PCI functions as sysfs shows them: the PF, its VFs, drivers, reset."""

import glob
import os
import time

from .case import Failure, defer, equal, skip, true, until
from .command import sh
from .link import Link

DEVICES = "/sys/bus/pci/devices"


def write_once(path, text):
    """One write system call: a buffered file would try a failed write again when it is closed. OSError when refused."""
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, str(text).encode())
    finally:
        os.close(fd)


def switch_slots_off(driver, report):
    """Switches off the hot-plug slots that all functions of a driver are in, and waits until it has let go of them.

    And until the kernel has given a report with these words, as pciehp may take its second lock after that.
    """
    pattern = f"/sys/bus/pci/drivers/{driver}/0*"
    functions = glob.glob(pattern)
    addresses = {os.path.basename(path).rpartition(".")[0] for path in functions}
    slots = [path for path in glob.glob("/sys/bus/pci/slots/*") if sh(["cat", f"{path}/address"]).out.strip() in addresses]
    true(functions, f"functions of {driver}")
    equal(len(slots), len(functions), f"slots with functions of {driver}")
    for slot in slots:
        sh(f"echo 0 > {slot}/power")
    until(lambda: not glob.glob(pattern), f"{driver} has let go of its functions", 30)
    for text in report:
        until(lambda: text in sh("dmesg").out, f"'{text}' in the report that splat.py sets aside; without it, its exception is to be taken out", 10)  # noqa: B023


class PciFunction:
    """A function by its address, such as 10000:01:00.0."""

    def __init__(self, address):
        self.address = address
        self.path = f"{DEVICES}/{address}"

    def __repr__(self):
        return self.address

    def exists(self):
        return os.path.exists(self.path)

    def read(self, name):
        with open(f"{self.path}/{name}") as file:
            return file.read().strip()

    def write(self, name, value):
        """Write a file of the function; OSError when the kernel refuses."""
        write_once(f"{self.path}/{name}", value)

    @property
    def driver(self):
        """Name of the driver that is bound, or None."""
        path = f"{self.path}/driver"
        return os.path.basename(os.readlink(path)) if os.path.islink(path) else None

    def netdevs(self):
        """Names of its netdevs in the initial namespace in order of port."""
        found = glob.glob(f"{self.path}/net/*")
        return [os.path.basename(p) for p in sorted(found, key=lambda p: (int(open(f"{p}/dev_port").read()), p))]

    def link(self, port=0, seconds=20):
        """The netdev of a port, waited for."""
        names = until(lambda: len(self.netdevs()) > port and self.netdevs(), f"netdev {port} of {self}", seconds)
        return Link(names[port])

    def unbind(self):
        write_once(f"{self.path}/driver/unbind", self.address)

    def bind(self, driver):
        write_once(f"/sys/bus/pci/drivers/{driver}/bind", self.address)

    def vectors(self):
        """Number of MSI-X vectors in the function's table, as configuration space says."""
        with open(f"{self.path}/config", "rb") as file:
            config = file.read(256)
        place = config[0x34]
        while place:
            if config[place] == 0x11:
                return (int.from_bytes(config[place + 2 : place + 4], "little") & 0x7FF) + 1
            place = config[place + 1]
        raise Failure(f"{self} has no MSI-X capability")


class PhysicalFunction(PciFunction):
    def total(self):
        return int(self.read("sriov_totalvfs"))

    def count(self):
        return int(self.read("sriov_numvfs"))

    def vf(self, index):
        return PciFunction(os.path.basename(os.readlink(f"{self.path}/virtfn{index}")))

    def vfs(self):
        return [self.vf(index) for index in range(len(glob.glob(f"{self.path}/virtfn*")))]

    def set_vfs(self, count, seconds=60):
        """Make so many VFs and wait for a netdev of each; the time that it took in seconds."""
        if count and self.count():
            self.write("sriov_numvfs", 0)
        start = time.monotonic()
        self.write("sriov_numvfs", count)

        def complete():
            functions = self.vfs()
            return len(functions) == count and all(vf.netdevs() for vf in functions)

        until(complete, f"{count} VFs of {self}, each with a netdev", seconds, pause=0.02)
        return time.monotonic() - start

    def with_vfs(self, count):
        """VFs for the rest of the case; returns them."""
        if not os.path.exists(f"{self.path}/sriov_numvfs"):
            skip(f"{self} has no SR-IOV capability")
        if self.driver == "igb":
            sh("modprobe igbvf")
        defer(self.set_vfs, 0)
        self.set_vfs(count)
        return self.vfs()


def PF():  # noqa: N802 - reads as the thing that it is
    """The physical function under test."""
    return PhysicalFunction(os.environ["PCI"])
