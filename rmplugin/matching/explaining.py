"""Why a pair was chosen, why another was not, why somebody is left out, and what would place them."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rmplugin.matching.columns import IntArray, Problem, Side
from rmplugin.matching.pairs import find_bars, find_points
from rmplugin.matching.scoring import RULE_CODES, Candidate, Role
from rmplugin.matching.solver import Solution


@dataclass(frozen=True)
class Unmatched:
    """Why one person who could take a partner got none.

    :param reason: "capacity_taken", "nobody_there", or the code of `RULE_CODES` that stood most in the way.
    :param details: whole numbers, texts, lists and dicts of them, ready for JSON; see `explain_unmatched`.
    """

    person_id: str
    role: Role
    reason: str
    details: dict[str, Any]


def compare_skills(wanter: Candidate, offerer: Candidate) -> dict[str, list[tuple[str, int, int]]]:
    """Sort the wanted skills of one person by what another offers: the words behind the points.

    :return: "covered" (offered at the wanted level or above), "partly" (below it), "uncovered"; the most
        wanted first: the skill, and at which level it is wanted and offered.
    **Touches** nothing.
    """
    found: dict[str, list[tuple[str, int, int]]] = {"covered": [], "partly": [], "uncovered": []}
    wanted = [(priority, skill, level) for skill, (level, priority) in wanter.wants.items()]
    wanted.sort()
    for _, skill, level in wanted:
        offered = offerer.offers.get(skill, 0)
        group = "uncovered" if offered == 0 else "covered" if offered >= level else "partly"
        found[group].append((skill, level, offered))
    return found


def explain_unmatched(problem: Problem, solution: Solution) -> list[Unmatched]:
    """Say for each person with free capacity and no partner what stood in the way.

    `details` holds `candidates` (people on the other side), `admissible` (how many of them were allowed),
    `removed_by` and `removed_only_by` (rule code -> people that fail it, or fail nothing else), `skills`
    (per skill that a mentee wants or a mentor offers: how many `want` and `offer` it, and the `places` that
    those who offer it have), and, when there were allowed people, `best` (`id`, `score`, `others`: how many
    other people were allowed to meet that one; `short`: points by which the place went to others). `change`
    is the smallest thing found that would place them, or None:
    `{"kind": "capacity", "person": id}` one more place there;
    `{"kind": "language", "language": code, "opens": people, "free": of them with a place left}`;
    `{"kind": "hours", "opens", "free"}` working time in common with them;
    `{"kind": "skill", "skill": id, "opens", "free"}` a skill more that this person offers or wants;
    `{"kind": "one_more", "skill": id}` one more person on the other side with it.

    :return: sorted by role, then id.
    **Touches** nothing.
    """
    market = _skill_market(problem)
    met = [np.zeros(len(side), dtype=np.int64) for side in (problem.mentors, problem.mentees)]
    for pair in solution.pairs:
        met[0][pair.mentor] += 1
        met[1][pair.mentee] += 1
    left = [side.capacity - used for side, used in zip((problem.mentors, problem.mentees), met, strict=True)]
    found = []
    for role, k in (("mentee", 1), ("mentor", 0)):
        side = (problem.mentors, problem.mentees)[k]
        for row in np.nonzero((side.capacity > 0) & (met[k] == 0))[0]:
            view = _View(problem, solution, role, int(row), left[1 - k])  # type: ignore[arg-type]
            found.append(_explain(view, market))
    return found


@dataclass(frozen=True, eq=False)
class _View:
    """The pool as one person sees it.

    :param left: per row of the other side how many places are left in the solution.
    """

    problem: Problem
    solution: Solution
    role: Role
    row: int
    left: IntArray

    @property
    def side(self) -> Side:
        return self.problem.mentees if self.role == "mentee" else self.problem.mentors

    @property
    def others(self) -> Side:
        return self.problem.mentors if self.role == "mentee" else self.problem.mentees

    @property
    def person(self) -> Candidate:
        return self.side.people[self.row]

    def rows(self, others: IntArray) -> tuple[IntArray, IntArray]:
        """Give rows of mentors and of mentees of the pairs with some others."""
        own = np.full(len(others), self.row)
        return (others, own) if self.role == "mentee" else (own, others)


def _explain(view: _View, market: Callable[[str], dict[str, int]]) -> Unmatched:
    person = view.person
    everybody = np.nonzero(view.others.id != view.side.id[view.row])[0]
    bars = find_bars(view.problem, *view.rows(everybody))
    removed = {code: int(np.count_nonzero(bars >> k & 1)) for k, code in enumerate(RULE_CODES)}
    only = {code: int(np.count_nonzero(bars == 1 << k)) for k, code in enumerate(RULE_CODES)}
    skills = person.wants if person.role == "mentee" else [s for s, level in person.offers.items() if level]
    allowed = everybody[bars == 0]
    details: dict[str, Any] = {
        "candidates": len(bars),
        "admissible": len(allowed),
        "removed_by": {code: count for code, count in removed.items() if count},
        "removed_only_by": {code: count for code, count in only.items() if count},
        "skills": [{"skill": skill, **market(skill)} for skill in sorted(skills)],
    }
    if len(allowed):
        best, row = _find_best(view, allowed)
        details |= {"best": best, "change": {"kind": "capacity", "person": view.others.people[row].id}}
        return Unmatched(person.id, person.role, "capacity_taken", details)
    details["change"] = _find_change(view, everybody, bars, market)
    if len(bars) == 0:
        return Unmatched(person.id, person.role, "nobody_there", details)
    # The rule whose change alone would free the most people; if one removes everybody, it is that one.
    most = max(RULE_CODES, key=lambda code: (only[code], removed[code]))
    return Unmatched(person.id, person.role, most, details)


def _find_best(view: _View, allowed: IntArray) -> tuple[dict[str, Any], int]:
    """Give the best allowed partner, how many others were allowed to meet that one, and what was missing."""
    points = find_points(view.problem, *view.rows(allowed))
    score = np.sum(list(points.values()), axis=0)
    row = int(allowed[np.argmax(score)])
    one = _View(view.problem, view.solution, "mentor" if view.role == "mentee" else "mentee", row, view.left)
    others = np.nonzero(one.others.id != one.side.id[row])[0]
    met = int(np.count_nonzero(find_bars(view.problem, *one.rows(others)) == 0))
    # Somebody without a partner has no price: what is missing is the price of the other one's place.
    short = None
    if view.solution.objective == "total":
        prices = view.solution.top_prices[0 if view.role == "mentee" else 1]
        short = max(0, int(prices[row]) - int(score.max()))
    return {
        "id": view.others.people[row].id,
        "score": int(score.max()),
        "others": met - 1,
        "short": short,
    }, row


def _find_change(
    view: _View, everybody: IntArray, bars: Any, market: Callable[[str], dict[str, int]]
) -> dict[str, Any] | None:
    """Look for one thing that would place somebody whom the rules keep from everybody."""

    def alone(code: str) -> IntArray:
        rows: IntArray = everybody[bars == 1 << RULE_CODES.index(code)]
        return rows

    changes = [
        change
        for change in (
            _most_opened(view, alone("language"), "language", lambda other: other.languages),
            _most_opened(view, alone("no_candidate_skill"), "skill", _skills_of),
            _opened("hours", alone("hours"), view.left),
        )
        if change
    ]
    sure = [change for change in changes if change["free"]]
    if sure:
        return max(sure, key=lambda change: (change["free"], change["opens"]))
    if len(bars) and (bars >> RULE_CODES.index("reporting_line") & 1).all():
        # Whoever stands above everybody is not helped by one more colleague below.
        return None
    skills = view.person.wants if view.role == "mentee" else view.person.offers
    few = "offer" if view.role == "mentee" else "want"
    if not skills:
        return changes[0] if changes else None
    scarce = min(skills, key=lambda skill: (_urgency(view.person, skill), market(skill)[few], skill))
    return {"kind": "one_more", "skill": scarce}


def _urgency(person: Candidate, skill: str) -> int:
    return person.wants[skill][1] if person.role == "mentee" else -person.offers[skill]


def _skills_of(other: Candidate) -> list[str]:
    """Name what somebody offers or wants, which the person at hand would have to want or offer."""
    if other.role == "mentee":
        return list(other.wants)
    return [skill for skill, level in other.offers.items() if level]


def _opened(kind: str, rows: IntArray, left: IntArray) -> dict[str, Any] | None:
    if len(rows) == 0:
        return None
    return {"kind": kind, "opens": len(rows), "free": int(np.count_nonzero(left[rows] > 0))}


def _most_opened(
    view: _View, rows: IntArray, kind: str, words: Callable[[Candidate], Any]
) -> dict[str, Any] | None:
    """Find the one language or skill more that brings the most people with a place within reach."""
    opens: Counter[str] = Counter()
    free: Counter[str] = Counter()
    for row in rows.tolist():
        names = list(words(view.others.people[row]))
        opens.update(names)
        if view.left[row] > 0:
            free.update(names)
    if not opens:
        return None
    best = min(opens, key=lambda name: (-free[name], -opens[name], name))
    return {"kind": kind, kind: best, "opens": opens[best], "free": free[best]}


def _skill_market(problem: Problem) -> Callable[[str], dict[str, int]]:
    """Count once who wants and who offers each skill."""
    found = count_skills(problem)
    return lambda skill: dict(found.get(skill, {"want": 0, "offer": 0, "places": 0}))


def count_skills(problem: Problem) -> dict[str, dict[str, int]]:
    """Count per skill how many mentees want it, how many mentors offer it, and the places these have.

    **Touches** nothing.
    """
    wants, offers = problem.mentees.wants, problem.mentors.offers
    count = len(problem.skills)
    owner = np.repeat(np.arange(len(problem.mentors)), np.diff(offers.starts))
    want = np.bincount(wants.skill, minlength=count)
    offer = np.bincount(offers.skill, minlength=count)
    places = np.bincount(offers.skill, weights=problem.mentors.capacity[owner], minlength=count)
    return {
        skill: {"want": int(want[k]), "offer": int(offer[k]), "places": int(places[k])}
        for k, skill in enumerate(problem.skills)
    }
