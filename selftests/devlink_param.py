#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""devlink parameters do what they say, regions and `ethtool -d` show what the device holds."""

# sets: quick
# quick: shown internal_error_reset remote_dev_reset sriov with_a_reload
# vm: PORTS=1

import json
import os
import struct
import time

from lib import PF, Control, Wire, at_least, case, defer, equal, fails, main, ping, setup, sh, skip, true, until
from lib.eswitch import HANDLE
from lib.genl import param_reset
from lib.health import Reporter
from lib.region import read, regions

wire = control = None
FW, FATAL = Reporter("fw"), Reporter("fw_fatal")
PROMISCUOUS = 1 << 1  # in the flags of a vport
RUNTIME = {"internal_error_reset": True, "enable_remote_dev_reset": True, "region_snapshot_enable": False, "enable_sriov": True, "total_vfs": 128}
RELOAD = ("event_eq_size", "max_macs", "msix_vec_per_pf_max", "msix_vec_per_pf_min")


@setup
def topology():
    global wire, control
    wire = Wire()
    if sh(f"devlink dev param show {HANDLE}", check=False).status != 0:
        skip(f"{HANDLE} has no parameters")
    control = Control()
    defer(control.close)
    defer(control.chaos, "off")


def mode(name):
    return "driverinit" if name in RELOAD else "runtime"


def params(handle=HANDLE):
    """Name to value of all parameters, each of which is set at run time, or for the next reload."""
    shown = json.loads(sh(f"devlink -j dev param show {handle}").out)["param"][handle]
    for entry in shown:
        equal([value["cmode"] for value in entry["values"]], [mode(entry["name"])], f"configuration modes of {entry['name']}")
        equal(entry["type"], "generic", f"type of {entry['name']}")
    return {entry["name"]: entry["values"][0]["value"] for entry in shown}


def param_set(name, value, check=True):
    """For the rest of the case."""
    before = params()[name]
    result = sh(f"devlink dev param set {HANDLE} name {name} value {str(value).lower()} cmode {mode(name)}", check=check)
    if result.status == 0:
        defer(sh, f"devlink dev param set {HANDLE} name {name} value {str(before).lower()} cmode {mode(name)}")
    return result


def function():
    return control.function()


def works():
    until(lambda: ping(wire.far4, count=1, check=False, seconds=1) == 1, "the wire is reached", 40)


@case
def shown():
    """All parameters and their defaults; a VF has those that are its own; others are refused."""
    found = params()
    equal({name: value for name, value in found.items() if name not in RELOAD}, RUNTIME, "parameters of the PF")
    equal((found["event_eq_size"], found["msix_vec_per_pf_max"]), (function()["events_entries"], function()["vectors"]), "sizes as the device has them")
    vf = PF().with_vfs(1)[0]
    own = ["enable_remote_dev_reset", "event_eq_size", "internal_error_reset", "max_macs", "region_snapshot_enable"]
    equal(sorted(params(f"pci/{vf.address}")), own, "parameters of a VF")
    fails(sh(f"devlink dev param set {HANDLE} name enable_roce value true cmode runtime", check=False), "a parameter that there is not")
    fails(sh(f"devlink dev param set {HANDLE} name total_vfs value 4 cmode permanent", check=False), "a mode that there is not")


@case
def internal_error_reset():
    """Off, a fault leaves the function down though auto_recover is on, until a user has it recovered."""
    param_set("internal_error_reset", False)
    before, generation = FATAL.counts(), control.function()["generation"]
    control.do("halt", function=0, reason=8)
    FATAL.counted(before, recoveries=0)
    time.sleep(2)
    equal((FATAL.diagnose()["state"], control.function()["generation"]), ("down", generation), "state and generation 2 s later")
    FATAL.recover()
    equal((FATAL.state(), FATAL.diagnose()["state"]), ("healthy", "running"), "states afterwards")
    works()


