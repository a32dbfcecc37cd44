# SPDX-License-Identifier: GPL-2.0-only
"""Random choices of few values, so that random frames meet many random rules; the same ones for the same seed."""

import random


class Dice:
    """What makes rules and frames throws these."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.pick = self.random.choice

    def chance(self, percent):
        return self.random.random() * 100 < percent

    def number(self, top=3):
        return self.random.randint(0, top)

    def mac(self, kind):
        return f"02:ee:0{kind}:00:0{self.number()}:0{self.number()}"
