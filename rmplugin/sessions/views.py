"""Pages of sessions."""

from datetime import timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from rmplugin import web
from rmplugin.agreements.queries import current_agreement
from rmplugin.matching.models import Pairing
from rmplugin.matching.queries import get_pairing_of
from rmplugin.people.queries import display_names, zone_of
from rmplugin.preparation.queries import not_ready
from rmplugin.programmes.queries import get_programme
from rmplugin.sessions import forms, operations, queries
from rmplugin.sessions.models import MentoringSession
from rmplugin.texts import Text
from rmplugin.web import Role, Visit

pages = web.Pages("sessions", __name__)


@pages.get("/pairings/<uuid:pairing_id>/sessions/new", role=Role.PARTICIPANT)
def plan_page(visit: Visit, pairing_id: UUID) -> web.Answer:
    """Show the form of a session to plan, or of one that already took place."""
    pairing = get_pairing_of(visit.db, pairing_id, visit.person_id)
    values, starts = _suggestion(visit, pairing)
    return _form(visit, pairing, None, values, starts)


@pages.post("/pairings/<uuid:pairing_id>/sessions", role=Role.PARTICIPANT, on_input_error=plan_page)
def plan(visit: Visit, pairing_id: UUID) -> web.Answer:
    """Plan a session."""
    pairing = get_pairing_of(visit.db, pairing_id, visit.person_id)
    values = web.load_form(forms.PlanForm())
    starts_at = forms.starts_at(values, zone_of(visit.db, visit.person_id))
    session = operations.plan(visit.db, pairing, visit.person_id, starts_at, values, visit.now)
    if starts_at <= visit.now:
        said = "The session is written down. Please say how long it was."
        return web.go("sessions.session_page", said=said, session_id=session.id)
    return web.go("dashboard.pairing", said="The session is planned.", pairing_id=pairing_id)


@pages.get("/sessions/<uuid:session_id>", role=Role.PARTICIPANT)
def session_page(visit: Visit, session_id: UUID) -> web.Answer:
    """Show a session: before it what is planned, after it what both sides say."""
    story, pairing = queries.get_session_of(visit.db, session_id, visit.person_id)
    return web.render(
        "sessions/session.html",
        visit,
        story=story,
        session=story.session,
        pairing=pairing,
        zone=zone_of(visit.db, visit.person_id),
        names=display_names(visit.db, {pairing.mentor_id, pairing.mentee_id}),
        partner_id=pairing.partner_of(visit.person_id),
        mine=story.claims.get(visit.person_id),
        theirs=story.claims.get(pairing.partner_of(visit.person_id)),
        min_minutes=operations.MIN_MINUTES,
        max_minutes=operations.MAX_MINUTES,
    )


@pages.get("/sessions/<uuid:session_id>/move", role=Role.PARTICIPANT)
def move_page(visit: Visit, session_id: UUID) -> web.Answer:
    """Show the form that changes a planned session."""
    story, pairing = queries.get_session_of(visit.db, session_id, visit.person_id)
    session = story.session
    local = session.starts_at.astimezone(ZoneInfo(zone_of(visit.db, visit.person_id)))
    values = {
        "on": local.date().isoformat(),
        "at": f"{local:%H:%M}",
        "minutes": session.planned_minutes,
        "medium": session.medium,
        "place": session.place,
        "agenda": session.agenda,
    }
    return _form(visit, pairing, session, values, [])


@pages.post("/sessions/<uuid:session_id>/move", role=Role.PARTICIPANT, on_input_error=move_page)
def reschedule(visit: Visit, session_id: UUID) -> web.Answer:
    """Change a planned session."""
    story, _pairing = queries.get_session_of(visit.db, session_id, visit.person_id)
    values = web.load_form(forms.PlanForm())
    zone = zone_of(visit.db, visit.person_id)
    starts_at = _unmoved(story.session, values, zone) or forms.starts_at(values, zone)
    operations.reschedule(visit.db, story.session, visit.person_id, starts_at, values, visit.now)
    return web.go("sessions.session_page", said="The session is changed.", session_id=session_id)


