"""The SuccessFactors connector, against a stand-in that pages by snapshots, dates all and hides much."""

from datetime import UTC, date, datetime, timedelta

import marshmallow as ma
import pytest

from connectors.hris.successfactors import SuccessFactorsConnector, SuccessFactorsSettings
from rmplugin import testing
from rmplugin.api import FatalError, RetriableError, http
from tests.fakes.successfactors import ASSERTION, COMPANY, END, LONG_AGO, PASSWORD, SuccessFactors

TODAY = datetime.now(UTC).date()
YESTERDAY, TOMORROW = TODAY - timedelta(days=1), TODAY + timedelta(days=1)
LATER = TODAY + timedelta(days=60)
WORK, HOME = {"emailTypeNav": {"externalCode": "B"}}, {"emailTypeNav": {"externalCode": "P"}}


class PeopleSource:
    """The stand-in's persons under the contract's people."""

    def __init__(self, fake):
        self.connector, self.fake = SuccessFactorsConnector(), fake
        self.server, self.settings = fake.server, fake.settings

    def fill(self, people):
        self.fake.persons.clear()
        for p in people:
            mail = {"emailAddress": p["email"], "isPrimary": True, **WORK}
            job = self.fake.employment(f"u{p['source_key']}", start=p["hire_date"])
            if p.get("bad"):
                job["startDate"] = "soon"
            self.fake.put(p["source_key"], job, names=(p["given_name"], p["family_name"]), emails=[mail])

    def spoil(self):
        # The usual end: the API user's password is too old.
        self.fake.password = "another"


class UsersSource(PeopleSource):
    """The stand-in's users under the contract's people."""

    def __init__(self, fake):
        super().__init__(fake)
        self.settings = fake.settings | {"source": "users"}

    def fill(self, people):
        self.fake.users.clear()
        for p in people:
            hired = "soon" if p.get("bad") else p["hire_date"]
            names = {"firstName": p["given_name"], "lastName": p["family_name"]}
            self.fake.put_user(p["source_key"], email=p["email"], hireDate=hired, **names)


@pytest.fixture
def fake():
    fake = SuccessFactors()
    with fake.server:
        yield fake


@pytest.fixture
def read(fake):
    """Read; give the last cursor, and the records by key, those of today first."""

    def read(cursor=None, **settings):
        pages = testing.read_all(SuccessFactorsConnector(), {**fake.settings, **settings}, cursor)
        records = {}
        for record in (record for page in pages for record in page.records):
            testing.check_record(record)
            records.setdefault(record.source_key, []).append(record)
        return pages[-1].cursor, records

    return read


class TestPeople(testing.ConnectorContract):
    @pytest.fixture
    def source(self, fake):
        fake.page_most = 70
        return PeopleSource(fake)


class TestUsers(testing.ConnectorContract):
    @pytest.fixture
    def source(self, fake):
        fake.page_most = 70
        return UsersSource(fake)


def manager(key):
    return {
        "managerId": f"u{key}",
        "managerUserNav": {"userId": f"u{key}", "empInfo": {"personIdExternal": key}},
    }


def test_read_when_everything_is_said_maps_every_field(fake, read):
    job = {
        "jobTitle": "Admiral", "payGradeNav": {"name": "G7"}, "departmentNav": {"name": "Navy"},
        "divisionNav": {"name": "East"}, "costCenterNav": {"name": "C-9"},
        "companyNav": {"name": "Fleet Ltd"}, "locationNav": {"name": "Arlington"},
        "timezone": "US/Eastern", "fte": "0.5", **manager("3"),
    }  # fmt: skip
    mails = [
        {"emailAddress": "home@example.com", "isPrimary": True, **HOME},
        {"emailAddress": "old@example.com", "isPrimary": False, **WORK},
        {"emailAddress": "g@example.com", "isPrimary": True, "emailTypeNav": None},
    ]
    job = fake.employment("u7", job, start=date(2019, 2, 28), end=LATER, isContingentWorker=True)
    fake.put("0042", job, names=(" Grace\n", "Hopper"), emails=mails)
    (record,) = read()[1]["0042"]
    assert (record.employee_number, record.user_name, record.email) == ("0042", "login-u7", "g@example.com")
    assert (record.given_name, record.family_name, record.display_name) == ("Grace", "Hopper", "Grace Hopper")
    assert (record.job_title, record.grade, record.department) == ("Admiral", "G7", "Navy")
    assert (record.division, record.cost_center, record.legal_entity) == ("East", "C-9", "Fleet Ltd")
    assert (record.location, record.time_zone, record.manager_key) == ("Arlington", "US/Eastern", "3")
    assert (record.hire_date, record.termination_date) == (date(2019, 2, 28), LATER)
    assert (record.status, record.status_raw, record.employment_type) == ("active", "A", "contractor")
    assert (record.employments, record.withheld, record.effective_from) == ((), frozenset(), None)


