"""Everybody can use every page: axe finds nothing, no sideways scroll, keyboard alone, without JavaScript."""

import itertools
import re
import uuid
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from axe_playwright_python.sync_playwright import Axe
from sqlalchemy import select

from rmplugin.papers.forms import SHOWABLE
from rmplugin.papers.models import Paper
from rmplugin.people.models import Person as Row
from rmplugin.programmes.answers import MOTIVATION
from rmplugin.programmes.models import Programme
from rmplugin.settings import read_settings
from rmplugin.wiring import make_runtime
from tests.browser.conftest import ARGUMENTS, CHROMIUM, Person

pytestmark = [
    pytest.mark.part("chromium"),
    pytest.mark.xdist_group("browser"),
    pytest.mark.timeout(200),
    pytest.mark.enable_socket,
]

COURSE = "101"
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
WIDTHS = (320, 360, 1280)
# What the browser draws around the element that has the focus.
FOCUS_RING = """() => {
    const style = getComputedStyle(document.activeElement);
    return style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth);
}"""


@dataclass
class Places:
    """A programme with a pair that has signed, set a goal, and met once."""

    manager: Person
    mentor: Person
    mentee: Person
    programme: str
    run: str
    card: str
    proposal: str
    pairing: str
    agreement: str
    goal: str
    session: str


def token(person: Person) -> str:
    return person.frame.evaluate("JSON.parse(document.body.getAttribute('hx-headers'))['X-Rm-Session']")


def visit(person: Person, path: str) -> None:
    """Open a page of the tool by its address, as a link in the frame would."""
    person.frame.evaluate("path => htmx.ajax('GET', path, {target: 'body'})", path)


def href(person: Person, link: str) -> str:
    return person.tool.get_by_role("link", name=link).first.get_attribute("href")


@pytest.fixture(scope="module")
def places(demo, open_for_module) -> Places:
    """Bring a mentor and a mentee so far that every kind of page has something on it."""
    manager = open_for_module(demo.company.advisor)
    manager.open_tool(COURSE)
    programme = href(manager, "Settings, people")
    manager.click("Matching")
    manager.press("Run the matching")
    manager.sees("the solver proved it")
    run = manager.at()
    # The links that are clicked below have English words.
    accounts = Counter(user.name for user in demo.users() if user.locale == "en")
    pairs = [text.split(" teaches ") for text in manager.tool.locator("th a").all_inner_texts()]
    proposals = Counter(name for pair in pairs for name in pair)
    pair = next(pair for pair in pairs if all(accounts[name] == proposals[name] == 1 for name in pair))
    card = href(manager, " teaches ".join(pair))
    manager.click("Release")
    manager.press("Release")
    manager.sees("14 days to answer")
    mentor, mentee = (open_for_module(name) for name in pair)
    # The mentee answers with the keyboard alone, in a test of its own; here the mentor.
    for person in (mentee, mentor):
        person.open_tool(COURSE)
        proposal = href(person, "See the proposal")
        person.click("See the proposal")
        if person is mentee:
            press_by_keyboard(person, "Yes, I would like to", "Enter")
            person.sees("Your yes is noted")
            assert focused(person) == "H1"
        else:
            person.press("Yes, I would like to")
    mentor.sees("Your pairing has started")
    mentor.click("Go to your pairing")
    pairing = mentor.at()
    for person in (mentor, mentee):
        visit(person, f"{pairing}/introduction")
        person.tool.get_by_label("Yes, I want to go on.").check()
        person.press("Keep my answer")
    for person in (mentor, mentee):
        visit(person, f"{pairing}/agreement/draft")
        person.fill("Where", "Video call")
        person.fill("What you hope for", "Learn by doing.")
        person.fill("Boundaries", "No appraisal talk.")
        person.press("Send what I expect")
    visit(mentee, f"{pairing}/agreement/new")
    mentee.press("Save this version")
    agreement = mentee.at()
    mentee.press("Sign")
    visit(mentor, agreement)
    mentor.press("Sign")
    visit(mentee, f"{pairing}/goals/new")
    mentee.fill("Your goal in one sentence", "Use an AI assistant for my weekly report")
    mentee.tool.get_by_label("Technology", exact=True).check()
    mentee.fill("Where you stand today", "I have watched others do it.")
    for level in ("minus_2", "minus_1", "0", "plus_1", "plus_2"):
        mentee.tool.locator(f'[name="level_{level}"]').fill(f"level {level}")
    mentee.press("Set this goal")
    visit(mentee, pairing)
    mentee.sees("Use an AI assistant")
    goal = href(mentee, "Use an AI assistant")
    visit(mentee, f"{pairing}/sessions/new")
    zone = ZoneInfo(re.search(r"Time \((.*?)\)", mentee.says())[1])
    earlier = datetime.now(zone) - timedelta(hours=2)
    mentee.fill("Day", earlier.strftime("%Y-%m-%d"))
    mentee.tool.locator('[name="at"]').fill(earlier.strftime("%H:%M"))
    mentee.press("Save this session")
    visit(mentee, pairing)
    mentee.sees("To confirm (1)")
    session = href(mentee, "Another length")
    return Places(manager, mentor, mentee, programme, run, card, proposal, pairing, agreement, goal, session)


