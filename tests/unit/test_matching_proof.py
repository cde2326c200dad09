"""The proof over all pairs: few pairs at first, prices, both kernels, three objectives, what plug-ins add."""

import random
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from rmplugin.matching import kernels, solver
from rmplugin.matching.columns import build
from rmplugin.matching.explaining import explain_unmatched
from rmplugin.matching.flows import Graph, push_most
from rmplugin.matching.scoring import Candidate, Rules, Weights
from rmplugin.matching.solver import OBJECTIVES, worst_scores
from rmplugin.matching.surveys import shake, survey
from rmplugin.matching.synthetic import make_company
from tests.factories.tables import Table
from tests.unit.test_matching_solver import crowd, person, table_of

numba = pytest.mark.part("numba")


@pytest.fixture
def large(monkeypatch):
    """Make the solver treat a small pool like one of a hundred thousand people."""
    monkeypatch.setattr(solver, "CELLS_IN_FULL", 0)
    monkeypatch.setattr(solver, "FIRST_PER_PERSON", 1)
    monkeypatch.setattr(solver, "MORE_PER_ROUND", 1)
    monkeypatch.setattr(solver, "MOST_ROUNDS", 1_000)
    monkeypatch.setattr(kernels, "CELLS_PER_BLOCK", 64)


def ids(solution) -> set[tuple[str, str]]:
    return {(pair.mentor_id, pair.mentee_id) for pair in solution.pairs}


# --- the proof over all pairs ------------------------------------------------------------------------------


@pytest.mark.parametrize("capacity", [1, 3])
@pytest.mark.parametrize("seed", [21, 22, 23])
def test_solve_when_the_pool_counts_as_large_reaches_the_optimum_of_all_pairs(
    large, monkeypatch, seed, capacity
):
    table = table_of(*crowd(seed, 60, capacity=capacity))
    found = solver.solve(table.problem)
    monkeypatch.setattr(solver, "CELLS_IN_FULL", 10**9)
    whole = solver.solve(table.problem)
    assert found.proved
    assert found.gap == 0.0
    assert found.total_score == whole.total_score
    assert found.rounds > 1, "the first pairs would have been enough, so nothing was tested"
    assert len(found.graph) < len(whole.graph)


@pytest.mark.parametrize("objective", ["total", "fair"])
def test_solve_when_told_to_reports_each_round_down_to_the_proof(large, objective):
    rounds = []
    table = table_of(*crowd(21, 60))
    found = solver.solve(table.problem, objective=objective, progress=lambda *round_: rounds.append(round_))
    numbers, gaps = zip(*rounds, strict=True)
    last = numbers[-found.rounds :]
    assert last == tuple(range(1, found.rounds + 1))
    assert all(0 <= gap <= 1 for gap in gaps)
    assert gaps[0] > gaps[-1] == 0.0
    assert ids(found) == ids(solver.solve(table.problem, objective=objective))


@pytest.mark.parametrize("seed", [1, 2])
def test_solve_when_part_may_stay_open_tells_a_bound_that_holds(large, seed):
    table = table_of(*crowd(seed, 60))
    exact = solver.solve(table.problem)
    rough = solver.solve(table.problem, tolerance=0.2)
    assert rough.rounds < exact.rounds
    assert rough.total_score <= exact.total_score <= rough.bound
    assert rough.gap <= 0.2
    assert rough.proved == (rough.bound == rough.total_score)


def test_solve_when_400_take_one_each_agrees_with_the_assignment_solver_of_scipy(large, monkeypatch):
    monkeypatch.setattr(solver, "FIRST_PER_PERSON", 5)
    table = table_of(*crowd(31, 400, skills=60))
    dense = np.zeros((400, 400), dtype=np.int64)
    dense[table.mentee, table.mentor] = table.score
    best = int(dense[linear_sum_assignment(dense, maximize=True)].sum())
    found = solver.solve(table.problem)
    assert (found.total_score, found.proved) == (best, True)


