"""The Personio connector, against a stand-in whose pages, totals and tokens move as the real ones."""

import json
from datetime import UTC, date, datetime, timedelta

import pytest

from connectors.hris.personio import LIMITS, PersonioConnector, PersonioSettings
from rmplugin import testing
from rmplugin.api import Employment, FatalError, InputError, NotAllowedError, RetriableError, http
from rmplugin.records import WebhookReader
from tests.fakes.personio import WEBHOOK_TOKEN, Personio, answer, job, labelled, wrapped

LONG_AGO, LATELY = datetime(2020, 1, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)
LIST, PERSONS = "/v1/company/employees", "/v2/persons"


class PersonioSource:
    """The stand-in under the contract's people."""

    def __init__(self, fake):
        self.connector, self.fake = PersonioConnector(), fake
        self.server, self.settings = fake.server, fake.settings

    def fill(self, people):
        wanted = {str(int(p["source_key"])): p for p in people}
        for key in set(self.fake.people) - set(wanted):
            self.fake.delete(key)
        for key, person in wanted.items():
            day = "not yet" if person.get("bad") else person["hire_date"].isoformat()
            attributes = {
                "first_name": person["given_name"],
                "last_name": person["family_name"],
                "email": person["email"],
                "hire_date": f"{day}T00:00:00+01:00",
            }
            if self.fake.people.get(key, {}).items() & attributes.items() != attributes.items():
                # Everybody with an employment costs a request, so most have no employment here.
                jobs = [job(key, employment_start_date=day)] if int(key) < 20 else []
                self.fake.put(key, jobs=jobs, **attributes)

    def spoil(self):
        self.fake.closed = True


@pytest.fixture(params=["v1", "v2"])
def both(request):
    fake = Personio(request.param)
    with fake.server:
        yield fake


@pytest.fixture
def bulk():
    fake = Personio("v1")
    with fake.server:
        yield fake


@pytest.fixture
def persons():
    fake = Personio("v2")
    with fake.server:
        yield fake


def read(fake, cursor=None):
    """Read; give the pages, and the records by key."""
    pages = testing.read_all(PersonioConnector(), fake.settings, cursor)
    records = [record for page in pages for record in page.records]
    assert len({record.source_key for record in records}) == len(records)
    return pages, {record.source_key: record for record in records}


def loaded(fake):
    return PersonioSettings().load(fake.settings)


class TestPersonioInBulk(testing.ConnectorContract):
    @pytest.fixture
    def source(self, bulk):
        return PersonioSource(bulk)


class TestPersonioWithEmployments(testing.ConnectorContract):
    @pytest.fixture
    def source(self, persons):
        return PersonioSource(persons)


def test_bulk_when_everything_is_said_maps_every_attribute(bulk):
    bulk.put(
        "7", first_name=" Grace", last_name="Hopper", preferred_name="Amazing", email="g@example.com",
        position="Admiral", status="leave", employment_type="external",
        department=wrapped("Department", id=5, name="Navy"), office=wrapped("Office", id=3, name="Arlington"),
        subcompany=wrapped("Subcompany", id=1, name="Acme GmbH"),
        cost_centers=[wrapped("CostCenter", name=n, percentage=p) for n, p in (("A", 30), ("B", 70))],
        supervisor=wrapped("Employee", id=labelled(3), email=labelled("boss@example.com")),
        hire_date="2019-02-28T00:00:00+01:00", termination_date=None,
    )  # fmt: skip
    record = read(bulk)[1]["7"]
    testing.check_record(record)
    assert (record.given_name, record.display_name, record.email) == (
        "Grace",
        "Amazing Hopper",
        "g@example.com",
    )
    assert (record.job_title, record.department, record.location) == ("Admiral", "Navy", "Arlington")
    assert (record.legal_entity, record.cost_center, record.manager_key) == ("Acme GmbH", "B", "3")
    assert (record.status, record.status_raw, record.employment_type) == ("leave", "leave", "contractor")
    assert (record.hire_date, record.termination_date) == (date(2019, 2, 28), None)
    assert record.withheld == frozenset()


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        ("active", "active"),
        ("onboarding", "prehire"),
        ("inactive", "terminated"),
        (None, "unknown"),
        ("new", "unknown"),
    ],
)
def test_bulk_when_a_status_is_known_or_not_says_which(bulk, raw, status):
    bulk.put("1", status=raw, supervisor=[])
    assert (read(bulk)[1]["1"].status, read(bulk)[1]["1"].manager_key) == (status, None)


