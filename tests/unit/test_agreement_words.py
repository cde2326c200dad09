"""Two drafts: where they differ, what is made of them, and where the senior is at home."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmplugin.agreements.queries import FIELDS
from rmplugin.agreements.words import differences, merged, sounds_like_office

WORDS = st.text("abc XYZ", max_size=12)
DRAFTS = st.fixed_dictionaries(
    {
        "cadence_weeks": st.integers(1, 12),
        "session_minutes": st.integers(15, 240),
        "medium": st.sampled_from(["video", "in_person", "phone", "mixed"]),
        "ends_on": st.dates(date(2027, 1, 1), date(2027, 12, 31)),
        **dict.fromkeys(("place", "hopes", "boundaries", "confidentiality", "feedback"), WORDS),
    }
)
NAMES = ["Sven Senior", "Sven", "Senior"]


@given(DRAFTS, DRAFTS)
def test_merged_when_drafts_agree_says_the_same_and_else_holds_both(one, other):
    values = merged({"Mira": one, "Sven": other})
    assert set(values) == set(FIELDS)
    differing = differences(one, other)
    assert differing == differences(other, one)
    for name in ("place", "hopes", "boundaries", "confidentiality", "feedback"):
        if name in differing:
            assert one[name].strip() in values[name]
            assert other[name].strip() in values[name]
        else:
            assert values[name] == one[name].strip()


@given(DRAFTS, DRAFTS)
def test_merged_when_drafts_differ_asks_for_no_more_time_than_either(one, other):
    values = merged({"Mira": one, "Sven": other})
    for draft in (one, other):
        assert values["cadence_weeks"] >= draft["cadence_weeks"]
        assert values["session_minutes"] <= draft["session_minutes"]
        assert values["ends_on"] <= draft["ends_on"]


@given(DRAFTS)
def test_differences_when_only_spaces_and_capitals_differ_are_none(draft):
    other = draft | {"hopes": f" {draft['hopes'].upper()}  "}
    assert differences(draft, other) == set()


@pytest.mark.parametrize(
    "place",
    [
        "Sven's office", "in Sven Senior's office", "his office", "Senior’s room", "the boss's office",
        "Office", "corner office on floor 9", "Board room", "executive floor", "my desk",
        "Svens Büro", "Büro von Sven", "bei Sven", "in seinem Büro", "Chefetage", "Vorstandsbüro", "im Büro",
    ],
)  # fmt: skip
def test_place_when_it_is_the_seniors_is_found(place):
    assert sounds_like_office(place, NAMES)


@pytest.mark.parametrize(
    "place",
    [
        "Café on the ground floor", "Video call", "Home office", "Meeting room 3.12", "Post office square",
        "Canteen", "Library, second floor", "Besprechungsraum Elbe", "Park hinter dem Bürogebäude", "",
        "Sven brings coffee to the garden",
    ],
)  # fmt: skip
def test_place_when_it_is_neutral_is_not_found(place):
    assert not sounds_like_office(place, NAMES)
