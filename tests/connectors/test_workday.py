"""The Workday connector against a stateful fake of a tenant with a custom report."""

import json
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from unittest import mock
from urllib.parse import parse_qs

import marshmallow as ma
import pytest
from werkzeug.wrappers import Response

from connectors.hris.workday import WorkdayConnector, WorkdaySettings
from rmplugin.api import CursorExpiredError, FatalError, RetriableError, http
from rmplugin.testing import ConnectorContract, FaultyServer, caught, check_record, make_people, read_all
from tests.fakes.workday import AS_OF, PASSWORD, REPORT, SINCE, USER, WorkdayTenant, report

ADA = {"Employee_ID": "007", "First_Name": "Ada", "Last_Name": "Byron"}


class WorkdaySource:
    def __init__(self, **settings):
        self.connector, self.tenant = WorkdayConnector(), WorkdayTenant()
        self.server = FaultyServer(self.tenant)
        self.settings = {
            "url": f"{self.server.url}{REPORT}?format=json",
            "user": USER,
            "password": PASSWORD,
            **settings,
        }
        self.fill = self.tenant.fill

    def spoil(self):
        self.tenant.always = lambda: Response('{"error": "The report of Quillfeather is gone."}', 404)

    def read(self, cursor=None, **settings):
        pages = read_all(self.connector, self.settings | settings, cursor)
        return [r for p in pages for r in p.records], [s for p in pages for s in p.skipped], pages[-1].cursor

    def serve(self, *entries):
        self.tenant.always = lambda: report(list(entries))

    def asked(self):
        return [{k: v[0] for k, v in parse_qs(a.query).items()} for a in self.server.asked]


@pytest.fixture
def source():
    source = WorkdaySource()
    with source.server:
        yield source


class TestContract(ConnectorContract):
    """With both prompts, so that changes and future hires are read, too."""

    @pytest.fixture
    def source(self):
        source = WorkdaySource(effective_prompt=AS_OF, updated_from_prompt=SINCE)
        with source.server:
            yield source


# -- columns -----------------------------------------------------------------------------------------------


def test_read_when_aliases_are_usual_finds_them_and_keeps_texts(source):
    source.serve(
        {
            "Employee_ID": "00042",
            "Work_Email": "Ada@Example.COM",
            "Preferred_First_Name": "Ada",
            "Last_Name": "Byron",
            "Business_Title": "Analyst",
            "Supervisory_Organization": "Engines",
            "Primary_Work_Location": "London",
            "Management_Level": "8 Individual Contributor",
            "Hire_Date": "2019-11-28",
            "Manager_Employee_ID": "00007",
            "Worker_Type": "Contingent Worker",
            "Worker_Status": "On Leave",
            "Annual_Salary": "99999",
            "Date_of_Birth": "1815-12-10",
        }
    )
    ((ada,), skipped, cursor) = source.read()
    check_record(ada)
    assert (ada.source_key, ada.employee_number, ada.manager_key) == ("00042", "00042", "00007")
    assert (ada.email, ada.preferred_name, ada.family_name) == ("Ada@example.com", "Ada", "Byron")
    assert (ada.job_title, ada.department, ada.location) == ("Analyst", "Engines", "London")
    assert (ada.grade, ada.hire_date) == ("8 Individual Contributor", date(2019, 11, 28))
    assert (ada.employment_type, ada.status, ada.status_raw) == ("contractor", "leave", "On Leave")
    assert (skipped, cursor) == ([], None)
    assert "99999" not in repr(ada)
    assert "1815" not in repr(ada)


def test_read_when_aliases_are_own_uses_the_mapping(source):
    source.serve({"CF_Person": "A-1", "CF_Name": "Ada", "CF_Band": "B2", "Employee_ID": "9"})
    mapping = {"display_name": "CF Name", "grade": "cf_band"}
    ((ada,), _, _) = source.read(key="CF_Person", mapping=mapping)
    assert (ada.source_key, ada.display_name, ada.grade, ada.employee_number) == ("A-1", "Ada", "B2", "9")


def test_read_when_values_are_absent_gives_none_wherever_they_first_come(source):
    people = [{**ADA, "Employee_ID": str(n)} for n in range(4500)]
    people[4321]["Termination_Date"] = "2031-01-31"
    source.serve(*people)
    records, skipped, _ = source.read(mapping={"division": "Business_Unit"})
    assert (len(records), skipped) == (4500, [])
    ended = {r.source_key: r.termination_date for r in records if r.termination_date}
    assert ended == {"4321": date(2031, 1, 31)}


def test_read_when_groups_are_nested_takes_the_first_row_by_dotted_name(source):
    source.serve(
        {
            **ADA,
            "Job_group": [{"Level": "G4", "Title": [{"Name": "Analyst"}]}, {"Level": "G9"}],
            "Manager": [{"Employee_ID": "00007"}],
            "Languages": [],
        }
    )
    mapping = {"grade": "Job_group.Level", "job_title": "Job_group.Title.Name"}
    ((ada,), _, _) = source.read(mapping=mapping)
    assert (ada.grade, ada.job_title, ada.manager_key, ada.source_key) == ("G4", "Analyst", "00007", "007")


