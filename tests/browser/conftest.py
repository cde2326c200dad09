"""A running demo and headless Chromium with a cookie regime of our choice."""

import contextlib
import json
import os
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

from rmplugin.demo.company import Company, lms_people, write_company

CHROMIUM = "/usr/bin/chromium"
# Chromium's own words for: third-party cookies blocked, all cookies blocked.
REGIMES = {
    "third-party blocked": {"profile": {"cookie_controls_mode": 1}},
    "allowed": {"profile": {"cookie_controls_mode": 0}},
}
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
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

    def state(self) -> dict:
        """Give what the practice LMS has received."""
        return requests.get(f"{self.lms}/practice/state", timeout=10).json()


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """Run the demo as its user does, with a small company, for all browser tests of this process."""
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
        yield Demo(f"http://127.0.0.1:{lms_port}", f"http://localhost:{port}", company, process)
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

    def open_tool(self, course: str = "102") -> None:
        """Open the activity in a course, as from the course page."""
        self.page.goto(f"{self.demo.lms}/course/{course}")
        self.page.locator("main a", has_text="Reverse mentoring").first.click()
        self.tool.locator("h1").first.wait_for()

    @property
    def tool(self) -> FrameLocator:
        return self.page.frame_locator("iframe")

    @property
    def frame(self) -> Frame:
        return next(frame for frame in self.page.frames if frame.url.startswith(self.demo.tool))

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


@pytest.fixture
def open_as(demo, tmp_path):
    """Open browsers: ``open_as(employee_number)`` signs a person in at the practice LMS."""
    with sync_playwright() as playwright:
        contexts = []

        def open_browser(number: str, regime: str = "third-party blocked", width: int = 1280) -> Person:
            profile = tmp_path / f"profile-{len(contexts)}"
            (profile / "Default").mkdir(parents=True)
            (profile / "Default" / "Preferences").write_text(json.dumps(REGIMES[regime]))
            context = playwright.chromium.launch_persistent_context(
                str(profile),
                executable_path=CHROMIUM,
                headless=True,
                args=ARGUMENTS,
                viewport={"width": width, "height": 900},
            )
            context.set_default_timeout(20_000)
            contexts.append(context)
            user = next(person for person in lms_people(demo.company) if person.employee_number == number)
            page = context.pages[0] if context.pages else context.new_page()
            page.goto(f"{demo.lms}/?q={user.given_name}+{user.family_name}")
            page.locator(f'button[value="{user.user_id}"]').first.click()
            return Person(demo, context, page, user.name)

        yield open_browser
        for context in contexts:
            context.close()
