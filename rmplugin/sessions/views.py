"""Pages of sessions."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from rmplugin import web
from rmplugin.agreements.models import Agreement
from rmplugin.agreements.queries import current_agreement
from rmplugin.matching.models import Pairing
from rmplugin.matching.queries import get_pairing_of
from rmplugin.notes import operations as notes
from rmplugin.notes.forms import ItemForm, NoteForm, TakeawayForm
from rmplugin.notes.queries import list_items, notes_of
from rmplugin.notes.views import words_of
from rmplugin.people.queries import display_names, zone_of, zones_of
from rmplugin.preparation.queries import not_ready
from rmplugin.privacy import LEAST_FOR_COUNT
from rmplugin.programmes.queries import get_managed_programme, get_programme, programme_of_course
from rmplugin.sessions import changes, evidence, forms, operations, queries
from rmplugin.sessions.models import MentoringSession
from rmplugin.sessions.prompts import KIND_NAMES, PROMPTS
from rmplugin.texts import Text
from rmplugin.web import Role, Visit

pages = web.Pages("sessions", __name__)


@pages.get("/pairings/<uuid:pairing_id>/sessions/new", role=Role.PARTICIPANT)
def plan_page(visit: Visit, pairing_id: UUID) -> web.Answer:
    """Show the form of a session to plan, or of one that already took place."""
    pairing = get_pairing_of(visit.db, pairing_id, visit.person_id)
    zones = zones_of(visit.db, [visit.person_id, pairing.partner_of(visit.person_id)])
    agreement = current_agreement(visit.db, pairing.id)
    known = queries.sessions_of_both(visit.db, pairing)
    values, starts = _suggestion(visit, pairing, agreement, known, zones[visit.person_id])
    chosen = web.load_query(forms.SlotQuery())["start"]
    if chosen is not None:
        values |= _local(chosen, zones[visit.person_id])
    return _form(visit, pairing, None, values, starts, zones)


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
    partner_id = pairing.partner_of(visit.person_id)
    zones = zones_of(visit.db, [visit.person_id, partner_id])
    records = notes_of(visit.db, session_id, visit.person_id)
    items = list_items(visit.db, pairing.id, session_id)
    mine = story.claims.get(visit.person_id)
    return web.render(
        "sessions/session.html",
        visit,
        story=story,
        session=story.session,
        pairing=pairing,
        zone=zones[visit.person_id],
        partner_zone=zones[partner_id],
        names=display_names(visit.db, {pairing.mentor_id, pairing.mentee_id}),
        partner_id=partner_id,
        mine=mine,
        theirs=story.claims.get(partner_id),
        changes=queries.list_changes(visit.db, session_id) if _has_changed(story.session) else (),
        notes=[note for note in records if note.kind == "note"],
        takeaways={note.author_id: note for note in records if note.kind == "takeaway"},
        items=items,
        words=words_of(visit, [*records, *items]),
        following=_following(visit, pairing, zones[visit.person_id]) if mine else None,
        can_ask=mine is not None and evidence.can_ask_attestation(story.session, visit.now),
        can_correct=mine is not None and evidence.can_correct(story.session, visit.now),
        **_words(story.session),
    )


def _words(session: MentoringSession) -> dict[str, Any]:
    return {
        "kind_names": KIND_NAMES,
        "prompts": PROMPTS[session.kind],
        "causes": forms.CAUSES,
        "min_minutes": evidence.MIN_MINUTES,
        "max_minutes": evidence.MAX_MINUTES,
    }


def _has_changed(session: MentoringSession) -> bool:
    return session.moves > 0 or session.state == "cancelled"


def _following(visit: Visit, pairing: Pairing, zone: str) -> dict[str, Any] | None:
    """Suggest the next session, when none is planned and one can be."""
    if pairing.state != "active":
        return None
    known = queries.sessions_of_both(visit.db, pairing)
    if any(
        queries.SessionStory(one, {}).is_coming(visit.now) for one in known if one.pairing_id == pairing.id
    ):
        return None
    agreement = current_agreement(visit.db, pairing.id)
    if agreement is None:
        return {"blocked": True}
    values, starts = _suggestion(visit, pairing, agreement, known, zone)
    return {"values": values, "starts": [(start, _local(start, zone)) for start in starts]}


@pages.get("/sessions/<uuid:session_id>/move", role=Role.PARTICIPANT)
def move_page(visit: Visit, session_id: UUID) -> web.Answer:
    """Show the form that changes a planned session."""
    story, pairing = queries.get_session_of(visit.db, session_id, visit.person_id)
    session = story.session
    zones = zones_of(visit.db, [visit.person_id, pairing.partner_of(visit.person_id)])
    known = [one for one in queries.sessions_of_both(visit.db, pairing) if one.id != session_id]
    earliest = visit.now + timedelta(days=1)
    starts = queries.common_starts(visit.db, pairing, earliest, session.planned_minutes, known)
    chosen = web.load_query(forms.SlotQuery())["start"] or session.starts_at
    values = {
        **_local(chosen, zones[visit.person_id]),
        "kind": session.kind,
        "minutes": session.planned_minutes,
        "medium": session.medium,
        "place": session.place,
        "agenda": session.agenda,
        "topic": session.topic,
    }
    return _form(visit, pairing, session, values, starts, zones)


def _local(start: Any, zone: str) -> dict[str, Any]:
    local = start.astimezone(ZoneInfo(zone))
    return {"on": local.date().isoformat(), "at": f"{local:%H:%M}"}


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
    reason = web.load_form(forms.CancelForm())["reason"]
    operations.cancel(visit.db, story.session, visit.person_id, visit.now, reason)
    return web.go("dashboard.pairing", said="The session is cancelled.", pairing_id=pairing.id)


@pages.post("/sessions/<uuid:session_id>/claim", role=Role.PARTICIPANT, on_input_error=session_page)
def claim(visit: Visit, session_id: UUID) -> web.Answer:
    """Say that a session took place, and for how long."""
    story, pairing = queries.get_session_of(visit.db, session_id, visit.person_id)
    minutes, line = web.load_form(forms.ClaimForm())["minutes"], web.load_form(TakeawayForm())
    session = operations.claim(visit.db, story.session, visit.person_id, minutes, visit.now)
    if line["takeaway"]:
        _keep_takeaway(visit, pairing, session_id, line)
    said = {
        "claimed": "Thank you. The session counts as soon as the other side has confirmed it, too.",
        "disputed": "Thank you. The two of you gave different lengths; please look at both below.",
        "confirmed": Text(
            "Both of you confirmed. It counts %(minutes)s minutes for each of you, up to the limits.",
            minutes=session.counted_minutes,
        ),
    }[session.state]
    return web.go("sessions.session_page", said=said, session_id=session_id)


@pages.post("/sessions/<uuid:session_id>/correct", role=Role.PARTICIPANT, on_input_error=session_page)
def correct(visit: Visit, session_id: UUID) -> web.Answer:
    """Give another length for a session that both confirmed."""
    story, _pairing = queries.get_session_of(visit.db, session_id, visit.person_id)
    minutes = web.load_form(forms.ClaimForm())["minutes"]
    session = changes.correct(visit.db, story.session, visit.person_id, minutes, visit.now)
    said = {
        "confirmed": Text("Thank you. It counts %(minutes)s minutes now.", minutes=session.counted_minutes),
        "disputed": "Thank you. The two of you gave different lengths; please look at both below.",
    }[session.state]
    return web.go("sessions.session_page", said=said, session_id=session_id)


@pages.post("/sessions/<uuid:session_id>/agenda", role=Role.PARTICIPANT, on_input_error=session_page)
def add_point(visit: Visit, session_id: UUID) -> web.Answer:
    """Add a point to the agenda."""
    story, _pairing = queries.get_session_of(visit.db, session_id, visit.person_id)
    point = web.load_form(forms.PointForm())["point"]
    operations.add_point(visit.db, story.session, visit.person_id, point, visit.now)
    return web.go("sessions.session_page", said="It stands on the agenda.", session_id=session_id)


@pages.post("/sessions/<uuid:session_id>/takeaway", role=Role.PARTICIPANT, on_input_error=session_page)
def keep_takeaway(visit: Visit, session_id: UUID) -> web.Answer:
    """Keep the one line that somebody takes along."""
    _story, pairing = queries.get_session_of(visit.db, session_id, visit.person_id)
    _keep_takeaway(visit, pairing, session_id, web.load_form(TakeawayForm()))
    return web.go("sessions.session_page", said="Your takeaway is kept.", session_id=session_id)


def _keep_takeaway(visit: Visit, pairing: Pairing, session_id: UUID, line: dict[str, Any]) -> None:
    secrets = visit.runtime.database.secrets
    notes.keep_takeaway(visit.db, secrets, pairing, session_id, visit.person_id, line, visit.now)


@pages.post("/sessions/<uuid:session_id>/notes", role=Role.PARTICIPANT, on_input_error=session_page)
def write_note(visit: Visit, session_id: UUID) -> web.Answer:
    """Write a note about a session."""
    _story, pairing = queries.get_session_of(visit.db, session_id, visit.person_id)
    values, secrets = web.load_form(NoteForm()), visit.runtime.database.secrets
    notes.write_note(visit.db, secrets, pairing, session_id, visit.person_id, values, visit.now)
    return web.go("sessions.session_page", said="The note is kept.", session_id=session_id)


@pages.post("/sessions/<uuid:session_id>/actions", role=Role.PARTICIPANT, on_input_error=session_page)
def take_on(visit: Visit, session_id: UUID) -> web.Answer:
    """Take something on that came up in a session."""
    _story, pairing = queries.get_session_of(visit.db, session_id, visit.person_id)
    values, secrets = web.load_form(ItemForm()), visit.runtime.database.secrets
    notes.take_on(visit.db, secrets, pairing, session_id, visit.person_id, values, visit.now)
    return web.go("sessions.session_page", said="It is written down.", session_id=session_id)


@pages.post("/sessions/<uuid:session_id>/ask-attestation", role=Role.PARTICIPANT)
def ask_attestation(visit: Visit, session_id: UUID) -> web.Answer:
    """Ask the programme manager to attest a session."""
    story, _pairing = queries.get_session_of(visit.db, session_id, visit.person_id)
    operations.ask_attestation(visit.db, story.session, visit.person_id, visit.now)
    said = "The programme manager is asked. You hear from us."
    return web.go("sessions.session_page", said=said, session_id=session_id)


@pages.get("/programmes/<uuid:programme_id>/topics", role=Role.MANAGER)
def topics_page(visit: Visit, programme_id: UUID) -> web.Answer:
    """Show the manager how many pairs took up each of the programme's topics, from five pairs on."""
    programme = get_managed_programme(visit.db, programme_id, visit.session.context_id)
    return web.render(
        "sessions/topics.html",
        visit,
        programme=programme,
        topics=queries.count_topics(visit.db, programme),
        least=LEAST_FOR_COUNT,
        current="/manage",
    )


