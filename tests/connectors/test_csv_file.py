"""The CSV connector against files as people really export them."""

import csv
import os
import random
from datetime import date

import marshmallow as ma
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from connectors.hris.csv_file import CsvFileConnector, CsvFileSettings
from rmplugin.api import FatalError, RetriableError

HEADER = "Employee Number,Name,Email,Manager,Hire Date,Termination Date,Status,Grade\n"


def load(path, **settings):
    return CsvFileSettings().load({"path": str(path), "settle_seconds": 0, **settings})


def read(path, **settings):
    pages = list(CsvFileConnector().read(load(path, **settings), None))
    return [r for page in pages for r in page.records], [s for page in pages for s in page.skipped]


@pytest.fixture
def write(tmp_path):
    def write(content: str | bytes, name: str = "roster.csv", encoding: str = "utf-8"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return path

    return write


# -- bytes and delimiters ----------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_read_when_nothing_is_declared_finds_encoding_and_delimiter(write, encoding, delimiter):
    """Faults 45 and 46: byte order marks, delimiters."""
    path = write(f"Employee Number{delimiter}Name\n0042{delimiter}Zoë Łukasz\n", encoding=encoding)
    records, skipped = read(path)
    assert [(r.source_key, r.display_name, r.ref) for r in records] == [("0042", "Zoë Łukasz", "row 2")]
    assert skipped == []


def test_read_when_a_cell_holds_other_delimiters_chooses_by_known_columns(write):
    records, _ = read(write('Employee Number;Name;"a,b,c,d,e,f"\n1;Ada;x\n'))
    assert records[0].display_name == "Ada"


def test_read_when_excel_names_the_separator_uses_it(write):
    records, _ = read(write("sep=|\nEmployee Number|Name\n1|Ada\n"))
    assert records[0].display_name == "Ada"


def test_read_when_cp1252_is_undeclared_stops_and_says_so(write):
    """Fault 45."""
    path = write("Employee Number,Name\n1,Zoë\n", encoding="cp1252")
    with pytest.raises(FatalError, match="declare its encoding"):
        read(path)
    assert read(path, encoding="cp1252")[0][0].display_name == "Zoë"


def test_read_when_encodings_are_mixed_stops(write):
    """Fault 45."""
    path = write("Employee Number,Name\n1,Zoë\n".encode() + "2,Jörg\n".encode("cp1252"))
    with pytest.raises(FatalError, match="or only in part"):
        read(path)


def test_read_when_the_declared_encoding_is_plainly_another_stops(write):
    """Fault 45: taken as declared, names would become gibberish that nobody notices."""
    with pytest.raises(FatalError, match="Set encoding to auto"):
        read(write("Employee Number,Name\n1,Zoë\n", encoding="utf-8-sig"), encoding="cp1252")
    path = write("Employee Number,Name\n1,Zoë\n", encoding="utf-16-le")
    with pytest.raises(FatalError, match="Declare utf-16-le"):
        read(path)
    assert read(path, encoding="utf-16-le")[0][0].display_name == "Zoë"


def test_read_when_cells_hold_newlines_and_quotes_keeps_one_row(write):
    """Fault 46: quoted newlines, blank lines."""
    records, skipped = read(
        write('Employee Number,Name,City\r\n1,"Ada ""A""\r\nLovelace",York\r\n\r\n2,Bo,Bath\r\n')
    )
    assert [(r.display_name, r.city, r.ref) for r in records] == [
        ('Ada "A" Lovelace', "York", "row 2"),
        ("Bo", "Bath", "row 4"),
    ]
    assert skipped == []


def test_read_when_the_last_quote_is_missing_takes_it_for_a_cut_off_file(write):
    with pytest.raises(FatalError, match="cut off"):
        read(write('Employee Number,Name\n1,Ada\n2,"Bo\n'))


def test_read_when_one_row_has_broken_quotes_skips_that_row_only(write):
    records, skipped = read(write('Employee Number,Name\n1,"A"da\n2,Bo\n'))
    assert [r.source_key for r in records] == ["2"]
    assert [(s.ref, s.field) for s in skipped] == [("row 2", "row")]


@pytest.mark.parametrize("content", ["\n\n", "Employee Number,Name\n"])
def test_read_when_nobody_is_listed_yields_no_record(write, content):
    assert read(write(content)) == ([], [])


def test_read_when_the_file_grows_meanwhile_asks_to_try_again(write):
    path = write("Employee Number,Name\n" + "".join(f"{n},Ada\n" for n in range(5000)))
    pages = CsvFileConnector().read(load(path), None)
    next(pages)
    with path.open("a") as file:
        file.write("9999,Late\n")
    with pytest.raises(RetriableError, match="being written"):
        list(pages)


# -- folders -----------------------------------------------------------------------------------------------


def test_read_when_the_path_is_a_folder_takes_the_newest_csv(tmp_path, write):
    old, new = write(HEADER + "1,Old,,,,,,\n", "b.csv"), write(HEADER + "2,New,,,,,,\n", "a.CSV")
    write("not a roster", "z.txt")
    os.utime(old, (1, 1))
    os.utime(new, (2, 2))
    assert [r.display_name for r in read(tmp_path)[0]] == ["New"]


def test_read_when_file_or_folder_has_nothing_says_what_to_do(tmp_path):
    with pytest.raises(FatalError, match=r"no \*.csv file"):
        read(tmp_path)
    with pytest.raises(FatalError, match="Check the path"):
        read(tmp_path / "missing.csv")


# -- columns -----------------------------------------------------------------------------------------------


def test_read_when_columns_are_mapped_finds_them_without_case_and_blanks(write):
    path = write(" PERSONNEL no ;Wer;Unwichtig\n007;Ada;x\n")
    records, _ = read(path, mapping={"employee_number": "Personnel No", "display_name": "wer"})
    assert (records[0].employee_number, records[0].display_name) == ("007", "Ada")


@pytest.mark.parametrize("field", ["manager_key", "manager_employee_number"])
def test_read_when_the_managers_number_is_mapped_under_either_name_finds_it(write, field):
    path = write("Employee Number,Name,Chef\n1,Ada,7\n")
    assert read(path, mapping={field: "Chef"})[0][0].manager_key == "7"


def test_read_when_a_mapped_column_is_gone_stops(write):
    with pytest.raises(FatalError, match="no column “Boss”"):
        read(write(HEADER + "1,Ada,,,,,,\n"), mapping={"manager": "Boss"})


def test_read_when_a_wanted_column_is_there_twice_stops(write):
    """Fault 46: duplicate headers."""
    with pytest.raises(FatalError, match="two columns “Name”"):
        read(write("Employee Number,Name,name\n1,Ada,Bo\n"))


def test_read_when_unknown_columns_are_there_twice_does_not_mind(write):
    assert len(read(write("Employee Number,Notes,Name,Notes,,\n1,x,Ada,y,,\n"))[0]) == 1


def test_read_when_no_column_identifies_people_stops(write):
    with pytest.raises(FatalError, match=r"mapping\.employee_number"):
        read(write("Name\nAda\n"))


def test_read_when_a_key_column_is_declared_uses_it(write):
    records, _ = read(write("GUID,Employee Number,Name\nabc,7,Ada\n"), key="guid")
    assert (records[0].source_key, records[0].employee_number) == ("abc", "7")


def test_read_when_a_field_is_mapped_to_nothing_leaves_it_out(write):
    assert read(write("Employee Number,Name,City\n1,Ada,Bath\n"), mapping={"city": ""})[0][0].city is None


@pytest.mark.parametrize("field", ["salary", "birth_date", "iban", "source_key", "ref", "__class__"])
def test_settings_when_another_field_is_mapped_refuse(field):
    with pytest.raises(ma.ValidationError):
        load("x.csv", mapping={field: "Name"})


@pytest.mark.parametrize(
    "column",
    [
        "Salary",
        "Annual_Salary",
        "Date of Birth",
        "Geburtsdatum",
        "IBAN",
        "SSN",
        "Gender",
        "Total Compensation",
    ],
)
def test_settings_when_a_private_column_is_mapped_refuse(column):
    with pytest.raises(ma.ValidationError, match="private data"):
        load("x.csv", mapping={"job_title": column})


@pytest.mark.parametrize("column", ["Salary Grade", "Essex Office", "Health"[:4] + "er", "Manager"])
def test_settings_when_a_column_only_sounds_private_allow_it(column):
    assert load("x.csv", mapping={"grade": column})


def test_read_when_the_file_holds_pay_and_birth_dates_no_record_does(write):
    records, _ = read(write("Employee Number,Name,Salary,Date of Birth,IBAN\n1,Ada,98765,1815-12-10,GB00\n"))
    assert "98765" not in repr(records)
    assert "1815" not in repr(records)
    assert "GB00" not in repr(records)


@pytest.mark.parametrize("date_format", ["%d.%m", "nonsense", "%H:%M"])
def test_settings_when_the_date_format_gives_no_date_refuse(date_format):
    with pytest.raises(ma.ValidationError, match="strptime"):
        load("x.csv", date_format=date_format)


@pytest.mark.parametrize(
    ("manager_by", "ways"),
    [("auto", {"key", "email", "name"}), ("email", {"email"}), ("number", {"key"})],
)
def test_read_when_the_header_is_read_says_which_fields_it_can_give(write, manager_by, ways):
    path = write("Employee Number,Name,Manager,Shoe Size\n1,Ada,2,40\n")
    [page] = CsvFileConnector().read(load(path, manager_by=manager_by), None)
    plain = {"source_key", "employee_number", "display_name"}
    assert page.fields == plain | {f"manager_{way}" for way in ways}


# -- rows --------------------------------------------------------------------------------------------------


def test_read_when_rows_are_ragged_skips_them_and_nothing_else(write):
    """Fault 46."""
    records, skipped = read(write("Employee Number,Name,City\n1,Ada,York\n2,Bo\n3,Cy,Bath,x\n4,Di,Ely\n"))
    assert [r.source_key for r in records] == ["1", "4"]
    assert [(s.ref, s.field, s.source_key) for s in skipped] == [("row 3", "row", "2"), ("row 4", "row", "3")]


@pytest.mark.parametrize("totals", ["Total,,,,,,,2", "Total: 2,,,,,,,", ",,,Sum,2,,,", "Grand total;2"])
def test_read_when_the_last_row_is_a_total_lists_it_as_no_person(write, totals):
    """Fault 46: trailing totals."""
    records, skipped = read(write(f"{HEADER}1,Ada,,,,,,G1\n2,Bo,,,,,,G1\n{totals}\n"))
    assert len(records) == 2
    assert [(s.ref, s.source_key) for s in skipped] == [("row 4", None)]


def test_read_when_a_row_has_a_nul_byte_skips_it(write):
    """Fault 46."""
    records, skipped = read(write(HEADER + "1,Ada,,,,,,\n2,B\0o,,,,,,\n3,Cy,,,,,,\n"))
    assert [r.source_key for r in records] == ["1", "3"]
    assert "NUL" in skipped[0].reason


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ("1,23457E+11,Bo,,,,,,", "row"),
        ('"1,23457E+11",Bo,,,,,,', "source_key"),
        ("1.23457E+11,Bo,,,,,,", "source_key"),
        ("2,Bo,,1.2E+11,,,,", "manager"),
        (",Bo,,,,,,", "source_key"),
        ("2,,,,,,,", "display_name"),
        ("2,Bo,not an address,,,,,", "email"),
        ("2,Bo,,,03/04/2019,,,", "hire_date"),
        ("2,Bo,,,2014-11-08T23:00Z,,,", "hire_date"),
        ("2,Bo,,,,2019-02-29,,", "termination_date"),
        ("2,#REF!,,,,,,", "row"),
        (f"2,{'B' * 300},,,,,,", "row"),
    ],
)
def test_read_when_one_row_is_bad_lists_it_and_keeps_the_others(write, row, field):
    records, skipped = read(write(f"{HEADER}1,Ada,,,,,,\n{row}\n3,Cy,,,,,,\n"))
    assert [r.source_key for r in records] == ["1", "3"]
    assert [(s.ref, s.field) for s in skipped] == [("row 3", field)]
    assert "Bo" not in skipped[0].reason


