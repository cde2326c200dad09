"""Rows of a table that people or HR systems export, turned into records; whatever file they come in."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import lru_cache
from operator import itemgetter
from typing import Any

import marshmallow as ma

from connectors.values import EMAIL, LONGEST, Strict, email_of, goes_by, is_placeholder, status_words
from rmplugin.api import EmployeeRecord, FatalError, SkippableRecordError

ISO = "%Y-%m-%d"

# Headers under which common exports name our fields, best first. Compared without case, dots and underscores.
ALIASES: dict[str, tuple[str, ...]] = {
    name: tuple(words.split("|"))
    for name, words in {
        "employee_number": "employee number|employee no|employee id|employeeid|personnel number|personnel no|"
        "staff number|staff id|worker id|person number|personalnummer|personal-nr|pers-nr|emp id|matricule",
        "user_name": "user name|username|login|user id|network id",
        "email": "work email|work e-mail|email|e-mail|email address|e-mail address|business email|mail|"
        "dienst-mail|dienstliche e-mail|e-mail dienstlich|e-mail-adresse",
        "given_name": "given name|first name|firstname|forename|vorname|prénom",
        "family_name": "family name|last name|lastname|surname|nachname|nom",
        "preferred_name": "preferred name|preferred first name|known as|nickname",
        "display_name": "display name|full name|employee name|worker|name",
        "job_title": "job title|business title|title|position|position title|stelle|stellenbezeichnung|"
        "funktion",
        "grade": "grade|job grade|pay grade|level|job level|management level|band|entgeltgruppe|"
        "besoldungsgruppe|stufe",
        "seniority_rank": "seniority rank",
        "department": "department|department name|team|abteilung|organisationseinheit",
        "division": "division|business unit|bereich",
        "cost_center": "cost center|cost centre|kostenstelle",
        "location": "location|work location|primary work location|site|office|standort",
        "city": "city|town|ort",
        "country": "country|country code|land|ländercode",
        "time_zone": "time zone|timezone",
        "manager": "manager|supervisor|reports to|line manager|vorgesetzter",
        "manager_key": "manager employee number|manager number|manager id|manager employee id|"
        "supervisor id|manager personnel number|manager personnel no|manager key|personalnummer vorgesetzter",
        "manager_email": "manager email|manager e-mail|supervisor email|manager work email|"
        "e-mail vorgesetzter",
        "manager_name": "manager name|supervisor name",
        "employment_type": "employment type|worker type|employee type|contract type|beschäftigungsart|"
        "mitarbeiterkreis",
        "status": "status|employment status|employee status|worker status",
        "hire_date": "hire date|start date|date of joining|eintrittsdatum|eintritt|einstellungsdatum",
        "termination_date": "termination date|end date|leaving date|exit date|relieving date|austrittsdatum|"
        "austritt",
        "languages": "languages|language|sprachen",
    }.items()
}

# Such columns are never read, whatever somebody maps onto them. "Salary grade" is a grade, not a salary.
PRIVATE_COLUMN = re.compile(
    r"\b(salary|wages?|pay rate|gehalt|lohn)\b(?! (grade|band|level|group))|compensation$|passport"
    r"|\b(bonus|iban|ssn|dob)\b|birth|geburt|bank (account|details)|account number|social security"
    r"|national insurance|tax (id|number)|\b(health|disabilit|religio|ethnic|marital|gender|sex\b)"
    r"|\b(children|nationality|pregnan)",
)

STATUS_WORDS = {
    word: status
    for status, words in {
        "active": "active|a|1|true|yes|current|employed|aktiv|beschäftigt",
        "leave": "leave|on leave|loa|leave of absence|parental leave|beurlaubt|elternzeit",
        "suspended": "suspended",
        "prehire": "prehire|pre-hire|onboarding|future hire|not started",
        "terminated": "terminated|inactive|left|leaver|former|t|0|false|no|ausgeschieden|inaktiv|ausgetreten",
        "deceased": "deceased",
    }.items()
    for word in words.split("|")
}
EMPLOYMENT_WORDS = {
    word: kind
    for kind, words in {
        "employee": "employee|regular|permanent|full-time|full time|part-time|part time|vollzeit|teilzeit|"
        "angestellt",
        "contractor": "contractor|contingent worker|contingent|freelancer|external|consultant|extern|"
        "freiberufler",
        "intern": "intern|internship|trainee|apprentice|working student|praktikant|auszubildender|"
        "werkstudent",
        "temp": "temp|temporary|fixed-term|fixed term|seasonal|befristet|aushilfe",
    }.items()
    for word in words.split("|")
}

SCIENTIFIC = re.compile(r"\d([.,]\d+)?E\+\d+", re.IGNORECASE)
NO_EMAIL = frozenset({"-", "n/a", "na", "none", "null", "unknown"})
NO_PERSON = "This is a line of totals, not a person."
TOTALS = re.compile(
    r"\s*((grand )?totals?|sum|summe|gesamt|(row |record )?count|records|end of (file|report))\b",
    re.IGNORECASE,
)
SPREADSHEET_ERRORS = frozenset({"#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!"})
# Stands for a formula whose value is not in the file.
UNCOMPUTED = "#FORMULA!"
DATE_FIELDS = ("hire_date", "termination_date")


def normal_header(text: str) -> str:
    """Fold a column name for comparing. **Touches** pure."""
    return " ".join(re.sub(r"[\s_.\ufeff]+", " ", text).split()).casefold()


def is_private_name(name: str) -> bool:
    """Tell a name such as baseSalary or birth-date, which holds private data. **Touches** pure."""
    return bool(PRIVATE_COLUMN.search(normal_header(re.sub(r"(?<=[a-z])(?=[A-Z])|-", " ", name))))


class MappingSchema(Strict):
    """Our field -> their column. No other field exists, so nothing else is read; "" leaves a field out."""

    locals().update({name: ma.fields.String() for name in (*ALIASES, "manager_employee_number")})

    @ma.post_load
    def take_synonym(self, data: dict[str, str], **_options: Any) -> dict[str, str]:
        """Take `manager_employee_number` for what it is, the manager's key. **Touches** pure."""
        if "manager_employee_number" in data:
            data.setdefault("manager_key", data.pop("manager_employee_number"))
        return data

    @ma.validates_schema
    def refuse_private_columns(self, data: Mapping[str, str], **_options: Any) -> None:
        """Refuse pay, birth dates and other private data under any name.

        :raises marshmallow.ValidationError: such a column is mapped.
        **Touches** pure.
        """
        private = {
            name: ["This column holds private data and is never read."]
            for name, column in data.items()
            if PRIVATE_COLUMN.search(normal_header(column))
        }
        if private:
            raise ma.ValidationError(private)


