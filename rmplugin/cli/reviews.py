"""Commands for matchmaking reviews."""

import uuid
from datetime import UTC, datetime

import click

from rmplugin.cli.common import as_json, show, tenant_option, tenant_transaction
from rmplugin.programmes.queries import find_programme
from rmplugin.reviews import operations, queries


@click.group()
def review() -> None:
    """List, show and decide reviews of the matching."""


@review.command("list")
@click.argument("programme")
@as_json
@tenant_option
def list_reviews(programme: str, as_json: bool, tenant: str | None) -> None:
    """List the reviews of a programme. Example: rmplugin review list "Digital 2027" --json"""
    with tenant_transaction(tenant, write=False) as (_runtime, db):
        found = queries.list_reviews(db, find_programme(db, programme).id)
        names = ("review_id", "alarm", "state", "opened_at", "owner", "rule_set_after")
        rows = [{name: queries.review_document(row)[name] for name in names} for row in found]
    show(rows, as_json=as_json)


@review.command("show")
@click.argument("review_id", metavar="ID", type=click.UUID)
@as_json
@tenant_option
def show_review(review_id: uuid.UUID, as_json: bool, tenant: str | None) -> None:
    """Show a review with its evidence; small counts are hidden. Example: rmplugin review show 0190… --json"""
    with tenant_transaction(tenant, write=False) as (_runtime, db):
        document = queries.review_document(queries.get_review(db, review_id))
    show(document, as_json=as_json)


@review.command()
@click.argument("review_id", metavar="ID", type=click.UUID)
@click.option("--finding", required=True, help="What is wrong with the matching, or that nothing is.")
@click.option("--change", required=True, help="What will be done differently.")
@click.option("--rule-set", required=True, type=int, help="The version of the rules from now on.")
@click.option(
    "--programme",
    help="Whose version that is; without it this programme's, and of those that follow in the course.",
)
@click.option("--owner", required=True, help="Who sees to it.")
@click.option("--date", "decided_on", type=click.DateTime(["%Y-%m-%d"]), required=True, help="Decided on.")
@as_json
@tenant_option
def decide(
    review_id: uuid.UUID,
    finding: str,
    change: str,
    rule_set: int,
    programme: str | None,
    owner: str,
    decided_on: datetime,
    as_json: bool,
    tenant: str | None,
) -> None:
    """Record the decision of a review; it cannot be changed afterwards.

    Example: rmplugin review decide 0190… --finding "Too few languages" --change "Two in common" --rule-set 2
    --owner "Ada Park" --date 2027-02-01
    """
    with tenant_transaction(tenant) as (runtime, db):
        row = queries.get_review(db, review_id)
        operations.decide(
            db,
            row,
            finding=finding,
            change=change,
            rule_set=rule_set,
            programme=find_programme(db, programme) if programme else None,
            owner=owner,
            decided_on=decided_on.replace(tzinfo=UTC).date(),
            actor="command",
            now=runtime.clock(),
        )
        document = queries.review_document(row)
    show(document, as_json=as_json)


commands = (review,)
