"""Reads about notes and action items, each for one of the two people; there is none for managers."""

import uuid
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta

from sqlalchemy import ColumnElement, case, func, or_, select

from rmplugin.db import Db
from rmplugin.errors import NotFoundError
from rmplugin.matching.models import LIVE, Pairing
from rmplugin.notes.models import ActionItem, Note

WEEK = timedelta(days=7)


def notes_of(db: Db, session_id: uuid.UUID, person_id: uuid.UUID) -> Sequence[Note]:
    """List what a person may read about a session: their own notes, and the partner's shared ones.

    :param session_id: of a session that was found to be theirs.
    **Touches** reads note.
    """
    query = select(Note).where(Note.session_id == session_id, _may_read(person_id))
    return db.scalars(query.order_by(Note.created_at, Note.id)).all()


def notes_of_pairing(db: Db, pairing_id: uuid.UUID, person_id: uuid.UUID) -> Sequence[Note]:
    """List what a person may read about all sessions of a pairing of theirs, newest first.

    **Touches** reads note.
    """
    query = select(Note).where(Note.pairing_id == pairing_id, _may_read(person_id))
    return db.scalars(query.order_by(Note.created_at.desc(), Note.id.desc())).all()


def _may_read(person_id: uuid.UUID) -> ColumnElement[bool]:
    return or_(Note.author_id == person_id, Note.is_shared)


def find_takeaway(db: Db, session_id: uuid.UUID, person_id: uuid.UUID) -> Note | None:
    """Give the line that a person takes from a session; None when there is none.

    **Touches** reads note.
    """
    query = select(Note).where(
        Note.session_id == session_id, Note.author_id == person_id, Note.kind == "takeaway"
    )
    return db.scalars(query.limit(1)).first()


def get_own_note(db: Db, note_id: uuid.UUID, person_id: uuid.UUID) -> Note:
    """Give a note to its author.

    :raises NotFoundError: there is no such note of theirs.
    **Touches** reads note.
    """
    query = select(Note).where(Note.id == note_id, Note.author_id == person_id)
    note = db.scalars(query).one_or_none()
    if note is None:
        raise NotFoundError("note")
    return note


def list_items(db: Db, pairing_id: uuid.UUID, session_id: uuid.UUID | None = None) -> Sequence[ActionItem]:
    """List what the two of a pairing took on: open ones by day, then the others, newest first.

    :param pairing_id: of a pairing that was found to be theirs.
    :param session_id: only what came from this session; None for all.
    **Touches** reads action_item.
    """
    query = select(ActionItem).where(ActionItem.pairing_id == pairing_id)
    if session_id is not None:
        query = query.where(ActionItem.session_id == session_id)
    order = case((ActionItem.state == "open", 0), else_=1), ActionItem.closed_at.desc()
    return db.scalars(query.order_by(*order, ActionItem.due_on, ActionItem.id)).all()


def get_own_item(db: Db, item_id: uuid.UUID, person_id: uuid.UUID) -> ActionItem:
    """Give an item to who took it on.

    :raises NotFoundError: there is no such item of theirs.
    **Touches** reads action_item.
    """
    query = select(ActionItem).where(ActionItem.id == item_id, ActionItem.owner_id == person_id)
    item = db.scalars(query).one_or_none()
    if item is None:
        raise NotFoundError("item")
    return item


def due_items(db: Db, person_id: uuid.UUID, now: datetime) -> Sequence[ActionItem]:
    """List a person's open items of pairings that go on, due within a week or overdue, by day.

    **Touches** reads action_item, pairing.
    """
    query = (
        select(ActionItem)
        .join(Pairing, Pairing.id == ActionItem.pairing_id)
        .where(ActionItem.owner_id == person_id, ActionItem.state == "open", Pairing.state.in_(LIVE))
        .where(ActionItem.due_on <= (now + WEEK).date())
    )
    return db.scalars(query.order_by(ActionItem.due_on, ActionItem.id)).all()


def done_items(db: Db, person_id: uuid.UUID, pairing_ids: Sequence[uuid.UUID]) -> Sequence[ActionItem]:
    """List what a person took on in some pairings and did, while its words are kept, the oldest first.

    **Touches** reads action_item.
    """
    query = select(ActionItem).where(ActionItem.owner_id == person_id, ActionItem.state == "done")
    query = query.where(ActionItem.pairing_id.in_(pairing_ids), ActionItem.text_locked.is_not(None))
    return db.scalars(query.order_by(ActionItem.closed_at, ActionItem.id)).all()


def follow_through(items: Iterable[ActionItem], today: date) -> tuple[int, int]:
    """Count what was done of what was due: an item that is open past its day, or dropped, was not.

    What is not needed any more counts for neither.
    :return: (done, due).
    **Touches** pure.
    """
    due = [
        item
        for item in items
        if item.drop_reason != "not_needed" and (item.state != "open" or item.due_on < today)
    ]
    return sum(item.state == "done" for item in due), len(due)


def count_commitments(db: Db, programme_id: uuid.UUID, today: date) -> tuple[int, int, int]:
    """Count a programme's commitments of mentees: (kept, due, people who had one due). No words, no names.

    **Touches** reads action_item, pairing.
    """
    is_due = or_(ActionItem.state != "open", ActionItem.due_on < today)
    query = (
        select(
            func.count().filter(ActionItem.state == "done"),
            func.count(),
            func.count(ActionItem.owner_id.distinct()),
        )
        .select_from(ActionItem)
        .join(Pairing, Pairing.id == ActionItem.pairing_id)
        .where(Pairing.programme_id == programme_id, ActionItem.kind == "commitment", is_due)
        .where(func.coalesce(ActionItem.drop_reason, "") != "not_needed")
    )
    done, due, people = db.execute(query).one()
    return done, due, people
