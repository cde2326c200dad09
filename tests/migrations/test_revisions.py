"""Revisions: each goes up and down with rows in every table; together they make the models' tables."""

import shutil
import uuid

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, create_engine, func, inspect, select, table, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError

from rmplugin import migrations
from rmplugin.db import Base, Database, Secrets
from tests.conftest import ENGINE, SECRET_KEY
from tests.factories.rows import ROWS, fill, import_models

SCRIPTS = ScriptDirectory.from_config(migrations._config())
REVISIONS = [script.revision for script in reversed(list(SCRIPTS.walk_revisions()))]


# A test begins where others have been before, so that no revision is run again and again.
pytestmark = pytest.mark.xdist_group("migrations")


class Stages:
    """Databases without rows, one at each revision that a test began with; tests are given copies."""

    def __init__(self, template, folder):
        self.template, self.folder, self.names = template, folder, {"base": None}

    def copy(self, revision):
        """Make a database at a revision, and give its name and engine."""
        name = f"rm_revisions_{uuid.uuid4().hex[:12]}"
        if revision not in self.names:
            before = SCRIPTS.get_revision(revision).down_revision or "base"
            self.names[revision], engine = self.copy(before)
            migrations.upgrade(engine, revision)
            engine.dispose()
        like = self.names[revision]
        if ENGINE == "sqlite":
            if like is not None:
                shutil.copy(self.folder / like, self.folder / name)
            engine = Database(f"sqlite:///{self.folder / name}", Secrets(SECRET_KEY)).engine
            # Tables that are read from the database are others each time.
            return name, engine.execution_options(compiled_cache=None)
        self.on_server(f'CREATE DATABASE "{name}"' + (f' TEMPLATE "{like}"' if like else ""))
        return name, create_engine(make_url(self.template).set(database=name))

    def drop(self, name):
        if ENGINE == "sqlite":
            (self.folder / name).unlink()
        else:
            self.on_server(f'DROP DATABASE "{name}"')

    def on_server(self, statement):
        server = create_engine(make_url(self.template), isolation_level="AUTOCOMMIT")
        with server.connect() as connection:
            connection.execute(text(statement))
        server.dispose()


@pytest.fixture(scope="module")
def stages(_template, tmp_path_factory):
    stages = Stages(_template, tmp_path_factory.mktemp("revisions"))
    yield stages
    for name in filter(None, stages.names.values()):
        stages.drop(name)


@pytest.fixture
def at(stages):
    """Give a database without rows at a revision: ``at("0006")``."""
    made = {}

    def open_at(revision):
        name, engine = stages.copy(revision)
        return made.setdefault(name, engine)

    yield open_at
    for name, engine in made.items():
        engine.dispose()
        stages.drop(name)


def tables(engine):
    return set(inspect(engine).get_table_names()) - {"alembic_version"}


def write_rows(engine):
    with engine.begin() as connection:
        found = MetaData()
        found.reflect(connection)
        return fill(connection, found, {})


def count_rows(engine):
    with engine.connect() as connection:
        return {
            name: connection.scalar(select(func.count()).select_from(table(name)))
            for name in sorted(tables(engine))
        }


@pytest.mark.parametrize("revision", REVISIONS)
def test_revision_when_rows_are_there_goes_up_down_and_up_again(at, revision):
    before = SCRIPTS.get_revision(revision).down_revision or "base"
    engine = at(before)
    if before != "base":
        write_rows(engine)
    kept = count_rows(engine) if before != "base" else {}
    migrations.upgrade(engine, revision)
    assert kept.items() <= count_rows(engine).items()
    if before == "base":
        write_rows(engine)
        assert set(count_rows(engine).values()) == {ROWS}
    migrations.downgrade(engine, before)
    assert tables(engine) == set(kept)
    migrations.upgrade(engine, revision)
    assert kept.items() <= count_rows(engine).items()


def test_revisions_when_all_applied_equal_the_models(at):
    import_models()
    engine = at("base")
    migrations.upgrade(engine)
    with engine.connect() as connection:
        options = {"compare_type": True, "include_object": belongs_here}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, Base.metadata) == []


def belongs_here(thing, _name, kind, reflected, _other):
    """Tell whether this database should have something: SQLite has no index of tenants, see `TenantOwned`."""
    of_tenants = kind == "index" and [column.name for column in thing.columns] == ["tenant_id"]
    return reflected or not of_tenants or ENGINE != "sqlite"


def test_is_current_when_a_revision_is_missing_is_false(at):
    engine = at(REVISIONS[-1])
    assert migrations.is_current(engine)
    migrations.downgrade(engine, SCRIPTS.get_revision(REVISIONS[-1]).down_revision or "base")
    assert not migrations.is_current(engine)


