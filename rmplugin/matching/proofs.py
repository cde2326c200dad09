"""What no set of pairs can be worth more than, as prices of places and what pairs are worth above them.

**Source** Weak duality: whatever the prices, a pair is worth at most both prices and what it exceeds them by.
"""

from dataclasses import dataclass

import numpy as np

from rmplugin.matching.columns import IntArray, Problem
from rmplugin.matching.kernels import Best


@dataclass(frozen=True, eq=False)
class Proof:
    """Prices of places with mentors and with mentees, and what the pairs of a pool exceed them by.

    :param problem: the pool; pairs that were decided beforehand are among its `blocked`.
    :param prices: per mentor's row what a place costs; `mentee_prices` per mentee's row likewise.
    :param over: per mentee's row the points by which allowed pairs exceed both prices, added up; at least.
    """

    problem: Problem
    prices: IntArray
    mentee_prices: IntArray
    over: IntArray

    def bound(self, supply: IntArray, demand: IntArray) -> int:
        """Give what no set of pairs exceeds that takes up to so many places of each. **Touches** nothing."""
        return int(supply @ self.prices + demand @ self.mentee_prices + self.over.sum())


def price_last(best: Best, floor: IntArray, places: IntArray) -> tuple[IntArray, IntArray]:
    """Price the places of people by the last of their best pairs that they have a place for.

    :param best: sorted by person, then from the highest value; the best above `floor` of everybody, at least
        as many as somebody has places.
    :param floor: per person the price when pairs are fewer than places.
    :return: per person the price; per pair by how much it exceeds the price.
    **Touches** nothing.
    """
    place = np.arange(len(best.person)) - np.searchsorted(best.person, best.person)
    # Whoever has no place has to be priced out of everything.
    last = place == np.maximum(places[best.person] - 1, 0)
    prices = floor.copy()
    prices[best.person[last]] = best.value[last]
    return prices, np.maximum(best.value - prices[best.person], 0)
