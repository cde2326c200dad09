"""How a pool stands before a run: who has anybody to meet, what lacks, and who could help."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rmplugin.matching import kernels
from rmplugin.matching.columns import IntArray, Problem, Side
from rmplugin.matching.explaining import count_skills
from rmplugin.matching.pairs import find_bars
from rmplugin.matching.scoring import RULE_CODES

# So many partners to choose among are enough.
ENOUGH = 3
# Up to so many pairs are tested against every rule; of more, those of an even sample of mentees.
PAIRS_TO_TEST = 2**22
PAIRS_AT_ONCE = 2**20
SKILLS_SHOWN = 10
INVITED = 6
# What somebody can still say about themselves: who has said nothing yet is not judged by it.
UNSAID = ("no_candidate_skill", "language", "hours")


@dataclass(frozen=True, eq=False)
class Reach:
    """How many partners the rules allow, row by row of mentors and of mentees."""

    mentors: IntArray
    mentees: IntArray


def count_partners(problem: Problem) -> Reach:
    """Count for everybody whom they could meet, in one walk over all pairs.

    **Touches** nothing.
    """
    count = len(problem.mentors)
    mentors, mentees = np.zeros(count, dtype=np.int64), [np.zeros(0, dtype=np.int64)]
    for met, counts in kernels.walk(
        problem, lambda block: (np.bincount(block.mentor, minlength=count), np.diff(block.starts))
    ):
        mentors += met
        mentees.append(counts)
    found = np.concatenate(mentees)
    return Reach(mentors, found if len(found) else np.zeros(len(problem.mentees), dtype=np.int64))


def count_sides(problem: Problem, reach: Reach) -> dict[str, Any]:
    """Count people and places by side, and for how many of them the rules allow one, or enough, partners.

    :return: "pairs" that the rules allow, and for "mentors" and "mentees" each "people", "places",
        "with_one" and "with_three".
    **Touches** nothing.
    """
    return {
        "pairs": int(reach.mentees.sum()),
        "mentors": _side(problem.mentors, reach.mentors),
        "mentees": _side(problem.mentees, reach.mentees),
    }


def _side(side: Side, reach: IntArray) -> dict[str, int]:
    return {
        "people": len(side),
        "places": int(side.capacity.sum()),
        "with_one": int((reach >= 1).sum()),
        "with_three": int((reach >= ENOUGH).sum()),
    }


def find_lacking(problem: Problem) -> list[dict[str, Any]]:
    """List the skills that more mentees want than the mentors who offer them have places, the scarcest first.

    :return: "skill" (id), "want", "offer" and "places" of each.
    **Touches** nothing.
    """
    market = count_skills(problem)
    lacking = [skill for skill, counts in market.items() if counts["want"] > counts["places"]]
    lacking.sort(key=lambda skill: (market[skill]["places"] - market[skill]["want"], skill))
    return [{"skill": skill, **market[skill]} for skill in lacking[:SKILLS_SHOWN]]


def count_lone_bars(problem: Problem) -> tuple[dict[str, int], bool]:
    """Count per rule the pairs that it alone keeps apart: without it they could meet.

    :return: rule code -> pairs, the most first; and whether every pair was tested. Of a large pool an even
        sample of the mentees is, and the counts are scaled up.
    **Touches** nothing.
    """
    mentors, mentees = len(problem.mentors), len(problem.mentees)
    if not mentors or not mentees:
        return {}, True
    rows = np.arange(0, mentees, math.ceil(mentors * mentees / PAIRS_TO_TEST))
    counts = np.zeros(len(RULE_CODES), dtype=np.int64)
    for part in np.array_split(rows, math.ceil(mentors * len(rows) / PAIRS_AT_ONCE)):
        bars = find_bars(problem, np.tile(np.arange(mentors), len(part)), np.repeat(part, mentors))
        counts += [int((bars == 1 << k).sum()) for k in range(len(RULE_CODES))]
    scaled = [round(int(count) * mentees / len(rows)) for count in counts]
    found = {code: count for code, count in zip(RULE_CODES, scaled, strict=True) if count}
    return dict(sorted(found.items(), key=lambda item: -item[1])), len(rows) == mentees


def suggest(problem: Problem, have: Mapping[str, int], most: int = INVITED) -> list[dict[str, Any]]:
    """Choose colleagues whose coming would help the most mentees, one after the other.

    Each time the one is taken who gives the most mentees a first mentor to choose; then the most a third.
    When nobody helps any more by what they said earlier, those follow who said nothing yet, by how many
    mentees short of mentors they could meet if they know what these want.

    :param problem: the colleagues as mentors, and the mentees of the pool.
    :param have: mentee's id -> mentors whom the rules allow now.
    :return: "person", and "firsts", "thirds" and "helped" (mentees short of mentors whom this one could
        meet), or "could" for somebody who said nothing yet.
    **Touches** nothing.
    """
    mentors, mentees = len(problem.mentors), len(problem.mentees)
    if not mentors or not mentees:
        return []
    bars = np.concatenate(
        [find_bars(problem, np.full(mentees, row), np.arange(mentees)) for row in range(mentors)]
    ).reshape(mentors, mentees)
    counts = np.array([have[person.id] for person in problem.mentees.people], dtype=np.int64)
    ids = [person.id for person in problem.mentors.people]
    chosen = _choose(bars == 0, counts, ids, most)
    silent = ~np.isin(ids, [entry["person"] for entry in chosen])
    silent &= np.array([not person.offers for person in problem.mentors.people])
    unsaid = np.uint16(sum(1 << RULE_CODES.index(code) for code in UNSAID))
    could = ((bars & ~unsaid == 0) & (counts < ENOUGH)).sum(axis=1)
    for row in sorted(np.nonzero(silent & (could > 0))[0].tolist(), key=lambda row: (-could[row], ids[row])):
        if len(chosen) == most:
            break
        chosen.append({"person": ids[row], "could": int(could[row])})
    return chosen


def _choose(allowed: Any, counts: IntArray, ids: Sequence[str], most: int) -> list[dict[str, Any]]:
    """Take the one who helps the most, again and again; `counts` grows with each."""
    chosen: list[dict[str, Any]] = []
    left = np.ones(len(ids), dtype=bool)
    while len(chosen) < most:
        firsts, thirds, helped = (
            (allowed & wanting).sum(axis=1) * left
            for wanting in (counts == 0, counts == ENOUGH - 1, counts < ENOUGH)
        )
        best = int(np.lexsort((np.arange(len(ids)), -helped, -thirds, -firsts))[0])
        if not helped[best]:
            break
        gains = {"firsts": int(firsts[best]), "thirds": int(thirds[best]), "helped": int(helped[best])}
        chosen.append({"person": ids[best], **gains})
        counts += allowed[best]
        left[best] = False
    return chosen


def short_of_mentors(problem: Problem, reach: Reach) -> list[str]:
    """Give the ids of the mentees who have too few mentors to choose among. **Touches** nothing."""
    people = problem.mentees.people
    return [people[row].id for row in np.nonzero(reach.mentees < ENOUGH)[0].tolist()]
