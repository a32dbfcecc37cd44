#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's own igb, in a slot that is switched off, makes lockdep report what scripts/vm/splat.py sets aside for pciehp.

When the kernel is mended this fails, and the exception (CORES_OWN) is to be taken out.
"""

# sets: long
# kernel: debug
# vm: NIC=igb

from lib import case, main
from lib.function import switch_slots_off

REPORT = ("possible circular locking dependency", "(&ctrl->reset_lock)", "(pci_rescan_remove_lock)")


@case
def pciehp_takes_its_locks_in_both_orders():
    """As the comment in splat.py says: to switch the slot off gives the report, with a driver that is not ours."""
    switch_slots_off("igb", REPORT)


main()
