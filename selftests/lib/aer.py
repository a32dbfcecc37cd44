# SPDX-License-Identifier: GPL-2.0-only
"""What the kernel counts of PCI errors."""

import os

from .function import PF


def total(kind):
    """Errors of a kind (correctable, nonfatal, fatal) at the PF and the root port."""
    ports = [PF().path, os.path.dirname(os.path.realpath(PF().path))]
    count = 0
    for path in ports:
        file = f"{path}/aer_dev_{kind}"
        if os.path.exists(file):
            with open(file) as lines:
                count += sum(int(line.split()[-1]) for line in lines if line.startswith("TOTAL"))
    return count
