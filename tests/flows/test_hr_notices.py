"""Notices of HR systems: signed, taken once, thousands as one, people fetched and applied."""

import json

import pytest

from rmplugin.hris import operations, queries, tasks
from rmplugin.hris.models import HrNotice, NoticedPerson
from rmplugin.jobs import OutboxEvent, work_outbox
from rmplugin.people.models import Person, RosterRun
from rmplugin.people.tasks import hold_account, sync_roster
from rmplugin.tenants.models import HrAccount
from rmplugin.tenants.operations import add_account
from tests.factories.hris import Staff, signature
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
def client(app):
    return app.test_client()


class Door:
    """The address that Staff sends its notices to."""

    def __init__(self, client, clock, token) -> None:
        self.client, self.clock, self.path = client, clock, f"/hris/webhooks/{token}"

    def send(self, secret="right", *, id_="n1", stamp=None, **said):
        body = json.dumps({"id": id_, **said}).encode()
        return self.post(body, secret, stamp=stamp)

    def post(self, body, secret="right", *, stamp=None):
        stamp = str(int(self.clock.now.timestamp()) if stamp is None else stamp)
        headers = {"X-Staff-Time": stamp, "X-Staff-Sign": signature(secret, stamp, body)}
        return self.client.post(self.path, data=body, headers=headers)


@pytest.fixture
def door(runtime, tenant, staff, clock, client):
    """Connect Staff, read and accept its people once, make the address."""
    given = {"url": "https://hr.example", "secret": "right"}
    with runtime.database.transaction(tenant.id) as db:
        account = add_account(db, "people", staff, given, {"G1": 10}, runtime.database.secrets, clock.now)
        token = operations.make_webhook(db, account, "command", clock.now)
    sync_roster(runtime.database, runtime.plugins, tenant.id, "people", accept_shrink=True, now=clock.now)
    clock.forward(minutes=1)
    return Door(client, clock, token)


@pytest.fixture
def rows(runtime, tenant):
    def rows(model, **wanted):
        found = read_rows(runtime.database, tenant, model)
        return [row for row in found if all(getattr(row, name) == value for name, value in wanted.items())]

    return rows


@pytest.fixture
def names(rows):
    """Give key -> name of everybody who is in the roster."""
    return lambda: {p.source_key: p.display_name for p in rows(Person) if not p.has_left}


def work(runtime):
    work_outbox(runtime, slow=True)


def test_notice_when_somebody_changed_fetches_them_alone(runtime, door, staff, rows, names):
    staff.hire("b", display_name="Bea Changed")
    staff.hire("c", display_name="Not told of")
    staff.hire("d", display_name="Dan New")
    assert door.send(people=["b", "d"]).status_code == 200
    work(runtime)
    assert staff.fetched == [["b", "d"]]
    assert names() == {"a": "Person a", "b": "Bea Changed", "c": "Person c", "d": "Dan New"}
    assert [run.mode for run in rows(RosterRun)] == ["full", "incremental"]
    assert rows(NoticedPerson) == []


def test_account_when_people_were_fetched_keeps_its_place_in_the_sources_changes(runtime, door, rows):
    (before,) = rows(HrAccount)
    door.send(people=["b"])
    work(runtime)
    (after,) = rows(HrAccount)
    assert before.cursor == after.cursor == "1"


def test_notice_when_somebody_is_deleted_or_unknown_takes_them_out_and_harms_nobody(
    runtime, door, staff, names
):
    del staff.people["b"]
    door.send(people=["b", "nobody"])
    work(runtime)
    assert set(names()) == {"a", "c"}


def test_notice_when_sent_again_is_answered_and_does_nothing(runtime, door, staff, rows):
    assert door.send(id_="same", people=["b"]).status_code == 200
    work(runtime)
    assert door.send(id_="same", people=["c"]).status_code == 200
    work(runtime)
    assert staff.fetched == [["b"]]
    assert len(rows(HrNotice)) == 1


@pytest.fixture
def crowd(staff):
    """Have Staff know 700 people before it is connected."""
    people = [f"p{n}" for n in range(700)]
    staff.hire(*people)
    return people


