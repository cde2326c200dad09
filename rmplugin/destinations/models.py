"""Accounts of systems that take credits as events, and brakes for whatever does not answer."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from rmplugin.db import Base, TenantOwned, Told


class SinkAccount(Base, TenantOwned):
    """A connected system that is told lines of the ledger and completions, each once.

    :ivar sink: key of the plug-in's `CreditSink`.
    :ivar settings: the sink's own settings without secrets.
    :ivar takes: the kinds that the sink takes, and `corrects`: whether it can take something back. Copied
        from the plug-in, so that whoever writes a line of the ledger needs no plug-in.
    :ivar takes_from: lines and completions from this moment on are told.
    :ivar paused_at: nothing is sent since then, but everything is kept; None while it is sent.
    :ivar recent_calls: when it was called last, in seconds since 1970, for its limit of calls per minute.
    """

    __tablename__ = "sink_account"
    __table_args__ = (UniqueConstraint("tenant_id", "name"),)
    name: Mapped[str]
    sink: Mapped[str]
    settings: Mapped[dict[str, Any]]
    secrets_locked: Mapped[bytes | None]
    takes: Mapped[list[str]]
    corrects: Mapped[bool]
    takes_from: Mapped[datetime]
    paused_at: Mapped[datetime | None]
    recent_calls: Mapped[list[Any]] = mapped_column(default=list)
    created_at: Mapped[datetime]


class Brake(Base, TenantOwned):
    """A system that failed, for all workers: after several failures in a row it is left alone for a while.

    There is a row only after a failure; the first success removes it.

    :ivar sink: key of the plug-in, and `place_id`: its account, or the course whose gradebook it is.
    :ivar failures: in a row.
    :ivar shut_until: nobody calls before; None while it may be called.
    :ivar last_status: HTTP status of the last failure; None when there was no answer.
    :ivar last_error: its sentence.
    """

    __tablename__ = "brake"
    __table_args__ = (UniqueConstraint("tenant_id", "sink", "place_id"),)
    sink: Mapped[str]
    place_id: Mapped[uuid.UUID]
    failures: Mapped[int]
    shut_until: Mapped[datetime | None]
    last_status: Mapped[int | None]
    last_error: Mapped[str | None] = mapped_column(Told)
    updated_at: Mapped[datetime]
