"""Pages of aims."""

from uuid import UUID

import flask

from rmplugin import web
from rmplugin.aims import operations, queries
from rmplugin.aims.forms import AIMS, MOMENTS, OBSERVED, STEPS, AgreeForm, AimForm, RatingForm
from rmplugin.errors import NotFoundError
from rmplugin.matching.queries import get_pairing_of
from rmplugin.people.queries import display_names
from rmplugin.programmes.queries import get_programme
from rmplugin.web import Role, Visit

pages = web.Pages("aims", __name__)


@pages.get("/pairings/<uuid:pairing_id>/aim", role=Role.PARTICIPANT)
def aim_page(visit: Visit, pairing_id: UUID) -> web.Answer:
    """Show the mentor their aim and what changed; the mentee, if asked, what they can rate."""
    return _render(visit, pairing_id, "aims/aim.html")


def _render(visit: Visit, pairing_id: UUID, template: str) -> str:
    story, pairing, role = queries.get_aim_of(visit.db, pairing_id, visit.person_id)
    names = display_names(visit.db, {pairing.mentor_id, pairing.mentee_id})
    return web.render(
        template,
        visit,
        pairing=pairing,
        role=role,
        story=story,
        mentor=names[pairing.mentor_id],
        mentee=names[pairing.mentee_id],
        aims=AIMS,
        steps=STEPS if role == "mentor" else OBSERVED,
        observed=OBSERVED,
        moments=MOMENTS,
        moment=queries.moment_in(visit.db, pairing, visit.now.date()),
    )


@pages.post("/pairings/<uuid:pairing_id>/aim", role=Role.PARTICIPANT, on_input_error=aim_page)
def choose_aim(visit: Visit, pairing_id: UUID) -> web.Answer:
    """Keep the mentor's aim."""
    pairing = get_pairing_of(visit.db, pairing_id, visit.person_id)
    values = web.load_form(AimForm())
    operations.choose_aim(visit.db, pairing, visit.person_id, values["aim"], values["words"], visit.now)
    return web.go("aims.aim_page", said="Your aim is kept.", pairing_id=pairing_id)


@pages.post("/pairings/<uuid:pairing_id>/aim/rating", role=Role.PARTICIPANT, on_input_error=aim_page)
def rate(visit: Visit, pairing_id: UUID) -> web.Answer:
    """Keep how far the mentor is."""
    pairing = get_pairing_of(visit.db, pairing_id, visit.person_id)
    values = web.load_form(RatingForm())
    operations.rate(visit.db, pairing, visit.person_id, values["rating"], values["note"], visit.now)
    return web.go("aims.aim_page", said="Kept.", pairing_id=pairing_id)


@pages.post("/pairings/<uuid:pairing_id>/aim/ask", role=Role.PARTICIPANT)
def ask_to_observe(visit: Visit, pairing_id: UUID) -> web.Answer:
    """Ask the mentee to rate, too."""
    pairing = get_pairing_of(visit.db, pairing_id, visit.person_id)
    operations.ask_to_observe(visit.db, pairing, visit.person_id, visit.now)
    return web.go("aims.aim_page", said="Your mentee is asked.", pairing_id=pairing_id)


@pages.post("/pairings/<uuid:pairing_id>/aim/observe", role=Role.PARTICIPANT, on_input_error=aim_page)
def answer_observation(visit: Visit, pairing_id: UUID) -> web.Answer:
    """Keep whether the mentee observes."""
    pairing = get_pairing_of(visit.db, pairing_id, visit.person_id)
    yes = web.load_form(AgreeForm())["answer"] == "yes"
    operations.answer_observation(visit.db, pairing, visit.person_id, visit.now, yes=yes)
    return web.go("dashboard.pairing", said="Thank you, your answer is kept.", pairing_id=pairing_id)


@pages.post("/pairings/<uuid:pairing_id>/aim/stop", role=Role.PARTICIPANT)
def stop_observing(visit: Visit, pairing_id: UUID) -> web.Answer:
    """Let the mentee observe no longer."""
    pairing = get_pairing_of(visit.db, pairing_id, visit.person_id)
    operations.stop_observing(visit.db, pairing, visit.person_id, visit.now)
    said = "The aim is not observed any more. What was rated stays with the mentor."
    return web.go("dashboard.pairing", said=said, pairing_id=pairing_id)


@pages.get("/pairings/<uuid:pairing_id>/aim/evidence", role=Role.PARTICIPANT)
def evidence(visit: Visit, pairing_id: UUID) -> web.Answer:
    """Give the mentor their aim and its ratings as a file to keep, print or hand on."""
    pairing = get_pairing_of(visit.db, pairing_id, visit.person_id)
    story = queries.find_aim(visit.db, pairing_id)
    if story is None or story.aim.person_id != visit.person_id:
        raise NotFoundError("aim")
    page = web.render(
        "aims/evidence.html",
        visit,
        story=story,
        mentor=display_names(visit.db, {pairing.mentor_id})[pairing.mentor_id],
        programme=get_programme(visit.db, pairing.programme_id),
        begins=pairing.started_at,
        aims=AIMS,
        steps=STEPS,
        observed=OBSERVED,
        moments=MOMENTS,
    )
    answer = flask.make_response(page)
    answer.headers["Content-Disposition"] = 'attachment; filename="leadership-aim.html"'
    return answer
