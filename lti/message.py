"""PyLTI1p3's message launch with each of its steps hardened.

PyLTI1p3 2.0.0 gives the order of the steps and the rules of each message type. Its own steps let a launch
be replayed, accept tokens without exp, iat and nonce, accept ES256 and short keys, look at the first audience
only, ignore azp, and answer unknown issuers with bare exceptions; each step below replaces its namesake.
"""

import base64
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from jwt.algorithms import RSAAlgorithm
from pylti1p3.exception import LtiException
from pylti1p3.message_launch import MessageLaunch

from lti import claims, redaction
from lti.errors import LaunchError
from lti.jwks import KeySets
from lti.login import (
    CONFIRM_PREFIX,
    about_issuer,
    clients_of,
    cookie_name,
    digest,
    is_ours,
    is_state,
    offer_confirmation,
    offer_relaunch,
    read_flow,
)
from lti.platforms import DeploymentState, LoginAttempt, Platform, Store
from lti.storage import StorageQuestion

BoundBy = Literal["cookie", "storage", "new_tab"]
LEEWAY_SECONDS = 60.0
MAXIMUM_AGE_SECONDS = 600.0
MAXIMUM_TOKEN_CHARACTERS = 256 * 1024
MESSAGE_TYPES = frozenset(
    {
        "LtiResourceLinkRequest",
        "LtiDeepLinkingRequest",
        "DataPrivacyLaunchRequest",
        "LtiSubmissionReviewRequest",
    }
)
_RS256 = RSAAlgorithm(RSAAlgorithm.SHA256)
_COMPACT_JWS = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)")
_OBJECT_CLAIMS = (
    claims.RESOURCE_LINK,
    claims.CONTEXT,
    claims.AGS_ENDPOINT,
    claims.NRPS_SERVICE,
    claims.LIS,
    claims.LAUNCH_PRESENTATION,
    claims.FOR_USER,
    claims.DEEP_LINKING_SETTINGS,
)


