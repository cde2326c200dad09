"""HR systems with a small REST interface, each described by a document of YAML or JSON alone.

The document says where people are listed, how pages follow each other, and which of their values are our
fields; docs/connectors/declarative.md explains every word. Rows become records as those of a table do.
"""

import json
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urljoin

import marshmallow as ma

from connectors.answers import NOTHING, Pages, find, read_moment, text_of, write_moment
from connectors.documents import MORE_FIELDS, PLACEHOLDER, DocumentSchema, check_address, read_document
from connectors.tables import RowReader, clean
from connectors.values import Strict, skipped_by_reason
from rmplugin.api import (
    Capabilities,
    CheckResult,
    CursorExpiredError,
    EmployeeRecord,
    ExternalError,
    FatalError,
    RosterPage,
    SkippableRecordError,
    SkippedRecord,
    hookimpl,
    http,
)

SAMPLE_SIZE = 20
# Of these a list is taken whole.
LISTS = ("languages", "skills")
Document = Mapping[str, Any]


class _DocumentField(ma.fields.String):
    """A document, or the path of the file that holds it."""

    def _deserialize(self, value: Any, *more: Any, **options: Any) -> Any:
        return DocumentSchema().load(read_document(super()._deserialize(value, *more, **options)))


class DeclarativeSettings(Strict):
    """What an administrator enters: the document, and the credentials that it must not hold."""

    document = _DocumentField(
        required=True,
        metadata={"help": "path of the YAML or JSON document, or its text", "lines": True},
    )
    base = ma.fields.String(
        load_default="",
        metadata={"help": "this company's own address, where the document's is another"},
    )
    user = ma.fields.String(
        load_default="", metadata={"help": "user name (basic) or client id (oauth), where there is one"}
    )
    secret = ma.fields.String(
        required=True,
        validate=ma.validate.Length(min=1),
        metadata={"secret": True, "help": "password, token, key or client secret"},
    )

    @ma.validates("base")
    def check_base(self, value: str, **_options: Any) -> None:
        """Refuse an address over which credentials would be readable.

        :raises marshmallow.ValidationError: it is one.
        **Touches** pure.
        """
        if value:
            check_address(value)

    @ma.validates_schema
    def check_secret(self, data: Mapping[str, Any], **_options: Any) -> None:
        """Refuse a secret that was pasted with line breaks, and a token that cannot stand in a header.

        :raises marshmallow.ValidationError: it is one.
        **Touches** pure.
        """
        ordinary = data["secret"].isascii() or data["document"]["auth"]["kind"] == "basic"
        if not (ordinary and data["secret"].isprintable()):
            raise ma.ValidationError("It holds characters that cannot be sent. Enter it again.", "secret")


class DeclarativeConnector:
    """Reads people as a document says."""

    key = "declarative"
    title = "REST interface, described by a document"
    settings_schema: type[ma.Schema] = DeclarativeSettings
    capabilities = Capabilities(incremental=True, deletes=True)

    def check(self, settings: Mapping[str, Any]) -> list[CheckResult]:
        """Read the first page; say which fields its people have, and what is skipped.

        :param settings: loaded by `DeclarativeSettings`.
        **Touches** the network.
        """
        reading = _Reading(settings)
        try:
            with closing(reading.answers({})) as answers:
                rows = next(answers, ([], None))[0][:SAMPLE_SIZE]
            page = reading.page(rows, None)
        except ExternalError as error:
            return [CheckResult("People", ok=False, advice=error.message_for_user)]
        places = reading.document["fields_"].items() if rows else ()
        results = [CheckResult("People", ok=True, advice=f"{len(rows)} looked at")]
        results += [
            CheckResult(f"Field {name}", ok=True, advice=place)
            if name in reading.present
            else CheckResult(f"Field {name}", ok=False, advice=f"Nobody of them has {place}. Correct it.")
            for name, place in places
        ]
        return results + skipped_by_reason(page.skipped, "Skipped people")

    def read(self, settings: Mapping[str, Any], cursor: str | None) -> Iterator[RosterPage]:
        """Read the roster page by page, whole or what changed.

        :param cursor: moment from which changes are asked; None for everybody.
        :raises RetriableError: no, a broken or an endless answer, or what the document calls passing.
        :raises FatalError: refused, or what the document calls so.
        :raises CursorExpiredError: the cursor is not ours, or the document knows no changes any more.
        **Touches** the network.
        """
        reading = _Reading(settings)
        started, changes = reading.client.now(), reading.document["changes"]
        since = None if cursor is None else read_moment(cursor)
        asked = {}
        if cursor is not None:
            if since is None or changes is None:
                text = "The place of the last reading cannot be used. Everything is read instead."
                raise CursorExpiredError(reading.name, "GET", reading.client.base, None, text)
            overlapping = since - timedelta(minutes=changes["overlap_minutes"])
            moment = write_moment(overlapping, changes["format"])
            asked = {changes["param"]: changes["template"].replace("{}", moment)}
        for rows, total in reading.answers(asked):
            yield reading.page(rows, None if asked else total)
        fields = frozenset(reading.present) if reading.count and not asked else None
        yield RosterPage([], cursor=reading.cursor(started, since), fields=fields)


