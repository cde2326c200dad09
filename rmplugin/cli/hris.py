"""Commands for HR systems."""

import csv
import io
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from textwrap import wrap
from typing import Any
from uuid import UUID

import click
from marshmallow import ValidationError

from rmplugin.cli.common import (
    as_json,
    find_tenant,
    flat,
    merged,
    opened,
    read_assignments,
    read_file,
    read_secrets,
    show,
    table,
    tenant_option,
    tenant_transaction,
    without,
)
from rmplugin.cli.setup import _line
from rmplugin.errors import ConflictError
from rmplugin.hris import operations as hris_operations
from rmplugin.hris.forms import PREFIX, RANK_BY, Setting, read_schedule, settings_form
from rmplugin.hris.queries import find_open_run, words_of
from rmplugin.jobs import Runtime, work_outbox
from rmplugin.people.queries import ACCEPTED_RUN, is_accepted, list_runs
from rmplugin.people.roster import COUNTS
from rmplugin.people.tasks import check_account, hold_account, sync_roster
from rmplugin.records import WebhookReader
from rmplugin.tenants import operations, queries
from rmplugin.tenants.queries import HasSettings, secret_names


@click.group()
def hris() -> None:
    """Connect HR systems and read rosters."""


@hris.command()
@click.argument("key", required=False)
@as_json
def connectors(key: str | None, as_json: bool) -> None:
    """List the HR systems that can be connected, and their settings; or those of one.

    Example: rmplugin hris connectors csv_file
    """
    with opened() as runtime:
        plugins = runtime.plugins
        document = [
            told_settings(connector)
            for connector in (plugins.connectors.values() if key is None else [plugins.connector(key)])
        ]
    show(document, as_json=as_json, human=lambda rows: "\n\n".join(map(tell_plugin, rows)))


def told_settings(connector: HasSettings) -> dict[str, Any]:
    """Give what an account of a plug-in needs. **Touches** pure."""
    return {
        "key": connector.key,
        "title": connector.title,
        "settings": sorted(connector.settings_schema().fields),
        "secrets": sorted(secret_names(connector)),
        "fields": [_setting(field) for field in settings_form(connector)],
    }


def _setting(field: Setting) -> dict[str, Any]:
    return {
        "name": field.name.removeprefix(PREFIX),
        "needed": field.is_needed,
        "secret": field.kind == "secret",
        "default": field.value or None,
        "choices": [word for word, _text in field.options if word],
        "keys": list(field.keys),
        "help": field.help,
    }


def tell_plugin(connector: dict[str, Any]) -> str:
    """Write what `told_settings` gives for people. **Touches** pure."""
    lines = [f"{connector['key']}: {connector['title']}"]
    width = max((len(field["name"]) for field in connector["fields"]), default=0) + 2
    for field in connector["fields"]:
        notes = ["needed"] if field["needed"] else []
        notes += ["secret"] if field["secret"] else []
        notes += [f"default {field['default']}"] if field["default"] else []
        told = f"[{', '.join(notes)}] " if notes else ""
        indent = " " * (width + 2)
        texts = [f"{told}{field['help']}"]
        if field["choices"]:
            texts.append("one of: " + "  ".join(field["choices"]))
        if field["keys"]:
            texts.append(f"keys, as {field['name']}.KEY=VALUE: " + ", ".join(field["keys"]))
        first, *others = [line for text in texts for line in wrap(text, 110 - width) or [""]]
        lines += [f"  {field['name']:<{width}}{first}".rstrip(), *(indent + line for line in others)]
    if not connector["fields"]:
        lines.append("  no settings: rmplugin scim token NAME makes the account")
    return "\n".join(lines)


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
    plain, given = read_assignments(settings, "--set"), _read_ranks(ranks, ranks_file, "--rank")
    ranked = {grade: rank for grade, rank in given.items() if rank is not None}
    with opened() as runtime:
        known = runtime.plugins.connector(connector)
    refuse_plain_secrets(known, plain)
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
        document,
        as_json=as_json,
        human=lambda d: f"Added {d['name']}. Next: rmplugin hris check {shlex.quote(d['name'])}",
    )


def refuse_plain_secrets(connector: HasSettings, plain: Iterable[str]) -> None:
    """Refuse secrets among plain values. :raises click.UsageError: there is one. **Touches** pure."""
    for key in plain:
        if key in secret_names(connector):
            raise click.UsageError(f"{key} is a secret and never a plain argument: --set-secret {key} asks.")


