"""Connecting learning platforms: the administrator's pages, and the pages that an LMS shows on the way."""

import dataclasses
import uuid
from datetime import datetime, timedelta
from typing import Any

import flask
from flask import request
from werkzeug.datastructures import MultiDict

from lti.errors import LAUNCH_CODES, LaunchError, RegistrationError
from lti.printed import read_printed
from lti.registration import TOOL_CONFIGURATION, build_request, canvas_configuration
from rmplugin import web
from rmplugin.errors import ConflictError, InputError, RmError
from rmplugin.records import IDENTITY_SOURCES
from rmplugin.tenants import invites, operations, queries, tasks
from rmplugin.tenants.forms import InviteForm, LaunchFilter, PlatformForm
from rmplugin.tenants.models import PlatformInvite
from rmplugin.tenants.operations import FAMILIES, PRINTED_FIELDS
from rmplugin.texts import Text, texts
from rmplugin.web import Role, Visit

pages = web.Pages("tenants", __name__)
SOURCE_WORDS = texts(
    {
        "custom": "Custom parameter with the employee number",
        "sourcedid": "Person sourcedId (id number)",
        "org_defined_id": "Org Defined Id (Brightspace)",
        "username": "User name",
        "email": "E-mail address",
    }
)


# ---- what an LMS shows while it registers the tool ----


@pages.get("/lti/register", role=Role.PUBLIC)
def register_by_query() -> web.Answer:
    """Take the invite from the query, for LMSs that cut paths."""
    return ask_registration(request.args.get("invite", ""))


@pages.get("/lti/register/<token>", role=Role.PUBLIC)
def ask_registration(token: str) -> web.Answer:
    """Show an administrator inside the LMS what the tool asks for; nothing is registered yet.

    Opened by hand, it says where to paste its address.
    """
    runtime = web.get_runtime()
    invite = _open_invite(token)
    if not isinstance(invite, PlatformInvite):
        return invite
    url, lms_token = request.args.get("openid_configuration"), request.args.get("registration_token")
    if not url:
        address = f"{runtime.settings.public_url}/lti/register/{token}"
        expires_at = invite.expires_at
        return web.render("tenants/register_help.html", None, address=address, expires_at=expires_at)
    try:
        lms = tasks.read_lms(runtime, url, lms_token)
    except RegistrationError as error:
        return _failed(error)
    document = build_request(invites.describe_tool(runtime.settings.public_url), lms)
    return web.render(
        "tenants/register.html",
        None,
        lms=lms,
        asked=_asked(document),
        token=token,
        fields={"openid_configuration": url, "registration_token": lms_token or ""},
    )


@pages.post("/lti/register/<token>", role=Role.PUBLIC)
def register(token: str) -> web.Answer:
    """Register the tool with the LMS. **Touches** what `tasks.register_tool` touches."""
    runtime = web.get_runtime()
    invite = _open_invite(token)
    if not isinstance(invite, PlatformInvite):
        return invite
    url, lms_token = request.form.get("openid_configuration", ""), request.form.get("registration_token")
    try:
        platform = tasks.register_tool(runtime, invite, url, lms_token or None)
    except RegistrationError as error:
        return _failed(error)
    except RmError as error:
        left = "The LMS has made an entry of its own for the tool: remove it there."
        return _end("The tool could not be connected", [error.message_for_user, left], error.status)
    if platform is None:
        return _used()
    with runtime.database.transaction(platform.tenant_id, write=False) as db:
        deployments = queries.list_deployments(db, platform.id)
    return web.render(
        "tenants/registered.html", None, platform=platform, deployments=deployments, close_after=20
    )


@pages.get("/lti/canvas.json", role=Role.PUBLIC)
def canvas_json() -> web.Answer:
    """Describe the tool for a Canvas LTI key ("Enter URL")."""
    return flask.jsonify(canvas_configuration(invites.describe_tool(web.get_runtime().settings.public_url)))


