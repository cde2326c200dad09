"""Agree: write what one expects, write a version, sign it."""

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select

from rmplugin import jobs, notify
from rmplugin.agreements.models import Agreement, AgreementDraft
from rmplugin.agreements.queries import (
    FIELDS,
    both_drafts,
    changed_fields,
    current_agreement,
    open_agreement,
    own_draft,
    signed_by,
)
from rmplugin.db import Db
from rmplugin.errors import ConflictError, InputError
from rmplugin.matching.models import Pairing
from rmplugin.matching.queries import lock_active_pairing
from rmplugin.texts import Text

LONGEST = timedelta(days=2 * 365)


def save_draft(
    db: Db, pairing: Pairing, values: Mapping[str, Any], person_id: uuid.UUID, now: datetime, *, send: bool
) -> AgreementDraft:
    """Write what one expects, alone. The partner reads it when both are sent; then it never changes.

    :param values: a value per name in `queries.FIELDS`; words may be "" unless it is sent.
    :param send: it is finished.
    :raises InputError: the end lies in the past or more than two years ahead.
    :raises ConflictError: it was sent before, or the pairing has ended.
    **Touches** writes agreement_draft, notice.
    """
    lock_active_pairing(db, pairing.id, person_id)
    _check_end(values, now)
    draft = own_draft(db, pairing.id, person_id)
    if draft is None:
        draft = AgreementDraft(pairing_id=pairing.id, person_id=person_id, submitted_at=None)
        db.add(draft)
    elif draft.submitted_at is not None:
        raise ConflictError(
            "draft_sent",
            "You have sent what you expect, so it stays as it is: later you compare with it. What the two of "
            "you agree on can say something else.",
        )
    for name in FIELDS:
        setattr(draft, name, values[name])
    draft.updated_at = now
    draft.submitted_at = now if send else None
    db.flush()
    if send:
        _tell_sent(db, pairing, person_id, now)
    return draft


def _tell_sent(db: Db, pairing: Pairing, person_id: uuid.UUID, now: datetime) -> None:
    here = f"/pairings/{pairing.id}/agreement"
    notify.settle(db, person_id, here, now)
    partner = pairing.partner_of(person_id)
    if both_drafts(db, pairing.id) is None:
        text = "Your partner has written down what they expect. You see it when you have written yours."
        notify.tell(db, partner, "draft_missing", text, now, here)
        return
    text = (
        "Both of you have written down what you expect. See where you differ, and make one agreement of it."
    )
    notify.tell(db, partner, "drafts_ready", text, now, here)


def propose(
    db: Db, pairing: Pairing, values: Mapping[str, Any], person_id: uuid.UUID, now: datetime
) -> Agreement:
    """Write a new version. It asks both for their signature; the version in force stays in force until then.

    :param values: a value per name in `queries.FIELDS`; `ends_on` is a date. async_counts, False without one.
    :return: the new version, signed by nobody.
    :raises InputError: the end lies in the past or more than two years ahead.
    :raises ConflictError: the pairing has ended, nothing was changed, or it is the first version and the two
        have not both written down what they expect.
    **Touches** writes agreement, notice.
    """
    lock_active_pairing(db, pairing.id, person_id)
    _check_end(values, now)
    waiting = open_agreement(db, pairing.id)
    last = db.scalar(select(func.max(Agreement.version)).where(Agreement.pairing_id == pairing.id)) or 0
    if not last and both_drafts(db, pairing.id) is None:
        raise ConflictError(
            "drafts_first",
            "Before you make one agreement, each of you writes down alone what you expect. Nothing was "
            "changed.",
        )
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
    # Whoever was asked to compare, or to sign the version before, has nothing to do there any more.
    both = (pairing.mentor_id, pairing.mentee_id)
    notify.take_back(db, [f"/pairings/{pairing.id}/agreement"], now, people=both)
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


def _check_end(values: Mapping[str, Any], now: datetime) -> None:
    if not now.date() < values["ends_on"] <= (now + LONGEST).date():
        raise InputError(
            "ends_on",
            "The end date needs a change. Nothing was lost.",
            {"ends_on": "Please choose a day after today, within the next two years."},
        )


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
