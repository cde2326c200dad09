"""What the tool does when the browser keeps no cookies, and when people reload, go back, share a browser."""

import time

import pytest

pytestmark = [
    pytest.mark.part("chromium"),
    pytest.mark.xdist_group("browser"),
    pytest.mark.timeout(120),
    pytest.mark.enable_socket,
]

COURSE = "101"


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
    for expected in ("Answer the invitation", "The activity could not be opened"):
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
    assert manager.at() == "/manage"
    manager.frame.evaluate("location.reload()")
    manager.sees("Programme desk")
    manager.click("Matching")
    wait_for_address(manager, manager.at())
    path = manager.at()
    assert path.endswith("/matching")
    manager.frame.evaluate("location.reload()")
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
    manager.frame.evaluate("location.reload()")
    manager.sees("New programme: Digital fluency")


def test_back_button_when_pages_were_swapped_shows_the_page_before(demo, open_as):
    manager = open_as(demo.company.advisor)
    manager.open_tool(COURSE)
    manager.click("Matching")
    matching = manager.at()
    manager.click("Back to the programme")
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
