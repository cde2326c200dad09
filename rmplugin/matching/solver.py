"""The best set of pairs, proved, and the words behind it: what a pair shares, why somebody is left out."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from ortools.graph.python.min_cost_flow import SimpleMinCostFlow

from rmplugin.errors import InputError
from rmplugin.matching.scoring import RULE_CODES, Candidate, IntArray, PairTable, Role, failed_rules

HASH_BITS = 16
LARGEST_COST = 2**61


@dataclass(frozen=True)
class MatchedPair:
    """One pair of the solution.

    :param row: its row in the table, for `PairTable.contributions`.
    :param pinned: a person chose it before the solver did.
    """

    mentor_id: str
    mentee_id: str
    score: int
    row: int
    pinned: bool = False


@dataclass(frozen=True)
class Solution:
    """The pairs with the highest total score that capacities and pins leave possible.

    :param pairs: sorted by mentee, then mentor.
    :param proved: the solver reached its proof of optimality and the sums agree; nothing else is returned.
    :param gap: how far below the optimum the total may be, as a share; 0.0 when proved.
    """

    pairs: tuple[MatchedPair, ...]
    total_score: int
    proved: bool = True
    gap: float = 0.0


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


def solve(table: PairTable, pins: Iterable[tuple[str, str]] = ()) -> Solution:
    """Choose the pairs with the highest total score; nobody gets more partners than their capacity.

    Every allowed pair scores at least 1, so being left out is never better than a free partner. Equal
    totals are decided by a hash of both ids: neither the order of the input nor of the arcs matters.

    :param pins: (mentor id, mentee id) that must be in; they use up capacity and keep to the hard rules.
    :raises InputError: "pin_not_allowed" with the failed rules of each such pin, or "pin_over_capacity".
    :raises RuntimeError: the solver gave no proof; nothing half-good is returned.
    **Source** min-cost flow with a dummy node, OR-tools SimpleMinCostFlow. **Touches** nothing.
    """
    pinned = _pinned_rows(table, pins)
    supply = np.array([c.capacity for c in table.mentors], dtype=np.int64)
    demand = np.array([c.capacity for c in table.mentees], dtype=np.int64)
    np.subtract.at(supply, table.mentor[pinned], 1)
    np.subtract.at(demand, table.mentee[pinned], 1)
    _refuse_overfull(table, supply, demand)
    open_pair = (supply[table.mentor] > 0) & (demand[table.mentee] > 0)
    open_pair[pinned] = False
    chosen = _best_rows(table, np.nonzero(open_pair)[0], supply, demand)
    pins_in = set(pinned.tolist())
    pairs = tuple(
        MatchedPair(
            mentor_id=table.mentors[table.mentor[row]].id,
            mentee_id=table.mentees[table.mentee[row]].id,
            score=int(table.score[row]),
            row=row,
            pinned=row in pins_in,
        )
        for row in sorted([*pins_in, *chosen.tolist()])
    )
    return Solution(pairs, sum(pair.score for pair in pairs))


def compare_skills(wanter: Candidate, offerer: Candidate) -> dict[str, list[str]]:
    """Sort the wanted skills of one person by what another offers: the words behind the points.

    :return: "covered" (offered at the wanted level or above), "partly" (below it), "uncovered"; the most
        wanted first.
    **Touches** nothing.
    """
    found: dict[str, list[str]] = {"covered": [], "partly": [], "uncovered": []}
    for skill, (level, _) in sorted(wanter.wants.items(), key=lambda want: (want[1][1], want[0])):
        offered = offerer.offers.get(skill, 0)
        group = "uncovered" if offered == 0 else "covered" if offered >= level else "partly"
        found[group].append(skill)
    return found


def explain_unmatched(table: PairTable, solution: Solution) -> list[Unmatched]:
    """Say for each person with free capacity and no partner what stood in the way.

    `details` holds `candidates` (people on the other side), `admissible` (how many of them were allowed),
    `removed_by` and `removed_only_by` (rule code -> people that fail it, or fail nothing else), `skills`
    (per skill that a mentee wants or a mentor offers: how many `want` and `offer` it, and the `places` that
    those who offer it have), and, when there were allowed people, `best` (`id`, `score`, and `others`: how
    many other people were allowed to meet that one).

    :return: sorted by role, then id.
    **Touches** nothing.
    """
    market = _skill_market(table)
    met = {pair.mentor_id for pair in solution.pairs}, {pair.mentee_id for pair in solution.pairs}
    left_out = []
    for k, mentee in enumerate(table.mentees):
        if mentee.capacity and mentee.id not in met[1]:
            rows = table.mentee == k
            left_out.append(
                _explain(mentee, table.mentors, table.bars[k], _best(table, rows, table.mentor), market)
            )
    for k, mentor in enumerate(table.mentors):
        if mentor.capacity and mentor.id not in met[0]:
            rows = table.mentor == k
            left_out.append(
                _explain(mentor, table.mentees, table.bars[:, k], _best(table, rows, table.mentee), market)
            )
    return left_out


def _pinned_rows(table: PairTable, pins: Iterable[tuple[str, str]]) -> IntArray:
    """Find the pins in the table, or list for each one that is not there which rules it fails."""
    rows: list[int] = []
    faults: list[dict[str, Any]] = []
    mentors = {candidate.id: k for k, candidate in enumerate(table.mentors)}
    mentees = {candidate.id: k for k, candidate in enumerate(table.mentees)}
    for mentor_id, mentee_id in sorted(set(pins)):
        row = table.find(mentor_id, mentee_id)
        if row is not None:
            rows.append(row)
            continue
        known = mentor_id in mentors and mentee_id in mentees
        bits = int(table.bars[mentees[mentee_id], mentors[mentor_id]]) if known else 0
        failed = failed_rules(bits) if known else ["not_taking_part"]
        faults.append({"mentor": mentor_id, "mentee": mentee_id, "failed": failed})
    if faults:
        raise InputError(
            "pin_not_allowed",
            "A pinned pair breaks the rules of the programme. No pair was changed. "
            "Take the pin away, or correct the data behind it.",
            {"pins": faults},
        )
    return np.array(rows, dtype=np.int64)


def _refuse_overfull(table: PairTable, supply: IntArray, demand: IntArray) -> None:
    people = [table.mentors[k].id for k in np.nonzero(supply < 0)[0]]
    people += [table.mentees[k].id for k in np.nonzero(demand < 0)[0]]
    if people:
        raise InputError(
            "pin_over_capacity",
            "More pairs are pinned for a person than this person has places. No pair was changed. "
            "Take a pin away, or raise the person's capacity.",
            {"people": people},
        )


def _best_rows(table: PairTable, rows: IntArray, supply: IntArray, demand: IntArray) -> IntArray:
    """Solve the flow over the given pairs only, so that people without any cannot change the outcome.

    Mentor i -> mentee j costs minus the score. A dummy node takes what mentors have left and gives what
    mentees lack, at no cost, so that the flow is always feasible and every capacity is an upper limit.
    """
    if len(rows) == 0:
        return rows
    givers, tail = np.unique(table.mentor[rows], return_inverse=True)
    takers, head = np.unique(table.mentee[rows], return_inverse=True)
    have = np.minimum(supply[givers], np.bincount(tail))
    need = np.minimum(demand[takers], np.bincount(head))
    gain = _decisive_scores(table, rows, nodes=len(givers) + len(takers) + 1, most=int(have.sum()))
    dummy = len(givers) + len(takers)
    left, lack = np.arange(len(givers)), len(givers) + np.arange(len(takers))
    flow = SimpleMinCostFlow()
    arcs = flow.add_arcs_with_capacity_and_unit_cost(
        np.concatenate([tail, left, np.full(len(takers), dummy)]),
        np.concatenate([len(givers) + head, np.full(len(givers), dummy), lack]),
        np.concatenate([np.ones(len(rows), dtype=np.int64), have, need]),
        np.concatenate([-gain, np.zeros(len(givers) + len(takers), dtype=np.int64)]),
    )
    balance = np.concatenate([have, -need, [need.sum() - have.sum()]])
    flow.set_nodes_supplies(np.arange(dummy + 1), balance)
    status = flow.solve()
    if status != flow.OPTIMAL:
        raise RuntimeError(f"the flow solver ended with {status}")
    taken = flow.flows(arcs)[: len(rows)] > 0
    if int(gain[taken].sum()) != -flow.optimal_cost():
        raise RuntimeError("the flow solver's pairs do not add up to its optimum")
    best: IntArray = rows[taken]
    return best


def _decisive_scores(table: PairTable, rows: IntArray, *, nodes: int, most: int) -> IntArray:
    """Append a hash of both ids to each score, small enough that all of them never outweigh one point.

    The solver multiplies costs by the number of nodes, and its prices may grow to that times the number of
    nodes again; what then still fits 64 bits is left for the hash. With no room, the canonical order of the
    arcs alone decides ties.

    :param most: at most this many pairs can be chosen.
    """
    score = table.score[rows]
    room = LARGEST_COST // (int(score.max()) + 1) // (nodes + 1) ** 2
    carry = most.bit_length()
    bits = min(HASH_BITS, room.bit_length() - 1 - carry)
    if bits < 1:
        return score
    mentors, mentees = _hashes(table.mentors), _hashes(table.mentees)
    mixed = mentors[table.mentor[rows]] ^ mentees[table.mentee[rows]]
    # The finisher of splitmix64: without it the hash of a pair would be a plain sum over two people.
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (score << (bits + carry)) + (mixed >> np.uint64(64 - bits)).astype(np.int64)


def _hashes(side: Sequence[Candidate]) -> npt.NDArray[np.uint64]:
    """Hash the stable ids; Python's own hash() changes with every process."""
    digests = (hashlib.blake2b(c.id.encode(), digest_size=8).digest() for c in side)
    return np.frombuffer(b"".join(digests), dtype="<u8")