def test_read_when_ids_have_leading_zeros_keeps_them(write):
    records, _ = read(write(HEADER + "000123,Ada,,000007,,,,\n"))
    assert (records[0].source_key, records[0].manager_key) == ("000123", "000007")


@pytest.mark.parametrize(
    ("text", "date_format", "expected"),
    [
        ("2019-04-03", "%Y-%m-%d", date(2019, 4, 3)),
        ("2019-04-03 00:00:00", "%Y-%m-%d", date(2019, 4, 3)),
        ("03.04.2019", "%d.%m.%Y", date(2019, 4, 3)),
        ("04/03/2019", "%m/%d/%Y", date(2019, 4, 3)),
        ("05-Dec-2019", "%d-%b-%Y", date(2019, 12, 5)),
        ("0000-00-00", "%Y-%m-%d", None),
        ("00.00.0000", "%d.%m.%Y", None),
        ("1601-01-01", "%Y-%m-%d", None),
        ("1900-01-01", "%Y-%m-%d", None),
        ("31.12.9999", "%d.%m.%Y", None),
    ],
)
def test_read_when_dates_follow_the_declared_format_reads_them(write, text, date_format, expected):
    records, skipped = read(write(f"{HEADER}1,Ada,,,{text},,,\n"), date_format=date_format)
    assert skipped == []
    assert records[0].hire_date == expected


