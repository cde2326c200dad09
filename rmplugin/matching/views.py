"""Pages of matching for its people: short list, proposal; a manager's pairs on hold."""

import uuid

from rmplugin import web
from rmplugin.matching import forms, interruptions, operations, queries, wishes, words
from rmplugin.matching.desk import criteria_of, name_languages, zone_for
from rmplugin.matching.models import Pairing
from rmplugin.matching.workbench import pages
from rmplugin.programmes.queries import find_enrolment, get_managed_programme, get_programme
from rmplugin.texts import Text
from rmplugin.web import Role, Visit


@pages.get("/programmes/<uuid:programme_id>/short-list", role=Role.PARTICIPANT)
def short_list_page(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Show a few people whom the visitor may prefer or avoid, with what each would bring."""
    programme = get_programme(visit.db, programme_id)
    found = wishes.short_list(visit.db, programme, visit.person_id, visit.now, criteria_of(visit))
    enrolment = find_enrolment(visit.db, programme_id, visit.person_id)
    people = queries.people_by_id(visit.db, [entry.person_id for entry in found])
    return web.render(
        "matching/short_list.html",
        visit,
        programme=programme,
        role=enrolment.role if enrolment else "",
        people=[
            {
                "entry": entry,
                "known": people[entry.person_id],
                "languages": name_languages(entry.reasons["languages"]),
            }
            for entry in found
        ],
        choices=forms.WISHES[: len(found) + 1] + forms.WISHES[-1:],
        has_list=bool(wishes.choices_of(visit.db, programme_id, visit.person_id)),
    )


@pages.post(
    "/programmes/<uuid:programme_id>/short-list", role=Role.PARTICIPANT, on_input_error=short_list_page
)
def choose_wishes(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Keep what somebody chose on their short list."""
    programme = get_programme(visit.db, programme_id)
    found = wishes.short_list(visit.db, programme, visit.person_id, visit.now, criteria_of(visit))
    chosen = web.load_form(forms.wish_form([entry.person_id for entry in found]))
    choices = {entry.person_id: chosen[forms.wish_field(entry.person_id)] for entry in found}
    wishes.choose(visit.db, programme, visit.person_id, choices, visit.now, criteria_of(visit))
    return web.go("matching.short_list_page", "Your choices are saved.", programme_id=programme_id)


@pages.post("/programmes/<uuid:programme_id>/short-list/withdraw", role=Role.PARTICIPANT)
def withdraw_wishes(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Take all choices back."""
    wishes.choose(visit.db, get_programme(visit.db, programme_id), visit.person_id, {}, visit.now)
    return web.go("matching.short_list_page", "Your choices are taken back.", programme_id=programme_id)


@pages.get("/proposals/<uuid:proposal_id>", role=Role.PARTICIPANT)
def proposal_page(visit: Visit, proposal_id: uuid.UUID) -> web.Answer:
    """Show a person who is proposed to them, what each would get, and ask for an answer."""
    pair = queries.get_proposal_of(visit.db, proposal_id, visit.person_id)
    proposal, mine = pair.row, "mentor" if pair.row.mentor_id == visit.person_id else "mentee"
    over = proposal.state == "released" and proposal.expires_at <= visit.now
    zone = zone_for(visit)
    return web.render(
        "matching/proposal.html",
        visit,
        proposal=proposal,
        programme=get_programme(visit.db, proposal.programme_id),
        role=mine,
        other=pair.mentee if mine == "mentor" else pair.mentor,
        answered=getattr(proposal, f"{mine}_answer"),
        state="expired" if over else proposal.state,
        pairing=queries.find_pairing_of_proposal(visit.db, proposal_id),
        languages=name_languages(proposal.reasons["languages"]),
        hours=words.describe_windows(proposal.reasons["windows"], zone, visit.now.date()),
        decline_reasons=[("", Text("No reason")), *forms.DECLINE_REASONS],
        zone=zone,
    )


@pages.post("/proposals/<uuid:proposal_id>/answer", role=Role.PARTICIPANT, on_input_error=proposal_page)
def answer_proposal(visit: Visit, proposal_id: uuid.UUID) -> web.Answer:
    """Take a yes or a no."""
    given = web.load_form(forms.AnswerForm())
    proposal = queries.get_proposal_of(visit.db, proposal_id, visit.person_id).row
    yes = given["answer"] == "yes"
    criteria = criteria_of(visit)
    operations.answer(visit.db, proposal, visit.person_id, yes, given["reason"], visit.now, criteria)
    said = {
        "accepted": "You both said yes. Your pairing has started.",
        "released": "Thank you. Your yes is noted; you hear from us when the other person has answered.",
        "declined": "Thank you. Your no is noted. You stay in the pool for the next matching.",
        "void": "Your yes is noted, but this pairing is no longer possible. You stay in the pool.",
    }[proposal.state]
    return web.go("matching.proposal_page", said, proposal_id=proposal_id)


@pages.post("/manage/pairings/<uuid:pairing_id>/resume", role=Role.MANAGER)
def resume_pairing(visit: Visit, pairing_id: uuid.UUID) -> web.Answer:
    """Let a suspended pairing go on."""
    interruptions.resume(visit.db, _managed_pairing(visit, pairing_id), visit.actor, visit.now)
    return web.go("dashboard.desk", "The pairing goes on. Both are told.")


@pages.post("/manage/pairings/<uuid:pairing_id>/end", role=Role.MANAGER)
def end_interrupted(visit: Visit, pairing_id: uuid.UUID) -> web.Answer:
    """End a pairing that is on hold."""
    interruptions.end_interrupted(visit.db, _managed_pairing(visit, pairing_id), visit.actor, visit.now)
    return web.go("dashboard.desk", "The pairing has ended. Both are told in neutral words; credits stay.")


def _managed_pairing(visit: Visit, pairing_id: uuid.UUID) -> Pairing:
    pairing = queries.get_pairing(visit.db, pairing_id)
    get_managed_programme(visit.db, pairing.programme_id, visit.session.context_id)
    return pairing
