"""People of SAP SuccessFactors, by OData v2: everybody, or who changed since the last reading."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import date, datetime, timedelta
from typing import Any

import marshmallow as ma

from connectors.odata import at, day_of, literal, many, name_of, read_pages
from connectors.values import (
    Strict,
    check_address,
    fields_came,
    goes_by,
    is_number,
    moment_of,
    skipping,
    status_words,
    text_of,
)
from rmplugin.api import (
    Capabilities,
    CheckResult,
    EmployeeRecord,
    Employment,
    FatalError,
    RetriableError,
    RosterPage,
    SkippedRecord,
    hookimpl,
    http,
)

SERVICE = "SuccessFactors"
PAGE_SIZE = 200
# User ids in one filter, which stands in the address.
USERS_AT_ONCE = 100
# Clocks differ, and changes become visible a little later; days begin at another time in another place.
OVERLAP, DAY_OVERLAP = timedelta(minutes=5), timedelta(hours=26)
BLOCKED_SECONDS = 1800.0

# Our field -> their property below a person. Nothing else is asked for: no birth dates, pay or family.
PERSON = {
    "given_name": "personalInfoNav/firstName",
    "family_name": "personalInfoNav/lastName",
    "preferred_name": "personalInfoNav/preferredName",
}
# Below an employment's job information, which holds from a day on.
JOB = {
    "job_title": "jobTitle",
    "grade": "payGradeNav/name",
    "department": "departmentNav/name",
    "division": "divisionNav/name",
    "cost_center": "costCenterNav/name",
    "legal_entity": "companyNav/name",
    "location": "locationNav/name",
    "manager_key": "managerUserNav/empInfo/personIdExternal",
    "time_zone": "timezone",
    "share": "fte",
    "status_raw": "emplStatusNav/externalCode",
}
# Below a user: what companies without Employee Central have.
USER = {
    "employee_number": "empId",
    "user_name": "username",
    "email": "email",
    "given_name": "firstName",
    "family_name": "lastName",
    "preferred_name": "nickname",
    "job_title": "title",
    "department": "department",
    "division": "division",
    "location": "location",
    "time_zone": "timeZone",
    "manager_key": "manager/userId",
    "hire_date": "hireDate",
    "status_raw": "status",
}
JOB_ALWAYS = ("userId", "startDate", "seqNumber", "managerId")
EMPLOYMENT = ("userId", "startDate", "endDate", "isContingentWorker", "userNav/username")
EMAIL = ("emailAddress", "isPrimary", "emailTypeNav/externalCode")
OPTIONAL = tuple(sorted({*PERSON, *JOB} - {"given_name", "family_name", "status_raw"}))
# Standard codes of the picklist employee-status: dormant is the job at home during an assignment abroad,
# discarded is an assignment that was undone.
EMPLOYMENT_STATUS = {
    "A": "active", "U": "leave", "P": "leave", "F": "leave", "S": "suspended", "D": "suspended",
    "R": "terminated", "T": "terminated", "O": "terminated",
}  # fmt: skip
USER_STATUS: dict[str, Any] = {"t": "active", "f": "terminated"}
# Dependants are persons, too, but have no employment.
EMPLOYED = "personEmpTerminationInfoNav/activeEmploymentsCount ne null"
MODIFIED = (
    "",
    "personalInfoNav/",
    "emailNav/",
    "employmentNav/",
    "employmentNav/jobInfoNav/",
    "employmentNav/userNav/",
)
BEGINS = (
    "personalInfoNav/startDate",
    "employmentNav/startDate",
    "employmentNav/jobInfoNav/startDate",
    "personEmpTerminationInfoNav/latestTerminationDate",
)
OF_EMPLOYMENTS = ("user_name", "status", "hire_date", "termination_date", "employment_type")


def split_names(value: str) -> list[str]:
    """Give the names of a list such as "grade, cost_center". **Touches** pure."""
    return [name for name in re.split(r"[\s,]+", value) if name]


def check_names(value: str) -> None:
    """Refuse names of fields that cannot be left out.

    :raises marshmallow.ValidationError: there is one.
    **Touches** pure.
    """
    if not set(split_names(value)) <= set(OPTIONAL):
        raise ma.ValidationError(f"Choose from {', '.join(OPTIONAL)}.")


class SuccessFactorsSettings(Strict):
    """What an administrator enters."""

    url = ma.fields.String(
        required=True,
        validate=check_address,
        metadata={"help": "API server of the data centre, such as https://api4.successfactors.com"},
    )
    company = ma.fields.String(
        required=True, validate=ma.validate.Length(min=1), metadata={"help": "company ID, as written"}
    )
    user = ma.fields.String(load_default="", metadata={"help": "API user, when a password is used"})
    password = ma.fields.String(
        load_default="", metadata={"secret": True, "help": "the API user's password (Basic authentication)"}
    )
    client_id = ma.fields.String(
        load_default="", metadata={"help": "API key of the OAuth2 client application"}
    )
    assertion = ma.fields.String(
        load_default="",
        metadata={"secret": True, "help": "SAML assertion, Base64, instead of user and password"},
    )
    source = ma.fields.String(
        load_default="people",
        validate=ma.validate.OneOf(["people", "users"]),
        metadata={
            "help": "people: Employee Central; users: only the users of the suite. Not to be changed later"
        },
    )
    without = ma.fields.String(
        load_default="",
        validate=check_names,
        metadata={"help": "fields that are not asked for, because the company does not have them"},
    )
    status_values = status_words("code of the company's own employee status -> our status")

    @ma.validates_schema
    def want_one_credential(self, data: Mapping[str, Any], **_options: Any) -> None:
        """Want a user with a password, or a client with an assertion.

        :raises marshmallow.ValidationError: none or both are given.
        **Touches** pure.
        """
        basic, oauth = (data["user"], data["password"]), (data["client_id"], data["assertion"])
        if all(basic) == all(oauth) or any(basic) == any(oauth):
            raise ma.ValidationError(
                "Enter user and password, or client_id and assertion, one of both.", "password"
            )


class SuccessFactorsConnector:
    """Reads persons with all their employments, and what is already known of days to come."""

    key = "successfactors"
    title = "SAP SuccessFactors"
    settings_schema: type[ma.Schema] = SuccessFactorsSettings
    capabilities = Capabilities(incremental=True, effective_dated=True)

    def check(self, settings: Mapping[str, Any]) -> list[CheckResult]:
        """Say whether people can be read, how many there are, and which fields came.

        :param settings: loaded by `SuccessFactorsSettings`.
        **Touches** SuccessFactors, reading only.
        """
        try:
            reading = _reading(settings)
            # Without a snapshot: one that is never read to its end counts against the account.
            page = next(reading.pages(None, {"customPageSize": "50"}), RosterPage([]))
        except (RetriableError, FatalError) as error:
            return [CheckResult("Connection", ok=False, advice=error.message_for_user)]
        number = len(page.records) + len(page.skipped)
        advice = f"{page.total if page.total is not None else number} in all"
        if not page.records:
            advice = "None can be read. Give the API user's role the people, for example everybody."
        hidden = sorted(
            set().union(*(r.withheld for r in page.records)) - set(split_names(settings["without"]))
        )
        results = [
            CheckResult("People", ok=bool(page.records), advice=advice),
            fields_came(page.records, reading.fields),
        ]
        if hidden:
            advice = f"Hidden for some people: {', '.join(hidden)}. Give the API user's role these fields."
            results.append(CheckResult("Permissions", ok=False, advice=advice))
        return results

    def read(self, settings: Mapping[str, Any], cursor: str | None) -> Iterator[RosterPage]:
        """Read everybody, or who changed or begins something since the cursor.

        :param cursor: when the last run began, ISO 8601; None for a full reading.
        :raises CursorExpiredError: the cursor is no such moment.
        :raises RetriableError, FatalError: see `http.Client.request`.
        **Touches** SuccessFactors, reading only.
        """
        since = moment_of(cursor, SERVICE)
        # A snapshot keeps who is on the list, so that nobody moves between pages.
        pages = {"customPageSize": str(PAGE_SIZE), "paging": "snapshot"}
        yield from _reading(settings).pages(since, pages)


class _Reading(ABC):
    """One entity for the length of one reading; a derived class says which, and what it makes of its rows.

    :ivar select: properties to ask for, each with its path.
    :ivar fields: our fields that can be read at all.
    """

    entity: str
    key: str
    select: Sequence[str]
    fields: frozenset[str]

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.without = frozenset(split_names(settings["without"]))
        self.headers = {"Accept": "application/json"}
        self.client = _client(settings, self.headers)
        self.today = self.client.now().date()
        self.cursor = self.client.now().isoformat(timespec="seconds")

    @abstractmethod
    def wanted(self, since: datetime | None) -> str:
        """Give the filter."""

    @abstractmethod
    def prepare(self, rows: Sequence[Any]) -> None:
        """Read what belongs to the rows of a page besides."""

    @abstractmethod
    def records(self, key: str, row: Mapping[str, Any]) -> list[EmployeeRecord]:
        """Make the records of a row."""

    def pages(self, since: datetime | None, paging: Mapping[str, str]) -> Iterator[RosterPage]:
        """Read page by page; give nobody twice."""
        query = {"$filter": self.wanted(since), **paging}
        if since is None:
            query["$inlinecount"] = "allpages"
        total, seen = None, set[str]()
        for body in read_pages(self.client, self.headers, self.entity, self.select, query, _refusal):
            count = str(body.get("__count", ""))
            total = int(count) if is_number(count) else total
            page = RosterPage([], cursor=self.cursor, total=total, fields=self.fields)
            rows = {name_of(row, self.key): row for row in body["results"]}
            if "" in rows:
                place = f"a row of {self.entity}"
                page.skipped.append(SkippedRecord(place, "source_key", "There is no key."))
            rows = {key: row for key, row in rows.items() if key and key not in seen}
            seen |= set(rows)
            self.prepare(list(rows.values()))
            for key, row in rows.items():
                with skipping(page, key):
                    page.records.extend(self.records(key, row))
            yield page


class _People(_Reading):
    """Persons of Employee Central."""

    entity, key = "PerPerson", "personIdExternal"

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__(settings)
        self.statuses = EMPLOYMENT_STATUS | settings["status_values"]
        self.person = {ours: path for ours, path in PERSON.items() if ours not in self.without}
        self.job = {ours: path for ours, path in JOB.items() if ours not in self.without}
        self.job_select = (*JOB_ALWAYS, *self.job.values())
        self.select = (
            self.key,
            *self.person.values(),
            *(f"emailNav/{name}" for name in EMAIL),
            *(f"employmentNav/{name}" for name in EMPLOYMENT),
            *(f"employmentNav/jobInfoNav/{path}" for path in self.job_select),
        )
        self.of_jobs = frozenset({*OF_EMPLOYMENTS, *self.job} - {"share"})
        self.fields = frozenset({"source_key", "employee_number", "email", *self.person, *self.of_jobs})
        self.coming: dict[str, list[Any]] = {}

    def wanted(self, since: datetime | None) -> str:
        """Give the filter: whoever has or had a job; later, whoever changed, or begins or ends something.

        A change of days to come is found when it is entered, and again when its day comes.
        """
        if since is None:
            return EMPLOYED
        later, day = literal(since - OVERLAP), literal(since - DAY_OVERLAP)
        until = literal(self.client.now() + DAY_OVERLAP)
        terms = [f"{place}lastModifiedDateTime ge {later}" for place in MODIFIED]
        terms += [f"({path} ge {day} and {path} le {until})" for path in BEGINS]
        return f"{EMPLOYED} and ({' or '.join(terms)})"

    def prepare(self, rows: Sequence[Any]) -> None:
        """Read job information of days to come: what hangs on a person is only that of today."""
        self.coming = {}
        users = [
            user for row in rows for job in many(row, "employmentNav") if (user := name_of(job, "userId"))
        ]
        days = {"fromDate": str(self.today + timedelta(days=1)), "toDate": "9999-12-31"}
        for start in range(0, len(users), USERS_AT_ONCE):
            quoted = (user.replace("'", "''") for user in users[start : start + USERS_AT_ONCE])
            chosen = "userId in " + ",".join(f"'{user}'" for user in quoted)
            for body in read_pages(
                self.client, self.headers, "EmpJob", self.job_select, {"$filter": chosen, **days}, _refusal
            ):
                for row in body["results"]:
                    self.coming.setdefault(name_of(row, "userId"), []).append(row)

    def records(self, key: str, row: Mapping[str, Any]) -> list[EmployeeRecord]:
        """Make the record of today, and one for each day to come on which a job changes."""
        ref = f"person {key}"
        jobs = [(job, self._slices(job, ref)) for job in many(row, "employmentNav")]
        days = {start for _job, slices in jobs for start, _slice in slices if start > self.today}
        return [
            self._record(key, row, [self._job(*job, day or self.today, ref) for job in jobs], day)
            for day in (None, *sorted(days))
        ]

    def _slices(self, employment: Any, ref: str) -> list[tuple[date, Any]]:
        """Give job information by the day from which it holds, several changes of one day in their order."""
        rows = [*many(employment, "jobInfoNav"), *self.coming.get(name_of(employment, "userId"), [])]
        dated = [(day_of(row.get("startDate"), ref, "hire_date") or date.min, row) for row in rows]
        return sorted(dated, key=lambda one: (one[0], str(one[1].get("seqNumber")).zfill(9)))

    def _job(
        self, employment: Mapping[str, Any], slices: Sequence[tuple[date, Any]], day: date, ref: str
    ) -> dict[str, Any]:
        """Give an employment as it is on a day.

        :return: fields of `Employment` and of the record; under "hides" those that are hidden from us.
        """
        # Somebody who is still to come has only job information of days to come.
        row = next((row for start, row in reversed(slices) if start <= day), slices[0][1] if slices else {})
        values: dict[str, Any] = {ours: text_of(at(row, path), ref, ours) for ours, path in self.job.items()}
        hired = day_of(employment.get("startDate"), ref, "hire_date")
        left = day_of(employment.get("endDate"), ref, "termination_date")
        status = self.statuses.get(values["status_raw"], "unknown")
        if hired is not None and hired > day:
            status = "prehire"
        elif not row and left is not None and left < day:
            status = "terminated"
        hides = set() if row else set(self.job) - {"share", "status_raw"}
        if values["status_raw"] is None and status == "unknown":
            hides |= {"status", "status_raw"}
        if row.get("managerId") not in (None, "", "NO_MANAGER") and not values.get("manager_key"):
            hides.add("manager_key")
        return values | {
            "key": name_of(employment, "userId") or ref,
            "user_name": text_of(at(employment, "userNav/username"), ref, "user_name"),
            "status": status,
            "share": _share(values.get("share")),
            "hire_date": hired,
            "termination_date": left,
            "employment_type": "contractor" if employment.get("isContingentWorker") is True else "employee",
            "hides": hides,
        }

    def _record(
        self, key: str, row: Mapping[str, Any], jobs: Sequence[dict[str, Any]], day: date | None
    ) -> EmployeeRecord:
        ref = f"person {key}"
        # The core chooses among several; what only a record has is that of the job at work, or the latest.
        main = max(jobs, key=_weight, default={"hides": self.of_jobs})
        values: dict[str, Any] = {name: main[name] for name in self.of_jobs if name in main}
        values |= {ours: text_of(at(row, path), ref, ours) for ours, path in self.person.items()}
        name = goes_by(values)
        hidden = {*main["hides"], *self.without} - {"share"}
        if not name:
            hidden |= {"display_name", *PERSON}
        several = jobs if len(jobs) > 1 else ()
        return EmployeeRecord(
            source_key=key,
            ref=ref,
            employee_number=key,
            email=_email(row, ref),
            display_name=name or None,
            employments=tuple(map(_employment, several)),
            withheld=frozenset(hidden),
            effective_from=day,
            **values,
        )


class _Users(_Reading):
    """Users of the suite: the cheap way, and the only one without Employee Central."""

    entity, key = "User", "userId"

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__(settings)
        self.paths = {ours: path for ours, path in USER.items() if ours not in self.without}
        self.select = (self.key, *self.paths.values())
        self.fields = frozenset({"source_key", "status", *self.paths})

    def wanted(self, since: datetime | None) -> str:
        """Give the filter: employees, and former ones, who do not come unless they are asked for."""
        changed = f" and lastModifiedDateTime ge {literal(since - OVERLAP)}" if since else ""
        return f"status in 't','f'{changed}"

    def prepare(self, rows: Sequence[Any]) -> None:
        """Read nothing: a row says everything."""

    def records(self, key: str, row: Mapping[str, Any]) -> list[EmployeeRecord]:
        """Make the record of a user."""
        ref = f"user {key}"
        values: dict[str, Any] = {ours: at(row, path) for ours, path in self.paths.items()}
        hired = day_of(values.pop("hire_date"), ref, "hire_date")
        values = {ours: text_of(value, ref, ours) for ours, value in values.items()}
        return [
            EmployeeRecord(
                source_key=key,
                ref=ref,
                status=USER_STATUS.get(values["status_raw"], "unknown"),
                hire_date=hired,
                withheld=self.without & set(USER),
                **values,
            )
        ]


def _reading(settings: Mapping[str, Any]) -> _Reading:
    return _People(settings) if settings["source"] == "people" else _Users(settings)


def _client(settings: Mapping[str, Any], headers: Mapping[str, str]) -> http.Client:
    server = settings["url"].rstrip("/").removesuffix("/odata/v2")
    auth, bearer = (f"{settings['user']}@{settings['company']}", settings["password"]), None
    if settings["assertion"]:
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:saml2-bearer",
            "company_id": settings["company"],
            "client_id": settings["client_id"],
            "assertion": settings["assertion"],
        }
        bearer = http.BearerToken(http.Client(SERVICE, server), "oauth/token", form)
    return http.Client(SERVICE, f"{server}/odata/v2", headers, auth=None if bearer else auth, bearer=bearer)


def _weight(job: Mapping[str, Any]) -> tuple[bool, date]:
    return job["status"] not in ("terminated", "prehire"), job["hire_date"] or date.min


def _employment(job: Mapping[str, Any]) -> Employment:
    return Employment(**{f.name: job[f.name] for f in fields(Employment) if f.name in job})


def _email(row: Mapping[str, Any], ref: str) -> str | None:
    """Give the work address: the primary one of those that are not marked as personal."""
    at_work = [mail for mail in many(row, "emailNav") if at(mail, "emailTypeNav/externalCode") != "P"]
    at_work.sort(key=lambda mail: mail.get("isPrimary") is not True)
    return text_of(at_work[0].get("emailAddress"), ref, "email") if at_work else None


def _share(text: str | None) -> float | None:
    return float(text) if text and re.fullmatch(r"0|0?\.\d+|1(\.0+)?", text, re.ASCII) else None


def _refusal(reply: http.Reply, code: str, message: str) -> RetriableError | FatalError:
    if "SNAPSHOT" in code:
        text = (
            f"{SERVICE} gives no snapshots for half an hour, because too many were not read to their end. "
            "Nobody was changed. Read it less often."
        )
        return RetriableError(SERVICE, reply.method, reply.url, 400, text, retry_after=BLOCKED_SECONDS)
    words = set(re.findall(r"\w+", message))
    paths = {ours: path.split("/") for ours, path in (USER | PERSON | JOB).items() if ours in OPTIONAL}
    unknown = sorted(ours for ours, way in paths.items() if words & set(way[:-1] or way))
    advice = f"Set without to {', '.join(unknown)}" if unknown else "Check what the API user's role may read"
    named = f" ({code})" if re.fullmatch(r"\w{1,64}", code, re.ASCII) else ""
    return reply.refused(f"{SERVICE} refused to read the people{named}. Nobody was changed. {advice}.")


@hookimpl
def rm_register_hris_connectors() -> list[SuccessFactorsConnector]:
    """Bring this connector."""
    return [SuccessFactorsConnector()]
