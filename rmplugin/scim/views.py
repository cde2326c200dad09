"""The SCIM 2.0 server: /scim/v2. Other programs call it; their bearer token says for which HR account."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from flask import Response, request
from werkzeug.exceptions import HTTPException

from rmplugin import web
from rmplugin.db import Db
from rmplugin.logins import digest
from rmplugin.scim import documents, operations, queries
from rmplugin.scim.filters import parse_filter
from rmplugin.scim.models import ScimResource
from rmplugin.scim.schemas import KINDS, MESSAGES, Kind, ScimError

log = structlog.get_logger()

pages = web.Pages("scim", __name__, template_folder=None)

PATH = "/scim/v2"
MOST_RESULTS, USUAL_RESULTS = 500, 100
CHANGES = ("POST", "PUT", "PATCH", "DELETE")
Handler = Callable[["_Call"], Response]


@dataclass(frozen=True, slots=True)
class _Call:
    """One request of a program that showed a good token.

    :ivar base: address of the server as providers know it.
    :ivar kinds: types of resource that the address is about; all for /.search.
    :ivar key: last part of the path; "" without one.
    """

    db: Db
    account_id: Any
    base: str
    now: datetime
    kinds: tuple[Kind, ...]
    key: str

    @property
    def kind(self) -> Kind:
        """Give the type of resource of an address that has one."""
        return self.kinds[0]

    def body(self) -> Any:
        """Give the decoded body."""
        try:
            return json.loads(request.get_data())
        except (ValueError, RecursionError):
            raise ScimError(400, "invalidSyntax", "The body is no JSON. Nothing was changed.") from None

    @property
    def if_match(self) -> str | None:
        """Give the version that the sender has seen; None when any will do."""
        return request.headers.get("If-Match")


@pages.calls(PATH, methods=("GET", *CHANGES))
@pages.calls(f"{PATH}/<path:rest>", methods=("GET", *CHANGES))
def serve(rest: str = "") -> Response:
    """Answer one request; every error is told in SCIM's words."""
    try:
        return _answer(rest)
    except ScimError as error:
        return _refusal(error)
    except HTTPException as error:
        return _refusal(ScimError(error.code or 500, None, "The request cannot be read."))


def _answer(rest: str) -> Response:
    runtime = web.get_runtime()
    method = "GET" if request.method == "HEAD" else request.method
    with runtime.database.transaction(None, write=method in CHANGES) as db:
        token = queries.find_token(db, digest(_bearer()))
        if token is None:
            raise ScimError(401, None, "The token is not known. Make a new one: rmplugin scim token NAME")
        db.info["tenant_id"] = token.tenant_id
        endpoint, _, key = rest.strip("/").partition("/")
        handlers = _handlers(endpoint, key)
        if handlers is None:
            raise ScimError(404, None, "There is nothing at this address.")
        if method not in handlers:
            raise ScimError(405, None, "This address does not know this method.")
        kinds = (KINDS[endpoint],) if endpoint in KINDS else tuple(KINDS.values())
        base = f"{runtime.settings.public_url.rstrip('/')}{PATH}"
        return handlers[method](_Call(db, token.account_id, base, runtime.clock(), kinds, key))


def _bearer() -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.casefold() != "bearer":
        raise ScimError(401, None, "The request has no bearer token.")
    return token.strip()


def _handlers(endpoint: str, key: str) -> Mapping[str, Handler] | None:
    """Give what an address knows: method -> handler; None when there is no such address."""
    if (endpoint in KINDS and key == ".search") or (endpoint, key) == (".search", ""):
        return {"POST": _search}
    if endpoint in KINDS and not key:
        return {"GET": _list, "POST": _create}
    if endpoint in KINDS:
        return {"GET": _get, "PUT": _replace, "PATCH": _patch, "DELETE": _remove}
    if endpoint == "ServiceProviderConfig" and not key:
        return {"GET": lambda call: _send(documents.config(call.base, MOST_RESULTS))}
    described = {"Schemas": documents.schemas, "ResourceTypes": documents.resource_types}.get(endpoint)
    return {"GET": lambda call: _describe(call, described(call.base))} if described else None


