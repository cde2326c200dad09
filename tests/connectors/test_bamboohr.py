"""The BambooHR connector, against a stand-in that pages, hides, throttles and forgets as the vendor says."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from connectors.hris.bamboohr import BambooHrConnector, BambooHrSettings
from rmplugin import testing
from rmplugin.api import FatalError, InputError, NotAllowedError, RetriableError, http
from rmplugin.records import WebhookReader
from tests.fakes.bamboohr import BambooHr

LONG_AGO, LATELY = datetime(2020, 1, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)


class BambooSource:
    """The stand-in under the contract's people."""

    def __init__(self, fake):
        self.connector, self.fake = BambooHrConnector(), fake
        self.server, self.settings = fake.server, fake.settings

    def fill(self, people):
        wanted = {str(int(p["source_key"])): row_of(p) for p in people}
        for key in set(self.fake.rows) - set(wanted):
            self.fake.delete(key)
        for key, row in wanted.items():
            if self.fake.rows.get(key, {}).items() & row.items() != row.items():
                self.fake.put(key, **row)

    def spoil(self):
        self.fake.closed = True


def row_of(person):
    return {
        "firstName": person["given_name"],
        "lastName": person["family_name"],
        "email": person["email"],
        "hireDate": "not yet" if person.get("bad") else person["hire_date"].isoformat(),
    }


@pytest.fixture
def fake():
    fake = BambooHr()
    with fake.server:
        yield fake


@pytest.fixture
def read(fake):
    """Read; give the pages, and the records by key."""

    def read(cursor=None):
        pages = testing.read_all(BambooHrConnector(), fake.settings, cursor)
        records = [record for page in pages for record in page.records]
        assert len({record.source_key for record in records}) == len(records)
        return pages, {record.source_key: record for record in records}

    return read


@pytest.fixture
def settings(fake):
    return BambooHrSettings().load(fake.settings)


class TestBambooHr(testing.ConnectorContract):
    @pytest.fixture
    def source(self, fake):
        fake.page_most = 70
        return BambooSource(fake)


def test_read_when_everything_is_said_maps_every_field(fake, read):
    fake.put(
        "7", firstName=" Grace\n", lastName="Hopper", preferredName="Amazing", email="g@example.com",
        employeeNumber="0042", jobInformationJobTitle="Admiral", jobInformationDepartment="Navy",
        jobInformationDivision="East", jobInformationLocation="Arlington", supervisorEid=3,
        hireDate="2019-02-28", terminationDate="0000-00-00", employmentStatus="Contractor",
    )  # fmt: skip
    record = read()[1]["7"]
    testing.check_record(record)
    assert (record.given_name, record.family_name, record.display_name) == (
        "Grace",
        "Hopper",
        "Amazing Hopper",
    )
    assert (record.employee_number, record.email, record.manager_key) == ("0042", "g@example.com", "3")
    assert (record.job_title, record.department, record.division, record.location) == (
        "Admiral",
        "Navy",
        "East",
        "Arlington",
    )
    assert (record.hire_date, record.termination_date) == (date(2019, 2, 28), None)
    assert (record.status, record.status_raw, record.employment_type) == ("active", "Active", "contractor")
    assert record.withheld == frozenset()


def test_read_when_private_fields_exist_never_asks_for_them(fake, read):
    fake.put("1", ssn="123-45-6789", dateOfBirth="1990-01-01", compensationPayRate="9999", city="Home")
    pages, _records = read()
    private = {"ssn", "dateOfBirth", "compensationPayRate", "maritalStatus", "city", "country"}
    assert all(not private & set(question["fields"]) for question in fake.questions())
    assert not {"123-45-6789", "1990-01-01", "9999", "Home"} & set(str(pages).replace("'", " ").split())


