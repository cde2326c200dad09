"""The optimum against brute force and scipy; the same answer on every run; true reasons for the unmatched."""

import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment, linprog
from scipy.sparse import coo_array

from rmplugin.errors import InputError
from rmplugin.matching import solver
from rmplugin.matching.explaining import Unmatched, compare_skills, explain_unmatched
from rmplugin.matching.flows import Graph, _decisive_gains, find_flow
from rmplugin.matching.scoring import Candidate, Rules
from rmplugin.matching.solver import Solution
from tests.factories.tables import Table

ANY_TIME = Rules(min_common_minutes=0)


def person(role: str, key: str, **known) -> Candidate:
    """Somebody who may meet everybody on the other side, unless the test says otherwise."""
    rank = 1 if role == "mentor" else 5
    defaults = {"rank": rank, "languages": frozenset({"en"}), "offers": {"ai": 3}, "wants": {"ai": (3, 1)}}
    return Candidate(key, role, **(defaults | known))


def table_of(mentors, mentees, **known) -> Table:
    return Table(mentors, mentees, rules=ANY_TIME, **({"reporting": {}} | known))


def crowd(
    seed: int, count: int, *, capacity: int = 1, skills: int = 25
) -> tuple[list[Candidate], list[Candidate]]:
    rng = random.Random(seed)
    names = [f"skill {k}" for k in range(skills)]

    def one(role: str, key: str) -> Candidate:
        return person(
            role,
            key,
            languages=frozenset(rng.sample(["en", "de", "fr"], 2)),
            department=rng.choice("abc"),
            manager_id=f"boss {rng.randrange(8)}",
            motivation=rng.randint(1, 5),
            capacity=rng.randint(1, capacity),
            offers={name: rng.randint(1, 4) for name in rng.sample(names, 4)},
            wants={name: (rng.randint(1, 4), rng.randint(1, 3)) for name in rng.sample(names, 3)},
        )

    return [one("mentor", f"a{k}") for k in range(count)], [one("mentee", f"b{k}") for k in range(count)]


def solve(table: Table, pins=(), **how) -> Solution:
    return solver.solve(table.problem, pins, **how)


def pairs_of(solution: Solution) -> set[tuple[str, str]]:
    return {(pair.mentor_id, pair.mentee_id) for pair in solution.pairs}


def assert_keeps_capacities(table: Table, solution: Solution) -> None:
    for side, at in ((table.mentors, 0), (table.mentees, 1)):
        for candidate in side:
            assert sum(pair[at] == candidate.id for pair in pairs_of(solution)) <= candidate.capacity


# --- the optimum -------------------------------------------------------------------------------------------


def best_by_trying_all(table: Table, pins: frozenset[int]) -> int | None:
    """The highest total over all sets of pairs that keep to the capacities and contain the pins."""
    best = None
    for size in range(len(table.score) + 1):
        for rows in combinations(range(len(table.score)), size):
            if not pins <= set(rows):
                continue
            used_a = np.bincount(table.mentor[list(rows)], minlength=len(table.mentors))
            used_b = np.bincount(table.mentee[list(rows)], minlength=len(table.mentees))
            if all(used_a <= [c.capacity for c in table.mentors]) and all(
                used_b <= [c.capacity for c in table.mentees]
            ):
                best = max(best or 0, int(table.score[list(rows)].sum()))
    return best


def small_side(role: str) -> st.SearchStrategy[list[Candidate]]:
    skill = st.sampled_from(["x", "y", "z"])
    one = st.builds(
        person,
        role=st.just(role),
        key=st.just("unset"),
        capacity=st.integers(0, 2),
        motivation=st.integers(1, 2),
        offers=st.dictionaries(skill, st.integers(1, 2), max_size=2),
        wants=st.dictionaries(skill, st.tuples(st.just(2), st.integers(1, 2)), max_size=2),
    )
    return st.lists(one, min_size=1, max_size=4).map(
        lambda side: [replace(c, id=f"{role}{k}") for k, c in enumerate(side)]
    )


