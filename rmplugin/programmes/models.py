"""Programmes and enrolments."""

import uuid
from datetime import date, datetime

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from rmplugin.db import Base, TenantOwned


class Programme(Base, TenantOwned):
    """A reverse-mentoring programme.

    :ivar context_id: the course that it runs in; None for one created by command and not yet opened there.
    :ivar template: key of the template it was cloned from.
    :ivar cadence_weeks: a session every so many weeks.
    :ivar allowance_minutes: working time granted per week.
    :ivar mentee_min_rank: a mentee's seniority rank is at least this.
    :ivar mentor_max_rank: a mentor's rank is at most this, or
    :ivar mentor_max_tenure_months: their tenure at most this; None switches the tenure way off.
    :ivar min_sessions, min_minutes: completion asks for as many confirmed sessions and minutes,
    :ivar needs_goal_review: and a reviewed goal of one's own,
    :ivar needs_agreement: and an agreement that both signed,
    :ivar min_days: and so many days from the first to the last session,
    :ivar min_reflections: and as many sessions about which one noted something.
    :ivar policy: key of the credit policy that it counts by.
    :ivar day_cap, programme_cap, year_cap: minutes of one person that count at most: a day and a year in all
        programmes, and in this one; None is no limit.
    :ivar preparation_percent: what mentors get for preparing, of the minutes that count.
    :ivar topics: what pairs are encouraged to talk about, in words.
    :ivar keep_months: so long after its last day what pairs wrote is kept; then it is removed,
    :ivar words_removed_at: which was done then; None before.
    :ivar sponsor_message: why the sponsor wants it, in their own words; None when there is none.
    :ivar target_mentors, target_mentees: so many are wanted, and no more have a place; None is no limit.
    :ivar needs_endorsement: the line manager agrees to the weekly time before somebody comes into the pool.
    :ivar sign_up_until: last day on which people are expected to sign up; None is the first day.
    :ivar opened_at: when enrolment was opened first; None for a draft.
    """

    __tablename__ = "programme"
    __table_args__ = (
        UniqueConstraint("tenant_id", "name"),
        CheckConstraint("state in ('draft', 'enrolling', 'running', 'concluding', 'archived')", name="state"),
        CheckConstraint("starts_on < ends_on", name="dates"),
        CheckConstraint("mentee_min_rank between 0 and 100", name="mentee_rank"),
        CheckConstraint("mentor_max_rank between 0 and 100", name="mentor_rank"),
        CheckConstraint("keep_months between 0 and 120", name="keep_months"),
        CheckConstraint("preparation_percent between 0 and 25", name="preparation_percent"),
    )
    context_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("lti_context.id", ondelete="SET NULL"))
    name: Mapped[str]
    template: Mapped[str]
    purpose: Mapped[str]
    sponsor: Mapped[str | None]
    state: Mapped[str]
    starts_on: Mapped[date]
    ends_on: Mapped[date]
    cadence_weeks: Mapped[int]
    allowance_minutes: Mapped[int]
    session_minutes: Mapped[int]
    mentee_min_rank: Mapped[int]
    mentor_max_rank: Mapped[int]
    mentor_max_tenure_months: Mapped[int | None]
    min_sessions: Mapped[int]
    min_minutes: Mapped[int]
    needs_goal_review: Mapped[bool]
    needs_agreement: Mapped[bool]
    min_days: Mapped[int] = mapped_column(default=0)
    min_reflections: Mapped[int] = mapped_column(default=0)
    policy: Mapped[str] = mapped_column(default="contact_hours")
    day_cap: Mapped[int | None]
    programme_cap: Mapped[int | None]
    year_cap: Mapped[int | None]
    preparation_percent: Mapped[int] = mapped_column(default=0)
    topics: Mapped[list[str]]
    keep_months: Mapped[int] = mapped_column(default=12)
    words_removed_at: Mapped[datetime | None]
    sponsor_message: Mapped[str | None]
    target_mentors: Mapped[int | None]
    target_mentees: Mapped[int | None]
    needs_endorsement: Mapped[bool] = mapped_column(default=False)
    sign_up_until: Mapped[date | None]
    opened_at: Mapped[datetime | None]
    created_by: Mapped[str]
    created_at: Mapped[datetime]


class ProgrammeSkill(Base, TenantOwned):
    """A skill that people of a programme can offer or want."""

    __tablename__ = "programme_skill"
    __table_args__ = (UniqueConstraint("programme_id", "skill_id"),)
    programme_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("programme.id", ondelete="CASCADE"))
    skill_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("skill.id", ondelete="CASCADE"))


