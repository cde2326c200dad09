"""Write notes, take on items, do or drop them. All words are encrypted before they are stored."""

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from rmplugin import jobs, notify
from rmplugin.db import Db, Secrets
from rmplugin.errors import ConflictError, InputError
from rmplugin.matching.models import Pairing
from rmplugin.matching.queries import lock_active_pairing, lock_pairing
from rmplugin.notes import queries
from rmplugin.notes.models import ActionItem, Note
from rmplugin.people.queries import display_names
from rmplugin.texts import Text

LONGEST = timedelta(days=366)
MOST_NOTES = 50


def write_note(
    db: Db,
    secrets: Secrets,
    pairing: Pairing,
    session_id: uuid.UUID,
    person_id: uuid.UUID,
    values: Mapping[str, Any],
    now: datetime,
) -> Note:
    """Write a note about a session.

    :param session_id: of a session of this pairing.
    :param values: body, is_shared.
    :raises ConflictError: the pairing has ended or is on hold, or the session has very many notes.
    **Touches** writes note, outbox_event.
    """
    lock_active_pairing(db, pairing.id, person_id)
    if len(queries.notes_of(db, session_id, person_id)) >= MOST_NOTES:
        raise ConflictError("many_notes", "This session has very many notes. Please change one of yours.")
    note = Note(
        pairing_id=pairing.id,
        session_id=session_id,
        author_id=person_id,
        kind="note",
        is_shared=values["is_shared"],
        body_locked=secrets.lock(values["body"]),
        created_at=now,
        updated_at=now,
    )
    db.add(note)
    db.flush()
    _progressed(db, pairing, person_id, now)
    return note


def _progressed(db: Db, pairing: Pairing, person_id: uuid.UUID, now: datetime) -> None:
    # A programme may ask for notes: that there is one counts, never what it says.
    programme, person = str(pairing.programme_id), str(person_id)
    jobs.enqueue(db, "progress_changed", now, programme_id=programme, person_id=person)


def keep_takeaway(
    db: Db,
    secrets: Secrets,
    pairing: Pairing,
    session_id: uuid.UUID,
    person_id: uuid.UUID,
    values: Mapping[str, Any],
    now: datetime,
) -> None:
    """Keep the one line that a person takes from a session, in place of an earlier one.

    :param session_id: of a session of this pairing.
    :param values: takeaway, share_takeaway; an empty line takes it back.
    :raises ConflictError: the pairing is on hold. In an ended one it can still be written.
    **Touches** writes or deletes from note; writes outbox_event.
    """
    lock_pairing(db, pairing.id, person_id)
    mine = queries.find_takeaway(db, session_id, person_id)
    if not values["takeaway"]:
        if mine is not None:
            db.delete(mine)
        return
    if mine is None:
        mine = Note(
            pairing_id=pairing.id, session_id=session_id, author_id=person_id, kind="takeaway", created_at=now
        )
        db.add(mine)
        _progressed(db, pairing, person_id, now)
    mine.body_locked, mine.is_shared = secrets.lock(values["takeaway"]), values["share_takeaway"]
    mine.updated_at = now


def change_note(
    db: Db, secrets: Secrets, note: Note, person_id: uuid.UUID, values: Mapping[str, Any], now: datetime
) -> None:
    """Change one's own note. A private one can be shared and taken back.

    :param values: body, is_shared.
    **Touches** writes note.
    """
    lock_pairing(db, note.pairing_id, person_id, on_hold_too=True)
    db.refresh(note, with_for_update=True)
    note.body_locked, note.is_shared, note.updated_at = secrets.lock(values["body"]), values["is_shared"], now


def take_on(
    db: Db,
    secrets: Secrets,
    pairing: Pairing,
    session_id: uuid.UUID | None,
    person_id: uuid.UUID,
    values: Mapping[str, Any],
    now: datetime,
) -> ActionItem:
    """Take something on. What the mentee takes on is a commitment: the mentor said it, the mentee acts.

    :param session_id: of a session of this pairing; None for none.
    :param values: text, due_on.
    :raises InputError: the day lies in the past or more than a year ahead.
    :raises ConflictError: the pairing has ended or is on hold.
    **Touches** writes action_item, notice.
    """
    lock_active_pairing(db, pairing.id, person_id)
    if not now.date() <= values["due_on"] <= (now + LONGEST).date():
        raise InputError(
            "due_on",
            "The day needs a change. Nothing was lost.",
            {"due_on": "Please choose a day from today on, within the next twelve months."},
        )
    item = ActionItem(
        pairing_id=pairing.id,
        session_id=session_id,
        owner_id=person_id,
        kind="commitment" if person_id == pairing.mentee_id else "action",
        state="open",
        text_locked=secrets.lock(values["text"]),
        due_on=values["due_on"],
        created_at=now,
    )
    db.add(item)
    db.flush()
    return item


def finish(
    db: Db, secrets: Secrets, item: ActionItem, person_id: uuid.UUID, outcome: str, now: datetime
) -> None:
    """Say that one's own item is done, and what became of it; the partner is told. Twice is once.

    :param outcome: own words, which both read; "" for none.
    :raises ConflictError: it was dropped before, or the pairing is on hold.
    **Touches** writes action_item, notice.
    """
    pairing = _lock(db, item, person_id, "done")
    if item.state == "done":
        return
    item.state, item.closed_at = "done", now
    item.outcome_locked = secrets.lock(outcome) if outcome else None
    name = display_names(db, {person_id}).get(person_id, Text("Your partner"))
    said = Text("%(name)s did what they had taken on.", name=name)
    notify.tell(db, pairing.partner_of(person_id), "item_done", said, now, f"/pairings/{pairing.id}/actions")


def drop(db: Db, item: ActionItem, person_id: uuid.UUID, reason: str | None, now: datetime) -> None:
    """Drop one's own item. Twice is once.

    :param reason: a code of `forms.DROP_REASONS`; None when none was given.
    :raises ConflictError: it was done before, or the pairing is on hold.
    **Touches** writes action_item.
    """
    _lock(db, item, person_id, "dropped")
    if item.state == "open":
        item.state, item.drop_reason, item.closed_at = "dropped", reason, now


def _lock(db: Db, item: ActionItem, person_id: uuid.UUID, wanted: str) -> Pairing:
    pairing = lock_pairing(db, item.pairing_id, person_id)
    db.refresh(item, with_for_update=True)
    if item.state not in ("open", wanted):
        raise ConflictError("item_closed", "This was done or dropped already, so it was left as it is.")
    return pairing
