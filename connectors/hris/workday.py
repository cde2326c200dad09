"""Workday: a custom report that is enabled as a web service ("report as a service"), read as JSON.

The report's author chooses the names of the columns, so they are found by usual names or by a mapping, as
those of a file are.
"""

import json
import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import IO, Any
from urllib.parse import parse_qsl, urlsplit

import ijson
import marshmallow as ma

from connectors.tables import RowReader, TableSettings, normal_header, resolve_columns
from connectors.values import skipped_by_reason
from rmplugin.api import (
    Capabilities,
    CheckResult,
    CursorExpiredError,
    ExternalError,
    RetriableError,
    RosterPage,
    SkippableRecordError,
    SkippedRecord,
    hookimpl,
    http,
)

SERVICE = "Workday"
PAGE_SIZE = 2000
SAMPLE_SIZE = 500
ENTRIES = "Report_Entry"
# A report of a large company computes for minutes before its first byte.
LIMITS = http.Limits(seconds=2 * 3600.0, read_seconds=1800.0)
# A prompt may take a day without a time, in the tenant's zone; what is read twice changes nothing.
OVERLAP = timedelta(hours=26)
DAY = "%Y-%m-%d"
# An empty document is short; more than this is not looked at when no entry came.
MOST_HEAD = 65536
# Workday's own words for columns, beside those that every export uses.
USUAL = {
    "email": ("email work", "primary work email", "email primary work", "worker email"),
    "employee_number": ("worker", "employee id reference", "contingent worker id", "workday id"),
    "given_name": ("legal first name", "legal name first name"),
    "family_name": ("legal last name", "legal name last name"),
    "job_title": ("position title", "job profile"),
    "grade": ("compensation grade", "job profile management level"),
    "department": ("supervisory organization", "sup org"),
    "manager_email": ("worker's manager email",),
    "status": ("active status", "worker status"),
    "hire_date": ("original hire date",),
}


class WorkdaySettings(TableSettings):
    """What an administrator enters: the report, the integration user, and the names of the prompts."""

    url = ma.fields.String(
        required=True, metadata={"help": "the report's JSON address, from its menu: Web Service, View URLs"}
    )
    user = ma.fields.String(
        required=True,
        validate=ma.validate.Length(min=1),
        metadata={"help": "integration system user, as user@tenant where the tenant wants it so"},
    )
    password = ma.fields.String(
        required=True,
        validate=ma.validate.Length(min=1),
        metadata={"secret": True, "help": "the integration system user's password"},
    )
    effective_prompt = ma.fields.String(
        load_default="",
        metadata={"help": "name of the report's prompt for the effective date; needed for future hires"},
    )
    look_ahead_days = ma.fields.Integer(
        load_default=30,
        validate=ma.validate.Range(0, 366),
        metadata={"help": "how many days ahead future hires are read; 0 reads none"},
    )
    updated_from_prompt = ma.fields.String(
        load_default="",
        metadata={"help": "name of the report's prompt for changes since; empty reads everybody each time"},
    )
    updated_from_format = ma.fields.String(
        load_default="%Y-%m-%dT%H:%M:%SZ",
        metadata={"help": "strptime format of the moment (UTC) in that prompt"},
    )

    @ma.validates("url")
    def check_url(self, value: str, **_options: Any) -> None:
        """Refuse an address over which the password would be readable, or that is no report's.

        :raises marshmallow.ValidationError: when it is one.
        **Touches** pure.
        """
        try:
            parts = urlsplit(value)
            secure = parts.scheme == "https" or (parts.scheme, parts.hostname) == ("http", "127.0.0.1")
            named = parts.hostname and parts.path.strip("/") and parts.username is None
        except ValueError:
            secure = named = False
        if not (secure and named):
            raise ma.ValidationError("This is not an https address of a report, without user and password.")


