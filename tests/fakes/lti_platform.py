"""A strict LTI 1.3 platform on loopback.

It shares no code with `lti`: it signs and verifies with jwcrypto and follows what was measured on Moodle 5.1
(exact media types, scores newer by whole seconds, 404 from the token endpoint when the tool's keys cannot be
read, next links whose letters must keep their case).
"""

import base64
import itertools
import json
import re
import threading
from collections.abc import Callable
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from jwcrypto.jwk import JWK
from jwcrypto.jws import JWS
from jwcrypto.jwt import JWT

CLAIM = "https://purl.imsglobal.org/spec/lti/claim/"
AGS_SCOPE = "https://purl.imsglobal.org/spec/lti-ags/scope/"
NRPS_SCOPE = "https://purl.imsglobal.org/spec/lti-nrps/scope/contextmembership.readonly"
INSTRUCTOR = "http://purl.imsglobal.org/vocab/lis/v2/membership#Instructor"
LEARNER = "http://purl.imsglobal.org/vocab/lis/v2/membership#Learner"
LINE_ITEM = "application/vnd.ims.lis.v2.lineitem+json"
LINE_ITEMS = "application/vnd.ims.lis.v2.lineitemcontainer+json"
SCORE = "application/vnd.ims.lis.v1.score+json"
RESULTS = "application/vnd.ims.lis.v2.resultcontainer+json"
MEMBERS = "application/vnd.ims.lti-nrps.v2.membershipcontainer+json"
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d\d:\d\d)")


def make_key(kid: str, size: int = 2048) -> JWK:
    return JWK.generate(kty="RSA", size=size, kid=kid)


def sign(claims: Any, key: JWK, header: dict[str, Any]) -> str:
    """Sign any body, also one that is no object of claims."""
    token = JWS(claims if isinstance(claims, str) else json.dumps(claims))
    token.allowed_algs = ["RS256", "RS384", "HS256", "ES256"]
    token.add_signature(key, protected=json.dumps(header))
    return token.serialize(compact=True)


def unsigned(claims: Any) -> str:
    parts = [json.dumps({"alg": "none", "typ": "JWT", "kid": "one"}), json.dumps(claims)]
    return ".".join(base64.urlsafe_b64encode(p.encode()).rstrip(b"=").decode() for p in parts) + "."


class Refused(Exception):  # noqa: N818 - an HTTP answer rather than a fault.
    def __init__(self, status: int, reason: str, body: str = "") -> None:
        super().__init__(reason)
        self.status, self.reason, self.body = status, reason, body or json.dumps({"error": reason})


