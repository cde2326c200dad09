"""From what is known of an attempt to the likely cause, in words for those who can change settings."""

from collections.abc import Callable, Mapping
from typing import Any

from lti import claims
from lti.ags import SCOPE_SCORE

Facts = Mapping[str, Any]


def diagnose(code: str, details: Facts, shown: Facts) -> list[str]:
    """Say what the likely cause of a refusal is and what to change; of an accepted launch, what it lacks.

    :param code: one of `errors.LAUNCH_CODES`, or "ok"
    :param details: of the `LaunchError`
    :param shown: the claims as `redaction.redacted` shows them
    :return: sentences, the likely cause first; never empty for a refusal
    **Touches** pure.
    """
    if code == "ok":
        return [*_unreplaced(shown), *_services(shown)]
    if code in _CHOSEN:
        code = _CHOSEN[code](details)
    return [_TEXTS.get(code, _UNKNOWN).format_map(_Words(details, code=code))]


class _Words(dict[str, str]):
    """Facts as words for a text; a fact that is not known is a question mark."""

    def __init__(self, facts: Facts, **more: str) -> None:
        durations = {name: _duration(facts[name]) for name in facts if name.endswith("seconds")}
        super().__init__({name: _names(value) for name, value in facts.items()} | durations | more)

    def __missing__(self, name: str) -> str:
        return "?"


def _unreplaced(shown: Facts) -> list[str]:
    found = []
    for claim in (claims.CUSTOM, claims.LIS):
        for name, value in claims.part(shown, claim).items():
            if str(value).startswith(("$", "@X@")) and claims.substituted(value) is None:
                found.append(_TEXTS["variable"].format(name=name, value=value))
    return found


def _services(shown: Facts) -> list[str]:
    if shown.get(claims.MESSAGE_TYPE) != "LtiResourceLinkRequest":
        return []
    scope = claims.part(shown, claims.AGS_ENDPOINT).get("scope")
    lacks = {
        "no_context": claims.CONTEXT not in shown,
        "no_roster": claims.NRPS_SERVICE not in shown,
        "no_gradebook": scope is None,
        "no_scores": scope is not None and SCOPE_SCORE not in scope,
    }
    return [_TEXTS[name] for name, lacking in lacks.items() if lacking]


def _names(value: object) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, list | tuple) else str(value)


def _duration(seconds: object) -> str:
    """Write a duration in the largest unit of which there are at least two."""
    number = float(seconds) if isinstance(seconds, int | float) else 0.0
    for size, unit in ((86_400 * 365, "years"), (86_400, "days"), (3600, "hours"), (60, "minutes")):
        if number >= 2 * size:
            return f"{round(number / size)} {unit}"
    return f"{round(number)} seconds"


def _choose_issuer(facts: Facts) -> str:
    nearly = facts.get("registered_issuer")
    if nearly is None:
        return "issuer_unknown"
    slash = str(facts.get("issuer")).rstrip("/") == str(nearly).rstrip("/")
    return "issuer_slash" if slash else "issuer_nearly"


def _choose_audience(facts: Facts) -> str:
    shared = set(facts.get("audience", ())) & set(facts.get("registered_clients", ()))
    return "audience_of_another_login" if shared else "audience_invalid"


def _clock_or(code: str) -> Callable[[Facts], str]:
    return lambda facts: "clock_ahead" if "platform_behind_seconds" in facts else code


def _choose_oidc(facts: Facts) -> str:
    return "redirect_refused" if facts.get("about") == "redirect_uri" else "oidc_error"


