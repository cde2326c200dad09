"""The roster as a file that an HR system exports: comma, semicolon, tab or bar separated, or a workbook."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, BinaryIO, TextIO

import marshmallow as ma

from connectors.files import Delivery, FileSettings, deliveries
from connectors.tables import (
    NO_PERSON,
    PRIVATE_COLUMN,
    RowReader,
    TableSettings,
    fatal,
    normal_header,
    resolve_columns,
)
from connectors.workbooks import OLE, ZIP, sheet_rows
from rmplugin.api import (
    Capabilities,
    CheckResult,
    FatalError,
    RetriableError,
    RosterPage,
    SkippableRecordError,
    SkippedRecord,
    hookimpl,
)

PAGE_SIZE = 2000
SAMPLE_SIZE = 1000
# The last row that Excel knows: a table that ends exactly there was most likely longer.
LAST_ROW = "row 1048576"


class CsvFileSettings(TableSettings, FileSettings):
    """What an administrator declares about the files."""

    sheet = ma.fields.String(
        load_default="", metadata={"help": "name of the workbook's sheet; the first one unless declared"}
    )
    delimiter = ma.fields.String(
        load_default="auto",
        validate=ma.validate.OneOf(["auto", ",", ";", "\t", "\\t", "tab", "|"]),
        metadata={"help": "auto, comma, semicolon, tab or bar"},
    )
    encoding = ma.fields.String(
        load_default="auto",
        validate=ma.validate.OneOf(
            ["auto", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"]
        ),
        metadata={"help": "auto is UTF-8, or UTF-16 with a byte order mark; cp1252 must be declared"},
    )


@contextmanager
def open_text(file: BinaryIO, where: str, encoding: str) -> Iterator[TextIO]:
    """Read a file as text.

    :param encoding: as declared; "auto" looks for a byte order mark.
    :raises FatalError: it is not in this encoding.
    **Touches** reads the file.
    """
    head = file.read(3)
    file.seek(0)
    if encoding == "auto":
        encoding = "utf-16" if head[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
    if b"\0" in head and not encoding.startswith("utf-16"):
        raise fatal(where, "The file looks like UTF-16 without its mark. Declare utf-16-le or utf-16-be.")
    if encoding == "cp1252" and head == b"\xef\xbb\xbf":
        raise fatal(where, "The file says that it is UTF-8, but cp1252 is declared. Set encoding to auto.")
    try:
        with io.TextIOWrapper(file, encoding, newline="") as text:
            yield text
    except UnicodeError:
        name = "UTF-8" if encoding == "utf-8-sig" else encoding
        advice = "Export it as UTF-8, or declare its encoding (Excel's “CSV” is often cp1252)."
        raise fatal(where, f"The file is not {name} text, or only in part. {advice}") from None


def choose_delimiter(text: TextIO, settings: Mapping[str, Any]) -> str:
    """Choose the declared delimiter, or the one with which the header gives the most known columns.

    :param text: at its beginning; left behind a `sep=;` line when there is one, else at its beginning.
    **Touches** reads the header.
    """
    declared = {"tab": "\t", "\\t": "\t"}.get(settings["delimiter"], settings["delimiter"])
    first = text.readline()
    named = re.fullmatch(r"sep=([,;\t|])\s*", first)
    if not named:
        text.seek(0)
    if declared != "auto":
        return str(declared)
    if named:
        return named[1]

    def known_columns(delimiter: str) -> tuple[int, int]:
        cells = next(csv.reader([first], delimiter=delimiter, skipinitialspace=True), [])
        return len(resolve_columns(cells, settings)[0]), len(cells)

    return max(",;\t|", key=known_columns)


def read_rows(delivery: Delivery, settings: Mapping[str, Any]) -> Iterator[tuple[str, list[str] | None]]:
    """Give (ref, cells) of each row that is not blank, the header first; None for a row with broken quotes.

    :raises FatalError: unreadable, or the file was cut off.
    **Touches** reads the file.
    """
    head = delivery.file.read(8)
    delivery.file.seek(0)
    if head == OLE:
        text = (
            "The workbook has a password, or is of Excel's format before 2007. Save it as .xlsx without one."
        )
        raise fatal(delivery.where, text)
    read = sheet_rows if head.startswith(ZIP) else _text_rows
    ref = ""
    for ref, row in read(delivery.file, delivery.where, settings):
        yield ref, row
    if ref == LAST_ROW:
        text = "The table ends at the last row that Excel knows, so the rest was cut off. Export it as CSV."
        raise fatal(delivery.where, text)


def _text_rows(
    file: BinaryIO, where: str, settings: Mapping[str, Any]
) -> Iterator[tuple[str, list[str] | None]]:
    with open_text(file, where, settings["encoding"]) as text:
        delimiter = choose_delimiter(text, settings)
        reader = csv.reader(text, delimiter=delimiter, strict=True, skipinitialspace=True)
        number = 0
        while True:
            number += 1
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                if "unexpected end" in str(error) or "field larger" in str(error):
                    raise fatal(where, "A quotation mark is never closed; the file may be cut off.") from None
                yield f"row {number}", None
                continue
            if any(cell and not cell.isspace() for cell in row):
                yield f"row {number}", row


class CsvFileConnector:
    """Reads the newest file of a place, or, of files that hold changes only, every one since the last run."""

    key = "csv_file"
    title = "CSV or Excel file"
    settings_schema: type[ma.Schema] = CsvFileSettings
    capabilities = Capabilities()

    def check(self, settings: Mapping[str, Any]) -> list[CheckResult]:
        """Say whether the file can be read, which columns were found, and whether the dates make sense.

        :param settings: loaded by `CsvFileSettings`.
        **Touches** reads the beginning of the file.
        """
        results: list[CheckResult] = []
        try:
            with closing(deliveries(settings, None)) as found:
                _check_delivery(next(found), settings, results)
        except (FatalError, RetriableError) as error:
            results.append(CheckResult("File", ok=False, advice=error.message_for_user))
        return results

    def read(self, settings: Mapping[str, Any], cursor: str | None) -> Iterator[RosterPage]:
        """Read the roster page by page.

        :param cursor: tells which file was read last. The same one is read again and ends with the same
            cursor; an older one is refused.
        :raises FatalError: the file or its header cannot be used.
        :raises RetriableError: the file was being written, or its place is out of reach.
        **Touches** reads the file, and what `deliveries` touches.
        """
        newer: set[str] = set()
        for delivery in deliveries(settings, cursor):
            rows = read_rows(delivery, settings)
            header = next(rows, None)
            if header is None:
                yield RosterPage([], cursor=delivery.cursor)
                continue
            if header[1] is None:
                raise fatal(delivery.where, "The quotation marks of the header cannot be understood.")
            here: set[str] = set()
            for page in _pages(RowReader(header[1], settings, delivery.where), rows, delivery.cursor):
                if not settings["full"]:
                    # Newer files come first; what an older one says of the same person holds no more.
                    here.update(record.source_key for record in page.records)
                    page.records[:] = [r for r in page.records if r.source_key not in newer]
                yield page
            newer |= here


def _pages(
    reader: RowReader, rows: Iterator[tuple[str, list[str] | None]], cursor: str | None = None
) -> Iterator[RosterPage]:
    page = RosterPage([], cursor=cursor, fields=reader.fields)
    for ref, row in rows:
        try:
            page.records.append(reader.read(row, ref))
        except SkippableRecordError as error:
            page.skipped.append(SkippedRecord(error.ref, error.field, error.reason, reader.key_of(row)))
        if len(page.records) + len(page.skipped) >= PAGE_SIZE:
            yield page
            page = RosterPage([], cursor=cursor, fields=reader.fields)
    yield page


def _check_delivery(delivery: Delivery, settings: Mapping[str, Any], results: list[CheckResult]) -> None:
    rows = read_rows(delivery, settings)
    header = next(rows, ("", None))[1]
    if header is None:
        results.append(
            CheckResult("File", ok=False, advice=f"{delivery.seen} has no rows. Check the export.")
        )
        return
    again = "Until a newer file comes, this one is read again: nobody changes, no absence counts twice."
    results += [
        CheckResult("File", ok=True, advice=delivery.seen),
        CheckResult("Next runs", ok=True, advice=again),
    ]
    columns, missing, doubled = resolve_columns(header, settings)
    results += [CheckResult(f"Column for {n}", ok=True, advice=header[i].strip()) for n, i in columns.items()]
    results += [
        CheckResult(f"Column “{c}”", ok=False, advice="Not in the file: correct the mapping.")
        for c in missing
    ]
    results += [
        CheckResult(f"Column “{c}”", ok=False, advice="Twice in the file: rename one.") for c in doubled
    ]
    if columns and (others := _other_columns(header, set(columns.values()))):
        advice = f"{others}. Whichever you want: mapping.FIELD=COLUMN, for example mapping.email."
        results.append(CheckResult("Columns not read", ok=True, advice=advice))
    if not missing and not doubled:
        results += _check_sample(RowReader(header, settings, delivery.where), rows)


def _other_columns(header: list[str], read: set[int]) -> str:
    """Name the columns that nothing is read from. Without any known one, the first row may be a person's."""
    names = (cell.strip() for n, cell in enumerate(header) if n not in read and cell.strip())
    return ", ".join(name for name in names if not PRIVATE_COLUMN.search(normal_header(name)))


