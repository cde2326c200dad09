"""Pages of agreements."""

from uuid import UUID

import flask

from rmplugin import web
from rmplugin.agreements import operations, queries, words
from rmplugin.agreements.forms import AgreementForm, DraftForm
from rmplugin.matching.models import Pairing
from rmplugin.matching.queries import get_pairing_of, people_by_id
from rmplugin.people.queries import display_names
from rmplugin.texts import Text, joined
from rmplugin.web import Role, Visit

pages = web.Pages("agreements", __name__)

NEUTRAL_PLACE = (
    "One thought about the place: in a senior person's own office it is harder to talk openly. A café, a "
    "meeting room on another floor or a video call makes it easier. It is your choice."
)


@pages.get("/pairings/<uuid:pairing_id>/agreement", role=Role.PARTICIPANT)
def agreement_page(visit: Visit, pairing_id: UUID) -> web.Answer:
    """Show what each expected, the version in force, the one that waits, and all older ones."""
    pairing = get_pairing_of(visit.db, pairing_id, visit.person_id)
    versions = queries.list_versions(visit.db, pairing_id)
    in_force = next((version for version in versions if version.state == "signed"), None)
    waiting = next((version for version in versions if version.state == "open"), None)
    latest = waiting or in_force
    drafts = queries.both_drafts(visit.db, pairing_id)
    return web.render(
        "agreements/agreement.html",
        visit,
        pairing=pairing,
        role=pairing.role_of(visit.person_id),
        names=display_names(visit.db, {pairing.mentor_id, pairing.mentee_id}),
        partner_id=pairing.partner_of(visit.person_id),
        in_force=in_force,
        waiting=waiting,
        changed=queries.changed_fields(waiting, in_force) if waiting else set(),
        older=[version for version in versions if version not in (in_force, waiting)],
        drafts=drafts,
        differing=words.differences(*map(queries.values_of, drafts.values())) if drafts else set(),
        stage=None if versions else queries.draft_stage(visit.db, pairing_id, visit.person_id),
        office=latest is not None and _is_office(visit, pairing, latest.place),
        place_hint=NEUTRAL_PLACE,
    )


def _is_office(visit: Visit, pairing: Pairing, place: str) -> bool:
    mentee = people_by_id(visit.db, [pairing.mentee_id])[pairing.mentee_id]
    names = (mentee.display_name, mentee.preferred_name, mentee.given_name, mentee.family_name)
    return words.sounds_like_office(place, [name for name in names if name])


@pages.get("/pairings/<uuid:pairing_id>/agreement/draft", role=Role.PARTICIPANT)
def draft_page(visit: Visit, pairing_id: UUID) -> web.Answer:
    """Show the form of one's own expectations, or what one has sent."""
    pairing = get_pairing_of(visit.db, pairing_id, visit.person_id)
    draft = queries.own_draft(visit.db, pairing_id, visit.person_id)
    return web.render(
        "agreements/draft.html",
        visit,
        pairing=pairing,
        names=display_names(visit.db, {pairing.mentor_id, pairing.mentee_id}),
        partner_id=pairing.partner_of(visit.person_id),
        draft=draft,
        values=queries.values_of(draft) if draft else queries.suggested_values(visit.db, pairing),
    )


@pages.post("/pairings/<uuid:pairing_id>/agreement/draft", role=Role.PARTICIPANT, on_input_error=draft_page)
def save_draft(visit: Visit, pairing_id: UUID) -> web.Answer:
    """Keep what the person expects, or send it."""
    pairing = get_pairing_of(visit.db, pairing_id, visit.person_id)
    send = flask.request.form.get("do") == "send"
    values = web.load_form(AgreementForm() if send else DraftForm())
    operations.save_draft(visit.db, pairing, values, visit.person_id, visit.now, send=send)
    said = Text("Sent. It stays as it is, so that you can compare with it later.") if send else Text("Saved.")
    if _is_office(visit, pairing, values["place"]):
        said = joined((said, NEUTRAL_PLACE))
    page = "agreements.agreement_page" if send else "agreements.draft_page"
    return web.go(page, said=said, pairing_id=pairing_id)


@pages.get("/pairings/<uuid:pairing_id>/agreement/new", role=Role.PARTICIPANT)
def propose_page(visit: Visit, pairing_id: UUID) -> web.Answer:
    """Show the form of a new version: with the last one, or with one that is made of both people's drafts."""
    pairing = get_pairing_of(visit.db, pairing_id, visit.person_id)
    names = display_names(visit.db, {pairing.mentor_id, pairing.mentee_id})
    in_force = queries.current_agreement(visit.db, pairing_id)
    waiting = queries.open_agreement(visit.db, pairing_id)
    latest = waiting or in_force
    drafts = queries.both_drafts(visit.db, pairing_id) if latest is None else None
    if latest is None and drafts is None:
        return draft_page(visit, pairing_id)
    expected = {names[person]: queries.values_of(draft) for person, draft in (drafts or {}).items()}
    return web.render(
        "agreements/propose.html",
        visit,
        pairing=pairing,
        names=names,
        values=queries.form_values(latest) if latest else words.merged(expected),
        in_force=in_force,
        waiting=waiting,
    )


@pages.post("/pairings/<uuid:pairing_id>/agreement", role=Role.PARTICIPANT, on_input_error=propose_page)
def propose(visit: Visit, pairing_id: UUID) -> web.Answer:
    """Write a new version."""
    pairing = get_pairing_of(visit.db, pairing_id, visit.person_id)
    values = web.load_form(AgreementForm())
    agreement = operations.propose(visit.db, pairing, values, visit.person_id, visit.now)
    said = Text(
        "Version %(version)s is saved. It takes effect when both of you have signed it.",
        version=agreement.version,
    )
    return web.go("agreements.agreement_page", said=said, pairing_id=pairing_id)


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
