"""People of Personio: the employee list of interface v1 in bulk, or persons with their employments of v2."""

import hashlib
import hmac
import json
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import marshmallow as ma

from connectors.values import (
    MADE_OF,
    Strict,
    check_address,
    goes_by,
    is_number,
    moment_of,
    skipping,
    text_of,
    with_made,
)
from rmplugin.api import (
    Capabilities,
    CheckResult,
    EmployeeRecord,
    Employment,
    FatalError,
    InputError,
    NotAllowedError,
    RetriableError,
    RosterPage,
    SkippableRecordError,
    SkippedRecord,
    WebhookNotice,
    hookimpl,
    http,
)

SERVICE = "Personio"
EMPLOYEES = "v1/company/employees"
PERSONS = "v2/persons"
V1_PAGE, V2_PAGE = 100, 50
PASSES = 3
# A notice is repeated for three days when nobody takes it.
NOTICE_AGE, NOTICE_EARLY = timedelta(days=4), timedelta(minutes=5)
# The limit is by the minute and the refusal names no time: 1 + 2 + 4 … seconds must reach beyond a minute.
LIMITS = http.Limits(tries=8)

# Their attribute of v1 -> ours. Only these are asked for, so pay and private data are not even sent.
ATTRIBUTES = {
    "id": "source_key",
    "email": "email",
    "first_name": "given_name",
    "last_name": "family_name",
    "preferred_name": "preferred_name",
    "position": "job_title",
    "department": "department",
    "office": "location",
    "subcompany": "legal_entity",
    "cost_centers": "cost_center",
    "supervisor": "manager_key",
    "employment_type": "employment_type",
    "hire_date": "hire_date",
    "termination_date": "termination_date",
    "status": "status",
}
# What v2 names by its id only, and what it does not know.
ONLY_IDS = frozenset({"department", "location", "legal_entity", "cost_center"})
FIELDS = frozenset({*ATTRIBUTES.values(), *MADE_OF})
STATUSES: Mapping[str, Any] = {
    "active": "active", "onboarding": "prehire", "leave": "leave", "inactive": "terminated",
}  # fmt: skip
EMPLOYMENT_TYPES: Mapping[str, Any] = {"internal": "employee", "external": "contractor"}
FILLED = ma.validate.Length(min=1)
NO_YEARS = frozenset({1, 1601, 1900, 9999})


class PersonioSettings(Strict):
    """What an administrator enters."""

    client_id = ma.fields.String(required=True, validate=FILLED, metadata={"help": "of the API credentials"})
    client_secret = ma.fields.String(
        required=True, validate=FILLED, metadata={"secret": True, "help": "of the API credentials"}
    )
    # v1 gives a hundred people with the names of their departments in one request; v2 needs one request for
    # each person's employments, and gives ids for the names.
    interface = ma.fields.String(
        load_default="v1",
        validate=ma.validate.OneOf(["v1", "v2"]),
        metadata={"help": "v1 reads in bulk; v2 reads several employments, with one request per person"},
    )
    time_zone = ma.fields.String(
        load_default="Europe/Berlin",
        validate=ma.validate.OneOf(available_timezones(), error="This is no IANA name of a time zone."),
        metadata={"help": "of the company: v1 writes a day as a moment of UTC"},
    )
    webhook_token = ma.fields.String(
        load_default="",
        metadata={"secret": True, "help": "the webhook's token: what its Authorization header holds"},
    )
    url = ma.fields.String(
        load_default="https://api.personio.de", validate=check_address, metadata={"help": "of the interface"}
    )


