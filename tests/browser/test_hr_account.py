"""An administrator connects a CSV file by the keyboard and a browser: add, preview, accept, rank."""

import csv
from dataclasses import replace

import pytest
from axe_playwright_python.sync_playwright import Axe

from rmplugin.app import create_app
from rmplugin.people.models import Person
from rmplugin.wiring import utc_now
from tests.browser.conftest import ARGUMENTS, CHROMIUM
from tests.browser.test_access import RULES, WIDTHS
from tests.factories.commands import Commands
from tests.factories.door import Door
from tests.factories.rows import read_rows

pytestmark = [
    pytest.mark.part("chromium"),
    pytest.mark.xdist_group("browser"),
    pytest.mark.timeout(120),
    pytest.mark.enable_socket,
]


@pytest.fixture
def door():
    door = Door("localhost")
    yield door
    door.close()


@pytest.fixture
def settings(settings, door):
    return replace(settings, public_url=door.url)


@pytest.fixture
def page(settings, runtime, tenant, tool_keys, door, playwright):
    """Open a browser by the link that `rmplugin admin-link` prints; the clock is the machine's."""
    runtime = replace(runtime, clock=utc_now)
    door.app = create_app(settings, runtime=runtime)
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
    page = browser.new_page()
    page.set_default_timeout(20_000)
    page.goto(Commands.of(settings).do("admin-link", "--json").json["url"])
    page.work = door.app.extensions["rm_wake"].call_local
    yield page
    browser.close()


def looks_right(page):
    """Have axe look at the page, and see that nothing needs sideways scrolling."""
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        found = Axe().run(page, options=RULES).response["violations"]
        assert [(fault["id"], [node["html"] for node in fault["nodes"]][:2]) for fault in found] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def press(page, name):
    """Press a button with the keyboard."""
    page.get_by_role("button", name=name).first.focus()
    page.keyboard.press("Enter")


def test_account_when_connected_in_a_browser_is_previewed_accepted_and_ranked(
    page, tmp_path, runtime, tenant
):
    with (tmp_path / "people.csv").open("w", newline="") as file:
        people = [[str(n), f"Person {n}", "Senior" if n % 3 else "Junior"] for n in range(1, 31)]
        csv.writer(file).writerows([["Employee ID", "Name", "Career Step"], *people])
    looks_right(page)
    page.get_by_role("link", name="HR systems").click()
    page.get_by_role("heading", name="HR systems").first.wait_for()
    looks_right(page)
    page.get_by_role("link", name="CSV or Excel file").click()
    press(page, "Add and try the connection")
    page.get_by_text("This setting is needed.").wait_for()
    looks_right(page)
    page.get_by_label("Your name for it").fill("people")
    page.get_by_label("Path").fill(str(tmp_path / "people.csv"))
    page.get_by_label("Mapping").fill("grade = Career Step")
    press(page, "Add and try the connection")
    page.get_by_text("people is added.").wait_for()
    page.work()
    # Nobody reloads: the page asks until the check is done.
    page.get_by_text("30 usable among the first 30").wait_for()
    looks_right(page)
    press(page, "Preview the roster")
    page.get_by_role("heading", name="The roster is being read").wait_for()
    page.work()
    page.get_by_role("link", name="See what would change").click()
    page.get_by_text("30 people would be added").wait_for()
    looks_right(page)
    assert read_rows(runtime.database, tenant, Person) == []
    press(page, "Accept")
    page.get_by_role("heading", name="The roster is being read").wait_for()
    page.work()
    page.get_by_role("link", name="Give ranks").click()
    page.get_by_role("spinbutton", name="Senior").fill("70")
    page.get_by_role("spinbutton", name="Junior").fill("20")
    looks_right(page)
    press(page, "Save all ranks")
    page.get_by_text("30 people have another rank now.").wait_for()
    looks_right(page)
    ranks = [person.seniority_rank for person in read_rows(runtime.database, tenant, Person)]
    assert (ranks.count(70), ranks.count(20)) == (20, 10)
