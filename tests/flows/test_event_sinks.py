"""From the ledger to systems that take it as events: each line once, whatever happens on the way."""

import json
import threading
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from rmplugin.api import FatalError, RetriableError, SinkAnswer
from rmplugin.credits import confirming, events, operations, tasks
from rmplugin.credits.models import Delivery
from rmplugin.data_requests.operations import erase_person
from rmplugin.destinations import operations as destinations
from rmplugin.destinations.models import Brake, SinkAccount
from rmplugin.destinations.queries import get_account
from rmplugin.errors import ConflictError, InputError
from rmplugin.jobs import enqueue, work_outbox
from rmplugin.people.models import Person
from rmplugin.wiring import make_runtime
from tests.factories.credits import confirm_session, make_pair
from tests.factories.sinks import RecordStore, connect, entries_of, reverse


@pytest.fixture
def sink():
    return RecordStore()


@pytest.fixture
def other():
    return RecordStore("other")


@pytest.fixture
def plugins(sink, other):
    return [sink, other]


class Ledger:
    """A pair whose confirmed sessions make the ledger."""

    def __init__(self, runtime, tenant, clock, **fields) -> None:
        self.runtime, self.tenant, self.clock = runtime, tenant, clock
        with self.db() as db:
            self.pair = make_pair(db, clock.now, **{"min_sessions": 9, "min_minutes": 900, **fields})

    def db(self):
        return self.runtime.database.transaction(self.tenant.id)

    def confirm(self, count=1):
        for _ in range(count):
            with self.db() as db:
                confirm_session(db, self.pair, self.clock.now)
        work_outbox(self.runtime)

    def work(self):
        work_outbox(self.runtime)
        return tasks.deliver_due(self.runtime)

    def take_back(self, number=0):
        """Reverse a line of the mentee, and bring their completion up to date."""
        with self.db() as db:
            entry = [e for e in entries_of(db, self.pair.mentee.id) if e.kind == "award"][number]
            reverse(db, entry, self.clock.now)
            ids = {"programme_id": self.pair.programme.id, "person_id": self.pair.mentee.id}
            enqueue(db, "progress_changed", self.clock.now, **{key: str(one) for key, one in ids.items()})
        work_outbox(self.runtime)

    def rows(self, *states):
        query = select(Delivery).where(Delivery.account_id.is_not(None))
        query = query.order_by(Delivery.created_at, Delivery.id)
        with self.db() as db:
            return db.scalars(query.where(Delivery.state.in_(states)) if states else query).all()

    def states(self):
        return sorted(row.state for row in self.rows())


@pytest.fixture
def ledger(runtime, tenant, clock):
    return Ledger(runtime, tenant, clock)


@pytest.fixture
def account(runtime, tenant, sink):
    return connect(runtime, tenant, sink)


def test_session_when_confirmed_is_told_to_each_account_once(ledger, account, sink, other, runtime, tenant):
    connect(runtime, tenant, other, "second")
    ledger.confirm(2)
    ledger.work()
    ledger.work()
    with ledger.db() as db:
        lines = {str(entry.id): entry for entry in entries_of(db)}
    assert len(lines) == 4
    for store in (sink, other):
        assert store.calls == [list(store.records)], "one call has room for all"
        told = [(r.person_id, r.session_id, r.minutes, r.amount_hundredths) for r in store.records.values()]
        assert sorted(told) == sorted(
            (str(e.person_id), str(e.session_id), e.minutes, e.amount_hundredths) for e in lines.values()
        )
    assert set(sink.records).isdisjoint(other.records), "each sink has ids of its own"
    assert set(ledger.states()) == {"delivered"}


def test_record_when_given_is_whole_and_its_row_names_nobody(ledger, account, sink):
    ledger.confirm()
    ledger.work()
    pair = ledger.pair
    record = next(r for r in sink.records.values() if r.person_id == str(pair.mentee.id))
    assert (record.kind, record.role, record.reverses, record.attempts) == ("award", "mentee", None, 1)
    assert (record.display_name, record.employee_number) == (
        pair.mentee.display_name,
        pair.mentee.employee_number,
    )
    assert (record.programme_name, record.pairing_id) == (pair.programme.name, str(pair.pairing.id))
    assert record.ended_at - record.started_at == timedelta(minutes=record.minutes)
    assert (record.unit, record.policy) == ("contact_hours", "contact_hours/1")
    stored = json.dumps([row.payload for row in ledger.rows()])
    for person in (pair.mentor, pair.mentee):
        assert person.display_name not in stored
        assert str(person.id) not in stored
    assert sink.settings[0] == {"url": "https://lrs.example", "token": "right"}


