"""The registration end of four LMSs, each strict about what is known of it.

They answer inside `requests`, under the addresses that the real ones have, so that the rules about hosts can
be tested without a network. They share no code with `lti`.
"""

from __future__ import annotations

import io
import json
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse

LTI = "https://purl.imsglobal.org/spec/"
AGS = LTI + "lti-ags/scope/"
SCOPES = [
    *(AGS + name for name in ("lineitem", "lineitem.readonly", "result.readonly", "score")),
    LTI + "lti-nrps/scope/contextmembership.readonly",
]
TOOL = LTI + "lti-tool-configuration"
PLATFORM = LTI + "lti-platform-configuration"


class Refused(Exception):  # noqa: N818 - an HTTP answer rather than a fault.
    def __init__(self, status: int, body: str) -> None:
        super().__init__(body)
        self.status, self.body = status, body


def need(condition: object, status: int, body: str) -> None:
    if not condition:
        raise Refused(status, body)


class RegistrationPlatform(BaseAdapter):
    """What all four have in common. `changes` replaces parts of the configuration, `answer` the whole answer.

    :ivar registered: the documents that were accepted
    """

    family = "generic"
    issuer = "https://lms.example"
    base = "https://lms.example"
    token: str | None = "one-time-token"
    success = 201

    def __init__(self) -> None:
        super().__init__()
        self.registered: list[dict[str, Any]] = []
        self.requests: list[tuple[str, str]] = []
        self.changes: dict[str, Any] = {}
        self.answer: Any = None
        self.down: set[str] = set()

    # ---- as `requests` sees it ----

    def send(self, request, **_):
        self.requests.append((request.method, request.url))
        if request.method in self.down:
            raise requests.ConnectionError("down")
        try:
            status, body = self.route(request)
        except Refused as refused:
            status, body = refused.status, refused.body
        response = requests.Response()
        response.status_code, response.url, response.request = status, request.url, request
        response.headers["Content-Type"] = "application/json"
        sent = io.BytesIO(body.encode() if isinstance(body, str) else body)
        response.raw = HTTPResponse(sent, preload_content=False)
        return response

    def close(self) -> None:
        pass

    def mount(self, session: requests.Session) -> RegistrationPlatform:
        for host in {self.base, self.issuer}:
            session.mount(host, self)
        return self

    # ---- the platform ----

    @property
    def configuration_url(self) -> str:
        return f"{self.base}/.well-known/openid-configuration"

    @property
    def query(self) -> dict[str, str]:
        """What the LMS adds to the tool's registration address."""
        token = {"registration_token": self.token} if self.token else {}
        return {"openid_configuration": self.configuration_url, **token}

    def route(self, request) -> tuple[int, str]:
        if request.method == "GET":
            need(request.url == self.configuration_url, 404, "no such page")
            self.check_reader(request)
            return 200, json.dumps({**self.configuration(), **self.changes})
        need(request.url == self.configuration()["registration_endpoint"], 404, "no such page")
        need(request.headers["Content-Type"] == "application/json", 415, "content type")
        self.check_writer(request)
        document = json.loads(request.body)
        self.check(document)
        self.registered.append(document)
        answer = self.answer if self.answer is not None else self.accept(document)
        return self.success, answer if isinstance(answer, str) else json.dumps(answer)

    def check_reader(self, request) -> None:
        """Let anybody read the configuration."""

    def check_writer(self, request) -> None:
        need(
            request.headers.get("Authorization") == f"Bearer {self.token}", 401, "missing_registration_token"
        )
        need(not self.registered, 401, "token_already_used")

    def check(self, document: dict[str, Any]) -> None:
        for name in (
            "response_types",
            "initiate_login_uri",
            "redirect_uris",
            "client_name",
            "jwks_uri",
            TOOL,
        ):
            need(document.get(name), 400, f"missing required attribute {name}")
        for name in ("domain", "target_link_uri"):
            need(document[TOOL].get(name), 400, f"missing required attribute {name}")
        need("id_token" in document["response_types"], 400, "invalid_response_types")
        need(isinstance(document["redirect_uris"], list), 400, "invalid_redirect_uris")
        need(
            document["token_endpoint_auth_method"] == "private_key_jwt",
            400,
            "invalid_token_endpoint_auth_method",
        )
        need(document["application_type"] == "web", 400, "invalid_application_type")
        need(
            document[TOOL]["domain"] == urlsplit(document[TOOL]["target_link_uri"]).netloc,
            400,
            "invalid_domain",
        )
        offered = self.configuration()
        need(set(document["scope"].split()) <= set(offered["scopes_supported"]), 400, "invalid_scope")
        need(
            set(document[TOOL]["claims"]) <= {"iss", "sub", *offered["claims_supported"]},
            400,
            "invalid_claims",
        )
        variables = {f"${name}" for name in offered[PLATFORM].get("variables", [])}
        asked = set(document[TOOL].get("custom_parameters", {}).values())
        need(not variables or asked <= variables, 400, "invalid_custom_parameters")

    def configuration(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.base}/auth",
            "token_endpoint": f"{self.base}/token",
            "jwks_uri": f"{self.base}/jwks",
            "registration_endpoint": f"{self.base}/register",
            "scopes_supported": [*SCOPES, "openid"],
            "claims_supported": ["iss", "sub", "name", "given_name", "family_name", "email"],
            PLATFORM: {
                "product_family_code": self.family,
                "version": "1",
                "messages_supported": self.messages(),
            },
        }

    def messages(self) -> list[Any]:
        return [{"type": "LtiResourceLinkRequest"}, {"type": "LtiDeepLinkingRequest"}]

    def accept(self, document: dict[str, Any]) -> dict[str, Any]:
        return {**document, "client_id": "client-1"}


