"""Pages that join capabilities."""

import uuid
from typing import NamedTuple

import flask

from rmplugin import notify, web
from rmplugin.dashboard import queries
from rmplugin.dashboard.queries import Home
from rmplugin.people.models import LtiUser
from rmplugin.web import Role, Visit

pages = web.Pages("dashboard", __name__)


class Step(NamedTuple):
    """The one thing to do next.

    :param path: None when there is nothing to open.
    """

    text: str
    path: str | None = None
    link: str = ""


@pages.get("/home", role=Role.VISITOR)
def home(visit: Visit) -> web.Answer:
    """Show what to do next."""
    return first_page(visit)


def first_page(visit: Visit) -> web.Answer:
    """Show the page that fits who is asking: a person's home, the manager's desk, or "we could not find you".

    **Touches** reads.
    """
    if visit.session.person_id is None:
        if visit.is_manager:
            return desk(visit)
        user = visit.db.get(LtiUser, visit.session.lti_user_id)
        problem = (user.link_problem if user else None) or "no_match"
        return web.render("dashboard/unknown.html", visit, why=queries.PROBLEMS[problem])
    found = queries.home_of(visit.db, visit.session.context_id, visit.person_id, visit.now)
    if visit.is_manager and found.enrolment is None and not found.cards:
        return desk(visit)
    return web.render("dashboard/home.html", visit, home=found, step=_next_step(visit, found), settle=True)


def _next_step(visit: Visit, home: Home) -> Step:
    if home.proposals:
        proposal = home.proposals[0]
        mine = proposal.mentor_answer if proposal.mentor_id == visit.person_id else proposal.mentee_answer
        partner = home.partners[queries.other_of(proposal, visit.person_id)].display_name
        if mine is None:
            return Step(
                f"We propose to bring you together with {partner}. See why, and say yes or no.",
                f"/proposals/{proposal.id}",
                "See the proposal",
            )
        if not home.cards:
            return Step(
                f"You answered. As soon as {partner} says yes, too, your pairing begins.",
                f"/proposals/{proposal.id}",
                "See the proposal again",
            )
    if home.cards:
        card = next((card for card in home.cards if card.to_confirm), home.cards[0])
        path = flask.url_for("dashboard.pairing", pairing_id=card.pairing.id)
        if card.to_confirm:
            return Step(
                "Say whether your session took place, and how long it was.", path, "Confirm the session"
            )
        return Step(f"Go on with {card.partner.display_name}.", path, "Open your pairing")
    return _enrolment_step(home)


def _enrolment_step(home: Home) -> Step:
    if home.programme is None:
        return Step("No programme runs in this course yet. You need not do anything.")
    path = f"/enrol/{home.programme.id}"
    if home.enrolment is None:
        if home.fit is not None and home.fit.role:
            return Step(
                f"You can take part as a {home.fit.role}. See what it asks of you.", path, "See the programme"
            )
        return Step("This programme is for other people this time.", path, "See why")
    steps = {
        "invited": Step(
            "You are invited. See what it asks of you, and say yes or no.", path, "Answer the invitation"
        ),
        "started": Step("Your answers are not sent yet.", path, "Go on with your answers"),
        "submitted": Step("You are in. As soon as there is a partner for you, you find the proposal here."),
        "declined": Step("You declined. You can still change your mind.", path, "See the programme"),
        "withdrawn": Step(
            "You have left the programme. You can come back while it runs.", path, "See the programme"
        ),
        "completed": Step("You have completed the programme. Thank you!", "/credits", "See your credits"),
    }
    return steps[home.enrolment.state]


@pages.post("/notices/<uuid:notice_id>/away", role=Role.PARTICIPANT)
def put_notice_away(visit: Visit, notice_id: uuid.UUID) -> web.Answer:
    """Mark a notice as read."""
    notify.put_away(visit.db, visit.person_id, notice_id, visit.now)
    return web.go("dashboard.home")


@pages.get("/manage", role=Role.MANAGER)
def desk(visit: Visit) -> web.Answer:
    """Show the manager's desk."""
    found = queries.desk_of(visit.db, visit.session.context_id, visit.now)
    return web.render("dashboard/desk.html", visit, desk=found, settle=True)


@pages.get("/help", role=Role.VISITOR)
def help_page(visit: Visit) -> web.Answer:
    """Show who is who, who sees what, and what to do when something is odd."""
    return web.render("dashboard/help.html", visit)


@pages.get("/entry/<code>", role=Role.PUBLIC)
def entry(code: str) -> web.Answer:
    """Exchange the one-time code for a session and show the first page in the same answer.

    No redirect follows: in a frame without cookies the next request could not say who it is.
    """
    runtime = web.get_runtime()
    if flask.request.method == "HEAD":
        # Link checkers must not use the code up.
        return ""
    now = runtime.clock()
    with runtime.database.transaction(None) as db:
        session, token = web.take_entry(db, code, now)
        db.info["tenant_id"] = session.tenant_id
        visit = Visit(db, now, session, token, runtime)
        flask.g.visit = visit
        response = flask.make_response(first_page(visit))
    web.set_session_cookie(response, token)
    return response