@pages.get("/manage/attestations", role=Role.MANAGER)
def attestations(visit: Visit) -> web.Answer:
    """Show a manager the sessions that they are asked to attest: who, when, how long; nothing else."""
    programme = programme_of_course(visit.db, visit.session.context_id)
    asked = queries.list_asked(visit.db, programme.id) if programme else []
    people = {person for _story, pairing in asked for person in (pairing.mentor_id, pairing.mentee_id)}
    if programme:
        visit.note_access(*people, programme_id=programme.id)
    return web.render(
        "sessions/attestations.html",
        visit,
        asked=asked,
        names=display_names(visit.db, people),
        zone=zone_of(visit.db, visit.session.person_id),
        current="/manage",
    )


@pages.get("/manage/sessions/<uuid:session_id>/attest", role=Role.MANAGER)
def attest_page(visit: Visit, session_id: UUID) -> web.Answer:
    """Ask a manager what they know of one session."""
    session, pairing = queries.get_asked(visit.db, session_id)
    get_managed_programme(visit.db, pairing.programme_id, visit.session.context_id)
    people = {pairing.mentor_id, pairing.mentee_id}
    visit.note_access(*people, programme_id=pairing.programme_id)
    return web.render(
        "sessions/attest.html",
        visit,
        session=session,
        pairing=pairing,
        claims=queries.claims_of(visit.db, session_id).values(),
        names=display_names(visit.db, people),
        zone=zone_of(visit.db, visit.session.person_id),
        is_own=bool(visit.session.person_id and pairing.role_of(visit.session.person_id)),
        current="/manage",
    )


