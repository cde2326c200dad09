"""The manager's pages of one run: pairs, who is left out, changes by hand, another run beside it, release."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from rmplugin import web
from rmplugin.errors import NotFoundError
from rmplugin.matching import changes, comparing, desk, forms, lists, queries, releasing, runs, words
from rmplugin.matching.desk import RUN_STATES, criteria_of, name_languages, zone_for
from rmplugin.matching.models import MatchRun, Proposal
from rmplugin.matching.rules import book_in_force
from rmplugin.people.queries import display_names
from rmplugin.programmes.queries import (
    find_enrolment,
    get_managed_programme,
    get_programme,
    skills_of_programme,
)
from rmplugin.texts import Text, joined, texts
from rmplugin.web import Role, Visit

pages = desk.pages

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
UNDONE = texts(
    {
        "pin": "The pair is as it was before it was pinned.",
        "unpin": "The pair is pinned again.",
        "drop": "The pair is back in this run.",
        "restore": "The pair is dropped again.",
        "swap": "The two pairs have their partners back.",
    }
)


@pages.get("/runs/<uuid:run_id>", role=Role.MANAGER)
def run_page(visit: Visit, run_id: uuid.UUID) -> web.Answer:
    """Show a run: its numbers, its pairs a page at a time, and what can be done with it."""
    run = _managed_run(visit, run_id)
    programme = get_programme(visit.db, run.programme_id)
    visit.note_access(programme_id=run.programme_id)
    if run.state in ("queued", "failed"):
        return _unfinished_run(visit, run)
    asked = web.load_query(forms.PairQuery())
    states = lists.count_states(visit.db, run_id)
    return web.render(
        "matching/run.html",
        visit,
        programme=programme,
        run=run,
        state=RUN_STATES[run.state],
        asked_release=runs.find_asked(visit.db, programme.id) if run.state == "solved" else None,
        states=states,
        live=lists.count_standing(run, states),
        met=lists.count_people(visit.db, run),
        left_out=sum(lists.count_left_out(visit.db, run).values()),
        total=lists.total_score(visit.db, run),
        proof=words.describe_proof(run.objective, run.gap, proved=run.proved),
        listed=lists.page_of_pairs(visit.db, run, asked),
        asked=asked,
        shares=_share_of(run),
        unanswered=run.state == "released" and not lists.is_answered(visit.db, run_id),
        **_filters(visit, programme.id),
        proposal_states=PROPOSAL_STATES,
        faults=words.PAIR_FAULTS,
        objectives=forms.OBJECTIVE_WORDS,
        bands=words.TENURE_BANDS,
        zone=zone_for(visit),
    )


@pages.get("/runs/<uuid:run_id>/left-out", role=Role.MANAGER)
def left_out_page(visit: Visit, run_id: uuid.UUID) -> web.Answer:
    """Show who of the pool has no pair in a run, why, and what would change it."""
    run = queries.get_run(visit.db, run_id)
    programme = get_managed_programme(visit.db, run.programme_id, visit.session.context_id)
    visit.note_access(programme_id=run.programme_id)
    asked = web.load_query(forms.LeftOutQuery())
    listed = lists.page_of_left_out(visit.db, run, asked)
    best = [entry["details"]["best"]["id"] for entry in listed.rows if entry["details"].get("best")]
    names = display_names(visit.db, {uuid.UUID(person) for person in best})
    return web.render(
        "matching/left_out.html",
        visit,
        programme=programme,
        run=run,
        listed=listed,
        asked=asked,
        reasons=[(one, web.say(words.LEFT_OUT_REASONS[one])) for one in lists.count_left_out(visit.db, run)],
        names={str(person): name for person, name in names.items()},
        **_filters(visit, run.programme_id),
        faults=words.PAIR_FAULTS,
    )


@pages.get("/proposals/<uuid:proposal_id>/card", role=Role.MANAGER)
def pair_page(visit: Visit, proposal_id: uuid.UUID) -> web.Answer:
    """Show all about one pair, why not somebody else, and with whom partners could be exchanged."""
    proposal = _managed_proposal(visit, proposal_id)
    run = queries.get_run(visit.db, proposal.run_id)
    pair = lists.pairs_by_id(visit.db, [proposal_id])[0]
    visit.note_access(pair.mentor.id, pair.mentee.id)
    asked = web.load_query(forms.CardQuery())
    zone, reasons = zone_for(visit), proposal.reasons
    found = lists.find_members_named(visit.db, run.programme_id, asked["name"]) if asked["name"] else []
    others = lists.find_pairs_named(visit.db, run.id, asked["pair"], proposal_id) if asked["pair"] else []
    return web.render(
        "matching/pair.html",
        visit,
        programme=get_programme(visit.db, run.programme_id),
        run=run,
        pair=pair,
        asked=asked,
        share=_share_of(run)(proposal),
        score=proposal.score,
        factors=_factors(visit, run, proposal.contributions),
        languages=name_languages(reasons.get("languages", [])),
        hours=words.describe_windows(reasons.get("windows", []), zone, visit.now.date()),
        found=[one for one in found if one[0].id not in (proposal.mentor_id, proposal.mentee_id)],
        instead=_instead(visit, run, pair, asked["other"]) if asked["other"] else None,
        others=others,
        proposal_states=PROPOSAL_STATES,
        faults=words.PAIR_FAULTS,
        zone=zone,
    )


@pages.get("/runs/<uuid:run_id>/change", role=Role.MANAGER)
def change_page(visit: Visit, run_id: uuid.UUID) -> web.Answer:
    """Say what a change would do to the run, before it is made."""
    run = _managed_run(visit, run_id)
    asked = web.load_query(forms.ChangeQuery())
    rows = [_proposal_of(visit, run, asked[name]) for name in ("pair", "other") if asked[name]]
    if {"drop": 1, "restore": 1, "swap": 2}.get(asked["do"], len(rows)) != len(rows) or not asked["do"]:
        raise NotFoundError("change")
    effect = _weigh(visit, run, asked, rows)
    wanted = (
        changes.exchanged(*rows)
        if asked["do"] == "swap"
        else [(row.mentor_id, row.mentee_id) for row in rows]
    )
    wanted = wanted or [(asked["mentor"], asked["mentee"])]
    people = {one for pair in (*effect.coming, *wanted) for one in pair} | set(effect.lonely)
    people |= {one for row in effect.going for one in (row.mentor_id, row.mentee_id)}
    names = display_names(visit.db, people)
    return web.render(
        "matching/change.html",
        visit,
        programme=get_programme(visit.db, run.programme_id),
        run=run,
        asked=asked,
        effect=effect,
        wanted=wanted,
        names=names,
        lonely=[names[person] for person in effect.lonely],
        faults=words.PAIR_FAULTS,
    )


@pages.get("/runs/<uuid:run_id>/pick", role=Role.MANAGER)
def pick_page(visit: Visit, run_id: uuid.UUID) -> web.Answer:
    """Look for two people who should be a pair."""
    run = _managed_run(visit, run_id)
    asked = web.load_query(forms.PickQuery())
    found = {
        role: lists.find_members_named(visit.db, run.programme_id, asked[f"{role}_name"], role)
        if asked[f"{role}_name"]
        else []
        for role in ("mentor", "mentee")
    }
    return web.render(
        "matching/pick.html",
        visit,
        programme=get_programme(visit.db, run.programme_id),
        run=run,
        asked=asked,
        found=found,
    )


@pages.get("/runs/<uuid:run_id>/compare", role=Role.MANAGER)
def compare_page(visit: Visit, run_id: uuid.UUID) -> web.Answer:
    """Show a run beside another one of its programme."""
    run = _managed_run(visit, run_id)
    visit.note_access(programme_id=run.programme_id)
    asked = web.load_query(forms.CompareQuery())
    runs = [
        one
        for one in queries.list_runs(visit.db, run.programme_id)
        if one.id != run_id and one.state not in ("queued", "failed")
    ]
    earlier = [one for one in runs if one.created_at < run.created_at]
    other = next((one for one in runs if one.id == asked["other"]), next(iter(earlier or runs), None))
    counts: dict[str, int] = {}
    listed, before = None, {}
    if other is not None:
        comparison = comparing.compare(visit.db, run, other)
        counts = comparing.count_differences(visit.db, comparison)
        kind = asked["kind"]
        listed = comparing.page_of_differences(visit.db, comparison, kind, counts[kind], asked["page"])
        if kind == "changed":
            before = comparing.partners_in(visit.db, other, [pair.row.mentee_id for pair in listed.rows])
    return web.render(
        "matching/compare.html",
        visit,
        programme=get_programme(visit.db, run.programme_id),
        run=run,
        other=other,
        runs=runs[:20],
        counts=counts,
        listed=listed,
        before=before,
        asked=asked | {"other": other and other.id},
        run_states=RUN_STATES,
        zone=zone_for(visit),
    )


@pages.get("/runs/<uuid:run_id>/release", role=Role.MANAGER)
def release_page(visit: Visit, run_id: uuid.UUID) -> web.Answer:
    """Show what a release sends to whom; afterwards, how many answered."""
    run = _managed_run(visit, run_id)
    programme = get_programme(visit.db, run.programme_id)
    options = book_in_force(visit.db, programme).options
    expires_at = visit.now + options.answer_time
    return web.render(
        "matching/release.html",
        visit,
        programme=programme,
        run=run,
        asked_release=runs.find_asked(visit.db, programme.id) if run.state == "solved" else None,
        states=lists.count_states(visit.db, run_id),
        people=lists.count_people(visit.db, run),
        days=options.answer_days,
        expires_at=expires_at,
        reminded_at=expires_at - options.last_call if options.last_call else None,
        message=releasing.invitation(expires_at),
        unanswered=run.state == "released" and not lists.is_answered(visit.db, run_id),
        proposal_states=PROPOSAL_STATES,
        zone=zone_for(visit),
    )


@pages.post("/runs/<uuid:run_id>/release", role=Role.MANAGER)
def release_run(visit: Visit, run_id: uuid.UUID) -> web.Answer:
    """Send a run's proposals to the people."""
    run = _managed_run(visit, run_id)
    counts = releasing.ask_release(visit.db, run, visit.actor, visit.now, criteria_of(visit))
    if counts is None:
        return web.go("matching.run_page", run_id=run_id)
    released, left_out = counts
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