def _open_invite(token: str) -> PlatformInvite | web.Answer:
    """Find an invite that can be used; else the page that says why there is none."""
    runtime = web.get_runtime()
    invite = tasks.find_invite(runtime, token)
    if invite is None:
        text = "The address is not complete, or it was never given out. Ask who sent it for a new one."
        return _end("This invitation is not known", [text], 404)
    if invite.used_at is not None:
        return _used()
    if invite.expires_at <= runtime.clock():
        text = "Nothing was connected. Ask who sent it for a new one: rmplugin platform invite makes it."
        return _end("This invitation has expired", [text], 410)
    return invite


def _used() -> web.Answer:
    text = (
        "Each invitation connects one LMS, once. If the tool is not in your LMS' list of tools, ask who sent "
        "the address for a new one."
    )
    return _end("This invitation was used before", [text], 410)


def _failed(error: RegistrationError) -> web.Answer:
    told = [error.message, "The invitation can be used again."]
    if error.details:
        facts = ", ".join(f"{name} {value}" for name, value in error.details.items())
        told.append(Text("For your support: %(code)s, %(facts)s.", code=error.code, facts=facts))
    return _end("The tool could not be connected", told, error.status)


def _end(title: str, told: list[str], status: int) -> web.Answer:
    page = web.render("tenants/register_end.html", None, title=Text(title), texts=[Text(t) for t in told])
    return flask.make_response(page, status)


def _asked(document: dict[str, Any]) -> dict[str, bool]:
    """Tell which of the things that the tool is for the LMS offers."""
    own = document[TOOL_CONFIGURATION]
    scopes = document["scope"]
    return {
        "roster": "contextmembership" in scopes,
        "grades": "/lti-ags/scope/score" in scopes,
        "content": any(message["type"] == "LtiDeepLinkingRequest" for message in own["messages"]),
        "name": "name" in own["claims"] or "given_name" in own["claims"],
        "email": "email" in own["claims"],
        "employee_number": "employee_number" in own.get("custom_parameters", {}),
    }


# ---- the administrator's pages ----

# A worker that runs begins at once; after this time the page stops asking and says what may be wrong.
CHECK_TAKES = timedelta(minutes=2)


@pages.get("/admin", role=Role.ADMINISTRATOR)
def platforms(visit: Visit) -> web.Answer:
    """List the registered learning platforms and the deployments that wait for approval."""
    rows = queries.platforms_with_deployments(visit.db)
    return web.render("tenants/platforms.html", visit, rows=rows, tool=_tool(visit))


@pages.post("/admin/deployments/<uuid:lti_deployment_id>/approve", role=Role.ADMINISTRATOR)
def approve(visit: Visit, lti_deployment_id: uuid.UUID) -> web.Answer:
    """Let a deployment launch."""
    deployment = queries.get_deployment(visit.db, lti_deployment_id)
    platform = queries.get_platform_by_id(visit.db, deployment.platform_id)
    name = deployment.deployment_id
    operations.approve_deployments(visit.db, platform, name, visit.actor, visit.now)
    return web.go("tenants.platforms", Text("Deployment %(name)s may launch now.", name=name))


@pages.post("/admin/deployments/<uuid:lti_deployment_id>/refuse", role=Role.ADMINISTRATOR)
def refuse(visit: Visit, lti_deployment_id: uuid.UUID) -> web.Answer:
    """Forget a deployment that waits."""
    deployment = queries.get_deployment(visit.db, lti_deployment_id)
    operations.refuse_deployment(visit.db, deployment, visit.actor, visit.now)
    return web.go(
        "tenants.platforms",
        Text("Deployment %(name)s was refused.", name=deployment.deployment_id),
    )


@pages.get("/admin/platforms/new", role=Role.ADMINISTRATOR)
def new_platform(visit: Visit) -> web.Answer:
    """Show the form for a registration by hand; after a fault with all that could be read filled in."""
    if visit.values:
        visit = dataclasses.replace(visit, values=_filled(visit.values))
    return web.render(
        "tenants/new_platform.html",
        visit,
        family_options=[("", Text("Tell it by the addresses")), *((family, family) for family in FAMILIES)],
        source_options=list(SOURCE_WORDS.items()),
        sources=IDENTITY_SOURCES,
        tool=_tool(visit),
    )


