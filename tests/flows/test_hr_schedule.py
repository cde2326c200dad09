"""Planned runs of HR accounts: once each, put off when they fail, and told about."""

import threading
from datetime import timedelta

import pytest
from sqlalchemy import select

from rmplugin.hris import operations, queries, tasks
from rmplugin.jobs import OutboxEvent, work_outbox
from rmplugin.people.models import Person, RosterRun
from rmplugin.people.tasks import hold_account, sync_roster
from rmplugin.tenants.models import HrAccount
from rmplugin.tenants.operations import add_account
from rmplugin.wiring import make_worker
from tests.factories.hris import Staff
from tests.factories.rows import read_rows


@pytest.fixture
def staff():
    staff = Staff()
    staff.hire("a", "b", "c")
    return staff


@pytest.fixture
def plugins(staff):
    return [staff]


@pytest.fixture
def account(runtime, tenant, staff, clock):
    """Connect Staff, read every hour, with the first reading accepted."""
    given = {"url": "https://hr.example", "secret": "right"}
    with runtime.database.transaction(tenant.id) as db:
        account = add_account(db, "people", staff, given, {"G1": 10}, runtime.database.secrets, clock.now)
        operations.schedule_account(db, account, 60, "command", clock.now)
    sync_roster(
        runtime.database, runtime.plugins, tenant.id, "people", accept_shrink=True, now=clock.now
    )  # fmt: skip
    return account


@pytest.fixture
def work(runtime):
    """Do what the worker does each minute."""

    def work():
        tasks.want_due_runs(runtime)
        work_outbox(runtime)
        work_outbox(runtime, slow=True)

    return work


@pytest.fixture
def now_of(runtime, tenant):
    """Give the account as it stands."""

    def read():
        (account,) = read_rows(runtime.database, tenant, HrAccount)
        return account

    return read


def runs(runtime, tenant):
    return sorted(read_rows(runtime.database, tenant, RosterRun), key=lambda run: run.id)


def test_run_when_due_is_read_once_and_the_next_is_planned_from_the_planned_moment(
    runtime, tenant, account, work, clock, now_of, staff
):
    planned = account.next_run_at
    work()
    assert len(runs(runtime, tenant)) == 1
    clock.forward(minutes=61)
    staff.hire("d")
    work()
    work()
    (_first, second) = runs(runtime, tenant)
    assert (second.status, second.mode) == ("complete", "incremental")
    assert now_of().next_run_at == planned + timedelta(hours=1)


def test_plan_when_the_worker_slept_leaves_out_what_it_slept_through(
    runtime, tenant, account, work, clock, now_of
):
    planned = account.next_run_at
    clock.forward(hours=7, minutes=30)
    work()
    assert len(runs(runtime, tenant)) == 2
    assert now_of().next_run_at == planned + timedelta(hours=7)


def test_runs_when_they_fail_are_put_off_more_and_more_until_one_succeeds(
    runtime, tenant, account, work, clock, now_of, staff
):
    staff.broken = True
    waits = []
    for _ in range(6):
        clock.now = now_of().next_run_at
        work()
        waits.append((now_of().next_run_at - clock.now) / timedelta(hours=1))
    assert waits == [2, 4, 8, 16, 24, 24]
    assert runs(runtime, tenant)[-1].status == "failed"
    staff.broken = False
    clock.now = now_of().next_run_at
    work()
    assert runs(runtime, tenant)[-1].status == "complete"
    assert now_of().next_run_at - clock.now == timedelta(hours=1)


def test_account_when_by_hand_only_is_not_read(runtime, tenant, account, work, clock, now_of):
    with runtime.database.transaction(tenant.id) as db:
        operations.schedule_account(db, db.get_one(HrAccount, account.id), None, "command", clock.now)
    clock.forward(days=30)
    work()
    assert len(runs(runtime, tenant)) == 1
    assert now_of().next_run_at is None


def test_preview_when_it_waits_for_a_person_is_not_read_again(runtime, tenant, staff, clock, work):
    with runtime.database.transaction(tenant.id) as db:
        add_account(
            db, "people", staff, {"url": "u", "secret": "right"}, {}, runtime.database.secrets, clock.now
        )
    for _ in range(3):
        clock.forward(days=1, minutes=1)
        work()
    assert [run.status for run in runs(runtime, tenant)] == ["held"]
    assert read_rows(runtime.database, tenant, Person) == []


def test_due_run_when_two_workers_look_at_once_is_asked_for_once(runtime, tenant, account, clock):
    clock.forward(hours=2)
    both = threading.Barrier(2)

    def look():
        both.wait()
        tasks.want_due_runs(runtime)

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = [e for e in read_rows(runtime.database, tenant, OutboxEvent) if e.kind == queries.RUN_WANTED]
    assert len(events) == 1


def test_run_when_another_is_at_work_is_left_to_it(runtime, tenant, account, work, clock, staff):
    clock.forward(hours=2)
    read = len(staff.reads)
    with hold_account(runtime.database, account.id):
        work()
    assert len(staff.reads) == read
    (event,) = [e for e in read_rows(runtime.database, tenant, OutboxEvent) if e.kind == queries.RUN_WANTED]
    assert event.state == "done"


def test_run_when_the_settings_fit_no_more_fails_with_a_reason(runtime, tenant, account, work, clock, now_of):
    with runtime.database.transaction(tenant.id) as db:
        db.get_one(HrAccount, account.id).settings = {"url": "u", "nonsense": "1"}
    clock.forward(hours=1)
    work()
    last = runs(runtime, tenant)[-1]
    assert (last.status, "nonsense" in last.held_reason) == ("failed", True)
    assert now_of().next_run_at == clock.now + timedelta(hours=2)


def test_worker_when_made_looks_for_due_runs_each_minute(runtime, tenant, account, clock):
    clock.forward(hours=1)
    make_worker(runtime)["work"].call_local()
    assert len(runs(runtime, tenant)) == 2


def test_doctor_when_runs_fail_or_wait_says_so(runtime, tenant, account, work, clock, staff):
    def told():
        (finding,) = tasks.examine_schedules(runtime, tenant.id)
        return finding.ok, finding.advice

    assert told() == (True, "next at 2026-11-23 10:00 UTC")
    staff.broken = True
    clock.forward(hours=1)
    work()
    ok, advice = told()
    assert not ok
    assert "Enter a new secret" in advice
    assert "1 failed in a row; tried again at 2026-11-23 12:00 UTC." in advice
    with runtime.database.transaction(tenant.id) as db:
        newest = db.scalars(select(RosterRun).order_by(RosterRun.id.desc()).limit(1)).one()
        newest.status, newest.held_reason = "held", "Too many would leave."
    assert told()[1].startswith("Too many would leave. ")
