"""The declarative connector: its two documented examples against stateful fakes; its words; the faults."""

import json
import re
from datetime import UTC, date, datetime, timedelta
from unittest import mock
from urllib.parse import parse_qsl

import marshmallow as ma
import pytest
import yaml
from werkzeug.wrappers import Request, Response

from connectors.hris.declarative import DeclarativeConnector, DeclarativeSettings
from rmplugin.api import Capabilities, CursorExpiredError, FatalError, RetriableError, http
from rmplugin.testing import ConnectorContract, FaultyServer, caught, check_record, make_people, read_all
from tests.fakes.rest import PRIVATE, TOKEN, Horilla, Okta, answer
from tests.rules.source import ROOT

PAGE = (ROOT / "docs/connectors/declarative.md").read_text(encoding="utf-8")
EXAMPLES = {
    yaml.safe_load(text)["name"]: text
    for text in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
}


class Source:
    """A stand-in and the document that describes it."""

    def __init__(self, stand, document):
        self.connector, self.stand = DeclarativeConnector(), stand
        self.server = FaultyServer(stand)
        self.settings = {"document": document, "base": self.server.url, "secret": TOKEN}

    def fill(self, people):
        self.stand.fill(people)

    def spoil(self):
        self.stand.spoilt = True

    def read(self, cursor=None, **settings):
        pages = read_all(self.connector, self.settings | settings, cursor)
        return [r for p in pages for r in p.records], [s for p in pages for s in p.skipped], pages


@pytest.fixture
def horilla():
    source = Source(Horilla(), EXAMPLES["Horilla"])
    with source.server:
        yield source


@pytest.fixture
def okta():
    source = Source(Okta(), EXAMPLES["Okta"])
    with source.server:
        yield source


class TestHorilla(ConnectorContract):
    """The first document of the page, as it stands there."""

    # Each person costs two requests.
    many = 45

    @pytest.fixture
    def source(self, horilla):
        # Horilla tells no changes, so its document has none.
        horilla.connector.capabilities = Capabilities()
        return horilla


class TestOkta(ConnectorContract):
    """The second document of the page, as it stands there."""

    @pytest.fixture
    def source(self, okta):
        return okta


def test_examples_when_listed_are_these_three():
    assert set(EXAMPLES) == {"Horilla", "Okta", "Small HR"}


def test_smallest_example_when_read_gives_everybody_page_by_page():
    people = [
        {"nr": f"{n:04d}", "who": {"name": f"Ada {n}", "mail": f"s{n}@small.example"}, "from": "31/12/2025"}
        for n in range(23)
    ]

    def staff(environ, start_response):
        request = Request(environ)
        assert (request.path, request.headers["X-Key"]) == ("/api/staff", TOKEN)
        skip = request.args.get("skip", 0, int)
        answer = Response(json.dumps({"staff": people[skip : skip + 10], "count": 23}))
        answer.content_type = "application/json"
        return answer(environ, start_response)

    source = Source(staff, EXAMPLES["Small HR"])
    with source.server:
        records, skipped, pages = source.read()
    assert (len({r.source_key for r in records}), skipped, pages[0].total) == (23, [], 23)
    assert (records[1].email, records[1].hire_date) == ("s1@small.example", date(2025, 12, 31))


# -- the examples ------------------------------------------------------------------------------------------


def test_horilla_when_read_joins_details_and_drops_private_data(horilla):
    people = make_people(21)
    people[1]["manager"] = 1
    horilla.fill(people)
    records, skipped, pages = horilla.read()
    assert (len(records), skipped) == (21, [])
    second = records[1]
    check_record(second)
    assert (second.source_key, second.employee_number, second.manager_key) == ("2", "B00002", "1")
    assert (second.email, second.job_title, second.department) == ("quill2@quill.example", "Clerk", "Ink")
    assert (second.location, second.employment_type, second.status) == (None, "employee", "active")
    assert (second.hire_date, second.termination_date) == (date(2020, 1, 3), None)
    assert {p.total for p in pages[:-1]} == {21}
    assert pages[-1].fields >= {"manager_key", "termination_date", "email"}
    text = repr(pages)
    assert not any(str(value) in text for value in (PRIVATE["basic_salary"], PRIVATE["dob"], "private@home"))
    # Two pages, and two calls for each of 21 people.
    assert len(horilla.server.asked) == 2 + 42