@pages.post("/runs/<uuid:run_id>/undo", role=Role.MANAGER)
def undo_change(visit: Visit, run_id: uuid.UUID) -> web.Answer:
    """Undo the last change in a run."""
    kind = changes.undo(visit.db, _managed_run(visit, run_id), visit.actor, visit.now)
    return web.go("matching.run_page", UNDONE[kind], run_id=run_id)


@pages.post("/runs/<uuid:run_id>/pin", role=Role.MANAGER, on_input_error=pick_page)
def pin_pair(visit: Visit, run_id: uuid.UUID) -> web.Answer:
    """Pin two people whom the manager chose."""
    chosen = web.load_form(forms.PinForm())
    run = _managed_run(visit, run_id)
    two = chosen["mentor"], chosen["mentee"]
    changes.pin(visit.db, run, two, visit.actor, visit.now, criteria_of(visit))
    said = "The pair is pinned. Run the matching again, so that everybody else is placed around it."
    return web.go("matching.run_page", said, run_id=run_id)


@pages.post("/proposals/<uuid:proposal_id>/pin", role=Role.MANAGER)
def pin_proposal(visit: Visit, proposal_id: uuid.UUID) -> web.Answer:
    """Keep a proposed pair in further runs."""
    proposal = _managed_proposal(visit, proposal_id)
    run = queries.get_run(visit.db, proposal.run_id)
    two = proposal.mentor_id, proposal.mentee_id
    changes.pin(visit.db, run, two, visit.actor, visit.now, criteria_of(visit))
    return web.go("matching.run_page", "The pair is pinned: further runs keep it.", run_id=run.id)


