"""Names and Role Provisioning Services of the practice LMS."""

import json
import sqlite3
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, make_response, request

from rmplugin.demo.lms_context import Lms, current_lms, get_course
from rmplugin.demo.lms_messages import (
    CLAIM,
    SCOPE_NRPS,
    course_url,
    history_variables,
    personal_claims,
    substitute_custom,
)
from rmplugin.demo.lms_settings import LmsPerson
from rmplugin.demo.lms_token import refuse, require_accept, require_scope

MEDIA_TYPE = "application/vnd.ims.lti-nrps.v2.membershipcontainer+json"
# Moodle sends the short names in the roster, although its launches carry the full ones.
SHORT_ROLES = {"instructor": "Instructor", "learner": "Learner"}

# How long the address of what changed since is good.
DIFFERENCES_SECONDS = 30 * 86_400

bp = Blueprint("roster", __name__)


def read_page_position(lms: Lms) -> tuple[int, int]:
    """Read offset and page size from the query of a paged service.

    The page token is signed mixed-case text: a client that changes its case gets 400.

    :return: offset of the first entry, number of entries.
    :raises HTTPException: 400 for a token or limit that is not one.
    """
    sealed = request.args.get("page")
    if sealed is not None:
        position = lms.unseal(sealed)
        if position is None or "offset" not in position:
            raise refuse(400, "this page does not exist: the page token is not one of ours, or is too old")
        return int(position["offset"]), int(position["limit"])
    limit = request.args.get("limit", str(lms.settings.page_size))
    if not limit.isdecimal() or int(limit) < 1:
        raise refuse(400, "limit must be a positive number")
    return 0, min(int(limit), lms.settings.page_size)


def read_since(lms: Lms) -> float | None:
    """Read from which moment changes are wanted; None for the whole roster.

    :raises HTTPException: 400 for a moment that this LMS did not give out.
    """
    sealed = request.args.get("since")
    if sealed is None:
        return None
    found = lms.unseal(sealed)
    if found is None or "since" not in found:
        raise refuse(400, "since is not one of ours, or is too old: read the whole roster")
    return float(found["since"])


def link_next_page(response: Response, lms: Lms, url: str, *, offset: int, limit: int, total: int) -> None:
    """Add the `Link` header to a page that is not the last.

    :param url: the page's own address, with the parameters to keep but without `page`.

    **Source**: RFC 8288; NRPS 2.0 section 2.4.2; AGS 2.0 section 3.4.3.
    """
    if offset + limit < total:
        sealed = lms.seal({"offset": offset + limit, "limit": limit}, seconds=3600)
        joint = "&" if "?" in url else "?"
        response.headers.add("Link", f'<{url}{joint}page={sealed}>; rel="next"')


@bp.get("/course/<course_id>/memberships")
def memberships(course_id: str) -> Response:
    """List the course's members, page by page, or only those whose account changed since.

    **Source**: NRPS 2.0 sections 2 and 2.4.3.
    """
    lms = current_lms()
    require_scope(SCOPE_NRPS)
    require_accept(MEDIA_TYPE)
    course = get_course(course_id)
    offset, limit = read_page_position(lms)
    link = _find_resource_link(lms, course_id)
    role = request.args.get("role")
    since = read_since(lms)
    members = [
        (person, active)
        for person, active, changed_at in lms.accounts()
        if (active if since is None else changed_at >= since) and (role is None or _has_role(person, role))
    ]
    shown = members[offset : offset + limit]
    history = history_variables(lms, course, str(link["id"]) if link is not None else None)
    url = course_url(lms, course, "/memberships")
    body = {
        "id": url,
        "context": {"id": course.course_id, "label": course.label, "title": course.title},
        "members": [_member(lms, person, link, history, active=active) for person, active in shown],
    }
    response = make_response(json.dumps(body))
    response.headers["Content-Type"] = MEDIA_TYPE
    # Moodle drops `role` from the next page's address, so a client must filter for itself.
    kept = {name: request.args[name] for name in ("rlid", "since") if name in request.args}
    page_url = f"{url}?{urlencode(kept)}" if kept else url
    link_next_page(response, lms, page_url, offset=offset, limit=limit, total=len(members))
    kept["since"] = lms.seal({"since": lms.now()}, seconds=DIFFERENCES_SECONDS)
    response.headers.add("Link", f'<{url}?{urlencode(kept)}>; rel="differences"')
    return response


def _find_resource_link(lms: Lms, course_id: str) -> sqlite3.Row | None:
    wanted = request.args.get("rlid")
    if wanted is None:
        return None
    row = lms.store.row("SELECT * FROM activity WHERE id = ? AND course_id = ?", wanted, course_id)
    if row is None:
        raise refuse(404, "rlid is no activity of this course")
    return row


def _has_role(person: LmsPerson, role: str) -> bool:
    return role.rpartition("#")[2] == SHORT_ROLES[person.role]


def _member(
    lms: Lms, person: LmsPerson, link: sqlite3.Row | None, history: Mapping[str, str], *, active: bool
) -> dict[str, Any]:
    member: dict[str, Any] = {
        "status": "Active" if active else "Inactive",
        "user_id": person.user_id,
        "roles": [SHORT_ROLES[person.role]],
        **personal_claims(lms, person),
    }
    if lms.settings.hr_id in ("both", "lis") and person.employee_number:
        member["lis_person_sourcedid"] = person.employee_number
    if link is not None:
        custom = substitute_custom(lms, person, json.loads(link["custom"]), history)
        member["message"] = [
            {CLAIM + "message_type": "LtiResourceLinkRequest", CLAIM + "custom": custom},
        ]
    return member