def test_read_when_only_users_are_asked_maps_every_field(fake, read):
    fake.put_user(
        "7", title="Admiral", department="Navy", division="East", location="Arlington", nickname="Amazing",
        timeZone="US/Eastern", hireDate=date(2019, 2, 28), manager={"userId": "3", "salary": 1},
    )  # fmt: skip
    fake.put_user("8", status="f")
    fake.put_user("9", status="T")
    records = read(source="users")[1]
    (record,) = records["7"]
    assert set(records) == {"7", "8"}
    assert (record.employee_number, record.user_name, record.email) == ("7", "login-7", "7@example.com")
    assert (record.given_name, record.family_name, record.preferred_name) == ("Ada", "Lovelace", "Amazing")
    assert (record.job_title, record.department, record.division) == ("Admiral", "Navy", "East")
    assert (record.location, record.time_zone, record.manager_key) == ("Arlington", "US/Eastern", "3")
    assert (record.hire_date, record.status, records["8"][0].status) == (
        date(2019, 2, 28),
        "active",
        "terminated",
    )


@pytest.mark.parametrize("source", ["people", "users"])
def test_read_when_private_properties_exist_never_asks_for_them(fake, read, source):
    fake.put("1")
    fake.put_user("1")
    cursor, records = read(source=source)
    assert read(cursor, source=source)[1] == records
    private = ("birth", "gender", "marital", "nationality", "salary", "ssn", "ethnic", "dependent")
    questions = [asked.query.lower() for asked in fake.server.asked]
    assert not [word for word in private for question in questions if word in question]


def test_read_when_somebody_is_only_family_leaves_them_out(fake, read):
    fake.put("1")
    child = fake.put("2")
    child["personEmpTerminationInfoNav"]["activeEmploymentsCount"] = None
    assert set(read()[1]) == {"1"}


# Fault 29: statuses; custom codes are the company's own.
@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("A", "active"), ("P", "leave"), ("U", "leave"), ("F", "leave"), ("S", "suspended"),
        ("D", "suspended"), ("T", "terminated"), ("R", "terminated"), ("O", "terminated"),
        ("X", "unknown"), ("GARDEN", "leave"),
    ],
)  # fmt: skip
def test_read_when_a_status_is_coded_gives_its_meaning(fake, read, code, status):
    fake.put("1", fake.employment("u1", {"emplStatusNav": {"externalCode": code}}))
    (record,) = read(status_values={"GARDEN": "leave"})[1]["1"]
    assert (record.status, record.status_raw) == (status, code)


# Fault 29: rehire and assignment abroad are several employments.
def test_read_when_somebody_came_back_gives_both_employments(fake, read):
    old = fake.employment("u1", {"emplStatusNav": {"externalCode": "T"}}, end=date(2021, 5, 31))
    new = fake.employment("u1-2", {"jobTitle": "Chief", "fte": "1"}, start=date(2023, 3, 1))
    fake.put("1", new, old)
    (record,) = read()[1]["1"]
    assert (record.status, record.hire_date, record.job_title) == ("active", date(2023, 3, 1), "Chief")
    assert {(e.key, e.status, e.termination_date, e.share) for e in record.employments} == {
        ("u1", "terminated", date(2021, 5, 31), None),
        ("u1-2", "active", None, 1.0),
    }


def test_read_when_somebody_is_abroad_the_job_at_home_is_dormant(fake, read):
    home = fake.employment("u1", {"emplStatusNav": {"externalCode": "D"}, **manager("8")})
    abroad = fake.employment(
        "u1-ga", {"locationNav": {"name": "Lima"}, **manager("9")}, start=date(2024, 1, 1)
    )
    fake.put("1", home, abroad)
    (record,) = read()[1]["1"]
    assert [(e.key, e.status, e.manager_key) for e in record.employments] == [
        ("u1", "suspended", "8"),
        ("u1-ga", "active", "9"),
    ]
    assert (record.location, record.manager_key) == ("Lima", "9")


