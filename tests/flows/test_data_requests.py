"""Requests about personal data: what an export holds, what an erasure leaves, what time removes."""

import json
from datetime import date, timedelta
from pathlib import Path

import pytest
from sqlalchemy import JSON, LargeBinary, String, select, text, update

from rmplugin import notify
from rmplugin.agreements.models import Agreement
from rmplugin.audit import AccessEntry
from rmplugin.checkins.forms import ITEMS
from rmplugin.checkins.operations import answer
from rmplugin.data_requests import operations, queries, tasks
from rmplugin.data_requests.catalogue import HOLDINGS
from rmplugin.db import Base
from rmplugin.errors import ConflictError
from rmplugin.goals.models import GoalVersion
from rmplugin.matching.models import Pairing
from rmplugin.notify import Notice
from rmplugin.people import consents
from rmplugin.people.models import Consent, Person
from rmplugin.programmes.models import Enrolment, Programme
from rmplugin.texts import Text
from tests.factories.commands import Commands
from tests.factories.matching import make_scene
from tests.factories.people import make_person
from tests.factories.rows import fill, read_rows

ANSWERS = dict.fromkeys(ITEMS, 4)
SECRET = "only-mine-7f3a"
# Free text of kept rows that names nobody: codes of plug-ins, digests, what the system itself wrote.
NAMES_NOBODY = {
    "credit_entry": {"unit", "cap_applied", "policy", "rules", "reason", "evidence_sha256", "created_by"},
    "delivery": {"sink", "subject", "idempotency_key", "remote_ref"},
    "completion": {"criteria", "policy", "targets"},
    "consent": {"purpose"},
    "enrolment": {"decline_reason"},
    "pairing": {"interruption"},
    "proposal": {"decline_reason"},
    "access_entry": {"actor", "page"},
    "goal_version": {"theme"},
    "endorsement": {"token"},
    "calendar_feed": {"token_sha256"},
}


@pytest.fixture
def pair(runtime, tenant):
    """Give a pair that checked in, with words of each."""
    scene = make_scene(runtime, tenant, "Ana", "Pia")
    scene.pairing = scene.pair_up("Ana", "Pia")
    with scene.transaction() as db:
        scene.pairing = db.merge(scene.pairing)
        scene.pairing.introduced_at = scene.pairing.started_at
    return scene


def said_everywhere(database) -> list[str]:
    """Give the cells of the whole database that hold the secret."""
    found = []
    with database.unbound(write=False) as db:
        for table in Base.metadata.sorted_tables:
            for row in db.execute(select(table)):
                found += [
                    f"{table.name}.{name}" for name, value in row._mapping.items() if SECRET in str(value)
                ]
    return found


def write_secret(db, person_id) -> None:
    """Put the secret into every free text of a person's rows, what others need to know aside."""
    for holding in HOLDINGS:
        columns = {
            column.key: {SECRET: 1} if isinstance(column.type, JSON) else SECRET
            for column in holding.model.__mapper__.columns
            if isinstance(column.type, String | JSON)
            and not column.foreign_keys
            and column.key not in ("state", "kind", "role", "next_choice", "medium", "time_zone", "direction")
            and column.key not in NAMES_NOBODY.get(holding.model.__tablename__, ())
            and not any(column.key in str(check.sqltext) for check in checks_of(holding.model))
        }
        rows = queries.belongs_to(holding, person_id, more=True)
        if holding.author:
            rows &= getattr(holding.model, holding.author) == person_id
        if columns:
            db.execute(update(holding.model).where(rows).values(columns))


def checks_of(model):
    return [one for one in model.__table__.constraints if hasattr(one, "sqltext")]


