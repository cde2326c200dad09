"""The administrator's pages: the company's learning platforms, and why launches are refused."""

from datetime import datetime, timedelta
from uuid import UUID

from lti.errors import LAUNCH_CODES
from rmplugin import web
from rmplugin.tenants import operations, queries
from rmplugin.tenants.forms import LaunchFilter
from rmplugin.web import Role, Visit

pages = web.Pages("tenants", __name__)

# A worker that runs begins at once; after this time the page stops asking and says what may be wrong.
CHECK_TAKES = timedelta(minutes=2)


@pages.get("/admin", role=Role.ADMINISTRATOR)
def platforms(visit: Visit) -> web.Answer:
    """List the registered learning platforms and the deployments that wait for approval."""
    rows = [(row, queries.list_deployments(visit.db, row.id)) for row in queries.list_platforms(visit.db)]
    return web.render("tenants/platforms.html", visit, rows=rows)


@pages.get("/admin/platforms/<uuid:platform_id>", role=Role.ADMINISTRATOR)
def platform_page(visit: Visit, platform_id: UUID) -> web.Answer:
    """Show one registration: facts, deployments, last launches, last check."""
    platform = queries.get_platform_by_id(visit.db, platform_id)
    check = queries.last_check(visit.db, platform_id, visit.runtime.database.secrets)
    asked_at = datetime.fromisoformat(check["asked_at"]) if check else None
    running = check is not None and check["findings"] is None
    return web.render(
        "tenants/platform.html",
        visit,
        platform=platform,
        deployments=queries.list_deployments(visit.db, platform_id),
        attempts=queries.list_attempts(visit.db, nobodys=False, platform_id=platform_id, limit=10),
        explain=queries.explain_attempt,
        check=check,
        asked_at=asked_at,
        running=running and asked_at is not None and visit.now - asked_at < CHECK_TAKES,
        names={platform_id: platform.name},
    )


@pages.post("/admin/platforms/<uuid:platform_id>/check", role=Role.ADMINISTRATOR)
def check_now(visit: Visit, platform_id: UUID) -> web.Answer:
    """Let the worker try the platform's addresses and services."""
    platform = queries.get_platform_by_id(visit.db, platform_id)
    operations.ask_for_check(visit.db, platform, visit.runtime.database.secrets, visit.actor, visit.now)
    return web.go("tenants.platform_page", platform_id=platform_id)


@pages.get("/admin/launches", role=Role.ADMINISTRATOR)
def launches(visit: Visit) -> web.Answer:
    """List the newest launch attempts with their likely cause in a line."""
    asked = web.load_query(LaunchFilter())
    by_reference = asked["reference"] is not None
    attempts = queries.list_attempts(
        visit.db,
        nobodys=queries.is_only_tenant(visit.db),
        refused=asked["show"] == "refused" and not by_reference,
        platform_id=None if by_reference else asked["platform"],
        reference=asked["reference"],
    )
    names = {row.id: row.name for row in queries.list_platforms(visit.db)}
    return web.render(
        "tenants/launches.html",
        visit,
        attempts=attempts,
        explain=queries.explain_attempt,
        names=names,
        asked=asked,
    )


@pages.get("/admin/launches/<uuid:attempt_id>", role=Role.ADMINISTRATOR)
def launch(visit: Visit, attempt_id: UUID) -> web.Answer:
    """Show what one launch said, what is wrong with it, and what to do."""
    attempt = queries.get_attempt(visit.db, attempt_id)
    platform = (
        queries.get_platform_by_id(visit.db, attempt.platform_id) if attempt.platform_id is not None else None
    )
    told = LAUNCH_CODES.get(attempt.code)
    return web.render(
        "tenants/launch.html",
        visit,
        attempt=attempt,
        platform=platform,
        sentences=queries.explain_attempt(attempt),
        told=" ".join(told[1:]) if told else None,
    )
