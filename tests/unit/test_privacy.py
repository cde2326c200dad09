"""Disclosure control: what is shown never gives away what is hidden."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmplugin.privacy import (
    LEAST_FOR_COUNT,
    LEAST_FOR_MEAN,
    Mean,
    in_steps,
    may_show,
    safe_count,
    safe_counts,
    safe_mean,
    safe_means,
    safe_tally,
)

CELLS = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 30), min_size=1)
SCALE = st.integers(1, 5)


@pytest.mark.parametrize(("n", "shown"), [(0, 0), (1, None), (4, None), (5, 5), (200, 200)])
def test_count_when_one_to_four_is_hidden(n, shown):
    assert safe_count(n) == shown


@given(st.integers(0, 200))
def test_steps_when_one_more_is_counted_move_five_at_a_time(n):
    shown, then = in_steps(n), in_steps(n + 1)
    assert (shown is None) == (n in range(1, LEAST_FOR_COUNT))
    if shown is not None:
        assert 0 <= n - shown < LEAST_FOR_COUNT
        assert then is None or then - shown in (0, LEAST_FOR_COUNT)


@given(CELLS)
def test_counts_when_shown_are_true_and_never_one_to_four(cells):
    counts = safe_counts(cells)
    for key, n in counts.cells.items():
        assert n is None or (n == cells[key] and (n == 0 or n >= LEAST_FOR_COUNT))
    assert counts.total in (None, sum(cells.values()))
    assert counts.total is None or counts.total not in range(1, LEAST_FOR_COUNT)


@given(CELLS)
def test_counts_when_the_total_is_shown_give_no_hidden_cell_away(cells):
    counts = safe_counts(cells)
    hidden = [key for key, n in counts.cells.items() if n is None]
    if counts.total is not None and hidden:
        left = counts.total - sum(n for n in counts.cells.values() if n is not None)
        assert len(hidden) >= 2
        assert left >= LEAST_FOR_COUNT


@given(CELLS.filter(lambda cells: all(n == 0 or n >= LEAST_FOR_COUNT for n in cells.values())))
def test_counts_when_none_is_small_hide_nothing(cells):
    assert safe_counts(cells).cells == cells


def test_counts_when_one_cell_is_small_hide_the_smallest_other_too():
    assert safe_counts({"a": 3, "b": 9, "c": 20}).cells == {"a": None, "b": None, "c": 20}


@given(st.lists(SCALE, max_size=60))
def test_mean_when_one_more_person_answers_moves_by_ten_people_or_not_at_all(values):
    before, after = safe_mean(values[:-1]), safe_mean(values)
    if before != after:
        assert after is not None
        assert after.n - (before.n if before else 0) == LEAST_FOR_MEAN


@given(st.lists(st.sampled_from("abc"), max_size=40))
def test_tally_when_one_more_person_answers_changes_by_five_people_or_not_at_all(codes):
    seen = [safe_tally(codes[:n]) for n in range(len(codes) + 1)]
    for n, (before, after) in enumerate(itertools.pairwise(seen), 1):
        assert before == after or n % LEAST_FOR_COUNT == 0
        assert (after.total or 0) == n // LEAST_FOR_COUNT * LEAST_FOR_COUNT


@given(st.lists(SCALE, max_size=9))
def test_mean_when_fewer_than_ten_answered_is_hidden(values):
    assert safe_mean(values) is None


def test_mean_when_ten_answered_is_theirs():
    assert safe_mean([4.0] * 9 + [5.0, 1.0]) == Mean(10, 4.1)


@given(st.frozensets(st.integers(0, 60)), st.lists(st.frozensets(st.integers(0, 60)), max_size=3))
def test_view_when_it_may_be_shown_differs_from_the_others_by_nobody_or_by_ten(people, beside):
    if may_show(people, beside):
        assert len(people) >= LEAST_FOR_MEAN
        for other in beside:
            if people & other:
                assert not 0 < len(people - other) < LEAST_FOR_MEAN
                assert not 0 < len(other - people) < LEAST_FOR_MEAN


def test_view_when_it_is_all_but_one_of_another_is_not_shown():
    everybody = frozenset(range(30))
    assert not may_show(everybody - {7}, [everybody])
    assert may_show(frozenset(range(20)), [everybody])


@given(st.lists(st.lists(SCALE, max_size=25), min_size=1, max_size=5))
def test_means_when_everybodys_is_shown_leave_a_rest_of_nobody_or_ten(answers):
    groups = {g: {(g, n): float(value) for n, value in enumerate(group)} for g, group in enumerate(answers)}
    means, overall = safe_means(groups)
    assert all(mean is None or mean.n >= LEAST_FOR_MEAN for mean in means.values())
    if overall is not None:
        rest = overall.n - sum(mean.n for mean in means.values() if mean)
        assert rest == 0 or rest >= LEAST_FOR_MEAN
    else:
        assert not any(means.values())
