"""The Odoo connector against a fake of Odoo."""

import json
from datetime import UTC, date, datetime, timedelta

import marshmallow as ma
import pytest

from connectors.hris import odoo
from connectors.hris.odoo import OdooConnector
from rmplugin.api import CursorExpiredError, FatalError, RetriableError
from rmplugin.testing import ConnectorContract, FaultyServer, make_people, read_all
from tests.fakes.odoo import DATABASE, KEY, LOGIN, FakeOdoo


class Source:
    def __init__(self):
        self.connector, self.odoo, self.known = OdooConnector(), FakeOdoo(), {}
        self.server = FaultyServer(self.odoo)
        self.settings = {"url": self.server.url, "database": DATABASE, "login": LOGIN, "api_key": KEY}

    def fill(self, people):
        wanted = {person["source_key"]: person for person in people}
        for key in self.known.keys() - wanted.keys():
            self.odoo.unlink(self.known.pop(key)[0])
        for key, person in wanted.items():
            hired = "never" if person.get("bad") else person["hire_date"].isoformat()
            name = f"{person['given_name']} {person['family_name']}"
            values = {"name": name, "work_email": person["email"], "first_contract_date": hired}
            number, before = self.known.get(key, (None, None))
            if number is None:
                number = self.odoo.create(**values)
            elif before != person:
                self.odoo.write(number, **values)
            self.known[key] = number, person

    def spoil(self):
        self.odoo.broken = "odoo.exceptions.AccessError"

    def read(self, cursor=None, **settings):
        pages = read_all(self.connector, {**self.settings, **settings}, cursor)
        return [record for page in pages for record in page.records], pages

    def check(self, **settings):
        loaded = self.connector.settings_schema().load({**self.settings, **settings})
        return {result.what: result for result in self.connector.check(loaded)}


@pytest.fixture
def source():
    source = Source()
    with source.server:
        yield source


class TestOdoo(ConnectorContract):
    @pytest.fixture(autouse=True)
    def _small_pages(self, request, monkeypatch):
        # So small that pages end everywhere; where everything fails in turn, larger ones are quicker.
        monkeypatch.setattr(odoo, "PAGE_SIZE", 3 if "paging" in request.node.name else 100)

    @pytest.fixture
    def source(self):
        source = Source()
        with source.server:
            yield source


def the(records):
    assert len(records) == 1, records
    return records[0]


def test_read_when_an_employee_is_complete_gives_every_field_and_nothing_private(source):
    boss = source.odoo.create(name="The Boss")
    number = source.odoo.create(
        name="  Zoë Doe", work_email="Zoe@Company.EXAMPLE", job_title="Engineer", job_id=[3, "Developer"],
        department_id=[4, "Management / R&D"], parent_id=[boss, "The Boss"], tz="Europe/Vienna",
        barcode="0042", employee_type="freelance", first_contract_date="2020-02-29",
        work_location_id=[2, "Vienna 2"],
    )  # fmt: skip
    for skill in ("Python", "SQL", "Python"):
        source.odoo.teach(number, skill)
    record = source.read()[0][1]
    assert (record.source_key, record.display_name, record.email) == (
        str(number), "Zoë Doe", "Zoe@company.example",
    )  # fmt: skip
    assert (record.job_title, record.department, record.manager_key) == (
        "Engineer", "Management / R&D", str(boss),
    )  # fmt: skip
    assert (record.time_zone, record.employee_number) == ("Europe/Vienna", "0042")
    assert (record.employment_type, record.hire_date) == ("contractor", date(2020, 2, 29))
    assert (record.location, record.legal_entity) == ("Vienna 2", "Company")
    assert (record.skills, record.status, record.withheld) == (("Python", "SQL"), "active", frozenset())
    assert not source.odoo.asked & {"birthday", "identification_id", "country_id"}


