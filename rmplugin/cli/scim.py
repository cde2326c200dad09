"""Commands for identity providers that push people by SCIM."""

import click

from rmplugin.cli.common import as_json, show, tenant_option, tenant_transaction
from rmplugin.scim import operations
from rmplugin.scim.store import KEY
from rmplugin.scim.views import PATH
from rmplugin.tenants import queries


@click.group()
def scim() -> None:
    """Let an identity provider push its people."""


@scim.command()
@click.argument("name")
@as_json
@tenant_option
def token(name: str, as_json: bool, tenant: str | None) -> None:
    """Make a token for an HR account, and the account when there is none. It is shown once.

    Older tokens stay good until `rmplugin scim revoke`, so that they can be changed without a gap.

    \b
    Example:
      rmplugin scim token entra
    """
    with tenant_transaction(tenant) as (runtime, db):
        made = operations.issue_token(
            db, name, runtime.plugins.connector(KEY), runtime.database.secrets, runtime.clock()
        )
        document = {"token": made, "url": f"{runtime.settings.public_url.rstrip('/')}{PATH}"}
    show(document, as_json=as_json)


@scim.command()
@click.argument("name")
@click.option("--all", "everything", is_flag=True, help="The newest token, too.")
@as_json
@tenant_option
def revoke(name: str, everything: bool, as_json: bool, tenant: str | None) -> None:
    """Make all but the newest token useless. Example: rmplugin scim revoke entra"""
    with tenant_transaction(tenant) as (runtime, db):
        account = queries.get_account(db, name)
        number = operations.revoke_tokens(db, account, runtime.clock(), keep_newest=not everything)
    show({"revoked": number}, as_json=as_json)


commands = (scim,)
