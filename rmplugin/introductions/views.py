"""Pages of introductions."""

from uuid import UUID

from rmplugin import web
from rmplugin.introductions import operations, queries
from rmplugin.introductions.forms import AGAIN, ANSWERS, IntroForm
from rmplugin.matching.queries import get_pairing_of, people_by_id
from rmplugin.texts import texts
from rmplugin.web import Role, Visit

pages = web.Pages("introductions", __name__)

SAID = texts(
    {
        "waits": "Thank you. It counts as soon as both of you have answered. Nobody else sees your answer.",
        "goes_on": "Thank you. Your pairing goes on.",
        "ended": "Thank you. This pairing has ended, without blame. You are free for a new partner.",
    }
)


@pages.get("/pairings/<uuid:pairing_id>/introduction", role=Role.PARTICIPANT)
def introduction_page(visit: Visit, pairing_id: UUID) -> web.Answer:
    """Show what the first call is for, and ask whether the person wants to go on."""
    pairing = get_pairing_of(visit.db, pairing_id, visit.person_id)
    partner_id = pairing.partner_of(visit.person_id)
    standing = queries.standing_of(visit.db, pairing, visit.person_id)
    return web.render(
        "introductions/introduction.html",
        visit,
        pairing=pairing,
        partner=people_by_id(visit.db, [partner_id])[partner_id],
        standing=standing,
        choices=AGAIN if standing.due == 2 else ANSWERS,
        days=queries.WAIT.days,
    )


@pages.post(
    "/pairings/<uuid:pairing_id>/introduction", role=Role.PARTICIPANT, on_input_error=introduction_page
)
def answer(visit: Visit, pairing_id: UUID) -> web.Answer:
    """Keep the person's answer."""
    pairing = get_pairing_of(visit.db, pairing_id, visit.person_id)
    word = web.load_form(IntroForm())["answer"]
    outcome = operations.answer(visit.db, pairing, visit.person_id, word, visit.now)
    if outcome == "ended":
        return web.go("dashboard.home", said=SAID[outcome])
    return web.go("dashboard.pairing", said=SAID[outcome], pairing_id=pairing_id)
