"""A launch: `begin_login` answers the login request, `validate` turns the posted message into a `Launch`."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote

from lti import claims
from lti.errors import LaunchError
from lti.jwks import KeySets
from lti.login import LOGIN_TTL, LoginRedirect, begin_login, begin_relaunch, foreign_target, is_ours
from lti.message import BoundBy, ConfirmedMessage, HardenedMessage
from lti.platforms import DeploymentState, Platform, Store
from lti.redaction import redacted
from lti.roles import Roles, parse_roles

__all__ = [
    "LOGIN_TTL",
    "AgsEndpoint",
    "Context",
    "DeepLinkingSettings",
    "Launch",
    "LoginRedirect",
    "ResourceLink",
    "begin_login",
    "begin_relaunch",
    "confirm",
    "new_reference",
    "validate",
]


_HEADER = {"alg", "kid"}


def new_reference() -> str:
    """Make a short text that a person can quote and the log holds. **Touches** chance."""
    # No letters or digits that look alike: people read it aloud.
    return "".join(secrets.choice("ABCDEFGHJKMNPQRSTUVWXYZ23456789") for _ in range(8))


# Custom parameters by which a platform tells what was copied, to be filled with `$Context.id.history` and
# `$ResourceLink.id.history` (LTI Core 1.3, appendix F): ids with commas between them.
HISTORY_PARAMETERS = {"context": "context_id_history", "resource_link": "resource_link_id_history"}
MAXIMUM_HISTORY = 50


@dataclass(frozen=True, slots=True)
class Context:
    """The course. `id` is unique within one deployment's platform only.

    :param history: ids of the courses that it was copied from, the newest first; empty when the platform does
        not say (`HISTORY_PARAMETERS`)
    """

    id: str
    label: str | None
    title: str | None
    history: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ResourceLink:
    """The link in the course that was clicked; `history` as in `Context`."""

    id: str
    title: str | None
    history: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AgsEndpoint:
    """Assignment and Grade Services offered to this launch.

    :param lineitem: address of the link's own line item, None when it has none
    :param lineitems: address of the course's line items, None when not offered
    :param scopes: scopes that the tool may ask for
    """

    lineitem: str | None
    lineitems: str | None
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeepLinkingSettings:
    """What the platform wants to get back from a content picker.

    :param data: to be echoed exactly; None when it was not sent
    """

    return_url: str
    accept_types: tuple[str, ...]
    accept_presentation_document_targets: tuple[str, ...]
    accept_multiple: bool
    accept_line_item: bool
    auto_create: bool
    title: str | None
    text: str | None
    data: Any


@dataclass(frozen=True, slots=True, repr=False)
class Launch:
    """A verified launch. Its repr shows no personal data, so that it may reach a log by accident.

    :param subject: the platform's user id; unique within the issuer only; None for an anonymous launch
    :param email_verified: None when the platform does not say
    :param person_sourcedid: the HR id by `lis.person_sourcedid`; None when absent or not substituted
    :param context: None for a launch outside a course
    :param custom: parameters with a value; unsubstituted variables are left out
    :param return_url: may carry the user's session key: never log or store it
    :param target_link_uri: where to go, always on this tool's origin
    :param for_user_id: the person whose work a submission review or privacy launch is about
    :param claims: the whole token body
    :param bound_by: what showed that this browser began the launch: its cookie in the frame, the platform's
        storage, or its cookie in a tab of its own
    :param kid: id of the key that signed it
    :param reference: under which the log holds this launch
    """

    platform: Platform
    deployment_id: str
    deployment_state: DeploymentState
    message_type: str
    target_link_uri: str
    subject: str | None
    roles: Roles
    name: str | None
    given_name: str | None
    family_name: str | None
    email: str | None
    email_verified: bool | None
    person_sourcedid: str | None
    context: Context | None
    resource_link: ResourceLink | None
    custom: Mapping[str, str]
    locale: str | None
    return_url: str | None
    nrps_url: str | None
    ags: AgsEndpoint | None
    deep_linking: DeepLinkingSettings | None
    for_user_id: str | None
    claims: Mapping[str, Any]
    bound_by: BoundBy = "cookie"
    kid: str = ""
    reference: str = field(default_factory=new_reference)

    def __repr__(self) -> str:
        return f"<Launch {self.message_type} platform={self.platform.key}>"

    @property
    def display_name(self) -> str | None:
        """The best name that was sent: full name, its parts, or the e-mail address; None when none was."""
        parts = " ".join(part for part in (self.given_name, self.family_name) if part)
        return self.name or parts or self.email


def validate(
    form: Mapping[str, str],
    cookies: Mapping[str, str],
    store: Store,
    keys: KeySets,
    *,
    launch_url: str,
    now: datetime,
) -> Launch:
    """Verify a posted launch message.

    :param form: the posted form: `id_token` and `state`, or `error`
    :param cookies: the browser's cookies
    :param keys: the process's key cache, with its HTTP session
    :param launch_url: the address that the form was posted to, exactly as registered
    :param now: aware UTC
    :return: the launch; its deployment may still be unknown or pending
    :raises LaunchError: see `errors.LAUNCH_CODES`; `state_mismatch` carries a relaunch code, `cookie_missing`
        what to ask the platform's storage for
    **Source** LTI Security 1.0, section 5.1.3; LTI Core 1.3, section 5.
    **Touches** takes the login attempt from the store; may fetch the platform's key set.
    """
    return _run(HardenedMessage(form, cookies, store, keys, launch_url=launch_url, now=now), launch_url)


def confirm(
    form: Mapping[str, str],
    headers: Mapping[str, str],
    store: Store,
    keys: KeySets,
    *,
    launch_url: str,
    now: datetime,
) -> Launch:
    """Verify a launch message again, now with the browser's secret from the platform's storage.

    :param form: the form of our own page: `id_token`, the one-time `code`, and `stored`
    :param headers: of the request; `Origin` and `Sec-Fetch-Site` say which page sent it
    :raises LaunchError: see `errors.LAUNCH_CODES`; `state_mismatch` carries a relaunch code
    **Source** LTI OIDC Login with LTI Client Side postMessages 0.1.
    **Touches** takes the login attempt from the store; may fetch the platform's key set.
    """
    return _run(ConfirmedMessage(form, headers, store, keys, launch_url=launch_url, now=now), launch_url)


def _run(message: HardenedMessage, launch_url: str) -> Launch:
    try:
        message.validate()
        return _build(message, launch_url)
    except LaunchError as error:
        error.claim_names = claims.loggable_names(message.body)
        error.claims = redacted(message.body)
        if message.platform is not None:
            error.platform_key = message.platform.key
        elif message.attempt is not None:
            error.platform_key = message.attempt.platform_key
        header = {name: claims.loggable(message.header[name]) for name in _HEADER & message.header.keys()}
        error.details = {**header, **error.details}
        raise


def _build(message: HardenedMessage, launch_url: str) -> Launch:
    body, platform, attempt = message.body, message.platform, message.attempt
    assert platform is not None
    assert attempt is not None
    assert message.bound_by is not None
    presentation = claims.object_claim(body, claims.LAUNCH_PRESENTATION)
    return Launch(
        platform=platform,
        deployment_id=message.deployment_id,
        deployment_state=message.deployment_state,
        message_type=body[claims.MESSAGE_TYPE],
        target_link_uri=_target(body, attempt.target_link_uri, launch_url),
        subject=claims.identifier(body.get("sub"), "sub"),
        roles=_roles(body),
        name=claims.text(body.get("name")),
        given_name=claims.text(body.get("given_name")),
        family_name=claims.text(body.get("family_name")),
        email=claims.text(body.get("email")),
        email_verified=claims.flag(body.get("email_verified")),
        person_sourcedid=claims.substituted(claims.object_claim(body, claims.LIS).get("person_sourcedid")),
        context=_context(body),
        resource_link=_resource_link(body),
        custom=_custom(body),
        locale=claims.text(presentation.get("locale")) or claims.text(body.get("locale")),
        return_url=claims.web_address(presentation.get("return_url")),
        nrps_url=claims.web_address(
            claims.object_claim(body, claims.NRPS_SERVICE).get("context_memberships_url")
        ),
        ags=_ags(body),
        deep_linking=_deep_linking(body),
        for_user_id=claims.identifier(
            claims.object_claim(body, claims.FOR_USER).get("user_id"), claims.FOR_USER
        ),
        claims=MappingProxyType(body),
        bound_by=message.bound_by,
        kid=claims.loggable(message.header["kid"]),
    )


def _target(body: Mapping[str, Any], at_login: str, launch_url: str) -> str:
    """Return the claim, which is signed; the login request's value, which is not, only stands in for it."""
    target = body.get(claims.TARGET_LINK_URI) or at_login
    if not isinstance(target, str) or not is_ours(target, launch_url):
        raise foreign_target(target, launch_url)
    return target


