"""Files of skills: the European ESCO, the American O*NET, and tables that a company makes itself."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rmplugin.errors import InputError
from rmplugin.programmes.catalogue import THEMES
from rmplugin.programmes.forms import SKILL_NAME_LENGTH

FORMATS = ("esco", "onet", "csv")
# A cell of ESCO holds all other names of a skill.
LONGEST_CELL = 1_000_000
# Columns that tell a format, in lower case: the code's, then the name's.
ESCO = ("concepturi", "preferredlabel")
ONET = (("element id", "element name"), ("commodity code", "commodity title"))
NAMES = ("name", "skill", "title")


@dataclass(frozen=True, slots=True)
class Entry:
    """A skill as a file has it.

    :ivar ref: "row 17", as a spreadsheet counts.
    :ivar code: key in its catalogue.
    :ivar fault: (field, reason) why it cannot be taken in; None when it can.
    """

    ref: str
    code: str
    name: str
    kind: str = "skill"
    theme: str = "general"
    fault: tuple[str, str] | None = None


def read(text: str, form: str | None) -> tuple[str, Iterator[Entry]]:
    """Read a file of skills; comma, semicolon or tab between cells.

    :param text: decoded; the first row names the columns.
    :param form: one of `FORMATS`; None finds out by the columns.
    :return: the format, and the rows, read while they are asked for.
    :raises InputError: the columns of the format are not there.
    **Touches** pure.
    """
    csv.field_size_limit(LONGEST_CELL)
    text = text.removeprefix("\ufeff")
    delimiter = max(",;\t", key=text.split("\n", 1)[0].count)
    # O*NET's tabs come without quotes, so that a quotation mark is only a mark.
    lines = io.StringIO(text, newline="")
    reader = (
        csv.DictReader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)
        if delimiter == "\t"
        else csv.DictReader(lines, delimiter=delimiter)
    )
    columns = {str(name).strip().lower() for name in reader.fieldnames or ()}
    found = form or _recognise(columns)
    make = _maker(found, columns)
    return found, _entries(reader, make)


def _recognise(columns: set[str]) -> str:
    if set(ESCO) <= columns:
        return "esco"
    return "onet" if any(set(pair) <= columns for pair in ONET) else "csv"


def _maker(form: str, columns: set[str]) -> Callable[[str, Mapping[str, str]], Entry]:
    """Give what makes an entry of a row; refuse a file without the columns."""
    if form == "esco" and set(ESCO) <= columns:
        return lambda ref, row: _entry(ref, row[ESCO[0]], row[ESCO[1]])
    pair = next((pair for pair in ONET if set(pair) <= columns), None)
    if form == "onet" and pair is not None:
        code, name = pair
        return lambda ref, row: _entry(ref, row[code], row[name])
    title = next((name for name in NAMES if name in columns), None)
    if form == "csv" and title is not None:
        return lambda ref, row: _own(ref, row, row[title])
    wanted = {
        "esco": "conceptUri and preferredLabel (the file skills_en.csv of ESCO)",
        "onet": "Element ID and Element Name (the file Skills.txt of O*NET)",
        "csv": "name, and if you like code, kind and theme",
    }
    raise InputError(
        "columns_wrong", f"Nothing was taken in. The first row must name these columns: {wanted[form]}."
    )


def _entries(
    reader: Iterable[Mapping[Any, Any]], make: Callable[[str, Mapping[str, str]], Entry]
) -> Iterator[Entry]:
    for number, raw in enumerate(reader, start=2):
        row = {
            str(name).strip().lower(): (cell or "").strip()
            for name, cell in raw.items()
            if isinstance(cell, str | None)
        }
        if any(row.values()) and row.get("status", "released") in ("released", ""):
            yield make(f"row {number}", row)


def _entry(ref: str, code: str, name: str, kind: str = "skill", theme: str = "general") -> Entry:
    # A bar separates skills in files of enrolments, and a line separates them on a form.
    name = " ".join(name.replace("|", "/").split())
    fault = None
    if not name or len(name) > SKILL_NAME_LENGTH:
        fault = ("name", f"must have 1 to {SKILL_NAME_LENGTH} characters")
    elif not code:
        fault = ("code", "is empty")
    return Entry(ref, code, name, kind, theme, fault)


def _own(ref: str, row: Mapping[str, str], name: str) -> Entry:
    themes = {key: key for key in THEMES} | {words.casefold(): key for key, words in THEMES.items()}
    kind, theme = row.get("kind", "").casefold() or "skill", row.get("theme", "").casefold() or "general"
    entry = _entry(ref, row.get("code") or name.casefold(), name, kind, themes.get(theme, "general"))
    if entry.fault is None and kind not in ("skill", "perspective"):
        return Entry(ref, entry.code, entry.name, fault=("kind", "must be skill or perspective"))
    if entry.fault is None and theme not in themes:
        return Entry(ref, entry.code, entry.name, fault=("theme", f"must be one of {', '.join(THEMES)}"))
    return entry
