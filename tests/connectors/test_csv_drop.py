"""Credits as files: in a folder and on a real SFTP server, in every shape, never twice, never a formula."""

import csv
import io
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import marshmallow as ma
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sinks.csv_drop import CsvDrop, DropSettings
from rmplugin import testing
from rmplugin.shapes import SHAPES, spreadsheet_text
from rmplugin.testing import hand_over, make_records, take_back
from rmplugin.testing.sinks import again
from tests.fakes.sftp_host import SftpHost

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


class Drop:
    """A folder, and what an import would make of its files."""

    sink, server = CsvDrop(), None

    def __init__(self, folder, settings):
        self.folder, self.settings = folder, settings

    def texts(self):
        return {path.name: path.read_bytes().decode() for path in sorted(self.folder.iterdir())}

    def rows(self):
        return [
            row for text in self.texts().values() for row in csv.DictReader(io.StringIO(text, newline=""))
        ]

    def kept(self):
        gone = {row["takes_back"] for row in self.rows()}
        rows = sorted(self.rows(), key=lambda row: row["written_at_utc"])
        return [
            (row["person"], int(row["minutes"]))
            for row in rows
            if not row["takes_back"] and row["id"] not in gone
        ]

    def told(self):
        return "".join(self.texts().values())

    def spoil(self):
        self.folder.rename(self.folder.with_name("elsewhere"))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "drop").mkdir()
    return Drop(tmp_path / "drop", {"path": str(tmp_path / "drop")})


class TestFolder(testing.CreditSinkContract):
    @pytest.fixture
    def target(self, folder):
        return folder


@pytest.fixture
def sftp(tmp_path):
    (tmp_path / "drop").mkdir()
    with SftpHost(tmp_path) as host:
        drop = Drop(tmp_path / "drop", host.account("/drop"))
        drop.host = host
        yield drop


class TestSftp(testing.CreditSinkContract):
    @pytest.fixture
    def target(self, sftp):
        return sftp


def outcomes(answers):
    return [answer.outcome for answer in answers]


def test_check_when_it_fails_speaks_of_no_people(folder):
    """The words are shared with rosters; whoever reads people adds that nobody was changed."""
    folder.spoil()
    (found,) = CsvDrop().check(DropSettings().load(folder.settings))
    assert (found.ok, "Nobody" in found.advice) == (False, False)


def test_deliver_when_records_come_again_in_any_company_writes_no_line_twice(folder):
    records = make_records(5)
    hand_over(folder, records)
    before = folder.texts()
    hand_over(folder, again(records))
    told = hand_over(folder, again(records[2:], unanswered=True))
    assert folder.texts() == before
    assert {answer.remote_ref for answer in told} == set(before)
    hand_over(folder, [*again(records), *make_records(1, first=6)])
    assert sorted(len(text.splitlines()) for text in folder.texts().values()) == [2, 6]


@pytest.mark.parametrize(
    ("shape", "outcome"),
    [
        ("generic", "delivered"),
        ("cornerstone", "delivered"),
        ("totara", "needs_human"),
        ("successfactors", "needs_human"),
    ],
)
def test_deliver_when_a_worker_died_and_the_file_was_taken_writes_again_only_what_is_known_again(
    folder, shape, outcome
):
    folder.settings["shape"] = shape
    (record,) = make_records(1)
    hand_over(folder, [record])
    for path in folder.folder.iterdir():
        path.unlink()
    assert outcomes(hand_over(folder, again([record], unanswered=True))) == [outcome]
    assert len(folder.texts()) == (outcome == "delivered")


def test_deliver_when_the_server_breaks_off_leaves_no_half_file(sftp):
    sftp.host.run(sftp.host._close())
    told = hand_over(sftp, make_records(2))
    assert outcomes(told) == ["retry"] * 2
    assert sftp.texts() == {}


def test_deliver_when_the_host_key_is_another_sends_nothing(sftp):
    sftp.settings["host_key"] = "SHA256:" + "A" * 43
    assert outcomes(hand_over(sftp, make_records(1))) == ["needs_human"]
    (result,) = sftp.sink.check(DropSettings().load(sftp.settings))
    assert "not the declared one" in result.advice
    assert sftp.texts() == {}


@pytest.mark.parametrize(
    ("hour", "waits"), [(1, 3600), (2, None), (2.9, None), (3, 23 * 3600), (23, 3 * 3600)]
)
def test_deliver_when_files_are_written_at_a_time_of_the_day_waits_for_it(folder, hour, waits):
    settings = DropSettings().load({**folder.settings, "at": "02:00"})
    moment = NOW.replace(hour=0) + timedelta(hours=hour)
    (answer,) = folder.sink.deliver(settings, make_records(1), moment)
    assert (answer.outcome, answer.retry_after) == ("retry" if waits else "delivered", waits)
    # No status: it is no failure of the folder.
    assert answer.status is None


# -- shapes ------------------------------------------------------------------------------------------------


