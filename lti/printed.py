"""Reads what an LMS prints about a registration made by hand, as an administrator copies it from the page."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from lti.registration import AUDIENCES, PLATFORM_CONFIGURATION, TOOL_CONFIGURATION, family_of

MAXIMUM_CHARACTERS = 100_000
NEEDED = ("issuer", "client_id", "auth_url", "token_url", "jwks_url")
_URL = re.compile(r"https?://[^\s\"'<>|,;\[\]]+")
# What the pages of Moodle, Brightspace, Blackboard, Sakai and Schoology call the values, in English.
_LABELS: tuple[tuple[str, str], ...] = (
    (
        r"(public )?(well-known )?(json web )?(jwks?|key ?-?set|public key ?-?set|key set)( url| uri)?",
        "jwks_url",
    ),
    (
        r"(oauth ?2 )?(access token|auth token|bearer token retrieval|token)( url| endpoint| uri)+",
        "token_url",
    ),
    (
        r"(oidc |openid connect )?auth(entication|ori[sz]ation)?( request)?( url| endpoint| uri)+",
        "auth_url",
    ),
    (r"(oauth ?2 )?(oauth )?(access token )?audience", "token_audience"),
    (r"(platform|issuer|platform issuer)( id| identifier)?", "issuer"),
    (r"(lti |oauth ?2 )?(client|application) ?id", "client_id"),
    (r"(lti )?deployment ?ids?", "deployment_id"),
)
_LABEL_PATTERNS = tuple((re.compile(pattern), name) for pattern, name in _LABELS)
# Words before a label that say whose it is.
_OWNER = re.compile(
    r"^(lms|brightspace|d2l|moodle|canvas|blackboard|anthology|sakai|schoology|platform's)\s+"
)
# Ends of addresses -> value, in every language.
_SHAPES: tuple[tuple[str, str], ...] = (
    ("/mod/lti/certs.php", "jwks_url"),
    ("/mod/lti/token.php", "token_url"),
    ("/mod/lti/auth.php", "auth_url"),
    ("/api/lti/security/jwks", "jwks_url"),
    ("/login/oauth2/token", "token_url"),
    ("/api/lti/authorize_redirect", "auth_url"),
    ("/d2l/.well-known/jwks", "jwks_url"),
    ("/core/connect/token", "token_url"),
    ("/d2l/lti/authenticate", "auth_url"),
    ("/api/v1/gateway/oidcauth", "auth_url"),
    ("/api/v1/gateway/oauth2/jwttoken", "token_url"),
    ("/jwks.json", "jwks_url"),
    ("/imsblis/lti13/keyset", "jwks_url"),
    ("/imsoidc/lti13/oidc_auth", "auth_url"),
    ("/lti-service/authorize-redirect", "auth_url"),
    ("/lti-service/access-token", "token_url"),
    ("/lti-service/.well-known/jwks", "jwks_url"),
)
_SAKAI_TOKEN = re.compile(r"/imsblis/lti13/token/\d+$")
_BLACKBOARD_KEYS = re.compile(r"/management/applications/([0-9a-f-]{36})/jwks\.json$")
_OPENEDX = re.compile(r"/api/lti_consumer/v1/(public_keysets|token|launch)/")
_MOODLE_CLIENT = re.compile(r"[A-Za-z0-9]{15}")
_CANVAS_CLIENT = re.compile(r"\d{14,20}")
_CANVAS_DEPLOYMENT = re.compile(r"\d+:[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Printed:
    """What could be read; None for a value that is not there.

    :param family: see `platforms.Platform`; "generic" when it cannot be told
    """

    issuer: str | None = None
    client_id: str | None = None
    auth_url: str | None = None
    token_url: str | None = None
    jwks_url: str | None = None
    token_audience: str | None = None
    deployment_ids: tuple[str, ...] = ()
    family: str = "generic"

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the needed values that could not be read."""
        return tuple(name for name in NEEDED if getattr(self, name) is None)


def read_printed(text: str, family: str | None = None) -> Printed:
    """Read pasted text: a page of an LMS in any language, or JSON of an openid configuration.

    :param text: labels and values, divided by tabs, colons or line ends
    :param family: what the administrator says it is; None when they do not
    **Source** the registration pages of Moodle 5.1, Brightspace, Blackboard, Canvas, Schoology and Sakai.
    **Touches** pure.
    """
    text = text[:MAXIMUM_CHARACTERS]
    found = _read_json(text) if text.lstrip().startswith("{") else _read_page(text)
    told = family_of(*filter(None, (found.jwks_url, found.auth_url, found.token_url, found.issuer)))
    named = next(iter(_families_in(text)), "generic")
    known = found.family if found.family != "generic" else told if told != "generic" else named
    found = replace(found, family=family or known)
    complete = _COMPLETE.get(found.family)
    return complete(found, text) if complete is not None else found


