"""The rules and points of any list of pairs: what explanations, pins and checks ask."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from rmplugin.matching.columns import (
    TENURE_STEP_DAYS,
    TENURE_STEPS,
    BoolArray,
    IntArray,
    Problem,
    Side,
    Skills,
    SmallArray,
    WordArray,
    find_keys,
    kinds_that_share,
)
from rmplugin.matching.scoring import FACTORS, RULE_CODES, failed_rules
from rmplugin.records import MATCH_COLUMNS

PAIRS_AT_ONCE = 2**22


def find_bars(problem: Problem, mentor: IntArray, mentee: IntArray) -> npt.NDArray[np.uint16]:
    """Test pairs against every rule.

    :param mentor: rows of mentors; `mentee` likewise, as many.
    :return: per pair, bit k is set when `RULE_CODES[k]` bars it.
    **Touches** nothing.
    """
    bars = np.zeros(len(mentor), dtype=np.uint16)
    for low in range(0, len(mentor), PAIRS_AT_ONCE):
        part = slice(low, low + PAIRS_AT_ONCE)
        for code, failed in _tests(problem, mentor[part], mentee[part]).items():
            bars[part] |= failed.astype(np.uint16) << np.uint16(RULE_CODES.index(code))
    return bars


def find_points(problem: Problem, mentor: IntArray, mentee: IntArray) -> dict[str, IntArray]:
    """Score pairs, allowed or not.

    :param mentor: rows of mentors; `mentee` likewise, as many.
    :return: per factor one array; they add up to the score exactly.
    **Touches** nothing.
    """
    a, b, weights = problem.mentors, problem.mentees, problem.weights
    hired = a.hired[mentor], b.hired[mentee]
    steps = np.minimum(np.abs(hired[0].astype(np.int64) - hired[1]) // TENURE_STEP_DAYS, TENURE_STEPS)
    dated = (hired[0] > 0) & (hired[1] > 0)
    points = {
        "coverage": _skill_points(b.wants, mentee, a.offers, mentor, len(problem.skills)),
        "learning": _skill_points(a.wants, mentor, b.offers, mentee, len(problem.skills)),
        "motivation": weights.motivation
        * (a.motivation[mentor] + b.motivation[mentee]).astype(np.int64)
        // 10,
        "other_department": weights.other_department * _differ(a.department[mentor], b.department[mentee]),
        "other_site": weights.other_site * _differ(a.site[mentor], b.site[mentee]),
        "tenure": weights.tenure * steps * dated // TENURE_STEPS,
    }
    at, known = find_keys(problem.extra_keys, problem.key(mentor, mentee))
    for name, values in problem.extra_points.items():
        points[name] = np.where(known, values[at] if len(values) else 0, 0)
    points |= criterion_points(problem, mentor, mentee)
    return points


def find_failed(problem: Problem, mentor: int, mentee: int) -> list[str]:
    """Give the codes of the rules that one pair fails, in the order of `RULE_CODES`. **Touches** nothing."""
    return failed_rules(int(find_bars(problem, np.array([mentor]), np.array([mentee]))[0]))


def find_contributions(problem: Problem, mentor: int, mentee: int) -> dict[str, int]:
    """Give the points of one pair by factor, allowed or not; what some pairs earn on top only where it is.

    **Touches** nothing.
    """
    found = find_points(problem, np.array([mentor]), np.array([mentee]))
    return {name: int(points[0]) for name, points in found.items() if name in FACTORS or points[0]}


def criterion_bars(problem: Problem, mentor: IntArray, mentee: IntArray) -> BoolArray:
    """Say which pairs a plug-in takes out. **Touches** what plug-ins touch: nothing, by their contract."""
    barred = np.zeros(len(mentor), dtype=bool)
    for criterion in problem.criteria:
        allowed = criterion.allows(*_pairs(problem, mentor, mentee))
        if allowed is not None:
            barred |= ~np.asarray(allowed, dtype=bool)
    return barred


def criterion_points(problem: Problem, mentor: IntArray, mentee: IntArray) -> dict[str, IntArray]:
    """Ask plug-ins for their points.

    :raises ValueError: a plug-in breaks what it declared; the proof would be worth nothing.
    **Touches** what plug-ins touch: nothing, by their contract.
    """
    points: dict[str, IntArray] = {}
    for criterion in problem.criteria:
        if not criterion.most:
            continue
        given = np.asarray(criterion.points(*_pairs(problem, mentor, mentee)))
        fits = given.shape == mentor.shape and given.dtype.kind in "iu"
        if not fits or (len(given) and not 0 <= int(given.min()) <= int(given.max()) <= criterion.most):
            raise ValueError(
                f"the criterion {criterion.key} must give a whole number from 0 to {criterion.most} per pair"
            )
        points[criterion.key] = given.astype(np.int64)
    return points


class _Person(Mapping[str, Any]):
    """The columns of one person of each pair, cut out when a plug-in asks for them."""

    def __init__(self, side: Side, rows: IntArray) -> None:
        self._side, self._rows = side, rows

    def __getitem__(self, name: str) -> Any:
        return self._side.values(name)[self._rows]

    def __iter__(self) -> Iterator[str]:
        return iter(MATCH_COLUMNS)

    def __len__(self) -> int:
        return len(MATCH_COLUMNS)


def _pairs(problem: Problem, mentor: IntArray, mentee: IntArray) -> tuple[_Person, _Person]:
    return _Person(problem.mentors, mentor), _Person(problem.mentees, mentee)


def plain_tests(problem: Problem, mentor: IntArray, mentee: IntArray) -> dict[str, BoolArray]:
    """Give per rule about two people which pairs fail it.

    :param mentor: rows of mentors of any shape that goes together with the shape of `mentee`: two lists, or
        a row of mentors and a column of mentees for all of their pairs.
    **Touches** nothing.
    """
    a, b, rules = problem.mentors, problem.mentees, problem.rules
    line = in_line(problem, mentor, mentee)
    same = a.id[mentor] == b.id[mentee]
    tests = {
        "same_person": same,
        "no_junior": (a.rank[mentor] > b.rank[mentee]) & (a.hired_limit[mentor] < b.hired_limit[mentee]),
        "reporting_line": line & ~same,
    }
    if rules.bar_same_team:
        tests["same_team"] = (a.team[mentor] == b.team[mentee]) & ~same
    if rules.bar_same_department:
        tests["same_department"] = (a.department[mentor] == b.department[mentee]) & ~same
    if rules.needs_language:
        tests["language"] = ~_meet(a.language, a.language_words, b.language, b.language_words, mentor, mentee)
    if rules.min_common_minutes:
        tests["hours"] = ~_meet(a.hours, a.hours_words, b.hours, b.hours_words, mentor, mentee)
    return tests


def in_line(problem: Problem, mentor: IntArray, mentee: IntArray) -> BoolArray:
    """Say of which pairs one stands above the other, or both are one person. **Touches** nothing."""
    a, b = problem.mentors, problem.mentees
    # Intervals of a tree lie apart or one in the other, so those that overlap are one line.
    line: BoolArray = (a.first[mentor] <= b.last[mentee]) & (b.first[mentee] <= a.last[mentor])
    return line


def _meet(
    a: SmallArray, a_words: WordArray, b: SmallArray, b_words: WordArray, mentor: IntArray, mentee: IntArray
) -> BoolArray:
    """Say which pairs share a bit."""
    table, row = kinds_that_share(a_words, b[mentee], b_words)
    if mentee.ndim == 2:
        return np.take(np.take(table, a[mentor[0]], axis=1), row.ravel(), axis=0)
    shared: BoolArray = table[row, a[mentor]]
    return shared


def _tests(problem: Problem, mentor: IntArray, mentee: IntArray) -> dict[str, BoolArray]:
    """Give per rule which of the listed pairs fail it."""
    tests = plain_tests(problem, mentor, mentee)
    keys = problem.key(mentor, mentee)
    skills = len(problem.skills)
    coverage = _skill_points(problem.mentees.wants, mentee, problem.mentors.offers, mentor, skills)
    tests["no_candidate_skill"] = coverage == 0
    tests["reporting_line"] |= find_keys(problem.dotted, keys)[1] & ~tests["same_person"]
    tests["blocked"] = find_keys(problem.blocked, keys)[1]
    if problem.criteria:
        tests["criterion"] = criterion_bars(problem, mentor, mentee)
    return tests


def _differ(a: SmallArray, b: SmallArray) -> IntArray:
    differs: IntArray = ((a >= 0) & (b >= 0) & (a != b)).astype(np.int64)
    return differs


def _skill_points(
    wants: Skills, wanter: IntArray, offers: Skills, offerer: IntArray, skills: int
) -> IntArray:
    """Add up what the offers of one person of each pair earn for the wishes of the other."""
    assert wants.points is not None
    owners = np.repeat(np.arange(len(offers.starts) - 1), np.diff(offers.starts))
    offered = owners * np.int64(max(skills, 1)) + offers.skill
    total = np.zeros(len(wanter), dtype=np.int64)
    counts = np.diff(wants.starts)[wanter]
    for k in range(int(counts.max(initial=0))):
        pair = np.nonzero(counts > k)[0]
        row = wants.starts[wanter[pair]] + k
        at, known = find_keys(offered, offerer[pair] * np.int64(max(skills, 1)) + wants.skill[row])
        level = np.where(known, offers.level[at] if len(offers.level) else 0, 0)
        total[pair] += wants.points[row, level]
    return total
