# SPDX-License-Identifier: GPL-2.0-only
"""Finds in kernel log text what must not be there: splats.

Pure text in, reports out. A rule names one kind of report and the pattern of its first line. A report goes on to the
end of its trace, so that the many lines of one report count once. What an emulated machine on a busy host
provokes by itself is listed in HOST_NOISE with the reason; all of it is about clocks and speed, and nothing there can
be the doing of a driver. A report that the kernel makes about its own core, with any driver, is one of CORES_OWN.
"""

import re
from dataclasses import dataclass

CONTEXT = 3  # lines shown before the first one
LONGEST = 240  # lines of a report that are kept: one of lockdep has a trace for each lock before its own
PAUSE = 1.0  # seconds of silence in the log that end a report

RULES = (
    ("panic", r"Kernel panic - not syncing"),
    ("oops", r"(^|: )Oops\b|^general protection fault|unable to handle (kernel|page fault)|^(divide error|invalid opcode|double fault|stack segment|int3): "),
    ("Rust panic", r"rust_kernel: panicked"),
    ("BUG", r"^(watchdog: |rcu: |workqueue: )?BUG[ :]|^kernel BUG at"),
    ("UBSAN", r"^UBSAN: "),
    ("KASAN", r"^(KASAN|KFENCE|KCSAN|KMSAN): |^kasan: bug access"),
    ("WARNING", r"^(\w[\w ]*: )?WARNING: "),
    ("lockdep", r"possible circular locking|inconsistent lock state|suspicious RCU usage|possible recursive locking|INFO: trying to register non-static key"),
    ("atomic sleep", r"sleeping function called from invalid context|scheduling while atomic"),
    ("hung task", r"INFO: task .* blocked (for more than|in I/O wait)"),
    ("stall", r"rcu: INFO: .*(stall|self-detected)|hard LOCKUP"),
    ("transmit time-out", r"NETDEV WATCHDOG|transmit queue \d+ timed out"),
    ("reference leak", r"waiting for \S+ to become free|refcount_t: |ref_tracker: .*(has|leaked|still)|leaked reference|stalled pool shutdown"),
    ("DMA-API", r"\bDMA-API: (?!preallocated|debugging enabled|Mapped at:|dma_debug_entry pool grown|debugging disabled)"),
    ("ODEBUG", r"^ODEBUG: (?!selftest passed|Out of memory|\d+ of \d+ active objects replaced)"),
    ("memory leak", r"kmemleak: \d+ new suspected memory leaks"),
    ("memory", r"page allocation failure: order:|invoked oom-killer|Out of memory: Killed|^BUG \S+ \(|Slab cache still has objects"),
    ("list", r"list_(add|del) (corruption|double)"),
    ("interrupt", r"nobody cared|No irq handler for vector|no_irq_handler"),
    ("softirq", r"NOHZ tick-stop error: .*handler #0?[48c]"),  # NAPI scheduled where no softirq runs: NET_TX and NET_RX
    ("duplicate name", r"sysfs: cannot create duplicate filename|kobject_add_internal failed"),
    ("trace", r"^Call Trace:"),  # whatever else thought that a trace was worth printing
)
HOST_NOISE = (
    (r"^clocksource: ", "clocks of an emulated machine are compared while it is scheduled out"),
    (r"^hrtimer: interrupt took", "the host was slow"),
    (r"^perf: interrupt took too long", "the host was slow"),
    (r"^INFO: NMI handler .* took too long", "the host was slow"),
    (r"^workqueue: .* hogged CPU", "10 ms of an emulated CPU is little work"),
    (r"^traps: ", "a user-space program's fault, told in a kernel's words"),
    (r"^WARNING: \w+ uses deprecated|^process '.*' ", "about user-space programs"),
)