@pytest.mark.parametrize(
    ("cell", "manager_by", "expected"),
    [
        ("007", "number", ("007", None, None)),
        ("Bo@Example.COM", "email", (None, "Bo@example.com", None)),
        ('"Byron, Ada"', "name", (None, None, "Byron, Ada")),
        ("bo@example.com", "auto", (None, "bo@example.com", None)),
        ("007", "auto", ("007", None, "007")),
        ("Ada Byron", "auto", ("Ada Byron", None, "Ada Byron")),
    ],
)
def test_read_when_managers_are_named_gives_every_way_to_find_them(write, cell, manager_by, expected):
    record = read(write(f"{HEADER}1,Ada,,{cell},,,,\n"), manager_by=manager_by)[0][0]
    assert (record.manager_key, record.manager_email, record.manager_name) == expected


@pytest.mark.parametrize("email", ["", "-", "n/a", "None"])
def test_read_when_somebody_has_no_email_keeps_them(write, email):
    records, skipped = read(write(f"{HEADER}1,Ada,{email},,,,,\n"))
    assert skipped == []
    assert records[0].email is None


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("", "active"),
        ("Aktiv", "active"),
        ("On Leave", "leave"),
        ("T", "terminated"),
        ("Zzz", "unknown"),
        ("Gone", "leave"),
    ],
)
def test_read_when_statuses_are_words_maps_them_declared_ones_first(write, word, expected):
    record = read(write(f"{HEADER}1,Ada,,,,,{word},\n"), status_values={"gone": "leave"})[0][0]
    assert record.status == expected
    assert record.status_raw == (word or None)


