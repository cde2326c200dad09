"""Introductions: each side's answer after the first call."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from rmplugin.db import Base, TenantOwned


class IntroAnswer(Base, TenantOwned):
    """What one of the two says about going on. No query gives it to the partner or to a manager.

    :ivar turn: 1 after the call; 2 after the second session, asked of whoever was unsure.
    :ivar answer: yes, unsure (only in turn 1) or no.
    """

    __tablename__ = "intro_answer"
    __table_args__ = (
        UniqueConstraint("pairing_id", "person_id", "turn"),
        CheckConstraint("turn between 1 and 2", name="turn"),
        CheckConstraint("answer in ('yes', 'unsure', 'no')", name="answer"),
    )
    pairing_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("pairing.id", ondelete="CASCADE"))
    person_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    turn: Mapped[int]
    answer: Mapped[str]
    answered_at: Mapped[datetime]
