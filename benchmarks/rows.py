"""Many made-up rows, written at once as the product writes its own."""

from collections.abc import Iterable, Mapping
from typing import Any

from rmplugin.db import Db, insert_rows, new_id


def write_rows(db: Db, model: Any, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows of a tenant's table; columns that a row leaves out have their default, else NULL.

    :param model: a mapped class.
    :param rows: values by column.
    """
    common = {
        column.name: column.default.arg if column.default is not None and column.default.is_scalar else None
        for column in model.__table__.columns
    } | {"tenant_id": db.tenant_id}
    insert_rows(db.connection(), model.__table__, (common | {"id": new_id()} | row for row in rows))