class _Reading:
    """One reading: the client, the document, and what was seen so far.

    :ivar present: fields whose place stood in an answer, empty or not.
    :ivar count: rows so far.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.document: Document = settings["document"]
        self.name: str = self.document["name"]
        self.client = _client(settings, self._is_passing)
        self.present: set[str] = set(self.document["constants"])
        self.count = 0
        self._newest: datetime | None = None
        self._calls: Counter[str] = Counter()
        self._kinds = {word.casefold(): kind for word, kind in self.document["employment_words"].items()}
        names = {**self.document["fields_"], **self.document["constants"]}.keys()
        # The key comes first, so that no name is taken for a line of totals.
        self._columns = ["source_key", *sorted(names - {"source_key", *MORE_FIELDS})]
        self._more = sorted(names & set(MORE_FIELDS))
        options = {
            "mapping": {name: name for name in self._columns[1:]},
            "key": "source_key",
            "manager_by": "auto",
            "date_format": self.document["date_format"],
            "status_values": self.document["status_words"],
        }
        self._reader = RowReader(self._columns, options, self.client.base)

    def answers(self, asked: Mapping[str, str]) -> Generator[tuple[list[Any], int | None], None, None]:
        """Give the rows of each page, and how many people the system says it has.

        :param asked: what asks for changes only.
        """
        request, pages = self.document["request"], self.document["pages"]
        params, body = dict(request["params"]), dict(request["body"] or {})
        if asked:
            (body if self.document["changes"]["within"] == "body" else params).update(asked)
        following = Pages(self.name, pages)
        path: str | None = request["path"]
        ends: tuple[int, ...] = ()
        while path is not None:
            following.put(params, body)
            # A link holds its parameters already.
            options = {"params": params} if path == request["path"] else {}
            if request["method"] == "POST":
                options["json"] = body
            reply = self._ask(request["method"], path, ends, **options)
            if reply is None:
                return
            answer = reply.json()
            # An answer without a body (204) is what some systems say behind the last page.
            rows = [] if answer is None else find(answer, self.document["records"])
            if not isinstance(rows, list):
                raise reply.broken(f"gave no list at “{self.document['records']}”")
            yield rows, following.total(answer)
            path = following.following(reply, answer, rows, path)
            # The first page is never behind the last one: a 404 there is a wrong address.
            ends = (404,) if pages and "404" in pages["ends"] else ()

    def page(self, rows: list[Any], total: int | None) -> RosterPage:
        """Give the records of some rows.

        :raises RetriableError, FatalError: a call for somebody's details fails.
        """
        page = RosterPage([], total=total)
        for row in rows:
            self.count += 1
            ref = f"record {self.count}"
            key = self._key(row)
            try:
                if key is not None and self._is_gone(row):
                    page.gone.append(key)
                    continue
                whole = self._with_details(row, ref)
                key = key or self._key(whole)
                page.records.append(self._record(whole, ref))
            except SkippableRecordError as error:
                page.skipped.append(SkippedRecord(error.ref, error.field, error.reason, key))
        return page

    def cursor(self, started: datetime, since: datetime | None) -> str | None:
        """Give where the next run begins: with this one, or earlier when the source's clock is behind."""
        changes = self.document["changes"]
        if changes is None:
            return None
        newest = (self._newest or since) if changes["field"] else started
        return min(started, newest).isoformat() if newest else None

    def _ask(self, method: str, path: str, ends: tuple[int, ...], **options: Any) -> http.Reply | None:
        """Ask; None when the answer means that there is nothing more."""
        named = {rule["status"] for rule in self.document["errors"] if rule["then"] in ("fatal", "end")}
        reply = self.client.request(method, path, expect={*ends, *named}, **options)
        then = self._rule(reply)
        if then and then["then"] == "fatal":
            raise reply.refused(then["say"])
        if reply.status in ends or (then and then["then"] == "end"):
            return None
        if reply.status >= 300:
            raise reply.refused("")
        return reply

    def _is_passing(self, reply: http.Reply) -> bool:
        rule = self._rule(reply)
        return rule is not None and rule["then"] in ("retry", "throttled")

    def _rule(self, reply: http.Reply) -> Document | None:
        """Find the first rule of the error map under which an answer falls."""
        rules = [rule for rule in self.document["errors"] if rule["status"] in (None, reply.status)]
        answer = None
        if rules:
            with suppress(ValueError, RecursionError):
                answer = json.loads(reply.body)
        return next((rule for rule in rules if not rule["path"] or _holds(answer, rule)), None)

    def _key(self, row: Any) -> str | None:
        return text_of(find(row, self.document["fields_"]["source_key"])).strip() or None

    def _is_gone(self, row: Any) -> bool:
        gone = self.document["gone"]
        return gone is not None and text_of(find(row, gone["path"])) in gone["values"]

    def _with_details(self, row: Any, ref: str) -> Any:
        """Add the answers of the calls for one person."""
        if not isinstance(row, dict):
            raise SkippableRecordError(ref, "row", "This is no object, so it is no person.")
        for detail in self.document["details"]:
            ids = [find(row, place) for place in PLACEHOLDER.findall(detail["path"])]
            if None in ids:
                # The person has none, such as somebody without a contract.
                row = {**row, detail["into"]: None}
                continue
            if not all(map(text_of, ids)):
                raise SkippableRecordError(ref, "row", f"The call for {detail['into']} finds no id here.")
            self._count_call(detail)
            reply = self._ask("GET", _filled(detail["path"], map(text_of, ids)), (404, 410))
            if reply is None:
                raise SkippableRecordError(
                    ref, "row", f"The system knows no {detail['into']} of this person."
                )
            row = {**row, detail["into"]: find(reply.json(), detail["records"])}
        return row

    def _count_call(self, detail: Document) -> None:
        self._calls[detail["into"]] += 1
        if self._calls[detail["into"]] > detail["most"]:
            text = (
                f"{self.name} has more people than its document allows calls for {detail['into']}. "
                "Nobody was changed. List them with all fields at once, or raise `most` in the document."
            )
            raise FatalError(self.name, "GET", self.client.base, None, text)

    def _record(self, row: Any, ref: str) -> EmployeeRecord:
        changes = self.document["changes"]
        if changes and changes["field"]:
            changed = read_moment(find(row, changes["field"]))
            self._newest = max(filter(None, (self._newest, changed)), default=None)
        record = self._reader.read([self._cell(row, name, ref) for name in self._columns], ref)
        more: dict[str, Any] = {}
        for name in self._more:
            text = clean(self._cell(row, name, ref), ref).strip()
            listed = tuple(filter(None, (word.strip() for word in text.split(","))))
            more[name] = listed if name == "skills" else text or None
        return replace(record, **more) if more else record

    def _cell(self, row: Any, name: str, ref: str) -> str:
        """Give one value as a cell of a table."""
        if name in self.document["constants"]:
            return str(self.document["constants"][name])
        value = find(row, self.document["fields_"][name])
        if value is NOTHING:
            return ""
        self.present.add(name)
        if isinstance(value, list):
            value = (
                ", ".join(map(text_of, value)) if name in LISTS else value[0] if len(value) == 1 else value
            )
        # "No" is how some systems write "none"; as a status it is a word of its own.
        if value in (None, [], {}) or (value is False and name != "status"):
            return ""
        if isinstance(value, dict | list):
            reason = "There is an object or a list instead of one value; correct the path in the document."
            raise SkippableRecordError(ref, name, reason)
        text = text_of(value)
        return self._kinds.get(text.casefold(), text) if name == "employment_type" else text


