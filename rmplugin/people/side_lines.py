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
from rmplugin.errors import ConflictError, InputError, NotFoundError
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
            pair, kind = _read_row(find, row)
        except (InputError, NotFoundError, ConflictError) as error:
            name = "kind" if error.code == "kind_unknown" else "person"
            report.skipped.append(
                {"ref": f"row {number}", "field": name, "reason": str(error.message_for_user)}
            )
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
    find: Callable[[str], uuid.UUID], row: Mapping[str, str]
) -> tuple[tuple[uuid.UUID, uuid.UUID], str]:
    person, other = find(row["person"]), find(row["other"])
    if row["kind"] not in KINDS:
        raise InputError("kind_unknown", f"The kind must be one of: {', '.join(KINDS)}.")
    if person == other:
        raise InputError("same_person", "Both are the same person.")
    return (person, other), row["kind"]


def _find(db: Db, reference: str) -> uuid.UUID:
    if not reference:
        raise InputError("person_missing", "Nobody is named.")
    return find_person(db, reference).id


def side_lines(db: Db, only: Collection[uuid.UUID] | None = None) -> list[tuple[uuid.UUID, uuid.UUID]]:
    """List who has a line beside the reporting line with whom.

    :param only: lines of at least one of these people; None for all.
    **Touches** reads side_line.
    """
    query = select(SideLine.person_id, SideLine.other_id)
    if only is not None:
        query = query.where(or_(SideLine.person_id.in_(only), SideLine.other_id.in_(only)))
    return [(row.person_id, row.other_id) for row in db.execute(query)]
