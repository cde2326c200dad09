"""The ledger as a file, and credits and completions as files that learning systems import."""

import csv
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, TextIO

from sqlalchemy import select

from rmplugin.credits.histories import lines_of, sum_up
from rmplugin.credits.models import Completion, CreditEntry, CreditReason
from rmplugin.credits.queries import began_at, pairing_starts
from rmplugin.db import Db
from rmplugin.people.models import Person
from rmplugin.people.queries import zones_of
from rmplugin.policies import History
from rmplugin.programmes.models import Programme
from rmplugin.sessions.models import MentoringSession
from rmplugin.shapes import SHAPES, spreadsheet_text
from rmplugin.sinks import CreditRecord

CSV_COLUMNS = (
    "entry_id",
    "kind",
    "employee_number",
    "name",
    "email",
    "role",
    "programme",
    "session_at_utc",
    "minutes",
    "credit",
    "unit",
    "policy",
    "cap_applied",
    "reason",
    "evidence_sha256",
    "created_at_utc",
)


def export_csv(db: Db, out: TextIO, person_id: uuid.UUID | None = None) -> int:
    """Write the ledger as CSV, for spreadsheets and for systems without a sink.

    A text that a spreadsheet would run as a formula gets an apostrophe in front.

    :param person_id: None for everybody.
    :return: lines written, the heading not counted.
    **Source** RFC 4180; OWASP, CSV injection. **Touches** reads the ledger; writes to `out`.
    """
    writer = csv.writer(out)
    writer.writerow(CSV_COLUMNS)
    lines = 0
    for row in _rows(db, person_id):
        writer.writerow([spreadsheet_text(value) if isinstance(value, str) else value for value in row])
        lines += 1
    return lines


def _rows(db: Db, person_id: uuid.UUID | None) -> Iterator[tuple[str | int, ...]]:
    """Give the ledger line by line, oldest first, in the order of `CSV_COLUMNS`.

    Reversals are lines of their own with negative minutes.
    :param person_id: None for everybody.
    **Touches** reads credit_entry, credit_reason, person, programme, mentoring_session.
    """
    query = (
        select(CreditEntry, Person, Programme.name, MentoringSession.starts_at, CreditReason.words)
        .join(Person, Person.id == CreditEntry.person_id)
        .join(Programme, Programme.id == CreditEntry.programme_id)
        .outerjoin(MentoringSession, MentoringSession.id == CreditEntry.session_id)
        .outerjoin(CreditReason, CreditReason.entry_id == CreditEntry.id)
        .order_by(CreditEntry.created_at, CreditEntry.id)
    )
    if person_id is not None:
        query = query.where(CreditEntry.person_id == person_id)
    for entry, person, programme, starts_at, words in db.execute(
        query, execution_options={"yield_per": 1000}
    ):
        yield (
            str(entry.id),
            entry.kind,
            person.employee_number or "",
            person.display_name,
            person.email or "",
            entry.role,
            programme,
            f"{starts_at:%Y-%m-%dT%H:%M:%SZ}" if starts_at else "",
            entry.minutes,
            _decimal(entry.amount_hundredths),
            entry.unit,
            f"{entry.policy}/{entry.policy_version}",
            entry.cap_applied or "",
            words or entry.reason or "",
            entry.evidence_sha256,
            f"{entry.created_at:%Y-%m-%dT%H:%M:%SZ}",
        )


def _decimal(hundredths: int) -> str:
    """Write hundredths with two places and a point. **Touches** pure."""
    return f"{'-' if hundredths < 0 else ''}{abs(hundredths) // 100}.{abs(hundredths) % 100:02d}"


def export_shape(
    db: Db, shape_key: str, *, by_mail: bool = False, programme_id: uuid.UUID | None = None
) -> tuple[bytes, int]:
    """Make the file of all credits and completions as a learning system imports it.

    Where the system takes nothing back by file, lines that were taken back are left out with what takes them
    back.

    :param shape_key: key of `shapes.SHAPES`.
    :param by_mail: people are known there by e-mail address, not by employee number.
    :param programme_id: None for all programmes.
    :return: the file; how many lines were left out, because the roster does not know by what the person is
        known there, or because the system takes nothing off.
    **Touches** reads credit_entry, completion, person, programme, mentoring_session, profile.
    """
    shape, lines, left_out = SHAPES[shape_key], [], 0
    records = list(_records(db, programme_id))
    gone = set() if shape.corrects else {record.reverses for record in records}
    for record in records:
        if not shape.corrects and (record.id in gone or record.reverses is not None):
            continue
        person = record.email if by_mail else record.employee_number
        if person and shape.can_say(record):
            lines.append(shape.line(record, person))
        else:
            left_out += 1
    return shape.file(lines), left_out


