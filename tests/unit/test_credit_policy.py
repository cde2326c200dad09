"""The arithmetic of credits."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmplugin.credits.queries import Facts
from rmplugin.credits.scoring import award, completion, evidence_digest, hours_in_hundredths


@pytest.mark.parametrize(
    ("minutes", "hundredths"),
    [(0, 0), (1, 2), (15, 25), (20, 33), (40, 67), (60, 100), (119, 198), (120, 200)],
)
def test_hours_when_rounded_take_the_nearest_hundredth(minutes, hundredths):
    assert hours_in_hundredths(minutes) == hundredths


@pytest.mark.parametrize(
    ("minutes", "counted", "rule"),
    [(14, 0, "session_below_15"), (15, 15, None), (120, 120, None), (121, 120, "session_120")],
)
def test_award_when_at_the_limits_applies_the_rule_and_keeps_what_was_lost(minutes, counted, rule):
    given = award(minutes, "mentor")
    assert (given.minutes, given.cap_applied) == (counted, rule)
    assert given.uncapped_hundredths == hours_in_hundredths(minutes)
    assert award(minutes, "mentee") == given


@given(st.integers(1, 480))
def test_award_of_any_session_is_never_more_than_the_cap_nor_than_was_claimed(minutes):
    given = award(minutes, "mentee")
    assert 0 <= given.minutes <= min(minutes, 120)
    assert given.amount_hundredths <= given.uncapped_hundredths
    assert abs(given.amount_hundredths * 60 - given.minutes * 100) <= 30


def programme(**asked):
    values = {
        "min_sessions": 4,
        "min_minutes": 240,
        "needs_agreement": True,
        "needs_goal_review": True,
        **asked,
    }
    return SimpleNamespace(**values)


@given(
    st.integers(0, 10),
    st.integers(-60, 600),
    st.booleans(),
    st.booleans(),
    st.integers(0, 8),
    st.integers(0, 400),
)
def test_completion_is_100_exactly_when_every_criterion_is_met(
    sessions, minutes, signed, reviewed, need, span
):
    facts = Facts(sessions, minutes, signed, reviewed)
    progress = completion(programme(min_sessions=need, min_minutes=span), facts)
    met = sessions >= need and (minutes >= span or span == 0) and signed and reviewed
    assert progress.met is met
    assert (progress.percent == 100) is met
    assert 0 <= progress.percent <= 100


@given(st.integers(0, 6), st.integers(0, 300), st.booleans(), st.booleans())
def test_completion_never_falls_when_something_is_added(sessions, minutes, signed, reviewed):
    less = completion(programme(), Facts(sessions, minutes, signed_agreement=False, reviewed_goal=False))
    more = completion(programme(), Facts(sessions + 1, minutes + 15, signed, reviewed))
    assert more.percent >= less.percent


def test_completion_when_the_programme_asks_for_no_goal_leaves_it_out_of_the_checklist():
    labels = [
        c.label for c in completion(programme(needs_goal_review=False), Facts(0, 0, False, False)).criteria
    ]
    assert labels == ["Sessions that you both confirmed", "Confirmed minutes", "Agreement signed by both"]


def test_evidence_digest_when_the_order_of_names_changes_is_the_same():
    assert evidence_digest({"a": 1, "b": "ü"}) == evidence_digest({"b": "ü", "a": 1})
    assert evidence_digest({"a": 1}) != evidence_digest({"a": 2})
