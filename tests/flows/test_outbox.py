"""The outbox: every event has its effect once, whatever its handler or a plug-in does."""

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from rmplugin import hookspecs, jobs
from rmplugin.jobs import OutboxEvent, enqueue, revive_dead, wait_after, work_outbox
from rmplugin.notify import Notice
from rmplugin.wiring import make_runtime


def put(runtime, tenant, kind="thing", count=1, **payload):
    with runtime.database.transaction(tenant.id) as db:
        for _ in range(count):
            enqueue(db, kind, runtime.clock(), **payload)


def events(runtime, tenant):
    with runtime.database.transaction(tenant.id, write=False) as db:
        return db.scalars(select(OutboxEvent).order_by(OutboxEvent.id)).all()


def leave_notice(db, payload, now):
    db.add(Notice(person_id=db.tenant_id, kind="test", text="", created_at=now))


def notices(runtime, tenant) -> int:
    with runtime.database.transaction(tenant.id, write=False) as db:
        return db.scalar(select(func.count()).select_from(Notice))


def test_event_when_its_transaction_rolls_back_never_was(runtime, tenant, clock):
    def fail():
        with runtime.database.transaction(tenant.id) as db:
            enqueue(db, "thing", clock.now)
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert events(runtime, tenant) == []


def test_event_when_its_handler_fails_is_undone_and_tried_again(runtime, tenant, clock):
    broken = True

    def handler(db, payload, now):
        leave_notice(db, payload, now)
        if broken:
            raise ValueError("secret words")

    runtime = replace(runtime, handlers={"thing": (handler,)})
    put(runtime, tenant)
    assert work_outbox(runtime) == 0
    event = events(runtime, tenant)[0]
    assert (event.state, event.attempts, event.last_error) == ("pending", 1, "ValueError")
    assert notices(runtime, tenant) == 0
    assert work_outbox(runtime) == 0, "it is not due yet"
    broken = False
    clock.forward(minutes=1)
    assert work_outbox(runtime) == 1
    assert (events(runtime, tenant)[0].state, notices(runtime, tenant)) == ("done", 1)


def test_event_when_given_up_can_be_revived(runtime, tenant, clock):
    def handler(db, payload, now):
        raise ValueError

    sick = replace(runtime, handlers={"thing": (handler,)})
    put(sick, tenant)
    for _ in range(jobs.MOST_ATTEMPTS):
        work_outbox(sick)
        clock.forward(hours=7)
    assert events(runtime, tenant)[0].state == "dead"
    with runtime.database.transaction(tenant.id) as db:
        assert revive_dead(db, clock.now) == 1
    well = replace(runtime, handlers={"thing": (leave_notice,)})
    assert work_outbox(well) == 1
    assert notices(runtime, tenant) == 1


def test_events_when_one_is_broken_the_others_go_on(runtime, tenant):
    def handler(db, payload, now):
        if payload["number"] == 1:
            raise ValueError
        leave_notice(db, payload, now)

    runtime = replace(runtime, handlers={"thing": (handler,)})
    for number in range(3):
        put(runtime, tenant, number=number)
    assert work_outbox(runtime) == 2
    assert [event.state for event in events(runtime, tenant)] == ["done", "pending", "done"]


def test_events_when_more_than_one_batch_are_all_worked_in_order(runtime, tenant):
    seen = []
    runtime = replace(
        runtime, handlers={"thing": (lambda _db, payload, _now: seen.append(payload["number"]),)}
    )
    with runtime.database.transaction(tenant.id) as db:
        for number in range(25):
            enqueue(db, "thing", runtime.clock(), number=number)
            db.flush()
    assert work_outbox(runtime, limit=10) == 25
    assert seen == list(range(25))


def test_events_when_several_workers_race_take_effect_once(runtime, tenant):
    runtime = replace(runtime, handlers={"thing": (leave_notice,)})
    put(runtime, tenant, count=20)
    workers = [threading.Thread(target=work_outbox, args=(runtime,)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    work_outbox(runtime)
    assert notices(runtime, tenant) == 20


class Listener:
    """A plug-in that writes to the database on its own, as a slow one could while others work."""

    def __init__(self) -> None:
        self.heard = []
        self.work = lambda: None

    @hookspecs.hookimpl
    def rm_credit_awarded(self, tenant_id, entry_id, person_id, minutes):
        self.heard.append((tenant_id, entry_id, person_id, minutes))
        self.work()


@pytest.fixture
def listener():
    return Listener()


@pytest.fixture
def listening(settings, clock, listener):
    runtime = make_runtime(settings, clock=clock, plugins=[listener])
    yield runtime
    runtime.database.close()
    runtime.queue.storage.close()


def test_plugin_when_told_is_outside_of_any_transaction(listening, listener, tenant):
    listener.work = lambda: put(listening, tenant, "other")
    put(listening, tenant, "credit_awarded", entry_id="e", person_id="p", minutes=5)
    work_outbox(listening)
    assert listener.heard == [(str(tenant.id), "e", "p", 5)]
    assert {event.state for event in events(listening, tenant)} == {"done"}


def test_plugin_when_it_raises_undoes_nothing(listening, listener, tenant):
    def fail():
        raise ValueError("boom")

    listener.work = fail
    put(listening, tenant, "credit_awarded", entry_id="e", person_id="p", minutes=5)
    work_outbox(listening)
    assert {event.state for event in events(listening, tenant)} == {"done"}


def test_plugin_when_the_worker_dies_while_telling_hears_it_again_later(listening, listener, tenant, clock):
    def die():
        raise SystemExit

    listener.work = die
    put(listening, tenant, "credit_awarded", entry_id="e", person_id="p", minutes=5)
    with pytest.raises(SystemExit):
        work_outbox(listening)
    listener.work = lambda: None
    work_outbox(listening)
    assert len(listener.heard) == 1, "another worker leaves it alone for a while"
    clock.forward(minutes=10)
    work_outbox(listening)
    assert len(listener.heard) == 2
    assert {event.state for event in events(listening, tenant)} == {"done"}


def test_wait_when_attempts_grow_doubles_up_to_six_hours():
    assert [wait_after(n) for n in (1, 2, 3)] == [timedelta(minutes=m) for m in (1, 2, 4)]
    assert wait_after(9) == timedelta(minutes=256)
    assert wait_after(10) == wait_after(10**6) == timedelta(hours=6)


def test_events_when_one_of_many_fails_gives_every_other_its_effect_once(runtime, tenant):
    def note(db, payload, now):
        if payload["number"] == 7:
            raise ValueError("seven")
        enqueue(db, "noted", now, number=payload["number"])

    runtime = replace(runtime, handlers={"thing": (note,)})
    with runtime.database.transaction(tenant.id) as db:
        for number in range(12):
            enqueue(db, "thing", runtime.clock(), number=number)
            db.flush()
    assert work_outbox(runtime, kind="thing") == 11
    found = events(runtime, tenant)
    assert [e.payload["number"] for e in found if e.kind == "thing" and e.state == "pending"] == [7]
    assert [e.attempts for e in found if e.kind == "thing"] == [1] * 12
    assert [e.payload["number"] for e in found if e.kind == "noted"] == [n for n in range(12) if n != 7]
