"""Reads about papers: a person's own, the public's question about one, a programme's numbers."""

import hashlib
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import select

from rmplugin.credits.models import Completion, CreditEntry
from rmplugin.credits.queries import began_at, ledger_histories
from rmplugin.db import Db
from rmplugin.errors import NotFoundError
from rmplugin.matching.models import Pairing
from rmplugin.papers.models import Paper
from rmplugin.people.models import Person
from rmplugin.people.queries import display_names
from rmplugin.policies import PREPARATION, hours_in_hundredths
from rmplugin.programmes.models import Programme
from rmplugin.sinks import PaperRecord
from rmplugin.tenants.models import Tenant
from rmplugin.texts import Text

# The credit that papers name: hours of 60 minutes.
UNIT = "contact_hours"
# What criteria were called in papers that were issued before.
RENAMED = {
    "Confirmed minutes": "Minutes that count",
    "Sessions that both confirmed": "Sessions that count",
}
# A person and a programme.
Whose = tuple[uuid.UUID, uuid.UUID]


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


def facts_for_papers(db: Db, rows: Collection[Completion]) -> list[tuple[Completion, dict[str, Any]]]:
    """Gather what papers say: their holders' own names, numbers and dates, and no partners.

    :param rows: of people who have met every criterion.
    :return: rows with their facts, JSON-ready; who had no pairing is not among them.
    **Touches** reads programme, person, tenant, pairing, credit_entry, mentoring_session.
    """
    people, programme_ids = {row.person_id for row in rows}, {row.programme_id for row in rows}
    names = display_names(db, people)
    programmes = {one.id: one for one in db.scalars(select(Programme).where(Programme.id.in_(programme_ids)))}
    pairings = _pairings_of(db, people, programme_ids)
    histories = ledger_histories(db, {(row.person_id, row.programme_id) for row in rows})
    entries = _entries_of(db, people, programme_ids)
    issuer = db.get_one(Tenant, db.tenant_id).name
    says = []
    for row in rows:
        whose = (row.person_id, row.programme_id)
        if whose not in pairings:
            continue
        assert row.met_at is not None
        programme, history = programmes[row.programme_id], histories[whose]
        began = began_at((started_at for started_at, _id, _role in pairings[whose]), history, programme)
        facts = {
            "name": names[row.person_id],
            "role": max(pairings[whose])[-1],
            "programme": programme.name,
            "started_at": began.isoformat(),
            "completed_at": row.met_at.isoformat(),
            "sessions": history.sessions,
            "minutes": history.minutes,
            **_credit(entries[whose], history.minutes),
            "criteria": [[criterion["label"], criterion["needed"]] for criterion in row.criteria],
            "evidence_sha256": _evidence(entries[whose]),
            "issuer": issuer,
        }
        says.append((row, facts))
    return says


def _pairings_of(
    db: Db, people: Collection[uuid.UUID], programmes: Collection[uuid.UUID]
) -> dict[Whose, list[tuple[datetime, uuid.UUID, str]]]:
    """Give since when people have had pairings in programmes, their ids, and the roles in them."""
    pairings: dict[Whose, list[tuple[datetime, uuid.UUID, str]]] = defaultdict(list)
    for role, own in (("mentor", Pairing.mentor_id), ("mentee", Pairing.mentee_id)):
        query = select(own, Pairing.programme_id, Pairing.started_at, Pairing.id)
        query = query.where(own.in_(people), Pairing.programme_id.in_(programmes))
        for person_id, programme_id, started_at, pairing_id in db.execute(query):
            pairings[person_id, programme_id].append((started_at, pairing_id, role))
    return pairings


def _entries_of(
    db: Db, people: Collection[uuid.UUID], programmes: Collection[uuid.UUID]
) -> dict[Whose, list[Any]]:
    """Give what papers need of the ledgers of people in programmes."""
    query = select(
        CreditEntry.person_id, CreditEntry.programme_id, CreditEntry.unit, CreditEntry.minutes,
        CreditEntry.amount_hundredths, CreditEntry.evidence_sha256,
    )  # fmt: skip
    query = query.where(CreditEntry.person_id.in_(people), CreditEntry.programme_id.in_(programmes))
    entries: dict[Whose, list[Any]] = defaultdict(list)
    for entry in db.execute(query):
        entries[entry.person_id, entry.programme_id].append(entry)
    return entries


def _credit(entries: Sequence[Any], minutes: int) -> dict[str, Any]:
    """Give the credit in the unit in which most of it was counted; preparation is no part of it."""
    sums: dict[str, tuple[int, int]] = {}
    for entry in entries:
        if entry.unit != PREPARATION:
            counted, amount = sums.get(entry.unit, (0, 0))
            sums[entry.unit] = counted + entry.minutes, amount + entry.amount_hundredths
    unit = min(sums, key=lambda one: (-sums[one][0], one), default=UNIT)
    amount = sums[unit][1] if sums else hours_in_hundredths(minutes)
    return {"amount_hundredths": amount, "unit": unit}


def _evidence(entries: Sequence[Any]) -> str:
    """Give one digest for the digests of all lines of a person's ledger."""
    return hashlib.sha256("\n".join(sorted(entry.evidence_sha256 for entry in entries)).encode()).hexdigest()


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
        criteria=[say(_criterion(*one)) for one in says["criteria"]],
        evidence_sha256=says["evidence_sha256"],
        issued_at=paper.issued_at,
        issuer_name=says["issuer"],
        issuer_url=public_url,
        verify_url=verify_address(public_url, paper.id),
        status_index=paper.status_index,
        language=language,
    )


def _criterion(label: str, needed: int) -> Text:
    what = Text(RENAMED.get(label, label))
    return Text("%(what)s: %(n)s", what=what, n=needed) if needed > 1 else what


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
