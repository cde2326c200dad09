"""The counting of `kernels`, compiled by numba; only imported when the extra `fast` is installed."""

from typing import Any

import numba
import numpy as np

from rmplugin.matching.columns import (
    TENURE_STEP_DAYS,
    TENURE_STEPS,
    BoolArray,
    IntArray,
    Problem,
    SmallArray,
)

compiled = numba.njit(cache=True, nogil=True)


def count(problem: Problem, allowed: BoolArray, low: int) -> tuple[IntArray, SmallArray, SmallArray]:
    """Count the points of a block.

    :param allowed: mentees from row `low`, down, by all mentors, across.
    :return: starts, mentor and score of a `kernels.Block`.
    **Touches** nothing.
    """
    a, b, weights = problem.mentors, problem.mentees, problem.weights
    if "offerers" not in problem.cache:
        problem.cache["offerers"] = _offerers(problem)
    return _count(  # type: ignore[no-any-return]
        allowed,
        low,
        (a.hired, a.department, a.site, a.motivation),
        (b.hired, b.department, b.site, b.motivation),
        (b.wants.starts, b.wants.skill, b.wants.points, *problem.cache["offerers"]),
        (a.wants.starts, a.wants.skill, a.wants.points, b.offers.starts, b.offers.skill, b.offers.level),
        max(len(problem.skills), 1),
        (weights.motivation, weights.other_department, weights.other_site, weights.tenure),
    )


def _offerers(problem: Problem) -> tuple[IntArray, SmallArray, SmallArray]:
    """Turn the mentors' offers round: per skill who offers it at which level."""
    offers = problem.mentors.offers
    owner = np.repeat(np.arange(len(problem.mentors), dtype=np.int32), np.diff(offers.starts))
    order = np.lexsort((owner, offers.skill))
    counts = np.bincount(offers.skill, minlength=max(len(problem.skills), 1))
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return starts, owner[order], offers.level[order]


@compiled
def _count(  # noqa: C901 - One loop over pairs; calls between its tests would cost time.
    allowed: Any, low: int, a: Any, b: Any, wanted: Any, learned: Any, skills: int, weights: Any
) -> Any:  # pragma: no cover - compiled
    a_hired, a_department, a_site, a_keen = a
    b_hired, b_department, b_site, b_keen = b
    w_starts, w_skill, w_points, o_starts, o_mentor, o_level = wanted
    l_starts, l_skill, l_points, f_starts, f_skill, f_level = learned
    keen, other_department, other_site, tenure = weights
    rows, width = allowed.shape
    starts = np.zeros(rows + 1, dtype=np.int64)
    mentors = np.empty(rows * width, dtype=np.int32)
    scores = np.empty(rows * width, dtype=np.int32)
    covered = np.zeros(width, dtype=np.int32)
    level = np.zeros(skills, dtype=np.int8)
    at = 0
    for row in range(rows):
        j = low + row
        covered[:] = 0
        for e in range(w_starts[j], w_starts[j + 1]):
            for k in range(o_starts[w_skill[e]], o_starts[w_skill[e] + 1]):
                covered[o_mentor[k]] += w_points[e, o_level[k]]
        for e in range(f_starts[j], f_starts[j + 1]):
            level[f_skill[e]] = f_level[e]
        for i in range(width):
            # One test instead of two: the processor guesses it right far more often.
            if not (allowed[row, i] & (covered[i] != 0)):
                continue
            score = covered[i] + keen * (a_keen[i] + b_keen[j]) // 10
            if a_department[i] >= 0 and b_department[j] >= 0 and a_department[i] != b_department[j]:
                score += other_department
            if a_site[i] >= 0 and b_site[j] >= 0 and a_site[i] != b_site[j]:
                score += other_site
            if a_hired[i] > 0 and b_hired[j] > 0:
                steps = min(abs(a_hired[i] - b_hired[j]) // TENURE_STEP_DAYS, TENURE_STEPS)
                score += tenure * steps // TENURE_STEPS
            for e in range(l_starts[i], l_starts[i + 1]):
                if level[l_skill[e]]:
                    score += l_points[e, level[l_skill[e]]]
            mentors[at] = i
            scores[at] = score
            at += 1
        for e in range(f_starts[j], f_starts[j + 1]):
            level[f_skill[e]] = 0
        starts[row + 1] = at
    return starts, mentors[:at].copy(), scores[:at].copy()


@compiled
def best_of_rows(
    starts: IntArray,
    mentor: SmallArray,
    score: SmallArray,
    prices: IntArray,
    floor: IntArray,
    most: IntArray,
) -> Any:  # pragma: no cover - compiled
    """Pick the highest of score minus price per row above its floor, like `kernels.best_per_mentee`."""
    rows = len(starts) - 1
    total = 0
    for row in range(rows):
        total += min(most[row], starts[row + 1] - starts[row])
    person = np.empty(total, dtype=np.int64)
    other = np.empty(total, dtype=np.int64)
    value = np.empty(total, dtype=np.int64)
    at = 0
    for row in range(rows):
        count = 0
        room = most[row]
        least = floor[row]
        for k in range(starts[row], starts[row + 1]):
            one = score[k] - prices[mentor[k]]
            if one <= least or room == 0:
                continue
            place = at + (count if count < room else count - 1)
            # Equal ones keep their order: rows of mentors rise.
            while place > at and value[place - 1] < one:
                value[place] = value[place - 1]
                other[place] = other[place - 1]
                place -= 1
            value[place] = one
            other[place] = mentor[k]
            if count < room:
                count += 1
            if count == room:
                least = value[at + room - 1]
        for k in range(at, at + count):
            person[k] = row
        at += count
    return person[:at].copy(), other[:at].copy(), value[:at].copy()
