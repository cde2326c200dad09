"""Documents that describe a REST interface of an HR system: what may stand in one, and what must not.

docs/connectors/declarative.md explains every word. A fault names its place, such as `pages.param`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import marshmallow as ma
import yaml

from connectors import values
from connectors.answers import text_of, write_moment
from connectors.tables import ALIASES, EMPLOYMENT_WORDS, ISO, PRIVATE_COLUMN, TableSettings
from connectors.values import STATUSES, Strict

MOST_BYTES = 256 * 1024
# A document may also fill these, which no column of a file is known for.
MORE_FIELDS = ("level", "legal_entity", "skills")
FIELDS = (*(name for name in ALIASES if name != "manager"), *MORE_FIELDS)
NAMES = ("display_name", "given_name", "family_name", "preferred_name")
# What each way of paging must say.
NEEDED = {"number": ("param",), "offset": ("param",), "cursor": ("param", "next"), "link": ("next",)}
PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
# Words of JSON interfaces for private data, beside those of files. A pay grade is a grade.
PRIVATE = re.compile(
    r"\b(pay|payroll|compensation|remuneration|income)\b(?! (grade|band|level|group|scale))"
    r"|\b(bank|iban|spouse|dependants?|dependents?|medical|emergency)\b|\bfamily (?!name)"
)


class _Loader(yaml.SafeLoader):
    """YAML that takes for more than a text only what JSON does: `no` is a country, 007 somebody's number."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag.endswith((":null", ":merge"))]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, _pattern, _first in (
    ("bool", r"true|false", "tf"),
    ("int", r"-?(0|[1-9]\d*)", "-0123456789"),
    ("float", r"-?(0|[1-9]\d*)\.\d+", "-0123456789"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), list(_first))


class Word(ma.fields.Field[str]):
    """A text, or a number or truth value that stands for one."""

    def _deserialize(self, value: Any, *_more: Any, **_options: Any) -> str:
        if not isinstance(value, str | int | float):
            raise ma.ValidationError("This is no word.")
        return text_of(value)


class AuthSchema(Strict):
    """How requests are signed. The credentials are settings of the account and never stand in a document."""

    kind = ma.fields.String(required=True)
    name = ma.fields.String(load_default="Authorization")
    prefix = ma.fields.String(load_default="")
    token = ma.fields.String(load_default="")
    form = ma.fields.Dict(keys=ma.fields.String(), values=Word(), load_default=dict)

    @ma.validates_schema
    def check(self, data: Mapping[str, Any], **_options: Any) -> None:
        """Refuse ways that are none, or that show the key to every log on the way.

        :raises marshmallow.ValidationError: it is one of these.
        **Touches** pure.
        """
        kind = data["kind"]
        if kind == "query":
            text = "A key in an address ends up in logs, so none is sent. Use header, bearer, basic or oauth."
            raise ma.ValidationError(text, "kind")
        if kind not in ("basic", "bearer", "header", "oauth"):
            raise ma.ValidationError("This is none of basic, bearer, header, oauth.", "kind")
        if kind == "oauth" and not data["token"]:
            raise ma.ValidationError("Say at which address tokens are given.", "token")
        if "://" in data["token"]:
            check_address(data["token"])


class RequestSchema(Strict):
    """The request that lists people."""

    method = ma.fields.String(load_default="GET", validate=ma.validate.OneOf(["GET", "POST"]))
    path = ma.fields.String(required=True)
    params = ma.fields.Dict(keys=ma.fields.String(), values=Word(), load_default=dict)
    body = ma.fields.Dict(keys=ma.fields.String(), load_default=None, allow_none=True)


