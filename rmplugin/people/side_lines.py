"""Lines of authority beside the reporting line: second managers, appraisers, HR partners."""

import csv
import io
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import cache, partial
from typing import Any

from sqlalchemy import delete, or_, select

from rmplugin import audit, jobs
from rmplugin.db import Db, chunks
from rmplugin.errors import ConflictError, InputError, NotFoundError, SkippableRecordError
from rmplugin.people.models import SideLine
from rmplugin.people.queries import find_person

COLUMNS = ("person", "other", "kind")
KINDS = ("dotted", "appraisal", "hr_partner")


@dataclass
class LinesReport:
    """What a file of lines did; `asdict` is the command's JSON.

    :ivar lines: how many there are now; `added` and `removed` against before.
    :ivar skipped: list of {"ref", "field", "reason"}.
    """

    lines: int = 0
    added: int = 0
    removed: int = 0
    skipped: list[dict[str, str]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Give the report as a JSON document."""
        return asdict(self)


def read_lines(text: str) -> list[dict[str, str]]:
    """Read a file of lines: the first row names the columns person, other and kind.

    :param text: decoded; comma, semicolon or tab between cells.
    :raises InputError: a column is missing.
    **Touches** nothing.
    """
    text = text.removeprefix("\ufeff")
    delimiter = max(",;\t", key=text.split("\n", 1)[0].count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    names = {str(name).strip().lower(): name for name in reader.fieldnames or ()}
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise InputError(
            "columns_wrong",
            "No line was changed. The first row must name the columns person, other and kind; missing: "
            f"{', '.join(missing)}.",
        )
    return [{name: (row[names[name]] or "").strip() for name in COLUMNS} for row in reader]


def replace_lines(db: Db, rows: Iterable[Mapping[str, str]], actor: str, now: datetime) -> LinesReport:
    """Put a file of lines in the place of all lines before; pairs that they forbid are suspended.

    Bad rows are listed, and then nothing is removed: a file that is half broken must not open doors.

    :param rows: as `read_lines` gives them: people by employee number, e-mail address or id.
    **Touches** reads person; writes side_line, outbox_event, audit_entry.
    """
    report = LinesReport()
    # An appraiser or HR partner stands in very many rows.
    find = cache(partial(_find, db))
    wanted: dict[tuple[uuid.UUID, uuid.UUID], str] = {}
    for number, row in enumerate(rows, start=2):
        try:
            pair, kind = _read_row(find, row, f"row {number}")
        except SkippableRecordError as error:
            report.skipped.append({"ref": error.ref, "field": error.field, "reason": error.reason})
            continue
        wanted[pair] = kind
    before = {(row.person_id, row.other_id): row for row in db.scalars(select(SideLine))}
    gone = set() if report.skipped else set(before) - set(wanted)
    for some in chunks(before[pair].id for pair in gone):
        db.execute(delete(SideLine).where(SideLine.id.in_(some)))
    for pair, kind in sorted(wanted.items()):
        if pair in before:
            before[pair].kind = kind
        else:
            db.add(SideLine(person_id=pair[0], other_id=pair[1], kind=kind))
    report.added, report.removed = len(set(wanted) - set(before)), len(gone)
    report.lines = len(before) + report.added - report.removed
    if report.added or report.removed:
        jobs.enqueue(db, "side_lines_changed", now)
        facts = {"added": report.added, "removed": report.removed}
        audit.record(db, actor, "person.side_lines", None, now, **facts)
    return report


def _read_row(
    find: Callable[[str], uuid.UUID | str], row: Mapping[str, str], ref: str
) -> tuple[tuple[uuid.UUID, uuid.UUID], str]:
    found: list[uuid.UUID] = []
    for column in ("person", "other"):
        person = find(row[column])
        if isinstance(person, str):
            raise SkippableRecordError(ref, column, person)
        found.append(person)
    if row["kind"] not in KINDS:
        raise SkippableRecordError(ref, "kind", f"must be one of: {', '.join(KINDS)}")
    if found[0] == found[1]:
        raise SkippableRecordError(ref, "person", "both are the same person")
    return (found[0], found[1]), row["kind"]


def _find(db: Db, reference: str) -> uuid.UUID | str:
    """Give a person, or why it is nobody's name."""
    if not reference:
        return "nobody is named"
    try:
        return find_person(db, reference).id
    except NotFoundError:
        return "nobody has this employee number, e-mail address or id"
    except ConflictError:
        return "several people have it: name the person by their id"


def side_lines(db: Db, only: Collection[uuid.UUID] | None = None) -> list[tuple[uuid.UUID, uuid.UUID]]:
    """List who has a line beside the reporting line with whom.

    :param only: lines of at least one of these people; None for all.
    **Touches** reads side_line.
    """
    query = select(SideLine.person_id, SideLine.other_id)
    if only is not None:
        query = query.where(or_(SideLine.person_id.in_(only), SideLine.other_id.in_(only)))
    return [(row.person_id, row.other_id) for row in db.execute(query)]
