"""Pages that join capabilities."""

import csv
import io
import uuid
from datetime import timedelta
from typing import Any, NamedTuple

import flask

from rmplugin import logins, notify, web
from rmplugin.agreements.queries import signed_by, standing_agreements
from rmplugin.checkins.queries import next_wave_at
from rmplugin.credits.operations import spreadsheet_text
from rmplugin.dashboard import desk as desks
from rmplugin.dashboard import queries
from rmplugin.dashboard.forms import BANDS, PAIR_STATES, PairsQuery
from rmplugin.dashboard.queries import Home
from rmplugin.errors import NotAllowedError, NotFoundError, SessionEndedError
from rmplugin.formats import language_name
from rmplugin.goals.queries import level_text, list_goals
from rmplugin.hours.queries import current_break
from rmplugin.hours.views import home_part, pairing_part
from rmplugin.introductions.queries import standing_of
from rmplugin.matching.models import LIVE
from rmplugin.matching.queries import get_pairing_of
from rmplugin.people.forms import GROUPS, CourseQuery
from rmplugin.people.models import LtiUser
from rmplugin.people.queries import (
    LINK_PROBLEMS,
    SOURCE_WORDS,
    claimants_of,
    count_members,
    page_of_members,
    roster_event,
)
from rmplugin.preparation.queries import Outlook, outlook_of
from rmplugin.programmes.forms import STATES
from rmplugin.programmes.profiles import view_for_partner
from rmplugin.sessions.queries import list_sessions
from rmplugin.signup.queries import open_survey
from rmplugin.tenants.models import LtiContext
from rmplugin.texts import Text
from rmplugin.web import Role, Visit

pages = web.Pages("dashboard", __name__)

PAGE = 25
# Notices that ask for something about a pairing: the oldest is the next step, when nothing is more urgent.
ASKING = (
    "intro_again",
    "draft_missing",
    "drafts_ready",
    "agreement_to_sign",
    "checkin_due",
    "aim_observation",
)
ON_HOLD = (
    "Your pairing with %(name)s is on hold for the time being. You need not do anything, and nothing is "
    "lost; you hear from us when it goes on."
)


class Step(NamedTuple):
    """The one thing to do next.

    :param path: None when there is nothing to open.
    :param on_hold: it says of a pairing that it is on hold, so that no notice need.
    """

    text: str
    path: str | None = None
    link: str = ""
    on_hold: bool = False


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
        user_id = visit.session.lti_user_id
        if user_id is None:
            return web.render("dashboard/nobody.html", visit, is_test=False)
        user = visit.db.get(LtiUser, user_id)
        if user is not None and user.is_test:
            return web.render("dashboard/nobody.html", visit, is_test=True)
        problem = (user.link_problem if user else None) or "no_match"
        return web.render("dashboard/unknown.html", visit, why=LINK_PROBLEMS[problem])
    found = queries.home_of(visit.db, visit.session.context_id, visit.person_id, visit.now)
    if visit.is_manager and found.enrolment is None and not found.cards:
        return desk(visit)
    return web.render(
        "dashboard/home.html",
        visit,
        home=found,
        step=_next_step(visit, found),
        meeting=home_part(visit, [card.pairing.id for card in found.cards]),
        preparation=_preparation(visit, found),
        survey=open_survey(visit.db, visit.session.context_id, visit.session.lti_user_id),
        settle=True,
        current="/home",
    )


def _preparation(visit: Visit, home: Home) -> Outlook | None:
    if home.enrolment is None or home.enrolment.state != "submitted":
        return None
    return outlook_of(visit.db, visit.person_id, home.enrolment.role)


def _next_step(visit: Visit, home: Home) -> Step:
    if home.proposals:
        proposal = home.proposals[0]
        mine = proposal.mentor_answer if proposal.mentor_id == visit.person_id else proposal.mentee_answer
        partner = home.partners[queries.other_of(proposal, visit.person_id)].display_name
        if mine is None:
            return Step(
                Text(
                    "We propose to bring you together with %(partner)s. See why, and say yes or no.",
                    partner=partner,
                ),
                f"/proposals/{proposal.id}",
                "See the proposal",
            )
        if not home.cards:
            return Step(
                Text(
                    "You answered. As soon as %(partner)s says yes, too, your pairing begins.",
                    partner=partner,
                ),
                f"/proposals/{proposal.id}",
                "See the proposal again",
            )
    return _card_step(visit, home) if home.cards else _enrolment_step(home)