def _records(db: Db, programme_id: uuid.UUID | None) -> Iterator[CreditRecord]:
    entries = (
        select(CreditEntry, Person, Programme, MentoringSession)
        .join(Person, Person.id == CreditEntry.person_id)
        .join(Programme, Programme.id == CreditEntry.programme_id)
        .outerjoin(MentoringSession, MentoringSession.id == CreditEntry.session_id)
        .where(CreditEntry.minutes != 0)
        .order_by(CreditEntry.created_at, CreditEntry.id)
    )
    lines = db.execute(_within(entries, CreditEntry.programme_id, programme_id)).all()
    met = (
        select(Completion, Person, Programme)
        .join(Person, Person.id == Completion.person_id)
        .join(Programme, Programme.id == Completion.programme_id)
        .where(Completion.met_at.is_not(None))
        .order_by(Completion.met_at, Completion.id)
    )
    completions = db.execute(_within(met, Completion.programme_id, programme_id)).all()
    zones = zones_of(db, {row.Person.id for row in (*lines, *completions)})
    people = {row.Person.id for row in completions}
    paired, ledgers = pairing_starts(db, people, programme_id), lines_of(db, people, programme_id)
    newest = {(row.Person.id, row.Programme.id): row.CreditEntry for row in lines}
    for row in lines:
        yield _of_entry(
            row.CreditEntry, row.Person, row.Programme, row.MentoringSession, zones[row.Person.id]
        )
    for row in completions:
        who = (row.Person.id, row.Programme.id)
        if who in newest:
            earned, _ = sum_up(line for line in ledgers.get(who[0], ()) if line.programme_id == who[1])
            at = began_at(paired.get(who, ()), History(earned=earned), row.Programme)
            yield _of_completion(row.Completion, newest[who], row.Person, row.Programme, zones[who[0]], at)


def _within(query: Any, column: Any, programme_id: uuid.UUID | None) -> Any:
    return query if programme_id is None else query.where(column == programme_id)


def _of_entry(
    entry: CreditEntry, person: Person, programme: Programme, session: MentoringSession | None, zone: str
) -> CreditRecord:
    started = session.starts_at if session is not None else entry.created_at
    lasted = (session.counted_minutes or session.planned_minutes) if session is not None else 0
    return CreditRecord(
        id=str(entry.id),
        kind=entry.kind,  # type: ignore[arg-type]  # The table checks it.
        reverses=str(entry.reverses_id) if entry.reverses_id else None,
        pairing_id=None,
        session_id=None,
        started_at=started,
        ended_at=started + timedelta(minutes=lasted),
        minutes=entry.minutes,
        amount_hundredths=entry.amount_hundredths,
        written_at=entry.created_at,
        **_common(entry, person, programme, zone),
    )


def _of_completion(
    completion: Completion,
    newest: CreditEntry,
    person: Person,
    programme: Programme,
    zone: str,
    began: datetime,
) -> CreditRecord:
    assert completion.met_at is not None
    return CreditRecord(
        id=str(completion.id),
        kind="completion",
        reverses=None,
        pairing_id=None,
        session_id=None,
        started_at=began,
        ended_at=completion.met_at,
        minutes=completion.minutes,
        amount_hundredths=0,
        written_at=completion.met_at,
        **_common(newest, person, programme, zone),
    )


def _common(entry: CreditEntry, person: Person, programme: Programme, zone: str) -> dict[str, Any]:
    return {
        "person_id": str(person.id),
        "employee_number": person.employee_number,
        "display_name": person.display_name,
        "email": person.email,
        "role": entry.role,
        "programme_id": str(programme.id),
        "programme_name": programme.name,
        "time_zone": zone,
        "unit": entry.unit,
        "policy": f"{entry.policy}/{entry.policy_version}",
        "attempts": 0,
    }
