"""Meeting: kinds and ideas, both zones, suggestions that know calendars, changes on record, attestation."""

from datetime import timedelta

import pytest
from sqlalchemy import event, update

from rmplugin.audit import AuditEntry
from rmplugin.errors import ConflictError
from rmplugin.freebusy.models import BusyCalendar
from rmplugin.jobs import OutboxEvent
from rmplugin.matching.models import Pairing
from rmplugin.messages import operations as messages
from rmplugin.notify import Notice
from rmplugin.programmes.models import Programme
from rmplugin.sessions import changes, operations, queries
from rmplugin.sessions.models import MentoringSession
from tests.factories.pairs import make_pair
from tests.factories.programmes import make_context

WEEKS = timedelta(weeks=1)


@pytest.fixture
def pair(runtime, tenant):
    return make_pair(runtime, tenant)


@pytest.fixture
def course(pair):
    with pair.transaction() as db:
        context = make_context(db)
        db.execute(update(Programme).where(Programme.id == pair.programme.id).values(context_id=context.id))
    return context


def only(pair):
    return pair.rows(MentoringSession)[0]


def ask(pair, session, person, now):
    with pair.transaction() as db:
        operations.ask_attestation(db, db.get_one(MentoringSession, session.id), person.id, now)


def test_first_session_when_planned_is_suggested_as_such_and_the_next_is_regular(sign_in, tenant, pair):
    browser = sign_in(tenant, pair.mentor).get(f"{pair.path}/sessions/new")
    browser.submit("/sessions")
    assert only(pair).kind == "first"
    pair.agree()
    form = browser.get(f"{pair.path}/sessions/new")
    assert form.forms()[0]["fields"]["kind"] == ["regular"]
    form.submit("/sessions", kind="briefing")
    assert pair.rows(MentoringSession)[-1].kind == "briefing"
    assert form.get(f"{pair.path}/sessions/new").submit("/sessions", kind="party").status == 422


def test_session_when_zones_differ_shows_both_moments(sign_in, tenant, pair):
    session = pair.plan(pair.mentor, pair.now + timedelta(days=1))
    says = sign_in(tenant, pair.mentor).get(f"/sessions/{session.id}").says()
    assert "Tue 24 Nov 2026, 10:00 (Europe/Berlin)" in says
    assert "For Sven Senior: Tue 24 Nov 2026, 09:00 (Europe/London)" in says


def test_agenda_point_when_an_idea_is_tapped_stands_there_once(sign_in, tenant, pair):
    session = pair.plan(pair.mentor, pair.now + timedelta(days=1), agenda="")
    browser = sign_in(tenant, pair.mentee).get(f"/sessions/{session.id}")
    browser.submit("/agenda")
    point = only(pair).agenda
    assert point
    browser.post(f"/sessions/{session.id}/agenda", point=point)
    browser.submit("/agenda", point="My own point")
    assert only(pair).agenda == f"{point}\nMy own point"


def test_agenda_when_full_or_the_session_has_begun_takes_no_more(sign_in, tenant, pair, clock):
    session = pair.plan(pair.mentor, pair.now + timedelta(days=1), agenda="x" * 990)
    browser = sign_in(tenant, pair.mentee)
    assert browser.post(f"/sessions/{session.id}/agenda", point="One point more").status == 422
    clock.forward(days=2)
    browser = sign_in(tenant, pair.mentee)
    assert browser.post(f"/sessions/{session.id}/agenda", point="x").status == 409


def test_suggestions_when_a_calendar_says_busy_leave_that_out(pair, runtime):
    earliest = pair.now + timedelta(days=1)

    def starts():
        with pair.transaction() as db:
            pairing = pair.get(db)
            known = queries.sessions_of_both(db, pairing)
            return queries.common_starts(db, pairing, earliest, 60, known)

    free = starts()
    busy = [free[0].isoformat(), (free[0] + timedelta(hours=2)).isoformat()]
    with pair.transaction() as db:
        locked = runtime.database.secrets.lock("https://cal.example/a.ics")
        db.add(
            BusyCalendar(
                person_id=pair.mentee.id,
                url_locked=locked,
                busy=[busy],
                next_at=pair.now,
                created_at=pair.now,
            )
        )
    assert starts()[0] == free[0] + timedelta(hours=2)


def test_suggestions_when_one_of_the_two_meets_then_leave_that_out(pair):
    def first():
        with pair.transaction() as db:
            pairing, earliest = pair.get(db), pair.now + timedelta(days=1)
            known = queries.sessions_of_both(db, pairing)
            return queries.common_starts(db, pairing, earliest, 60, known)[0]

    taken = first()
    pair.plan(pair.mentor, taken)
    assert first() == taken + timedelta(hours=1)


def test_suggestion_when_chosen_fills_the_form(sign_in, tenant, pair):
    browser = sign_in(tenant, pair.mentor)
    fields = browser.get(f"{pair.path}/sessions/new?start=2026-12-01T14:00:00%2B00:00").forms()[0]["fields"]
    assert (fields["on"], fields["at"]) == (["2026-12-01"], ["15:00"])
    for wrong in ("nonsense", "0001-01-01T00:00:00%2B00:00", "9999-12-31T23:59:59-12:00"):
        assert browser.get(f"{pair.path}/sessions/new?start={wrong}").status == 200


