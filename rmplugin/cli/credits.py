"""Commands for the ledger and for deliveries to other systems."""

import sys
import uuid
from typing import Any

import click
import marshmallow as ma

from rmplugin.cli.common import as_json, find_tenant, opened, show, table, tenant_option, tenant_transaction
from rmplugin.credits import exports, operations, queries
from rmplugin.credits.forms import AdjustForm, ReasonForm
from rmplugin.credits.models import CreditEntry
from rmplugin.credits.reconciling import compare_platform
from rmplugin.credits.tasks import deliver_now
from rmplugin.errors import InputError, NotFoundError
from rmplugin.fields import plain_words
from rmplugin.jobs import Runtime, revive_dead
from rmplugin.people.queries import find_person
from rmplugin.programmes.queries import find_programme
from rmplugin.shapes import SHAPES
from rmplugin.tenants.queries import get_platform
from rmplugin.texts import Text

STATES = ("pending", "in_flight", "delivered", "retry", "blocked", "superseded", "needs_human", "dead")
SHOWN = ("id", "sink", "person", "state", "attempts", "last_status", "sent_at", "last_error")


@click.group("credits")
def group() -> None:
    """Look at learning credits and at what was sent to the LMS."""


@group.command("show")
@click.argument("person")
@as_json
@tenant_option
def show_person(person: str, as_json: bool, tenant: str | None) -> None:
    """Show a person's ledger and completion. Example: rmplugin credits show 10042 --json"""
    with tenant_transaction(tenant, write=False) as (_runtime, db):
        document = queries.report_person(db, find_person(db, person))
    show(document, as_json=as_json, human=_tell)


def _tell(document: dict[str, Any]) -> str:
    names = ("id", "session_at", "kind", "role", "minutes", "amount_hundredths", "unit")
    rows = [{name: entry[name] for name in names} for entry in document["entries"]]
    reached = (
        f"{one['name']}: {one['percent']} %" + (f", completed {one['met_at'][:10]}" if one["met_at"] else "")
        for one in document["programmes"]
    )
    head = f"{document['person']}: {document['minutes']} minutes that count"
    return "\n".join((head, *reached, table(rows)))


@group.command()
@click.argument("entry", type=click.UUID)
@click.option("--reason", required=True, help="The person reads it; it can never be changed.")
@as_json
@tenant_option
def reverse(entry: uuid.UUID, reason: str, as_json: bool, tenant: str | None) -> None:
    """Take an award back. Example: rmplugin credits reverse 0190… --reason Cancelled"""
    values = _load(ReasonForm(), reason=reason)
    with tenant_transaction(tenant) as (runtime, db):
        line = db.get(CreditEntry, entry)
        if line is None:
            raise NotFoundError("credit entry")
        back = operations.reverse(
            db, line, "command", values["reason"], runtime.clock(), **_counting(runtime)
        )
        document = {"id": str(back.id), "reverses": str(entry), "minutes": back.minutes}
    show(document, as_json=as_json)


@group.command()
@click.argument("person")
@click.argument("programme")
@click.option("--minutes", type=int, required=True, help="Negative takes off.")
@click.option("--reason", required=True, help="The person reads it; it can never be changed.")
@as_json
@tenant_option
def adjust(person: str, programme: str, minutes: int, reason: str, as_json: bool, tenant: str | None) -> None:
    """Add minutes to a person's credit, or take some off.

    \b
    Example:
      rmplugin credits adjust 10042 "Digital 2027" --minutes 45 --reason "A workshop, too."
    """
    values = _load(AdjustForm(), reason=reason, minutes=minutes)
    with tenant_transaction(tenant) as (runtime, db):
        line = operations.adjust(
            db,
            find_programme(db, programme),
            find_person(db, person).id,
            values["minutes"],
            "command",
            values["reason"],
            runtime.clock(),
            **_counting(runtime),
        )
        document = {"id": str(line.id), "minutes": line.minutes}
    show(document, as_json=as_json)


def _load(form: ma.Schema, **values: Any) -> dict[str, Any]:
    try:
        return dict(form.load(values))
    except ma.ValidationError as error:
        said = "; ".join(str(plain_words(text)) for texts in error.messages_dict.values() for text in texts)
        raise InputError("bad_value", Text(said)) from error


def _counting(runtime: Runtime) -> dict[str, Any]:
    return {"sinks": tuple(runtime.plugins.sinks.values()), "policies": runtime.plugins.policies}


