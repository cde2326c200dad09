"""Mentoring sessions, each side's claim of minutes, and when there is no time for any."""

import uuid
from datetime import date, datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from rmplugin.db import Base, TenantOwned

_ASKED = text("attest_asked_at is not null")


class MentoringSession(Base, TenantOwned):
    """A planned or held session of a pairing.

    :ivar kind: first, regular, briefing (what is new in technology), review.
    :ivar topic: one of the programme's topics, in its words; None for none of them.
    :ivar state: scheduled, claimed (by one), disputed (claims over 15 minutes apart), lapsed (of these two,
        14 days later), confirmed, cancelled.
    :ivar planned_minutes: length in the calendar.
    :ivar counted_minutes: the lower claim, after the policy's cap; None until both confirmed.
    :ivar moves: how often it was rescheduled.
    :ivar waits_since: when the first word was said that no other fits yet; None while nothing waits.
    :ivar reminders: how often those whose word is missing were reminded since.
    :ivar attest_asked_at: when one of the two, whose word alone stands, asked the manager to attest it.
    :ivar attest_refused_at: when the manager could not.
    :ivar attested_at: when the manager did; who it was, the audit says. None when both confirmed it.
    :ivar attest_reason: how the manager knows, in words that both read; None when both confirmed it.
    :ivar sequence: how often what calendars hold of it has changed (iCalendar's SEQUENCE).
    """

    __tablename__ = "mentoring_session"
    __table_args__ = (
        CheckConstraint(
            "state in ('scheduled', 'claimed', 'disputed', 'lapsed', 'confirmed', 'cancelled')", name="state"
        ),
        CheckConstraint("kind in ('first', 'regular', 'briefing', 'review')", name="kind"),
        CheckConstraint("planned_minutes between 5 and 480", name="planned_minutes"),
        CheckConstraint("(state = 'confirmed') = (counted_minutes is not null)", name="counted"),
        # Few sessions are asked to be attested, and every desk counts them.
        Index(
            "ix_mentoring_session_attest",
            "tenant_id",
            "pairing_id",
            sqlite_where=_ASKED,
            postgresql_where=_ASKED,
        ),
    )
    pairing_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("pairing.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(default="regular")
    topic: Mapped[str | None]
    state: Mapped[str]
    starts_at: Mapped[datetime]
    planned_minutes: Mapped[int]
    medium: Mapped[str]
    place: Mapped[str]
    agenda: Mapped[str]
    planned_by: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    moves: Mapped[int] = mapped_column(default=0)
    sequence: Mapped[int] = mapped_column(default=0)
    cancelled_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"))
    counted_minutes: Mapped[int | None]
    confirmed_at: Mapped[datetime | None]
    waits_since: Mapped[datetime | None]
    reminders: Mapped[int] = mapped_column(default=0)
    attest_asked_at: Mapped[datetime | None]
    attest_refused_at: Mapped[datetime | None]
    attested_at: Mapped[datetime | None]
    attest_reason: Mapped[str | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class SessionChange(Base, TenantOwned):
    """Somebody moved or cancelled a session that was planned.

    :ivar what: moved, cancelled.
    :ivar was_at, was_minutes: when it had been planned, and how long.
    :ivar to_at: the new start; None for a cancelled one.
    :ivar reason: a code of `forms.CAUSES`, or pause for a break of the pair; None when none was given.
    :ivar rebooked_by: who planned the next one after a cancellation; None while nobody has.
    """

    __tablename__ = "session_change"
    __table_args__ = (CheckConstraint("what in ('moved', 'cancelled')", name="what"),)
    pairing_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("pairing.id", ondelete="CASCADE"), index=True)
    session_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("mentoring_session.id", ondelete="CASCADE"), index=True
    )
    person_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    what: Mapped[str]
    was_at: Mapped[datetime]
    was_minutes: Mapped[int]
    to_at: Mapped[datetime | None]
    reason: Mapped[str | None]
    rebooked_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"))
    created_at: Mapped[datetime]


class SessionClaim(Base, TenantOwned):
    """One side's word that the session took place, and for how long."""

    __tablename__ = "session_claim"
    __table_args__ = (
        UniqueConstraint("session_id", "person_id"),
        CheckConstraint("minutes between 1 and 480", name="minutes"),
    )
    session_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("mentoring_session.id", ondelete="CASCADE"))
    person_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    minutes: Mapped[int]
    claimed_at: Mapped[datetime]


class TimeNeed(Base, TenantOwned):
    """Somebody of a pairing said that there is no time, and chose a way out.

    Never shown to the partner, nor by person to a manager; a break as such is seen by both.

    :ivar stage: start (no session confirmed yet), early (one or two), later.
    :ivar choice: shorten, retime, pause, leave.
    :ivar reason: a code of `hours.forms.REASONS`; None when none was given.
    :ivar pause_until: the last day of a break; None for other choices.
    :ivar ended_at: when the two went on before that; None otherwise.
    """

    __tablename__ = "time_need"
    __table_args__ = (
        CheckConstraint("stage in ('start', 'early', 'later')", name="stage"),
        CheckConstraint("choice in ('shorten', 'retime', 'pause', 'leave')", name="choice"),
    )
    programme_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("programme.id", ondelete="CASCADE"), index=True
    )
    pairing_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("pairing.id", ondelete="CASCADE"), index=True)
    person_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    stage: Mapped[str]
    choice: Mapped[str]
    reason: Mapped[str | None]
    pause_until: Mapped[date | None]
    ended_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
