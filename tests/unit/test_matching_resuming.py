"""A matching that begins with what an earlier one found: only what changed is looked at anew."""

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmplugin.matching import kernels, resuming, solver
from rmplugin.matching.columns import Problem, build
from rmplugin.matching.pairs import find_bars, find_points
from rmplugin.matching.proofs import Proof
from rmplugin.matching.resuming import resume
from rmplugin.matching.scoring import Candidate, Rules, Weights
from rmplugin.matching.synthetic import Company, make_company

SIZE = 90


@pytest.fixture(autouse=True)
def large(monkeypatch):
    """Make the solver treat a small pool like a very large one."""
    monkeypatch.setattr(solver, "CELLS_IN_FULL", 0)
    monkeypatch.setattr(solver, "FIRST_PER_PERSON", 3)
    monkeypatch.setattr(resuming, "PAIRS_PER_CHANGE", 3)
    monkeypatch.setattr(solver, "MORE_PER_ROUND", 1)
    monkeypatch.setattr(resuming, "MOST_CHANGED", 1)
    monkeypatch.setattr(kernels, "CELLS_PER_BLOCK", 1_000)


# What a pair earns or loses by a wish or an earlier proposal would hide mistakes if it were small.
HEAVY = Weights(wishes=200_000, kept=100_000)


def problem_of(company: Company, **known) -> Problem:
    return build(company.mentors, company.mentees, **({"reporting": company.reporting} | known))


def change(company: Company, seed: int) -> Company:
    """Some leave, some come, some have other skills; rows move on both sides."""
    rng = random.Random(seed)
    others = make_company(SIZE, seed + 100)

    def side(old: list[Candidate], new: list[Candidate]) -> list[Candidate]:
        stay = rng.sample(old, SIZE - 6)
        changed = [replace(one, offers=new[k].offers, wants=new[k].wants) for k, one in enumerate(stay[:6])]
        come = [replace(one, id=f"newcomer-{one.id}") for one in new[:5]]
        return [*come, *stay[6:], *changed]

    return Company(
        side(company.mentors, others.mentors), side(company.mentees, others.mentees), company.reporting
    )


@pytest.mark.parametrize("kernel", ["numpy", pytest.param("numba", marks=pytest.mark.part("numba"))])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_resume_when_people_come_go_and_change_leads_to_the_same_pairs_as_a_fresh_start(seed, kernel):
    before = make_company(SIZE, seed, 2)
    earlier = problem_of(before)
    found = solver.solve(earlier)
    problem = problem_of(change(before, seed))
    start = resume(problem, earlier, found, kernel=kernel)[0]
    assert solver.solve(problem, start=start).pairs == solver.solve(problem).pairs
    assert (find_bars(problem, start.mentor, start.mentee) == 0).all()
    points = sum(find_points(problem, start.mentor, start.mentee).values())
    assert (points == start.score).all()
    assert len(start) > SIZE * 3, "hardly anything was taken over"


def test_resume_when_wishes_blocks_and_reporting_lines_change_takes_over_no_pair_as_it_was():
    company = make_company(SIZE, 4)
    earlier = problem_of(company)
    found = solver.solve(earlier)
    wished, blocked, above, dotted = ((pair.mentor_id, pair.mentee_id) for pair in found.pairs[:40:10])
    problem = problem_of(
        company,
        wishes=[(*wished, 1)],
        blocked=[blocked],
        dotted=[dotted],
        reporting={**company.reporting, above[0]: above[1]},
    )
    start = resume(problem, earlier, found)[0]
    keys = {pair: int(problem.key(*problem.rows(*pair))) for pair in (wished, blocked, above, dotted)}
    assert keys[wished] in start.key
    assert not np.isin([keys[blocked], keys[above], keys[dotted]], start.key).any()
    points = sum(find_points(problem, start.mentor, start.mentee).values())
    assert (points == start.score).all()
    again = resume(earlier, problem, solver.solve(problem, start=start))[0]
    assert (again.score == sum(find_points(earlier, again.mentor, again.mentee).values())).all()


def test_resume_when_nothing_changed_takes_over_everything_and_needs_one_round():
    earlier = problem_of(make_company(SIZE, 5))
    found = solver.solve(earlier)
    again = solver.solve(earlier, start=resume(earlier, earlier, found)[0])
    assert again.pairs == found.pairs
    assert again.rounds == 1 < found.rounds


def test_resume_when_rules_are_others_refuses_instead_of_keeping_old_scores():
    company = make_company(20, 6)
    earlier = problem_of(company)
    found = solver.solve(earlier)
    with pytest.raises(ValueError, match="every pair"):
        resume(problem_of(company, rules=Rules(min_rank_gap=2)), earlier, found)


# --- the proof ----------------------------------------------------------------------------------------------


def check(problem: Problem, proof: Proof) -> None:
    """Hold every allowed pair against the prices: all that pairs exceed them by has to be counted."""
    excess = np.zeros(len(problem.mentees), dtype=np.int64)
    for pair in solver.all_pairs(problem):
        price = proof.prices[pair.mentor] + proof.mentee_prices[pair.mentee]
        excess[pair.mentee] += max(0, pair.score - int(price))
    assert (proof.prices >= 0).all()
    assert (proof.mentee_prices >= 0).all()
    assert (proof.over >= excess).all()


def whole_total(monkeypatch, problem: Problem, pins=()) -> int:
    """Find the optimum over all allowed pairs at once."""
    with monkeypatch.context() as patch:
        patch.setattr(solver, "CELLS_IN_FULL", 10**9)
        return solver.solve(problem, pins).total_score