@pages.post("/proposals/<uuid:proposal_id>/unpin", role=Role.MANAGER)
def unpin_proposal(visit: Visit, proposal_id: uuid.UUID) -> web.Answer:
    """Let further runs decide about a pair again."""
    proposal = _managed_proposal(visit, proposal_id)
    changes.unpin(visit.db, proposal, visit.actor, visit.now)
    return web.go("matching.run_page", "The pair is no longer pinned.", run_id=proposal.run_id)


@pages.post("/proposals/<uuid:proposal_id>/drop", role=Role.MANAGER)
def drop_proposal(visit: Visit, proposal_id: uuid.UUID) -> web.Answer:
    """Take a pair out of its run."""
    proposal = _managed_proposal(visit, proposal_id)
    changes.drop(visit.db, proposal, visit.actor, visit.now)
    said = "The pair is dropped, and no further run proposes it. You can bring it back."
    return web.go("matching.run_page", said, run_id=proposal.run_id)


@pages.post("/proposals/<uuid:proposal_id>/restore", role=Role.MANAGER)
def restore_proposal(visit: Visit, proposal_id: uuid.UUID) -> web.Answer:
    """Bring a dropped pair back."""
    proposal = _managed_proposal(visit, proposal_id)
    changes.restore(visit.db, proposal, visit.actor, visit.now, criteria_of(visit))
    if proposal.state == "proposed":
        return web.go("matching.run_page", "The pair is back in this run.", run_id=proposal.run_id)
    said = "Further runs may propose the pair again."
    return web.go("matching.matching_page", said, programme_id=proposal.programme_id)


