"""Reads of what identity providers sent."""

import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select

from rmplugin.db import Db
from rmplugin.jobs import OutboxEvent, find_pending
from rmplugin.scim.filters import Both, Compare, Either, Filter
from rmplugin.scim.models import ScimResource, ScimToken
from rmplugin.scim.schemas import KINDS, Kind, ScimError, read_moment, write_moment

# The event that has the engine take in what changed.
CHANGED = "scim_changed"


def find_token(db: Db, token_sha256: str) -> ScimToken | None:
    """Give the token of that digest, whoever's it is. **Touches** reads scim_token."""
    return db.scalars(select(ScimToken).where(ScimToken.token_sha256 == token_sha256)).one_or_none()


def get_resource(db: Db, account_id: uuid.UUID, kind: Kind, resource_id: str) -> ScimResource:
    """Give a resource.

    :raises ScimError: the account has none of that id.
    **Touches** reads scim_resource.
    """
    query = _of(account_id, kind).where(ScimResource.id == _uuid(resource_id))
    found = db.scalars(query).one_or_none()
    if found is None:
        raise ScimError(404, None, f"There is no {kind.name} of this id.")
    return found


def list_resources(
    db: Db, account_id: uuid.UUID, kind: Kind, condition: Filter | None, base: str, start: int, count: int
) -> tuple[int, list[dict[str, Any]]]:
    """Give the documents of a page of resources, oldest first.

    :param base: address of the SCIM server.
    :param start: number of the first, counted from 1.
    :return: how many there are altogether, and the page.
    **Touches** reads scim_resource.
    """
    query = _of(account_id, kind)
    if condition is None:
        total = db.scalar(select(func.count()).select_from(query.subquery())) or 0
        rows = db.scalars(query.order_by(ScimResource.id).offset(start - 1).limit(count))
        return total, [document_of(row, base) for row in rows]
    sure = necessary(condition)
    query = query.where(sure) if sure is not None else query
    total, page = 0, []
    for row in _stream(db, query.order_by(ScimResource.id)):
        document = document_of(row, base)
        if condition.fits(document):
            total += 1
            if start <= total < start + count:
                page.append(document)
    return total, page


def necessary(condition: Filter) -> ColumnElement[bool] | None:
    """Give what must hold of a row that fits, so that an index finds the few that can; None for nothing sure.

    **Touches** pure.
    """
    if isinstance(condition, Both | Either):
        parts = [necessary(condition.one), necessary(condition.other)]
        sure = [part for part in parts if part is not None]
        if isinstance(condition, Both):
            return and_(*sure) if sure else None
        return or_(*sure) if len(sure) == 2 else None
    if not isinstance(condition, Compare) or condition.place is None or condition.place.urn is not None:
        return None
    value, place = condition.value, condition.place
    name = ".".join(part.name for part in (place.attribute, place.sub) if part)
    if name == "meta.lastModified" and condition.operator in ("gt", "ge", "eq"):
        return ScimResource.updated_at >= read_moment(value)
    if condition.operator != "eq" or not isinstance(value, str):
        return None
    found: Mapping[str, ColumnElement[bool]] = {
        "id": ScimResource.id == _uuid(value),
        "externalId": ScimResource.external_id == value,
        "userName": ScimResource.user_name_folded == value.casefold(),
    }
    return found.get(name)


def document_of(row: ScimResource, base: str) -> dict[str, Any]:
    """Write a resource as it is answered. **Source** RFC 7643, section 3. **Touches** pure."""
    kind = next(kind for kind in KINDS.values() if kind.name == row.kind)
    return {
        "schemas": kind.schemas(row.body),
        "id": str(row.id),
        **row.body,
        "meta": {
            "resourceType": kind.name,
            "created": write_moment(row.created_at),
            "lastModified": write_moment(row.updated_at),
            "location": f"{base}/{kind.endpoint}/{row.id}",
            "version": f'W/"{row.version}"',
        },
    }


def find_same_name(db: Db, account_id: uuid.UUID, user_name: str) -> ScimResource | None:
    """Give the user of a userName, in any case. **Touches** reads scim_resource."""
    mine = (ScimResource.account_id == account_id, ScimResource.user_name_folded == user_name.casefold())
    return db.scalars(select(ScimResource).where(*mine)).one_or_none()


def find_deleted(db: Db, account_id: uuid.UUID, external_id: str) -> ScimResource | None:
    """Give the user of an externalId who was deleted last. **Touches** reads scim_resource."""
    mine = (ScimResource.account_id == account_id, ScimResource.external_id == external_id)
    query = select(ScimResource).where(
        *mine, ScimResource.kind == "User", ScimResource.deleted_at.is_not(None)
    )
    return db.scalars(query.order_by(ScimResource.deleted_at.desc()).limit(1)).first()


def last_change(db: Db, account_id: uuid.UUID) -> int:
    """Give the number of an account's last change; 0 before any. **Touches** reads scim_resource."""
    return db.scalar(select(func.max(ScimResource.change)).where(ScimResource.account_id == account_id)) or 0


def stream_users(db: Db, account_id: uuid.UUID, after: int | None) -> Iterator[ScimResource]:
    """Stream users.

    :param after: those who changed after this change, deleted ones among them; None for all who are there.
    **Touches** reads scim_resource.
    """
    query = select(ScimResource).where(ScimResource.account_id == account_id, ScimResource.kind == "User")
    seen = ScimResource.deleted_at.is_(None) if after is None else ScimResource.change > after
    return _stream(db, query.where(seen).order_by(ScimResource.id))


def keys_of_returned(db: Db, account_id: uuid.UUID) -> dict[str, str]:
    """Give id -> key in the roster, for the few who were deleted and came back.

    **Touches** reads scim_resource.
    """
    query = select(ScimResource.id, ScimResource.former_key).where(ScimResource.account_id == account_id)
    return {
        str(row.id): row.former_key for row in db.execute(query.where(ScimResource.former_key.is_not(None)))
    }


def count_users(db: Db, account_id: uuid.UUID) -> int:
    """Count the users who are there. **Touches** reads scim_resource."""
    query = select(func.count()).select_from(ScimResource).where(ScimResource.account_id == account_id)
    return db.scalar(query.where(ScimResource.kind == "User", ScimResource.deleted_at.is_(None))) or 0


def count_tokens(db: Db, account_id: uuid.UUID) -> int:
    """Count the tokens that are good. **Touches** reads scim_token."""
    query = select(func.count()).select_from(ScimToken).where(ScimToken.tenant_id == db.tenant_id)
    return db.scalar(query.where(ScimToken.account_id == account_id)) or 0


def is_event_waiting(db: Db, account_id: uuid.UUID, after: datetime, until: datetime) -> bool:
    """Tell whether an event is going to take in the account's changes between two moments.

    One that is due may read before this change is committed; one that is at work has read already, and its
    next moment lies later.

    **Touches** reads outbox_event.
    """
    between = OutboxEvent.next_at.between(after, until)
    return find_pending(db, [CHANGED], between, account_id=account_id) is not None


def _of(account_id: uuid.UUID, kind: Kind) -> Select[ScimResource]:
    mine = (ScimResource.account_id == account_id, ScimResource.kind == kind.name)
    return select(ScimResource).where(*mine, ScimResource.deleted_at.is_(None))


def _stream(db: Db, query: Select[ScimResource]) -> Iterator[ScimResource]:
    for row in db.scalars(query, execution_options={"yield_per": 1000}):
        yield row
        # Tens of thousands of rows would stay in the session otherwise.
        db.expunge(row)


def _uuid(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        return uuid.UUID(int=0)
