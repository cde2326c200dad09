"""Confidential contacts of a programme, and the requests that only they read."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from rmplugin.db import Base, TenantOwned


class ContactPerson(Base, TenantOwned):
    """Somebody whom the people of a programme can turn to in confidence."""

    __tablename__ = "contact_person"
    __table_args__ = (UniqueConstraint("programme_id", "person_id"),)
    programme_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("programme.id", ondelete="CASCADE"))
    person_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    created_at: Mapped[datetime]


class SafeguardCase(Base, TenantOwned):
    """A request for help. Read by its handler and by who wrote it; managers see counts of five and more.

    :ivar handler_id: the contact whom the person chose, outside both reporting lines.
    :ivar words_locked: what is the matter, encrypted.
    :ivar nameless: the handler must not tell the programme team who asked.
    :ivar state: open, triaged (read), acting or closed.
    """

    __tablename__ = "safeguard_case"
    __table_args__ = (CheckConstraint("state in ('open', 'triaged', 'acting', 'closed')", name="state"),)
    pairing_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("pairing.id", ondelete="CASCADE"), index=True)
    reporter_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), index=True)
    handler_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), index=True)
    words_locked: Mapped[bytes]
    nameless: Mapped[bool]
    state: Mapped[str]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
