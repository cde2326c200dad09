"""Calendars whose busy times the suggestions leave out."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from rmplugin.db import Base, TenantOwned


class BusyCalendar(Base, TenantOwned):
    """The free/busy address of one person, and when it says that they are busy. No titles, no places.

    :ivar url_locked: the address, encrypted, because whoever has it can read the calendar.
    :ivar busy: [start, end] in ISO 8601, UTC, in order and apart; the next weeks only.
    :ivar next_at: when it is fetched next.
    :ivar fetched_at: the last fetch that went well; None before.
    :ivar fault: code of what went wrong the last time; None when it went well.
    """

    __tablename__ = "busy_calendar"
    __table_args__ = (UniqueConstraint("person_id"), Index("ix_busy_calendar_next_at", "next_at"))
    person_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    url_locked: Mapped[bytes]
    busy: Mapped[list[Any]]
    next_at: Mapped[datetime]
    fetched_at: Mapped[datetime | None]
    fault: Mapped[str | None]
    created_at: Mapped[datetime]
