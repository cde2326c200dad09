"""Commands that set up and run the tool."""

import os
import re
import sys
from datetime import timedelta
from typing import Any

import click
from sqlalchemy import select

from rmplugin import audit, logins, migrations
from rmplugin.cli.common import as_json, find_tenant, opened, show, tenant_option, tenant_transaction
from rmplugin.credits.tasks import examine as examine_deliveries
from rmplugin.hris.tasks import examine_schedules
from rmplugin.papers.keys import ensure_issuer_key, rotate_issuer_key
from rmplugin.papers.models import IssuerKey
from rmplugin.records import CheckResult
from rmplugin.settings import make_secret_key, read_settings
from rmplugin.tenants.checks import Finding
from rmplugin.tenants.keys import ensure_tool_keys, rotate_tool_keys
from rmplugin.tenants.models import Tenant, ToolKey
from rmplugin.tenants.operations import ensure_tenant
from rmplugin.tenants.tasks import examine
from rmplugin.wiring import configure_logging, make_runtime, make_worker

LONGEST_LINK = timedelta(hours=24)
SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@click.command()
@click.option("--tenant", "slug", help="Short name of the company; default: main, or the one that is there.")
@click.option("--name", default="Our company", show_default=True, help="The company's name.")
def init(slug: str | None, name: str) -> None:
    """Create or upgrade the database, the secret key and the first signing keys.

    Safe to run again: it only adds what is missing. Example: rmplugin init --tenant acme --name "Acme Ltd"
    """
    if slug is not None and not SLUG.fullmatch(slug):
        raise click.UsageError("--tenant is made of small letters, digits and hyphens, for example acme.")
    settings = read_settings()
    if settings.secret_key is None:
        make_secret_key(settings.data_dir)
    settings = read_settings()
    configure_logging(settings.log_format)
    runtime = make_runtime(settings)
    migrations.upgrade(runtime.database.engine)
    now = runtime.clock()
    with runtime.database.transaction(None) as db:
        # An upgrade names no company and must not add a second one.
        if slug is not None or db.scalars(select(Tenant.id).limit(1)).first() is None:
            ensure_tenant(db, slug or "main", name, now)
        ensure_tool_keys(db, runtime.database.secrets, now)
        ensure_issuer_key(db, runtime.database.secrets, now)
    runtime.database.close()
    click.echo(f"Ready. Data is in {settings.data_dir}. Next: rmplugin platform add --help")


