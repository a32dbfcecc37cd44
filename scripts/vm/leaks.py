# SPDX-License-Identifier: GPL-2.0-only
"""kmemleak's reports, read after the driver is gone, so that its addresses have to be named from saved symbols."""

import bisect
import re

START = re.compile(r"^unreferenced object ", re.MULTILINE)
ADDRESS = re.compile(r"(?<=\s)(?:0x|\[<)?([0-9a-f]{16})(?:>\])?(?=\s|$)")
FUNCTION = re.compile(r"^\s+(\w+)\+0x", re.MULTILINE)
ALLOCATOR = re.compile(r"^_*(kmemleak_alloc|k[mvz]*alloc|kmem_cache_alloc)")
# Functions of the kernel's core that lose what they allocate, whatever the driver does, and the reason.
CORES_OWN = {
    # The choice of a time stamping provider stays at the net_device, and nothing frees it with that. igb, unbound after
    # such a choice, gives the same; selftests/igb_timestamp.py looks whether it still does.
    "ethnl_set_tsconfig": "ethtool keeps the choice of a clock when its netdev goes; igb does the same",
}
# The same of whatever was allocated within such a function.
CORES_OWN_WITHIN = {
    # pciehp takes the VFs of a card from the bus before its PF, and pci_iov_remove_virtfn() then finds none for which it would give back the
    # reference to the PF: that stays, as the bus scan has made it. igb loses its PF so, too; selftests/igb_pull.py looks whether it still does.
    "pci_scan_single_device": "the PCI core loses a PF that is pulled with VFs; igb does the same",
}
SYMBOL_SPAN = 1 << 20  # an address further behind its symbol is not the driver's


class Symbols:
    """Lines of /proc/kallsyms of one module, as they were before it was unloaded."""

    def __init__(self, text):
        entries = sorted((int(parts[0], 16), parts[2]) for parts in (line.split() for line in text.splitlines()) if len(parts) >= 3)
        self.addresses = [address for address, _ in entries]
        self.names = [name for _, name in entries]

    def name(self, address):
        place = bisect.bisect_right(self.addresses, address) - 1
        if place < 0 or self.addresses[place] == 0 or address - self.addresses[place] > SYMBOL_SPAN:
            return None
        if place == len(self.addresses) - 1 and address - self.addresses[place] > 0x10000:
            return None
        return f"{self.names[place]}+0x{address - self.addresses[place]:x}"


def reports(text, symbols):
    """The reports as texts, with the driver's addresses named as "symbol+0x12 [oxnic]"."""
    starts = [match.start() for match in START.finditer(text)]

    def named(match):
        name = symbols.name(int(match.group(1), 16))
        return f"{name} [oxnic]" if name else match.group(0)

    bounds = zip(starts, starts[1:] + [len(text)])
    return [ADDRESS.sub(named, text[start:end]).rstrip() for start, end in bounds]


def cores_own(report):
    """The reason why a report is not the driver's doing, or None: its memory was allocated by a function of CORES_OWN, or within one."""
    callers = [name for name in FUNCTION.findall(report) if not ALLOCATOR.match(name)]
    within = (CORES_OWN_WITHIN[name] for name in callers if name in CORES_OWN_WITHIN)
    return CORES_OWN.get(callers[0]) or next(within, None) if callers else None
