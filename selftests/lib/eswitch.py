# SPDX-License-Identifier: GPL-2.0-only
"""The eswitch of the PF: its mode, and the representors of VFs."""

import glob
import json
import os

from .case import defer, skip, until
from .command import sh
from .function import PF
from .link import Link
from .namespace import MLD_INTERVAL, sysctl
from .tc import clsact
from .topology import VfEnd, Wire

HANDLE = f"pci/{os.environ.get('PCI', '')}"


def devlink(words):
    """What `devlink -j` says."""
    return json.loads(sh(f"devlink -j {words}").out)


def eswitch():
    """What devlink shows of the eswitch."""
    return devlink(f"dev eswitch show {HANDLE}")["dev"][HANDLE]


def set_mode(mode, check=True):
    return sh(f"devlink dev eswitch set {HANDLE} mode {mode}", check=check)


def port_names():
    """phys_port_name to netdev, of all netdevs in the initial namespace that have one."""
    found = {}
    for path in glob.glob("/sys/class/net/*"):
        try:
            with open(f"{path}/phys_port_name") as file:
                found[file.read().strip()] = os.path.basename(path)
        except OSError:
            continue  # it has none, or has just gone
    return found


def representors():
    """phys_port_name to netdev, of representors."""
    return {name: netdev for name, netdev in port_names().items() if "vf" in name}


def representor(vf):
    return Link(until(lambda: port_names().get(f"pf0vf{vf}"), f"representor of VF {vf}"))


def switchdev(count, mode="switchdev"):
    """VFs and their representors, up, for the rest of the case."""
    # As in the namespaces of the VFs.
    sysctl(MLD_INTERVAL, 1)
    PF().with_vfs(count)
    defer(set_mode, "legacy")
    set_mode(mode)
    found = [representor(vf) for vf in range(count)]
    for link in found:
        link.ip("up")
    return found


def offloading_wire():
    """A wire whose near end takes rules over; without that there is nothing to test."""
    wire = Wire()
    if "hw-tc-offload" not in wire.near.features():
        skip(f"{wire.near} has no hw-tc-offload")
    return wire


def vfs_with_carrier(count=2):
    """(representors, VFs), all with a carrier, for the rest of the case."""
    links = switchdev(count)
    vfs = [VfEnd(vf) for vf in range(count)]
    for link in (*links, *(vf.link for vf in vfs)):
        link.wait_carrier()
    return links, vfs


def vfs_with_hooks(count=2):
    """The same, with hooks for filters on the representors."""
    links, vfs = vfs_with_carrier(count)
    clsact(*links)
    return links, vfs