@hris.command("set")
@click.argument("name")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="A setting; dots make nested keys."
)
@click.option("--unset", multiple=True, metavar="KEY", help="Back to the default; dots as in --set.")
@click.option(
    "--set-secret", "secrets", multiple=True, metavar="KEY", help="Asks; or KEY=@file, KEY=$VARIABLE."
)
@as_json
@tenant_option
def set_(
    name: str,
    settings: tuple[str, ...],
    unset: tuple[str, ...],
    secrets: tuple[str, ...],
    as_json: bool,
    tenant: str | None,
) -> None:
    """Show an account's settings, or change some; the others stay.

    Example: rmplugin hris set people --set mapping.email='Dienst-Mail' --set date_format=%d.%m.%Y
    """
    plain, typed = read_assignments(settings, "--set"), read_secrets(secrets)
    with tenant_transaction(tenant) as (runtime, db):
        account = queries.get_account(db, name)
        known = runtime.plugins.connector(account.connector)
        refuse_plain_secrets(known, plain)
        if plain or typed or unset:
            changed = merged(without(account.settings, unset), plain) | typed
            box = runtime.database.secrets
            hris_operations.change_account(db, account, known, changed, box, "command", runtime.clock())
        document = {"name": name, "connector": account.connector, "settings": account.settings}
    show(document, as_json=as_json, human=_tell_settings)
    if plain or typed or unset:
        click.echo(f"Saved. Next: rmplugin hris check {name}", err=True)


def _tell_settings(document: dict[str, Any]) -> str:
    lines = [f"{document['name']}: {document['connector']}"]
    lines += [f"  {key} = {value}" for key, value in flat(document["settings"])]
    return "\n".join([*lines, "  (secrets are not shown)"])


def _read_ranks(pairs: tuple[str, ...], path: Path | None, option: str) -> dict[str, int | None]:
    """Read words with their ranks; one without a rank is forgotten."""
    found: dict[str, str] = {}
    if path is not None:
        rows = csv.DictReader(io.StringIO(read_file(path)))
        names = set(rows.fieldnames or ())
        word = "word" if "word" in names else "grade"
        if not {word, "rank"} <= names:
            raise click.UsageError("The ranks file needs the columns grade and rank.")
        found = {(row[word] or "").strip(): (row["rank"] or "").strip() for row in rows}
    for pair in pairs:
        # A grade may contain dots or signs, so this is no nested key.
        grade, sign, rank = pair.rpartition("=")
        if not sign:
            raise click.UsageError(f"{option} needs GRADE=RANK, for example {option} G7=50.")
        found[grade] = rank.strip()
    try:
        numbers = {grade: int(rank) if rank else None for grade, rank in found.items() if grade}
    except ValueError as error:
        raise click.UsageError("A rank is a whole number from 0 to 100.") from error
    if any(rank is not None and not 0 <= rank <= 100 for rank in numbers.values()):
        raise click.UsageError("A rank is a whole number from 0 to 100.")
    return numbers


@hris.command("list")
@as_json
@tenant_option
def list_(as_json: bool, tenant: str | None) -> None:
    """List the connected HR systems. Example: rmplugin hris list"""
    with tenant_transaction(tenant, write=False) as (_runtime, db):
        document = [
            {
                "name": row.name,
                "connector": row.connector,
                "schedule": row.schedule,
                "next_run_at": row.next_run_at.isoformat(timespec="seconds") if row.next_run_at else None,
            }
            for row in queries.list_accounts(db)
        ]
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
    with opened() as runtime, _progress(name, quiet=as_json) as told:
        tenant_id = find_tenant(runtime, tenant).id
        if not dry_run:
            _apply_accepted(runtime, tenant_id, name)
        report = sync_roster(
            runtime.database,
            runtime.plugins,
            tenant_id,
            name,
            full=full,
            dry_run=dry_run,
            accept_shrink=accept_shrink,
            now=runtime.clock(),
            on_page=told,
        )
        # What the roster means for pairs must hold when the command answers, also where no worker runs.
        work_outbox(runtime, kind="roster_synced")
    document = report.as_json()
    if report.status == "held":
        command = f"rmplugin hris sync {shlex.quote(name)} --accept-shrink"
        document["held_reason"] = f"{report.held_reason} If it is right, run `{command}`."
    show(document, as_json=as_json, human=partial(_tell_run, dry=dry_run))
    for grade, count in report.notes.get("unmapped_grades", [])[:10]:
        click.echo(
            f"'{grade}' has no rank ({count} people): rmplugin hris ranks {shlex.quote(name)} --set …",
            err=True,
        )
    if report.status != "complete":
        raise click.exceptions.Exit(1)


def _apply_accepted(runtime: Runtime, tenant_id: UUID, name: str) -> None:
    """Apply a run that was accepted and that no worker took up yet: a new reading would make it old."""
    with runtime.database.transaction(tenant_id, write=False) as db:
        run = find_open_run(db, queries.get_account(db, name).id)
        waits = run is not None and is_accepted(db, run)
    if waits:
        click.echo("The accepted run was not applied yet; it is applied first.", err=True)
        work_outbox(runtime, slow=True, kind=ACCEPTED_RUN)


