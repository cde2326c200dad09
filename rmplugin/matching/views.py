"""Pages of matching: runs for managers, proposals and the end of a pairing for the two people."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from rmplugin import web
from rmplugin.errors import ConflictError
from rmplugin.matching import documents, forms, interruptions, operations, queries, releasing, wishes, words
from rmplugin.matching.models import LIVE, MatchRun, Pairing, Proposal
from rmplugin.matching.rules import book_in_force
from rmplugin.people.queries import display_names, zone_of
from rmplugin.programmes.queries import find_enrolment, get_managed_programme, get_programme
from rmplugin.texts import Text, joined, texts
from rmplugin.web import Role, Visit

pages = web.Pages("matching", __name__)

RUN_STATES = texts(
    {
        "queued": "being computed",
        "solved": "ready to look through",
        "released": "released",
        "dropped": "replaced by a newer run",
        "failed": "failed",
    }
)
# What a manager sees of a proposal: never who answered what.
PROPOSAL_STATES = texts(
    {
        "proposed": "not released yet",
        "dropped": "dropped by a manager",
        "released": "waiting for answers",
        "accepted": "both said yes",
        "declined": "did not come about",
        "expired": "not answered in time",
        "void": "left out",
    }
)


@pages.get("/programmes/<uuid:programme_id>/matching", role=Role.MANAGER)
def matching_page(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Show the pool of a programme, its runs, and what managers pinned and dropped."""
    programme = get_managed_programme(visit.db, programme_id, visit.session.context_id)
    book = book_in_force(visit.db, programme)
    pool = queries.list_pool(visit.db, programme_id, mentee_cap=book.options.mentors_per_mentee)
    reasons = dict(forms.DECLINE_REASONS)
    return web.render(
        "matching/matching.html",
        visit,
        programme=programme,
        free={role: [m for m in pool if m.role == role and m.places] for role in ("mentor", "mentee")},
        busy=sum(not member.places for member in pool),
        runs=queries.list_runs(visit.db, programme_id),
        run_states=RUN_STATES,
        book=book,
        lists=wishes.count_lists(visit.db, programme_id) if book.options.self_service else None,
        pins=queries.list_pins(visit.db, programme_id),
        dropped=queries.list_dropped(visit.db, programme_id),
        declined={
            reasons.get(code, code): count
            for code, count in queries.decline_counts(visit.db, programme_id).items()
        },
        zone=_zone(visit),
    )


