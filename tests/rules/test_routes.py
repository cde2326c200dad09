"""Every route names the role it needs, lets nobody else in, shows nothing of another tenant, is protected.

The requests are generated from the app's own table of routes, so a new page is checked without a new test.
"""

import re
import uuid
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Blueprint, Flask

from rmplugin import web
from rmplugin.api import hookimpl
from rmplugin.app import create_app
from rmplugin.db import Base
from rmplugin.errors import ConfigError
from rmplugin.people.models import Person
from rmplugin.web import Role
from rmplugin.wiring import make_runtime
from tests.factories.browser import Browser
from tests.factories.rows import fill

# Parameters of addresses whose table is not simply their name without "_id".
TABLES = {
    "session_id": "mentoring_session",
    "run_id": "match_run",
    "entry_id": "credit_entry",
    "attempt_id": "launch_attempt",
    "platform_id": "lti_platform",
    "review_id": "matchmaking_review",
}
INLINE = re.compile(r"<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=|<style|javascript:", re.IGNORECASE)


@dataclass(frozen=True)
class Request:
    """One thing that a browser could ask for."""

    endpoint: str
    method: str
    path: str
    role: Role | None
    has_ids: bool


def routes_without_role(app: Flask) -> set[str]:
    roles = app.extensions["rm_roles"]
    return {rule.endpoint for rule in app.url_map.iter_rules()} - set(roles)


def table_of(parameter: str) -> str | None:
    name = TABLES.get(parameter, parameter.removesuffix("_id"))
    return name if name in Base.metadata.tables else None


def requests_for(app: Flask, ids: dict[str, Any]) -> list[Request]:
    """Make a request for every route; `ids` fills in the rows, a random id where it has none."""
    made = []
    adapter = app.url_map.bind("localhost")
    for rule in app.url_map.iter_rules():
        values = {}
        for name in rule.arguments:
            table = table_of(name)
            converter = type(rule._converters[name]).__name__
            if table is not None:
                values[name] = ids.get(table) or uuid.uuid4()
            elif converter == "IntegerConverter":
                values[name] = 1
            elif converter == "UUIDConverter":
                values[name] = uuid.uuid4()
            else:
                values[name] = "x"
        for method in sorted((rule.methods or set()) & {"GET", "POST"}):
            path = adapter.build(rule.endpoint, values, method=method)
            role = app.extensions["rm_roles"].get(rule.endpoint)
            has_ids = any(table_of(name) for name in rule.arguments)
            made.append(Request(rule.endpoint, method, path, role, has_ids))
    return made


def ask(client, request: Request, token: str | None = None):
    headers = {web.HTTP_HEADER: token} if token else {}
    form = {web.ONCE_FIELD: uuid.uuid4().hex} if request.method == "POST" else None
    return client.open(request.path, method=request.method, headers=headers, data=form)


def wrong(app: Flask, requests: list[Request], token: str | None, wanted: int) -> list[str]:
    """Give one line for every request whose answer has not the wanted status."""
    client = app.test_client()
    found = []
    for request in requests:
        status = ask(client, request, token).status_code
        if status != wanted:
            found.append(f"{request.method} {request.path} ({request.endpoint}) answered {status}")
    return found


def strange_ids(app: Flask, ids: dict[str, Any], insider) -> list[str]:
    """Ask for rows that are not ours, as those who may open such pages; give the answers other than 404."""
    requests = [r for r in guarded(app, ids) if r.has_ids]
    for_administrators = [r for r in requests if r.role is Role.ADMINISTRATOR]
    others = [r for r in requests if r.role is not Role.ADMINISTRATOR]
    return wrong(app, others, insider(manager=True), 404) + wrong(
        app, for_administrators, insider(administrator=True), 404
    )


def guarded(app: Flask, ids: dict[str, Any] | None = None) -> list[Request]:
    return [r for r in requests_for(app, ids or {}) if r.role is not None and r.role is not Role.PUBLIC]


def open_rows(runtime, tenant) -> dict[str, Any]:
    """Write a row of every table for the tenant and give their ids."""
    with runtime.database.transaction(None) as db:
        common = {"tenant": tenant.id}
        ids = fill(db.connection(), Base.metadata, common)
    return {name: values[0] for name, values in ids.items()}


@pytest.fixture
def own(runtime, tenant, tool_keys) -> dict[str, Any]:
    return open_rows(runtime, tenant)


@pytest.fixture
def foreign(runtime, other_tenant) -> dict[str, Any]:
    return open_rows(runtime, other_tenant)


@pytest.fixture
def insider(app, runtime, tenant, own, clock):
    """Open browsers of a person whom the roster knows: ``insider(manager=True)`` gives the session token.

    ``insider(administrator=True)`` gives one of somebody who came by `rmplugin admin-link`.
    """

    def token(*, manager: bool = False, administrator: bool = False) -> str:
        with runtime.database.transaction(tenant.id) as db:
            person = None if administrator else db.get_one(Person, own["person"])
        browser = Browser.signed_in(
            app, runtime, tenant, person, manager, None, None, clock.now, administrator=administrator
        )
        return browser.token

    return token


class CarelessPlugin:
    """Brings pages that break the rules, to see that the rules find them."""

    def __init__(self, role: Role | None) -> None:
        self.role = role

    @hookimpl
    def rm_register_blueprints(self, pages):
        if self.role is None:
            blueprint = Blueprint("careless", __name__)
            blueprint.add_url_rule("/careless", "page", lambda: "all may see this")
            return [blueprint]
        careless = pages("careless", __name__)
        careless.get("/careless/<person_id>", role=self.role)(_show_whoever_is_asked_for)
        return [careless]


