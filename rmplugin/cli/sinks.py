"""Commands for the systems that are told each line of the ledger."""

import shlex
from datetime import UTC, datetime
from typing import Any

import click

from rmplugin.cli.common import (
    as_json,
    find_tenant,
    merged,
    opened,
    read_assignments,
    read_secrets,
    show,
    tenant_option,
    tenant_transaction,
)
from rmplugin.cli.hris import refuse_plain_secrets, tell_plugin, told_settings
from rmplugin.cli.setup import _line
from rmplugin.credits.operations import resume_account
from rmplugin.credits.queries import count_by_account
from rmplugin.credits.tasks import check_account
from rmplugin.destinations import operations, queries

setting_option = click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A setting.")
secret_option = click.option(
    "--set-secret", "secrets", multiple=True, metavar="KEY", help="Asks; or KEY=@file, KEY=$VARIABLE."
)


@click.group()
def sink() -> None:
    """Connect systems that are told each line of the ledger, and each completion."""


@sink.command()
@click.argument("key", required=False)
@as_json
def kinds(key: str | None, as_json: bool) -> None:
    """List the systems that can be connected, and their settings; or those of one.

    Example: rmplugin sink kinds
    """
    with opened() as runtime:
        plugins = runtime.plugins
        document = [
            told_settings(one) | {"takes": sorted(one.takes), "takes_back": one.corrects}
            for one in (plugins.credit_sinks.values() if key is None else [plugins.credit_sink(key)])
        ]
    show(document, as_json=as_json, human=lambda rows: "\n\n".join(map(tell_plugin, rows)) or "(none)")


@sink.command()
@click.argument("name")
@click.option("--connector", required=True, metavar="KEY", help="See `rmplugin sink kinds`.")
@setting_option
@secret_option
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Also tell what was written from this day on (UTC); without it, what is written from now on.",
)
@as_json
@tenant_option
def add(
    name: str,
    connector: str,
    settings: tuple[str, ...],
    secrets: tuple[str, ...],
    since: datetime | None,
    as_json: bool,
    tenant: str | None,
) -> None:
    """Connect a system.

    \b
    Example: rmplugin sink add lrs --connector xapi --set endpoint=https://lrs.example/xapi
             --set user=KEY --set home_page=https://hr.example --set-secret password
    """
    plain = read_assignments(settings, "--set", "url=https://lrs.example")
    with opened() as runtime:
        known = runtime.plugins.credit_sink(connector)
    refuse_plain_secrets(known, plain)
    # Asked for before the transaction begins: nobody else should wait for what is being typed.
    values = plain | read_secrets(secrets)
    with tenant_transaction(tenant) as (runtime, db):
        box, day = runtime.database.secrets, since.replace(tzinfo=UTC) if since else None
        account = operations.add_account(db, name, known, values, box, runtime.clock(), since=day)
        document = {"name": name, "connector": connector, "takes_from": account.takes_from.isoformat()}
    show(
        document,
        as_json=as_json,
        human=lambda d: f"Added {d['name']}. Next: rmplugin sink check {shlex.quote(d['name'])}",
    )


@sink.command("set")
@click.argument("name")
@setting_option
@secret_option
@tenant_option
def set_(name: str, settings: tuple[str, ...], secrets: tuple[str, ...], tenant: str | None) -> None:
    """Change settings of an account; the others stay. Example: rmplugin sink set lrs --set-secret password"""
    plain = read_assignments(settings, "--set", "url=https://lrs.example")
    typed = read_secrets(secrets)
    with tenant_transaction(tenant) as (runtime, db):
        account = queries.get_account(db, name)
        known = runtime.plugins.credit_sink(account.sink)
        refuse_plain_secrets(known, plain)
        values = merged(account.settings, plain) | typed
        operations.change_account(db, account, known, values, runtime.database.secrets, runtime.clock())
    click.echo(f"Saved. Next: rmplugin sink check {shlex.quote(name)}")


@sink.command("list")
@as_json
@tenant_option
def list_(as_json: bool, tenant: str | None) -> None:
    """List the connected systems, and how many deliveries are in which state. Example: rmplugin sink list"""
    with tenant_transaction(tenant, write=False) as (runtime, db):
        shut = {brake.place_id: brake.shut_until for brake in queries.shut_brakes(db, runtime.clock())}
        counts = count_by_account(db)
        document = [
            {
                "name": row.name,
                "connector": row.sink,
                "takes_from": row.takes_from.isoformat(timespec="seconds"),
                "paused": row.paused_at is not None,
                "left_alone_until": _moment(shut.get(row.id)),
                "deliveries": counts.get(row.id, {}),
            }
            for row in queries.list_accounts(db)
        ]
    show(document, as_json=as_json)


def _moment(at: datetime | None) -> str | None:
    return at.isoformat(timespec="seconds") if at is not None else None


@sink.command()
@click.argument("name")
@as_json
@tenant_option
def check(name: str, as_json: bool, tenant: str | None) -> None:
    """Try an account without leaving anything there. Example: rmplugin sink check lrs"""
    with opened() as runtime:
        results = check_account(runtime, find_tenant(runtime, tenant).id, name)
    document: list[dict[str, Any]] = [
        {"what": result.what, "ok": result.ok, "advice": result.advice} for result in results
    ]
    show(document, as_json=as_json, human=lambda _rows: "\n".join(map(_line, results)))
    if not all(result.ok for result in results):
        raise click.exceptions.Exit(1)


@sink.command()
@click.argument("name")
@tenant_option
def pause(name: str, tenant: str | None) -> None:
    """Send nothing more to an account; what it is to be told is kept. Example: rmplugin sink pause lrs"""
    with tenant_transaction(tenant) as (runtime, db):
        operations.pause(db, queries.get_account(db, name), runtime.clock())
    click.echo(f"Paused. Nothing is lost. To go on: rmplugin sink resume {shlex.quote(name)}")


@sink.command()
@click.argument("name")
@tenant_option
def resume(name: str, tenant: str | None) -> None:
    """Go on with an account that was paused, or that refused something. Example: rmplugin sink resume lrs"""
    with tenant_transaction(tenant) as (runtime, db):
        refused = resume_account(db, queries.get_account(db, name), "command", runtime.clock())
    click.echo(f"It goes on. {refused} that were refused are sent once more.")


@sink.command()
@click.argument("name")
@click.confirmation_option(prompt="Forget this account and what it was told? The other system keeps it.")
@tenant_option
def remove(name: str, tenant: str | None) -> None:
    """Forget an account; the other system keeps what it has. Example: rmplugin sink remove lrs --yes"""
    with tenant_transaction(tenant) as (runtime, db):
        operations.remove(db, queries.get_account(db, name), runtime.clock())
    click.echo("Removed.")


commands = (sink,)
