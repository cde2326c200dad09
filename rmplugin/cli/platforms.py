"""Commands for learning platforms."""

from collections.abc import Callable
from typing import Any, TextIO

import click

from lti.printed import Printed, read_printed
from rmplugin.cli.common import as_json, find_tenant, opened, show, tenant_option, tenant_transaction
from rmplugin.cli.setup import _line
from rmplugin.errors import NotFoundError
from rmplugin.records import IDENTITY_SOURCES
from rmplugin.tenants import invites, operations, queries
from rmplugin.tenants.operations import FAMILIES
from rmplugin.tenants.tasks import check_platform


@click.group()
def platform() -> None:
    """Connect learning platforms (LTI 1.3)."""


def _recognition(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options about how people are recognised."""
    options = (
        click.option(
            "--employee-number-param",
            "employee_number_params",
            multiple=True,
            help="Custom parameter that carries the employee number; default: employee_number, emp, hr_id.",
        ),
        click.option(
            "--identity-source",
            "identity_sources",
            multiple=True,
            type=click.Choice(IDENTITY_SOURCES),
            help="Where the HR identity may be looked for; repeat it in the order to try. Default: all.",
        ),
        click.option(
            "--allow-anonymous/--no-allow-anonymous",
            default=None,
            help="Take launches that do not say who the user is. Default: no.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@platform.command()
@click.option("--name", required=True, help="Your name for it.")
@click.option(
    "--from",
    "source",
    type=click.File(encoding="utf-8-sig"),
    metavar="FILE",
    help="Text copied from the LMS' page, or JSON; - reads it from the terminal. Options win over it.",
)
@click.option("--issuer", help="Issuer (platform id), exactly as the LMS prints it.")
@click.option("--client-id")
@click.option("--auth-url", help="Authentication request URL.")
@click.option("--token-url", help="Access token URL.")
@click.option("--jwks-url", help="Public key set URL.")
@click.option(
    "--deployment-id",
    "deployment_ids",
    multiple=True,
    help="May be given several times; others wait for approval.",
)
@click.option(
    "--family",
    help=f"{', '.join(FAMILIES)}, or one that a plug-in brings. Default: told by --from, else generic.",
)
@click.option("--token-audience", help="Only when the LMS wants another audience than its token URL.")
@_recognition
@as_json
@tenant_option
def add(source: TextIO | None, as_json: bool, tenant: str | None, **typed: Any) -> None:
    """Register the tool with a platform by hand, with the values that the LMS prints.

    \b
    Examples (Moodle):
      rmplugin platform add --name moodle --from copied.txt
      rmplugin platform add --name moodle --family moodle --issuer https://moodle.example.com \\
        --client-id AbC123 --deployment-id 1 --auth-url https://moodle.example.com/mod/lti/auth.php \\
        --token-url https://moodle.example.com/mod/lti/token.php --jwks-url https://moodle.example.com/mod/lti/certs.php
    """
    printed = read_printed(_read(source), typed["family"]) if source is not None else Printed()
    lacking = [name for name in printed.missing if not typed[name]]
    if source is None and lacking:
        options = ", ".join("--" + name.replace("_", "-") for name in lacking)
        raise click.UsageError(f"Give {options}, or --from FILE with what the LMS prints.")
    values = operations.merge_values(printed, typed)
    with tenant_transaction(tenant) as (runtime, db):
        known = {*FAMILIES, *runtime.plugins.quirks}
        if values.family not in known:
            raise click.BadParameter(f"choose one of {', '.join(sorted(known))}", param_hint="--family")
        row = operations.add_platform(db, values, runtime.clock())
        tool = invites.describe_tool(runtime.settings.public_url)
    document = {
        "name": row.name,
        "issuer": row.issuer,
        "client_id": row.client_id,
        "deployments": list(values.deployment_ids),
        "tool": {name: getattr(tool, name) for name in ("login_url", "launch_url", "jwks_url")},
    }
    show(
        document,
        as_json=as_json,
        human=lambda d: (
            f"Added {d['name']}. Enter these in the LMS:\n"
            + "\n".join(f"  {name:<11} {url}" for name, url in d["tool"].items())
        ),
    )


def _read(source: TextIO) -> str:
    try:
        return source.read()
    except UnicodeDecodeError as error:
        raise click.UsageError("--from: the file is not UTF-8 text. Save it as UTF-8.") from error


@platform.command()
@click.argument("name")
@click.option("--auth-url", help="Authentication request URL.")
@click.option("--token-url", help="Access token URL.")
@click.option("--jwks-url", help="Public key set URL.")
@click.option("--family", type=click.Choice(FAMILIES))
@click.option("--token-audience", help="Only when the LMS wants another audience than its token URL.")
@_recognition
@tenant_option
def change(name: str, tenant: str | None, **typed: Any) -> None:
    """Change a registration's addresses, or how its people are recognised; what is not named stays.

    \b
    Example:
      rmplugin platform change canvas --identity-source sourcedid --identity-source email --no-allow-anonymous
    """
    changes = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in typed.items()
        if value not in (None, ())
    }
    if not changes:
        raise click.UsageError("Name at least one thing to change; see --help.")
    with tenant_transaction(tenant) as (runtime, db):
        row = queries.get_platform(db, name)
        operations.change_platform(db, row, changes, "command", runtime.clock())
    click.echo(f"Changed {', '.join(sorted(changes))}. Running servers know it within ten seconds.")


@platform.command()
@click.option("--name", help="Your name for the LMS; default: its own.")
@as_json
@tenant_option
def invite(name: str | None, as_json: bool, tenant: str | None) -> None:
    """Make an address with which an LMS registers the tool by itself, once, within seven days.

    Example: rmplugin platform invite --name moodle --json
    """
    with tenant_transaction(tenant) as (runtime, db):
        token, row = invites.create_invite(db, name, "command", runtime.clock())
        base = runtime.settings.public_url
    document = {"url": f"{base}/lti/register/{token}", "expires_at": row.expires_at.isoformat()}
    show(
        document,
        as_json=as_json,
        human=lambda d: (
            f"{d['url']}\n\nGive it to the administrator of the LMS, like a password. Opened in a browser, "
            f"it says where\nto paste it. It works once, until {d['expires_at']}, and is shown only now."
        ),
    )


@platform.command("list")
@as_json
@tenant_option
def list_(as_json: bool, tenant: str | None) -> None:
    """List the registered platforms. Example: rmplugin platform list --json"""
    with tenant_transaction(tenant, write=False) as (_runtime, db):
        document = [
            {
                "name": row.name,
                "family": row.family,
                "issuer": row.issuer,
                "client_id": row.client_id,
                "deployments": {d.deployment_id: d.state for d in deployments},
            }
            for row, deployments in queries.platforms_with_deployments(db)
        ]
    show(document, as_json=as_json)


@platform.command()
@click.argument("name")
@click.argument("deployment_id", required=False)
@tenant_option
def approve(name: str, deployment_id: str | None, tenant: str | None) -> None:
    """Let a deployment launch; without an id, all that wait. Example: rmplugin platform approve moodle 7"""
    with tenant_transaction(tenant) as (runtime, db):
        row = queries.get_platform(db, name)
        approved = operations.approve_deployments(db, row, deployment_id, "command", runtime.clock())
    click.echo(f"Approved: {', '.join(approved)}." if approved else "No deployment was waiting.")


@platform.command()
@click.argument("name")
@click.argument("deployment_id")
@tenant_option
def refuse(name: str, deployment_id: str, tenant: str | None) -> None:
    """Forget a deployment that waits for approval. Example: rmplugin platform refuse blackboard ea4e4459"""
    with tenant_transaction(tenant) as (runtime, db):
        row = queries.get_platform(db, name)
        found = [d for d in queries.list_deployments(db, row.id) if d.deployment_id == deployment_id]
        if not found:
            raise NotFoundError("deployment", typed=deployment_id)
        operations.refuse_deployment(db, found[0], "command", runtime.clock())
    click.echo("Refused. If it launches again, it waits again.")


@platform.command()
@click.argument("name")
@click.option("--read-only", is_flag=True, help="Leave the gradebook alone: make no test column.")
@as_json
@tenant_option
def check(name: str, read_only: bool, as_json: bool, tenant: str | None) -> None:
    """Try the whole handshake and say which setting to change; ends with 1 when there is one.

    In the course that was opened last, a gradebook column "self-test" is made, written for one learner, read
    and deleted again, on platforms where nobody sees it. Example: rmplugin platform check moodle --json
    """
    with opened() as runtime:
        tenant_id = find_tenant(runtime, tenant).id
        findings = check_platform(runtime, tenant_id, name, read_only=read_only)
    rows: list[dict[str, Any]] = [finding._asdict() for finding in findings]
    show(rows, as_json=as_json, human=lambda _rows: "\n".join(map(_line, findings)))
    if not all(finding.ok for finding in findings):
        raise click.exceptions.Exit(1)


@platform.command()
@click.argument("name")
@click.confirmation_option(prompt="Forget this platform, its courses and its users' links?")
@tenant_option
def remove(name: str, tenant: str | None) -> None:
    """Forget a platform; programmes and credits stay. Example: rmplugin platform remove moodle --yes"""
    with tenant_transaction(tenant) as (runtime, db):
        operations.remove_platform(db, queries.get_platform(db, name), runtime.clock())
    click.echo("Removed.")


@platform.command()
@click.argument("name", required=False)
@click.option("--refused", is_flag=True, help="Only those that were refused.")
@click.option("--reference", help="What the person read on the page.")
@as_json
@tenant_option
def launches(
    name: str | None, refused: bool, reference: str | None, as_json: bool, tenant: str | None
) -> None:
    """Say why launches were refused, and what accepted ones lack. The newest hundred of fourteen days.

    Those without a known registration are listed unless a platform is named.
    Example: rmplugin platform launches --reference K7QX2MHB
    """
    with tenant_transaction(tenant, write=False) as (_runtime, db):
        names = {row.id: row.name for row in queries.list_platforms(db)}
        found = queries.list_attempts(
            db,
            nobodys=name is None,
            refused=refused,
            platform_id=queries.get_platform(db, name).id if name else None,
            reference=reference,
        )
    document = [
        {
            "at": row.at.isoformat(timespec="seconds"),
            "reference": row.reference,
            "platform": names.get(row.platform_id) if row.platform_id else None,
            "stage": row.stage,
            "code": row.code,
            "diagnosis": queries.explain_attempt(row),
            "details": row.details,
            "claims": row.claims,
        }
        for row in found
    ]
    show(document, as_json=as_json, human=_launch_lines)


def _launch_lines(document: list[dict[str, Any]]) -> str:
    lines = []
    for row in document:
        facts = (row["at"], row["reference"], row["platform"] or "(unknown platform)", row["code"])
        lines += ["  ".join(facts), *(f"    {sentence}" for sentence in row["diagnosis"])]
    return "\n".join(lines) or "(none)"


commands = (platform,)
