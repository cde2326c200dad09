"""Fills the demo's first course through the same doors that people use: a launch, a programme, an import."""

import urllib.request
from collections.abc import Iterable
from datetime import datetime
from html.parser import HTMLParser
from http.cookiejar import Cookie, CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import urlencode, urljoin

import click
from sqlalchemy import select

from rmplugin.cli.seed_pilot import ACTOR, seed_pilot
from rmplugin.db import Db
from rmplugin.demo.company import Company
from rmplugin.demo.company_pilot import LEAD_RANK, PILOT, pilot_profiles
from rmplugin.demo.company_profiles import CATALOGUE, SampleProfile, sample_profiles
from rmplugin.demo.lms_settings import LmsCourse, LmsPerson, LmsSettings
from rmplugin.jobs import Runtime
from rmplugin.matching import rule_sets, wishes
from rmplugin.people.models import Person
from rmplugin.programmes import operations
from rmplugin.programmes.imports import ImportReport, import_enrolments
from rmplugin.programmes.models import Programme
from rmplugin.programmes.queries import list_enrolments, list_programmes
from rmplugin.signup import operations as signup
from rmplugin.tenants.models import LtiContext, Tenant

MOST_STEPS = 8
PROGRAMME = "Digital fluency, first cohort"
RULES = {
    "self_service": True,
    "kept_bonus": 5_000,
    "note": "After the pilot, people say on short lists whom they would like to meet. A further run keeps "
    "pairs where that costs little.",
}
MESSAGE = (
    "I decide about tools that I have never used myself. That has to change, and I begin with an hour a week "
    "of my own. Please show us what works for you, and tell us what does not."
)
QUESTION, ANSWER = (
    "Who hears what the two of us talk about?",
    "Nobody. The programme team sees that you met and for how long, and how pairs are doing on the whole.",
)
# Every so many people choose, in this order from the top of their lists.
EVERY, WISHES = 9, ("2", "1", "", "avoid")


def seed(runtime: Runtime, tenant: Tenant, company: Company, lms: LmsSettings, course: LmsCourse) -> None:
    """Open a programme in a course and enrol people, but for the few whom the visitor may enrol.

    Does nothing when the programme is there already.

    **Touches** launches at the practice LMS; writes what launch, programme and import write.
    """
    with runtime.database.transaction(tenant.id, write=False) as db:
        if any(row.name == PROGRAMME for row in list_programmes(db)):
            return
    click.echo("The programme manager opens the activity and starts a programme; people sign up …")
    launch_by_hand(lms, next(person.user_id for person in lms.people if person.role == "instructor"), course)
    now = runtime.clock()
    with runtime.database.transaction(tenant.id) as db:
        context = db.scalars(select(LtiContext).where(LtiContext.context_id == course.course_id)).one()
        report = fill_course(db, company, lms.people, context, now)
    click.echo(f"{report.created + report.updated} people signed up, {len(report.skipped)} rows skipped.")


def fill_course(
    db: Db, company: Company, people: Iterable[LmsPerson], context: LtiContext, now: datetime
) -> ImportReport:
    """Make the programmes of the course: the cohort, and a pilot before it if the company is large enough.

    :param people: who has an account in the LMS.

    **Touches** what the operations touch.
    """
    pilot = pilot_profiles(company)
    if pilot:
        values = programme_values(company, PILOT) | {"mentee_min_rank": LEAD_RANK}
        seed_pilot(db, values, programme_rows(pilot), context.id, now)
    values = programme_values(company, PROGRAMME)
    programme = operations.create_programme(db, "digital_fluency", values, ACTOR, now, context.id)
    numbers = [person.employee_number for person in people if person.employee_number]
    in_course = db.scalars(select(Person.id).where(Person.employee_number.in_(numbers))).all()
    operations.invite(db, programme, ACTOR, now, person_ids=in_course)
    signup.publish_answer(db, programme, "exposure", QUESTION, ANSWER, ACTOR, now)
    report = import_enrolments(db, programme, programme_rows(sample_profiles(company)), ACTOR, now)
    if pilot:
        rule_sets.make_live(db, rule_sets.draft(db, programme, RULES, ACTOR, now), ACTOR, now)
        _choose(db, programme, now)
    return report


