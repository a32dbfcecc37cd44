#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The driver comes and goes: insmod, rmmod, bind, unbind, several times, and leaves nothing behind."""

# sets: quick
# debug: bind_and_unbind unloads_while_up
# vm: PORTS=2

import os

from lib import PF, Control, Watch, case, defer, equal, main, sh, true, until
from lib.health import Reporter

MODULE = os.environ.get("OXNIC_MODULE", "")


def insmod():
    if not os.path.exists("/sys/module/oxnic"):
        sh(["insmod", MODULE])


def rmmod():
    sh("rmmod oxnic")


def device_reports(name):
    """A number of function 0 as the device itself reports it."""
    control = Control()
    try:
        function = control.function(0)
    finally:
        control.close()
    return function[name]


@case
def probed():
    """The driver is bound to the PF and made a netdev for each wire port, in order, with addresses that differ."""
    equal(PF().driver, "oxnic", "driver of the PF")
    names = PF().netdevs()
    equal(len(names), 2, "netdevs of the PF")
    ports = [sh(["cat", f"/sys/class/net/{name}/dev_port"]).out.strip() for name in names]
    equal(ports, ["0", "1"], "dev_port")
    macs = {sh(["cat", f"/sys/class/net/{name}/address"]).out for name in names}
    equal(len(macs), 2, "different addresses")


@case
def rmmod_leaves_nothing():
    """After rmmod, no netdev, interrupt, devlink instance or PCI driver is left, and the device holds no queue."""
    defer(insmod)
    rmmod()
    true(PF().exists(), "the PF is still on the bus")
    equal(PF().driver, None, "driver of the PF after rmmod")
    equal(PF().netdevs(), [], "netdevs of the PF after rmmod")
    equal("oxnic" in open("/proc/interrupts").read(), False, "the driver is in /proc/interrupts after rmmod")
    equal("6f78" in sh("devlink dev show").out, False, "devlink shows the device after rmmod")
    equal(device_reports("completion_queues"), 0, "completion queues that the device still has after rmmod")
    equal(device_reports("bus_master"), False, "bus mastering after rmmod")


@case
def loads_again():
    """Ten times rmmod and insmod; each time both netdevs come back, and memory does not grow."""
    defer(insmod)
    rmmod()
    insmod()
    until(lambda: len(PF().netdevs()) == 2, "two netdevs")
    watch = Watch()
    for _ in range(10):
        rmmod()
        insmod()
        until(lambda: len(PF().netdevs()) == 2, "two netdevs")
    watch.check()


@case
def bind_and_unbind():
    """Unbinding and binding through sysfs works as well, with VFs there too."""
    function = PF()
    for count in (0, 2):
        if count:
            function.with_vfs(count)
        function.unbind()
        equal(function.driver, None, "driver after unbind")
        equal(function.count(), 0, "VFs after unbind")
        function.bind("oxnic")
        until(lambda: len(function.netdevs()) == 2, "two netdevs")


@case
def unloads_while_up():
    """rmmod while the netdevs are up and VFs exist."""
    defer(insmod)
    PF().with_vfs(4)
    for name in PF().netdevs():
        sh(["ip", "link", "set", "dev", name, "up"])
    rmmod()
    equal(sh("lspci -d 6f78:0002").out, "", "VFs on the bus after rmmod")
    insmod()
    until(lambda: len(PF().netdevs()) == 2, "two netdevs")


@case
def probe_fails_cleanly():
    """Whichever command of probe the device fails first, and all after it: there is no netdev, and nothing that stands in the way of another try."""
    function = PF()
    control = Control()
    defer(control.close)
    defer(lambda: function.driver or function.bind("oxnic"))
    defer(control.chaos, "off")
    fatal, failed = Reporter("fw_fatal"), 0
    for number in range(1, 40):
        function.unbind()
        control.chaos(f"nic.fail-command={number}+")
        function.bind("oxnic")
        dormant = not function.netdevs()
        if dormant:
            failed += 1
            equal(fatal.diagnose()["state"], "not started", f"state after a failure of command {number}")
        control.chaos("off")
        if dormant and number % 2:
            # The other half is unbound as it is.
            fatal.recover()
        if number % 2 or not dormant:
            until(lambda: len(function.netdevs()) == 2, "two netdevs")
    function.unbind()
    function.bind("oxnic")
    until(lambda: len(function.netdevs()) == 2, "two netdevs")
    true(failed > 0, "at least one failing command keeps netdevs away (else nothing was tested)")


main()
