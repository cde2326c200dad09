"""Pages of hours: a pair's ledger, what to do when there is no time, and the manager's index."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from rmplugin import web
from rmplugin.hours import forms, ledger, operations, queries
from rmplugin.matching.models import Pairing
from rmplugin.matching.queries import get_pairing_of
from rmplugin.messages.queries import unread_counts
from rmplugin.notes.queries import count_commitments, due_items, list_items
from rmplugin.notes.views import words_of
from rmplugin.people.queries import display_names, zone_of
from rmplugin.privacy import safe_count
from rmplugin.programmes.queries import get_programme, programme_of_course
from rmplugin.sessions.forms import CAUSES
from rmplugin.sessions.queries import current_break, next_session
from rmplugin.web import Role, Visit

pages = web.Pages("hours", __name__)
# Of pairs whose hours fall out; the others follow when these have met.
PAIRS_SHOWN = 25


def home_part(visit: Visit, pairing_ids: Collection[UUID]) -> dict[str, Any]:
    """Give what the home page shows of messages and of what is due; see `hours/_home.html`.

    :param pairing_ids: of the visitor's pairings that go on.
    **Touches** reads message, thread_read, action_item, pairing.
    """
    if not pairing_ids:
        return {"unread": {}, "due": (), "words": {}}
    due = due_items(visit.db, visit.person_id, visit.now)
    unread = unread_counts(visit.db, visit.person_id, pairing_ids)
    return {"unread": unread, "due": due, "words": words_of(visit, due), "today": visit.now.date()}


def pairing_part(visit: Visit, pairing: Pairing, unread: int) -> dict[str, Any]:
    """Give what the page of a pairing shows of messages, of what was taken on, and of a break.

    :param pairing: that was found to be the visitor's.
    :param unread: messages that the visitor has not read.
    **Touches** reads action_item, time_need.
    """
    items = [item for item in list_items(visit.db, pairing.id) if item.state == "open"]
    return {
        "unread": unread,
        "items": items,
        "words": words_of(visit, items),
        "pause": current_break(visit.db, pairing.id, visit.now.date()),
        "today": visit.now.date(),
    }


@pages.get("/pairings/<uuid:pairing_id>/hours", role=Role.PARTICIPANT)
def ledger_page(visit: Visit, pairing_id: UUID) -> web.Answer:
    """Show a pair its own ledger and rhythm."""
    pairing = get_pairing_of(visit.db, pairing_id, visit.person_id)
    programme = get_programme(visit.db, pairing.programme_id)
    weeks = queries.ledger_of(visit.db, pairing, programme, visit.now)
    return web.render(
        "hours/ledger.html",
        visit,
        pairing=pairing,
        weeks=[(week, ledger.by_shown_cause(week.displaced)) for week in reversed(weeks)],
        total=ledger.total(weeks),
        rhythm=queries.rhythm_of(visit.db, pairing, programme),
        pause=current_break(visit.db, pairing_id, visit.now.date()),
        allowance=programme.allowance_minutes,
        causes=CAUSES,
        zone=zone_of(visit.db, visit.person_id),
        next_session=next_session(visit.db, pairing_id, visit.now),
    )


@pages.get("/pairings/<uuid:pairing_id>/no-time", role=Role.PARTICIPANT)
def no_time_page(visit: Visit, pairing_id: UUID) -> web.Answer:
    """Show the four ways out when there is no time."""
    pairing = get_pairing_of(visit.db, pairing_id, visit.person_id)
    partner_id = pairing.partner_of(visit.person_id)
    return web.render(
        "hours/no_time.html",
        visit,
        pairing=pairing,
        partner=display_names(visit.db, {partner_id})[partner_id],
        pause=current_break(visit.db, pairing_id, visit.now.date()),
        reasons=forms.REASONS,
        most_weeks=forms.MOST_WEEKS,
    )


@pages.post("/pairings/<uuid:pairing_id>/no-time", role=Role.PARTICIPANT, on_input_error=no_time_page)
def say_no_time(visit: Visit, pairing_id: UUID) -> web.Answer:
    """Take one of the four ways out."""
    pairing = get_pairing_of(visit.db, pairing_id, visit.person_id)
    values = web.load_form(forms.NoTimeForm())
    operations.say_no_time(visit.db, pairing, visit.person_id, values, visit.now)
    if values["choice"] == "shorten":
        said = "Please change the length of your sessions here; both of you sign the new version."
        return web.go("agreements.propose_page", said=said, pairing_id=pairing_id)
    if values["choice"] == "leave":
        return web.go("leaving.end_page", pairing_id=pairing_id)
    if values["choice"] == "pause":
        said = "Your break has begun. Your partner reads until when, not why."
        return web.go("dashboard.pairing", said=said, pairing_id=pairing_id)
    coming = next_session(visit.db, pairing_id, visit.now)
    said = "Please choose a time that suits you better."
    if coming is not None and coming.starts_at > visit.now:
        return web.go("sessions.move_page", said=said, session_id=coming.id)
    return web.go("sessions.plan_page", said=said, pairing_id=pairing_id)


@pages.post("/pairings/<uuid:pairing_id>/go-on", role=Role.PARTICIPANT)
def go_on(visit: Visit, pairing_id: UUID) -> web.Answer:
    """End a break before its last day."""
    pairing = get_pairing_of(visit.db, pairing_id, visit.person_id)
    operations.go_on(visit.db, pairing, visit.person_id, visit.now)
    return web.go("dashboard.pairing", said="Welcome back. You can plan again.", pairing_id=pairing_id)


@pages.get("/manage/hours", role=Role.MANAGER)
def index_page(visit: Visit) -> web.Answer:
    """Show a manager how the protected hour fares: sums over all pairs, and pairs whose hours fall out."""
    programme = programme_of_course(visit.db, visit.session.context_id)
    if programme is None:
        return web.render("hours/index.html", visit, programme=None, current="/manage")
    pairs = queries.displacements(visit.db, programme.id, visit.now)
    kept, due, seniors = count_commitments(visit.db, programme.id, visit.now.date())
    shown = pairs[:PAIRS_SHOWN]
    people = {person for pair in shown for person in pair.people}
    visit.note_access(*people, programme_id=programme.id)
    return web.render(
        "hours/index.html",
        visit,
        programme=programme,
        index=queries.hour_index(visit.db, programme, visit.now),
        pairs=shown,
        more=len(pairs) - len(shown),
        names=display_names(visit.db, people),
        commitments=(kept, due) if safe_count(seniors) else None,
        counts=queries.no_time_counts(visit.db, programme.id),
        causes=CAUSES,
        words={"stage": forms.STAGES, "choice": forms.CHOICE_NAMES, "reason": forms.REASONS},
        index_weeks=queries.INDEX_WEEKS,
        current="/manage",
    )