def test_bulk_when_private_attributes_exist_never_asks_for_them(bulk):
    bulk.put("1")
    pages, _records = read(bulk)
    (query,) = bulk.calls(LIST)
    assert "first_name" in query["attributes[]"]
    assert not {"birthday", "fix_salary", "gender"} & set(query["attributes[]"])
    assert "4200" not in str(pages)
    assert "1990" not in str(pages)


def test_fetch_when_private_values_come_along_drops_them(both):
    both.put("1")
    pages = list(PersonioConnector().fetch(loaded(both), ["1"]))
    assert len(pages[0].records) == 1
    assert "4200" not in str(pages)
    assert "emale" not in str(pages).lower()


# Fault 32.
@pytest.mark.parametrize(
    ("written", "zone", "day"),
    [
        ("2014-11-08T23:00:00Z", "Europe/Berlin", date(2014, 11, 9)),
        ("2014-07-08T22:00:00Z", "Europe/Berlin", date(2014, 7, 9)),
        ("2014-11-08T23:00Z", "Europe/Berlin", date(2014, 11, 9)),
        ("2014-11-09T05:00:00Z", "America/New_York", date(2014, 11, 9)),
        ("2014-11-09T00:00:00+01:00", "America/New_York", date(2014, 11, 9)),
        ("2014-11-09T00:00:00Z", "America/New_York", date(2014, 11, 9)),
        ("2014-11-09", "Asia/Tokyo", date(2014, 11, 9)),
        ("2016-02-28T23:00:00Z", "Europe/Berlin", date(2016, 2, 29)),
        ("9999-12-31T23:00:00Z", "Europe/Berlin", None),
        ("", "Europe/Berlin", None),
    ],
)
def test_bulk_when_a_day_comes_as_a_moment_finds_the_companys_day(bulk, written, zone, day):
    bulk.put("1", hire_date=written)
    bulk.settings["time_zone"] = zone
    assert read(bulk)[1]["1"].hire_date == day


# Fault 19: whoever is updated moves to the end, and the others move up.
def test_bulk_when_people_move_between_pages_loses_nobody_and_doubles_nobody(bulk):
    bulk.page_most = 3
    for key in range(1, 10):
        bulk.put(str(key))
    moves = iter(["1", "2"])
    bulk.after_page = lambda: [bulk.put(key) for key in [next(moves, None)] if key]
    assert len(read(bulk)[1]) == 9


# Fault 20.
def test_bulk_when_the_total_falls_while_paging_reads_again_until_it_rests(bulk):
    bulk.page_most = 3
    for key in range(1, 10):
        bulk.put(str(key))
    leaving = iter(["1"])
    bulk.after_page = lambda: [bulk.delete(key) for key in leaving]
    pages, records = read(bulk)
    assert set(records) == {str(key) for key in range(1, 10)}
    assert pages[-1].total == 8


def test_bulk_when_the_list_never_rests_gives_up_and_says_so(bulk):
    bulk.page_most = 3
    for key in range(1, 40):
        bulk.put(str(key))
    bulk.after_page = lambda: bulk.delete(next(iter(bulk.people)))
    with pytest.raises(RetriableError, match="Nobody was changed"):
        read(bulk)


# Fault 21.
def test_read_when_the_server_lowers_the_page_size_reads_on(both):
    both.page_most = 2
    for key in range(1, 8):
        both.put(str(key), jobs=[job("a"), job("b"), job("c")])
    assert len(read(both)[1]) == 7


# Fault 30.
def test_bulk_when_the_credentials_hide_attributes_says_so_and_empties_nothing(bulk):
    bulk.put("1", position="Chief", email="a@example.com")
    bulk.allowed = {"id", "first_name", "last_name", "preferred_name", "email"}
    record = read(bulk)[1]["1"]
    assert record.email == "a@example.com"
    assert record.withheld >= {"job_title", "status", "status_raw", "manager_key", "hire_date"}
    assert not record.withheld & {"email", "given_name", "display_name"}
    wrong = [result.what for result in PersonioConnector().check(loaded(bulk)) if not result.ok]
    assert "Field for job_title" in wrong
    assert "Field for email" not in wrong


# Fault 5 and 1: a limit by the minute names no time, so the waits must reach beyond a minute.
def test_read_when_throttled_without_a_time_waits_longer_than_a_minute(bulk):
    waits = []
    client = http.Client("x", bulk.server.url, limits=LIMITS, sleep=waits.append)
    bulk.server.fail("down")
    with pytest.raises(RetriableError):
        client.get(LIST)
    assert sum(waits) > 90