def _choose(db: Db, programme: Programme, now: datetime) -> None:
    """Let some people put their short lists in order: whom they would like to meet, and whom not."""
    for enrolment in list_enrolments(db, programme.id, state="submitted")[::EVERY]:
        short = wishes.short_list(db, programme, enrolment.person_id, now)
        choices = dict(zip((entry.person_id for entry in short), WISHES, strict=False))
        wishes.choose(db, programme, enrolment.person_id, choices, now)


def programme_values(company: Company, name: str) -> dict[str, Any]:
    """Give the settings of a programme of the sample company. **Touches** pure."""
    own_skills = "\n".join(entry.name for entry in CATALOGUE)
    sponsor = {"sponsor": company.people[0].name, "sponsor_message": MESSAGE}
    return {"name": name, "skills": [], "own_skills": own_skills, **sponsor}


def programme_rows(profiles: Iterable[SampleProfile]) -> list[dict[str, str]]:
    """Write profiles as rows of an enrolment file. **Touches** pure."""
    return [
        {
            "employee_number": profile.employee_number,
            "role": profile.role,
            "offers": "|".join(f"{skill}:{level}" for skill, level in profile.offers.items()),
            "wants": "|".join(
                f"{skill}:{level}:{min(3, place)}"
                for place, (skill, level) in enumerate(profile.wants.items(), start=1)
            ),
            "languages": "|".join(profile.languages),
            "motivation": profile.motivation_text,
            "motivation_level": str(profile.motivation),
            "capacity": str(profile.capacity),
            "work_from": profile.working_hours[0],
            "work_to": profile.working_hours[1],
            "time_zone": profile.time_zone,
        }
        for profile in profiles
        if not profile.by_hand
    ]


class _Form(HTMLParser):
    """The first form of a page, with its hidden fields."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect action and fields."""
        found = {name: value or "" for name, value in attrs}
        if tag == "form" and self.action is None:
            self.action = found.get("action", "")
        elif tag == "input" and "name" in found:
            self.fields[found["name"]] = found.get("value", "")


def launch_by_hand(lms: LmsSettings, user_id: str, course: LmsCourse) -> str:
    """Open a course's first activity as a browser does: sign in at the LMS, follow forms and redirects.

    :return: the tool's first page.
    :raises click.ClickException: the launch did not end at the tool.
    **Touches** the practice LMS and the tool.
    """
    # Browsers send Secure cookies to http://localhost, too; this client must be told.
    cookies = urllib.request.HTTPCookieProcessor(CookieJar(_LocalhostIsSecure()))
    browser = urllib.request.build_opener(cookies)

    def send(url: str, fields: dict[str, str] | None = None) -> tuple[str, str]:
        data = urlencode(fields).encode() if fields is not None else None
        with browser.open(url, data, timeout=10) as answer:
            return answer.url, answer.read().decode()

    try:
        send(f"{lms.issuer}/login", {"user_id": user_id})
        url, page = send(f"{lms.issuer}/course/{course.course_id}/activity/1/launch")
        for _step in range(MOST_STEPS):
            form = _Form(page)
            if url.startswith(f"{lms.tool_url}/entry/") or form.action is None:
                break
            url, page = send(urljoin(url, form.action), form.fields)
    except OSError as error:
        raise click.ClickException(f"The practice launch failed: {error}.") from error
    if not url.startswith(f"{lms.tool_url}/entry/"):
        raise click.ClickException(f"The practice launch ended at {url.partition('?')[0]}.")
    return page


class _LocalhostIsSecure(DefaultCookiePolicy):
    def return_ok_secure(self, cookie: Cookie, request: Any) -> bool:
        """Send Secure cookies to the tool on this machine."""
        del cookie, request
        return True