class Moodle(RegistrationPlatform):
    """5.1: messages as plain words, answer 200 with the deployment inside the tool's configuration."""

    family = "moodle"
    issuer = base = "https://moodle.school.example"
    success = 200

    @property
    def configuration_url(self) -> str:
        return f"{self.base}/mod/lti/openid-configuration.php"

    def configuration(self) -> dict[str, Any]:
        own = super().configuration()
        addresses = {
            "authorization_endpoint": "auth.php",
            "token_endpoint": "token.php",
            "jwks_uri": "certs.php",
            "registration_endpoint": "openid-registration.php",
        }
        own |= {name: f"{self.base}/mod/lti/{page}" for name, page in addresses.items()}
        own[PLATFORM]["variables"] = ["Context.id.history", "Person.sourcedId", "User.username"]
        return own

    def messages(self) -> list[Any]:
        return ["LtiResourceLinkRequest", "LtiDeepLinkingRequest"]

    def check(self, document: dict[str, Any]) -> None:
        super().check(document)
        need(all(message["type"] for message in document[TOOL]["messages"]), 500, "crash")

    def accept(self, document: dict[str, Any]) -> dict[str, Any]:
        own = {**document[TOOL], "deployment_id": "36"}
        return {**document, "client_id": "AbCdEfGhIjKlMn1", "application_type": ["web"], TOOL: own}