@settings(deadline=None, max_examples=150)
@given(small_side("mentor"), small_side("mentee"), st.data())
def test_solve_when_capacities_and_pins_vary_reaches_the_optimum_of_trying_all(mentors, mentees, data):
    table = table_of(mentors, mentees)
    if len(table.score) > 11:
        table = table_of(mentors[:3], mentees[:3])
    rows = range(len(table.score))
    pinned = data.draw(st.frozensets(st.sampled_from(rows), max_size=2)) if rows else frozenset()
    pins = [(table.mentors[table.mentor[row]].id, table.mentees[table.mentee[row]].id) for row in pinned]
    best = best_by_trying_all(table, pinned)
    if best is None:
        with pytest.raises(InputError) as caught:
            solve(table, pins)
        assert caught.value.code == "pin_over_capacity"
        return
    solution = solve(table, pins)
    assert_keeps_capacities(table, solution)
    assert (
        solution.total_score
        == best
        == sum(table.scored()[pair.mentor_id, pair.mentee_id] for pair in solution.pairs)
    )
    assert {(pair.mentor_id, pair.mentee_id) for pair in solution.pairs if pair.pinned} == set(pins)
    assert len(pairs_of(solution)) == len(solution.pairs)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_solve_when_everybody_takes_one_agrees_with_the_assignment_solver_of_scipy(seed):
    table = table_of(*crowd(seed, 150))
    dense = np.zeros((len(table.mentees), len(table.mentors)), dtype=np.int64)
    dense[table.mentee, table.mentor] = table.score
    assert 2_000 < len(table.score) < dense.size
    assert solve(table).total_score == int(dense[linear_sum_assignment(dense, maximize=True)].sum())


@pytest.mark.parametrize("seed", [4, 5])
def test_solve_when_people_take_several_agrees_with_a_linear_programme(seed):
    table = table_of(*crowd(seed, 60, capacity=3))
    count = len(table.score)
    limits = coo_array(
        (
            np.ones(2 * count),
            (np.concatenate([table.mentor, len(table.mentors) + table.mentee]), np.tile(np.arange(count), 2)),
        )
    )
    capacities = [c.capacity for c in (*table.mentors, *table.mentees)]
    # The matrix is totally unimodular, so the optimum of the relaxation is one of whole pairs.
    relaxed = linprog(-table.score, A_ub=limits.tocsr(), b_ub=capacities, bounds=(0, 1))
    solution = solve(table)
    assert_keeps_capacities(table, solution)
    assert solution.total_score == round(-relaxed.fun)


def test_solve_when_greedy_would_lose_takes_the_better_sum():
    mentors = [person("mentor", "a1", offers={"x": 4, "y": 4}), person("mentor", "a2", offers={"x": 4})]
    mentees = [
        person("mentee", "b1", wants={"x": (4, 1), "y": (4, 1)}),
        person("mentee", "b2", wants={"y": (4, 1)}),
    ]
    assert pairs_of(solve(table_of(mentors, mentees))) == {("a2", "b1"), ("a1", "b2")}


@pytest.mark.parametrize(("mentors", "mentees"), [([], []), ([person("mentor", "a")], [])])
def test_solve_when_nobody_can_be_paired_gives_no_pairs(mentors, mentees):
    solution = solve(table_of(mentors, mentees))
    assert (solution.pairs, solution.total_score, solution.proved) == ((), 0, True)


# --- the same answer on every run --------------------------------------------------------------------------


@pytest.mark.parametrize("alike", [False, True], ids=["mixed", "all-tied"])
def test_solve_when_input_is_shuffled_gives_the_same_pairs(alike):
    mentors, mentees = crowd(7, 40, capacity=2)
    if alike:
        mentors = [person("mentor", c.id) for c in mentors]
        mentees = [person("mentee", c.id) for c in mentees]
    pins = [("a3", "b3"), ("a4", "b4")] if alike else []
    first = solve(table_of(mentors, mentees), pins)
    for seed in range(5):
        rng = random.Random(seed)
        rng.shuffle(mentors)
        rng.shuffle(mentees)
        assert solve(table_of(mentors, mentees), pins[::-1]).pairs == first.pairs


