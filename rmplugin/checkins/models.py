"""Check-ins: one side's answers at one time."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from rmplugin.db import Base, TenantOwned


class Checkin(Base, TenantOwned):
    """Answers of one person about their pairing. No query of ours gives them to the partner or a manager.

    :ivar wave: 1 for week 2, then one more every four weeks.
    :ivar answers: item -> 1..5.
    :ivar words_locked: free text, encrypted; None when empty.
    :ivar satisfaction: 1..5, the item that health is computed from.
    """

    __tablename__ = "checkin"
    __table_args__ = (
        UniqueConstraint("pairing_id", "person_id", "wave"),
        CheckConstraint("satisfaction between 1 and 5", name="satisfaction"),
    )
    pairing_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("pairing.id", ondelete="CASCADE"), index=True)
    person_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    wave: Mapped[int]
    answers: Mapped[dict[str, Any]]
    satisfaction: Mapped[int]
    words_locked: Mapped[bytes | None]
    answered_at: Mapped[datetime]
