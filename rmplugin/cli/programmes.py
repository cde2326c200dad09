"""Commands for programmes and enrolments, and for people's data."""

from pathlib import Path

import click

from rmplugin import audit
from rmplugin.cli.common import (
    as_json,
    find_tenant,
    opened,
    read_assignments,
    read_file,
    show,
    table,
    tenant_option,
    tenant_transaction,
)
from rmplugin.data_requests.operations import erase_person, tell_exported
from rmplugin.data_requests.queries import export_person
from rmplugin.people import side_lines
from rmplugin.people.queries import find_person
from rmplugin.programmes import operations, queries
from rmplugin.programmes.catalogue import TEMPLATES
from rmplugin.programmes.imports import import_enrolments, read_enrolment_rows

PERSON_FIELDS = (
    "id",
    "employee_number",
    "display_name",
    "email",
    "job_title",
    "grade",
    "seniority_rank",
    "department",
    "location",
    "time_zone",
    "manager_id",
    "manager_state",
    "status",
    "lifecycle",
    "hire_date",
)


@click.group()
def programme() -> None:
    """Create programmes and enrol people without a screen."""


@programme.command()
@click.option("--template", required=True, help="See `rmplugin programme templates`.")
@click.option("--name", required=True)
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Another value than the template's."
)
@click.option("--open", "is_open", is_flag=True, help="Open enrolment at once.")
@as_json
@tenant_option
def create(
    template: str, name: str, settings: tuple[str, ...], is_open: bool, as_json: bool, tenant: str | None
) -> None:
    """Create a programme from a template.

    \b
    Example:
      rmplugin programme create --template digital_fluency --name "Digital 2027" --set session_minutes=45
      rmplugin programme create --template digital_fluency --name "Board" --set policy=cpe50
    """
    values = read_assignments(settings, "--set", "session_minutes=45") | {"name": name}
    with tenant_transaction(tenant) as (runtime, db):
        now = runtime.clock()
        row = operations.create_programme(db, template, values, "command", now)
        runtime.plugins.check_policy(row.policy)
        if is_open:
            operations.change_state(db, row, "enrolling", "command", now)
        document = {"id": str(row.id), "name": row.name, "template": row.template, "state": row.state}
    show(document, as_json=as_json)


@programme.command()
@as_json
def templates(as_json: bool) -> None:
    """List the templates. Example: rmplugin programme templates"""
    show([{"key": row.key, "name": row.name} for row in TEMPLATES], as_json=as_json)


@programme.command("list")
@as_json
@tenant_option
def list_(as_json: bool, tenant: str | None) -> None:
    """List the programmes. Example: rmplugin programme list --json"""
    with tenant_transaction(tenant, write=False) as (_runtime, db):
        document = queries.list_programmes_report(db)
    show(document, as_json=as_json)


@programme.command("import-enrolments")
@click.argument("programme")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@as_json
@tenant_option
def import_people(programme: str, file: Path, as_json: bool, tenant: str | None) -> None:
    """Enrol people from a CSV file; bad rows are listed and skipped, good ones kept.

    \b
    Columns: employee_number or email, role, offers ("Skill:level|Skill:level"),
    wants ("Skill:level:priority|…"), languages, motivation, motivation_level,
    capacity, work_from, work_to, work_days, time_zone.
    Example: rmplugin programme import-enrolments "Digital 2027" people.csv
    """
    rows = read_enrolment_rows(read_file(file))
    with opened() as runtime:
        tenant_id = find_tenant(runtime, tenant).id
        with runtime.database.transaction(tenant_id) as db:
            found = queries.find_programme(db, programme)
            report = import_enrolments(db, found, rows, "command", runtime.clock())
    show(
        report.as_json(),
        as_json=as_json,
        human=lambda r: (
            f"{r['created']} enrolled, {r['updated']} updated, of {r['seen']} rows.\n" + table(r["skipped"])
        ),
    )
    if report.skipped:
        raise click.exceptions.Exit(1)


@click.group()
def person() -> None:
    """Look a person up; keep people apart."""


@person.command("show")
@click.argument("reference")
@as_json
@tenant_option
def show_person(reference: str, as_json: bool, tenant: str | None) -> None:
    """Show what the roster says about a person: employee number, e-mail address or id.

    Example: rmplugin person show 10042 --json
    """
    with tenant_transaction(tenant, write=False) as (_runtime, db):
        row = find_person(db, reference)
        document = {name: getattr(row, name) for name in PERSON_FIELDS}
    show(document, as_json=as_json)


@person.command("export")
@click.argument("reference")
@as_json
@tenant_option
def export(reference: str, as_json: bool, tenant: str | None) -> None:
    """Print everything that is held about a person, what they wrote included: hand it to nobody else.

    They are told. By employee number, e-mail address or id.
    Example: rmplugin person export 10042 --json > file.json
    """
    with tenant_transaction(tenant) as (runtime, db):
        row = find_person(db, reference)
        document = export_person(db, runtime.database.secrets, row.id, runtime.clock())
        tell_exported(db, row.id, "command", runtime.clock())
        audit.record_accesses(db, "command", "data_requests.person_file", [(row.id, None)], runtime.clock())
    show(document, as_json=as_json)


@person.command("erase")
@click.argument("reference")
@click.option("--yes", is_flag=True, help="Do not ask. It cannot be undone.")
@as_json
@tenant_option
def erase(reference: str, yes: bool, as_json: bool, tenant: str | None) -> None:
    """Erase a person: their pairs end without a reason, what they wrote goes, credits stay without a name.

    While the HR system lists them, its next reading adds them anew, without any of this.
    Example: rmplugin person erase 10042 --yes --json
    """
    with tenant_transaction(tenant) as (_runtime, db):
        person_id, name = (found := find_person(db, reference)).id, found.display_name
    if not yes:
        click.confirm(f"Erase {name} ({reference})? This cannot be undone.", abort=True, err=True)
    with tenant_transaction(tenant) as (runtime, db):
        row = find_person(db, str(person_id))
        done = erase_person(db, row, "command", runtime.clock())
    document = {"person_id": str(row.id), "removed": done}
    show(
        document,
        as_json=as_json,
        human=lambda d: f"Erased. Rows removed or emptied: {sum(d['removed'].values())}.",
    )


@person.command("side-lines")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@as_json
@tenant_option
def put_side_lines(file: Path, as_json: bool, tenant: str | None) -> None:
    """Tell which people must not be paired for a line beside the reporting line; replaces the list before.

    \b
    Columns: person, other (employee numbers or e-mail addresses), and kind: dotted,
    appraisal or hr_partner. Pairs that exist are suspended by the worker.
    Example: rmplugin person side-lines lines.csv --json
    """
    rows = side_lines.read_lines(read_file(file))
    with tenant_transaction(tenant) as (runtime, db):
        report = side_lines.replace_lines(db, rows, "command", runtime.clock())
    show(
        report.as_json(),
        as_json=as_json,
        human=lambda r: (
            f"{r['lines']} lines; {r['added']} added, {r['removed']} removed.\n" + table(r["skipped"])
        ),
    )
    if report.skipped:
        click.echo("Rows were skipped, so no line was removed. Correct the file and read it again.", err=True)
        raise click.exceptions.Exit(1)


commands = (programme, person)
