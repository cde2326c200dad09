"""What is wrong with an account's settings, in words that say what is expected instead."""

from collections.abc import Iterator, Mapping
from typing import Any

import marshmallow as ma
from marshmallow.validate import OneOf

from rmplugin.fields import plain_words
from rmplugin.texts import Text

# What marshmallow says by itself, without its full stop, and what people are told; anything else is a
# connector's own sentence.
STOCK = {
    "Missing data for required field": "This setting is needed.",
    "Field may not be null": "This setting is needed.",
    "Not a valid boolean": "Give true or false.",
    "Not a valid number": "Give a number.",
    "Not a valid integer": "Give a whole number.",
    "Not a valid string": "Give a text.",
}
NO_PAIRS = ("Invalid input type", "Not a valid mapping type")


def explain(schema: ma.Schema, messages: Mapping[Any, Any], outer: str = "") -> dict[Any, Any]:
    """Put what is expected into the place of marshmallow's own words.

    :param messages: of a `marshmallow.ValidationError` of this schema.
    :param outer: what stands before the names, with its dot.
    **Touches** pure.
    """
    return {key: _explain_one(schema, key, told, outer) for key, told in messages.items()}


def _explain_one(schema: ma.Schema, key: Any, told: Any, outer: str) -> Any:
    field = schema.fields.get(key) if isinstance(key, str) else None
    if isinstance(told, Mapping):
        inner = field.schema if isinstance(field, ma.fields.Nested) else None
        if told.get("_schema") and _stock(told["_schema"][0]) in NO_PAIRS:
            return [Text("This takes pairs: %(name)s.KEY=VALUE.", name=f"{outer}{key}")]
        return explain(inner, told, f"{outer}{key}.") if isinstance(inner, ma.Schema) else told
    return [told] if isinstance(told, str) else [_own_words(schema, field, key, text, outer) for text in told]


def _stock(text: Any) -> str:
    return str(text).removesuffix(".")


def _own_words(schema: ma.Schema, field: ma.fields.Field[Any] | None, key: Any, text: Any, outer: str) -> Any:
    stock = _stock(text)
    if stock in STOCK:
        return Text(STOCK[stock])
    if stock in NO_PAIRS:
        return Text("This takes pairs: %(name)s.KEY=VALUE.", name=f"{outer}{key}")
    if field is None and stock == "Unknown field":
        return Text("There is no such setting. Known are %(names)s.", names=", ".join(sorted(schema.fields)))
    known = next((check for check in field.validators if isinstance(check, OneOf)), None) if field else None
    if known is not None and stock.startswith("Must be one of"):
        # A tab is there by its name, too.
        words = ", ".join(f'"{choice}"' for choice in known.choices if str(choice).strip())
        return Text("Choose one of %(choices)s.", choices=words)
    return plain_words(text)


def sentences(schema: ma.Schema, messages: Mapping[Any, Any], outer: str = "") -> Iterator[str]:
    """Write faults as one sentence per setting with its explanation, nested ones with a dotted name.

    **Touches** pure.
    """
    for key, told in messages.items():
        field = schema.fields.get(key) if isinstance(key, str) else None
        if isinstance(told, Mapping):
            inner = getattr(field, "schema", None)
            deeper = inner if isinstance(inner, ma.Schema) else ma.Schema()
            yield from sentences(deeper, told, f"{outer}{key}.")
            continue
        words = " ".join(map(str, [told] if isinstance(told, str) else told))
        explained = field.metadata.get("help") if field else None
        name = "" if key == "_schema" else f"{outer}{key}: "
        yield f"{name}{words} ({explained})" if explained else f"{name}{words}"