class PersonioConnector:
    """Reads everybody, or who was updated; deletions show in full readings and in notices only."""

    key = "personio"
    title = "Personio"
    settings_schema: type[ma.Schema] = PersonioSettings
    capabilities = Capabilities(incremental=True, webhooks=True)

    def check(self, settings: Mapping[str, Any]) -> list[CheckResult]:
        """Say whether the credentials work and which fields they may read.

        :param settings: loaded by `PersonioSettings`.
        **Touches** Personio, reading only.
        """
        try:
            page = next(_interface(settings).pages(None), RosterPage([]))
        except (RetriableError, FatalError) as error:
            return [CheckResult("Connection", ok=False, advice=error.message_for_user)]
        results = [CheckResult("Connection", ok=True, advice=f"{SERVICE} {settings['interface']}")]
        hidden = set.intersection(*(set(r.withheld) for r in page.records)) if page.records else set()
        wanted = (FIELDS if settings["interface"] == "v1" else FIELDS - ONLY_IDS) & set(ATTRIBUTES.values())
        advice = "Hidden from these credentials: add the attribute to them."
        results += [
            CheckResult(f"Field for {name}", ok=name not in hidden, advice=advice if name in hidden else "")
            for name in sorted(wanted)
        ]
        return results

    def read(self, settings: Mapping[str, Any], cursor: str | None) -> Iterator[RosterPage]:
        """Read everybody, or who was updated since the cursor.

        :param cursor: moment from which updates are asked, ISO 8601; None for a full reading.
        :raises CursorExpiredError: the cursor is no such moment.
        :raises RetriableError, FatalError: see `http.Client.request`.
        **Touches** Personio, reading only.
        """
        since = moment_of(cursor, SERVICE)
        interface = _interface(settings)
        interface.cursor = (interface.client.now() - interface.overlap).isoformat(timespec="seconds")
        yield from interface.pages(since)

    def read_notice(
        self, settings: Mapping[str, Any], headers: Mapping[str, str], body: bytes, now: datetime
    ) -> WebhookNotice:
        """Check a notice's token and age, and say whom it is about. It never says what changed.

        :param headers: names in any case.
        :param now: aware UTC.
        :raises NotAllowedError: it does not carry the account's token, or is too old.
        :raises InputError: it is no JSON, or no event.
        **Source** Personio's reference of webhooks: a token in the Authorization header; no signature.
        **Touches** pure.
        """
        given = {name.lower(): value for name, value in headers.items()}
        right, token = settings["webhook_token"].encode(), given.get("authorization", "").encode()
        if not right or not hmac.compare_digest(right, token):
            raise NotAllowedError("notice_refused", "The notice does not carry this account's token.")
        try:
            event = json.loads(body)
            name, payload = str(event["event_name"]), event["payload"]
            occurred_at = datetime.fromisoformat(event["occurred_at"])
            occurred_at = occurred_at if occurred_at.tzinfo else occurred_at.replace(tzinfo=UTC)
            key = (payload.get("person") or {}).get("id") or payload.get("person_id")
            if name.startswith("person."):
                key = key or payload.get("id")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise InputError("notice_unreadable", f"The notice is no event of {SERVICE}.") from None
        if not -NOTICE_EARLY < now - occurred_at < NOTICE_AGE:
            raise NotAllowedError("notice_refused", "The notice is too old, or a clock is wrong.")
        about_people = name.startswith(("person.", "employment."))
        keys = (str(key),) if about_people and is_number(str(key)) else ()
        digest = hashlib.sha256(body).hexdigest()
        return WebhookNotice(notice_id=digest, source_keys=keys, everybody=about_people and not keys)

    def fetch(self, settings: Mapping[str, Any], source_keys: Sequence[str]) -> Iterator[RosterPage]:
        """Read these people; whoever Personio does not know any more is `gone`.

        :raises RetriableError, FatalError: see `http.Client.request`.
        **Touches** Personio, reading only.
        """
        interface = _interface(settings)
        for key in source_keys:
            page = interface.page()
            if not (is_number(key) and interface.one(key, page)):
                page.gone.append(key)
            yield page


