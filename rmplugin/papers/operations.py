"""Papers are issued when somebody completes a programme, and revoked when that is taken back."""

import secrets as chance
import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select, tuple_

from rmplugin import audit, notify
from rmplugin.credits.models import Completion
from rmplugin.db import Db
from rmplugin.errors import ConflictError
from rmplugin.papers import proofs, queries
from rmplugin.papers.models import Paper
from rmplugin.texts import Text


def on_completions_met(db: Db, payloads: Sequence[Mapping[str, Any]], now: datetime) -> None:
    """Issue the papers of people who have met every criterion. An event may come again, or too late.

    :param payloads: {"programme_id": text, "person_id": text} each.
    **Touches** writes paper, audit_entry.
    """
    for row in _completions(db, payloads):
        if row.met_at is None or _valid_one(db, row) is not None:
            continue
        says = queries.facts_for_paper(db, row)
        if says is not None:
            _issue(db, row, says, now)


def _issue(db: Db, row: Completion, says: Mapping[str, Any], now: datetime) -> None:
    paper = Paper(
        id=uuid.uuid4(),
        person_id=row.person_id,
        programme_id=row.programme_id,
        state="valid",
        says=says,
        shows=[],
        status_index=_free_place(db),
        issued_at=now,
    )
    db.add(paper)
    audit.record(db, "worker", "paper.issue", paper.id, now)


def on_completion_unmet(db: Db, payload: Mapping[str, Any], now: datetime) -> None:
    """Revoke the paper of somebody whose completion was taken back. It may have been met again meanwhile.

    :param payload: {"programme_id": text, "person_id": text}.
    **Touches** writes paper, notice, audit_entry.
    """
    for row in _completions(db, [payload]):
        paper = _valid_one(db, row) if row.met_at is None else None
        if paper is not None:
            revoke(
                db, paper, Text("Credit was taken back, so the programme is not completed."), "worker", now
            )


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


def _valid_one(db: Db, row: Completion) -> Paper | None:
    query = select(Paper).where(
        Paper.programme_id == row.programme_id, Paper.person_id == row.person_id, Paper.state == "valid"
    )
    return db.scalars(query).one_or_none()


def _free_place(db: Db) -> int:
    """Choose a place by chance, so that neighbours in the public list have nothing to do with each other."""
    while True:
        place = chance.randbelow(proofs.PLACES)
        if db.execute(select(Paper.id).where(Paper.status_index == place)).first() is None:
            return place
