"""The manager's pages before a run: the pool and how it stands, the rules, runs and how to start one."""

import uuid
from collections.abc import Mapping
from typing import Any

from rmplugin import web
from rmplugin.errors import InputError, NotFoundError
from rmplugin.formats import language_name
from rmplugin.matching import (
    counting,
    forms,
    lists,
    operations,
    queries,
    rule_sets,
    rules,
    wishes,
    words,
)
from rmplugin.matching.rules import book_in_force
from rmplugin.people.queries import zone_of
from rmplugin.programmes.models import Programme
from rmplugin.programmes.queries import get_managed_programme
from rmplugin.texts import Text, texts
from rmplugin.web import Role, Visit

pages = web.Pages("matching", __name__)
RUNS_SHOWN = 20

RUN_STATES = texts(
    {
        "queued": "being computed",
        "solved": "ready to look through",
        "released": "released",
        "dropped": "replaced by a newer run",
        "failed": "failed",
    }
)
RULE_SET_STATES = texts({"draft": "draft", "live": "in force", "retired": "replaced"})


@pages.get("/programmes/<uuid:programme_id>/matching", role=Role.MANAGER)
def matching_page(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Show the pool of a programme, its runs, and what managers pinned and dropped."""
    programme = get_managed_programme(visit.db, programme_id, visit.session.context_id)
    book = book_in_force(visit.db, programme)
    runs = queries.list_runs(visit.db, programme_id)
    reasons = dict(forms.DECLINE_REASONS)
    declined = queries.decline_counts(visit.db, programme_id)
    return web.render(
        "matching/matching.html",
        visit,
        programme=programme,
        free=lists.count_pool(visit.db, programme_id, book.options.mentors_per_mentee),
        runs=runs,
        runs_shown=RUNS_SHOWN,
        run_states=RUN_STATES,
        book=book,
        objectives=forms.OBJECTIVE_WORDS,
        priced=next((run for run in runs if run.metrics.get("objectives")), None),
        lists=wishes.count_lists(visit.db, programme_id) if book.options.self_service else None,
        decided=lists.page_of_decided(visit.db, programme_id, web.load_query(forms.PageQuery())["page"]),
        declined={reasons.get(code, code): count for code, count in declined.cells.items() if count},
        declined_other=bool(declined.total) and None in declined.cells.values(),
        zone=zone_for(visit),
    )


@pages.post("/programmes/<uuid:programme_id>/matching", role=Role.MANAGER)
def start_run(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Start a matching."""
    chosen = web.load_form(forms.RunForm())
    programme = get_managed_programme(visit.db, programme_id, visit.session.context_id)
    run = operations.start_run(visit.db, programme, visit.actor, visit.now, **chosen)
    return web.go("matching.run_page", run_id=run.id)


@pages.get("/programmes/<uuid:programme_id>/matching/health", role=Role.MANAGER)
def health_page(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Show who of the pool could meet whom, what lacks, and who could help; a large pool as last counted."""
    programme = get_managed_programme(visit.db, programme_id, visit.session.context_id)
    row, found = None, None
    if counting.is_small(visit.db, programme_id):
        found = counting.prepare_health(visit.db, programme, visit.now, criteria_of(visit))()
    else:
        row = counting.find_count(visit.db, programme_id, "health")
        found = row.answer if row else None
    invited = [uuid.UUID(entry["person"]) for entry in found["invite"]] if found else []
    return web.render(
        "matching/health.html",
        visit,
        programme=programme,
        row=row,
        found=found,
        is_small=row is None and found is not None,
        people={str(key): one for key, one in queries.people_by_id(visit.db, invited).items()},
        rules=words.PAIR_FAULTS,
        zone=zone_for(visit),
    )


@pages.post("/programmes/<uuid:programme_id>/matching/health", role=Role.MANAGER)
def count_health(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Count how the pool stands anew."""
    programme = get_managed_programme(visit.db, programme_id, visit.session.context_id)
    counting.ask(visit.db, programme, "health", {}, visit.now, criteria_of(visit))
    return web.go("matching.health_page", programme_id=programme_id)


@pages.get("/programmes/<uuid:programme_id>/matching/rules", role=Role.MANAGER)
def rules_page(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Show the rules in force, a form for other ones, what was tried, and all versions."""
    programme = get_managed_programme(visit.db, programme_id, visit.session.context_id)
    asked = web.load_query(forms.RulesQuery())
    versions = rules.list_rule_sets(visit.db, programme_id)
    trial = counting.find_count(visit.db, programme_id, "trial") if asked["trial"] else None
    draft = next((row for row in versions if row.state == "draft"), None)
    live = next((row for row in versions if row.state == "live"), None)
    base = draft or live
    if asked["version"]:
        base = rules.get_rule_set(visit.db, programme_id, asked["version"])
    return web.render(
        "matching/rules.html",
        visit,
        programme=programme,
        book=book_in_force(visit.db, programme),
        values=trial.question if trial else rules.values_of(base),
        base=base,
        trial=trial,
        is_small=counting.is_small(visit.db, programme_id),
        versions=versions,
        who=queries.actor_names(visit.db, {row.created_by for row in versions}),
        states=RULE_SET_STATES,
        names=forms.SETTING_NAMES,
        hints=forms.SETTING_HINTS,
        objectives=forms.OBJECTIVE_WORDS,
        zone=zone_for(visit),
    )


@pages.get("/programmes/<uuid:programme_id>/matching/rules/count", role=Role.MANAGER)
def count_rules(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Count while rules are typed which pairs of a small pool they allow; nothing is kept."""
    programme = get_managed_programme(visit.db, programme_id, visit.session.context_id)
    if not counting.is_small(visit.db, programme_id):
        raise NotFoundError("count")
    typed = web.load_query(forms.rules_as_typed())
    found, faults = None, {}
    try:
        found = rule_sets.preview(visit.db, programme, typed, visit.now, criteria=criteria_of(visit))
    except InputError as error:
        faults = {forms.SETTING_NAMES.get(name, name): text for name, text in error.details.items()}
    return web.render("matching/count.html", visit, programme=programme, found=found, faults=faults)


@pages.post(
    "/programmes/<uuid:programme_id>/matching/rules/try", role=Role.MANAGER, on_input_error=rules_page
)
def try_rules(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Count what the typed rules would make of the pool; they are not saved."""
    programme, typed = _typed_rules(visit, programme_id)
    values = rules.check_values(programme, rules.values_of(rules.find_live(visit.db, programme_id)), typed)
    counting.ask(visit.db, programme, "trial", values, visit.now, criteria_of(visit))
    return web.go("matching.rules_page", programme_id=programme_id, trial=1)


@pages.post(
    "/programmes/<uuid:programme_id>/matching/rules/draft", role=Role.MANAGER, on_input_error=rules_page
)
def draft_rules(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Keep the typed rules as a draft."""
    programme, typed = _typed_rules(visit, programme_id)
    row = rule_sets.draft(visit.db, programme, typed, visit.actor, visit.now)
    said = Text("Saved as draft %(n)s. The matching goes by the rules of before.", n=row.version)
    return web.go("matching.rules_page", said, programme_id=programme_id)


@pages.post(
    "/programmes/<uuid:programme_id>/matching/rules/live", role=Role.MANAGER, on_input_error=rules_page
)
def use_rules(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Let the matching go by the typed rules from now on."""
    programme, typed = _typed_rules(visit, programme_id)
    row = rule_sets.draft(visit.db, programme, typed, visit.actor, visit.now)
    rule_sets.make_live(visit.db, row, visit.actor, visit.now)
    said = Text(
        "From now on the matching goes by version %(n)s. Run it again to see the pairs.", n=row.version
    )
    return web.go("matching.rules_page", said, programme_id=programme_id)


def _typed_rules(visit: Visit, programme_id: uuid.UUID) -> tuple[Programme, Mapping[str, Any]]:
    programme = get_managed_programme(visit.db, programme_id, visit.session.context_id)
    return programme, web.load_form(forms.rules_as_typed())


def criteria_of(visit: Visit) -> counting.Criteria:
    """Give what plug-ins add to the matching. **Touches** nothing."""
    return tuple(visit.runtime.plugins.criteria.values())


def zone_for(visit: Visit) -> str:
    """Give the zone in which the visitor reads times. **Touches** reads profile, person."""
    return zone_of(visit.db, visit.session.person_id)


def name_languages(codes: list[str]) -> list[str]:
    """Name languages in the language of the page. **Touches** the language of the page."""
    return [language_name(code) for code in codes]