@pytest.mark.parametrize(
    ("row", "status"),
    [
        ({"status": "Active", "hireDate": "2015-01-01"}, "active"),
        ({"status": "Active", "employmentStatus": "Leave of absence"}, "leave"),
        ({"status": "Inactive", "hireDate": "2015-01-01"}, "terminated"),
        ({"status": "Inactive", "hireDate": "2999-01-01"}, "prehire"),
        ({"status": "Inactive", "hireDate": "2999-01-01", "employmentStatus": "Terminated"}, "terminated"),
        ({"status": "Active", "terminationDate": "2999-01-01"}, "active"),
        ({"status": None}, "unknown"),
        ({"status": "Archived"}, "unknown"),
    ],
)
def test_read_when_somebody_is_inactive_lets_the_hire_date_decide(fake, read, row, status):
    fake.put("1", **row)
    assert read()[1]["1"].status == status


# Fault 5: a limit that was said with 503 until September 2026. The contract has 429 and 503 once more.
@pytest.mark.parametrize("fault", ["throttled_once", "down_once"])
def test_read_when_throttled_in_the_middle_waits_and_loses_nobody(fake, read, fault):
    fake.page_most = 2
    for key in range(1, 7):
        fake.put(str(key))
    read()
    before = len(fake.questions())
    fake.server.fail(fault, after=len(fake.server.asked) - before + 1)
    assert len(read()[1]) == 6
    assert len(fake.questions()) == 2 * before + 1


# Fault 19: a deleted person moves everybody behind them over the border of a page.
def test_read_when_somebody_is_deleted_between_pages_loses_nobody_and_doubles_nobody(fake, read):
    fake.page_most = 3
    for key in range(1, 10):
        fake.put(str(key))
    fake.after_page = lambda: fake.rows.pop("2", None)
    pages, records = read()
    assert set(records) >= {"1", "3", "4", "5", "6", "7", "8", "9"}
    assert pages[-1].total == 8


# Fault 20.
def test_read_when_the_total_grows_while_paging_reads_once(fake, read):
    fake.page_most = 3
    for key in range(1, 7):
        fake.put(str(key))
    fake.after_page = lambda: fake.put("9")
    pages, records = read()
    assert set(records) == {"1", "2", "3", "4", "5", "6", "9"}
    assert pages[-1].total == 7
    assert [question["page"] for question in fake.questions()] == [1, 2, 3]


def test_read_when_people_are_deleted_all_the_time_gives_up_and_says_so(fake, read):
    fake.page_most = 3
    for key in range(1, 40):
        fake.put(str(key))
    fake.after_page = lambda: fake.rows.pop(min(fake.rows, key=int))
    with pytest.raises(RetriableError, match="Nobody was changed"):
        read()


# Fault 21: the server gives fewer rows than were asked for; the fields' pages are clamped at the end.
def test_read_when_the_server_lowers_the_page_size_reads_on(fake, read):
    fake.page_most = 4
    for key in range(1, 9):
        fake.put(str(key))
    assert len(read()[1]) == 8
    assert [question["pageSize"] for question in fake.questions()] == [1000, 1000]
    assert {question["orderBy"] for question in fake.questions()} == {"eeid asc"}


# Fault 22.
def test_read_when_a_page_is_bad_begins_again_without_loss_or_doubles(fake, read):
    fake.page_most = 3
    for key in range(1, 10):
        fake.put(str(key))
    fake.bad_pages = {3}
    assert len(read()[1]) == 9
    assert [question["page"] for question in fake.questions()] == [1, 2, 3, 1, 2, 3]


# Fault 30.
def test_read_when_fields_are_hidden_says_so_and_empties_nothing(fake, read):
    fake.put("1", jobInformationJobTitle="Chief", email="a@example.com", status="Inactive")
    fake.put("2", jobInformationJobTitle=None, email="b@example.com")
    fake.restricted = {"1": {"jobInformationJobTitle", "lastName", "hireDate"}, "2": {"status"}}
    records = read()[1]
    assert records["1"].withheld == {"job_title", "family_name", "display_name", "hire_date", "status"}
    assert (records["1"].job_title, records["1"].email) == (None, "a@example.com")
    assert records["2"].withheld == {"status", "status_raw"}


# Fault 30, and 38: a permission that goes can take the field itself away.
def test_read_when_a_field_left_the_catalogue_says_that_it_cannot_be_given(fake, read):
    fake.put("1")
    assert "department" in read()[0][-1].fields
    fake.unknown = {"jobInformationDepartment", "status"}
    pages, records = read()
    assert {"department", "status", "status_raw"} & pages[-1].fields == set()
    assert records["1"].withheld == {"department", "status", "status_raw"}


