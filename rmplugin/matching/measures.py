"""Numbers about a whole solution, for the programme manager."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from rmplugin.matching.columns import IntArray, Problem, Side
from rmplugin.matching.explaining import count_skills
from rmplugin.matching.scoring import Candidate
from rmplugin.matching.solver import Solution
from rmplugin.matching.surveys import Survey

# Smaller groups are not shown.
FEWEST_SHOWN = 5
BOTTLENECKS = 10
TENURE_BANDS = ((1, "under_1"), (3, "1_to_3"), (6, "3_to_6"), (11, "6_to_11"), (None, "over_11"))


def measure(problem: Problem, solution: Solution, found: Survey, today: int) -> dict[str, Any]:
    """Give the numbers of a run; shares are between 0 and 1, None of nobody.

    :param today: day number, for years in the company.
    :return: counts, shares, scores; `by_department` and `by_tenure`: groups of `FEWEST_SHOWN` or more people
        with their share; `bottlenecks`: skills of first wishes that were not covered, the most missed first.
    **Touches** nothing.
    """
    scores = np.array([pair.score for pair in solution.pairs], dtype=np.int64)
    met = [
        np.unique([getattr(pair, side) for pair in solution.pairs]).astype(int)
        for side in ("mentor", "mentee")
    ]
    sides = problem.mentors, problem.mentees
    people = len(sides[0]) + len(sides[1])
    wanted, covered, partly, missed = _most_wanted(problem, solution)
    return {
        "mentors": len(sides[0]),
        "mentees": len(sides[1]),
        "pairs": len(scores),
        "matched_people": len(met[0]) + len(met[1]),
        "matched_share": _share(len(met[0]) + len(met[1]), people),
        "matched_mentors_share": _share(len(met[0]), len(sides[0])),
        "matched_mentees_share": _share(len(met[1]), len(sides[1])),
        "min_score": _rank(scores, 0),
        "p5_score": _rank(scores, 5),
        "median_score": int(np.median(scores)) if len(scores) else None,
        "first_wishes": wanted,
        "first_wishes_covered": covered,
        "first_wishes_partly": partly,
        "first_wishes_covered_share": _share(covered, wanted),
        "least": solution.least or None,
        "rounds": solution.rounds,
        "admissible_pairs": int(found.admissible[1].sum()),
        "mentees_with_three": int((found.admissible[1] >= 3).sum()),
        "blocking_pairs": found.blocking,
        "first_choice_mentees_share": _share(int((found.ranks[1] == 1).sum()), len(scores)),
        "median_rank_of_mentees": _rank(found.ranks[1], 50),
        "by_department": _groups(sides, met, lambda person: person.department),
        "by_tenure": _groups(sides, met, lambda person: _band(person, today)),
        "bottlenecks": _bottlenecks(problem, missed),
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _rank(values: IntArray, percent: int) -> int | None:
    return int(np.percentile(values, percent, method="lower")) if len(values) else None


def _band(person: Candidate, today: int) -> str | None:
    if person.hired_on is None:
        return None
    years = (today - person.hired_on.toordinal()) / 365.25
    return next(name for limit, name in TENURE_BANDS if limit is None or years < limit)


def _groups(
    sides: Iterable[Side], met: Iterable[IntArray], name_of: Callable[[Candidate], str | None]
) -> list[dict[str, Any]]:
    """Share out who was matched by groups; where one small group could be found by subtraction, two hide."""
    people: dict[str, int] = {}
    matched: dict[str, int] = {}
    for side, rows in zip(sides, met, strict=True):
        placed = set(rows.tolist())
        for row, person in enumerate(side.people):
            name = name_of(person) or ""
            people[name] = people.get(name, 0) + 1
            matched[name] = matched.get(name, 0) + (row in placed)
    shown = sorted((name for name in people if people[name] >= FEWEST_SHOWN), key=lambda name: -people[name])
    hidden = [name for name in people if people[name] < FEWEST_SHOWN]
    if hidden and sum(people[name] for name in hidden) < FEWEST_SHOWN and shown:
        hidden.append(shown.pop())
    groups = [
        {"name": name or None, "people": people[name], "share": _share(matched[name], people[name])}
        for name in shown
    ]
    if hidden:
        count = sum(people[name] for name in hidden)
        share = _share(sum(matched[name] for name in hidden), count) if count >= FEWEST_SHOWN else None
        groups.append({"name": "others", "people": count if share is not None else None, "share": share})
    return groups


def _most_wanted(problem: Problem, solution: Solution) -> tuple[int, int, int, dict[str, int]]:
    """Count the skills of priority 1 that matched mentees want, those fully and partly covered, and misses.

    Skills that mentees without a partner want first count as missed, too.
    """
    mentors = problem.mentors.people
    partners: dict[int, list[Candidate]] = {}
    for pair in solution.pairs:
        partners.setdefault(pair.mentee, []).append(mentors[pair.mentor])
    wanted = covered = partly = 0
    missed: dict[str, int] = {}
    for row, mentee in enumerate(problem.mentees.people):
        for skill, (level, priority) in mentee.wants.items():
            if priority != 1:
                continue
            best = max((mentor.offers.get(skill, 0) for mentor in partners.get(row, ())), default=0)
            if best < max(level, 1):
                missed[skill] = missed.get(skill, 0) + 1
            if row in partners:
                wanted += 1
                covered += best >= max(level, 1)
                partly += 0 < best < level
    return wanted, covered, partly, missed


def _bottlenecks(problem: Problem, missed: dict[str, int]) -> list[dict[str, Any]]:
    market = count_skills(problem)
    names = sorted(missed, key=lambda skill: (-missed[skill], skill))[:BOTTLENECKS]
    return [{"skill": skill, "missed": missed[skill], **market[skill]} for skill in names]