@pytest.mark.parametrize("statement", ["UPDATE credit_entry SET minutes = 999", "DELETE FROM credit_entry"])
def test_ledger_when_an_entry_is_changed_or_deleted_refuses(at, statement):
    engine = at(REVISIONS[-1])
    write_rows(engine)
    with pytest.raises(DatabaseError, match="append-only"), engine.begin() as connection:
        connection.execute(text(statement))
    assert count_rows(engine)["credit_entry"] == ROWS


def test_interruptions_when_taken_back_leave_the_pairings_active(at):
    engine = at(REVISIONS[-1])
    write_rows(engine)
    interrupted = "state = 'suspended', interruption = 'reporting_line', interrupted_at = started_at"
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE pairing SET {interrupted}"))
    with pytest.raises(DatabaseError), engine.begin() as connection:
        connection.execute(text("UPDATE pairing SET interruption = NULL, interrupted_at = NULL"))
    migrations.downgrade(engine, SCRIPTS.get_revision("0005").down_revision)
    with engine.connect() as connection:
        assert connection.scalars(text("SELECT state FROM pairing")).all() == ["active"] * ROWS


def test_lists_of_who_is_left_out_become_rows_and_lists_again(at):
    engine = at("0006")
    ids = write_rows(engine)
    person, gone = uuid.UUID(str(ids["person"][0])), uuid.uuid4()
    entry = {
        "person": str(person),
        "role": "mentee",
        "reason": "language",
        "details": {"candidates": 3},
        "sentence": "All 3 are out of reach.",
        "told": ["All %(n)s are out of reach.", {"n": 3}],
    }
    older = {**entry, "role": "mentor"}
    del older["told"]
    with engine.begin() as connection:
        found = MetaData()
        found.reflect(connection)
        runs = found.tables["match_run"]
        lists = [entry, older, {**entry, "person": str(gone)}]
        connection.execute(runs.update().values(unmatched=lists))
    migrations.upgrade(engine, "0007")
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT role, reason FROM match_left_out ORDER BY role")).all()
    assert rows == [("mentee", "language")] * ROWS + [("mentor", "language")] * ROWS
    migrations.downgrade(engine, "0006")
    with engine.connect() as connection:
        found = MetaData()
        found.reflect(connection)
        kept = connection.scalars(select(found.tables["match_run"].c.unmatched)).all()
    for left in kept:
        mentee, mentor = sorted(left, key=lambda one: one["role"])
        assert mentee == entry
        assert mentor == older | {"told": ["All 3 are out of reach.", {}]}


def test_checkins_and_pairings_of_before_keep_their_meaning(at):
    before = SCRIPTS.get_revision("0014").down_revision
    engine = at(before)
    write_rows(engine)
    with engine.begin() as connection:
        found = MetaData()
        found.reflect(connection)
        connection.execute(found.tables["checkin"].update().values(answers={"satisfaction": 4, "heard": 2}))
    migrations.upgrade(engine, "0014")
    with engine.connect() as connection:
        found = MetaData()
        found.reflect(connection)
        answers = connection.scalars(select(found.tables["checkin"].c.answers)).all()
        pairing = found.tables["pairing"].c
        introduced = connection.scalars(select(pairing.introduced_at == pairing.started_at)).all()
    assert answers == [{"fit": 4, "heard": 2}] * ROWS
    assert introduced == [True] * ROWS
    migrations.downgrade(engine, before)
    with engine.connect() as connection:
        found = MetaData()
        found.reflect(connection)
        kept = connection.scalars(select(found.tables["checkin"].c.answers)).all()
    assert kept == [{"satisfaction": 4, "heard": 2}] * ROWS


def test_papers_when_people_had_completed_before_are_asked_for(at):
    engine = at(SCRIPTS.get_revision("0020").down_revision)
    write_rows(engine)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM outbox_event"))
        connection.execute(text("UPDATE completion SET met_at = updated_at"))
        met = connection.execute(text("SELECT programme_id, person_id FROM completion")).all()
    migrations.upgrade(engine, "0020")
    with engine.connect() as connection:
        found = MetaData()
        found.reflect(connection)
        events = connection.execute(select(found.tables["outbox_event"])).mappings().all()
    assert {(event["kind"], event["state"]) for event in events} == {("completion_met", "pending")}
    asked = {
        (uuid.UUID(one["payload"]["programme_id"]), uuid.UUID(one["payload"]["person_id"])) for one in events
    }
    assert asked == {tuple(uuid.UUID(str(part)) for part in row) for row in met}
