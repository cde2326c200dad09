"""Thanks between two people."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from rmplugin.db import Base, TenantOwned


class Thanks(Base, TenantOwned):
    """A thank-you to the partner, once per pairing. Nobody but the two reads it.

    :ivar deliver_at: when the receiver is told; after an end not at once, so that it says nothing about who
        ended the pairing.
    :ivar delivered_at: None before.
    :ivar is_kept: the receiver wants it in their own record.
    """

    __tablename__ = "thanks"
    __table_args__ = (
        UniqueConstraint("pairing_id", "giver_id"),
        CheckConstraint("giver_id <> receiver_id", name="two_people"),
    )
    pairing_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("pairing.id", ondelete="CASCADE"))
    giver_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    receiver_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), index=True)
    text: Mapped[str]
    created_at: Mapped[datetime]
    deliver_at: Mapped[datetime]
    delivered_at: Mapped[datetime | None]
    is_kept: Mapped[bool] = mapped_column(default=False)