@contextmanager
def _progress(name: str, *, quiet: bool) -> Iterator[Callable[[int, int | None], None] | None]:
    """Show on a terminal how many people were read so far; anywhere else nothing."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(length=0, label=f"Reading {name}", show_pos=True, file=sys.stderr) as bar:

        def told(seen: int, total: int | None) -> None:
            # Without a total the bar is full: how many came is what can be said.
            bar.length = max(seen, total or 0)
            bar.update(seen - bar.pos)

        yield told


def _tell_run(run: dict[str, Any], *, dry: bool) -> str:
    status = "Dry run, nobody was changed" if dry and run["status"] == "complete" else run["status"]
    lines = [f"{status}: " + ", ".join(f"{run[name]} {name}" for name in COUNTS)]
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
                # A run that failed has counted nothing.
                **{count: run.counts.get(count, 0) for count in COUNTS},
                "skipped": len(run.skipped),
                "held_reason": run.held_reason,
                "started_at": run.started_at.isoformat(timespec="seconds"),
            }
            for run, account in list_runs(db, name)
        ]
    show(document, as_json=as_json)


@hris.command()
@click.argument("name")
@click.option("--set", "pairs", multiple=True, metavar="WORD=RANK", help="0 (junior) to 100; empty forgets.")
@click.option(
    "--file",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CSV with the columns word (or grade) and rank.",
)
@click.option("--by", type=click.Choice(list(RANK_BY)), help="What people are ranked by from now on.")
@as_json
@tenant_option
def ranks(
    name: str, pairs: tuple[str, ...], path: Path | None, by: str | None, as_json: bool, tenant: str | None
) -> None:
    """List the words of the roster with their ranks, unmapped ones first, or change ranks.

    \b
    Example: rmplugin hris ranks people --set G7=50 --set G8=60
    """
    given = _read_ranks(pairs, path, "--set")
    with tenant_transaction(tenant) as (runtime, db):
        account = queries.get_account(db, name)
        if given or by:
            rank_by = by or account.rank_by
            moved = hris_operations.save_ranks(db, account, rank_by, given, "command", runtime.clock())
            click.echo(f"Saved. {moved} people have another rank now.", err=True)
        words = words_of(db, account, account.rank_by)
        document = [{"word": word.word, "people": word.count, "rank": word.rank} for word in words]
    show(document, as_json=as_json)


@hris.command()
@click.argument("name")
@click.option("--every", required=True, metavar="MINUTES|off", help="60 is every hour, 1440 every day.")
@as_json
@tenant_option
def schedule(name: str, every: str, as_json: bool, tenant: str | None) -> None:
    """Say how often the worker reads an account. Example: rmplugin hris schedule people --every 60"""
    try:
        minutes = read_schedule(every)
    except ValidationError as error:
        raise click.UsageError("--every needs the minutes between two runs, 5 to 44640, or off.") from error
    with tenant_transaction(tenant) as (runtime, db):
        account = queries.get_account(db, name)
        hris_operations.schedule_account(db, account, minutes, "command", runtime.clock())
        planned = account.next_run_at.isoformat(timespec="seconds") if account.next_run_at else None
        document = {"name": name, "schedule": minutes, "next_run_at": planned}
    show(document, as_json=as_json)


@hris.command()
@click.argument("name")
@as_json
@tenant_option
def webhook(name: str, as_json: bool, tenant: str | None) -> None:
    """Make the address for an HR system's notices and print it once; an older one ends.

    Example: rmplugin hris webhook people
    """
    with tenant_transaction(tenant) as (runtime, db):
        account = queries.get_account(db, name)
        if not isinstance(runtime.plugins.connector(account.connector), WebhookReader):
            raise ConflictError("no_notices", f"'{account.connector}' takes no notices. Nothing was changed.")
        token = hris_operations.make_webhook(db, account, "command", runtime.clock())
        document = {"url": hris_operations.webhook_address(runtime.settings.public_url, token)}
    show(document, as_json=as_json, human=lambda d: str(d["url"]))


@hris.command()
@click.argument("name")
@click.confirmation_option(prompt="Forget this HR account and the people who came from it alone?")
@tenant_option
def remove(name: str, tenant: str | None) -> None:
    """Forget an HR account and the people whom no other one lists.

    \b
    Example: rmplugin hris remove people --yes
    """
    with opened() as runtime:
        tenant_id = find_tenant(runtime, tenant).id
        with runtime.database.transaction(tenant_id, write=False) as db:
            account_id = queries.get_account(db, name).id
        # Held until it is stored, so that no run begins on what is going.
        with hold_account(runtime.database, account_id), runtime.database.transaction(tenant_id) as db:
            account = queries.get_account(db, name)
            staying = hris_operations.remove_account(db, account, "command", runtime.clock())
    click.echo(f"Removed. {staying} people stay, whom another account lists, too." if staying else "Removed.")