class WorkdayConnector:
    """Reads the report whole, or what changed since, and who is hired ahead."""

    key = "workday"
    title = "Workday (custom report)"
    settings_schema: type[ma.Schema] = WorkdaySettings
    capabilities = Capabilities(incremental=True, effective_dated=True)

    def check(self, settings: Mapping[str, Any]) -> list[CheckResult]:
        """Read the report's beginning; say which columns were found, and what is skipped.

        :param settings: loaded by `WorkdaySettings`.
        **Touches** the network.
        """
        table = _Table(settings)
        try:
            with closing(_entries(_client(settings), _params(settings))) as entries:
                page = table.page(list(islice(entries, SAMPLE_SIZE)))
        except ExternalError as error:
            return [CheckResult("Report", ok=False, advice=error.message_for_user)]
        number = len(page.records) + len(page.skipped)
        return [
            CheckResult("Report", ok=True, advice=f"{number} entries looked at"),
            *table.coverage(),
            *skipped_by_reason(page.skipped, "Skipped entries"),
        ]

    def read(self, settings: Mapping[str, Any], cursor: str | None) -> Iterator[RosterPage]:
        """Read the roster as of today, then those who are hired within the next days.

        :param cursor: start of the run from which changes are asked; None for everybody.
        :raises RetriableError: throttled, or the report broke off; no part of it counts.
        :raises FatalError: the credentials, the report or its columns are wrong.
        :raises CursorExpiredError: the cursor is not ours, or the prompt for changes is not set any more.
        **Touches** the network.
        """
        client = _client(settings)
        started = client.now()
        params = _params(settings, cursor)
        today, prompt, days = started.date(), settings["effective_prompt"], settings["look_ahead_days"]
        table = _Table(settings)
        if prompt:
            params[prompt] = today.strftime(DAY)
        yield from table.pages(_entries(client, params))
        if prompt and days:
            # Who is hired next week is not in today's report. A hire that was entered long ago comes near
            # without a change, so this part is always read whole.
            ahead = {**_params(settings), prompt: (today + timedelta(days=days)).strftime(DAY)}
            for page in table.pages(_entries(client, ahead)):
                yield _future(page, today)
        yield RosterPage([], cursor=started.isoformat() if settings["updated_from_prompt"] else None)


def _client(settings: Mapping[str, Any]) -> http.Client:
    # Throttling comes as 429 or 500 without any header, which the client takes for passing anyway.
    return http.Client(
        SERVICE,
        settings["url"].partition("?")[0],
        auth=(settings["user"].encode(), settings["password"].encode()),
        limits=LIMITS,
    )


def _params(settings: Mapping[str, Any], cursor: str | None = None) -> dict[str, str]:
    """Give the prompts of the pasted address, the format, and the window of changes.

    :raises CursorExpiredError: see `WorkdayConnector.read`.
    """
    params = dict(parse_qsl(urlsplit(settings["url"]).query)) | {"format": "json"}
    if cursor is not None:
        try:
            since = datetime.fromisoformat(cursor).astimezone(UTC) - OVERLAP
        except (ValueError, OverflowError):
            since = None
        if since is None or not settings["updated_from_prompt"]:
            text = "The place of the last reading cannot be used. Everything is read instead."
            raise CursorExpiredError(SERVICE, "GET", settings["url"], None, text)
        params[settings["updated_from_prompt"]] = since.strftime(settings["updated_from_format"])
    return params


