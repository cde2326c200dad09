"""Pages of programmes: the manager's, and the enrolment of a participant."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import update

from rmplugin import web
from rmplugin.errors import InputError, NotAllowedError, NotFoundError
from rmplugin.formats import language_name
from rmplugin.people.models import Person, Skill
from rmplugin.programmes import answers, copies, endorsements, forms, operations, places, queries
from rmplugin.programmes.catalogue import SKILLS, TEMPLATES, THEMES, get_template
from rmplugin.programmes.models import Enrolment, Programme
from rmplugin.programmes.ways import own_enrolment, pages
from rmplugin.texts import Text, joined, texts
from rmplugin.web import Role, Visit
from rmplugin.wording import with_hint

PAGE = 25
LAUNCH_FIRST = "Nobody is invited yet: look here first whether the programme is ready to launch."
# What a manager can do next with a programme: state that it moves to -> words on the button.
STEP_WORDS = {
    "draft": texts({"archived": "Put the draft away"}),
    "enrolling": texts({"running": "Close enrolment", "archived": "End and archive the programme"}),
    "running": texts({"enrolling": "Open enrolment again", "concluding": "Begin to conclude"}),
    "concluding": texts({"running": "Go on running", "archived": "Archive the programme"}),
    "archived": {},
}
SIGNED_SAID = {
    "submitted": "You are signed up. You hear when there is a match.",
    "endorsing": "Your answers are sent. Your line manager is asked for the weekly time; you hear from us.",
    "waitlisted": "Your answers are sent. All places are taken now; you are on the waiting list.",
}
STEP_SAID = texts(
    {
        "enrolling": "Enrolment is open. Whoever is eligible can sign up.",
        "running": "The programme is running. The invited can still sign up; nobody else can.",
        "concluding": "The programme is concluding. Nobody can sign up any more; pairs come to an end.",
        "archived": "The programme is archived. Pairs that still ran end now; their people are told kindly.",
    }
)


@pages.get("/programmes", role=Role.MANAGER)
def programmes(visit: Visit) -> web.Answer:
    """List the programmes of this course, and those that are in no course yet."""
    found = queries.managed_programmes(visit.db, visit.session.context_id)
    counts = {programme.id: queries.count_enrolments(visit.db, programme.id) for programme in found}
    return web.render("programmes/programmes.html", visit, programmes=found, counts=counts)


@pages.get("/programmes/new", role=Role.MANAGER)
def new_programme(visit: Visit) -> web.Answer:
    """Offer the templates."""
    return web.render("programmes/choose_template.html", visit, templates=TEMPLATES)


@pages.get("/programmes/new/<template_key>", role=Role.MANAGER)
def programme_form(visit: Visit, template_key: str) -> web.Answer:
    """Show the settings that a template proposes."""
    try:
        template = get_template(template_key)
    except InputError as error:
        raise NotFoundError("template") from error
    values = forms.template_values(template, visit.now.date())
    # In the language of whoever makes the programme: from here on the words are theirs.
    values |= {"name": web.say(template.name), "purpose": web.say(template.purpose)}
    values["topics"] = "\n".join(map(web.say, template.topics))
    return web.render(
        "programmes/programme_form.html",
        visit,
        base=template,
        programme=None,
        values=values,
        themes=_themes(SKILLS),
        policies=_policies(visit),
        fixed=False,
    )


@pages.post("/programmes/new/<template_key>", role=Role.MANAGER, on_input_error=programme_form)
def create_programme(visit: Visit, template_key: str) -> web.Answer:
    """Create a programme in this course."""
    values = web.load_form(forms.ProgrammeForm())
    visit.runtime.plugins.check_policy(values["policy"])
    programme = operations.create_programme(
        visit.db, template_key, values, visit.actor, visit.now, visit.session.context_id
    )
    said = with_hint("The programme is created. Now see whether it is ready to launch.", *_worded(values))
    return web.go("programmes.programme", said, programme_id=programme.id)


@pages.get("/programmes/<uuid:programme_id>", role=Role.MANAGER)
def programme(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Show a programme: what to do next, who is eligible, who takes part, its settings."""
    found = _managed(visit, programme_id)
    return web.render(
        "programmes/programme.html",
        visit,
        programme=found,
        eligibility=queries.count_eligibility(visit.db, found, visit.now.date()),
        counts=queries.count_enrolments(visit.db, found.id),
        skills=queries.skills_of_programme(visit.db, found.id),
        why=queries.WHY,
        themes=THEMES,
        states=forms.STATES,
        steps=STEP_WORDS[found.state],
        policy=visit.runtime.plugins.policies.get(found.policy),
        live_pairs=queries.count_live_pairs(visit.db, found.id),
    )


