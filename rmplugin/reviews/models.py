"""Matchmaking reviews: why one was opened, what was decided, and what came of it."""

import uuid
from datetime import date, datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from rmplugin.db import Base, TenantOwned

# In these states a review waits for its decision.
OPEN = ("opened", "analysed")
_IS_OPEN = text("state in ('opened', 'analysed')")


class MatchmakingReview(Base, TenantOwned):
    """Matches of a programme fail regularly, so somebody looks over how they are made.

    :ivar alarm: the trigger that fired: rate, reason, run or segment; one open review of each at a time.
    :ivar state: opened, analysed (a cause is suspected), decided, applied (pairs are made by the new rules),
        verified (the next cohort was compared). From the decision on, nothing that people wrote is changed.
    :ivar evidence: what may be shown of the cohort on the day of opening, of `evidence.describe`. It is never
        brought up to date, because two versions would tell about the pairs that ended between them.
    :ivar suspected: the cause that somebody suspects, in words; None before.
    :ivar finding, change, owner, decided_on: the decision record, as typed; None before.
    :ivar rule_set_before, rule_set_after: versions of the rules and weights; the latter None before.
    :ivar programme_after_id: the programme whose version the latter is: each counts its own. None when it is
        this one or whichever follows it in the course.
    :ivar verdict: how the next cohort compares: "word", "pairs" and an interval; None before.
    """

    __tablename__ = "matchmaking_review"
    __table_args__ = (
        CheckConstraint("alarm in ('rate', 'reason', 'run', 'segment')", name="alarm"),
        CheckConstraint("state in ('opened', 'analysed', 'decided', 'applied', 'verified')", name="state"),
        CheckConstraint(
            "(state in ('opened', 'analysed')) = (decided_at is null)"
            " and (decided_at is null) = (finding is null) and (decided_at is null) = (change is null)"
            " and (decided_at is null) = (owner is null) and (decided_at is null) = (decided_on is null)"
            " and (decided_at is null) = (rule_set_after is null)",
            name="decided",
        ),
        Index(
            "uq_matchmaking_review_open",
            "programme_id",
            "alarm",
            unique=True,
            sqlite_where=_IS_OPEN,
            postgresql_where=_IS_OPEN,
        ),
    )
    programme_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("programme.id", ondelete="CASCADE"), index=True
    )
    alarm: Mapped[str]
    state: Mapped[str]
    evidence: Mapped[dict[str, Any]]
    suspected: Mapped[str | None]
    finding: Mapped[str | None]
    change: Mapped[str | None]
    owner: Mapped[str | None]
    decided_on: Mapped[date | None]
    rule_set_before: Mapped[int]
    rule_set_after: Mapped[int | None]
    programme_after_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("programme.id", ondelete="SET NULL"), index=True
    )
    verdict: Mapped[dict[str, Any] | None]
    opened_at: Mapped[datetime]
    analysed_at: Mapped[datetime | None]
    decided_at: Mapped[datetime | None]
    applied_at: Mapped[datetime | None]
    verified_at: Mapped[datetime | None]

    @property
    def is_open(self) -> bool:
        """Tell whether it waits for its decision."""
        return self.state in OPEN
