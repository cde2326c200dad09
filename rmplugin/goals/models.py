"""Goals by goal attainment scaling, with immutable versions."""

import uuid
from datetime import date, datetime

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from rmplugin.db import Base, TenantOwned


class Goal(Base, TenantOwned):
    """A goal of one of the two. Its words are in its versions, its way in its progress rows.

    :ivar state: open, reviewed (the owner compared now with the beginning), dropped.
    """

    __tablename__ = "goal"
    __table_args__ = (CheckConstraint("state in ('open', 'reviewed', 'dropped')", name="state"),)
    pairing_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("pairing.id", ondelete="CASCADE"), index=True)
    owner_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    state: Mapped[str]
    created_at: Mapped[datetime]
    reviewed_at: Mapped[datetime | None]


class GoalVersion(Base, TenantOwned):
    """The words of a goal at one time. Version 1 is the initial goal that outcomes are compared with.

    :ivar theme: organisation, outside_world, technology or own.
    :ivar weight: 1..3, how much it counts beside the person's other goals.
    :ivar level_minus_2 .. level_plus_2: what each level of the five-level scale means for this goal.
    """

    __tablename__ = "goal_version"
    __table_args__ = (
        UniqueConstraint("goal_id", "version"),
        CheckConstraint("theme in ('organisation', 'outside_world', 'technology', 'own')", name="theme"),
        CheckConstraint("weight between 1 and 3", name="weight"),
    )
    goal_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("goal.id", ondelete="CASCADE"))
    version: Mapped[int]
    theme: Mapped[str]
    weight: Mapped[int]
    title: Mapped[str]
    baseline: Mapped[str]
    level_minus_2: Mapped[str]
    level_minus_1: Mapped[str]
    level_0: Mapped[str]
    level_plus_1: Mapped[str]
    level_plus_2: Mapped[str]
    due_on: Mapped[date]
    written_by: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    created_at: Mapped[datetime]


class GoalProgress(Base, TenantOwned):
    """Where the goal stood at one time.

    :ivar attainment: -2..+2 on the goal's own scale.
    :ivar is_review: True for the closing comparison with the initial goal.
    :ivar is_mid: True for the comparison half-way, which closes nothing.
    :ivar reason: for either below 0: time, access, relevance, fit, goal_changed, outside_event.
    """

    __tablename__ = "goal_progress"
    __table_args__ = (
        CheckConstraint("attainment between -2 and 2", name="attainment"),
        CheckConstraint(
            "reason in ('time', 'access', 'relevance', 'fit', 'goal_changed', 'outside_event')", name="reason"
        ),
    )
    goal_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("goal.id", ondelete="CASCADE"), index=True)
    attainment: Mapped[int]
    note: Mapped[str]
    is_review: Mapped[bool] = mapped_column(default=False)
    is_mid: Mapped[bool] = mapped_column(default=False)
    reason: Mapped[str | None]
    written_by: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    created_at: Mapped[datetime]
