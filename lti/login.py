"""The first half of a launch: the platform asks to log in, the tool remembers the attempt and redirects."""

import hashlib
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import SplitResult, urlencode, urlsplit

from lti.claims import loggable
from lti.errors import LaunchError
from lti.platforms import LoginAttempt, Platform, Store
from lti.redaction import address, host

LOGIN_TTL = timedelta(minutes=10)
RELAUNCH_TTL = timedelta(seconds=60)
RELAUNCH_PREFIX = "relaunch."
CONFIRM_PREFIX = "confirm."
TRY_PREFIX = "try."
# Canvas sends `deployment_id`, everybody else `lti_deployment_id`.
FLOW_PARAMETERS = (
    "iss",
    "login_hint",
    "lti_message_hint",
    "client_id",
    "target_link_uri",
    "lti_deployment_id",
    "deployment_id",
    "lti_storage_target",
)
MAXIMUM_FLOW_CHARACTERS = 32 * 1024
_STATE = re.compile(r"[A-Za-z0-9_-]{20,100}")


@dataclass(frozen=True, slots=True)
class LoginRedirect:
    """Where to send the browser, and the cookie that binds the launch to it.

    Attributes of the cookie: Secure, HttpOnly, SameSite=None, Partitioned, Path=/, no Domain.
    :param max_age: seconds
    :param storage_frame: frame of the platform's storage, which keeps the cookie's value, too; None when the
        platform offers none
    """

    url: str = field(repr=False)
    state: str = field(repr=False)
    cookie_name: str
    cookie_value: str = field(repr=False)
    max_age: int
    storage_frame: str | None


def begin_login(
    params: Mapping[str, str],
    store: Store,
    *,
    launch_url: str,
    now: datetime,
    login_ttl: timedelta = LOGIN_TTL,
    relaunched: bool = False,
    keeps_cookies: bool = False,
) -> LoginRedirect:
    """Answer a third-party initiated login.

    :param params: query or form of the request
    :param launch_url: this tool's `/lti/launch`, exactly as registered at the platform
    :param now: aware UTC
    :param relaunched: True when the login is repeated in a tab of its own
    :param keeps_cookies: True when the browser has shown a cookie of ours; no storage is needed then
    :return: the redirect to the platform's authorisation URL
    :raises LaunchError: login_incomplete, issuer_unknown, client_unknown, client_ambiguous,
        target_link_uri_foreign
    **Source** LTI Security 1.0, section 5.1.1. **Touches** writes one login attempt to the store.
    """
    flow, platform, target = _read_login(params, store, launch_url)
    state, nonce, cookie = (secrets.token_urlsafe(32) for _ in range(3))
    if relaunched:
        flow["relaunched"] = "yes"
    if relaunched or keeps_cookies:
        # A new tab has no platform above it.
        flow.pop("lti_storage_target", None)
    flow["browser"] = digest(cookie)
    store.remember_login(
        LoginAttempt(state, nonce, platform.key, target, now, now + login_ttl, json.dumps(flow)),
    )
    url = _authorisation_url(platform, flow, launch_url=launch_url, state=state, nonce=nonce)
    return LoginRedirect(
        url,
        state,
        cookie_name(state, launch_url),
        cookie,
        int(login_ttl.total_seconds()),
        flow.get("lti_storage_target"),
    )


def keep_login(params: Mapping[str, str], store: Store, *, launch_url: str, now: datetime) -> str:
    """Keep a login for 60 seconds, until the browser has shown whether it keeps our cookies.

    Some platforms give out a launch only once (Moodle does), so this must be known before they are asked.

    :return: the one-time code for `/lti/login/<code>`
    :raises LaunchError: what `begin_login` raises
    **Touches** writes one login attempt to the store.
    """
    flow, platform, target = _read_login(params, store, launch_url)
    attempt = LoginAttempt("", "", platform.key, target, now, now, json.dumps(flow))
    return _keep_under_code(attempt, TRY_PREFIX, store, now)