def test_horilla_when_the_token_is_refused_says_what_the_document_says(horilla):
    with pytest.raises(FatalError, match="Make a new one for a user who may view employees"):
        horilla.read(secret="another")
    assert len(horilla.server.asked) == 1


def test_horilla_when_somebody_is_deleted_meanwhile_skips_them_alone(horilla):
    horilla.fill(make_people(3))
    gone = [lambda: horilla.stand.answer(Request(environ())), lambda: answer({"detail": "Not found."}, 404)]
    horilla.stand.instead = gone
    records, skipped, _ = horilla.read()
    assert [r.source_key for r in records] == ["2", "3"]
    assert [(s.ref, s.source_key) for s in skipped] == [("record 1", "1")]


def environ():
    return {
        "REQUEST_METHOD": "GET", "PATH_INFO": "/api/employee/list/employees/", "QUERY_STRING": "page=1",
        "HTTP_AUTHORIZATION": f"Bearer {TOKEN}", "SERVER_NAME": "fake", "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
    }  # fmt: skip


def test_okta_when_accounts_are_closed_tells_them_from_others(okta):
    people = make_people(4)
    for person, status in zip(people, ["ACTIVE", "STAGED", "SUSPENDED", "DEPROVISIONED"], strict=True):
        person["status"] = status
    okta.fill(people)
    records, _, _ = okta.read()
    assert [r.status for r in records] == ["active", "prehire", "suspended", "terminated"]
    assert [r.status_raw for r in records] == ["ACTIVE", "STAGED", "SUSPENDED", "DEPROVISIONED"]


def test_okta_when_changes_are_asked_begins_with_the_newest_that_was_seen(okta):
    okta.fill(make_people(60))
    for person in okta.stand.people:
        person["changed"] -= timedelta(hours=3)
    okta.stand.people[7]["changed"] += timedelta(hours=1)
    _, _, pages = okta.read()
    newest = okta.stand.people[7]["changed"]
    # Okta's clock may be behind ours: what counts is the newest change that it told, to the millisecond.
    assert timedelta(0) <= newest - datetime.fromisoformat(pages[-1].cursor) < timedelta(milliseconds=1)
    records, _, later = okta.read(pages[-1].cursor)
    assert [r.source_key for r in records] == ["00008"]
    assert later[-1].cursor == pages[-1].cursor
    assert later[-1].fields is None


# -- a document of one's own -------------------------------------------------------------------------------

FIELDS = {"source_key": "id", "display_name": "name"}
PLAIN = {
    "name": "Plain",
    "base": "https://hr.example.com",
    "auth": {"kind": "bearer"},
    "request": {"path": "/people"},
    "records": "data.people",
    "fields": FIELDS,
}


def load(document, **settings):
    return DeclarativeSettings().load({"document": json.dumps(document), "secret": "s", **settings})


def people(*keys):
    return {"data": {"people": [{"id": key, "name": f"Person {key}"} for key in keys]}}


class Script:
    """Answers one after the other, the last one for ever; says what was asked."""

    def __init__(self):
        self.answers, self.asked = [], []

    def __call__(self, environ, start_response):
        request = Request(environ)
        query = dict(parse_qsl(request.query_string.decode()))
        self.asked.append((request.path, query, request.get_data().decode()))
        given = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        response = given if isinstance(given, Response) else answer(given)
        return response(environ, start_response)


@pytest.fixture
def plain():
    """Read a document from a script of answers: `plain(answers, **parts of the document)`."""
    script = Script()
    with FaultyServer(script) as server:

        def read(answers, cursor=None, settings=(), **parts):
            script.answers, script.server = list(answers), server
            given = {"document": json.dumps({**PLAIN, **parts}), "base": server.url, "secret": TOKEN}
            with mock.patch.object(http, "BACK_OFF_SECONDS", 0.001):
                return read_all(DeclarativeConnector(), {**given, **dict(settings)}, cursor)

        read.script = script
        yield read