def _roles(body: Mapping[str, Any]) -> Roles:
    value = body[claims.ROLES]
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list):
        raise LaunchError("claim_invalid", claim=claims.ROLES)
    return parse_roles(value)


def _context(body: Mapping[str, Any]) -> Context | None:
    context = claims.object_claim(body, claims.CONTEXT)
    context_id = claims.identifier(context.get("id"), claims.CONTEXT)
    if context_id is None:
        return None
    label, title = claims.text(context.get("label")), claims.text(context.get("title"))
    return Context(context_id, label, title, _history(body, "context"))


def _resource_link(body: Mapping[str, Any]) -> ResourceLink | None:
    link = claims.object_claim(body, claims.RESOURCE_LINK)
    link_id = claims.identifier(link.get("id"), claims.RESOURCE_LINK)
    if link_id is None:
        return None
    return ResourceLink(link_id, claims.text(link.get("title")), _history(body, "resource_link"))


def _history(body: Mapping[str, Any], of: str) -> tuple[str, ...]:
    """Read what a course or link was copied from: `$Context.id.history`, `$ResourceLink.id.history`."""
    value = _custom(body).get(HISTORY_PARAMETERS[of], "")
    # An id may hold a comma itself, so each is URL-encoded.
    ids = (unquote(part.strip()) for part in value.split(",")[: 2 * MAXIMUM_HISTORY])
    usable = (part for part in ids if part.isprintable() and 0 < len(part) <= claims.MAXIMUM_ID_LENGTH)
    return tuple(dict.fromkeys(usable))[:MAXIMUM_HISTORY]


