"""Reads about agreements."""

import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from rmplugin.agreements.models import Agreement, AgreementDraft
from rmplugin.db import Db
from rmplugin.errors import NotFoundError
from rmplugin.matching.models import Pairing
from rmplugin.matching.queries import get_pairing_of
from rmplugin.programmes.models import Programme

FIELDS = (
    "cadence_weeks",
    "session_minutes",
    "medium",
    "place",
    "hopes",
    "boundaries",
    "confidentiality",
    "feedback",
    "ends_on",
)
# A sensible beginning that the two may rewrite: the promise, and where it ends.
USUAL_CONFIDENTIALITY = (
    "What we say and write stays between the two of us. Either of us may share what we learned ourselves, "
    "without naming the other. The programme team sees only dates, minutes and states, never our words. The "
    "limit: if somebody is in danger, or a law or a company rule is seriously broken, we may have to speak "
    "up, and we tell each other first where we can."
)
USUAL_FEEDBACK = (
    "At the end of each session each of us says one thing that helped and one thing to do differently."
)


def current_agreement(db: Db, pairing_id: uuid.UUID) -> Agreement | None:
    """Give the version in force: the one that both signed last; None before the first.

    **Touches** reads agreement.
    """
    return _newest(db, pairing_id, "signed")


def open_agreement(db: Db, pairing_id: uuid.UUID) -> Agreement | None:
    """Give the version that waits for signatures; None when none waits.

    **Touches** reads agreement.
    """
    return _newest(db, pairing_id, "open")


def standing_agreements(db: Db, pairing_id: uuid.UUID) -> tuple[Agreement | None, Agreement | None]:
    """Give the version in force, and the one that waits for signatures, in one statement.

    **Touches** reads agreement.
    """
    query = select(Agreement).where(
        Agreement.pairing_id == pairing_id, Agreement.state.in_(("signed", "open"))
    )
    newest = {row.state: row for row in db.scalars(query.order_by(Agreement.version))}
    return newest.get("signed"), newest.get("open")


def _newest(db: Db, pairing_id: uuid.UUID, state: str) -> Agreement | None:
    query = select(Agreement).where(Agreement.pairing_id == pairing_id, Agreement.state == state)
    return db.scalars(query.order_by(Agreement.version.desc()).limit(1)).one_or_none()


def list_versions(db: Db, pairing_id: uuid.UUID) -> Sequence[Agreement]:
    """List all versions of a pairing's agreement, newest first.

    **Touches** reads agreement.
    """
    query = select(Agreement).where(Agreement.pairing_id == pairing_id)
    return db.scalars(query.order_by(Agreement.version.desc())).all()


def get_agreement_of(db: Db, agreement_id: uuid.UUID, person_id: uuid.UUID) -> tuple[Agreement, Pairing]:
    """Give a version and its pairing to one of the two people.

    :raises NotFoundError: there is no such version, or it is not theirs.
    **Touches** reads agreement, pairing.
    """
    agreement = db.get(Agreement, agreement_id)
    if agreement is None:
        raise NotFoundError("agreement")
    return agreement, get_pairing_of(db, agreement.pairing_id, person_id)


def signed_by(agreement: Agreement, role: str) -> bool:
    """Tell whether the mentor or the mentee has signed this version. **Touches** pure."""
    return (agreement.mentor_signed_at if role == "mentor" else agreement.mentee_signed_at) is not None


def suggested_values(db: Db, pairing: Pairing) -> dict[str, Any]:
    """Give what the programme suggests, for those who begin with nothing.

    **Touches** reads programme.
    """
    programme = db.scalars(select(Programme).where(Programme.id == pairing.programme_id)).one()
    return {
        "cadence_weeks": programme.cadence_weeks,
        "session_minutes": programme.session_minutes,
        "medium": "mixed",
        "place": "",
        "hopes": "",
        "boundaries": "",
        "confidentiality": USUAL_CONFIDENTIALITY,
        "feedback": USUAL_FEEDBACK,
        "ends_on": programme.ends_on,
    }


def values_of(row: Agreement | AgreementDraft) -> dict[str, Any]:
    """Give what a version or a draft says, by the names in `FIELDS`. **Touches** pure."""
    return {name: getattr(row, name) for name in FIELDS}


def form_values(latest: Agreement) -> dict[str, Any]:
    """Give what the form of a new version begins with: all that the last one says. **Touches** pure."""
    return values_of(latest) | {"async_counts": latest.async_counts}


def own_draft(db: Db, pairing_id: uuid.UUID, person_id: uuid.UUID) -> AgreementDraft | None:
    """Give what a person has written of their own expectations; None before they began.

    **Touches** reads agreement_draft.
    """
    query = select(AgreementDraft).where(
        AgreementDraft.pairing_id == pairing_id, AgreementDraft.person_id == person_id
    )
    return db.scalars(query).one_or_none()


def both_drafts(db: Db, pairing_id: uuid.UUID) -> dict[uuid.UUID, AgreementDraft] | None:
    """Give both people's expectations, by person; None before both have sent theirs.

    Only for the two people of the pairing: the caller has checked that.
    **Touches** reads agreement_draft.
    """
    query = select(AgreementDraft).where(
        AgreementDraft.pairing_id == pairing_id, AgreementDraft.submitted_at.is_not(None)
    )
    sent = {draft.person_id: draft for draft in db.scalars(query)}
    return sent if len(sent) == 2 else None


def draft_stage(db: Db, pairing_id: uuid.UUID, person_id: uuid.UUID) -> str:
    """Tell what a person without an agreement does next.

    :return: write their own expectations, wait for the other one's, or compare both.
    **Touches** reads agreement_draft.
    """
    query = select(AgreementDraft.person_id).where(
        AgreementDraft.pairing_id == pairing_id, AgreementDraft.submitted_at.is_not(None)
    )
    sent = set(db.scalars(query))
    return "write" if person_id not in sent else "compare" if len(sent) == 2 else "wait"


def changed_fields(agreement: Agreement, before: Agreement | None) -> set[str]:
    """Name the fields in which a version differs from another; empty when there is no other.

    **Touches** pure.
    """
    if before is None or before.id == agreement.id:
        return set()
    names = (*FIELDS, "async_counts")
    return {name for name in names if getattr(agreement, name) != getattr(before, name)}
