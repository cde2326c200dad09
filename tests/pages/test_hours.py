"""The hour of a pair: its ledger, the rhythm, no time, and what a manager sees of it."""

import re
from datetime import date, timedelta

import pytest
from sqlalchemy import update

from rmplugin.hours import operations, queries
from rmplugin.matching.models import Pairing
from rmplugin.messages import operations as messages
from rmplugin.notify import Notice
from rmplugin.programmes.models import Programme
from rmplugin.sessions import operations as sessions
from rmplugin.sessions.models import MentoringSession, SessionChange, TimeNeed
from tests.factories.pairs import MEETING, make_pair
from tests.factories.programmes import make_context

DAY = timedelta(days=1)


@pytest.fixture
def pair(runtime, tenant):
    pair = make_pair(runtime, tenant)
    pair.agree()
    return pair


def change(pair, verb, session, *args):
    with pair.transaction() as db:
        return verb(db, db.get_one(MentoringSession, session.id), *args)


def cancel(pair, days, reason=None, by=None):
    session = pair.plan(pair.mentor, pair.now + days * DAY)
    change(pair, sessions.cancel, session, (by or pair.mentee).id, pair.now, reason)


def ledger(pair):
    with pair.transaction() as db:
        return queries.ledger_of(db, pair.get(db), db.get_one(Programme, pair.programme.id), pair.now)


def no_time(pair, person, choice, weeks=2, reason=None):
    with pair.transaction() as db:
        values = {"choice": choice, "reason": reason, "weeks": weeks}
        return operations.say_no_time(db, pair.get(db), person.id, values, pair.now)


def loud(pair):
    with pair.transaction() as db:
        return queries.displacements(db, pair.programme.id, pair.now)


@pytest.fixture
def course(pair):
    """Put the pair's programme into a course and give it."""
    with pair.transaction() as db:
        context = make_context(db)
        db.execute(update(Programme).where(Programme.id == pair.programme.id).values(context_id=context.id))
    return context


def test_ledger_when_held_moved_and_cancelled_shows_each_in_its_week(pair, clock, sign_in, tenant):
    held = pair.plan(pair.mentor, pair.now + timedelta(hours=1))
    moved = pair.plan(pair.mentor, pair.now + DAY)
    change(
        pair,
        sessions.reschedule,
        moved,
        pair.mentee.id,
        pair.now + 8 * DAY,
        MEETING | {"reason": "travel"},
        pair.now,
    )
    cancel(pair, 2, "urgent_work")
    clock.forward(hours=3)
    pair.claim(held, pair.mentor, 60)
    pair.claim(held, pair.mentee, 50)
    week = ledger(pair)[0]
    assert (week.granted, week.booked, week.held) == (60, 180, 50)
    assert week.displaced == {"travel": 60, "urgent_work": 60}
    says = sign_in(tenant, pair.mentor).get(f"{pair.path}/hours").says()
    assert "1 h 0 min (Travel), 1 h 0 min (Urgent work)" in says
    clock.forward(days=8)
    assert [(row.granted, row.booked) for row in ledger(pair)] == [(60, 180), (60, 60)]


def test_ledger_when_moved_within_the_week_displaces_nothing(pair):
    session = pair.plan(pair.mentor, pair.now + DAY)
    change(pair, sessions.reschedule, session, pair.mentee.id, pair.now + 2 * DAY, MEETING, pair.now)
    assert [(row.booked, row.displaced) for row in ledger(pair)] == [(60, {})]
    assert [(row.what, row.person_id) for row in pair.rows(SessionChange)] == [("moved", pair.mentee.id)]


def test_ledger_when_only_written_down_afterwards_books_what_was_held(pair):
    session = pair.hold()
    assert ledger(pair)[0].booked == 0
    change(pair, sessions.cancel, session, pair.mentor.id, pair.now, "other")
    assert ledger(pair)[0].displaced == {}
    assert pair.rows(SessionChange) == []


def test_ledger_when_the_pairing_is_over_grants_no_more(pair, clock):
    clock.forward(days=9)
    pair.end()
    clock.forward(days=30)
    assert len(ledger(pair)) == 2


def test_cause_when_it_is_an_illness_is_nobody_elses_business(pair, sign_in, tenant, course):
    cancel(pair, 1, "illness")
    cancel(pair, 2, "illness")
    for person in (pair.mentor, pair.mentee):
        assert "Illness" not in sign_in(tenant, person).get(f"{pair.path}/hours").says()
    assert [found.causes for found in loud(pair)] == [["other"]]
    page = sign_in(tenant, pair.mentor, manager=True, context=course).get("/manage/hours").says()
    assert "2 hours (Another reason)" in page
    assert "Illness" not in page


