"""Agreements: what each expects at first, and versions for life of what both agree on."""

import uuid
from datetime import date, datetime

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from rmplugin.db import Base, TenantOwned


class Terms:
    """What an agreement says, and what each of the two expects of it.

    :ivar cadence_weeks: a session every so many weeks.
    :ivar medium: video, in_person, phone or mixed.
    :ivar feedback: how they tell each other what went well and what did not; "" in the oldest ones.
    """

    cadence_weeks: Mapped[int]
    session_minutes: Mapped[int]
    medium: Mapped[str]
    place: Mapped[str]
    hopes: Mapped[str]
    boundaries: Mapped[str]
    confidentiality: Mapped[str]
    feedback: Mapped[str]
    ends_on: Mapped[date]


class Agreement(Terms, Base, TenantOwned):
    """One version of what the two agree on. A version is never changed, only followed by another.

    :ivar version: 1, 2, …
    :ivar state: open (waiting for signatures), signed (by both), superseded.
    :ivar async_counts: an exchange of messages keeps the rhythm, too.
    """

    __tablename__ = "agreement"
    __table_args__ = (
        UniqueConstraint("pairing_id", "version"),
        CheckConstraint("state in ('open', 'signed', 'superseded')", name="state"),
        CheckConstraint("medium in ('video', 'in_person', 'phone', 'mixed')", name="medium"),
    )
    pairing_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("pairing.id", ondelete="CASCADE"))
    version: Mapped[int]
    state: Mapped[str]
    async_counts: Mapped[bool] = mapped_column(default=False)
    written_by: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    mentor_signed_at: Mapped[datetime | None]
    mentee_signed_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


class AgreementDraft(Terms, Base, TenantOwned):
    """What one of the two expects, written alone. The partner reads it when both are sent, nobody else ever.

    Once sent it never changes: it is the baseline that outcomes are compared with.

    :ivar submitted_at: when it was sent; None while it is being written.
    """

    __tablename__ = "agreement_draft"
    __table_args__ = (
        UniqueConstraint("pairing_id", "person_id"),
        CheckConstraint("medium in ('video', 'in_person', 'phone', 'mixed')", name="medium"),
    )
    pairing_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("pairing.id", ondelete="CASCADE"))
    person_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    submitted_at: Mapped[datetime | None]
    updated_at: Mapped[datetime]
