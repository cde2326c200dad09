"""A plain launch from `lti-provider-mock`: a platform and a signer that we did not write.

The package is an ASGI application; it is called in this process without a server. Only its key set is served
on loopback, because the tool fetches it over HTTP.
"""

import asyncio
import html
import importlib
import re
from datetime import UTC, datetime
from http.cookies import SimpleCookie
from urllib.parse import urlencode, urlsplit

import pytest

TOOL = "https://tool.example"
ISSUER = "https://provider.example"


class Provider:
    """One browser at the provider."""

    def __init__(self, app) -> None:
        self._app = app
        self._cookies = SimpleCookie()

    def call(self, method, path, form=None):
        """Return status, headers and text of one request."""
        cookies = "; ".join(f"{name}={morsel.coded_value}" for name, morsel in self._cookies.items())
        parts = urlsplit(path)
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "https",
            "server": ("provider.example", 443),
            "path": parts.path,
            "root_path": "",
            "query_string": parts.query.encode(),
            "headers": [
                (b"host", b"provider.example"),
                (b"cookie", cookies.encode()),
                (b"content-type", b"application/x-www-form-urlencoded"),
            ],
        }
        sent = []

        async def receive():
            return {"type": "http.request", "body": urlencode(form or {}).encode(), "more_body": False}

        async def send(message):
            sent.append(message)

        asyncio.run(self._app(scope, receive, send))
        headers = [(name.decode(), value.decode()) for name, value in sent[0]["headers"]]
        for name, value in headers:
            if name == "set-cookie":
                self._cookies.load(value)
        return sent[0]["status"], dict(headers), b"".join(m.get("body", b"") for m in sent[1:]).decode()


def fields(page):
    return {
        match[1]: html.unescape(match[2])
        for match in re.finditer(r'<input[^>]*?name="(\w+)"[^>]*?value="([^"]*)"', page)
    }


@pytest.fixture
def provider(monkeypatch):
    user = '[{"id": "u1", "given_name": "Grace", "family_name": "Hopper", "email": "grace@company.example"}]'
    environment = {
        "USERS": user,
        "COURSES": '[{"id": "c1", "name": "Reverse mentoring"}]',
        "LTI__ISS": ISSUER,
        "LTI__LOGIN_URL": TOOL + "/lti/login",
        "LTI__LAUNCH_URL": TOOL + "/lti/launch",
    }
    for name, value in environment.items():
        monkeypatch.setenv("LTI_PROVIDER_MOCK__" + name, value)
    return Provider(importlib.import_module("lti_provider_mock.server").app)


# The provider uses an accessor that jwcrypto has deprecated.
@pytest.mark.filterwarnings("ignore::DeprecationWarning:lti_provider_mock")
def test_launch_when_signed_by_another_implementation_is_accepted(provider, tool, platform, register, clock):
    # The provider has no clock to set.
    clock.at = datetime.now(UTC)
    platform.jwks_answer = (200, provider.call("GET", "/jwks")[2])
    register(key="mock", issuer=ISSUER, client_id="lti-provider-mock", auth_url=ISSUER + "/authorize")
    assert provider.call("POST", "/login", {"userid": "u1"})[0] == 303
    browser = tool.browser()
    login = fields(provider.call("GET", "/courses/c1")[2])
    response = browser.post("/lti/login", data=login, base_url=TOOL)
    authorise = response.location.removeprefix(ISSUER)
    launch = fields(provider.call("GET", authorise)[2])
    assert browser.post("/lti/launch", data=launch, base_url=TOOL).json == {"code": "ok"}
    (launched,) = tool.launches
    assert (launched.platform.key, launched.subject, launched.name) == ("mock", "u1", "Grace Hopper")
    assert (launched.context.id, launched.resource_link.id) == ("c1", "1")
    assert browser.post("/lti/launch", data=launch, base_url=TOOL).json["code"] == "state_unknown"