def test_read_when_values_are_false_gives_none(source):
    """Fault 30: Odoo writes `false` for what is empty."""
    source.odoo.create(name="Zoë Doe", job_id=[3, "Developer"])
    record = the(source.read()[0])
    assert (record.email, record.department, record.manager_key, record.time_zone) == (None,) * 4
    assert (record.hire_date, record.termination_date, record.skills) == (None, None, ())
    assert record.job_title == "Developer"


def test_read_when_an_employee_is_archived_gives_a_leaver(source):
    number = source.odoo.create(name="Zoë Doe")
    source.odoo.write(number, active=False, departure_date="2026-10-31")
    record = the(source.read()[0])
    assert (record.status, record.status_raw) == ("terminated", "archived")
    assert record.termination_date == date(2026, 10, 31)


def test_read_when_it_is_full_says_how_many_there_are(source):
    """Fault 20 and 39: whom Odoo deleted is only missing from a full reading, which is known to be whole."""
    source.fill(make_people(5))
    pages = source.read()[1]
    assert pages[-1].total == 5
    source.fill(make_people(4))
    records, changed = source.read(pages[-1].cursor)
    assert (len(records), changed[-1].total) == (4, None)
    assert [key for page in changed for key in page.gone] == []
    assert source.read()[1][-1].total == 4


def test_read_when_nothing_changed_repeats_the_last_minutes_and_no_more(source):
    """Fault 40: Odoo tells seconds and keeps microseconds, so the last row always comes again."""
    source.fill(make_people(3))
    source.odoo.employees[1]["write_date"] = datetime.now(UTC) - timedelta(hours=1)
    cursor = source.read()[1][-1].cursor
    again, pages = source.read(cursor)
    assert {record.source_key for record in again} == {"2", "3"}
    assert pages[-1].cursor == cursor


def test_read_when_the_database_was_restored_or_settings_changed_reads_everybody_anew(source):
    """Fault 41: the newest change is older than the cursor."""
    source.fill(make_people(2))
    cursor = json.loads(source.read()[1][-1].cursor)
    for row in source.odoo.employees.values():
        row["write_date"] -= timedelta(days=1)
    with pytest.raises(CursorExpiredError):
        source.read(json.dumps(cursor))
    with pytest.raises(CursorExpiredError):
        source.read(json.dumps(cursor), mapping={"grade": "job_id"})


def test_read_when_fields_are_denied_keeps_what_is_known_of_them(source):
    """Fault 30: a permission that goes is no empty field."""
    source.fill(make_people(2))
    whole = source.read()[1][0].fields
    source.odoo.denied = {"work_email", "hr.employee.skill"}
    source.odoo.hidden = {"first_contract_date"}
    records, pages = source.read()
    assert {record.withheld for record in records} == {frozenset({"email", "skills", "hire_date"})}
    assert pages[0].fields == whole - {"email", "skills", "hire_date"}
    assert {record.display_name for record in records} == {
        p["given_name"] + " Quillfeather" for p in make_people(2)
    }


def test_read_when_the_skills_application_is_missing_reads_the_rest(source):
    source.fill(make_people(1))
    source.odoo.hidden = {"employee_skill_ids"}
    assert the(source.read()[0]).withheld == {"skills"}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("odoo.exceptions.AccessDenied", FatalError),
        ("odoo.exceptions.AccessError", FatalError),
        ("odoo.exceptions.UserError", FatalError),
        ("builtins.ValueError", FatalError),
        ("odoo.http.SessionExpiredException", RetriableError),
        ("psycopg2.OperationalError", RetriableError),
        ("psycopg2.errors.SerializationFailure", RetriableError),
    ],
)
@pytest.mark.parametrize("later", [False, True])
def test_read_when_an_error_hides_in_status_200_ends_as_it_asks_and_names_nobody(source, name, kind, later):
    """Fault 11: at the sign-in, and between two pages."""
    source.fill(make_people(2))
    settings = source.connector.settings_schema().load(source.settings)
    pages = source.connector.read(settings, None)
    if later:
        next(pages)
    source.odoo.broken = name
    with pytest.raises(kind) as error:
        next(pages)
    assert "quill" not in f"{error.value}{error.value.details}"


