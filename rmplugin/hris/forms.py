"""Forms about HR accounts: one is made from a connector's own settings schema, whatever that asks for."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import marshmallow as ma
from marshmallow.validate import Length, OneOf, Range

from rmplugin.tenants.queries import HasSettings
from rmplugin.texts import Text, texts

# Form names of settings begin so, because an account has a name of its own.
PREFIX = "set_"
RANK_BY = texts({"grade": "Grade", "level": "Level", "job_title": "Job title"})
SCHEDULES = texts(
    {
        "60": "every hour",
        "240": "every 4 hours",
        "720": "every 12 hours",
        "1440": "every day",
        "10080": "every week",
        "off": "by hand only",
    }
)


@dataclass(frozen=True, slots=True)
class Setting:
    """One field of a settings form.

    :ivar kind: text, number, secret, choice, lines (one pair "key = value" per line) or list (one per line).
    :ivar is_long: a text or secret of several lines, such as a private key.
    :ivar is_needed: the connector cannot do without it.
    :ivar required: it has to be typed; a secret that is stored need not be.
    :ivar value: what is shown at first; secrets are never shown.
    :ivar options: (value, text) each, of a choice.
    :ivar keys: left sides of the pairs, where only some are known.
    """

    name: str
    label: str
    kind: str
    is_long: bool
    help: str
    is_needed: bool
    required: bool
    value: str
    options: list[tuple[str, str]]
    keys: tuple[str, ...] = ()


def settings_form(connector: HasSettings, stored: Mapping[str, Any] | None = None) -> list[Setting]:
    """Describe a form for a connector's settings: what it cannot do without stands first.

    :param stored: the account's settings without secrets; None for a new account.
    **Touches** pure.
    """
    fields = connector.settings_schema().fields.items()
    return sorted((_describe(key, field, stored) for key, field in fields), key=lambda s: not s.is_needed)


def _describe(key: str, field: ma.fields.Field[Any], stored: Mapping[str, Any] | None) -> Setting:
    kind = _kind(field)
    value = (stored or {}).get(key)
    if value is None and isinstance(field.load_default, str | int | float):
        value = field.load_default
    return Setting(
        name=PREFIX + key,
        label=str(field.metadata.get("label") or key.replace("_", " ").capitalize()),
        kind=kind,
        is_long=bool(field.metadata.get("lines")),
        help=str(field.metadata.get("help", "")),
        is_needed=field.required,
        required=field.required and not (kind == "secret" and stored is not None),
        value="" if kind == "secret" else _shown(value),
        options=_options(field) if kind == "choice" else [],
        keys=_keys(field),
    )


def _kind(field: ma.fields.Field[Any]) -> str:
    if field.metadata.get("secret"):
        return "secret"
    if isinstance(field, ma.fields.Boolean) or _one_of(field):
        return "choice"
    if isinstance(field, ma.fields.Integer | ma.fields.Float):
        return "number"
    if isinstance(field, ma.fields.Nested | ma.fields.Dict):
        return "lines"
    return "list" if isinstance(field, ma.fields.List) else "text"


def _keys(field: ma.fields.Field[Any]) -> tuple[str, ...]:
    schema = field.schema if isinstance(field, ma.fields.Nested) else None
    return tuple(sorted(schema.fields)) if isinstance(schema, ma.Schema) else ()


def _one_of(field: ma.fields.Field[Any]) -> OneOf | None:
    return next((check for check in field.validators if isinstance(check, OneOf)), None)


def _options(field: ma.fields.Field[Any]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]]
    if isinstance(field, ma.fields.Boolean):
        found = [("true", Text("yes")), ("false", Text("no"))]
    else:
        known = _one_of(field)
        assert known is not None
        # A form sends no white space, and a schema that takes a tab has a word for it, too.
        found = [(str(choice), str(choice)) for choice in known.choices if str(choice).strip()]
    needed = field.required or field.load_default not in (ma.missing, None)
    return found if needed else [("", "–"), *found]


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "\n".join(f"{key} = {text}" for key, text in _flat(value))
    if isinstance(value, list | tuple):
        return "\n".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)


def _flat(value: Mapping[str, Any], outer: str = "") -> Iterator[tuple[str, Any]]:
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _flat(inner, f"{outer}{key}.")
        else:
            yield f"{outer}{key}", _shown(inner) if isinstance(inner, bool) else inner


class AccountForm(ma.Schema):
    """The part of the form that is the same for every connector."""

    name = ma.fields.String(
        required=True,
        validate=Length(max=80, error="Please use at most 80 characters."),
        error_messages={"required": "Give it a name of your own, such as people."},
    )


def typed_form(connector: HasSettings) -> ma.Schema:
    """Make the schema of the texts that a settings form sends. **Touches** pure."""
    names = (PREFIX + key for key in connector.settings_schema().fields)
    return ma.Schema.from_dict({name: ma.fields.String(load_default="") for name in names})()


def read_settings(connector: HasSettings, typed: Mapping[str, str]) -> dict[str, Any]:
    """Give the settings that were typed, as the connector's schema takes them; empty ones are left out.

    :param typed: loaded by `typed_form`.
    **Touches** pure.
    """
    found: dict[str, Any] = {}
    for key, field in connector.settings_schema().fields.items():
        text = typed[PREFIX + key]
        if not text:
            continue
        kind = _kind(field)
        if kind == "lines":
            found[key] = _nested(_pairs(text), deep=isinstance(field, ma.fields.Nested))
        elif kind == "list":
            found[key] = [line.strip() for line in text.splitlines() if line.strip()]
        else:
            # Browsers end lines as HTTP does; a key in several lines is meant as it stands in its file.
            found[key] = text.replace("\r\n", "\n")
    return found


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        # A key may hold a sign of equality, but hardly one with space around it.
        key, _sign, value = line.partition(" = " if " = " in line else "=")
        if key.strip():
            yield key.strip(), value.strip()


def _nested(pairs: Iterable[tuple[str, str]], *, deep: bool) -> dict[str, Any]:
    """Put dotted keys into objects of their own, where the schema has such; words of a `Dict` stay whole."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        place = found
        *outer, last = key.split(".") if deep else [key]
        for part in outer:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                break
        else:
            place[last] = value
    return found


