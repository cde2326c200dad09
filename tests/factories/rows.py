"""Rows of any table: made up from the schema itself, for rules that hold for all tables, or read."""

import importlib
import re
import uuid
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Integer,
    MetaData,
    Table,
    TypeDecorator,
    UniqueConstraint,
    inspect,
    select,
)

import rmplugin
from rmplugin.db import Base

# Words that a table's own checks do not list, but that the code looks up.
WORDS = {
    "theme": "technology",
    "template": "digital_fluency",
    "time_zone": "Europe/Berlin",
    "timezone": "UTC",
}
ROWS = 2  # Two, so that a row can name two different people.


def import_models() -> None:
    """Import every module that declares a table, so that the metadata is complete."""
    folder = Path(rmplugin.__path__[0])
    for path in [*folder.glob("*.py"), *folder.glob("*/models.py")]:
        if re.search(r"^    __tablename__ = ", path.read_text(encoding="utf-8"), re.MULTILINE):
            parts = path.relative_to(folder.parent).with_suffix("").parts
            importlib.import_module(".".join(parts))


def fill(connection: Connection, metadata: MetaData, given: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Write two rows into every table, parents first.

    :param given: table -> id of a row that is there already; nothing is written into that table.
    :return: table -> ids of its rows.
    """
    inspector = inspect(connection)
    ids: dict[str, list[Any]] = {name: [value] * ROWS for name, value in given.items()}
    for table in metadata.sorted_tables:
        if table.name in given or table.name == "alembic_version":
            continue
        checks = " ".join(str(check["sqltext"]) for check in inspector.get_check_constraints(table.name))
        made = [_row(table, checks, ids, number) for number in range(ROWS)]
        for values in made:
            connection.execute(table.insert().values(values))
        key = next(iter(table.primary_key.columns)).name
        ids[table.name] = [values[key] for values in made]
    return ids


def read_rows(database, tenant, model: type) -> list[Any]:
    """Give all rows of a table that a tenant has, in the order in which they were made."""
    with database.transaction(tenant.id, write=False) as db:
        return list(db.scalars(select(model).order_by(model.id)))


def _row(table: Table, checks: str, ids: Mapping[str, list[Any]], number: int) -> dict[str, Any]:
    values: dict[str, Any] = {}
    uses: dict[str, int] = {}
    for column in table.columns:
        # A row that may belong to nobody is made somebody's.
        if column.nullable and column.name != "tenant_id":
            continue
        key = next(iter(column.foreign_keys), None)
        if key is not None:
            parent = key.column.table.name
            # The second column that names the same table names another row: a mentor is not the mentee.
            values[column.name] = ids[parent][(number + uses.get(parent, 0)) % ROWS]
            uses[parent] = uses.get(parent, 0) + 1
        else:
            values[column.name] = (
                _value(column, checks) + number if _is_counted(column) else _value(column, checks)
            )
    return values


def _is_counted(column: Column[Any]) -> bool:
    """Tell whether no two rows of a tenant may have the same number."""
    unique = [one for one in column.table.constraints if isinstance(one, UniqueConstraint)]
    return isinstance(column.type, Integer) and any(
        {name.name for name in one.columns} == {"tenant_id", column.name} for one in unique
    )


def _value(column: Column[Any], checks: str) -> Any:
    declared = column.type
    kind = (declared.impl_instance if isinstance(declared, TypeDecorator) else declared).python_type
    if kind is uuid.UUID:
        return uuid.uuid4()
    if kind is str:
        allowed = re.search(rf"\b{column.name}\b[^']*?(?: in | = ANY )[^']*'([^']*)'", checks, re.IGNORECASE)
        return allowed[1] if allowed else WORDS.get(column.name) or uuid.uuid4().hex
    if kind in (int, float):
        least = re.search(rf"\b{column.name}\b\)?\s*(?:between|>=)\s*\(?'?(-?\d+)", checks, re.IGNORECASE)
        return int(least[1]) if least else 1
    if kind in (datetime, date):
        later = timedelta(days=100 if column.name.startswith("end") else 0)
        moment = datetime(2026, 1, 1, 9, 0, tzinfo=UTC) + later
        return moment if kind is datetime else moment.date()
    if kind in (bool, bytes):
        return kind()
    return {} if column.name in _objects(column.table.name) else []


def _objects(table: str) -> set[str]:
    """Give the columns of a table that hold JSON objects; the database knows no difference to lists."""
    annotations = [m.class_.__annotations__ for m in Base.registry.mappers if m.local_table.name == table]
    return {name for found in annotations for name, kind in found.items() if "dict" in str(kind)}
