# SPDX-License-Identifier: GPL-2.0-only
"""What counts as a splat, where it ends, and what a script may excuse."""

import os
import re
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", ".."))
ROOT = os.path.dirname(os.path.realpath(sys.path[0]))
sys.dont_write_bytecode = True

from vm import splat  # noqa: E402


def log(*bodies, start=10.0, step=0.001):
    """A console log with these lines, as the kernel prints them."""
    return "".join(f"[{start + i * step:12.6f}] {body}\r\n" for i, body in enumerate(bodies))


def kinds(text):
    return [one.kind for one in splat.scan(text)]


WARNING = (
    "------------[ cut here ]------------",
    "WARNING: net/core/dev.c:7300 at napi_enable+0x12/0x40, CPU#2: ip/412",
    "Modules linked in: oxnic(O) vmd",
    "Call Trace:",
    " <TASK>",
    " dev_open+0x9d/0x110",
    " </TASK>",
    "---[ end trace 0000000000000000 ]---",
)


class EachKindIsFound(unittest.TestCase):
    LINES = {
        "panic": "Kernel panic - not syncing: Fatal exception in interrupt",
        "oops": "Oops: Oops: 0002 [#1] SMP NOPTI",
        "Rust panic": "rust_kernel: panicked at drivers/oxnic/queue/rx.rs:40:9:",
        "BUG": "BUG: kernel NULL pointer dereference, address: 0000000000000008",
        "UBSAN": "UBSAN: array-index-out-of-bounds in drivers/net/foo.c:12:3",
        "WARNING": "WARNING: CPU: 1 PID: 77 at kernel/softirq.c:362 __local_bh_enable_ip+0x6e/0x80",
        "hung task": "INFO: task ip:512 blocked for more than 120 seconds.",
        "stall": "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
        "transmit time-out": "oxnic 10000:01:00.0 eth1: NETDEV WATCHDOG: CPU: 2: transmit queue 0 timed out 5120 ms",
        "reference leak": "unregister_netdevice: waiting for eth1 to become free. Usage count = 2",
        "DMA-API": "oxnic 10000:01:00.0: DMA-API: device driver frees DMA memory with different size",
        "ODEBUG": "ODEBUG: free active (active state 0) object: 00000000 object type: timer_list hint: foo",
        "memory leak": "kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
        "memory": "ip: page allocation failure: order:4, mode:0x40cc0",
        "list": "list_del corruption. next->prev should be ffff8880, but was dead",
        "interrupt": "irq 41: nobody cared (try booting with the \"irqpoll\" option)",
        "softirq": "NOHZ tick-stop error: local softirq work is pending, handler #08!!!",
        "duplicate name": "sysfs: cannot create duplicate filename '/class/net/eth1'",
        "trace": "Call Trace:",
    }

    def test_each(self):
        for kind, line in self.LINES.items():
            with self.subTest(kind):
                self.assertEqual(kinds(log("before", line, "after")), [kind])

    def test_more_forms(self):
        for line in (
            "watchdog: BUG: soft lockup - CPU#1 stuck for 67s! [ip:400]",
            "BUG: KASAN: slab-use-after-free in oxnic_poll+0x12/0x90",
            "BUG: sleeping function called from invalid context at mm/page_alloc.c:1",
            "BUG: scheduling while atomic: ip/412/0x00000200",
            "BUG kmalloc-64 (Tainted: G O): Poison overwritten",
            "WARNING: possible circular locking dependency detected",
            "WARNING: suspicious RCU usage",
            "WARNING: inconsistent lock state",
            "possible recursive locking detected",
            "refcount_t: underflow; use-after-free.",
            "general protection fault, probably for non-canonical address 0xdead: 0000 [#1]",
            "page_pool_release_retry() stalled pool shutdown: id 9, 3 inflight 60 sec",
            "rcu: INFO: rcu_preempt self-detected stall on CPU",
            "ref_tracker: netdev@ffff888 has 1/2 users at",
            "eth1 (unregistering): NETDEV WATCHDOG: CPU: 0: transmit queue 3 timed out 6000 ms",
            "kernel BUG at lib/list_debug.c:56!",
            "DMA-API: exceeded 7 overlapping mappings of cacheline 0x0000000000012345",
        ):
            with self.subTest(line):
                self.assertEqual(len(splat.scan(log(line))), 1)

    def test_callers_in_the_prefix(self):
        text = "[   12.000001][  T412] BUG: KASAN: slab-out-of-bounds in f\n[   12.1][    C1] WARNING: bad\n"
        self.assertEqual(splat.scan(text)[0].title, "BUG: KASAN: slab-out-of-bounds in f")


