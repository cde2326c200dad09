"""When matches fail regularly: four triggers over the outcomes of a cohort, and how sure each is. Pure.

A running pair counts as one that has not failed yet. So an early look, when only failures have ended, never
sees a higher rate than the last one, and looking after every end costs nearly no more false alarms than
looking once. `benchmarks/review_alarms.py` measures them; the limits below were chosen with it.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy

from rmplugin.reviews.outcomes import FAMILIES, FEWEST_SHOWN, TIME_REASONS, Outcome

FloatArray = npt.NDArray[np.float64]

TOLERANCE = 0.20
SURE = 0.90
USUAL_RATE = 0.10  # What fails in a cohort in which nothing is wrong.
FEWEST_PAIRS = 10
FEWEST_FAILURES = 3

PRIOR = (2.0, 8.0)
PRIOR_WEIGHT = 10.0

LAST_CLOSURES = 10
SAME_REASON = 3
REASON_SHARE = 0.25  # The most that one reason has of the failures when nothing is wrong.
REASON_CHANCE = 0.01

BAD_RATE = 0.30
RUN_LIMIT = 1.05  # Times the square root of the number of pairs.

WORSE_BY = 0.10
SURE_OF_SEGMENT = 0.95
SEGMENT_CHANCE = 0.8  # Shared by all segments of a look: of 40, each has to be sure by 0.98.

_STEPS = (np.arange(128) + 0.5) / 128


@dataclass(frozen=True)
class Alarm:
    """A trigger that fired.

    :ivar trigger: rate, reason, run or segment.
    :ivar subject: the reason, or "kind=segment"; "" for the cohort as a whole.
    :ivar probability: how sure it is, where the trigger has a probability.
    :ivar facts: numbers behind it, JSON-ready.
    """

    trigger: str
    subject: str
    probability: float | None
    facts: dict[str, Any] = field(default_factory=dict)


def prior_of(failed: int, decided: int) -> tuple[float, float]:
    """Give the prior of the failure rate from earlier cohorts, as heavy as ten pairs.

    :param failed: how many of the earlier ones failed, of `decided`; 0 of 0 gives Beta(2, 8).
    **Touches** pure.
    """
    a, b = PRIOR[0] + failed, PRIOR[1] + decided - failed
    return PRIOR_WEIGHT * a / (a + b), PRIOR_WEIGHT * b / (a + b)


def chance_above(failed: int, pairs: int, prior: tuple[float, float], rate: float = TOLERANCE) -> float:
    """Give the probability that the true failure rate is above a rate. **Touches** pure."""
    return float(1 - scipy.special.betainc(prior[0] + failed, prior[1] + pairs - failed, rate))


def interval(failed: int, pairs: int, prior: tuple[float, float] = PRIOR) -> tuple[float, float]:
    """Give the range in which the true failure rate lies with 95 % probability. **Touches** pure."""
    a, b = prior[0] + failed, prior[1] + pairs - failed
    return float(scipy.special.betaincinv(a, b, 0.025)), float(scipy.special.betaincinv(a, b, 0.975))


def chance_worse(
    here: tuple[int, int], rest: tuple[int, int], by: float = WORSE_BY, prior: tuple[float, float] = PRIOR
) -> float:
    """Give the probability that one group's failure rate is higher than another's by at least `by`.

    :param here: (failed, pairs); `rest` likewise.
    **Touches** pure.
    """
    points = scipy.special.betaincinv(prior[0] + rest[0], prior[1] + rest[1] - rest[0], _STEPS)
    above = np.minimum(points + by, 1.0)
    below = scipy.special.betainc(prior[0] + here[0], prior[1] + here[1] - here[0], above)
    return float(1 - below.mean())


def compare(before: tuple[int, int], after: tuple[int, int]) -> tuple[str, float, float]:
    """Say whether a cohort fails less than the one before it.

    :param before: (failed, pairs); `after` likewise.
    :return: better, same or worse, and the 95 % interval of the rate after minus the rate before.
    **Touches** pure.
    """
    points = [
        scipy.special.betaincinv(PRIOR[0] + failed, PRIOR[1] + pairs - failed, _STEPS)
        for failed, pairs in (before, after)
    ]
    gaps = points[1][:, None] - points[0][None, :]
    less = float((gaps < 0).mean())
    low, high = np.quantile(gaps, [0.025, 0.975])
    word = "better" if less >= SURE else "worse" if less <= 1 - SURE else "same"
    return word, float(low), float(high)


def find_alarms(
    outcomes: Sequence[Outcome],
    now: datetime,
    length: timedelta,
    prior: tuple[float, float] = PRIOR,
) -> list[Alarm]:
    """Ask every trigger about a cohort.

    :param outcomes: of all its pairs, as they are known at `now`.
    :param length: how long a pair of the programme is meant to last.
    :return: at most one alarm of each trigger.
    **Touches** pure.
    """
    counted = [outcome for outcome in outcomes if outcome.result != "left_out"]
    failed = sum(outcome.result == "failed" for outcome in counted)
    if len(counted) < FEWEST_PAIRS or failed < FEWEST_FAILURES:
        return []
    found = (
        _too_many(failed, len(counted), prior),
        _same_reason(counted),
        _run_of_failures(counted, now, length),
        _worse_segment(counted),
    )
    return [alarm for alarm in found if alarm is not None]


def _too_many(failed: int, pairs: int, prior: tuple[float, float]) -> Alarm | None:
    sure = chance_above(failed, pairs, prior)
    return None if sure < SURE else Alarm("rate", "", sure)


def _same_reason(counted: Sequence[Outcome]) -> Alarm | None:
    """Look for one reason, not time, in the last closures, and more often in the cohort than by chance."""
    closed = sorted((o for o in counted if o.ended_at is not None), key=_by_end)
    recent = Counter(o.reason for o in closed[-LAST_CLOSURES:] if o.reason in FAMILIES)
    often = Counter(o.reason for o in closed)
    usual = USUAL_RATE * REASON_SHARE
    found = []
    for reason, count in recent.items():
        if reason is None or reason in TIME_REASONS or count < SAME_REASON:
            continue
        chance = float(scipy.special.bdtrc(often[reason] - 1, len(counted), usual))
        if chance <= REASON_CHANCE:
            found.append((chance, reason, count))
    if not found:
        return None
    chance, reason, count = min(found)
    return Alarm("reason", reason, 1 - chance, {"recent": count, "all": often[reason]})


def _run_of_failures(counted: Sequence[Outcome], now: datetime, length: timedelta) -> Alarm | None:
    highest = max(run_of_failures(counted, now, length), default=0.0)
    limit = RUN_LIMIT * math.sqrt(len(counted))
    facts = {"highest": round(highest, 2), "limit": round(limit, 2)}
    return None if highest < limit else Alarm("run", "", None, facts)


def run_of_failures(counted: Sequence[Outcome], now: datetime, length: timedelta) -> list[float]:
    """Give a cumulative sum (CUSUM) after each failure, in the order of ends.

    Each failure adds the logarithm of how much likelier it is at the bad rate than at the usual one; the
    time that all pairs have lasted since takes away what was to be expected. Most failures come early in a
    pairing, so that time counts as the square root of its share of the whole length.

    **Source** the survival CUSUM of Biswas and Kalbfleisch (2008). **Touches** pure.
    """
    usual, bad = -math.log(1 - USUAL_RATE), -math.log(1 - BAD_RATE)
    began = np.array([o.started_at.timestamp() for o in counted])
    until = np.array([(o.ended_at or now).timestamp() for o in counted])
    total, lived, sums = 0.0, 0.0, []
    for failure in sorted((o for o in counted if o.result == "failed"), key=_by_end):
        moment = min(_by_end(failure)[0], now).timestamp()
        ages = np.clip(np.minimum(until, moment) - began, 0, None) / length.total_seconds()
        lasted = float(np.sqrt(np.minimum(ages, 1.0)).sum())
        total = max(0.0, total - (bad - usual) * (lasted - lived)) + math.log(bad / usual)
        lived = lasted
        sums.append(total)
    return sums


def segments_of(counted: Iterable[Outcome]) -> dict[tuple[str, str], tuple[int, int]]:
    """Count (failed, pairs) of every segment. **Touches** pure."""
    failed: Counter[tuple[str, str]] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()
    for outcome in counted:
        pairs.update(outcome.segments.items())
        if outcome.result == "failed":
            failed.update(outcome.segments.items())
    return {segment: (failed[segment], count) for segment, count in pairs.items()}


def _worse_segment(counted: Sequence[Outcome]) -> Alarm | None:
    """Look for one segment that is worse than the rest; the more segments, the surer each one has to be."""
    failed = sum(outcome.result == "failed" for outcome in counted)
    groups = {
        segment: (here, (failed - here[0], len(counted) - here[1]))
        for segment, here in segments_of(counted).items()
        if min(here[1], len(counted) - here[1]) >= FEWEST_SHOWN
    }
    asked = max(SURE_OF_SEGMENT, 1 - SEGMENT_CHANCE / max(1, len(groups)))
    found = []
    for (kind, name), (here, rest) in sorted(groups.items()):
        gap = here[0] / here[1] - rest[0] / rest[1]
        if here[0] >= FEWEST_FAILURES and gap >= WORSE_BY:
            sure = chance_worse(here, rest)
            if sure >= asked:
                found.append((sure, f"{kind}={name}", here))
    if not found:
        return None
    sure, subject, here = max(found)
    return Alarm("segment", subject, sure, {"failed": here[0], "pairs": here[1], "looked_at": len(groups)})


def _by_end(outcome: Outcome) -> tuple[datetime, str]:
    if outcome.ended_at is None:
        raise AssertionError("a pair that failed has ended")
    return outcome.ended_at, outcome.pair