@click.command()
@click.option("--bind", default="127.0.0.1:5000", show_default=True, help="Address and port.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1), help="Server processes.")
@click.option(
    "--threads", default=8, show_default=True, type=click.IntRange(1), help="Threads of each process."
)
def serve(bind: str, workers: int, threads: int) -> None:
    """Serve the tool with gunicorn. Example: rmplugin serve --bind 0.0.0.0:5000 --workers 4"""
    with opened():
        pass
    # gunicorn takes this process over, so that signals reach it directly.
    os.execv(sys.executable, gunicorn_command(bind, workers, threads, "rmplugin.wsgi:make_app()"))  # noqa: S606


def gunicorn_command(bind: str, workers: int, threads: int, app: str) -> list[str]:
    """Give the command that serves an app as `rmplugin serve` does. **Touches** pure."""
    size = ["--bind", bind, "--workers", str(workers), "--threads", str(threads)]
    quiet = ["--worker-class", "gthread", "--log-level", "warning"]
    return [sys.executable, "-m", "gunicorn", *size, *quiet, app]


@click.command()
@click.option("--threads", default=2, show_default=True, type=click.IntRange(1), help="Tasks at once.")
def worker(threads: int) -> None:
    """Run background work: credits, deliveries, matching, schedules. Example: rmplugin worker --threads 4"""
    with opened() as runtime:
        make_worker(runtime)["work"]()
        consumer = runtime.queue.create_consumer(workers=threads, max_delay=1.0, check_worker_health=True)
        consumer.run()


@click.command()
@as_json
@tenant_option
def doctor(as_json: bool, tenant: str | None) -> None:
    """Examine the installation and say what to do. Example: rmplugin doctor --json"""
    with opened(migrated=False) as runtime:
        findings = examine(runtime, tenant)
        # Without a company there are no HR accounts, and the line about it stands there already.
        if all(finding.ok for finding in findings if finding.what in ("database", "migrations", "tenant")):
            tenant_id = find_tenant(runtime, tenant).id
            findings += examine_schedules(runtime, tenant_id) + examine_deliveries(runtime, tenant_id)
    document = [finding._asdict() for finding in findings]
    show(document, as_json=as_json, human=lambda _rows: "\n".join(map(_line, findings)))
    if not all(finding.ok for finding in findings):
        raise click.exceptions.Exit(1)


def _life(_context: click.Context, _parameter: click.Parameter, text: str) -> timedelta:
    found = re.fullmatch(r"([1-9]\d{0,3})([mh])", text)
    life = timedelta(**{{"m": "minutes", "h": "hours"}[found[2]]: int(found[1])}) if found else None
    if life is None or life > LONGEST_LINK:
        raise click.BadParameter("a time such as 15m or 2h is needed, 24h at most.")
    return life


@click.command("admin-link")
@click.option(
    "--ttl",
    default="15m",
    show_default=True,
    callback=_life,
    metavar="TIME",
    help="How long the link can be opened: 15m, 2h; 24h at most.",
)
@as_json
@tenant_option
def admin_link(ttl: timedelta, as_json: bool, tenant: str | None) -> None:
    """Print a link that opens the administrator's pages once: platforms, launches and why they fail.

    Whoever opens it first is the administrator for up to twelve hours. Example: rmplugin admin-link --ttl 2h
    """
    with tenant_transaction(tenant) as (runtime, db):
        now = runtime.clock()
        facts: dict[str, Any] = {
            "tenant_id": db.tenant_id,
            "lti_user_id": None,
            "person_id": None,
            "context_id": None,
            "is_manager": False,
            "is_administrator": True,
            "start_path": "/admin",
            "locale": None,
            "display_name": "Administrator",
            "frame_origins": [],
        }
        key = str(runtime.settings.secret_key)
        code = logins.open_session(db, facts, now, secret_key=key, life=ttl)
        audit.record(db, "command", "admin_link", None, now, minutes=int(ttl.total_seconds() // 60))
        document = {
            "url": f"{runtime.settings.public_url}/entry/{code}",
            "expires_at": (now + ttl).isoformat(timespec="seconds"),
        }
    show(
        document,
        as_json=as_json,
        human=lambda d: f"Open this once, before {d['expires_at']}:\n{d['url']}",
    )


def _line(finding: Finding | CheckResult) -> str:
    return f"{'ok  ' if finding.ok else 'FIX '} {finding.what}: {finding.advice}"


@click.group()
def keys() -> None:
    """Manage the tool's signing keys."""


@keys.command("list")
@as_json
def list_keys(as_json: bool) -> None:
    """List the signing keys. Example: rmplugin keys list --json"""
    with opened() as runtime, runtime.database.transaction(None, write=False) as db:
        rows = db.scalars(select(ToolKey).order_by(ToolKey.created_at)).all()
        document = [
            {"kid": row.kid, "use": "launches", "state": row.state, "since": row.state_since.isoformat()}
            for row in rows
        ]
        document += [
            {
                "kid": row.public_multibase,
                "use": "badges",
                "state": "signing" if row.purpose else "published",
                "since": row.created_at.isoformat(),
            }
            for row in db.scalars(select(IssuerKey).order_by(IssuerKey.created_at, IssuerKey.id))
        ]
    show(document, as_json=as_json)


@keys.command()
@click.option("--now", "hasty", is_flag=True, help="Even when platforms may not have fetched the next key.")
def rotate(hasty: bool) -> None:
    """Sign with the next key from now on; the old one stays published for two weeks.

    The worker does this by itself, see RM_KEY_ROTATION_DAYS. Example: rmplugin keys rotate
    """
    with opened() as runtime, runtime.database.transaction(None) as db:
        rotate_tool_keys(db, runtime.database.secrets, runtime.clock(), hasty=hasty)
    click.echo("Rotated. Running servers sign with the new key within ten seconds.")


@keys.command("rotate-badges")
@click.option("--stolen", is_flag=True, help="Publish the old key no longer: what it signed is void.")
def rotate_badges(stolen: bool) -> None:
    """Sign badges with a new key from now on; what the old one signed is still accepted.

    With --stolen it is not: holders download their badges anew. Example: rmplugin keys rotate-badges
    """
    with opened() as runtime, runtime.database.transaction(None) as db:
        rotate_issuer_key(db, runtime.database.secrets, runtime.clock(), stolen=stolen)
    click.echo("Rotated. Badges and the lists of revoked papers are signed with the new key.")


commands = (init, serve, worker, doctor, keys, admin_link)