def test_rebooking_when_a_cancelled_hour_gets_another_names_who_did(pair):
    cancel(pair, 1, by=pair.mentee)
    pair.plan(pair.mentor, pair.now + 3 * DAY)
    pair.plan(pair.mentee, pair.now + 4 * DAY)
    row = pair.rows(SessionChange)[0]
    assert (row.person_id, row.rebooked_by) == (pair.mentee.id, pair.mentor.id)


def test_alert_when_two_fall_out_within_four_weeks_names_the_causes_on_the_desk(
    pair, sign_in, tenant, course
):
    manager = sign_in(tenant, manager=True, context=course)
    cancel(pair, 1, "travel")
    assert loud(pair) == []
    assert "fell out within four weeks" not in manager.get("/manage").says()
    cancel(pair, 20, "meeting")
    assert (
        "Pairs of which two protected hours fell out within four weeks: 1." in manager.get("/manage").says()
    )
    page = manager.get("/manage/hours").says()
    assert "Mira Junior → Sven Senior: 2 hours (Another meeting, Travel)" in page
    assert "Prompts that work" not in page


def test_alert_when_further_apart_or_long_ago_or_after_meeting_again_is_silent(pair, clock):
    cancel(pair, 1)
    cancel(pair, 30)
    assert loud(pair) == []
    cancel(pair, 2)
    assert len(loud(pair)) == 1
    clock.forward(days=29)
    assert loud(pair) == []


def test_alert_when_the_two_meet_again_goes(pair, clock):
    cancel(pair, 1)
    cancel(pair, 2)
    clock.forward(days=3)
    session = pair.hold()
    pair.claim(session, pair.mentor, 60)
    assert len(loud(pair)) == 1
    pair.claim(session, pair.mentee, 60)
    assert loud(pair) == []


def test_index_when_fewer_than_five_pairs_says_nothing(pair, sign_in, tenant, course):
    cancel(pair, 1, "travel")
    page = sign_in(tenant, manager=True, context=course).get("/manage/hours").says()
    assert "Shown from five pairs on" in page
    assert "What displaced hours" not in page


def test_index_when_five_pairs_gives_held_of_granted_and_hides_rare_causes(pair, runtime, tenant, clock):
    pairs = [pair] + [make_pair(runtime, tenant) for _ in range(4)]
    with pair.transaction() as db:
        ids = [one.pairing.id for one in pairs]
        db.execute(update(Pairing).where(Pairing.id.in_(ids)).values(programme_id=pair.programme.id))
    for number, one in enumerate(pairs):
        cancel(one, 1, "travel" if number else "illness")
    held = pair.plan(pair.mentor, pair.now + timedelta(hours=1))
    clock.forward(days=2)
    pair.claim(held, pair.mentor, 60)
    pair.claim(held, pair.mentee, 60)
    with pair.transaction() as db:
        index = queries.hour_index(db, db.get_one(Programme, pair.programme.id), pair.now)
    assert (index.pairs, index.granted, index.held) == (5, 300, 60)
    assert index.displaced == {"travel": None, "illness": None}


def test_rhythm_when_messages_count_is_kept_by_an_exchange(pair, clock, sign_in, tenant):
    def write(person):
        with pair.transaction() as db:
            messages.write(db, pair.runtime.database.secrets, pair.get(db), person.id, "Hello", pair.now)

    def rhythm():
        with pair.transaction() as db:
            return queries.rhythm_of(db, pair.get(db), db.get_one(Programme, pair.programme.id))

    clock.forward(days=10)
    write(pair.mentor)
    write(pair.mentee)
    assert (rhythm().last, rhythm().by_messages) == (None, False)
    pair.agree(async_counts=True)
    assert (rhythm().last, rhythm().by_messages) == (pair.now, True)
    assert rhythm().due == pair.now + timedelta(weeks=2)
    browser = sign_in(tenant, pair.mentee)
    assert "Messages from both keep the rhythm, too" in browser.get(f"{pair.path}/agreement").says()
    assert "Last by messages of both" in browser.get(f"{pair.path}/hours").says()


def test_agreement_form_when_the_box_is_ticked_and_cleared_makes_versions(sign_in, tenant, pair):
    from rmplugin.agreements.models import Agreement

    browser = sign_in(tenant, pair.mentor).get(f"{pair.path}/agreement/new")
    browser.submit("/agreement", async_counts="true")
    assert [row.async_counts for row in pair.rows(Agreement)] == [False, True]
    form = sign_in(tenant, pair.mentor).get(f"{pair.path}/agreement/new")
    assert 'id="f-async_counts" value="true" checked' in form.text