class _Head:
    """Keeps the beginning of a document that is read through it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.start = b""

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        if len(self.start) < MOST_HEAD:
            self.start += piece
        return piece


def _entries(client: http.Client, params: Mapping[str, str]) -> Generator[dict[str, Any], None, None]:
    """Give the report's entries one by one, in constant memory.

    :raises RetriableError: it broke off, or is no report: a login page, an error, half a document.
    """
    again = True
    while True:
        number = 0
        try:
            with client.stream("GET", client.base, params=params) as answer:
                for entry in _parse(answer, client.base):
                    number += 1
                    yield entry
        except RetriableError as error:
            # An answer that broke off early is asked for once more; nobody has seen any of it.
            if number or not again or error.remote_status != 200:
                raise
            again = False
        else:
            return


def _parse(answer: IO[bytes], url: str) -> Iterator[dict[str, Any]]:
    head, number = _Head(answer), 0
    try:
        for entry in ijson.items(head, f"{ENTRIES}.item"):
            if not isinstance(entry, dict):
                raise _broken(url)
            number += 1
            yield entry
        if number == 0 and json.loads(head.start).get(ENTRIES) != []:
            raise _broken(url)
    except (ijson.JSONError, ValueError, AttributeError):
        raise _broken(url) from None


def _broken(url: str) -> RetriableError:
    text = "Workday's answer is no whole report. Nobody was changed. It is tried again at the next run."
    return RetriableError(SERVICE, "GET", url, 200, text)


class _Table:
    """Entries as rows of one table. An entry leaves empty values out, so columns appear as they come."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings
        declared = [*settings["mapping"].values(), settings["key"] or ""]
        self._declared = {normal_header(name): name for name in declared if name.strip()}
        # Columns that came so far, in their order; declared ones that did not follow them in the reader's.
        self._seen: dict[str, None] = {}
        self._header: list[str] = []
        self._count = 0
        self._reader: RowReader | None = None

    def pages(self, entries: Iterator[dict[str, Any]]) -> Iterator[RosterPage]:
        """Give the entries' records, so many at a time."""
        while chunk := list(islice(entries, PAGE_SIZE)):
            yield self.page(chunk)

    def page(self, entries: list[dict[str, Any]]) -> RosterPage:
        """Give these entries' records.

        :raises FatalError: no column can be the key, or one stands there twice.
        """
        page = RosterPage([])
        rows = [_flat(entry) for entry in entries]
        names = {name: None for row in rows for name in row}
        if rows and (self._reader is None or not names.keys() <= self._seen.keys()):
            self._seen |= names
            self._reader = self._make_reader()
        dates = {"hire_date", "termination_date"}
        for row in rows:
            assert self._reader is not None
            self._count += 1
            ref = f"entry {self._count}"
            cells = [row.get(name, "") for name in self._header]
            for name in dates & self._reader.columns.keys():
                at = self._reader.columns[name]
                cells[at] = _without_zone(cells[at])
            try:
                page.records.append(self._reader.read(cells, ref))
            except SkippableRecordError as error:
                key = self._reader.key_of(cells)
                page.skipped.append(SkippedRecord(error.ref, error.field, error.reason, key))
        return page

    def coverage(self) -> list[CheckResult]:
        """Say which columns were found so far, and which declared ones were not."""
        columns = self._reader.columns if self._reader else {}
        found = {field: self._header[at] for field, at in columns.items()}
        advice = "No entry has it: its alias is another, or it is empty for everybody."
        return [
            CheckResult(f"Column for {field}", ok=True, advice=name)
            for field, name in found.items()
            if name in self._seen
        ] + [CheckResult(f"Column “{name}”", ok=False, advice=advice) for name in self._unseen()]

    def _unseen(self) -> list[str]:
        seen = set(map(normal_header, self._seen))
        return [name for folded, name in self._declared.items() if folded not in seen]

    def _make_reader(self) -> RowReader:
        # A declared column that is empty for everybody so far stands in no entry.
        self._header = [*self._seen, *self._unseen()]
        names = set(map(normal_header, self._header))
        mapping = dict(self._settings["mapping"])
        found = resolve_columns(self._header, self._settings)[0].keys() | mapping.keys()
        for field, aliases in USUAL.items():
            usual = next((alias for alias in aliases if alias in names), None)
            if usual is not None and field not in found:
                mapping[field] = usual
        return RowReader(self._header, {**self._settings, "mapping": mapping}, self._settings["url"])


def _flat(entry: Mapping[str, Any]) -> dict[str, str]:
    """Write an entry as cells; of a nested group the first row counts, its columns are named Group.Column."""
    cells: dict[str, str] = {}
    for name, value in entry.items():
        first = value[0] if isinstance(value, list) and value else value
        if isinstance(first, dict):
            cells |= {f"{name}.{inner}": text for inner, text in _flat(first).items()}
        elif first not in (None, [], ""):
            cells[name] = str(first)
    return cells


def _without_zone(text: str) -> str:
    """Cut the zone off a date such as 2026-03-01-08:00: it is the date there, and stays so here."""
    return re.sub(r"(?<=\d)(Z|[+-]\d\d:\d\d)$", "", text.strip())


def _future(page: RosterPage, today: date) -> RosterPage:
    """Keep those who begin after today; each waits for the day."""
    records = [replace(r, effective_from=r.hire_date) for r in page.records if (r.hire_date or today) > today]
    return replace(page, records=records, skipped=[])


@hookimpl
def rm_register_hris_connectors() -> list[WorkdayConnector]:
    """Bring this connector."""
    return [WorkdayConnector()]
