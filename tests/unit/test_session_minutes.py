"""Which minutes two claims give."""

from hypothesis import given
from hypothesis import strategies as st

from rmplugin.sessions.evidence import minutes_that_count

CLAIM = st.integers(min_value=1, max_value=480)


@given(CLAIM, CLAIM)
def test_minutes_when_claims_swapped_stay_the_same(first, second):
    assert minutes_that_count(first, second) == minutes_that_count(second, first)


@given(CLAIM, CLAIM)
def test_minutes_when_counted_never_exceed_a_claim_or_the_cap(first, second):
    counted = minutes_that_count(first, second)
    if counted is not None:
        assert 0 <= counted <= min(first, second, 120)
        assert counted == 0 or counted >= 15


@given(CLAIM, CLAIM)
def test_minutes_when_over_15_apart_are_undecided_and_only_then(first, second):
    assert (minutes_that_count(first, second) is None) == (abs(first - second) > 15)


@given(st.integers(min_value=15, max_value=120), st.integers(min_value=0, max_value=15))
def test_minutes_when_close_are_the_lower_claim_exactly(lower, more):
    assert minutes_that_count(lower + more, lower) == lower


def test_minutes_at_the_edges():
    assert minutes_that_count(14, 29) == 0
    assert minutes_that_count(15, 30) == 15
    assert minutes_that_count(15, 31) is None
    assert minutes_that_count(130, 121) == 120