def keys(pages):
    return [r.source_key for p in pages for r in p.records]


@pytest.mark.parametrize(
    ("pages", "answers", "asked"),
    [
        (
            {"kind": "number", "param": "p"},
            [people(1, 2), people(3), people()],
            [{"p": "1"}, {"p": "2"}, {"p": "3"}],
        ),
        (
            {"kind": "number", "param": "p", "first": 0, "ends": ["short"]},
            [people(1, 2), people(3)],
            [{"p": "0"}, {"p": "1"}],
        ),
        (
            {"kind": "offset", "param": "o", "total": "n", "ends": ["total"]},
            [people(1, 2) | {"n": 3}, people(3) | {"n": 3}],
            [{"o": "0"}, {"o": "2"}],
        ),
        (
            {"kind": "cursor", "param": "c", "next": "meta.next"},
            [people(1, 2) | {"meta": {"next": "x/y"}}, people(3) | {"meta": {}}],
            [{}, {"c": "x/y"}],
        ),
        (
            {"kind": "link", "next": "next"},
            [people(1, 2) | {"next": "?after=2"}, people(3) | {"next": None}],
            [{}, {"after": "2"}],
        ),
    ],
)
def test_read_when_pages_follow_each_other_reads_them_all(plain, pages, answers, asked):
    assert keys(plain(answers, pages=pages)) == ["1", "2", "3"]
    assert [query for _path, query, _body in plain.script.asked] == asked


def test_read_when_the_place_belongs_into_the_body_writes_it_there(plain):
    request = {"path": "/search", "method": "POST", "body": {"fields": ["id", "name"], "showInactive": True}}
    pages = {"kind": "offset", "param": "from", "within": "body"}
    assert keys(plain([people(1), people()], request=request, pages=pages)) == ["1"]
    assert [json.loads(body)["from"] for _path, _query, body in plain.script.asked] == [0, 1]
    assert json.loads(plain.script.asked[0][2])["showInactive"] is True


@pytest.mark.parametrize(
    ("auth", "user", "expected"),
    [
        ({"kind": "bearer"}, "", ("Authorization", f"Bearer {TOKEN}")),
        ({"kind": "header", "name": "X-Api-Key"}, "", ("X-Api-Key", TOKEN)),
        ({"kind": "basic"}, "ada", ("Authorization", "Basic YWRhOnF1aWxsLXRva2Vu")),
    ],
)
def test_read_when_credentials_are_asked_for_sends_them_in_headers(plain, auth, user, expected):
    plain([people(1)], auth=auth, settings={"user": user})
    (asked,) = plain.script.server.asked
    assert asked.headers[expected[0]] == expected[1]
    assert TOKEN not in asked.query


def test_read_when_oauth_is_asked_for_fetches_a_token_and_renews_it_once(plain):
    auth = {"kind": "oauth", "token": "/token", "form": {"scope": "people.read"}}
    token = {"access_token": "t1"}
    answers = [token, answer({}, 401), {"access_token": "t2"}, people(1)]
    assert keys(plain(answers, auth=auth, settings={"user": "me"})) == ["1"]
    form = dict(parse_qsl(plain.script.asked[0][2]))
    assert form == {
        "grant_type": "client_credentials",
        "client_id": "me",
        "client_secret": TOKEN,
        "scope": "people.read",
    }
    assert [a.headers.get("Authorization") for a in plain.script.server.asked] == [
        None,
        "Bearer t1",
        None,
        "Bearer t2",
    ]


def test_read_when_rows_say_that_people_are_deleted_names_their_keys(plain):
    rows = people(1, 2, 3)
    rows["data"]["people"][1]["deleted"] = True
    (page, _end) = plain([rows], gone={"path": "deleted", "values": [True]})
    assert ([r.source_key for r in page.records], page.gone) == (["1", "3"], ["2"])