def test_erased_person_when_the_whole_database_is_searched_is_in_no_cell(runtime, tenant, clock):
    with runtime.database.transaction(None) as db:
        ids = fill(db.connection(), Base.metadata, {"tenant": tenant.id})
    person_id = ids["person"][0]
    with runtime.database.transaction(tenant.id) as db:
        write_secret(db, person_id)
        db.execute(update(Pairing).values(state="ended"))
    before = said_everywhere(runtime.database)
    assert len({cell.split(".")[0] for cell in before}) > 10
    with runtime.database.transaction(tenant.id) as db:
        done = operations.erase_person(db, db.get(Person, person_id), "test", clock.now)
    assert said_everywhere(runtime.database) == []
    assert done["checkin"] >= 1
    with runtime.database.transaction(tenant.id) as db:
        person = db.get(Person, person_id)
        assert person.display_name == operations.ERASED
        assert person.has_left
        with pytest.raises(ConflictError, match="erased before"):
            operations.erase_person(db, person, "test", clock.now)


def test_erased_person_when_paired_leaves_the_partner_with_neutral_words_and_the_ledger(pair, clock):
    with pair.transaction() as db:
        operations.erase_person(db, db.get(Person, pair.Ana.id), "test", clock.now)
    with pair.transaction() as db:
        assert db.get(Pairing, pair.pairing.id).state == "ended"
        texts = [
            str(notice.text) for notice in db.scalars(select(Notice).where(Notice.person_id == pair.Pia.id))
        ]
    assert any("ended" in text for text in texts)
    assert not any("eras" in text for text in texts)


def test_erased_person_when_others_were_told_of_them_is_named_to_nobody_but_in_the_unread_end(pair, clock):
    ana, pia = pair.Ana, pair.Pia
    page = f"/pairings/{pair.pairing.id}/messages"
    with pair.transaction() as db:
        boss = db.get(Person, ana.id)
        led = make_person(db, manager_id=ana.id, manager_key=boss.source_key, manager_name=boss.display_name)
        notify.tell(
            db, pia.id, "message", Text("%(name)s wrote to you.", name=ana.display_name), clock.now, page
        )
        notify.tell(db, pia.id, "news", Text("News of “%(name)s”", name="Spring"), clock.now)
        notify.put_away(db, pia.id, notify.unread(db, pia.id)[-2].id, clock.now)
    with pair.transaction() as db:
        operations.erase_person(db, db.get(Person, ana.id), "test", clock.now)
    with pair.transaction() as db:
        told = {notice.kind: notice.text for notice in db.scalars(select(Notice))}
        naming = [kind for kind, text in told.items() if ana.display_name in text]
        assert naming == ["pairing_ended"]
        assert "news" in told
        row = db.get(Person, led.id)
        assert (row.manager_key, row.manager_name, row.row_hash) == (None, None, "")
        assert row.manager_id == ana.id


@pytest.mark.only_on("sqlite")
def test_erased_person_when_the_file_is_read_byte_by_byte_is_not_in_it(pair, runtime, clock):
    with runtime.database.unbound(write=False) as db:
        path = Path(runtime.database.engine.url.database)
        assert db.execute(text("PRAGMA secure_delete")).scalar() == 1
    words = "only-in-the-motivation"
    with pair.transaction() as db:
        db.execute(update(Enrolment).where(Enrolment.person_id == pair.Ana.id).values(motivation=words))
    with pair.transaction() as db:
        operations.erase_person(db, db.get(Person, pair.Ana.id), "test", clock.now)
    runtime.database.close()
    assert not path.with_name(f"{path.name}-wal").exists()
    assert pair.Pia.email.encode() in path.read_bytes()
    assert words.encode() not in path.read_bytes()
    assert pair.Ana.email.encode() not in path.read_bytes()


def test_notices_when_put_away_go_after_a_month_but_reminders_stay(pair, runtime, clock):
    with pair.transaction() as db:
        for kind in ("message", "aim_due_mid", "unread"):
            notify.tell(db, pair.Ana.id, kind, "Something.", clock.now, f"/{kind}")
        for notice in notify.unread(db, pair.Ana.id):
            if notice.kind != "unread":
                notice.read_at = clock.now
    for days, left in (
        (29, {"message", "aim_due_mid", "unread"}),
        (2, {"aim_due_mid", "unread"}),
        (340, set()),
    ):
        clock.forward(days=days)
        tasks.remove_due(runtime)
        with pair.transaction() as db:
            mine = db.scalars(select(Notice.kind).where(Notice.person_id == pair.Ana.id)).all()
        assert set(mine) & {"message", "aim_due_mid", "unread"} == left