def test_change_when_moved_with_a_cause_is_on_record_and_the_cause_not_on_the_partners_page(
    sign_in, tenant, pair
):
    session = pair.plan(pair.mentor, pair.now + timedelta(days=1))
    mentee = sign_in(tenant, pair.mentee).get(f"/sessions/{session.id}/move")
    mentee.submit("/move", on="2026-11-26", reason="travel")
    assert "by Sven Senior on 23 Nov 2026" in mentee.says()
    assert "you gave as cause: Travel" in mentee.says()
    mentor = sign_in(tenant, pair.mentor).get(f"/sessions/{session.id}").says()
    assert "by Sven Senior on 23 Nov 2026" in mentor
    assert "Travel" not in mentor.partition("What you take on")[0].partition("Add an agenda point")[0]


def lapse(pair, clock):
    """Let two weeks go by, with the worker looking after sessions each day."""
    for _ in range(15):
        clock.forward(days=1)
        with pair.transaction() as db:
            changes.look_after(db, clock.now)


def kinds_of(pair, person):
    return [notice.kind for notice in pair.rows(Notice, person_id=person.id)]


def test_session_when_a_word_is_missing_reminds_that_person_twice_and_lapses(sign_in, tenant, pair, clock):
    session = pair.hold()
    pair.claim(session, pair.mentor, 60)
    seen = []
    for day in range(1, 16):
        clock.forward(days=1)
        with pair.transaction() as db:
            changes.look_after(db, clock.now)
        seen += [day] * (kinds_of(pair, pair.mentee).count("session_reminder") - len(seen))
    assert seen == [3, 10]
    assert "session_reminder" not in kinds_of(pair, pair.mentor)
    assert only(pair).state == "lapsed"
    for person in (pair.mentor, pair.mentee):
        assert kinds_of(pair, person).count("session_lapsed") == 1
    with pytest.raises(ConflictError, match="session_lapsed"):
        pair.claim(session, pair.mentee, 60)
    assert pair.rows(OutboxEvent, kind="session_confirmed") == []
    assert "This session has lapsed" in sign_in(tenant, pair.mentee).get(f"/sessions/{session.id}").says()


def test_session_when_lengths_differ_asks_both_and_lapses_without_agreement(pair, clock):
    session = pair.hold()
    pair.claim(session, pair.mentor, 60)
    clock.forward(days=9)
    pair.claim(session, pair.mentee, 30)
    lapse(pair, clock)
    for person in (pair.mentor, pair.mentee):
        assert kinds_of(pair, person).count("session_reminder") == 2
        assert kinds_of(pair, person).count("session_lapsed") == 1
    assert only(pair).state == "lapsed"


def test_session_when_the_worker_stood_still_is_reminded_before_it_lapses(pair, clock):
    pair.claim(pair.hold(), pair.mentor, 60)
    clock.forward(days=40)
    states = []
    for _ in range(12):
        with pair.transaction() as db:
            changes.look_after(db, clock.now)
        states.append((only(pair).state, only(pair).reminders))
        clock.forward(days=1)
    assert states == [("claimed", 1)] * 7 + [("claimed", 2)] * 4 + [("lapsed", 2)]


def test_session_when_the_pair_is_on_hold_neither_reminds_nor_lapses(pair, clock):
    pair.claim(pair.hold(), pair.mentor, 60)
    with pair.transaction() as db:
        held = {"state": "suspended", "interruption": "reporting_line", "interrupted_at": pair.now}
        db.execute(update(Pairing).values(**held))
    lapse(pair, clock)
    assert (only(pair).state, only(pair).reminders) == ("claimed", 0)


def test_attestation_when_one_word_waits_two_weeks_makes_it_count_with_its_reason(
    sign_in, tenant, pair, course, clock
):
    session = pair.hold()
    pair.claim(session, pair.mentor, 60)
    browser = sign_in(tenant, pair.mentor)
    assert "Ask the manager to attest it" not in browser.get(f"/sessions/{session.id}").says()
    lapse(pair, clock)
    browser = sign_in(tenant, pair.mentor)
    browser.get(f"/sessions/{session.id}").submit("/ask-attestation")
    assert "was asked on" in browser.says()
    manager = sign_in(tenant, manager=True, context=course)
    assert "Sessions that somebody asks you to attest: 1." in manager.get("/manage").says()
    page = manager.get("/manage/attestations")
    assert "Mira Junior said 60 minutes." in page.says()
    page.get(f"/manage/sessions/{session.id}/attest")
    assert "Prompts that work" not in page.says()
    for nothing in ("", "  x "):
        page.submit("/attest", reason=nothing)
        assert page.status == 422
        assert "Please write how you know" in page.says()
    page.submit("/attest", reason="Both told me.")
    assert (only(pair).state, only(pair).counted_minutes) == ("confirmed", 60)
    assert [row.action for row in pair.rows(AuditEntry, subject_id=session.id)] == ["session.attest"]
    assert len(pair.rows(OutboxEvent, kind="session_confirmed")) == 1
    words = browser.get(f"/sessions/{session.id}").says()
    assert "Attested by the programme manager on 8 Dec 2026: “Both told me.”" in words
    assert "60 minutes are attested." in words
    assert "the lower of your two numbers" not in words
    again = {"answer": "yes", "reason": "Once more."}
    assert manager.post(f"/manage/sessions/{session.id}/attest", **again).status == 409