def rows_of(folder, shape, records):
    folder.settings["shape"] = shape
    told = hand_over(folder, records)
    return told, folder.rows()


def test_totara_when_told_gets_completions_as_courses_and_sessions_as_evidence(folder):
    award, other = make_records(2)
    award = replace(award, ended_at=datetime(2026, 11, 22, 23, 30, tzinfo=UTC))
    done = replace(other, kind="completion", id=str(uuid.uuid4()))
    told, rows = rows_of(folder, "totara", [award, done, take_back(award)])
    assert outcomes(told) == ["delivered", "delivered", "needs_human"]
    assert "by hand" in told[2].message_for_user
    session, course = rows
    # It was past midnight in Berlin.
    assert session == {
        "username": "00001",
        "courseshortname": "Reverse mentoring 2026-11-23",
        "courseidnumber": award.id,
        "completiondate": "2026-11-23",
        "grade": "",
    }
    assert (course["courseidnumber"], course["grade"]) == (done.programme_id, "100")


def test_cornerstone_when_something_is_taken_back_withdraws_under_the_same_key(folder):
    award, other = make_records(2)
    hours = replace(award, id=str(uuid.uuid4()), minutes=45, amount_hundredths=75, written_at=NOW)
    folder.settings["shape"] = "cornerstone"
    settings = DropSettings().load(folder.settings)
    for minute, records in enumerate([[award, other], [take_back(award)], [hours]]):
        folder.sink.deliver(settings, records, NOW + timedelta(minutes=minute))
    rows = [row for row in folder.rows() if row["User ID"] == "00001"]
    assert len({(row["Training Title"], row["Start Date/Time"]) for row in rows}) == 1
    assert [row["Transcript Status"] for row in rows] == ["Completed", "Withdrawn", "Completed"]
    assert (rows[2]["Training Hours"], rows[2]["Credits"]) == ("0.75", "0.75")


def test_cornerstone_when_an_award_is_corrected_in_one_file_says_only_how_it_ended(folder):
    """It may read the lines of a file in any order."""
    (award,) = make_records(1)
    corrected = replace(award, id=str(uuid.uuid4()), minutes=45)
    told, rows = rows_of(folder, "cornerstone", [award, take_back(award), corrected])
    assert outcomes(told) == ["delivered"] * 3
    assert [(row["Transcript Status"], row["Training Hours"]) for row in rows] == [("Completed", "0.75")]


def test_successfactors_when_told_gets_milliseconds_and_takes_nothing_back(folder):
    (award,) = make_records(1)
    less = replace(award, id=str(uuid.uuid4()), kind="adjustment", amount_hundredths=-50, minutes=-30)
    told, rows = rows_of(folder, "successfactors", [award, take_back(award), less])
    assert outcomes(told) == ["delivered", "needs_human", "needs_human"]
    (row,) = rows
    assert row["completionDate"] == str(int(award.ended_at.timestamp()) * 1000)
    assert row["comments"] == f"rmplugin {award.id}"
    assert (row["contactHours"], row["cpeHours"]) == ("0.52", "")


def test_person_when_known_by_mail_stands_there_by_mail(folder):
    folder.settings["person"] = "email"
    (award,) = make_records(1)
    hand_over(folder, [award])
    assert folder.rows()[0]["person"] == award.email


@given(
    st.sampled_from(sorted(SHAPES)),
    st.text(alphabet=st.characters(codec="utf-8"), min_size=1),
    st.sampled_from(["=", "+", "-", "@", "\t=", "\r@", "\n+", "", ' "=']),
    st.sampled_from(["award", "completion", "adjustment", "reversal"]),
)
def test_line_when_a_name_would_be_a_formula_is_defused_and_stays_one_line(key, text, start, kind):
    (award,) = make_records(1)
    name = start + text
    record = replace(award, kind=kind, programme_name=name, display_name=name, employee_number=name)
    shape = SHAPES[key]
    line = shape.line(record, name)
    heading, row = csv.reader(io.StringIO(shape.file([line]).decode(), newline=""))
    assert (tuple(heading), tuple(row)) == (shape.columns, line)
    for cell in row:
        assert cell == spreadsheet_text(cell)
        assert cell.isprintable() or not any(end in cell for end in "\r\n\t")


@pytest.mark.parametrize(
    "wrong",
    [
        {"path": "https://acme.example/drop"},
        {"path": "sftp://hr:secret@acme.example/drop"},
        {"path": "sftp://acme.example/drop"},
        {"shape": "excel"},
        {"at": "25:00"},
        {"name": "../credits"},
    ],
)
def test_settings_when_they_cannot_work_are_refused(wrong):
    with pytest.raises(ma.ValidationError):
        DropSettings().load({"path": "/drop", **wrong})


def test_check_when_the_folder_does_not_exist_says_to_make_it(tmp_path):
    (found,) = CsvDrop().check(DropSettings().load({"path": str(tmp_path / "drop")}))
    assert (found.ok, found.advice) == (
        False,
        "There is no such file or folder. Make it, or change the setting `path`.",
    )
