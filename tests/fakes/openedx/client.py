"""What a test uses: start and stop the platform process, launch like a browser, read the gradebook."""

import contextlib
import http.cookiejar
import importlib.util
import json
import os
import pathlib
import selectors
import subprocess
import sys
import tempfile
import time
from html.parser import HTMLParser

import requests

ROOT = pathlib.Path(__file__).resolve().parents[3]
LOOPBACK_TIMEOUT = 30


class PlatformError(Exception):
    """The platform did not start, or did not answer as it should."""


def installed():
    """Return whether the dependency group `openedx` is installed, without importing it."""
    return importlib.util.find_spec("lti_consumer") is not None


class Browser(requests.Session):
    """A session that treats loopback as secure, as browsers do, and uses no proxy."""

    def __init__(self):
        super().__init__()
        self.trust_env = False
        self.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(secure_protocols=("http", "https")))

    def send(self, request, **options):
        # The session copies its cookies into a jar with the usual policy, which holds back Secure cookies.
        request.headers.pop("Cookie", None)
        if header := requests.cookies.get_cookie_header(self.cookies, request):
            request.headers["Cookie"] = header
        return super().send(request, **options)


def browser():
    """Return a new browser; close it, or use it as a context manager."""
    return Browser()


class OpenEdxPlatform:
    """The platform process; a context manager.

    After the start, these attributes are what an administrator would copy into the tool: issuer, client_id,
    deployment_id, auth_url, token_url, jwks_url; and context_id, resource_link_id, lineitems_url,
    memberships_url, launch_urls (instructor, learner), control_url, pid.

    :param tool_url: base URL of the tool. The tool has to answer only when somebody launches it.
    :param login_path: path of the tool's login initiation.
    :param launch_path: path of the tool's redirect URI.
    :param target_path: path of the tool's target_link_uri; None is the launch path.
    :param jwks_path: path of the tool's key set.
    :param port: port to listen on; 0 takes a free one.
    :param start_timeout: seconds until the start is given up.
    """

    def __init__(
        self,
        tool_url,
        *,
        login_path="/lti/login",
        launch_path="/lti/launch",
        target_path=None,
        jwks_path="/lti/jwks",
        port=0,
        start_timeout=60,
    ):
        self.start_timeout = start_timeout
        self.process = None
        self._cleanup = contextlib.ExitStack()
        self._errors = None
        self._options = ["--tool-url", tool_url, "--login-path", login_path, "--launch-path", launch_path]
        self._options += ["--jwks-path", jwks_path, "--port", str(port)]
        if target_path:
            self._options += ["--target-path", target_path]

    def __enter__(self):
        return self.start()

    def __exit__(self, *_problem):
        self.stop()

    def start(self):
        """Start the process and wait until it is ready.

        :return: self.
        :raises PlatformError: it ended or was not ready in time; the text has its standard error.
        """
        # An anonymous file: a pipe that nobody reads would fill up and stop the platform.
        self._errors = self._cleanup.enter_context(tempfile.TemporaryFile("w+"))  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.openedx", "--until-stdin-closes", *self._options],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        try:
            description = self._first_line()
        except BaseException:
            self.stop()
            raise
        for name, value in description.items():
            setattr(self, name, value)
        return self

    def _first_line(self):
        deadline = time.monotonic() + self.start_timeout
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            ready = selector.select(max(0.0, deadline - time.monotonic()))
        line = self.process.stdout.readline() if ready else ""
        if not line:
            state = "ended" if ready else f"was not ready within {self.start_timeout} s"
            raise PlatformError(f"The Open edX platform {state}. Its standard error:\n{self.stderr()}")
        return json.loads(line)

    def stop(self):
        """End the process and remove its files; doing so twice is harmless."""
        if self.process is not None:
            process, self.process = self.process, None
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(timeout=10)
            process.stdin.close()
            process.stdout.close()
        self._cleanup.close()

    def stderr(self):
        """Return what the process wrote to standard error so far; empty after the end."""
        if self._errors is None or self._errors.closed:
            return ""
        # The process writes through the same open file, so its position must not move.
        size = os.fstat(self._errors.fileno()).st_size
        return os.pread(self._errors.fileno(), size, 0).decode(errors="replace")

    def launch_url(self, username, *, message=None):
        """Return the URL that starts a launch.

        :param username: a person of the course.
        :param message: "deep_linking" asks for content selection; None is a resource link launch.
        """
        return f"{self.issuer}/launch/{username}" + (f"?message={message}" if message else "")

    def id_token_form(self, launch_url, session):
        """Go through login initiation and authorization, up to the form that carries the id_token.

        :return: tuple (URL of the tool, dict of the fields).
        :raises PlatformError: the flow ended elsewhere, for example at an error page.
        """
        response = session.get(launch_url, timeout=LOOPBACK_TIMEOUT)
        form = Form(response.text)
        if not response.url.startswith(self.auth_url) or "id_token" not in form.fields:
            where = response.url.split("?")[0]
            raise PlatformError(
                f"No id_token: the flow ended with {response.status_code} at {where}:\n"
                f"{response.text[:2000]}\n"
                f"Standard error of the platform:\n{self.stderr()[-4000:]}",
            )
        return form.action, form.fields

    def launch(self, launch_url, session):
        """Do the whole launch as a browser would and return the tool's answer to the id_token."""
        action, fields = self.id_token_form(launch_url, session)
        return session.post(action, data=fields, timeout=LOOPBACK_TIMEOUT)

    def control(self, **changes):
        """Change parts of the platform and return its state.

        :param changes: people, custom, share_in_launch, share_in_roster, past_due, ags_mode,
            roster_page_size, outage, clear, reset; see `views.control`.
        """
        with browser() as session:
            if changes:
                answer = session.post(self.control_url, json=changes, timeout=LOOPBACK_TIMEOUT)
            else:
                answer = session.get(self.control_url, timeout=LOOPBACK_TIMEOUT)
        if not answer.ok:
            raise PlatformError(f"The control endpoint answered {answer.status_code}: {answer.text[:2000]}")
        return answer.json()

    def people(self):
        """Return everybody in the course: dicts with username, name, email, role, external_id and so on."""
        return self.control()["people"]

    def grades(self):
        """Return the gradebook: external_id -> dict(username, score, maximum, comment)."""
        return {grade["external_id"]: grade for grade in self.control()["grades"]}

    def requests_to(self, path_part):
        """Return the requests that the platform's services saw, oldest first, whose path contains this."""
        return [request for request in self.control()["requests"] if path_part in request["path"]]


class Form(HTMLParser):
    """The first form of a page: its action and the values of its inputs."""

    def __init__(self, page):
        super().__init__()
        self.action = None
        self.fields = {}
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if tag == "form" and self.action is None:
            self.action = values.get("action")
        elif tag == "input" and values.get("name"):
            self.fields[values["name"]] = values.get("value") or ""
