"""Aims of mentors and how far they are, by themselves and, if both agree, by their mentee."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from rmplugin.db import Base, TenantOwned


class LeadershipAim(Base, TenantOwned):
    """What a mentor wants to grow in during one pairing. Belongs to the mentor; no manager ever reads it.

    :ivar aim: a code of `forms.AIMS`.
    :ivar words: what it means to the mentor.
    :ivar observation: whether the mentee rates, too: none, asked (by the mentor), agreed, declined.
    """

    __tablename__ = "leadership_aim"
    __table_args__ = (
        UniqueConstraint("pairing_id"),
        CheckConstraint("observation in ('none', 'asked', 'agreed', 'declined')", name="observation"),
    )
    pairing_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("pairing.id", ondelete="CASCADE"))
    person_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    aim: Mapped[str]
    words: Mapped[str]
    observation: Mapped[str]
    created_at: Mapped[datetime]


class AimRating(Base, TenantOwned):
    """How far the mentor is with an aim, seen by one of the two at one time.

    :ivar moment: start, mid or end.
    :ivar rater: mentor (of themselves) or mentee.
    :ivar rating: 1..5, each with words.
    """

    __tablename__ = "aim_rating"
    __table_args__ = (
        UniqueConstraint("aim_id", "moment", "rater"),
        CheckConstraint("moment in ('start', 'mid', 'end')", name="moment"),
        CheckConstraint("rater in ('mentor', 'mentee')", name="rater"),
        CheckConstraint("rating between 1 and 5", name="rating"),
    )
    aim_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("leadership_aim.id", ondelete="CASCADE"))
    moment: Mapped[str]
    rater: Mapped[str]
    rating: Mapped[int]
    note: Mapped[str]
    rated_at: Mapped[datetime]
