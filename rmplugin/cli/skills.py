"""Commands for the catalogue of skills."""

from pathlib import Path

import click

from rmplugin.cli.common import as_json, read_file, show, table, tenant_option, tenant_transaction
from rmplugin.skills import files, operations, queries


@click.group()
def skills() -> None:
    """Take skills of ESCO, O*NET or a company's own table into the catalogue."""


@skills.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--format", "form", type=click.Choice(files.FORMATS), help="Found out by the columns otherwise."
)
@click.option("--scheme", default="company", show_default=True, help="Name of a company's own catalogue.")
@as_json
@tenant_option
def import_file(file: Path, form: str | None, scheme: str, as_json: bool, tenant: str | None) -> None:
    """Take a file of skills into the catalogue; the same file again changes nothing.

    \b
    ESCO: skills_en.csv (or another language). O*NET: Skills.txt, Technology Skills.txt.
    A company's own table: name, and if you like code, kind (skill, perspective), theme.
    Bad rows are listed and skipped, good ones kept. Nothing is ever removed.
    Example: rmplugin skills import skills_de.csv --format esco
    """
    if scheme in ("own", "esco", "onet"):
        raise click.UsageError(f"--scheme {scheme} stands for another catalogue; choose another name.")
    text = read_file(file)
    with tenant_transaction(tenant) as (runtime, db):
        report = operations.import_skills(db, text, form, "command", runtime.clock(), scheme)
    show(
        report.as_json(),
        as_json=as_json,
        human=lambda r: (
            f"{r['created']} new, {r['renamed']} renamed, {r['adopted']} of our own got a code, "
            f"{r['unchanged']} known, of {r['seen']} rows.\n" + table(r["skipped"])
        ),
    )
    if report.skipped:
        raise click.exceptions.Exit(1)


@skills.command("list")
@as_json
@tenant_option
def list_(as_json: bool, tenant: str | None) -> None:
    """List the catalogues and how many skills each has. Example: rmplugin skills list"""
    with tenant_transaction(tenant, write=False) as (_runtime, db):
        document = queries.count_by_scheme(db)
    show(document, as_json=as_json)


commands = (skills,)
