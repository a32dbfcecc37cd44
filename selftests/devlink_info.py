#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""devlink: the instance, its ports and its information."""

# sets: quick
# vm: PORTS=2

import json
import os

from lib import PF, case, equal, fails, main, sh, true

HANDLE = f"pci/{os.environ.get('PCI', '')}"


def devlink(words):
    return json.loads(sh(f"devlink -j {words}").out)


@case
def instance():
    """The PF has a devlink instance under its PCI address."""
    true(HANDLE in devlink("dev show")["dev"], f"devlink dev show has {HANDLE}")


@case
def information():
    """`devlink dev info` names the driver and a version of the device."""
    info = devlink(f"dev info {HANDLE}")["info"][HANDLE]
    equal(info["driver"], "oxnic", "driver")
    true(any(info.get("versions", {}).values()), f"versions are given: {info}")


@case
def ports():
    """Each wire port has a devlink port of flavour physical, numbered, tied to its netdev."""
    found = {k: v for k, v in devlink("port show")["port"].items() if k.startswith(HANDLE + "/")}
    physical = [v for v in found.values() if v.get("flavour") == "physical"]
    equal(len(physical), 2, f"physical ports ({found})")
    equal(sorted(v.get("netdev") for v in physical), sorted(PF().netdevs()), "netdevs of the ports")
    equal(sorted(v.get("port") for v in physical), [0, 1], "port numbers")


@case
def ports_are_whole():
    """Splitting a port and joining it again are refused with a reason, and the port stays."""
    before = devlink("port show")["port"]
    fails(sh(f"devlink port split {HANDLE}/0 count 2", check=False), "splitting a port", "cannot be split")
    fails(sh(f"devlink port unsplit {HANDLE}/0", check=False), "joining a port that is whole", "not part of one that was split")
    equal(devlink("port show")["port"], before, "ports afterwards")


@case
def port_name():
    """The netdevs have the port's name and, with the eswitch's id, tell which belong together."""
    names = [open(f"/sys/class/net/{name}/phys_port_name").read().strip() for name in PF().netdevs()]
    equal(names, ["p0", "p1"], "phys_port_name")


@case
def health():
    """A health reporter exists and says that all is well; unknown ones are refused."""
    found = sh(f"devlink -j health show {HANDLE}", check=False)
    true(found.status == 0, f"devlink health show works: {found.text}")
    for reporters in json.loads(found.out or "{}").get("health", {}).values():
        for reporter in reporters:
            equal(reporter["state"], "healthy", f"state of {reporter['reporter']}")
    fails(sh(f"devlink health show {HANDLE} reporter nonsense", check=False), "a reporter that there is not")


@case
def vf_has_none_of_the_ports():
    """A VF's function, if it has an instance, has no physical port."""
    vf = PF().with_vfs(1)[0]
    found = {k: v for k, v in devlink("port show")["port"].items() if k.startswith(f"pci/{vf.address}/")}
    equal([v for v in found.values() if v.get("flavour") == "physical"], [], "physical ports of a VF")


main()