def test_read_when_a_change_is_entered_for_later_gives_it_with_its_day(fake, read):
    now = {"jobTitle": "Clerk", "endDate": LATER - timedelta(days=1)}
    promoted = {"jobTitle": "Chief", "startDate": LATER, "endDate": LATER + timedelta(days=29)}
    leaves = {"startDate": LATER + timedelta(days=30), "emplStatusNav": {"externalCode": "T"}}
    fake.put("1", fake.employment("u1", now, promoted, leaves))
    fake.put("2")
    records = read()[1]
    assert [(r.effective_from, r.job_title, r.status) for r in records["1"]] == [
        (None, "Clerk", "active"),
        (LATER, "Chief", "active"),
        (LATER + timedelta(days=30), None, "terminated"),
    ]
    assert len(records["2"]) == 1


def test_read_when_somebody_is_still_to_come_tells_the_job_that_waits(fake, read):
    fake.put("1", fake.employment("u1", {"jobTitle": "Clerk"}, start=LATER))
    today, then = read()[1]["1"]
    assert (today.status, today.hire_date, today.job_title) == ("prehire", LATER, "Clerk")
    assert (then.effective_from, then.status, then.job_title) == (LATER, "active", "Clerk")


def test_read_when_somebody_left_and_has_no_job_any_more_is_terminated(fake, read):
    fake.put("1", fake.employment("u1", {"endDate": YESTERDAY}, end=YESTERDAY))
    (record,) = read()[1]["1"]
    assert (record.status, record.termination_date) == ("terminated", YESTERDAY)
    # What is known of the old job stays; its end does not.
    assert ("job_title" in record.withheld, "status" in record.withheld) == (True, False)


def test_read_when_two_changes_hold_from_one_day_takes_the_last_one(fake, read):
    changes = [{"seqNumber": str(n), "jobTitle": f"Title {n}"} for n in (1, 10, 9)]
    fake.put("1", fake.employment("u1", *changes))
    assert read()[1]["1"][0].job_title == "Title 10"


# Fault 28.
def test_read_when_the_manager_is_absent_or_hidden_does_not_take_one_for_the_other(fake, read):
    fake.put("1", fake.employment("u1", {"managerId": "NO_MANAGER"}))
    fake.put("2", fake.employment("u2", {"managerId": "u9", "managerUserNav": None}))
    fake.put("3", fake.employment("u3", manager("3")))
    records = read()[1]
    assert [records[key][0].manager_key for key in "123"] == [None, None, "3"]
    assert ["manager_key" in records[key][0].withheld for key in "123"] == [False, True, False]


# Fault 30: a role that was cut wipes nothing.
@pytest.mark.parametrize(
    ("unseen", "hidden"),
    [
        ("personalInfoNav", {"given_name", "family_name", "preferred_name", "display_name"}),
        ("emplStatusNav", {"status", "status_raw"}),
        (
            "jobInfoNav",
            {"status", "status_raw", "job_title", "department", "grade", "manager_key", "time_zone"},
        ),
        (
            "employmentNav",
            {"status", "hire_date", "termination_date", "job_title", "manager_key", "user_name"},
        ),
    ],
)
def test_read_when_the_role_hides_something_says_that_it_is_hidden(fake, read, unseen, hidden):
    fake.put("1")
    fake.unseen.add(unseen)
    (record,) = read()[1]["1"]
    assert hidden <= record.withheld
    assert "email" not in record.withheld
    results = SuccessFactorsConnector().check(SuccessFactorsSettings().load(fake.settings))
    assert not next(result for result in results if result.what == "Permissions").ok


# Fault 32.
@pytest.mark.parametrize(
    ("milliseconds", "day"),
    [
        ("/Date(1582848000000)/", date(2020, 2, 28)),
        ("/Date(1582934400000+0000)/", date(2020, 2, 29)),
        ("/Date(-86400000)/", date(1969, 12, 31)),
        ("/Date(253402214400000)/", None),
        ("/Date(-2208988800000)/", None),
        ("/Date(-11644473600000)/", None),
        (None, None),
    ],
)
def test_read_when_a_day_is_written_in_milliseconds_gives_the_day(fake, read, milliseconds, day):
    fake.put("1", fake.employment("u1", end=milliseconds))
    assert read()[1]["1"][0].termination_date == day


