"""A matching that begins with what an earlier one found: only what changed is looked at anew."""

import random
from dataclasses import replace

import numpy as np
import pytest

from rmplugin.matching import kernels, resuming, solver
from rmplugin.matching.columns import Problem, build
from rmplugin.matching.pairs import find_bars, find_points
from rmplugin.matching.resuming import resume
from rmplugin.matching.scoring import Candidate, Rules
from rmplugin.matching.synthetic import Company, make_company

SIZE = 90


@pytest.fixture(autouse=True)
def large(monkeypatch):
    """Make the solver treat a small pool like a very large one."""
    monkeypatch.setattr(solver, "CELLS_IN_FULL", 0)
    monkeypatch.setattr(solver, "FIRST_PER_PERSON", 3)
    monkeypatch.setattr(resuming, "PAIRS_PER_CHANGE", 3)
    monkeypatch.setattr(solver, "MORE_PER_ROUND", 1)
    monkeypatch.setattr(kernels, "CELLS_PER_BLOCK", 1_000)


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
    start = resume(problem, earlier, found.graph, kernel=kernel)
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
    start = resume(problem, earlier, found.graph)
    keys = {pair: int(problem.key(*problem.rows(*pair))) for pair in (wished, blocked, above, dotted)}
    assert keys[wished] in start.key
    assert not np.isin([keys[blocked], keys[above], keys[dotted]], start.key).any()
    points = sum(find_points(problem, start.mentor, start.mentee).values())
    assert (points == start.score).all()
    again = resume(earlier, problem, start)
    assert (again.score == sum(find_points(earlier, again.mentor, again.mentee).values())).all()


def test_resume_when_nothing_changed_takes_over_everything_and_needs_one_round():
    earlier = problem_of(make_company(SIZE, 5))
    found = solver.solve(earlier)
    again = solver.solve(earlier, start=resume(earlier, earlier, found.graph))
    assert again.pairs == found.pairs
    assert again.rounds == 1 < found.rounds


def test_resume_when_rules_are_others_refuses_instead_of_keeping_old_scores():
    company = make_company(20, 6)
    earlier = problem_of(company)
    graph = solver.solve(earlier).graph
    with pytest.raises(ValueError, match="every pair"):
        resume(problem_of(company, rules=Rules(min_rank_gap=2)), earlier, graph)
