"""The script that talks to a platform's storage: whom it tells what, whose answer it takes, who may post.

The tool is nothing but the `lti` blueprint. The browser keeps no cookies for it, so only storage can help.
"""

import json
import threading
from datetime import UTC, datetime
from html import escape
from types import SimpleNamespace
from urllib.parse import urlencode

import pytest
import requests
from flask import Flask, request
from playwright.sync_api import sync_playwright
from werkzeug.serving import WSGIRequestHandler, make_server

from lti.jwks import generate_signing_key
from lti.platforms import Platform
from lti.routes import create_blueprint
from tests.browser.conftest import ARGUMENTS, BLOCK, CHROMIUM
from tests.fakes.lti_platform import LtiPlatform, make_key
from tests.fakes.lti_store import MemoryStore
from tests.lti.test_platform_storage import Elements

pytestmark = [
    pytest.mark.part("chromium"),
    pytest.mark.xdist_group("browser"),
    pytest.mark.timeout(120),
    pytest.mark.enable_socket,
]

# A page that stores as a platform should, in the frame that it is.
STORAGE = """<script>
const kept = {};
addEventListener("message", (event) => {
  const {subject, key, value, message_id} = event.data;
  if (subject === "lti.put_data") kept[key] = value;
  const answer = {subject: subject + ".response", message_id, key, value: kept[key] ?? null};
  event.source.postMessage(answer, event.origin);
});
</script>"""
EAVESDROP = "<script>heard = []; addEventListener('message', (e) => heard.push(e.data.subject))</script>"
SEND = "<script>document.querySelector('form').submit()</script>"


class Quiet(WSGIRequestHandler):
    def log_request(self, *_):
        pass


def now():
    return datetime.now(UTC)


def serve(app):
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    return server, thread


def frame(url: str, name: str = "") -> str:
    return f'<iframe name="{name}" src="{escape(url)}"></iframe>'


def form(url: str, fields: dict[str, str]) -> str:
    inputs = "".join(f'<input name="{name}" value="{escape(value)}">' for name, value in fields.items())
    return f'<form method="post" action="{url}">{inputs}</form>'


class World:
    """The tool, a platform, an attacker's site, and a browser without cookies for the tool."""

    def __init__(self) -> None:
        self.launches: list[str] = []
        self.pages: dict[str, str] = {}
        self.servers = []
        self.http = requests.Session()
        self.store = MemoryStore(generate_signing_key(), now)
        self.lti = LtiPlatform(make_key("one"), dict, now).__enter__()
        # Platform and attacker are two origins that serve what a test writes.
        self.platform, self.evil = (self._serve(self._site()) for _ in range(2))
        self.tool = self._serve(self._tool()).replace("127.0.0.1", "localhost")
        self.store.platforms.append(
            Platform(
                "p",
                self.lti.issuer,
                self.lti.client_id,
                self.platform + "/auth",
                self.platform + "/token",
                self.lti.base + "/jwks",
            )
        )

    def _serve(self, app) -> str:
        server, thread = serve(app)
        self.servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    def _site(self) -> Flask:
        site = Flask("site")

        @site.get("/<name>")
        def page(name):
            return "<!doctype html><title>t</title>" + self.pages.get(name, f"this is {name}")

        @site.get("/auth")
        def authorise():
            """Answer as a platform's authorisation endpoint: a form that sends itself."""
            return form(f"{self.tool}/lti/launch", self.launch_fields(request.url)) + SEND

        return site

    def _tool(self) -> Flask:
        tool = Flask("tool")

        def accepted(launch):
            self.launches.append(launch.bound_by)
            return tool.make_response("accepted")

        tool.register_blueprint(
            create_blueprint(
                lambda: self.store,
                self.http,
                on_launch=accepted,
                on_refused=lambda error, _: tool.make_response(f"refused {error.code}"),
                on_new_tab=lambda _: tool.make_response("new tab"),
                public_url=lambda: self.tool,
                clock=now,
            )
        )
        return tool

    def login_url(self, target: str = "_parent") -> str:
        fields = self.lti.login_request(f"{self.tool}/lti/launch", lti_storage_target=target)
        return f"{self.tool}/lti/login?{urlencode(fields)}"

    def launch_fields(self, url: str) -> dict[str, str]:
        """Answer an authorisation request as the platform does."""
        query = dict(pair.split("=") for pair in url.partition("?")[2].split("&"))
        claims = self.lti.claims(query)
        claims["https://purl.imsglobal.org/spec/lti/claim/target_link_uri"] = f"{self.tool}/lti/launch"
        return {"state": query["state"], "id_token": self.lti.id_token(claims)}

    def begin_elsewhere(self, target: str = "_parent") -> SimpleNamespace:
        """Begin a launch in the attacker's own browser: of it, the attacker knows everything."""
        with requests.Session() as browser:
            (link,) = Elements(browser.get(self.login_url(target), timeout=10).text).found["a"]
        return SimpleNamespace(secret=link["data-value"], fields=self.launch_fields(link["href"]))

    def close(self) -> None:
        for server, thread in self.servers:
            server.shutdown()
            server.server_close()
            thread.join()
        self.lti.__exit__()
        self.http.close()


@pytest.fixture(scope="module")
def shared_world():
    world = World()
    yield world
    world.close()


@pytest.fixture
def world(shared_world):
    shared_world.launches.clear()
    shared_world.pages.clear()
    return shared_world