def field_errors(details: Mapping[str, Any]) -> dict[str, str]:
    """Give what a schema found wrong by the name of the form's field. **Touches** pure."""
    known = {f"{PREFIX}{key}": _sentence(told) for key, told in details.items() if key != "_schema"}
    return known | ({"form": _sentence(details["_schema"])} if "_schema" in details else {})


def _sentence(told: Any) -> str:
    if isinstance(told, Mapping):
        return " ".join(f"{key}: {_sentence(inner)}" for key, inner in told.items())
    if isinstance(told, str):
        return Text(told)
    parts = [_sentence(inner) for inner in told]
    return parts[0] if len(parts) == 1 else " ".join(parts)


class ScheduleForm(ma.Schema):
    """How often an account is read: minutes, or "off"; loads as None when it is read by hand only."""

    every = ma.fields.String(required=True, error_messages={"required": "Please choose one of these."})

    @ma.post_load
    def as_minutes(self, data: Mapping[str, str], **_: Any) -> dict[str, int | None]:
        """Give minutes.

        :raises marshmallow.ValidationError: it is neither a number of minutes nor "off".
        **Touches** pure.
        """
        return {"every": read_schedule(data["every"])}


def read_schedule(text: str) -> int | None:
    """Give the minutes between two runs; None for "off".

    :raises marshmallow.ValidationError: it is neither.
    **Touches** pure.
    """
    if text == "off":
        return None
    if not text.isascii() or not text.isdigit() or not 5 <= int(text) <= 44_640:
        wrong = "Please give the minutes between two runs, 5 to 44640, or off."
        raise ma.ValidationError({"every": [wrong]})
    return int(text)


class RankField(ma.fields.Integer):
    """A rank, 0 (most junior) to 100 (most senior)."""

    def __init__(self) -> None:
        wrong = "A rank is a whole number from 0 to 100."
        super().__init__(
            load_default=None,
            validate=Range(0, 100, error=wrong),
            error_messages={"invalid": wrong},
        )


class RankByForm(ma.Schema):
    """Which word of a person says how senior they are."""

    rank_by = ma.fields.String(required=True, validate=OneOf(list(RANK_BY)))
    count = ma.fields.Integer(load_default=0, validate=Range(0, 1000))


def ranks_form(count: int) -> ma.Schema:
    """Make the form of a list of words with a rank each: ``word-0``, ``rank-0`` and so on.

    :param count: words on the page.
    **Touches** pure.
    """
    fields: dict[str, ma.fields.Field[Any]] = {f"rank-{n}": RankField() for n in range(count)}
    fields |= {f"word-{n}": ma.fields.String(load_default="") for n in range(count)}
    return ma.Schema.from_dict(fields)()