# Fault 12.
def test_read_when_the_token_ends_in_the_middle_fetches_one_new_token(both):
    both.page_most = 2
    for key in range(1, 6):
        both.put(str(key))
    both.after_page = lambda: both.tokens.discard("papi-1")
    assert len(read(both)[1]) == 5
    assert both.issued == 2


def test_read_when_the_secret_is_wrong_asks_once_and_says_so(both):
    both.settings["client_secret"] = "old"
    with pytest.raises(FatalError, match="client id or secret"):
        read(both)
    assert len(both.server.asked) == 1


def test_bulk_when_an_error_comes_with_200_takes_it_for_no_roster(bulk, monkeypatch):
    monkeypatch.setattr(bulk, "_list", lambda _args: answer({"success": False, "error": {"code": 500}}))
    with pytest.raises(RetriableError):
        read(bulk)


def test_bulk_when_only_updates_are_asked_reads_those(bulk):
    bulk.put("1", at=LONG_AGO)
    bulk.put("2", at=LATELY)
    pages, records = read(bulk, (LATELY - timedelta(hours=1)).isoformat())
    assert set(records) == {"2"}
    assert {page.total for page in pages} == {None}
    assert datetime.now(UTC) - datetime.fromisoformat(pages[-1].cursor) > timedelta(hours=25)


def test_persons_when_only_updates_are_asked_reads_those_and_their_employments_only(persons):
    persons.put("1", at=LONG_AGO)
    persons.put("2", at=LATELY)
    pages, records = read(persons, (LATELY - timedelta(hours=1)).isoformat())
    assert set(records) == {"2"}
    assert [a.path for a in persons.server.asked[1:]] == [PERSONS, f"{PERSONS}/2/employments"]
    assert datetime.now(UTC) - datetime.fromisoformat(pages[-1].cursor) < timedelta(minutes=6)


def test_persons_when_somebody_has_several_employments_gives_all(persons):
    second = job(
        "b", status="INACTIVE", type="EXTERNAL", weekly_working_hours=20, position=None,
        supervisor={"id": "3"}, employment_start_date="2015-05-01", employment_end_date="2019-12-31",
        termination={"termination_date": "2019-11-30", "last_working_day": "2019-11-20", "type": "DEATH"},
    )  # fmt: skip
    persons.put("1", preferred_name="Addie", email="a@example.com", jobs=[job("a"), second])
    record = read(persons)[1]["1"]
    testing.check_record(record)
    assert (record.display_name, record.email, record.status) == ("Addie L1", "a@example.com", "active")
    assert record.withheld == {"department", "location", "legal_entity", "cost_center"}
    assert record.employments == (
        Employment(
            key="ea", status_raw="ACTIVE", share=1.0, employment_type="employee", job_title="Engineer",
            hire_date=date(2020, 1, 1),
        ),
        Employment(
            key="eb", status="deceased", status_raw="INACTIVE", share=0.5, employment_type="contractor",
            manager_key="3", hire_date=date(2015, 5, 1), termination_date=date(2019, 11, 30),
        ),
    )  # fmt: skip


def test_persons_when_somebody_has_no_employment_asks_nothing_more(persons):
    persons.put("1", jobs=[])
    assert read(persons)[1]["1"].employments == ()
    assert not persons.calls(f"{PERSONS}/1/employments")


def test_persons_when_somebody_is_deleted_before_their_employments_are_asked_reads_on(persons):
    for key in ("1", "2"):
        persons.put(key)
    persons.after_page = lambda: persons.people.pop("1", None)
    assert set(read(persons)[1]) == {"1", "2"}


# Fault 17 and 13.
@pytest.mark.parametrize(
    ("href", "error"),
    [("{url}/v2/persons?cursor=1", RetriableError), ("http://localhost:1/v2/persons?cursor=1", FatalError)],
)
def test_persons_when_a_link_leads_in_circles_or_away_stops(persons, monkeypatch, href, error):
    body = {"_data": [], "_meta": {"links": {"next": {"href": href.format(url=persons.server.url)}}}}
    monkeypatch.setattr(persons, "_persons", lambda _request: answer(body))
    with pytest.raises(error):
        read(persons)
    assert len(persons.calls(PERSONS)) <= 2


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"employment_start_date": "01.02.2019"}, "hire_date"),
        ({"position": {"title": ["Chief"]}}, "job_title"),
        ({"termination": {"termination_date": "2019-02-29"}}, "termination_date"),
    ],
)
def test_persons_when_an_employment_cannot_be_used_skips_its_person(persons, change, field):
    persons.put("1")
    persons.put("2", jobs=[job("2", **change)])
    pages, records = read(persons)
    (skipped,) = pages[0].skipped
    assert set(records) == {"1"}
    assert (skipped.source_key, skipped.field) == ("2", field)