def _interface(settings: Mapping[str, Any]) -> "_Bulk | _Persons":
    headers = {"Accept": "application/json", "X-Personio-App-ID": "REVERSE_MENTORING"}
    credentials = {"client_id": settings["client_id"], "client_secret": settings["client_secret"]}
    signer = http.Client(SERVICE, settings["url"], headers=headers, limits=LIMITS)
    token = http.BearerToken(signer, "v2/auth/token", credentials)
    client = http.Client(SERVICE, settings["url"], headers=headers, bearer=token, limits=LIMITS)
    if settings["interface"] == "v2":
        return _Persons(client)
    return _Bulk(client, ZoneInfo(settings["time_zone"]))


class _Bulk:
    """The employee list of v1: pages by position, every attribute wrapped."""

    # `updated_since` is written without a zone, and nobody says which one is meant.
    overlap = timedelta(hours=26)

    def __init__(self, client: http.Client, zone: ZoneInfo) -> None:
        self.client, self._zone = client, zone
        self.cursor: str | None = None

    def page(self, total: int | None = None) -> RosterPage:
        """Make an empty page."""
        return RosterPage([], cursor=self.cursor, total=total, fields=FIELDS)

    def pages(self, since: datetime | None) -> Iterator[RosterPage]:
        """Read pages, again from the first one when people moved meanwhile; give nobody twice.

        The list has no order that lasts: who is updated or deleted while it is read moves others over the
        border of a page, and the total goes up and down.

        :raises RetriableError: it never came to rest.
        """
        seen: set[str] = set()
        for _attempt in range(PASSES):
            if (yield from self._pass(since, seen)):
                return
        text = f"The list of {SERVICE} moved each time while it was read. Nobody was changed. Try later."
        raise RetriableError(SERVICE, "GET", self.client.url(EMPLOYEES), None, text)

    def _pass(self, since: datetime | None, seen: set[str]) -> Generator[RosterPage, None, bool]:
        keys: set[str] = set()
        offset, largest = 0, 0
        asked: list[tuple[str, str | int]] = [("attributes[]", name) for name in ATTRIBUTES]
        if since is not None:
            asked.append(("updated_since", since.strftime("%Y-%m-%dT%H:%M:%S")))
        while True:
            reply = self.client.get(EMPLOYEES, params=[*asked, ("limit", V1_PAGE), ("offset", offset)])
            rows, total = _list_of(reply)
            # A part of the people has no total.
            page = self.page(total if since is None else None)
            for row in rows:
                keys.add(self._take(row, page, seen))
            yield page
            offset, largest = offset + len(rows), max(largest, total)
            # The position counts, not the length: the server may give fewer rows than were asked for.
            if not rows or offset >= total:
                return len(keys) >= largest

    def one(self, key: str, page: RosterPage) -> bool:
        """Read one person into a page; False when there is none."""
        reply = self.client.get(f"{EMPLOYEES}/{key}", expect=(404,))
        if reply.status == 404:
            return False
        body = reply.json()
        if not isinstance(body, dict) or not isinstance(body.get("data"), dict):
            raise reply.broken("gave no employee")
        self._take(body["data"], page, set())
        return True

    def _take(self, row: Any, page: RosterPage, seen: set[str]) -> str:
        attributes = row.get("attributes") if isinstance(row, dict) else None
        attributes = attributes if isinstance(attributes, dict) else {}
        key = str(_unwrap(attributes.get("id")))
        if _new(key, page, seen):
            with skipping(page, key):
                page.records.append(self._record(attributes, f"person {key}"))
        return key

    def _record(self, attributes: Mapping[str, Any], ref: str) -> EmployeeRecord:
        values: dict[str, Any] = {}
        for theirs, ours in ATTRIBUTES.items():
            value = _unwrap(attributes.get(theirs))
            if theirs in ("hire_date", "termination_date"):
                values[ours] = self._day(value, ref, ours)
            elif theirs == "supervisor":
                values[ours] = text_of(_inside(value, "id"), ref, ours)
            elif theirs in ("department", "office", "subcompany"):
                values[ours] = text_of(_inside(value, "name"), ref, ours)
            elif theirs == "cost_centers":
                values[ours] = text_of(_inside(_largest(value), "name"), ref, ours)
            else:
                values[ours] = text_of(value, ref, ours)
        status = values.pop("status")
        # An attribute that is missing, not empty, is one that the credentials may not read.
        hidden = {ours for theirs, ours in ATTRIBUTES.items() if theirs not in attributes}
        if "status" not in hidden:
            values["status"] = STATUSES.get((status or "").lower(), "unknown")
        kind = values["employment_type"]
        values["employment_type"] = EMPLOYMENT_TYPES.get(kind.lower(), "other") if kind else None
        return _named(values, ref, with_made(hidden), status)

    def _day(self, value: Any, ref: str, field: str) -> date | None:
        """Read a day: written as midnight somewhere, or as that moment in UTC, a day earlier on the face.

        :raises SkippableRecordError: it is neither.
        """
        text = text_of(value, ref, field)
        if text is None:
            return None
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise SkippableRecordError(ref, field, "The date is none.") from None
        if moment.tzinfo is not None and moment.time() != time():
            try:
                moment = moment.astimezone(self._zone)
            except OverflowError:
                return None
        return None if moment.year in NO_YEARS else moment.date()


