"""Users of Microsoft Entra ID, through Microsoft Graph: everybody, or who changed since the last reading."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import marshmallow as ma

from connectors.tables import EMPLOYMENT_WORDS, is_private_name
from connectors.values import Strict, check_address, fields_came, skipping, text_of
from rmplugin.api import (
    Capabilities,
    CheckResult,
    CursorExpiredError,
    EmployeeRecord,
    FatalError,
    RetriableError,
    RosterPage,
    SkippableRecordError,
    SkippedRecord,
    hookimpl,
    http,
)

SERVICE = "Microsoft Graph"
PAGE_SIZE = 999
# Graph refuses longer lists in a filter.
IDS_AT_ONCE = 15
# With more changes than this, reading everybody takes fewer requests.
MANY_CHANGES = 5000

# Our field -> their property; a dot leads into an object. Nothing else is asked for, but what `_Users` needs.
FIELDS = {
    "employee_number": "employeeId",
    "user_name": "userPrincipalName",
    "email": "mail",
    "given_name": "givenName",
    "family_name": "surname",
    "display_name": "displayName",
    "job_title": "jobTitle",
    "department": "department",
    "division": "employeeOrgData.division",
    "cost_center": "employeeOrgData.costCenter",
    "legal_entity": "companyName",
    "location": "officeLocation",
    "country": "usageLocation",
    "employment_type": "employeeType",
    "manager_key": "manager.id",
    "hire_date": "employeeHireDate",
}
LEAVE_DATE = "employeeLeaveDateTime"
ALWAYS = ("id", "accountEnabled", "userType", "preferredLanguage")
DATES = frozenset({"hire_date", "termination_date"})
# An account of a person has at least one of these; an account of a printer or a script has none.
EMPLOYEE_DATA = ("employeeId", "employeeType", "employeeHireDate", "jobTitle", "department", "manager")
# Fields that an extension attribute may stand for.
MAPPABLE = (
    "employee_number", "preferred_name", "job_title", "grade", "level", "department", "division",
    "cost_center", "legal_entity", "location", "city", "time_zone",
)  # fmt: skip
EXTENSION = r"extensionAttribute([1-9]|1[0-5])|extension_[0-9a-f]{32}_\w{1,200}"


def check_extension(name: str) -> None:
    """Refuse what is no extension attribute, or whose name tells of private data.

    :raises marshmallow.ValidationError: it may not be read.
    **Touches** pure.
    """
    if not re.fullmatch(EXTENSION, name, re.ASCII):
        raise ma.ValidationError("Enter extensionAttribute1 to 15, or extension_(application)_(name).")
    if is_private_name(name):
        raise ma.ValidationError("This attribute holds private data and is never read.")


class EntraSettings(Strict):
    """What an administrator enters."""

    tenant = ma.fields.String(
        required=True,
        validate=ma.validate.Regexp(r"[A-Za-z0-9.-]+\Z", error="Enter the directory (tenant) ID."),
        metadata={"help": "directory (tenant) ID, or a domain of the tenant"},
    )
    client_id = ma.fields.String(
        required=True,
        validate=ma.validate.Length(min=1),
        metadata={"help": "application (client) ID of the app registration"},
    )
    client_secret = ma.fields.String(
        required=True,
        validate=ma.validate.Length(min=1),
        metadata={"secret": True, "help": "value of the client secret, not its ID"},
    )
    people = ma.fields.String(
        load_default="employees",
        validate=ma.validate.OneOf(["employees", "members", "everybody"]),
        metadata={
            "help": "employees: accounts that are no guests and have a title, department, manager, employee "
            "number, type or hire date; members: all that are no guests; everybody: guests, too"
        },
    )
    disabled = ma.fields.String(
        load_default="suspended",
        validate=ma.validate.OneOf(["suspended", "terminated"]),
        metadata={"help": "status of a disabled account without a leave date that has passed"},
    )
    leave_dates = ma.fields.Boolean(
        load_default=False,
        metadata={"help": "read leave dates, too; needs the permission User-LifeCycleInfo.Read.All"},
    )
    mapping = ma.fields.Dict(
        keys=ma.fields.String(validate=ma.validate.OneOf(MAPPABLE)),
        values=ma.fields.String(validate=check_extension),
        load_default=dict,
        metadata={"help": "our field -> extension attribute, such as extensionAttribute5"},
    )
    login_url = ma.fields.String(
        load_default="https://login.microsoftonline.com",
        validate=check_address,
        metadata={"help": "where tokens are fetched; another address in national clouds"},
    )
    graph_url = ma.fields.String(
        load_default="https://graph.microsoft.com",
        validate=check_address,
        metadata={"help": "Microsoft Graph; another address in national clouds"},
    )


class EntraConnector:
    """Reads all users; between two full readings, only those who changed."""

    key = "entra"
    title = "Microsoft Entra ID"
    settings_schema: type[ma.Schema] = EntraSettings
    capabilities = Capabilities(incremental=True, deletes=True)

    def check(self, settings: Mapping[str, Any]) -> list[CheckResult]:
        """Say whether users and changes can be read, how many accounts are people, and what is known of them.

        :param settings: loaded by `EntraSettings`.
        **Touches** Microsoft's sign-in and Graph, reading only.
        """
        results: list[CheckResult] = []
        try:
            users = _Users(settings)
            users.now()
            results.append(CheckResult("Changes", ok=True, advice="only changes are read between full runs"))
            rows = next(filter(None, users.everybody()), [])
            page = users.page(rows, None)
        except (RetriableError, FatalError) as error:
            return [*results, CheckResult("Connection", ok=False, advice=error.message_for_user)]
        advice = f"{len(page.records)} of the first {len(rows)} accounts are people"
        if not page.records:
            advice += ". Fill in titles or departments in Entra ID, or set people to members."
        results.append(CheckResult("People", ok=bool(page.records), advice=advice))
        return [*results, fields_came(page.records, users.paths)]

    def read(self, settings: Mapping[str, Any], cursor: str | None) -> Iterator[RosterPage]:
        """Read everybody, or those who changed since the cursor.

        A change tells no more than what changed, managers not even reliably, and is told again now and then.
        So it only says whom to read anew; whoever is not found any more is gone.

        :param cursor: Graph's link to the changes since the last run; None for a full reading.
        :raises CursorExpiredError: Graph does not know the link any more.
        :raises RetriableError, FatalError: see `http.Client.request`.
        **Touches** Microsoft's sign-in and Graph, reading only.
        """
        users, changed = _Users(settings), set[str]()
        if cursor is None:
            # Asked first: what changes while everybody is read comes again with the next run.
            later = users.now()
        else:
            changed, later = users.changes(cursor)
        whole = cursor is None or len(changed) > MANY_CHANGES
        for rows in users.everybody() if whole else users.some(sorted(changed)):
            yield users.page(rows, later)
        yield RosterPage([], cursor=later, gone=sorted(changed - users.seen), fields=users.fields)


class _Users:
    """The users of a tenant for the length of one reading.

    :ivar paths: our field -> their property.
    :ivar seen: ids of all accounts that came, people or not.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        graph = settings["graph_url"].rstrip("/")
        # Sign-in and Graph are two hosts, and neither may see the other's credentials.
        login = http.Client("Microsoft sign-in", settings["login_url"])
        form = {
            "client_id": settings["client_id"],
            "client_secret": settings["client_secret"],
            "scope": f"{graph}/.default",
        }
        token = http.BearerToken(login, f"{settings['tenant']}/oauth2/v2.0/token", form)
        self.client = http.Client(SERVICE, f"{graph}/v1.0", bearer=token)
        self.settings = settings
        self.paths = FIELDS | ({"termination_date": LEAVE_DATE} if settings["leave_dates"] else {})
        self.paths |= {ours: _place(name) for ours, name in settings["mapping"].items()}
        self.fields = frozenset({"source_key", "status", "status_raw", "languages", *self.paths})
        # A property is selected whole, a manager is another user.
        properties = dict.fromkeys([*ALWAYS, *(path.partition(".")[0] for path in self.paths.values())])
        self.tracked = ",".join(properties)
        self.selected = ",".join(name for name in properties if name != "manager")
        self.seen: set[str] = set()

    def now(self) -> str:
        """Give the link that will tell what has changed from now on."""
        return self._changes("users/delta", {"$select": self.tracked, "$deltatoken": "latest"}, ())[1]

    def changes(self, link: str) -> tuple[set[str], str]:
        """Give the ids of all accounts that changed, deleted ones among them, and the link to later changes.

        :raises CursorExpiredError: the link is none of this Graph's, or too old.
        """
        if http.origin(link) != http.origin(self.client.base):
            raise _expired(link, None)
        # The link is Graph's own, so a refusal can only mean that Graph cannot tell any more. It says so
        # with 410 or 400 and several codes: syncStateNotFound, resyncRequired and others.
        return self._changes(link, {}, (400, 410))

    def everybody(self) -> Iterator[list[Any]]:
        """Give all accounts, page by page; a page may be empty."""
        return self._pages({"$top": str(PAGE_SIZE)})

    def some(self, ids: list[str]) -> Iterator[list[Any]]:
        """Give these accounts, as far as they exist."""
        for start in range(0, len(ids), IDS_AT_ONCE):
            listed = ",".join(f"'{key}'" for key in ids[start : start + IDS_AT_ONCE])
            yield from self._pages({"$filter": f"id in ({listed})"})

    def page(self, rows: Iterable[Any], cursor: str | None) -> RosterPage:
        """Make a page of those accounts that are people, each once."""
        page = RosterPage([], cursor=cursor, fields=self.fields)
        for row in rows:
            key = _key(row)
            if key is None:
                reason = "The account has no id."
                page.skipped.append(SkippedRecord("an account", "source_key", reason))
            elif key not in self.seen:
                self.seen.add(key)
                self._take(key, row, page)
        return page

    def _take(self, key: str, user: Mapping[str, Any], page: RosterPage) -> None:
        if not _is_person(user, self.settings["people"]):
            return
        with skipping(page, key):
            page.records.append(self._record(key, user))

    def _record(self, key: str, user: Mapping[str, Any]) -> EmployeeRecord:
        ref = f"user {key}"
        values: dict[str, Any] = {}
        for ours, path in self.paths.items():
            value = _value(user, path)
            values[ours] = _date(value, ref, ours) if ours in DATES else text_of(value, ref, ours)
        kind = values["employment_type"]
        if kind is not None:
            values["employment_type"] = EMPLOYMENT_WORDS.get(kind.casefold(), "other")
        language = text_of(user.get("preferredLanguage"), ref, "languages") or ""
        code = re.match(r"[A-Za-z]{2}(?=[-_]|\Z)", language, re.ASCII)
        enabled = user.get("accountEnabled")
        return EmployeeRecord(
            source_key=key,
            ref=ref,
            languages=(code[0].lower(),) if code else (),
            status=self._status(enabled, values),
            status_raw=("enabled" if enabled else "disabled") if isinstance(enabled, bool) else None,
            withheld=frozenset() if isinstance(enabled, bool) else frozenset({"status", "status_raw"}),
            **values,
        )

    def _status(self, enabled: Any, values: Mapping[str, Any]) -> Any:
        """Tell the status; of an enabled account, the core lets the dates decide.

        A disabled account can be that of somebody who left, of somebody on a long leave, or one that was
        attacked. Only a leave date that has passed tells; else the account's settings do.
        """
        if enabled is not False:
            return "active" if enabled is True else "unknown"
        today = self.client.now().date()
        hired, left = values["hire_date"], values.get("termination_date")
        if left is not None and left < today and not (hired is not None and hired > left):
            return "terminated"
        return "prehire" if hired is not None and hired > today else self.settings["disabled"]

    def _pages(self, query: Mapping[str, str]) -> Iterator[list[Any]]:
        query = {"$select": self.selected, "$expand": "manager($select=id)", **query}
        for body in self._walk("users", query, ()):
            yield body["value"]

    def _changes(self, path: str, query: Mapping[str, str], expired: Collection[int]) -> tuple[set[str], str]:
        ids, later = set[str](), None
        for body in self._walk(path, query, expired):
            later = body.get("@odata.deltaLink", later)
            keys = [_key(row) for row in body["value"]]
            ids |= {key for key in keys if key is not None}
        if not isinstance(later, str):
            text = f"{SERVICE} ended the list of changes without a link to later ones. Nobody was changed."
            raise RetriableError(SERVICE, "GET", self.client.url(path), None, text)
        return ids, later

    def _walk(
        self, path: str, query: Mapping[str, str], expired: Collection[int]
    ) -> Iterator[Mapping[str, Any]]:
        """Give the bodies of all pages.

        :param expired: statuses that say that the path is not known any more.
        """
        places, link = http.Pages(SERVICE), path
        while link:
            # Only what changed, when changes are asked; Graph takes no notice of it elsewhere.
            headers = {"Accept": "application/json", "Prefer": "return=minimal"}
            reply = self.client.get(places.once(link), params=query, headers=headers, expect=(400, *expired))
            if reply.status in expired:
                raise _expired(reply.url, reply.status)
            body = reply.json()
            if reply.status == 400:
                raise _refusal(reply, body)
            if not isinstance(body, dict) or not isinstance(body.get("value"), list):
                raise reply.broken("answered with something that is no list of users")
            yield body
            # The link carries the query of the first request.
            link, query = body.get("@odata.nextLink") or "", {}
            if not isinstance(link, str):
                raise reply.broken("gave a next page that is no link")


