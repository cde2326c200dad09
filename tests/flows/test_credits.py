"""From a confirmed session to ledger and completion."""

import threading
import time
import uuid
from datetime import UTC, datetime, timedelta

import hypothesis
import pytest
import structlog
from hypothesis import strategies as st
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from rmplugin.api import hookimpl
from rmplugin.credits import operations, queries
from rmplugin.credits.entries import CORRECTED, NOT_AGREED, Ledger
from rmplugin.credits.models import Completion, CreditEntry
from rmplugin.errors import ConflictError, NotFoundError
from rmplugin.jobs import OutboxEvent, enqueue, work_outbox
from rmplugin.notes import operations as notes
from rmplugin.notify import Notice
from rmplugin.people.models import Person
from rmplugin.people.queries import find_person
from rmplugin.policies import hours_in_hundredths
from rmplugin.programmes.models import Programme
from rmplugin.sessions import changes
from rmplugin.sessions import operations as sessions
from rmplugin.sessions.models import MentoringSession, SessionClaim
from rmplugin.wiring import make_runtime
from tests.factories.credits import (
    confirm_session,
    join_course,
    make_course,
    make_pair,
    make_person,
    review_goal,
    sign_agreement,
)


@pytest.fixture
def pair(runtime, tenant, clock):
    with runtime.database.transaction(tenant.id) as db:
        return make_pair(db, clock.now)


def confirm(runtime, tenant, pair, clock, minutes=60, **more):
    with runtime.database.transaction(tenant.id) as db:
        return confirm_session(db, pair, clock.now, minutes, **more)


def entries(runtime, tenant, person=None):
    query = select(CreditEntry).order_by(CreditEntry.id)
    if person is not None:
        query = query.where(CreditEntry.person_id == person.id)
    with runtime.database.transaction(tenant.id, write=False) as db:
        return db.scalars(query).all()


def completion(runtime, tenant, pair, person) -> Completion:
    with runtime.database.transaction(tenant.id, write=False) as db:
        return queries.completion_of(db, pair.programme.id, person.id)


def test_award_when_a_session_is_confirmed_gives_each_person_one_entry(runtime, tenant, pair, clock):
    session = confirm(runtime, tenant, pair, clock, 50, mentee_minutes=40)
    work_outbox(runtime)
    awarded = {entry.person_id: entry for entry in entries(runtime, tenant)}
    assert set(awarded) == {pair.mentor.id, pair.mentee.id}
    for entry in awarded.values():
        assert (entry.minutes, entry.amount_hundredths, entry.uncapped_hundredths) == (40, 67, 67)
        assert (entry.session_id, entry.kind, entry.unit) == (session.id, "award", "contact_hours")
        assert (entry.policy, entry.policy_version, entry.cap_applied) == ("contact_hours", 1, None)
        assert len(entry.evidence_sha256) == 64
    assert awarded[pair.mentor.id].role == "mentor"
    assert awarded[pair.mentee.id].role == "mentee"


def test_award_when_the_event_comes_twice_changes_nothing(runtime, tenant, pair, clock):
    session = confirm(runtime, tenant, pair, clock)
    with runtime.database.transaction(tenant.id) as db:
        enqueue(db, "session_confirmed", clock.now, session_id=str(session.id), minutes=60)
    work_outbox(runtime)
    clock.forward(days=1)
    with runtime.database.transaction(tenant.id) as db:
        enqueue(db, "session_confirmed", clock.now, session_id=str(session.id), minutes=60)
    work_outbox(runtime)
    assert len(entries(runtime, tenant)) == 2
    assert completion(runtime, tenant, pair, pair.mentor).minutes == 60


