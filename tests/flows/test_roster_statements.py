"""How many statements a run asks of the database: a few for anybody, not some for each person."""

import psycopg
import pytest
from sqlalchemy import event

from rmplugin.people.models import Person
from tests.factories.rosters import Source, company, person

PEOPLE = 3000
MOST = 60


@pytest.fixture
def source(runtime, tenant, clock, tmp_path):
    return Source(runtime, tenant, clock, tmp_path / "people.csv")


@pytest.fixture
def executed(database, monkeypatch):
    """Count what the server runs: of a statement for many rows, PostgreSQL's driver sends one for each."""
    found, copy = [], psycopg.Cursor.copy
    on_server = database.engine.dialect.name == "postgresql"

    def ran(_connection, _cursor, statement, given, _context, many):
        found.extend([statement] * (len(given) if many and on_server else 1))

    def copied(self, statement, *args, **named):
        found.append(statement)
        return copy(self, statement, *args, **named)

    monkeypatch.setattr(psycopg.Cursor, "copy", copied)
    event.listen(database.engine, "before_cursor_execute", ran)
    yield found
    event.remove(database.engine, "before_cursor_execute", ran)


def test_run_when_thousands_are_new_or_change_asks_a_few_statements(source, executed):
    source.write(company(PEOPLE))
    source.sync(accept_shrink=True)
    first = len(executed)
    executed.clear()
    source.write([person(n, f"Renamed {n}", manager=(n - 1) // 4 or "") for n in range(1, PEOPLE + 1)])
    report = source.sync(accept_shrink=True)
    assert report.counts["updated"] == PEOPLE
    assert first <= MOST
    assert len(executed) <= MOST
    assert {p.display_name for p in source.rows(Person)} == {f"Renamed {n}" for n in range(1, PEOPLE + 1)}
