"""How pairs end, for the manager: numbers about five pairs and more, and none that tells of one."""

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmplugin.leaving.queries import ends_of, median_wait
from rmplugin.matching.models import Pairing
from rmplugin.programmes.places import new_enrolment
from tests.factories.programmes import make_context, make_programme
from tests.factories.reviews import add_pairing, make_run

DAY = timedelta(days=1)


@pytest.fixture
def course(runtime, tenant, clock):
    with runtime.database.transaction(tenant.id) as db:
        context = make_context(db)
        programme = make_programme(db, context)
        run = make_run(db, programme, clock.now - 90 * DAY)
    return context, programme, run


def add_ends(runtime, tenant, run, reasons, first=1):
    """Let one pair after the other end, a day apart, each for a reason or None."""
    with runtime.database.transaction(tenant.id) as db:
        for day, reason in enumerate(reasons, first):
            add_pairing(db, run, runtime.clock() - 80 * DAY, reason, after=day * DAY)


def found(runtime, tenant, programme):
    with runtime.database.transaction(tenant.id) as db:
        return ends_of(db, programme.id, runtime.clock())


def test_fewer_than_five_ends_show_nothing(runtime, tenant, course, sign_in):
    context, programme, run = course
    add_ends(runtime, tenant, run, ["distancing"] * 4)
    page = sign_in(tenant, manager=True, context=context).get(f"/manage/programmes/{programme.id}/ends")
    assert "Fewer than five pairs have ended early." in page.says()
    assert "cancelled" not in page.says()


def test_ninth_end_changes_nothing_that_is_shown(runtime, tenant, course):
    _context, programme, run = course
    add_ends(runtime, tenant, run, ["time"] * 5)
    five = found(runtime, tenant, programme)
    add_ends(runtime, tenant, run, ["misuse_of_power"] * 4, first=6)
    nine = found(runtime, tenant, programme)
    assert (five.counted, five.reasons, five.hides) == (nine.counted, nine.reasons, nine.hides)


def test_rare_reasons_hide_and_so_does_the_next_one(runtime, tenant, course, sign_in):
    context, programme, run = course
    add_ends(runtime, tenant, run, ["time"] * 7 + ["never_scheduled"] * 5 + ["misuse_of_power"] * 3)
    ends = found(runtime, tenant, programme)
    assert (ends.counted, ends.reasons, ends.hides) == (15, {"time": 7}, True)
    says = (
        sign_in(tenant, manager=True, context=context).get(f"/manage/programmes/{programme.id}/ends").says()
    )
    assert "There is not enough time 7" in says
    assert "Power was used" not in says
    assert "never found a date" not in says


def test_page_of_another_course_is_not_found(runtime, tenant, course, sign_in):
    _context, programme, _run = course
    with runtime.database.transaction(tenant.id) as db:
        other = make_context(db, "Elsewhere")
    browser = sign_in(tenant, manager=True, context=other)
    assert browser.get(f"/manage/programmes/{programme.id}/ends").status in (403, 404)


def test_median_counts_who_still_waits(runtime, tenant, course):
    """Of ten people who parted, five have another partner, after 3, 4, 5, 6 and 7 days; five still wait."""
    _context, programme, run = course
    add_ends(runtime, tenant, run, [None] * 5)
    with runtime.database.transaction(tenant.id) as db:
        ended = db.query(Pairing).order_by(Pairing.ended_at).all()
        for days, pairing in enumerate(ended, 3):
            again = add_pairing(db, run, pairing.ended_at + days * DAY)
            again.mentor_id = pairing.mentor_id
            for person in (pairing.mentor_id, pairing.mentee_id):
                enrol_by_hand(db, programme, person)
    ends = found(runtime, tenant, programme)
    assert (ends.waits, ends.median_days) == (10, 7)


def enrol_by_hand(db, programme, person_id):
    db.add(new_enrolment(programme, person_id, "mentor", "submitted", programme.created_at))
    db.flush()


SPANS = st.lists(st.tuples(st.integers(0, 400).map(lambda n: n * DAY), st.booleans()), max_size=60)


@given(SPANS)
def test_median_when_nobody_still_waits_is_the_middle_one(spans):
    times = sorted(time for time, _matched in spans)
    got = median_wait([(time, True) for time in times])
    assert got == (times[(len(times) - 1) // 2].days if times else None)


@given(SPANS)
def test_median_when_somebody_waits_longer_is_never_smaller(spans):
    rows = [median_wait([*spans, *[(500 * DAY, False)] * extra]) for extra in range(4)]
    for fewer, more in pairwise(rows):
        assert more is None or (fewer is not None and fewer <= more)
