"""Pages of check-ins."""

from uuid import UUID

from rmplugin import web
from rmplugin.checkins import operations, queries
from rmplugin.checkins.forms import ITEMS, CheckinForm
from rmplugin.matching.queries import get_pairing_of
from rmplugin.people.queries import zone_of
from rmplugin.web import Role, Visit

pages = web.Pages("checkins", __name__)


@pages.get("/pairings/<uuid:pairing_id>/checkin", role=Role.PARTICIPANT)
def checkin_page(visit: Visit, pairing_id: UUID) -> web.Answer:
    """Show the check-in that is due, and one's own earlier answers."""
    pairing = get_pairing_of(visit.db, pairing_id, visit.person_id)
    unlock = visit.runtime.database.secrets.unlock
    earlier = [
        (checkin, unlock(checkin.words_locked) if checkin.words_locked else "")
        for checkin in queries.own_checkins(visit.db, pairing_id, visit.person_id)
    ]
    return web.render(
        "checkins/checkin.html",
        visit,
        pairing=pairing,
        wave=queries.due_checkin(visit.db, pairing, visit.person_id, visit.now),
        next_at=queries.next_wave_at(pairing, visit.now),
        earlier=earlier,
        items=ITEMS,
        zone=zone_of(visit.db, visit.person_id),
    )


@pages.post("/pairings/<uuid:pairing_id>/checkin", role=Role.PARTICIPANT, on_input_error=checkin_page)
def answer(visit: Visit, pairing_id: UUID) -> web.Answer:
    """Keep the answers."""
    pairing = get_pairing_of(visit.db, pairing_id, visit.person_id)
    values = web.load_form(CheckinForm())
    operations.answer(visit.db, visit.runtime.database.secrets, pairing, visit.person_id, values, visit.now)
    said = "Thank you. Your answers are kept; your partner does not see them."
    return web.go("dashboard.pairing", said=said, pairing_id=pairing_id)
