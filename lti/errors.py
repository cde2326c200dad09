"""What can go wrong in LTI, typed by what the caller must do next, and the words for people."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from lti.storage import StorageQuestion

_LMS = (
    "The administrator of the learning platform can mend this. Please send them the reference below; the "
    "tool's administrator can look up with it what is wrong."
)
_TOOL = "The administrator of this tool can mend this. Please send them the reference below."
_BOTH = (
    "The administrators of the learning platform and of this tool can mend this together. Please send them "
    "the reference below."
)
_TEACHER = (
    "The teacher who put the activity into the course can mend this, by adding it anew. If that does not "
    "help, send the reference below to the administrator of the learning platform."
)
_REOPEN = "You can mend this yourself: open the activity again from your course."
_LEARNER = (
    "The learner can mend this, by opening the activity once. If that does not help, send the reference "
    "below to the administrator of this tool."
)
_REOPEN_OR_ADMIN = (
    "Open the activity again from your course. If this page comes back, send the reference below to the "
    "administrator of the learning platform."
)
_WAIT = (
    "Try again in a minute. If it goes on, the administrators of the learning platform and of this tool can "
    "mend it; send them the reference below."
)
_AGAIN = (
    "Open the activity again from your course. If this page comes back, the administrator of this tool can "
    "mend it; send them the reference below."
)

# code -> (HTTP status, what happened, who can mend it and how). The texts are for the person in front of the
# screen, who can seldom do more than reopen the activity or tell somebody.
LAUNCH_CODES: Mapping[str, tuple[int, str, str]] = MappingProxyType(
    {
        # The login request that starts a launch.
        "login_incomplete": (400, "The learning platform sent an incomplete login request.", _LMS),
        "issuer_unknown": (403, "This learning platform is not registered here.", _TOOL),
        "client_unknown": (
            403,
            "The learning platform is known here, but it uses a client id that is not registered.",
            _BOTH,
        ),
        "client_ambiguous": (
            403,
            "Several registrations fit this learning platform, and it did not say which one it means.",
            _BOTH,
        ),
        "target_link_uri_foreign": (403, "The link in the course points to another site.", _TEACHER),
        "relaunch_unknown": (410, "This link has already been used, or it is older than a minute.", _REOPEN),
        # The browser and the one-time state.
        "oidc_error": (403, "The learning platform refused to start the activity.", _REOPEN_OR_ADMIN),
        "id_token_missing": (400, "The learning platform sent no launch message.", _REOPEN_OR_ADMIN),
        "state_missing": (400, "This address works only as a part of a launch.", _REOPEN),
        "state_unknown": (
            403,
            "This opening of the activity was used before: the page was reloaded, or you went back to it.",
            _REOPEN,
        ),
        "state_expired": (403, "Opening the activity took more than ten minutes.", _REOPEN),
        "state_mismatch": (
            403,
            "Your browser did not show the cookie that belongs to this launch.",
            "You can mend this yourself: open the activity in a new tab.",
        ),
        "cookies_hidden": (
            403,
            "Your browser keeps no cookies for this site inside the page of the learning platform.",
            "You can mend this yourself: open the activity in a new tab.",
        ),
        "cookie_missing": (
            403,
            "Your browser did not show the cookie that belongs to this launch.",
            _REOPEN,
        ),
        "cookies_blocked": (
            403,
            "Your browser keeps no cookies for this site, not even in a tab of its own.",
            "You can mend this yourself: allow cookies for this site, then open the activity again.",
        ),
        # The token as such.
        "request_unreadable": (400, "What was sent is too large or cannot be read.", _LMS),
        "token_malformed": (400, "The launch message cannot be read.", _LMS),
        "kid_missing": (401, "The launch message does not name the key that signed it.", _LMS),
        "kid_unknown": (
            401,
            "The launch message is signed with a key that the platform does not publish.",
            _BOTH,
        ),
        "key_invalid": (401, "The key that the platform publishes is too weak or of the wrong kind.", _LMS),
        "key_set_unreachable": (
            503,
            "The keys of the learning platform cannot be fetched at the moment.",
            _WAIT,
        ),
        "algorithm_not_allowed": (401, "The launch message is signed in a way that is not allowed.", _LMS),
        "signature_invalid": (401, "The signature of the launch message is wrong.", _LMS),
        "not_lti": (400, "The message is no LTI message.", _LMS),
        "claims_missing": (400, "The launch message lacks required claims.", _LMS),
        "claim_invalid": (400, "A claim of the launch message has the wrong form.", _LMS),
        "id_too_long": (400, "An identifier in the launch message is longer than 255 characters.", _LMS),
        "audience_invalid": (403, "The launch message is meant for another tool.", _BOTH),
        "azp_missing": (403, "The launch message is for several tools and does not say for which.", _LMS),
        "azp_invalid": (403, "The launch message is authorised for another tool.", _LMS),
        "exp_missing": (400, "The launch message has no expiry time.", _LMS),
        "iat_missing": (400, "The launch message does not say when it was issued.", _LMS),
        "token_expired": (401, "The launch message has expired.", _REOPEN_OR_ADMIN),
        "iat_too_old": (401, "The launch message is too old.", _REOPEN_OR_ADMIN),
        "iat_in_future": (401, "The launch message comes from the future: a clock is wrong.", _BOTH),
        "nonce_missing": (400, "The launch message has no nonce.", _LMS),
        "nonce_invalid": (403, "The launch message does not answer this login.", _REOPEN_OR_ADMIN),
        # The LTI message.
        "version_missing": (400, "The launch message does not name its LTI version.", _LMS),
        "version_invalid": (400, "The launch message has another LTI version than 1.3.0.", _LMS),
        "message_type_missing": (400, "The launch message does not name its type.", _LMS),
        "message_type_unknown": (400, "The launch message is of a type that LTI does not know.", _LMS),
        "deployment_missing": (400, "The launch message does not name its deployment.", _LMS),
        "roles_missing": (400, "The launch message has no roles claim.", _LMS),
        "resource_link_missing": (400, "The launch message does not name the link in the course.", _LMS),
        "user_missing": (
            403,
            "The learning platform did not say who you are, and the activity needs to know who takes part.",
            _LMS,
        ),
        "content_type_unsupported": (
            400,
            "The platform asks for a kind of content that this tool does not offer. It offers links.",
            _LMS,
        ),
        "review_not_allowed": (
            403,
            "Only the people who run the course can look at somebody else's credits.",
            "You can mend this yourself: open the activity from your course to see your own.",
        ),
        "learner_unknown": (
            404,
            "This learner is not known here: they have not opened the activity, or could not be recognised.",
            _LEARNER,
        ),
        "deep_link_return_url_missing": (
            400,
            "The platform asks for content but not where to return it.",
            _LMS,
        ),
        "context_not_allowed": (400, "A privacy launch must not name a course.", _LMS),
        "for_user_missing": (400, "The launch message does not say whose work is meant.", _LMS),
        "message_invalid": (400, "The launch message lacks a part that its type requires.", _LMS),
        # Decided by the application, for launches that are right as far as LTI goes.
        "deployment_pending": (
            403,
            "The activity was added in a new place of the learning platform, which must be approved first.",
            "The administrator of this tool can do that; send them the reference below, then try again.",
        ),
        "message_type_unsupported": (
            400,
            "The learning platform asked for something that this tool does not offer.",
            _REOPEN_OR_ADMIN,
        ),
        "role_not_allowed": (
            403,
            "Only teachers can add the activity to a course.",
            "The people who run the course can do it; ask them.",
        ),
        "fault": (
            500,
            "Something went wrong on our side.",
            _AGAIN,
        ),
    }
)
# Nothing is wrong with the installation: whoever opens the activity again from the course gets in.
REOPEN_CODES = frozenset(code for code, (_, _, to_do) in LAUNCH_CODES.items() if to_do == _REOPEN)

_ANEW = "Start it again in your LMS."
# code -> (HTTP status, what happened, what to do). For an administrator who registers the tool (LTI Dynamic
# Registration); nothing was registered unless the text says so.
REGISTRATION_CODES: Mapping[str, tuple[int, str, str]] = MappingProxyType(
    {
        "address_invalid": (
            400,
            "The LMS named no usable https address for its configuration.",
            "Check that the LMS is reached by https, then start it again there.",
        ),
        "configuration_unreachable": (
            502,
            "The configuration of the LMS could not be fetched.",
            "Check that this tool may reach the LMS through your network, then start it again there.",
        ),
        "configuration_refused": (
            502,
            "The LMS did not give out its configuration; the permission may be too old.",
            _ANEW,
        ),
        "configuration_invalid": (
            502,
            "The configuration of the LMS lacks something or cannot be read.",
            "Register the tool by hand.",
        ),
        "issuer_mismatch": (
            403,
            "The configuration names an issuer that belongs to another site than the one it came from.",
            "In a Canvas of your own, set lti_iss in security.yml to its address. Else register by hand.",
        ),
        "registration_unsupported": (
            502,
            "This LMS has no address at which tools can register by themselves.",
            "Register the tool by hand.",
        ),
        "registration_unreachable": (
            502,
            "The LMS did not answer the registration. It may have registered the tool all the same.",
            "Look at its list of tools, remove a new entry, then start it again there.",
        ),
        "token_already_used": (
            409,
            "The LMS says that this permission was used before.",
            "Look at its list of tools. If the tool is not there, start it again there.",
        ),
        "registration_refused": (502, "The LMS refused the registration.", _ANEW),
        "answer_invalid": (
            502,
            "The LMS registered the tool, but its answer lacks the client id or cannot be read.",
            "Open the tool in the LMS' list of tools, and enter the values that it shows here by hand.",
        ),
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
    :ivar claims: the message as `redaction.redacted` shows it, empty when it could not be read
    """

    def __init__(
        self,
        code: str,
        *,
        relaunch_code: str | None = None,
        storage: StorageQuestion | None = None,
        **details: Any,
    ) -> None:
        self.status, happened, to_do = LAUNCH_CODES[code]
        self.code = code
        self.message = f"{happened} Nothing was lost. {to_do}"
        self.details: Mapping[str, object] = {
            name: value for name, value in details.items() if value is not None
        }
        self.relaunch_code = relaunch_code
        self.storage = storage
        self.platform_key: str | None = None
        self.claim_names: tuple[str, ...] = ()
        self.claims: Mapping[str, Any] = {}
        super().__init__(f"{code}: {self.message}")