# Fault 13.
def test_read_when_a_next_link_leads_to_another_host_sends_no_password_there(fake, read):
    fake.page_most, fake.next_link = 1, "https://api.evil.example/odata/v2/PerPerson?$skiptoken=1"
    fake.put("1")
    fake.put("2")
    with pytest.raises(FatalError, match="points to another host"):
        read()


# Fault 17.
def test_read_when_a_next_link_leads_back_stops(fake, read):
    fake.page_most = 1
    fake.put("1")
    fake.put("2")
    wanted = "personEmpTerminationInfoNav/activeEmploymentsCount ne null"
    question = f"$select=personIdExternal&$expand=&$filter={wanted}"
    fake.next_link = f"{fake.server.url}/odata/v2/PerPerson?{question}"
    with pytest.raises(RetriableError, match="never end"):
        read()


# Fault 18: a snapshot lives for a quarter of an hour.
def test_read_when_the_snapshot_is_lost_tries_later(fake, read, monkeypatch):
    monkeypatch.setattr(http, "BACK_OFF_SECONDS", 0.001)
    fake.page_most = 1
    fake.put("1")
    fake.put("2")
    fake.loses_snapshots = True
    with pytest.raises(RetriableError):
        read()


# Faults 19 and 20.
def test_read_when_people_come_and_go_meanwhile_neither_loses_nor_doubles_anybody(fake, read):
    fake.page_most = 2
    for number in range(6):
        fake.put(f"{number}5")

    def change():
        fake.after_page = lambda: None
        del fake.persons["05"]
        fake.put("00")

    fake.after_page = change
    cursor, records = read()
    assert {key: len(found) for key, found in records.items()} == dict.fromkeys(
        ("05", "15", "25", "35", "45", "55"), 1
    )
    assert "00" in read(cursor)[1]


@pytest.mark.parametrize("source", ["people", "users"])
def test_read_when_pages_overlap_doubles_nobody(fake, read, source):
    fake.page_most, fake.overlap = 3, 1
    for number in range(6):
        fake.put(str(number))
        fake.put_user(str(number))
    assert {len(found) for found in read(source=source)[1].values()} == {1}


def test_read_when_everybody_is_read_says_how_many_there_are(fake):
    fake.page_most = 2
    for number in range(5):
        fake.put(str(number))
    pages = testing.read_all(SuccessFactorsConnector(), fake.settings)
    assert [page.total for page in pages] == [5, 5, 5]
    changes = testing.read_all(SuccessFactorsConnector(), fake.settings, pages[-1].cursor)
    assert {page.total for page in changes} == {None}


# What changed lies somewhere below a person, and what begins or ends was entered long ago.
@pytest.mark.parametrize(
    "place",
    ["", "personalInfoNav", "emailNav", "employmentNav", "employmentNav/jobInfoNav", "employmentNav/userNav"],
)
def test_read_when_something_below_a_person_changed_finds_the_person(fake, read, place):
    mail = {"emailAddress": "a@example.com", "isPrimary": True, **WORK}
    for key in "12":
        fake.put(key, emails=[mail], at=LONG_AGO)
    cursor = read()[0]
    row = fake.persons["1"]
    for name in filter(None, place.split("/")):
        row = row[name]
        row = row[0] if isinstance(row, list) else row
    row["lastModifiedDateTime"] = datetime.now(UTC)
    assert set(read(cursor)[1]) == {"1"}


@pytest.mark.parametrize("what", ["hire", "job", "name", "end"])
def test_read_when_the_day_of_an_old_entry_comes_finds_the_person(fake, read, what):
    job = fake.employment("u1", at=LONG_AGO)
    person = fake.put("1", job, at=LONG_AGO)
    fake.put("2", at=LONG_AGO)
    if what == "hire":
        job["startDate"] = TODAY
    if what == "job":
        job["jobInfoNav"][0]["endDate"] = YESTERDAY
        job["jobInfoNav"].append({**job["jobInfoNav"][0], "startDate": TODAY, "endDate": END})
    if what == "name":
        person["personalInfoNav"][0]["startDate"] = TODAY
    if what == "end":
        person["personEmpTerminationInfoNav"]["latestTerminationDate"] = TODAY
    now = datetime.now(UTC).isoformat()
    assert set(read(now)[1]) == {"1"}