@pytest.mark.parametrize(
    ("form", "written"),
    [
        ("%Y-%m-%d %H:%M", "2026-03-01 11:50"),
        ("epoch", "1772365800"),
        ("epoch_ms", "1772365800000"),
    ],
)
def test_read_when_changes_are_asked_writes_the_moment_as_wanted(plain, form, written):
    changes = {"param": "since", "format": form, "template": "gt:{}", "overlap_minutes": 10}
    pages = plain([people(1)], "2026-03-01T12:00:00+00:00", changes=changes)
    assert plain.script.asked[0][1] == {"since": f"gt:{written}"}
    assert datetime.fromisoformat(pages[-1].cursor) > datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def test_read_when_the_document_knows_no_changes_gives_no_cursor_and_takes_none(plain):
    assert plain([people(1)])[-1].cursor is None
    with pytest.raises(CursorExpiredError):
        plain([people(1)], "2026-03-01T12:00:00+00:00")


def test_read_when_values_are_of_many_kinds_makes_fit_records(plain):
    row = {
        "id": 7, "name": " Ada\tB. ", "mail": ["Ada@EXAMPLE.com"], "unit": False, "boss": {"id": 3.0},
        "hired": "28.11.2019", "left": "0000-00-00", "kind": "Werkstudent", "langs": ["en-GB", "de"],
        "knows": ["Python", " Ink "], "working": False, "firm": {"name": "Acme"}, "tier": 4,
    }  # fmt: skip
    fields = {
        "source_key": "id", "display_name": "name", "email": "mail", "department": "unit",
        "manager_key": "boss.id", "hire_date": "hired", "termination_date": "left", "employment_type": "kind",
        "languages": "langs", "skills": "knows", "status": "working", "legal_entity": "firm.name",
        "level": "tier", "city": "address.city",
    }  # fmt: skip
    (page, end) = plain(
        [{"data": {"people": [row]}}],
        fields=fields,
        constants={"country": "NO"},
        employment_words={"werkstudent": "intern"},
        status_words={"false": "leave"},
        date_format="%d.%m.%Y",
    )
    (ada,) = page.records
    check_record(ada)
    assert (ada.source_key, ada.display_name, ada.email) == ("7", "Ada B.", "Ada@example.com")
    assert (ada.department, ada.manager_key, ada.country, ada.city) == (None, "3", "NO", None)
    assert (ada.hire_date, ada.termination_date) == (date(2019, 11, 28), None)
    assert (ada.employment_type, ada.status, ada.languages) == ("intern", "leave", ("en", "de"))
    assert (ada.skills, ada.legal_entity, ada.level, ada.grade) == (("Python", "Ink"), "Acme", "4", None)
    assert "city" not in end.fields
    assert {"country", "department"} <= end.fields


def test_fault_31_read_when_an_object_stands_for_a_word_skips_that_person(plain):
    rows = people(1, 2)
    rows["data"]["people"][0]["name"] = {"first": "Ada"}
    rows["data"]["people"].append("x")
    rows["data"]["people"].append({"name": "Nobody"})
    pages = plain([rows])
    assert keys(pages) == ["2"]
    assert [(s.ref, s.field, s.source_key) for s in pages[0].skipped] == [
        ("record 1", "display_name", "1"),
        ("record 3", "row", None),
        ("record 4", "source_key", None),
    ]


# -- faults ------------------------------------------------------------------------------------------------


def test_fault_5_read_when_a_limit_hides_behind_another_status_waits_and_goes_on(plain):
    hidden = {"error": {"reason": "rateLimitExceeded"}}
    rule = {"path": "error.reason", "value": "rateLimitExceeded", "then": "throttled"}
    answers = [answer(hidden, 403), hidden, answer(hidden, 403, **{"Retry-After": "0"}), people(1)]
    assert keys(plain(answers, errors=[rule])) == ["1"]
    assert len(plain.script.asked) == 4
    with pytest.raises(RetriableError):
        plain([hidden], errors=[rule])
    with pytest.raises(FatalError, match="permissions"):
        plain([answer({"error": {"reason": "forbidden"}}, 403)], errors=[rule])