def _list(call: _Call) -> Response:
    return _found(call, request.args)


def _search(call: _Call) -> Response:
    """Answer a list request that is sent as a body. **Source** RFC 7644, section 3.4.3."""
    body = call.body()
    asked = body if isinstance(body, dict) else {}
    return _found(
        call,
        {name: ",".join(value) if isinstance(value, list) else str(value) for name, value in asked.items()},
    )


def _found(call: _Call, asked: Mapping[str, str]) -> Response:
    start = max(1, _number(asked, "startIndex", 1))
    count = min(MOST_RESULTS, max(0, _number(asked, "count", USUAL_RESULTS)))
    total, page = 0, list[dict[str, Any]]()
    for kind in call.kinds:
        condition = parse_filter(kind, asked["filter"]) if asked.get("filter") else None
        more, found = queries.list_resources(
            call.db, call.account_id, kind, condition, call.base, max(1, start - total), count - len(page)
        )
        total += more
        page += [documents.chosen(kind, one, asked) for one in found]
    return _send_list(page, total, start)


def _number(asked: Mapping[str, str], name: str, usual: int) -> int:
    try:
        return min(int(asked.get(name, usual)), 2**31)
    except ValueError:
        raise ScimError(400, "invalidValue", f"{name} is no whole number.") from None


def _get(call: _Call) -> Response:
    row = queries.get_resource(call.db, call.account_id, call.kind, call.key)
    if request.if_none_match.contains_weak(str(row.version)):
        answer = Response(status=304)
        answer.set_etag(str(row.version), weak=True)
        return answer
    return _send_row(call, row)


def _create(call: _Call) -> Response:
    row = operations.create(call.db, call.account_id, call.kind, call.body(), call.now)
    answer = _send_row(call, row, 201)
    answer.headers["Location"] = f"{call.base}/{call.kind.endpoint}/{row.id}"
    return answer


def _replace(call: _Call) -> Response:
    return _send_row(
        call,
        operations.replace(
            call.db, call.account_id, call.kind, call.key, call.body(), call.if_match, call.now
        ),
    )


def _patch(call: _Call) -> Response:
    return _send_row(
        call,
        operations.patch(call.db, call.account_id, call.kind, call.key, call.body(), call.if_match, call.now),
    )


def _remove(call: _Call) -> Response:
    operations.remove(call.db, call.account_id, call.kind, call.key, call.if_match, call.now)
    return Response(status=204)


def _send_row(call: _Call, row: ScimResource, status: int = 200) -> Response:
    answer = _send(documents.chosen(call.kind, queries.document_of(row, call.base), request.args), status)
    answer.set_etag(str(row.version), weak=True)
    return answer


def _send_list(found: list[dict[str, Any]], total: int, start: int = 1) -> Response:
    return _send(
        {
            "schemas": [f"{MESSAGES}ListResponse"],
            "totalResults": total,
            "startIndex": start,
            "itemsPerPage": len(found),
            "Resources": found,
        }
    )


def _send(document: Mapping[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(document), status, content_type="application/scim+json")


def _refusal(error: ScimError) -> Response:
    if error.status != 404:
        log.info("scim_refused", status=error.status, scim_type=error.scim_type, method=request.method)
    document = {
        "schemas": [f"{MESSAGES}Error"],
        "status": str(error.status),
        "detail": str(error.message_for_user),
    }
    if error.scim_type:
        document["scimType"] = error.scim_type
    answer = _send(document, error.status)
    if error.status == 401:
        answer.headers["WWW-Authenticate"] = 'Bearer realm="scim"'
    return answer


def _describe(call: _Call, found: list[dict[str, Any]]) -> Response:
    if "filter" in request.args:
        raise ScimError(403, None, "These documents cannot be filtered.")
    if not call.key:
        return _send_list(found, len(found))
    for one in found:
        if call.key in (one["id"], one["name"]):
            return _send(one)
    raise ScimError(404, None, "There is nothing at this address.")
