"""The demo: tool, worker and practice LMS as they run in earnest, with a sample company."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path

import click
import requests
import structlog

from rmplugin import migrations
from rmplugin.cli.seed import PROGRAMME, seed
from rmplugin.cli.seed_months import ACCOUNT, Play
from rmplugin.cli.seed_scenes import find_scenes, open_course
from rmplugin.demo.company import ADVISOR_GROUP, Company, csv_settings, lms_people, read_german, write_company
from rmplugin.demo.company_pilot import PILOT, pilot_profiles
from rmplugin.demo.lms_settings import DEFAULT_COURSE, LmsActivity, LmsCourse, LmsSettings, platform_values
from rmplugin.demo.months_people import Pool, first_day, pool_of
from rmplugin.demo.practice_lms import make_lms_server
from rmplugin.jobs import Runtime
from rmplugin.people.tasks import sync_roster
from rmplugin.programmes.queries import find_programme, list_programmes
from rmplugin.settings import Settings, make_secret_key, read_settings
from rmplugin.tenants.keys import ensure_tool_keys
from rmplugin.tenants.models import Tenant
from rmplugin.tenants.operations import PlatformValues, add_account, add_platform, ensure_tenant
from rmplugin.tenants.queries import list_accounts, list_platforms
from rmplugin.wiring import make_runtime

START_SECONDS = 60
PEOPLE, PEOPLE_FOR_MONTHS = 400, 1800
LOG = "tool.log"
OWN_COURSE = LmsCourse(
    course_id="102",
    label="PILOT-27",
    title="Your own pilot",
    storage_frame="platform_storage",
    activities=(
        LmsActivity(
            title="Reverse mentoring",
            description="Empty: the manager starts a programme from a template here.",
            score_maximum=100.0,
            pass_mark=100.0,
        ),
    ),
)


@click.command()
@click.option("--port", default=5000, show_default=True, help="Port of the tool.")
@click.option("--lms-port", default=5001, show_default=True, help="Port of the practice LMS.")
@click.option(
    "--people",
    type=click.IntRange(100, 20_000),
    help=f"Company size; without it {PEOPLE}, or {PEOPLE_FOR_MONTHS} with --months.",
)
@click.option(
    "--months",
    default=0,
    show_default=True,
    type=click.IntRange(0, 12),
    help="Play so many months of the programme first, with up to 200 pairs.",
)
@click.option("--reset", is_flag=True, help="Throw the demo's data away and start anew.")
@click.option("--no-browser", is_flag=True, help="Do not open a browser.")
def demo(port: int, lms_port: int, people: int | None, months: int, reset: bool, no_browser: bool) -> None:
    """Start tool, worker, practice LMS and a sample company. Example: rmplugin demo --people 1000 --reset"""
    folder = Path(os.environ.get("RM_DATA_DIR", "./.data")).resolve() / "demo"
    if reset and folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    settings = _settings(folder, port)
    runtime = make_runtime(settings)
    company, months = _company(folder, people, months)
    lms = _practice_lms(folder, company, settings.public_url, lms_port, months)
    click.echo("Preparing the database and reading the sample company's HR file …")
    tenant = _prepare(runtime, company, lms)
    _play(runtime, tenant, company, months)
    # Whoever ends the demo while it starts must end its server and its worker, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with _processes(settings, port), _lms_server(lms, lms_port):
        _wait(f"{settings.public_url}/lti/jwks", "the tool")
        _wait(f"{lms.issuer}/", "the practice LMS")
        if months:
            open_course(runtime, tenant, lms, DEFAULT_COURSE)
            _announce_scenes(runtime, tenant, lms)
        else:
            seed(runtime, tenant, company, lms, DEFAULT_COURSE)
        log = settings.data_dir / LOG
        has_pilot = bool(pilot_profiles(company))
        _announce(lms, settings.public_url, log, has_pilot=has_pilot, is_played=months > 0)
        if not no_browser:
            webbrowser.open(lms.issuer)
        _sleep_until_stopped()
    runtime.database.close()
    click.echo("Stopped.")


def _settings(folder: Path, port: int) -> Settings:
    make_secret_key(folder)
    return read_settings({"RM_DATA_DIR": str(folder), "RM_PUBLIC_URL": f"http://localhost:{port}"})


def _company(folder: Path, people: int | None, months: int) -> tuple[Company, int]:
    """Make the company, or the very same one again when the demo is started another time.

    :return: the company, and how many months are played.
    """
    note = folder / "company.json"
    if not note.exists():
        size = people or (PEOPLE_FOR_MONTHS if months else PEOPLE)
        today = date.today().isoformat()  # noqa: DTZ011
        note.write_text(json.dumps({"people": size, "as_of": today, "months": months}))
    known = json.loads(note.read_text())
    company = write_company(folder / "people.csv", known["people"], as_of=date.fromisoformat(known["as_of"]))
    months = known.get("months", 0)
    # What the play changes in the staff list stays so when the demo is started another time.
    return (replace(company, path=folder / "staff.csv") if months else company), months


def _practice_lms(folder: Path, company: Company, tool_url: str, port: int, months: int) -> LmsSettings:
    asked = pool_of(company, first_day(company.as_of, months)) if months else Pool((), ())
    people = lms_people(company, asked.mentees, asked.mentors)
    return LmsSettings(
        issuer=f"http://127.0.0.1:{port}",
        tool_url=tool_url,
        data_dir=folder / "lms",
        people=tuple(read_german(people)),
        courses=(DEFAULT_COURSE, OWN_COURSE),
    )


def _prepare(runtime: Runtime, company: Company, lms: LmsSettings) -> Tenant:
    migrations.upgrade(runtime.database.engine)
    now = runtime.clock()
    with runtime.database.transaction(None) as db:
        tenant = ensure_tenant(db, "sample", "Sample company", now)
        ensure_tool_keys(db, runtime.database.secrets, now)
    with runtime.database.transaction(tenant.id) as db:
        if not list_platforms(db):
            values = platform_values(lms)
            add_platform(
                db,
                PlatformValues(
                    name="practice-lms",
                    issuer=values.issuer,
                    client_id=values.client_id,
                    auth_url=values.auth_url,
                    token_url=values.token_url,
                    jwks_url=values.jwks_url,
                    deployment_ids=(values.deployment_id,),
                ),
                now,
            )
        if not list_accounts(db):
            hr_file = csv_settings(company)
            # The file says "Last, First"; without that column the name is put together in everyday order.
            hr_file["mapping"]["display_name"] = ""
            connector = runtime.plugins.connector("csv_file")
            add_account(db, ACCOUNT, connector, hr_file, company.seniority, runtime.database.secrets, now)
    return tenant


def _play(runtime: Runtime, tenant: Tenant, company: Company, months: int) -> None:
    """Read the roster; with months, first let these pass."""
    if months:
        with runtime.database.transaction(tenant.id, write=False) as db:
            was_played = any(row.name == PROGRAMME for row in list_programmes(db))
        if not was_played:
            # Every day's work of the worker would be told on the terminal.
            structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
            play = Play(runtime, tenant, company, PROGRAMME, months, runtime.clock())
            with click.progressbar(
                play.play(), play.days, f"Playing {months} months of a programme", item_show_func=_day_of
            ) as days:
                for _ in days:
                    pass
            return
    report = sync_roster(
        runtime.database, runtime.plugins, tenant.id, ACCOUNT, now=runtime.clock(), accept_shrink=True
    )
    click.echo(
        f"Roster: {report.status}, {report.seen} people seen, {len(report.skipped)} rows skipped. The demo "
        "accepts by itself what a person would look at first."
    )


def _day_of(day: date | None) -> str:
    return "" if day is None else day.isoformat()


@contextmanager
def _processes(settings: Settings, port: int) -> Iterator[None]:
    """Run server and worker as they run in production, and stop them with the demo."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RM_")}
    environ |= {"RM_DATA_DIR": str(settings.data_dir), "RM_PUBLIC_URL": settings.public_url}
    start = [sys.executable, "-c", "from rmplugin.cli import main; main()"]
    commands = (["serve", "--bind", f"127.0.0.1:{port}", "--workers", "1"], ["worker", "--threads", "2"])
    # Sessions of their own: Ctrl-C in the terminal reaches only the demo, which then stops them in order.
    log = (settings.data_dir / LOG).open("a", encoding="utf-8")
    running = [
        subprocess.Popen(  # noqa: S603 - our own program.
            [*start, *command], env=environ, stdout=log, stderr=log, start_new_session=True
        )
        for command in commands
    ]
    try:
        yield
    finally:
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        log.close()