@case
def remote_dev_reset():
    """Off, what the device asks for is left alone; on again, it is done."""
    param_set("enable_remote_dev_reset", False)
    before, generation = FW.counts(), control.function()["generation"]
    control.do("reset-request")
    time.sleep(3)
    equal((FW.counts(), control.function()["generation"]), (before, generation), "counts and generation 3 s later")
    ping(wire.far4)
    equal(FW.diagnose()["reset_requested"], True, "reset_requested")
    param_set("enable_remote_dev_reset", True)
    FW.counted(before)
    at_least(control.function()["generation"], generation + 1, "generation")
    works()


@case
def sriov():
    """No more VFs than total_vfs, none without enable_sriov; neither is changed below what there is."""
    def refused(count):
        try:
            PF().write("sriov_numvfs", count)
        except PermissionError:
            return True
        return False

    param_set("total_vfs", 2)
    equal((refused(3), PF().count()), (True, 0), "3 VFs where 2 are allowed")
    PF().with_vfs(2)
    fails(param_set("total_vfs", 1, check=False), "total_vfs below the VFs that there are", "2 VFs are enabled")
    fails(param_set("enable_sriov", False, check=False), "enable_sriov false with VFs", "disable them first")
    fails(param_set("total_vfs", 129, check=False), "more than the device has", "the device has 128 VFs")
    equal((params()["total_vfs"], params()["enable_sriov"]), (2, True), "values afterwards")
    PF().set_vfs(0)
    param_set("enable_sriov", False)
    equal((refused(1), PF().count()), (True, 0), "a VF where SR-IOV is off")
    param_set("enable_sriov", True)
    PF().set_vfs(2)
    PF().set_vfs(0)


def reload(check=True):
    return sh(f"devlink dev reload {HANDLE}", check=check, seconds=120)


def vectors():
    """MSI-X vectors that the kernel has given out, and the most channels of the port."""
    most = json.loads(sh(f"ethtool --json -l {wire.near.name}").out)[0]["combined-max"]
    return len(os.listdir(f"{PF().path}/msi_irqs")), most


def is_promiscuous():
    return bool(int(function()["vports"][0]["flags"], 16) & PROMISCUOUS)


def back_to(values):
    """Undoes a case, whatever it has come to."""
    for name, value in values.items():
        sh(f"devlink dev param set {HANDLE} name {name} value {value} cmode {mode(name)}")
    reload()
    wire.renew()


@case
def with_a_reload():
    """Vectors, the queue of events and max_macs are as set from the next reload on and not before; what cannot be is refused."""
    before, at_first = {name: value for name, value in params().items() if name in RELOAD}, vectors()
    defer(back_to, before)
    for name, value, why in (
        ("max_macs", before["max_macs"] + 1, f"filters {before['max_macs']} addresses"),
        ("event_eq_size", 48, "a power of two"),
        ("event_eq_size", 8, "a power of two"),
        ("msix_vec_per_pf_max", 1, "vectors of the function: 2 to"),
        ("msix_vec_per_pf_min", before["msix_vec_per_pf_max"] + 1, "vectors of the function: 2 to"),
    ):
        fails(param_set(name, value, check=False), f"{name} {value}", why)
    for name, value in (("max_macs", 2), ("event_eq_size", 16), ("msix_vec_per_pf_max", 4)):
        param_set(name, value)
    equal((function()["events_entries"], vectors()), (before["event_eq_size"], at_first), "sizes before the reload")
    reload()
    wire.renew()
    equal((function()["events_entries"], vectors()), (16, (4, 3)), "sizes after the reload")
    works()
    for number in range(3):
        sh(f"ip link add link {wire.near.name} name mv{number} address 02:bb:00:00:00:0{number} type macvlan mode bridge")
        defer(sh, f"ip link del mv{number}", check=False)
        sh(f"ip link set mv{number} up")
        until(lambda: is_promiscuous() is (number == 2), f"promiscuous with {number + 1} addresses beside its own: {number == 2}", 5)  # noqa: B023
    # More events than the queue has room for.
    for _ in range(20):
        wire.far.ip("down")
        wire.far.ip("up")
    wire.near.wait_carrier()
    works()