@dataclass(frozen=True)
class CoresOwn:
    """A report about the kernel's core. title: pattern of its first line; callers: functions that must all be in its trace;
    either: one of which must be; locks: all locks of lockdep's chain, in the report's order (no chain at all by default);
    reason: why no driver can do anything about it."""

    title: str
    callers: tuple
    either: tuple
    reason: str
    locks: tuple = ()

    def is_it(self, title, lines):
        called = {match.group(1) for match in map(CALLER.search, lines) if match}
        if not re.search(self.title, title) or not called.issuperset(self.callers) or called.isdisjoint(self.either):
            return False
        chain = tuple(match.group(1) for match in map(LOCK.search, lines) if match)
        return chain == self.locks


CORES_OWN = (
    # Linux 7.3 asserts the lock in pci_stop_and_remove_bus_device(), and takes it where user space writes sriov_numvfs, and
    # in bus removal and hot plug. Where a driver is unbound or unloaded it does not, and a driver cannot take it in remove()
    # either: it is not told who called it, and bus removal holds that lock already and takes the device's after it.
    # igb with VFs, unbound, gives the very same report; selftests/igb_unbind.py looks whether it still does.
    CoresOwn(
        r"^WARNING: drivers/pci/remove\.c:\d+ at pci_stop_and_remove_bus_device\+",
        ("pci_disable_sriov", "pci_device_remove", "device_release_driver_internal"),
        ("unbind_store", "driver_detach"),
        "the PCI core does not hold its own lock when a driver with VFs is unbound; igb does the same",
    ),
    # pciehp takes its reset_lock, then the lock of rescan and removal, lets reset_lock go while it removes the functions below
    # the slot, and takes it again under the other one. Both are taken by pciehp itself, around the driver's remove() and
    # never in it. igb in a slot that is switched off gives the same; selftests/igb_slot.py looks whether it still does.
    CoresOwn(
        r"^WARNING: possible circular locking dependency detected",
        ("pciehp_unconfigure_device", "pciehp_disable_slot", "pciehp_ist"),
        ("pciehp_handle_presence_or_link_change", "pciehp_handle_disable_request"),
        "pciehp takes its reset_lock and the lock of PCI removal in both orders; igb does the same",
        locks=("pci_rescan_remove_lock", "&ctrl->reset_lock"),
    ),
    # The same two, with a third one between them where functions below the slot had VFs, which get their place in the slot with the
    # lock of rescan held, and the slot was reset, which the core does with the lock of slots held: by AER, or through
    # reset_subordinate of the bridge, as selftests/igb_slot_reset.py does it.
    CoresOwn(
        r"^WARNING: possible circular locking dependency detected",
        ("pciehp_unconfigure_device", "pciehp_disable_slot", "pciehp_ist"),
        ("pciehp_handle_presence_or_link_change", "pciehp_handle_disable_request"),
        "pciehp takes its reset_lock and the lock of PCI removal in both orders, by the lock of slots; igb does the same",
        locks=("&ctrl->reset_lock", "pci_slot_mutex", "pci_rescan_remove_lock"),
    ),
)
# A line of a trace that is sure: without the question mark.
CALLER = re.compile(r"\]  (\w+)\+0x[0-9a-f]+/0x[0-9a-f]+")
# A lock of lockdep's chain, and not the functions that took it.
LOCK = re.compile(r"\] -> #\d+ \(([^)]+)\)")
# A report of these ends only at its own last line.
END = re.compile(r"---\[ end |^={20,}$|^Kernel Offset:")
CUT = re.compile(r"-+\[ cut here \]-+|^={20,}$|^-{20,}$|^\*{20,}$")
MARK = re.compile(r"^oxnic-vm: ")
EXPECT = re.compile(r"^oxnic-expect: (.+)$")
PREFIX = re.compile(r"^\[ *(\d+\.\d+)\](?:\[ *[TC]\d+\])? ?(.*)$")

_RULES = tuple((kind, re.compile(pattern)) for kind, pattern in RULES)
_NOISE = tuple(re.compile(pattern) for pattern, _ in HOST_NOISE)