@pytest.mark.parametrize("status", [200, 500])
def test_fault_10_read_when_a_page_of_html_comes_is_tried_later(plain, status):
    html = Response("<html>Quillfeather, please sign in</html>", status, mimetype="text/html")
    error = caught(lambda: plain([html], errors=[{"path": "x", "then": "end"}]))
    assert isinstance(error, RetriableError)
    assert "Quillfeather" not in str(error)


@pytest.mark.parametrize("body", [{"error": "expired"}, {"data": {"people": None}}, {"data": []}, [], "x", 3])
def test_fault_11_read_when_an_error_comes_with_200_is_no_empty_roster(plain, body):
    with pytest.raises(RetriableError, match=r"no list at “data\.people”"):
        plain([body])


def test_fault_11_read_when_an_error_is_the_end_of_data_ends(plain):
    nothing = {"response": {"errors": {"code": 7024}}, "data": {"people": []}}
    rule = {"path": "response.errors.code", "value": 7024, "then": "end"}
    pages = {"kind": "offset", "param": "sIndex", "first": 1}
    assert keys(plain([people(1, 2), nothing], errors=[rule], pages=pages)) == ["1", "2"]
    assert [query["sIndex"] for _path, query, _body in plain.script.asked] == ["1", "3"]


def test_fault_11_read_when_an_error_with_200_is_fatal_says_what_the_document_says(plain):
    rule = {"path": "fault", "then": "fatal", "say": "The licence has ended."}
    with pytest.raises(FatalError, match=r"The licence has ended\."):
        plain([{"fault": {"code": 1}}], errors=[rule])


def test_fault_16_read_when_an_empty_page_names_a_next_one_goes_on(plain):
    answers = [people() | {"next": "/people?c=2"}, people(1) | {"next": None}]
    assert keys(plain(answers, pages={"kind": "link", "next": "next"})) == ["1"]


@pytest.mark.parametrize(
    ("pages", "body"),
    [
        ({"kind": "cursor", "param": "c", "next": "next"}, people(1) | {"next": "same"}),
        ({"kind": "link", "next": "next"}, people(1) | {"next": "/people?c=same"}),
        ({"kind": "number", "param": "p"}, people(1)),
        ({"kind": "offset", "param": "o", "total": "n", "ends": ["total"]}, people(1) | {"n": 500}),
    ],
)
def test_fault_17_read_when_a_page_comes_again_stops(plain, pages, body):
    with pytest.raises(RetriableError, match="read before"):
        plain([body], pages=pages)
    assert len(plain.script.asked) <= 3


@pytest.mark.parametrize("link", ["https://evil.example/people?c=2", "//localhost:1/people"])
def test_fault_13_read_when_a_link_leads_to_another_host_does_not_follow(plain, link):
    with pytest.raises(FatalError, match="another host"):
        plain([people(1) | {"next": link}], pages={"kind": "link", "next": "next"})
    assert len(plain.script.asked) == 1


def test_fault_20_read_when_total_and_rows_differ_tells_the_total(plain):
    pages = {"kind": "number", "param": "p", "total": "count"}
    read = plain(
        [people(1, 2) | {"count": 5}, people(3) | {"count": "4"}, people() | {"count": 4}], pages=pages
    )
    assert (keys(read), [page.total for page in read]) == (["1", "2", "3"], [5, 4, 4, None])


def test_fault_20_read_when_only_changes_are_asked_takes_no_total_for_the_rosters(plain):
    pages, changes = {"kind": "number", "param": "p", "total": "count"}, {"param": "since"}
    read = plain(
        [people(1) | {"count": 1}, people()], "2026-03-01T12:00:00+00:00", pages=pages, changes=changes
    )
    assert {page.total for page in read} == {None}


@pytest.mark.parametrize(
    ("ends", "last"),
    [
        ([], people()),
        ([], Response(status=204)),
        ([], Response("", 200)),
        (["404"], answer({"detail": "Invalid page."}, 404)),
        (["short", "404"], answer({"detail": "Invalid page."}, 404)),
    ],
)
def test_fault_21_read_when_the_server_lowers_the_size_and_the_last_page_is_full_loses_nobody(
    plain, ends, last
):
    request = {"path": "/people", "params": {"size": 100}}
    pages = {"kind": "number", "param": "p", "ends": ends}
    assert keys(plain([people(1, 2), people(3, 4), last], request=request, pages=pages)) == [
        "1",
        "2",
        "3",
        "4",
    ]
    assert len(plain.script.asked) == 3