def test_line_when_blocked_by_its_system_has_nothing_to_do_with_the_course(ledger, account):
    ledger.confirm()
    with ledger.db() as db:
        for row in db.scalars(select(Delivery).where(Delivery.account_id.is_not(None))):
            row.state, row.last_error, row.last_status = "blocked", "No employee number.", None
    with ledger.db() as db:
        operations.unblock(db, ledger.clock.now, Delivery.person_id == ledger.pair.mentor.id)
    assert {row.last_error for row in ledger.rows("blocked")} == {"No employee number."}
    row = ledger.rows("blocked")[0]
    with ledger.db() as db:
        operations.retry(db, db.get_one(Delivery, row.id), "command", ledger.clock.now)
    assert [one.id for one in ledger.rows("pending")] == [row.id]


def test_account_when_stored_keeps_its_secret_encrypted(runtime, tenant, account, ledger):
    with ledger.db() as db:
        row = get_account(db, "lrs")
        assert row.settings == {"url": "https://lrs.example"}
        assert b"right" not in row.secrets_locked
        destinations.change_account(
            db,
            row,
            runtime.plugins.credit_sinks["records"],
            {"url": "https://b.example"},
            runtime.database.secrets,
            runtime.clock(),
        )
        assert runtime.database.secrets.unlock(row.secrets_locked) == {"token": "right"}


def test_account_when_its_settings_do_not_fit_or_its_name_is_taken_is_refused(runtime, ledger, account, sink):
    box, now = runtime.database.secrets, runtime.clock()
    with ledger.db() as db, pytest.raises(InputError):
        destinations.add_account(db, "x", sink, {"token": "right"}, box, now)
    with ledger.db() as db, pytest.raises(ConflictError):
        destinations.add_account(db, "lrs", sink, {"url": "u"}, box, now)


def test_line_when_its_transaction_rolls_back_is_told_to_nobody(ledger, account, sink):
    def fail():
        with ledger.db() as db:
            session = confirm_session(db, ledger.pair, ledger.clock.now)
            payloads = [{"session_id": str(session.id)}]
            policies = ledger.runtime.plugins.policies
            confirming.on_sessions_confirmed(db, payloads, ledger.clock.now, policies=policies)
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    ledger.work()
    assert (ledger.rows(), sink.calls) == ([], [])


def test_reversal_when_the_award_has_arrived_names_it(ledger, account, sink):
    ledger.confirm()
    ledger.work()
    ledger.take_back()
    ledger.work()
    reversal = next(r for r in sink.records.values() if r.kind == "reversal")
    award = sink.records[reversal.reverses]
    assert (award.kind, award.minutes, award.session_id) == ("award", -reversal.minutes, reversal.session_id)
    assert award.id not in sink.standing
    assert len(sink.standing) == 1


def test_reversal_when_the_award_was_never_sent_supersedes_both(ledger, account, sink):
    ledger.confirm()
    ledger.take_back()
    ledger.work()
    assert ledger.states() == ["delivered", "superseded", "superseded"]
    assert [r.kind for r in sink.records.values()] == ["award"]


def test_reversal_when_the_award_may_have_arrived_waits_for_it(ledger, account, sink, clock):
    sink.fail = lambda _records: (_ for _ in ()).throw(RetriableError("r", "POST", "https://x", 500))
    ledger.confirm()
    ledger.work()
    ledger.take_back()
    sink.fail = None
    clock.forward(hours=1)
    ledger.work()
    assert ledger.states() == ["delivered"] * 3
    assert [len(call) for call in sink.calls] == [2, 2, 1], "it goes alone, after what it takes back"
    assert len(sink.standing) == 1


