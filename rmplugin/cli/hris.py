"""Commands for HR systems."""

import csv
import io
from pathlib import Path
from typing import Any

import click

from rmplugin.cli.common import (
    as_json,
    find_tenant,
    opened,
    read_assignments,
    read_file,
    read_secrets,
    show,
    table,
    tenant_option,
    tenant_transaction,
)
from rmplugin.cli.setup import _line
from rmplugin.jobs import work_outbox
from rmplugin.people.queries import list_runs
from rmplugin.people.tasks import check_account, sync_roster
from rmplugin.tenants import operations, queries
from rmplugin.tenants.operations import secret_names


@click.group()
def hris() -> None:
    """Connect HR systems and read rosters."""


@hris.command()
@as_json
def connectors(as_json: bool) -> None:
    """List the HR systems that can be connected. Example: rmplugin hris connectors --json"""
    with opened() as runtime:
        document = [
            {
                "key": connector.key,
                "title": connector.title,
                "settings": sorted(connector.settings_schema().fields),
                "secrets": sorted(secret_names(connector)),
            }
            for connector in runtime.plugins.connectors.values()
        ]
    show(document, as_json=as_json)


@hris.command()
@click.argument("name")
@click.option("--connector", required=True, metavar="KEY", help="See `rmplugin hris connectors`.")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="A setting; dots make nested keys."
)
@click.option(
    "--set-secret", "secrets", multiple=True, metavar="KEY", help="Asks; or KEY=@file, KEY=$VARIABLE."
)
@click.option(
    "--rank", "ranks", multiple=True, metavar="GRADE=RANK", help="Rank 0 (junior) to 100 of a grade."
)
@click.option(
    "--ranks-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CSV with the columns grade and rank.",
)
@as_json
@tenant_option
def add(
    name: str,
    connector: str,
    settings: tuple[str, ...],
    secrets: tuple[str, ...],
    ranks: tuple[str, ...],
    ranks_file: Path | None,
    as_json: bool,
    tenant: str | None,
) -> None:
    """Connect an HR system.

    \b
    Example:
      rmplugin hris add people --connector csv_file --set path=/data/people.csv --set delimiter=';' \\
        --set date_format=%d.%m.%Y --set mapping.employee_number='Personnel No' --rank G1=0 --rank G10=100
    """
    plain, ranked = read_assignments(settings, "--set"), _read_ranks(ranks, ranks_file)
    with opened() as runtime:
        known = runtime.plugins.connector(connector)
    for key in plain:
        if key in secret_names(known):
            raise click.UsageError(f"{key} is a secret and never a plain argument: --set-secret {key} asks.")
    # Asked for before the transaction begins: nobody else should wait for what is being typed.
    values = plain | read_secrets(secrets)
    with tenant_transaction(tenant) as (runtime, db):
        account = operations.add_account(
            db,
            name,
            known,
            values,
            ranked,
            runtime.database.secrets,
            runtime.clock(),
        )
        document = {"name": account.name, "connector": account.connector}
    show(
        document, as_json=as_json, human=lambda d: f"Added {d['name']}. Next: rmplugin hris check {d['name']}"
    )


def _read_ranks(pairs: tuple[str, ...], path: Path | None) -> dict[str, int]:
    found: dict[str, Any] = {}
    if path is not None:
        rows = csv.DictReader(io.StringIO(read_file(path)))
        if not {"grade", "rank"} <= set(rows.fieldnames or ()):
            raise click.UsageError("The ranks file needs the columns grade and rank.")
        found = {(row["grade"] or "").strip(): row["rank"] for row in rows}
    for pair in pairs:
        # A grade may contain dots or signs, so this is no nested key.
        grade, sign, rank = pair.rpartition("=")
        if not sign:
            raise click.UsageError("--rank needs GRADE=RANK, for example --rank G7=50.")
        found[grade] = rank
    try:
        return {grade: int(rank) for grade, rank in found.items()}
    except (ValueError, TypeError) as error:
        raise click.UsageError("A rank is a whole number from 0 to 100.") from error


