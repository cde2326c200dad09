"""People of BambooHR: the employee dataset, the feed of changes, and notices of single changes."""

import hashlib
import hmac
import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import marshmallow as ma

from connectors.values import (
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
    CursorExpiredError,
    EmployeeRecord,
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

SERVICE = "BambooHR"
DATA = "api/v2/datasets/employee/data"
CATALOGUE = "api/v1_2/datasets/employee/fields"
PAGE_SIZE = 1000
# A filter names people one by one ("or"): a list ("in") is refused for fields that are no options.
IDS_AT_ONCE = 50
PASSES = 3
OVERLAP = timedelta(minutes=5)
# A notice is sent again with a new time stamp, so an old one is a replay.
NOTICE_AGE = timedelta(minutes=5)

# Their name of a field of the employee dataset -> ours. Nothing else is ever asked for. The address fields
# "city" and "country" are those of the home.
FIELDS = {
    "eeid": "source_key",
    "employeeNumber": "employee_number",
    "email": "email",
    "firstName": "given_name",
    "lastName": "family_name",
    "preferredName": "preferred_name",
    "jobInformationJobTitle": "job_title",
    "jobInformationDepartment": "department",
    "jobInformationDivision": "division",
    "jobInformationLocation": "location",
    "supervisorEid": "manager_key",
    "hireDate": "hire_date",
    "terminationDate": "termination_date",
    "employmentStatus": "employment_type",
    "status": "status",
}
DATES = frozenset({"hire_date", "termination_date"})
NO_DATES = frozenset({"", "0000-00-00", "1900-01-01", "1601-01-01", "9999-12-31"})
# Words of `employmentStatus`, which every company names itself, looked for in this order.
EMPLOYMENT_TYPES = (
    ("contract", "contractor"),
    ("freelance", "contractor"),
    ("consultant", "contractor"),
    ("intern", "intern"),
    ("trainee", "intern"),
    ("apprentice", "intern"),
    ("temp", "temp"),
    ("seasonal", "temp"),
)


class BambooHrSettings(Strict):
    """What an administrator enters."""

    url = ma.fields.String(
        required=True,
        validate=check_address,
        metadata={"help": "address at which you sign in, such as https://acme.bamboohr.com"},
    )
    api_key = ma.fields.String(
        load_default="", metadata={"secret": True, "help": "API key of a user who may read the fields"}
    )
    access_token = ma.fields.String(
        load_default="", metadata={"secret": True, "help": "OAuth access token, instead of an API key"}
    )
    webhook_key = ma.fields.String(
        load_default="", metadata={"secret": True, "help": "private key of the webhook; shown only once"}
    )

    @ma.validates_schema
    def want_one_credential(self, data: Mapping[str, str], **_options: Any) -> None:
        """Want an API key or an access token.

        :raises marshmallow.ValidationError: none or both are given.
        **Touches** pure.
        """
        if bool(data["api_key"]) == bool(data["access_token"]):
            raise ma.ValidationError("Enter an API key or an access token, one of both.", "api_key")


class BambooHrConnector:
    """Reads the employee dataset; between two full readings, only who changed."""

    key = "bamboohr"
    title = "BambooHR"
    settings_schema: type[ma.Schema] = BambooHrSettings
    capabilities = Capabilities(incremental=True, deletes=True, webhooks=True)

    def check(self, settings: Mapping[str, Any]) -> list[CheckResult]:
        """Say which fields can be read, which are hidden, and whether the feed of changes answers.

        :param settings: loaded by `BambooHrSettings`.
        **Touches** BambooHR, reading only.
        """
        results: list[CheckResult] = []
        try:
            people = _People(settings)
            results.append(CheckResult("Connection", ok=True, advice=SERVICE))
            for theirs, ours in FIELDS.items():
                found = theirs in people.types
                advice = theirs if found else f"The dataset has no field {theirs} for this key."
                results.append(CheckResult(f"Field for {ours}", ok=found, advice=advice))
            sample = next(people.pages(""), RosterPage([]))
            hidden = sorted(set().union(*(r.withheld for r in sample.records)) & set(FIELDS.values()))
            if hidden:
                advice = (
                    f"Hidden from this key for some people: {', '.join(hidden)}. Extend its access level."
                )
                results.append(CheckResult("Permissions", ok=False, advice=advice))
            people.changed(people.client.now())
            results.append(CheckResult("Feed of changes", ok=True))
        except (RetriableError, FatalError) as error:
            results.append(CheckResult("Connection", ok=False, advice=error.message_for_user))
        return results

    def read(self, settings: Mapping[str, Any], cursor: str | None) -> Iterator[RosterPage]:
        """Read everybody, or who changed since the cursor.

        :param cursor: moment from which changes are asked, ISO 8601; None for a full reading.
        :raises CursorExpiredError: the cursor is no such moment.
        :raises RetriableError, FatalError: see `http.Client.request`.
        **Touches** BambooHR, reading only.
        """
        since = moment_of(cursor, SERVICE)
        people = _People(settings)
        people.cursor = (people.client.now() - OVERLAP).isoformat(timespec="milliseconds")
        if since is None:
            yield from people.pages("")
            return
        changes = people.changed(since)
        gone = [key for key, action in changes.items() if action == "Deleted"]
        yield people.page(gone=gone)
        yield from people.some([key for key in changes if changes[key] != "Deleted"])

    def read_notice(
        self, settings: Mapping[str, Any], headers: Mapping[str, str], body: bytes, now: datetime
    ) -> WebhookNotice:
        """Check a notice's signature and age, and say whom it is about.

        Both kinds of notices are understood; of the one that carries fields, only the ids are read.

        :param headers: names in any case.
        :param now: aware UTC.
        :raises NotAllowedError: it is not signed with the account's key, or not lately.
        :raises InputError: it is no JSON, or names people in no known way.
        **Source** BambooHR's guide to webhooks: hexadecimal HMAC-SHA256 of the body followed by the time
        stamp. **Touches** pure.
        """
        given = {name.lower(): value for name, value in headers.items()}
        stamp = given.get("x-bamboohr-timestamp", "")
        signed = body + stamp.encode()
        right = hmac.new(settings["webhook_key"].encode(), signed, hashlib.sha256).hexdigest()
        signature = given.get("x-bamboohr-signature", "").lower()
        if not settings["webhook_key"] or not hmac.compare_digest(right.encode(), signature.encode()):
            raise NotAllowedError("notice_refused", "The notice is not signed with this account's key.")
        sent_at = _stamp(stamp)
        if sent_at is None or abs(now - sent_at) > NOTICE_AGE:
            raise NotAllowedError("notice_refused", "The notice is too old, or a clock is wrong.")
        return WebhookNotice(
            notice_id=hashlib.sha256(signed).hexdigest(), source_keys=tuple(_people_of_notice(body))
        )

    def fetch(self, settings: Mapping[str, Any], source_keys: Sequence[str]) -> Iterator[RosterPage]:
        """Read these people; whoever BambooHR does not know any more is `gone`.

        :raises RetriableError, FatalError: see `http.Client.request`.
        **Touches** BambooHR, reading only.
        """
        people = _People(settings)
        known = [key for key in source_keys if is_number(key)]
        missing = set(source_keys)
        for page in people.some(known):
            missing -= {record.source_key for record in page.records}
            missing -= {record.source_key for record in page.skipped if record.source_key}
            yield page
        gone = [key for key in source_keys if key in missing and not (is_number(key) and people.exists(key))]
        yield people.page(gone=gone)


class _People:
    """The employee dataset for the length of one reading.

    :ivar types: fields that this key can ask for -> their type.
    :ivar cursor: for the pages that it makes.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        key, token = settings["api_key"], settings["access_token"]
        self.client = http.Client(
            SERVICE,
            settings["url"],
            headers={"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {}),
            # The password may be anything.
            auth=(key, "x") if key else None,
        )
        self.types = self._catalogue()
        self.fields = with_made({ours for theirs, ours in FIELDS.items() if theirs in self.types})
        # A field that left the catalogue may only be hidden: what is known of it stays.
        self.absent = with_made({ours for theirs, ours in FIELDS.items() if theirs not in self.types})
        self.cursor: str | None = None

    def page(self, total: int | None = None, gone: Sequence[str] = ()) -> RosterPage:
        """Make an empty page."""
        return RosterPage([], cursor=self.cursor, gone=list(gone), total=total, fields=self.fields)

    def changed(self, since: datetime) -> dict[str, str]:
        """Give who changed: id -> Inserted, Updated or Deleted.

        :raises CursorExpiredError: BambooHR does not take the moment.
        """
        reply = self.client.get(
            "api/v1/employees/changed", params={"since": since.isoformat(timespec="seconds")}, expect=(400,)
        )
        if reply.status == 400:
            text = f"{SERVICE} does not give changes since the last run. Everything is read instead."
            raise CursorExpiredError(SERVICE, "GET", reply.url, 400, text)
        body = reply.json()
        # The feed is an object by id; without changes it is an empty list.
        found = body.get("employees", 0) if isinstance(body, dict) else 0
        if found == []:
            return {}
        if not isinstance(found, dict) or not all(isinstance(entry, dict) for entry in found.values()):
            raise reply.broken("gave no feed of changes")
        return {key: str(entry.get("action")) for key, entry in found.items()}

    def exists(self, key: str) -> bool:
        """Tell whether BambooHR knows a person whom the dataset does not show: hidden is not deleted."""
        return self.client.get(f"api/v1/employees/{key}", expect=(403, 404)).status != 404

    def some(self, keys: Sequence[str]) -> Iterator[RosterPage]:
        """Read these people, in filters of bounded length."""
        quote = "" if self.types["eeid"].startswith(("int", "num")) else "'"
        for start in range(0, len(keys), IDS_AT_ONCE):
            chosen = [
                f"eeid eq {quote}{key}{quote}" for key in keys[start : start + IDS_AT_ONCE] if is_number(key)
            ]
            for page in self.pages(" or ".join(chosen)):
                # It counts the filter's people, not the company's.
                yield RosterPage(page.records, page.skipped, self.cursor, fields=self.fields)

    def pages(self, chosen: str) -> Iterator[RosterPage]:
        """Read pages, again from the first one when somebody was deleted meanwhile; give nobody twice.

        Whoever is deleted moves all later people by one place, over the border of a page.

        :param chosen: a filter; "" for everybody.
        :raises RetriableError: it never came to rest.
        """
        seen: set[str] = set()
        for _attempt in range(PASSES):
            if (yield from self._pass(chosen, seen)):
                return
        text = f"People were deleted in {SERVICE} each time while it was read. Nobody was changed. Try later."
        raise RetriableError(SERVICE, "POST", self.client.url(DATA), None, text)

    def _pass(self, chosen: str, seen: set[str]) -> Generator[RosterPage, None, bool]:
        number, read, largest = 0, 0, 0
        while True:
            number += 1
            body = self._ask(number, chosen)
            if body is None:
                return False
            rows, total = body["data"], body["meta"]["totalItems"]
            read, largest = read + len(rows), max(largest, total)
            page = self.page(total)
            for row in rows:
                self._take(row, page, seen)
            yield page
            # The last page is known by its missing link: the server may give fewer rows than were asked for.
            if not rows or not (body.get("links") or {}).get("next"):
                return bool(read >= largest)

    def _ask(self, number: int, chosen: str) -> Any:
        """Ask for a page; None when the page cannot be given because people changed."""
        question = {
            "fields": [theirs for theirs in FIELDS if theirs in self.types],
            # Without an order, a page's people could be on another one, too.
            "orderBy": "eeid asc",
            "page": number,
            "pageSize": PAGE_SIZE,
        }
        reply = self.client.post(
            DATA, json=question | ({"filter": chosen} if chosen else {}), expect=(400, 404, 422)
        )
        body = reply.json()
        if reply.status >= 400:
            if number > 1 and isinstance(body, dict) and "BadPage" in (body.get("code"), _code(body)):
                return None
            raise reply.refused(
                f"{SERVICE} refused to read the employee dataset ({reply.status}). Nobody was changed. "
                "Check that the key's user may run reports."
            )
        try:
            whole = isinstance(body["data"], list) and isinstance(body["meta"]["totalItems"], int)
        except (TypeError, KeyError):
            whole = False
        if not whole:
            raise reply.broken("gave no page of the employee dataset")
        return body

    def _take(self, row: Any, page: RosterPage, seen: set[str]) -> None:
        fields = row.get("fields") if isinstance(row, dict) else None
        fields = fields if isinstance(fields, dict) else {}
        key = str(fields.get("eeid") or "")
        if not is_number(key):
            reason = "The row has no employee id."
            page.skipped.append(SkippedRecord(f"a row of {SERVICE}", "source_key", reason))
            return
        if key in seen:
            return
        seen.add(key)
        hidden = {_ours(name) for name in row.get("_restrictedFields") or ()} - {""}
        with skipping(page, key):
            page.records.append(
                _record(fields, f"employee {key}", with_made(hidden) | self.absent, self.client.now().date())
            )

    def _catalogue(self) -> dict[str, str]:
        """Read which fields the dataset has for this key.

        :raises FatalError: there is no such dataset, or it names nobody.
        """
        types: dict[str, str] = {}
        for number in range(1, 100):
            # A page past the end is the last one again, so the link counts.
            reply = self.client.get(CATALOGUE, params={"page": number, "page_size": 1000}, expect=(404, 422))
            if reply.status >= 400:
                raise reply.refused(
                    f"{SERVICE} has no employee dataset at this address. Check the address, and that the "
                    "key's user may run reports."
                )
            body = reply.json()
            if not isinstance(body, dict) or not isinstance(body.get("fields"), list):
                raise reply.broken("gave no list of fields")
            types |= {f["name"]: str(f.get("type") or "") for f in body["fields"] if f.get("name") in FIELDS}
            if not (body.get("pagination") or {}).get("next_page"):
                break
        if "eeid" not in types:
            raise reply.refused(
                f"{SERVICE} hides the employee id (eeid) from this key, so nobody can be told apart. "
                "Extend the access level of the key's user."
            )
        return types


def _record(fields: Mapping[str, Any], ref: str, withheld: frozenset[str], today: date) -> EmployeeRecord:
    values: dict[str, Any] = {}
    for theirs, ours in FIELDS.items():
        text = text_of(fields.get(theirs), ref, ours)
        if text is not None and ours not in withheld:
            values[ours] = _date(text, ref, ours) if ours in DATES else text
    name = goes_by(values)
    if not name and "display_name" not in withheld:
        raise SkippableRecordError(ref, "display_name", "The person has no name.")
    words = str(values.pop("employment_type", "")).lower()
    status = values.pop("status", None)
    if words:
        values["employment_type"] = next(
            (kind for word, kind in EMPLOYMENT_TYPES if word in words), "employee"
        )
    if status == "Inactive" and "hire_date" in withheld:
        # Somebody who has left cannot be told from somebody who is still to come.
        withheld |= {"status"}
    if "status" not in withheld:
        values["status"] = _status(status, words, values.get("hire_date"), today)
    return EmployeeRecord(ref=ref, display_name=name or None, status_raw=status, withheld=withheld, **values)


def _status(status: str | None, words: str, hired: date | None, today: date) -> str:
    """Tell a person's status; somebody who is still to come is Inactive, so the hire date decides."""
    if hired is not None and hired > today and "terminat" not in words:
        return "prehire"
    if status == "Inactive":
        return "terminated"
    if status != "Active":
        return "unknown"
    return "leave" if "leave" in words else "active"


def _date(text: str, ref: str, field: str) -> date | None:
    if text in NO_DATES:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise SkippableRecordError(ref, field, "The date is not written as year-month-day.") from None


def _ours(name: Any) -> str:
    """Give our name of a hidden field, which is named with its dataset: employee_hireDate."""
    return FIELDS.get(str(name).removeprefix("employee_"), "")


def _code(body: Mapping[str, Any]) -> Any:
    error = body.get("error")
    return error.get("code") if isinstance(error, dict) else None


def _stamp(text: str) -> datetime | None:
    """Read a notice's time stamp: seconds since 1970, or ISO 8601; None for anything else."""
    try:
        if is_number(text):
            return datetime.fromtimestamp(int(text), UTC)
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _people_of_notice(body: bytes) -> Iterator[str]:
    """Give the ids that a notice names.

    :raises InputError: it is no JSON, or has no ids.
    """
    try:
        notice = json.loads(body)
        # Events name one person; the older kind lists several.
        entries = notice["employees"] if "employees" in notice else [{"id": notice["data"]["employeeId"]}]
        keys = [str(entry["id"]) for entry in entries]
    except (ValueError, TypeError, KeyError, RecursionError):
        keys = [""]
    if not all(map(is_number, keys)):
        text = "The notice names no employees. Set the webhook's format to JSON and its events to employees."
        raise InputError("notice_unreadable", text)
    yield from dict.fromkeys(keys)


@hookimpl
def rm_register_hris_connectors() -> list[BambooHrConnector]:
    """Bring this connector."""
    return [BambooHrConnector()]
