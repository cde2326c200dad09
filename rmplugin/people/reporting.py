"""Who reports to whom: the lines of a company, free of cycles."""

import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Row, Select, String, cast, or_, select

from rmplugin.db import Db
from rmplugin.people.models import Person

# Whose rows say something about reporting lines.
_LED_OR_DOUBLE = (
    Person.lifecycle != "tombstoned",
    or_(Person.manager_id.is_not(None), Person.same_person_id.is_not(None)),
)


def reporting_map(db: Db, only: Iterable[uuid.UUID] | None = None) -> dict[uuid.UUID, uuid.UUID]:
    """Give the manager of every present person who has one, for keeping reporting lines out of pairs.

    Somebody whom two accounts list has the lines of both; where they differ, the row that counts is right.

    :param only: people (few) of whom the lines above them will do; None for everybody's.
    :return: person's id -> manager's id; free of cycles.
    **Touches** reads person.
    """
    query = select(Person.id, Person.manager_id, Person.same_person_id).where(*_LED_OR_DOUBLE)
    return lines_of(db.execute(query).all() if only is None else _rows_above(db, query, set(only)))


def every_reporting_line(db: Db) -> dict[str, str]:
    """Give what `reporting_map` gives for everybody, with ids as texts: in a large company in half the time.

    **Touches** reads person.
    """
    columns = (cast(column, String) for column in (Person.id, Person.manager_id, Person.same_person_id))
    lines = lines_of(db.execute(select(*columns).where(*_LED_OR_DOUBLE)).all())
    # As everybody writes them, whatever the database makes of them; each once.
    texts = {raw: str(uuid.UUID(raw)) for raw in {*lines, *lines.values()}}
    return {texts[person]: texts[manager] for person, manager in lines.items()}


def lines_of(rows: Iterable[Sequence[Any]]) -> dict[Any, Any]:
    """Join rows to reporting lines.

    :param rows: a person's id, their manager's, and that of the row that counts for the same person.
    :return: person's id -> manager's id; free of cycles.
    **Touches** pure.
    """
    rows = list(rows)
    counts = {person: other for person, _manager, other in rows if other is not None}
    if counts:
        rows.sort(key=lambda row: row[0] in counts)
    lines: dict[Any, Any] = {}
    for own, leads, _other in rows:
        if leads is None:
            continue
        person = counts.get(own, own)
        above = manager = counts.get(leads, leads)
        while above != person and above in lines:
            above = lines[above]
        if above != person:
            lines.setdefault(person, manager)
    return lines


def _rows_above(db: Db, query: Select[*tuple[Any, ...]], people: set[uuid.UUID]) -> list[Row[Any]]:
    """Walk up level by level; a company has few levels, however many people."""
    found: dict[uuid.UUID, Row[Any]] = {}
    seen: set[uuid.UUID] = set()
    while people:
        seen |= people
        # One question each: together they would be answered by a look at everybody.
        rows = [
            row
            for column in (Person.id, Person.same_person_id)
            for row in db.execute(query.where(column.in_(people)))
        ]
        found.update({row.id: row for row in rows})
        people = {above for row in rows for above in (row.manager_id, row.same_person_id) if above} - seen
    return list(found.values())
