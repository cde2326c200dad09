"""The forecast of sign-up: pure numbers."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmplugin.signup.outlook import (
    ACTIONS,
    CAUSES,
    HELPS,
    Steps,
    elapsed_share,
    find_cause,
    forecast,
    look_ahead,
    missing_people,
)

BEGAN = datetime(2026, 11, 1, tzinfo=UTC)


def test_share_when_time_passes_goes_from_nothing_to_all():
    shares = [elapsed_share(BEGAN, date(2026, 11, 10), BEGAN + timedelta(days=n)) for n in (-1, 0, 5, 10, 99)]
    assert shares == [0.0, 0.0, 0.5, 1.0, 1.0]
    assert elapsed_share(BEGAN, date(2026, 10, 1), BEGAN) == 1.0


def test_forecast_when_too_early_says_nothing():
    assert [forecast(3, share) for share in (0.05, 0.1, 0.5, 1.0)] == [None, 30, 6, 3]


@given(st.integers(1, 500), st.integers(0, 500), st.floats(0, 1))
def test_warning_when_given_comes_in_the_second_half_below_the_target_and_with_something_to_do(
    target, people, share
):
    found = look_ahead(target, Steps(in_pool=people), share, time_leads=False)
    assert not found.is_late or (share >= 0.5 and people < target)
    assert found.is_late == bool(found.actions)
    assert not (share == 1 and people < target) or found.is_late


@pytest.mark.parametrize(
    ("steps", "time_leads", "cause"),
    [
        (Steps(eligible=90, invited=5), False, "not_invited"),
        (Steps(eligible=90, invited=40, opened=10), False, "not_opened"),
        (Steps(eligible=90, invited=40, opened=30, started=10), False, "not_started"),
        (Steps(eligible=90, invited=40, opened=30, started=10), True, "time"),
        (Steps(eligible=90, invited=40, opened=30, started=25, signed_up=5), False, "not_sent"),
        (
            Steps(eligible=90, invited=40, opened=30, started=25, signed_up=20, endorsing=9),
            False,
            "endorsement",
        ),
        (Steps(eligible=90, invited=40, opened=30, started=25, signed_up=20), False, "pace"),
        (Steps(eligible=5, invited=5, opened=5, started=5, signed_up=5), False, "pace"),
    ],
)
def test_cause_when_people_are_lost_somewhere_names_the_place(steps, time_leads, cause):
    assert find_cause(20, steps, time_leads=time_leads) == cause


def test_every_cause_has_help_and_every_help_has_words():
    assert HELPS.keys() == CAUSES.keys()
    assert {action for actions in HELPS.values() for action in actions} == ACTIONS.keys()


def test_missing_people_when_places_or_partners_lack_says_how_many_at_least():
    sides = {
        "mentors": {"people": 4, "places": 6, "with_one": 4},
        "mentees": {"people": 10, "places": 10, "with_one": 9},
    }
    assert missing_people(sides) == {"mentor": 4, "mentee": 0}
    sides["mentees"] |= {"people": 5, "places": 5, "with_one": 3}
    sides["mentors"] |= {"with_one": 3}
    assert missing_people(sides) == {"mentor": 2, "mentee": 1}