def test_read_when_the_id_itself_is_hidden_stops(fake, read):
    fake.put("1")
    fake.unknown = {"eeid"}
    with pytest.raises(FatalError, match="eeid"):
        read()


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"hireDate": "28.02.2019"}, "hire_date"),
        ({"hireDate": "2019-02-29"}, "hire_date"),
        ({"jobInformationDepartment": {"id": 3}}, "department"),
        ({"firstName": "x" * 300}, "given_name"),
        ({"firstName": "", "lastName": None}, "display_name"),
    ],
)
def test_read_when_a_value_cannot_be_used_skips_the_person_and_says_whose_row_it_is(fake, read, row, field):
    fake.put("1")
    fake.put("2", **row)
    pages, records = read()
    (skipped,) = pages[0].skipped
    assert set(records) == {"1"}
    assert (skipped.source_key, skipped.field) == ("2", field)


def test_read_when_only_changes_are_asked_reads_those_and_names_the_deleted(fake, read):
    for key in range(1, 200):
        fake.put(str(key), at=LONG_AGO)
    for key in range(1, 121):
        fake.put(str(key), at=LATELY, jobInformationJobTitle="New")
    fake.delete("150", at=LATELY)
    fake.delete("151", at=LONG_AGO)
    pages, records = read((LATELY - timedelta(minutes=1)).isoformat())
    assert sorted(records, key=int) == [str(key) for key in range(1, 121)]
    assert [key for page in pages for key in page.gone] == ["150"]
    # 120 people in filters of 50; a part of the people has no total.
    assert len(fake.questions()) == 3
    assert {page.total for page in pages} == {None}


def test_read_when_nothing_has_changed_gives_an_empty_page_with_a_later_cursor(fake, read):
    fake.put("1", at=LONG_AGO)
    (page,), records = read(LATELY.isoformat())
    assert (records, page.gone) == ({}, [])
    assert datetime.fromisoformat(page.cursor) > LATELY


def test_read_when_a_run_ends_begins_the_next_some_minutes_earlier(fake, read):
    before = datetime.now(UTC)
    cursor = datetime.fromisoformat(read()[0][-1].cursor)
    assert timedelta(minutes=4) < before - cursor < timedelta(minutes=6)


def test_read_when_a_changed_person_cannot_be_seen_leaves_them_as_they_are(fake, read):
    fake.put("1")
    fake.unseen = {"1"}
    pages, records = read(LONG_AGO.isoformat())
    assert (records, [key for page in pages for key in page.gone]) == ({}, [])


def test_read_when_a_token_is_given_instead_of_a_key_signs_with_it(fake):
    fake.put("1")
    settings = {"url": fake.server.url, "access_token": "bamboo-oauth-token"}
    assert len(testing.read_all(BambooHrConnector(), settings)[0].records) == 1


def test_check_when_fields_are_hidden_names_them_and_nobody(fake, settings):
    fake.put("1", firstName="Quillfeather")
    fake.restricted = {"": {"jobInformationJobTitle"}}
    fake.unknown = {"jobInformationDivision"}
    wrong = [result for result in BambooHrConnector().check(settings) if not result.ok]
    assert [result.what for result in wrong] == ["Field for division", "Permissions"]
    assert "job_title" in wrong[1].advice
    assert "Quillfeather" not in str(wrong)


@pytest.mark.parametrize(
    "change",
    [
        {"url": "http://acme.bamboohr.com"},
        {"url": "acme"},
        {"api_key": ""},
        {"access_token": "both"},
        {"salary": "1"},
    ],
)
def test_settings_when_they_are_not_safe_or_not_clear_are_refused(fake, change):
    assert BambooHrSettings().validate({**fake.settings, **change})


# Fault 52: notices.
EVENT = {"type": "employee.updated", "data": {"companyId": "5", "employeeId": "12", "changedFields": ["x"]}}
LISTED = {
    "employees": [{"id": "12", "fields": {"SSN": "123"}}, {"id": 13, "action": "Created"}, {"id": "12"}]
}