@case
def not_with_a_reload():
    """A reload with values that do not go together leaves the function without interfaces, says why, and the next one mends it."""
    before = {name: value for name, value in params().items() if name in RELOAD}
    defer(back_to, before)
    param_set("msix_vec_per_pf_max", 4)
    param_set("msix_vec_per_pf_min", 8)
    fails(reload(check=False), "a reload with less vectors than are asked for", "msix_vec_per_pf_min: it is above msix_vec_per_pf_max")
    equal(PF().netdevs(), [], "interfaces")
    param_set("msix_vec_per_pf_min", 4)
    reload()
    wire.renew()
    equal(vectors(), (4, 3), "vectors and channels")
    works()


@case
def reset_to_default():
    """`reset_default` gives a parameter of either kind what it had at first."""
    param_set("total_vfs", 5)
    param_set("max_macs", 3)
    for name in ("total_vfs", "max_macs"):
        refused = param_reset(PF().address, name, mode(name))
        equal(refused, "", f"refusal of the default of {name}")
    equal(params()["total_vfs"], RUNTIME["total_vfs"], "total_vfs")
    true(params()["max_macs"] > 3, "max_macs")


@case
def regions_are_true():
    """`registers` and `config` are what the device holds, directly and as snapshots, which stay as they were."""
    equal(sorted(regions()), ["config", "core", "flash", "registers"], "regions")
    with open(f"{PF().path}/config", "rb") as file:
        wanted = file.read(256)
    equal(read("config", None, 0, 256), wanted, "the first 256 bytes of the configuration space")
    equal(read("config", None, 6, 9), wanted[6:15], "bytes that are no whole words")
    equal(read("registers", None, 8, 4), b"OXNC", "the magic number")
    (generation,) = struct.unpack("<I", read("registers", None, 0x18, 4))
    equal(generation, control.function()["generation"], "GENERATION")
    sh(f"devlink region new {HANDLE}/registers snapshot 7")
    defer(sh, f"devlink region del {HANDLE}/registers snapshot 7")
    PF().write("reset", 1)
    equal(struct.unpack("<I", read("registers", 7, 0x18, 4)), (generation,), "GENERATION in the snapshot")
    equal(struct.unpack("<I", read("registers", None, 0x18, 4)), (control.function()["generation"],), "GENERATION after a reset")
    fails(sh(f"devlink region read {HANDLE}/core address 0 length 8", check=False), "direct reading of core")
    works()


@case
def core():
    """A snapshot of `core` is a core dump; with region_snapshot_enable each fatal fault leaves one."""
    sh(f"devlink region new {HANDLE}/core snapshot 1")
    first = read("core", 1, 0, 48)
    sh(f"devlink region del {HANDLE}/core snapshot 1")
    magic, length, _, number, generation = struct.unpack("<4sIQII", first[:24])
    equal((magic, generation), (b"OXND", control.function()["generation"]), "magic and generation of the dump")
    true(48 < length < 262144 and length % 8 == 0, f"length of the dump: {length}")
    before = FATAL.counts()
    control.do("halt", function=0, reason=8)
    FATAL.counted(before)
    equal(regions()["core"].get("snapshot", []), [], "snapshots with region_snapshot_enable false")
    param_set("region_snapshot_enable", True)
    before = FATAL.counts()
    control.do("halt", function=0, reason=8)
    FATAL.counted(before)
    (snapshot,) = regions()["core"]["snapshot"]
    header = read("core", snapshot, 0, 48)
    reason, = struct.unpack("<I", header[28:32])
    trigger, = struct.unpack("<H", header[38:40])
    equal((reason, trigger), (8, 2), "reason and trigger of the dump: internal error, halt")
    sh(f"devlink region del {HANDLE}/core snapshot {snapshot}")
    works()


@case
def register_dump():
    """`ethtool -d` shows the registers as they are."""
    path = "/tmp/registers"
    sh(f"ethtool -d {wire.near.name} raw on > {path}")
    defer(os.unlink, path)
    with open(path, "rb") as file:
        data = file.read()
    equal((data[8:12], struct.unpack("<I", data[0x18:0x1C])[0]), (b"OXNC", control.function()["generation"]), "magic number and GENERATION")
    at_least(len(data), 0x200, "length of the dump")


main()
