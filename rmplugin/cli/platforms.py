"""Commands for learning platforms."""

from typing import Any

import click

from rmplugin.cli.common import as_json, find_tenant, opened, show, tenant_option, tenant_transaction
from rmplugin.cli.setup import _line
from rmplugin.tenants import operations, queries
from rmplugin.tenants.operations import FAMILIES, PlatformValues
from rmplugin.tenants.tasks import check_platform


@click.group()
def platform() -> None:
    """Connect learning platforms (LTI 1.3)."""


@platform.command()
@click.option("--name", required=True, help="Your name for it.")
@click.option("--issuer", required=True, help="Issuer (platform id), exactly as the LMS prints it.")
@click.option("--client-id", required=True)
@click.option("--auth-url", required=True, help="Authentication request URL.")
@click.option("--token-url", required=True, help="Access token URL.")
@click.option("--jwks-url", required=True, help="Public key set URL.")
@click.option("--deployment-id", multiple=True, help="May be given several times; others wait for approval.")
@click.option(
    "--family",
    default="generic",
    show_default=True,
    help=f"{', '.join(FAMILIES)}, or one that a plug-in brings.",
)
@click.option("--token-audience", help="Only when the LMS wants another audience than its token URL.")
@click.option(
    "--employee-number-param",
    multiple=True,
    help="Custom parameter that carries the employee number; default: employee_number, emp, hr_id.",
)
@as_json
@tenant_option
def add(
    deployment_id: tuple[str, ...],
    employee_number_param: tuple[str, ...],
    as_json: bool,
    tenant: str | None,
    **values: str,
) -> None:
    """Register the tool with a platform by hand, with the values that the LMS prints.

    \b
    Example (Moodle):
      rmplugin platform add --name moodle --family moodle --issuer https://moodle.example.com \\
        --client-id AbC123 --deployment-id 1 --auth-url https://moodle.example.com/mod/lti/auth.php \\
        --token-url https://moodle.example.com/mod/lti/token.php --jwks-url https://moodle.example.com/mod/lti/certs.php
    """
    params = employee_number_param or operations.EMPLOYEE_NUMBER_PARAMS
    with tenant_transaction(tenant) as (runtime, db):
        known = {*FAMILIES, *runtime.plugins.quirks}
        if values["family"] not in known:
            raise click.BadParameter(f"choose one of {', '.join(sorted(known))}", param_hint="--family")
        row = operations.add_platform(
            db,
            PlatformValues(deployment_ids=deployment_id, employee_number_params=params, **values),
            runtime.clock(),
        )
        base = runtime.settings.public_url
    document = {
        "name": row.name,
        "issuer": row.issuer,
        "client_id": row.client_id,
        "deployments": list(deployment_id),
        "tool": {
            "login_url": f"{base}/lti/login",
            "launch_url": f"{base}/lti/launch",
            "jwks_url": f"{base}/lti/jwks",
        },
    }
    show(
        document,
        as_json=as_json,
        human=lambda d: (
            f"Added {d['name']}. Enter these in the LMS:\n"
            + "\n".join(f"  {name:<11} {url}" for name, url in d["tool"].items())
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
                "deployments": {d.deployment_id: d.state for d in queries.list_deployments(db, row.id)},
            }
            for row in queries.list_platforms(db)
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