def _place(name: str) -> str:
    return f"onPremisesExtensionAttributes.{name}" if name.startswith("extensionAttribute") else name


def _value(user: Mapping[str, Any], path: str) -> Any:
    value: Any = user
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _key(row: Any) -> str | None:
    key = row.get("id") if isinstance(row, dict) else None
    return key if isinstance(key, str) and re.fullmatch(r"[0-9A-Za-z-]{1,64}", key, re.ASCII) else None


def _is_person(user: Mapping[str, Any], people: str) -> bool:
    # Old accounts have no user type; they are members.
    if people != "everybody" and user.get("userType") == "Guest":
        return False
    return people != "employees" or any(user.get(name) for name in EMPLOYEE_DATA)


def _date(value: Any, ref: str, field: str) -> date | None:
    """Read a day that Graph keeps as a moment in UTC.

    A midnight east of Greenwich is an afternoon or evening of the day before in UTC.
    """
    if value is None or value == "":
        return None
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise SkippableRecordError(ref, field, "The date is not written as ISO 8601 says.") from None
    if moment.year <= 1601 or moment.year >= 9999 or moment.date() == date(1900, 1, 1):
        return None
    moment = moment.astimezone(UTC) if moment.tzinfo else moment
    return (moment + timedelta(hours=11)).date()


def _expired(url: str, status: int | None) -> CursorExpiredError:
    text = f"{SERVICE} does not know the place of the last run any more. Everything is read instead."
    return CursorExpiredError(SERVICE, "GET", url, status, text)


def _refusal(reply: http.Reply, body: Any) -> RetriableError | FatalError:
    error = body.get("error") if isinstance(body, dict) else None
    code = str(error.get("code")) if isinstance(error, dict) else ""
    if "ExpiredPageToken" in code:
        return reply.broken(
            "has forgotten the page that is next. Nobody was changed; the next run starts anew"
        )
    named = f" ({code})" if re.fullmatch(r"\w{1,64}", code, re.ASCII) else ""
    return reply.refused(
        f"{SERVICE} refused to read the users{named}. Nobody was changed. Check the extension attributes in "
        "the account's mapping."
    )


@hookimpl
def rm_register_hris_connectors() -> list[EntraConnector]:
    """Bring this connector."""
    return [EntraConnector()]