def test_solve_when_an_earlier_graph_is_the_start_comes_to_the_same_total(large):
    mentors, mentees = crowd(5, 50)
    first = solver.solve(table_of(mentors, mentees).problem)
    again = solver.solve(table_of(mentors, mentees).problem, start=first.graph)
    assert again.total_score == first.total_score
    assert again.rounds == 1


def test_solve_when_pins_are_there_and_the_pool_is_large_keeps_them_once(large):
    table = table_of(*crowd(6, 30, capacity=2))
    pair = min(table.scored(), key=lambda key: (table.scored()[key], key))
    found = solver.solve(table.problem, [pair])
    assert pair in ids(found)
    assert len(ids(found)) == len(found.pairs)
    assert found.proved
    assert found.total_score <= solver.solve(table.problem).total_score


# --- kernels -----------------------------------------------------------------------------------------------


def blocks(problem, kernel, threads=1):
    return [
        (block.low, block.starts.tolist(), block.mentor.tolist(), block.score.tolist())
        for block in kernels.walk(problem, kernel=kernel, threads=threads)
    ]


@numba
@pytest.mark.parametrize(
    "known", [{}, {"wishes": [("a1", "b1", 2)], "kept": [("a2", "b2")], "blocked": [("a3", "b3")]}]
)
def test_walk_when_either_kernel_counts_gives_the_same_arrays(monkeypatch, known):
    monkeypatch.setattr(kernels, "CELLS_PER_BLOCK", 500)
    problem = build(
        *crowd(41, 70, skills=40), reporting={"a1": "b7"}, rules=Rules(min_common_minutes=0), **known
    )
    assert blocks(problem, "numba") == blocks(problem, "numpy")


@numba
@pytest.mark.parametrize(
    "rules",
    [
        Rules(),
        Rules(bar_same_department=True, needs_language=False, min_common_minutes=180),
        Rules(bar_same_team=False, junior_by_rank=False, min_common_minutes=0),
        Rules(junior_by_tenure=False, min_rank_gap=3),
    ],
)
def test_walk_when_any_rules_hold_keeps_the_same_pairs_in_either_kernel(monkeypatch, rules):
    monkeypatch.setattr(kernels, "CELLS_PER_BLOCK", 5_000)
    company = make_company(120, seed=5)
    # Somebody on both sides, and somebody of whom next to nothing is known.
    both = replace(company.mentees[0], role="mentor")
    stranger = Candidate("person-9", "mentor", offers=company.mentors[0].offers)
    problem = build(
        [*company.mentors, both, stranger], company.mentees, reporting=company.reporting, rules=rules
    )
    found = blocks(problem, "numba")
    assert found == blocks(problem, "numpy")
    kept = [len(mentors) for _, _, mentors, _ in found]
    assert 0 < sum(kept) < 120 * 122


@numba
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_solve_when_kernels_and_threads_differ_gives_the_same_pairs(large, objective):
    problem = table_of(*crowd(42, 60, capacity=2)).problem
    found = {
        (kernel, threads): solver.solve(problem, objective=objective, kernel=kernel, threads=threads).pairs
        for kernel, threads in product(("numpy", "numba"), (1, 4))
    }
    assert len(set(found.values())) == 1


@pytest.mark.parametrize("kernel", ["numpy", pytest.param("numba", marks=numba)])
def test_best_lists_when_scores_tie_are_those_of_sorting_everything(monkeypatch, kernel):
    monkeypatch.setattr(kernels, "CELLS_PER_BLOCK", 200)
    mentors, mentees = crowd(43, 40, skills=6)
    mentors = [replace(one, motivation=3, department="x") for one in mentors]
    mentees = [replace(one, motivation=3, department="x") for one in mentees]
    table = table_of(mentors, mentees)
    pairs = list(zip(table.mentor.tolist(), table.mentee.tolist(), table.score.tolist(), strict=True))
    best = kernels.BestPerMentor(40, 3, kernel)
    for sifted in kernels.walk(table.problem, best.sift, threads=3):
        best.add(sifted)
    found = best.result()
    by_hand = {
        (mentor, mentee)
        for mentor in range(40)
        for _, mentee, mentor in sorted((-s, j, i) for i, j, s in pairs if i == mentor)[:3]
    }
    assert set(zip(found.person.tolist(), found.other.tolist(), strict=True)) == by_hand
    nothing, most = np.zeros(40, dtype=np.int64), np.full(40, 3)
    rows = kernels.join(
        [
            kernels.best_per_mentee(block, nothing, nothing, most, kernel)
            for block in kernels.walk(table.problem)
        ]
    )
    by_hand = {
        (mentee, mentor)
        for mentee in range(40)
        for _, mentor, mentee in sorted((-s, i, j) for i, j, s in pairs if j == mentee)[:3]
    }
    assert set(zip(rows.person.tolist(), rows.other.tolist(), strict=True)) == by_hand