@pytest.mark.parametrize("state", ["running", "archived"])
def test_words_when_a_programme_is_never_closed_or_made_longer_go_all_the_same(runtime, tenant, clock, state):
    with runtime.database.transaction(None) as db:
        fill(db.connection(), Base.metadata, {"tenant": tenant.id})
    today = clock.now.date()
    for ends_on, emptied in ((today - timedelta(days=40), 2), (today - timedelta(days=40), 0), (today, 0)):
        with runtime.database.transaction(tenant.id) as db:
            db.execute(update(Programme).values(state=state, ends_on=ends_on, keep_months=1))
        assert tasks.remove_due(runtime) == emptied
    clock.forward(days=40)
    assert tasks.remove_due(runtime) == 2


def test_export_when_two_checked_in_holds_own_answers_and_not_the_partners(pair, runtime, clock):
    with pair.transaction() as db:
        db.execute(update(Pairing).values(introduced_at=clock.now))
    clock.forward(days=15)
    with pair.transaction() as db:
        for name, words in (("Ana", "my own words"), ("Pia", "words of Pia")):
            values = ANSWERS | {"words": words}
            answer(db, runtime.database.secrets, pair.pairing, pair.people[name].id, values, clock.now)
    with pair.transaction() as db:
        document = queries.export_person(db, runtime.database.secrets, pair.Ana.id, clock.now)
    text = json.dumps(document)
    assert "my own words" in text
    assert "words of Pia" not in text
    assert document["data"]["pairing"][0]["mentee_id"] == str(pair.Pia.id)
    assert document["names"] == {str(pair.Pia.id): pair.Pia.display_name}
    assert "mentee_answer" not in document["data"]["proposal"][0]
    assert document["data"]["person"][0]["display_name"] == pair.Ana.display_name


def test_export_when_asked_for_has_every_table_of_the_catalogue(pair, runtime, clock):
    with pair.transaction() as db:
        document = queries.export_person(db, runtime.database.secrets, pair.Ana.id, clock.now)
    assert set(document["data"]) == {holding.model.__tablename__ for holding in HOLDINGS}
    locked = {
        column.key
        for holding in HOLDINGS
        for column in holding.model.__mapper__.columns
        if isinstance(column.type, LargeBinary)
    }
    assert all(name.endswith(queries.LOCKED) for name in locked)


def test_words_when_the_time_of_their_programme_is_over_are_removed_once(runtime, tenant, clock):
    with runtime.database.transaction(None) as db:
        ids = fill(db.connection(), Base.metadata, {"tenant": tenant.id})
    with runtime.database.transaction(tenant.id) as db:
        for person_id in ids["person"]:
            write_secret(db, person_id)
        for programme in db.scalars(select(Programme)):
            programme.state, programme.ends_on, programme.keep_months = "archived", date(2026, 1, 31), 1
    clock.now = clock.now.replace(year=2026, month=2, day=28)
    assert tasks.remove_due(runtime) == 2
    fading = {holding.model.__tablename__ for holding in HOLDINGS if holding.fades}
    left = {cell for cell in said_everywhere(runtime.database) if cell.split(".")[0] in fading}
    words = {f"{h.model.__tablename__}.{name}" for h in HOLDINGS if h.fades for name in h.words}
    assert left & words == set()
    assert tasks.remove_due(runtime) == 0
    assert read_rows(runtime.database, tenant, Agreement)
    assert all(row.title == "" for row in read_rows(runtime.database, tenant, GoalVersion))


def test_words_when_their_time_is_not_over_stay(runtime, tenant, clock):
    with runtime.database.transaction(None) as db:
        fill(db.connection(), Base.metadata, {"tenant": tenant.id})
    with runtime.database.transaction(tenant.id) as db:
        for programme in db.scalars(select(Programme)):
            programme.state, programme.ends_on = "archived", clock.now.date() - timedelta(days=30)
            programme.keep_months = 2
    assert tasks.remove_due(runtime) == 0