class RegistrationError(LtiError):
    """The tool could not be registered with a platform.

    :ivar code: one of `REGISTRATION_CODES`
    :ivar status: HTTP status that fits
    :ivar message: what happened and what to do, for the administrator who registers the tool
    :ivar details: facts that are safe to show and log: HTTP status, names of members, the platform's own code
    """

    def __init__(self, code: str, **details: object) -> None:
        self.status, happened, to_do = REGISTRATION_CODES[code]
        self.code = code
        self.message = f"{happened} {to_do}"
        self.details: Mapping[str, object] = details
        super().__init__(f"{code}: {self.message}")


class ServiceError(LtiError):
    """A service of the platform did not do what was asked.

    :ivar code: network, token_refused, unauthorised, redirected, refused, unavailable, bad_answer, page_loop
    :ivar status: HTTP status of the answer, None when there was none
    :ivar retriable: True when the same call may succeed later
    :ivar retry_after: seconds that the platform asked to wait, None when it did not say
    :ivar method: HTTP method
    :ivar url: address without its query string, which may carry personal data
    :ivar reason: with `token_refused`: the OAuth error code that the platform gave, such as "invalid_scope";
        None when it gave none
    :ivar description: with `token_refused`: the platform's own words for it, fit to be shown; else None. They
        are no part of the error's text, so that no log repeats them
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
        reason: str | None = None,
        description: str | None = None,
    ) -> None:
        self.code = code
        self.reason = reason
        self.description = description
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
