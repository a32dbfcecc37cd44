#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's own igb with VFs, in a slot that is reset and then switched off, makes lockdep report what scripts/vm/splat.py sets aside.

When the kernel is mended this fails, and the exception (CORES_OWN) is to be taken out.
"""

# sets: long
# kernel: debug
# vm: NIC=igb

import glob
import os

from lib import case, equal, main, sh
from lib.function import switch_slots_off

REPORT = ("possible circular locking dependency", "(&ctrl->reset_lock)", "(pci_slot_mutex)", "(pci_rescan_remove_lock)")


@case
def pciehp_takes_its_locks_in_both_orders_by_a_third():
    """As the comment in splat.py says: VFs, a reset of the slot, and then to switch it off, with a driver that is not ours."""
    functions = glob.glob("/sys/bus/pci/drivers/igb/0*")
    equal(len(functions), 1, "functions of igb")
    function = os.path.realpath(functions[0])
    for count in (1, 0):
        sh(f"echo {count} > {function}/sriov_numvfs")
    sh(f"echo 1 > {os.path.dirname(function)}/reset_subordinate")
    switch_slots_off("igb", REPORT)


main()