def faults_of(page) -> list[str]:
    """Name what is wrong with the page that is open: axe, headings, sideways scroll."""
    found = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        wide = page.evaluate("document.documentElement.scrollWidth")
        if wide > width:
            found.append(f"{wide} px at {width} px")
    page.set_viewport_size({"width": 360, "height": 800})
    for fault in Axe().run(page, options=RULES).response["violations"]:
        found += [f"{fault['id']}: {node['html'][:200]}" for node in fault["nodes"]]
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].map(e => +e.tagName[1])")
    if levels.count(1) != 1 or any(after - before > 1 for before, after in itertools.pairwise(levels)):
        found.append(f"headings {levels}")
    return found


def look_at(playwright, demo, bearer: str, paths: list[str], status: int = 200) -> dict[str, list[str]]:
    """Open pages of the tool alone, as their frame does, and give the faults by path."""
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
    page = browser.new_context(extra_http_headers={"X-Rm-Session": bearer}).new_page()
    faults = {}
    for path in paths:
        answer = page.goto(demo.tool + path)
        assert answer.status == status, (path, answer.status)
        if found := faults_of(page):
            faults[path] = found
    browser.close()
    return faults


def test_manager_pages_when_read_by_axe_at_every_width_have_no_faults(demo, playwright, places):
    p = places.programme
    paths = [
        "/manage",
        "/programmes",
        "/programmes/new",
        "/programmes/new/digital_fluency",
        "/help",
        "/credits",
    ]
    paths += [p] + [f"{p}/{part}" for part in ("settings", "people", "enrolments", "matching", "deliveries")]
    paths += [
        f"{p}/{part}" for part in ("sign-up", "concerns", "readiness", "launch", "skills?q=a", "endorsements")
    ]
    paths += [f"{p}/matching/health", f"{p}/matching/rules", f"{p}/people?q=nobody-has-this-name"]
    parts = ("", "/left-out", "/compare", "/release", "/pick?mentor_name=a&mentee_name=e", "?q=nobody-at-all")
    paths += [places.card] + [f"{places.run}{part}" for part in parts]
    assert look_at(playwright, demo, token(places.manager), paths) == {}


def test_participant_pages_when_read_by_axe_at_every_width_have_no_faults(demo, playwright, places):
    pairing, enrol = places.pairing, places.programme.replace("/programmes/", "/enrol/")
    paths = ["/home", "/credits", "/help", enrol, places.proposal, places.agreement, places.session]
    paths += [
        f"{places.session}/move",
        places.goal,
        f"{places.goal}/change",
        f"{places.goal}/review",
        f"{places.goal}/half-way",
        pairing,
    ]
    paths += [f"{enrol}/time", f"{enrol}/nominate", f"{places.programme}/questions", "/about-me"]
    parts = ("agreement", "agreement/new", "agreement/draft", "introduction", "help", "goals/new")
    parts += ("sessions/new", "checkin", "end")
    paths += [f"{pairing}/{part}" for part in parts]
    assert look_at(playwright, demo, token(places.mentee), paths) == {}