def test_reversal_of_a_line_that_was_never_told_is_not_told_either(ledger, runtime, tenant, sink, clock):
    ledger.confirm()
    clock.forward(days=1)
    connect(runtime, tenant, sink)
    clock.forward(days=1)
    ledger.take_back()
    ledger.work()
    assert (sink.calls, ledger.rows()) == ([], [])


def test_reversal_when_the_system_takes_nothing_back_waits_for_somebody(runtime, ledger, account, sink):
    ledger.confirm()
    ledger.work()
    sink.corrects = False
    ledger.take_back()
    ledger.work()
    ledger.work()
    row = ledger.rows("needs_human")[0]
    assert "2026-11-23" in row.last_error
    assert "by hand" in row.last_error
    assert len(sink.records) == 2
    with ledger.db() as db:
        operations.resume_account(db, get_account(db, "lrs"), "test", ledger.clock.now)
    ledger.work()
    assert len(ledger.rows("needs_human")) == 1, "trying again would not help"
    with ledger.db() as db:
        operations.done_by_hand(db, db.get_one(Delivery, row.id), "test", ledger.clock.now)
    with ledger.db() as db, pytest.raises(ConflictError):
        operations.done_by_hand(db, db.get_one(Delivery, row.id), "test", ledger.clock.now)
    assert ledger.states() == ["delivered"] * 3


@pytest.fixture
def short(runtime, tenant, clock):
    return Ledger(runtime, tenant, clock, min_sessions=1, min_minutes=60)


def of_mentee(short, sink):
    return [r for r in sink.records.values() if r.person_id == str(short.pair.mentee.id)]


def test_completion_when_met_unmet_and_met_again_is_told_each_time(short, account, sink):
    short.confirm()
    short.work()
    short.clock.forward(days=1)
    short.take_back()
    short.work()
    short.clock.forward(days=1)
    short.confirm()
    short.work()
    short.work()
    told = of_mentee(short, sink)
    kinds = [r.kind for r in told]
    assert kinds[:2] + sorted(kinds[2:4]) + kinds[4:] == [
        "award",
        "completion",
        "reversal",
        "withdrawal",
        "award",
        "completion",
    ]
    assert next(r for r in told if r.kind == "withdrawal").reverses == told[1].id
    assert told[5].id != told[1].id
    assert [r.kind for r in sink.standing.values() if r.person_id == told[0].person_id] == [
        "award",
        "completion",
    ]


def test_completion_when_unmet_before_it_was_sent_is_never_told(short, account, sink, clock):
    short.confirm()
    clock.forward(hours=1)
    short.take_back()
    short.work()
    assert of_mentee(short, sink) == []


def test_completion_when_met_again_before_anybody_took_it_back_stands(short, account, sink, clock):
    sink.corrects = False
    short.confirm()
    short.work()
    clock.forward(hours=1)
    short.take_back()
    short.work()
    waiting = {row.payload["kind"] for row in short.rows("needs_human")}
    assert waiting == {"reversal", "withdrawal"}
    clock.forward(hours=1)
    short.confirm()
    short.work()
    assert {row.payload["kind"] for row in short.rows("needs_human")} == {"reversal"}
    assert sorted(r.kind for r in of_mentee(short, sink)) == ["award", "award", "completion"]


def test_account_when_it_is_to_know_the_past_is_told_it_in_parts(
    short, runtime, tenant, sink, clock, monkeypatch
):
    monkeypatch.setattr(events, "FILLED_AT_ONCE", 3)
    start = clock.now
    for _ in range(4):
        short.confirm()
        clock.forward(days=1)
    short.take_back(3)
    connect(runtime, tenant, sink, since=start + timedelta(days=1))
    short.work()
    assert sorted(r.kind for r in sink.records.values()) == ["award"] * 5, (
        "the first session and the completion were before; a reversed line is not told at all"
    )
    clock.forward(hours=1)
    short.work()
    assert len(sink.records) == 5


def test_line_when_begun_before_the_account_was_there_is_told_ten_minutes_later(
    ledger, runtime, tenant, sink, clock, monkeypatch
):
    connect(runtime, tenant, sink)
    ledger.work()
    with monkeypatch.context() as patch:
        # Whoever wrote this line began before and saw no account.
        patch.setattr(events, "tell_entry", lambda *_: None)
        ledger.confirm()
    ledger.work()
    assert sink.records == {}
    clock.forward(minutes=10)
    ledger.work()
    assert len(sink.records) == 2


