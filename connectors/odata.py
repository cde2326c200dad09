"""OData version 2 as SAP speaks it: pages that lead to the next one, nested results, days in milliseconds."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from connectors.values import is_placeholder
from rmplugin.api import FatalError, RetriableError, SkippableRecordError, http

Refusal = Callable[[http.Reply, str, str], RetriableError | FatalError]


def read_pages(
    client: http.Client,
    headers: dict[str, str],
    entity: str,
    select: Sequence[str],
    query: Mapping[str, str],
    refusal: Refusal,
) -> Iterator[dict[str, Any]]:
    """Give the bodies of all pages of an entity; each has a list under "results".

    :param headers: those of the client; the token of the session is kept there.
    :param select: properties, each with its path; what they hang on is expanded.
    :param refusal: makes the error for status 400, of the answer's code and message.
    :raises RetriableError, FatalError: see `http.Client.request`.
    **Touches** the service, reading only.
    """
    expand = dict.fromkeys(path.rpartition("/")[0] for path in select if "/" in path)
    query = {"$format": "json", "$select": ",".join(select), "$expand": ",".join(expand), **query}
    places, link = http.Pages(client.service), entity
    while link:
        reply = client.get(places.once(link), params=query, expect=(400,))
        body = reply.json()
        if reply.status == 400:
            raise refusal(
                reply, str(at(body, "error/code") or ""), str(at(body, "error/message/value") or "")
            )
        found = body.get("d") if isinstance(body, dict) else None
        if not isinstance(found, dict) or not isinstance(found.get("results"), list):
            raise reply.broken(f"answered with something that is no list of {entity}")
        # A snapshot lives in the session: its cookie goes along by itself, its token belongs beside it.
        if token := reply.headers.get("X-CSRF-Token"):
            headers["X-CSRF-Token"] = token
        yield found
        # The link carries the query of the first request.
        link, query = found.get("__next") or "", {}
        if not isinstance(link, str):
            raise reply.broken("gave a next page that is no link")


def many(row: Any, name: str) -> list[dict[str, Any]]:
    """Give what hangs on a row: a list with or without its wrapping, or a single one. **Touches** pure."""
    value = row.get(name) if isinstance(row, dict) else None
    value = value.get("results", value) if isinstance(value, dict) else value
    # What was not expanded is only a link.
    found = value if isinstance(value, list) else [value]
    return [one for one in found if isinstance(one, dict) and "__deferred" not in one]


def at(row: Any, path: str) -> Any:
    """Give what stands at the end of a path; of several on the way, the first. **Touches** pure."""
    *way, last = path.split("/")
    for name in way:
        row = next(iter(many(row, name)), None)
    return row.get(last) if isinstance(row, dict) else None


def name_of(row: Any, key: str) -> str:
    """Give an id; "" for none. **Touches** pure."""
    value = row.get(key) if isinstance(row, dict) else None
    return value.strip() if isinstance(value, str) else ""


def literal(moment: datetime) -> str:
    """Write a moment for a filter. **Touches** pure."""
    return f"datetimeoffset'{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}'"


def day_of(value: Any, ref: str, field: str) -> date | None:
    """Read a day, which comes as milliseconds since 1970, sometimes with an offset that says nothing.

    :param ref: names the record in messages.
    :param field: canonical field name.
    :return: None for nothing, and for the placeholders that stand for it.
    :raises SkippableRecordError: it is written otherwise.
    **Touches** pure.
    """
    if value is None or value == "":
        return None
    found = re.fullmatch(r"/Date\((-?\d{1,15})([+-]\d{4})?\)/", str(value), re.ASCII)
    if found is None:
        raise SkippableRecordError(ref, field, "The date is not written as /Date(milliseconds)/.")
    try:
        day = date(1970, 1, 1) + timedelta(milliseconds=int(found[1]))
    except OverflowError:
        return None
    return None if is_placeholder(day) else day