# --- fair and stable ---------------------------------------------------------------------------------------


def most_pairs(scored: dict, capacities: tuple[dict, dict], least: int) -> int:
    """Count by augmenting paths, without the solver's code."""
    met: dict[str, list[str]] = {}

    def try_to_place(mentor: str, seen: set[str]) -> bool:
        for (one, mentee), score in scored.items():
            if one != mentor or score < least or mentee in seen or mentor in met.get(mentee, []):
                continue
            seen.add(mentee)
            there = met.setdefault(mentee, [])
            if len(there) < capacities[1][mentee]:
                there.append(mentor)
                return True
            for k, other in enumerate(there):
                if try_to_place(other, seen):
                    there[k] = mentor
                    return True
        return False

    for mentor, places in capacities[0].items():
        for _ in range(places):
            if not try_to_place(mentor, set()):
                break
    return sum(map(len, met.values()))


@pytest.mark.parametrize("size", ["small", "as if large"])
@pytest.mark.parametrize("seed", [51, 52, 53])
def test_solve_when_fair_pairs_as_many_as_possible_and_raises_the_lowest(request, seed, size):
    if size == "as if large":
        request.getfixturevalue("large")
    table = table_of(*crowd(seed, 25, skills=30))
    scored = table.scored()
    capacities = {c.id: c.capacity for c in table.mentors}, {c.id: c.capacity for c in table.mentees}
    found = solver.solve(table.problem, objective="fair")
    most = most_pairs(scored, capacities, 1)
    assert len(found.pairs) == most
    assert min(pair.score for pair in found.pairs) >= found.least
    assert most_pairs(scored, capacities, found.least) == most
    assert most_pairs(scored, capacities, found.least + 1) < most
    assert found.proved
    assert found.total_score <= solver.solve(table.problem).total_score


def blocking_pairs(table: Table, solution) -> set[tuple[str, str]]:
    """Find people who would both rather have each other, by looking at everybody's partners."""
    worst: dict[str, int] = {}
    for side, at in ((table.mentors, "mentor_id"), (table.mentees, "mentee_id")):
        for one in side:
            scores = [pair.score for pair in solution.pairs if getattr(pair, at) == one.id]
            worst[one.id] = min(scores) if len(scores) >= one.capacity else 0
    return {
        pair
        for pair, score in table.scored().items()
        if pair not in ids(solution) and score > worst[pair[0]] and score > worst[pair[1]]
    }


@pytest.mark.parametrize("size", ["small", "as if large"])
@pytest.mark.parametrize("capacity", [1, 2])
def test_solve_when_stable_leaves_no_two_who_would_rather_have_each_other(request, size, capacity):
    if size == "as if large":
        request.getfixturevalue("large")
    table = table_of(*crowd(61, 40, capacity=capacity))
    found = solver.solve(table.problem, objective="stable")
    assert blocking_pairs(table, found) == set()
    total = solver.solve(table.problem)
    assert found.total_score <= total.total_score
    assert len(blocking_pairs(table, total)) == survey(table.problem, total).blocking > 0


def test_push_most_when_everybody_wants_the_same_one_finds_the_cut():
    table = table_of([person("mentor", f"a{k}") for k in range(3)], [person("mentee", "b")])
    graph = Graph.of(table.problem, [table.problem.key(table.mentor, table.mentee)], [table.score])
    flow = push_most(graph, np.ones(3, dtype=np.int64), np.ones(1, dtype=np.int64))
    assert flow.count == 1
    assert flow.reached_mentors.all()
    assert flow.reached_mentees.all()