@pytest.fixture
def paper(demo, places, monkeypatch):
    """Give the mentee a paper of which the public page shows everything."""
    monkeypatch.setenv("RM_DATA_DIR", str(demo.folder))
    runtime = make_runtime(read_settings())
    now = runtime.clock()
    says = {
        "name": places.mentee.name, "programme": "Digital fluency", "role": "mentee", "issuer": "Acme",
        "started_at": now.isoformat(), "completed_at": now.isoformat(), "sessions": 3, "minutes": 180,
        "amount_hundredths": 300, "unit": "contact_hours", "criteria": [["Confirmed minutes", 180]],
        "evidence_sha256": "ab" * 32,
    }  # fmt: skip
    with runtime.database.unbound(write=False) as db:
        programme = db.get_one(Programme, uuid.UUID(places.programme.rpartition("/")[2]))
        person = db.scalars(select(Row).where(Row.display_name == places.mentee.name)).one()
    paper = Paper(
        programme_id=programme.id,
        person_id=person.id,
        state="valid",
        says=says,
        shows=[code for code, _words in SHOWABLE],
        status_index=1,
        issued_at=now,
    )
    with runtime.database.transaction(programme.tenant_id) as db:
        db.add(paper)
    yield paper
    runtime.database.close()


def test_papers_pages_when_read_by_axe_at_every_width_have_no_faults(demo, playwright, places, paper):
    own = [f"{places.programme}/papers", f"{places.programme}/record", "/credits", f"/verify/{paper.id}"]
    assert look_at(playwright, demo, token(places.mentee), own) == {}
    managers = [
        f"/manage{places.programme}/papers",
        f"{places.programme}/deliveries",
        f"/people/{paper.person_id}/papers",
        f"/people/{paper.person_id}/credits",
        f"/people/{paper.person_id}{places.programme}/adjust",
        f"/papers/{paper.id}/revoke",
    ]
    assert look_at(playwright, demo, token(places.manager), managers) == {}
    assert look_at(playwright, demo, "nobody", [f"/verify/{uuid.uuid4()}"], status=404) == {}


def test_refusals_when_read_by_axe_at_every_width_have_no_faults(demo, playwright, places):
    assert look_at(playwright, demo, token(places.mentor), ["/manage", places.run], status=403) == {}
    assert look_at(playwright, demo, token(places.mentor), ["/nowhere"], status=404) == {}
    assert look_at(playwright, demo, "ended", ["/home", "/entry/used"], status=401) == {}


def test_strangers_page_when_read_by_axe_at_every_width_has_no_faults(demo, playwright, open_as):
    guest = open_as("Robin Keller")
    guest.open_tool(COURSE)
    guest.sees("We could not find you in the staff list")
    assert look_at(playwright, demo, token(guest), ["/home", "/help"]) == {}


def test_new_tab_page_when_read_by_axe_in_the_frame_has_no_faults(demo, open_as):
    person = open_as(demo.company.by_hand[0], "blocked in the frame", width=360)
    person.open_tool(COURSE)
    person.sees("One more click")
    found = Axe().run(person.page, options=RULES).response["violations"]
    assert [fault["id"] for fault in found] == []


@pytest.mark.parametrize("width", [320, 1280])
def test_form_with_faults_when_read_by_axe_in_the_frame_has_no_faults(places, width):
    person = places.mentor
    person.page.set_viewport_size({"width": width, "height": 900})
    visit(person, places.pairing)
    person.sees("Your pairing with")
    person.click("Set a goal")
    person.press("Set this goal")
    person.sees("Some answers need a change")
    assert focused(person) == "alert"
    assert person.frame.evaluate("document.documentElement.scrollWidth <= innerWidth")
    found = Axe().run(person.page, options=RULES).response["violations"]
    assert [fault["id"] for fault in found] == []
    # From the alert one key press leads to the first field that is wrong.
    press_by_keyboard(person, "Go to the first one", "Enter")
    assert person.frame.evaluate("document.activeElement.id") == "f-title"
    # The address stays that of the form, so that it can be reloaded.
    person.reload()
    person.sees("Set a goal of your own")


