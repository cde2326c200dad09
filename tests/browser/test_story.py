"""The main job in a browser that blocks third-party cookies: from an empty course to a score."""

import re
import time
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from rmplugin.demo.company import Employee

pytestmark = [
    pytest.mark.part("chromium"),
    pytest.mark.xdist_group("browser"),
    pytest.mark.timeout(400),
    pytest.mark.enable_socket,
]

COURSE = "102"
TEACHES = "Generative AI tools"
LEARNS = "Stakeholder management"


def chain(company, number: str) -> set[str]:
    """Give everybody above a person, and the person."""
    known = company.by_number()
    above = set()
    while number:
        above.add(number)
        number = known[number].manager
    return above


def choose_pair(demo) -> tuple[Employee, Employee]:
    """Find a senior and a junior of one place who may be paired: no line between them, not the same boss.

    Both read English, because the story clicks English words.
    """
    company = demo.company
    known = company.by_number()
    english = {user.employee_number for user in demo.users() if user.locale == "en"}
    for mentee in (known[number] for number in company.mentees if number in english):
        for mentor in (known[number] for number in company.mentors if number in english):
            if (
                mentor.level <= 3
                and mentor.site.time_zone == mentee.site.time_zone
                and mentor.manager != mentee.manager
                and mentee.employee_number not in chain(company, mentor.employee_number)
            ):
                return mentor, mentee
    raise AssertionError("the sample company has no such pair")


def enrol(person, offered: str, wanted: str) -> None:
    person.open_tool(COURSE)
    person.sees("You are invited")
    person.click("Answer the invitation")
    person.sees("What it asks of you")
    person.choose(f"I offer: {offered}", "can teach it")
    person.choose(f"I want to reach: {wanted}", "confident")
    person.tool.get_by_label("English", exact=True).check()
    person.tool.get_by_label("I want this to work").check()
    person.fill("Why would you like to take part?", f"I care about {wanted}.")
    person.tool.locator('input[name="consent"]').check()
    person.press("Sign up")
    person.sees("You are signed up")


def accept(person) -> None:
    person.open_tool(COURSE)
    person.click("See the proposal")
    person.press("Yes, I would like to")


def open_pairing(person) -> None:
    person.open_tool(COURSE)
    # Whatever the next step is, the partner's name leads to the pairing.
    person.tool.locator(".rm-card h3 a").first.click()
    person.sees("Your pairing with")


def say_yes_after_the_call(person) -> None:
    person.click("Go to the first call")
    person.tool.get_by_label("Yes, I want to go on.").check()
    person.press("Keep my answer")
    person.sees("Thank you.")


def write_down_what_one_expects(person, hopes: str) -> None:
    person.click("Write down what you expect")
    person.fill("Where", "Video call")
    person.fill("What you hope for", hopes)
    person.fill("Boundaries", "No appraisal talk.")
    person.press("Send what I expect")
    person.sees("Sent.")


def set_goal(person, title: str) -> None:
    open_pairing(person)
    person.click("Set a goal")
    person.fill("Your goal in one sentence", title)
    person.tool.get_by_label("Technology", exact=True).check()
    person.fill("Where you stand today", "I have watched others do it.")
    for name, text in (
        ("level_minus_2", "never tried"),
        ("level_minus_1", "tried once"),
        ("level_0", "use it weekly"),
        ("level_plus_1", "use it daily"),
        ("level_plus_2", "show it to others"),
    ):
        person.tool.locator(f'[name="{name}"]').fill(text)
    person.press("Set this goal")
    person.sees(title)


def own_score(demo, person_id: str) -> float | None:
    courses = {course["id"]: course for course in demo.state()["courses"]}
    results = [item["results"].get(person_id) for item in courses[COURSE]["line_items"]]
    scores = [result["score"] for result in results if result]
    return scores[0] if scores else None