def test_attestation_when_refused_does_not_count_and_is_not_asked_again(sign_in, tenant, pair, course, clock):
    session = pair.hold()
    pair.claim(session, pair.mentor, 60)
    clock.forward(days=15)
    ask(pair, session, pair.mentor, clock.now)
    sign_in(tenant, manager=True, context=course).post(f"/manage/sessions/{session.id}/attest", answer="no")
    assert (only(pair).state, only(pair).attested_at) == ("lapsed", None)
    with pytest.raises(ConflictError, match="no_attestation"):
        ask(pair, session, pair.mentor, clock.now)
    assert pair.rows(OutboxEvent, kind="session_confirmed") == []


def test_attestation_when_not_asked_or_of_another_course_or_ones_own_is_refused(
    sign_in, tenant, pair, course, clock
):
    session = pair.hold()
    pair.claim(session, pair.mentor, 60)
    path = f"/manage/sessions/{session.id}/attest"
    clock.forward(days=13)
    with pytest.raises(ConflictError, match="no_attestation"):
        ask(pair, session, pair.mentor, clock.now)
    clock.forward(days=2)
    manager = sign_in(tenant, manager=True, context=course)
    yes = {"answer": "yes", "reason": "I was there."}
    assert manager.post(path, **yes).status == 404
    with pytest.raises(ConflictError, match="no_attestation"):
        ask(pair, session, pair.mentee, clock.now)
    ask(pair, session, pair.mentor, clock.now)
    with pair.transaction() as db:
        elsewhere = make_context(db, "Another course")
    assert sign_in(tenant, manager=True, context=elsewhere).post(path, **yes).status == 403
    assert sign_in(tenant, manager=True, context=elsewhere).get(path).status == 403
    own = sign_in(tenant, pair.mentee, manager=True, context=course)
    assert own.post(path, **yes).status == 409
    assert "a session of your own" in own.get(path).says()
    assert only(pair).attested_at is None


def test_length_when_corrected_counts_anew_or_asks_both_again(sign_in, tenant, pair, clock):
    session = pair.hold()
    for person in (pair.mentor, pair.mentee):
        pair.claim(session, person, 60)
    clock.forward(days=1)
    browser = sign_in(tenant, pair.mentor).get(f"/sessions/{session.id}")
    browser.submit("/correct", minutes="50")
    assert "It counts 50 minutes now." in browser.says()
    assert (only(pair).state, only(pair).counted_minutes) == ("confirmed", 50)
    browser.submit("/correct", minutes="30")
    assert "The two of you gave different lengths" in browser.says()
    assert (only(pair).state, only(pair).counted_minutes) == ("disputed", None)
    for path in ("/home", f"/pairings/{pair.pairing.id}"):
        words = browser.get(path).says()
        assert "different lengths for a session" in words
        assert "Did your session take place" not in words
    assert len(pair.rows(OutboxEvent, kind="session_corrected")) == 1
    pair.claim(session, pair.mentee, 35)
    assert (only(pair).state, only(pair).counted_minutes) == ("confirmed", 30)
    assert len(pair.rows(OutboxEvent, kind="session_confirmed")) == 3
    clock.forward(days=14)
    assert "Was it another length?" not in sign_in(tenant, pair.mentor).get(f"/sessions/{session.id}").says()
    with pytest.raises(ConflictError, match="not_correctable"), pair.transaction() as db:
        changes.correct(db, db.get_one(MentoringSession, session.id), pair.mentor.id, 60, clock.now)


@pytest.mark.parametrize(
    "page", ["session", "sessions/new", "messages", "notes", "actions", "hours", "no-time"]
)
def test_pages_of_meeting_when_opened_ask_the_database_twelve_times_at_most(sign_in, tenant, pair, page):
    pair.agree()
    session = pair.hold()
    pair.claim(session, pair.mentor, 60)
    with pair.transaction() as db:
        messages.write(db, pair.runtime.database.secrets, pair.get(db), pair.mentee.id, "Hello", pair.now)
    browser = sign_in(tenant, pair.mentor)
    statements = []

    def note(*given):
        statements.append(given[2])

    event.listen(pair.runtime.database.engine, "before_cursor_execute", note)
    try:
        browser.get(f"/sessions/{session.id}" if page == "session" else f"{pair.path}/{page}")
    finally:
        event.remove(pair.runtime.database.engine, "before_cursor_execute", note)
    assert browser.status == 200
    assert len(statements) <= 12, statements
