"""The contract, on a connector that is as plain as can be; and on faulty ones, which it must find."""

import json
from datetime import date

import marshmallow as ma
import pytest
from werkzeug.wrappers import Request, Response

from rmplugin import testing
from rmplugin.api import (
    Capabilities,
    CheckResult,
    EmployeeRecord,
    FatalError,
    RetriableError,
    RosterPage,
    SkippedRecord,
    http,
)


class PlainSettings(ma.Schema):
    url = ma.fields.String(required=True)


class Plain:
    key, title, settings_schema = "plain", "Plain", PlainSettings
    capabilities = Capabilities()

    def check(self, settings):
        try:
            list(self.read(settings, None))
        except (RetriableError, FatalError) as error:
            return [CheckResult("People", ok=False, advice=error.message_for_user)]
        return [CheckResult("People", ok=True)]

    def read(self, settings, _cursor):
        client, places, path = http.Client("Plain", settings["url"]), http.Pages("Plain"), "people?page=0"
        while path:
            body = client.get(places.once(path)).json()
            page = RosterPage([])
            for row in body["people"]:
                self._take(row, page)
            yield page
            path = body["next"]

    def _take(self, row, page):
        key = row["key"]
        try:
            hired = date.fromisoformat(row["hired"])
        except ValueError:
            page.skipped.append(SkippedRecord(f"person {key}", "hire_date", "This is no date.", key))
            return
        page.records.append(
            EmployeeRecord(
                source_key=key,
                ref=f"person {key}",
                email=row["mail"],
                display_name=row["name"],
                hire_date=hired,
            )
        )


class PlainSource:
    def __init__(self, connector):
        self.connector, self.people, self.gone = connector, [], False
        self.server = testing.FaultyServer(self.answer)
        self.settings = {"url": self.server.url}

    def answer(self, environ, start_response):
        page = int(Request(environ).args["page"])
        rows = [
            {"key": p["source_key"], "mail": p["email"], "name": p["given_name"],
             "hired": "never" if p.get("bad") else p["hire_date"].isoformat()}
            for p in self.people[page * 3 : page * 3 + 3]
        ]  # fmt: skip
        more = f"people?page={page + 1}" if len(self.people) > page * 3 + 3 else None
        status = 404 if self.gone else 200
        return Response(json.dumps({"people": rows, "next": more}), status)(environ, start_response)

    def fill(self, people):
        self.people = list(people)

    def spoil(self):
        self.gone = True


class TestPlain(testing.ConnectorContract):
    @pytest.fixture
    def source(self):
        source = PlainSource(Plain())
        with source.server:
            yield source


class Forgetful(Plain):
    """Takes an answer that broke off, or a page of HTML, for the end."""

    def read(self, settings, cursor):
        try:
            yield from super().read(settings, cursor)
        except RetriableError:
            return


class Chatty(Plain):
    def _take(self, row, page):
        super()._take(row, page)
        page.skipped[:] = [SkippedRecord(s.ref, s.field, row["mail"], s.source_key) for s in page.skipped]


@pytest.mark.parametrize(
    ("connector", "broken"),
    [
        (Forgetful(), "test_read_when_the_interface_fails_ends_as_the_fault_asks"),
        (Chatty(), "test_read_when_one_record_is_bad_skips_it_without_naming_anybody"),
    ],
)
def test_contract_when_a_connector_breaks_it_says_so(connector, broken):
    source = PlainSource(connector)
    with source.server, pytest.raises(AssertionError):
        getattr(testing.ConnectorContract(), broken)(source)
