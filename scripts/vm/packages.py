# SPDX-License-Identifier: GPL-2.0-only
"""Where the layer with further packages is. The file `packages` makes it, outside the root file system."""

import hashlib
import os

from . import options


def layer(names):
    """Image of the layer for this list. UsageError if it was not made."""
    with open(os.path.join(options.CACHE, "rootfs", ".ready"), encoding="ascii") as file:
        text = "".join(name + "\n" for name in sorted(set(names))) + file.read()
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    path = os.path.join(options.CACHE, "layer", key, "image.ext4")
    if not os.path.exists(path):
        raise options.UsageError(f"the packages are not in the cache: run scripts/vm/packages {' '.join(names)}")
    return path
