"""Sheets of Excel workbooks, row by row, as the texts that the same table would have as CSV."""

import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import date, datetime
from itertools import repeat
from typing import Any, BinaryIO

from connectors.tables import DATE_FIELDS, UNCOMPUTED, fatal, resolve_columns

# How a workbook begins, and how an encrypted one or the format before 2007 does.
ZIP, OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
# A bomb unpacks to a thousand times its size; the dullest roster to a fiftieth of that.
MOST_UNPACKED, MOST_RATIO, SMALL = 2 * 1024**3, 200, 10 * 1024**2
# Excel keeps fifteen digits of a number; what comes behind them is lost.
MOST_EXACT = 10**15
LAST_SERIAL = 2_958_465
MARK = re.compile(rb"<(?:\w+:)?(f|mergeCell)[ />]")
LAST_ROW = 1_048_576
# What the libraries raise for workbooks that are none, or not whole.
BROKEN = (
    zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, LookupError, ValueError, TypeError,
    SyntaxError, RuntimeError,
)  # fmt: skip


def sheet_rows(
    file: BinaryIO, where: str, settings: Mapping[str, Any]
) -> Iterator[tuple[str, list[str] | None]]:
    """Give (ref, cells) of each row that is not blank, the header first, as long as the header.

    :param settings: loaded by `TableSettings`, and `sheet`.
    :raises FatalError: no such sheet, a damaged workbook, one that unpacks to far more than it should, or
        merged cells.
    **Touches** reads the file.
    """
    try:
        _check_sizes(file, where)
        with ExitStack() as opened:
            book = opened.enter_context(_opened(file, values=True))
            sheet = _sheet(book, where, settings["sheet"])
            marks = _marks(book, sheet)
            if b"mergeCell" in marks:
                raise fatal(
                    where, "The sheet has merged cells, so it is unclear whose they are. Unmerge them."
                )
            typed: Iterator[tuple[Any, ...]] = repeat(())
            if b"f" in marks:
                # Values and formulas cannot be had from one reading.
                typed = _rows(opened.enter_context(_opened(file, values=False))[sheet.title])
            yield from _texts(_rows(sheet), typed, book.epoch, settings)
    except BROKEN:
        raise fatal(where, "The workbook is damaged or no .xlsx file. Save or export it again.") from None


@contextmanager
def _opened(file: BinaryIO, *, values: bool) -> Iterator[Any]:
    # It is slow to load, numpy with it, and every command loads the connectors.
    from openpyxl import load_workbook

    with warnings.catch_warnings():
        # About styles and the like, which nobody reads here.
        warnings.simplefilter("ignore")
        book = load_workbook(file, read_only=True, data_only=values, keep_links=False)
    try:
        yield book
    finally:
        book.close()


def _check_sizes(file: BinaryIO, where: str) -> None:
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
    bomb = any(m.file_size > SMALL and m.file_size > MOST_RATIO * m.compress_size for m in members)
    if bomb or sum(m.file_size for m in members) > MOST_UNPACKED:
        raise fatal(where, "The workbook unpacks to far more than a roster needs, so it was not opened.")


def _sheet(book: Any, where: str, name: str) -> Any:
    for sheet in book.worksheets:
        if name in ("", sheet.title):
            return sheet
    raise fatal(where, f"The workbook has no sheet “{name or 'at all'}”. Correct the setting sheet.")


def _marks(book: Any, sheet: Any) -> set[bytes]:
    """Tell whether the sheet has formulas or merged cells; reading it plainly is quicker than parsing."""
    found, tail = set(), b""
    with book._archive.open(sheet._worksheet_path) as source:  # noqa: SLF001 - nothing public tells.
        while piece := source.read(1 << 20):
            found.update(MARK.findall(tail + piece))
            tail = piece[-32:]
    return found


def _rows(sheet: Any) -> Iterator[tuple[Any, ...]]:
    # What a sheet says of its own size is often wrong, and columns would be lost.
    sheet.reset_dimensions()
    return iter(sheet.iter_rows())


def _texts(
    rows: Iterator[tuple[Any, ...]],
    typed: Iterator[tuple[Any, ...]],
    epoch: datetime,
    settings: Mapping[str, Any],
) -> Iterator[tuple[str, list[str]]]:
    width, dates = 0, set[int]()
    for number, (row, entered) in enumerate(zip(rows, typed, strict=False), start=1):
        if number > LAST_ROW:
            # Rows that are left out come as empty ones, so a lie about a row's number would never end.
            raise ValueError
        texts = [
            _text(cell, settings["date_format"], epoch if index in dates else None)
            for index, cell in enumerate(row)
        ]
        for index, cell in enumerate(entered):
            if cell.data_type == "f" and row[index].value is None:
                texts[index] = UNCOMPUTED
        while len(texts) > width and not texts[-1]:
            texts.pop()
        if not any(map(str.strip, texts)):
            continue
        if not width:
            width = len(texts)
            columns = resolve_columns(texts, settings)[0]
            dates = {columns[name] for name in DATE_FIELDS if name in columns}
        yield f"row {number}", texts + [""] * (width - len(texts))


def _text(cell: Any, date_format: str, epoch: datetime | None) -> str:
    """Give a cell as it would stand in a CSV file.

    :param epoch: the workbook's first day when the column holds dates, so that bare numbers count days.
    """
    value = cell.value
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        if epoch is None or not 1 <= value <= LAST_SERIAL:
            return _number(value, cell.number_format)
        from openpyxl.utils.datetime import from_excel

        value = from_excel(value, epoch)
    if isinstance(value, datetime):
        # A time of day stays, so that the row is refused: it could mean another day.
        midnight = value.time() == value.time().min
        return value.strftime(date_format) if midnight else value.isoformat(" ")
    return value.strftime(date_format) if isinstance(value, date) else str(value)


def _number(value: float, number_format: str) -> str:
    if not float(value).is_integer():
        return repr(value)
    if abs(value) >= MOST_EXACT:
        return f"{value:.5E}"
    # A format of zeros only shows leading zeros, and people take them for part of the number.
    return str(int(value)).zfill(0 if number_format.strip("0") else len(number_format))
