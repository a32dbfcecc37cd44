# SPDX-License-Identifier: GPL-2.0-only
"""Regions of the PF's devlink instance, as `devlink region` shows them."""

import json

from .command import sh
from .eswitch import HANDLE


def regions():
    """Name to what is shown of each region of the PF."""
    shown = json.loads(sh("devlink -j region show").out)["regions"]
    return {path.rsplit("/", 1)[1]: entry for path, entry in shown.items() if path.startswith(HANDLE + "/")}


def read(name, where, address, length):
    """Bytes of a region; `where` is a snapshot's number or None."""
    snapshot = "" if where is None else f"snapshot {where} "
    text = sh(f"devlink region read {HANDLE}/{name} {snapshot}address {address} length {length}").out
    data = bytearray()
    for line in text.splitlines():
        words = line.split()
        if words and len(words[0]) == 16:
            data += bytes.fromhex("".join(words[1:]))
    return bytes(data)
