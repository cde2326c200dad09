"""A tool made of nothing but the `lti` blueprint, a strict platform on loopback, and a browser."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
import requests
from flask import Flask, jsonify
from structlog.testing import capture_logs

from lti.jwks import generate_signing_key
from lti.launch import Launch
from lti.platforms import Platform
from lti.routes import create_blueprint
from lti.service import ServiceClient
from tests.factories.launches import hire
from tests.factories.launches import register as register_in_database
from tests.fakes.lti_platform import LtiPlatform, make_key
from tests.fakes.lti_store import MemoryStore
from tests.lti.conformance import Suite

TOOL = "https://tool.example"


class Clock:
    def __init__(self, at: datetime) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    @property
    def now(self) -> datetime:
        return self.at

    def advance(self, **duration: float) -> None:
        self.at += timedelta(**duration)


class Tool:
    """The tool under test and what it did."""

    def __init__(self, store, http, clock) -> None:
        self.store = store
        self.clock = clock
        self.launches: list[Launch] = []
        self.refusals = []
        self.log: list[dict] = []
        self.app = Flask("tool")
        self.app.register_blueprint(
            create_blueprint(
                lambda: self.store,
                http,
                on_launch=self._launched,
                on_refused=self._refused,
                on_new_tab=lambda url: jsonify(new_tab=url),
                public_url=lambda: TOOL,
                clock=clock,
                log=lambda fields: self.log.append(dict(fields)),
            )
        )

    def _launched(self, launch):
        self.launches.append(launch)
        return jsonify(code="ok")

    def _refused(self, error, info):
        self.refusals.append((error, info))
        response = jsonify(code=error.code)
        response.status_code = error.status
        return response

    def browser(self):
        return self.app.test_client()


class Lms:
    """The way of a launch through one browser: login, authorisation at the platform, post to the tool."""

    def __init__(self, tool: Tool, platform: LtiPlatform) -> None:
        self.tool = tool
        self.platform = platform

    def begin(self, browser, target=TOOL + "/lti/launch", **changes):
        request = self.platform.login_request(target, **changes)
        response = browser.get("/lti/login", query_string=request, base_url=TOOL)
        assert response.status_code == 302, response.json
        return self.platform.read_authorisation(response.location)

    def post(self, browser, form):
        return browser.post("/lti/launch", data=form, base_url=TOOL)

    def launch(self, browser=None, *, remove=(), token=None, **changes):
        """Run the whole flow with changed claims; `token` makes the id_token out of the claims."""
        browser = browser or self.tool.browser()
        query = self.begin(browser)
        claims = self.platform.claims(query, **changes)
        for name in remove:
            del claims[name]
        id_token = (token or self.platform.id_token)(claims)
        return self.post(browser, {"state": query["state"], "id_token": id_token})


@pytest.fixture(scope="session")
def tool_key():
    return generate_signing_key()


@pytest.fixture(scope="session")
def platform_keys():
    """Three keys: one in use, one to rotate to, one that nobody publishes."""
    return [make_key("Kid-One"), make_key("Kid-Two"), make_key("Kid-Foreign")]


@pytest.fixture
def clock():
    return Clock(datetime(2026, 11, 23, 12, 0, 0, 400_000, tzinfo=UTC))


@pytest.fixture
def http():
    with requests.Session() as session:
        yield session


@pytest.fixture
def store(tool_key, clock):
    return MemoryStore(tool_key, clock)


@pytest.fixture
def platform(platform_keys, store, clock):
    with LtiPlatform(platform_keys[0], lambda: {"keys": store.published_jwks()}, clock) as running:
        yield running


@pytest.fixture
def register(store, platform):
    """Return a function that registers a further client of the platform."""
    numbers = itertools.count(1)

    def register(**changes) -> Platform:
        fields = {
            "key": f"reg-{next(numbers)}",
            "issuer": platform.issuer,
            "client_id": platform.client_id,
            "auth_url": platform.base + "/auth",
            "token_url": platform.base + "/token",
            "jwks_url": platform.base + "/jwks",
            **changes,
        }
        registered = Platform(**fields)
        store.platforms.append(registered)
        return registered

    return register


@pytest.fixture
def registration(register, store, platform):
    registered = register(key="moodle")
    store.deployments["moodle", platform.deployment_id] = "approved"
    return registered


@pytest.fixture
def tool(store, http, clock, registration):
    return Tool(store, http, clock)


@pytest.fixture
def lms(tool, platform):
    return Lms(tool, platform)


@pytest.fixture
def services(store, http, clock):
    return ServiceClient(store, http, clock)


@pytest.fixture
def suite(request, app, database, tenant, tool_keys, clock, platform_keys):
    """The whole application, registered at a strict platform, and one person of its roster."""
    marker = request.node.get_closest_marker("conformance")
    browser = app.test_client()
    with LtiPlatform(platform_keys[0], lambda: browser.get("/lti/jwks").json, clock) as running:
        registered = register_in_database(database, tenant, running, clock.now)
        hire(database, tenant, clock.now, employee_number="E-1001", email="ada@company.example")
        with capture_logs() as log:
            suite = Suite(app, running, marker.kwargs if marker else {}, log, str(registered.id))
            yield suite
    assert suite.asserted or marker is None, "the case's answer was never held against its marker"