def _filled(path: str, ids: Iterator[str]) -> str:
    return PLACEHOLDER.sub(lambda _found: quote(next(ids), safe=""), path)


def _client(settings: Mapping[str, Any], is_throttled: Callable[[http.Reply], bool]) -> http.Client:
    document, user, secret = settings["document"], settings["user"], settings["secret"]
    name, auth, base = document["name"], document["auth"], settings["base"] or document["base"]
    headers = {"Accept": "application/json", **document["headers"]}
    bearer = None
    if auth["kind"] == "header":
        headers[auth["name"]] = auth["prefix"] + secret
    elif auth["kind"] == "bearer":
        headers["Authorization"] = f"Bearer {secret}"
    elif auth["kind"] == "oauth":
        tokens = http.Client(name, urljoin(f"{base.rstrip('/')}/", auth["token"]))
        form = {"client_id": user, "client_secret": secret, **auth["form"]}
        bearer = http.BearerToken(tokens, tokens.base, form)
    basic = (user.encode(), secret.encode()) if auth["kind"] == "basic" else None
    return http.Client(name, base, headers, basic, bearer, is_throttled)


def _holds(answer: Any, rule: Document) -> bool:
    value = find(answer, rule["path"])
    if rule["value"] is None:
        return value is not NOTHING and value not in (None, "", False, [], {})
    return bool(text_of(value) == rule["value"])


@hookimpl
def rm_register_hris_connectors() -> list[DeclarativeConnector]:
    """Bring this connector."""
    return [DeclarativeConnector()]