class TableSettings(Strict):
    """What an administrator declares about the columns of any table."""

    date_format = ma.fields.String(
        load_default=ISO, metadata={"help": "strptime format of every date, for example %d.%m.%Y"}
    )
    mapping = ma.fields.Nested(
        MappingSchema, load_default=dict, metadata={"help": "our field -> their column"}
    )
    key = ma.fields.String(
        load_default=None,
        allow_none=True,
        metadata={"help": "column that identifies a person for ever; the employee number unless declared"},
    )
    manager_by = ma.fields.String(
        load_default="auto",
        validate=ma.validate.OneOf(["auto", "number", "email", "name"]),
        metadata={"help": "how the column mapped to `manager` names the manager"},
    )
    status_values = status_words("their word -> our status")
    full = ma.fields.Boolean(load_default=True, metadata={"help": "the file lists everybody"})

    @ma.validates("date_format")
    def check_date_format(self, value: str, **_options: Any) -> None:
        """Refuse a format that cannot give back a whole date.

        :raises marshmallow.ValidationError: when it is none.
        **Touches** pure.
        """
        try:
            back = datetime.strptime(date(2019, 11, 28).strftime(value), value).date()  # noqa: DTZ007 - a date.
        except ValueError:
            back = None
        if back != date(2019, 11, 28):
            raise ma.ValidationError(
                "This is not a strptime format with day, month and year, such as %d.%m.%Y."
            )


class DateReader:
    """Reads dates of one declared format; the same texts come again and again, so it remembers them.

    :param date_format: strptime format.
    """

    def __init__(self, date_format: str) -> None:
        self.date_format = date_format
        self._known: dict[str, date | None] = {}

    def __call__(self, text: str) -> date | None:
        """Read one date; None for the placeholders that HR systems use for "none".

        :raises ValueError: another format.
        **Touches** its memory.
        """
        if text not in self._known:
            self._known[text] = self._read(text)
        return self._known[text]

    def _read(self, text: str) -> date | None:
        if not text.strip("0./- :"):
            return None
        # A time of midnight adds nothing; any other time, or a zone, could mean another day.
        text = re.sub(r"[ T]00:00(:00(\.0+)?)?$", "", text)
        value = (
            date.fromisoformat(text)
            if self.date_format == ISO
            else datetime.strptime(text, self.date_format).date()  # noqa: DTZ007 - a date has no zone.
        )
        return None if is_placeholder(value) else value