def _read_json(text: str) -> Printed:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return _read_page(text)
    if not isinstance(document, dict):
        return Printed()

    def word(holder: Mapping[str, Any], *names: str) -> str | None:
        for name in names:
            value = holder.get(name)
            if isinstance(value, int) and not isinstance(value, bool):
                value = str(value)[:40]
            if isinstance(value, str) and re.fullmatch(r"[^\s\[\]]{1,2000}", value.strip()):
                return value.strip()
        return None

    parts = [document.get(name) for name in (PLATFORM_CONFIGURATION, TOOL_CONFIGURATION)]
    own, tool = (part if isinstance(part, dict) else {} for part in parts)
    deployment = word(tool, "deployment_id") or word(document, "deployment_id", "lti_deployment_id")
    audience = word(document, "authorization_server", "token_audience")
    return Printed(
        issuer=word(document, "issuer", "iss", "platform_id"),
        client_id=word(document, "client_id"),
        auth_url=word(document, "authorization_endpoint", "auth_url", "auth_login_url"),
        token_url=word(document, "token_endpoint", "token_url", "auth_token_url"),
        jwks_url=word(document, "jwks_uri", "jwks_url", "key_set_url"),
        token_audience=audience if audience and audience.startswith("http") else None,
        deployment_ids=(deployment,) if deployment else (),
        family=family_of(word(own, "product_family_code") or ""),
    )


def _read_page(text: str) -> Printed:
    values: dict[str, str] = {}
    deployments: list[str] = []
    for name, value in (*_labelled(text), *_shaped(text)):
        if name == "deployment_id":
            deployments += [part for part in re.split(r"[,\s]+", value) if part and part not in deployments]
        else:
            values.setdefault(name, value)
    return Printed(**values, deployment_ids=tuple(deployments))


def _labelled(text: str) -> Iterator[tuple[str, str]]:
    """Give (value's name, value) for each known label; the value stands behind it or on the next line."""
    waiting: str | None = None
    for line in text.splitlines():
        cells = [cell.strip().strip('"') for cell in re.split(r"\t+|\s{3,}|:\s+|\s=\s|:$|\|", line)]
        for cell in filter(None, cells):
            name = _name_of(cell)
            if name is not None:
                waiting = name
            elif waiting is not None:
                if _fits(waiting, cell):
                    yield waiting, cell
                waiting = None


def _name_of(label: str) -> str | None:
    plain = label.casefold().replace("®", "").replace("(", " ").replace(")", " ")
    plain = _OWNER.sub("", " ".join(plain.split()).rstrip(":*").strip())
    return next((name for pattern, name in _LABEL_PATTERNS if pattern.fullmatch(plain)), None)


def _fits(name: str, value: str) -> bool:
    if name in ("client_id", "deployment_id"):
        return not value.startswith("http") and len(value) <= 255
    return _URL.fullmatch(value) is not None


def _shaped(text: str) -> Iterator[tuple[str, str]]:
    """Give (value's name, address) for each address whose end tells what it is."""
    for match in _URL.finditer(text):
        url = match[0].rstrip(".)")
        path = urlsplit(url).path
        for end, name in _SHAPES:
            if path.endswith(end):
                yield name, url
        if _SAKAI_TOKEN.search(path):
            yield "token_url", url
        edx = _OPENEDX.search(path)
        if edx:
            yield {"public_keysets": "jwks_url", "token": "token_url", "launch": "auth_url"}[edx[1]], url


def _families_in(text: str) -> Iterator[str]:
    """Name the families that the text speaks of, by its addresses only."""
    for match in _URL.finditer(text):
        path = match[0]
        for part, family in (
            ("/mod/lti/", "moodle"),
            ("/api/lti/", "canvas"),
            (".instructure.com", "canvas"),
            ("/d2l/", "brightspace"),
            ("brightspace", "brightspace"),
            ("developer.anthology.com", "blackboard"),
            ("/imsblis/", "sakai"),
            ("/imsoidc/", "sakai"),
            ("/api/lti_consumer/", "openedx"),
            ("schoology.com", "schoology"),
        ):
            if part in path:
                yield family


def _bare_values(text: str) -> Iterator[str]:
    """Give the words of the text that are no part of an address."""
    yield from re.findall(r"[\w:.-]+", _URL.sub(" ", text))


def _complete_moodle(found: Printed, text: str) -> Printed:
    """Add what follows from the addresses, and ids whose labels are in another language."""
    known = found.jwks_url or found.token_url or found.auth_url or ""
    base = known.partition("/mod/lti/")[0] if "/mod/lti/" in known else found.issuer
    if base is None:
        return found
    cells = [cell.strip() for cell in re.split(r"[\t\n]|:\s|\s{3,}", text)]
    client = next((cell for cell in cells if _MOODLE_CLIENT.fullmatch(cell)), None)
    number = next((cell for cell in cells if re.fullmatch(r"\d{1,7}", cell)), None)
    return replace(
        found,
        issuer=found.issuer or base,
        client_id=found.client_id or client,
        deployment_ids=found.deployment_ids or ((number,) if number else ()),
        auth_url=found.auth_url or f"{base}/mod/lti/auth.php",
        token_url=found.token_url or f"{base}/mod/lti/token.php",
        jwks_url=found.jwks_url or f"{base}/mod/lti/certs.php",
    )


