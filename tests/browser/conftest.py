"""A running demo and headless Chromium with a cookie regime of our choice."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest
import requests
from playwright.sync_api import BrowserContext, Frame, FrameLocator, Page, sync_playwright

from rmplugin.demo.company import Company, lms_people, read_german, write_company
from rmplugin.demo.lms_settings import LmsPerson

CHROMIUM = "/usr/bin/chromium"
# Chromium's own words for: third-party cookies blocked but for Partitioned ones, all cookies allowed.
REGIMES = {
    "third-party blocked": {"profile": {"cookie_controls_mode": 1}},
    "allowed": {"profile": {"cookie_controls_mode": 0}},
}
BLOCK = 2
PHASE_OUT = {
    "enableThirdPartyCookieRestriction": True,
    "disableThirdPartyCookieMetadata": True,
    "disableThirdPartyCookieHeuristics": True,
}
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Playwright loses sight of a frame that goes from site to site, and so from process to process, fast.
    "--disable-site-isolation-trials",
]


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


@dataclass
class Demo:
    """What `rmplugin demo` started."""

    lms: str
    tool: str
    company: Company
    process: subprocess.Popen
    folder: Path

    @property
    def log(self) -> Path:
        return self.folder / "tool.log"

    def user(self, who: str) -> LmsPerson:
        """Find an account of the practice LMS by employee number or name."""
        return next(user for user in self.users() if who in (user.employee_number, user.name))

    def users(self) -> list[LmsPerson]:
        """Give the accounts of the practice LMS."""
        return read_german(lms_people(self.company))

    def carried_by(self) -> list[str]:
        """Give what has carried each launch so far, by the tool's log."""
        return re.findall(r"code=ok detail_bound_by=(\w+)", self.log.read_text())

    def state(self) -> dict:
        """Give what the practice LMS has received."""
        return requests.get(f"{self.lms}/practice/state", timeout=10).json()


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Run the demo as its user does, with a small company.

    Each module has its own: what one makes people do, such as finding a partner, another would see.
    """
    folder = tmp_path_factory.mktemp("demo")
    port, lms_port = _free_port(), _free_port()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RM_")}
    environ["RM_DATA_DIR"] = str(folder)
    command = [sys.executable, "-c", "from rmplugin.cli import main; main()", "demo", "--no-browser"]
    command += ["--people", "150", "--port", str(port), "--lms-port", str(lms_port)]
    log = (folder / "log").open("w+")
    process = subprocess.Popen(command, env=environ, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait_until_announced(process, folder / "log")
        known = json.loads((folder / "demo" / "company.json").read_text())
        company = write_company(
            folder / "again.csv", known["people"], as_of=date.fromisoformat(known["as_of"])
        )
        yield Demo(
            f"http://127.0.0.1:{lms_port}", f"http://localhost:{port}", company, process, folder / "demo"
        )
    finally:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
        process.wait()
        log.close()


def _wait_until_announced(process: subprocess.Popen, log: Path) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        if "Ctrl-C stops everything" in log.read_text():
            return
        assert process.poll() is None, log.read_text()[-3000:]
        time.sleep(0.2)
    raise AssertionError("the demo did not start: " + log.read_text()[-3000:])


@dataclass
class Person:
    """Somebody at the practice LMS, in a browser of their own."""

    demo: Demo
    context: BrowserContext
    page: Page
    name: str

    def sign_in(self, who: str) -> None:
        """Become somebody at the practice LMS.

        :param who: employee number, or the name of somebody who has none.
        """
        user = self.demo.user(who)
        self.name = user.name
        self.page.goto(f"{self.demo.lms}/?q={user.given_name}+{user.family_name}")
        self.page.locator(f'button[value="{user.user_id}"]').first.click()

    def open_tool(self, course: str = "102") -> None:
        """Open the activity in a course, as from the course page."""
        self.page.goto(f"{self.demo.lms}/course/{course}")
        self.page.locator("main a", has_text="Reverse mentoring").first.click()
        # The page that asks the storage of the platform is only on the way.
        self.tool.locator("main:not(:has(#lti-storage)) h1").first.wait_for()

    @property
    def tool(self) -> FrameLocator:
        return self.page.frame_locator("iframe.tool")

    @property
    def frame(self) -> Frame:
        return next(frame for frame in self.page.frames if frame.url.startswith(self.demo.tool))

    def at(self) -> str:
        """Give the path and query that the frame is at."""
        return self.frame.evaluate("location.pathname + location.search")

    def reload(self) -> None:
        """Reload the frame, and wait until the page before has gone."""
        self.frame.evaluate("document.body.dataset.old = '1'; location.reload()")
        self.tool.locator("body:not([data-old])").wait_for()

    def click(self, name: str, role: str = "link") -> None:
        """Click a link or button in the tool and wait until the page has changed."""
        before = self.tool.locator("main").inner_text()
        self.tool.get_by_role(role, name=name).first.click()
        for _ in range(200):
            if self.tool.locator("main").inner_text() != before:
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"nothing happened after {name!r} on: {before[:800]}")

    def press(self, name: str) -> None:
        self.click(name, "button")

    def fill(self, label: str, value: str) -> None:
        self.tool.get_by_label(label, exact=True).fill(value)

    def choose(self, label: str, option: str) -> None:
        self.tool.get_by_label(label, exact=True).select_option(label=option)

    def says(self) -> str:
        return self.tool.locator("main").inner_text()

    def sees(self, text: str, seconds: float = 20) -> None:
        """Wait until the tool's page says something."""
        until = time.monotonic() + seconds
        while text not in self.says():
            assert time.monotonic() < until, f"{text!r} is not on: {self.says()[:3000]}"
            self.page.wait_for_timeout(100)


