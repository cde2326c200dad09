"""Workers that are killed: real processes, SIGKILL, and afterwards everything is there exactly once."""

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from rmplugin.credits.models import CreditEntry, Delivery
from rmplugin.jobs import OutboxEvent
from rmplugin.tenants.keys import ensure_tool_keys
from tests.factories.credits import confirm_session, join_course, make_course, make_pair
from tests.fakes.ags_platform import AgsPlatform

# What a worker does, in a loop. The clock of a later one can be ahead, so that nobody waits for a lease.
WORKER = """
import sys, time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from rmplugin.wiring import make_runtime
from rmplugin.credits.tasks import deliver_due
from rmplugin.jobs import work_outbox
from rmplugin.settings import Settings

folder, database_url, key, ahead, slow = sys.argv[1:]
settings = Settings(
    data_dir=Path(folder), database_url=database_url, queue_url=f"sqlite:///{folder}/queue.sqlite3",
    public_url="http://localhost:5000", secret_key=key, smtp_url=None, log_format="text", trusted_proxies=0,
)
runtime = make_runtime(settings, clock=lambda: datetime.now(UTC) + timedelta(seconds=float(ahead)))
print("ready", flush=True)
while True:
    work_outbox(runtime)
    if slow == "award":
        print("awarded", flush=True)
        time.sleep(60)
    deliver_due(runtime)
    work_outbox(runtime)
    print("round", flush=True)
    time.sleep(0.05)
"""


def utc_now():
    return datetime.now(UTC)


@pytest.fixture
def lms(runtime):
    with runtime.database.transaction(None) as db:
        ensure_tool_keys(db, runtime.database.secrets, utc_now())
    # Ahead of every worker's clock: the platform refuses assertions from the future.
    with AgsPlatform(runtime, lambda: utc_now() + timedelta(seconds=150)) as platform:
        platform.enrol("u-mentor")
        platform.enrol("u-mentee")
        yield platform


@pytest.fixture
def pair(runtime, tenant, lms):
    now = utc_now()
    with runtime.database.transaction(tenant.id) as db:
        course = make_course(db, now, lms.base, lms.line_item_url)
        pair = make_pair(db, now, context_id=course.context.id, min_sessions=4, min_minutes=240)
        join_course(db, course, pair.mentor, "u-mentor", now)
        join_course(db, course, pair.mentee, "u-mentee", now)
    return pair


@pytest.fixture
def start_worker(settings):
    started: list[subprocess.Popen] = []

    def start(*, ahead: float = 0, slow: str = "") -> subprocess.Popen:
        command = [sys.executable, "-c", WORKER, str(settings.data_dir), settings.database_url]
        worker = subprocess.Popen(
            [*command, str(settings.secret_key), str(ahead), slow],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        started.append(worker)
        assert read_until(worker, "ready")
        return worker

    yield start
    for worker in started:
        kill(worker)
        worker.stdout.close()


def read_until(worker, word: str) -> bool:
    return any(word in line for line in worker.stdout)


def kill(worker) -> None:
    if worker.poll() is None:
        os.kill(worker.pid, signal.SIGKILL)
    worker.wait(10)


def confirm(runtime, tenant, pair):
    with runtime.database.transaction(tenant.id) as db:
        confirm_session(db, pair, utc_now())


def read(runtime, tenant, query):
    with runtime.database.transaction(tenant.id, write=False) as db:
        return db.scalars(query).all()


def wait_for(condition, what: str) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.05)


def all_delivered(runtime, tenant) -> bool:
    states = [row.state for row in read(runtime, tenant, select(Delivery))]
    return bool(states) and set(states) <= {"delivered", "superseded"} and "delivered" in states