class HardenedMessage(MessageLaunch):  # type: ignore[misc]  # PyLTI1p3 is followed as Any.
    """One posted launch message; `validate` runs PyLTI1p3's order of steps, then binds it to the browser.

    :param form: the posted form
    :param cookies: the browser's cookies
    :param launch_url: address the form was posted to
    :param now: aware UTC
    """

    def __init__(
        self,
        form: Mapping[str, str],
        cookies: Mapping[str, str],
        store: Store,
        keys: KeySets,
        *,
        launch_url: str,
        now: datetime,
    ) -> None:
        # PyLTI1p3 calls the store tool configuration and session service; the base class only keeps them.
        super().__init__(form, store, store, cookies, requests_session=keys.http)
        self._form = form
        self._cookies = cookies
        self._store = store
        self._keys = keys
        self._launch_url = launch_url
        self._now = now
        self._signed = b""
        self._signature = b""
        self.header: dict[str, Any] = {}
        self.body: dict[str, Any] = {}
        self.attempt: LoginAttempt | None = None
        self.platform: Platform | None = None
        self._alike: list[Platform] = []
        self.deployment_id = ""
        self.deployment_state: DeploymentState = "unknown"
        self.bound_by: BoundBy | None = None

    def validate(self) -> "HardenedMessage":
        """Run all steps.

        :raises LaunchError: the message is refused
        **Touches** takes the login attempt from the store, may fetch the platform's key set.
        """
        try:
            super().validate()
        except LtiException as error:
            raise LaunchError("message_invalid", rule=str(error)[:200]) from error
        self.require_same_browser()
        return self

    def _get_request_param(self, key: str) -> str:
        return self._form.get(key, "")

    def validate_state(self) -> "HardenedMessage":
        """Take the one-time login attempt: the first post of a state is the last one.

        **Source** LTI Security 1.0, section 5.1.1.3. **Touches** takes the attempt from the store.
        """
        state = self._form.get("state", "")
        if self._form.get("error"):
            # Whoever's attempt this is, it has ended; its platform is the one to mend.
            self.attempt = self._store.take_login(state) if is_state(state) else None
            raise LaunchError(
                "oidc_error",
                error=claims.loggable(self._form["error"]),
                about=_subject_of(self._form.get("error_description", "")),
            )
        if not state:
            raise LaunchError("state_missing")
        self._take_attempt("", state)
        return self

    def _take_attempt(self, prefix: str, code: str) -> None:
        if not self._form.get("id_token"):
            raise LaunchError("id_token_missing")
        self.attempt = self._store.take_login(prefix + code) if is_state(code) else None
        if self.attempt is None:
            raise LaunchError("state_unknown")
        if self.attempt.expires_at <= self._now:
            raise LaunchError("state_expired")

    def validate_jwt_format(self) -> "HardenedMessage":
        """Decode the token, once, and refuse what cannot be an LTI message before any key is fetched.

        **Source** certification guide: No KID, Invalid LTI message, Missing LTI Claims. **Touches** pure.
        """
        try:
            header, body = self._decode(self._form["id_token"])
        except (ValueError, RecursionError) as error:
            raise LaunchError("token_malformed") from error
        self.header = header
        if not isinstance(body, dict):
            raise LaunchError("not_lti")
        self.body = body
        self._jwt = {"header": header, "body": body}
        self._check_header(header)
        if not claims.is_lti(body):
            raise LaunchError("not_lti")
        if not body.get("iss") or not body.get("aud"):
            raise LaunchError("claims_missing", missing=self._missing())
        return self

    def _decode(self, token: str) -> tuple[dict[str, Any], Any]:
        """Take a compact JWS apart; PyJWT's own decoder costs as much again as the signature check."""
        match = _COMPACT_JWS.fullmatch(token) if len(token) <= MAXIMUM_TOKEN_CHARACTERS else None
        if match is None:
            raise ValueError("The token is no compact JWS")
        header, body, self._signature = (_decode_part(part) for part in match.groups())
        self._signed = token[: match.end(2)].encode()
        decoded = json.loads(header)
        if not isinstance(decoded, dict) or "crit" in decoded:
            # Extensions that must be understood are refused when they are not (RFC 7515, section 4.1.11).
            raise ValueError("The header is no object or has critical extensions")
        return decoded, json.loads(body)

    def _check_header(self, header: Mapping[str, Any]) -> None:
        if header.get("alg") != "RS256":
            raise LaunchError("algorithm_not_allowed", alg=claims.loggable(header.get("alg")))
        if not header.get("kid"):
            raise LaunchError("kid_missing")
        if not isinstance(header["kid"], str):
            raise LaunchError("kid_unknown")

    def validate_nonce(self) -> "HardenedMessage":
        """Compare the nonce with the one of this very login. **Touches** pure."""
        nonce = self.body.get("nonce")
        if not nonce:
            raise LaunchError("nonce_missing")
        expected = self._attempt().nonce
        if not isinstance(nonce, str) or not hmac.compare_digest(_bytes(nonce), expected.encode()):
            raise LaunchError("nonce_invalid")
        return self

    def validate_registration(self) -> "HardenedMessage":
        """Find the registration by issuer and every audience; it must be the one that the login was for.

        **Source** LTI Security 1.0, section 5.1.3, steps 2 to 5. **Touches** reads the store.
        """
        issuer, audience, azp = self.body["iss"], self.body["aud"], self.body.get("azp")
        audiences = [audience] if isinstance(audience, str) else audience
        if not isinstance(issuer, str) or not issuer.isprintable():
            raise LaunchError("claim_invalid", claim="iss")
        if not isinstance(audiences, list) or not all(
            isinstance(a, str) and a.isprintable() for a in audiences
        ):
            raise LaunchError("claim_invalid", claim="aud")
        found = [p for client_id in audiences[:10] for p in self._store.find_platforms(issuer, client_id)]
        platform = next((p for p in found if p.key == self._attempt().platform_key), None)
        if platform is None:
            raise self._not_for_us(issuer, audiences)
        if len(audiences) > 1 and not azp:
            raise LaunchError("azp_missing", client_id=claims.loggable(platform.client_id))
        if azp and azp != platform.client_id:
            raise LaunchError(
                "azp_invalid", azp=claims.loggable(azp), client_id=claims.loggable(platform.client_id)
            )
        self.platform = platform
        self._alike = [other for other in found if _is_alike(other, platform) and other != platform]
        return self

    def _not_for_us(self, issuer: str, audiences: Sequence[str]) -> LaunchError:
        registered = self._store.find_platforms(issuer, None)
        if not registered:
            return LaunchError("issuer_unknown", **about_issuer(issuer, self._store))
        return LaunchError(
            "audience_invalid",
            issuer=claims.loggable(issuer),
            audience=[claims.loggable(audience) for audience in audiences[:5]],
            registered_clients=clients_of(registered),
        )

    def validate_jwt_signature(self) -> "HardenedMessage":
        """Verify RS256 with the parsed key, then the times with 60 seconds of leeway.

        **Source** LTI Security 1.0, section 5.1.3, steps 6 to 9. **Touches** may fetch the key set.
        """
        assert self.platform is not None
        key = self._keys.find(self._store, self.platform.jwks_url, self._jwt["header"]["kid"], self._now)
        if not _RS256.verify(self._signed, key, self._signature):
            raise LaunchError("signature_invalid", key_set=redaction.address(self.platform.jwks_url))
        self._check_times()
        return self

    def _check_times(self) -> None:
        now = self._now.timestamp()
        expires, issued = claims.number(self.body.get("exp")), claims.number(self.body.get("iat"))
        if expires is None:
            raise LaunchError("exp_missing")
        if expires <= now - LEEWAY_SECONDS:
            raise LaunchError("token_expired", seconds=_whole(now - expires), **self._lag(issued))
        if issued is None:
            raise LaunchError("iat_missing")
        if issued > now + LEEWAY_SECONDS:
            raise LaunchError("iat_in_future", seconds=_whole(issued - now))
        if issued < now - MAXIMUM_AGE_SECONDS - LEEWAY_SECONDS:
            raise LaunchError("iat_too_old", seconds=_whole(now - issued), **self._lag(issued))

    def _lag(self, issued: float | None) -> dict[str, Any]:
        """Tell by how much the platform's clock is behind ours at least: it answered a login of ours."""
        began = self._attempt().issued_at.timestamp()
        behind = _whole(began - issued) if issued is not None else 0
        return {"platform_behind_seconds": behind} if behind > 1 else {}

    def validate_deployment(self) -> "HardenedMessage":
        """Check that no claim is missing and look the deployment up; an unknown one is the host's to approve.

        The deployment, which is signed, also decides between registrations that share issuer and client.
        **Touches** reads the store.
        """
        deployment_id = claims.identifier(self.body.get(claims.DEPLOYMENT_ID), claims.DEPLOYMENT_ID)
        if deployment_id is not None:
            self.deployment_id = deployment_id
            self._decide_platform()
        missing = self._missing()
        if len(missing) > 1:
            raise LaunchError("claims_missing", missing=missing)
        if missing:
            raise LaunchError(_CODE_OF_MISSING[missing[0]])
        return self

    def _decide_platform(self) -> None:
        assert self.platform is not None
        candidates = [self.platform, *self._alike]
        states = [(self._store.deployment_state(each, self.deployment_id), each) for each in candidates]
        # The sort is stable: among equals the registration that the login chose stays in front.
        self.deployment_state, self.platform = min(states, key=lambda found: _PREFERENCE[found[0]])

    def _missing(self) -> list[str]:
        """List the required claims that are absent; an empty list of roles is present."""
        missing = [name for name in _REQUIRED if self.body.get(name) in (None, "")]
        if "sub" in missing and self.platform is not None and self.platform.allow_anonymous:
            missing.remove("sub")
        return missing

    def validate_message(self) -> "HardenedMessage":
        """Check version and type ourselves, then PyLTI1p3's rules of the type.

        **Source** LTI Core 1.3, section 5.3; Deep Linking 2.0, section 4.4. **Touches** pure.
        """
        if self.body[claims.VERSION] != "1.3.0":
            raise LaunchError("version_invalid", version=claims.loggable(self.body[claims.VERSION]))
        message_type = self.body[claims.MESSAGE_TYPE]
        if not isinstance(message_type, str) or message_type not in MESSAGE_TYPES:
            raise LaunchError("message_type_unknown", message_type=claims.loggable(message_type))
        parts = {name: claims.object_claim(self.body, name) for name in _OBJECT_CLAIMS}
        _REQUIREMENTS[message_type](self.body, parts)
        # PyLTI1p3 demands a user even where anonymous launches are allowed, and takes null for an object.
        checked = {**self.body, **{name: part for name, part in parts.items() if part}}
        checked["sub"] = self.body.get("sub") or "anonymous"
        for name, part in parts.items():
            if not part:
                checked.pop(name, None)
        self._jwt["body"] = checked
        super().validate_message()
        return self

    def save_launch_data(self) -> "HardenedMessage":
        """Keep nothing: the host gets a frozen `Launch` and stores what it needs. **Touches** pure."""
        return self

    def require_same_browser(self) -> None:
        """Refuse a launch that another browser began, or whose cookie the browser hides.

        :raises LaunchError: cookie_missing when the platform's storage can be asked instead; state_mismatch
            with a one-time relaunch code; cookies_blocked after a relaunch
        **Source** RFC 6749, section 10.12. **Touches** may write a login attempt to the store.
        """
        attempt, flow = self._attempt(), read_flow(self._attempt())
        name = cookie_name(attempt.state, self._launch_url)
        cookie = self._cookies.get(name, "")
        if _is_secret(cookie, flow):
            self.bound_by = "new_tab" if "relaunched" in flow else "cookie"
            return
        if "relaunched" in flow:
            raise LaunchError("cookies_blocked")
        frame = flow.get("lti_storage_target")
        # A cookie with another value is no hidden cookie: somebody put it there.
        if frame is None or name in self._cookies:
            raise self._new_tab()
        assert self.platform is not None
        code = offer_confirmation(attempt, self._store, self._now)
        raise LaunchError(
            "cookie_missing", storage=StorageQuestion(code, frame, self.platform.auth_url, name)
        )

    def _new_tab(self) -> LaunchError:
        code = offer_relaunch(self._attempt(), self._store, self._now)
        return LaunchError("state_mismatch", relaunch_code=code)

    def _attempt(self) -> LoginAttempt:
        assert self.attempt is not None
        return self.attempt