def test_notices_when_thousands_come_are_one_set_and_one_event(runtime, tenant, crowd, door, staff, rows):
    for part in range(4):
        assert door.send(id_=f"n{part}", people=crowd).status_code == 200
    assert len(rows(NoticedPerson)) == 700
    assert len(rows(OutboxEvent, kind=queries.PEOPLE_NOTICED)) == 1
    staff.hire(*crowd, city="Berlin")
    work(runtime)
    assert [len(keys) for keys in staff.fetched] == [100] * 7
    assert len(rows(Person, city="Berlin")) == 700
    assert len(rows(RosterRun)) == 2


def test_notice_when_it_comes_while_others_are_fetched_is_not_passed_by(runtime, door, staff, rows):
    fetch = staff.fetch

    def meanwhile(settings, keys):
        # Its event is at work, so that this one needs another.
        assert door.send(id_="meanwhile", people=["c"]).status_code == 200
        return fetch(settings, keys)

    staff.fetch = meanwhile
    door.send(people=["b"])
    work(runtime)
    assert {key for keys in staff.fetched for key in keys} == {"b", "c"}
    assert rows(NoticedPerson) == []


@pytest.mark.parametrize("stamp", [None, 0])
def test_notice_when_wrongly_signed_or_old_is_refused_and_leaves_nothing(door, rows, stamp):
    secret = "wrong" if stamp is None else "right"
    answer = door.send(secret, stamp=stamp, people=["b"])
    assert (answer.status_code, answer.data) == (401, b"")
    assert rows(HrNotice) == []
    assert rows(NoticedPerson) == []


def test_notice_when_unsigned_is_refused(door):
    assert door.client.post(door.path, data=b"{}").status_code == 401


@pytest.mark.parametrize("body", [b"no json", b'{"people": []}'])
def test_notice_when_it_makes_no_sense_is_refused_and_leaves_nothing(door, rows, body):
    answer = door.post(body)
    assert (answer.status_code, answer.data) == (422, b"")
    assert rows(HrNotice) == []


def test_notice_when_larger_than_a_megabyte_is_refused(door, rows):
    assert door.post(b"x" * 1_000_001).status_code == 413
    assert rows(HrNotice) == []


def test_notice_when_the_address_is_unknown_or_replaced_is_not_found(runtime, tenant, door, client, clock):
    assert client.post("/hris/webhooks/unknown", data=b"{}").status_code == 404
    with runtime.database.transaction(tenant.id) as db:
        (account,) = db.query(HrAccount).all()
        operations.make_webhook(db, account, "command", clock.now)
    assert door.send(people=["b"]).status_code == 404


def test_notice_when_it_names_nobody_asks_for_an_incremental_run(runtime, door, staff, rows):
    assert door.send().status_code == 200
    assert door.send(id_="n2").status_code == 200
    assert len(rows(OutboxEvent, kind=queries.RUN_WANTED)) == 1
    work(runtime)
    assert staff.reads == [None, "1"]


def test_fetching_when_the_source_fails_is_tried_again_and_forgets_nobody(runtime, door, staff, rows, clock):
    staff.broken = True
    door.send(people=["b"])
    work(runtime)
    assert [row.source_key for row in rows(NoticedPerson)] == ["b"]
    staff.broken = False
    clock.forward(minutes=2)
    work(runtime)
    assert staff.fetched == [["b"], ["b"]]
    assert rows(NoticedPerson) == []


def test_fetching_when_a_run_is_at_work_waits_for_it(runtime, door, staff, rows, clock):
    door.send(people=["b"])
    (account,) = rows(HrAccount)
    with hold_account(runtime.database, account.id):
        work(runtime)
    assert staff.fetched == []
    clock.forward(minutes=2)
    work(runtime)
    assert staff.fetched == [["b"]]


def test_notices_when_old_are_forgotten(runtime, door, rows, clock):
    door.send(people=["b"])
    clock.forward(days=6)
    tasks.tidy(runtime)
    assert len(rows(HrNotice)) == 1
    clock.forward(days=2)
    tasks.tidy(runtime)
    assert rows(HrNotice) == []
