"""Commands for matching."""

import uuid
from collections.abc import Mapping
from functools import partial
from typing import Any

import click

from rmplugin.cli import match_words
from rmplugin.cli.common import (
    as_json,
    find_tenant,
    opened,
    read_assignments,
    show,
    table,
    tenant_option,
    tenant_transaction,
)
from rmplugin.db import Db
from rmplugin.matching import (
    changes,
    documents,
    queries,
    releasing,
    rule_sets,
    tasks,
    trials,
    verdicts,
)
from rmplugin.matching import rules as rule_books
from rmplugin.matching.forms import OBJECTIVES
from rmplugin.matching.models import MatchRuleSet
from rmplugin.people.queries import display_names, find_person
from rmplugin.programmes.models import Programme
from rmplugin.programmes.queries import find_programme


@click.group()
def match() -> None:
    """Run, look at, explain and release matchings."""


@match.command()
@click.argument("programme")
@click.option("--objective", type=click.Choice(OBJECTIVES), help="Another objective than the rules name.")
@click.option("--seed", type=int, help="Accepted, without effect: equal totals are decided by stable ids.")
@click.option("--waiting", is_flag=True, help="Only people who have no partner and no proposal.")
@as_json
@tenant_option
def run(
    programme: str,
    objective: str | None,
    seed: int | None,  # noqa: ARG001 - The same data give the same pairs, whatever the seed.
    waiting: bool,
    as_json: bool,
    tenant: str | None,
) -> None:
    """Compute the best pairs of the pool. Example: rmplugin match run "Digital 2027" --json"""
    with opened() as runtime:
        tenant_id = find_tenant(runtime, tenant).id
        with runtime.database.transaction(tenant_id, write=False) as db:
            found = find_programme(db, programme)
            is_whole = waiting and not queries.taken_pairs(db, found.id)
        scope = "waiting" if waiting else "all"
        run_id = tasks.run_at_once(runtime, tenant_id, found, objective, scope)
        with runtime.database.transaction(tenant_id, write=False) as db:
            document = documents.run_document(db, queries.get_run(db, run_id))
            names = _name_left_out(db, document)
    tell = partial(match_words.tell_run, names=names, is_whole=is_whole)
    show(document, as_json=as_json, human=tell)
    if document["state"] != "solved":
        raise click.exceptions.Exit(1)


@match.command()
@click.option("--size", type=click.IntRange(1, 200_000), required=True, help="Mentors, and as many mentees.")
@click.option("--seed", type=int, default=1, show_default=True, help="Other people for another number.")
@click.option("--objective", type=click.Choice(OBJECTIVES), default="total", show_default=True)
@click.option(
    "--most-partners",
    type=click.IntRange(1, 10),
    default=1,
    show_default=True,
    help="Everybody takes from 1 to so many partners.",
)
@as_json
def bench(size: int, seed: int, objective: str, most_partners: int, as_json: bool) -> None:
    """Match a made-up company, to see what this machine can do; needs no database.

    Example: rmplugin match bench --size 1000 --json
    """
    document = trials.try_out(size, seed, objective, most_partners)
    show(document, as_json=as_json, human=match_words.tell_trial)


@match.command("show")
@click.argument("run_id", metavar="RUN", type=click.UUID)
@as_json
@tenant_option
def show_run(run_id: uuid.UUID, as_json: bool, tenant: str | None) -> None:
    """Show a run with its proposals. Example: rmplugin match show 0190… --json"""
    with tenant_transaction(tenant, write=False) as (_runtime, db):
        document = documents.show_document(db, queries.get_run(db, run_id))
        names = _name_left_out(db, document)
    show(
        document,
        as_json=as_json,
        human=lambda d: f"{match_words.tell_run(d, names)}\n\n{match_words.tell_proposals(d['proposals'])}",
    )


def _name_left_out(db: Db, document: Mapping[str, Any]) -> dict[str, str]:
    """Name those of the people without a partner whom the command names."""
    named = document["unmatched"][: match_words.PEOPLE_NAMED]
    names = display_names(db, {uuid.UUID(one["person"]) for one in named})
    return {str(person): name for person, name in names.items()}


@match.command()
@click.argument("run_id", metavar="RUN", type=click.UUID)
@click.argument("mentor")
@click.argument("mentee")
@as_json
@tenant_option
def explain(run_id: uuid.UUID, mentor: str, mentee: str, as_json: bool, tenant: str | None) -> None:
    """Say why two people were, or were not, paired: by employee number, e-mail address or id.

    Of a pair that is allowed and was not chosen, `effect` says what the totals would be with it.
    Example: rmplugin match explain 0190… 10042 10007
    """
    with tenant_transaction(tenant, write=False) as (runtime, db):
        found = queries.get_run(db, run_id)
        one, other = find_person(db, mentor), find_person(db, mentee)
        criteria = runtime.plugins.criteria.values()
        document = verdicts.explain(db, found, one.id, other.id, runtime.clock(), criteria)
        if document.get("score") is not None and not document["proposed"] and found.state == "solved":
            effect = changes.weigh_pair(db, found, (one.id, other.id), runtime.clock(), criteria)
            document["effect"] = {
                "total_score": effect.before,
                "total_score_with": effect.after,
                "best": effect.best_unchanged,
                "best_with": effect.best,
            }
    titles = found.metrics.get("criteria", {})
    tell = partial(match_words.tell_pair, criteria=titles, typed=(mentor, mentee))
    show(document, as_json=as_json, human=tell)


