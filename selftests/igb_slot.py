#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's own igb, in a slot that is switched off, makes lockdep report what scripts/vm/splat.py sets aside for pciehp.

When the kernel is mended this fails, and the exception (CORES_OWN) is to be taken out.
"""

# sets: long
# kernel: debug
# vm: NIC=igb

import glob
import os

from lib import case, equal, main, sh, true, until

REPORT = ("possible circular locking dependency", "(&ctrl->reset_lock)", "(pci_rescan_remove_lock)")


@case
def pciehp_takes_its_locks_in_both_orders():
    """As the comment in splat.py says: to switch the slot off gives the report, with a driver that is not ours."""
    functions = glob.glob("/sys/bus/pci/drivers/igb/0*")
    addresses = {os.path.basename(path).rpartition(".")[0] for path in functions}
    slots = [path for path in glob.glob("/sys/bus/pci/slots/*") if sh(["cat", f"{path}/address"]).out.strip() in addresses]
    equal(len(slots), len(functions), "slots with an igb")
    for slot in slots:
        sh(f"echo 0 > {slot}/power")
    until(lambda: not glob.glob("/sys/bus/pci/drivers/igb/0*"), "igb has let go of its functions", 30)
    log = sh("dmesg").out
    for text in REPORT:
        true(text in log, f"'{text}' in the report that splat.py sets aside; without it, its exception is to be taken out")


main()