@pages.post("/manage/sessions/<uuid:session_id>/attest", role=Role.MANAGER, on_input_error=attest_page)
def attest(visit: Visit, session_id: UUID) -> web.Answer:
    """Attest a session, or say that one cannot."""
    session, pairing = queries.get_asked(visit.db, session_id)
    get_managed_programme(visit.db, pairing.programme_id, visit.session.context_id)
    values = web.load_form(forms.AttestForm())
    yes, reason = values["answer"] == "yes", values["reason"].strip()
    operations.attest(
        visit.db, session, visit.actor, visit.session.person_id, visit.now, yes=yes, reason=reason
    )
    said = "Thank you. The session counts." if yes else "Thank you. The two are told kindly."
    return web.go("sessions.attestations", said=said)


def _unmoved(session: MentoringSession, values: dict[str, Any], zone: str) -> Any:
    # A start that was left as it is must not be asked about again when its local time comes twice that night.
    local = session.starts_at.astimezone(ZoneInfo(zone))
    same = (local.date(), f"{local:%H:%M}") == (values["on"], f"{values['at']:%H:%M}")
    return session.starts_at if same and values["which"] is None else None


def _suggestion(
    visit: Visit, pairing: Pairing, agreement: Agreement | None, known: Sequence[MentoringSession], zone: str
) -> tuple[dict[str, Any], list[datetime]]:
    """Give what the form of a new session begins with, and starts at which both are free."""
    rules = agreement or get_programme(visit.db, pairing.programme_id)
    minutes, rhythm = rules.session_minutes, timedelta(weeks=rules.cadence_weeks)
    before = [session for session in known if session.pairing_id == pairing.id]
    # The same time of day again, also when the clocks change in between.
    again = [(one.starts_at.astimezone(ZoneInfo(zone)) + rhythm).astimezone(UTC) for one in before[-1:]]
    earliest = max([visit.now + timedelta(days=1), *again])
    starts = queries.common_starts(visit.db, pairing, earliest, minutes, known)
    local = _local(starts[0] if starts else earliest, zone)
    values = {
        **local,
        "at": local["at"] if starts else "10:00",
        "kind": "regular" if before else "first",
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
    starts: Sequence[datetime],
    zones: Mapping[UUID, str],
) -> web.Answer:
    has_met = session is not None or operations.has_sessions(visit.db, pairing.id)
    partner_id = pairing.partner_of(visit.person_id)
    return web.render(
        "sessions/plan.html",
        visit,
        pairing=pairing,
        session=session,
        values=values,
        starts=starts,
        zone=zones[visit.person_id],
        names=display_names(visit.db, {pairing.mentor_id, pairing.mentee_id}),
        partner_id=partner_id,
        partner_zone=zones[partner_id],
        kind_names=KIND_NAMES,
        topics=[(one, one) for one in get_programme(visit.db, pairing.programme_id).topics],
        prompts=PROMPTS,
        causes=forms.CAUSES,
        not_ready={} if has_met else not_ready(visit.db, pairing),
        blocked=session is None and has_met and current_agreement(visit.db, pairing.id) is None,
    )