def take_kept_login(code: str, store: Store, now: datetime) -> LoginAttempt:
    """Take what `keep_login` kept.

    :raises LaunchError: relaunch_unknown
    **Touches** takes one login attempt from the store.
    """
    return _take_by_code(code, TRY_PREFIX, store, now)


def offer_relaunch(attempt: LoginAttempt, store: Store, now: datetime) -> str:
    """Keep the login parameters of an attempt under a new one-time code for 60 seconds.

    :return: the code for `/lti/relaunch/<code>`
    **Touches** writes one login attempt to the store.
    """
    return _keep_under_code(replace(attempt, nonce=""), RELAUNCH_PREFIX, store, now)


def offer_confirmation(attempt: LoginAttempt, store: Store, now: datetime) -> str:
    """Keep an attempt for 60 seconds, in which our page asks the platform's storage for the browser's secret.

    :return: the one-time code for `/lti/confirm`
    **Touches** writes one login attempt to the store.
    """
    return _keep_under_code(attempt, CONFIRM_PREFIX, store, now)


def _keep_under_code(attempt: LoginAttempt, prefix: str, store: Store, now: datetime) -> str:
    code = secrets.token_urlsafe(32)
    store.remember_login(replace(attempt, state=prefix + code, issued_at=now, expires_at=now + RELAUNCH_TTL))
    return code


def _take_by_code(code: str, prefix: str, store: Store, now: datetime) -> LoginAttempt:
    attempt = store.take_login(prefix + code) if is_state(code) else None
    if attempt is None or attempt.expires_at <= now:
        raise LaunchError("relaunch_unknown")
    return attempt


def begin_relaunch(
    code: str, store: Store, *, launch_url: str, now: datetime, login_ttl: timedelta = LOGIN_TTL
) -> LoginRedirect:
    """Start the login again, first-party, with the parameters of a launch whose cookie was blocked.

    :param code: from `offer_relaunch`; works once
    :raises LaunchError: relaunch_unknown, and what `begin_login` raises
    **Touches** takes one login attempt from the store and writes one.
    """
    attempt = _take_by_code(code, RELAUNCH_PREFIX, store, now)
    return begin_login(
        read_flow(attempt), store, launch_url=launch_url, now=now, login_ttl=login_ttl, relaunched=True
    )


def read_flow(attempt: LoginAttempt) -> dict[str, str]:
    """Return the login parameters that an attempt keeps. **Touches** pure."""
    flow: dict[str, str] = json.loads(attempt.flow)
    return flow


def is_state(value: str) -> bool:
    """Say whether a string has the form of our states and codes. **Touches** pure."""
    return _STATE.fullmatch(value) is not None


def digest(value: str) -> str:
    """Return what the store keeps instead of a secret. **Touches** pure."""
    return hashlib.sha256(value.encode()).hexdigest()


def cookie_name(state: str, launch_url: str) -> str:
    """Return the name of the state's cookie; the `__Host-` prefix needs https. **Touches** pure."""
    prefix = "__Host-lti-" if launch_url.startswith("https:") else "lti-"
    return prefix + state[:12]


def try_cookie_name(launch_url: str) -> str:
    """Return the name of the cookie that shows that the browser keeps ours. **Touches** pure."""
    return cookie_name("try", launch_url)


def is_ours(url: str, launch_url: str) -> bool:
    """Say whether an address lies on this tool's origin.

    **Source** RFC 6454 (origin = scheme, host, port). **Touches** pure.
    """
    # A browser reads a backslash as a slash, urlsplit does not.
    if "\\" in url or not url.isprintable() or " " in url:
        return False
    try:
        return _origin(urlsplit(url)) == _origin(urlsplit(launch_url))
    except ValueError:
        return False


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    if "@" in parts.netloc:
        raise ValueError("An address with user information is never ours")
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _read_flow(params: Mapping[str, str]) -> dict[str, str]:
    flow = {name: value for name in FLOW_PARAMETERS if (value := params.get(name))}
    missing = [name for name in ("iss", "login_hint") if name not in flow]
    if missing:
        raise LaunchError("login_incomplete", missing=missing)
    # The hints are the platform's own and only echoed; everything else is compared and stored.
    unreadable = [
        name for name, value in flow.items() if not name.endswith("_hint") and not value.isprintable()
    ]
    if unreadable or sum(map(len, flow.values())) > MAXIMUM_FLOW_CHARACTERS:
        raise LaunchError("login_incomplete", unreadable=unreadable)
    return flow


