"""The SCIM connector that reads: against a stand-in that can fail, and against a real SCIM server."""

import json
import threading
from datetime import UTC, date, datetime, timedelta

import pytest
import requests
from scim2_models import ScimProvider
from scim2_server.memory import InMemoryStorage
from scim2_server.testserver.application import BearerTokenApplication
from scim2_server.utils import load_default_provider
from werkzeug.serving import make_server

from connectors.hris.scim import ScimConnector, ScimSettings
from rmplugin import testing
from rmplugin.api import CursorExpiredError, RetriableError, read_scim_user
from rmplugin.scim_user import ENTERPRISE
from rmplugin.testing import servers
from tests.fakes.scim_service import TOKEN, ScimService, user_of

HIRED = {"mapping": {"hire_date": f"{ENTERPRISE}:hired"}}


class ScimSource:
    """The stand-in under the contract's people."""

    def __init__(self, fake):
        self.connector, self.fake = ScimConnector(), fake
        self.server, self.settings = fake.server, {**fake.settings, **HIRED}

    def fill(self, people):
        wanted = {p["source_key"]: user_of(p) for p in people}
        for key in set(self.fake.users) - set(wanted):
            del self.fake.users[key]
        for key, user in wanted.items():
            before = self.fake.users.get(key, {})
            if any(before.get(name) != value for name, value in user.items()):
                self.fake.put(key, **user)

    def spoil(self):
        self.fake.gone = True


@pytest.fixture
def fake():
    fake = ScimService()
    with fake.server:
        yield fake


class TestScim(testing.ConnectorContract):
    @pytest.fixture
    def source(self, fake):
        return ScimSource(fake)


@pytest.fixture
def read(fake):
    """Read; give the pages, and the records by key."""

    def read(cursor=None, **settings):
        pages = testing.read_all(ScimConnector(), fake.settings | settings, cursor)
        records = [record for page in pages for record in page.records]
        assert len({record.source_key for record in records}) == len(records)
        return pages, {record.source_key: record for record in records}

    return read


def test_read_when_all_attributes_come_maps_each(fake, read):
    fake.put(
        "7",
        userName="anna",
        active=True,
        name={"givenName": "Anna", "familyName": "Quill", "formatted": "Anna Quill"},
        nickName="Annie",
        title="Lead  Engineer",
        userType="Contractor",
        preferredLanguage="de-AT",
        timezone="Europe/Vienna",
        emails=[
            {"value": "anna@home.example", "type": "home"},
            {"value": "Anna@Quill.EXAMPLE", "type": "work"},
        ],
        addresses=[{"type": "work", "locality": "Graz", "country": "AT", "streetAddress": "Elm 5"}],
        **{
            ENTERPRISE: {
                "employeeNumber": "0042",
                "department": "R&D",
                "division": "North",
                "organization": "Acme AG",
                "costCenter": "C1",
                "manager": {"value": "9", "displayName": "Bo Boss"},
            },
            "urn:acme:User": {"grade": "G7", "start": "2024-03-01T00:00:00+02:00"},
        },
    )
    mapping = {"grade": "urn:acme:User:grade", "hire_date": "urn:acme:User:start"}
    record = read(mapping=mapping)[1]["7"]
    assert (record.user_name, record.email, record.display_name) == (
        "anna",
        "Anna@quill.example",
        "Anna Quill",
    )
    assert (record.given_name, record.family_name, record.preferred_name) == ("Anna", "Quill", "Annie")
    assert (record.job_title, record.employment_type, record.grade) == ("Lead Engineer", "contractor", "G7")
    assert (record.languages, record.time_zone) == (("de",), "Europe/Vienna")
    assert (record.city, record.country, record.employee_number) == ("Graz", "AT", "0042")
    assert (record.department, record.division, record.legal_entity) == ("R&D", "North", "Acme AG")
    assert (record.cost_center, record.manager_key, record.manager_name) == ("C1", "9", "Bo Boss")
    assert (record.hire_date, record.status) == (date(2024, 3, 1), "active")
    asked = fake.server.asked[-1].query
    assert "phoneNumbers" not in asked
    assert "password" not in asked


@pytest.mark.parametrize(
    ("active", "status"),
    [
        ({}, "active"),
        ({"active": None}, "active"),
        ({"active": "True"}, "active"),
        ({"active": False}, "terminated"),
        ({"active": "False"}, "terminated"),
    ],
)
def test_user_when_active_is_missing_has_not_left(active, status):
    assert read_scim_user({"id": "1", **active}).status == status


@pytest.mark.parametrize(
    "odd",
    [
        {"emails": "a@b.example", "name": "Anna", "addresses": [None], ENTERPRISE: []},
        {"emails": [{"value": "nobody"}], "title": {"x": 1}, "timezone": True},
        {"displayName": "A\u0000\u200fnna\n", ENTERPRISE: {"manager": ["9"]}},
        {
            "name": {"givenName": "  ", "familyName": "x" * 300},
            "userType": "Kobold",
            "preferredLanguage": "*",
        },
    ],
)
def test_user_when_values_are_of_odd_shapes_is_read_all_the_same(odd):
    testing.check_record(read_scim_user({"id": "1", **odd}))


