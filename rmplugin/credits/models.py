"""The append-only ledger, completion snapshots, deliveries."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from rmplugin.db import Base, TenantOwned, Told
from rmplugin.destinations.models import SinkAccount


class CreditEntry(Base, TenantOwned):
    """One line of the ledger. Database triggers refuse changes and deletions.

    :ivar amount_hundredths: credit after caps, in hundredths of `unit`.
    :ivar evidence_sha256: digest of who confirmed what when.
    """

    __tablename__ = "credit_entry"
    __table_args__ = (
        CheckConstraint("kind in ('award', 'reversal', 'adjustment')", name="kind"),
        CheckConstraint("role in ('mentor', 'mentee')", name="role"),
        # One award per session and person, whatever is sent twice.
        Index(
            "uq_credit_entry_award",
            "session_id",
            "person_id",
            "unit",
            unique=True,
            sqlite_where=text("kind = 'award'"),
            postgresql_where=text("kind = 'award'"),
        ),
        Index("ix_credit_entry_person_programme", "person_id", "programme_id"),
    )
    person_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id"))
    role: Mapped[str]
    programme_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("programme.id"))
    pairing_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("pairing.id"))
    session_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("mentoring_session.id"))
    unit: Mapped[str]
    minutes: Mapped[int]
    amount_hundredths: Mapped[int]
    uncapped_hundredths: Mapped[int]
    cap_applied: Mapped[str | None]
    policy: Mapped[str]
    policy_version: Mapped[int]
    kind: Mapped[str]
    reverses_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("credit_entry.id"), unique=True)
    reason: Mapped[str | None]
    evidence_sha256: Mapped[str]
    created_at: Mapped[datetime]
    created_by: Mapped[str]


class Completion(Base, TenantOwned):
    """How far a person has come in a programme: derived, kept so that reaching 100 % has a date."""

    __tablename__ = "completion"
    __table_args__ = (
        UniqueConstraint("programme_id", "person_id"),
        CheckConstraint("percent between 0 and 100", name="percent"),
    )
    programme_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("programme.id", ondelete="CASCADE"))
    person_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    percent: Mapped[int]
    minutes: Mapped[int]
    criteria: Mapped[list[Any]]
    met_at: Mapped[datetime | None]
    policy_version: Mapped[int]
    updated_at: Mapped[datetime]


class Delivery(Base, TenantOwned):
    """One thing to tell another system, and how far that got.

    :ivar account_id: whose event it is; None for a state (a gradebook column).
    :ivar subject: who and where it is about (person, target): one is in flight per subject. Events of one
        account go in batches, of which one is in flight.
    :ivar payload: what the sink is given; {} after the person was erased.
    :ivar waits_for_id: the event that must have arrived before (an award, before its reversal).
    :ivar lease_until: a worker has it until then; afterwards another may take it.
    """

    __tablename__ = "delivery"
    __table_args__ = (
        UniqueConstraint("idempotency_key"),
        CheckConstraint(
            "state in ('pending', 'in_flight', 'delivered', 'retry', 'blocked', 'superseded', "
            "'needs_human', 'dead')",
            name="state",
        ),
        Index("ix_delivery_state_next", "state", "next_at"),
        Index("ix_delivery_subject", "sink", "subject"),
        Index("ix_delivery_account_state", "account_id", "state", "next_at"),
    )
    account_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey(SinkAccount.id, ondelete="CASCADE"))
    waits_for_id: Mapped[uuid.UUID | None]
    sink: Mapped[str]
    subject: Mapped[str]
    programme_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("programme.id", ondelete="CASCADE"))
    person_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), index=True)
    payload: Mapped[dict[str, Any]]
    idempotency_key: Mapped[str]
    state: Mapped[str]
    attempts: Mapped[int] = mapped_column(default=0)
    next_at: Mapped[datetime]
    lease_until: Mapped[datetime | None]
    last_status: Mapped[int | None]
    last_error: Mapped[str | None] = mapped_column(Told)
    remote_ref: Mapped[str | None]
    sent_timestamp: Mapped[datetime | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