def test_fault_21_read_when_offsets_meet_a_lowered_size_count_what_came(plain):
    request = {"path": "/people", "params": {"size": 100}}
    plain([people(1, 2), people(3), people()], request=request, pages={"kind": "offset", "param": "o"})
    assert [query["o"] for _path, query, _body in plain.script.asked] == ["0", "2", "3"]


def test_fault_21_read_when_the_first_page_is_404_is_no_empty_roster(plain):
    with pytest.raises(FatalError):
        plain([answer({}, 404)], pages={"kind": "number", "param": "p", "ends": ["404"]})
    # A system that says so for an empty list needs a rule of its own.
    assert keys(plain([answer({}, 404)], errors=[{"status": 404, "then": "end"}])) == []


def test_read_when_more_calls_are_needed_than_allowed_stops(plain):
    details = [{"path": "/people/{id}", "into": "more", "most": 2}]
    with pytest.raises(FatalError, match="more people than its document allows calls for more"):
        plain([people(1, 2, 3), {}], details=details)
    assert [path for path, _query, _body in plain.script.asked] == ["/people", "/people/1", "/people/2"]


def test_read_when_an_id_is_strange_stays_within_its_part_of_the_path(plain):
    plain([people("../admin?x=1"), {}], details=[{"path": "/people/{id}/more", "into": "more"}])
    assert plain.script.server.asked[1].path == "/people/../admin?x=1/more"
    assert plain.script.asked[1][1] == {}


def test_read_when_somebody_has_no_second_id_reads_them_without(plain):
    rows = people(1)
    rows["data"]["people"][0]["job"] = None
    fields = {**FIELDS, "job_title": "job_info.title"}
    details = [{"path": "/jobs/{job}", "into": "job_info"}]
    assert keys(plain([rows], details=details, fields=fields)) == ["1"]
    (skipped,) = plain([people(1)], details=details, fields=fields)[0].skipped
    assert skipped.reason == "The call for job_info finds no id here."


def test_check_when_a_place_is_wrong_says_which_field(plain):
    fields = {**FIELDS, "email": "mail.work"}
    plain([people(1)], fields=fields)
    settings = load({**PLAIN, "fields": fields}, base=plain.script.server.url)
    (wrong,) = [r for r in DeclarativeConnector().check(settings) if not r.ok]
    assert (wrong.what, wrong.advice) == ("Field email", "Nobody of them has mail.work. Correct it.")


