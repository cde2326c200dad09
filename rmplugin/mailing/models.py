"""Mails on their way, how people want to be told, addresses that refuse, channels for programme news."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from rmplugin.db import Base, TenantOwned, Told


class Mail(Base, TenantOwned):
    """One thing to tell somebody by mail. Several for one person that are due together go in one letter.

    Which words it has follows from its kind; nothing that anybody wrote is kept here.

    :ivar person_id: None for a test mail.
    :ivar address: of a test mail; None for all others, which go to the person's address of the moment.
    :ivar notice_id: the notice that it goes with; a notice has one mail at most. None for invitations and
        test mails.
    :ivar kind: as `notify.Notice.kind`.
    :ivar about: what an invitation is about, e.g. "session/0190…"; None for all others.
    :ivar invitation: iCalendar document; None for most, and once it is sent.
    :ivar language: of a test mail; None for the person's own.
    :ivar state: waiting, sending, sent; failed (given up, see `last_error`); dropped (no longer needed: read
        in the tool, overtaken by a newer one, or switched off meanwhile).
    :ivar letter_id: the letter that it goes in, also at the next try; None before the first.
    :ivar lease_until: a worker has it until then; afterwards another may take it.
    """

    __tablename__ = "mail"
    __table_args__ = (
        UniqueConstraint("notice_id"),
        CheckConstraint("state in ('waiting', 'sending', 'sent', 'failed', 'dropped')", name="state"),
        CheckConstraint("person_id is null or address is null", name="one_recipient"),
        Index("ix_mail_state_due", "state", "due_at"),
        Index("ix_mail_person_about", "person_id", "about"),
    )
    person_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    address: Mapped[str | None]
    notice_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("notice.id", ondelete="CASCADE"))
    kind: Mapped[str]
    about: Mapped[str | None]
    invitation: Mapped[str | None]
    language: Mapped[str | None]
    state: Mapped[str] = mapped_column(default="waiting")
    due_at: Mapped[datetime]
    letter_id: Mapped[uuid.UUID | None] = mapped_column(index=True)
    lease_until: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(default=0)
    last_error: Mapped[str | None] = mapped_column(Told)
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]


class MailChoice(Base, TenantOwned):
    """How a person wants to be told. Without a row, the defaults of `catalogue` hold.

    :ivar ways: group of `catalogue.GROUPS` -> at_once, digest or off; groups that are left out have their
        default.
    :ivar quiet_from_minute, quiet_to_minute: local minutes after midnight between which no mail goes out;
        equal ones mean that only free days are quiet.
    :ivar language: of the mails; None for the one that follows from the last visit or the staff list.
    """

    __tablename__ = "mail_choice"
    __table_args__ = (
        UniqueConstraint("person_id"),
        CheckConstraint("quiet_from_minute between 0 and 1439", name="quiet_from"),
        CheckConstraint("quiet_to_minute between 0 and 1439", name="quiet_to"),
    )
    person_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    ways: Mapped[dict[str, Any]]
    quiet_from_minute: Mapped[int]
    quiet_to_minute: Mapped[int]
    language: Mapped[str | None]
    updated_at: Mapped[datetime]


class BlockedAddress(Base, TenantOwned):
    """An address that its mail server refused for good; another address of the same person is not blocked.

    :ivar email_folded: as `Person.email_folded` when it was refused.
    """

    __tablename__ = "blocked_address"
    __table_args__ = (UniqueConstraint("person_id"),)
    person_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    email_folded: Mapped[str]
    reason: Mapped[str] = mapped_column(Told)
    blocked_at: Mapped[datetime]


class MailSetup(Base, TenantOwned):
    """What a programme's manager says about its mails.

    :ivar activity_url: address of the activity in the LMS, for the button in mails; None to work it out.
    """

    __tablename__ = "mail_setup"
    __table_args__ = (UniqueConstraint("programme_id"),)
    programme_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("programme.id", ondelete="CASCADE"))
    activity_url: Mapped[str | None]


class NewsChannel(Base, TenantOwned):
    """A channel of a team, such as one in Slack, that a programme's news goes to.

    :ivar notifier: key of a `notifiers.NewsNotifier`.
    :ivar settings_locked: its settings, encrypted: the address is a secret.
    :ivar state: active, or stopped when the other system said that there is no such channel any more.
    """

    __tablename__ = "news_channel"
    __table_args__ = (CheckConstraint("state in ('active', 'stopped')", name="state"),)
    programme_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("programme.id", ondelete="CASCADE"), index=True
    )
    notifier: Mapped[str]
    name: Mapped[str]
    settings_locked: Mapped[bytes]
    state: Mapped[str] = mapped_column(default="active")
    last_error: Mapped[str | None] = mapped_column(Told)
    posted_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


class News(Base, TenantOwned):
    """Something that a programme's manager tells everybody in the programme."""

    __tablename__ = "news"
    programme_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("programme.id", ondelete="CASCADE"), index=True
    )
    title: Mapped[str]
    words: Mapped[str]
    written_by: Mapped[str]
    written_at: Mapped[datetime]