class _Persons:
    """Persons of v2, each with a list of employments, by links."""

    overlap = timedelta(minutes=5)

    def __init__(self, client: http.Client) -> None:
        self.client = client
        self.cursor: str | None = None

    def page(self) -> RosterPage:
        """Make an empty page."""
        return RosterPage([], cursor=self.cursor, fields=FIELDS - ONLY_IDS)

    def pages(self, since: datetime | None) -> Iterator[RosterPage]:
        """Read pages of persons and everybody's employments."""
        seen: set[str] = set()
        asked = {"updated_at.gt": since.strftime("%Y-%m-%dT%H:%M:%SZ")} if since is not None else {}
        for persons in self._linked(PERSONS, asked):
            page = self.page()
            for person in persons:
                self._take(person, page, seen)
            yield page

    def one(self, key: str, page: RosterPage) -> bool:
        """Read one person into a page; False when there is none."""
        reply = self.client.get(f"{PERSONS}/{key}", expect=(404,))
        if reply.status == 404:
            return False
        person = reply.json()
        if not isinstance(person, dict) or "id" not in person:
            raise reply.broken("gave no person")
        self._take(person, page, set())
        return True

    def _take(self, person: Any, page: RosterPage, seen: set[str]) -> None:
        key = str(person.get("id")) if isinstance(person, dict) else ""
        if not _new(key, page, seen):
            return
        ref = f"person {key}"
        with skipping(page, key):
            employments: list[Employment] = []
            # Somebody who was deleted meanwhile has no list.
            if person.get("employments", True):
                for rows in self._linked(f"{PERSONS}/{key}/employments", {}, (404,)):
                    employments += [_employment(row, ref) for row in rows if isinstance(row, dict)]
            page.records.append(_person(person, tuple(employments), ref))

    def _linked(
        self, path: str, asked: Mapping[str, str], missing: Collection[int] = ()
    ) -> Iterator[list[Any]]:
        """Follow the links of a list.

        :param missing: statuses that mean that there is no list.
        """
        places = http.Pages(SERVICE)
        options: dict[str, Any] = {"params": {"limit": V2_PAGE, **asked}, "expect": missing}
        while path:
            reply = self.client.get(places.once(path), **options)
            if reply.status == 404:
                return
            body = reply.json()
            if not isinstance(body, dict) or not isinstance(body.get("_data"), list):
                raise reply.broken("gave no list")
            yield body["_data"]
            following = ((body.get("_meta") or {}).get("links") or {}).get("next") or {}
            path, options = following.get("href") or "", {}


def _person(person: Mapping[str, Any], employments: tuple[Employment, ...], ref: str) -> EmployeeRecord:
    names = {
        theirs: ATTRIBUTES[theirs] for theirs in ("id", "email", "first_name", "last_name", "preferred_name")
    }
    values: dict[str, Any] = {ours: text_of(person.get(theirs), ref, ours) for theirs, ours in names.items()}
    status = text_of(person.get("status"), ref, "status")
    values["status"] = STATUSES.get((status or "").lower(), "unknown")
    hidden = {ours for theirs, ours in (*names.items(), ("status", "status")) if theirs not in person}
    return _named({**values, "employments": employments}, ref, with_made(hidden) | ONLY_IDS, status)


