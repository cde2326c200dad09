"""Reads about papers: a person's own, the public's question about one, a programme's numbers."""

import hashlib
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import func, or_, select

from rmplugin.credits.models import Completion, CreditEntry
from rmplugin.credits.queries import began_at, ledger_history
from rmplugin.db import Db
from rmplugin.errors import NotFoundError
from rmplugin.matching.models import Pairing
from rmplugin.papers.models import Paper
from rmplugin.people.models import Person
from rmplugin.policies import PREPARATION, hours_in_hundredths
from rmplugin.programmes.models import Programme
from rmplugin.sinks import PaperRecord
from rmplugin.tenants.models import Tenant
from rmplugin.texts import Text

# The credit that papers name: hours of 60 minutes.
UNIT = "contact_hours"


@dataclass(frozen=True, slots=True)
class Verified:
    """What the public may know of a paper.

    :ivar state: valid, revoked or erased.
    :ivar says: only what its holder lets it show.
    """

    state: str
    issuer: str
    issued_at: datetime
    revoked_at: datetime | None
    says: dict[str, Any]


def papers_of(db: Db, programme_id: uuid.UUID, person_id: uuid.UUID) -> Sequence[Paper]:
    """List a person's papers of a programme, the newest first. **Touches** reads paper."""
    query = select(Paper).where(Paper.programme_id == programme_id, Paper.person_id == person_id)
    return db.scalars(query.order_by(Paper.issued_at.desc(), Paper.id)).all()


def papers_in_course(
    db: Db, person_id: uuid.UUID, context_id: uuid.UUID | None
) -> Sequence[tuple[Paper, Programme]]:
    """List a person's papers of the programmes of a course, the newest first.

    **Touches** reads paper, programme.
    """
    query = (
        select(Paper, Programme)
        .join(Programme, Programme.id == Paper.programme_id)
        .where(Paper.person_id == person_id, Programme.context_id == context_id, Paper.state != "erased")
    )
    return [(paper, programme) for paper, programme in db.execute(query.order_by(Paper.issued_at.desc()))]


def get_own_paper(db: Db, paper_id: uuid.UUID, person_id: uuid.UUID) -> Paper:
    """Give somebody's own paper.

    :raises NotFoundError: they have none such.
    **Touches** reads paper.
    """
    paper = db.get(Paper, paper_id)
    if paper is None or paper.person_id != person_id:
        raise NotFoundError("paper")
    return paper


def get_paper(db: Db, paper_id: uuid.UUID) -> Paper:
    """Give a paper of the tenant.

    :raises NotFoundError: there is none such.
    **Touches** reads paper.
    """
    paper = db.get(Paper, paper_id)
    if paper is None:
        raise NotFoundError("paper")
    return paper


def count_papers(db: Db, programme_id: uuid.UUID) -> Counter[str]:
    """Count the papers of a programme by state. **Touches** reads paper."""
    return Counter(db.scalars(select(Paper.state).where(Paper.programme_id == programme_id)))


def revoked_places(db: Db) -> Sequence[int]:
    """Give the places of a company's papers that are not valid any more. **Touches** reads paper."""
    return db.scalars(select(Paper.status_index).where(Paper.state != "valid")).all()


def facts_for_paper(db: Db, row: Completion) -> dict[str, Any] | None:
    """Gather what a paper says: its holder's own name, numbers and dates, and no partner.

    :param row: of somebody who has met every criterion.
    :return: JSON-ready; None for somebody who had no pairing.
    **Touches** reads programme, person, tenant, pairing, credit_entry.
    """
    assert row.met_at is not None
    programme = db.get_one(Programme, row.programme_id)
    mine = or_(Pairing.mentor_id == row.person_id, Pairing.mentee_id == row.person_id)
    query = select(Pairing).where(Pairing.programme_id == programme.id, mine)
    pairings = db.scalars(query.order_by(Pairing.started_at, Pairing.id)).all()
    if not pairings:
        return None
    history = ledger_history(db, programme.id, row.person_id)
    began = began_at((one.started_at for one in pairings), history, programme)
    return {
        "name": db.get_one(Person, row.person_id).display_name,
        "role": str(pairings[-1].role_of(row.person_id)),
        "programme": programme.name,
        "started_at": began.isoformat(),
        "completed_at": row.met_at.isoformat(),
        "sessions": history.sessions,
        "minutes": history.minutes,
        **_credit(db, programme.id, row.person_id, history.minutes),
        "criteria": [[criterion["label"], criterion["needed"]] for criterion in row.criteria],
        "evidence_sha256": _evidence(db, programme.id, row.person_id),
        "issuer": db.get_one(Tenant, db.tenant_id).name,
    }


