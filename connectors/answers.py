"""Answers of REST interfaces: values at dotted paths, moments as they are written, the way through pages."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin

from rmplugin.api import http

# Stands for a place that an answer does not have; None is a place without a value.
NOTHING = object()


def find(value: Any, path: str) -> Any:
    """Follow a dotted path into an answer; numbers are places in a list.

    :return: what stands there; NOTHING when there is no such place; None when one on the way is empty.
    **Touches** pure.
    """
    for part in path.split(".") if path else ():
        if isinstance(value, dict):
            value = value.get(part, NOTHING)
        elif isinstance(value, list) and part.isdecimal():
            value = value[int(part)] if int(part) < len(value) else None
        elif value is not None:
            return NOTHING
    return value


def text_of(value: Any) -> str:
    """Write a value as a cell of a table; "" for none, and for what is no single value. **Touches** pure."""
    if value is None or value is NOTHING or isinstance(value, dict | list):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def write_moment(moment: datetime, form: str) -> str:
    """Write a moment as an interface wants it. **Touches** pure."""
    if form in ("epoch", "epoch_ms"):
        return str(int(moment.timestamp() * (1000 if form == "epoch_ms" else 1)))
    return moment.strftime(form)


def read_moment(told: Any) -> datetime | None:
    """Read a moment: ISO 8601, without a zone UTC, or seconds or milliseconds since 1970.

    :return: aware UTC; None when it is no moment.
    **Touches** pure.
    """
    try:
        if isinstance(told, int | float):
            return datetime.fromtimestamp(told / 1000 if told > 1e11 else told, UTC)
        moment = datetime.fromisoformat(told)
    except (ValueError, TypeError, OverflowError, OSError):
        return None
    moment = moment.replace(tzinfo=moment.tzinfo or UTC)
    return moment.astimezone(UTC) if 1970 < moment.year < 9999 else None


class Pages:
    """Where the next page is.

    :param pages: the document's words about it; None when one answer holds everybody.
    """

    def __init__(self, name: str, pages: Mapping[str, Any] | None) -> None:
        self._pages = pages or {"kind": "none", "total": "", "ends": ()}
        self._places = http.Pages(name)
        self._kind: str = self._pages["kind"]
        self._seen = self._longest = 0
        self._place: str | int | None = None
        if self._kind in ("number", "offset"):
            self._place = self._pages["first"]
            if self._place is None:
                self._place = 1 if self._kind == "number" else 0

    def put(self, params: dict[str, Any], body: dict[str, Any]) -> None:
        """Write the place into the next request. **Touches** these two."""
        if self._place is not None:
            (body if self._pages["within"] == "body" else params)[self._pages["param"]] = self._place

    def total(self, answer: Any) -> int | None:
        """Give how many people the answer says there are; None when it does not say. **Touches** pure."""
        told = text_of(find(answer, self._pages["total"])) if self._pages["total"] else ""
        return int(told) if told.isdecimal() else None

    def following(self, reply: http.Reply, answer: Any, rows: list[Any], path: str) -> str | None:
        """Give the path of the next page; None behind the last.

        :raises RetriableError: the system leads in a circle.
        **Touches** its memory of the places.
        """
        self._seen += len(rows)
        if self._kind == "none" or self._is_last(rows, self.total(answer)):
            return None
        self._longest = max(self._longest, len(rows))
        if isinstance(self._place, int):
            # A system that ignores the parameter gives the same people for ever.
            self._places.once(hashlib.sha256(json.dumps(rows).encode()).hexdigest())
            self._place += 1 if self._kind == "number" else len(rows)
            return path
        told = reply.link("next") if self._kind == "header" else find(answer, self._pages["next"])
        if not (told := text_of(told)) or told == "false":
            return None
        if self._kind == "cursor":
            self._place = self._places.once(told)
            return path
        return self._places.once(urljoin(reply.url, told))

    def _is_last(self, rows: list[Any], total: int | None) -> bool:
        ends = self._pages["ends"]
        return (
            (not rows and ("empty" in ends or isinstance(self._place, int)))
            # Shorter than one before, not than what was asked for: systems lower that without a word.
            or ("short" in ends and len(rows) < self._longest)
            or ("total" in ends and total is not None and self._seen >= total)
        )