@pytest.mark.parametrize(
    "change",
    [{"url": "http://api.personio.de"}, {"interface": "v3"}, {"time_zone": "GMT+5"}, {"client_secret": ""}],
)
def test_settings_when_they_are_not_safe_or_not_known_are_refused(bulk, change):
    assert PersonioSettings().validate({**bulk.settings, **change})


# Fault 52: notices.
@pytest.fixture
def notice(bulk):
    def notice(name="person.updated", payload=None, *, token=WEBHOOK_TOKEN, at=None, now=None, **more):
        moment = now or datetime.now(UTC)
        event = {
            "company_id": "1", "event_name": name, "occurred_at": (at or moment).isoformat(),
            "payload": {"id": "12"} if payload is None else payload, **more,
        }  # fmt: skip
        body = json.dumps(event).encode()
        return PersonioConnector().read_notice(loaded(bulk), {"authorization": token}, body, moment)

    return notice


@pytest.mark.parametrize(
    ("name", "payload", "keys", "everybody"),
    [
        ("person.created", {"id": "12"}, ("12",), False),
        ("person.deleted", {"person": {"id": 12}}, ("12",), False),
        ("employment.started", {"id": "e1", "person": {"id": "12"}}, ("12",), False),
        ("employment.terminated", {"id": "99", "person_id": "12"}, ("12",), False),
        ("employment.updated", {"id": "99"}, (), True),
        ("person.updated", {"id": "../1"}, (), True),
        ("attendance-period.created", {"id": "5"}, (), False),
    ],
)
def test_notice_when_it_comes_names_whom_it_is_about(notice, name, payload, keys, everybody):
    found = notice(name, payload)
    assert (found.source_keys, found.everybody) == (keys, everybody)


def test_notice_when_it_is_repeated_has_the_same_id_even_a_day_later(notice):
    at = datetime.now(UTC) - timedelta(days=1)
    assert notice(at=at).notice_id == notice(at=at, now=at + timedelta(hours=1)).notice_id
    assert notice(at=at).notice_id != notice("person.created", at=at).notice_id


@pytest.mark.parametrize(
    "change",
    [
        {"token": "wrong"},
        {"token": ""},
        {"token": "é"},
        {"at": LONG_AGO},
        {"at": datetime(2999, 1, 1, tzinfo=UTC)},
    ],
)
def test_notice_when_it_has_no_token_or_is_old_is_refused(notice, change):
    with pytest.raises(NotAllowedError):
        notice(**change)


def test_notice_when_the_account_has_no_token_is_refused(bulk, notice):
    bulk.settings["webhook_token"] = ""
    with pytest.raises(NotAllowedError):
        notice(token="")


@pytest.mark.parametrize(
    "body", [b"no json", b"[]", b"{}", b'{"event_name": "x", "payload": 1, "occurred_at": "y"}']
)
def test_notice_when_it_makes_no_sense_is_refused(bulk, body):
    with pytest.raises(InputError):
        PersonioConnector().read_notice(loaded(bulk), {"Authorization": WEBHOOK_TOKEN}, body, LATELY)


def test_fetch_when_asked_reads_these_and_names_the_deleted(both):
    for key in ("1", "2", "3"):
        both.put(key)
    both.put("3", hire_date="soon", jobs=[job("3", employment_start_date="soon")])
    both.delete("2")
    pages = list(PersonioConnector().fetch(loaded(both), ["1", "2", "3", "../1"]))
    assert [r.source_key for page in pages for r in page.records] == ["1"]
    assert [s.source_key for page in pages for s in page.skipped] == ["3"]
    assert [key for page in pages for key in page.gone] == ["2", "../1"]


def test_fetch_when_the_source_is_down_says_nobody_is_gone(both, monkeypatch):
    monkeypatch.setattr(http, "BACK_OFF_SECONDS", 0.0001)
    both.put("1")
    both.server.fail("down")
    with pytest.raises(RetriableError):
        list(PersonioConnector().fetch(loaded(both), ["1"]))


def test_connector_when_asked_is_a_reader_of_notices():
    assert isinstance(PersonioConnector(), WebhookReader)