class ConfirmedMessage(HardenedMessage):
    """The same launch message, posted again by our own page with what the platform's storage gave it.

    The secret shows that this browser began the launch, and the sender that it is this browser's own: another
    site knows the secrets of its own browser, and could post them from here.

    :param form: `id_token`, the one-time `code`, and `stored`, which is empty when the storage gave nothing
    :param headers: of the request
    """

    def __init__(
        self,
        form: Mapping[str, str],
        headers: Mapping[str, str],
        store: Store,
        keys: KeySets,
        *,
        launch_url: str,
        now: datetime,
    ) -> None:
        super().__init__(form, {}, store, keys, launch_url=launch_url, now=now)
        self._headers = headers

    def validate_state(self) -> "ConfirmedMessage":
        """Take the one-time row that the launch left. **Touches** takes the attempt from the store."""
        self._take_attempt(CONFIRM_PREFIX, self._form.get("code", ""))
        return self

    def require_same_browser(self) -> None:
        """Refuse what our own page did not send, or sent without the secret of the browser that began.

        :raises LaunchError: state_mismatch with a one-time relaunch code
        **Source** RFC 6454, section 7; W3C Fetch Metadata.
        **Touches** may write a login attempt to the store.
        """
        stored = self._form.get("stored", "")
        if not self._is_from_our_page() or not _is_secret(stored, read_flow(self._attempt())):
            raise self._new_tab()
        self.bound_by = "storage"

    def _is_from_our_page(self) -> bool:
        # Browsers send "null" where a policy hides the referrer; no page can write either header.
        origin = self._headers.get("Origin", "null")
        if origin != "null":
            return is_ours(origin, self._launch_url)
        return self._headers.get("Sec-Fetch-Site") == "same-origin"


