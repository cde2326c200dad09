"""Launches by cookie regime and platform: which way each takes; reloading, going back, sharing a browser."""

import time
from urllib.parse import urlsplit

import pytest

from tests.browser.conftest import Person
from tests.browser.firefox import Firefox

pytestmark = [
    pytest.mark.part("chromium"),
    pytest.mark.xdist_group("browser"),
    pytest.mark.timeout(120),
    pytest.mark.enable_socket,
]

# One course of the practice LMS offers no platform storage, as Moodle; the other does, as Canvas.
COURSE, STORING = "101", "102"
# In a frame the login first tries whether the browser keeps a cookie.
COOKIE = ["/lti/login", "/lti/login", "/lti/launch"]
STORAGE = ["/lti/login", "/lti/login", "/lti/launch", "/lti/confirm"]
# Before the platform was asked: it gives out a launch only once.
HIDDEN = ["/lti/login", "/lti/login"]
UNANSWERED = [*HIDDEN, "/lti/login"]


def watch(person) -> list[str]:
    """Collect what the tool's pages report as an error from now on."""
    errors: list[str] = []
    person.page.on("pageerror", lambda error: errors.append(str(error)))
    person.page.on(
        "console", lambda message: errors.append(message.text) if message.type == "error" else None
    )
    return errors


def wait_for_address(person, path: str) -> None:
    until = time.monotonic() + 10
    while person.at() != path:
        assert time.monotonic() < until, (person.at(), path)
        person.page.wait_for_timeout(50)


def watch_addresses(person: Person) -> list[str]:
    """Collect the addresses of the protocol that are asked for from now on, in every tab of the browser."""
    paths: list[str] = []

    def note(request):
        path = urlsplit(request.url).path
        if request.url.startswith(person.demo.tool) and path.startswith("/lti/") and "." not in path:
            paths.append("/".join(path.split("/")[:3]))

    person.context.on("request", note)
    return paths


def is_in(person: Person) -> bool:
    return person.tool.get_by_role("link", name="My credits").is_visible()


def second_tab(person: Person) -> Person:
    return Person(person.demo, person.context, person.context.new_page(), person.name)


def test_launch_when_cookies_blocked_in_the_frame_goes_on_in_a_tab_of_its_own(demo, open_as):
    person = open_as(demo.company.by_hand[0], "blocked in the frame")
    errors = watch(person)
    person.open_tool(COURSE)
    person.sees("One more click")
    person.sees("Open the activity in a tab of its own")
    with person.context.expect_page() as opened:
        person.tool.get_by_role("link", name="Open in a new tab").click()
    tab = opened.value
    tab.get_by_role("link", name="Answer the invitation").click()
    tab.get_by_role("heading", name="Your answers").wait_for()
    tab.reload()
    tab.get_by_role("heading", name="Your answers").wait_for()
    assert errors == []


def test_launch_when_cookies_blocked_everywhere_says_what_to_do(demo, open_as):
    person = open_as(demo.company.by_hand[0], "blocked everywhere")
    person.open_tool(COURSE)
    person.sees("One more click")
    with person.context.expect_page() as opened:
        person.tool.get_by_role("link", name="Open in a new tab").click()
    opened.value.get_by_text("allow cookies for this site").wait_for()


def test_new_tab_when_the_button_is_used_twice_says_to_reload(demo, open_as):
    person = open_as(demo.company.by_hand[0], "blocked in the frame")
    person.open_tool(COURSE)
    address = person.tool.get_by_role("link", name="Open in a new tab").get_attribute("href")
    for expected in ("Answer the invitation", "Please open the activity again"):
        tab = person.context.new_page()
        tab.goto(address)
        tab.get_by_text(expected).first.wait_for()


def test_pages_when_storage_is_blocked_in_the_frame_report_no_errors(demo, open_as):
    manager = open_as(demo.company.advisor)
    errors = watch(manager)
    manager.open_tool(COURSE)
    blocked = manager.frame.evaluate("() => { try { localStorage; return false } catch { return true } }")
    assert blocked, "this browser does not block storage, so the test shows nothing"
    manager.click("Matching")
    manager.click("Back to the programme")
    manager.click("Change the settings")
    manager.press("Save the settings")
    manager.sees("The settings are saved")
    assert errors == []


def test_stale_page_when_its_session_has_ended_keeps_what_was_typed(demo, open_as):
    person = open_as(demo.company.by_hand[0])
    person.open_tool(COURSE)
    person.click("Answer the invitation")
    person.fill("Why would you like to take part?", "Because of the robots.")
    person.frame.evaluate("document.body.setAttribute('hx-headers', '{\"X-Rm-Session\": \"ended\"}')")
    person.press("Save as a draft")
    person.sees("Your session has ended. What you typed is still on this page")
    typed = person.tool.get_by_label("Why would you like to take part?", exact=True)
    assert typed.input_value() == "Because of the robots."
    assert person.frame.evaluate("document.activeElement.getAttribute('role')") == "alert"


def test_form_when_sent_again_from_an_old_page_is_told_so(demo, open_as):
    manager = open_as(demo.company.advisor)
    manager.open_tool(COURSE)
    manager.click("Settings, people, invitations")
    manager.click("Change the settings")
    key = manager.tool.locator("form.rm-form [name=_once]").input_value()
    manager.press("Save the settings")
    manager.sees("The settings are saved")
    manager.click("Change the settings")
    manager.tool.locator("form.rm-form [name=_once]").evaluate("(field, key) => { field.value = key }", key)
    manager.press("Save the settings")
    manager.sees("This form was sent before. It took effect once")
    manager.click("Back")
    manager.sees("Programme desk")


