"""Credits as lines of files: for anybody, and as learning systems import them.

`SHAPES` are what ``credits export --format`` and the sink for files know. Cells that a spreadsheet would run
as a formula are defused in all of them.
"""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from rmplugin.sinks import CreditRecord

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
# The unit of a credit -> where SuccessFactors keeps such hours.
HOURS = {"contact_hours": "contactHours", "cpe50": "cpeHours"}


def spreadsheet_text(value: str) -> str:
    """Give a text as a cell that no spreadsheet runs as a formula.

    **Source** OWASP, CSV injection. **Touches** pure.
    """
    is_number = value.removeprefix("-").replace(".", "", 1).isdecimal()
    return f"'{value}" if value.startswith(FORMULA_STARTS) and not is_number else value


@dataclass(frozen=True, slots=True)
class Shape:
    """How one system wants its file.

    :ivar columns: the heading.
    :ivar cells: makes the cells of a record; the second argument is the name by which the system knows the
        person.
    :ivar corrects: whether a line can take an earlier one back.
    :ivar knows_again: whether the system, or whoever reads the file, can tell a line that came before.
    :ivar keyed_by: the first columns that say what a line is about; 0 when each line stands for itself. Of
        lines about one thing in one file the last counts, and the system may read a file in any order.
    """

    key: str
    title: str
    columns: tuple[str, ...]
    cells: Callable[[CreditRecord, str], Sequence[str | int | float]]
    corrects: bool = False
    knows_again: bool = False
    keyed_by: int = 0

    def can_say(self, record: CreditRecord) -> bool:
        """Tell whether the system can be told this record by file. **Touches** pure."""
        if record.kind in ("reversal", "withdrawal"):
            return self.corrects
        return record.amount_hundredths >= 0 or self.key == "generic"

    def line(self, record: CreditRecord, person: str) -> tuple[str, ...]:
        """Make the line of a record: the same each time.

        :param person: the name by which the system knows the person.
        **Touches** pure.
        """
        return tuple(spreadsheet_text(_one_line(cell)) for cell in self.cells(record, person))

    def file(self, lines: Iterable[tuple[str, ...]]) -> bytes:
        """Make a file of lines. **Source** RFC 4180, in UTF-8. **Touches** pure."""
        kept = {line[: self.keyed_by] or line: line for line in lines}
        out = io.StringIO(newline="")
        writer = csv.writer(out)
        writer.writerow(self.columns)
        writer.writerows(kept.values())
        return out.getvalue().encode()


def _one_line(cell: str | float) -> str:
    return (
        " ".join(cell.split())
        if isinstance(cell, str)
        else f"{cell:g}"
        if isinstance(cell, float)
        else str(cell)
    )


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def _day(record: CreditRecord) -> str:
    return f"{record.ended_at.astimezone(ZoneInfo(record.time_zone)):%Y-%m-%d}"


def _hours(record: CreditRecord) -> float:
    return record.amount_hundredths / 100


def _generic(record: CreditRecord, person: str) -> Sequence[str | int | float]:
    return (
        record.id,
        record.kind,
        record.reverses or "",
        person,
        record.display_name,
        record.role,
        record.programme_name,
        _moment(record.started_at),
        _moment(record.ended_at),
        record.minutes,
        _hours(record),
        record.unit,
        record.policy,
        _moment(record.written_at),
    )


def _totara(record: CreditRecord, person: str) -> Sequence[str | int | float]:
    if record.kind == "completion":
        return person, record.programme_name, record.programme_id, _day(record), 100
    # There is no course of that name, so Totara makes it a piece of evidence.
    return person, f"{record.programme_name} {_day(record)}", record.id, _day(record), ""


def _cornerstone(record: CreditRecord, person: str) -> Sequence[str | int | float]:
    gone = record.kind in ("reversal", "withdrawal")
    whole = record.kind in ("completion", "withdrawal")
    title = record.programme_name if whole else f"{record.programme_name}: session"
    started = record.started_at
    if record.kind == "adjustment":
        title, started = f"{record.programme_name}: adjustment", record.written_at
    return (
        person,
        title,
        f"{_moment(started)} +00:00",
        "Withdrawn" if gone else "Completed",
        f"{_moment(record.ended_at)} +00:00",
        "" if whole else round(abs(record.minutes) / 60, 2),
        "" if whole else abs(_hours(record)),
    )


def _successfactors(record: CreditRecord, person: str) -> Sequence[str | int | float]:
    whole = record.kind == "completion"
    credit = HOURS.get(record.unit, "creditHours")
    return (
        person,
        record.programme_name,
        int(record.ended_at.timestamp() * 1000),
        record.time_zone,
        "Completed" if whole else "",
        "" if whole else round(record.minutes / 60, 2),
        *("" if whole or name != credit else _hours(record) for name in SUCCESSFACTORS_HOURS),
        f"rmplugin {record.id}",
    )


SUCCESSFACTORS_HOURS = ("contactHours", "creditHours", "cpeHours")
# fmt: off
SHAPES = {
    shape.key: shape
    for shape in (
        Shape(
            "generic", "CSV",
            ("id", "kind", "takes_back", "person", "name", "role", "programme", "started_at_utc",
             "ended_at_utc", "minutes", "credit", "unit", "policy", "written_at_utc"),
            _generic, corrects=True, knows_again=True,
        ),
        Shape(
            "totara", "Totara, Upload completion records",
            ("username", "courseshortname", "courseidnumber", "completiondate", "grade"),
            _totara,
        ),
        Shape(
            "cornerstone", "Cornerstone, Edge Import, External Training",
            ("User ID", "Training Title", "Start Date/Time", "Transcript Status", "Completion Date/Time",
             "Training Hours", "Credits"),
            _cornerstone, corrects=True, knows_again=True, keyed_by=3,
        ),
        Shape(
            "successfactors", "SAP SuccessFactors Learning, external learning events",
            ("studentID", "description", "completionDate", "completionTimeZoneID", "grade", "totalHours",
             *SUCCESSFACTORS_HOURS, "comments"),
            _successfactors,
        ),
    )
}
# fmt: on
