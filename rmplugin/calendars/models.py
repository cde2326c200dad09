"""Feeds of people's own sessions for their calendars."""

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from rmplugin.db import Base, TenantOwned


class CalendarFeed(Base, TenantOwned):
    """A person's own feed. Its address holds a secret, of which only the digest is kept."""

    __tablename__ = "calendar_feed"
    __table_args__ = (UniqueConstraint("person_id"),)
    person_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    token_sha256: Mapped[str] = mapped_column(unique=True)
    made_at: Mapped[datetime]