@pages.post("/proposals/<uuid:proposal_id>/swap", role=Role.MANAGER)
def swap_proposal(visit: Visit, proposal_id: uuid.UUID) -> web.Answer:
    """Exchange the partners of two pairs."""
    proposal = _managed_proposal(visit, proposal_id)
    run = queries.get_run(visit.db, proposal.run_id)
    other = _proposal_of(visit, run, web.load_form(forms.SwapForm())["other"])
    changes.swap(visit.db, run, (proposal, other), visit.actor, visit.now, criteria_of(visit))
    said = "The partners are exchanged, and both new pairs are pinned: further runs keep them."
    return web.go("matching.run_page", said, run_id=run.id)


@pages.post("/proposals/<uuid:proposal_id>/withdraw", role=Role.MANAGER)
def withdraw_proposal(visit: Visit, proposal_id: uuid.UUID) -> web.Answer:
    """Take one released proposal back."""
    proposal = _managed_proposal(visit, proposal_id)
    releasing.withdraw_proposal(visit.db, proposal, visit.actor, visit.now)
    said = "The proposal is taken back. Both people were told so in neutral words."
    return web.go("matching.run_page", said, run_id=proposal.run_id)


def _managed_run(visit: Visit, run_id: uuid.UUID) -> MatchRun:
    run = queries.get_run(visit.db, run_id)
    get_managed_programme(visit.db, run.programme_id, visit.session.context_id)
    return run


def _managed_proposal(visit: Visit, proposal_id: uuid.UUID) -> Proposal:
    proposal = queries.get_proposal(visit.db, proposal_id)
    get_managed_programme(visit.db, proposal.programme_id, visit.session.context_id)
    return proposal


def _proposal_of(visit: Visit, run: MatchRun, proposal_id: uuid.UUID) -> Proposal:
    proposal = queries.get_proposal(visit.db, proposal_id)
    if proposal.run_id != run.id:
        raise NotFoundError("proposal")
    return proposal