class LtiPlatform:
    """One platform with one registered tool, one deployment, one course.

    :param key: a key of `make_key`; making one is slow, so tests share them
    :param tool_jwks: returns the tool's published key set, or raises when it cannot be reached
    """

    issuer = "https://moodle.example"
    client_id = "client-1"
    deployment_id = "36"

    def __init__(
        self, key: JWK, tool_jwks: Callable[[], dict[str, Any]], clock: Callable[[], datetime]
    ) -> None:
        self.keys = [key]
        self.tool_jwks = tool_jwks
        self.clock = clock
        self.requests: list[tuple[str, str]] = []
        # path -> headers of the last request to it
        self.headers: dict[str, dict[str, str]] = {}
        self.refusals: list[str] = []
        self.jwks_answer: tuple[int, str] | None = None
        self.outage: dict[str, tuple[int, dict[str, str]]] = {}
        # How much of an answer about grades leaves before the connection closes, 0 to 1; None for all.
        self.cut: float | None = None
        self.token_lifetime: Any = 3600
        self.offered = {
            AGS_SCOPE + name for name in ("lineitem", "lineitem.readonly", "result.readonly", "score")
        }
        self.offered.add(NRPS_SCOPE)
        self.tokens: dict[str, tuple[set[str], datetime]] = {}
        self.assertion_ids: set[str] = set()
        self.assertions: list[dict[str, Any]] = []
        # (status, body) with which every token request is refused; None for the platform's own rules.
        self.token_answer: tuple[int, str] | None = None
        # Scopes that are granted of those that are asked for; None for all.
        self.granted: set[str] | None = None
        self.members: list[dict[str, Any]] = []
        self.page_size = 2
        # What the list of changes gives; None offers no such list.
        self.changed_members: list[dict[str, Any]] | None = None
        self.members_type = MEMBERS
        # Whether results say when they were changed, as Moodle's do.
        self.result_times = False
        self.link_style = '<{url}>; rel="next"'
        self.line_items: dict[str, dict[str, Any]] = {}
        self.scores: dict[tuple[str, str], dict[str, Any]] = {}
        self._numbers = itertools.count(1)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.base = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    # ---- launches ----

    def login_request(self, target: str, /, **changes: str | None) -> dict[str, str]:
        request = {
            "iss": self.issuer,
            "login_hint": "7",
            "target_link_uri": target,
            "lti_message_hint": '{"cmid":5}',
            "client_id": self.client_id,
            "lti_deployment_id": self.deployment_id,
            **changes,
        }
        return {name: value for name, value in request.items() if value is not None}

    def read_authorisation(self, url: str) -> dict[str, str]:
        """Check the redirect of the tool as an authorisation endpoint does."""
        parts = urlsplit(url)
        assert url.startswith(self.base + "/auth?")
        query = {name: values[0] for name, values in parse_qs(parts.query, strict_parsing=True).items()}
        fixed = {
            "scope": "openid",
            "response_type": "id_token",
            "response_mode": "form_post",
            "prompt": "none",
        }
        assert fixed.items() <= query.items()
        assert query["client_id"] == self.client_id
        assert query["login_hint"] == "7"
        return query

    def claims(self, query: dict[str, str], **changes: Any) -> dict[str, Any]:
        """Return the claims of a resource link launch by a learner."""
        now = int(self.clock().timestamp())
        return {
            "iss": self.issuer,
            "aud": self.client_id,
            "sub": "7",
            "nonce": query["nonce"],
            "iat": now,
            "exp": now + 60,
            "name": "Ada Byron",
            "given_name": "Ada",
            "family_name": "Byron",
            "email": "ada@company.example",
            CLAIM + "version": "1.3.0",
            CLAIM + "message_type": "LtiResourceLinkRequest",
            CLAIM + "deployment_id": self.deployment_id,
            CLAIM + "target_link_uri": query.get("target", "https://tool.example/lti/launch"),
            CLAIM + "roles": [LEARNER],
            CLAIM + "context": {
                "id": "3",
                "label": "RM",
                "title": "Reverse mentoring",
                "type": ["CourseSection"],
            },
            CLAIM + "resource_link": {"id": "12", "title": "Mentoring"},
            CLAIM + "custom": {"emp": "E-1001"},
            CLAIM + "launch_presentation": {"locale": "en", "return_url": self.base + "/return?sesskey=x"},
            "https://purl.imsglobal.org/spec/lti-nrps/claim/namesroleservice": {
                "context_memberships_url": self.base + "/nrps/members?id=3",
                "service_versions": ["1.0", "2.0"],
            },
            "https://purl.imsglobal.org/spec/lti-ags/claim/endpoint": {
                "scope": sorted(self.offered),
                "lineitems": self.base + "/ags/lineitems?type_id=36",
            },
            **changes,
        }

    def id_token(self, claims: Any) -> str:
        """Sign with the newest key, by jwcrypto's JWT where the body allows it."""
        key = self.keys[-1]
        token = JWT(header={"alg": "RS256", "kid": key.get("kid"), "typ": "JWT"}, claims=claims)
        token.make_signed_token(key)
        return token.serialize()

    # ---- line items ----

    def add_line_item(self, **members: Any) -> str:
        number = str(next(self._numbers))
        url = f"{self.base}/ags/lineitems/{number}/LineItem?type_id=36"
        self.line_items[number] = {"label": "x", "scoreMaximum": 100, **members, "id": url}
        return url

    # ---- HTTP ----

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        platform = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def _serve(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                parts = urlsplit(self.path)
                query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
                platform.requests.append((self.command, self.path))
                platform.headers[parts.path] = dict(self.headers)
                status, kind, answer, headers = platform.answer(
                    self.command, parts.path, query, self.headers, body
                )
                data = answer.encode()
                cut = platform.cut if parts.path.startswith("/ags/") else None
                if cut == 0:
                    return
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data) + (cut is not None)))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data if cut is None else data[: int(len(data) * cut)])

            do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - names of the base class.

        return Handler

    def answer(self, method, path, query, headers, body):
        """Answer a request, by the platform's rules or by the fault that a test wants."""
        outage = self.outage.get(path.split("/")[1])
        if outage is not None:
            return outage[0], "text/html", "<html>down</html>", outage[1]
        try:
            return self.route(method, path, query, headers, body)
        except Refused as refused:
            self.refusals.append(refused.reason)
            return refused.status, "text/html", refused.body, {}

    def route(self, method, path, query, headers, body):  # noqa: PLR0911 - one return per service.
        if (method, path) == ("GET", "/jwks"):
            if self.jwks_answer is not None:
                return self.jwks_answer[0], "application/json", self.jwks_answer[1], {}
            keys = [key.export_public(as_dict=True) for key in self.keys]
            return 200, "application/json", json.dumps({"keys": keys}), {}
        if (method, path) == ("POST", "/token"):
            # Moodle labels the answer text/html.
            return 200, "text/html; charset=utf-8", json.dumps(self._give_token(headers, body)), {}
        if (method, path) == ("GET", "/nrps/members"):
            return self._list_members(query, headers)
        if path == "/ags/lineitems":
            return self._line_items(method, query, headers, body)
        match = re.fullmatch(r"/ags/lineitems/(\d+)/LineItem(/scores|/results)?", path)
        if match is None or match[1] not in self.line_items:
            raise Refused(404, "not_found")
        self._need(query.get("type_id") == "36", 400, "type_id_lost")
        if match[2] == "/scores":
            return self._score(match[1], method, headers, body)
        if match[2] == "/results":
            return self._results(match[1], query, headers)
        return self._one_line_item(match[1], method, headers, body)

    def _need(self, condition: bool, status: int, reason: str) -> None:
        if not condition:
            raise Refused(status, reason)

    def _give_token(self, headers, body):
        if self.token_answer is not None:
            raise Refused(self.token_answer[0], "token", self.token_answer[1])
        self._need(headers["Content-Type"] == "application/x-www-form-urlencoded", 400, "form_expected")
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        self._need(form.get("grant_type") == "client_credentials", 400, "unsupported_grant_type")
        jwt_bearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        self._need(form.get("client_assertion_type") == jwt_bearer, 400, "assertion_type")
        try:
            tool_keys = self.tool_jwks()["keys"]
        except OSError as error:
            raise Refused(404, "tool_keys_unreachable", "<html>404</html>") from error
        assertion = JWS()
        assertion.deserialize(form["client_assertion"])
        kid = assertion.jose_header.get("kid")
        key = next((k for k in tool_keys if k["kid"] == kid), None)
        self._need(key is not None and key["alg"] == "RS256" and key["use"] == "sig", 400, "assertion_kid")
        assertion.verify(JWK(**key))
        claims = json.loads(assertion.payload)
        now = self.clock().timestamp()
        self._need(claims["iss"] == claims["sub"] == self.client_id, 400, "assertion_issuer")
        self._need(claims["aud"] == self.base + "/token", 400, "assertion_audience")
        self._need(claims["iat"] < now < claims["exp"] <= claims["iat"] + 3600, 400, "assertion_times")
        self._need(claims["jti"] not in self.assertion_ids, 400, "assertion_replayed")
        self.assertion_ids.add(claims["jti"])
        self.assertions.append(claims)
        self._need(
            claims.get(CLAIM + "deployment_id", self.deployment_id) == self.deployment_id, 400, "deployment"
        )
        asked = set(form["scope"].split(" "))
        self._need(asked <= self.offered, 400, "invalid_scope")
        asked &= asked if self.granted is None else self.granted
        token = f"Token-{next(self._numbers)}"
        self.tokens[token] = (asked, self.clock())
        answer = {"access_token": token, "token_type": "bearer", "scope": " ".join(sorted(asked))}
        return answer if self.token_lifetime is None else {**answer, "expires_in": self.token_lifetime}

    def _authorise(self, headers, *scopes: str) -> None:
        kind, _, token = headers.get("Authorization", "").partition(" ")
        self._need(kind == "Bearer" and token in self.tokens, 401, "no_token")
        self._need(bool(self.tokens[token][0] & set(scopes)), 403, "scope")

    def _page(self, path, query, items):
        """Cut a page; the token of the next one has letters of both cases."""
        at = int(query["Page"].removeprefix("aBcD")) if "Page" in query else 0
        link = {}
        if at + self.page_size < len(items):
            kept = "".join(f"&{name}={query[name]}" for name in ("id", "type_id", "since") if name in query)
            url = f"{self.base}{path}?Page=aBcD{at + self.page_size}{kept}"
            link = {"Link": self.link_style.format(url=url)}
        return items[at : at + self.page_size], link

    def _list_members(self, query, headers):
        self._authorise(headers, NRPS_SCOPE)
        self._need(headers.get("Accept") == MEMBERS, 406, "accept")
        self._need(query.get("id") == "3", 404, "unknown_course")
        role = query.get("role")
        members = (self.changed_members or []) if "since" in query else self.members
        chosen = [m for m in members if role is None or role in m["roles"]]
        if "rlid" in query:
            chosen = [{**m, "message": [{CLAIM + "custom": {"link": query["rlid"]}}]} for m in chosen]
        page, link = self._page("/nrps/members", query, chosen)
        body = {"id": self.base + "/nrps/members?id=3", "context": {"id": "3"}, "members": page}
        if self.changed_members is not None:
            differences = f'<{self.base}/nrps/members?id=3&since=T{self.clock():%H%M%S}>; rel="differences"'
            link = {"Link": ", ".join([differences, *link.values()])}
        return 200, self.members_type, json.dumps(body), link

    def _line_items(self, method, query, headers, body):
        self._need(query.get("type_id") == "36", 400, "type_id_lost")
        if method == "GET":
            self._authorise(headers, AGS_SCOPE + "lineitem.readonly")
            self._need(headers.get("Accept") == LINE_ITEMS, 406, "accept")
            self._need("limit" not in query, 400, "limit")
            # Some platforms ignore the filters; this one does too.
            page, link = self._page("/ags/lineitems", query, list(self.line_items.values()))
            return 200, LINE_ITEMS, json.dumps(page), link
        self._need(method == "POST", 405, "method")
        self._authorise(headers, AGS_SCOPE + "lineitem")
        self._need(headers["Content-Type"] == LINE_ITEM, 415, "content_type")
        item = json.loads(body)
        self._need(item["scoreMaximum"] > 0 and item["label"] != "", 400, "line_item")
        url = self.add_line_item(**item)
        return 201, LINE_ITEM, json.dumps(next(i for i in self.line_items.values() if i["id"] == url)), {}

    def _one_line_item(self, number, method, headers, body):
        item = self.line_items[number]
        if method == "DELETE":
            self._authorise(headers, AGS_SCOPE + "lineitem")
            del self.line_items[number]
            return 204, "text/plain", "", {}
        self._need(headers.get("Accept") == LINE_ITEM, 406, "accept")
        if method == "PUT":
            self._authorise(headers, AGS_SCOPE + "lineitem")
            self._need(headers["Content-Type"] == LINE_ITEM, 415, "content_type")
            # A PUT without tag or resourceId wipes them.
            item = self.line_items[number] = {**json.loads(body), "id": item["id"]}
        else:
            self._authorise(headers, AGS_SCOPE + "lineitem.readonly")
        return 200, LINE_ITEM, json.dumps(item), {}

    def _score(self, number, method, headers, body):
        self._need(method == "POST", 405, "method")
        self._authorise(headers, AGS_SCOPE + "score")
        self._need(headers["Content-Type"] == SCORE, 415, "content_type")
        score = json.loads(body)
        self._need(_TIMESTAMP.fullmatch(score["timestamp"]) is not None, 400, "timestamp_format")
        at = datetime.fromisoformat(score["timestamp"])
        member = next((m for m in self.members if m["user_id"] == score["userId"]), None)
        self._need(member is not None and "Learner" in member["roles"], 400, "not_gradable")
        self._need("scoreGiven" not in score or score.get("scoreMaximum", 0) > 0, 400, "score_maximum")
        stored = self.scores.get((number, score["userId"]))
        self._need(
            stored is None or int(at.timestamp()) > int(stored["at"].timestamp()), 409, "stale_timestamp"
        )
        graded = score["gradingProgress"] == "FullyGraded" and "scoreGiven" in score
        ratio = min(score["scoreGiven"] / score["scoreMaximum"], 1) if graded else None
        result = None if ratio is None else ratio * self.line_items[number]["scoreMaximum"]
        self.scores[number, score["userId"]] = {"at": at, "result": result, "comment": score.get("comment")}
        return 200, "text/html", "", {}

    def _results(self, number, query, headers):
        self._authorise(headers, AGS_SCOPE + "result.readonly")
        self._need(headers.get("Accept") == RESULTS, 406, "accept")
        self._need("limit" not in query, 400, "limit")
        item = self.line_items[number]
        found = [
            {
                "id": f"{item['id']}&user={user}",
                "userId": user,
                "resultScore": score["result"],
                "resultMaximum": item["scoreMaximum"],
                "comment": score["comment"],
                **({"timestamp": score["at"].isoformat()} if self.result_times else {}),
            }
            for (line_item, user), score in self.scores.items()
            if line_item == number and query.get("user_id") in (None, user)
        ]
        page, link = self._page(f"/ags/lineitems/{number}/LineItem/results", query, found)
        return 200, RESULTS, json.dumps(page), link
