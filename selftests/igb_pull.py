#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's own igb, whose slot is switched off while it has VFs, leaves behind what scripts/vm/leaks.py sets aside.

When the kernel is mended this fails, and the exception (CORES_OWN_WITHIN) is to be taken out.
"""

# sets: long
# vm: NIC=igb

import glob
import os

from lib import case, equal, main, sh, true, until
from lib.function import switch_slots_off

TRACING = "/sys/kernel/tracing"
PROBE = "oxnic/released"


def released():
    """Names of the PCI functions that were freed since the probe was set."""
    lines = sh(["cat", f"{TRACING}/trace"]).out.splitlines()
    return [line.rpartition('name="')[2].rstrip('"') for line in lines if "released:" in line]


@case
def a_pf_that_is_pulled_with_vfs_is_never_freed():
    """As the comment in leaks.py says, with a driver that is not ours: its VFs are freed, the PF is not."""
    functions = glob.glob("/sys/bus/pci/drivers/igb/0*")
    equal(len(functions), 1, "functions of igb")
    function = os.path.realpath(functions[0])
    sh(f"echo 2 > {function}/sriov_numvfs")
    vfs = {os.path.basename(os.path.realpath(path)) for path in glob.glob(f"{function}/virtfn*")}
    equal(len(vfs), 2, "VFs")
    sh(f"echo 'p:{PROBE} pci_release_dev name=dev->kobj.name:string' > {TRACING}/kprobe_events")
    sh(f"echo 1 > {TRACING}/events/{PROBE}/enable")
    try:
        switch_slots_off("igb", ())
        until(lambda: vfs <= set(released()), "both VFs are freed", 30)
        true(os.path.basename(function) not in released(), "the PF is not freed; if it is, the exception of leaks.py is to be taken out")
    finally:
        sh(f"echo 0 > {TRACING}/events/{PROBE}/enable; echo > {TRACING}/kprobe_events")


main()
