"""Reads about messages, each for one of the two people; there is none for managers."""

import uuid
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Select, and_, func, or_, select

from rmplugin.db import Db
from rmplugin.errors import NotFoundError
from rmplugin.messages.models import Message, ThreadRead

PAGE = 20


def page_of_thread(db: Db, pairing_id: uuid.UUID, page: int) -> tuple[Sequence[Message], int]:
    """Give a page of a thread, newest first.

    :param pairing_id: of a pairing that was found to be theirs.
    :param page: 1 for the newest messages.
    :return: the messages, and how many pages there are.
    **Touches** reads message.
    """
    here = Message.pairing_id == pairing_id
    total = db.scalar(select(func.count(Message.id)).where(here)) or 0
    query = select(Message).where(here).order_by(Message.created_at.desc(), Message.id.desc())
    rows = db.scalars(query.offset((page - 1) * PAGE).limit(PAGE)).all()
    return rows, max(1, -(-total // PAGE))


Chosen = TypeVar("Chosen", bound=Select[*tuple[Any, ...]])


def unread_counts(db: Db, person_id: uuid.UUID, pairing_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, int]:
    """Count the partners' messages that a person has not read: pairing -> count, without zeros.

    **Touches** reads message, thread_read.
    """
    query = _unread(select(Message.pairing_id, func.count(Message.id)), person_id)
    query = query.where(Message.pairing_id.in_(pairing_ids)).group_by(Message.pairing_id)
    return {row[0]: row[1] for row in db.execute(query)}


def count_unread(person_id: uuid.UUID, pairing_id: uuid.UUID) -> Select[int]:
    """Count what a person has not read in one thread, as a part of a larger statement. **Touches** pure."""
    return _unread(select(func.count(Message.id)), person_id).where(Message.pairing_id == pairing_id)


def _unread(query: Chosen, person_id: uuid.UUID) -> Chosen:
    read = and_(ThreadRead.pairing_id == Message.pairing_id, ThreadRead.person_id == person_id)
    return (
        query.outerjoin(ThreadRead, read)
        .where(Message.author_id != person_id, Message.removed_at.is_(None))
        .where(or_(ThreadRead.read_at.is_(None), Message.created_at > ThreadRead.read_at))
    )


def read_until(db: Db, pairing_id: uuid.UUID, person_id: uuid.UUID) -> datetime | None:
    """Tell up to when a person has read their thread; None when they never did.

    **Touches** reads thread_read.
    """
    query = select(ThreadRead.read_at).where(
        ThreadRead.pairing_id == pairing_id, ThreadRead.person_id == person_id
    )
    return db.scalar(query)


def get_own_message(db: Db, message_id: uuid.UUID, person_id: uuid.UUID) -> Message:
    """Give a message to its author.

    :raises NotFoundError: there is no such message of theirs.
    **Touches** reads message.
    """
    query = select(Message).where(Message.id == message_id, Message.author_id == person_id)
    message = db.scalars(query).one_or_none()
    if message is None:
        raise NotFoundError("message")
    return message


def last_exchange(db: Db, pairing_id: uuid.UUID) -> datetime | None:
    """Tell when both had last written: the older of the two sides' newest messages; None before both did.

    **Touches** reads message.
    """
    query = (
        select(func.max(Message.created_at).label("newest"))
        .where(Message.pairing_id == pairing_id, Message.removed_at.is_(None))
        .group_by(Message.author_id)
    )
    newest = list(db.scalars(query))
    return min(newest) if len(newest) == 2 else None