@contextmanager
def _lms_server(lms: LmsSettings, port: int) -> Iterator[None]:
    server = make_lms_server(lms, port=port)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def _wait(url: str, what: str) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        try:
            if requests.get(url, timeout=2).status_code == 200:
                return
        except requests.RequestException:
            pass
        time.sleep(0.2)
    raise click.ClickException(
        f"{what} did not start within {START_SECONDS} seconds at {url}. Is the port taken? "
        f"The demo's folder has the log, {LOG}."
    )


def _announce_scenes(runtime: Runtime, tenant: Tenant, lms: LmsSettings) -> None:
    with runtime.database.transaction(tenant.id, write=False) as db:
        scenes = find_scenes(db, find_programme(db, PROGRAMME).id, lms.people, runtime.clock())
    click.echo("\nFor these people something waits in the course:")
    for scene in scenes:
        language = "" if scene.person.locale == "en" else f" ({scene.person.locale})"
        click.echo(f"  {scene.person.name:<28} {scene.what}{language}")


def _announce(lms: LmsSettings, tool_url: str, log: Path, *, has_pilot: bool, is_played: bool) -> None:
    click.echo(f"\nPractice LMS   {lms.issuer}/      (start here)")
    click.echo(f"Tool           {tool_url}      (opens inside the LMS)\n")
    click.echo("Click as one of these on the first page, then open the course:")
    seen: dict[str, int] = {}
    for person in sorted(lms.people, key=lambda person: person.group != ADVISOR_GROUP):
        # Two of each group, and two of those of it who read German.
        group = f"{person.group} {person.locale}"
        seen[group] = seen.get(group, 0) + 1
        if seen[group] <= 2:
            click.echo(f"  {person.group:<34} {person.name:<28} {person.about}")
    if is_played:
        click.echo(f"\nCourse '{DEFAULT_COURSE.title}' has a programme that runs; see also the people above.")
    else:
        click.echo(f"\nCourse '{DEFAULT_COURSE.title}' has a programme with sign-ups, ready for matching:")
        click.echo("as the programme manager, open “Matching” on the desk and press “Run the matching”.")
    if has_pilot:
        click.echo(f"“Look it over” there leads to the reviews of '{PILOT}', an earlier cohort that failed;")
        click.echo("find out why, try other weights on its pairs, and record a decision.")
    click.echo(f"Course '{OWN_COURSE.title}' is empty: start a programme from a template there.")
    click.echo(
        "Its pages offer the tool platform storage, as Canvas does; the other course's do not, as Moodle."
    )
    click.echo(
        "'Stop the LMS' at its foot lets you see how grades wait and arrive (docs/credits.md has a walk)."
    )
    click.echo("'Connect a tool' at the foot of the practice LMS tries `rmplugin platform invite`.")
    click.echo("The administrator's pages open with a link of this command, in another terminal:")
    click.echo(f"  RM_DATA_DIR={log.parent} RM_PUBLIC_URL={tool_url} rmplugin admin-link")
    click.echo(f"The tool's log is {log}.")
    click.echo("Ctrl-C stops everything; `rmplugin demo --reset` starts anew.")


def _sleep_until_stopped() -> None:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()


commands = (demo,)
