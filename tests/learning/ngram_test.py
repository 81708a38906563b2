#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The n-gram scorer: probabilities sum to one; a case worked out by hand."""
import math
import sys
import unittest

from ngram import START, WittenBell


class WittenBellTest(unittest.TestCase):
    def test_sums_to_one(self):
        model = WittenBell(["abracadabra", "banana", ""], 5)
        for context in ["abra", "bana", "zzzz", "xxan", START * 4,
                        START * 3 + "b"]:
            total = sum(model.probability(context + chr(w)) for w in range(256))
            self.assertAlmostEqual(total, 1, places=12)

    def test_by_hand(self):
        # "ab": order 1 has a, b once each (c = 2, T = 2); after the start: a.
        model = WittenBell(["ab"], 2)
        one = (1 + 2 / 256) / 4
        self.assertAlmostEqual(model.probability(START + "a"), (1 + one) / 2)
        self.assertAlmostEqual(model.probability("ab"), (1 + one) / 2)
        self.assertAlmostEqual(model.probability("aa"), (0 + one) / 2)
        self.assertAlmostEqual(model.probability("ba"), one)  # b: never before
        bits = model.bits("ab", {})
        self.assertAlmostEqual(bits, -2 * math.log2((1 + one) / 2))

    def test_each_document_from_its_own_start(self):
        model = WittenBell(["xy"], 5)
        self.assertEqual(model.bits("xy", {}) * 2,
                         sum(model.bits(text, {}) for text in ["xy", "xy"]))
        self.assertEqual(model.bits("", {}), 0)


if __name__ == "__main__":
    sys.exit(unittest.main())