class Enrolment(Base, TenantOwned):
    """A person in a programme, in one role.

    :ivar role: mentor (the junior who teaches) or mentee (the senior who learns).
    :ivar state: invited; started; endorsing (the line manager is asked), waitlisted (no place is free),
        submitted (in the pool), paused; declined, withdrawn, completed.
    :ivar source: how they came: invited by the programme team, nominated by a colleague, by a file, or self.
    :ivar nominated_by: the colleague; shown to nobody unless they wanted it, and counted against their limit.
    :ivar opened_at, started_at: when they opened the page first, and gave an answer first.
    :ivar paused_until: the day on which they come back by themselves; None unless paused.
    :ivar capacity: how many pairings at once the person can carry.
    :ivar motivation_level: 1..5.
    :ivar motivation: own words; seen by the programme manager, never by the partner.
    :ivar active_pairings: how many pairings the person is in now; meanwhile the answers are fixed.
    :ivar consented_at: when the person agreed that the matching uses the answers; None when a file told them.
    """

    __tablename__ = "enrolment"
    __table_args__ = (
        UniqueConstraint("programme_id", "person_id"),
        CheckConstraint("role in ('mentor', 'mentee')", name="role"),
        CheckConstraint(
            "state in ('invited', 'started', 'endorsing', 'waitlisted', 'submitted', 'paused', 'declined', "
            "'withdrawn', 'completed')",
            name="state",
        ),
        CheckConstraint("source in ('invited', 'nominated', 'file', 'self')", name="source"),
        CheckConstraint("(state = 'paused') = (paused_until is not null)", name="paused"),
        CheckConstraint("capacity between 1 and 3", name="capacity"),
        CheckConstraint("motivation_level between 1 and 5", name="motivation_level"),
        CheckConstraint("active_pairings >= 0", name="active_pairings"),
    )
    programme_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("programme.id", ondelete="CASCADE"))
    person_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), index=True)
    role: Mapped[str]
    state: Mapped[str]
    capacity: Mapped[int] = mapped_column(default=1)
    motivation_level: Mapped[int | None]
    motivation: Mapped[str | None]
    source: Mapped[str] = mapped_column(default="self")
    nominated_by: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("person.id", ondelete="SET NULL"), index=True
    )
    active_pairings: Mapped[int] = mapped_column(default=0)
    consented_at: Mapped[datetime | None]
    invited_at: Mapped[datetime | None]
    opened_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    paused_until: Mapped[date | None]
    submitted_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class StageReason(Base, TenantOwned):
    """That somebody said no, or had no time, and why: to be counted. Whose it is, is written down nowhere.

    :ivar stage: invited, started, endorsing, waitlisted, submitted or paired.
    :ivar reason: key of `forms.DECLINE_REASONS`.
    :ivar choice: what they chose instead, a key of `forms.TIME_CHOICES`; None for a plain no.
    :ivar week: the Monday before.
    """

    __tablename__ = "stage_reason"
    __table_args__ = (CheckConstraint("role in ('mentor', 'mentee')", name="role"),)
    programme_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("programme.id", ondelete="CASCADE"), index=True
    )
    role: Mapped[str]
    stage: Mapped[str]
    reason: Mapped[str]
    choice: Mapped[str | None]
    week: Mapped[date]


class Endorsement(Base, TenantOwned):
    """The question to a line manager whether somebody may have the weekly time.

    :ivar manager_id: who is asked; None when the roster names nobody, so that the programme team answers.
    :ivar token: opens the page without a login, once, when it is signed; None when nobody can be asked.
    :ivar state: asked, yes, not_now.
    :ivar reason: key of `forms.NOT_NOW_REASONS`; None unless "not now".
    :ivar reminders: how often the manager was reminded.
    """

    __tablename__ = "endorsement"
    __table_args__ = (
        UniqueConstraint("enrolment_id"),
        UniqueConstraint("token"),
        CheckConstraint("state in ('asked', 'yes', 'not_now')", name="state"),
    )
    enrolment_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("enrolment.id", ondelete="CASCADE"))
    manager_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("person.id", ondelete="SET NULL"), index=True
    )
    token: Mapped[str | None]
    state: Mapped[str]
    reason: Mapped[str | None]
    reminders: Mapped[int] = mapped_column(default=0)
    asked_at: Mapped[datetime]
    answered_at: Mapped[datetime | None]