def _show_whoever_is_asked_for(visit, person_id):
    return f"person {person_id} <b onclick='x()'>"


@pytest.fixture
def careless_app(settings, clock):
    opened = []

    def make(role: Role | None) -> Flask:
        runtime = make_runtime(settings, plugins=[CarelessPlugin(role)], clock=clock)
        opened.append(runtime)
        app = create_app(settings, runtime=runtime)
        app.testing = True
        return app

    yield make
    for runtime in opened:
        runtime.database.close()
        runtime.queue.storage.close()


def test_routes_when_the_app_is_made_all_name_a_role(app):
    assert routes_without_role(app) == set()


def test_routes_when_a_plugin_forgets_the_role_are_refused_at_start(careless_app):
    with pytest.raises(ConfigError, match="name no role"):
        careless_app(None)


def test_routes_when_one_has_no_role_are_found(app):
    app.add_url_rule("/careless", "careless", lambda: "all may see this")
    assert routes_without_role(app) == {"careless"}


def test_routes_when_one_names_a_row_the_rule_knows_its_table(app):
    unknown = {
        name
        for rule in app.url_map.iter_rules()
        if app.extensions["rm_roles"].get(rule.endpoint) is not Role.PUBLIC
        for name in rule.arguments
        if name.endswith("_id") and table_of(name) is None
    }
    assert unknown == set(), "add them to TABLES above"


def test_routes_when_nobody_is_signed_in_are_refused(app, tool_keys):
    assert len(guarded(app)) > 3
    assert wrong(app, guarded(app), None, 401) == []


def test_routes_when_the_session_is_made_up_are_refused(app, tool_keys):
    assert wrong(app, guarded(app), "made-up", 401) == []


def test_routes_of_managers_when_a_participant_asks_are_refused(app, own, insider):
    requests = [r for r in guarded(app, own) if r.role is Role.MANAGER]
    assert requests
    assert wrong(app, requests, insider(manager=False), 403) == []


def test_routes_of_administrators_when_a_manager_asks_are_refused(app, own, insider):
    requests = [r for r in guarded(app, own) if r.role is Role.ADMINISTRATOR]
    assert requests
    assert wrong(app, requests, insider(manager=True), 403) == []


def test_routes_of_a_programme_when_an_administrator_asks_are_refused(app, own, insider):
    requests = [r for r in guarded(app, own) if r.role is not Role.ADMINISTRATOR]
    assert wrong(app, requests, insider(administrator=True), 403) == []


def test_routes_of_participants_when_the_roster_does_not_know_the_visitor_are_refused(
    app, own, tenant, sign_in
):
    requests = [r for r in guarded(app, own) if r.role is Role.PARTICIPANT]
    assert wrong(app, requests, sign_in(tenant, manager=True).token, 403) == []


def test_routes_when_the_id_is_made_up_say_not_found(app, own, insider):
    assert strange_ids(app, {}, insider) == []


def test_routes_when_the_id_is_another_tenants_say_not_found(app, own, foreign, insider):
    assert strange_ids(app, foreign, insider) == []


def test_routes_when_a_plugin_ignores_the_tenant_are_found(careless_app, foreign, runtime, tenant, clock):
    app = careless_app(Role.MANAGER)
    requests = [r for r in guarded(app, foreign) if r.endpoint.startswith("careless.")]
    token = Browser.signed_in(app, runtime, tenant, None, True, None, None, clock.now).token
    assert len(wrong(app, requests, token, 404)) == 1


def test_posts_when_only_the_cookie_says_who_it_is_are_refused(app, own, insider):
    client = app.test_client()
    client.set_cookie(web.COOKIE, insider(manager=True), domain="localhost")
    posts = [r for r in guarded(app, own) if r.method == "POST"]
    assert posts
    answered = {r.path: ask(client, r).status_code for r in posts}
    assert {path: status for path, status in answered.items() if status != 401} == {}


def test_pages_when_shown_carry_the_protecting_headers(app, own, insider, tool_keys):
    token = insider(manager=True)
    client = app.test_client()
    for request in requests_for(app, own):
        answer = ask(client, request, token)
        policy = answer.headers.get("Content-Security-Policy", "")
        assert "default-src 'none'" in policy, request
        assert "frame-ancestors" in policy, request
        assert "unsafe-inline" not in policy, request
        assert answer.headers.get("X-Content-Type-Options") == "nosniff", request
        assert answer.headers.get("Referrer-Policy") == "no-referrer", request
        if request.role not in (None, Role.PUBLIC):
            assert answer.headers.get("Cache-Control") == "no-store", request
            assert "http://127.0.0.1:5001" in policy or answer.status_code in (401, 403), request


def test_pages_when_shown_hold_no_inline_script_or_style(app, own, insider, tool_keys):
    token = insider(manager=True)
    client = app.test_client()
    for request in requests_for(app, own):
        answer = ask(client, request, token)
        if answer.mimetype == "text/html":
            found = INLINE.search(answer.get_data(as_text=True))
            assert found is None, f"{request.path}: {found and found[0]}"


def test_inline_rule_when_a_page_has_an_event_attribute_finds_it():
    assert INLINE.search("<b onclick='x()'>")
    assert INLINE.search('<p style="color:red">')
    assert INLINE.search("<script>x()</script>")
    assert not INLINE.search('<script src="/assets/rm.js" defer></script>')
