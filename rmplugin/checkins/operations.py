"""Check-ins: answer."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rmplugin.checkins.forms import ITEMS
from rmplugin.checkins.models import Checkin
from rmplugin.checkins.queries import due_checkin
from rmplugin.db import Db, Secrets
from rmplugin.errors import ConflictError
from rmplugin.matching.models import Pairing
from rmplugin.matching.queries import lock_active_pairing


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
    :param values: a number 1..5 per name in `forms.ITEMS`; `words`, empty for none.
    :raises ConflictError: none is due: answered already, too early, or the pairing has ended.
    **Touches** writes checkin.
    """
    pairing = lock_active_pairing(db, pairing.id, person_id)
    wave = due_checkin(db, pairing, person_id, now)
    if wave is None:
        raise ConflictError(
            "no_checkin_due",
            "No check-in is waiting for you. If you answered it before, your answers are safe and unchanged.",
        )
    checkin = Checkin(
        pairing_id=pairing.id,
        person_id=person_id,
        wave=wave,
        answers={name: values[name] for name in ITEMS},
        satisfaction=values["satisfaction"],
        words_locked=secrets.lock(values["words"]) if values.get("words") else None,
        answered_at=now,
    )
    db.add(checkin)
    db.flush()
    return checkin