def _card_step(visit: Visit, home: Home) -> Step:
    card = next((card for card in home.cards if card.to_confirm), home.cards[0])
    name = card.partner.display_name
    path, link = flask.url_for("dashboard.pairing", pairing_id=card.pairing.id), "Open your pairing"
    if card.pairing.is_on_hold:
        return Step(Text(ON_HOLD, name=name), path, link, on_hold=True)
    if card.to_confirm:
        path = flask.url_for("sessions.session_page", session_id=card.to_confirm[0].id)
        return Step("Say whether your session took place, and how long it was.", path, "Confirm the session")
    pause = current_break(visit.db, card.pairing.id, visit.now.date())
    if pause is not None and pause.pause_until is not None:
        said = "Your pairing with %(name)s takes a break until %(day)s. You need not do anything."
        return Step(Text(said, name=name, day=pause.pause_until.isoformat()), path, link)
    here = f"/pairings/{card.pairing.id}/"
    for notice in home.notices:
        if notice.kind in ASKING and (notice.path or "").startswith(here):
            return Step(notice.text, notice.path, "Go there")
    return Step(Text("Go on with %(name)s.", name=name), path, link)


def _enrolment_step(home: Home) -> Step:
    if home.programme is None:
        return Step("No programme runs in this course yet. You need not do anything.")
    if home.short_list:
        return Step(
            "You are in. Before the matching you can say whom you would like to meet.",
            f"/programmes/{home.programme.id}/short-list",
            "See your short list",
        )
    path = f"/enrol/{home.programme.id}"
    if home.enrolment is None:
        if home.fit is not None and home.fit.role:
            return Step(
                Text("You can take part as a %(role)s. See what it asks of you.", role=Text(home.fit.role)),
                path,
                "See the programme",
            )
        return Step("This programme is for other people this time.", path, "See why")
    steps = {
        "invited": Step(
            "You are invited. See what it asks of you, and say yes or no.", path, "Answer the invitation"
        ),
        "started": Step("Your answers are not sent yet.", path, "Go on with your answers"),
        "endorsing": Step(
            "Your line manager is asked for the weekly time; you hear from us.",
            path,
            "See how it stands",
        ),
        "waitlisted": Step("You are on the waiting list.", path, "See how it stands"),
        "paused": Step("You pause, and come back by yourself.", path, "See until when"),
        "submitted": Step("You are in. As soon as there is a partner for you, you find the proposal here."),
        "declined": Step("You declined. You can still change your mind.", path, "See the programme"),
        "withdrawn": Step(
            "You have left the programme. You can come back while it runs.", path, "See the programme"
        ),
        "completed": Step(
            "You have completed the programme. Thank you!",
            f"/programmes/{home.programme.id}/record",
            "See what you reached",
        ),
    }
    return steps[home.enrolment.state]


@pages.get("/pairings/<uuid:pairing_id>", role=Role.PARTICIPANT)
def pairing(visit: Visit, pairing_id: uuid.UUID) -> web.Answer:
    """Show all that the two of a pairing share, with the one next action on top."""
    me = visit.person_id
    pair = get_pairing_of(visit.db, pairing_id, me)
    role = str(pair.role_of(me))
    facts = queries.pair_facts(visit.db, pair, me, visit.now)
    in_force, waiting = standing_agreements(visit.db, pair.id)
    goals = list_goals(visit.db, pair.id)
    sessions = list_sessions(visit.db, pair.id)
    waiting_sessions = [] if pair.is_on_hold else reversed(sessions)
    to_confirm = [story for story in waiting_sessions if story.waits_for(me, visit.now)]
    coming = [story.session for story in reversed(sessions) if story.is_coming(visit.now)]
    met = any(story.session.state != "cancelled" for story in sessions)
    confirmed = sum(story.session.state == "confirmed" for story in sessions)
    intro = standing_of(visit.db, pair, me, confirmed)
    stage = None if in_force or waiting else facts.stage
    people = queries.known_people(visit.db, [me, pair.partner_of(me)])
    partner, profile = people[pair.partner_of(me)].person, people[pair.partner_of(me)].profile
    meeting = pairing_part(visit, pair, facts.unread)
    step = _pair_step(
        {
            "over": pair.state not in LIVE,
            "on_hold": pair.is_on_hold,
            "intro": intro.due is not None,
            "intro_waits": intro.waits,
            "sign": waiting is not None and not signed_by(waiting, role),
            "confirm": bool(to_confirm),
            "break": meeting["pause"] is not None,
            "checkin": facts.wave is not None,
            "expect": stage == "write",
            "compare": stage == "compare",
            "goal": not any(story.goal.owner_id == me and story.goal.state != "dropped" for story in goals),
            "prepare": not met and facts.gate and bool(outlook_of(visit.db, me, role).missing),
            "first": not met,
            "wait_for_signature": waiting is not None and in_force is None and not coming,
            "wait_for_draft": stage == "wait" and not coming,
            "plan": not coming,
        },
        pair.id,
        partner.display_name,
        f"/sessions/{to_confirm[0].session.id}" if to_confirm else "",
    )
    return web.render(
        "dashboard/pairing.html",
        visit,
        meeting=meeting,
        pairing=pair,
        role=role,
        partner=partner,
        about=view_for_partner(profile, language_name),
        step=step,
        programme=facts.programme,
        zone=people[me].zone,
        partner_zone=people[partner.id].zone,
        in_force=in_force,
        waiting=waiting,
        signed=waiting is not None and signed_by(waiting, role),
        goals=goals,
        level_text=level_text,
        sessions=sessions,
        next_session=coming[0] if coming else None,
        to_confirm=to_confirm,
        minutes=sum(story.session.counted_minutes or 0 for story in sessions),
        completion=facts.completion,
        observation=facts.observation,
        stage=stage,
        wave=facts.wave,
        next_checkin_at=next_wave_at(pair, visit.now),
    )


