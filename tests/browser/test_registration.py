"""An invited LMS registers the tool in its frame, without cookies; the page closes itself; it is launched."""

import json
import subprocess
import sys

import pytest

pytestmark = [
    pytest.mark.part("chromium"),
    pytest.mark.xdist_group("browser"),
    pytest.mark.timeout(120),
    pytest.mark.enable_socket,
]


def invite(demo) -> str:
    command = [sys.executable, "-c", "from rmplugin.cli import main; main()", "platform", "invite", "--json"]
    environ = {"RM_DATA_DIR": str(demo.folder), "RM_PUBLIC_URL": demo.tool, "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["url"]


def test_tool_when_invited_is_registered_closed_activated_and_launched(demo, open_as):
    manager = open_as(demo.company.advisor)
    page = manager.page
    page.context.clock.install()
    page.goto(f"{demo.lms}/tools")
    page.get_by_label("Registration address").fill(invite(demo))
    page.get_by_role("button", name="Add LTI Advantage").click()
    manager.sees("What the tool asks for")
    manager.press("Connect")
    manager.sees("is connected")
    manager.sees("One step is left")
    # Nobody presses anything: after twenty seconds the LMS has its list back.
    page.context.clock.run_for(25_000)
    page.wait_for_url(f"{demo.lms}/tools")
    assert "pending" in page.locator("main").inner_text()
    page.get_by_role("button", name="Activate").click()
    page.goto(f"{demo.lms}/course/102")
    page.get_by_role("link", name="newly connected").click()
    manager.sees("Programme desk")