def test_story_when_third_party_cookies_blocked_reaches_the_gradebook(demo, open_as):
    mentor_row, mentee_row = choose_pair(demo)
    manager = open_as(demo.company.advisor)

    # The manager makes a programme from a template, launches it for a reason, and invites.
    manager.open_tool(COURSE)
    manager.sees("Start a programme")
    manager.click("Start from a template")
    manager.click("Use “Digital fluency”")
    manager.fill("Name", "Pilot in the browser")
    manager.press("Create the programme")
    manager.sees("Now see whether it is ready")
    manager.click("Check readiness and launch")
    manager.sees("No sponsor is named.")
    manager.choose("Why", "We start small, as a pilot, and watch these points")
    manager.press("Open enrolment all the same")
    manager.sees("Enrolment is open.")
    manager.press("Invite all")
    manager.sees("invited. They find the invitation")
    manager.press("Invite all")

    # A mentor and a mentee sign up.
    mentor, mentee = open_as(mentor_row.employee_number), open_as(mentee_row.employee_number)
    enrol(mentor, TEACHES, LEARNS)
    enrol(mentee, LEARNS, TEACHES)

    # The manager runs the matching and releases it.
    manager.open_tool(COURSE)
    manager.click("Go to the matching")
    manager.press("Run the matching")
    manager.sees(f"{mentor.name} teaches {mentee.name}")
    manager.sees("the solver proved it")
    manager.click("Release 1 proposal")
    manager.sees("2 people are told")
    manager.press("Release 1 proposal")
    manager.sees("Both people of each have 14 days to answer")

    # Both answer; one yes alone starts nothing.
    accept(mentor)
    mentor.sees("Your yes is noted")
    manager.open_tool(COURSE)
    assert re.search(r"^0\s+Active pairs", manager.says(), re.MULTILINE)
    accept(mentee)
    mentee.sees("Your pairing has started")

    # Each says alone, after a call, that it goes on, and what they expect.
    for person in (mentor, mentee):
        open_pairing(person)
        say_yes_after_the_call(person)
    for person, hopes in ((mentor, "To be heard."), (mentee, "Learn by doing.")):
        open_pairing(person)
        write_down_what_one_expects(person, hopes)

    # Of both becomes one agreement, signed by both.
    mentee.sees("You differ in one part")
    mentee.click("Write your agreement")
    mentee.press("Save this version")
    mentee.press("Sign")
    open_pairing(mentor)
    mentor.click("Read and sign")
    mentor.press("Sign")
    mentor.sees("Signed by both")
    set_goal(mentee, "Use an AI assistant for my weekly report")
    set_goal(mentor, "Explain my work to senior people")

    # A session of some hours ago, confirmed by both; the lower number counts.
    open_pairing(mentee)
    mentee.click("Plan a session")
    earlier = datetime.now(ZoneInfo(mentee_row.site.time_zone)) - timedelta(hours=3)
    mentee.fill("Day", earlier.strftime("%Y-%m-%d"))
    mentee.tool.locator('[name="at"]').fill(earlier.strftime("%H:%M"))
    mentee.press("Save this session")
    open_pairing(mentee)
    mentee.press("Yes, 60 minutes")
    open_pairing(mentor)
    mentor.click("Another length")
    mentor.tool.locator('[name="minutes"]').fill("50")
    mentor.press("Yes, it took place")
    open_pairing(mentor)
    mentor.sees("50 min")

    # The worker sends the score of both; both see that it was sent.
    ids = {person.name: person.user_id for person in demo.users()}
    until = time.monotonic() + 60
    while None in (own_score(demo, ids[mentor.name]), own_score(demo, ids[mentee.name])):
        assert time.monotonic() < until, demo.state()
        time.sleep(0.3)
    for person in (mentor, mentee):
        person.open_tool(COURSE)
        person.click("My credits")
        person.sees("sent")
        assert own_score(demo, ids[person.name]) > 0
    manager.page.goto(f"{demo.lms}/course/{COURSE}/grades")
    assert mentee.name in manager.page.inner_text("main")

    # What was said stays in the pair: the manager's pages show no word of it.
    manager.open_tool(COURSE)
    manager.sees(f"{mentor.name} → {mentee.name}")
    for words in ("Learn by doing", "weekly report", "No appraisal talk"):
        assert words not in manager.frame.content()
    # A participant cannot reach a manager's page by its address.
    answer = mentee.frame.evaluate(
        """async () => {
            const token = JSON.parse(document.body.getAttribute("hx-headers"))["X-Rm-Session"];
            return (await fetch("/manage", {headers: {"X-Rm-Session": token}})).status;
        }"""
    )
    assert answer == 403
