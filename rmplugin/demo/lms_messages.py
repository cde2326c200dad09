"""What the practice LMS says in a launch: the claims of an id_token."""

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from rmplugin.demo.lms_context import Lms
from rmplugin.demo.lms_copies import describe_history
from rmplugin.demo.lms_settings import LmsCourse, LmsPerson

CLAIM = "https://purl.imsglobal.org/spec/lti/claim/"
DL_CLAIM = "https://purl.imsglobal.org/spec/lti-dl/claim/"
NRPS_CLAIM = "https://purl.imsglobal.org/spec/lti-nrps/claim/namesroleservice"
AGS_CLAIM = "https://purl.imsglobal.org/spec/lti-ags/claim/endpoint"
MEMBERSHIP = "http://purl.imsglobal.org/vocab/lis/v2/membership#"
INSTITUTION = "http://purl.imsglobal.org/vocab/lis/v2/institution/person#"

SCOPE_NRPS = "https://purl.imsglobal.org/spec/lti-nrps/scope/contextmembership.readonly"
SCOPE_LINE_ITEM = "https://purl.imsglobal.org/spec/lti-ags/scope/lineitem"
SCOPE_LINE_ITEM_READ = "https://purl.imsglobal.org/spec/lti-ags/scope/lineitem.readonly"
SCOPE_RESULT_READ = "https://purl.imsglobal.org/spec/lti-ags/scope/result.readonly"
SCOPE_SCORE = "https://purl.imsglobal.org/spec/lti-ags/scope/score"
AGS_SCOPES = (SCOPE_LINE_ITEM, SCOPE_LINE_ITEM_READ, SCOPE_RESULT_READ, SCOPE_SCORE)
SCOPES = (SCOPE_NRPS, *AGS_SCOPES)

# With these the tool is registered here; a platform sends them with every message.
HISTORY_PARAMETERS = {
    "context_id_history": "$Context.id.history",
    "resource_link_id_history": "$ResourceLink.id.history",
}
ID_TOKEN_SECONDS = 60
# Moodle puts the number of the registered tool into every line item URL and wants it back.
TYPE_ID = "1"

ROLES = {
    "instructor": [f"{MEMBERSHIP}Instructor", f"{INSTITUTION}Staff"],
    "learner": [f"{MEMBERSHIP}Learner", f"{INSTITUTION}Learner"],
}


def course_url(lms: Lms, course: LmsCourse, tail: str = "") -> str:
    """Build an absolute URL below a course."""
    return f"{lms.settings.issuer}/course/{course.course_id}{tail}"


def line_items_url(lms: Lms, course: LmsCourse) -> str:
    """Build the URL of a course's grade columns."""
    return course_url(lms, course, f"/lineitems?type_id={TYPE_ID}")


def line_item_url(lms: Lms, course: LmsCourse, line_item_id: object) -> str:
    """Build the URL of one grade column; like Moodle's it carries a query."""
    return course_url(lms, course, f"/lineitems/{line_item_id}/lineitem?type_id={TYPE_ID}")


def history_variables(lms: Lms, course: LmsCourse, link_id: str | None) -> dict[str, str]:
    """Say what a course and an activity of it were copied from; empty texts for originals, as in Moodle.

    :param link_id: id of the activity; None when the message is about none.
    :return: value by substitution variable.

    **Touches**: reads copied_from.
    """
    return {
        "$Context.id.history": describe_history(lms, "course", course.course_id),
        "$ResourceLink.id.history": describe_history(lms, "activity", link_id) if link_id else "",
    }


def substitute_custom(
    lms: Lms, person: LmsPerson, own: Mapping[str, str], history: Mapping[str, str]
) -> dict[str, str]:
    """Fill in the custom parameters of an activity for one person.

    An unknown employee number becomes an empty text, as in Moodle.

    :param own: the activity's own parameters.
    :param history: what `history_variables` says of the activity.

    **Source**: LTI Core 1.3 section 5.4.6 and appendix F, substitution variables.
    **Touches**: pure.
    """
    parameters = dict(own) | HISTORY_PARAMETERS
    if lms.settings.hr_id in ("both", "custom"):
        parameters[lms.settings.hr_parameter] = "$Person.sourcedId"
    known = {
        **history,
        "$Person.sourcedId": person.employee_number or "",
        "$User.id": person.user_id,
        "$User.username": person.user_id,
    }
    return {name: known.get(value, value) for name, value in parameters.items()}


def personal_claims(lms: Lms, person: LmsPerson) -> dict[str, str]:
    """Return name and e-mail claims, as far as the LMS shares and knows them."""
    if not lms.settings.share_names:
        return {}
    claims = {"name": person.name, "given_name": person.given_name, "family_name": person.family_name}
    if person.email:
        claims["email"] = person.email
    return claims


