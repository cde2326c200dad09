"""Check-ins: one side's answers at one time; who is asked when; what a coordinator is asked to do."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from rmplugin.db import Base, TenantOwned


class Checkin(Base, TenantOwned):
    """Answers of one person about their pairing. No query of ours gives them to the partner or a manager.

    :ivar wave: 1 for week 2, then one more every four weeks.
    :ivar answers: item -> 1..5.
    :ivar words_locked: the next step in own words, encrypted; None when empty.
    :ivar shared: the person wants the programme team to read the words, with their name.
    :ivar satisfaction: 1..5, the item "fit".
    """

    __tablename__ = "checkin"
    __table_args__ = (
        UniqueConstraint("pairing_id", "person_id", "wave"),
        CheckConstraint("satisfaction between 1 and 5", name="satisfaction"),
        # How all pairs of a programme are is read from it alone.
        Index("ix_checkin_health", "pairing_id", "wave", "satisfaction", "tenant_id"),
    )
    pairing_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("pairing.id", ondelete="CASCADE"))
    person_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    wave: Mapped[int]
    answers: Mapped[dict[str, Any]]
    satisfaction: Mapped[int]
    words_locked: Mapped[bytes | None]
    shared: Mapped[bool] = mapped_column(default=False)
    answered_at: Mapped[datetime]


class CheckinAsk(Base, TenantOwned):
    """That somebody was asked to check in. Answered when there is a `Checkin` of the same wave.

    :ivar reminded_at: None until the one reminder.
    :ivar expired_at: when its time was over unanswered; None before, and when it was answered.
    """

    __tablename__ = "checkin_ask"
    __table_args__ = (UniqueConstraint("pairing_id", "person_id", "wave"),)
    pairing_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("pairing.id", ondelete="CASCADE"))
    person_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    wave: Mapped[int]
    asked_at: Mapped[datetime]
    reminded_at: Mapped[datetime | None]
    expired_at: Mapped[datetime | None]


class CareTask(Base, TenantOwned):
    """What a pair's check-ins ask of the coordinator. Holds no answer and takes no notes.

    :ivar kind: gap (talk to each of the two separately) or energy (offer the mentor support).
    :ivar wave: of the check-in that it came from.
    :ivar done_by: see `audit.AuditEntry`; None while it is open.
    """

    __tablename__ = "care_task"
    __table_args__ = (
        UniqueConstraint("pairing_id", "kind", "wave"),
        CheckConstraint("kind in ('gap', 'energy')", name="kind"),
    )
    pairing_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("pairing.id", ondelete="CASCADE"))
    kind: Mapped[str]
    wave: Mapped[int]
    created_at: Mapped[datetime]
    done_at: Mapped[datetime | None]
    done_by: Mapped[str | None]