def test_user_when_the_manager_is_a_bare_id_has_that_manager():
    assert read_scim_user({"id": "1", ENTERPRISE: {"manager": "9"}}).manager_key == "9"


def test_read_when_the_service_keeps_no_order_takes_nobody_twice_and_tells_the_total(fake, read):
    for number in range(120):
        fake.put(str(number))
    fake.shuffled = True
    pages, people = read()
    # Whoever was left out is missed by the core, which compares with the total.
    assert 50 < len(people) < 120
    assert pages[-1].total == 120


def test_read_when_changes_are_asked_overlaps_and_says_no_total(fake, read):
    fake.put("1")
    fake.users["1"]["meta"]["lastModified"] = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    fake.put("2")
    pages, people = read()
    assert set(people) == {"1", "2"}
    pages, people = read(pages[-1].cursor)
    assert (set(people), pages[-1].total) == ({"2"}, None)


def test_read_when_the_service_cannot_filter_reads_everybody_and_gives_no_cursor(fake, read):
    fake.put("1")
    fake.can_filter = False
    pages, people = read()
    assert (set(people), pages[-1].cursor) == ({"1"}, None)
    with pytest.raises(CursorExpiredError):
        read(datetime.now(UTC).isoformat())


@pytest.mark.parametrize("body", [[], {}, {"totalResults": "3"}, {"totalResults": 3, "Resources": []},
                                  {"totalResults": 1, "Resources": {"id": "1"}}])  # fmt: skip
def test_read_when_the_answer_is_no_list_stops_and_can_be_tried_again(fake, read, monkeypatch, body):
    send = fake._send
    monkeypatch.setattr(fake, "_send", lambda document, status=200: send(
        body if "totalResults" in document else document, status))  # fmt: skip
    fake.put("1")
    with pytest.raises(RetriableError):
        read()


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "ftp://x.example"},
        {"token": "a b"},
        {"token": None},
        {"mapping": {"birth_date": "x"}},
        {"page_size": 0},
        {"unknown": 1},
    ],
)
def test_settings_when_they_cannot_work_are_refused(wrong):
    good = {"url": "https://x.example/scim/v2", "token": "t"}
    assert not ScimSettings().validate(good)
    assert set(ScimSettings().validate(good | wrong)) == set(wrong)


# -- a server that we did not write ------------------------------------------------------------------------


@pytest.fixture
def real():
    """Run scim2-server with a token in a thread of its own; give a function that sends it requests."""
    provider: ScimProvider = load_default_provider()
    app = BearerTokenApplication(InMemoryStorage(), provider, bearer_tokens=[TOKEN])
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=servers._Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/v2"

    def send(method, path, body=None):
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/scim+json"}
        answer = requests.request(method, f"{url}{path}", data=json.dumps(body), headers=headers, timeout=5)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    send.settings = {"url": url, "token": TOKEN, "page_size": 10}
    yield send
    server.shutdown()
    thread.join()
    server.server_close()


def test_real_server_when_read_gives_everybody_then_changes_then_leavers(real):
    users = [
        real("POST", "/Users", {
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE],
            "userName": f"u{n}", "active": True, "emails": [{"value": f"u{n}@example.com", "primary": True}],
            ENTERPRISE: {"employeeNumber": str(n), "department": "R&D"},
        })
        for n in range(25)
    ]  # fmt: skip
    connector = ScimConnector()
    pages = testing.read_all(connector, real.settings)
    records = {r.source_key: r for page in pages for r in page.records}
    assert (len(records), len(pages), pages[-1].total) == (25, 3, 25)
    first = records[users[0]["id"]]
    assert (first.email, first.employee_number, first.department) == ("u0@example.com", "0", "R&D")
    key = users[3]["id"]
    boss = {"op": "replace", "path": f"{ENTERPRISE}:manager", "value": {"value": users[0]["id"]}}
    real("PATCH", f"/Users/{key}", {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "path": "title", "value": "Lead"}, boss],
    })  # fmt: skip
    # A replacement without `active` takes it away there; nobody has left by that.
    real("PUT", f"/Users/{users[4]['id']}", {"schemas": users[4]["schemas"], "userName": "u4"})
    cursor = (datetime.now(UTC) + timedelta(minutes=4)).isoformat()
    changed = {
        r.source_key: r for page in testing.read_all(connector, real.settings, cursor) for r in page.records
    }
    assert (changed[key].job_title, changed[key].manager_key) == ("Lead", users[0]["id"])
    assert changed[users[4]["id"]].status == "active"
    real("DELETE", f"/Users/{users[5]['id']}")
    left = {r.source_key for page in testing.read_all(connector, real.settings) for r in page.records}
    assert left == set(records) - {users[5]["id"]}


def test_real_server_when_the_token_is_wrong_says_so(real):
    settings = ScimSettings().load({**real.settings, "token": "wrong"})
    results = ScimConnector().check(settings)
    assert not results[-1].ok
    assert "refused the credentials" in results[-1].advice