class QuietLinesAreQuiet(unittest.TestCase):
    def test_ordinary_lines(self):
        for line in (
            "clocksource: timekeeping watchdog on CPU1: Marking clocksource 'tsc' as unstable because the skew is too large:",
            "DMA-API: preallocated 65536 debug entries",
            "DMA-API: debugging enabled by kernel config",
            "DMA-API: Mapped at:",
            "workqueue: oxnic_reset hogged CPU for >10000us 4 times, consider switching to WQ_UNBOUND",
            "traps: foo[12] general protection fault ip:401000 sp:7ffd error:0",
            "hrtimer: interrupt took 12345678 ns",
            "oxnic: loading out-of-tree module taints kernel.",
            "kmemleak: Kernel memory leak detector initialized (mem pool available: 15000)",
            "oxnic 10000:01:00.0 eth1: link up, 25 Gb/s",
            "pcieport 10000:00:00.0: AER: Correctable error message received from 10000:01:00.0",
            "debug: BUGS are counted elsewhere",
            "NOHZ tick-stop error: local softirq work is pending, handler #02!!!",
        ):
            with self.subTest(line):
                self.assertEqual(kinds(log(line)), [])

    def test_marks_and_expectations_do_not_trigger(self):
        self.assertEqual(kinds(log("oxnic-vm: begin WARNING: x", "oxnic-expect: WARNING: at foo")), [])


class ReportsHaveAnEnd(unittest.TestCase):
    def test_one_report_counts_once_and_shows_what_was_before(self):
        (one,) = splat.scan(log("oxnic: opening", *WARNING, "later"))
        self.assertIn("oxnic: opening", one.text())
        self.assertIn("end trace", one.lines[-1])
        self.assertNotIn("later", one.text())

    def test_two_reports_count_twice(self):
        self.assertEqual(kinds(log(*WARNING, *WARNING)), ["WARNING", "WARNING"])

    def test_kasan_frames_are_one_report(self):
        frame = "=" * 66
        report = (frame, "BUG: KASAN: slab-use-after-free in f+0x1/0x2", "Read of size 8 at addr ffff by task ip/1", "", "Call Trace:", " f+0x1", frame)
        self.assertEqual(kinds(log(*report)), ["BUG"])

    def test_lockdep_is_one_report(self):
        report = ("=" * 54, "WARNING: possible circular locking dependency detected", "7.3.4 #1 Tainted: G O", "-" * 54, "ip/41 is trying to acquire lock:", "stack backtrace:", "CPU: 1 UID: 0 PID: 41", "Call Trace:", " <TASK>", " f+0x1", " </TASK>")
        self.assertEqual(kinds(log(*report)), ["WARNING"])

    def test_silence_ends_a_report(self):
        text = log("Call Trace:", " f+0x1") + log("BUG: second", start=20.0)
        self.assertEqual(kinds(text), ["trace", "BUG"])

    def test_a_mark_ends_a_report(self):
        (one,) = splat.scan(log("BUG: first", "oxnic-vm: end 1.", "harmless"))
        self.assertNotIn("harmless", one.text())


class Expectations(unittest.TestCase):
    def test_a_match_is_excused(self):
        text = log("oxnic-expect: transmit queue 0 timed out", "eth1: NETDEV WATCHDOG: CPU: 0: transmit queue 0 timed out 5 ms")
        self.assertEqual(splat.judge(text), ([], []))

    def test_only_the_first_line_counts(self):
        text = log("oxnic-expect: dev_open", *WARNING)
        unexpected, _ = splat.judge(text)
        self.assertEqual(len(unexpected), 1)

    def test_another_splat_is_not_excused(self):
        text = log("oxnic-expect: napi_enable", *WARNING) + log("BUG: other", start=30.0)
        unexpected, unmet = splat.judge(text)
        self.assertEqual([one.title for one in unexpected], ["BUG: other"])
        self.assertEqual(unmet, [])

    def test_what_does_not_come_is_reported(self):
        self.assertEqual(splat.judge(log("oxnic-expect: NETDEV WATCHDOG", "quiet")), ([], ["NETDEV WATCHDOG"]))

    def test_a_plain_message_can_be_expected(self):
        self.assertEqual(splat.judge(log("oxnic-expect: device halted", "oxnic: device halted (7)")), ([], []))

    # What selftests/hostile_device.py announces, from its text.
    HOSTILE = re.compile(r"oxnic-expect: (.+?)' > /dev/kmsg")

    def test_a_hostile_device_excuses_no_fault_of_the_driver(self):
        with open(os.path.join(ROOT, "selftests", "hostile_device.py"), encoding="utf-8") as file:
            (pattern,) = self.HOSTILE.findall(file.read())
        expected = "oxnic-expect: " + pattern.replace("\\\\", "\\")
        for line in ("oxnic 10000:01:00.0: works again", EachKindIsFound.LINES["transmit time-out"]):
            with self.subTest(line):
                self.assertEqual(splat.judge(log(expected, line)), ([], []))
        for line in (
            "BUG: KASAN: slab-use-after-free in oxnic_poll+0x12/0x90 [oxnic]",
            "WARNING: drivers/oxnic/queue/rx.rs:40 at oxnic_poll+0x12/0x90 [oxnic]",
            EachKindIsFound.LINES["Rust panic"],
            EachKindIsFound.LINES["DMA-API"],
            "oxnic 10000:01:00.0 eth1: DMA-API: device driver frees DMA memory with different size",
        ):
            with self.subTest(line):
                unexpected, _ = splat.judge(log(expected, line))
                self.assertEqual([one.title for one in unexpected], [line])

    def test_a_pattern_for_everything_excuses_nothing(self):
        for pattern in (".*", "(", "x*"):
            with self.subTest(pattern):
                unexpected, unmet = splat.judge(log("oxnic-expect: " + pattern, *WARNING))
                self.assertEqual((len(unexpected), unmet), (1, [pattern]))