def _credit(db: Db, programme_id: uuid.UUID, person_id: uuid.UUID, minutes: int) -> dict[str, Any]:
    """Give the credit in the unit in which most of it was counted; preparation is no part of it."""
    total = func.sum(CreditEntry.amount_hundredths)
    query = (
        select(CreditEntry.unit, total)
        .where(
            CreditEntry.programme_id == programme_id,
            CreditEntry.person_id == person_id,
            CreditEntry.unit != PREPARATION,
        )
        .group_by(CreditEntry.unit)
        .order_by(func.sum(CreditEntry.minutes).desc(), CreditEntry.unit)
    )
    found = db.execute(query.limit(1)).one_or_none()
    unit, amount = found or (UNIT, hours_in_hundredths(minutes))
    return {"amount_hundredths": int(amount), "unit": unit}


def _evidence(db: Db, programme_id: uuid.UUID, person_id: uuid.UUID) -> str:
    """Give one digest for the digests of all lines of a person's ledger."""
    query = select(CreditEntry.evidence_sha256).where(
        CreditEntry.programme_id == programme_id, CreditEntry.person_id == person_id
    )
    return hashlib.sha256("\n".join(sorted(db.scalars(query))).encode()).hexdigest()


def record_of(db: Db, paper: Paper, public_url: str, language: str, say: Callable[[str], str]) -> PaperRecord:
    """Give a paper as those who print it are given it.

    :param public_url: the tool's own address.
    :param say: says a text in `language`.
    **Touches** reads person.
    """
    says = paper.says
    return PaperRecord(
        id=str(paper.id),
        holder_name=says["name"],
        holder_email=db.get_one(Person, paper.person_id).email,
        role=says["role"],
        programme_id=str(paper.programme_id),
        programme_name=says["programme"],
        started_at=datetime.fromisoformat(says["started_at"]),
        completed_at=datetime.fromisoformat(says["completed_at"]),
        sessions=says["sessions"],
        minutes=says["minutes"],
        amount_hundredths=says["amount_hundredths"],
        unit=says["unit"],
        criteria=[
            say(Text("%(what)s: %(n)s", what=Text(label), n=needed) if needed > 1 else Text(label))
            for label, needed in says["criteria"]
        ],
        evidence_sha256=says["evidence_sha256"],
        issued_at=paper.issued_at,
        issuer_name=says["issuer"],
        issuer_url=public_url,
        verify_url=verify_address(public_url, paper.id),
        status_index=paper.status_index,
        language=language,
    )


def verify_address(public_url: str, paper_id: uuid.UUID) -> str:
    """Give the address at which anybody may ask about a paper. **Touches** pure."""
    return f"{public_url}/verify/{paper_id}"


# What the holder lets be shown -> what of the paper that is.
PARTS = {
    "name": ("name",),
    "programme": ("programme",),
    "role": ("role",),
    "dates": ("started_at", "completed_at"),
    "hours": ("sessions", "minutes", "amount_hundredths", "unit"),
}


def shown(paper: Paper) -> dict[str, Any]:
    """Give what the holder lets the public see. **Touches** pure."""
    wanted = [part for shows in paper.shows for part in PARTS.get(shows, ())]
    says = {part: paper.says[part] for part in wanted if part in paper.says}
    dates = {part: date.fromisoformat(says[part][:10]) for part in PARTS["dates"] if part in says}
    return says | dates
