"""The counting of `kernels`, compiled by numba; only imported when the extra `fast` is installed."""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from rmplugin.matching.columns import (
    TENURE_STEP_DAYS,
    TENURE_STEPS,
    IntArray,
    Problem,
    SmallArray,
    WordArray,
    kinds_that_share,
)


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function at its first call; the result is kept on disk where there is a place for it.

    **Touches** numba's cache: beside this file, else in the user's home.
    """
    try:
        return numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:
        # Both are read-only: every process compiles for itself.
        return numba.njit(nogil=True)(function)


def count(problem: Problem, low: int, high: int) -> tuple[IntArray, SmallArray, SmallArray]:
    """Test some mentees against all mentors, and count the points of the pairs that are allowed.

    :return: starts, mentor and score of a `kernels.Block`.
    **Touches** nothing.
    """
    a, b, rules, weights = problem.mentors, problem.mentees, problem.rules, problem.weights
    if "offerers" not in problem.cache:
        problem.cache["offerers"] = _offerers(problem)
    speak, languages = _shared(rules.needs_language, a.language_words, b.language[low:high], b.language_words)
    meet, hours = _shared(rules.min_common_minutes, a.hours_words, b.hours[low:high], b.hours_words)
    bars = rules.bar_same_team, rules.bar_same_department
    return _count(  # type: ignore[no-any-return]
        low,
        high,
        (a.rank, a.hired_limit, a.id, a.first, a.last, a.team, a.department, a.language, a.hours),
        (b.rank, b.hired_limit, b.id, b.first, b.last, b.team, b.department, languages, hours),
        (*bars, speak, meet),
        (a.hired, a.department, a.site, a.motivation),
        (b.hired, b.department, b.site, b.motivation),
        (b.wants.starts, b.wants.skill, b.wants.points, *problem.cache["offerers"]),
        (a.wants.starts, a.wants.skill, a.wants.points, b.offers.starts, b.offers.skill, b.offers.level),
        max(len(problem.skills), 1),
        (weights.motivation, weights.other_department, weights.other_site, weights.tenure),
    )


def _shared(least: int, a_words: WordArray, b: SmallArray, b_words: WordArray) -> Any:
    """Say who has a bit in common, or with `least` 0 everybody: a table, and its row for each of `b`."""
    if least == 0:
        return np.ones((1, len(a_words)), dtype=bool), np.zeros(len(b), dtype=np.int64)
    return kinds_that_share(a_words, b, b_words)


def _offerers(problem: Problem) -> tuple[IntArray, Any, Any]:
    """Turn the mentors' offers round: per skill who offers it at which level.

    Numbers without a sign: the compiler need not ask whether a place is counted from the end.
    """
    offers = problem.mentors.offers
    owner = np.repeat(np.arange(len(problem.mentors), dtype=np.uint32), np.diff(offers.starts))
    order = np.lexsort((owner, offers.skill))
    counts = np.bincount(offers.skill, minlength=max(len(problem.skills), 1))
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return starts, owner[order], offers.level[order].astype(np.uint8)


@compiled
def _count(
    low: int,
    high: int,
    a_rules: Any,
    b_rules: Any,
    rules: Any,
    a: Any,
    b: Any,
    wanted: Any,
    learned: Any,
    skills: int,
    weights: Any,
) -> Any:  # pragma: no cover - compiled
    a_keen = a[3]
    w_starts, w_skill, w_points, o_starts, o_mentor, o_level = wanted
    f_starts, f_skill, f_level = learned[3:]
    rows, width = high - low, len(a_keen)
    starts = np.zeros(rows + 1, dtype=np.int64)
    mentors = np.empty(rows * width, dtype=np.int32)
    scores = np.empty(rows * width, dtype=np.int32)
    covered = np.empty(width, dtype=np.int32)
    level = np.zeros(skills, dtype=np.uint8)
    # One place more: the last test writes before it decides.
    kept = np.empty(width + 1, dtype=np.uint32)
    for row in range(rows):
        j = low + row
        covered[:] = 0
        for e in range(w_starts[j], w_starts[j + 1]):
            points = w_points[e]
            for k in range(o_starts[w_skill[e]], o_starts[w_skill[e] + 1]):
                covered[o_mentor[k]] += points[o_level[k]]
        count = _sift_row(row, j, covered, kept, a_rules, b_rules, rules)
        for e in range(f_starts[j], f_starts[j + 1]):
            level[f_skill[e]] = f_level[e]
        at = starts[row]
        part = slice(at, at + count)
        _score_row(j, kept[:count], covered, level, a, b, learned, weights, mentors[part], scores[part])
        for e in range(f_starts[j], f_starts[j + 1]):
            level[f_skill[e]] = 0
        starts[row + 1] = at + count
    return starts, mentors[: starts[rows]].copy(), scores[: starts[rows]].copy()


@compiled
def _sift_row(
    row: int, j: int, covered: Any, kept: Any, a: Any, b: Any, rules: Any
) -> int:  # pragma: no cover - compiled
    """Write down which mentors one mentee may meet; no branches, for the processor could not guess them."""
    a_rank, a_limit, a_id, a_first, a_last, a_team, a_department, a_language, a_hours = a
    rank, limit, id_, first, last = b[0][j], b[1][j], b[2][j], b[3][j], b[4][j]
    team, department = b[5][j], b[6][j]
    bars_team, bars_department, speak, meet = rules
    speak, meet = speak[b[7][row]], meet[b[8][row]]
    found = 0
    for i in range(np.uint32(len(covered))):
        kept[found] = i
        found += (covered[i] != 0) & ((a_rank[i] <= rank) | (a_limit[i] >= limit))
    count = 0
    for k in range(found):
        i = kept[k]
        line = (a_first[i] <= last) & (first <= a_last[i])
        close = (bars_team & (a_team[i] == team)) | (bars_department & (a_department[i] == department))
        kept[count] = i
        able = speak[np.uint32(a_language[i])] & meet[np.uint32(a_hours[i])]
        count += able & ~(line | close | (a_id[i] == id_))
    return count


@compiled
def _score_row(
    j: int,
    kept: Any,
    covered: Any,
    level: Any,
    a: Any,
    b: Any,
    learned: Any,
    weights: Any,
    mentors: Any,
    scores: Any,
) -> None:  # pragma: no cover - compiled
    a_hired, a_department, a_site, a_keen = a
    hired, department, site, keen_j = b[0][j], b[1][j], b[2][j], b[3][j]
    l_starts, l_skill, l_points = learned[:3]
    keen, other_department, other_site, tenure = weights
    for k in range(len(kept)):
        i = kept[k]
        score = covered[i] + keen * (a_keen[i] + keen_j) // 10
        differs = (a_department[i] >= 0) & (department >= 0) & (a_department[i] != department)
        score += other_department * differs
        score += other_site * ((a_site[i] >= 0) & (site >= 0) & (a_site[i] != site))
        steps = min(abs(a_hired[i] - hired) // TENURE_STEP_DAYS, TENURE_STEPS)
        score += tenure * steps // TENURE_STEPS * ((a_hired[i] > 0) & (hired > 0))
        for e in range(l_starts[i], l_starts[i + np.uint32(1)]):
            # Level 0, which is no offer, earns nothing.
            score += l_points[e, level[np.uint32(l_skill[e])]]
        mentors[k] = i
        scores[k] = score


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


class MentorLists:
    """The best pairs per mentor so far, each list sorted; equal ones keep the order in which they came.

    :param most: how many per mentor.
    """

    def __init__(self, mentors: int, most: int) -> None:
        self._value = np.zeros((mentors, most), dtype=np.int32)
        self._mentee = np.zeros((mentors, most), dtype=np.int32)
        self._count = np.zeros(mentors, dtype=np.int64)

    def sift(
        self, starts: IntArray, low: int, mentor: SmallArray, score: SmallArray
    ) -> tuple[SmallArray, SmallArray, SmallArray]:
        """Leave out what cannot be among the best any more; safe to call from many threads."""
        return _sift_block(starts, low, mentor, score, self._value)  # type: ignore[no-any-return]

    def add(self, mentor: SmallArray, mentee: SmallArray, score: SmallArray) -> None:
        """Take in pairs; those of later mentees come later."""
        _add(mentor, mentee, score, self._value, self._mentee, self._count)

    def result(self) -> tuple[IntArray, IntArray, IntArray]:
        """Give mentor, mentee and score of all pairs, sorted by mentor."""
        filled = np.arange(self._value.shape[1]) < self._count[:, None]
        mentor = np.repeat(np.arange(len(self._count)), self._count)
        return mentor, self._mentee[filled].astype(np.int64), self._value[filled].astype(np.int64)


@compiled
def _sift_block(
    starts: Any, low: int, mentor: Any, score: Any, value: Any
) -> Any:  # pragma: no cover - compiled
    last = value.shape[1] - 1
    total = 0
    for k in range(len(mentor)):
        total += score[k] > value[np.uint32(mentor[k]), last]
    # Another thread may raise what counts in the meantime, never lower it.
    people = np.empty(total, dtype=np.int32)
    others = np.empty(total, dtype=np.int32)
    scores = np.empty(total, dtype=np.int32)
    at = 0
    for row in range(len(starts) - 1):
        for k in range(starts[row], starts[row + 1]):
            if score[k] > value[np.uint32(mentor[k]), last]:
                people[at] = mentor[k]
                others[at] = low + row
                scores[at] = score[k]
                at += 1
    return people[:at], others[:at], scores[:at]


@compiled
def _add(
    mentor: Any, mentee: Any, score: Any, values: Any, mentees: Any, counts: Any
) -> None:  # pragma: no cover - compiled
    most = values.shape[1]
    for k in range(len(mentor)):
        i = mentor[k]
        place = min(counts[i], most - 1)
        if counts[i] == most and score[k] <= values[i, place]:
            continue
        while place > 0 and values[i, place - 1] < score[k]:
            values[i, place] = values[i, place - 1]
            mentees[i, place] = mentees[i, place - 1]
            place -= 1
        values[i, place] = score[k]
        mentees[i, place] = mentee[k]
        counts[i] = min(counts[i] + 1, most)


@compiled
def survey_block(
    starts: Any, low: int, mentor: Any, score: Any, a_lists: Any, b_lists: Any, a_worst: Any, b_worst: Any
) -> Any:  # pragma: no cover - compiled
    """Count for both sides of a block, like `surveys._survey_block`."""
    mentors, rows = a_lists.shape[1], len(starts) - 1
    a_count = np.zeros(mentors, dtype=np.int64)
    b_count = np.zeros(b_lists.shape[1], dtype=np.int64)
    a_better, b_better = np.zeros(a_lists.shape, dtype=np.int64), np.zeros(b_lists.shape, dtype=np.int64)
    blocking = np.zeros(len(mentor), dtype=np.bool_)
    for row in range(rows):
        j = np.uint32(low + row)
        b_count[j] = starts[row + 1] - starts[row]
        for k in range(starts[row], starts[row + 1]):
            i, points = np.uint32(mentor[k]), score[k]
            a_count[i] += 1
            for place in range(np.uint32(a_lists.shape[0])):
                a_better[place, i] += points > a_lists[place, i]
            for place in range(np.uint32(b_lists.shape[0])):
                b_better[place, j] += points > b_lists[place, j]
            blocking[k] = (points > a_worst[i]) & (points > b_worst[j])
    return a_count, b_count, a_better, b_better, blocking
