"""Concerns and their public answers, the readiness survey, tasters."""

import uuid
from datetime import date, datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from rmplugin.db import Base, TenantOwned


class PublicAnswer(Base, TenantOwned):
    """A question and its answer, which everybody in the course can read.

    :ivar code: of the concerns that it answers; None for a question that nobody had to ask.
    :ivar question: in the programme team's words, never in those of a concern.
    """

    __tablename__ = "public_answer"
    programme_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("programme.id", ondelete="CASCADE"), index=True
    )
    code: Mapped[str | None]
    question: Mapped[str]
    answer: Mapped[str]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class Concern(Base, TenantOwned):
    """A concern that somebody in the course has. Nobody's name, and no moment by which they could be found.

    :ivar id: by chance alone: our other ids tell when they were made.
    :ivar code: key of `forms.CONCERNS`.
    :ivar text: read by the programme team; None when the code says it all.
    :ivar month: first day of the month.
    :ivar answer_id: the public answer; None while it waits.
    """

    __tablename__ = "concern"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    programme_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("programme.id", ondelete="CASCADE"), index=True
    )
    code: Mapped[str]
    text: Mapped[str | None]
    month: Mapped[date]
    answer_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("public_answer.id", ondelete="SET NULL"), index=True
    )


class Readiness(Base, TenantOwned):
    """The answers to a programme's readiness survey, added up: no row is anybody's.

    :ivar sums: item -> sum of the answers, 1..5 each.
    :ivar shown, shown_people: sums and people of the last time when enough new answers had come.
    """

    __tablename__ = "readiness"
    __table_args__ = (UniqueConstraint("programme_id"), CheckConstraint("people >= 0", name="people"))
    programme_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("programme.id", ondelete="CASCADE"))
    is_open: Mapped[bool]
    people: Mapped[int]
    sums: Mapped[dict[str, Any]]
    shown_people: Mapped[int]
    shown: Mapped[dict[str, Any]]


class ReadinessTaken(Base, TenantOwned):
    """That somebody answered the survey, so that they do it once."""

    __tablename__ = "readiness_taken"
    __table_args__ = (UniqueConstraint("programme_id", "lti_user_id"),)
    programme_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("programme.id", ondelete="CASCADE"))
    lti_user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("lti_user.id", ondelete="CASCADE"), index=True)


class Taster(Base, TenantOwned):
    """A short meeting in which people get to know the programme before they sign up.

    :ivar place: a room or a link.
    """

    __tablename__ = "taster"
    programme_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("programme.id", ondelete="CASCADE"), index=True
    )
    starts_at: Mapped[datetime]
    place: Mapped[str]
    created_at: Mapped[datetime]