def _is_secret(value: str, flow: Mapping[str, str]) -> bool:
    return bool(value) and hmac.compare_digest(digest(value), flow["browser"])


# An approved registration wins over one where the deployment only waits for approval.
_PREFERENCE: Mapping[DeploymentState, int] = {"approved": 0, "pending": 1, "unknown": 2}


def _is_alike(one: Platform, other: Platform) -> bool:
    """Say whether two registrations could send the same message: same client, same addresses, same keys."""
    return (one.client_id, one.auth_url, one.token_url, one.jwks_url) == (
        other.client_id,
        other.auth_url,
        other.token_url,
        other.jwks_url,
    )


def _check_resource_link(_body: Mapping[str, Any], parts: Mapping[str, Mapping[str, Any]]) -> None:
    if claims.identifier(parts[claims.RESOURCE_LINK].get("id"), claims.RESOURCE_LINK) is None:
        raise LaunchError("resource_link_missing")


def _check_deep_linking(_body: Mapping[str, Any], parts: Mapping[str, Mapping[str, Any]]) -> None:
    if claims.web_address(parts[claims.DEEP_LINKING_SETTINGS].get("deep_link_return_url")) is None:
        raise LaunchError("deep_link_return_url_missing")
    accepted = claims.texts(parts[claims.DEEP_LINKING_SETTINGS].get("accept_types"))
    if accepted and "ltiResourceLink" not in accepted:
        raise LaunchError(
            "content_type_unsupported", accept_types=[claims.loggable(kind) for kind in accepted[:5]]
        )