def test_award_when_two_workers_race_is_one_per_person(runtime, tenant, pair, clock):
    session = confirm(runtime, tenant, pair, clock)
    with runtime.database.transaction(tenant.id) as db:
        for _ in range(5):
            enqueue(db, "session_confirmed", clock.now, session_id=str(session.id), minutes=60)
    workers = [threading.Thread(target=work_outbox, args=(runtime,)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    work_outbox(runtime)
    with runtime.database.transaction(tenant.id, write=False) as db:
        states = set(db.scalars(select(OutboxEvent.state)))
        failed = db.scalar(select(func.count()).where(OutboxEvent.last_error.is_not(None)))
    assert (states, failed) == ({"done"}, 0)
    assert len(entries(runtime, tenant)) == 2


def test_completion_when_workers_race_over_sessions_counts_all(runtime, tenant, pair, clock):
    for _ in range(6):
        confirm(runtime, tenant, pair, clock, 20)
    workers = [threading.Thread(target=work_outbox, args=(runtime,)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    work_outbox(runtime)
    assert completion(runtime, tenant, pair, pair.mentor).minutes == 120
    assert completion(runtime, tenant, pair, pair.mentee).minutes == 120


def wait_until_somebody_waits(db):
    """Wait until another session of the database waits for a lock."""
    waiting = text("select count(*) from pg_locks where not granted")
    for _ in range(400):
        if db.scalar(waiting):
            return
        time.sleep(0.01)
    raise AssertionError("nobody waits")


@pytest.mark.only_on("postgresql")
def test_award_when_a_shared_transaction_is_the_victim_of_a_deadlock_gives_each_session_its_effect_once(
    runtime, tenant, clock
):
    with runtime.database.transaction(tenant.id) as db:
        pairs = [make_pair(db, clock.now) for _ in range(3)]
    for pair in pairs:
        confirm(runtime, tenant, pair, clock)
    people = sorted(one.id for pair in pairs for one in (pair.mentor, pair.mentee))
    worker = threading.Thread(target=work_outbox, args=(runtime,))
    with runtime.database.transaction(tenant.id) as db, structlog.testing.capture_logs() as logged:
        # The worker waits first, so that it is the one that finds the circle, and gives way.
        db.execute(text("set local deadlock_timeout = '60s'"))
        lock = select(Person.id).with_for_update()
        db.execute(lock.where(Person.id == people[-1]))
        worker.start()
        wait_until_somebody_waits(db)
        db.execute(lock.where(Person.id == people[0]))
        db.commit()
        worker.join()
    assert [one["code"] for one in logged if one["event"] == "events_one_by_one"] == ["OperationalError"]
    for pair in pairs:
        for person in (pair.mentor, pair.mentee):
            assert [line.minutes for line in entries(runtime, tenant, person)] == [60]
            assert completion(runtime, tenant, pair, person).percent == 50
    with runtime.database.transaction(tenant.id, write=False) as db:
        found = db.scalars(select(OutboxEvent).where(OutboxEvent.kind == "session_confirmed")).all()
    assert [(one.state, one.attempts) for one in found] == [("done", 1)] * 3


def test_award_when_a_session_is_too_long_is_capped_and_says_so(runtime, tenant, pair, clock):
    confirm(runtime, tenant, pair, clock, 200)
    work_outbox(runtime)
    entry = entries(runtime, tenant, pair.mentee)[0]
    assert (entry.minutes, entry.amount_hundredths) == (120, 200)
    assert (entry.uncapped_hundredths, entry.cap_applied) == (333, "session_120")


def test_award_when_the_session_is_not_confirmed_gives_nothing(runtime, tenant, pair, clock):
    session = confirm(runtime, tenant, pair, clock)
    with runtime.database.transaction(tenant.id) as db:
        stored = db.get(type(session), session.id)
        stored.state, stored.counted_minutes = "claimed", None
    work_outbox(runtime)
    assert entries(runtime, tenant) == []


class Listener:
    """A plug-in that hears of credits."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    @hookimpl
    def rm_credit_awarded(self, tenant_id, entry_id, person_id, minutes):  # noqa: ARG002
        self.heard.append(person_id)


def test_award_when_it_was_written_tells_plugins_that_listen_and_writes_nothing_else(
    runtime, tenant, pair, clock, settings
):
    def told():
        with runtime.database.transaction(tenant.id, write=False) as db:
            query = select(OutboxEvent.state).where(OutboxEvent.kind == "rm_credit_awarded")
            return db.scalars(query).all()

    confirm(runtime, tenant, pair, clock)
    work_outbox(runtime)
    assert told() == [], "nobody listens"
    listener = Listener()
    listening = make_runtime(settings, clock=clock, plugins=[listener])
    confirm(runtime, tenant, pair, clock)
    work_outbox(listening)
    listening.database.close()
    assert sorted(listener.heard) == sorted([str(pair.mentor.id), str(pair.mentee.id)])
    assert told() == ["done", "done"]


@pytest.mark.parametrize("statement", ["UPDATE credit_entry SET minutes = 999", "DELETE FROM credit_entry"])
def test_ledger_when_a_line_is_changed_or_deleted_refuses(runtime, tenant, pair, clock, statement):
    confirm(runtime, tenant, pair, clock)
    work_outbox(runtime)
    with pytest.raises(DBAPIError, match="append-only"), runtime.database.transaction(None) as db:
        db.connection().exec_driver_sql(statement)
    assert [entry.minutes for entry in entries(runtime, tenant)] == [60, 60]


def test_ledger_when_a_second_award_is_forced_refuses(runtime, tenant, pair, clock):
    confirm(runtime, tenant, pair, clock)
    work_outbox(runtime)
    entry = entries(runtime, tenant)[0]
    values = {c.name: getattr(entry, c.name) for c in CreditEntry.__table__.columns if c.name != "id"}
    with pytest.raises(DBAPIError), runtime.database.transaction(tenant.id) as db:
        db.add(CreditEntry(**values))


def test_completion_when_criteria_are_met_reaches_100_once(runtime, tenant, clock):
    with runtime.database.transaction(tenant.id) as db:
        pair = make_pair(db, clock.now, needs_agreement=True, needs_goal_review=True)
    percents = []

    def note():
        work_outbox(runtime)
        percents.append(completion(runtime, tenant, pair, pair.mentor).percent)

    confirm(runtime, tenant, pair, clock, 60)
    note()
    with runtime.database.transaction(tenant.id) as db:
        sign_agreement(db, pair, clock.now)
        review_goal(db, pair, pair.mentor, clock.now)
        for person in (pair.mentor, pair.mentee):
            enqueue(
                db,
                "progress_changed",
                clock.now,
                programme_id=str(pair.programme.id),
                person_id=str(person.id),
            )
    note()
    clock.forward(days=7)
    confirm(runtime, tenant, pair, clock, 59)
    note()
    clock.forward(days=7)
    confirm(runtime, tenant, pair, clock, 30)
    note()
    met_at = completion(runtime, tenant, pair, pair.mentor).met_at
    assert percents == [25, 75, 99, 100]
    assert met_at == clock.now
    # The mentee has no reviewed goal of their own.
    assert completion(runtime, tenant, pair, pair.mentee).percent == 75
    clock.forward(days=7)
    confirm(runtime, tenant, pair, clock, 30)
    work_outbox(runtime)
    assert completion(runtime, tenant, pair, pair.mentor).met_at == met_at
    with runtime.database.transaction(tenant.id, write=False) as db:
        notices = db.scalars(select(Notice).where(Notice.person_id == pair.mentor.id)).all()
    assert [notice.kind for notice in notices] == ["programme_completed"]


def test_completion_when_the_programme_asks_for_more_later_stays_met(runtime, tenant, pair, clock):
    for _ in range(2):
        confirm(runtime, tenant, pair, clock)
    work_outbox(runtime)
    with runtime.database.transaction(tenant.id) as db:
        programme = db.get(type(pair.programme), pair.programme.id)
        programme.min_sessions = 9
        operations.update_completion(
            db, programme, pair.mentor.id, (), clock.now, policies=runtime.plugins.policies
        )
    row = completion(runtime, tenant, pair, pair.mentor)
    assert row.percent == 100
    assert row.met_at is not None


def test_completion_when_a_reversal_takes_credit_away_is_unmet_and_managers_hear(runtime, tenant, clock):
    with runtime.database.transaction(tenant.id) as db:
        course = make_course(db, clock.now, "http://127.0.0.1:9", "http://127.0.0.1:9/column")
        pair = make_pair(db, clock.now, context_id=course.context.id)
        boss = make_person(db, clock.now)
        join_course(db, course, boss, "boss", clock.now, roles=("Instructor",))
    for _ in range(2):
        confirm(runtime, tenant, pair, clock)
    work_outbox(runtime)
    clock.forward(days=1)
    take_back(runtime, tenant, entries(runtime, tenant, pair.mentor)[0], clock)
    row = completion(runtime, tenant, pair, pair.mentor)
    assert (row.percent, row.minutes, row.met_at) == (50, 60, None)
    # The mentee's own line stands.
    assert completion(runtime, tenant, pair, pair.mentee).percent == 100
    told = {notice.kind: notice for notice in notices_of(runtime, tenant, boss)}
    assert set(told) == {"completion_unmet"}
    assert told["completion_unmet"].path == f"/people/{pair.mentor.id}/credits"
    own = {notice.kind: notice.read_at for notice in notices_of(runtime, tenant, pair.mentor)}
    assert own["credit_changed"] is None
    assert own["programme_completed"] is not None, "what is not so any more is not said any more"


@pytest.mark.parametrize("back", [timedelta(days=-400), timedelta(seconds=-1), timedelta(0)])
def test_completion_when_credit_is_taken_back_after_the_clock_was_set_back_is_unmet(
    runtime, tenant, pair, clock, back
):
    for _ in range(2):
        confirm(runtime, tenant, pair, clock)
    work_outbox(runtime)
    assert completion(runtime, tenant, pair, pair.mentor).percent == 100
    clock.now += back
    take_back(runtime, tenant, entries(runtime, tenant, pair.mentor)[0], clock)
    row = completion(runtime, tenant, pair, pair.mentor)
    assert (row.percent, row.met_at) == (50, None)


def test_completion_when_credit_was_taken_back_before_it_was_met_stays_met(runtime, tenant, clock):
    with runtime.database.transaction(tenant.id) as db:
        pair = make_pair(db, clock.now, needs_agreement=True)
        agreement = sign_agreement(db, pair, clock.now)
    for _ in range(3):
        confirm(runtime, tenant, pair, clock)
    work_outbox(runtime)
    clock.forward(days=1)
    take_back(runtime, tenant, entries(runtime, tenant, pair.mentor)[0], clock)
    assert completion(runtime, tenant, pair, pair.mentor).percent == 100
    # Two sessions were enough; what is gone later, and is no credit, takes nothing away.
    with runtime.database.transaction(tenant.id) as db:
        db.delete(db.get_one(type(agreement), agreement.id))
        enqueue(
            db, "progress_changed", clock.now,
            programme_id=str(pair.programme.id), person_id=str(pair.mentor.id),
        )  # fmt: skip
    work_outbox(runtime)
    assert completion(runtime, tenant, pair, pair.mentor).percent == 100


def test_award_when_minutes_are_corrected_while_the_clock_steps_back_follows_the_last_reversal(
    runtime, tenant, pair, clock
):
    session = confirm(runtime, tenant, pair, clock, 60)
    work_outbox(runtime)
    for minutes in (50, 40, 30):
        clock.forward(days=-1)
        with runtime.database.transaction(tenant.id) as db:
            claims = db.scalars(select(SessionClaim).where(SessionClaim.session_id == session.id))
            next(iter(claims)).minutes = minutes
            enqueue(db, "session_corrected", clock.now, session_id=str(session.id))
        # The event itself waits for the clock that wrote it.
        work_outbox(runtime)
        assert sums(runtime, tenant, pair.mentor)[0] == minutes
    lines = entries(runtime, tenant, pair.mentor)
    assert len(lines) == 7
    assert len({line.follows_id for line in lines if line.follows_id}) == 3


def take_back(runtime, tenant, entry, clock, reason="It was a lunch."):
    with runtime.database.transaction(tenant.id) as db:
        return operations.reverse(
            db,
            db.get_one(CreditEntry, entry.id),
            "command",
            reason,
            clock.now,
            policies=runtime.plugins.policies,
        )


def test_line_that_counts_nothing_when_taken_back_is_refused(runtime, tenant, pair, clock):
    with runtime.database.transaction(tenant.id) as db:
        db.get_one(Programme, pair.programme.id).day_cap = 60
        for _ in range(2):
            confirm_session(db, pair, clock.now, 60)
    work_outbox(runtime)
    nothing = next(line for line in entries(runtime, tenant, pair.mentor) if not line.minutes)
    with pytest.raises(ConflictError, match="counts nothing"):
        take_back(runtime, tenant, nothing, clock)
    assert sums(runtime, tenant, pair.mentor)[0] == 60


def notices_of(runtime, tenant, person):
    with runtime.database.transaction(tenant.id, write=False) as db:
        return db.scalars(select(Notice).where(Notice.person_id == person.id).order_by(Notice.id)).all()


def sums(runtime, tenant, person):
    lines = entries(runtime, tenant, person)
    return sum(line.minutes for line in lines), sum(line.amount_hundredths for line in lines)


def test_reversal_when_the_event_comes_again_stays_and_cannot_be_repeated(runtime, tenant, pair, clock):
    session = confirm(runtime, tenant, pair, clock, 50)
    work_outbox(runtime)
    award = entries(runtime, tenant, pair.mentor)[0]
    back = take_back(runtime, tenant, award, clock)
    assert (back.minutes, back.amount_hundredths, back.reverses_id) == (-50, -83, award.id)
    assert (back.reason, back.created_by, back.kind) == (None, "command", "reversal")
    with runtime.database.transaction(tenant.id, write=False) as db:
        assert queries.reasons_of(db, pair.mentor.id) == {back.id: "It was a lunch."}
    with pytest.raises(ConflictError, match="not_standing"):
        take_back(runtime, tenant, award, clock)
    with runtime.database.transaction(tenant.id) as db:
        enqueue(db, "session_confirmed", clock.now, session_id=str(session.id), minutes=50)
    work_outbox(runtime)
    assert sums(runtime, tenant, pair.mentor) == (0, 0)
    assert sums(runtime, tenant, pair.mentee) == (50, 83)


def test_reversal_when_the_evidence_is_given_anew_is_followed_by_an_award(runtime, tenant, pair, clock):
    session = confirm(runtime, tenant, pair, clock, 50)
    work_outbox(runtime)
    take_back(runtime, tenant, entries(runtime, tenant, pair.mentor)[0], clock)
    clock.forward(hours=1)
    with runtime.database.transaction(tenant.id) as db:
        db.get_one(MentoringSession, session.id).confirmed_at = clock.now
        enqueue(db, "session_corrected", clock.now, session_id=str(session.id))
    work_outbox(runtime)
    kinds = [line.kind for line in entries(runtime, tenant, pair.mentor)]
    assert kinds == ["award", "reversal", "award"]
    assert entries(runtime, tenant, pair.mentor)[2].follows_id == entries(runtime, tenant, pair.mentor)[1].id
    assert sums(runtime, tenant, pair.mentor) == (50, 83)


def test_award_when_minutes_are_corrected_is_taken_back_and_made_anew(runtime, tenant, pair, clock):
    session = confirm(runtime, tenant, pair, clock, 60)
    work_outbox(runtime)
    with runtime.database.transaction(tenant.id) as db:
        claims = db.scalars(select(SessionClaim).where(SessionClaim.session_id == session.id))
        next(iter(claims)).minutes = 50
        enqueue(db, "session_corrected", clock.now, session_id=str(session.id))
    for _ in range(2):
        work_outbox(runtime)
    lines = entries(runtime, tenant, pair.mentee)
    assert [(line.kind, line.minutes) for line in lines] == [("award", 60), ("reversal", -60), ("award", 50)]
    assert lines[1].reason == CORRECTED


def test_adjustment_when_written_counts_and_cannot_go_below_nothing(runtime, tenant, pair, clock):
    confirm(runtime, tenant, pair, clock, 60)
    work_outbox(runtime)

    def adjust(minutes, person=pair.mentor):
        with runtime.database.transaction(tenant.id) as db:
            programme, policies = db.get_one(Programme, pair.programme.id), runtime.plugins.policies
            operations.adjust(
                db, programme, person.id, minutes, "command", "A workshop.", clock.now, policies=policies
            )

    adjust(30)
    assert completion(runtime, tenant, pair, pair.mentor).minutes == 90
    adjust(-90)
    assert completion(runtime, tenant, pair, pair.mentor).minutes == 0
    with pytest.raises(ConflictError, match="below_zero"):
        adjust(-1)
    with runtime.database.transaction(tenant.id) as db:
        stranger = make_person(db, clock.now)
    with pytest.raises(NotFoundError):
        adjust(10, stranger)


def test_rules_when_changed_later_rewrite_no_line(runtime, tenant, pair, clock):
    confirm(runtime, tenant, pair, clock, 100)
    work_outbox(runtime)
    with runtime.database.transaction(tenant.id) as db:
        programme = db.get_one(Programme, pair.programme.id)
        programme.policy, programme.day_cap = "cpe50", 110
    confirm(runtime, tenant, pair, clock, 60)
    work_outbox(runtime)
    first, second = entries(runtime, tenant, pair.mentor)
    assert (first.unit, first.amount_hundredths, first.rules["per_day"]) == ("contact_hours", 167, 600)
    assert (second.unit, second.minutes, second.cap_applied) == ("cpe50", 10, "day_110")
    assert second.uncapped_hundredths == 120


def test_limits_of_days_and_years_are_those_of_the_persons_own_zone(runtime, tenant, clock):
    """At 10:30 UTC of 31 December it is 2027 on Kiritimati already, and 30 December nowhere that counts."""
    with runtime.database.transaction(tenant.id) as db:
        pair = make_pair(
            db, clock.now, day_cap=90, year_cap=150,
            mentor=make_person(db, clock.now, seniority_rank=10, time_zone="Pacific/Kiritimati"),
            mentee=make_person(db, clock.now, seniority_rank=90, time_zone="America/Los_Angeles"),
        )  # fmt: skip
    for at in (datetime(2026, 12, 31, 9), datetime(2026, 12, 31, 10, 30), datetime(2026, 12, 31, 23)):  # noqa: DTZ001
        clock.now = at.replace(tzinfo=UTC) + timedelta(hours=2)
        confirm(runtime, tenant, pair, clock, 60)
    work_outbox(runtime)

    def counted(person):
        return [(line.minutes, line.cap_applied) for line in entries(runtime, tenant, person)]

    # Kiritimati is 14 hours ahead: 23:00 of the old year, then twice the first day of the new one.
    assert counted(pair.mentor) == [(60, None), (60, None), (30, "day_90")]
    # Los Angeles is 8 hours behind: three times the last day of the year.
    assert counted(pair.mentee) == [(60, None), (30, "day_90"), (0, "day_90")]
    assert {line.rules["zone"] for line in entries(runtime, tenant, pair.mentor)} == {"Pacific/Kiritimati"}


def test_lines_when_a_limit_is_shared_out_anew_are_never_empty(runtime, tenant, clock):
    with runtime.database.transaction(tenant.id) as db:
        pair = make_pair(db, clock.now, day_cap=60, programme_cap=100)
    noon = clock.now
    for hours in (3, 4, -24):
        clock.now = noon + timedelta(hours=hours)
        confirm(runtime, tenant, pair, clock, 60)
        work_outbox(runtime)
    first, second, *later = entries(runtime, tenant, pair.mentor)
    # Nothing of the second counts; that now the programme's limit says so, too, is no line.
    assert [(first.minutes, first.cap_applied), (second.minutes, second.cap_applied)] == [
        (60, None),
        (0, "day_60"),
    ]
    assert [(line.kind, line.minutes) for line in later] == [("award", 60), ("reversal", -60), ("award", 40)]


def test_limits_when_somebody_moves_leave_what_was_counted_before(runtime, tenant, clock):
    with runtime.database.transaction(tenant.id) as db:
        mentor = make_person(db, clock.now, seniority_rank=10, time_zone="Pacific/Kiritimati")
        pair = make_pair(db, clock.now, mentor=mentor, day_cap=90)
    for hour in (11, 12):
        clock.now = datetime(2026, 12, 1, hour + 2, tzinfo=UTC)
        confirm(runtime, tenant, pair, clock, 60)
    work_outbox(runtime)
    before = [line.id for line in entries(runtime, tenant, mentor)]
    with runtime.database.transaction(tenant.id) as db:
        db.get_one(Person, mentor.id).time_zone = "America/Los_Angeles"
    clock.now = datetime(2026, 12, 1, 22, tzinfo=UTC)
    confirm(runtime, tenant, pair, clock, 60)
    work_outbox(runtime)
    lines = entries(runtime, tenant, mentor)
    assert [line.id for line in lines[:2]] == before
    assert [(line.kind, line.minutes) for line in lines] == [("award", 60), ("award", 30), ("award", 0)]


def test_preparation_when_the_programme_grants_it_is_a_line_of_its_own_and_no_contact_time(
    runtime, tenant, clock
):
    with runtime.database.transaction(tenant.id) as db:
        pair = make_pair(db, clock.now, preparation_percent=25)
    confirm(runtime, tenant, pair, clock, 59)
    work_outbox(runtime)
    lines = {line.unit: line for line in entries(runtime, tenant, pair.mentor)}
    assert {unit: line.minutes for unit, line in lines.items()} == {"contact_hours": 59, "preparation": 14}
    assert [line.unit for line in entries(runtime, tenant, pair.mentee)] == ["contact_hours"]
    assert completion(runtime, tenant, pair, pair.mentor).minutes == 59
    take_back(runtime, tenant, lines["preparation"], clock)
    assert sums(runtime, tenant, pair.mentor) == (0, 0)


def test_policy_when_its_plug_in_is_gone_keeps_the_event_for_later(runtime, tenant, pair, clock):
    with runtime.database.transaction(tenant.id) as db:
        db.get_one(Programme, pair.programme.id).policy = "gone"
    confirm(runtime, tenant, pair, clock)
    work_outbox(runtime)
    assert entries(runtime, tenant) == []
    with runtime.database.transaction(tenant.id, write=False) as db:
        events = db.scalars(select(OutboxEvent).where(OutboxEvent.kind == "session_confirmed")).all()
    assert {event.state for event in events} == {"pending"}


def test_dispute_when_it_follows_a_confirmation_takes_the_award_back_until_they_agree(
    runtime, tenant, pair, clock
):
    session = confirm(runtime, tenant, pair, clock, 60)
    work_outbox(runtime)

    def says(verb, person, minutes):
        clock.forward(hours=1)
        with runtime.database.transaction(tenant.id) as db:
            verb(db, db.get_one(MentoringSession, session.id), person.id, minutes, clock.now)
        work_outbox(runtime)

    says(changes.correct, pair.mentor, 30)
    assert sums(runtime, tenant, pair.mentor) == sums(runtime, tenant, pair.mentee) == (0, 0)
    assert entries(runtime, tenant, pair.mentee)[-1].reason == NOT_AGREED
    says(sessions.claim, pair.mentee, 40)
    assert sums(runtime, tenant, pair.mentor) == sums(runtime, tenant, pair.mentee) == (30, 50)
    assert [line.kind for line in entries(runtime, tenant, pair.mentor)] == ["award", "reversal", "award"]


def test_completion_when_a_note_is_asked_for_counts_that_there_is_one(runtime, tenant, clock):
    with runtime.database.transaction(tenant.id) as db:
        pair = make_pair(db, clock.now, min_sessions=1, min_minutes=30, min_reflections=1)
    session = confirm(runtime, tenant, pair, clock, 60)
    work_outbox(runtime)
    assert completion(runtime, tenant, pair, pair.mentor).percent == 66
    with runtime.database.transaction(tenant.id) as db:
        line = {"takeaway": "Ask first.", "share_takeaway": False}
        secrets = runtime.database.secrets
        notes.keep_takeaway(db, secrets, pair.pairing, session.id, pair.mentor.id, line, clock.now)
    work_outbox(runtime)
    assert completion(runtime, tenant, pair, pair.mentor).percent == 100
    assert completion(runtime, tenant, pair, pair.mentee).percent == 66


def test_award_when_a_session_is_gone_gives_the_others_of_its_transaction_their_effect(
    runtime, tenant, pair, clock
):
    with structlog.testing.capture_logs() as logged:
        with runtime.database.transaction(tenant.id) as db:
            enqueue(db, "session_confirmed", clock.now, session_id=str(uuid.UUID(int=7)), minutes=60)
        confirm(runtime, tenant, pair, clock)
        work_outbox(runtime)
    assert [one["session"] for one in logged if one["event"] == "award_without_session"] == [
        str(uuid.UUID(int=7))
    ]
    assert [line.minutes for line in entries(runtime, tenant, pair.mentor)] == [60]
    with runtime.database.transaction(tenant.id, write=False) as db:
        assert set(db.scalars(select(OutboxEvent.state))) == {"done"}


# Sessions of one person: (programme, day, minutes).
SESSIONS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 3), st.integers(1, 240)), min_size=2, max_size=5
)
CAP = st.one_of(st.none(), st.integers(20, 400))


@hypothesis.settings(
    max_examples=6,
    deadline=None,
    phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@hypothesis.given(
    held=SESSIONS, day=CAP, year=CAP, programme=CAP, zone=st.sampled_from(["UTC", "Pacific/Kiritimati"])
)
def test_award_of_many_at_once_writes_what_the_whole_ledger_would(
    runtime, tenant, clock, held, day, year, programme, zone
):
    """Where no cap is reached, the rest of the ledger is not looked at; that must make no difference."""
    caps = {"day_cap": day, "year_cap": year, "programme_cap": programme, "preparation_percent": 10}
    with runtime.database.transaction(tenant.id) as db:
        mentor = make_person(db, clock.now, seniority_rank=10, time_zone=zone)
        pairs = [make_pair(db, clock.now, mentor=mentor, **caps) for _ in range(2)]
        for number, (of, on, minutes) in enumerate(held):
            moment = datetime(2026, 12, 30, number + 4, tzinfo=UTC) + timedelta(days=on)
            confirm_session(db, pairs[of], moment, minutes)
    clock.now = datetime(2027, 1, 5, tzinfo=UTC)
    work_outbox(runtime)
    assert entries(runtime, tenant, mentor) != []
    with runtime.database.transaction(tenant.id) as db:
        ledger = Ledger(db, mentor.id, runtime.plugins.policies, clock.now)
        ledger.settle()
        assert ledger.written == []


@hypothesis.settings(
    max_examples=8,
    deadline=None,
    # Each example plays a whole story; a smaller one that fails, too, takes long to find.
    phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@hypothesis.given(
    held=SESSIONS,
    caps=st.tuples(CAP, CAP, CAP, CAP),
    zone=st.sampled_from(["UTC", "Pacific/Kiritimati", "America/Los_Angeles", "Asia/Kathmandu"]),
    order=st.randoms(use_true_random=False),
)
def test_ledger_in_whatever_order_sessions_are_confirmed_gives_the_same(
    runtime, tenant, clock, held, caps, zone, order
):
    day, year, first, second = caps
    totals = []
    for shuffled in (False, True):
        with runtime.database.transaction(tenant.id) as db:
            mentor = make_person(db, clock.now, seniority_rank=10, time_zone=zone)
            common = {"day_cap": day, "year_cap": year, "preparation_percent": 10}
            pairs = [
                make_pair(db, clock.now, mentor=mentor, programme_cap=cap, **common)
                for cap in (first, second)
            ]
        held_ones = []
        for number, (programme, on, minutes) in enumerate(held):
            with runtime.database.transaction(tenant.id) as db:
                # Two days on each side of a new year.
                moment = datetime(2026, 12, 30, number + 4, tzinfo=UTC) + timedelta(days=on)
                held_ones.append(confirm_session(db, pairs[programme], moment, minutes, told=False))
        if shuffled:
            order.shuffle(held_ones)
        with runtime.database.transaction(tenant.id) as db:
            for session in held_ones:
                db.get_one(MentoringSession, session.id).state = "scheduled"
                db.get_one(MentoringSession, session.id).counted_minutes = None
        for session in held_ones:
            with runtime.database.transaction(tenant.id) as db:
                row = db.get_one(MentoringSession, session.id)
                row.state, row.counted_minutes = "confirmed", session.counted_minutes
                enqueue(db, "session_confirmed", clock.now, session_id=str(session.id))
            work_outbox(runtime)
        lines = entries(runtime, tenant, mentor)
        per_unit = {}
        for line in lines:
            minutes, amount = per_unit.get((line.programme_id, line.unit), (0, 0))
            per_unit[line.programme_id, line.unit] = minutes + line.minutes, amount + line.amount_hundredths
        # The sum of the parts is what the policy makes of the whole.
        assert all(amount == hours_in_hundredths(minutes) for minutes, amount in per_unit.values())
        totals.append(
            [
                (per_unit.get((pair.programme.id, unit), (0, 0)), completion(runtime, tenant, pair, mentor))
                for pair in pairs
                for unit in ("contact_hours", "preparation")
            ]
        )
    plain, mixed = (
        [(unit, (row.percent, row.minutes) if row else (0, 0)) for unit, row in one] for one in totals
    )
    assert plain == mixed


def test_find_person_when_named_by_number_id_or_address_finds_them(runtime, tenant, clock):
    with runtime.database.transaction(tenant.id) as db:
        person = make_person(db, clock.now, employee_number="0042", email_folded="a@b.example")
        for reference in ("0042", str(person.id), "A@b.example"):
            assert find_person(db, reference).id == person.id