@group.command()
@click.option("--wait", is_flag=True, help="Go on until nothing is due, ten minutes at most.")
@click.option("--revive", is_flag=True, help="First take up again what was given up; see `rmplugin doctor`.")
@as_json
@tenant_option
def deliver(wait: bool, revive: bool, as_json: bool, tenant: str | None) -> None:
    """Do the worker's round now: give events their effects and send what is due.

    Example: rmplugin credits deliver --wait
    """
    if revive:
        with tenant_transaction(tenant) as (runtime, db):
            revive_dead(db, runtime.clock())
    with opened() as runtime:
        document = deliver_now(runtime, wait_seconds=600.0 if wait else 0.0)
    show(document, as_json=as_json, human=_tell_round)


def _tell_round(document: dict[str, Any]) -> str:
    done = ", ".join(f"{count} {state}" for state, count in document["states"].items())
    left = f" {document['open']} are still on their way." if document["open"] else ""
    return f"{done or 'Nothing was due'}.{left}"


@group.command()
@click.option("--state", type=click.Choice(STATES), help="Only these; default: all but superseded.")
@as_json
@tenant_option
def deliveries(state: str | None, as_json: bool, tenant: str | None) -> None:
    """List deliveries. Example: rmplugin credits deliveries --state blocked"""
    with tenant_transaction(tenant, write=False) as (_runtime, db):
        document = queries.report_deliveries(db, state)
    show(document, as_json=as_json, human=lambda rows: table([{n: row[n] for n in SHOWN} for row in rows]))


@group.command()
@click.argument("delivery", metavar="ID", type=click.UUID)
@tenant_option
def retry(delivery: uuid.UUID, tenant: str | None) -> None:
    """Send a delivery again, because the obstacle is gone. Example: rmplugin credits retry 0190…"""
    with tenant_transaction(tenant) as (runtime, db):
        operations.retry(db, queries.get_delivery(db, delivery), "command", runtime.clock())
    click.echo("It is sent with the worker's next round, or at once with `rmplugin credits deliver`.")


@group.command("by-hand")
@click.argument("delivery", metavar="ID", type=click.UUID)
@tenant_option
def by_hand(delivery: uuid.UUID, tenant: str | None) -> None:
    """Say that what a system could not do was done there by hand. Example: rmplugin credits by-hand 0190…"""
    with tenant_transaction(tenant) as (runtime, db):
        operations.done_by_hand(db, queries.get_delivery(db, delivery), "command", runtime.clock())
    click.echo("Noted. It counts as delivered.")


@group.command()
@click.option(
    "--format",
    "shape",
    type=click.Choice(["csv", *(key for key in SHAPES if key != "generic")]),
    default="csv",
    show_default=True,
    help="csv: the ledger as it is; else credits and completions as that system imports them.",
)
@click.option("--by-mail", is_flag=True, help="That system knows people by e-mail, not by employee number.")
@tenant_option
def export(shape: str, by_mail: bool, tenant: str | None) -> None:
    """Write the ledger to standard output. Example: rmplugin credits export --format csv > credits.csv"""
    with tenant_transaction(tenant, write=False) as (_runtime, db):
        if shape == "csv":
            exports.export_csv(db, sys.stdout)
            return
        content, left_out = exports.export_shape(db, shape, by_mail=by_mail)
    sys.stdout.write(content.decode())
    if left_out:
        said = "without employee number or e-mail address, or taken off where the system takes nothing off"
        click.echo(f"{left_out} lines were left out: {said}.", err=True)


@group.command()
@click.argument("platform")
@click.option("--dry-run", is_flag=True, help="Only look: nothing is sent again, nothing is kept.")
@as_json
@tenant_option
def reconcile(platform: str, dry_run: bool, as_json: bool, tenant: str | None) -> None:
    """Read a platform's gradebooks, compare them with what they were told, repair what is ours.

    A grade that a teacher gave is never overwritten: it is listed. The worker does the same every night.
    Example: rmplugin credits reconcile moodle --dry-run
    """
    with opened() as runtime:
        owner = find_tenant(runtime, tenant)
        with runtime.database.transaction(owner.id, write=False) as db:
            row = get_platform(db, platform)
        document = compare_platform(runtime, owner.id, row.id, dry_run=dry_run)
    show(document, as_json=as_json, human=_tell_comparison)


def _tell_comparison(document: dict[str, Any]) -> str:
    names = {"equal": "equal", "repaired": "sent again", "reported": "left to people"}
    names |= {"on_its_way": "on their way", "blocked": "blocked"}
    if document["dry_run"]:
        names["repaired"] = "would be sent again"
    counts = ", ".join(f"{document['people'][key]} {name}" for key, name in names.items())
    shown = ("course", "person", "kind", "ours", "theirs", "times")
    lines = table([{name: one[name] for name in shown} for one in document["differences"]])
    says = {one["kind"]: one["says"] for one in document["differences"]}
    words = "\n".join(f"{kind}: {text}" for kind, text in says.items())
    return f"{counts}\n{lines}\n{words}" if document["differences"] else f"{counts}\nNothing differs."


commands = (group,)