def _common_claims(
    lms: Lms, person: LmsPerson, course: LmsCourse, *, nonce: str, document_target: str
) -> dict[str, Any]:
    now = int(lms.now())
    settings = lms.settings
    lis: dict[str, str] = {"course_section_sourcedid": course.label}
    if settings.hr_id in ("both", "lis"):
        lis["person_sourcedid"] = person.employee_number or ""
    return {
        "iss": settings.issuer,
        "aud": settings.client_id,
        "sub": person.user_id,
        "iat": now,
        "exp": now + ID_TOKEN_SECONDS,
        "nonce": nonce,
        **personal_claims(lms, person),
        CLAIM + "version": "1.3.0",
        CLAIM + "deployment_id": settings.deployment_of(course),
        CLAIM + "roles": ROLES[person.role],
        CLAIM + "context": {
            "id": course.course_id,
            "label": course.label,
            "title": course.title,
            "type": ["http://purl.imsglobal.org/vocab/lis/v2/course#CourseSection"],
        },
        CLAIM + "lis": lis,
        CLAIM + "launch_presentation": {
            "locale": person.locale,
            "document_target": document_target,
            "return_url": course_url(lms, course),
        },
        CLAIM + "tool_platform": {
            "guid": settings.issuer,
            "name": settings.site_name,
            "description": "A small LMS for trying out",
            "url": settings.issuer,
            "product_family_code": "practice-lms",
            "version": "1",
        },
        NRPS_CLAIM: {
            "context_memberships_url": course_url(lms, course, "/memberships"),
            "service_versions": ["2.0"],
        },
    }


def resource_link_claims(
    lms: Lms,
    person: LmsPerson,
    course: LmsCourse,
    activity: sqlite3.Row,
    *,
    nonce: str,
    document_target: str,
) -> dict[str, Any]:
    """Build the claims of an ordinary launch.

    :param activity: row of the activity that is opened.
    :param document_target: "iframe" or "window".

    **Source**: LTI Core 1.3 section 5.3; AGS 2.0 section 3.1; NRPS 2.0 section 3.6.1.
    **Touches**: reads line_item, copied_from.
    """
    claims = _common_claims(lms, person, course, nonce=nonce, document_target=document_target)
    link_id = str(activity["id"])
    endpoint: dict[str, Any] = {"scope": list(AGS_SCOPES), "lineitems": line_items_url(lms, course)}
    coupled = lms.store.row(
        "SELECT id FROM line_item WHERE resource_link_id = ? AND coupled = 1 ORDER BY id", link_id
    )
    if coupled is not None:
        endpoint["lineitem"] = line_item_url(lms, course, coupled["id"])
    custom = json.loads(activity["custom"])
    claims |= {
        CLAIM + "message_type": "LtiResourceLinkRequest",
        CLAIM + "target_link_uri": activity["url"],
        CLAIM + "resource_link": {
            "id": link_id,
            "title": activity["title"],
            "description": activity["description"],
        },
        CLAIM + "custom": substitute_custom(lms, person, custom, history_variables(lms, course, link_id)),
        AGS_CLAIM: endpoint,
    }
    return claims


def submission_review_claims(
    lms: Lms,
    person: LmsPerson,
    course: LmsCourse,
    activity: sqlite3.Row,
    review: sqlite3.Row,
    *,
    nonce: str,
    document_target: str,
) -> dict[str, Any]:
    """Build the claims of a launch that shows an instructor one learner's work.

    :param review: row that names the learner and the grade column.
    :param document_target: "iframe" or "window".

    **Source**: LTI Submission Review 1.0 section 3.
    **Touches**: reads line_item, copied_from.
    """
    claims = resource_link_claims(lms, person, course, activity, nonce=nonce, document_target=document_target)
    claims[AGS_CLAIM]["lineitem"] = line_item_url(lms, course, review["line_item_id"])
    claims[CLAIM + "message_type"] = "LtiSubmissionReviewRequest"
    claims[CLAIM + "for_user"] = {"user_id": review["user_id"], "roles": ROLES["learner"]}
    return claims


def deep_linking_claims(
    lms: Lms, person: LmsPerson, course: LmsCourse, deep_link_id: str, *, nonce: str, document_target: str
) -> dict[str, Any]:
    """Build the claims of a content selection request.

    :param deep_link_id: the one-time id in the address that the answer goes to.

    **Source**: Deep Linking 2.0 section 4.4.1.
    **Touches**: reads copied_from.
    """
    claims = _common_claims(lms, person, course, nonce=nonce, document_target=document_target)
    settings: dict[str, Any] = {
        "deep_link_return_url": course_url(lms, course, f"/deep-link/{deep_link_id}"),
        "accept_types": ["ltiResourceLink"],
        "accept_presentation_document_targets": ["iframe", "window"],
        "accept_multiple": True,
        "accept_lineitem": True,
        "auto_create": True,
    }
    if lms.settings.deep_linking_data is not None:
        settings["data"] = lms.settings.deep_linking_data
    claims |= {
        CLAIM + "message_type": "LtiDeepLinkingRequest",
        CLAIM + "target_link_uri": lms.settings.tool_deep_link_target,
        CLAIM + "custom": substitute_custom(lms, person, {}, history_variables(lms, course, None)),
        AGS_CLAIM: {"scope": list(AGS_SCOPES), "lineitems": line_items_url(lms, course)},
        DL_CLAIM + "deep_linking_settings": settings,
    }
    return claims