# Codes with more than one likely cause.
_CHOSEN: Mapping[str, Callable[[Facts], str]] = {
    "audience_invalid": _choose_audience,
    "iat_too_old": _clock_or("iat_too_old"),
    "issuer_unknown": _choose_issuer,
    "oidc_error": _choose_oidc,
    "token_expired": _clock_or("token_expired"),
}
_UNKNOWN = "The launch was refused with the code {code}. The claims show what was sent."
_ONCE = (
    "Nothing is wrong with the installation: the page was reloaded or opened from the browser's history. "
    "Opening the activity from the course works."
)
_OF_THE_LMS = " This is a fault of the LMS."
_TEXTS: Mapping[str, str] = {
    # The login.
    "login_incomplete": (
        "The login request lacks these parameters: {missing}; unreadable are: {unreadable}. Was the login "
        "address opened by hand?"
    ),
    "issuer_unknown": (
        "No registration has the issuer {issuer}. Register this platform with exactly that issuer, or remove "
        "the tool there if it is not yours."
    ),
    "issuer_slash": (
        "Registered is the issuer {registered_issuer}, the launch came from {issuer} (trailing slash). Both "
        "must be equal letter by letter: register the platform with the issuer {issuer}."
    ),
    "issuer_nearly": (
        "Registered is the issuer {registered_issuer}, the launch came from {issuer}. Both must be equal "
        "letter by letter: register the platform with the issuer {issuer}."
    ),
    "client_unknown": (
        "Registered for the issuer {issuer} is the client id {registered_clients}, the launch names "
        "{client_id}. Correct the client id, or register once more if the tool was added twice in the LMS."
    ),
    "client_ambiguous": (
        "Several registrations have the issuer {issuer} (client ids: {registered_clients}), and the login "
        "named none of them. Let the LMS send client_id or the deployment's id with the login."
    ),
    "target_link_uri_foreign": (
        "The link leads to {target}, but this tool is at {expected}. Correct the tool's address in the LMS "
        "or, when the tool has moved, its public address here."
    ),
    "relaunch_unknown": _ONCE,
    # The browser and the one-time state.
    "oidc_error": (
        "The platform answered the login with the error {error} (about: {about}). Mostly somebody's session "
        "in the LMS had ended. If everybody sees it, compare the tool's settings there with the registration."
    ),
    "redirect_refused": (
        "The platform does not accept the tool's redirect address. Enter the tool's launch address, which "
        "ends with /lti/launch, as redirect URI in the LMS, letter by letter."
    ),
    "id_token_missing": "The platform posted no id_token." + _OF_THE_LMS,
    "state_missing": (
        "A launch message came without a login before it. Check that the LMS has the tool's login address, "
        "which ends with /lti/login, as its initiate login URL."
    ),
    "state_unknown": _ONCE,
    "state_expired": "More than ten minutes passed between login and launch. Opening it again works.",
    "state_mismatch": (
        "The browser did not show the cookie of this launch, or another browser began it; the person was "
        "offered a new tab. Some LMSs give out a launch only once and show an error there; opening the "
        "activity again from the course works."
    ),
    "cookies_hidden": (
        "The browser keeps no cookies in the LMS' frame, and the LMS offers no storage that works; the "
        "person was offered a new tab. Let the LMS open the tool in a new window to save that click."
    ),
    "cookie_missing": (
        "The browser kept no cookie in the frame; the platform's storage was asked instead. If no accepted "
        "attempt follows, the storage did not answer either."
    ),
    "cookies_blocked": (
        "This browser refuses the tool's cookies even in a tab of its own. Its settings, or the company's "
        "policy, must allow cookies for the tool's site."
    ),
    # The token.
    "request_unreadable": "The posted form is too large or broken (HTTP {status})." + _OF_THE_LMS,
    "token_malformed": "The id_token is no signed JWT." + _OF_THE_LMS,
    "kid_missing": "The token's header has no kid, so the key that signed it is not named." + _OF_THE_LMS,
    "kid_unknown": (
        "The platform signs with a key (kid '{kid}') that its key set at {key_set} does not contain; it has "
        "{published}. Check that the registration names the key set of this very platform: test and "
        "production often have different ones."
    ),
    "key_invalid": (
        "The key '{kid}' in {key_set} is no RSA key of at least 2048 bits for RS256. Let the platform make a "
        "new one."
    ),
    "key_set_unreachable": (
        "The key set at {key_set} cannot be fetched ({problem}). Check the address in the registration, and "
        "that this server may reach it: DNS, firewall, certificate."
    ),
    "algorithm_not_allowed": "The platform signs with {alg}; LTI 1.3 asks for RS256." + _OF_THE_LMS,
    "signature_invalid": (
        "The key set at {key_set} has a key '{kid}', but another one signed the message. The registration "
        "may name the key set of another installation of the LMS."
    ),
    "not_lti": "The token carries no LTI claim. The LMS may use this address for a plain OpenID login.",
    "claims_missing": "The message lacks: {missing}. Check the tool's (privacy) settings in the LMS.",
    "claim_invalid": "The claim {claim} has the wrong form." + _OF_THE_LMS,
    "id_too_long": "The claim {claim} has more than the 255 characters that LTI allows." + _OF_THE_LMS,
    "audience_invalid": (
        "The client id {registered_clients} is registered, the launch names {audience}. Correct the client "
        "id of the registration."
    ),
    "audience_of_another_login": (
        "Login and launch belong to two different registrations; the launch is for {audience}. Look for two "
        "copies of the tool in the LMS that share addresses."
    ),
    "azp_missing": "The message has several audiences and no azp claim." + _OF_THE_LMS,
    "azp_invalid": (
        "The message is authorised (azp) for the client id {azp}, registered is {client_id}. Correct the "
        "client id of the registration."
    ),
    "exp_missing": "The message has no usable exp claim." + _OF_THE_LMS,
    "iat_missing": "The message has no usable iat claim." + _OF_THE_LMS,
    "clock_ahead": (
        "This server's clock is at least {platform_behind_seconds} ahead of the platform's. Let both "
        "machines set their clocks by NTP."
    ),
    "token_expired": (
        "The message was good until {seconds} before it came. Either it waited on its way, or this server's "
        "clock is ahead of the platform's: compare both."
    ),
    "iat_too_old": "The message was {seconds} old when it came. Compare the clocks of both machines.",
    "iat_in_future": (
        "This server's clock is {seconds} behind the platform's. Let both machines set their clocks by NTP."
    ),
    "nonce_missing": "The message has no nonce, though the login gave one." + _OF_THE_LMS,
    "nonce_invalid": (
        "The message answers another login than the one it came with: two openings at the same moment got "
        "mixed up, or somebody sent an old message again."
    ),
    # The LTI message.
    "version_missing": "The message has no version claim." + _OF_THE_LMS,
    "version_invalid": "The message has the LTI version {version}. Set the tool to LTI 1.3 in the LMS.",
    "message_type_missing": "The message has no message_type claim." + _OF_THE_LMS,
    "message_type_unknown": "The message has the type {message_type}, which LTI does not know." + _OF_THE_LMS,
    "deployment_missing": "The message names no deployment_id." + _OF_THE_LMS,
    "roles_missing": "The message has no roles claim; LTI asks for one, even an empty one." + _OF_THE_LMS,
    "resource_link_missing": "The message does not name its resource link." + _OF_THE_LMS,
    "user_missing": (
        "The message has no sub claim. Let the LMS give the user's id to this tool; it may be that the "
        "activity was opened without signing in."
    ),
    "content_type_unsupported": (
        "The LMS asked for {accept_types}; this tool gives ltiResourceLink. Use it where the LMS adds links "
        "or activities, not files or pictures."
    ),
    "deep_link_return_url_missing": "The LMS gave no usable deep_link_return_url." + _OF_THE_LMS,
    "context_not_allowed": "A privacy launch names a course." + _OF_THE_LMS,
    "for_user_missing": "The message does not name the user whose work is meant." + _OF_THE_LMS,
    "message_invalid": "The message breaks a rule of its type: {rule}." + _OF_THE_LMS,
    # Decided by the application.
    "deployment_pending": "The deployment {deployment_id} waits for approval. Approve it if it is yours.",
    "message_type_unsupported": (
        "The LMS sent a {message_type}, which this tool does not offer. Remove that placement in the LMS."
    ),
    "review_not_allowed": "A learner asked for the work of somebody else." + _OF_THE_LMS,
    "learner_unknown": (
        "The person whose work was asked for never opened the tool, or the HR roster does not say who they "
        "are. The course's page of people lists such members with the reason."
    ),
    "role_not_allowed": "Somebody without a teacher's role tried to put the activity into a course.",
    "fault": "A fault of the tool: {kind} at {where}. Please report this line to its makers.",
    # What an accepted launch lacks.
    "variable": (
        "The parameter {name} came unsubstituted: the LMS does not know the variable {value}, or may not "
        "give it to this tool. Check its spelling, with capitals, and the tool's privacy settings in the LMS."
    ),
    "no_context": "The launch names no course, so nothing that belongs to a course works in it.",
    "no_roster": (
        "The launch offers no course roster. Switch Names and Role Provisioning Services on for the tool in "
        "the LMS."
    ),
    "no_gradebook": (
        "The launch offers no gradebook. Switch Assignment and Grade Services on for the tool in the LMS."
    ),
    "no_scores": "The LMS does not let the tool write scores. Allow it in the tool's settings there.",
}
