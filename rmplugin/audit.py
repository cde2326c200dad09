"""Who did what: one row per deed that an administrator may have to account for."""

import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from rmplugin.db import Base, Db, TenantOwned


class AuditEntry(Base, TenantOwned):
    """A deed. Append-only by convention; holds ids and counts, never names.

    :ivar actor: "person:<id>", "lti_user:<id>", "command" or "worker".
    :ivar action: verb and thing, e.g. "match_run.release".
    """

    __tablename__ = "audit_entry"
    at: Mapped[datetime]
    actor: Mapped[str]
    action: Mapped[str]
    subject_id: Mapped[uuid.UUID | None]
    details: Mapped[dict[str, Any]]


class AccessEntry(Base, TenantOwned):
    """Somebody of the programme team opened a page about a person. The person sees when and which, not who.

    :ivar page: name of the page, e.g. "matching.pair_page".
    :ivar person_id: None for a list of many people; then the programme is given.
    """

    __tablename__ = "access_entry"
    __table_args__ = (Index("ix_access_entry_person", "person_id", "at"),)
    at: Mapped[datetime]
    actor: Mapped[str]
    page: Mapped[str]
    person_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    programme_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("programme.id", ondelete="CASCADE"))


def record(
    db: Db, actor: str, action: str, subject_id: uuid.UUID | None, now: datetime, **details: Any
) -> None:
    """Write down a deed in the transaction that does it.

    :param actor: see `AuditEntry`.
    :param details: JSON-ready, no personal data.
    **Touches** writes audit_entry.
    """
    db.add(AuditEntry(at=now, actor=actor, action=action, subject_id=subject_id, details=details))


def record_accesses(
    db: Db,
    actor: str,
    page: str,
    opened: Iterable[tuple[uuid.UUID | None, uuid.UUID | None]],
    now: datetime,
) -> None:
    """Write down that somebody of the programme team opened a page.

    :param opened: (person, programme) that it is about; one of the two is None.
    **Touches** writes access_entry.
    """
    db.add_all(
        AccessEntry(at=now, actor=actor, page=page, person_id=person, programme_id=programme)
        for person, programme in opened
    )