@pytest.mark.parametrize(
    "text",
    ["2019-11-28", "2019-11-28-08:00", "2019-11-28Z", "2019-11-28T00:00:00.000-08:00"],
)
def test_read_when_dates_carry_a_zone_keeps_the_day_of_that_zone(source, text):
    source.serve({**ADA, "Hire_Date": text})
    assert source.read()[0][0].hire_date == date(2019, 11, 28)


def test_read_when_an_entry_is_bad_skips_it_alone(source):
    source.serve(
        {**ADA, "Hire_Date": "28/11/2019"},
        {"First_Name": "Nobody", "Last_Name": "Known"},
        {**ADA, "Employee_ID": "008"},
    )
    records, skipped, _ = source.read()
    assert [r.source_key for r in records] == ["008"]
    assert [(s.ref, s.field, s.source_key) for s in skipped] == [
        ("entry 1", "hire_date", "007"),
        ("entry 2", "source_key", None),
    ]


def test_read_when_no_column_is_a_key_stops(source):
    source.serve({"First_Name": "Ada", "Last_Name": "Byron"})
    with pytest.raises(FatalError, match="No column holds an employee number"):
        source.read()


# -- windows -----------------------------------------------------------------------------------------------


def test_read_when_people_are_hired_ahead_lets_them_wait_for_their_day(source):
    today = datetime.now(UTC).date()
    people = [
        {**person, "hire_date": today + timedelta(days=days)}
        for person, days in zip(make_people(4), [-400, 0, 20, 40], strict=True)
    ]
    source.fill(people)
    records, _, _ = source.read(effective_prompt=AS_OF, look_ahead_days=30)
    assert [(r.source_key, r.effective_from) for r in records] == [
        ("00001", None),
        ("00002", None),
        ("00003", today + timedelta(days=20)),
    ]
    assert [a[AS_OF] for a in source.asked()] == [str(today), str(today + timedelta(days=30))]
    assert len(source.read(effective_prompt=AS_OF, look_ahead_days=0)[0]) == 2


def test_read_when_changes_are_asked_begins_before_the_last_run(source):
    people = make_people(3)
    source.fill(people)
    _, _, cursor = source.read(updated_from_prompt=SINCE)
    key = "00001"
    entry, hired, changed = source.tenant.people[key]
    source.tenant.people[key] = (entry, hired, changed - timedelta(days=3))
    records, _, later = source.read(cursor, updated_from_prompt=SINCE)
    assert sorted(r.source_key for r in records) == ["00002", "00003"]
    assert later > cursor
    since = datetime.fromisoformat(source.asked()[-1][SINCE])
    assert timedelta(hours=26) <= datetime.fromisoformat(cursor) - since < timedelta(hours=26, seconds=1)
    assert SINCE not in source.asked()[0]


def test_read_when_the_prompt_for_changes_takes_a_day_writes_one(source):
    source.fill([])
    settings = {"updated_from_prompt": "Since", "updated_from_format": "%Y-%m-%d"}
    source.read("2026-03-02T01:00:00+00:00", **settings)
    assert source.asked()[-1]["Since"] == "2026-02-28"


@pytest.mark.parametrize("cursor", ["never", "0001-01-01T00:00:00+00:00"])
def test_read_when_the_cursor_is_strange_asks_for_everybody(source, cursor):
    with pytest.raises(CursorExpiredError):
        source.read(cursor, updated_from_prompt=SINCE)


def test_read_when_the_prompt_for_changes_was_taken_away_asks_for_everybody(source):
    with pytest.raises(CursorExpiredError):
        source.read(datetime.now(UTC).isoformat())


def test_read_when_the_address_brings_prompts_keeps_them(source):
    source.fill([])
    url = f"{source.server.url}{REPORT}?Organization!WID=abc&format=simplexml"
    source.read(url=url)
    assert source.asked() == [{"Organization!WID": "abc", "format": "json"}]


# -- faults ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 429])
def test_fault_5_read_when_throttled_as_an_error_of_the_server_waits_and_goes_on(source, status):
    source.fill(make_people(3))
    source.tenant.instead = [lambda: Response("", status)] * 3
    with mock.patch.object(http, "BACK_OFF_SECONDS", 0.001):
        records, _, _ = source.read()
    assert (len(records), len(source.server.asked)) == (3, 4)


def test_fault_10_read_when_a_page_of_html_comes_changes_nobody(source):
    source.tenant.always = lambda: Response("<html>Sign in, Quillfeather</html>", mimetype="text/html")
    with pytest.raises(RetriableError, match="no whole report") as raised:
        source.read()
    assert "Quillfeather" not in str(raised.value)


@pytest.mark.parametrize(
    "body",
    [
        {"error": "Processing error occurred"},
        {},
        [],
        None,
        {"Report_Entry": None},
        {"Report_Entry": {}},
        {"Report_Entry": ["x"]},
    ],
)
def test_fault_11_read_when_an_error_comes_with_200_is_no_empty_roster(source, body):
    source.tenant.always = lambda: Response(json.dumps(body))
    with pytest.raises(RetriableError, match="no whole report"):
        source.read()


