"""Any system that offers its users by SCIM 2.0: read page by page, and later only what changed."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

import marshmallow as ma

from connectors.values import Strict, fields_came, moment_of, skipping
from rmplugin.api import (
    SCIM_MAPPABLE,
    Capabilities,
    CheckResult,
    CursorExpiredError,
    EmployeeRecord,
    FatalError,
    RetriableError,
    RosterPage,
    hookimpl,
    http,
    read_scim_user,
)

# Clocks differ, and changes become visible a little after the time that they carry.
OVERLAP = timedelta(minutes=5)
# Attributes that are asked for; nothing else should leave the other system.
ATTRIBUTES = (
    "userName", "name", "displayName", "nickName", "title", "userType", "preferredLanguage", "timezone",
    "active", "emails", "addresses",
)  # fmt: skip
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


class ScimSettings(Strict):
    """Where the system is, and how to get in."""

    url = ma.fields.Url(
        required=True, schemes={"https", "http"}, require_tld=False,
        metadata={"help": "address of the SCIM service, for example https://hr.example.com/scim/v2"},
    )  # fmt: skip
    token = ma.fields.String(
        required=True,
        validate=ma.validate.Regexp(
            r"[!-~]+\Z", error="This is no bearer token: it has blanks or line ends."
        ),
        metadata={"help": "bearer token that may read users", "secret": True},
    )
    page_size = ma.fields.Integer(
        load_default=100, validate=ma.validate.Range(1, 1000), metadata={"help": "users per request"}
    )
    mapping = ma.fields.Dict(
        keys=ma.fields.String(validate=ma.validate.OneOf(SCIM_MAPPABLE)),
        values=ma.fields.String(validate=ma.validate.Length(1, 255)),
        load_default=dict,
        metadata={"help": "our field -> attribute; in an extension with its URN and a colon before it"},
    )


class ScimConnector:
    """Reads users with the enterprise extension."""

    key = "scim"
    title = "SCIM 2.0 (read from another system)"
    settings_schema: type[ma.Schema] = ScimSettings
    capabilities = Capabilities(incremental=True)

    def check(self, settings: Mapping[str, Any]) -> list[CheckResult]:
        """Read one page, and say how many users there are and which fields came.

        :param settings: loaded by `ScimSettings`.
        **Touches** asks the SCIM service.
        """
        results: list[CheckResult] = []
        try:
            client = _client(settings)
            can_filter = _can_filter(client)
            results.append(CheckResult("Connection", ok=True, advice=_changes(can_filter)))
            page = next(_pages(client, settings, None))
        except (FatalError, RetriableError) as error:
            return [*results, CheckResult("Users", ok=False, advice=error.message_for_user)]
        names = {f.name for f in fields(EmployeeRecord)} - {"source_key", "ref", "status"}
        results.append(CheckResult("Users", ok=bool(page.records), advice=f"{page.total or 0} in all"))
        return [*results, fields_came(page.records, names)]

    def read(self, settings: Mapping[str, Any], cursor: str | None) -> Iterator[RosterPage]:
        """Read all users, or those who changed since the last reading, and a little before.

        :param cursor: when the last reading began.
        :raises CursorExpiredError: it is no moment, or the service cannot filter by it any more.
        :raises FatalError, RetriableError: see `http.Client`.
        **Touches** asks the SCIM service.
        """
        client = _client(settings)
        began = client.now()
        since = moment_of(cursor, client.service)
        if not _can_filter(client):
            if since is not None:
                raise CursorExpiredError(client.service, "GET", client.base, None)
            yield from _pages(client, settings, None)
            return
        for page in _pages(client, settings, since):
            yield RosterPage(page.records, page.skipped, began.isoformat(), total=page.total)


def _client(settings: Mapping[str, Any]) -> http.Client:
    headers = {"Accept": "application/scim+json", "Authorization": f"Bearer {settings['token']}"}
    return http.Client("SCIM service", settings["url"], headers)


def _can_filter(client: http.Client) -> bool:
    """Ask what the service can do. **Source** RFC 7643, section 5."""
    reply = client.get("ServiceProviderConfig", expect=(404,))
    if reply.status == 404:
        # Some services do not have it, though they must; a wrong address shows with the users.
        return False
    can = _document(reply).get("filter")
    return isinstance(can, dict) and can.get("supported") is True


def _changes(can_filter: bool) -> str:  # noqa: FBT001 - private.
    return "reads changes only" if can_filter else "reads everybody each time: the service cannot filter"


def _document(reply: http.Reply) -> dict[str, Any]:
    body = reply.json()
    if not isinstance(body, dict):
        raise reply.broken("answered with something that is no SCIM document")
    return body


def _pages(client: http.Client, settings: Mapping[str, Any], since: datetime | None) -> Iterator[RosterPage]:
    """Read page after page until as many users came as there are.

    The order of a list is not promised, so a user may come twice; once is enough. Whether somebody was left
    out shows in the number of users, with which the core compares.
    """
    places = (*ATTRIBUTES, ENTERPRISE, *settings["mapping"].values())
    query: dict[str, Any] = {"count": settings["page_size"], "attributes": ",".join(places)}
    if since is not None:
        moment = (since - OVERLAP).isoformat(timespec="seconds").replace("+00:00", "Z")
        query["filter"] = f'meta.lastModified gt "{moment}"'
    start, seen = 1, set[str]()
    while True:
        reply = client.get("Users", params={**query, "startIndex": start})
        body = _document(reply)
        users, total = body.get("Resources") or [], body.get("totalResults")
        if not isinstance(users, list) or not isinstance(total, int) or (not users and start <= total):
            raise reply.broken("answered with something that is no list of users")
        page = RosterPage([], total=total if since is None else None)
        for user in users:
            _take(user, settings["mapping"], page, seen)
        yield page
        start += len(users)
        if start > total:
            return


def _take(user: Any, mapping: Mapping[str, str], page: RosterPage, seen: set[str]) -> None:
    key = user.get("id") if isinstance(user, dict) else None
    if isinstance(key, str) and key in seen:
        return
    with skipping(page, key):
        page.records.append(read_scim_user(user if isinstance(user, dict) else {}, mapping))
    if isinstance(key, str):
        seen.add(key)


@hookimpl
def rm_register_hris_connectors() -> list[ScimConnector]:
    """Bring this connector."""
    return [ScimConnector()]
