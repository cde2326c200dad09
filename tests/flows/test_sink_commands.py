"""`rmplugin sink …`: connect, look at, hold and forget systems that take events."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from rmplugin import plugins
from rmplugin.api import RetriableError
from rmplugin.audit import AuditEntry
from rmplugin.credits.models import Delivery
from rmplugin.jobs import work_outbox
from rmplugin.wiring import make_runtime, utc_now
from tests.factories.commands import Commands
from tests.factories.credits import confirm_session, make_pair
from tests.factories.sinks import RecordStore, entries_of, reverse


@pytest.fixture
def sink():
    return RecordStore()


@pytest.fixture
def rm(settings, tenant, tool_keys, sink, monkeypatch):
    class Point:
        name = "records"

        def load(self):
            return sink

    found = plugins.entry_points
    monkeypatch.setattr(plugins, "entry_points", lambda group: [*found(group), Point()])
    return Commands.of(settings)


@pytest.fixture
def live(settings, sink, rm):
    """Give a runtime whose clock is that of the commands."""
    runtime = make_runtime(settings)
    yield runtime
    runtime.database.close()
    runtime.queue.storage.close()


ADD = ("sink", "add", "lrs", "--connector", "records", "--set", "url=https://lrs.example")


def session(live, tenant):
    with live.database.transaction(tenant.id) as db:
        pair = make_pair(db, utc_now(), min_sessions=9)
        confirm_session(db, pair, utc_now())
    work_outbox(live)
    return pair


def listed(rm):
    return rm.do("sink", "list", "--json").json[0]


def test_sink_when_added_is_listed_checked_and_told(rm, live, tenant, sink):
    assert "records" in rm.do("sink", "kinds").out
    rm.do(*ADD, "--set-secret", "token=$TOKEN", TOKEN="right")
    assert "ok" in rm.do("sink", "check", "lrs").out
    session(live, tenant)
    rm.do("credits", "deliver")
    assert len(sink.records) == 2
    assert listed(rm)["deliveries"] == {"delivered": 2}
    doctor = rm("doctor").out
    assert "account lrs: 2 told" in doctor


def test_sink_when_its_secret_is_wrong_fails_the_check_and_the_doctor(rm):
    rm.do(*ADD, "--set-secret", "token=$TOKEN", TOKEN="wrong")
    said = rm("sink", "check", "lrs")
    assert (said.code, "Set the right token." in said.out) == (1, True)
    assert "Set the right token." in rm("doctor").out
    rm.do("sink", "set", "lrs", "--set-secret", "token=$TOKEN", TOKEN="right")
    rm.do("sink", "check", "lrs")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("sink", "add", "x", "--connector", "nothing"), 1, "known: csv, records, "),
        (("sink", "add", "x", "--connector", "records", "--set", "token=t"), 2, "secret"),
        (("sink", "add", "x", "--connector", "records"), 1, "url"),
        (("sink", "check", "x"), 1, "x"),
    ],
)
def test_sink_when_called_wrongly_says_what_to_change(rm, arguments, code, words):
    said = rm(*arguments)
    assert said.code == code
    assert words in said.text


def test_sink_when_a_setting_is_empty_says_what_is_missing_and_what_to_do(rm):
    said = rm(*ADD, "--set-secret", "token=$TOKEN", TOKEN="")
    assert said.code == 1
    assert "token: This must not be empty; please fill it in." in said.text
    assert "minimum length" not in said.text


def test_sink_when_it_is_to_know_the_past_is_told_it(rm, live, tenant, sink):
    session(live, tenant)
    rm.do(*ADD, "--since", f"{utc_now() - timedelta(days=1):%Y-%m-%d}")
    rm.do("credits", "deliver")
    assert len(sink.records) == 2


def test_sink_when_paused_is_told_after_it_was_resumed(rm, live, tenant, sink, rows):
    rm.do(*ADD)
    rm.do("sink", "pause", "lrs")
    session(live, tenant)
    rm.do("credits", "deliver")
    assert listed(rm)["deliveries"] == {"pending": 2}
    assert "Paused: rmplugin sink resume lrs" in rm("doctor").out
    rm.do("sink", "resume", "lrs")
    rm.do("credits", "deliver")
    assert len(sink.records) == 2
    rm.do("sink", "remove", "lrs", "--yes")
    assert rm.do("sink", "list", "--json").json == []
    actions = [row.action for row in rows(AuditEntry)]
    assert actions == [f"sink_account.{verb}" for verb in ("add", "pause", "resume", "remove")]


@pytest.fixture
def rows(database, tenant):
    def read(model):
        with database.transaction(tenant.id, write=False) as db:
            return db.scalars(select(model).order_by(model.id)).all()

    return read


def test_sink_when_it_does_not_answer_is_named_by_the_doctor(rm, live, tenant, sink):
    sink.batch = 1
    sink.fail = lambda _records: (_ for _ in ()).throw(RetriableError("r", "POST", "https://x", 503))
    rm.do(*ADD)
    session(live, tenant)
    session(live, tenant)
    rm.do("credits", "deliver")
    assert len(sink.calls) == 3
    told = rm("doctor").out
    assert "account lrs: Failed 3 times in a row, tried again at" in told
    assert "Look closer: rmplugin sink check lrs" in told
    assert listed(rm)["left_alone_until"] is not None


def test_reversal_when_done_by_hand_counts_as_delivered(rm, live, tenant, sink, rows):
    sink.corrects = False
    rm.do(*ADD)
    pair = session(live, tenant)
    rm.do("credits", "deliver")
    with live.database.transaction(tenant.id) as db:
        reverse(db, entries_of(db, pair.mentee.id)[0], utc_now())
    rm.do("credits", "deliver")
    waiting = next(row for row in rows(Delivery) if row.state == "needs_human")
    assert "1 wait for somebody: rmplugin credits deliveries --state needs_human" in rm("doctor").out
    rm.do("credits", "by-hand", waiting.id)
    with live.database.transaction(tenant.id) as db:
        db.get_one(Delivery, waiting.id).state = "blocked"
    assert "1 wait for somebody: rmplugin credits deliveries --state blocked" in rm("doctor").out
    with live.database.transaction(tenant.id) as db:
        db.get_one(Delivery, waiting.id).state = "delivered"
    assert listed(rm)["deliveries"] == {"delivered": 3}
