"""What people did when there was no time."""

import uuid
from datetime import date, datetime

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from rmplugin.db import Base, TenantOwned


class TimeNeed(Base, TenantOwned):
    """Somebody of a pairing said that there is no time, and chose a way out.

    Never shown to the partner, nor by person to a manager; a break as such is seen by both.

    :ivar stage: start (no session confirmed yet), early (one or two), later.
    :ivar choice: shorten, retime, pause, leave.
    :ivar reason: a code of `forms.REASONS`; None when none was given.
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