@st.composite
def singles(draw, company: Company) -> dict:
    """Draw what is known about single pairs, and who reports to whom."""
    mentor = st.sampled_from([one.id for one in company.mentors])
    mentee = st.sampled_from([one.id for one in company.mentees])
    pairs = st.lists(st.tuples(mentor, mentee), max_size=12)
    anybody = mentor | mentee
    return {
        "wishes": draw(st.lists(st.tuples(mentor, mentee, st.integers(1, 5)), max_size=8)),
        "kept": draw(pairs),
        "blocked": draw(pairs),
        "dotted": draw(pairs),
        "reporting": {**company.reporting, **draw(st.dictionaries(anybody, anybody, max_size=6))},
        "weights": HEAVY,
    }


@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_proof_when_anything_changes_counts_every_pair_above_its_price(data):
    before = make_company(SIZE, data.draw(st.integers(1, 3)), 3)
    earlier = problem_of(before, **data.draw(singles(before)))
    found = solver.solve(earlier, tolerance=data.draw(st.sampled_from([0.0, 0.01])))
    after = change(before, data.draw(st.integers(1, 50))) if data.draw(st.booleans()) else before
    problem = problem_of(after, **data.draw(singles(after)))
    start, proof = resume(problem, earlier, found)
    assert proof is not None
    check(problem, proof)
    best = solver.solve(problem, start=start).total_score
    assert best <= proof.bound(problem.mentors.capacity, problem.mentees.capacity)


@pytest.mark.parametrize("kernel", ["numpy", pytest.param("numba", marks=pytest.mark.part("numba"))])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_solve_when_a_proof_is_taken_over_walks_nowhere_and_stays_within_its_bound(monkeypatch, seed, kernel):
    company = make_company(SIZE, seed, 2)
    earlier = problem_of(company)
    found = solver.solve(earlier, tolerance=0.001)
    for generation in range(3):
        # One of a hundred has other skills to offer; each time the proof of the last one goes on.
        mentors = list(company.mentors)
        other = make_company(1, seed + 10 + generation).mentors[0]
        mentors[generation] = replace(mentors[generation], offers=other.offers)
        company = Company(mentors, company.mentees, company.reporting)
        problem = problem_of(company)
        start, proof = resume(problem, earlier, found, kernel=kernel)
        with monkeypatch.context() as patch:
            patch.setattr(kernels, "walk", None)
            found = solver.solve(problem, start=start, proof=proof, tolerance=0.05, kernel=kernel)
        best = whole_total(monkeypatch, problem)
        assert found.rounds == 1
        assert 0.95 * found.bound <= found.total_score <= best <= found.bound
        check(problem, found.proof)
        earlier = problem


@pytest.mark.parametrize("seed", [1, 2])
def test_solve_when_the_proof_leaves_too_much_open_goes_on_to_the_optimum(monkeypatch, seed):
    before = make_company(SIZE, seed, 2)
    earlier = problem_of(before)
    problem = problem_of(change(before, seed))
    start, proof = resume(problem, earlier, solver.solve(earlier))
    found = solver.solve(problem, start=start, proof=proof)
    assert found.proved
    assert found.rounds > 1
    assert found.pairs == solver.solve(problem).pairs
    assert found.total_score == whole_total(monkeypatch, problem)


def test_proof_when_pins_go_and_come_counts_pairs_that_were_decided_before(monkeypatch):
    company = make_company(SIZE, 7, 2)
    problem = problem_of(company)
    free = solver.solve(problem)
    pins = [(pair.mentor_id, pair.mentee_id) for pair in free.pairs[::9]]
    bad = min(solver.all_pairs(problem), key=lambda pair: (pair.score, pair.mentee))
    found = solver.solve(problem, [*pins, (bad.mentor_id, bad.mentee_id)])
    start, proof = resume(problem, problem, found)
    check(problem, proof)
    assert proof.bound(problem.mentors.capacity, problem.mentees.capacity) >= free.total_score
    again = solver.solve(problem, pins[:3], start=start, proof=proof, tolerance=0.2)
    assert again.total_score <= whole_total(monkeypatch, problem, pins[:3]) <= again.bound
    assert {(pair.mentor_id, pair.mentee_id) for pair in again.pairs}.issuperset(pins[:3])


def test_proof_when_nothing_changed_is_as_good_as_it_was():
    problem = problem_of(make_company(SIZE, 5, 2))
    found = solver.solve(problem)
    start, proof = resume(problem, problem, found)
    places = problem.mentors.capacity, problem.mentees.capacity
    assert proof.bound(*places) == found.proof.bound(*places) == found.bound == found.total_score
    assert solver.solve(problem, start=start, proof=proof).pairs == found.pairs


def test_resume_when_more_than_a_tenth_changed_takes_over_no_proof(monkeypatch):
    monkeypatch.setattr(resuming, "MOST_CHANGED", 0.1)
    before = make_company(SIZE, 8)
    earlier = problem_of(before)
    found = solver.solve(earlier)
    assert resume(problem_of(change(before, 8)), earlier, found)[1] is None
    assert resume(earlier, earlier, found)[1] is not None


class Friends:
    """A plug-in whose answer a proof cannot know to be the one of an earlier day."""

    key, title, most = "friends", "Friends", 5

    def points(self, mentor, _mentee):
        return np.full(len(mentor["id"]), 3)

    def allows(self, *_pair):
        return None


def test_resume_when_plug_ins_have_a_say_takes_over_pairs_and_no_proof():
    problem = problem_of(make_company(SIZE, 9), criteria=[Friends()])
    start, proof = resume(problem, problem, solver.solve(problem))
    assert proof is None
    assert len(start)


def test_resume_when_everybody_stands_in_one_line_takes_over_no_proof(monkeypatch):
    monkeypatch.setattr(resuming, "MOST_IN_LINE", 5)
    problem = problem_of(make_company(SIZE, 10))
    assert resume(problem, problem, solver.solve(problem))[1] is None