@pytest.mark.parametrize("wrong", [{"api_key": "wrong"}, {"login": "nobody"}, {"database": "none"}])
def test_read_when_the_key_is_refused_with_false_is_fatal(source, wrong):
    """Fault 11: `authenticate` answers false with status 200."""
    with pytest.raises(FatalError, match="refused the login or the key"):
        source.read(**wrong)


def test_read_when_odoo_lowers_the_page_size_loses_nobody(source):
    """Fault 21."""
    source.odoo.most = 2
    source.fill(make_people(5))
    assert len(source.read()[0]) == 5


def test_read_when_pages_repeat_ends(source):
    """Fault 17: a proxy that drops the condition would give the first page for ever."""
    source.fill(make_people(2))
    source.odoo.ignores_domain = True
    with pytest.raises(RetriableError, match="never end"):
        source.read()


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"department_id": {"id": 1}}, "department"),
        ({"work_email": ["a", "b", "c"]}, "email"),
        ({"work_email": "nobody at home"}, "email"),
        ({"name": "x" * 300}, "display_name"),
        ({"departure_date": "0000-00-00"}, "termination_date"),
    ],
)
def test_read_when_a_value_has_another_shape_skips_the_employee(source, values, field):
    """Fault 31 and 32: an object or a list instead of a text, a date that is none."""
    source.odoo.create(**{"name": "Zoë Doe", **values})
    source.odoo.create(name="Good")
    records, pages = source.read()
    assert the(records).display_name == "Good"
    skipped = the([bad for page in pages for bad in page.skipped])
    assert (skipped.field, skipped.source_key) == (field, "1")


@pytest.mark.parametrize("answer", [[], {"jsonrpc": "2.0"}, {"result": {"rows": []}}, {"error": "no"}])
def test_read_when_an_answer_makes_no_sense_can_be_tried_again(answer):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(answer).encode()]

    with FaultyServer(app) as server:
        settings = {"url": server.url, "database": "x", "login": "x", "api_key": "x"}
        with pytest.raises((RetriableError, FatalError)):
            read_all(OdooConnector(), settings)


def test_check_when_it_works_says_how_many_have_each_field(source):
    source.fill(make_people(3))
    source.odoo.hidden = {"barcode"}
    told = source.check()
    assert told["Employees"].advice == "3 usable among the first 3"
    assert told["Field email"].advice == "3 of 3 have work_email"
    assert told["Field employee_number"].advice.startswith("The user may not see it")
    assert all(result.ok for result in told.values())


def test_check_when_a_mapped_field_is_not_there_or_nobody_is_says_so(source):
    assert not source.check()["Employees"].ok
    source.fill(make_people(1))
    assert [what for what, r in source.check(mapping={"grade": "x_grade"}).items() if not r.ok] == [
        "Field grade"
    ]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"url": "http://odoo.company.example"}, "url"),
        ({"url": "https://user:word@odoo.company.example"}, "url"),
        ({"mapping": {"grade": "contract_wage"}}, "mapping"),
        ({"mapping": {"employee_number": "identification_id"}}, "mapping"),
        ({"mapping": {"employee_number": "ssnid"}}, "mapping"),
        ({"mapping": {"city": "private_city"}}, "mapping"),
        ({"mapping": {"salary": "x"}}, "mapping"),
        ({"strange": "x"}, "strange"),
    ],
)
def test_settings_when_wrong_are_refused_by_name(changes, field):
    good = {"url": "https://odoo.company.example", "database": "x", "login": "x", "api_key": "x"}
    with pytest.raises(ma.ValidationError) as error:
        OdooConnector.settings_schema().load(good | changes)
    assert set(error.value.messages_dict) == {field}
