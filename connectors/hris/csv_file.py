"""The roster as a file that an HR system exports: comma, semicolon, tab or bar separated text."""

import csv
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import marshmallow as ma

from connectors.tables import RowReader, TableSettings, fatal, resolve_columns
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


class CsvFileSettings(TableSettings):
    """What an administrator declares about the file."""

    path = ma.fields.String(
        required=True,
        validate=ma.validate.Length(min=1),
        metadata={"help": "a file, or a folder from which the newest *.csv is taken"},
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


def find_file(path: Path) -> Path:
    """Find the file to read: the path itself, or the newest *.csv of a folder.

    :raises FatalError: there is none.
    **Touches** reads the folder.
    """
    if path.is_dir():
        found = [
            p
            for p in path.iterdir()
            if p.suffix.lower() == ".csv" and not p.name.startswith(".") and p.is_file()
        ]
        if not found:
            raise fatal(str(path), f"The folder {path} holds no *.csv file. Check the export.")
        return max(found, key=lambda p: (p.stat().st_mtime_ns, p.name))
    if not path.is_file():
        raise fatal(str(path), f"There is no file {path}. Check the path and the export.")
    return path


@contextmanager
def open_text(path: Path, encoding: str) -> Iterator[TextIO]:
    """Open the file as text and make sure that nobody wrote to it meanwhile.

    :param encoding: as declared; "auto" looks for a byte order mark.
    :raises FatalError: it cannot be read, or not in this encoding.
    :raises RetriableError: it grew or was replaced while it was read.
    **Touches** reads the file.
    """
    try:
        with path.open("rb") as raw:
            mark = raw.read(2)
            before = os.fstat(raw.fileno())
        if encoding == "auto":
            encoding = "utf-16" if mark in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
        with path.open(encoding=encoding, newline="") as text:
            yield text
        after = path.stat()
    except UnicodeError:
        raise fatal(
            str(path), f"The file is not {encoding} text. Export it as UTF-8, or declare its encoding."
        ) from None
    except OSError as error:
        raise fatal(
            str(path), f"The file cannot be read ({error.strerror}). Check its permissions."
        ) from None
    if (before.st_ino, before.st_size, before.st_mtime_ns) != (
        after.st_ino,
        after.st_size,
        after.st_mtime_ns,
    ):
        raise RetriableError(
            "csv_file", "read", str(path), None,
            "The file was being written while it was read. Nobody was changed. Try again after the export.",
        )  # fmt: skip


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


def read_rows(path: Path, settings: Mapping[str, Any]) -> Iterator[tuple[str, list[str] | None]]:
    """Give (ref, cells) of each row that is not blank, the header first; None for a row with broken quotes.

    :raises FatalError: unreadable, or the file ends in the middle of a quoted cell.
    :raises RetriableError: it was written meanwhile.
    **Touches** reads the file.
    """
    with open_text(path, settings["encoding"]) as text:
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
                    raise fatal(
                        str(path), "A quotation mark is never closed; the file may be cut off."
                    ) from None
                yield f"row {number}", None
                continue
            if any(cell and not cell.isspace() for cell in row):
                yield f"row {number}", row


class CsvFileConnector:
    """Reads a local file, or the newest of a folder."""

    key = "csv_file"
    title = "CSV file"
    settings_schema: type[ma.Schema] = CsvFileSettings
    capabilities = Capabilities()

    def check(self, settings: Mapping[str, Any]) -> list[CheckResult]:
        """Say whether the file can be read, which columns were found, and whether the dates make sense.

        :param settings: loaded by `CsvFileSettings`.
        **Touches** reads the beginning of the file.
        """
        results: list[CheckResult] = []
        try:
            path = find_file(Path(settings["path"]))
            rows = read_rows(path, settings)
            header = next(rows, ("", None))[1]
            if header is None:
                return [CheckResult("File", ok=False, advice=f"{path} is empty. Check the export.")]
            results.append(CheckResult("File", ok=True, advice=str(path)))
            columns, missing, doubled = resolve_columns(header, settings)
            results += [
                CheckResult(f"Column for {n}", ok=True, advice=header[i].strip()) for n, i in columns.items()
            ]
            results += [
                CheckResult(f"Column “{c}”", ok=False, advice="Not in the file: correct the mapping.")
                for c in missing
            ]
            results += [
                CheckResult(f"Column “{c}”", ok=False, advice="Twice in the file: rename one.")
                for c in doubled
            ]
            if not missing and not doubled:
                results += _check_sample(RowReader(header, settings, str(path)), rows)
        except (FatalError, RetriableError) as error:
            results.append(CheckResult("File", ok=False, advice=error.message_for_user))
        return results

    def read(self, settings: Mapping[str, Any], cursor: str | None) -> Iterator[RosterPage]:
        """Read the roster page by page.

        :param cursor: not used; a file is always read from its beginning.
        :raises FatalError: the file or its header cannot be used.
        :raises RetriableError: the file was being written.
        **Touches** reads the file.
        """
        del cursor
        path = find_file(Path(settings["path"]))
        rows = read_rows(path, settings)
        header = next(rows, None)
        if header is None:
            yield RosterPage([])
            return
        if header[1] is None:
            raise fatal(str(path), "The quotation marks of the header cannot be understood.")
        yield from _pages(RowReader(header[1], settings, str(path)), rows)


def _pages(reader: RowReader, rows: Iterator[tuple[str, list[str] | None]]) -> Iterator[RosterPage]:
    page = RosterPage([])
    for ref, row in rows:
        try:
            page.records.append(reader.read(row, ref))
        except SkippableRecordError as error:
            page.skipped.append(SkippedRecord(error.ref, error.field, error.reason, reader.key_of(row)))
        if len(page.records) + len(page.skipped) >= PAGE_SIZE:
            yield page
            page = RosterPage([])
    yield page


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
    for (name, reason), count in Counter((record.field, record.reason) for record in skipped).items():
        what = "Dates" if name in reader.date_fields else "Skipped rows"
        results.append(CheckResult(what, ok=False, advice=f"{count} × {name}: {reason}"))
    return results


@hookimpl
def rm_register_hris_connectors() -> list[CsvFileConnector]:
    """Bring this connector."""
    return [CsvFileConnector()]