@match.command()
@click.argument("run_id", metavar="RUN", type=click.UUID)
@tenant_option
def release(run_id: uuid.UUID, tenant: str | None) -> None:
    """Let the people of a run see their proposals and answer. Example: rmplugin match release 0190…"""
    with tenant_transaction(tenant) as (runtime, db):
        found = queries.get_run(db, run_id)
        released, left_out = releasing.release_run(
            db, found, "command", runtime.clock(), runtime.plugins.criteria.values()
        )
    click.echo(
        f"Released {released} proposals; {left_out} were left out because they are no longer possible."
    )


@match.command()
@click.argument("run_id", metavar="RUN", type=click.UUID)
@tenant_option
def withdraw(run_id: uuid.UUID, tenant: str | None) -> None:
    """Take a release back while nobody has answered; people are told so neutrally.

    Example: rmplugin match withdraw 0190…
    """
    with tenant_transaction(tenant) as (runtime, db):
        count = releasing.withdraw_run(db, queries.get_run(db, run_id), "command", runtime.clock())
    click.echo(f"Took back {count} proposals.")


@match.group()
def rules() -> None:
    """Look at, try out and change what the matching of a programme goes by."""


settings_option = click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="A value by its name in `rules show`."
)
version_option = click.option("--version", type=int, help="Another version than the live one.")


@rules.command("show")
@click.argument("programme")
@version_option
@as_json
@tenant_option
def show_rules(programme: str, version: int | None, as_json: bool, tenant: str | None) -> None:
    """Show the rules of a programme's matching. Example: rmplugin match rules show "Digital 2027" --json"""
    with tenant_transaction(tenant, write=False) as (_runtime, db):
        document = rule_books.rule_set_document(_find_rules(db, find_programme(db, programme), version))
    show(document, as_json=as_json)


@rules.command("list")
@click.argument("programme")
@as_json
@tenant_option
def list_rules(programme: str, as_json: bool, tenant: str | None) -> None:
    """List the versions, the newest first, with the reasons of declines from five on.

    Example: rmplugin match rules list "Digital 2027" --json
    """
    with tenant_transaction(tenant, write=False) as (_runtime, db):
        found = find_programme(db, programme)
        declined = queries.decline_counts_by_version(db, found.id)
        rows = rule_books.list_rule_sets(db, found.id)
        document = [rule_books.rule_set_document(row) for row in rows or (None,)]
        for entry in document:
            entry["declined"] = declined.get(entry["version"], {})
    names = ("version", "state", "objective", "based_on", "created_by", "created_at", "note")
    show(document, as_json=as_json, human=lambda found: table([{n: d[n] for n in names} for d in found]))


@rules.command()
@click.argument("programme")
@settings_option
@version_option
@as_json
@tenant_option
def preview(
    programme: str, settings: tuple[str, ...], version: int | None, as_json: bool, tenant: str | None
) -> None:
    """Say what rules would make of today's pool; nothing is changed.

    Example: rmplugin match rules preview "Digital 2027" --set min_rank_gap=2 --json
    """
    changes = read_assignments(settings, "--set", "coverage=50000")
    with tenant_transaction(tenant, write=False) as (runtime, db):
        found = find_programme(db, programme)
        based_on = _find_rules(db, found, version)
        document = rule_sets.preview(
            db, found, changes, runtime.clock(), based_on, runtime.plugins.criteria.values()
        )
    show(document, as_json=as_json)


@rules.command("set")
@click.argument("programme")
@settings_option
@version_option
@click.option(
    "--draft", "is_draft", is_flag=True, help="Only keep it as a draft; `rules live` lets it count."
)
@as_json
@tenant_option
def set_rules(
    programme: str,
    settings: tuple[str, ...],
    version: int | None,
    is_draft: bool,
    as_json: bool,
    tenant: str | None,
) -> None:
    """Make a new version of the rules, and let it count. Earlier versions and runs stay as they are.

    Example: rmplugin match rules set "Digital 2027" --set coverage=50000 --set answer_days=10
    """
    changes = read_assignments(settings, "--set", "coverage=50000")
    with tenant_transaction(tenant) as (runtime, db):
        now = runtime.clock()
        row = rule_sets.draft(db, find_programme(db, programme), changes, "command", now, version)
        if not is_draft:
            rule_sets.make_live(db, row, "command", now)
        document = rule_books.rule_set_document(row)
    show(document, as_json=as_json)


@rules.command()
@click.argument("programme")
@click.argument("version", type=int)
@as_json
@tenant_option
def live(programme: str, version: int, as_json: bool, tenant: str | None) -> None:
    """Let a draft count from now on. Example: rmplugin match rules live "Digital 2027" 3"""
    with tenant_transaction(tenant) as (runtime, db):
        row = rule_books.get_rule_set(db, find_programme(db, programme).id, version)
        rule_sets.make_live(db, row, "command", runtime.clock())
        document = rule_books.rule_set_document(row)
    show(document, as_json=as_json)


def _find_rules(db: Db, programme: Programme, version: int | None) -> MatchRuleSet | None:
    if version is None:
        return rule_books.find_live(db, programme.id)
    return rule_books.get_rule_set(db, programme.id, version)


commands = (match,)
