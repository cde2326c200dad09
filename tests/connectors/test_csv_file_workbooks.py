"""Excel workbooks as people really save them, and as nobody should open them."""

import zipfile
from datetime import date, datetime

import pytest
from openpyxl import Workbook

from connectors.hris import csv_file
from connectors.hris.csv_file import CsvFileConnector, CsvFileSettings
from rmplugin.api import FatalError

HEADER = ["Employee Number", "Name", "Email", "Hire Date", "Manager Number", "Notes"]


def read(path, **settings):
    loaded = CsvFileSettings().load({"path": str(path), "settle_seconds": 0, **settings})
    pages = list(CsvFileConnector().read(loaded, None))
    return [r for page in pages for r in page.records], [s for page in pages for s in page.skipped]


@pytest.fixture
def save(tmp_path):
    def save(*rows, change=lambda _sheet: None, sheets=()):
        book = Workbook()
        for title in sheets:
            book.create_sheet(title)
        sheet = book.worksheets[-1]
        for row in rows:
            sheet.append(row)
        change(sheet)
        book.save(tmp_path / "people.xlsx")
        return tmp_path / "people.xlsx"

    return save


def rewrite(path, member, old, new):
    """Change a member of a workbook, as another program would have written it."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    assert old in parts[member]
    parts[member] = parts[member].replace(old, new)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def test_workbook_when_saved_as_usual_gives_the_records_that_csv_would(save):
    path = save(
        HEADER,
        ["0042", "Zoë Łukasz", "Zoe@X.Example", date(2019, 4, 3), 12345.0, None],
        [],
        [7, "Bo", None, datetime(2020, 2, 29), None, True],  # noqa: DTZ001 - Excel knows no zones.
    )
    records, skipped = read(path)
    assert skipped == []
    assert [(r.source_key, r.display_name, r.email, r.hire_date, r.manager_key, r.ref) for r in records] == [
        ("0042", "Zoë Łukasz", "Zoe@x.example", date(2019, 4, 3), "12345", "row 2"),
        ("7", "Bo", None, date(2020, 2, 29), None, "row 4"),
    ]


def test_workbook_when_a_format_shows_leading_zeros_keeps_them(save):
    def show_zeros(sheet):
        sheet["A2"].number_format = "00000"

    records, _skipped = read(save(HEADER, [123, "Ada"], change=show_zeros))
    assert records[0].source_key == "00123"


def test_workbook_when_a_number_has_lost_digits_or_is_text_of_them_skips_the_row(save):
    records, skipped = read(
        save(
            HEADER,
            [123456789012, "Ada"],
            [1234567890123456789, "Bo"],
            ["1.23457E+11", "Cy"],
            [1.5, "Di"],
        )
    )
    assert [r.source_key for r in records] == ["123456789012", "1.5"]
    assert [(s.ref, s.field, s.source_key) for s in skipped] == [
        ("row 3", "source_key", None),
        ("row 4", "source_key", None),
    ]


@pytest.mark.parametrize(
    ("cell", "date_format", "expected"),
    [
        (43558, "%Y-%m-%d", date(2019, 4, 3)),
        (43558, "%d.%m.%Y", date(2019, 4, 3)),
        ("03.04.2019", "%d.%m.%Y", date(2019, 4, 3)),
        (20190403, "%Y%m%d", date(2019, 4, 3)),
        (1, "%Y-%m-%d", None),
        (2958465, "%Y-%m-%d", None),
        (0, "%Y-%m-%d", None),
    ],
)
def test_workbook_when_dates_are_serials_or_declared_text_reads_them(save, cell, date_format, expected):
    records, skipped = read(save(HEADER, ["1", "Ada", None, cell]), date_format=date_format)
    assert skipped == []
    assert records[0].hire_date == expected


@pytest.mark.parametrize("cell", [43558.75, "03/04/2019", -5])
def test_workbook_when_a_date_could_mean_another_day_skips_the_row(save, cell):
    _records, skipped = read(save(HEADER, ["1", "Ada", None, cell]))
    assert [(s.ref, s.field, s.source_key) for s in skipped] == [("row 2", "hire_date", "1")]


def test_workbook_when_it_counts_days_from_1904_reads_the_same_dates(save):
    path = save(HEADER, ["1", "Ada", None, 42096])
    rewrite(path, "xl/workbook.xml", b"<workbookPr/>", b'<workbookPr date1904="1"/>')
    assert read(path)[0][0].hire_date == date(2019, 4, 3)


def test_workbook_when_formulas_have_no_value_skips_rows_that_need_them(save):
    """Fault 47: formulas without values."""
    path = save(
        HEADER,
        ["1", "=CONCATENATE(A2)"],
        ["2", "Bo", None, None, None, "=1+1"],
        ["=1+2", "Cy"],
    )
    records, skipped = read(path)
    assert [r.source_key for r in records] == ["2"]
    assert [(s.ref, s.source_key) for s in skipped] == [("row 2", "1"), ("row 4", None)]
    assert "formula without its value" in skipped[0].reason
    rewrite(
        path, "xl/worksheets/sheet1.xml", b"<f>CONCATENATE(A2)</f><v></v>", b"<f>CONCATENATE(A2)</f><v>9</v>"
    )
    assert [r.display_name for r in read(path)[0]] == ["9", "Bo"]


def test_workbook_when_an_error_stands_where_the_key_belongs_names_nobody_by_it(save):
    _records, skipped = read(save(HEADER, ["#REF!", "Ada"], ["2", "#N/A"]))
    assert [(s.ref, s.source_key) for s in skipped] == [("row 2", None), ("row 3", "2")]


def test_workbook_when_cells_are_merged_stops(save):
    """Fault 47: merged cells."""
    path = save(HEADER, ["1", "Ada"], ["2", "Bo"], change=lambda sheet: sheet.merge_cells("F2:F3"))
    with pytest.raises(FatalError, match="merged cells"):
        read(path)


def test_workbook_when_a_sheet_is_declared_reads_that_one(save):
    path = save(HEADER, ["1", "Ada"], sheets=["Staff"])
    assert [r.display_name for r in read(path, sheet="Staff")[0]] == ["Ada"]
    assert read(path) == ([], [])
    with pytest.raises(FatalError, match="no sheet “Crew”"):
        read(path, sheet="Crew")


def test_workbook_when_it_is_wrong_about_its_size_loses_no_column(save):
    path = save(HEADER, ["1", "Ada", "a@x.example"])
    rewrite(path, "xl/worksheets/sheet1.xml", b'ref="A1:F2"', b'ref="A1:A1"')
    assert read(path)[0][0].email == "a@x.example"


def test_workbook_when_a_row_lies_about_its_number_does_not_count_to_it(save):
    path = save(HEADER, ["1", "Ada"])
    rewrite(path, "xl/worksheets/sheet1.xml", b'<row r="2"', b'<row r="2000000000"')
    rewrite(path, "xl/worksheets/sheet1.xml", b'r="A2"', b'r="A2000000000"')
    with pytest.raises(FatalError, match="damaged"):
        read(path)


def test_workbook_when_its_texts_are_shared_as_excel_does_reads_them(save):
    path = save(HEADER, ["1", 424242])
    rewrite(path, "xl/worksheets/sheet1.xml", b't="n"><v>424242</v>', b't="s"><v>0</v>')
    kind = b"application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
    part = b'<Override PartName="/xl/sharedStrings.xml" ContentType="' + kind + b'"/></Types>'
    rewrite(path, "[Content_Types].xml", b"</Types>", part)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(
            "xl/sharedStrings.xml",
            '<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
            "<si><r><t>Ada </t></r><r><t>Byron</t></r></si></sst>",
        )
    assert read(path)[0][0].display_name == "Ada Byron"


def test_workbook_when_a_row_has_more_cells_than_the_header_skips_it(save):
    _records, skipped = read(save(HEADER[:2], ["1", "Ada", "x"], ["2", "Bo", " "]))
    assert [s.reason for s in skipped] == ["The row has more cells than the header."] * 2


def test_workbook_when_it_is_a_zip_bomb_is_not_opened(tmp_path, save):
    """Fault 47."""
    path = save(HEADER, ["1", "Ada"])
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/more.xml", bytes(20 * 1024 * 1024))
    with pytest.raises(FatalError, match="unpacks to far more"):
        read(path)


def test_workbook_when_it_has_a_password_says_so(tmp_path):
    """Fault 47: an encrypted workbook is no zip file but an OLE container."""
    path = tmp_path / "people.xlsx"
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1000))
    with pytest.raises(FatalError, match="password"):
        read(path)
    [result] = CsvFileConnector().check(CsvFileSettings().load({"path": str(path)}))
    assert "password" in result.advice


@pytest.mark.parametrize("content", [b"PK\x03\x04", b"PK\x03\x04" + bytes(1000)])
def test_workbook_when_it_is_cut_off_says_that_it_is_damaged(tmp_path, content):
    path = tmp_path / "people.xlsx"
    path.write_bytes(content)
    with pytest.raises(FatalError, match="damaged"):
        read(path)


@pytest.mark.parametrize(
    ("member", "old", "new"),
    [
        ("xl/worksheets/sheet1.xml", b"</row>", b"</rwo>"),
        ("xl/workbook.xml", b"<sheets>", b"<shits>"),
        ("xl/worksheets/sheet1.xml", b"<v>", b"<v>zz"),
    ],
)
def test_workbook_when_its_xml_is_broken_says_that_it_is_damaged(save, member, old, new):
    path = save(HEADER, [1, "Ada"])
    rewrite(path, member, old, new)
    with pytest.raises(FatalError, match="damaged"):
        read(path)


def test_workbook_when_another_zip_file_has_its_name_says_that_it_is_damaged(tmp_path):
    with zipfile.ZipFile(tmp_path / "people.xlsx", "w") as archive:
        archive.writestr("people.csv", "Employee Number,Name\n1,Ada\n")
    with pytest.raises(FatalError, match="damaged"):
        read(tmp_path / "people.xlsx")


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_table_when_it_ends_at_the_last_row_of_excel_is_taken_for_cut_off(save, tmp_path, monkeypatch, kind):
    """Fault 47: 1,048,576 rows; a lower limit spares the test a minute."""
    assert csv_file.LAST_ROW == "row 1048576"
    monkeypatch.setattr(csv_file, "LAST_ROW", "row 3")
    path = save(HEADER, ["1", "Ada"], ["2", "Bo"])
    if kind == "csv":
        path = tmp_path / "people.csv"
        path.write_text("Employee Number,Name\n1,Ada\n2,Bo\n")
    with pytest.raises(FatalError, match="the rest was cut off"):
        read(path)
    monkeypatch.setattr(csv_file, "LAST_ROW", "row 4")
    assert len(read(path)[0]) == 2