def _pair_step(open_: dict[str, bool], pairing_id: uuid.UUID, partner: str, session_path: str) -> Step:
    """Choose the one thing to do next in a pairing: the first that is open, in this order."""
    here = f"/pairings/{pairing_id}"
    steps = {
        "over": Step(
            "This pairing has ended. What the two of you wrote stays readable for you.",
            f"{here}/parting",
            "See what comes next, and say thank you",
        ),
        "on_hold": Step(Text(ON_HOLD, name=partner)),
        "intro": Step(
            Text("Talk with %(partner)s first, and then say for yourself whether to go on.", partner=partner),
            f"{here}/introduction",
            "Go to the first call",
        ),
        "intro_waits": Step(
            Text(
                "Your answer is kept. As soon as %(partner)s has answered, too, it goes on.", partner=partner
            ),
            f"{here}/introduction",
            "See or change your answer",
        ),
        "sign": Step(
            Text("A version of the agreement with %(partner)s waits for your signature.", partner=partner),
            f"{here}/agreement",
            "Read and sign it",
        ),
        "confirm": Step(
            "Did your session take place? Say how long it was.", session_path, "Confirm the session"
        ),
        "break": Step("Your pairing takes a break. You need not do anything, and nothing is lost."),
        "checkin": Step(
            Text(
                "How is it going, for you? A check-in of two minutes; %(partner)s never sees your answers.",
                partner=partner,
            ),
            f"{here}/checkin",
            "Answer the check-in",
        ),
        "expect": Step(
            "Write down, for yourself, what you expect: how often and where you meet, what you hope for, "
            "what stays between you.",
            f"{here}/agreement/draft",
            "Write down what you expect",
        ),
        "compare": Step(
            Text(
                "You and %(partner)s have written down what you expect. See where you differ.",
                partner=partner,
            ),
            f"{here}/agreement",
            "Make one agreement of both",
        ),
        "goal": Step(
            "What do you want to take with you? Set a goal of your own.", f"{here}/goals/new", "Set a goal"
        ),
        "prepare": Step(
            "Prepare for your first session with a few short modules. You can plan it when both are ready.",
            f"{here}/preparation",
            "Go to your preparation",
        ),
        "first": Step(
            Text("Plan your first session with %(partner)s.", partner=partner),
            f"{here}/sessions/new",
            "Plan the first session",
        ),
        "wait_for_signature": Step(
            Text(
                "Your agreement waits for the signature of %(partner)s. After that you can plan the next "
                "session.",
                partner=partner,
            ),
            f"{here}/agreement",
            "See the agreement",
        ),
        "wait_for_draft": Step(
            Text("Next, %(partner)s writes down what they expect. Then you compare both.", partner=partner),
            f"{here}/agreement",
            "See the agreement",
        ),
        "plan": Step(
            Text("Plan your next session with %(partner)s.", partner=partner),
            f"{here}/sessions/new",
            "Plan the next session",
        ),
    }
    return next(
        (steps[name] for name in steps if open_[name]),
        Step("All is set. The next step is your session; come back here afterwards to confirm it."),
    )


@pages.post("/notices/<uuid:notice_id>/away", role=Role.PARTICIPANT)
def put_notice_away(visit: Visit, notice_id: uuid.UUID) -> web.Answer:
    """Mark a notice as read."""
    notify.put_away(visit.db, visit.person_id, notice_id, visit.now)
    return web.go("dashboard.home")


@pages.get("/manage", role=Role.MANAGER)
def desk(visit: Visit) -> web.Answer:
    """Show the manager's desk."""
    asked = web.load_query(PairsQuery())
    found = desks.desk_of(visit.db, visit.session.context_id, asked, visit.now)
    if found.programme is not None:
        visit.note_access(programme_id=found.programme.id)
    return web.render(
        "dashboard/desk.html",
        visit,
        desk=found,
        asked=asked,
        states=PAIR_STATES,
        bands=BANDS,
        settle=True,
        current="/manage",
    )