def _check_privacy(body: Mapping[str, Any], parts: Mapping[str, Mapping[str, Any]]) -> None:
    if body.get(claims.CONTEXT) is not None:
        raise LaunchError("context_not_allowed")
    _check_for_user(body, parts)


def _check_for_user(_body: Mapping[str, Any], parts: Mapping[str, Mapping[str, Any]]) -> None:
    if claims.identifier(parts[claims.FOR_USER].get("user_id"), claims.FOR_USER) is None:
        raise LaunchError("for_user_missing")


_REQUIREMENTS = {
    "LtiResourceLinkRequest": _check_resource_link,
    "LtiDeepLinkingRequest": _check_deep_linking,
    "DataPrivacyLaunchRequest": _check_privacy,
    "LtiSubmissionReviewRequest": _check_for_user,
}
_CODE_OF_MISSING = {
    claims.VERSION: "version_missing",
    claims.MESSAGE_TYPE: "message_type_missing",
    claims.DEPLOYMENT_ID: "deployment_missing",
    claims.ROLES: "roles_missing",
    "sub": "user_missing",
}
_REQUIRED = ("iss", "aud", *_CODE_OF_MISSING)


# Words of an OIDC error's description that say what it is about; the rest may name a person.
_SUBJECTS = ("redirect_uri", "redirect uri", "client_id", "login_hint", "message_hint", "nonce", "scope")


def _subject_of(description: str) -> str | None:
    lowered = description.lower()
    found = next((word for word in _SUBJECTS if word in lowered), None)
    return None if found is None else found.replace(" ", "_")


def _whole(seconds: float) -> int:
    # Numbers from outside may have hundreds of digits.
    return round(min(max(seconds, -1e10), 1e10))


def _bytes(value: str) -> bytes:
    return value.encode("utf-8", "replace")


def _decode_part(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
