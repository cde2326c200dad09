"""How far people are with their preparation, what a programme asks for, supervision groups."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from rmplugin.db import Base, TenantOwned


class PreparationStep(Base, TenantOwned):
    """A module that somebody has worked through, in whatever programme. What they answered is not kept."""

    __tablename__ = "preparation_step"
    __table_args__ = (UniqueConstraint("person_id", "module"),)
    person_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    module: Mapped[str]
    done_at: Mapped[datetime]


class PreparationRule(Base, TenantOwned):
    """What a programme asks of the preparation; without a row, it asks nothing.

    :ivar gate: the first session can be planned when both are ready.
    :ivar reminded_at: when those who are not ready were last reminded; None for never.
    """

    __tablename__ = "preparation_rule"
    __table_args__ = (UniqueConstraint("programme_id"),)
    programme_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("programme.id", ondelete="CASCADE"))
    gate: Mapped[bool]
    reminded_at: Mapped[datetime | None]


class SupervisionGroup(Base, TenantOwned):
    """A date at which mentors, or mentees, of a programme talk about how it goes. No notes are kept.

    :ivar role: whom it is for.
    :ivar link: where they meet, an address of the web.
    :ivar cancelled_at: None when it takes place.
    :ivar reminded_at: when those who joined were reminded; None before.
    """

    __tablename__ = "supervision_group"
    __table_args__ = (
        CheckConstraint("role in ('mentor', 'mentee')", name="role"),
        CheckConstraint("capacity between 2 and 100", name="capacity"),
        CheckConstraint("minutes between 15 and 240", name="minutes"),
    )
    programme_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("programme.id", ondelete="CASCADE"), index=True
    )
    role: Mapped[str]
    starts_at: Mapped[datetime]
    minutes: Mapped[int]
    link: Mapped[str]
    capacity: Mapped[int]
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    cancelled_at: Mapped[datetime | None]
    reminded_at: Mapped[datetime | None]


class SupervisionSeat(Base, TenantOwned):
    """Somebody who joined a supervision group."""

    __tablename__ = "supervision_seat"
    __table_args__ = (UniqueConstraint("group_id", "person_id"),)
    group_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("supervision_group.id", ondelete="CASCADE"))
    person_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), index=True)
    joined_at: Mapped[datetime]