def test_read_when_text_is_unusual_composes_it_and_drops_control_characters(write):
    name = "Zoe\u0308 \u202bعلي\u202c 👩‍💻\x07 =cmd()"
    assert read(write(f"{HEADER}1,{name},,,,,,\n"))[0][0].display_name == "Zoë \u202bعلي\u202c 👩‍💻 =cmd()"


def test_read_when_the_roster_is_long_yields_several_pages(write):
    path = write(HEADER + "".join(f"{n},Ada,,,,,,\n" for n in range(4500)))
    pages = list(CsvFileConnector().read(load(path), None))
    assert [len(page.records) for page in pages] == [2000, 2000, 500]


# -- check -------------------------------------------------------------------------------------------------


def test_check_when_all_is_well_names_file_columns_rows_and_dates(write):
    path = write(HEADER + "1,Ada,,,2019-01-01,,,\n")
    results = {r.what: r for r in CsvFileConnector().check(load(path))}
    assert all(r.ok for r in results.values())
    assert results["File"].advice.startswith(f"{path}, {path.stat().st_size} bytes, changed 20")
    assert results["Column for hire_date"].advice == "Hire Date"
    assert results["Rows"].advice == "1 usable among the first 1"
    assert "%Y-%m-%d" in results["Dates"].advice


