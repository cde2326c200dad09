"""From a confirmed session to ledger and completion."""

import threading

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError

from rmplugin.api import hookimpl
from rmplugin.credits import operations, queries
from rmplugin.credits.models import Completion, CreditEntry
from rmplugin.jobs import OutboxEvent, enqueue, work_outbox
from rmplugin.notify import Notice
from rmplugin.people.queries import find_person
from rmplugin.wiring import make_runtime
from tests.factories.credits import (
    confirm_session,
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
        assert (entry.session_id, entry.kind, entry.unit) == (session.id, "award", "contact_minutes")
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
        operations.update_completion(db, programme, pair.mentor.id, (), clock.now)
    row = completion(runtime, tenant, pair, pair.mentor)
    assert row.percent == 100
    assert row.met_at is not None


def test_completion_when_a_reversal_takes_credit_away_is_unmet(runtime, tenant, pair, clock):
    for _ in range(2):
        confirm(runtime, tenant, pair, clock)
    work_outbox(runtime)
    clock.forward(days=1)
    award = entries(runtime, tenant, pair.mentor)[0]
    columns = [c.name for c in CreditEntry.__table__.columns if c.name != "id"]
    values = {name: getattr(award, name) for name in columns}
    values |= {
        "kind": "reversal",
        "reverses_id": award.id,
        "minutes": -award.minutes,
        "amount_hundredths": -award.amount_hundredths,
        "created_at": clock.now,
    }
    with runtime.database.transaction(tenant.id) as db:
        db.add(CreditEntry(**values))
        db.flush()
        operations.update_completion(db, pair.programme, pair.mentor.id, (), clock.now)
    row = completion(runtime, tenant, pair, pair.mentor)
    assert (row.percent, row.minutes, row.met_at) == (50, 60, None)


def test_find_person_when_named_by_number_id_or_address_finds_them(runtime, tenant, clock):
    with runtime.database.transaction(tenant.id) as db:
        person = make_person(db, clock.now, employee_number="0042", email_folded="a@b.example")
        for reference in ("0042", str(person.id), "A@b.example"):
            assert find_person(db, reference).id == person.id
