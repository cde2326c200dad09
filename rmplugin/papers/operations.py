"""Papers are issued when somebody completes a programme, and revoked when that is taken back."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from random import SystemRandom
from typing import Any

from sqlalchemy import select, tuple_

from rmplugin import audit, notify
from rmplugin.credits.models import Completion
from rmplugin.db import Db
from rmplugin.errors import ConflictError
from rmplugin.papers import proofs, queries
from rmplugin.papers.models import Paper
from rmplugin.texts import Text

CHANCE = SystemRandom()


def on_completions_met(db: Db, payloads: Sequence[Mapping[str, Any]], now: datetime) -> None:
    """Issue the papers of people who have met every criterion. An event may come again, or too late.

    :param payloads: {"programme_id": text, "person_id": text} each.
    **Touches** writes paper, audit_entry.
    """
    met = [row for row in _completions(db, payloads) if row.met_at is not None]
    valid = _valid_ones(db, met)
    says = queries.facts_for_papers(
        db, [row for row in met if (row.person_id, row.programme_id) not in valid]
    )
    for (row, facts), place in zip(says, _free_places(db, len(says)), strict=True):
        paper = Paper(
            id=uuid.uuid4(),
            person_id=row.person_id,
            programme_id=row.programme_id,
            state="valid",
            says=facts,
            shows=[],
            status_index=place,
            issued_at=now,
        )
        db.add(paper)
        audit.record(db, "worker", "paper.issue", paper.id, now)


def on_completion_unmet(db: Db, payload: Mapping[str, Any], now: datetime) -> None:
    """Revoke the paper of somebody whose completion was taken back. It may have been met again meanwhile.

    :param payload: {"programme_id": text, "person_id": text}.
    **Touches** writes paper, notice, audit_entry.
    """
    unmet = [row for row in _completions(db, [payload]) if row.met_at is None]
    for paper in _valid_ones(db, unmet).values():
        revoke(db, paper, Text("Credit was taken back, so the programme is not completed."), "worker", now)


def revoke(db: Db, paper: Paper, reason: str, actor: str, now: datetime) -> None:
    """Revoke a paper: its page and the badge's list of revoked ones say so from now on.

    :param reason: its holder reads it, and nobody else does.
    :param actor: see `audit.AuditEntry`.
    :raises ConflictError: it is not valid any more.
    **Touches** writes paper, notice, audit_entry.
    """
    if paper.state != "valid":
        raise ConflictError("paper_not_valid", "This paper is not valid any more. Nothing was changed.")
    paper.state, paper.revoked_at, paper.reason = "revoked", now, reason
    audit.record(db, actor, "paper.revoke", paper.id, now)
    notify.tell(
        db,
        paper.person_id,
        "paper_revoked",
        Text("Your certificate for %(name)s was revoked.", name=paper.says["programme"]),
        now,
        f"/programmes/{paper.programme_id}/papers",
    )


def show(db: Db, paper: Paper, shows: Collection[str], now: datetime) -> None:
    """Let the public page show what the holder agrees to, and nothing else.

    :param shows: words of `forms.SHOWABLE`.
    **Touches** writes paper, audit_entry.
    """
    paper.shows = sorted(shows)
    audit.record(db, f"person:{paper.person_id}", "paper.show", paper.id, now, shows=paper.shows)


def _completions(db: Db, payloads: Sequence[Mapping[str, Any]]) -> Sequence[Completion]:
    """Give the completions that events are about. Two events for one person wait here for each other."""
    about = [(uuid.UUID(one["person_id"]), uuid.UUID(one["programme_id"])) for one in payloads]
    query = select(Completion).where(tuple_(Completion.person_id, Completion.programme_id).in_(about))
    return db.scalars(query.order_by(Completion.person_id, Completion.programme_id).with_for_update()).all()


def _valid_ones(db: Db, rows: Collection[Completion]) -> dict[tuple[uuid.UUID, uuid.UUID], Paper]:
    """Give the papers that are valid: (person, programme) -> paper."""
    about = [(row.person_id, row.programme_id) for row in rows]
    query = select(Paper).where(
        tuple_(Paper.person_id, Paper.programme_id).in_(about), Paper.state == "valid"
    )
    return {(paper.person_id, paper.programme_id): paper for paper in db.scalars(query)}


def _free_places(db: Db, count: int) -> list[int]:
    """Choose places by chance, so that neighbours in the public list have nothing to do with each other."""
    places: list[int] = []
    while len(places) < count:
        drawn = CHANCE.sample(range(proofs.PLACES), count)
        taken = {*places, *db.scalars(select(Paper.status_index).where(Paper.status_index.in_(drawn)))}
        places += [one for one in drawn if one not in taken]
    return places[:count]