def _filters(visit: Visit, programme_id: uuid.UUID) -> dict[str, Any]:
    """Give what lists can be narrowed to, as choices of (value, text) in the language of the page."""
    skills = [(skill.id, web.say(skill.name)) for skill in skills_of_programme(visit.db, programme_id)]
    return {
        "departments": [(name, name) for name in lists.departments(visit.db)],
        "skills": sorted(skills, key=lambda choice: choice[1].casefold()),
        "state_choices": [(state, web.say(text)) for state, text in PROPOSAL_STATES.items()],
    }


def _weigh(visit: Visit, run: MatchRun, asked: Mapping[str, Any], rows: Sequence[Proposal]) -> changes.Effect:
    known = visit.db, run
    more = visit.now, criteria_of(visit)
    if asked["do"] == "drop":
        return changes.weigh_drop(*known, rows[0], *more)
    if asked["do"] == "swap":
        return changes.weigh_swap(*known, (rows[0], rows[1]), *more)
    if asked["do"] == "restore":
        return changes.weigh_pair(*known, (rows[0].mentor_id, rows[0].mentee_id), *more, restored=True)
    for role in ("mentor", "mentee"):
        enrolment = find_enrolment(visit.db, run.programme_id, asked[role]) if asked[role] else None
        if enrolment is None or enrolment.role != role:
            raise NotFoundError("person")
    return changes.weigh_pair(*known, (asked["mentor"], asked["mentee"]), *more)


def _instead(visit: Visit, run: MatchRun, pair: queries.Pair, other: uuid.UUID) -> Mapping[str, Any]:
    """Say why somebody else is not the partner of the one of a pair whose partner they could be."""
    enrolment = find_enrolment(visit.db, run.programme_id, other)
    if enrolment is None:
        raise NotFoundError("person")
    is_mentor = enrolment.role == "mentor"
    two = (other, pair.mentee.id) if is_mentor else (pair.mentor.id, other)
    effect = changes.weigh_pair(visit.db, run, two, visit.now, criteria_of(visit))
    names = display_names(
        visit.db, {*two, *(one for row in effect.going for one in (row.mentor_id, row.mentee_id))}
    )
    return {
        "mentor": two[0],
        "mentee": two[1],
        "effect": effect,
        "names": names,
        "score": sum(effect.coming.get(two, {}).values()),
        "factors": _factors(visit, run, effect.coming.get(two, {})),
        "short": effect.before - effect.after,
    }


def _factors(visit: Visit, run: MatchRun, points: Mapping[str, int]) -> list[tuple[str, int, int | None]]:
    """Give name, points and most points of each factor."""
    criteria = visit.runtime.plugins.criteria
    found = []
    for factor, value in points.items():
        known = criteria.get(factor)
        name = words.FACTOR_NAMES.get(factor) or (Text(known.title) if known else factor)
        found.append((name, value, known.most if known else run.weights.get(factor)))
    return found


def _share_of(run: MatchRun) -> Any:
    """Give what writes the points of a pair as a percentage of the most that it could have."""
    most = max(lists.most_points(run), 1)
    return lambda row: round(100 * row.score / most)


def _unfinished_run(visit: Visit, run: MatchRun) -> web.Answer:
    faults: Sequence[Mapping[str, Any]] = run.metrics.get("pins", ())
    people = [person for fault in faults for person in (fault["mentor"], fault["mentee"])]
    people += run.metrics.get("people", ())
    names = display_names(visit.db, {uuid.UUID(key) for key in people})
    return web.render(
        "matching/unfinished.html",
        visit,
        programme=get_programme(visit.db, run.programme_id),
        run=run,
        faults=faults,
        crowded=run.metrics.get("people", ()),
        names={str(person): name for person, name in names.items()},
        sentences=words.PAIR_FAULTS,
        objectives=forms.OBJECTIVE_WORDS,
        zone=zone_for(visit),
    )