# -- documents that are refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        ("colour", "red", "document.colour"),
        ("base", "http://hr.example.com", "document.base"),
        ("base", "https://me:pw@hr.example.com", "document.base"),
        ("base", "https://hr.example.com/?key=1", "document.base"),
        ("auth", {"kind": "query", "name": "key"}, "document.auth.kind"),
        ("auth", {"kind": "magic"}, "document.auth.kind"),
        ("auth", {"kind": "oauth"}, "document.auth.token"),
        ("auth", {"kind": "oauth", "token": "http://login.example.com/"}, "document.auth._schema"),
        ("request", {}, "document.request.path"),
        ("request", {"path": "/p", "method": "DELETE"}, "document.request.method"),
        ("pages", {"kind": "cursor", "param": "c"}, "document.pages.next"),
        ("pages", {"kind": "number"}, "document.pages.param"),
        ("pages", {"kind": "header", "ends": ["total"]}, "document.pages.total"),
        ("pages", {"kind": "header", "ends": ["tired"]}, "document.pages.ends.0"),
        ("details", [{"path": "/p", "into": "x"}], "document.details.0.path"),
        ("changes", {"param": "s", "template": "since"}, "document.changes.template"),
        ("changes", {"param": "s", "format": "ISO"}, "document.changes.format"),
        ("errors", [{"then": "end"}], "document.errors.0._schema"),
        ("errors", [{"status": 400, "then": "shrug"}], "document.errors.0.then"),
        ("fields", {"display_name": "name"}, "document.fields.source_key"),
        ("fields", {"source_key": "id"}, "document.fields"),
        ("fields", {"source_key": "id", "display_name": "n", "salary": "x"}, "document.fields.salary"),
        ("constants", {"source_key": "1"}, "document.constants.source_key"),
        ("status_words", {"X": "asleep"}, "document.status_words.X.value"),
        ("date_format", "%d.%m.", "document.date_format"),
        # Private data under any name.
        ("fields", {**FIELDS, "grade": "pay.basicSalary"}, "document.fields.grade"),
        ("fields", {**FIELDS, "city": "dateOfBirth"}, "document.fields.city"),
        ("records", "employees.compensation.items", "document.records"),
        ("details", [{"path": "/p/{id}/bank-accounts", "into": "x"}], "document.details.0.path"),
        ("request", {"path": "/p", "body": {"a": ["id", "home.maritalStatus"]}}, "document.request.body.a.1"),
        ("request", {"path": "/p", "params": {"expand": "health"}}, "document.request.params.expand"),
    ],
)  # fmt: skip
def test_settings_when_the_document_is_wrong_name_the_place(place, value, told):
    with pytest.raises(ma.ValidationError) as raised:
        load({**PLAIN, place: value})
    assert list(flat(raised.value.messages_dict)) == [told]


def flat(messages, outer=""):
    for name, inner in messages.items():
        if isinstance(inner, dict):
            yield from flat(inner, f"{outer}{name}.")
        else:
            yield f"{outer}{name}"


@pytest.mark.parametrize("name", ["pay_grade", "job.payGrade", "family_name", "profile.employmentType"])
def test_settings_when_a_place_only_sounds_private_take_it(name):
    assert load({**PLAIN, "fields": {**FIELDS, "grade": name}})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: a\nbase: [secret words\n", "see line 3"),
        ("name: a\nname2: @secret words\n", "see line 2"),
        ('{"name": "a",\n secret words}', "see line 2"),
        ("/no/such/secret-words.yaml", "no such file"),
        ("- 1\n- 2\n", "Invalid input type"),
        ("name: !!python/object/apply:os.getcwd []\n", "see line 1"),
        ("a: " + "x" * 300_000 + "\n", "too large"),
    ],
)
def test_settings_when_the_document_is_no_document_name_the_line_and_quote_nothing(text, told):
    with pytest.raises(ma.ValidationError, match=told) as raised:
        DeclarativeSettings().load({"document": text, "secret": "s"})
    assert "secret words" not in str(raised.value)


def test_settings_when_the_document_is_a_file_read_it(tmp_path):
    path = tmp_path / "people.yaml"
    path.write_text(EXAMPLES["Okta"], encoding="utf-8")
    assert load_text(str(path)) == load_text(EXAMPLES["Okta"])


def load_text(text):
    return DeclarativeSettings().load({"document": text, "secret": "s"})["document"]


def test_settings_when_yaml_has_words_that_look_like_values_keep_them():
    text = yaml.safe_dump(PLAIN)
    text += "constants: {country: no, city: 2026-03-01, level: 007, grade: 1:30}\n"
    text += "status_words: {true: active, 2: leave}\n"
    document = load_text(text)
    assert document["constants"] == {"country": "no", "city": "2026-03-01", "level": "007", "grade": "1:30"}
    assert document["status_words"] == {"true": "active", "2": "leave"}


@pytest.mark.parametrize("secret", ["tokén", "to\nken", ""])
def test_settings_when_a_secret_cannot_be_sent_are_refused(secret):
    with pytest.raises(ma.ValidationError) as raised:
        load(PLAIN, secret=secret)
    assert list(raised.value.messages_dict) == ["secret"]


def test_settings_when_a_password_has_other_letters_take_it():
    assert load({**PLAIN, "auth": {"kind": "basic"}}, secret="pässword", user="zoë")