def _complete_canvas(found: Printed, text: str) -> Printed:
    """Add the addresses that every hosted Canvas shares, or those below the host of a Canvas of one's own."""
    words = list(_bare_values(text))
    host = _canvas_host(found, text, words)
    environment = next((name for name in ("beta", "test") if host and f".{name}." in host), "")
    hosted = host is None or host.endswith((".instructure.com", ".canvaslms.com"))
    dotted = f".{environment}" if environment else ""
    sso = f"https://sso{dotted}.canvaslms.com" if hosted else f"https://{host}"
    client = next((word for word in words if _CANVAS_CLIENT.fullmatch(word)), None)
    deployments = tuple(dict.fromkeys(word for word in words if _CANVAS_DEPLOYMENT.fullmatch(word)))
    token_url = f"https://{host}/login/oauth2/token" if host is not None else None
    return replace(
        found,
        # Also a Canvas of one's own names this issuer, unless its security.yml was changed.
        issuer=found.issuer or f"https://canvas{dotted}.instructure.com",
        client_id=found.client_id or client,
        deployment_ids=found.deployment_ids or deployments,
        auth_url=found.auth_url or f"{sso}/api/lti/authorize_redirect",
        token_url=found.token_url or token_url,
        jwks_url=found.jwks_url or f"{sso}/api/lti/security/jwks",
    )


def _canvas_host(found: Printed, text: str, words: list[str]) -> str | None:
    hosts = [urlsplit(match[0]).netloc for match in _URL.finditer(text)]
    hosts += [word for word in words if re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", word)]
    if found.token_url:
        hosts.insert(0, urlsplit(found.token_url).netloc)
    shared = re.compile(r"(sso|canvas)(\.beta|\.test)?\.(canvaslms|instructure)\.com")
    return next((host for host in hosts if not shared.fullmatch(host)), next(iter(hosts), None))


def _complete_brightspace(found: Printed, _text: str) -> Printed:
    own = found.auth_url or found.jwks_url or ""
    base = own.partition("/d2l/")[0] if "/d2l/" in own else found.issuer
    token_url = found.token_url or "https://auth.brightspace.com/core/connect/token"
    return replace(
        found,
        issuer=found.issuer or base,
        auth_url=found.auth_url or (f"{base}/d2l/lti/authenticate" if base else None),
        jwks_url=found.jwks_url or (f"{base}/d2l/.well-known/jwks" if base else None),
        token_url=token_url,
        token_audience=found.token_audience or AUDIENCES.get(token_url),
    )


def _complete_blackboard(found: Printed, text: str) -> Printed:
    keys = _BLACKBOARD_KEYS.search(found.jwks_url or "")
    client = found.client_id or (keys[1] if keys else None)
    portal = next(iter(re.findall(r"https://developer\.(?:anthology|blackboard)\.com", text)), None)
    portal = portal or "https://developer.blackboard.com"
    return replace(
        found,
        issuer=found.issuer or "https://blackboard.com",
        client_id=client,
        auth_url=found.auth_url or f"{portal}/api/v1/gateway/oidcauth",
        token_url=found.token_url or f"{portal}/api/v1/gateway/oauth2/jwttoken",
        jwks_url=found.jwks_url
        or (f"{portal}/api/v1/management/applications/{client}/jwks.json" if client else None),
    )


def _complete_sakai(found: Printed, _text: str) -> Printed:
    parts = urlsplit(found.token_url or found.jwks_url or found.auth_url or "")
    base = f"{parts.scheme}://{parts.netloc}" if parts.netloc else found.issuer
    return replace(
        found,
        issuer=found.issuer or base,
        auth_url=found.auth_url or (f"{base}/imsoidc/lti13/oidc_auth" if base else None),
        jwks_url=found.jwks_url or (f"{base}/imsblis/lti13/keyset" if base else None),
    )


def _complete_schoology(found: Printed, _text: str) -> Printed:
    service = "https://lti-service.svc.schoology.com/lti-service"
    return replace(
        found,
        issuer=found.issuer or "https://schoology.schoology.com",
        auth_url=found.auth_url or f"{service}/authorize-redirect",
        token_url=found.token_url or f"{service}/access-token",
        jwks_url=found.jwks_url or f"{service}/.well-known/jwks",
    )


_COMPLETE: Mapping[str, Callable[[Printed, str], Printed]] = MappingProxyType(
    {
        "moodle": _complete_moodle,
        "canvas": _complete_canvas,
        "brightspace": _complete_brightspace,
        "blackboard": _complete_blackboard,
        "sakai": _complete_sakai,
        "schoology": _complete_schoology,
    }
)
