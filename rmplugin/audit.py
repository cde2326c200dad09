"""Who did what: one row per deed that an administrator may have to account for."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Mapped

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


def record(
    db: Db, actor: str, action: str, subject_id: uuid.UUID | None, now: datetime, **details: Any
) -> None:
    """Write down a deed in the transaction that does it.

    :param actor: see `AuditEntry`.
    :param details: JSON-ready, no personal data.
    **Touches** writes audit_entry.
    """
    db.add(AuditEntry(at=now, actor=actor, action=action, subject_id=subject_id, details=details))
