"""The append-only ledger, completion snapshots, deliveries."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from rmplugin.db import Base, TenantOwned, Told
from rmplugin.destinations.models import SinkAccount

FIRST_AWARD = "kind = 'award' and follows_id is null"


class CreditEntry(Base, TenantOwned):
    """One line of the ledger. Database triggers refuse changes and deletions.

    Of a session, a person and a unit one award stands at most: the first, or, once that was taken back, the
    one that follows its reversal. Both links are unique, so the chain cannot fork.

    :ivar kind: award, reversal (takes one award back), adjustment (a manager adds minutes or takes some off).
    :ivar pairing_id, session_id: None in an adjustment.
    :ivar minutes: whole minutes, after caps; they are the authority.
    :ivar amount_hundredths: what the line adds to the person's sum in `unit`: the sum of all lines is what
        the policy makes of the sum of their minutes.
    :ivar uncapped_hundredths: what it would have added without the rule in `cap_applied`.
    :ivar rules: the numbers that it was counted by (`policies.Caps`), and the zone of its days and years;
        empty where none were kept.
    :ivar reverses_id: the award that a reversal takes back.
    :ivar follows_id: the reversal that an award comes after; None for the first of a session.
    :ivar reason: why the tool itself took a line back; what a manager wrote is a `CreditReason`.
    :ivar evidence_sha256: digest of who confirmed what when.
    :ivar created_by: see `audit.AuditEntry`.
    """

    __tablename__ = "credit_entry"
    __table_args__ = (
        CheckConstraint("kind in ('adjustment', 'award', 'reversal')", name="kind"),
        CheckConstraint("role in ('mentor', 'mentee')", name="role"),
        CheckConstraint("(session_id is null) = (kind = 'adjustment')", name="session"),
        CheckConstraint("(reverses_id is not null) = (kind = 'reversal')", name="reversal"),
        CheckConstraint("follows_id is null or kind = 'award'", name="follows"),
        # One award per session, person and unit, whatever is sent twice.
        Index(
            "uq_credit_entry_award",
            "session_id",
            "person_id",
            "unit",
            unique=True,
            sqlite_where=text(FIRST_AWARD),
            postgresql_where=text(FIRST_AWARD),
        ),
        Index("ix_credit_entry_person_programme", "person_id", "programme_id"),
    )
    person_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id"))
    role: Mapped[str]
    programme_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("programme.id"))
    pairing_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("pairing.id"))
    session_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("mentoring_session.id"))
    unit: Mapped[str]
    minutes: Mapped[int]
    amount_hundredths: Mapped[int]
    uncapped_hundredths: Mapped[int]
    cap_applied: Mapped[str | None]
    policy: Mapped[str]
    policy_version: Mapped[int]
    rules: Mapped[dict[str, Any]] = mapped_column(default=dict)
    kind: Mapped[str]
    reverses_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("credit_entry.id"), unique=True)
    follows_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("credit_entry.id"), unique=True)
    reason: Mapped[str | None] = mapped_column(Told)
    evidence_sha256: Mapped[str]
    created_at: Mapped[datetime]
    created_by: Mapped[str]


class CreditReason(Base, TenantOwned):
    """Why a manager took a line back, or adjusted. The person reads it; it goes when they are erased.

    :ivar entry_id: the reversal or adjustment.
    """

    __tablename__ = "credit_reason"
    entry_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("credit_entry.id", ondelete="CASCADE"), unique=True
    )
    words: Mapped[str]


class Completion(Base, TenantOwned):
    """How far a person has come in a programme: derived, kept so that reaching 100 % has a date.

    :ivar targets: the numbers that it was measured by (`policies.Targets`); once met, they stay.
    :ivar taken_back: how many lines had taken credit away when it was last seen to be met. Only one more may
        take the completion away, whatever the clock says of when that was.
    :ivar through_entry_id: the newest line of the ledger that it counts; None before the first.
    """

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
    policy: Mapped[str] = mapped_column(default="")
    policy_version: Mapped[int]
    targets: Mapped[dict[str, Any]] = mapped_column(default=dict)
    taken_back: Mapped[int] = mapped_column(default=0)
    through_entry_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("credit_entry.id"))
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


class GradeComparison(Base, TenantOwned):
    """The last comparison of a platform's gradebooks with the ledger; the next one takes its place.

    :ivar people: class -> how many; each completion above 0 is in exactly one (`differences.CLASSES`).
    """

    __tablename__ = "grade_comparison"
    platform_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("lti_platform.id", ondelete="CASCADE"), unique=True
    )
    people: Mapped[dict[str, Any]]
    compared_at: Mapped[datetime]


class GradeDifference(Base, TenantOwned):
    """One difference that a comparison found.

    :ivar programme_id, person_id: None when it is about a column.
    :ivar kind: a word of `differences.KINDS`.
    :ivar repaired: the right grade is on its way; else somebody has to look.
    :ivar ours: the percentage that the platform should show; None when it is about a column.
    :ivar theirs: what it shows, in percent; None for nothing.
    :ivar times: how many people or columns it is about.
    """

    __tablename__ = "grade_difference"
    __table_args__ = (
        CheckConstraint(
            "kind in ('overridden', 'left', 'ignored', 'column_gone', 'copied', 'unreadable', 'stranger', "
            "'stray_column', 'lost', 'stale', 'unsent')",
            name="kind",
        ),
    )
    comparison_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("grade_comparison.id", ondelete="CASCADE"), index=True
    )
    context_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("lti_context.id", ondelete="CASCADE"))
    programme_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("programme.id", ondelete="CASCADE"))
    person_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("person.id", ondelete="CASCADE"), index=True
    )
    kind: Mapped[str]
    repaired: Mapped[bool]
    ours: Mapped[int | None]
    theirs: Mapped[float | None]
    times: Mapped[int] = mapped_column(default=1)