@pytest.mark.parametrize(
    ("day", "months", "then"),
    [
        (date(2026, 1, 31), 1, date(2026, 2, 28)),
        (date(2026, 12, 15), 12, date(2027, 12, 15)),
        (date(2026, 11, 30), 3, date(2027, 2, 28)),
    ],
)
def test_words_when_months_are_counted_go_within_the_month(day, months, then):
    assert tasks.words_go_on(Programme(ends_on=day, keep_months=months)) == then


def test_consent_when_given_twice_and_withdrawn_has_one_row_with_both_times(pair, clock):
    with pair.transaction() as db:
        for _ in range(2):
            consents.give(db, pair.Ana.id, "topics", clock.now)
        assert consents.stands(db, pair.Ana.id, "topics")
    clock.forward(days=1)
    with pair.transaction() as db:
        consents.withdraw(db, pair.Ana.id, "topics", clock.now)
        assert not consents.stands(db, pair.Ana.id, "topics")
        rows = db.scalars(select(Consent).where(Consent.purpose == "topics")).all()
    assert [(row.withdrawn_at - row.given_at).days for row in rows] == [1]


def test_manager_when_a_pairs_card_is_opened_is_in_the_log_that_both_read(pair, sign_in, tenant):
    run_id = pair.pairing.proposal_id
    manager = sign_in(tenant, manager=True)
    manager.get(f"/proposals/{run_id}/card")
    entries = read_rows(pair.runtime.database, tenant, AccessEntry)
    assert {entry.person_id for entry in entries} == {pair.Ana.id, pair.Pia.id}
    ana = sign_in(tenant, pair.Ana)
    ana.get("/my-data")
    assert "A proposal of you and somebody else" in ana.says()


def test_person_when_they_download_their_data_get_a_file_of_their_own(pair, sign_in, tenant):
    ana = sign_in(tenant, pair.Ana)
    ana.get("/my-data").submit("/my-data/file")
    assert json.loads(ana.text)["person_id"] == str(pair.Ana.id)


def test_person_when_an_administrator_takes_their_file_is_told_and_sees_it(pair, sign_in, admin, tenant):
    admin.get(f"/admin/people?person={pair.Ana.employee_number}")
    admin.submit(f"/admin/people/{pair.Ana.id}/file")
    assert json.loads(admin.text)["person_id"] == str(pair.Ana.id)
    ana = sign_in(tenant, pair.Ana)
    assert "An administrator was given a file with all your data" in ana.get("/home").says()
    assert "The file with all your data, to answer a request" in ana.get("/my-data").says()
    ana.submit("/my-data/file")
    assert len(read_rows(pair.runtime.database, tenant, AccessEntry)) == 1


def test_administrator_when_the_name_is_mistyped_erases_nobody(pair, admin):
    admin.get(f"/admin/people?person={pair.Ana.employee_number}")
    assert pair.Ana.display_name in admin.says()
    admin.submit(f"/admin/people/{pair.Ana.id}/erase", name="Somebody else")
    assert "This is not the name above" in admin.says()
    admin.submit(f"/admin/people/{pair.Ana.id}/erase", name=pair.Ana.display_name)
    with pair.transaction() as db:
        assert db.get(Person, pair.Ana.id).display_name == operations.ERASED


def test_commands_when_a_person_asks_export_and_erase(settings, pair, tenant):
    rm = Commands.of(settings)
    said = rm.do("person", "export", pair.Ana.employee_number, "--json")
    assert said.json["data"]["person"][0]["display_name"] == pair.Ana.display_name
    missed = rm("person", "erase", "99999", typed="y\n")
    assert (missed.code != 0, "Erase" in missed.text) == (True, False)
    kept = rm("person", "erase", pair.Ana.employee_number, typed="n\n")
    assert (kept.code != 0, pair.Ana.display_name in kept.err) == (True, True)
    said = rm.do("person", "erase", pair.Ana.employee_number, "--yes", "--json")
    assert said.json["person_id"] == str(pair.Ana.id)
    assert rm.do("person", "show", str(pair.Ana.id), "--json").json["display_name"] == operations.ERASED