class PagesSchema(Strict):
    """How one page follows the other."""

    kind = ma.fields.String(required=True, validate=ma.validate.OneOf([*NEEDED, "header"]))
    param = ma.fields.String(load_default="")
    within = ma.fields.String(load_default="params", validate=ma.validate.OneOf(["params", "body"]))
    first = ma.fields.Integer(load_default=None)
    next = ma.fields.String(load_default="")
    total = ma.fields.String(load_default="")
    ends = ma.fields.List(
        Word(validate=ma.validate.OneOf(["empty", "short", "total", "404"])), load_default=list
    )

    @ma.validates_schema
    def check(self, data: Mapping[str, Any], **_options: Any) -> None:
        """Refuse a way of paging that cannot work.

        :raises marshmallow.ValidationError: something that it needs is missing.
        **Touches** pure.
        """
        missing = {name: ["This way of paging needs it."] for name in NEEDED.get(data["kind"], ())}
        if "total" in data["ends"]:
            missing["total"] = ["An end by the total needs the place of the total."]
        missing = {name: text for name, text in missing.items() if not data[name]}
        if missing:
            raise ma.ValidationError(missing)


class DetailSchema(Strict):
    """A request per person; its answer joins the person's row under a name."""

    path = ma.fields.String(required=True, validate=ma.validate.ContainsNoneOf("?#"))
    into = ma.fields.String(required=True, validate=ma.validate.Length(min=1))
    records = ma.fields.String(load_default="")
    most = ma.fields.Integer(load_default=50_000, validate=ma.validate.Range(1))

    @ma.validates("path")
    def check_path(self, value: str, **_options: Any) -> None:
        """Refuse a path that is the same for everybody.

        :raises marshmallow.ValidationError: it has no place for an id.
        **Touches** pure.
        """
        if not PLACEHOLDER.search(value):
            raise ma.ValidationError("It names nobody: put a place of the row into it, such as {id}.")


class ChangesSchema(Strict):
    """How only what changed is asked for."""

    param = ma.fields.String(required=True)
    within = ma.fields.String(load_default="params", validate=ma.validate.OneOf(["params", "body"]))
    format = ma.fields.String(load_default="%Y-%m-%dT%H:%M:%SZ")
    template = ma.fields.String(load_default="{}")
    field = ma.fields.String(load_default="")
    overlap_minutes = ma.fields.Integer(load_default=5, validate=ma.validate.Range(0))

    @ma.validates_schema
    def check(self, data: Mapping[str, Any], **_options: Any) -> None:
        """Refuse a moment that would not be written.

        :raises marshmallow.ValidationError: template or format leave it out.
        **Touches** pure.
        """
        if data["template"].count("{}") != 1:
            raise ma.ValidationError("It needs {} once, where the moment belongs.", "template")
        written = {write_moment(datetime(year, 1, 1, tzinfo=UTC), data["format"]) for year in (2001, 2002)}
        if len(written) < 2:
            raise ma.ValidationError("This is no strptime format, epoch or epoch_ms.", "format")


class ErrorSchema(Strict):
    """What an answer means that is no list of people."""

    status = ma.fields.Integer(load_default=None)
    path = ma.fields.String(load_default="")
    value = Word(load_default=None)
    then = ma.fields.String(required=True, validate=ma.validate.OneOf(["retry", "throttled", "fatal", "end"]))
    say = ma.fields.String(load_default="")

    @ma.validates_schema
    def check(self, data: Mapping[str, Any], **_options: Any) -> None:
        """Refuse a rule for every answer.

        :raises marshmallow.ValidationError: neither status nor path is given.
        **Touches** pure.
        """
        if data["status"] is None and not data["path"]:
            raise ma.ValidationError("Say which status, or which path in the answer, is meant.")


class GoneSchema(Strict):
    """How a row says that its person was deleted."""

    path = ma.fields.String(required=True)
    values = ma.fields.List(Word(), required=True, validate=ma.validate.Length(min=1))


FieldsSchema = Strict.from_dict(
    {
        "source_key": ma.fields.String(required=True),
        "manager": ma.fields.String(),
        **{name: ma.fields.String() for name in FIELDS},
    },
    name="FieldsSchema",
)
ConstantsSchema = Strict.from_dict(
    {name: Word() for name in FIELDS if "_date" not in name}, name="ConstantsSchema"
)