def preferences(regime: str, demo: Demo) -> dict:
    """Give Chromium's preferences for a cookie regime.

    "phase-out" drops third-party cookies but for Partitioned ones, and leaves other storage alone.
    "blocked in the frame" is what browsers without Partitioned cookies do; the tool's own tab may still keep
    them. "blocked everywhere" forbids the tool every cookie; the LMS needs its own to know who is signed in.
    """
    if regime == "phase-out":
        return REGIMES["allowed"]
    if regime in REGIMES:
        return REGIMES[regime]
    where = {"blocked in the frame": demo.lms, "blocked everywhere": "*"}[regime]
    exceptions = {"cookies": {f"{demo.tool},{where}": {"setting": BLOCK}}}
    return {"profile": {"cookie_controls_mode": 0, "content_settings": {"exceptions": exceptions}}}


@pytest.fixture(scope="module")
def playwright():
    """Start playwright once for the tests of a module; two at a time are not possible."""
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def open_for_module(demo, playwright, tmp_path_factory):
    """Give what `open_as` is made of: the browsers stay until the module's last test."""
    contexts = []

    def open_browser(
        who: str, regime: str = "third-party blocked", width: int = 1280, *, javascript: bool = True
    ) -> Person:
        profile = tmp_path_factory.mktemp("profile")
        (profile / "Default").mkdir()
        (profile / "Default" / "Preferences").write_text(json.dumps(preferences(regime, demo)))
        context = playwright.chromium.launch_persistent_context(
            str(profile),
            executable_path=CHROMIUM,
            headless=True,
            args=ARGUMENTS,
            viewport={"width": width, "height": 900},
            java_script_enabled=javascript,
        )
        context.set_default_timeout(20_000)
        contexts.append(context)
        page = context.pages[0] if context.pages else context.new_page()
        if regime == "phase-out":
            protocol = context.new_cdp_session(page)
            protocol.send("Network.enable")
            protocol.send("Network.setCookieControls", PHASE_OUT)
        person = Person(demo, context, page, "")
        person.sign_in(who)
        return person

    open_browser.contexts = contexts
    yield open_browser
    for context in contexts:
        context.close()


@pytest.fixture
def open_as(open_for_module):
    """Open browsers: ``open_as(employee_number_or_name)`` signs a person in at the practice LMS."""
    before = len(open_for_module.contexts)
    yield open_for_module
    for context in open_for_module.contexts[before:]:
        context.close()
    del open_for_module.contexts[before:]
