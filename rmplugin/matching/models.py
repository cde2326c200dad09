"""Rule sets, wishes, match runs, who is left out, proposals, pairings, closures."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from rmplugin.db import Base, TenantOwned, Told

# In these states two people are each other's partners: each takes a place.
LIVE = ("active", "paused", "suspended")
# Why a pair ended that lasted as long as its programme.
PROGRAMME_OVER = "programme_over"
_IS_LIVE = text("state in ('active', 'paused', 'suspended')")


class MatchRuleSet(Base, TenantOwned):
    """One version of what a programme's matching goes by. Once live it never changes; a new one follows it.

    :ivar version: 1, 2, … within the programme.
    :ivar state: draft (one at most), live (one at most), retired.
    :ivar rules, weights, options: as `matching.rules` reads them; null in rules: as the programme says.
    :ivar based_on: the version that it was made from; None for the first.
    """

    __tablename__ = "match_rule_set"
    __table_args__ = (
        UniqueConstraint("programme_id", "version"),
        CheckConstraint("state in ('draft', 'live', 'retired')", name="state"),
        Index(
            "uq_match_rule_set_live",
            "programme_id",
            unique=True,
            sqlite_where=text("state = 'live'"),
            postgresql_where=text("state = 'live'"),
        ),
    )
    programme_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("programme.id", ondelete="CASCADE"))
    version: Mapped[int]
    state: Mapped[str]
    rules: Mapped[dict[str, Any]]
    weights: Mapped[dict[str, Any]]
    objective: Mapped[str]
    options: Mapped[dict[str, Any]]
    note: Mapped[str | None]
    based_on: Mapped[int | None]
    created_by: Mapped[str]
    created_at: Mapped[datetime]


class MatchCount(Base, TenantOwned):
    """Numbers about a whole pool, which take too long for a page: the worker counts them when asked to.

    :ivar kind: health: how the pool stands; trial: what other rules would make of it.
    :ivar question: what was asked for; values of rules by name for a trial.
    :ivar answer: None while it is being counted.
    """

    __tablename__ = "match_count"
    __table_args__ = (
        UniqueConstraint("programme_id", "kind"),
        CheckConstraint("kind in ('health', 'trial')", name="kind"),
    )
    programme_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("programme.id", ondelete="CASCADE"))
    kind: Mapped[str]
    question: Mapped[dict[str, Any]]
    answer: Mapped[dict[str, Any] | None]
    asked_at: Mapped[datetime]
    counted_at: Mapped[datetime | None]


class MatchWish(Base, TenantOwned):
    """Whom somebody would like to meet, or not. Read by the matching alone; managers see counts of lists.

    :ivar kind: prefer, with a rank from 1 (most wanted) to 5, or avoid.
    """

    __tablename__ = "match_wish"
    __table_args__ = (
        UniqueConstraint("programme_id", "person_id", "other_id"),
        CheckConstraint("kind in ('avoid', 'prefer')", name="kind"),
        CheckConstraint("(kind = 'prefer') = (rank is not null)", name="ranked"),
        CheckConstraint("rank between 1 and 5", name="rank"),
    )
    programme_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("programme.id", ondelete="CASCADE"))
    person_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), index=True)
    other_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str]
    rank: Mapped[int | None]
    created_at: Mapped[datetime]


class MatchRun(Base, TenantOwned):
    """One computation of the matching.

    :ivar state: queued, solved, released, dropped (superseded or thrown away), failed.
    :ivar scope: all with a free place, or waiting: only those who have no partner and no proposal.
    :ivar rule_set_id, rule_set_version: what it goes by; None for runs from before there were rule sets.
    :ivar rules, weights: what it was computed with, versions included.
    :ivar inputs_hash: digest of everything that went in.
    :ivar metrics: numbers for the manager; while it is queued, how far the worker is.
    :ivar changes: what managers changed since, the last one last, each with all that undoes it.
    """

    __tablename__ = "match_run"
    __table_args__ = (
        CheckConstraint("state in ('queued', 'solved', 'released', 'dropped', 'failed')", name="state"),
        CheckConstraint("scope in ('all', 'waiting')", name="scope"),
    )
    programme_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("programme.id", ondelete="CASCADE"), index=True
    )
    state: Mapped[str]
    scope: Mapped[str] = mapped_column(default="all")
    objective: Mapped[str]
    rule_set_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("match_rule_set.id", ondelete="SET NULL"), index=True
    )
    rule_set_version: Mapped[int | None]
    rules: Mapped[dict[str, Any]]
    weights: Mapped[dict[str, Any]]
    inputs_hash: Mapped[str | None]
    mentors: Mapped[int] = mapped_column(default=0)
    mentees: Mapped[int] = mapped_column(default=0)
    total_score: Mapped[int] = mapped_column(BigInteger, default=0)
    proved: Mapped[bool] = mapped_column(default=False)
    gap: Mapped[float] = mapped_column(default=0.0)
    metrics: Mapped[dict[str, Any]]
    changes: Mapped[list[Any]] = mapped_column(default=list)
    failure: Mapped[str | None] = mapped_column(Told)
    seconds: Mapped[float | None]
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    released_at: Mapped[datetime | None]


class LeftOut(Base, TenantOwned):
    """Somebody whom a run left without a partner, and why.

    :ivar reason: code of the solver.
    :ivar details: numbers and texts behind the reason.
    :ivar told: the reason as a sentence, packed as in `rmplugin.texts`.
    """

    __tablename__ = "match_left_out"
    __table_args__ = (
        UniqueConstraint("run_id", "role", "person_id"),
        CheckConstraint("role in ('mentor', 'mentee')", name="role"),
    )
    run_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("match_run.id", ondelete="CASCADE"))
    person_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), index=True)
    role: Mapped[str]
    reason: Mapped[str]
    details: Mapped[dict[str, Any]]
    told: Mapped[list[Any]]


class Proposal(Base, TenantOwned):
    """A pair that a run proposes; after release both people answer.

    :ivar state: proposed, dropped (by the manager), released, accepted (by both), declined, expired, void.
    :ivar pinned: the manager wants this pair in every further run until it is released.
    :ivar contributions: factor -> points; they sum to `score`.
    :ivar reasons: what each side gets, for people.
    :ivar mentor_answer, mentee_answer: yes, no; None before.
    :ivar expires_at: end of the time to answer; None before the release, and after it was taken back.
    :ivar remind_at: when whoever has not answered is reminded; None for never.
    """

    __tablename__ = "proposal"
    __table_args__ = (
        UniqueConstraint("run_id", "mentor_id", "mentee_id"),
        CheckConstraint(
            "state in ('proposed', 'dropped', 'released', 'accepted', 'declined', 'expired', 'void')",
            name="state",
        ),
        CheckConstraint("mentor_answer in ('yes', 'no')", name="mentor_answer"),
        CheckConstraint("mentee_answer in ('yes', 'no')", name="mentee_answer"),
        # All that the lists of a run count is in it, so that no row has to be read for that.
        Index("ix_proposal_of_run", "tenant_id", "run_id", "state", "mentor_id", "mentee_id", "score"),
        Index("ix_proposal_mentor", "mentor_id", "state"),
        Index("ix_proposal_mentee", "mentee_id", "state"),
    )
    run_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("match_run.id", ondelete="CASCADE"))
    programme_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("programme.id", ondelete="CASCADE"), index=True
    )
    mentor_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    mentee_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    state: Mapped[str]
    pinned: Mapped[bool] = mapped_column(default=False)
    score: Mapped[int]
    contributions: Mapped[dict[str, Any]]
    reasons: Mapped[dict[str, Any]]
    mentor_answer: Mapped[str | None]
    mentee_answer: Mapped[str | None]
    mentor_answered_at: Mapped[datetime | None]
    mentee_answered_at: Mapped[datetime | None]
    decline_reason: Mapped[str | None]
    expires_at: Mapped[datetime | None]
    remind_at: Mapped[datetime | None]
    reminded_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


class Pairing(Base, TenantOwned):
    """Two people who both said yes.

    :ivar state: active, paused (goes on by itself), suspended (a manager decides), ended (early), completed.
    :ivar introduced_at: when both wanted to go on after their first call; None until then.
    :ivar interruption: why it is paused or suspended: not_at_work, reporting_line, or line_gone when that
        line is no more. For managers; the two people never learn it. None in other states.
    :ivar interrupted_at: since when it is paused or suspended; None in other states.
    """

    __tablename__ = "pairing"
    __table_args__ = (
        UniqueConstraint("proposal_id"),
        CheckConstraint("mentor_id <> mentee_id", name="two_people"),
        CheckConstraint("state in ('active', 'paused', 'suspended', 'ended', 'completed')", name="state"),
        CheckConstraint(
            "interruption in ('not_at_work', 'reporting_line', 'line_gone')", name="interruption"
        ),
        CheckConstraint(
            "(state in ('active', 'ended', 'completed')) = (interruption is null)"
            " and (interruption is null) = (interrupted_at is null)",
            name="interrupted",
        ),
        # The same two people cannot be paired twice at once in a programme.
        Index(
            "uq_pairing_active",
            "programme_id",
            "mentor_id",
            "mentee_id",
            unique=True,
            sqlite_where=_IS_LIVE,
            postgresql_where=_IS_LIVE,
        ),
        Index("ix_pairing_mentor", "mentor_id", "state"),
        Index("ix_pairing_mentee", "mentee_id", "state"),
    )
    programme_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("programme.id", ondelete="CASCADE"), index=True
    )
    proposal_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("proposal.id", ondelete="CASCADE"))
    mentor_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    mentee_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    state: Mapped[str]
    started_at: Mapped[datetime]
    introduced_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    interruption: Mapped[str | None]
    interrupted_at: Mapped[datetime | None]

    def interrupt(self, state: str, reason: str, now: datetime) -> None:
        """Pause or suspend; one that is interrupted already keeps since when."""
        self.state, self.interruption = state, reason
        self.interrupted_at = self.interrupted_at or now

    def move_on(self, state: str) -> None:
        """Leave an interruption, if there is one, for a state without."""
        self.state, self.interruption, self.interrupted_at = state, None, None

    @property
    def is_on_hold(self) -> bool:
        """Tell whether it is paused or suspended."""
        return self.interruption is not None

    def role_of(self, person_id: uuid.UUID | None) -> str | None:
        """Give mentor or mentee; None for anybody else."""
        return {self.mentor_id: "mentor", self.mentee_id: "mentee"}.get(person_id) if person_id else None

    def partner_of(self, person_id: uuid.UUID) -> uuid.UUID:
        """Give the other person of the two."""
        return self.mentee_id if person_id == self.mentor_id else self.mentor_id


class Closure(Base, TenantOwned):
    """Who ended a pairing and, if they said so, why. Never shown to the partner, nor by person to a manager.

    :ivar initiator_id: None when it ended with its programme.
    :ivar reasons: up to three codes of `forms.CLOSURE_REASONS`, or `PROGRAMME_OVER` alone; empty for none.
    :ivar next_choice: rematch, pause or leave.
    """

    __tablename__ = "closure"
    __table_args__ = (
        UniqueConstraint("pairing_id"),
        CheckConstraint("next_choice in ('rematch', 'pause', 'leave')", name="next_choice"),
    )
    pairing_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("pairing.id", ondelete="CASCADE"))
    initiator_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    reasons: Mapped[list[str]]
    next_choice: Mapped[str]
    created_at: Mapped[datetime]