class Canvas(RegistrationPlatform):
    """Hosted: the bearer on reading, too; addresses on other hosts; 422 for what its schema does not know."""

    family = "canvas"
    issuer = base = "https://canvas.instructure.com"
    success = 200
    placements = ("course_navigation", "assignment_selection", "link_selection")

    @property
    def configuration_url(self) -> str:
        return f"{self.base}/api/lti/security/openid-configuration?registration_token={self.token}"

    def configuration(self) -> dict[str, Any]:
        own = super().configuration()
        own |= {
            "authorization_endpoint": "https://sso.canvaslms.com/api/lti/authorize_redirect",
            "jwks_uri": "https://sso.canvaslms.com/api/lti/security/jwks",
            "token_endpoint": "https://sso.canvaslms.com/login/oauth2/token",
            "registration_endpoint": f"{self.base}/api/lti/registrations",
            "authorization_server": "canvas.instructure.com",
        }
        own[PLATFORM] |= {
            "https://canvas.instructure.com/lti/account_name": "Test University",
            "variables": ["Person.sourcedId", "Canvas.user.sisSourceId", "User.username"],
        }
        return own

    def messages(self) -> list[Any]:
        return [
            {"type": "LtiResourceLinkRequest", "placements": ["course_navigation", "account_navigation"]},
            {"type": "LtiDeepLinkingRequest", "placements": ["assignment_selection", "link_selection"]},
        ]

    def check_reader(self, request) -> None:
        need(request.headers.get("Authorization") == f"Bearer {self.token}", 401, "unauthorized")

    def check(self, document: dict[str, Any]) -> None:
        super().check(document)
        fault = json.dumps({"errors": ["schema"]})
        need(set(document["grant_types"]) == {"client_credentials", "implicit"}, 422, fault)
        need(document[TOOL]["claims"], 422, fault)
        offered = {message["type"]: set(message["placements"]) for message in self.messages()}
        for message in document[TOOL]["messages"]:
            need(set(message["placements"]) <= offered.get(message["type"], set()), 422, fault)
        level = document[TOOL].get("https://canvas.instructure.com/lti/privacy_level", "anonymous")
        need(level in ("public", "name_only", "email_only", "anonymous"), 422, fault)

    def accept(self, document: dict[str, Any]) -> dict[str, Any]:
        return {**document, "client_id": "10000000000042"}


class Brightspace(RegistrationPlatform):
    """Sends no registration token; its tokens' audience is not its token address; no deployment yet."""

    family = "desire2learn"
    issuer = base = "https://acme.brightspace.com"
    token = None

    def configuration(self) -> dict[str, Any]:
        own = super().configuration()
        own |= {
            "authorization_endpoint": f"{self.base}/d2l/lti/authenticate",
            "jwks_uri": f"{self.base}/d2l/.well-known/jwks",
            "token_endpoint": "https://auth.brightspace.com/core/connect/token",
            "registration_endpoint": f"{self.base}/d2l/api/lti/registration/1",
            "authorization_server": "https://api.brightspace.com/auth/token",
        }
        own[PLATFORM]["variables"] = ["User.username", "Context.id.history", "ResourceLink.id.history"]
        return own

    def check_writer(self, request) -> None:
        need("Authorization" not in request.headers, 400, "unexpected_token")
        need(not self.registered, 409, '{"error": "domain_in_use"}')

    def accept(self, document: dict[str, Any]) -> dict[str, Any]:
        return {**document, "client_id": "7f6d4d60-2d2d-4c63-aad6-0a5f0f7a9a7a", TOOL: {}}


class Blackboard(RegistrationPlatform):
    """One issuer for all schools, which is not the host of the portal; says nothing of variables."""

    family = "BlackboardLearn"
    issuer = "https://blackboard.com"
    base = "https://developer.blackboard.com"

    def configuration(self) -> dict[str, Any]:
        own = super().configuration()
        own |= {
            "authorization_endpoint": f"{self.base}/api/v1/gateway/oidcauth",
            "token_endpoint": f"{self.base}/api/v1/gateway/oauth2/jwttoken",
            "jwks_uri": f"{self.base}/api/v1/management/applications/fe3ebd13/jwks.json",
            "claims_supported": ["iss", "sub", "name", "given_name", "family_name", "email", "locale"],
        }
        return own

    def accept(self, _document: dict[str, Any]) -> dict[str, Any]:
        return {"client_id": "fe3ebd13-39a4-42c4-8b83-194f08e77f8a", "scope": " ".join(SCOPES)}


ALL = (Moodle, Canvas, Brightspace, Blackboard)