def test_account_when_down_costs_one_try_and_keeps_nobody_waiting(
    ledger, account, sink, other, runtime, tenant, clock
):
    connect(runtime, tenant, other, "second")
    sink.batch, other.batch = 1, 1
    sink.fail = lambda _records: (_ for _ in ()).throw(RetriableError("r", "POST", "https://x", 503))
    ledger.confirm(10)
    ledger.work()
    assert (len(sink.calls), len(other.records)) == (3, 20)
    for _ in range(60):
        clock.forward(minutes=1)
        ledger.work()
    # One minute, doubling up to a quarter of an hour.
    assert 3 + 6 <= len(sink.calls) <= 3 + 9
    sink.fail = None
    # Whatever was tried often meanwhile waits longest by itself.
    for _ in range(70):
        clock.forward(minutes=1)
        ledger.work()
    assert len(sink.records) == 20
    with ledger.db() as db:
        assert db.scalar(select(func.count()).select_from(Brake)) == 0


def test_account_when_told_to_wait_waits_with_everything(ledger, account, sink, clock):
    sink.batch = 1
    sink.fail = lambda records: [SinkAnswer(outcome="retry", status=429, retry_after=600) for _ in records]
    ledger.confirm(2)
    ledger.work()
    sink.fail = None
    clock.forward(seconds=599)
    ledger.work()
    assert len(sink.calls) == 1
    clock.forward(seconds=1)
    ledger.work()
    assert len(sink.records) == 4