@dataclass
class Line:
    """seconds: the kernel's time stamp (of the line before, where a line has none); text: without it."""

    seconds: float
    text: str
    raw: str


@dataclass
class Splat:
    """kind: the rule's name; title: the first line; lines: the report with some context."""

    kind: str
    title: str
    lines: list

    def text(self):
        return "\n".join(self.lines)

    def cores_own(self):
        """The entry of CORES_OWN that the report is, or None."""
        return next((known for known in CORES_OWN if known.is_it(self.title, self.lines)), None)


def read_lines(text):
    """Lines of a console log, with or without carriage returns, time stamps and callers."""
    lines, seconds = [], 0.0
    for raw in text.replace("\r", "").split("\n"):
        match = PREFIX.match(raw)
        if match:
            seconds = float(match.group(1))
        body = match.group(2) if match else raw
        if body or match:
            lines.append(Line(seconds, body, raw))
    return lines


def kind_of(text):
    """The kind of report that this line starts, or None."""
    if any(noise.search(text) for noise in _NOISE):
        return None
    # An expectation quotes the message that it expects, and so does a mark that names a script.
    if EXPECT.match(text) or MARK.match(text):
        return None
    for kind, pattern in _RULES:
        if pattern.search(text):
            return kind
    return None


def end_of(lines, start):
    """Index after the last line of the report whose first line is lines[start]."""
    seconds = lines[start].seconds
    for place in range(start + 1, min(start + LONGEST, len(lines))):
        line = lines[place]
        if MARK.match(line.text) or line.seconds - seconds > PAUSE:
            return place
        if END.search(line.text):
            # KASAN, slub and lockdep frame a title with two lines of "=": the one right after it ends nothing.
            if place - start > 2 or "end " in line.text:
                return place + 1
        seconds = line.seconds
    return min(start + LONGEST, len(lines))


def scan(text):
    """All splats in the text, in order."""
    lines = read_lines(text)
    splats, place, shown = [], 0, 0
    while place < len(lines):
        kind = kind_of(lines[place].text)
        if kind is None:
            place += 1
            continue
        end = end_of(lines, place)
        first = max(shown, place - CONTEXT)
        splats.append(Splat(kind, lines[place].text, [line.raw for line in lines[first:end]]))
        place = shown = end
    return splats


def expectations(text):
    """Patterns that the script announced: `echo 'oxnic-expect: <pattern>' >/dev/kmsg`."""
    found = (EXPECT.match(line.text) for line in read_lines(text))
    return [match.group(1).strip() for match in found if match]


def judge(text):
    """Splats that nobody expected, and expectations that nothing met, of one script's part of the log.

    Reports that are the core's own are left out: set_aside() has them.
    An expectation excuses any number of splats whose first line it matches, and no others. A pattern that is no
    regular expression, or that would match an empty line (and so everything), excuses nothing and counts as unmet.
    """
    patterns, unmet = [], []
    for pattern in expectations(text):
        try:
            compiled = re.compile(pattern)
        except re.error:
            compiled = None
        if compiled is None or compiled.search(""):
            unmet.append(pattern)
        else:
            patterns.append(compiled)
    unexpected, met = [], set()
    for splat in scan(text):
        if splat.cores_own():
            continue
        matching = {pattern.pattern for pattern in patterns if pattern.search(splat.title)}
        met |= matching
        if not matching:
            unexpected.append(splat)
    # What was expected may be a message that no rule calls a splat: it counts as met when it is in the log.
    bodies = [line.text for line in read_lines(text) if not EXPECT.match(line.text)]
    for pattern in patterns:
        if pattern.pattern not in met and not any(pattern.search(body) for body in bodies):
            unmet.append(pattern.pattern)
    return unexpected, unmet


def set_aside(text):
    """The entry of CORES_OWN of each report in the text that is the core's own."""
    return [known for known in (splat.cores_own() for splat in scan(text)) if known]