@pytest.mark.parametrize(
    ("choice", "lands"),
    [("shorten", "/agreement/new"), ("retime", "/sessions/new"), ("leave", "/end"), ("pause", "")],
)
def test_no_time_when_said_leads_to_each_of_the_four_ways(sign_in, tenant, pair, choice, lands):
    browser = sign_in(tenant, pair.mentee).get(f"{pair.path}/no-time")
    browser.submit("/no-time", choice=choice, reason="workload")
    assert (browser.status, browser.path) == (200, f"{pair.path}{lands}")
    need = pair.rows(TimeNeed)[0]
    assert (need.choice, need.stage, need.reason) == (choice, "start", "workload")
    assert "workload" not in str([row.text for row in pair.rows(Notice)])


def test_break_when_begun_cancels_what_lies_in_it_and_grants_nothing(sign_in, tenant, pair, clock):
    inside = pair.plan(pair.mentor, pair.now + 9 * DAY)
    after = pair.plan(pair.mentor, pair.now + 20 * DAY)
    no_time(pair, pair.mentee, "pause", weeks=2)
    states = {row.id: row.state for row in pair.rows(MentoringSession)}
    assert states == {inside.id: "cancelled", after.id: "scheduled"}
    says = sign_in(tenant, pair.mentor).get(pair.path).says()
    assert "You take a break until 7 Dec 2026" in says
    assert "Your pairing takes a break." in says
    clock.forward(days=20)
    weeks = ledger(pair)
    assert [(week.granted, week.displaced) for week in weeks] == [(0, {}), (0, {}), (60, {})]
    assert loud(pair) == []


def test_break_when_it_goes_on_no_time_in_it_is_suggested(sign_in, tenant, pair):
    browser = sign_in(tenant, pair.mentor)

    def first_suggested():
        return re.search(r"start=(\d{4}-\d\d-\d\d)", browser.get(f"{pair.path}/sessions/new").text)[1]

    assert first_suggested() == "2026-11-24"
    no_time(pair, pair.mentee, "pause", weeks=2)
    assert first_suggested() == "2026-12-08"


def test_break_when_ended_early_lets_the_pair_go_on(sign_in, tenant, pair, clock):
    no_time(pair, pair.mentee, "pause", weeks=6)
    clock.forward(days=9)
    sign_in(tenant, pair.mentor).get(pair.path).submit("/go-on")
    assert "take a break until" not in sign_in(tenant, pair.mentee).get(pair.path).says()
    assert [week.granted for week in ledger(pair)] == [0, 60]


def test_break_when_another_was_lately_is_refused(pair, clock):
    from rmplugin.errors import ConflictError

    no_time(pair, pair.mentee, "pause", weeks=1)
    clock.forward(days=20)
    with pytest.raises(ConflictError, match="break_lately"):
        no_time(pair, pair.mentor, "pause")
    clock.forward(days=16)
    assert no_time(pair, pair.mentor, "pause").pause_until == date(2027, 1, 12)


@pytest.mark.parametrize("weeks", ["0", "7", "x"])
def test_break_when_not_one_to_six_weeks_is_refused(sign_in, tenant, pair, weeks):
    browser = sign_in(tenant, pair.mentee).get(f"{pair.path}/no-time")
    browser.submit("/no-time", choice="pause", weeks=weeks)
    assert browser.status == 422
    assert pair.rows(TimeNeed) == []


def test_no_time_when_few_said_it_is_counted_for_nobody_to_see(pair, sign_in, tenant, course):
    no_time(pair, pair.mentee, "shorten", reason="private")
    page = sign_in(tenant, manager=True, context=course).get("/manage/hours").says()
    assert "Private reasons" not in page


def test_stage_when_sessions_were_held_follows_them(pair):
    for held in range(4):
        need = no_time(pair, pair.mentee, "retime")
        assert need.stage == ("start", "early", "early", "later")[held]
        session = pair.hold(hours_ago=2 + 2 * held)
        pair.claim(session, pair.mentor, 60)
        pair.claim(session, pair.mentee, 60)


@pytest.mark.parametrize("path", ["hours", "no-time"])
def test_pages_when_a_manager_or_another_asks_do_not_exist(sign_in, tenant, pair, course, path):
    from tests.factories.people import make_person

    with pair.transaction() as db:
        other = make_person(db)
    stranger = sign_in(tenant, other, manager=True, context=course)
    assert stranger.get(f"{pair.path}/{path}").status == 404
    assert stranger.post(f"{pair.path}/go-on").status == 404