class TheCoresOwn(unittest.TestCase):
    """What CORES_OWN lists is left out; whatever differs in title or callers is a splat."""

    UNBIND = ("device_driver_detach", "unbind_store")
    UNLOAD = ("driver_detach", "bus_remove_driver")

    @staticmethod
    def report(*outermost, title="WARNING: drivers/pci/remove.c:128 at pci_stop_and_remove_bus_device+0x56/0x80, CPU#2: bash/133"):
        inner = ("pci_iov_remove_virtfn", "sriov_disable", "pci_disable_sriov", "nic_remove", "pci_device_remove")
        callers = (*inner, "device_release_driver_internal", *outermost)
        return log(
            "------------[ cut here ]------------",
            title,
            "Call Trace:",
            " <TASK>",
            *(f" {name}+0x24a/0x3f0" for name in callers),
            " </TASK>",
            "---[ end trace 0000000000000000 ]---",
        )

    def test_set_aside(self):
        for callers in (self.UNBIND, self.UNLOAD):
            text = self.report(*callers)
            self.assertEqual(splat.judge(text), ([], []))
            self.assertEqual(len(splat.set_aside(text + text)), 2)

    def test_another_caller(self):
        for callers in (("pciehp_unconfigure_device",), ("sriov_numvfs_store", "dev_attr_store"), ("? unbind_store",)):
            with self.subTest(callers):
                text = self.report(*callers)
                self.assertEqual(len(splat.judge(text)[0]), 1)
                self.assertEqual(splat.set_aside(text), [])

    def test_another_report(self):
        for title in (WARNING[1], "WARNING: drivers/pci/remove.c:40 at pci_destroy_dev+0x12/0x40, CPU#2: bash/133"):
            self.assertEqual(len(splat.judge(self.report(*self.UNBIND, title=title))[0]), 1)

    HOT_PLUG = ("pciehp_unconfigure_device", "pciehp_disable_slot", "pciehp_handle_disable_request", "pciehp_ist")

    @staticmethod
    def deadlock(*locks, callers=HOT_PLUG, trace=1):
        """Lockdep's report of a chain of locks, in its order, with so many lines of trace for each."""
        return log(
            "",
            "=" * 54,
            "WARNING: possible circular locking dependency detected",
            "-" * 54,
            "irq/24-pciehp/70 is trying to acquire lock:",
            "the existing dependency chain (in reverse order) is:",
            *(text for place, lock in enumerate(locks) for text in (f"-> #{len(locks) - 1 - place} ({lock}){{.+.+}}-{{4:4}}:", *["       lock_acquire+0xff/0x230"] * trace)),
            " *** DEADLOCK ***",
            "Call Trace:",
            *(f" {name}+0x195/0x2e0" for name in callers),
            " </TASK>",
        )

    def test_locks(self):
        text = self.deadlock("pci_rescan_remove_lock", "&ctrl->reset_lock")
        self.assertEqual(splat.judge(text), ([], []))
        self.assertTrue(splat.set_aside(text)[0].locks)

    def test_locks_with_long_traces(self):
        """The trace that tells whose report it is comes last."""
        for trace in (1, 45):
            text = self.deadlock("&ctrl->reset_lock", "pci_slot_mutex", "pci_rescan_remove_lock", trace=trace)
            self.assertEqual(splat.judge(text), ([], []))

    def test_another_chain(self):
        for locks in (
            ("&ctrl->reset_lock", "pci_rescan_remove_lock"),
            ("rtnl_mutex", "pci_rescan_remove_lock", "&ctrl->reset_lock"),
            ("pci_rescan_remove_lock", "rtnl_mutex", "&ctrl->reset_lock"),
            ("pci_rescan_remove_lock",),
            ("&ctrl->reset_lock", "rtnl_mutex", "pci_rescan_remove_lock"),
        ):
            with self.subTest(locks):
                text = self.deadlock(*locks)
                self.assertEqual((len(splat.judge(text)[0]), splat.set_aside(text)), (1, []))

    def test_a_chain_of_another_path(self):
        text = self.deadlock("pci_rescan_remove_lock", "&ctrl->reset_lock", callers=("pciehp_reset_slot", "pci_reset_hotplug_slot"))
        self.assertEqual(len(splat.judge(text)[0]), 1)

    def test_what_else_is_in_the_log(self):
        found, _ = splat.judge(self.report(*self.UNBIND) + log(*WARNING, start=20.0))
        self.assertEqual([one.title for one in found], [WARNING[1]])


if __name__ == "__main__":
    unittest.main()
