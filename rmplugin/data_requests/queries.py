"""Reads everything that is held about a person."""

import uuid
from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, func, inspect, or_, select

from rmplugin.audit import AccessEntry
from rmplugin.data_requests.catalogue import HOLDINGS, Holding
from rmplugin.db import Db, Secrets
from rmplugin.matching.models import Pairing
from rmplugin.people.models import Consent
from rmplugin.people.queries import display_names

LOCKED = "_locked"
ROLES = ("mentor", "mentee")


def belongs_to(holding: Holding, person_id: uuid.UUID, *, more: bool = False) -> ColumnElement[bool]:
    """Say which rows of a table belong to a person.

    :param more: also those that somebody else wrote about them.
    **Touches** nothing.
    """
    columns = (*holding.who, *(holding.also if more else ()))
    tests = [getattr(holding.model, name) == person_id for name in columns if not holding.through]
    if holding.through:
        column, model = holding.through
        behind = belongs_to(find_holding(model), person_id, more=more)
        tests.append(getattr(holding.model, column).in_(select(model.id).where(behind)))
    return or_(*tests)


def find_holding(model: Any) -> Holding:
    """Give what the catalogue says of a table. **Touches** nothing."""
    return next(holding for holding in HOLDINGS if holding.model is model)


def export_person(db: Db, secrets: Secrets, person_id: uuid.UUID, now: datetime) -> dict[str, Any]:
    """Give everything that is held about a person, ready for JSON.

    What partners said by themselves is theirs and left out; what two people wrote together is in the export
    of each. Encrypted words are readable in it.

    :return: "person_id", "exported_at", "names" (id -> name of partners), "data" (table -> rows).
    **Touches** reads every table of `catalogue.HOLDINGS`.
    """
    data = {
        holding.model.__tablename__: [
            _document(holding, row, secrets, person_id) for row in _rows(db, holding, person_id)
        ]
        for holding in HOLDINGS
    }
    partners = {
        row.partner_of(person_id)
        for row in db.scalars(select(Pairing).where(belongs_to(find_holding(Pairing), person_id)))
    }
    return {
        "person_id": str(person_id),
        "exported_at": now.isoformat(timespec="seconds"),
        "names": {str(one): name for one, name in display_names(db, partners).items()},
        "purposes": {holding.model.__tablename__: str(holding.purpose) for holding in HOLDINGS},
        "data": data,
    }


def count_held(db: Db, person_id: uuid.UUID) -> list[tuple[str, int]]:
    """Say what is held about a person: purpose and number of rows, without tables that hold nothing.

    One statement with a count of each table in it.

    **Touches** reads every table of `catalogue.HOLDINGS`.
    """
    counts = (
        select(func.count(holding.model.id)).where(belongs_to(holding, person_id)).scalar_subquery()
        for holding in HOLDINGS
    )
    counted = zip(HOLDINGS, db.execute(select(*counts)).one(), strict=True)
    return [(holding.purpose, count) for holding, count in counted if count]


def list_consents(db: Db, person_id: uuid.UUID) -> list[Consent]:
    """List what a person agreed to, the newest first. **Touches** reads consent."""
    query = select(Consent).where(Consent.person_id == person_id)
    return list(db.scalars(query.order_by(Consent.given_at.desc(), Consent.id)))


def list_accesses(db: Db, person_id: uuid.UUID, limit: int = 50) -> list[AccessEntry]:
    """List when somebody of the programme team opened something about a person, the newest first.

    **Touches** reads access_entry.
    """
    query = select(AccessEntry).where(AccessEntry.person_id == person_id)
    return list(db.scalars(query.order_by(AccessEntry.at.desc(), AccessEntry.id).limit(limit)))


def _rows(db: Db, holding: Holding, person_id: uuid.UUID) -> list[Any]:
    query = select(holding.model).where(belongs_to(holding, person_id))
    return list(db.scalars(query.order_by(holding.model.id)))


def _document(holding: Holding, row: Any, secrets: Secrets, person_id: uuid.UUID) -> dict[str, Any]:
    names: Iterable[str] = (attribute.key for attribute in inspect(holding.model).column_attrs)
    theirs = _of_partner(row, person_id)
    found: dict[str, Any] = {}
    for name in names:
        if name in ("tenant_id", *holding.hidden) or name.startswith(theirs):
            continue
        value = getattr(row, name)
        if name.endswith(LOCKED):
            name, value = name.removesuffix(LOCKED), secrets.unlock(value) if value else None  # noqa: PLW2901
        found[name] = _plain(value)
    return found


def _of_partner(row: Any, person_id: uuid.UUID) -> tuple[str, ...]:
    """Name how columns begin that are about the other one of two, but for who that is."""
    if getattr(row, "mentor_id", None) is None or getattr(row, "mentee_id", None) is None:
        return ()
    other = "mentee" if row.mentor_id == person_id else "mentor"
    return tuple(f"{other}_{what}" for what in ("answer", "draft", "note", "said", "reason"))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value) if isinstance(value, uuid.UUID) else value
