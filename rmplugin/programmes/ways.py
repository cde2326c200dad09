"""Pages beside the enrolment page: no time, nominations, and the line manager's yes, without a login."""

import uuid

import flask

from rmplugin import web
from rmplugin.db import Db
from rmplugin.errors import ConflictError, InputError, NotFoundError
from rmplugin.people.queries import find_working
from rmplugin.programmes import answers, endorsements, forms, operations, places, profiles, queries
from rmplugin.programmes.models import Enrolment, Programme
from rmplugin.texts import Text
from rmplugin.web import Role, Visit
from rmplugin.wording import with_hint

pages = web.Pages("programmes", __name__)

# What follows when somebody without time chooses, by what they chose.
TIME_SAID = {
    "shorter": "Two people may agree on shorter or fewer sessions, for example 30 minutes every four weeks. "
    "You write it into your agreement when you have a partner.",
    "retime": "Change your days and hours below; the matching looks for somebody who can at the same time.",
    "pause": "You pause until the day that you see below, and come back by yourself. Your place is kept.",
    "leave": "You said no, and nobody asks further. You can change your mind while enrolment is open.",
}
PAIRED_SAID = {
    "shorter": "Propose a new version of your agreement with shorter or fewer sessions; it holds when both "
    "of you have signed.",
    "retime": "Open your pairing and move the next session to a time that suits you both.",
    "pause": "Open your pairing: below, you can end it without a reason and choose a pause.",
    "leave": "Open your pairing: below, you can end it without a reason and leave.",
}


def own_enrolment(visit: Visit, programme_id: uuid.UUID) -> Enrolment:
    """Give the visitor's enrolment. **Touches** reads programme, enrolment."""
    found = queries.get_programme(visit.db, programme_id)
    own = queries.find_enrolment(visit.db, found.id, visit.person_id)
    if own is None:
        raise NotFoundError("enrolment")
    return own