@pages.post("/admin/platforms", role=Role.ADMINISTRATOR, on_input_error=new_platform)
def add_platform(visit: Visit) -> web.Answer:
    """Register a platform by hand."""
    typed = web.load_form(PlatformForm())
    printed = read_printed(typed.pop("printed"), typed["family"])
    try:
        operations.add_platform(visit.db, operations.merge_values(printed, typed), visit.now, visit.actor)
    except ConflictError as error:
        # What was pasted stays on the page.
        field = "name" if error.code == "platform_taken" else "form"
        raise InputError(error.code, error.message_for_user, {field: error.message_for_user}) from error
    return web.go(
        "tenants.platforms",
        Text("%(name)s is connected. Enter the tool's addresses there.", name=typed["name"]),
    )


@pages.get("/admin/invites", role=Role.ADMINISTRATOR)
def list_invites(visit: Visit) -> web.Answer:
    """Show the invites that can still be used, and make new ones."""
    return _invites(visit)


@pages.post("/admin/invites", role=Role.ADMINISTRATOR, on_input_error=list_invites)
def invite(visit: Visit) -> web.Answer:
    """Make an invite; its address is shown here and never again."""
    name = web.load_form(InviteForm())["name"]
    try:
        token, _row = invites.create_invite(visit.db, name, visit.actor, visit.now)
    except ConflictError as error:
        raise InputError(error.code, error.message_for_user, {"name": error.message_for_user}) from error
    return _invites(visit, f"{visit.runtime.settings.public_url}/lti/register/{token}")


@pages.post("/admin/invites/<uuid:platform_invite_id>/withdraw", role=Role.ADMINISTRATOR)
def withdraw(visit: Visit, platform_invite_id: uuid.UUID) -> web.Answer:
    """Make an open invitation worthless."""
    row = queries.get_invite(visit.db, platform_invite_id)
    invites.withdraw_invite(visit.db, row, visit.actor, visit.now)
    return web.go("tenants.list_invites", "The invitation was withdrawn; its address does nothing any more.")


def _invites(visit: Visit, address: str | None = None) -> web.Answer:
    rows = queries.list_invites(visit.db, visit.now)
    return web.render("tenants/invites.html", visit, rows=rows, address=address, tool=_tool(visit))


def _filled(values: Any) -> MultiDict[str, Any]:
    """Put what could be read of the pasted text into the fields that are empty."""
    filled = MultiDict(values)
    printed = read_printed(filled.get("printed", ""), filled.get("family") or None)
    found = {name: getattr(printed, name) or "" for name in PRINTED_FIELDS}
    found |= {"family": printed.family, "deployment_ids": ", ".join(printed.deployment_ids)}
    for name, value in found.items():
        if not filled.get(name, "").strip():
            filled[name] = value
    return filled


def _tool(visit: Visit) -> dict[str, str]:
    tool = invites.describe_tool(visit.runtime.settings.public_url)
    return {
        Text("Initiate login URL"): tool.login_url,
        Text("Launch and redirect URL"): tool.launch_url,
        Text("Public keyset URL"): tool.jwks_url,
        Text("Canvas configuration (JSON URL)"): f"{tool.url}/lti/canvas.json",
    }


@pages.get("/admin/platforms/<uuid:platform_id>", role=Role.ADMINISTRATOR)
def platform_page(visit: Visit, platform_id: uuid.UUID) -> web.Answer:
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
def check_now(visit: Visit, platform_id: uuid.UUID) -> web.Answer:
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
def launch(visit: Visit, attempt_id: uuid.UUID) -> web.Answer:
    """Show what one launch said, what is wrong with it, and what to do."""
    attempt = queries.get_attempt(visit.db, attempt_id)
    platform = (
        queries.get_platform_by_id(visit.db, attempt.platform_id) if attempt.platform_id is not None else None
    )
    told = LaunchError(attempt.code).message if attempt.code in LAUNCH_CODES else None
    return web.render(
        "tenants/launch.html",
        visit,
        attempt=attempt,
        platform=platform,
        sentences=queries.explain_attempt(attempt),
        told=told,
    )