def test_fault_34_read_when_the_report_is_empty_gives_nobody_and_no_error(source):
    source.serve()
    assert source.read() == ([], [], None)


@pytest.mark.parametrize("people", [3, 2500])
@pytest.mark.parametrize("cut", [1, 2, 300])
def test_fault_9_read_when_the_report_is_cut_off_is_no_roster(source, people, cut):
    whole = json.dumps({"Report_Entry": [{**ADA, "Employee_ID": str(n)} for n in range(people)]})
    source.tenant.always = lambda: Response(whole[:-cut])
    settings = WorkdaySettings().load(source.settings)
    pages = []
    error = caught(lambda: pages.extend(source.connector.read(settings, None)))
    assert isinstance(error, RetriableError)
    # Without its last page, which says where the next run begins, no reading counts. Nothing is asked twice
    # once a part of it was given out.
    assert all(page.records for page in pages)


def test_read_when_the_report_breaks_off_early_asks_once_more(source):
    source.fill(make_people(5))
    source.tenant.instead = [lambda: Response('{"Report_Entry": [{"Employee')]
    assert len(source.read()[0]) == 5


def test_fault_49_read_when_the_report_is_huge_keeps_memory_flat():
    entry = json.dumps(
        {
            "Employee_ID": "%",
            "First_Name": "Given" * 5,
            "Last_Name": "Family %",
            "Work_Email": "person%@example.com",
            "Business_Title": "Analyst of Difference Engines",
            "Hire_Date": "2020-01-01",
            "Unread_group": [{"Note": "x" * 200}],
        }
    )

    def app(_environ, start_response):
        start_response("200 OK", [("Content-Type", "application/json")])
        yield b'{"Report_Entry": ['
        for start in range(0, 100_000, 1000):
            chunk = ",".join(entry.replace("%", f"{n:06d}") for n in range(start, start + 1000))
            yield (("," if start else "") + chunk).encode()
        yield b"]}"

    program = (
        "import psutil, sys\n"
        "from connectors.hris.workday import WorkdayConnector, WorkdaySettings\n"
        "settings = WorkdaySettings().load({'url': sys.argv[1], 'user': 'u', 'password': 'p'})\n"
        "held = lambda: psutil.Process().memory_info().rss // 1024\n"
        "number, before = 0, held()\n"
        "most = before\n"
        "for page in WorkdayConnector().read(settings, None):\n"
        "    number += len(page.records)\n"
        "    most = max(most, held())\n"
        "print(number, most - before)\n"
    )
    with FaultyServer(app) as server:
        done = subprocess.run(
            [sys.executable, "-c", program, f"{server.url}/report"],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
    number, kilobytes = map(int, done.stdout.split())
    # The report is 45 MB of text, its records more than 60 MB; one page of them is held at a time.
    assert number == 100_000
    assert kilobytes < 30_000


# -- settings and check ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://wd3.example.com/ccx/service/customreport2/acme/isu/People",
        "https://isu:secret@wd3.example.com/ccx/service/customreport2/acme/isu/People",
        "https://wd3.example.com/",
        "http://127.0.0.1.example.com/report",
        "https://[wd3/report",
        "report",
    ],
)
def test_settings_when_the_address_is_unsafe_or_none_are_refused(url):
    with pytest.raises(ma.ValidationError) as raised:
        WorkdaySettings().load({"url": url, "user": "u", "password": "p"})
    assert list(raised.value.messages_dict) == ["url"]


def test_settings_when_private_columns_are_mapped_are_refused():
    given = {"url": "https://wd3.example.com/r", "user": "u", "password": "p"}
    with pytest.raises(ma.ValidationError, match="private data"):
        WorkdaySettings().load({**given, "mapping": {"grade": "Annual_Salary"}})


def test_check_when_a_declared_column_never_comes_says_so_and_names_nobody(source):
    source.fill(make_people(3))
    settings = WorkdaySettings().load(source.settings | {"mapping": {"grade": "Grade_Alias"}})
    results = source.connector.check(settings)
    assert [(r.what, r.ok) for r in results if not r.ok] == [("Column “Grade_Alias”", False)]
    assert ("Column for email", "Work_Email") in {(r.what, r.advice) for r in results}


def test_check_when_entries_are_skipped_counts_the_reasons(source):
    source.fill([{**p, "bad": True} for p in make_people(3)])
    (wrong,) = [r for r in source.connector.check(WorkdaySettings().load(source.settings)) if not r.ok]
    assert wrong.advice.startswith("3 × hire_date:")


def test_check_when_the_password_is_wrong_says_what_to_do(source):
    settings = WorkdaySettings().load(source.settings | {"password": "wrong"})
    (result,) = source.connector.check(settings)
    assert not result.ok
    assert "Enter them again" in result.advice
    assert "wrong" not in result.advice
