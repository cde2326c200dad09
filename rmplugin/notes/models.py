"""Notes and action items of a pairing, encrypted; no query of ours gives them to a manager."""

import uuid
from datetime import date, datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from rmplugin.db import Base, TenantOwned


class Note(Base, TenantOwned):
    """What one of the two wrote down about a session.

    :ivar kind: note, or takeaway (one line, one per session and author).
    :ivar is_shared: both read it; else only the author.
    :ivar body_locked: the words, encrypted; None when the time for which they are kept is over.
    """

    __tablename__ = "note"
    __table_args__ = (
        CheckConstraint("kind in ('note', 'takeaway')", name="kind"),
        Index("ix_note_session", "session_id"),
    )
    pairing_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("pairing.id", ondelete="CASCADE"), index=True)
    session_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("mentoring_session.id", ondelete="CASCADE"))
    author_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    kind: Mapped[str]
    is_shared: Mapped[bool]
    body_locked: Mapped[bytes | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class ActionItem(Base, TenantOwned):
    """What one of the two takes on; both read it.

    :ivar kind: action, or commitment: what the senior will do about something that they heard.
    :ivar session_id: the session that it came from; None for none.
    :ivar state: open, done, dropped.
    :ivar text_locked: the words, encrypted; None when the time for which they are kept is over.
    :ivar drop_reason: a code of `forms.DROP_REASONS`; None when none was given.
    :ivar outcome_locked: what became of it, in words ("I did"); None when nothing was said.
    """

    __tablename__ = "action_item"
    __table_args__ = (
        CheckConstraint("kind in ('action', 'commitment')", name="kind"),
        CheckConstraint("state in ('open', 'done', 'dropped')", name="state"),
        CheckConstraint("(state = 'open') = (closed_at is null)", name="closed"),
        Index("ix_action_item_owner", "owner_id", "state"),
    )
    pairing_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("pairing.id", ondelete="CASCADE"), index=True)
    session_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("mentoring_session.id", ondelete="SET NULL")
    )
    owner_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    kind: Mapped[str]
    state: Mapped[str]
    text_locked: Mapped[bytes | None]
    outcome_locked: Mapped[bytes | None]
    drop_reason: Mapped[str | None]
    due_on: Mapped[date]
    created_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
