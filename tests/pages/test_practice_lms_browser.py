"""The practice LMS in a real browser that blocks third-party cookies, with a tool on another host name."""

import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, sync_playwright

from rmplugin.demo.lms_settings import DEFAULT_COURSE, LmsActivity
from rmplugin.demo.practice_lms import LmsPerson, LmsSettings, make_lms_server

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
PEOPLE = (
    LmsPerson(
        user_id="11", given_name="Ina", family_name="Berg", role="instructor", group="Programme manager"
    ),
    *(LmsPerson(user_id=str(12 + n), given_name=f"Tom{n}", family_name="Okoro") for n in range(20)),
)
# Whatever a teacher types as a name in the content picker.
LONG_NAME = LmsActivity(title="Mentoring" + "x" * 190)
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


class ToolHandler(BaseHTTPRequestHandler):
    """A tool that does nothing but the handshake; `/slow/` goes on by a script instead of a redirect."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        if self.path.endswith("/login"):
            self._go_on(form)
        else:
            self._show(form)

    def _go_on(self, form: dict[str, str]) -> None:
        asked = {
            "scope": "openid",
            "response_type": "id_token",
            "response_mode": "form_post",
            "prompt": "none",
            "client_id": form["client_id"],
            "redirect_uri": f"http://{self.headers['Host']}/lti/launch",
            "login_hint": form["login_hint"],
            "lti_message_hint": form["lti_message_hint"],
            "state": "s",
            "nonce": "n",
        }
        url = f"{form['iss']}/auth?{urlencode(asked)}"
        if self.path.startswith("/slow/"):
            self._answer(200, f"<script>location.href = {json.dumps(url)}</script>")
        else:
            self._answer(302, "", Location=url)

    def _show(self, form: dict[str, str]) -> None:
        if "id_token" in form:
            claims = jwt.decode(form["id_token"], options={"verify_signature": False})
            text = f"Hello {claims['name']}"
        else:
            text = form["error_description"]
        self._answer(
            200, f"<!doctype html><html lang=en><title>t</title><main><h1>{escape(text)}</h1></main>"
        )

    def _answer(self, status: int, page: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page.encode())))
        self.end_headers()
        self.wfile.write(page.encode())

    def log_message(self, *_: Any) -> None:
        pass


def run(server: Any) -> threading.Thread:
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    return thread


@pytest.fixture
def lms_url(request, tmp_path: Path) -> Iterator[str]:
    tool = ThreadingHTTPServer(("127.0.0.1", 0), ToolHandler)
    tool_url = f"http://localhost:{tool.server_port}"
    # The port has to be known before the settings, so a first server finds a free one.
    probe = ThreadingHTTPServer(("127.0.0.1", 0), ToolHandler)
    port = probe.server_port
    probe.server_close()
    settings = LmsSettings(
        issuer=f"http://127.0.0.1:{port}",
        tool_url=tool_url,
        login_url=f"{tool_url}/{getattr(request, 'param', 'lti')}/login",
        data_dir=tmp_path / "lms",
        people=PEOPLE,
        courses=(
            DEFAULT_COURSE,
            replace(DEFAULT_COURSE, course_id="102", storage_frame="_parent"),
            replace(DEFAULT_COURSE, course_id="103", storage_frame="kept_here"),
            replace(DEFAULT_COURSE, course_id="104", title="y" * 200, activities=(LONG_NAME,)),
        ),
    )
    lms = make_lms_server(settings, port=port)
    threads = [run(tool), run(lms)]
    yield settings.issuer
    for server in (tool, lms):
        server.shutdown()
        server.server_close()
    for thread in threads:
        thread.join()


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    profile = tmp_path / "profile" / "Default"
    profile.mkdir(parents=True)
    # Third-party cookies are blocked: the normal case of today's browsers.
    (profile / "Preferences").write_text(json.dumps({"profile": {"cookie_controls_mode": 1}}))
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(profile.parent),
            executable_path=CHROMIUM,
            headless=True,
            viewport={"width": 360, "height": 740},
        )
        context.set_default_timeout(10_000)
        yield context.pages[0]
        context.close()


@pytest.mark.parametrize("lms_url", ["lti", "slow"], indirect=True)
def test_launch_when_third_party_cookies_are_blocked_reaches_the_tool(lms_url: str, page: Page) -> None:
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.goto(lms_url)
    page.get_by_role("button", name="Tom3 Okoro").click()
    page.get_by_role("link", name="Reverse mentoring").click()
    frame = page.frame_locator("iframe")
    frame.get_by_role("heading", name="Hello Tom3 Okoro").wait_for()
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Open in a new window").click()
    opened.value.get_by_role("heading", name="Hello Tom3 Okoro").wait_for()
    assert [text for text in problems if "Content Security" in text or "Refused" in text] == []
    assert urlsplit(opened.value.url).hostname == "localhost"


def test_pages_when_seen_at_360_px_fit_and_pass_axe(lms_url: str, page: Page) -> None:
    page.goto(lms_url)
    check_page(page)
    page.get_by_role("button", name="Ina Berg").click()
    page.wait_for_url("**/course/101")
    courses = [f"/course/{course}{page}" for course in (101, 104) for page in ("", "/roster", "/grades")]
    for path in (*courses, "/practice", "/course/404"):
        page.goto(lms_url + path)
        check_page(page)


def check_page(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= 360, page.url
    found = Axe().run(page, options={"runOnly": WCAG})
    assert found.violations_count == 0, f"{page.url}: {found.generate_report()}"


def test_front_page_when_used_by_keyboard_alone_signs_in(lms_url: str, page: Page) -> None:
    page.goto(lms_url)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    for _ in range(20):
        page.keyboard.press("Tab")
        if "Ina Berg" in (page.evaluate("document.activeElement.innerText") or ""):
            break
    page.keyboard.press("Enter")
    page.wait_for_url("**/course/101")
    assert "Ina Berg" in page.locator("header").inner_text()


# Sends a message from the tool's frame, and gives the reply, or None when none comes.
ASK = """([frame, message]) => new Promise((resolve) => {
  const hear = ({data}) => { if (data.subject === `${message.subject}.response`) end(data); };
  const end = (reply) => { removeEventListener("message", hear); resolve(reply); };
  addEventListener("message", hear);
  (frame === "_parent" ? parent : parent.frames[frame]).postMessage(message, "*");
  setTimeout(end, 1000, null);
})"""


def open_activity(page: Page, lms_url: str, course: str) -> None:
    page.goto(lms_url)
    page.get_by_role("button", name="Tom3 Okoro").click()
    page.wait_for_url("**/course/101")
    page.goto(f"{lms_url}/course/{course}")
    page.locator("main li a", has_text="Reverse mentoring").first.click()
    page.frame_locator("iframe.tool").get_by_role("heading", name="Hello Tom3 Okoro").wait_for()


def ask(page: Page, message: dict[str, Any], frame: str = "_parent") -> Any:
    tool = next(frame for frame in page.frames if frame.url.startswith("http://localhost:"))
    reply = tool.evaluate(ASK, [frame, message])
    if reply is not None:
        assert reply.pop("message_id", None) == message.get("message_id")
        assert reply.pop("subject") == message["subject"] + ".response"
    return reply


def fault_of(page: Page, frame: str = "_parent", **message: Any) -> str:
    reply = ask(page, {"message_id": "1", **message}, frame)
    assert reply.keys() == {"error"}
    return reply["error"]["code"]


@pytest.mark.parametrize(("course", "frame"), [("102", "_parent"), ("103", "kept_here")])
def test_platform_storage_when_the_tool_asks_keeps_gives_and_forgets(
    lms_url: str, page: Page, course: str, frame: str
) -> None:
    open_activity(page, lms_url, course)
    offered = ask(page, {"subject": "lti.capabilities", "message_id": "a"})["supported_messages"]
    assert {"subject": "lti.put_data", "frame": frame} in offered
    assert {"subject": "lti.get_data", "frame": frame} in offered
    for subject, value, kept in (
        ("lti.get_data", None, None),
        ("lti.put_data", "v", "v"),
        ("lti.get_data", None, "v"),
        ("lti.put_data", None, None),
        ("lti.get_data", None, None),
    ):
        message = {"subject": subject, "message_id": "b", "key": "k", "value": value}
        assert ask(page, message, frame) == {"key": "k", "value": kept}


def test_platform_storage_when_a_message_is_wrong_says_which_error(lms_url: str, page: Page) -> None:
    open_activity(page, lms_url, "102")
    put = {"subject": "lti.put_data", "key": "k", "value": "v"}
    for wrong in ({"message_id": None}, {"message_id": 1}, {"key": ""}, {"key": None}, {"key": "k" * 256}):
        assert fault_of(page, **{**put, **wrong}) == "bad_request"
    assert fault_of(page, **{**put, "value": {"a": 1}}) == "bad_request"
    assert fault_of(page, subject="lti.get_data") == "bad_request"
    assert fault_of(page, subject="lti.unheardOf") == "unsupported_subject"
    assert fault_of(page, subject="lti.__proto__") == "unsupported_subject"
    assert fault_of(page, **{**put, "value": "v" * 4096}) == "storage_exhaustion"
    for number in range(500):
        name = f"{number:03}"
        page.evaluate(
            "([name, origin]) => dispatchEvent(new MessageEvent('message', {origin, source: window, data:"
            " {subject: 'lti.put_data', message_id: '1', key: name, value: ''}}))",
            [name, page.frames[-1].evaluate("origin")],
        )
    assert fault_of(page, **put) == "storage_exhaustion"
    assert ask(page, {**put, "message_id": "1", "key": "007"}) == {"key": "007", "value": "v"}


def test_platform_storage_when_another_site_or_frame_asks_gives_nothing(lms_url: str, page: Page) -> None:
    open_activity(page, lms_url, "103")
    put = {"subject": "lti.put_data", "message_id": "1", "key": "k", "value": "secret"}
    assert ask(page, put, "kept_here")["value"] == "secret"
    # The frame is named, so the page itself stores nothing.
    assert fault_of(page, **put) == "unsupported_subject"
    store = next(frame for frame in page.frames if frame.name == "kept_here")
    code = store.evaluate(
        """(message) => new Promise((resolve) => {
      addEventListener("message", ({data}) => { if (data.error) resolve(data.error.code); });
      postMessage(message, origin);
    })""",
        {**put, "subject": "lti.get_data"},
    )
    assert code == "wrong_origin"
    assert ask(page, {"subject": "other.get_data", "message_id": "1", "key": "k"}, "kept_here") is None
