"""What can go wrong in LTI, typed by what the caller must do next, and the words for people."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from lti.storage import StorageQuestion

_ADMIN = "Please send the reference below to the administrator of the learning platform."
_REOPEN = "Open the activity again from your course."

# code -> (HTTP status, what happened, what to do). The texts are for the person in front of the screen.
LAUNCH_CODES: Mapping[str, tuple[int, str, str]] = MappingProxyType(
    {
        # The login request that starts a launch.
        "login_incomplete": (400, "The learning platform sent an incomplete login request.", _ADMIN),
        "issuer_unknown": (403, "This learning platform is not registered here.", _ADMIN),
        "client_unknown": (
            403,
            "The learning platform uses a client id that is not registered here.",
            _ADMIN,
        ),
        "client_ambiguous": (
            403,
            "Several registrations fit this learning platform, and it did not say which one it means.",
            _ADMIN,
        ),
        "target_link_uri_foreign": (403, "The link in the course points to another site.", _ADMIN),
        "relaunch_unknown": (410, "This link has already been used or is too old.", _REOPEN),
        # The browser and the one-time state.
        "oidc_error": (403, "The learning platform refused to start the activity.", _REOPEN),
        "id_token_missing": (400, "The learning platform sent no launch message.", _REOPEN),
        "state_missing": (400, "This address works only as a part of a launch.", _REOPEN),
        "state_unknown": (
            403,
            "This launch has already been used, as after going back or reloading, or did not start here.",
            _REOPEN,
        ),
        "state_expired": (403, "The launch took too long.", _REOPEN),
        "state_mismatch": (
            403,
            "Your browser did not show the cookie that belongs to this launch.",
            "Open the activity in a new tab.",
        ),
        "cookie_missing": (
            403,
            "Your browser did not show the cookie that belongs to this launch.",
            _REOPEN,
        ),
        "cookies_blocked": (
            403,
            "Your browser keeps no cookies for this site, not even in a tab of its own.",
            "Allow cookies for this site, then open the activity again from your course.",
        ),
        # The token as such.
        "token_malformed": (400, "The launch message cannot be read.", _ADMIN),
        "kid_missing": (401, "The launch message does not name the key that signed it.", _ADMIN),
        "kid_unknown": (
            401,
            "The launch message is signed with a key that the platform does not publish.",
            _ADMIN,
        ),
        "key_invalid": (401, "The key that the platform publishes is too weak or of the wrong kind.", _ADMIN),
        "key_set_unreachable": (
            503,
            "The keys of the learning platform cannot be fetched at the moment.",
            "Try again in a minute. If it goes on, send the reference below to the administrator.",
        ),
        "algorithm_not_allowed": (401, "The launch message is signed in a way that is not allowed.", _ADMIN),
        "signature_invalid": (401, "The signature of the launch message is wrong.", _ADMIN),
        "not_lti": (400, "The message is no LTI message.", _ADMIN),
        "claims_missing": (400, "The launch message lacks required claims.", _ADMIN),
        "claim_invalid": (400, "A claim of the launch message has the wrong form.", _ADMIN),
        "id_too_long": (400, "An identifier in the launch message is longer than 255 characters.", _ADMIN),
        "audience_invalid": (403, "The launch message is meant for another tool.", _ADMIN),
        "azp_missing": (
            403,
            "The launch message is meant for several tools and does not say for which.",
            _ADMIN,
        ),
        "azp_invalid": (403, "The launch message is authorised for another tool.", _ADMIN),
        "exp_missing": (400, "The launch message has no expiry time.", _ADMIN),
        "iat_missing": (400, "The launch message does not say when it was issued.", _ADMIN),
        "token_expired": (401, "The launch message has expired.", _REOPEN),
        "iat_too_old": (401, "The launch message is too old.", _REOPEN),
        "iat_in_future": (401, "The launch message comes from the future: a clock is wrong.", _ADMIN),
        "nonce_missing": (400, "The launch message has no nonce.", _ADMIN),
        "nonce_invalid": (403, "The launch message does not answer this login.", _REOPEN),
        # The LTI message.
        "version_missing": (400, "The launch message does not name its LTI version.", _ADMIN),
        "version_invalid": (400, "The launch message has another LTI version than 1.3.0.", _ADMIN),
        "message_type_missing": (400, "The launch message does not name its type.", _ADMIN),
        "message_type_unknown": (
            400,
            "The launch message is of a type that this tool does not know.",
            _ADMIN,
        ),
        "deployment_missing": (400, "The launch message does not name its deployment.", _ADMIN),
        "roles_missing": (400, "The launch message has no roles claim.", _ADMIN),
        "resource_link_missing": (400, "The launch message does not name the link in the course.", _ADMIN),
        "user_missing": (403, "The launch message does not say who you are.", _ADMIN),
        "deep_link_return_url_missing": (
            400,
            "The platform asks for content but not where to return it.",
            _ADMIN,
        ),
        "context_not_allowed": (400, "A privacy launch must not name a course.", _ADMIN),
        "for_user_missing": (400, "The launch message does not say whose work is meant.", _ADMIN),
        "message_invalid": (400, "The launch message lacks a part that its type requires.", _ADMIN),
    }
)


class LtiError(Exception):
    """Root of everything that this package raises on purpose."""


class LaunchError(LtiError):
    """A login or launch was refused.

    :ivar code: one of `LAUNCH_CODES`
    :ivar status: HTTP status that fits
    :ivar message: two or three sentences for the person in front of the screen
    :ivar details: names of claims and other facts that are safe to log; never a token, a name or an e-mail
    :ivar relaunch_code: with `state_mismatch` only: the one-time code of `/lti/relaunch/<code>`
    :ivar storage: with `cookie_missing` only: what to ask the platform's storage for
    :ivar platform_key: the registration's key once it is known, else None
    :ivar claim_names: names (never values) of the claims that were sent
    """

    def __init__(
        self,
        code: str,
        *,
        relaunch_code: str | None = None,
        storage: StorageQuestion | None = None,
        **details: object,
    ) -> None:
        self.status, happened, to_do = LAUNCH_CODES[code]
        self.code = code
        self.message = f"{happened} Nothing was lost. {to_do}"
        self.details: Mapping[str, object] = details
        self.relaunch_code = relaunch_code
        self.storage = storage
        self.platform_key: str | None = None
        self.claim_names: tuple[str, ...] = ()
        super().__init__(f"{code}: {self.message}")


class ServiceError(LtiError):
    """A service of the platform did not do what was asked.

    :ivar code: network, token_refused, unauthorised, redirected, refused, unavailable, bad_answer, page_loop
    :ivar status: HTTP status of the answer, None when there was none
    :ivar retriable: True when the same call may succeed later
    :ivar retry_after: seconds that the platform asked to wait, None when it did not say
    :ivar method: HTTP method
    :ivar url: address without its query string, which may carry personal data
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        method: str,
        url: str,
        status: int | None = None,
        retriable: bool = False,
        retry_after: float | None = None,
    ) -> None:
        self.code = code
        self.status = status
        self.retriable = retriable
        self.retry_after = retry_after
        self.method = method
        self.url = url.partition("?")[0]
        answer = f"HTTP {status}" if status is not None else "no answer"
        super().__init__(f"{message} ({self.method} {self.url}: {answer})")

    def __reduce__(self) -> tuple[Any, ...]:
        return _service_error, (self.code, str(self), self.__dict__)


def _service_error(code: str, text: str, state: dict[str, Any]) -> ServiceError:
    """Rebuild a pickled error; background workers hand errors from process to process."""
    error = ServiceError(code, text, method=state["method"], url=state["url"])
    error.__dict__.update(state)
    error.args = (text,)
    return error
