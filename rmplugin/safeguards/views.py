"""Pages of confidential help: for who asks, for contacts, for the manager who names them."""

from uuid import UUID

from rmplugin import web
from rmplugin.matching.queries import get_pairing_of, people_by_id
from rmplugin.people.queries import display_names
from rmplugin.privacy import LEAST_FOR_COUNT
from rmplugin.programmes.queries import get_managed_programme
from rmplugin.safeguards import operations, queries
from rmplugin.safeguards.forms import STATES, ContactForm, HelpForm, StateForm
from rmplugin.web import Role, Visit

pages = web.Pages("safeguards", __name__)


@pages.get("/pairings/<uuid:pairing_id>/help", role=Role.PARTICIPANT)
def help_page(visit: Visit, pairing_id: UUID) -> web.Answer:
    """Show whom the person can ask for help, and what they asked before."""
    pairing = get_pairing_of(visit.db, pairing_id, visit.person_id)
    cases = queries.own_cases(visit.db, pairing_id, visit.person_id)
    return web.render(
        "safeguards/help.html",
        visit,
        pairing=pairing,
        contacts=queries.contacts_for(visit.db, pairing),
        cases=cases,
        names=display_names(visit.db, {case.handler_id for case in cases}),
        states=STATES,
    )


@pages.post("/pairings/<uuid:pairing_id>/help", role=Role.PARTICIPANT, on_input_error=help_page)
def ask_for_help(visit: Visit, pairing_id: UUID) -> web.Answer:
    """Send the request to the contact alone."""
    pairing = get_pairing_of(visit.db, pairing_id, visit.person_id)
    values = web.load_form(HelpForm())
    operations.ask_for_help(
        visit.db,
        visit.runtime.database.secrets,
        pairing,
        visit.person_id,
        values["contact"],
        values["words"],
        visit.now,
        nameless=values["nameless"],
    )
    said = "Sent. Only the person whom you chose can read it. They get in touch with you."
    return web.go("safeguards.help_page", said=said, pairing_id=pairing_id)


@pages.get("/help-requests", role=Role.PARTICIPANT)
def requests_page(visit: Visit) -> web.Answer:
    """Show a contact the requests that they handle."""
    cases = queries.handled_cases(visit.db, visit.person_id)
    return web.render(
        "safeguards/requests.html",
        visit,
        cases=cases,
        names=display_names(visit.db, {case.reporter_id for case, _ in cases}),
        states=STATES,
        is_contact=queries.is_contact(visit.db, visit.person_id),
    )


@pages.get("/help-requests/<uuid:case_id>", role=Role.PARTICIPANT)
def request_page(visit: Visit, case_id: UUID) -> web.Answer:
    """Show a request to its handler."""
    case, pair = queries.get_handled(visit.db, case_id, visit.person_id)
    people = people_by_id(visit.db, (pair.mentor_id, pair.mentee_id))
    return web.render(
        "safeguards/request.html",
        visit,
        case=case,
        words=visit.runtime.database.secrets.unlock(case.words_locked),
        reporter=people[case.reporter_id],
        partner=people[pair.partner_of(case.reporter_id)],
        states=STATES,
    )


@pages.post("/help-requests/<uuid:case_id>", role=Role.PARTICIPANT, on_input_error=request_page)
def move_case(visit: Visit, case_id: UUID) -> web.Answer:
    """Say how far a request is."""
    case, _pair = queries.get_handled(visit.db, case_id, visit.person_id)
    operations.move_case(visit.db, case, web.load_form(StateForm())["state"], visit.now)
    return web.go(
        "safeguards.request_page", said="Saved. Who asked is told that there is news.", case_id=case_id
    )


@pages.get("/programmes/<uuid:programme_id>/contacts", role=Role.MANAGER)
def contacts_page(visit: Visit, programme_id: UUID) -> web.Answer:
    """Show who the programme's contacts are, and how many requests there are from five on."""
    programme = get_managed_programme(visit.db, programme_id, visit.session.context_id)
    return web.render(
        "safeguards/contacts.html",
        visit,
        programme=programme,
        contacts=queries.list_contacts(visit.db, programme.id),
        counts=queries.count_cases(visit.db, programme.id),
        states=STATES,
        least=LEAST_FOR_COUNT,
    )


@pages.post("/programmes/<uuid:programme_id>/contacts", role=Role.MANAGER, on_input_error=contacts_page)
def add_contact(visit: Visit, programme_id: UUID) -> web.Answer:
    """Name a contact."""
    programme = get_managed_programme(visit.db, programme_id, visit.session.context_id)
    who = web.load_form(ContactForm())["who"]
    operations.add_contact(visit.db, programme, who, visit.actor, visit.now)
    said = "Added. The person is told."
    return web.go("safeguards.contacts_page", said=said, programme_id=programme_id)


@pages.post("/contacts/<uuid:contact_id>/remove", role=Role.MANAGER)
def remove_contact(visit: Visit, contact_id: UUID) -> web.Answer:
    """Let a contact go."""
    contact = queries.get_contact(visit.db, contact_id)
    programme = get_managed_programme(visit.db, contact.programme_id, visit.session.context_id)
    operations.remove_contact(visit.db, contact, visit.actor, visit.now)
    said = "Removed. Requests that this person has stay with them."
    return web.go("safeguards.contacts_page", said=said, programme_id=programme.id)