# --- wishes, kept pairs, plug-ins --------------------------------------------------------------------------


def test_wishes_when_both_name_each_other_first_give_all_points_and_less_for_later_ones():
    mentors, mentees = [person("mentor", "a")], [person("mentee", "b")]
    weights = Weights(wishes=1_000)

    def points(*wishes):
        return table_of(mentors, mentees, weights=weights, wishes=wishes).contributions(0)["wishes"]

    assert points(("a", "b", 1), ("b", "a", 1)) == 1_000
    assert points(("a", "b", 1)) == 500
    assert points(("b", "a", 5)) == 100
    assert points(("a", "c", 1)) == 0


def test_wishes_when_they_name_a_barred_pair_do_not_allow_it():
    table = table_of([person("mentor", "a", rank=9)], [person("mentee", "b")], wishes=[("a", "b", 1)])
    assert len(table.score) == 0


def test_kept_pairs_when_a_run_is_done_again_keep_their_partners_for_the_bonus():
    mentors = [person("mentor", f"a{k}") for k in range(6)]
    mentees = [person("mentee", f"b{k}") for k in range(6)]
    earlier = [(f"a{k}", f"b{5 - k}") for k in range(6)]
    weights = Weights(kept=500)
    found = solver.solve(table_of(mentors, mentees, weights=weights, kept=earlier).problem)
    assert ids(found) == set(earlier)


def test_dotted_lines_when_they_connect_two_bar_the_pair_either_way():
    for pair in (("a", "b"), ("b", "a")):
        table = table_of([person("mentor", "a")], [person("mentee", "b")], dotted=[pair])
        assert table.failed["a", "b"] == ["reporting_line"]
        assert len(solver.all_pairs(table.problem)) == 0


class SameHouse:
    """A company's wish: people of one site meet more easily; those of the plant only there."""

    key, title, most = "same_house", "Both work in one house", 7_000

    def points(self, mentor, mentee):
        return (mentor["site"] == mentee["site"]).astype(np.int64) * self.most

    def allows(self, mentor, mentee):
        return (mentor["site"] != "plant") | (mentee["site"] == "plant")


def housed(seed: int, count: int):
    rng = random.Random(seed)
    return [
        [replace(one, site=rng.choice(["plant", "office", "home"])) for one in side]
        for side in crowd(seed, count)
    ]


def test_criterion_when_the_pool_is_large_counts_in_the_proof_and_takes_pairs_out(large, monkeypatch):
    mentors, mentees = housed(71, 50)
    table = table_of(mentors, mentees, criteria=[SameHouse()])
    found = solver.solve(table.problem)
    monkeypatch.setattr(solver, "CELLS_IN_FULL", 10**9)
    assert found.proved
    assert found.total_score == solver.solve(table.problem).total_score
    site = {one.id: one.site for one in (*mentors, *mentees)}
    assert all(site[a] != "plant" or site[b] == "plant" for a, b in ids(found))
    assert any(site[a] == site[b] for a, b in ids(found))
    barred = [pair for pair, failed in table.failed.items() if "criterion" in failed]
    assert barred
    assert all(site[a] == "plant" != site[b] for a, b in barred)
    assert {int(value) for value in table.factors["same_house"]} == {0, 7_000}


@pytest.mark.parametrize("wrong", [-1, 7_001, 0.5])
def test_criterion_when_it_gives_other_points_than_declared_stops_the_run(wrong):
    class Wrong(SameHouse):
        def points(self, mentor, _mentee):
            return np.full(len(mentor["id"]), wrong)

    problem = table_of(*crowd(72, 5)).problem
    with pytest.raises(ValueError, match="same_house"):
        solver.solve(replace(problem, criteria=(Wrong(),)))