@pages.get("/programmes/<uuid:programme_id>/settings", role=Role.MANAGER)
def settings(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Show the settings for changing; once people were invited, only the safe ones."""
    found = _managed(visit, programme_id)
    skills = queries.skills_of_programme(visit.db, found.id)
    return web.render(
        "programmes/programme_form.html",
        visit,
        base=None,
        programme=found,
        values=_values_of(found, skills),
        themes=_themes(SKILLS),
        policies=_policies(visit),
        fixed=operations.is_fixed(visit.db, found),
    )


@pages.post("/programmes/<uuid:programme_id>/settings", role=Role.MANAGER, on_input_error=settings)
def change_settings(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Keep changed settings."""
    found = _managed(visit, programme_id)
    fixed = operations.is_fixed(visit.db, found)
    values = web.load_form(forms.SafeProgrammeForm() if fixed else forms.ProgrammeForm())
    visit.runtime.plugins.check_policy(values.get("policy", found.policy))
    operations.change_programme(visit.db, found, values, visit.actor, visit.now)
    said = with_hint("The settings are saved.", *_worded(values))
    return web.go("programmes.programme", said, programme_id=found.id)


@pages.post("/programmes/<uuid:programme_id>/state", role=Role.MANAGER)
def change_state(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Open or close enrolment, conclude, archive."""
    found = _managed(visit, programme_id)
    state = web.load_form(forms.StepForm())["state"]
    if (found.state, state) == ("draft", "enrolling"):
        return web.go("signup.launch_page", programme_id=found.id)
    operations.change_state(visit.db, found, state, visit.actor, visit.now)
    return web.go("programmes.programme", STEP_SAID[found.state], programme_id=found.id)


@pages.post("/programmes/copy/carry", role=Role.MANAGER)
def carry_programme_over(visit: Visit) -> web.Answer:
    """Take the settings of the original's programme over into a copied course."""
    programme = copies.carry_over(visit.db, visit.session.context_id, visit.actor, visit.now)
    said = "The settings are taken over. Check the dates, then open enrolment. Nobody is invited yet."
    return web.go("programmes.settings", said=said, programme_id=programme.id)


@pages.post("/programmes/copy/fresh", role=Role.MANAGER)
def start_afresh(visit: Visit) -> web.Answer:
    """Leave the original's programme alone."""
    copies.start_afresh(visit.db, visit.session.context_id, visit.actor, visit.now)
    return web.go("dashboard.desk", said="You start afresh in this course. The original is as it was.")


@pages.post("/programmes/<uuid:programme_id>/course", role=Role.MANAGER)
def put_into_course(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Let a programme that was made by command run in this course."""
    found = _managed(visit, programme_id)
    if visit.session.context_id is None:
        raise NotAllowedError("no_course", "Open the activity inside a course to let a programme run there.")
    operations.put_into_course(visit.db, found, visit.session.context_id, visit.actor, visit.now)
    return web.go("programmes.programme", "The programme runs in this course now.", programme_id=found.id)


@pages.get("/programmes/<uuid:programme_id>/people", role=Role.MANAGER)
def people(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """List who is eligible and why, for inviting them."""
    found = _managed(visit, programme_id)
    visit.note_access(programme_id=programme_id)
    asked = web.load_query(forms.ListQuery())
    today, role, search = visit.now.date(), asked["role"], asked["q"]
    total = queries.count_eligible_people(visit.db, found, today, role, search=search)
    page = min(asked["page"], _pages(total))
    listed = queries.eligible_people(
        visit.db, found, today, role, search=search, offset=(page - 1) * PAGE, limit=PAGE
    )
    return web.render(
        "programmes/people.html",
        visit,
        programme=found,
        people=listed,
        total=total,
        page=page,
        pages=_pages(total),
        asked=asked,
        eligibility=queries.count_eligibility(visit.db, found, today),
        states=forms.STATES,
    )


@pages.post("/programmes/<uuid:programme_id>/invite-ticked", role=Role.MANAGER, on_input_error=people)
def invite_ticked(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Invite the ticked people."""
    found = _managed(visit, programme_id)
    if found.state == "draft":
        return web.go("signup.launch_page", LAUNCH_FIRST, programme_id=found.id)
    values = web.load_form(forms.InviteForm())
    if not values["people"]:
        raise InputError(
            "nobody_ticked", "Nobody is ticked, so nobody was invited. Tick people in the list first."
        )
    report = operations.invite(visit.db, found, visit.actor, visit.now, person_ids=values["people"])
    kept = {name: values[name] for name in ("role", "page", "q") if values[name]}
    return web.go("programmes.people", _said_of(report), programme_id=found.id, **kept)


@pages.post("/programmes/<uuid:programme_id>/invite-all", role=Role.MANAGER, on_input_error=people)
def invite_all(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Invite everybody who is eligible for a role."""
    found = _managed(visit, programme_id)
    if found.state == "draft":
        return web.go("signup.launch_page", LAUNCH_FIRST, programme_id=found.id)
    role = web.load_form(forms.InviteForm())["role"]
    report = operations.invite(visit.db, found, visit.actor, visit.now, role=role)
    return web.go("programmes.people", _said_of(report), programme_id=found.id, role=role)


@pages.get("/programmes/<uuid:programme_id>/enrolments", role=Role.MANAGER)
def enrolments(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """List who was invited and who signed up."""
    found = _managed(visit, programme_id)
    visit.note_access(programme_id=programme_id)
    asked = web.load_query(forms.ListQuery())

    def read(page: int) -> tuple[list[Any], int]:
        where = {"offset": (page - 1) * PAGE, "limit": PAGE}
        return queries.page_of_enrolments(visit.db, found.id, asked["role"], asked["state"], **where)

    rows, total = read(asked["page"])
    page = min(asked["page"], _pages(total))
    if page != asked["page"]:
        rows, total = read(page)
    return web.render(
        "programmes/enrolments.html",
        visit,
        programme=found,
        rows=rows,
        total=total,
        page=page,
        pages=_pages(total),
        asked=asked,
        counts=queries.count_enrolments(visit.db, found.id),
        states=forms.STATES,
        motivation=dict(answers.MOTIVATION),
    )


@pages.get("/enrol/<uuid:programme_id>", role=Role.PARTICIPANT)
def enrolment(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Show what a programme asks and gives, then the questions; or why it is not for this person."""
    found = queries.get_programme(visit.db, programme_id)
    own = queries.find_enrolment(visit.db, found.id, visit.person_id)
    try:
        roles = operations.open_roles(visit.db, found, own, visit.person_id, visit.now)
    except NotAllowedError as error:
        fit = queries.find_fit(visit.db, found, visit.person_id, visit.now.date())
        page = web.render(
            "programmes/not_open.html",
            visit,
            programme=found,
            own=own,
            fit=fit,
            why=error,
            states=forms.STATES,
        )
        return page, error.status
    _note_opened(visit, own)
    asked = endorsements.find(visit.db, own.id) if own and own.state == "endorsing" else None
    invited = own is not None and own.state in ("invited", "started") and own.invited_at is not None
    return web.render(
        "programmes/enrolment.html",
        visit,
        programme=found,
        own=own,
        endorsement=asked,
        can_ask_again=asked is not None and endorsements.can_ask_again(asked, visit.now),
        line=places.place_in_line(visit.db, own) if own and own.state == "waitlisted" else 0,
        is_full={role: places.is_full(visit.db, found, role) for role in roles},
        role=own.role if own and own.role in roles else roles[0],
        roles=roles,
        words=forms,
        invited=invited,
        **_questions(visit, found),
    )


def _questions(visit: Visit, programme: Programme) -> dict[str, Any]:
    """Give what the questions at enrolment show: the choices, and what was answered before."""
    person = visit.db.get_one(Person, visit.person_id)
    profile, offers, wants = queries.answers_of(visit.db, visit.person_id)
    languages = list(profile.languages if profile else person.languages)
    zone = profile.time_zone if profile else person.time_zone or "UTC"
    return {
        "profile": profile,
        "offers": offers,
        "wants": wants,
        "themes": _themes(queries.skills_of_programme(visit.db, programme.id)),
        "languages": languages,
        "language_options": _language_options(languages),
        "zone": zone,
        "zones": sorted({zone, *answers.time_zones()}),
        "day_options": list(enumerate(answers.DAYS)),
        "asks": answers,
    }


def _note_opened(visit: Visit, own: Enrolment | None) -> None:
    """Note for the funnel that an invitation was looked at; beside the page, which only reads."""
    if own is None or own.opened_at is not None:
        return
    with visit.runtime.database.transaction(visit.tenant_id) as db:
        db.execute(update(Enrolment).where(Enrolment.id == own.id).values(opened_at=visit.now))


@pages.post("/enrol/<uuid:programme_id>", role=Role.PARTICIPANT, on_input_error=enrolment)
def send_enrolment(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Keep a draft, or sign up."""
    found = queries.get_programme(visit.db, programme_id)
    skill_ids = [skill.id for skill in queries.skills_of_programme(visit.db, found.id)]
    loaded = web.load_form(answers.make_answers_form(skill_ids))
    told = answers.read_answers(loaded, skill_ids)
    if loaded["step"] == "draft":
        operations.start_enrolment(visit.db, found, visit.person_id, told, visit.now)
        said = "Your draft is saved. You are not signed up yet; come back to send it."
    else:
        before = queries.find_enrolment(visit.db, found.id, visit.person_id)
        again = before is not None and before.state in forms.SIGNED_UP
        own = operations.submit_enrolment(visit.db, found, visit.person_id, told, visit.now)
        said = "Your answers are changed." if again else SIGNED_SAID[own.state]
    hinted = with_hint(said, told.motivation, told.closed_topics, *(told.interests or ()))
    return web.go("programmes.enrolment", hinted, programme_id=found.id)


@pages.post("/enrol/<uuid:programme_id>/decline", role=Role.PARTICIPANT, on_input_error=enrolment)
def decline(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Say no to an invitation."""
    own = own_enrolment(visit, programme_id)
    reason = web.load_form(forms.DeclineForm())["reason"]
    if reason == "time":
        return web.go("programmes.time_page", programme_id=programme_id)
    operations.decline_invitation(visit.db, own, reason, visit.now)
    said = "You said no, and nobody asks further. You can change your mind while enrolment is open."
    return web.go("programmes.enrolment", said, programme_id=programme_id)


@pages.post("/enrol/<uuid:programme_id>/withdraw", role=Role.PARTICIPANT)
def withdraw(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Leave the pool."""
    operations.withdraw(visit.db, own_enrolment(visit, programme_id), visit.now)
    said = "You have left the programme. Your answers are kept in case you come back."
    return web.go("programmes.enrolment", said, programme_id=programme_id)


def _worded(values: Mapping[str, Any]) -> list[str]:
    """Give what somebody wrote about a programme."""
    written = [values["name"], values["purpose"], values["sponsor_message"] or "", *values["topics"]]
    return [*written, *(skill.name for skill in values["skills"])]


def _managed(visit: Visit, programme_id: uuid.UUID) -> Programme:
    return queries.get_managed_programme(visit.db, programme_id, visit.session.context_id)


def _pages(total: int) -> int:
    return max(1, -(-total // PAGE))


def _themes(skills: Sequence[Any]) -> list[tuple[str, list[Any]]]:
    """Group skills by theme, in the order of the themes, with the theme's words."""
    groups = [(title, [skill for skill in skills if skill.theme == key]) for key, title in THEMES.items()]
    return [(title, group) for title, group in groups if group]


def _policies(visit: Visit) -> list[tuple[str, str]]:
    """Give the credit policies to choose from, as the form lists them."""
    return [(key, Text(policy.title)) for key, policy in visit.runtime.plugins.policies.items()]


def _values_of(programme: Programme, skills: Sequence[Skill]) -> Mapping[str, Any]:
    """Give a programme's settings as the form shows them."""
    known = {skill.name for skill in SKILLS}
    values = {column.name: getattr(programme, column.name) for column in Programme.__table__.columns}
    own = [f"{skill.name} | {THEMES[skill.theme]}" for skill in skills if skill.name not in known]
    return values | {
        "topics": "\n".join(programme.topics),
        "skills": [skill.name for skill in skills if skill.name in known],
        "own_skills": "\n".join(own),
    }


def _language_options(own: Sequence[str]) -> list[tuple[str, str]]:
    """Offer the common languages and those that the person has already."""
    codes = dict.fromkeys([*own, *answers.COMMON_LANGUAGES])
    return [(code, language_name(code)) for code in codes]


def _said_of(report: operations.InviteReport) -> str:
    """Say what an invitation did; the same one twice says that nothing changed."""
    parts = []
    if report.invited:
        told = "%(n)s invited. They find the invitation when they open the activity."
        parts.append(Text(told, n=report.invited))
    else:
        parts.append(Text("Nobody new was invited."))
    if report.already:
        told = "%(n)s had been invited or enrolled before; nothing changed for them."
        parts.append(Text(told, n=report.already))
    if report.not_eligible:
        parts.append(Text("%(n)s are not eligible and were left out.", n=report.not_eligible))
    return joined(parts)
