"""Issued papers, and the key with which badges are signed."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from rmplugin.db import Base, HasId, TenantOwned, Told


class Paper(Base, TenantOwned):
    """What somebody may take along from a programme that they have completed.

    Its id is chance alone, because whoever knows it may ask whether the paper is valid.

    :ivar says: what it says, as it was when it was issued; empty once its holder was erased.
    :ivar shows: what of it the holder lets the public page show; words of `forms.SHOWABLE`.
    :ivar status_index: its place in the company's list of revoked papers.
    :ivar revoked_at: None while it is valid.
    :ivar reason: why it was revoked, for its holder; None when it is not, or when the holder was erased.
    """

    __tablename__ = "paper"
    __table_args__ = (
        CheckConstraint("state in ('valid', 'revoked', 'erased')", name="state"),
        UniqueConstraint("tenant_id", "status_index"),
        # A second one needs the first to be revoked.
        Index(
            "uq_paper_valid",
            "programme_id",
            "person_id",
            unique=True,
            sqlite_where=text("state = 'valid'"),
            postgresql_where=text("state = 'valid'"),
        ),
    )
    person_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id"), index=True)
    programme_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("programme.id"))
    state: Mapped[str]
    says: Mapped[dict[str, Any]]
    shows: Mapped[list[str]]
    status_index: Mapped[int]
    issued_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    reason: Mapped[str | None] = mapped_column(Told)


class IssuerKey(Base, HasId):
    """An Ed25519 key with which this installation signs badges and its lists of revoked papers, or did so.

    :ivar purpose: "papers" of the one key that signs; None of one whose place another took. Its public half
        stays published, because what it signed is to be verified for ever.
    :ivar public_multibase: the public key as a Multikey.
    :ivar private_key_locked: None once it signs no more.
    """

    __tablename__ = "issuer_key"
    purpose: Mapped[str | None] = mapped_column(unique=True)
    public_multibase: Mapped[str]
    private_key_locked: Mapped[bytes | None]
    created_at: Mapped[datetime]