def focused(person: Person) -> str:
    """Name what has the focus in the tool: a role, or the kind of element."""
    return person.frame.evaluate(
        "document.activeElement.getAttribute('role') || document.activeElement.tagName"
    )


def tab_to(person: Person, name: str) -> None:
    """Press Tab until the control of that name has the focus; every stop on the way must be visible."""
    names = """() => { const e = document.activeElement;
        const label = e.labels && e.labels[0];
        return (e.getAttribute('aria-label') || (label || e).innerText || '').trim(); }"""
    for _ in range(200):
        person.page.keyboard.press("Tab")
        if not person.frame.evaluate("document.hasFocus() && document.activeElement !== document.body"):
            continue
        ring, at = person.frame.evaluate(FOCUS_RING), person.frame.evaluate(names)
        assert ring >= 2, f"the focus is not to be seen on {at!r}"
        if at == name:
            return
    raise AssertionError(f"Tab does not lead to {name!r}")


def press_by_keyboard(person: Person, name: str, key: str) -> None:
    """Reach a control by Tab and press a key on it."""
    tab_to(person, name)
    person.page.keyboard.press(key)
    person.page.wait_for_timeout(100)


def test_sign_up_when_only_keys_are_used_is_sent(demo, open_as):
    person = open_as(demo.company.by_hand[1], width=360)
    person.open_tool(COURSE)
    person.frame.evaluate("document.body.focus()")
    person.tool.locator("h1").first.click()
    press_by_keyboard(person, "Answer the invitation", "Enter")
    person.sees("What it asks of you")
    assert focused(person) == "H1"
    # A form that is sent too early says what is missing, and how to get there.
    for name in ("I offer: Generative AI tools", "I want to reach: Generative AI tools"):
        tab_to(person, name)
        person.page.keyboard.press("ArrowDown")
        person.page.keyboard.press("ArrowDown")
    press_by_keyboard(person, MOTIVATION[0][1], "Space")
    press_by_keyboard(person, "Sign up", "Enter")
    person.sees("What to change")
    assert focused(person) == "alert"
    tab_to(person, person.tool.locator(".rm-next a").first.inner_text())
    consent = person.tool.locator("label[for=f-consent]").inner_text().strip()
    if not person.tool.get_by_label("English", exact=True).is_checked():
        press_by_keyboard(person, "English", "Space")
    press_by_keyboard(person, consent, "Space")
    press_by_keyboard(person, "Sign up", "Enter")
    person.sees("You are signed up as")
    assert focused(person) == "H1"


def test_session_when_confirmed_by_keys_alone_waits_for_the_other(places):
    person = places.mentor
    person.page.set_viewport_size({"width": 360, "height": 900})
    person.open_tool(COURSE)
    person.tool.locator("h1").first.click()
    press_by_keyboard(person, "Confirm the session", "Enter")
    person.sees("Did it take place?")
    press_by_keyboard(person, "Yes, it took place", "Space")
    person.sees("as soon as the other side has confirmed it")
    assert focused(person) == "H1"
    assert person.frame.evaluate("document.activeElement.getAttribute('aria-describedby')") == "rm-status"


def test_forms_when_javascript_is_off_work_as_plain_forms(demo, open_as):
    person = open_as(demo.company.by_hand[2], "allowed", javascript=False)
    person.page.goto(f"{demo.lms}/course/{COURSE}")
    person.page.locator("main a", has_text="Reverse mentoring").first.click()
    for _ in range(2):
        person.tool.get_by_role("button", name="Continue").click()
        person.page.wait_for_timeout(300)
    person.click("Answer the invitation")
    person.fill("Why would you like to take part?", "Plainly.")
    person.press("Sign up")
    person.sees("What to change")
    assert (
        person.tool.get_by_label("Why would you like to take part?", exact=True).input_value() == "Plainly."
    )
    person.press("Save as a draft")
    person.sees("Your draft is kept")
    # The answer to the form was a redirect: the address is the page's, and going back sends nothing twice.
    assert person.frame.url.split("?")[0].split("/")[-2] == "enrol"
    person.click("Home")
    person.sees("Your answers are not sent yet")
