"""Pages of agreements."""

from uuid import UUID

from rmplugin import web
from rmplugin.agreements import operations, queries
from rmplugin.agreements.forms import AgreementForm
from rmplugin.matching.queries import get_pairing_of
from rmplugin.people.queries import display_names
from rmplugin.texts import Text
from rmplugin.web import Role, Visit

pages = web.Pages("agreements", __name__)


@pages.get("/pairings/<uuid:pairing_id>/agreement", role=Role.PARTICIPANT)
def agreement_page(visit: Visit, pairing_id: UUID) -> web.Answer:
    """Show the version in force, the one that waits for signatures, and all older ones."""
    pairing = get_pairing_of(visit.db, pairing_id, visit.person_id)
    in_force = queries.current_agreement(visit.db, pairing_id)
    waiting = queries.open_agreement(visit.db, pairing_id)
    shown = {agreement.id for agreement in (in_force, waiting) if agreement}
    return web.render(
        "agreements/agreement.html",
        visit,
        pairing=pairing,
        role=pairing.role_of(visit.person_id),
        names=display_names(visit.db, {pairing.mentor_id, pairing.mentee_id}),
        in_force=in_force,
        waiting=waiting,
        changed=queries.changed_fields(waiting, in_force) if waiting else set(),
        older=[version for version in queries.list_versions(visit.db, pairing_id) if version.id not in shown],
    )


@pages.get("/pairings/<uuid:pairing_id>/agreement/new", role=Role.PARTICIPANT)
def propose_page(visit: Visit, pairing_id: UUID) -> web.Answer:
    """Show the form of a new version, filled in with the last one or with what the programme suggests."""
    pairing = get_pairing_of(visit.db, pairing_id, visit.person_id)
    return web.render(
        "agreements/propose.html",
        visit,
        pairing=pairing,
        names=display_names(visit.db, {pairing.mentor_id, pairing.mentee_id}),
        values=queries.first_values(visit.db, pairing),
        in_force=queries.current_agreement(visit.db, pairing_id),
        waiting=queries.open_agreement(visit.db, pairing_id),
    )


@pages.post("/pairings/<uuid:pairing_id>/agreement", role=Role.PARTICIPANT, on_input_error=propose_page)
def propose(visit: Visit, pairing_id: UUID) -> web.Answer:
    """Write a new version."""
    pairing = get_pairing_of(visit.db, pairing_id, visit.person_id)
    values = web.load_form(AgreementForm())
    agreement = operations.propose(visit.db, pairing, values, visit.person_id, visit.now)
    return web.go(
        "agreements.agreement_page",
        said=Text(
            "Version %(version)s is saved. It takes effect when both of you have signed it.",
            version=agreement.version,
        ),
        pairing_id=pairing_id,
    )


@pages.post("/agreements/<uuid:agreement_id>/sign", role=Role.PARTICIPANT)
def sign(visit: Visit, agreement_id: UUID) -> web.Answer:
    """Sign a version."""
    agreement, pairing = queries.get_agreement_of(visit.db, agreement_id, visit.person_id)
    in_force = operations.sign(visit.db, agreement, visit.person_id, visit.now)
    said = (
        "Both of you have signed. The agreement is in force."
        if in_force
        else "You have signed. The agreement takes effect when the other side has signed, too."
    )
    return web.go("dashboard.pairing", said=said, pairing_id=pairing.id)