class RowReader:
    """Turns the rows of one file into records. Built once per file, so that each row costs little.

    :param header: cells of the first row.
    :param settings: loaded by `CsvFileSettings`.
    :raises FatalError: a needed column is missing or stands there twice.
    """

    def __init__(self, header: Sequence[str], settings: Mapping[str, Any], path: str) -> None:
        self.width = len(header)
        self.columns, missing, doubled = resolve_columns(header, settings)
        if missing:
            raise fatal(
                path, f"The file has no column {_listed(missing)}. Correct the mapping or the export."
            )
        if doubled:
            raise fatal(
                path, f"The file has two columns {_listed(doubled)}. Rename one of them in the export."
            )
        if "key" not in self.columns and "employee_number" not in self.columns:
            raise fatal(
                path,
                "No column holds an employee number. Set mapping.employee_number, or key, to its name.",
            )
        self.key_index = self.columns.pop("key", self.columns.get("employee_number", 0))
        self.names = list(self.columns)
        self.fields = frozenset({"source_key", "display_name", *self.names}) - {"manager"}
        # The key comes last, twice, so that there are always two cells and the getter gives a tuple.
        self.pick = itemgetter(*self.columns.values(), self.key_index, self.key_index)
        self.number_fields: list[str] = [
            n for n in ("employee_number", "manager", "manager_key") if n in self.columns
        ]
        self.date = DateReader(settings["date_format"])
        self.date_fields: list[str] = [name for name in DATE_FIELDS if name in self.columns]
        self.manager_by: str = settings["manager_by"]
        if "manager" in self.columns:
            ways = {"number": "key", "email": "email", "name": "name"}
            self.fields |= {f"manager_{ways[by]}" for by in ways if self.manager_by in ("auto", by)}
        self.statuses = STATUS_WORDS | {k.strip().casefold(): v for k, v in settings["status_values"].items()}

    def read(self, row: list[str] | None, ref: str) -> EmployeeRecord:
        """Read one row.

        :param row: cells as the file has them; None when its quotes are broken.
        :param ref: "row 17".
        :raises SkippableRecordError: it cannot be used; the text never holds a cell's content.
        **Touches** pure.
        """
        if row is None:
            raise SkippableRecordError(ref, "row", "The quotation marks of the row cannot be understood.")
        if looks_total(row):
            raise SkippableRecordError(ref, "row", NO_PERSON)
        if len(row) != self.width:
            more = "more" if len(row) > self.width else "fewer"
            raise SkippableRecordError(ref, "row", f"The row has {more} cells than the header.")
        cells = self.pick(row)
        joined = "".join(cells)
        if not joined.isascii() or not joined.isprintable() or "#" in joined:
            cells = tuple(clean(cell, ref) for cell in cells)
        values: dict[str, Any] = {
            name: cell for name, cell in zip(self.names, map(str.strip, cells), strict=False) if cell
        }
        if len(joined) > LONGEST and max(map(len, values.values()), default=0) > LONGEST:
            raise SkippableRecordError(ref, "row", f"A cell is longer than {LONGEST} characters.")
        key = cells[-1].strip()
        if not 0 < len(key) <= LONGEST:
            raise SkippableRecordError(ref, "source_key", "The row has no key, so nobody knows whose it is.")
        if "+" in key and SCIENTIFIC.fullmatch(key):
            raise _shortened(ref, "source_key")
        self._convert(values, ref)
        return EmployeeRecord(source_key=key, ref=ref, **values)

    def key_of(self, row: Sequence[str] | None) -> str | None:
        """Give whose row it is when it cannot be used otherwise; None when even that cannot be trusted.

        **Touches** pure.
        """
        if row is None or len(row) <= self.key_index or looks_total(row):
            return None
        key = row[self.key_index].strip()
        damaged = SCIENTIFIC.fullmatch(key) or "\0" in key or key in {UNCOMPUTED, *SPREADSHEET_ERRORS}
        return None if not key or damaged else key

    def _convert(self, values: dict[str, Any], ref: str) -> None:
        for name in self.number_fields:
            if name in values and "+" in values[name] and SCIENTIFIC.fullmatch(values[name]):
                raise _shortened(ref, name)
        for name in self.date_fields:
            if name in values:
                try:
                    values[name] = self.date(values[name])
                except ValueError:
                    raise SkippableRecordError(
                        ref, name, f"The date is not of the declared format {self.date.date_format}."
                    ) from None
        _convert_names(values, ref)
        manager = values.pop("manager", None)
        if manager is not None:
            values |= _manager(manager, self.manager_by)
        _convert_emails(values, ref)
        self._convert_words(values, ref)

    def _convert_words(self, values: dict[str, Any], ref: str) -> None:
        status = values.get("status")
        if status is not None:
            values["status_raw"] = status
            values["status"] = self.statuses.get(status.casefold(), "unknown")
        kind = values.get("employment_type")
        if kind is not None:
            values["employment_type"] = EMPLOYMENT_WORDS.get(kind.casefold(), "other")
        if "languages" in values:
            values["languages"] = _languages(values["languages"])
        if "seniority_rank" in values:
            rank = values["seniority_rank"]
            if not (rank.isdecimal() and int(rank) <= 100):
                raise SkippableRecordError(
                    ref, "seniority_rank", "The rank is not a whole number from 0 to 100."
                )
            values["seniority_rank"] = int(rank)