def _read_login(
    params: Mapping[str, str], store: Store, launch_url: str
) -> tuple[dict[str, str], Platform, str]:
    """Return the flow, the registration and the target of a login, or refuse it."""
    flow = _read_flow(params)
    target = flow.get("target_link_uri") or launch_url
    platform = _choose_platform(flow, store)
    if not is_ours(target, launch_url):
        error = foreign_target(target, launch_url)
        error.platform_key = platform.key
        raise error
    return flow, platform, target


def _choose_platform(flow: Mapping[str, str], store: Store) -> Platform:
    issuer, client_id = flow["iss"], flow.get("client_id")
    found = store.find_platforms(issuer, client_id)
    if not found:
        known = store.find_platforms(issuer, None) if client_id is not None else ()
        if not known:
            raise LaunchError("issuer_unknown", **about_issuer(issuer, store))
        raise LaunchError(
            "client_unknown",
            issuer=loggable(issuer),
            client_id=loggable(client_id),
            registered_clients=clients_of(known),
        )
    if len(found) > 1:
        found = _narrow(found, flow, store)
    if len({(platform.client_id, platform.auth_url) for platform in found}) > 1:
        raise LaunchError("client_ambiguous", issuer=loggable(issuer), registered_clients=clients_of(found))
    # Registrations that share both are asked at the same place; the signed deployment tells them apart later.
    return found[0]


def about_issuer(issuer: str, store: Store) -> dict[str, Any]:
    """Give an unknown issuer for the log, and a registered one that differs by little: a slash, http, case.

    **Touches** reads the store.
    """
    facts = {"issuer": loggable(issuer)}
    bare = issuer.rstrip("/")
    _, sign, rest = bare.partition("://")
    schemes = [scheme + sign + rest for scheme in ("https", "http")] if sign else [bare]
    spellings = dict.fromkeys(s for base in (bare, *schemes) for s in (base, base + "/", base.lower()))
    for spelling in spellings:
        if spelling != issuer and store.find_platforms(spelling, None):
            return {**facts, "registered_issuer": loggable(spelling)}
    return facts


def clients_of(platforms: Sequence[Platform]) -> list[str]:
    """Give a few client ids of registrations, for the log. **Touches** pure."""
    return [loggable(client_id) for client_id in dict.fromkeys(p.client_id for p in platforms)][:5]


def foreign_target(target: object, launch_url: str) -> LaunchError:
    """Make the error of a link that leads to another site than ours. **Touches** pure."""
    return LaunchError("target_link_uri_foreign", target=address(target), expected=host(launch_url))


def _narrow(found: Sequence[Platform], flow: Mapping[str, str], store: Store) -> Sequence[Platform]:
    """Tell registrations that share issuer and client apart by their deployments (Blackboard, Canvas)."""
    deployment_id = flow.get("lti_deployment_id") or flow.get("deployment_id")
    if not deployment_id:
        return found
    return [p for p in found if store.deployment_state(p, deployment_id) != "unknown"] or found


def _authorisation_url(
    platform: Platform, flow: Mapping[str, str], *, launch_url: str, state: str, nonce: str
) -> str:
    query = {
        "scope": "openid",
        "response_type": "id_token",
        "response_mode": "form_post",
        "prompt": "none",
        "client_id": platform.client_id,
        "redirect_uri": launch_url,
        "login_hint": flow["login_hint"],
        "state": state,
        "nonce": nonce,
    }
    if "lti_message_hint" in flow:
        query["lti_message_hint"] = flow["lti_message_hint"]
    return platform.auth_url + ("&" if "?" in platform.auth_url else "?") + urlencode(query)
