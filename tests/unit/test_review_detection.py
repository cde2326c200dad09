"""The triggers of the matchmaking review: planted causes are found, noise is not, hidden counts stay so."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.review_alarms import BEGIN, LENGTH, Plan, alarms_of, known_at, simulate
from rmplugin.matching.forms import CLOSURE_REASONS, codes
from rmplugin.reviews.detection import (
    chance_above,
    chance_worse,
    compare,
    find_alarms,
    interval,
    prior_of,
    run_of_failures,
)
from rmplugin.reviews.outcomes import FAMILIES, FEWEST_SHOWN, GOALS_MET, Outcome, judge, suppress

END = BEGIN + LENGTH


def pair(number: int, reason: str | None = None, day: int | None = None, **segments: str) -> Outcome:
    ended = None if day is None else BEGIN + timedelta(days=day)
    result = "failed" if reason in FAMILIES else "good"
    return Outcome(f"{number:04}", result, reason, BEGIN, ended, segments)


def fired(outcomes, now=END):
    return {alarm.trigger: alarm for alarm in find_alarms(outcomes, now, LENGTH)}


def simulated(plan: Plan, size: int, cohorts: int, seed: int = 7) -> list[set[str]]:
    random = np.random.default_rng(seed)
    return [alarms_of(simulate(random, size, plan)) for _ in range(cohorts)]


@pytest.mark.parametrize("size", [20, 40, 100])
@pytest.mark.parametrize("late", [False, True])
def test_triggers_when_one_in_ten_fails_by_chance_stay_silent(size, late):
    found = simulated(Plan("noise", 0.10, late=late), size, 30)
    assert sum(map(bool, found)) <= 2


@pytest.mark.parametrize(("size", "least"), [(20, 12), (40, 17), (100, 20)])
def test_triggers_when_four_in_ten_fail_fire(size, least):
    assert sum("rate" in found or "run" in found for found in simulated(Plan("bad", 0.40), size, 20)) >= least


def test_segment_trigger_when_one_department_is_bad_names_it_and_no_other():
    random = np.random.default_rng(11)
    plan = Plan("department", 0.10, segment_rate=0.65)
    subjects = []
    for _ in range(15):
        found = find_alarms(simulate(random, 100, plan), END, LENGTH)
        subjects += [alarm.subject for alarm in found if alarm.trigger == "segment"]
    assert len(subjects) >= 12
    assert subjects.count("mentor_department=2") >= len(subjects) - 1


def test_reason_trigger_when_one_reason_returns_names_it():
    pairs = [pair(n) for n in range(30)] + [pair(n, "lack_of_expertise", n) for n in range(40, 44)]
    assert fired(pairs)["reason"].subject == "lack_of_expertise"


def test_reason_trigger_when_the_reason_is_time_stays_silent():
    pairs = [pair(n) for n in range(30)] + [pair(n, "time", n) for n in range(40, 46)]
    assert "reason" not in fired(pairs)


def test_reason_trigger_when_the_reason_is_long_past_stays_silent():
    early = [pair(n, "distancing", n) for n in range(1, 5)]
    later = [pair(n, GOALS_MET, n + 100) for n in range(10, 18)]
    pairs = [pair(n) for n in range(100, 120)]
    assert "reason" in fired(early + pairs)
    assert "reason" not in fired(early + later + pairs)


def test_run_trigger_when_failures_cluster_fires_and_when_spread_does_not():
    good = [pair(n) for n in range(60)]
    together = [pair(100 + n, "time", 200 + n) for n in range(12)]
    spread = [pair(100 + n, "time", 20 * n + 1) for n in range(12)]
    assert max(run_of_failures(good + together, END, LENGTH)) > max(
        run_of_failures(good + spread, END, LENGTH)
    )
    assert "run" in fired(good + together)
    assert "run" not in fired(good + spread)


def test_rate_trigger_when_only_failures_have_ended_yet_waits_for_the_share_of_all():
    """The first to end are those that fail; the many that go on must not be forgotten."""
    pairs = [pair(n, "time", n) for n in range(1, 4)] + [pair(n) for n in range(10, 40)]
    early = known_at(pairs, BEGIN + timedelta(days=5))
    assert {outcome.result for outcome in early} == {"failed", "running"}
    assert fired(early, BEGIN + timedelta(days=5)) == {}


def test_triggers_when_nobody_gave_a_reason_stay_silent():
    left_out = [Outcome(str(n), "left_out", None, BEGIN, END) for n in range(50)]
    assert fired([*left_out, *(pair(n) for n in range(100, 115))]) == {}


def test_judge_when_every_reason_is_given_only_fit_behaviour_time_and_expertise_fail():
    failing = {code for code in codes(CLOSURE_REASONS) if judge("ended", code, is_over=False) == "failed"}
    assert failing == set(FAMILIES)
    assert judge("ended", GOALS_MET, is_over=False) == "good"
    for reason in ("left_organisation", "role_change", "conflict_of_interest", "prefer_not_to_say", None):
        assert judge("ended", reason, is_over=False) == "left_out"
    assert [
        judge(state, None, is_over=False) for state in ("active", "paused", "suspended", "completed")
    ] == [
        "running",
        "left_out",
        "left_out",
        "good",
    ]
    assert judge("active", None, is_over=True) == "good"


@given(failed=st.integers(0, 60), more=st.integers(0, 60))
def test_chance_above_when_more_fail_is_never_lower(failed, more):
    pairs = 120
    assert chance_above(failed + more, pairs, (2, 8)) >= chance_above(failed, pairs, (2, 8)) - 1e-12
    low, high = interval(failed, pairs)
    assert 0 <= low < high <= 1


@given(
    here=st.tuples(st.integers(0, 20), st.integers(0, 20)), rest=st.tuples(st.integers(0, 50), st.just(50))
)
def test_chance_worse_when_asked_agrees_with_drawn_rates(here, rest):
    here = (min(here), max(here))
    random = np.random.default_rng(1)
    one = random.beta(2 + here[0], 8 + here[1] - here[0], 20_000)
    other = random.beta(2 + rest[0], 8 + rest[1] - rest[0], 20_000)
    assert chance_worse(here, rest) == pytest.approx((one - other >= 0.10).mean(), abs=0.02)


@given(before=st.integers(0, 40), after=st.integers(0, 40))
def test_compare_when_a_cohort_fails_less_never_says_worse(before, after):
    word, low, high = compare((before, 40), (after, 40))
    assert low < high
    assert word != ("worse" if after <= before else "better")
    assert compare((20, 40), (2, 40))[0] == "better"
    assert compare((4, 40), (5, 40))[0] == "same"


@given(failed=st.integers(0, 500), good=st.integers(0, 500))
def test_prior_when_earlier_cohorts_are_large_weighs_no_more_than_ten_pairs(failed, good):
    assert sum(prior_of(failed, failed + good)) == pytest.approx(10)
    assert prior_of(0, 0) == (2, 8)


@given(st.dictionaries(st.text("abcdefgh", min_size=1, max_size=2), st.integers(0, 30), max_size=8))
def test_suppress_when_the_total_is_known_nothing_hidden_can_be_worked_out(counts):
    cells = suppress(counts)
    hidden = [counts[name] for name, count in cells.items() if count is None]
    assert all(count is None or count >= FEWEST_SHOWN for count in cells.values())
    assert set(cells) == set(counts)
    if any(count is not None for count in cells.values()) and hidden:
        assert len(hidden) >= 2
        assert sum(hidden) >= FEWEST_SHOWN
