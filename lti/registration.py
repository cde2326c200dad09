"""LTI Dynamic Registration 1.0: the tool and a platform tell each other about themselves."""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any
from urllib.parse import SplitResult, urlsplit

import requests

from lti import claims
from lti.answers import json_object, read_body
from lti.errors import RegistrationError

TOOL_CONFIGURATION = "https://purl.imsglobal.org/spec/lti-tool-configuration"
PLATFORM_CONFIGURATION = "https://purl.imsglobal.org/spec/lti-platform-configuration"
CANVAS = "https://canvas.instructure.com/lti/"
CONNECT_AND_READ_SECONDS = (3.05, 10.0)
MAXIMUM_BYTES = 512 * 1024
MAXIMUM_ADDRESS_LENGTH = 2000
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
# Issuers that a vendor uses for all its customers, and the domains that may speak for them.
SHARED_ISSUERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "https://canvas.instructure.com": (".instructure.com", ".canvaslms.com"),
        "https://canvas.beta.instructure.com": (".instructure.com", ".canvaslms.com"),
        "https://canvas.test.instructure.com": (".instructure.com", ".canvaslms.com"),
        "https://blackboard.com": (".blackboard.com", ".anthology.com"),
        "https://schoology.schoology.com": (".schoology.com",),
    }
)
# Token address -> audience of client assertions where it is another one (Brightspace).
AUDIENCES: Mapping[str, str] = MappingProxyType(
    {"https://auth.brightspace.com/core/connect/token": "https://api.brightspace.com/auth/token"}
)
# Part of a product_family_code or issuer, in lower case -> family of `platforms.Platform`.
_FAMILIES = (
    ("moodle", "moodle"),
    ("canvas", "canvas"),
    ("instructure", "canvas"),
    ("desire2learn", "brightspace"),
    ("brightspace", "brightspace"),
    ("d2l", "brightspace"),
    ("blackboard", "blackboard"),
    ("sakai", "sakai"),
    ("schoology", "schoology"),
    ("open edx", "openedx"),
    ("openedx", "openedx"),
    ("open-edx", "openedx"),
)
_SERVICES = "https://purl.imsglobal.org/spec/"
_ALWAYS = ("iss", "sub")
_PERSONAL = ("name", "given_name", "family_name", "email")
_STANDARD_VARIABLES = frozenset(
    {"User", "Person", "Context", "ResourceLink", "CourseSection", "CourseOffering", "Membership", "Message"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformConfiguration:
    """What a platform says about itself before the tool registers.

    :param token_audience: `aud` of client assertions; None means the token URL
    :param family: see `platforms.Platform`
    :param has_canvas_extensions: it speaks Canvas' extensions of the registration
    :param name: what people call it; its host when it does not say
    :param scopes: None when it names no scope of an LTI service; likewise `claims`, `messages`, `variables`
    :param messages: message type -> placements, which only Canvas names
    :param variables: names without the leading "$"
    """

    issuer: str
    auth_url: str
    token_url: str
    jwks_url: str
    registration_url: str
    token_audience: str | None = None
    family: str = "generic"
    has_canvas_extensions: bool = False
    name: str
    scopes: frozenset[str] | None = None
    claims: frozenset[str] | None = None
    messages: Mapping[str, frozenset[str]] | None = None
    variables: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """What the tool says about itself.

    :param claims: personal claims that it wants, such as "name"
    :param custom: name of a parameter -> variables without "$", the best first
    :param placements: message type -> Canvas placements
    """

    name: str
    description: str
    url: str
    login_url: str
    launch_url: str
    deep_link_url: str
    jwks_url: str
    scopes: Sequence[str]
    claims: Sequence[str]
    custom: Mapping[str, Sequence[str]]
    placements: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Registration:
    """What came of a registration.

    :param deployment_id: None when the platform makes its deployments later (Canvas, Brightspace)
    :param scopes: granted; what was asked for when the answer does not say
    :param custom: parameters that every launch will carry, as they were asked for
    """

    platform: PlatformConfiguration
    client_id: str
    deployment_id: str | None
    scopes: tuple[str, ...]
    custom: Mapping[str, str] = field(default_factory=dict)


def read_configuration(
    http: requests.Session, url: str, token: str | None, *, loopback: bool = False
) -> PlatformConfiguration:
    """Fetch and check the openid configuration that a registration begins with.

    :param url: `openid_configuration` of the request
    :param token: `registration_token`; Canvas wants it here, too; Brightspace sends none
    :param loopback: accept http at loopback addresses, for a tool that runs there itself
    :raises RegistrationError: address_invalid, configuration_*, issuer_mismatch, registration_unsupported
    **Source** LTI Dynamic Registration 1.0, section 3.4; OpenID Connect Discovery 1.0, section 3.
    **Touches** calls the platform.
    """
    if not _is_address(url, loopback=loopback):
        raise RegistrationError("address_invalid")
    try:
        status, body = _send(http, "GET", url, token)
    except (requests.RequestException, ValueError) as error:
        raise RegistrationError("configuration_unreachable", kind=type(error).__name__) from None
    if status in (401, 403):
        raise RegistrationError("configuration_refused", status=status)
    if status != 200:
        raise RegistrationError("configuration_unreachable", status=status)
    return parse_configuration(_object(body, "configuration_invalid"), url, loopback=loopback)


def parse_configuration(
    document: Mapping[str, Any], url: str, *, loopback: bool = False
) -> PlatformConfiguration:
    """Check a decoded openid configuration.

    :param url: where it came from; the issuer must be of the same host, or a vendor's shared one
    :raises RegistrationError: configuration_invalid, issuer_mismatch, registration_unsupported
    **Source** LTI Dynamic Registration 1.0, section 3.4. **Touches** pure.
    """
    issuer = document.get("issuer")
    if not isinstance(issuer, str) or not _is_address(issuer, loopback=loopback):
        raise RegistrationError("configuration_invalid", member="issuer")
    if not _may_speak_for(url, issuer):
        raise RegistrationError("issuer_mismatch")
    if not document.get("registration_endpoint"):
        raise RegistrationError("registration_unsupported")
    addresses: dict[str, str] = {}
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri", "registration_endpoint"):
        address = document.get(name)
        if not isinstance(address, str) or not _is_address(address, loopback=loopback):
            raise RegistrationError("configuration_invalid", member=name)
        addresses[name] = address
    own = claims.part(document, PLATFORM_CONFIGURATION)
    code = claims.text(own.get("product_family_code")) or ""
    # Canvas names a bare host here, but wants its token address as audience.
    audience = claims.web_address(document.get("authorization_server"))
    token_url = addresses["token_endpoint"]
    return PlatformConfiguration(
        issuer=issuer,
        auth_url=addresses["authorization_endpoint"],
        token_url=token_url,
        jwks_url=addresses["jwks_uri"],
        registration_url=addresses["registration_endpoint"],
        token_audience=AUDIENCES.get(token_url) if audience in (None, token_url) else audience,
        family=family_of(code, issuer),
        has_canvas_extensions=any(name.startswith(CANVAS) for name in own),
        name=_short(own.get(CANVAS + "account_name")) or urlsplit(url).hostname or "LMS",
        scopes=_listed(document.get("scopes_supported"), lambda item: item.startswith(_SERVICES)),
        claims=_listed(document.get("claims_supported"), lambda item: item in _PERSONAL),
        messages=_messages(own.get("messages_supported")),
        variables=_listed([item.removeprefix("$") for item in claims.texts(own.get("variables"))]),
    )


def family_of(*hints: str) -> str:
    """Name the product family by a product_family_code, an issuer or another address; else "generic".

    **Touches** pure.
    """
    for hint in hints:
        lowered = hint.casefold()
        for part, family in _FAMILIES:
            if part in lowered:
                return family
    return "generic"


def build_request(tool: Tool, platform: PlatformConfiguration) -> dict[str, Any]:
    """Build the registration document: what the tool wants, as far as the platform offers it.

    :return: JSON-ready
    **Source** LTI Dynamic Registration 1.0, section 3.5; for Canvas its registration guide. **Touches** pure.
    """
    configuration: dict[str, Any] = {
        # Moodle matches links by it, with the port when there is one.
        "domain": urlsplit(tool.launch_url).netloc,
        "description": tool.description,
        "target_link_uri": tool.launch_url,
        "claims": [*_ALWAYS, *_offered(tool.claims, platform.claims)],
        "messages": _ask_for_messages(tool, platform),
    }
    custom = custom_parameters(tool, platform.variables)
    if custom:
        configuration["custom_parameters"] = dict(custom)
    if platform.has_canvas_extensions:
        configuration[CANVAS + "privacy_level"] = "public"
    return {
        "application_type": "web",
        "response_types": ["id_token"],
        "grant_types": ["client_credentials", "implicit"],
        "initiate_login_uri": tool.login_url,
        "redirect_uris": [tool.launch_url],
        "client_name": tool.name,
        "client_uri": tool.url,
        "jwks_uri": tool.jwks_url,
        "token_endpoint_auth_method": "private_key_jwt",
        "scope": " ".join(_offered(tool.scopes, platform.scopes)),
        TOOL_CONFIGURATION: configuration,
    }


def custom_parameters(tool: Tool, variables: frozenset[str] | None) -> Mapping[str, str]:
    """Choose for each parameter the best variable that the platform can fill in.

    :param variables: None when it does not say; then the first one of the LTI vocabulary
    :return: name -> "$Variable"
    **Source** LTI Core 1.3, section 6.2. **Touches** pure.
    """
    chosen: dict[str, str] = {}
    for name, candidates in tool.custom.items():
        for candidate in candidates:
            is_standard = candidate.partition(".")[0] in _STANDARD_VARIABLES
            offered = candidate in variables if variables is not None else is_standard
            # The same value twice would only be sent twice.
            if offered and f"${candidate}" not in chosen.values():
                chosen[name] = f"${candidate}"
                break
    return chosen


def register(
    http: requests.Session, platform: PlatformConfiguration, request: Mapping[str, Any], token: str | None
) -> Registration:
    """Register the tool.

    :param request: from `build_request`
    :param token: None when none was sent (Brightspace)
    :raises RegistrationError: registration_unreachable, token_already_used, registration_refused,
        answer_invalid
    **Source** LTI Dynamic Registration 1.0, section 3.6. **Touches** calls the platform, which adds the tool.
    """
    try:
        status, body = _send(http, "POST", platform.registration_url, token, request)
    except (requests.RequestException, ValueError) as error:
        raise RegistrationError("registration_unreachable", kind=type(error).__name__) from None
    # Moodle answers 200, the specification says 201.
    if status not in (200, 201):
        raise _refusal(status, body)
    return parse_answer(_object(body, "answer_invalid"), platform, request)


def parse_answer(
    document: Mapping[str, Any], platform: PlatformConfiguration, request: Mapping[str, Any]
) -> Registration:
    """Read the answer to a registration.

    :raises RegistrationError: answer_invalid
    **Source** LTI Dynamic Registration 1.0, section 3.6. **Touches** pure.
    """
    own = claims.part(document, TOOL_CONFIGURATION)
    client_id = _identifier(document.get("client_id"))
    if client_id is None:
        raise RegistrationError("answer_invalid", member="client_id")
    granted = document.get("scope")
    scopes = granted.split() if isinstance(granted, str) else claims.texts(granted)
    return Registration(
        platform=platform,
        client_id=client_id,
        # Canvas writes it beside the tool's configuration, when it makes one at all.
        deployment_id=_identifier(own.get("deployment_id")) or _identifier(document.get("deployment_id")),
        scopes=tuple(scopes) if granted is not None else tuple(request["scope"].split()),
        custom=request[TOOL_CONFIGURATION].get("custom_parameters", {}),
    )


def canvas_configuration(tool: Tool) -> dict[str, Any]:
    """Describe the tool for "Enter URL" and "Paste JSON" of a Canvas LTI key.

    **Source** Canvas LMS documentation, "Manually Configuring LTI Advantage Tools". **Touches** pure.
    """
    placements = []
    for message_type, names in tool.placements.items():
        address = tool.deep_link_url if message_type == "LtiDeepLinkingRequest" else tool.launch_url
        for name in names:
            placement = {
                "placement": name,
                "message_type": message_type,
                "target_link_uri": address,
                "text": tool.name,
                "enabled": True,
            }
            if name == "course_navigation":
                # An account-wide key would otherwise put a link into every course.
                placement["default"] = "disabled"
            placements.append(placement)
    return {
        "title": tool.name,
        "description": tool.description,
        "oidc_initiation_url": tool.login_url,
        "target_link_uri": tool.launch_url,
        "public_jwk_url": tool.jwks_url,
        "scopes": list(tool.scopes),
        "custom_fields": {name: f"${variables[0]}" for name, variables in tool.custom.items()},
        "extensions": [
            {
                "platform": "canvas.instructure.com",
                "domain": urlsplit(tool.launch_url).netloc,
                "tool_id": tool.name.casefold().replace(" ", "-"),
                "privacy_level": "public",
                "settings": {"text": tool.name, "placements": placements},
            }
        ],
    }


def _ask_for_messages(tool: Tool, platform: PlatformConfiguration) -> list[dict[str, Any]]:
    asked = []
    for message_type, wanted in tool.placements.items():
        if platform.messages is not None and message_type not in platform.messages:
            continue
        deep = message_type == "LtiDeepLinkingRequest"
        message: dict[str, Any] = {
            "type": message_type,
            "target_link_uri": tool.deep_link_url if deep else tool.launch_url,
            "label": tool.name,
        }
        if platform.has_canvas_extensions:
            offered = (platform.messages or {}).get(message_type)
            message["placements"] = _offered(wanted, offered or None)
            if "course_navigation" in message["placements"]:
                message[CANVAS + "course_navigation/default_enabled"] = False
        asked.append(message)
    return asked


def _offered(wanted: Iterable[str], offered: frozenset[str] | None) -> list[str]:
    return [item for item in wanted if offered is None or item in offered]


def _messages(value: object) -> Mapping[str, frozenset[str]] | None:
    """Read messages_supported: objects by the specification, plain words from Moodle."""
    found: dict[str, frozenset[str]] = {}
    for item in value if isinstance(value, list) else ():
        if isinstance(item, str):
            found[item] = frozenset()
        elif isinstance(item, dict) and isinstance(item.get("type"), str):
            found[item["type"]] = frozenset(claims.texts(item.get("placements")))
    # Moodle before 4.3 called the ordinary launch by a name of its own.
    if "LtiResourceLink" in found:
        found.setdefault("LtiResourceLinkRequest", found.pop("LtiResourceLink"))
    return found or None


def _listed(value: object, counts: Any = bool) -> frozenset[str] | None:
    """Read a list of words; None when no word of it counts, because then it is not about what we ask for."""
    words = frozenset(claims.texts(value))
    return words if any(counts(word) for word in words) else None


def _identifier(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**30:
        value = str(value)
    fits = isinstance(value, str) and value.isprintable() and 0 < len(value) <= claims.MAXIMUM_ID_LENGTH
    return str(value) if fits else None


def _short(value: object) -> str | None:
    text = claims.text(value)
    return " ".join(text.split())[:80] or None if text is not None else None


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        readable = parts.port != 0
    except ValueError:
        return None
    return parts if readable else None


def _is_address(url: str, *, loopback: bool) -> bool:
    if len(url) > MAXIMUM_ADDRESS_LENGTH or not url.isprintable() or " " in url or "\\" in url:
        return False
    parts = _split(url)
    if parts is None or not parts.hostname or "@" in parts.netloc or parts.fragment:
        return False
    return parts.scheme == "https" or (loopback and parts.scheme == "http" and parts.hostname in LOOPBACK)


def _may_speak_for(url: str, issuer: str) -> bool:
    source, named = urlsplit(url), urlsplit(issuer)
    if (source.scheme, source.hostname, source.port) == (named.scheme, named.hostname, named.port):
        return True
    return (source.hostname or "").endswith(SHARED_ISSUERS.get(issuer, ()))


def _send(
    http: requests.Session, method: str, url: str, token: str | None, body: Mapping[str, Any] | None = None
) -> tuple[int, bytes]:
    headers = {"Accept": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if body is not None:
        headers["Content-Type"] = "application/json"
    sent = http.request(
        method,
        url,
        headers=headers,
        data=None if body is None else json.dumps(body).encode(),
        timeout=CONNECT_AND_READ_SECONDS,
        allow_redirects=False,
        stream=True,
    )
    with closing(sent) as answer:
        content = read_body(answer, MAXIMUM_BYTES)
        if content is None:
            raise ValueError("The answer is too large")
        return answer.status_code, content


def _object(body: bytes, code: str) -> Mapping[str, Any]:
    document = json_object(body)
    if document is None:
        raise RegistrationError(code)
    return document


def _refusal(status: int, body: bytes) -> RegistrationError:
    """Find the platform's own code: Moodle answers with the bare word, others with JSON."""
    said = body[:1000].decode("utf-8", "replace").strip().strip('"')
    if "token_already_used" in said:
        return RegistrationError("token_already_used", status=status)
    document = json_object(body)
    if document is not None:
        said = next((document[n] for n in ("error", "errorMessage") if isinstance(document.get(n), str)), "")
    reason = claims.loggable(said.removeprefix("missing required attribute "))
    if status in (401, 403) and reason == "unreadable":
        reason = "permission_refused"
    return RegistrationError("registration_refused", status=status, reason=reason)
