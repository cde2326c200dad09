"""Write a message, remove it, read the thread."""

import uuid
from datetime import datetime, timedelta

from sqlalchemy import select

from rmplugin import notify
from rmplugin.db import Db, Secrets
from rmplugin.errors import ConflictError
from rmplugin.matching.models import Pairing
from rmplugin.matching.queries import lock_active_pairing
from rmplugin.messages.models import Message, ThreadRead
from rmplugin.people.queries import display_names
from rmplugin.texts import Text

REMOVE_WITHIN = timedelta(minutes=15)
# In an hour, by one person: a thread is no chat, and a stuck program must not fill it.
MOST_AN_HOUR = 60


def thread_path(pairing_id: uuid.UUID) -> str:
    """Give the address of a thread. **Touches** pure."""
    return f"/pairings/{pairing_id}/messages"


def write(
    db: Db, secrets: Secrets, pairing: Pairing, person_id: uuid.UUID, body: str, now: datetime
) -> Message:
    """Write a message. The partner's notice says who wrote, never what.

    :param body: plain text.
    :raises ConflictError: the pairing has ended or is on hold, or very many were written within an hour.
    **Touches** writes message, thread_read, notice.
    """
    lock_active_pairing(db, pairing.id, person_id)
    lately = select(Message.id).where(
        Message.pairing_id == pairing.id,
        Message.author_id == person_id,
        Message.created_at > now - timedelta(hours=1),
    )
    if len(db.scalars(lately.limit(MOST_AN_HOUR)).all()) >= MOST_AN_HOUR:
        raise ConflictError(
            "many_messages", "You wrote very many messages within an hour. Please go on a little later."
        )
    message = Message(
        pairing_id=pairing.id, author_id=person_id, body_locked=secrets.lock(body), created_at=now
    )
    db.add(message)
    name = display_names(db, {person_id}).get(person_id, Text("Your partner"))
    said = Text("%(name)s wrote to you.", name=name)
    notify.tell(db, pairing.partner_of(person_id), "message", said, now, thread_path(pairing.id))
    db.flush()
    return message


def remove(db: Db, message: Message, person_id: uuid.UUID, now: datetime) -> None:
    """Remove a message of one's own within 15 minutes; its words are gone, that there was one stays.

    :raises ConflictError: it is older, or the pairing has ended or is on hold.
    **Touches** writes message.
    """
    lock_active_pairing(db, message.pairing_id, person_id)
    if message.removed_at is not None:
        return
    if message.created_at + REMOVE_WITHIN < now:
        raise ConflictError(
            "too_late", "A message can be removed within 15 minutes. This one is older, so it stays."
        )
    message.body_locked, message.removed_at = None, now


def mark_read(db: Db, pairing_id: uuid.UUID, person_id: uuid.UUID, until: datetime, now: datetime) -> None:
    """Note that a person has read the thread, and put the notice about it away.

    :param until: the newest message that they were shown.
    **Touches** writes thread_read, notice.
    """
    query = select(ThreadRead).where(ThreadRead.pairing_id == pairing_id, ThreadRead.person_id == person_id)
    read = db.scalars(query.with_for_update()).one_or_none()
    if read is None:
        db.add(ThreadRead(pairing_id=pairing_id, person_id=person_id, read_at=until))
    else:
        read.read_at = max(read.read_at, until)
    notify.settle(db, person_id, thread_path(pairing_id), now)
