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

from lib import PciFunction, case, main, sh, true, until

KMEMLEAK = "/sys/kernel/debug/kmemleak"
ALLOCATED = "ethnl_set_tsconfig+"


def is_lost():
    """Whether kmemleak finds a choice unreferenced. It reports no object before its fifth second, nor before its second scan."""
    time.sleep(3)
    sh(f"echo scan > {KMEMLEAK}")
    return ALLOCATED in sh(["cat", KMEMLEAK]).out


def choose_clock(function):
    """The clock of the function itself, which is another choice than none."""
    clock = os.path.basename(glob.glob(f"{function.path}/ptp/ptp*")[0]).removeprefix("ptp")
    sh(f"ethtool --set-hwtimestamp-cfg {function.link().name} index {clock} qualifier precise tx on")


@case
def the_choice_of_a_clock_stays():
    """As the comment in leaks.py says: the choice is allocated by the core and lost with the netdev, with a driver that is not ours.

    A word left on some stack may hide one of them from kmemleak for long, so that several are lost.
    """
    sh("echo 'oxnic-expect: kmemleak: \\d+ new suspected memory leaks' > /dev/kmsg")
    function = PciFunction(os.path.basename(glob.glob("/sys/bus/pci/drivers/igb/0*")[0]))
    choose_clock(function)
    true(not any(is_lost() for _ in range(3)), "the choice is not lost as long as the netdev is there")
    for _ in range(4):
        choose_clock(function)
        function.unbind()
        function.bind("igb")
    until(is_lost, "the leak that leaks.py sets aside; without it, its exception is to be taken out", 30)


main()