@pages.post("/sessions/<uuid:session_id>/cancel", role=Role.PARTICIPANT)
def cancel(visit: Visit, session_id: UUID) -> web.Answer:
    """Cancel a session."""
    story, pairing = queries.get_session_of(visit.db, session_id, visit.person_id)
    operations.cancel(visit.db, story.session, visit.person_id, visit.now)
    return web.go("dashboard.pairing", said="The session is cancelled.", pairing_id=pairing.id)


@pages.post("/sessions/<uuid:session_id>/claim", role=Role.PARTICIPANT, on_input_error=session_page)
def claim(visit: Visit, session_id: UUID) -> web.Answer:
    """Say that a session took place, and for how long."""
    story, _pairing = queries.get_session_of(visit.db, session_id, visit.person_id)
    minutes = web.load_form(forms.ClaimForm())["minutes"]
    session = operations.claim(visit.db, story.session, visit.person_id, minutes, visit.now)
    said = {
        "claimed": "Thank you. The session counts as soon as the other side has confirmed it, too.",
        "disputed": "Thank you. The two of you gave different lengths; please look at both below.",
        "confirmed": Text(
            "Both of you confirmed. %(minutes)s minutes count for each of you.",
            minutes=session.counted_minutes,
        ),
    }[session.state]
    return web.go("sessions.session_page", said=said, session_id=session_id)


def _unmoved(session: MentoringSession, values: dict[str, Any], zone: str) -> Any:
    # A start that was left as it is must not be asked about again when its local time comes twice that night.
    local = session.starts_at.astimezone(ZoneInfo(zone))
    same = (local.date(), f"{local:%H:%M}") == (values["on"], f"{values['at']:%H:%M}")
    return session.starts_at if same and values["which"] is None else None


def _suggestion(visit: Visit, pairing: Pairing) -> tuple[dict[str, Any], list[Any]]:
    agreement = current_agreement(visit.db, pairing.id)
    programme = get_programme(visit.db, pairing.programme_id)
    minutes = agreement.session_minutes if agreement else programme.session_minutes
    cadence = agreement.cadence_weeks if agreement else programme.cadence_weeks
    held = [story.session.starts_at for story in queries.list_sessions(visit.db, pairing.id)[:1]]
    earliest = max([visit.now + timedelta(days=1), *(start + timedelta(weeks=cadence) for start in held)])
    starts = queries.common_starts(visit.db, pairing, earliest, minutes)
    first = starts[0] if starts else earliest
    local = first.astimezone(ZoneInfo(zone_of(visit.db, visit.person_id)))
    values = {
        "on": local.date().isoformat(),
        "at": f"{local:%H:%M}" if starts else "10:00",
        "minutes": minutes,
        "medium": agreement.medium if agreement and agreement.medium != "mixed" else "video",
        # A café is no place for a video call.
        "place": agreement.place if agreement and agreement.medium == "in_person" else "",
        "agenda": "",
    }
    return values, starts


def _form(
    visit: Visit,
    pairing: Pairing,
    session: MentoringSession | None,
    values: dict[str, Any],
    starts: list[Any],
) -> web.Answer:
    return web.render(
        "sessions/plan.html",
        visit,
        pairing=pairing,
        session=session,
        values=values,
        starts=starts,
        zone=zone_of(visit.db, visit.person_id),
        names=display_names(visit.db, {pairing.mentor_id, pairing.mentee_id}),
        partner_id=pairing.partner_of(visit.person_id),
        partner_zone=zone_of(visit.db, pairing.partner_of(visit.person_id)),
        not_ready={}
        if session or operations.has_sessions(visit.db, pairing.id)
        else not_ready(visit.db, pairing),
        blocked=session is None and operations.needs_agreement_first(visit.db, pairing.id),
    )
