# SPDX-License-Identifier: GPL-2.0-only
"""How long things may take: limits are written for the stock kernel, and a kernel that checks every access gets more."""

import os

# KASAN and lockdep, emulated, cost between three and four times the time of the stock kernel.
FACTOR = 4 if os.environ.get("KERNEL") == "debug" else 1


def slow(seconds):
    """The time that this kernel has for what the stock kernel must do in so many seconds."""
    return seconds * FACTOR