def _custom(body: Mapping[str, Any]) -> Mapping[str, str]:
    value = body.get(claims.CUSTOM)
    if not isinstance(value, dict):
        # PHP platforms encode an empty object as an empty list.
        return MappingProxyType({})
    pairs = ((claims.text(name), claims.substituted(item)) for name, item in value.items())
    return MappingProxyType({name: item for name, item in pairs if name is not None and item is not None})


def _ags(body: Mapping[str, Any]) -> AgsEndpoint | None:
    endpoint = claims.object_claim(body, claims.AGS_ENDPOINT)
    lineitem, lineitems = (claims.web_address(endpoint.get(name)) for name in ("lineitem", "lineitems"))
    if lineitem is None and lineitems is None:
        return None
    return AgsEndpoint(lineitem, lineitems, claims.texts(endpoint.get("scope")))


def _deep_linking(body: Mapping[str, Any]) -> DeepLinkingSettings | None:
    settings = claims.object_claim(body, claims.DEEP_LINKING_SETTINGS)
    return_url = claims.web_address(settings.get("deep_link_return_url"))
    if return_url is None:
        return None
    return DeepLinkingSettings(
        return_url=return_url,
        accept_types=claims.texts(settings.get("accept_types")),
        accept_presentation_document_targets=claims.texts(
            settings.get("accept_presentation_document_targets")
        ),
        accept_multiple=claims.flag(settings.get("accept_multiple")) is not False,
        accept_line_item=claims.flag(settings.get("accept_lineitem")) is True,
        auto_create=claims.flag(settings.get("auto_create")) is True,
        title=claims.text(settings.get("title")),
        text=claims.text(settings.get("text")),
        data=settings.get("data"),
    )