def test_solve_when_all_tie_is_decided_by_ids_and_not_by_their_order():
    mentors, mentees = ([person(role, f"{role}{k:02}") for k in range(30)] for role in ("mentor", "mentee"))
    pairs = pairs_of(solve(table_of(mentors, mentees)))
    assert len(pairs) == 30
    assert sum(a[-2:] == b[-2:] for a, b in pairs) < 10


def test_solve_when_somebody_without_any_allowed_pair_joins_changes_nothing_else():
    mentors, mentees = crowd(8, 40)
    before = solve(table_of(mentors, mentees))
    newcomers = [person("mentor", f"0-{k}", rank=9) for k in range(30)]
    table = table_of([*newcomers, *mentors], [person("mentee", "0", languages=frozenset({"fi"})), *mentees])
    after = solve(table)
    assert pairs_of(after) == pairs_of(before)
    assert after.total_score == before.total_score


def test_solve_when_python_hashes_differ_between_processes_gives_the_same_pairs():
    code = (
        "from tests.unit.test_matching_solver import crowd, solve, table_of;"
        "print([(p.mentor_id, p.mentee_id) for p in solve(table_of(*crowd(9, 25))).pairs])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
    assert "a" in outputs.pop()


def test_find_flow_when_all_tie_do_not_depend_on_the_order_of_the_arcs():
    mentors, mentees = ([person(role, f"{role}{k}") for k in range(30)] for role in ("mentor", "mentee"))
    table = table_of(mentors, mentees)
    keys, ones = table.problem.key(table.mentor, table.mentee), np.ones(30, dtype=np.int64)
    found = []
    for order in (np.arange(len(keys)), np.arange(len(keys))[::-1]):
        graph = Graph(keys[order], table.mentor[order], table.mentee[order], table.score[order])
        found.append(set(graph.key[find_flow(table.problem, graph, ones, ones)].tolist()))
    assert found[0] == found[1]


@pytest.mark.parametrize("nodes", [61, 4_001, 40_001, 1_000_000])
def test_decisive_gains_when_pairs_tie_never_outweigh_one_point(nodes):
    table = table_of(*([person(role, f"{role}{k}") for k in range(30)] for role in ("mentor", "mentee")))
    most = nodes // 2
    graph = Graph.of(table.problem, [table.problem.key(table.mentor, table.mentee)], [table.score])
    gain = _decisive_gains(table.problem, graph, 0, nodes=nodes, most=most)
    unit = gain.min() // table.score[0]
    assert most * (gain.max() - gain.min()) < unit
    assert gain.max() * (nodes + 1) < 2**63
    assert (len(set(gain.tolist())) > 100) == (nodes < 10_000)


# --- pins --------------------------------------------------------------------------------------------------


def test_solve_when_pin_breaks_hard_rules_lists_each_rule_and_pairs_nobody():
    mentors = [person("mentor", "a1", rank=7, languages=frozenset({"fi"})), person("mentor", "a2")]
    mentees = [person("mentee", "b1"), person("mentee", "b2")]
    table = table_of(mentors, mentees, blocked=[("a2", "b2")])
    with pytest.raises(InputError) as caught:
        solve(table, [("a2", "b1"), ("a1", "b1"), ("a2", "b2"), ("gone", "b1")])
    assert caught.value.code == "pin_not_allowed"
    assert caught.value.details["pins"] == [
        {"mentor": "a1", "mentee": "b1", "failed": ["no_junior", "language"]},
        {"mentor": "a2", "mentee": "b2", "failed": ["blocked"]},
        {"mentor": "gone", "mentee": "b1", "failed": ["not_taking_part"]},
    ]


def test_solve_when_pins_are_more_than_places_names_the_people():
    mentors = [person("mentor", "a1")]
    mentees = [person("mentee", "b1"), person("mentee", "b2", capacity=0)]
    with pytest.raises(InputError) as caught:
        solve(table_of(mentors, mentees), [("a1", "b1"), ("a1", "b2")])
    assert caught.value.details == {"people": ["a1", "b2"]}


def test_solve_when_pin_is_the_worse_choice_still_keeps_it_and_fills_the_rest_best():
    mentors = [person("mentor", "a1", offers={"x": 4}), person("mentor", "a2", offers={"x": 1})]
    mentees = [person("mentee", "b1", wants={"x": (4, 1)}), person("mentee", "b2", wants={"x": (1, 1)})]
    table = table_of(mentors, mentees)
    free, pinned = solve(table), solve(table, [("a2", "b1"), ("a2", "b1")])
    assert pairs_of(free) == {("a1", "b1"), ("a2", "b2")}
    assert pairs_of(pinned) == {("a2", "b1"), ("a1", "b2")}
    assert [pair.pinned for pair in pinned.pairs] == [True, False]
    assert pinned.total_score < free.total_score


def test_solve_when_pinned_people_have_more_places_do_not_meet_each_other_twice():
    mentors, mentees = [person("mentor", "a", capacity=2)], [person("mentee", "b", capacity=2)]
    assert len(solve(table_of(mentors, mentees), [("a", "b")]).pairs) == 1


# --- reasons -----------------------------------------------------------------------------------------------


def reasons(mentors, mentees, **known) -> dict[str, Unmatched]:
    table = table_of(mentors, mentees, **known)
    return {left.person_id: left for left in explain_unmatched(table.problem, solve(table))}


@pytest.mark.parametrize(
    ("changes", "known", "reason"),
    [
        ({"wants": {"chess": (1, 1)}}, {}, "no_candidate_skill"),
        ({"wants": {}}, {}, "no_candidate_skill"),
        ({"rank": 1}, {}, "no_junior"),
        ({"manager_id": "boss"}, {}, "same_team"),
        ({"languages": frozenset({"fi"})}, {}, "language"),
        ({}, {"reporting": {"a1": "b1", "a2": "a1"}}, "reporting_line"),
        ({}, {"blocked": [("a1", "b1"), ("b1", "a2")]}, "blocked"),
    ],
)
def test_explain_unmatched_when_one_rule_removes_everybody_names_and_counts_it(changes, known, reason):
    mentors = [person("mentor", f"a{k}", manager_id="boss", offers={"ai": 4}) for k in (1, 2)]
    found = reasons(mentors, [person("mentee", "b1", **changes)], **known)["b1"]
    assert (found.role, found.reason) == ("mentee", reason)
    assert found.details["removed_by"] == found.details["removed_only_by"] == {reason: 2}
    assert (found.details["candidates"], found.details["admissible"]) == (2, 0)


def test_explain_unmatched_when_hours_never_meet_says_hours():
    mentors, mentees = [person("mentor", "a", hours=0b1111)], [person("mentee", "b", hours=0b1111 << 4)]
    table = Table(mentors, mentees, reporting={})
    assert [left.reason for left in explain_unmatched(table.problem, solve(table))] == ["hours", "hours"]


def test_explain_unmatched_when_rules_overlap_counts_what_each_removes_alone():
    mentors = [
        person("mentor", "a1", languages=frozenset({"fi"})),
        person("mentor", "a2", languages=frozenset({"fi"}), rank=9),
        person("mentor", "a3", rank=9),
        person("mentor", "a4", rank=9, offers={}),
        person("mentor", "b1", rank=9),
    ]
    table = table_of(mentors, [person("mentee", "b1")])
    found = explain_unmatched(table.problem, solve(table))[0]
    details = found.details
    assert (found.person_id, found.role) == ("b1", "mentee")
    assert details["candidates"] == 4
    assert details["removed_by"] == {"no_candidate_skill": 1, "no_junior": 3, "language": 2}
    assert details["removed_only_by"] == {"no_junior": 1, "language": 1}
    assert found.reason == "no_junior"


def test_explain_unmatched_when_common_faults_hide_others_names_the_one_that_alone_would_help():
    fully_barred = {"languages": frozenset({"fi"}), "manager_id": "boss"}
    mentors = [person("mentor", "a1", rank=9), *(person("mentor", f"a{k}", **fully_barred) for k in (2, 3))]
    found = reasons(mentors, [person("mentee", "b1", manager_id="boss")])["b1"]
    assert found.details["removed_by"] == {"no_junior": 1, "same_team": 2, "language": 2}
    assert found.reason == "no_junior"


def test_explain_unmatched_when_nothing_alone_would_help_names_what_removes_the_most():
    finn = frozenset({"fi"})
    mentors = [
        person("mentor", "a1", languages=finn, offers={}),
        person("mentor", "a2", languages=finn, rank=9),
    ]
    assert reasons(mentors, [person("mentee", "b1")])["b1"].reason == "language"


def test_explain_unmatched_when_partners_are_taken_names_the_best_and_how_many_others_were_allowed():
    mentors = [
        person("mentor", "a1", offers={"ai": 3}, motivation=5),
        person("mentor", "a2", offers={"go": 3}),
    ]
    mentees = [person("mentee", f"b{k}", motivation=k) for k in (1, 2, 3)]
    found = reasons(mentors, mentees)
    assert set(found) == {"a2", "b1", "b2"}
    assert found["b1"].reason == "capacity_taken"
    table = table_of(mentors, mentees)
    score = table.scored()["a1", "b1"]
    missing = table.scored()["a1", "b3"] - score
    best = {"id": "a1", "score": score, "others": 2, "short": missing}
    assert found["b1"].details["best"] == best
    assert found["b1"].details["change"] == {"kind": "capacity", "person": "a1"}
    assert found["b1"].details["skills"] == [{"skill": "ai", "want": 3, "offer": 1, "places": 1}]
    assert found["a2"].reason == "no_candidate_skill"
    assert found["a2"].details["skills"] == [{"skill": "go", "want": 0, "offer": 1, "places": 1}]


def test_explain_unmatched_when_other_side_is_empty_says_so():
    assert reasons([], [person("mentee", "b")])["b"].reason == "nobody_there"
    assert reasons([person("mentor", "x")], [person("mentee", "x")])["x"].reason == "nobody_there"


def test_explain_unmatched_when_person_has_no_place_left_is_silent():
    assert reasons([person("mentor", "a", capacity=0)], [person("mentee", "b")]).keys() == {"b"}


def test_explain_unmatched_when_the_crowd_is_large_covers_everybody_left_out_truthfully():
    mentors, mentees = crowd(11, 80, skills=150)
    table = table_of(mentors[:50], mentees)
    solution = solve(table)
    found = explain_unmatched(table.problem, solution)
    matched = pairs_of(solution)
    left = {c.id for c in (*table.mentors, *table.mentees)} - {one for pair in matched for one in pair}
    assert {one.person_id for one in found} == left
    assert {one.reason for one in found} >= {"capacity_taken", "no_candidate_skill"}
    for one in found:
        assert json.loads(json.dumps(one.details)) == one.details
        assert (one.reason == "capacity_taken") == (one.details["admissible"] > 0) == ("best" in one.details)
        if "best" in one.details:
            # With positive points only, nobody is left out next to an allowed partner who is free.
            assert one.details["best"]["id"] not in left


def test_compare_skills_when_levels_differ_sorts_by_priority():
    wanter = person("mentee", "b", wants={"x": (3, 2), "y": (3, 1), "z": (1, 1), "u": (0, 3), "v": (0, 3)})
    offerer = person("mentor", "a", offers={"x": 3, "y": 2, "z": 4, "u": 0, "v": 1})
    assert compare_skills(wanter, offerer) == {
        "covered": [("z", 1, 4), ("x", 3, 3), ("v", 0, 1)],
        "partly": [("y", 3, 2)],
        "uncovered": [("u", 0, 0)],
    }