def test_calls_when_limited_are_never_more_in_any_minute_even_with_several_workers(
    ledger, account, sink, runtime, settings, clock, plugins
):
    sink.batch, sink.calls_per_minute = 1, 5
    at = []
    sink.fail = lambda _records: at.append(clock.now)
    ledger.confirm(9)
    second = make_runtime(settings, clock=clock, plugins=plugins)
    try:
        for _ in range(30):
            workers = [threading.Thread(target=tasks.deliver_due, args=(one,)) for one in (runtime, second)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            clock.forward(seconds=13)
    finally:
        second.database.close()
        second.queue.storage.close()
    assert len(sink.records) == len(sink.calls) == 18
    minute = timedelta(minutes=1)
    assert max(sum(moment <= one < moment + minute for one in at) for moment in at) == 5


def test_calls_when_the_clock_steps_back_are_not_held_up_for_long(ledger, runtime, tenant, sink, clock):
    connect(runtime, tenant, sink, since=clock.now - timedelta(days=1))
    sink.batch, sink.calls_per_minute = 1, 2
    ledger.confirm()
    ledger.work()
    assert len(sink.records) == 2
    clock.forward(hours=-3)
    ledger.confirm()
    clock.forward(minutes=2)
    ledger.work()
    assert len(sink.records) == 4


def test_account_when_paused_keeps_everything_until_it_is_resumed(ledger, account, sink, clock):
    with ledger.db() as db:
        destinations.pause(db, get_account(db, "lrs"), clock.now)
    ledger.confirm()
    assert tasks.deliver_now(ledger.runtime, wait_seconds=5) == {"states": {}, "open": 0}
    assert (len(ledger.rows("pending")), sink.calls) == (2, [])
    with ledger.db() as db:
        operations.resume_account(db, get_account(db, "lrs"), "test", clock.now)
    ledger.work()
    assert len(sink.records) == 2


def test_account_when_it_refuses_for_good_waits_for_somebody_and_goes_on(ledger, account, sink, clock):
    sink.fail = lambda _records: (_ for _ in ()).throw(FatalError("r", "POST", "https://x?token=s", 400))
    ledger.confirm()
    ledger.work()
    clock.forward(days=1)
    ledger.work()
    assert (ledger.states(), len(sink.calls)) == (["needs_human"] * 2, 1)
    assert "token" not in ledger.rows()[0].last_error
    sink.fail = None
    with ledger.db() as db:
        assert operations.resume_account(db, get_account(db, "lrs"), "test", clock.now) == 2
    ledger.work()
    assert len(sink.records) == 2


@pytest.mark.parametrize("answers", [[], [SinkAnswer(outcome="delivered")] * 3])
def test_answers_when_they_are_not_one_for_each_count_for_none(ledger, account, sink, clock, answers):
    sink.fail = lambda _records: answers
    ledger.confirm()
    ledger.work()
    assert ledger.states() == ["retry"] * 2
    sink.fail = None
    clock.forward(hours=1)
    ledger.work()
    assert ledger.states() == ["delivered"] * 2


def test_answers_when_they_differ_count_each_for_its_record(ledger, account, sink, clock):
    def say(records):
        sink.records[records[0].id] = records[0]
        return [SinkAnswer(outcome="delivered"), SinkAnswer(outcome="retry", status=500)]

    sink.fail = say
    ledger.confirm()
    ledger.work()
    assert ledger.states() == ["delivered", "retry"]
    sink.fail = None
    clock.forward(hours=1)
    ledger.work()
    assert [len(call) for call in sink.calls] == [2, 1]


def test_worker_when_it_dies_in_the_call_leaves_the_batch_to_the_next(ledger, account, sink, clock):
    def die(records):
        for record in records:
            sink.records[record.id] = record
        raise SystemExit

    sink.fail = die
    ledger.confirm()
    with pytest.raises(SystemExit):
        ledger.work()
    sink.fail = None
    clock.forward(minutes=9)
    ledger.confirm()
    ledger.work()
    assert len(sink.calls) == 1, "one batch of an account is in flight, and its lease has not ended"
    clock.forward(minutes=1)
    ledger.work()
    assert sink.calls[1][:2] == sink.calls[0]
    assert len(sink.records) == 4
    assert [r.attempts for r in ledger.rows()] == [2, 2, 1, 1]


def test_answer_when_the_batch_was_taken_over_changes_nothing(ledger, account, sink, clock, runtime):
    ledger.confirm()
    box = runtime.database.secrets
    with ledger.db() as db:
        slow = events.claim_batch(db, account.id, sink, box, clock.now)
    clock.forward(minutes=10)
    with ledger.db() as db:
        quick = events.claim_batch(db, account.id, sink, box, clock.now)
    assert [record.id for record in slow.records] == [record.id for record in quick.records]
    refused = [SinkAnswer(outcome="needs_human")] * 2
    with ledger.db() as db:
        assert events.record_answers(db, slow, refused, clock.now) == []
        assert (
            events.record_answers(db, quick, [SinkAnswer(outcome="delivered")] * 2, clock.now)
            == ["delivered"] * 2
        )


def test_person_when_erased_before_their_line_was_sent_is_told_to_nobody(ledger, account, sink, runtime):
    ledger.confirm()
    with ledger.db() as db:
        for row in db.scalars(select(Delivery)):
            row.payload = {}
    ledger.work()
    assert (sink.calls, ledger.states()) == ([], ["superseded"] * 2)


def test_account_when_added_after_somebody_was_erased_is_told_of_the_others_alone(
    runtime, tenant, sink, clock
):
    ledger = Ledger(runtime, tenant, clock, min_sessions=2, min_minutes=120)
    ledger.confirm(2)
    ledger.work()
    with ledger.db() as db:
        erase_person(db, db.get_one(Person, ledger.pair.mentee.id), "command", clock.now)
    connect(runtime, tenant, sink, since=clock.now - timedelta(days=1))
    ledger.work()
    told = {(record.person_id, record.kind) for record in sink.records.values()}
    assert told == {(str(ledger.pair.mentor.id), kind) for kind in ("award", "completion")}
    assert set(ledger.states()) == {"delivered"}


def test_account_when_the_company_is_another_hears_nothing(runtime, other_tenant, ledger, sink):
    connect(runtime, other_tenant, sink)
    ledger.confirm()
    ledger.work()
    assert sink.calls == []


def test_account_when_removed_takes_its_deliveries_along(ledger, account, sink):
    ledger.confirm()
    with ledger.db() as db:
        destinations.remove(db, get_account(db, "lrs"), ledger.clock.now)
    ledger.work()
    assert (ledger.rows(), sink.calls) == ([], [])
    with ledger.db() as db:
        assert db.scalar(select(func.count()).select_from(SinkAccount)) == 0