@pytest.fixture(scope="module")
def context(shared_world, tmp_path_factory):
    profile = tmp_path_factory.mktemp("profile")
    (profile / "Default").mkdir()
    exceptions = {"cookies": {f"{shared_world.tool},*": {"setting": BLOCK}}}
    settings = {"profile": {"cookie_controls_mode": 0, "content_settings": {"exceptions": exceptions}}}
    (profile / "Default" / "Preferences").write_text(json.dumps(settings))
    with sync_playwright() as started:
        opened = started.chromium.launch_persistent_context(
            str(profile), executable_path=CHROMIUM, headless=True, args=ARGUMENTS
        )
        opened.set_default_timeout(20_000)
        yield opened
        opened.close()


@pytest.fixture
def page(world, context):
    page = context.new_page()
    yield page
    page.close()


def test_launch_when_the_page_around_it_stores_gets_in(world, page):
    world.pages["course"] = STORAGE + frame(world.login_url())
    page.goto(f"{world.platform}/course")
    page.frame_locator("iframe").get_by_text("accepted").wait_for()
    assert world.launches == ["storage"]
    # What has done its work is not left behind.
    assert page.evaluate("Object.values(kept)") == [None]


def test_launch_when_the_storage_frame_is_slow_to_load_gets_in(world, page):
    world.pages["store"] = STORAGE
    late = "<script>setTimeout(() => document.querySelector('[name=kept]').src = '/store', 700)</script>"
    world.pages["course"] = frame("about:blank", "kept") + frame(world.login_url("kept"), "tool") + late
    page.goto(f"{world.platform}/course")
    page.frame_locator("[name=tool]").get_by_text("accepted").wait_for()
    assert world.launches == ["storage"]


def test_launch_when_opened_as_a_window_by_the_platform_gets_in(world, page):
    world.pages["course"] = STORAGE
    page.goto(f"{world.platform}/course")
    with page.expect_popup() as opened:
        page.evaluate("url => { open(url) }", world.login_url())
    opened.value.get_by_text("accepted").wait_for()
    assert world.launches == ["storage"]
    opened.value.close()


def test_launch_when_no_storage_answers_goes_on_to_the_new_tab(world, page):
    targets = ("_parent", "missing", "location", "0", "__proto__", "constructor", "postMessage")
    world.pages["course"] = "".join(frame(world.login_url(target), f"for{target}") for target in targets)
    page.goto(f"{world.platform}/course")
    for target in targets:
        page.frame_locator(f"[name=for{target}]").get_by_text("new tab").wait_for()
    assert world.launches == []


def test_login_when_framed_by_another_site_tells_it_nothing(world, page):
    world.pages["ear"] = EAVESDROP
    frames = (
        frame("/ear", "ear") + frame(world.login_url(), "parent") + frame(world.login_url("ear"), "named")
    )
    world.pages["trap"] = EAVESDROP + frames
    page.goto(f"{world.evil}/trap")
    for name in ("parent", "named"):
        page.frame_locator(f"[name={name}]").get_by_text("new tab").wait_for()
    assert page.evaluate("heard") == []
    assert page.frame("ear").evaluate("heard") == []


def answering(secret: str) -> str:
    """Answer every question before it is heard; the test lets the attacker know the message's number."""
    replies = [
        {"subject": "lti.get_data.response", "message_id": "0-0-0-0", "value": secret},
        {"subject": "lti.get_data.response", "message_id": "0-0-0-0", "value": secret, "key": "any"},
    ]
    return f"""<script>setInterval(() => {{
        for (const reply of {json.dumps(replies)}) frames.tool.postMessage(reply, "*");
    }}, 20)</script>"""


@pytest.mark.parametrize(("sender", "launches"), [("evil", []), ("platform", ["storage"])])
def test_launch_when_its_question_is_answered_takes_the_platforms_answer_only(world, page, sender, launches):
    begun = world.begin_elsewhere()
    page.add_init_script("crypto.getRandomValues = (array) => array.fill(0)")
    world.pages["inner"] = form(f"{world.tool}/lti/launch", begun.fields) + SEND
    world.pages["trap"] = frame(f"{world.evil}/inner", "tool") + answering(begun.secret)
    page.goto(f"{getattr(world, sender)}/trap")
    page.frame_locator("iframe").get_by_text("accepted" if launches else "new tab").wait_for()
    assert world.launches == launches


@pytest.mark.parametrize("policy", ["", '<meta name="referrer" content="no-referrer">'])
@pytest.mark.parametrize("around", ["page", "frame", "sandbox"])
def test_confirm_when_posted_by_another_site_is_refused(world, page, policy, around):
    begun = world.begin_elsewhere()
    answer = requests.post(f"{world.tool}/lti/launch", data=begun.fields, timeout=10)
    fields = Elements(answer.text).fields | {"stored": begun.secret}
    world.pages["forged"] = policy + form(f"{world.tool}/lti/confirm", fields) + SEND
    world.pages["frame"] = frame("/forged")
    world.pages["sandbox"] = '<iframe sandbox="allow-scripts allow-forms" src="/forged"></iframe>'
    page.goto(f"{world.evil}/{'forged' if around == 'page' else around}")
    where = page if around == "page" else page.frame_locator("iframe")
    where.get_by_text("new tab").wait_for()
    assert world.launches == []


def test_launch_when_scripts_are_off_goes_on_by_links_to_the_new_tab(world, context):
    page = context.new_page()
    protocol = context.new_cdp_session(page)
    protocol.send("Emulation.setScriptExecutionDisabled", {"value": True})
    page.goto(world.login_url())
    url = page.get_by_role("link", name="Continue").get_attribute("href")
    assert url.startswith(world.platform + "/auth?")
    begun = world.begin_elsewhere()
    page.set_content(form(f"{world.tool}/lti/launch", begun.fields) + "<button form='f'>x</button>")
    page.evaluate("document.querySelector('form').submit()")
    page.get_by_role("button", name="Continue").click()
    page.get_by_text("new tab").wait_for()
    assert world.launches == []
    page.close()
