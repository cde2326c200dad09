"""A tool made of the `lti` package and a store in memory, and the Open edX platform that it faces."""

import contextlib
import os
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
import requests
from flask import Flask, Response
from werkzeug.serving import WSGIRequestHandler, make_server

from lti.jwks import generate_signing_key
from lti.platforms import Platform
from lti.routes import create_blueprint
from lti.service import ServiceClient
from tests.fakes.lti_store import MemoryStore
from tests.fakes.openedx.client import OpenEdxPlatform, browser, installed


def now():
    return datetime.now(UTC)


@dataclass
class Tool:
    """The tool under test: what it accepted and what it refused, and its way to the platform's services."""

    store: MemoryStore
    http: requests.Session
    url: str = ""
    launches: list = field(default_factory=list)
    refusals: list = field(default_factory=list)
    new_tabs: list = field(default_factory=list)

    def service(self):
        return ServiceClient(self.store, self.http, now)

    def register(self, platform):
        """Register the platform and approve its deployment, as an administrator would."""
        registration = Platform(
            key="openedx",
            issuer=platform.issuer,
            client_id=platform.client_id,
            auth_url=platform.auth_url,
            token_url=platform.token_url,
            jwks_url=platform.jwks_url,
            family="openedx",
        )
        self.store.platforms = [registration]
        self.store.deployments[registration.key, platform.deployment_id] = "approved"

    def _accept(self, launch):
        self.launches.append(launch)
        return Response("accepted")

    def _refuse(self, error, _info):
        self.refusals.append(error.code)
        return Response(error.message, error.status)

    def _offer_new_tab(self, url):
        self.new_tabs.append(url)
        return Response("open a new tab")

    def blueprint(self):
        return create_blueprint(
            lambda: self.store,
            self.http,
            on_launch=self._accept,
            on_refused=self._refuse,
            on_new_tab=self._offer_new_tab,
            public_url=lambda: self.url,
            clock=now,
            log=lambda _fields: None,
        )


class QuietHandler(WSGIRequestHandler):
    def log_request(self, *_args):
        pass


@contextlib.contextmanager
def running_tool():
    """Serve a tool on a free port of the loopback interface."""
    with browser() as http:
        tool = Tool(MemoryStore(generate_signing_key(), now), http)
        app = Flask("tool")
        app.register_blueprint(tool.blueprint())
        server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=QuietHandler)
        tool.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield tool
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def require_openedx():
    """Skip without the dependency group `openedx`; in CI it has to be there, so fail."""
    if installed():
        return
    reason = "The dependency group openedx is not installed: uv sync --group openedx"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass
class Site:
    """A platform and a tool that know each other."""

    platform: OpenEdxPlatform
    tool: Tool

    def launch(self, launch_url):
        """Launch in a fresh browser and return what the tool accepted."""
        with browser() as session:
            answer = self.platform.launch(launch_url, session)
        assert answer.text == "accepted", (answer.status_code, self.tool.refusals)
        return self.tool.launches[-1]


@contextlib.contextmanager
def running_site():
    """Start a tool and a platform that know each other."""
    require_openedx()
    with running_tool() as tool, OpenEdxPlatform(tool.url) as platform:
        tool.register(platform)
        yield Site(platform, tool)