def _employment(row: Mapping[str, Any], ref: str) -> Employment:
    def text(value: Any, field: str) -> str | None:
        return text_of(value, ref, field)

    def day(value: Any, field: str) -> date | None:
        written = text(value, field)
        try:
            found = date.fromisoformat(written) if written else None
        except ValueError:
            raise SkippableRecordError(ref, field, "The date is not written as year-month-day.") from None
        return found if found and found.year not in NO_YEARS else None

    end = row.get("termination") or {}
    status = text(row.get("status"), "status") or ""
    dead = status == "INACTIVE" and end.get("type") == "DEATH"
    kind = text(row.get("type"), "employment_type")
    hours, full = row.get("weekly_working_hours"), row.get("full_time_weekly_working_hours")
    return Employment(
        key=str(row.get("id")),
        status="deceased" if dead else STATUSES.get(status.lower(), "unknown"),
        status_raw=status or None,
        share=min(hours / full, 1.0) if hours and full else None,
        employment_type=EMPLOYMENT_TYPES.get(kind.lower(), "other") if kind else None,
        job_title=text(_inside(row.get("position"), "title"), "job_title"),
        manager_key=text(_inside(row.get("supervisor"), "id"), "manager_key"),
        hire_date=day(row.get("employment_start_date"), "hire_date"),
        # The end of a limited contract is not one as long as nobody ended the employment.
        termination_date=day(
            end.get("termination_date") or row.get("employment_end_date"), "termination_date"
        ),
    )


def _named(values: dict[str, Any], ref: str, withheld: frozenset[str], status: str | None) -> EmployeeRecord:
    """Make the record, with the name that the person goes by.

    :raises SkippableRecordError: there is no name, and none is hidden.
    """
    name = goes_by(values)
    if not name and "display_name" not in withheld:
        raise SkippableRecordError(ref, "display_name", "The person has no name.")
    return EmployeeRecord(ref=ref, display_name=name or None, status_raw=status, withheld=withheld, **values)


def _new(key: str, page: RosterPage, seen: set[str]) -> bool:
    """Tell whether a row is about somebody new in this reading; one about nobody is skipped."""
    if not is_number(key):
        page.skipped.append(SkippedRecord(f"a row of {SERVICE}", "source_key", "The row has no person's id."))
        return False
    new = key not in seen
    seen.add(key)
    return new


def _list_of(reply: http.Reply) -> tuple[list[Any], int]:
    """Give the rows of a page of v1 and the number of all.

    :raises RetriableError: it is no such page, for example an error with status 200.
    """
    body = reply.json()
    try:
        rows, total = body["data"], int(body["metadata"]["total_elements"])
    except (TypeError, KeyError, ValueError):
        rows, total = None, 0
    if not isinstance(rows, list):
        raise reply.broken("gave no list of employees")
    return rows, total


def _unwrap(value: Any) -> Any:
    """Give the value of an attribute of v1, which comes with its label and type."""
    return value.get("value") if isinstance(value, dict) and "label" in value else value


def _inside(value: Any, name: str) -> Any:
    """Give a part of an object: in v1 below its attributes. Nobody's supervisor is null, or an empty list."""
    if not isinstance(value, dict):
        return None
    return _unwrap((value.get("attributes") or {}).get(name) if "attributes" in value else value.get(name))


def _largest(centers: Any) -> Any:
    """Give the cost centre with the largest part of a person."""
    found = [c for c in centers if isinstance(c, dict)] if isinstance(centers, list) else []
    return max(found, key=lambda c: float(_inside(c, "percentage") or 0), default=None)


@hookimpl
def rm_register_hris_connectors() -> list[PersonioConnector]:
    """Bring this connector."""
    return [PersonioConnector()]