@pytest.fixture
def notice(fake, settings):
    def notice(body, *, now=None, headers=None, **signed):
        given, raw = fake.notice(body, **signed)
        moment = now or datetime.now(UTC)
        return BambooHrConnector().read_notice(settings, {**given, **(headers or {})}, raw, moment)

    return notice


@pytest.mark.parametrize(("body", "keys"), [(EVENT, ("12",)), (LISTED, ("12", "13"))])
def test_notice_when_it_is_signed_names_people_and_nothing_else(notice, body, keys):
    found = notice(body)
    assert (found.source_keys, found.everybody) == (keys, False)
    # The notice's own id is a digest, in which any three digits may stand.
    assert "123" not in str(replace(found, notice_id=""))


def test_notice_when_header_names_are_of_any_case_is_taken(fake, settings):
    headers, raw = fake.notice(EVENT)
    headers = {name.upper(): value for name, value in headers.items()}
    assert BambooHrConnector().read_notice(settings, headers, raw, datetime.now(UTC)).source_keys == ("12",)


def test_notice_when_its_time_stamp_is_iso_is_taken(fake, settings):
    now = datetime.now(UTC)
    headers, raw = fake.notice(EVENT, stamp=now.isoformat(timespec="seconds").replace("+00:00", "Z"))
    assert BambooHrConnector().read_notice(settings, headers, raw, now).source_keys == ("12",)


def test_notice_when_it_comes_twice_has_the_same_id_and_another_one_has_not(notice):
    now = datetime.now(UTC)
    assert notice(EVENT, at=now).notice_id == notice(EVENT, at=now).notice_id
    assert notice(EVENT, at=now).notice_id != notice(EVENT, at=now - timedelta(seconds=2)).notice_id


@pytest.mark.parametrize(
    "change",
    [
        {"key": "wrong"},
        {"at": LATELY},
        {"at": datetime.now(UTC) + timedelta(hours=1)},
        {"headers": {"X-BambooHR-Signature": ""}},
        {"headers": {"X-BambooHR-Signature": "é"}},
        {"headers": {"X-BambooHR-Timestamp": ""}},
    ],
)
def test_notice_when_it_is_not_signed_lately_with_the_key_is_refused(notice, change):
    with pytest.raises(NotAllowedError):
        notice(EVENT, **change)


def test_notice_when_the_account_has_no_key_is_refused(fake, settings):
    headers, raw = fake.notice(EVENT, key="")
    with pytest.raises(NotAllowedError):
        BambooHrConnector().read_notice({**settings, "webhook_key": ""}, headers, raw, datetime.now(UTC))


@pytest.mark.parametrize(
    "body", [b"no json", b"[]", {"data": {}}, {"employees": [{}]}, {"data": {"employeeId": "1 or 1"}}]
)
def test_notice_when_it_names_nobody_is_refused(notice, body):
    with pytest.raises(InputError):
        notice(body)


def test_fetch_when_asked_reads_these_and_tells_deleted_from_hidden(fake, settings):
    for key in ("1", "2", "3", "4"):
        fake.put(key)
    fake.put("4", hireDate="soon")
    fake.delete("2")
    fake.unseen = {"3"}
    pages = list(BambooHrConnector().fetch(settings, ["1", "2", "3", "4", "1 or eeid eq 4"]))
    assert [r.source_key for page in pages for r in page.records] == ["1"]
    assert [s.source_key for page in pages for s in page.skipped] == ["4"]
    assert [key for page in pages for key in page.gone] == ["2", "1 or eeid eq 4"]


def test_fetch_when_the_source_is_down_says_nobody_is_gone(fake, settings, monkeypatch):
    monkeypatch.setattr(http, "BACK_OFF_SECONDS", 0.001)
    fake.put("1")
    fake.server.fail("down", after=4)
    pages = []
    with pytest.raises(RetriableError):
        pages.extend(BambooHrConnector().fetch(settings, ["1"]))
    assert pages == []


def test_connector_when_asked_is_a_reader_of_notices():
    assert isinstance(BambooHrConnector(), WebhookReader)
