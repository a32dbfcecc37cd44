#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's own igb, unbound after a clock was chosen for its time stamps, leaks what scripts/vm/leaks.py sets aside.

When the kernel is mended this fails, and the exception (CORES_OWN) is to be taken out.
"""

# sets: long
# kernel: debug
# vm: NIC=igb

import glob
import os
import time

from lib import case, main, sh, true, until

KMEMLEAK = "/sys/kernel/debug/kmemleak"
ALLOCATED = "ethnl_set_tsconfig+"


def is_lost():
    """Whether kmemleak finds the choice unreferenced. It reports no object before its fifth second, nor before its second scan."""
    time.sleep(3)
    sh(f"echo scan > {KMEMLEAK}")
    return ALLOCATED in sh(["cat", KMEMLEAK]).out


@case
def the_choice_of_a_clock_stays():
    """As the comment in leaks.py says: the choice is allocated by the core and lost with the netdev, with a driver that is not ours."""
    sh("echo 'oxnic-expect: kmemleak: \\d+ new suspected memory leaks' > /dev/kmsg")
    function = next(iter(glob.glob("/sys/bus/pci/drivers/igb/0*")))
    (name,) = os.listdir(f"{function}/net")
    clock = os.path.basename(next(iter(glob.glob(f"{function}/ptp/ptp*")))).removeprefix("ptp")
    sh(f"ethtool --set-hwtimestamp-cfg {name} index {clock} qualifier precise tx on")
    true(not any(is_lost() for _ in range(3)), "the choice is not lost as long as the netdev is there")
    sh(f"echo {os.path.basename(function)} > /sys/bus/pci/drivers/igb/unbind")
    until(is_lost, "the leak that leaks.py sets aside; without it, its exception is to be taken out", 30)


main()