def test_frame_when_reloaded_shows_the_same_page(demo, open_as):
    manager = open_as(demo.company.advisor)
    manager.open_tool(COURSE)
    wait_for_address(manager, "/manage")
    manager.reload()
    manager.sees("Programme desk")
    manager.click("Matching")
    wait_for_address(manager, manager.at())
    path = manager.at()
    assert path.endswith("/matching")
    manager.reload()
    manager.sees("The pool")
    assert manager.at() == path


def test_form_with_faults_when_reloaded_shows_the_form_again(demo, open_as):
    manager = open_as(demo.company.advisor)
    manager.open_tool(COURSE)
    manager.frame.evaluate("htmx.ajax('GET', '/programmes/new', {target: 'body'})")
    manager.click("Use “Digital fluency”")
    manager.fill("Name", "")
    manager.press("Create the programme")
    manager.sees("Some answers need a change")
    assert manager.at() == "/programmes/new/digital_fluency"
    manager.reload()
    manager.sees("New programme: Digital fluency")


def test_back_button_when_pages_were_swapped_shows_the_page_before(demo, open_as):
    manager = open_as(demo.company.advisor)
    manager.open_tool(COURSE)
    manager.click("Matching")
    manager.sees("The pool")
    matching = manager.at()
    manager.click("Back to the programme")
    manager.sees("Who signed up")
    manager.frame.evaluate("history.back()")
    manager.sees("The pool")
    wait_for_address(manager, matching)
    manager.frame.evaluate("history.back()")
    manager.sees("Programme desk")
    wait_for_address(manager, "/manage")
    manager.frame.evaluate("history.forward()")
    manager.sees("The pool")


def test_two_tabs_when_different_people_share_a_browser_keep_their_own_person(demo, open_as):
    manager = open_as(demo.company.advisor)
    manager.open_tool(COURSE)
    learner = type(manager)(demo, manager.context, manager.context.new_page(), "")
    learner.sign_in(demo.company.by_hand[0])
    learner.open_tool(COURSE)
    learner.sees("You are invited")
    # The cookie is the learner's now; the manager's tab goes on as the manager, forwards, back and by a form.
    manager.click("Matching")
    manager.sees("The pool")
    manager.frame.evaluate("history.back()")
    manager.sees("Needs you")
    manager.click("Settings, people, invitations")
    manager.click("Change the settings")
    manager.press("Save the settings")
    manager.sees("The settings are saved")
    learner.click("Answer the invitation")
    learner.sees("Your answers")


@pytest.mark.parametrize("course", [COURSE, STORING])
@pytest.mark.parametrize("regime", ["allowed", "third-party blocked", "phase-out"])
def test_launch_when_partitioned_cookies_are_sent_is_carried_by_the_cookie(demo, open_as, regime, course):
    person = open_as(demo.company.by_hand[0], regime)
    paths, errors = watch_addresses(person), watch(person)
    person.open_tool(course)
    assert is_in(person)
    assert paths == COOKIE
    assert errors == []


@pytest.mark.parametrize("regime", ["blocked in the frame", "blocked everywhere"])
def test_launch_when_cookies_are_blocked_is_carried_by_the_platforms_storage(demo, open_as, regime):
    person = open_as(demo.company.by_hand[0], regime)
    paths, errors = watch_addresses(person), watch(person)
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
    assert paths == UNANSWERED
    with person.context.expect_page() as opened:
        person.tool.get_by_role("link", name="Open in a new tab").click()
    opened.value.get_by_text(end).wait_for()
    assert paths == [*UNANSWERED, "/lti/relaunch", "/lti/launch"]


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
    person.sees("open the activity again from your course.")


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


@pytest.fixture(scope="module")
def firefox(tmp_path_factory):
    """Start Firefox once for the tests of this module; each sets its own regime."""
    browser = Firefox(tmp_path_factory.mktemp("firefox"))
    yield browser
    browser.close()


@pytest.mark.part("firefox")
@pytest.mark.parametrize(
    ("regime", "course", "way"),
    [
        ("partitioned jar", COURSE, "cookie"),
        ("partitioned jar", STORING, "cookie"),
        ("partitioned only when asked for", COURSE, "cookie"),
        ("partitioned only when asked for", STORING, "cookie"),
        ("third-party blocked", COURSE, "new_tab"),
        ("third-party blocked", STORING, "storage"),
    ],
)
def test_launch_in_firefox_takes_the_first_way_that_is_open(demo, firefox, regime, course, way):
    user, before = demo.user(demo.company.by_hand[0]), demo.carried_by()
    firefox.start(regime)
    firefox.go(f"{demo.lms}/?q={user.given_name}+{user.family_name}")
    firefox.click(f"//button[@value='{user.user_id}']")
    firefox.find("//h1[contains(., 'Leading and learning')]")
    firefox.go(f"{demo.lms}/course/{course}")
    firefox.click("//main//h2/a[contains(., 'Reverse mentoring')]")
    firefox.enter_frame("//iframe[contains(@class, 'tool')]")
    if way == "new_tab":
        firefox.click("//a[contains(., 'Open in a new tab')]")
        firefox.enter_newest_tab()
    firefox.find("//a[contains(., 'My credits')]")
    assert demo.carried_by() == [*before, way]
