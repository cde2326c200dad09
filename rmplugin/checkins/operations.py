"""Check-ins: ask, answer, and what follows quietly for the coordinator."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select

from rmplugin import audit, notify
from rmplugin.checkins import queries
from rmplugin.checkins.forms import ITEMS
from rmplugin.checkins.models import CareTask, Checkin, CheckinAsk
from rmplugin.db import Db, Secrets
from rmplugin.errors import ConflictError
from rmplugin.matching.models import Pairing
from rmplugin.matching.queries import lock_active_pairing
from rmplugin.safeguards.queries import contacts_for, list_contacts
from rmplugin.texts import Text

QUIET_WORDS = "/quiet-words"


def answer(
    db: Db,
    secrets: Secrets,
    pairing: Pairing,
    person_id: uuid.UUID,
    values: Mapping[str, Any],
    now: datetime,
) -> Checkin:
    """Keep one person's answers to the check-in that is due. The partner is told nothing.

    :param secrets: encrypts the free words.
    :param values: a number 1..5 per name in `forms.ITEMS`; `words`, empty for none; `shared`, whether the
        programme team may read them.
    :raises ConflictError: none is due: answered already, too early, too late, or the pairing has ended.
    **Touches** writes checkin, care_task; a notice to a mentor whose energy fell, and to contacts.
    """
    pairing = lock_active_pairing(db, pairing.id, person_id)
    wave = queries.due_checkin(db, pairing, person_id, now)
    if wave is None:
        raise ConflictError(
            "no_checkin_due",
            "No check-in is waiting for you. If you answered it before, your answers are safe and unchanged.",
        )
    words = values.get("words")
    checkin = Checkin(
        pairing_id=pairing.id,
        person_id=person_id,
        wave=wave,
        answers={name: values[name] for name in ITEMS},
        satisfaction=values["fit"],
        words_locked=secrets.lock(words) if words else None,
        shared=bool(words and values.get("shared")),
        answered_at=now,
    )
    db.add(checkin)
    db.flush()
    _care_for_gap(db, pairing, wave, now)
    if person_id == pairing.mentor_id:
        _care_for_energy(db, pairing, wave, now)
    return checkin


def _care_for_gap(db: Db, pairing: Pairing, wave: int, now: datetime) -> None:
    query = select(Checkin.satisfaction).where(Checkin.pairing_id == pairing.id, Checkin.wave == wave)
    said = db.scalars(query).all()
    if len(said) == 2 and queries.health_of(*said).is_apart:
        _open_task(db, pairing, "gap", wave, now)


def _care_for_energy(db: Db, pairing: Pairing, wave: int, now: datetime) -> None:
    earlier = reversed(queries.own_checkins(db, pairing.id, pairing.mentor_id))
    energies = [row.answers["energy"] for row in earlier if "energy" in row.answers]
    if queries.fell_twice(energies) and _open_task(db, pairing, "energy", wave, now):
        notify.tell(
            db,
            pairing.mentor_id,
            "support_offered",
            "Mentoring can cost energy. If you like, the programme team finds you a talk or a supervision "
            "group with other mentors. You can also pause or stop at any time, without a reason.",
            now,
            f"/pairings/{pairing.id}",
        )


def _open_task(db: Db, pairing: Pairing, kind: str, wave: int, now: datetime) -> bool:
    """Ask the coordinator once, until it is done; tell whether that was new."""
    query = select(CareTask.id).where(
        CareTask.pairing_id == pairing.id, CareTask.kind == kind, CareTask.done_at.is_(None)
    )
    if db.scalars(query.limit(1)).first() is not None:
        return False
    db.add(CareTask(pairing_id=pairing.id, kind=kind, wave=wave, created_at=now))
    if queries.has_own_manager_only(db, pairing):
        said = Text(
            "A pair needs a quiet word, and everybody in the course who manages the programme is in the pair."
        )
        for contact in contacts_for(db, pairing):
            notify.tell(db, contact.id, "help_asked", said, now, QUIET_WORDS)
    return True


def finish_task(db: Db, task: CareTask, actor: str, now: datetime) -> None:
    """Note that the coordinator has done it. Doing it twice is doing it once; nothing is written down of it.

    :param actor: see `audit.AuditEntry`.
    **Touches** writes care_task, audit_entry, notice.
    """
    if task.done_at is None:
        task.done_at, task.done_by = now, actor
        audit.record(db, actor, "care_task.finish", task.id, now)
        _ask_no_more(db, db.get_one(Pairing, task.pairing_id), now)


def on_pairing_closed(db: Db, payload: Mapping[str, Any], now: datetime) -> None:
    """Ask no contact for a quiet word with a pair that has ended.

    :param payload: pairing_id.
    **Touches** writes notice.
    """
    pairing = db.get_one(Pairing, uuid.UUID(payload["pairing_id"]))
    query = select(CareTask.id).where(CareTask.pairing_id == pairing.id, CareTask.done_at.is_(None))
    if db.scalars(query.limit(1)).first() is not None:
        _ask_no_more(db, pairing, now)


def _ask_no_more(db: Db, pairing: Pairing, now: datetime) -> None:
    """Put away the notices of the programme's contacts for whom no pair is left."""
    db.flush()
    contacts = [person.id for _contact, person in list_contacts(db, pairing.programme_id)]
    # Naming nobody would mean everybody.
    if idle := [one for one in contacts if not queries.tasks_for_contact(db, one)]:
        notify.take_back(db, [QUIET_WORDS], now, "help_asked", people=idle)


def note_seen(db: Db, person_id: uuid.UUID, now: datetime) -> None:
    """Put away the notice of a contact who has seen which pairs need a quiet word.

    **Touches** writes notice.
    """
    notify.take_back(db, [QUIET_WORDS], now, "help_asked", people=[person_id])


def ask_due(db: Db, now: datetime) -> int:
    """Ask everybody whose check-in has begun, remind once after a week, and let go after two.

    :return: how many were asked.
    **Touches** writes checkin_ask, notice.
    """
    asked = queries.unasked(db, now)
    db.add_all(
        CheckinAsk(pairing_id=pairing.id, person_id=person, wave=wave, asked_at=now)
        for pairing, person, wave in asked
    )
    text = "How is it going, for you? A check-in of two minutes; your partner never sees your answers."
    _tell_all(db, text, [(person, pairing) for pairing, person, _wave in asked], now)
    late = []
    for ask, pairing in queries.unanswered(db, now - queries.REMIND_AFTER):
        if now >= queries.wave_begins(pairing, ask.wave) + queries.OPEN_FOR:
            ask.expired_at = now
            notify.settle(db, ask.person_id, _page(pairing), now)
        elif ask.reminded_at is None and pairing.state == "active":
            ask.reminded_at = now
            late.append((ask.person_id, pairing))
    text = "Your check-in still waits for you. It takes two minutes and is asked for a week more."
    _tell_all(db, text, late, now)
    return len(asked)


def _tell_all(db: Db, text: str, people: Sequence[tuple[uuid.UUID, Pairing]], now: datetime) -> None:
    told = [(person, text, _page(pairing)) for person, pairing in people]
    if told:
        notify.tell_all(db, "checkin_due", told, now, {page for _person, _text, page in told})


def _page(pairing: Pairing) -> str:
    return f"/pairings/{pairing.id}/checkin"
