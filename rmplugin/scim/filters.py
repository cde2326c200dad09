"""Filters of SCIM: text to a tree, and whether a resource fits. Pure; no SQL is made of a filter's text."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rmplugin.scim.schemas import Attribute, Kind, Place, ScimError, find, read_moment

TOKEN = re.compile(r'\s*(?:([()\[\]])|("(?:[^"\\]|\\.)*")|([^\s()\[\]"]+))')
NAME = re.compile(r"[A-Za-z$][\w$.:-]*")
ORDERS = ("gt", "ge", "lt", "le")
OPERATORS = ("eq", "ne", "co", "sw", "ew", "pr", *ORDERS)
LONGEST, DEEPEST = 4000, 40


@dataclass(frozen=True, slots=True)
class Compare:
    """One comparison.

    :ivar place: None for an attribute that is not stored, which nobody has.
    :ivar value: decoded JSON; None for `pr`.
    """

    place: Place | None
    operator: str
    value: Any = None

    def fits(self, document: Mapping[str, Any]) -> bool:
        """Tell whether a resource fits. **Source** RFC 7644, table 3. **Touches** pure."""
        kind = _compared(self.place)
        found = [one for one in self._values(document) if one not in (None, "", [], {})]
        if self.operator == "pr":
            return bool(found)
        if self.operator in ("eq", "ne"):
            wanted = _folded(kind, self.value)
            equal = (
                any(_folded(kind, one) == wanted for one in found) if self.value is not None else not found
            )
            return equal == (self.operator == "eq")
        return any(_compare(self.operator, _folded(kind, one), _folded(kind, self.value)) for one in found)

    def _values(self, document: Mapping[str, Any]) -> Iterator[Any]:
        if self.place is None:
            return
        for one in self.place.values(document):
            yield one.get("value") if isinstance(one, dict) and self.operator != "pr" else one


@dataclass(frozen=True, slots=True)
class Inside:
    """A condition on single values of a multi-valued attribute: `emails[type eq "work"]`."""

    place: Place | None
    condition: "Filter"

    def fits(self, document: Mapping[str, Any]) -> bool:
        """Tell whether a resource fits. **Touches** pure."""
        found = self.place.values(document) if self.place else ()
        return any(isinstance(one, dict) and self.condition.fits(one) for one in found)


@dataclass(frozen=True, slots=True)
class Both:
    """Two conditions that both hold."""

    one: "Filter"
    other: "Filter"

    def fits(self, document: Mapping[str, Any]) -> bool:
        """Tell whether a resource fits. **Touches** pure."""
        return self.one.fits(document) and self.other.fits(document)


@dataclass(frozen=True, slots=True)
class Either:
    """Two conditions of which one holds."""

    one: "Filter"
    other: "Filter"

    def fits(self, document: Mapping[str, Any]) -> bool:
        """Tell whether a resource fits. **Touches** pure."""
        return self.one.fits(document) or self.other.fits(document)


@dataclass(frozen=True, slots=True)
class Neither:
    """A condition that does not hold."""

    one: "Filter"

    def fits(self, document: Mapping[str, Any]) -> bool:
        """Tell whether a resource fits. **Touches** pure."""
        return not self.one.fits(document)


Filter = Compare | Inside | Both | Either | Neither


def parse_filter(kind: Kind, text: str) -> Filter:
    """Read a filter.

    :raises ScimError: invalidFilter.
    **Source** RFC 7644, section 3.4.2.2. **Touches** pure.
    """
    parser = _Parser(kind, text, "invalidFilter")
    found = parser.either()
    parser.end()
    return found


def parse_path(kind: Kind, text: str) -> tuple[Place | None, Filter | None]:
    """Read the path of a PATCH operation.

    :return: the attribute, None when it is not stored; and the condition on its values, None without one.
    :raises ScimError: invalidPath.
    **Source** RFC 7644, section 3.5.2. **Touches** pure.
    """
    parser = _Parser(kind, text, "invalidPath")
    place, condition = parser.path()
    parser.end()
    return place, condition


class _Parser:
    """Reads from the left; `and` binds closer than `or`.

    :param fault: word for errors.
    """

    def __init__(self, kind: Kind, text: str, fault: str) -> None:
        self._kind, self._fault = kind, fault
        self._inside: Attribute | None = None
        self._depth = 0
        self._tokens = self._split(text)
        self._next = 0

    def _split(self, text: str) -> list[str]:
        tokens, position, text = [], 0, text.strip()
        while position < len(text):
            match = TOKEN.match(text, position)
            if match is None or len(text) > LONGEST:
                raise self.error()
            tokens.append(match[match.lastindex or 0])
            position = match.end()
        return tokens

    def error(self) -> ScimError:
        return ScimError(
            400, self._fault, f"The {self._fault[7:].lower()} cannot be understood. Nothing was changed."
        )

    def peek(self) -> str:
        return self._tokens[self._next] if self._next < len(self._tokens) else ""

    def take(self, *wanted: str) -> str:
        token = self.peek()
        if not token or (wanted and token.casefold() not in wanted):
            raise self.error()
        self._next += 1
        return token

    def end(self) -> None:
        if self.peek():
            raise self.error()

    def either(self) -> Filter:
        self._depth += 1
        if self._depth > DEEPEST:
            raise self.error()
        found = self.both()
        while self.peek().casefold() == "or":
            self.take()
            found = Either(found, self.both())
        self._depth -= 1
        return found

    def both(self) -> Filter:
        found = self.single()
        while self.peek().casefold() == "and":
            self.take()
            found = Both(found, self.single())
        return found

    def single(self) -> Filter:
        if self.peek().casefold() == "not":
            self.take()
            return Neither(self.grouped())
        if self.peek() == "(":
            return self.grouped()
        place, condition = self.path()
        if condition is not None and self.peek().casefold() not in OPERATORS:
            return Inside(place, condition)
        compare = self.compare(place)
        if condition is None or place is None or place.sub is None:
            return compare
        # `emails[type eq "work"].value eq "x"` asks both of one and the same value.
        whole = Place(place.urn, place.attribute)
        inner = Compare(Place(None, place.sub), compare.operator, compare.value)
        return Inside(whole, Both(condition, inner))

    def grouped(self) -> Filter:
        self.take("(")
        found = self.either()
        self.take(")")
        return found

    def path(self) -> tuple[Place | None, Filter | None]:
        name = self.take()
        if not NAME.fullmatch(name):
            raise self.error()
        if self.peek() != "[" or self._inside is not None:
            return self._place(name), None
        place = self._place(name)
        self.take("[")
        # An attribute that is not stored has no sub-attributes, but its condition must be read all the same.
        self._inside = place.attribute if place and place.attribute else Attribute(name=name, about="")
        condition = self.either()
        self._inside = None
        self.take("]")
        if self.peek().startswith("."):
            place = self._place(name + self.take())
        return place, condition

    def _place(self, name: str) -> Place | None:
        if self._inside is None:
            return self._kind.place(name)
        sub = find(self._inside.subs, name)
        return Place(None, sub) if sub else None

    def compare(self, place: Place | None) -> Compare:
        operator = self.take(*OPERATORS).casefold()
        if operator == "pr":
            return Compare(place, operator)
        try:
            value = json.loads(self.take())
        except ValueError:
            raise self.error() from None
        if isinstance(value, dict | list):
            raise self.error()
        compared = _compared(place)
        if compared is not None:
            self._check(compared, operator, value)
        return Compare(place, operator, value)

    def _check(self, attribute: Attribute, operator: str, value: Any) -> None:
        """Refuse what cannot be compared."""
        if value is None and operator in ("eq", "ne"):
            return
        wrong = {
            "boolean": operator not in ("eq", "ne") or _folded(attribute, value) is None,
            "dateTime": operator not in ("eq", "ne", *ORDERS) or _folded(attribute, value) is None,
            "complex": True,
        }
        if wrong.get(attribute.type, not isinstance(value, str)):
            raise self.error()


def _compared(place: Place | None) -> Attribute | None:
    """Give the attribute whose values are compared: a complex one stands for its `value`."""
    if place is None or place.attribute is None:
        return None
    attribute = place.sub or place.attribute
    return attribute.sub("value") or attribute


def _folded(attribute: Attribute | None, value: Any) -> Any:
    """Give a value as it is compared; None when it is none of this attribute's."""
    if attribute is None or value is None:
        return None
    if attribute.type == "boolean":
        return {"true": True, "false": False}.get(str(value).casefold())
    if attribute.type == "dateTime":
        return read_moment(str(value))
    return str(value) if attribute.exact else str(value).casefold()


def _compare(operator: str, found: Any, wanted: Any) -> bool:
    if found is None or wanted is None:
        return False
    if operator in ORDERS:
        return bool(
            (operator[1] == "e" and found == wanted)
            or (found > wanted if operator[0] == "g" else found < wanted)
        )
    return bool(
        {"co": wanted in found, "sw": found.startswith(wanted), "ew": found.endswith(wanted)}[operator]
    )
