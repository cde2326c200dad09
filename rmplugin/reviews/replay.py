"""The pairs of the past under other weights, and whether the score told anything about them. Pure.

Only pairs that happened have outcomes, so nothing here can say what a pair that never met would have become.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

from rmplugin.reviews.outcomes import FEWEST_SHOWN, Outcome

FloatArray = npt.NDArray[np.float64]

FEWEST_DECIDED = 20
# More would only take longer: the newest tell most.
MOST_REPLAYED = 400
PENALTY = 1.0
DRAWS = 200
SHARE_KEPT = 0.5
SEED = 35


@dataclass(frozen=True)
class Validity:
    """How well the score told lasting pairs from failing ones.

    :ivar auc: how often a lasting pair had the higher score than a failing one; 0.5 is chance.
    :ivar low, high: 95 % interval of `auc`.
    :ivar spearman: rank correlation of score and lasting.
    """

    pairs: int
    auc: float
    low: float
    high: float
    spearman: float

    @property
    def tells_nothing(self) -> bool:
        """Tell whether chance alone would do as well."""
        return self.low <= 0.5 <= self.high


@dataclass(frozen=True)
class Replay:
    """What other weights would have done with the pairs that happened.

    :ivar moves: (pair, rank under the weights of then, rank under the other ones), the best being 1.
    :ivar replaced: how many of the upper half would be others.
    :ivar then, other: expected failure rate of the upper half under either weights, 0 to 1; None when the two
        halves are too much alike.
    :ivar low, high: 95 % interval of `other - then`; None likewise.
    """

    pairs: int
    moves: tuple[tuple[str, int, int], ...]
    replaced: int
    then: float | None = None
    other: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def is_clear(self) -> bool:
        """Tell whether the difference is more than chance."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


def decided(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Give the newest pairs whose outcome, factors and score are known; [] when they are too few to tell.

    At least 20 pairs, of which five failed and five lasted. **Touches** pure.
    """
    known = [o for o in outcomes if o.is_decided and o.shares and o.score is not None]
    known = sorted(known, key=lambda o: (o.started_at, o.pair))[-MOST_REPLAYED:]
    failed = sum(o.result == "failed" for o in known)
    enough = len(known) >= FEWEST_DECIDED and FEWEST_SHOWN <= failed <= len(known) - FEWEST_SHOWN
    return known if enough else []


def validity(outcomes: Sequence[Outcome]) -> Validity | None:
    """Compare the scores of pairs with what became of them; None when there are too few.

    **Source** the interval of the AUC: Hanley and McNeil (1982). **Touches** pure.
    """
    known = decided(outcomes)
    if not known:
        return None
    scores = np.array([o.score for o in known], dtype=float)
    lasted = np.array([o.result == "good" for o in known])
    good, bad = int(lasted.sum()), int((~lasted).sum())
    ranks = scipy.stats.rankdata(scores)
    auc = float((ranks[lasted].sum() - good * (good + 1) / 2) / (good * bad))
    one, two = auc / (2 - auc), 2 * auc * auc / (1 + auc)
    spread = auc * (1 - auc) + (good - 1) * (one - auc * auc) + (bad - 1) * (two - auc * auc)
    wide = 1.96 * math.sqrt(max(spread, 0) / (good * bad))
    # Scores that are all the same rank nobody, and have no correlation.
    spearman = float(scipy.stats.spearmanr(scores, lasted).statistic) if np.ptp(scores) > 0 else 0.0
    return Validity(len(known), auc, max(0.0, auc - wide), min(1.0, auc + wide), spearman)


def fit(factors: FloatArray, failed: FloatArray) -> FloatArray:
    """Fit a logistic regression of failing on the factors, held back by a ridge penalty.

    :param factors: pairs x factors, shares from 0 to 1.
    :param failed: 1 for pairs that failed, else 0.
    :return: the intercept, then a coefficient per factor.
    **Source** Newton's method; le Cessie and van Houwelingen (1992) for the penalty. **Touches** pure.
    """
    data = np.column_stack([np.ones(len(factors)), factors])
    penalty = np.diag([1e-6] + [PENALTY] * factors.shape[1])
    found = np.zeros(data.shape[1])
    for _ in range(25):
        odds = scipy.special.expit(data @ found)
        slope = data.T @ (failed - odds) - penalty @ found
        bend = (data * (odds * (1 - odds))[:, None]).T @ data + penalty
        step = np.linalg.solve(bend, slope)
        found = found + step
        if np.abs(step).max() < 1e-8:
            break
    return found


def replay(outcomes: Sequence[Outcome], then: Mapping[str, int], other: Mapping[str, int]) -> Replay | None:
    """Rank the pairs that happened under other weights, and estimate how many of the upper half would fail.

    Each pair's chance to fail is estimated by a logistic regression on the factors of all *other* pairs, so
    that no pair speaks for itself. The interval comes from drawing the pairs anew.

    :param then: factor -> most points that it gave; `other` likewise.
    :return: None when there are too few pairs to tell.
    **Touches** pure.
    """
    known = decided(outcomes)
    if not known:
        return None
    names = sorted({name for o in known for name in o.shares} & set(then) & set(other))
    factors = np.array([[o.shares.get(name, 0.0) for name in names] for o in known])
    failed = np.array([o.result == "failed" for o in known], dtype=float)
    points = [factors @ np.array([weights[name] for name in names], dtype=float) for weights in (then, other)]
    ranks = [scipy.stats.rankdata(-some.round(6), method="min").astype(int) for some in points]
    upper = [_upper_half(rank) for rank in ranks]
    moves = tuple((o.pair, int(ranks[0][i]), int(ranks[1][i])) for i, o in enumerate(known))
    replaced = round(float(np.clip(upper[1] - upper[0], 0, None).sum()))
    if replaced < FEWEST_SHOWN:
        return Replay(len(known), moves, replaced)
    chances = _chances(factors, failed)
    gap = _differences(factors, failed, upper[0], upper[1])
    low, high = np.quantile(gap, [0.025, 0.975])
    return Replay(
        len(known),
        moves,
        replaced,
        float(np.average(chances, weights=upper[0])),
        float(np.average(chances, weights=upper[1])),
        float(low),
        float(high),
    )


def _upper_half(ranks: npt.NDArray[np.int64]) -> FloatArray:
    """Say how much of each pair is in the better half: pairs of one rank at its edge share the places."""
    half = max(1, round(SHARE_KEPT * len(ranks)))
    edge = np.sort(ranks)[half - 1]
    above, tied = ranks < edge, ranks == edge
    shares: FloatArray = above + tied * ((half - above.sum()) / tied.sum())
    return shares


def _chances(factors: FloatArray, failed: FloatArray) -> FloatArray:
    """Estimate for each pair, from all others, how likely it is to fail."""
    everybody = np.arange(len(failed))
    return np.array(
        [_expect(fit(factors[everybody != i], failed[everybody != i]), factors[[i]])[0] for i in everybody]
    )


def _expect(found: FloatArray, factors: FloatArray) -> FloatArray:
    chances: FloatArray = scipy.special.expit(found[0] + factors @ found[1:])
    return chances


def _differences(factors: FloatArray, failed: FloatArray, then: FloatArray, other: FloatArray) -> FloatArray:
    """Draw the pairs anew many times, and give the difference of the two halves each time."""
    random = np.random.default_rng(SEED)
    found = []
    for _ in range(DRAWS):
        drawn = random.integers(len(failed), size=len(failed))
        chances = _expect(fit(factors[drawn], failed[drawn]), factors)
        found.append(np.average(chances, weights=other) - np.average(chances, weights=then))
    return np.array(found)
