# SPDX-License-Identifier: GPL-2.0-only
"""Which of our own cases may be skipped."""

import glob
import os
import sys
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__)))))
sys.path[:0] = [os.path.join(TOP, "selftests"), os.path.join(TOP, "scripts")]
sys.dont_write_bytecode = True

from host import expect  # noqa: E402
from host import plan  # noqa: E402
from host.execute import SKIPS, judge_skips  # noqa: E402
from host.tap import Case  # noqa: E402
from vm.options import Options  # noqa: E402


def verdict_of(name, **options):
    case = Case(name, "skip", "there is none")
    judge_skips([case], name.partition(".")[0], Options(**options))
    return case.verdict


class Skips(unittest.TestCase):
    def test_what_the_device_has_is_not_skipped(self):
        for name in ("rss.contexts", "devlink_health.halted", "devlink_flash.whole"):
            for kernel in ("stock", "debug"):
                self.assertEqual(verdict_of(name, kernel=kernel), "fail")

    def test_a_stock_nic_may_be_without(self):
        self.assertEqual(verdict_of("rss.contexts", nic="igb"), "skip")

    def test_a_reason_excuses_its_case_only(self):
        self.assertEqual(verdict_of("devlink_faults.flash", kernel="/boot/vmlinuz"), "skip")
        self.assertEqual(verdict_of("devlink_faults.idle", kernel="/boot/vmlinuz"), "fail")

    def test_only_skips_are_judged(self):
        case = Case("rss.contexts", "pass")
        judge_skips([case], "rss", Options())
        self.assertEqual(case, Case("rss.contexts", "pass"))

    def test_each_entry_names_what_there_is(self):
        files = {os.path.basename(path).removesuffix(".py"): path for path in glob.glob(os.path.join(TOP, "selftests", "*.py"))}
        for entry in expect.read(SKIPS):
            with self.subTest(entry.line):
                self.assertEqual(entry.verdict, "skip")
                self.assertIn(entry.file, files)
                self.assertIn(entry.case, ["*", *plan.cases_of(files[entry.file])])


if __name__ == "__main__":
    unittest.main()