def looks_total(row: Sequence[str]) -> bool:
    """Tell a line of totals, such as `Total;;;412`, from a person. **Touches** pure."""
    # Nearly every row is a person with its first cell filled, so the cheap question comes first.
    if row[0] and not TOTALS.match(row[0]):
        return False
    filled = [cell for cell in map(str.strip, row) if cell]
    return len(filled) <= max(2, len(row) // 3) and TOTALS.match(filled[0]) is not None


def clean(cell: str, ref: str) -> str:
    """Make one cell fit to be stored: composed Unicode, one line, no control characters.

    :raises SkippableRecordError: the cell shows that the file was damaged.
    **Touches** pure.
    """
    if "\0" in cell:
        raise SkippableRecordError(ref, "row", "The row contains a NUL byte; the file may be damaged.")
    if cell.strip() in SPREADSHEET_ERRORS:
        raise SkippableRecordError(ref, "row", "The row contains an error value of the spreadsheet.")
    if cell == UNCOMPUTED:
        reason = "The row contains a formula without its value. Open the workbook, save it, deliver it again."
        raise SkippableRecordError(ref, "row", reason)
    cell = unicodedata.normalize("NFC", cell.replace("\ufeff", ""))
    if cell.isprintable():
        return cell
    cell = re.sub(r"\s+", " ", cell)
    return "".join(char for char in cell if unicodedata.category(char) not in {"Cc", "Cs", "Co"})


def resolve_columns(
    header: Sequence[str], settings: Mapping[str, Any]
) -> tuple[dict[str, int], list[str], list[str]]:
    """Find the column of each field.

    :return: index per field (and under "key" when a key column is declared), declared columns that are
        missing, wanted columns that stand there twice.
    **Touches** pure.
    """
    names = [normal_header(cell) for cell in header]
    wanted: dict[str, str] = {k: v for k, v in settings["mapping"].items() if v.strip()}
    if settings.get("key"):
        wanted["key"] = settings["key"]
    missing = [column for column in wanted.values() if normal_header(column) not in names]
    found = {name: normal_header(column) for name, column in wanted.items() if normal_header(column) in names}
    for name, aliases in ALIASES.items():
        taken = set(found.values()) - {found.get("key")}
        alias = next(
            (a for a in aliases if a in names and a not in taken and not PRIVATE_COLUMN.search(a)), None
        )
        if alias is not None and name not in settings["mapping"]:
            found[name] = alias
    doubled = sorted(
        {header[names.index(column)].strip() for column in found.values() if names.count(column) > 1}
    )
    return {name: names.index(column) for name, column in found.items()}, missing, doubled


def _manager(text: str, manager_by: str) -> dict[str, str]:
    if manager_by == "email" or (manager_by == "auto" and "@" in text):
        return {"manager_email": text}
    if manager_by == "number":
        return {"manager_key": text}
    # A word without @ can be a key as well as a name; the core tries the key first.
    return {"manager_name": text} if manager_by == "name" else {"manager_key": text, "manager_name": text}


def _convert_names(values: dict[str, Any], ref: str) -> None:
    if "display_name" in values:
        return
    name = goes_by(values)
    if not name:
        raise SkippableRecordError(ref, "display_name", "The row has no name.")
    values["display_name"] = name


def _convert_emails(values: dict[str, Any], ref: str) -> None:
    for name in ("email", "manager_email"):
        address = values.get(name)
        if address is None:
            continue
        if address.casefold() in NO_EMAIL:
            del values[name]
        # A manager's address that is none only leaves the manager unresolved, which the run counts.
        elif name == "email" or EMAIL.fullmatch(address):
            values[name] = email_of(address, ref)


@lru_cache(maxsize=4096)
def _languages(text: str) -> tuple[str, ...]:
    codes = (re.split(r"[-_]", word)[0].lower() for word in re.split(r"[\s,;/|]+", text))
    return tuple(dict.fromkeys(code for code in codes if len(code) == 2 and code.isalpha()))


def _shortened(ref: str, name: str) -> SkippableRecordError:
    reason = "A spreadsheet has shortened this number (as in 1,2E+11). Make the column text and export again."
    return SkippableRecordError(ref, name, reason)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"“{name}”" for name in names)


def fatal(path: str, message: str) -> FatalError:
    """Make the error that stops whoever reads; a run adds that nobody was changed. **Touches** pure."""
    return FatalError("table", "read", path, None, message)
