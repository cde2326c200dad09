"""Consents: what a person agreed to, for which purpose, since when."""

import uuid
from datetime import datetime

from sqlalchemy import select

from rmplugin.db import Db
from rmplugin.people.models import Consent
from rmplugin.texts import texts

# Purpose -> what the person says yes to. The number of the words goes up when they change.
PURPOSES = texts(
    {
        "participation": "My answers, my working hours and what HR says about my job are used to find a "
        "partner for me, and my confirmed hours go into my learning record.",
        "topics": "My partner sees which topics are open, closed, or to be asked about first.",
        "senior_observation": "My partner may say how my leadership aims develop, and I see it.",
    }
)
WORDING = 1


def give(
    db: Db, person_id: uuid.UUID, purpose: str, now: datetime, programme_id: uuid.UUID | None = None
) -> None:
    """Keep that a person agreed; the same again changes nothing.

    :param purpose: a key of `PURPOSES`.
    **Touches** writes consent.
    """
    if purpose not in PURPOSES:
        raise ValueError(purpose)
    if not any(row.wording == WORDING for row in _standing(db, person_id, purpose, programme_id)):
        db.add(
            Consent(
                person_id=person_id, purpose=purpose, programme_id=programme_id, wording=WORDING, given_at=now
            )
        )


def withdraw(
    db: Db, person_id: uuid.UUID, purpose: str, now: datetime, programme_id: uuid.UUID | None = None
) -> None:
    """Keep that a person agrees no longer.

    **Touches** writes consent.
    """
    for row in _standing(db, person_id, purpose, programme_id):
        row.withdrawn_at = now


def stands(db: Db, person_id: uuid.UUID, purpose: str, programme_id: uuid.UUID | None = None) -> bool:
    """Tell whether a person agrees now. **Touches** reads consent."""
    return bool(_standing(db, person_id, purpose, programme_id))


def _standing(db: Db, person_id: uuid.UUID, purpose: str, programme_id: uuid.UUID | None) -> list[Consent]:
    db.flush()
    query = select(Consent).where(
        Consent.person_id == person_id,
        Consent.purpose == purpose,
        Consent.programme_id == programme_id,
        Consent.withdrawn_at.is_(None),
    )
    return list(db.scalars(query))
