"""Introductions: say whether one wants to go on; what follows when both have."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rmplugin import notify
from rmplugin.db import Db
from rmplugin.errors import ConflictError
from rmplugin.introductions import queries
from rmplugin.introductions.models import IntroAnswer
from rmplugin.matching import runs
from rmplugin.matching.ending import end_pairing, tell_ended
from rmplugin.matching.models import Pairing
from rmplugin.matching.queries import lock_active_pairing
from rmplugin.people.queries import display_names
from rmplugin.texts import Text

# The same words whether somebody was sure or not.
GOES_ON = (
    "You have met, and your pairing with %(name)s goes on. Next, each of you writes down what you expect."
)


def answer(db: Db, pairing: Pairing, person_id: uuid.UUID, word: str, now: datetime) -> str:
    """Say whether one wants to go on. Until both have answered, it can be said anew, and nothing follows.

    :param word: yes, unsure or no; unsure goes on for now and is asked again after the second session.
    :return: what follows: waits, goes_on or ended.
    :raises NotFoundError: the pairing is not theirs.
    :raises ConflictError: nothing is asked of them now, or the pairing has ended or is on hold.
    **Touches** writes intro_answer, pairing, notice; what `end_pairing` touches.
    """
    runs.lock_programme(db, pairing.programme_id)
    pairing = lock_active_pairing(db, pairing.id, person_id)
    standing = queries.standing_of(db, pairing, person_id)
    turn = 1 if standing.waits else standing.due
    if turn is None or (turn == 2 and word == "unsure"):
        raise ConflictError(
            "no_intro_due",
            "Nothing is asked of you here at the moment, so nothing was changed. Either of you can end the "
            "pairing at any time, without a reason.",
        )
    _keep(db, pairing, person_id, turn, word, now)
    if turn == 2:
        return "goes_on" if word == "yes" else _end(db, pairing, person_id, now)
    said = queries.answers_in(db, pairing.id, 1)
    if len(said) < 2:
        return "waits"
    if refusing := [row.person_id for row in said.values() if row.answer == "no"]:
        return _end(db, pairing, refusing[0], now)
    pairing.introduced_at = now
    _tell_both(db, pairing, "intro_done", GOES_ON, now, f"/pairings/{pairing.id}")
    return "goes_on"


def _keep(db: Db, pairing: Pairing, person_id: uuid.UUID, turn: int, word: str, now: datetime) -> None:
    row = queries.answers_in(db, pairing.id, turn).get(person_id)
    if row is None:
        row = IntroAnswer(pairing_id=pairing.id, person_id=person_id, turn=turn)
        db.add(row)
    row.answer, row.answered_at = word, now
    db.flush()
    notify.settle(db, person_id, queries.page_of(pairing.id), now)


def _end(db: Db, pairing: Pairing, person_id: uuid.UUID, now: datetime) -> str:
    """End it as any pairing ends: both read the same words, and both stay in the pool."""
    end_pairing(db, pairing, person_id, [], "rematch", now)
    tell_ended(db, pairing, [person_id], now)
    notify.take_back(db, [queries.page_of(pairing.id)], now)
    return "ended"


def _tell_both(db: Db, pairing: Pairing, kind: str, words: str, now: datetime, path: str) -> None:
    names = display_names(db, {pairing.mentor_id, pairing.mentee_id})
    for person in (pairing.mentor_id, pairing.mentee_id):
        notify.tell(db, person, kind, Text(words, name=names[pairing.partner_of(person)]), now, path)


def on_sessions_confirmed(db: Db, payloads: Sequence[Mapping[str, Any]], now: datetime) -> None:
    """Ask whoever was unsure again, after the second session.

    :param payloads: {"session_id": text, …} each.
    **Touches** reads mentoring_session, intro_answer; writes notice.
    """
    session_ids = {uuid.UUID(payload["session_id"]) for payload in payloads}
    for pairing, person in queries.to_ask_again(db, session_ids):
        notify.tell(
            db,
            person,
            queries.AGAIN,
            "You have had two sessions. Do you want to go on? Only you see your answer.",
            now,
            queries.page_of(pairing.id),
        )


def see_after(db: Db, now: datetime) -> int:
    """End pairings in which one said no and the other nothing for a week; remind the silent of the others.

    :return: how many were ended.
    **Touches** what `end_pairing` touches; writes notice.
    """
    over = queries.waiting_with_no(db, now)
    for pairing in over:
        runs.lock_programme(db, pairing.programme_id)
        db.refresh(pairing, with_for_update=True)
        said = queries.answers_in(db, pairing.id, 1)
        refusing = [row.person_id for row in said.values() if row.answer == "no"]
        if pairing.state == "active" and pairing.introduced_at is None and refusing:
            _end(db, pairing, refusing[0], now)
    db.flush()
    for pairing, person in queries.silent_people(db, now):
        notify.tell(
            db,
            person,
            queries.REMINDER,
            "Have you had your first call? Say, for yourself alone, whether you want to go on.",
            now,
            queries.page_of(pairing.id),
        )
    return len(over)