def _check_sample(reader: RowReader, rows: Iterator[tuple[str, list[str] | None]]) -> list[CheckResult]:
    sample = (row for row, _ in zip(rows, range(SAMPLE_SIZE), strict=False))
    pages = list(_pages(reader, sample))
    usable = sum(len(page.records) for page in pages)
    skipped = [record for page in pages for record in page.skipped]
    results = [
        CheckResult("Rows", ok=usable > 0, advice=f"{usable} usable among the first {usable + len(skipped)}")
    ]
    bad_dates = [record for record in skipped if record.field in reader.date_fields]
    if reader.date_fields and not bad_dates:
        results.append(CheckResult("Dates", ok=True, advice=f"all match {reader.date.date_format}"))
    first: dict[tuple[str, str], str] = {}
    for record in skipped:
        first.setdefault((record.field, record.reason), record.ref)
    for (name, reason), count in Counter((record.field, record.reason) for record in skipped).items():
        what = "Dates" if name in reader.date_fields else "Skipped rows"
        advice = f"{count} × {name}, first in {first[name, reason]}: {reason}"
        results.append(CheckResult(what, ok=reason == NO_PERSON, advice=advice))
    return results


@hookimpl
def rm_register_hris_connectors() -> list[CsvFileConnector]:
    """Bring this connector."""
    return [CsvFileConnector()]
