#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's own igb, unbound with VFs, makes lockdep report what scripts/vm/splat.py sets aside for every driver.

When the kernel is mended this fails, and the exception (CORES_OWN) is to be taken out.
"""

# sets: long
# kernel: debug
# vm: NIC=igb

import glob
import os

from lib import case, main, sh, true

REPORT = "at pci_stop_and_remove_bus_device+"


@case
def the_core_does_not_hold_its_lock():
    """As the comment in splat.py says: unbinding a PF with VFs gives the report, with a driver that is not ours."""
    function = next(path for path in glob.glob("/sys/bus/pci/drivers/igb/0*") if os.path.exists(f"{path}/sriov_numvfs"))
    sh(f"echo 1 > {function}/sriov_numvfs")
    for verb in ("unbind", "bind"):
        sh(f"echo {os.path.basename(function)} > /sys/bus/pci/drivers/igb/{verb}")
    true(REPORT in sh("dmesg").out, "the report that splat.py sets aside; without it, its exception is to be taken out")


main()
