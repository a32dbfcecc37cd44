#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The device's sensors below /sys/class/hwmon."""

# sets: quick
# vm: PORTS=1

import glob
import os

from lib import PF, Control, case, defer, equal, main, setup, true

control = None
# (file, number in the device, value that the device has at first, as the file shows it)
FIRST = (("temp1", 0, 46000), ("temp2", 1, 38500), ("in0", 2, 850), ("power1", 3, 24700000))


@setup
def topology():
    global control
    control = Control()
    defer(control.close)


def folder(function):
    """Where the sensors of a function are, or None."""
    found = glob.glob(f"{function.path}/hwmon/hwmon*")
    return found[0] if found else None


def read(name):
    with open(f"{folder(PF())}/{name}", encoding="ascii") as file:
        return file.read().strip()


@case
def shown():
    """Each sensor has a name, a value, limits and its highest value; a VF has none."""
    equal(read("name"), "oxnic", "name of the chip")
    equal([read(f"{name}_label") for name, _, _ in FIRST], ["asic", "board", "core", "total"], "names")
    equal([int(read(f"{name}_input")) for name, _, _ in FIRST], [value for _, _, value in FIRST], "values")
    equal((read("temp1_max"), read("temp1_crit"), read("power1_crit")), ("95000", "105000", "75000000"), "limits")
    equal(sorted(os.path.basename(path) for path in glob.glob(f"{folder(PF())}/*_label")), ["in0_label", "power1_label", "temp1_label", "temp2_label"], "sensors")
    equal(folder(PF().with_vfs(1)[0]), None, "sensors of a VF")


@case
def followed():
    """What the device measures is what is read, below zero too; the highest value stays."""
    highest = read("temp1_highest")
    for value in (-5500, 99000, 20000):
        control.do("sensor", index=0, value=value)
        equal(int(read("temp1_input")), value, "temperature")
    defer(control.do, "sensor", index=0, value=46000)
    equal((highest, read("temp1_highest")), ("46000", "99000"), "highest before and after")
    equal(read("temp2_input"), "38500", "the other temperature")
    control.do("sensor", index=3, value=65001)
    defer(control.do, "sensor", index=3, value=24700)
    equal(read("power1_input"), "65001000", "power in microwatt")


@case
def while_it_is_reset():
    """A reset fails a reader at most, and the sensors are there afterwards."""
    before = folder(PF())
    control.do("reset-request")
    for _ in range(50):
        try:
            equal(int(read("temp2_input")), 38500, "temperature during a reset")
        except OSError as error:
            true(error.errno, f"an error: {error}")
    equal((folder(PF()), read("temp2_input")), (before, "38500"), "folder and value after the reset")


main()