@pages.post("/programmes/<uuid:programme_id>/matching", role=Role.MANAGER)
def start_run(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Start a matching."""
    chosen = web.load_form(forms.RunForm())
    programme = get_managed_programme(visit.db, programme_id, visit.session.context_id)
    run = operations.start_run(visit.db, programme, visit.actor, visit.now, scope=chosen["scope"])
    return web.go("matching.run_page", run_id=run.id)


@pages.get("/runs/<uuid:run_id>", role=Role.MANAGER)
def run_page(visit: Visit, run_id: uuid.UUID) -> web.Answer:
    """Show a run: its proposals with reasons, who is left out and why, and what can be done with it."""
    run = _managed_run(visit, run_id)
    programme = get_programme(visit.db, run.programme_id)
    if run.state in ("queued", "failed"):
        return _unfinished_run(visit, run)
    options = book_in_force(visit.db, programme).options
    proposals = queries.list_proposals(visit.db, run_id)
    left_out = documents.left_out_of_run(visit.db, run, proposals)
    cap = options.mentors_per_mentee
    pool = queries.list_pool(visit.db, programme.id, mentee_cap=cap) if run.state == "solved" else []
    people = queries.people_by_id(
        visit.db,
        [uuid.UUID(entry["person"]) for entry in left_out] + [member.person_id for member in pool],
    )
    zone = _zone(visit)
    return web.render(
        "matching/run.html",
        visit,
        programme=programme,
        run=run,
        state=RUN_STATES[run.state],
        pairs=[_pair_facts(pair, run, zone, visit.now.date()) for pair in proposals],
        answer_days=options.answer_days,
        waiting=[pair.row for pair in proposals if pair.row.state == "released"],
        unanswered=not any(pair.row.mentor_answer or pair.row.mentee_answer for pair in proposals),
        live=sum(pair.row.state not in ("dropped", "void") for pair in proposals),
        left_out=[entry | {"known": people.get(uuid.UUID(entry["person"]))} for entry in left_out],
        choices={role: _choices(pool, people, role) for role in ("mentor", "mentee")},
        proposal_states=PROPOSAL_STATES,
        faults=words.PAIR_FAULTS,
        factors=words.FACTOR_NAMES,
        zone=zone,
    )


@pages.post("/runs/<uuid:run_id>/release", role=Role.MANAGER)
def release_run(visit: Visit, run_id: uuid.UUID) -> web.Answer:
    """Send a run's proposals to the people."""
    run = _managed_run(visit, run_id)
    released, left_out = releasing.release_run(visit.db, run, visit.actor, visit.now)
    options = book_in_force(visit.db, get_programme(visit.db, run.programme_id)).options
    sent = "Proposals sent: %(n)s. Both people of each have %(days)s days to answer."
    said = [Text(sent, n=released, days=options.answer_days)]
    if left_out:
        why = "Left out, because the rules no longer allow them: %(n)s. The reasons stand below."
        said.append(Text(why, n=left_out))
    return web.go("matching.run_page", joined(said), run_id=run_id)


@pages.post("/runs/<uuid:run_id>/withdraw", role=Role.MANAGER)
def withdraw_run(visit: Visit, run_id: uuid.UUID) -> web.Answer:
    """Take a release back."""
    count = releasing.withdraw_run(visit.db, _managed_run(visit, run_id), visit.actor, visit.now)
    said = Text("Proposals taken back: %(n)s. The people were told so in neutral words.", n=count)
    return web.go("matching.run_page", said, run_id=run_id)


@pages.post("/runs/<uuid:run_id>/pin", role=Role.MANAGER, on_input_error=run_page)
def pin_pair(visit: Visit, run_id: uuid.UUID) -> web.Answer:
    """Pin two people whom the manager chose."""
    chosen = web.load_form(forms.PinForm())
    run = _managed_run(visit, run_id)
    operations.pin_pair(visit.db, run, chosen["mentor"], chosen["mentee"], visit.actor, visit.now)
    said = "The pair is pinned. Run the matching again, so that everybody else is placed around it."
    return web.go("matching.run_page", said, run_id=run_id)


@pages.post("/proposals/<uuid:proposal_id>/pin", role=Role.MANAGER)
def pin_proposal(visit: Visit, proposal_id: uuid.UUID) -> web.Answer:
    """Keep a proposed pair in further runs."""
    proposal = _managed_proposal(visit, proposal_id)
    run = queries.get_run(visit.db, proposal.run_id)
    operations.pin_pair(visit.db, run, proposal.mentor_id, proposal.mentee_id, visit.actor, visit.now)
    return web.go("matching.run_page", "The pair is pinned: further runs keep it.", run_id=run.id)


@pages.post("/proposals/<uuid:proposal_id>/unpin", role=Role.MANAGER)
def unpin_proposal(visit: Visit, proposal_id: uuid.UUID) -> web.Answer:
    """Let further runs decide about a pair again."""
    proposal = _managed_proposal(visit, proposal_id)
    operations.unpin(visit.db, proposal, visit.actor, visit.now)
    return web.go("matching.run_page", "The pair is no longer pinned.", run_id=proposal.run_id)


@pages.post("/proposals/<uuid:proposal_id>/drop", role=Role.MANAGER)
def drop_proposal(visit: Visit, proposal_id: uuid.UUID) -> web.Answer:
    """Take a pair out of its run."""
    proposal = _managed_proposal(visit, proposal_id)
    operations.drop_proposal(visit.db, proposal, visit.actor, visit.now)
    said = "The pair is dropped, and no further run proposes it. You can bring it back."
    return web.go("matching.run_page", said, run_id=proposal.run_id)


@pages.post("/proposals/<uuid:proposal_id>/restore", role=Role.MANAGER)
def restore_proposal(visit: Visit, proposal_id: uuid.UUID) -> web.Answer:
    """Bring a dropped pair back."""
    proposal = _managed_proposal(visit, proposal_id)
    operations.restore_proposal(visit.db, proposal, visit.actor, visit.now)
    if proposal.state == "proposed":
        return web.go("matching.run_page", "The pair is back in this run.", run_id=proposal.run_id)
    said = "Further runs may propose the pair again."
    return web.go("matching.matching_page", said, programme_id=proposal.programme_id)


@pages.post("/proposals/<uuid:proposal_id>/withdraw", role=Role.MANAGER)
def withdraw_proposal(visit: Visit, proposal_id: uuid.UUID) -> web.Answer:
    """Take one released proposal back."""
    proposal = _managed_proposal(visit, proposal_id)
    releasing.withdraw_proposal(visit.db, proposal, visit.actor, visit.now)
    said = "The proposal is taken back. Both people were told so in neutral words."
    return web.go("matching.run_page", said, run_id=proposal.run_id)


@pages.get("/programmes/<uuid:programme_id>/short-list", role=Role.PARTICIPANT)
def short_list_page(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Show a few people whom the visitor may prefer or avoid, with what each would bring."""
    programme = get_programme(visit.db, programme_id)
    found = wishes.short_list(visit.db, programme, visit.person_id, visit.now)
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
                "languages": _languages(entry.reasons["languages"]),
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
    found = wishes.short_list(visit.db, programme, visit.person_id, visit.now)
    chosen = web.load_form(forms.wish_form([entry.person_id for entry in found]))
    choices = {entry.person_id: chosen[forms.wish_field(entry.person_id)] for entry in found}
    wishes.choose(visit.db, programme, visit.person_id, choices, visit.now)
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
    zone = _zone(visit)
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
        languages=_languages(proposal.reasons["languages"]),
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
    operations.answer(visit.db, proposal, visit.person_id, yes, given["reason"], visit.now)
    said = {
        "accepted": "You both said yes. Your pairing has started.",
        "released": "Thank you. Your yes is noted; you hear from us when the other person has answered.",
        "declined": "Thank you. Your no is noted. You stay in the pool for the next matching.",
        "void": "Your yes is noted, but this pairing is no longer possible. You stay in the pool.",
    }[proposal.state]
    return web.go("matching.proposal_page", said, proposal_id=proposal_id)


@pages.get("/pairings/<uuid:pairing_id>/end", role=Role.PARTICIPANT)
def end_pairing_page(visit: Visit, pairing_id: uuid.UUID) -> web.Answer:
    """Show the one screen on which either of the two can end a pairing."""
    pairing = queries.get_pairing_of(visit.db, pairing_id, visit.person_id)
    if pairing.state not in LIVE:
        raise ConflictError(
            "already_ended", "This pairing has ended already. There is nothing more that you need to do."
        )
    names = display_names(visit.db, {pairing.mentor_id, pairing.mentee_id})
    return web.render(
        "matching/end.html",
        visit,
        pairing=pairing,
        partner=names[pairing.partner_of(visit.person_id)],
        words_for_partner=Text(operations.NEUTRAL_ENDED, name=names[visit.person_id]),
        reasons=[("", Text("No reason")), *forms.CLOSURE_REASONS],
        choices=forms.NEXT_CHOICES,
    )


@pages.post("/pairings/<uuid:pairing_id>/end", role=Role.PARTICIPANT, on_input_error=end_pairing_page)
def end_pairing(visit: Visit, pairing_id: uuid.UUID) -> web.Answer:
    """End a pairing."""
    given = web.load_form(forms.EndForm())
    pairing = queries.get_pairing_of(visit.db, pairing_id, visit.person_id)
    operations.end_pairing(
        visit.db, pairing, visit.person_id, given["reason"], given["next_choice"], visit.now
    )
    said = {
        "rematch": "The pairing has ended. You are in the pool; the next matching looks for a new partner.",
        "pause": "The pairing has ended. You are out of the pool until you enrol again.",
        "leave": "The pairing has ended and you have left the programme. Your credits stay yours.",
    }[given["next_choice"]]
    return web.go("dashboard.home", said)


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


def _managed_run(visit: Visit, run_id: uuid.UUID) -> MatchRun:
    run = queries.get_run(visit.db, run_id)
    get_managed_programme(visit.db, run.programme_id, visit.session.context_id)
    return run


def _managed_proposal(visit: Visit, proposal_id: uuid.UUID) -> Proposal:
    proposal = queries.get_proposal(visit.db, proposal_id)
    get_managed_programme(visit.db, proposal.programme_id, visit.session.context_id)
    return proposal


def _unfinished_run(visit: Visit, run: MatchRun) -> web.Answer:
    faults: Sequence[Mapping[str, Any]] = run.metrics.get("pins", ())
    people = [person for fault in faults for person in (fault["mentor"], fault["mentee"])]
    people += run.metrics.get("people", ())
    return web.render(
        "matching/unfinished.html",
        visit,
        programme=get_programme(visit.db, run.programme_id),
        run=run,
        faults=faults,
        crowded=run.metrics.get("people", ()),
        names={
            str(person): name
            for person, name in display_names(visit.db, {uuid.UUID(key) for key in people}).items()
        },
        sentences=words.PAIR_FAULTS,
        zone=_zone(visit),
    )


def _pair_facts(pair: queries.Pair, run: MatchRun, zone: str, today: date) -> dict[str, Any]:
    """Prepare a proposal for the page."""
    reasons = pair.row.reasons
    return {
        "row": pair.row,
        "mentor": pair.mentor,
        "mentee": pair.mentee,
        "share": words.score_share(pair.row.score, run.weights),
        "languages": _languages(reasons["languages"]),
        "hours": words.describe_windows(reasons["windows"], zone, today),
        "left_out": reasons.get("left_out", []),
    }


def _choices(
    pool: Sequence[queries.PoolMember], people: Mapping[uuid.UUID, Any], role: str
) -> list[tuple[str, str]]:
    """List who can be pinned, by name."""
    found = [people[member.person_id] for member in pool if member.role == role and member.places]
    found.sort(key=lambda person: (person.display_name, str(person.id)))
    return [("", Text("Choose …"))] + [
        (str(person.id), ", ".join(filter(None, (person.display_name, person.job_title, person.department))))
        for person in found
    ]


def _languages(codes: Sequence[str]) -> list[str]:
    return [web.language_name(code) for code in codes]


def _zone(visit: Visit) -> str:
    """Give the zone in which the visitor reads times; UTC for a manager whom HR does not know."""
    person_id = visit.session.person_id
    return "UTC" if person_id is None else zone_of(visit.db, person_id)