@hris.command("list")
@as_json
@tenant_option
def list_(as_json: bool, tenant: str | None) -> None:
    """List the connected HR systems. Example: rmplugin hris list"""
    with tenant_transaction(tenant, write=False) as (_runtime, db):
        document = [{"name": row.name, "connector": row.connector} for row in queries.list_accounts(db)]
    show(document, as_json=as_json)


@hris.command()
@click.argument("name")
@as_json
@tenant_option
def check(name: str, as_json: bool, tenant: str | None) -> None:
    """Try the connection without changing anything. Example: rmplugin hris check people"""
    with opened() as runtime:
        results = check_account(runtime.database, runtime.plugins, find_tenant(runtime, tenant).id, name)
    document = [{"what": result.what, "ok": result.ok, "advice": result.advice} for result in results]
    lines = [_line(result) for result in results]
    show(document, as_json=as_json, human=lambda _rows: "\n".join(lines))
    if not all(result.ok for result in results):
        raise click.exceptions.Exit(1)


@hris.command()
@click.argument("name")
@click.option("--full", is_flag=True, help="Read everything, even where changes would do.")
@click.option("--dry-run", is_flag=True, help="Count only; change nothing.")
@click.option("--accept-shrink", is_flag=True, help="Apply a run that is held; check the file first.")
@as_json
@tenant_option
def sync(
    name: str, full: bool, dry_run: bool, accept_shrink: bool, as_json: bool, tenant: str | None
) -> None:
    """Read the roster. Example: rmplugin hris sync people --dry-run"""
    with opened() as runtime:
        report = sync_roster(
            runtime.database,
            runtime.plugins,
            find_tenant(runtime, tenant).id,
            name,
            full=full,
            dry_run=dry_run,
            accept_shrink=accept_shrink,
            now=runtime.clock(),
        )
        # What the roster means for pairs must hold when the command answers, also where no worker runs.
        work_outbox(runtime, kind="roster_synced")
    show(report.as_json(), as_json=as_json, human=_tell_run)
    for grade, count in report.notes.get("unmapped_grades", [])[:10]:
        click.echo(f"Grade '{grade}' has no rank ({count} people): rmplugin hris add … --rank", err=True)
    if report.status != "complete":
        raise click.exceptions.Exit(1)


def _tell_run(run: dict[str, Any]) -> str:
    names = ("seen", "created", "updated", "unchanged", "deactivated", "reactivated")
    lines = [f"{run['status']}: " + ", ".join(f"{run[name]} {name}" for name in names)]
    if run["held_reason"]:
        lines.append(run["held_reason"])
    if run["skipped"]:
        lines += [f"Skipped {len(run['skipped'])}:", table(run["skipped"][:50])]
    return "\n".join(lines)


@hris.command()
@click.argument("name", required=False)
@as_json
@tenant_option
def runs(name: str | None, as_json: bool, tenant: str | None) -> None:
    """List roster runs, newest first. Example: rmplugin hris runs people"""
    with tenant_transaction(tenant, write=False) as (_runtime, db):
        if name is not None:
            queries.get_account(db, name)
        document = [
            {
                "run_id": str(run.id),
                "account": account,
                "status": run.status,
                "mode": run.mode,
                **run.counts,
                "skipped": len(run.skipped),
                "held_reason": run.held_reason,
                "started_at": run.started_at.isoformat(timespec="seconds"),
            }
            for run, account in list_runs(db, name)
        ]
    show(document, as_json=as_json)


@hris.command()
@click.argument("name")
@click.confirmation_option(prompt="Forget this HR account and the people who came from it?")
@tenant_option
def remove(name: str, tenant: str | None) -> None:
    """Forget an HR account and its people. Example: rmplugin hris remove people --yes"""
    with tenant_transaction(tenant) as (runtime, db):
        operations.remove_account(db, queries.get_account(db, name), runtime.clock())
    click.echo("Removed.")


commands = (hris,)
