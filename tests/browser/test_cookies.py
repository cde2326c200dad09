"""Launches without cookies: which rung of the ladder carries a launch, by cookie regime and by platform."""

from urllib.parse import urlsplit

import pytest

from tests.browser.conftest import Person

pytestmark = [
    pytest.mark.part("chromium"),
    pytest.mark.xdist_group("browser"),
    pytest.mark.timeout(120),
    pytest.mark.enable_socket,
]

# One course of the practice LMS offers no platform storage, as Moodle; the other does, as Canvas.
PLAIN, STORING = "101", "102"
COOKIE = ["/lti/login", "/lti/launch"]
STORAGE = ["/lti/login", "/lti/launch", "/lti/confirm"]


def watch_addresses(person: Person) -> list[str]:
    """Collect the addresses of the protocol that are asked for from now on, in every tab of the browser."""
    paths: list[str] = []

    def note(request):
        path = urlsplit(request.url).path
        if request.url.startswith(person.demo.tool) and path.startswith("/lti/") and "." not in path:
            paths.append("/".join(path.split("/")[:3]))

    person.context.on("request", note)
    return paths


def watch_console(person: Person) -> list[str]:
    errors: list[str] = []
    person.page.on(
        "console", lambda message: errors.append(message.text) if message.type == "error" else None
    )
    return errors


def is_in(person: Person) -> bool:
    return person.tool.get_by_role("link", name="My credits").is_visible()


def second_tab(person: Person) -> Person:
    return Person(person.demo, person.context, person.context.new_page(), person.name)


@pytest.mark.parametrize("course", [PLAIN, STORING])
@pytest.mark.parametrize("regime", ["allowed", "third-party blocked", "phase-out"])
def test_launch_when_partitioned_cookies_are_sent_is_carried_by_the_cookie(demo, open_as, regime, course):
    person = open_as(demo.company.by_hand[0], regime)
    paths, errors = watch_addresses(person), watch_console(person)
    person.open_tool(course)
    assert is_in(person)
    assert paths == COOKIE
    assert errors == []


@pytest.mark.parametrize("regime", ["blocked in the frame", "blocked everywhere"])
def test_launch_when_cookies_are_blocked_is_carried_by_the_platforms_storage(demo, open_as, regime):
    person = open_as(demo.company.by_hand[0], regime)
    paths, errors = watch_addresses(person), watch_console(person)
    person.open_tool(STORING)
    assert is_in(person)
    assert paths == STORAGE
    assert errors == []


def test_pages_when_no_cookie_is_kept_work_by_links_and_forms(demo, open_as):
    manager = open_as(demo.company.advisor, "blocked everywhere")
    manager.open_tool(STORING)
    manager.click("Start from a template")
    manager.click("Use “Digital fluency”")
    manager.fill("Name", "")
    manager.press("Create the programme")
    manager.sees("Some answers need a change")
    assert {cookie["domain"] for cookie in manager.context.cookies()} == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("regime", "end"),
    [
        ("blocked in the frame", "My credits"),
        ("blocked everywhere", "allow cookies for this site"),
    ],
)
def test_launch_when_the_platform_never_answers_goes_on_in_a_new_tab(demo, open_as, regime, end):
    person = open_as(demo.company.by_hand[0], regime)
    person.context.route("**/platform_storage.js", lambda route: route.fulfill(body=""))
    paths = watch_addresses(person)
    person.open_tool(STORING)
    person.sees("One more click")
    assert paths == STORAGE
    with person.context.expect_page() as opened:
        person.tool.get_by_role("link", name="Open in a new tab").click()
    opened.value.get_by_text(end).wait_for()
    assert paths == [*STORAGE, "/lti/relaunch", "/lti/launch"]


def test_launches_when_two_tabs_open_at_once_without_cookies_both_get_in(demo, open_as):
    first = open_as(demo.company.by_hand[0], "blocked everywhere")
    second = second_tab(first)
    paths = watch_addresses(first)
    for person in (first, second):
        person.page.goto(f"{demo.lms}/course/{STORING}")
    for person in (first, second):
        person.page.locator("main a", has_text="Reverse mentoring").first.click(no_wait_after=True)
    for person in (first, second):
        person.tool.get_by_role("link", name="My credits").wait_for()
    assert sorted(paths) == sorted(STORAGE * 2)


def test_launch_when_gone_back_to_says_how_to_reopen(demo, open_as):
    person = open_as(demo.company.by_hand[0], "blocked everywhere")
    person.open_tool(STORING)
    assert is_in(person)
    person.frame.evaluate("history.back()")
    person.sees("Nothing was lost. Open the activity again from your course.")


def test_launch_when_its_message_is_posted_from_another_browser_is_refused(demo, open_as):
    """The first browser's launch is held back and replayed in a second one, whose platform storage works."""
    first = open_as(demo.company.by_hand[0], "blocked everywhere")
    stolen = []
    first.context.route("**/lti/launch", lambda route: (stolen.append(route.request), route.abort())[1])
    first.page.goto(f"{demo.lms}/course/{STORING}")
    first.page.locator("main a", has_text="Reverse mentoring").first.click()
    while not stolen:
        first.page.wait_for_timeout(50)
    second = open_as(demo.company.by_hand[1], "blocked everywhere")

    def replay(route):
        route.continue_(
            post_data=stolen[0].post_data
        ) if route.request.method == "POST" else route.continue_()

    second.context.route("**/lti/launch", replay)
    second.open_tool(STORING)
    second.sees("One more click")
    assert not is_in(second)