def test_check_when_columns_and_dates_are_wrong_says_what_to_do(write):
    path = write(HEADER + "1,Ada,,,03/04/2019,,,\n2,Bo,,,,,,\n")
    missing = CsvFileConnector().check(load(path, mapping={"city": "Ort"}))
    assert ("Column “Ort”", False) in [(r.what, r.ok) for r in missing]
    results = CsvFileConnector().check(load(path))
    assert next(r.advice for r in results if r.what == "Dates" and not r.ok).startswith("1 × hire_date")


def test_check_when_columns_are_left_over_names_them_but_no_private_ones(write):
    header = "Personalnummer;Vorname;Postfach;Entgeltgruppe;Gehalt;Geburtsdatum\n"
    path = write(f"{header}1;Ada;a@x.example;EG 9;5000;1980-01-01\nSumme;;;;;\n")
    results = {r.what: r for r in CsvFileConnector().check(load(path))}
    assert all(r.ok for r in results.values())
    assert results["Columns not read"].advice.startswith("Postfach. ")
    assert results["Column for grade"].advice == "Entgeltgruppe"
    assert "first in row 3" in results["Skipped rows"].advice
    nobody = CsvFileConnector().check(load(write("Ada;Quill;ada@x.example\nBo;Quill;bo@x.example\n")))
    assert "Quill" not in str(nobody)


def test_check_when_the_encoding_is_not_declared_says_what_to_declare(write):
    (result,) = CsvFileConnector().check(load(write("Personalnummer;Name\n1;Müller\n", encoding="cp1252")))
    assert "not UTF-8 text" in result.advice
    assert "cp1252" in result.advice


def test_check_when_there_is_no_file_says_so(tmp_path):
    results = CsvFileConnector().check(load(tmp_path / "none.csv"))
    assert [(r.what, r.ok) for r in results] == [("File", False)]


# -- any text ----------------------------------------------------------------------------------------------

words = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters="#\x7f"), min_size=1, max_size=30
)
names = words.map(lambda w: " ".join(f"N{w}".split())).filter(str.isprintable)


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(names, names), min_size=1, max_size=8),
    delimiter=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    newline=st.sampled_from(["\n", "\r\n"]),
)
def test_read_when_any_text_is_quoted_gives_it_back(tmp_path_factory, rows, delimiter, quoting, newline):
    path = tmp_path_factory.mktemp("any") / f"{random.random()}.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter, quoting=quoting, lineterminator=newline)
        writer.writerow(["Employee Number", "Name", "Job Title", "Email"])
        writer.writerows([str(n), name, title, "x@example.com"] for n, (name, title) in enumerate(rows))
    records, skipped = read(path)
    import unicodedata

    assert skipped == []
    assert [(r.display_name, r.job_title) for r in records] == [
        tuple(unicodedata.normalize("NFC", text) for text in row) for row in rows
    ]