@pages.get("/enrol/<uuid:programme_id>/time", role=Role.PARTICIPANT)
def time_page(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Offer somebody without time four ways that are not all or nothing."""
    own = own_enrolment(visit, programme_id)
    return web.render(
        "programmes/time.html",
        visit,
        programme=queries.get_programme(visit.db, programme_id),
        own=own,
        choices=_choices_for(own),
        longest=forms.LONGEST_PAUSE_WEEKS,
    )


def _choices_for(own: Enrolment) -> dict[str, Text]:
    """Leave out the pause for somebody who has nothing to pause from yet."""
    can_pause = own.active_pairings or own.state in ("submitted", "paused")
    return {key: words for key, words in forms.TIME_CHOICES.items() if key != "pause" or can_pause}


@pages.post("/enrol/<uuid:programme_id>/time", role=Role.PARTICIPANT, on_input_error=time_page)
def choose_for_time(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Do what somebody without time chose."""
    own = own_enrolment(visit, programme_id)
    values = web.load_form(forms.TimeForm())
    operations.choose_for_time(visit.db, own, values["choice"], values["weeks"], visit.now)
    if own.active_pairings:
        return web.go("dashboard.home", PAIRED_SAID[values["choice"]])
    return web.go("programmes.enrolment", TIME_SAID[values["choice"]], programme_id=programme_id)


@pages.post("/enrol/<uuid:programme_id>/back", role=Role.PARTICIPANT)
def come_back(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """End a pause early."""
    places.come_back(own_enrolment(visit, programme_id), visit.now)
    return web.go(
        "programmes.enrolment", "Welcome back. You are in the pool again.", programme_id=programme_id
    )


@pages.post("/enrol/<uuid:programme_id>/ask-again", role=Role.PARTICIPANT)
def ask_again(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Ask the line manager anew."""
    endorsements.ask_again(visit.db, own_enrolment(visit, programme_id), visit.now)
    return web.go("programmes.enrolment", "Your line manager is asked again.", programme_id=programme_id)


@pages.get("/enrol/<uuid:programme_id>/nominate", role=Role.PARTICIPANT)
def nominate_page(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Let somebody suggest a colleague."""
    return web.render("programmes/nominate.html", visit, programme=_open_programme(visit, programme_id))


@pages.post("/enrol/<uuid:programme_id>/nominate", role=Role.PARTICIPANT, on_input_error=nominate_page)
def nominate(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Invite the colleague who was suggested; who suggested them learns no more."""
    found = _open_programme(visit, programme_id)
    values = web.load_form(forms.NominateForm())
    people = find_working(visit.db, values["who"])
    if len(people) != 1:
        text = "Nobody at work has exactly this number or address. Please check it."
        raise InputError("nobody_found", text, {"who": text})
    if people[0].id == visit.person_id:
        text = "That is you. You can sign up yourself."
        raise InputError("own_name", text, {"who": text})
    operations.nominate(visit.db, found, people[0], visit.person_id, visit.now, named=values["named"])
    said = "Thank you. If the programme fits your colleague, they find an invitation and decide themselves."
    return web.go("programmes.nominate_page", said, programme_id=found.id)


def _open_programme(visit: Visit, programme_id: uuid.UUID) -> Programme:
    found = queries.get_programme(visit.db, programme_id)
    if found.state != "enrolling":
        raise NotFoundError("programme")
    return found


@pages.get("/about-me", role=Role.PARTICIPANT)
def about_page(visit: Visit) -> web.Answer:
    """Show what a partner reads about the visitor, for changing."""
    profile = profiles.find_profile(visit.db, visit.person_id)
    if profile is None:
        raise NotFoundError("profile")
    return web.render("programmes/about.html", visit, profile=profile, asks=answers)


@pages.post("/about-me", role=Role.PARTICIPANT, on_input_error=about_page)
def change_about(visit: Visit) -> web.Answer:
    """Keep what a partner reads; other than the answers of enrolment, it may change at any time."""
    interests, topics, closed = answers.read_about(web.load_form(answers.make_about_form()))
    profiles.change_about(visit.db, visit.person_id, interests, topics, closed, visit.now)
    said = with_hint("Saved. Your partner reads it so from now on.", closed, *interests)
    return web.go("programmes.about_page", said)


@pages.get("/endorse/<token>", role=Role.PUBLIC)
def endorsement(token: str) -> web.Answer:
    """Ask a line manager for the weekly time; reading changes nothing, so mail scanners may."""
    runtime = web.get_runtime()
    known = endorsements.unsigned(token, str(runtime.settings.secret_key))
    with runtime.database.transaction(endorsements.tenant_in(known), write=False) as db:
        asked = _asked(db, known)
        return web.render(
            "programmes/endorse.html", None, asked=asked, token=token, reasons=forms.NOT_NOW_REASONS
        )


def _asked(db: Db, token: str) -> endorsements.Asked:
    """Give what a link of ours asks; one that was good once is told apart from a wrong one."""
    try:
        return endorsements.get(db, token)
    except NotFoundError:
        text = (
            "This link is no longer good: the question was asked again, or is not asked any more. Nothing "
            "was lost. Please open the newest mail about it; if there is none, you need not do anything."
        )
        raise ConflictError("asked_anew", text) from None


@pages.post("/endorse/<token>", role=Role.PUBLIC)
def endorse(token: str) -> web.Answer:
    """Keep a line manager's answer; the link alone says who they are, and is good for one answer."""
    values = web.load_form(forms.EndorseForm())
    runtime = web.get_runtime()
    known = endorsements.unsigned(token, str(runtime.settings.secret_key))
    with runtime.database.transaction(endorsements.tenant_in(known)) as db:
        asked = _asked(db, known)
        places.answer_endorsement(db, asked, values["answer"], values["reason"], runtime.clock())
    return flask.redirect(flask.url_for("programmes.endorsement", token=token), 303)


@pages.get("/programmes/<uuid:programme_id>/endorsements", role=Role.MANAGER)
def team_endorsements(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """List those for whom the staff list names no manager, so that the programme team decides."""
    found = queries.get_managed_programme(visit.db, programme_id, visit.session.context_id)
    waiting = endorsements.without_manager(visit.db, found.id)
    return web.render("programmes/endorsements.html", visit, programme=found, waiting=waiting)


@pages.post("/programmes/<uuid:programme_id>/endorsements", role=Role.MANAGER)
def endorse_for_team(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Say yes for somebody whom the staff list gives no manager."""
    found = queries.get_managed_programme(visit.db, programme_id, visit.session.context_id)
    enrolment_id = web.load_form(forms.EnrolmentForm())["enrolment"]
    asked = endorsements.get_for_team(visit.db, found.id, enrolment_id)
    places.endorse_for_team(visit.db, asked, visit.actor, visit.now)
    return web.go("programmes.team_endorsements", "Done. They are told.", programme_id=found.id)
