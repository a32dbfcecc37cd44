# SPDX-License-Identifier: GPL-2.0-only
"""What a long run notes of itself, and what it takes as done when it goes on."""

import os
import sys
import tempfile
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__)))))
sys.path[:0] = [os.path.join(TOP, "selftests"), os.path.join(TOP, "scripts")]

from host.ledger import MOST, Ledger  # noqa: E402
from host.tap import Case  # noqa: E402

GOOD, BAD = Case("a.one", "pass"), Case("a.two", "fail", "why")


class Ledgers(unittest.TestCase):
    def setUp(self):
        self.path = os.path.join(self.enterContext(tempfile.TemporaryDirectory()), "ledger")

    def known(self, name, cases=None, kernel="stock"):
        return Ledger(self.path, kernel).find(name, cases)

    def test_noted_when_the_guest_has_ended(self):
        ledger = Ledger(self.path, "stock")
        ledger.ran("a", ["one"], [GOOD])
        self.assertIsNone(self.known("a", ["one"]))
        ledger.guest_ended([])
        self.assertEqual(self.known("a", ["one"]), [GOOD])
        self.assertIsNone(self.known("a"))
        self.assertIsNone(self.known("a", ["one"], "debug"))
        self.assertIsNone(self.known("b", ["one"]))

    def test_a_bad_end_is_that_of_all_before(self):
        ledger = Ledger(self.path, "stock")
        ledger.ran("a", None, [GOOD])
        ledger.guest_ended([BAD])
        ledger.ran("a", None, [GOOD])
        ledger.ran("b", None, [GOOD, BAD])
        ledger.guest_ended([])
        self.assertEqual((self.known("a"), self.known("b")), (None, None))

    def test_full(self):
        ledger = Ledger(self.path, "stock")
        for number in range(MOST):
            self.assertFalse(ledger.is_full())
            ledger.ran(f"file{number}", None, [GOOD])
        self.assertTrue(ledger.is_full())

    def test_without_a_path(self):
        ledger = Ledger("", "stock")
        ledger.ran("a", None, [GOOD])
        ledger.guest_ended([])
        self.assertFalse(ledger.is_full())
        self.assertIsNone(ledger.find("a", None))


if __name__ == "__main__":
    unittest.main()