def _best(table: PairTable, rows: npt.NDArray[np.bool_], other: IntArray) -> dict[str, Any] | None:
    """Give the best allowed partner of one person, and how many others were allowed to meet that partner."""
    mine = np.nonzero(rows)[0]
    if len(mine) == 0:
        return None
    row = mine[np.argmax(table.score[mine])]
    side = table.mentors if other is table.mentor else table.mentees
    others = int(np.count_nonzero(other == other[row])) - 1
    return {"id": side[other[row]].id, "score": int(table.score[row]), "others": others}


def _skill_market(table: PairTable) -> Callable[[str], dict[str, int]]:
    """Count once who wants and who offers each skill."""
    want = Counter(skill for mentee in table.mentees for skill in mentee.wants)
    offer: Counter[str] = Counter()
    places: Counter[str] = Counter()
    for mentor in table.mentors:
        for skill, level in mentor.offers.items():
            if level:
                offer[skill] += 1
                places[skill] += mentor.capacity
    return lambda skill: {"want": want[skill], "offer": offer[skill], "places": places[skill]}


def _explain(
    person: Candidate,
    others: Sequence[Candidate],
    bars: npt.NDArray[np.uint16],
    best: Mapping[str, Any] | None,
    market: Callable[[str], dict[str, int]],
) -> Unmatched:
    itself = np.array([other.id == person.id for other in others], dtype=bool)
    bars = bars[~itself]
    removed = {code: int(np.count_nonzero(bars >> k & 1)) for k, code in enumerate(RULE_CODES)}
    only = {code: int(np.count_nonzero(bars == 1 << k)) for k, code in enumerate(RULE_CODES)}
    skills = person.wants if person.role == "mentee" else [s for s, level in person.offers.items() if level]
    details: dict[str, Any] = {
        "candidates": len(bars),
        "admissible": int(np.count_nonzero(bars == 0)),
        "removed_by": {code: count for code, count in removed.items() if count},
        "removed_only_by": {code: count for code, count in only.items() if count},
        "skills": [{"skill": skill, **market(skill)} for skill in sorted(skills)],
    }
    if best is not None:
        return Unmatched(person.id, person.role, "capacity_taken", details | {"best": dict(best)})
    if len(bars) == 0:
        return Unmatched(person.id, person.role, "nobody_there", details)
    # The rule whose change alone would free the most people; if one removes everybody, it is that one.
    most = max(RULE_CODES, key=lambda code: (only[code], removed[code]))
    return Unmatched(person.id, person.role, most, details)