class DocumentSchema(Strict):
    """The whole document."""

    name = ma.fields.String(required=True, validate=ma.validate.Length(1, 80))
    base = ma.fields.String(required=True)
    auth = ma.fields.Nested(AuthSchema, required=True)
    headers = ma.fields.Dict(keys=ma.fields.String(), values=Word(), load_default=dict)
    request = ma.fields.Nested(RequestSchema, required=True)
    records = ma.fields.String(load_default="")
    pages = ma.fields.Nested(PagesSchema, load_default=None)
    details = ma.fields.List(ma.fields.Nested(DetailSchema), load_default=list)
    changes = ma.fields.Nested(ChangesSchema, load_default=None)
    gone = ma.fields.Nested(GoneSchema, load_default=None)
    errors = ma.fields.List(ma.fields.Nested(ErrorSchema), load_default=list)
    fields_ = ma.fields.Nested(FieldsSchema, required=True, data_key="fields")
    constants = ma.fields.Nested(ConstantsSchema, load_default=dict)
    status_words = ma.fields.Dict(
        keys=Word(), values=ma.fields.String(validate=ma.validate.OneOf(STATUSES)), load_default=dict
    )
    employment_words = ma.fields.Dict(
        keys=Word(),
        values=ma.fields.String(validate=ma.validate.OneOf([*{*EMPLOYMENT_WORDS.values()}, "other"])),
        load_default=dict,
    )
    date_format = ma.fields.String(load_default=ISO, validate=TableSettings().check_date_format)

    @ma.validates("base")
    def check_base(self, value: str, **_options: Any) -> None:
        """Refuse an address over which credentials would be readable.

        :raises marshmallow.ValidationError: it is one, or none at all.
        **Touches** pure.
        """
        check_address(value)

    @ma.validates_schema
    def check_names(self, data: Mapping[str, Any], **_options: Any) -> None:
        """Refuse a document whose people have no name, or private data at any place that it reads.

        :raises marshmallow.ValidationError: it is so.
        **Touches** pure.
        """
        if not any(name in data["fields_"] for name in NAMES):
            raise ma.ValidationError(f"Nobody has a name: map one of {', '.join(NAMES)}.", "fields")
        read = {"fields": data["fields_"]} | {
            name: data[name] for name in ("request", "records", "details", "changes", "gone")
        }
        private = {
            place: ["This is private data and is never read."]
            for place, text in _texts(read)
            if is_private(text)
        }
        if private:
            raise ma.ValidationError(private)


def check_address(address: str) -> None:
    """Refuse what `values.check_address` refuses, and parameters, which a document gives elsewhere.

    :raises marshmallow.ValidationError: it is refused.
    **Touches** pure.
    """
    values.check_address(address)
    if urlsplit(address).query:
        raise ma.ValidationError("An address holds no credentials and no parameters.")


def is_private(text: str) -> bool:
    """Tell a path that leads to pay, birth dates, health, family or bank data. **Touches** pure."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text)
    whole = re.sub(r"[\W_]+", " ", words).casefold().strip()
    parts = [re.sub(r"[\W_]+", " ", part).casefold().strip() for part in re.split(r"[./]", words)]
    return any(PRIVATE_COLUMN.search(part) or PRIVATE.search(part) for part in (whole, *parts))


def _texts(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield f"{place}{name}", str(name)
            yield from _texts(inner, f"{place}{name}.")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _texts(inner, f"{place}{number}.")
    elif isinstance(value, str):
        yield place.rstrip("."), value


def read_document(text: str) -> Any:
    """Read a document from its text, or from the file that the text names.

    :raises marshmallow.ValidationError: there is no such file, it is too large, or no YAML or JSON.
    **Touches** reads the file.
    """
    if "\n" not in text and not text.lstrip().startswith("{"):
        try:
            with Path(text).open("rb") as file:
                text = file.read(MOST_BYTES + 1).decode()
        except (OSError, ValueError):
            raise ma.ValidationError("There is no such file of text. Correct the path.") from None
    if len(text) > MOST_BYTES:
        raise ma.ValidationError("The document is too large for one.")
    try:
        return json.loads(text) if text.lstrip().startswith("{") else yaml.load(text, _Loader)  # noqa: S506 - safe.
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ma.ValidationError(f"This is no YAML: see line {line}.") from None
    except json.JSONDecodeError as error:
        raise ma.ValidationError(f"This is no JSON: see line {error.lineno}.") from None
    except (ValueError, RecursionError, yaml.YAMLError):
        raise ma.ValidationError("This is neither YAML nor JSON.") from None
