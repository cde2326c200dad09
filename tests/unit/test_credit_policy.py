"""The arithmetic of credits."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmplugin.credits.entries import digest
from rmplugin.plugins import Plugins
from rmplugin.policies import (
    PREPARATION,
    Caps,
    CreditPolicy,
    Earned,
    History,
    SessionFacts,
    Targets,
    hours_in_hundredths,
    progress,
    within_caps,
)

POLICIES = Plugins().policies
NEW_YEAR = datetime(2027, 1, 1, 10, tzinfo=UTC)


def facts(minutes=60, days=0.0, number=0):
    at = NEW_YEAR + timedelta(days=days)
    return SessionFacts(str(number), at, minutes, at.date())


def some(count, minutes=60, every=7):
    """Give a history of so many sessions."""
    return [Earned(facts(minutes, number * every, number), minutes) for number in range(count)]


@pytest.mark.parametrize(
    ("minutes", "hundredths"),
    [(0, 0), (1, 2), (15, 25), (20, 33), (40, 67), (60, 100), (119, 198), (120, 200)],
)
def test_hours_when_rounded_take_the_nearest_hundredth(minutes, hundredths):
    assert hours_in_hundredths(minutes) == hundredths


@pytest.mark.parametrize(
    ("key", "minutes", "hundredths"),
    [
        *(
            ("ceu", *case)
            for case in ((29, 0), (30, 10), (89, 10), (90, 20), (600, 100), (629, 100), (630, 110))
        ),
        *(("cpe50", *case) for case in ((49, 0), (50, 100), (59, 100), (60, 120), (99, 180), (100, 200))),
        *(("sessions_and_span", *case) for case in ((30, 50), (100, 167))),
        *((key, -10, 0) for key in ("ceu", "cpe50")),
    ],
)
def test_unit_when_minutes_are_told_in_it_is_rounded_as_its_board_says(key, minutes, hundredths):
    assert POLICIES[key].convert(minutes) == hundredths


@given(st.sampled_from(sorted(POLICIES)), st.integers(-500, 5000), st.integers(0, 500))
def test_unit_when_minutes_grow_never_falls(key, minutes, more):
    assert POLICIES[key].convert(minutes) <= POLICIES[key].convert(minutes + more)


@given(st.sampled_from(sorted(POLICIES)), st.lists(st.integers(0, 120), max_size=8))
def test_unit_when_rounded_over_many_sessions_is_off_by_less_than_one_step(key, sessions):
    policy, steps = POLICIES[key], {"ceu": 600, "cpe50": 50}
    exact = sum(sessions) * 100 / steps.get(key, 60)
    tolerance = {"ceu": 5, "cpe50": 100 if sum(sessions) < 50 else 20}.get(key, 0.5)
    assert abs(policy.convert(sum(sessions)) - exact) <= tolerance


@pytest.mark.parametrize(
    ("minutes", "counted", "rule"),
    [(14, 0, "session_below_15"), (15, 15, None), (120, 120, None), (121, 120, "session_120")],
)
def test_award_when_at_the_limits_applies_the_rule_and_keeps_what_was_lost(minutes, counted, rule):
    (given,) = CreditPolicy().award(facts(minutes), "mentor", History(), Caps())
    assert (given.minutes, given.uncapped_minutes, given.cap_applied) == (counted, minutes, rule)
    assert CreditPolicy().award(facts(minutes), "mentee", History(), Caps()) == [given]


@pytest.mark.parametrize(
    ("caps", "counted", "rule"),
    [
        ({"per_day": 130}, 10, "day_130"),
        ({"per_day": 120}, 0, "day_120"),
        ({"per_year": 150}, 30, "year_150"),
        ({"per_programme": 190}, 10, "programme_190"),
        ({"per_year": 150, "per_programme": 190}, 10, "programme_190"),
        ({"per_day": None, "per_session": 40}, 40, "session_40"),
    ],
)
def test_caps_when_used_up_in_part_leave_the_rest_and_name_the_one_that_cost_most(caps, counted, rule):
    # 120 minutes of another programme that day, 60 of this one the year before.
    before = [
        Earned(facts(120, 0.1), 120, here=False),
        Earned(facts(60, -3), 60),
        Earned(facts(120, -4), 120),
    ]
    assert within_caps(facts(60), before, Caps(**caps)) == (counted, rule)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 200)), max_size=8),
    st.integers(1, 300),
    st.integers(1, 900),
    st.randoms(use_true_random=False),
)
def test_caps_that_lie_within_each_other_give_one_sum_in_any_order(held, day, whole, order):
    def total(sessions):
        earned: list[Earned] = []
        for one in sessions:
            minutes, _rule = within_caps(one, earned, Caps(per_day=day, per_programme=whole))
            earned.append(Earned(one, minutes))
        return sum(one.minutes for one in earned)

    sessions = [facts(minutes, on, number) for number, (on, minutes) in enumerate(held)]
    mixed = list(sessions)
    order.shuffle(mixed)
    assert total(sessions) == total(mixed) <= whole


@given(st.integers(1, 480), st.integers(0, 25))
def test_preparation_of_any_session_is_at_most_a_quarter_for_mentors_alone(minutes, percent):
    caps = Caps(preparation_percent=percent)
    contact, *bonus = CreditPolicy().award(facts(minutes), "mentor", History(), caps)
    assert 0 <= contact.minutes <= min(minutes, 120)
    assert sum(one.minutes for one in bonus) * 4 <= contact.minutes
    assert {one.unit for one in bonus} <= {PREPARATION}
    assert CreditPolicy().award(facts(minutes), "mentee", History(), caps) == [contact]


TARGETS = Targets(sessions=4, minutes=240, agreement=True, end_review=True)


@given(
    st.integers(0, 10),
    st.integers(-60, 600),
    st.booleans(),
    st.booleans(),
    st.integers(0, 8),
    st.integers(0, 400),
)
def test_completion_is_100_exactly_when_every_criterion_is_met(
    sessions, adjusted, signed, reviewed, need, span
):
    history = History(earned=some(sessions, 30), adjusted=adjusted, agreement=signed, end_review=reviewed)
    asked = Targets(sessions=need, minutes=span, agreement=True, end_review=True)
    found = progress(history, asked)
    met = sessions >= need and (history.minutes >= span or span == 0) and signed and reviewed
    assert found.met is met
    assert (found.percent == 100) is met
    assert (not found.missing) is met
    assert 0 <= found.percent <= 100


@given(st.integers(0, 6), st.booleans(), st.booleans())
def test_completion_never_falls_when_something_is_added(sessions, signed, reviewed):
    less = progress(History(earned=some(sessions)), TARGETS)
    more = progress(History(earned=some(sessions + 1), agreement=signed, end_review=reviewed), TARGETS)
    assert more.percent >= less.percent


def test_completion_when_the_programme_asks_for_no_goal_leaves_it_out_of_the_checklist():
    labels = [c.label for c in progress(History(), Targets(sessions=4, minutes=240, agreement=True)).criteria]
    assert labels == ["Sessions that count", "Minutes that count", "Agreement signed by both"]


def test_span_when_the_policy_asks_for_more_than_the_programme_holds():
    policy, asked = POLICIES["sessions_and_span"], Targets(sessions=4, minutes=240)
    rushed = History(earned=some(6, every=14), reflections=1, end_review=True)
    assert [one.label for one in policy.completion(rushed, asked).missing] == [
        "Days from your first to your last session"
    ]
    assert policy.completion(History(earned=some(6, every=18), reflections=1, end_review=True), asked).met
    silent = policy.completion(History(earned=some(6, every=18), end_review=True), asked)
    assert [one.label for one in silent.missing] == ["Sessions about which you noted something"]
    # Contact hours ask for a span only where the programme does.
    assert POLICIES["contact_hours"].completion(rushed, asked).met
    assert not POLICIES["contact_hours"].completion(rushed, Targets(days=90)).met


def test_digest_when_the_order_of_names_changes_is_the_same():
    assert digest({"a": 1, "b": "ü"}) == digest({"b": "ü", "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
