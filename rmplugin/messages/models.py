"""Messages of a pairing, encrypted; no query of ours gives them to a manager."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from rmplugin.db import Base, TenantOwned


class Message(Base, TenantOwned):
    """One message.

    :ivar body_locked: the words, encrypted; None when the author removed them, or their time is over.
    """

    __tablename__ = "message"
    __table_args__ = (
        CheckConstraint("body_locked is null or removed_at is null", name="removed"),
        Index("ix_message_thread", "pairing_id", "created_at"),
    )
    pairing_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("pairing.id", ondelete="CASCADE"))
    author_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    body_locked: Mapped[bytes | None]
    created_at: Mapped[datetime]
    removed_at: Mapped[datetime | None]


class ThreadRead(Base, TenantOwned):
    """Up to when one of the two has read the thread; the partner never learns it."""

    __tablename__ = "thread_read"
    __table_args__ = (UniqueConstraint("pairing_id", "person_id"),)
    pairing_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("pairing.id", ondelete="CASCADE"))
    person_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    read_at: Mapped[datetime]
