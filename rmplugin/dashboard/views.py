"""Pages that join capabilities."""

import csv
import io
import uuid
from datetime import timedelta
from functools import partial
from typing import Any

import flask

from rmplugin import logins, notify, web
from rmplugin.agreements.queries import signed_by, standing_agreements
from rmplugin.checkins.queries import next_wave_at
from rmplugin.dashboard import desk as desks
from rmplugin.dashboard import queries
from rmplugin.dashboard.forms import BANDS, PAIR_STATES, PairsQuery
from rmplugin.dashboard.pairs import all_pairs
from rmplugin.dashboard.queries import Home
from rmplugin.dashboard.steps import next_step, pair_step
from rmplugin.errors import NotAllowedError, NotFoundError, SessionEndedError
from rmplugin.formats import language_name
from rmplugin.goals.queries import list_goals
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
from rmplugin.programmes.endorsements import signed
from rmplugin.programmes.forms import STATES
from rmplugin.programmes.profiles import view_for_partner
from rmplugin.programmes.queries import programme_of_course
from rmplugin.sessions.queries import list_sessions
from rmplugin.shapes import spreadsheet_text
from rmplugin.signup.queries import open_survey
from rmplugin.tenants.models import LtiContext
from rmplugin.texts import Text
from rmplugin.web import Role, Visit

pages = web.Pages("dashboard", __name__)

PAGE = 25


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
        step=next_step(visit, found),
        signed=partial(signed, secret_key=str(visit.runtime.settings.secret_key)),
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
    step = pair_step(
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
        to_confirm[0].session if to_confirm else None,
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


@pages.post("/notices/<uuid:notice_id>/away", role=Role.PARTICIPANT)
def put_notice_away(visit: Visit, notice_id: uuid.UUID) -> web.Answer:
    """Mark a notice as read."""
    notify.put_away(visit.db, visit.person_id, notice_id, visit.now)
    return web.go("dashboard.home")


@pages.get("/manage", role=Role.MANAGER)
def desk(visit: Visit) -> web.Answer:
    """Show the manager's desk."""
    asked = web.load_query(PairsQuery())
    found = desks.desk_of(visit.db, visit.session.context_id, asked, visit.session.person_id, visit.now)
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
    programme = programme_of_course(visit.db, visit.session.context_id)
    if programme is None:
        raise NotFoundError("programme")
    rows = all_pairs(visit.db, programme.id, visit.session.person_id, visit.now)
    visit.note_access(programme_id=programme.id)
    file = io.StringIO()
    writer = csv.writer(file)
    heading = "mentor,mentee,state,sessions,minutes,last_session,next_session,health,lower_of_the_two,gap"
    writer.writerow(heading.split(","))
    for row in rows:
        days = [moment.date() if moment else "" for moment in (row.last_session, row.next_session)]
        health = (row.health.band, row.health.lower, row.health.gap) if row.health else ("", "", "")
        names = [spreadsheet_text(name) for name in (row.mentor, row.mentee)]
        writer.writerow([*names, row.state, row.confirmed, row.minutes, *days, *health])
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
