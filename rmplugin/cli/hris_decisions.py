"""Commands with which a person decides about the roster of an HR system: a held run, and who is who."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import click

from rmplugin.cli.common import as_json, show, tenant_option, tenant_transaction
from rmplugin.cli.hris import hris
from rmplugin.errors import ConflictError
from rmplugin.hris.queries import doubles_of, find_open_run, get_person
from rmplugin.people import operations as people
from rmplugin.tenants import queries


@hris.command()
@click.argument("name")
@as_json
@tenant_option
def accept(name: str, as_json: bool, tenant: str | None) -> None:
    """Accept the run that is held; the worker applies it. Example: rmplugin hris accept people"""
    _decide(
        name,
        people.accept_run,
        "Accepted. The worker reads the source once more and applies it.",
        as_json,
        tenant,
    )


@hris.command()
@click.argument("name")
@as_json
@tenant_option
def drop(name: str, as_json: bool, tenant: str | None) -> None:
    """Decide against the run that is held; nobody is changed. Example: rmplugin hris drop people"""
    _decide(name, people.drop_run, "Dropped. Nobody was changed.", as_json, tenant)


def _decide(name: str, verb: Callable[..., Any], said: str, as_json: bool, tenant: str | None) -> None:
    with tenant_transaction(tenant) as (runtime, db):
        run = find_open_run(db, queries.get_account(db, name).id)
        if run is None:
            raise ConflictError("no_held_run", f"No run of '{name}' is held. Nothing was changed.")
        verb(db, run, "command", runtime.clock())
        document = {"run_id": str(run.id), "account": name, "decision": verb.__name__.removesuffix("_run")}
    show(document, as_json=as_json, human=lambda _document: said)


@hris.command()
@click.argument("name")
@click.argument("person", required=False)
@as_json
@tenant_option
def split(name: str, person: str | None, as_json: bool, tenant: str | None) -> None:
    """List who is taken for somebody of another account, or say that PERSON (an id) is a person of their own.

    \b
    Example: rmplugin hris split people 01a21656-1387-76ac-958d-40d0a5930757
    """
    with tenant_transaction(tenant, write=person is not None) as (runtime, db):
        account = queries.get_account(db, name)
        if person is not None:
            row = get_person(db, account.id, _person_id(person))
            people.split_person(db, row, "command", runtime.clock())
        document = [
            {
                "person_id": str(row.person_id),
                "name": row.name,
                "same_as": str(row.other_id),
                "account": row.account,
            }
            for row in doubles_of(db, account.id)
        ]
    if person is not None:
        click.echo("They are two people from now on, whatever the HR systems say.", err=True)
    show(document, as_json=as_json)


def _person_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise click.UsageError("PERSON is an id: `rmplugin hris split NAME` lists them.") from error


commands = (hris,)