def assert_each_once(runtime, tenant, pair, lms, sessions: int) -> None:
    """The gradebook says what the ledger says, and the ledger has one entry per person and session."""
    entries = read(runtime, tenant, select(CreditEntry))
    keys = [(entry.session_id, entry.person_id) for entry in entries]
    assert len(keys) == len(set(keys)) == 2 * sessions
    assert lms.grades == {"u-mentor": 25 * sessions, "u-mentee": 25 * sessions}
    assert len(lms.line_items) == 1
    wait_for(lambda: events(runtime, tenant) == {"done"}, "the events were not done")


def events(runtime, tenant) -> set[str]:
    return {event.state for event in read(runtime, tenant, select(OutboxEvent))}


def test_worker_when_killed_before_the_award_loses_nothing(runtime, tenant, pair, lms, start_worker):
    worker = start_worker(slow="award")
    assert read_until(worker, "awarded")
    confirm(runtime, tenant, pair)
    kill(worker)
    assert read(runtime, tenant, select(CreditEntry)) == []
    start_worker()
    wait_for(lambda: all_delivered(runtime, tenant), "the score did not arrive")
    assert_each_once(runtime, tenant, pair, lms, 1)


def test_worker_when_killed_between_commit_and_push_loses_nothing(runtime, tenant, pair, lms, start_worker):
    confirm(runtime, tenant, pair)
    worker = start_worker(slow="award")
    assert read_until(worker, "awarded")
    kill(worker)
    assert len(read(runtime, tenant, select(CreditEntry))) == 2
    assert lms.pushes == []
    start_worker()
    wait_for(lambda: all_delivered(runtime, tenant), "the score did not arrive")
    assert_each_once(runtime, tenant, pair, lms, 1)
    assert len(lms.pushes) == 2


def test_worker_when_killed_between_push_and_record_has_one_effect(runtime, tenant, pair, lms, start_worker):
    lms.holding = True
    confirm(runtime, tenant, pair)
    worker = start_worker()
    assert lms.reached.wait(20)
    kill(worker)
    lms.holding = False
    lms.answer_now.set()
    in_flight = [row for row in read(runtime, tenant, select(Delivery)) if row.state == "in_flight"]
    assert len(in_flight) == 1
    first_sent = in_flight[0].sent_timestamp
    # Before the lease ends nobody touches it; the other person's delivery goes on.
    early = start_worker()
    wait_for(lambda: len(lms.grades) == 2, "the other person's score did not arrive")
    assert read_until(early, "round")
    again = read(runtime, tenant, select(Delivery).where(Delivery.id == in_flight[0].id))[0]
    assert (again.state, again.attempts) == ("in_flight", 1)
    kill(early)
    start_worker(ahead=61)
    wait_for(lambda: all_delivered(runtime, tenant), "the delivery was not taken up again")
    row = read(runtime, tenant, select(Delivery).where(Delivery.id == in_flight[0].id))[0]
    assert row.attempts == 2
    assert row.sent_timestamp.replace(microsecond=0) > first_sent.replace(microsecond=0)
    assert_each_once(runtime, tenant, pair, lms, 1)


def test_workers_when_killed_again_and_again_end_with_ledger_and_gradebook_equal(
    runtime, tenant, pair, lms, start_worker
):
    for number in range(4):
        confirm(runtime, tenant, pair)
        worker = start_worker()
        time.sleep(0.03 * (number + 1))
        kill(worker)
    start_worker(ahead=61)
    wait_for(lambda: all_delivered(runtime, tenant), "the scores did not arrive")
    assert_each_once(runtime, tenant, pair, lms, 4)


def test_workers_when_three_race_push_each_snapshot_once(runtime, tenant, pair, lms, start_worker):
    for _ in range(3):
        start_worker()
    for number in range(3):
        confirm(runtime, tenant, pair)
        score = 25 * (number + 1)
        wait_for(
            lambda score=score: lms.grades == {"u-mentor": score, "u-mentee": score},
            f"{score} did not arrive",
        )
    wait_for(lambda: all_delivered(runtime, tenant), "not all was recorded")
    assert_each_once(runtime, tenant, pair, lms, 3)
    assert len(lms.pushes) == len({(user, given) for user, given, *_ in lms.pushes}) == 6
