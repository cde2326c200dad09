"""Commands for matching."""

import uuid
from typing import Any

import click

from rmplugin.cli.common import as_json, find_tenant, opened, show, table, tenant_option, tenant_transaction
from rmplugin.matching import documents, operations, queries, releasing, store, tasks
from rmplugin.people.queries import find_person
from rmplugin.programmes.queries import find_programme


@click.group()
def match() -> None:
    """Run, look at, explain and release matchings."""


@match.command()
@click.argument("programme")
@click.option("--objective", default="total", type=click.Choice(["total"]), show_default=True)
@as_json
@tenant_option
def run(programme: str, objective: str, as_json: bool, tenant: str | None) -> None:
    """Compute the best pairs for everybody who waits. Example: rmplugin match run "Digital 2027" --json"""
    with opened() as runtime:
        tenant_id = find_tenant(runtime, tenant).id
        with runtime.database.transaction(tenant_id) as db:
            queued = operations.start_run(
                db, find_programme(db, programme), "command", runtime.clock(), objective
            )
        tasks.run(runtime, tenant_id, queued.id)
        with runtime.database.transaction(tenant_id, write=False) as db:
            document = documents.run_document(db, queries.get_run(db, queued.id))
    show(document, as_json=as_json, human=_tell)
    if document["state"] != "solved":
        raise click.exceptions.Exit(1)


def _tell(run: dict[str, Any]) -> str:
    if run["failure"]:
        return f"The run failed: {run['failure']}"
    proved = "no better total exists" if run["optimality"]["proved"] else "a better total may exist"
    head = (
        f"{run['pairs']} pairs of {run['mentors']} mentors and {run['mentees']} mentees, total score "
        f"{run['total_score']} ({proved}). Run {run['run_id']}"
    )
    left = [{key: entry[key] for key in ("person", "role", "sentence")} for entry in run["unmatched"]]
    return f"{head}\n\nWithout a partner:\n{table(left)}"


@match.command("show")
@click.argument("run_id", metavar="RUN", type=click.UUID)
@as_json
@tenant_option
def show_run(run_id: uuid.UUID, as_json: bool, tenant: str | None) -> None:
    """Show a run with its proposals. Example: rmplugin match show 0190… --json"""
    with tenant_transaction(tenant, write=False) as (_runtime, db):
        document = documents.show_document(db, queries.get_run(db, run_id))
    names = ("mentor", "mentee", "score", "state")
    show(
        document,
        as_json=as_json,
        human=lambda d: _tell(d) + "\n\n" + table([{n: p[n] for n in names} for p in d["proposals"]]),
    )


@match.command()
@click.argument("run_id", metavar="RUN", type=click.UUID)
@click.argument("mentor")
@click.argument("mentee")
@as_json
@tenant_option
def explain(run_id: uuid.UUID, mentor: str, mentee: str, as_json: bool, tenant: str | None) -> None:
    """Say why two people were, or were not, paired: by employee number, e-mail address or id.

    Example: rmplugin match explain 0190… 10042 10007
    """
    with tenant_transaction(tenant, write=False) as (runtime, db):
        found = queries.get_run(db, run_id)
        one, other = find_person(db, mentor), find_person(db, mentee)
        document = store.explain(db, found, one.id, other.id, runtime.clock())
    show(document, as_json=as_json)


@match.command()
@click.argument("run_id", metavar="RUN", type=click.UUID)
@tenant_option
def release(run_id: uuid.UUID, tenant: str | None) -> None:
    """Let the people of a run see their proposals and answer. Example: rmplugin match release 0190…"""
    with tenant_transaction(tenant) as (runtime, db):
        found = queries.get_run(db, run_id)
        released, left_out = releasing.release_run(db, found, "command", runtime.clock())
    click.echo(
        f"Released {released} proposals; {left_out} were left out because they are no longer possible."
    )


commands = (match,)