@pages.download("/manage/pairs.csv", role=Role.MANAGER)
def pairs_file(visit: Visit) -> web.Answer:
    """Give the whole table of pairs as a CSV file."""
    programme, rows = desks.all_pairs(visit.db, visit.session.context_id, visit.now)
    if programme is None:
        raise NotFoundError("programme")
    visit.note_access(programme_id=programme.id)
    file = io.StringIO()
    writer = csv.writer(file)
    heading = "mentor,mentee,state,sessions,minutes,last_session,next_session,health,lower_of_the_two,gap"
    writer.writerow(heading.split(","))
    for row in rows:
        days = [moment.date() if moment else "" for moment in (row.last_session, row.next_session)]
        health = (row.health.band, row.health.lower, row.health.gap) if row.health else ("", "", "")
        names = [spreadsheet_text(name) for name in (row.line.mentor, row.line.mentee)]
        writer.writerow([*names, row.line.state, row.confirmed, row.minutes, *days, *health])
    answer = flask.make_response("\ufeff" + file.getvalue())
    answer.headers["Content-Type"] = "text/csv; charset=utf-8"
    answer.headers["Content-Disposition"] = "attachment; filename=pairs.csv"
    return answer


@pages.get("/people/course", role=Role.MANAGER)
def course_people(visit: Visit) -> web.Answer:
    """Show who of the course is who of the staff list, and who needs a decision."""
    context_id = visit.session.context_id
    asked = web.load_query(CourseQuery())
    counts = count_members(visit.db, context_id)
    where = {"offset": (asked["page"] - 1) * PAGE, "limit": PAGE}
    absent = {**where, "offset": 0, "limit": 0} if asked["group"] not in (None, "missing") else where
    missing, counts["missing"] = queries.people_not_in_course(
        visit.db, context_id, asked["q"] if asked["group"] == "missing" else "", **absent
    )
    group = asked["group"] or next((name for name in (*GROUPS, "missing") if counts[name]), "linked")
    rows: list[Any] = []
    total = counts["missing"]
    if group != "missing":
        rows, total = page_of_members(visit.db, context_id, group, asked["q"], **where)
    claimed = {user.claimed_person_id for _member, user, _person in rows if user.claimed_person_id}
    platform_id = rows[0][1].platform_id if claimed else None
    context = visit.db.get(LtiContext, context_id) if context_id is not None else None
    event = roster_event(visit.db, context.id) if context is not None else None
    return web.render(
        "dashboard/course_people.html",
        visit,
        context=context,
        event=event,
        is_reading=event is not None and event.attempts == 0,
        asked=asked,
        group=group,
        counts=counts,
        rows=rows,
        missing=missing,
        total=total,
        page=asked["page"],
        pages=max(1, -(-total // PAGE)),
        claimants=claimants_of(visit.db, platform_id, claimed) if platform_id is not None else {},
        problems=LINK_PROBLEMS,
        sources=SOURCE_WORDS,
        states=STATES,
        current="/manage",
    )


@pages.get("/help", role=Role.VISITOR)
def help_page(visit: Visit) -> web.Answer:
    """Show who is who, who sees what, and what to do when something is odd."""
    return web.render("dashboard/help.html", visit)


def _start_page(visit: Visit) -> web.Answer:
    """Show the page that the link is about; who may not see it gets their own first page, with a note."""
    if visit.session.start_path is None:
        return first_page(visit)
    try:
        return web.show(visit, visit.session.start_path)
    except (NotAllowedError, NotFoundError):
        flask.g.settle = None
        if visit.session.person_id is not None:
            flask.g.note = Text("The page behind this link is not for you, so this is your own start page.")
        return first_page(visit)


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
    secret_key = str(runtime.settings.secret_key)
    cookie = logins.entry_cookie(code, secret_key, runtime.settings.public_url)
    if not logins.is_right_browser(code, cookie, flask.request):
        raise SessionEndedError
    with runtime.database.transaction(None) as db:
        session, token = logins.take_entry(db, code, now, secret_key=secret_key)
    # SQLite has one writer at a time. The page only reads, so nobody's page has to wait for another's.
    with runtime.database.transaction(session.tenant_id, write=False) as db:
        visit = Visit(db, now, session, token, runtime)
        flask.g.visit = visit
        response = flask.make_response(_start_page(visit))
    web.set_session_cookie(response, token)
    if cookie[0] in flask.request.cookies:
        web.set_cookie(response, cookie[0], "", timedelta(0))
    return response