# --- what is told about a solution -------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", ["numpy", pytest.param("numba", marks=numba)])
def test_survey_when_compared_with_sorting_all_lists_gives_the_same_ranks(monkeypatch, kernel):
    monkeypatch.setattr(kernels, "CELLS_PER_BLOCK", 300)
    table = table_of(*crowd(81, 40, capacity=2))
    solution = solver.solve(table.problem)
    found, scored = survey(table.problem, solution, kernel=kernel), table.scored()
    for at, pair in enumerate(solution.pairs):
        theirs = [score for (a, _), score in scored.items() if a == pair.mentor_id]
        others = [score for (_, b), score in scored.items() if b == pair.mentee_id]
        assert found.ranks[0][at] == 1 + sum(score > pair.score for score in theirs)
        assert found.ranks[1][at] == 1 + sum(score > pair.score for score in others)
        assert found.admissible[0][pair.mentor] == len(theirs)
        assert found.admissible[1][pair.mentee] == len(others)
    firsts = {b for (_, b) in scored}
    assert found.favourite[0].sum() == len(firsts)
    rows = np.array([[pair.mentor, pair.mentee, pair.score] for pair in solution.pairs]).T
    worst = [
        worst_scores(rows[k], rows[2], side.capacity)
        for k, side in enumerate((table.problem.mentors, table.problem.mentees))
    ]
    apart = set(scored) - ids(solution)
    where = {pair: table.problem.rows(*pair) for pair in apart}
    blocking = [p for p in apart if all(scored[p] > worst[k][where[p][k]] for k in (0, 1))]
    assert found.blocking == len(blocking) > 0


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000))
def test_change_for_the_unmatched_when_it_is_made_places_them(seed):
    mentors, mentees = crowd(seed, 14, skills=12)
    table = table_of(mentors, mentees)
    solution = solver.solve(table.problem)
    for left in explain_unmatched(table.problem, solution):
        change = left.details["change"]
        sides = {"mentor": {c.id: c for c in mentors}, "mentee": {c.id: c for c in mentees}}
        other = "mentor" if left.role == "mentee" else "mentee"
        me = sides[left.role][left.person_id]
        if change["kind"] == "capacity":
            one = sides[other][change["person"]]
            sides[other][one.id] = replace(one, capacity=one.capacity + 1)
        elif change["kind"] == "language" and change["free"]:
            sides[left.role][me.id] = replace(me, languages=me.languages | {change["language"]})
        elif change["kind"] == "skill" and change["free"]:
            name = change["skill"]
            more = (
                {"offers": {**me.offers, name: 1}}
                if me.role == "mentor"
                else {"wants": {**me.wants, name: (1, 3)}}
            )
            sides[left.role][me.id] = replace(me, **more)
        else:
            continue
        after = table_of(list(sides["mentor"].values()), list(sides["mentee"].values()))
        now_allowed = {pair for pair in after.scored() if left.person_id in pair}
        free = {c.id: c.capacity for side in sides.values() for c in side.values()}
        for pair in ids(solution):
            for one in pair:
                free[one] -= 1
        assert any(all(free[one] > 0 for one in pair) for pair in now_allowed), (left, change)


def test_change_for_somebody_who_leads_everybody_is_not_one_more_colleague():
    mentors = [person("mentor", f"a{k}", manager_id="b") for k in range(3)]
    table = table_of(mentors, [person("mentee", "b")], reporting={f"a{k}": "b" for k in range(3)})
    (left,) = [
        one for one in explain_unmatched(table.problem, solver.solve(table.problem)) if one.role == "mentee"
    ]
    assert (left.reason, left.details["change"]) == ("reporting_line", None)


def test_shake_when_one_pair_is_far_better_says_that_it_stays():
    mentors = [person("mentor", "a1", offers={"x": 4, "y": 4}), person("mentor", "a2", offers={"z": 1})]
    mentees = [
        person("mentee", "b1", wants={"x": (4, 1), "y": (4, 1)}),
        person("mentee", "b2", wants={"z": (4, 1)}),
    ]
    table = table_of(mentors, mentees)
    assert shake(table.problem, solver.solve(table.problem)) == [100, 100]


def test_worst_scores_when_a_place_is_free_ask_nothing():
    worst = worst_scores(np.array([0, 0, 1]), np.array([5, 3, 4]), np.array([2, 2, 1]))
    assert worst[:2].tolist() == [3, 0]