def test_read_when_a_change_became_visible_late_finds_it(fake, read):
    now = datetime.now(UTC)
    for put in (fake.put, fake.put_user):
        put("1", at=now - timedelta(minutes=4))
        put("2", at=now - timedelta(minutes=6))
    for source in ("people", "users"):
        assert set(read(now.isoformat(), source=source)[1]) == {"1"}


def test_read_when_nothing_changed_gives_nobody_and_the_next_place(fake, read):
    fake.put("1", at=LONG_AGO)
    fake.put_user("1", at=LONG_AGO)
    for source in ("people", "users"):
        before = read(source=source)[0]
        cursor, records = read(before, source=source)
        assert (records, cursor >= before) == ({}, True)


def test_read_when_there_are_pages_goes_on_in_the_session_of_the_snapshot(fake, read):
    fake.page_most = 2
    for number in range(5):
        fake.put(str(number))
    read()
    people = fake.asked("PerPerson")
    assert [("Cookie" in a.headers, "X-Csrf-Token" in a.headers) for a in people] == [(False, False)] + [
        (True, True)
    ] * 2
    # The days to come of a whole page are asked for at once.
    assert len(fake.asked("EmpJob")) == 3


def test_read_when_snapshots_are_blocked_waits_half_an_hour(fake, read):
    fake.put("1")
    fake.blocked = True
    with pytest.raises(RetriableError, match="Read it less often") as caught:
        read()
    assert caught.value.retry_after == 1800
    assert len(fake.server.asked) == 1


def test_check_when_it_runs_opens_no_snapshot(fake):
    fake.put("1")
    fake.blocked = True
    results = SuccessFactorsConnector().check(SuccessFactorsSettings().load(fake.settings))
    assert [(result.what, result.ok) for result in results] == [("People", True), ("Fields", True)]
    assert "1 in all" in results[0].advice


def test_check_when_a_field_does_not_exist_says_what_to_leave_out(fake, read):
    fake.put("1", fake.employment("u1", {"jobTitle": "Clerk"}))
    fake.unknown.add("costCenterNav")
    (result,) = SuccessFactorsConnector().check(SuccessFactorsSettings().load(fake.settings))
    assert (result.ok, "Set without to cost_center." in result.advice) == (False, True)
    (record,) = read(without="cost_center, grade")[1]["1"]
    assert (record.job_title, record.withheld) == ("Clerk", {"cost_center", "grade"})


def test_check_when_nobody_can_be_read_says_what_to_change(fake):
    (people, _fields) = SuccessFactorsConnector().check(SuccessFactorsSettings().load(fake.settings))
    assert (people.ok, "role" in people.advice) == (False, True)


def test_read_when_an_assertion_is_given_exchanges_it_for_a_token(fake):
    fake.put("1")
    settings = {"url": f"{fake.server.url}/odata/v2/", "company": COMPANY, "client_id": "sf-api-key"}
    settings["assertion"] = ASSERTION
    pages = testing.read_all(SuccessFactorsConnector(), settings)
    assert len(pages[0].records) == 1
    assert {a.headers["Authorization"].split()[0] for a in fake.server.asked if "odata" in a.path} == {
        "Bearer"
    }
    fake.assertion = "another"
    with pytest.raises(FatalError):
        testing.read_all(SuccessFactorsConnector(), settings)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"password": ""}, "password"),
        ({"client_id": "key", "assertion": "x"}, "password"),
        ({"without": "status_raw"}, "without"),
        ({"url": "http://api.example.com"}, "url"),
        ({"status_values": {"X": "retired"}}, "status_values"),
    ],
)
def test_settings_when_they_make_no_sense_say_where(fake, change, field):
    with pytest.raises(ma.ValidationError) as caught:
        SuccessFactorsSettings().load({**fake.settings, **change})
    assert set(caught.value.messages) == {field}
    assert PASSWORD not in str(caught.value)
