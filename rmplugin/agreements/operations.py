"""Agree: write a version, sign it."""

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select

from rmplugin import jobs, notify
from rmplugin.agreements.models import Agreement
from rmplugin.agreements.queries import (
    FIELDS,
    changed_fields,
    current_agreement,
    open_agreement,
    signed_by,
)
from rmplugin.db import Db
from rmplugin.errors import ConflictError, InputError
from rmplugin.matching.models import Pairing
from rmplugin.matching.queries import lock_active_pairing
from rmplugin.texts import Text

LONGEST = timedelta(days=2 * 365)


def propose(
    db: Db, pairing: Pairing, values: Mapping[str, Any], person_id: uuid.UUID, now: datetime
) -> Agreement:
    """Write a new version. It asks both for their signature; the version in force stays in force until then.

    :param values: a value per name in `queries.FIELDS`; `ends_on` is a date. async_counts, False without one.
    :return: the new version, signed by nobody.
    :raises InputError: the end lies in the past or more than two years ahead.
    :raises ConflictError: the pairing has ended, or nothing was changed.
    **Touches** writes agreement, notice.
    """
    lock_active_pairing(db, pairing.id, person_id)
    if not now.date() < values["ends_on"] <= (now + LONGEST).date():
        raise InputError(
            "ends_on",
            "The end date needs a change. Nothing was lost.",
            {"ends_on": "Please choose a day after today, within the next two years."},
        )
    waiting = open_agreement(db, pairing.id)
    last = db.scalar(select(func.max(Agreement.version)).where(Agreement.pairing_id == pairing.id)) or 0
    agreement = Agreement(
        pairing_id=pairing.id,
        version=last + 1,
        state="open",
        written_by=person_id,
        created_at=now,
        async_counts=values.get("async_counts", False),
        **{name: values[name] for name in FIELDS},
    )
    latest = waiting or current_agreement(db, pairing.id)
    if latest is not None and not changed_fields(agreement, latest):
        raise ConflictError("nothing_changed", "Nothing was changed, so no new version was made.")
    if waiting is not None:
        waiting.state = "superseded"
    db.add(agreement)
    notify.tell(
        db,
        pairing.partner_of(person_id),
        "agreement_to_sign",
        Text(
            "Version %(version)s of your mentoring agreement is ready. Please read it and sign it.",
            version=agreement.version,
        ),
        now,
        f"/pairings/{pairing.id}/agreement",
    )
    db.flush()
    return agreement


def sign(db: Db, agreement: Agreement, person_id: uuid.UUID, now: datetime) -> bool:
    """Sign a version; the second signature puts it in force and the version before it out of force.

    :return: whether this version is in force now. Signing it twice changes nothing.
    :raises ConflictError: a newer version was written meanwhile, or the pairing has ended.
    **Touches** writes agreement, notice, outbox_event.
    """
    pairing = lock_active_pairing(db, agreement.pairing_id, person_id)
    db.refresh(agreement)
    role = "mentor" if person_id == pairing.mentor_id else "mentee"
    if agreement.state == "superseded":
        raise ConflictError(
            "newer_version",
            "A newer version was written meanwhile. Please read that one and sign it instead.",
        )
    if signed_by(agreement, role):
        return agreement.state == "signed"
    setattr(agreement, f"{role}_signed_at", now)
    notify.settle(db, person_id, f"/pairings/{pairing.id}/agreement", now)
    if not (agreement.mentor_signed_at and agreement.mentee_signed_at):
        return False
    _put_in_force(db, agreement, pairing, now)
    notify.tell(
        db,
        pairing.partner_of(person_id),
        "agreement_signed",
        "Both of you have signed your mentoring agreement. It is in force.",
        now,
        f"/pairings/{pairing.id}",
    )
    return True


def _put_in_force(db: Db, agreement: Agreement, pairing: Pairing, now: datetime) -> None:
    before = current_agreement(db, pairing.id)
    if before is not None and before.id != agreement.id:
        before.state = "superseded"
    agreement.state = "signed"
    for person in (pairing.mentor_id, pairing.mentee_id):
        jobs.enqueue(
            db, "progress_changed", now, programme_id=str(pairing.programme_id), person_id=str(person)
        )
