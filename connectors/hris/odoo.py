"""Employees of Odoo's HR application, over JSON-RPC."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import marshmallow as ma

from connectors.tables import PRIVATE_COLUMN, clean, normal_header
from connectors.values import Strict, bounded, check_address, digest_of, email_of, skipped_by_reason, skipping
from rmplugin.api import (
    Capabilities,
    CheckResult,
    CursorExpiredError,
    EmployeeRecord,
    FatalError,
    RetriableError,
    RosterPage,
    SkippableRecordError,
    hookimpl,
    http,
)

PAGE_SIZE = 500
SAMPLE_SIZE = 200
# Transactions are written under the time at which they began, and clocks differ.
OVERLAP = timedelta(minutes=5)
MOMENT = "%Y-%m-%d %H:%M:%S"
# Our field -> Odoo's, best first. Nothing else is read but `id`, `active` and `write_date`.
FIELDS: Mapping[str, str] = {
    "employee_number": "barcode",
    "email": "work_email",
    "display_name": "name",
    "job_title": "job_title|job_id",
    "department": "department_id",
    "legal_entity": "company_id",
    "location": "work_location_id",
    "time_zone": "tz",
    "manager_key": "parent_id",
    "employment_type": "employee_type",
    "hire_date": "first_contract_date",
    "termination_date": "departure_date",
    "skills": "employee_skill_ids",
}
MAPPED = ("employee_number", "job_title", "grade", "level", "division", "cost_center", "city", "hire_date")
# A nationality, papers, family and pay stand on the same form.
PRIVATE_FIELD = re.compile(
    r"private|identification|ssn|sin(id)?$|passport|permit|visa|nation|country_id|spouse|emergency|km_home|study"
    r"|certificate|wage|salar|bank|pin$|children|marital|gender|birth"
)
KINDS = {
    "employee": "employee",
    "worker": "employee",
    "student": "intern",
    "trainee": "intern",
    "contractor": "contractor",
    "freelance": "contractor",
}


def _is_private(name: str) -> bool:
    return bool(PRIVATE_FIELD.search(name) or PRIVATE_COLUMN.search(normal_header(name)))


class OdooMapping(Strict):
    """Our field -> a field of hr.employee; "" leaves it out."""

    locals().update({name: ma.fields.String(validate=ma.validate.Regexp(r"\w*\Z")) for name in MAPPED})

    @ma.validates_schema
    def refuse_private_fields(self, data: Mapping[str, str], **_options: Any) -> None:
        """Refuse pay, papers, birth dates and other private data under any name.

        :raises marshmallow.ValidationError: such a field is mapped.
        **Touches** pure.
        """
        text = "This field holds private data and is never read."
        private = {name: [text] for name, theirs in data.items() if _is_private(theirs)}
        if private:
            raise ma.ValidationError(private)


class OdooSettings(Strict):
    """What an administrator declares about Odoo."""

    url = ma.fields.String(
        required=True, validate=check_address, metadata={"help": "https://company.odoo.com"}
    )
    database = ma.fields.String(
        required=True, validate=ma.validate.Length(min=1), metadata={"help": "name of the database"}
    )
    login = ma.fields.String(
        required=True, validate=ma.validate.Length(min=1), metadata={"help": "login of the user that reads"}
    )
    api_key = ma.fields.String(
        required=True,
        validate=ma.validate.Length(min=1),
        metadata={"help": "an API key of that user (Preferences, Account Security)", "secret": True},
    )
    mapping = ma.fields.Nested(
        OdooMapping, load_default=dict, metadata={"help": "our field -> a field of hr.employee"}
    )


class NoAccessError(FatalError):
    """The user may not read this."""


class Odoo:
    """Odoo for the length of one reading, signed in.

    :param settings: loaded by `OdooSettings`.
    :raises FatalError: the login or key is refused.
    :raises RetriableError: Odoo does not answer.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._client = http.Client("Odoo", settings["url"])
        self._database, self._key = settings["database"], settings["api_key"]
        login = [self._database, settings["login"], self._key, {}]
        self._uid = self._call("common", "authenticate", login)
        # A refused key is no error for Odoo.
        if not isinstance(self._uid, int) or isinstance(self._uid, bool):
            raise self._refused("Odoo refused the login or the key. Enter `login` and `api_key` again")

    def ask(self, model: str, method: str, *words: Any, **options: Any) -> Any:
        """Call a method of a model.

        :raises NoAccessError: the user may not.
        :raises RetriableError, FatalError: any other error, which Odoo answers with status 200.
        **Source** Odoo, "External API". **Touches** the network.
        """
        call = [self._database, self._uid, self._key, model, method, list(words), options]
        return self._call("object", "execute_kw", call)

    def rows(self, model: str, domain: Sequence[Any], fields: Sequence[str], **options: Any) -> list[Any]:
        """Read rows, archived ones too.

        :raises RetriableError: the answer is no list of rows. See `ask`.
        **Touches** the network.
        """
        rows = self.ask(
            model, "search_read", list(domain), list(fields), context={"active_test": False}, **options
        )
        if not isinstance(rows, list) or not all(
            isinstance(row, dict) and type(row.get("id")) is int for row in rows
        ):
            raise self.later("Odoo sent something that is no list of rows.")
        return rows

    def count(self, model: str) -> int:
        """Count rows, archived ones too. See `ask`."""
        number = self.ask(model, "search_count", [], context={"active_test": False})
        if type(number) is not int:
            raise self.later("Odoo did not count its employees.")
        return number

    def _call(self, service: str, method: str, words: list[Any]) -> Any:
        body = {
            "jsonrpc": "2.0",
            "method": "call",
            "id": 1,
            "params": {"service": service, "method": method, "args": words},
        }
        answer = self._client.post("jsonrpc", json=body).json()
        if not isinstance(answer, dict) or not ("error" in answer or "result" in answer):
            raise self.later("Odoo sent something that is no answer of JSON-RPC.")
        if "error" in answer:
            raise self._failure(answer["error"])
        return answer["result"]

    def _failure(self, error: Any) -> Exception:
        data = error.get("data") if isinstance(error, dict) else None
        name = str(data.get("name")) if isinstance(data, dict) else ""
        kind = name.rpartition(".")[2]
        if kind == "AccessError":
            text = (
                "The user may not read employees. Give it the officer's rights of the Employees application"
            )
            return self._refused(text, NoAccessError)
        if kind == "AccessDenied":
            return self._refused("Odoo refused the login or the key. Enter `login` and `api_key` again")
        if name.startswith(("odoo.exceptions.", "builtins.")):
            text = "Odoo could not do what was asked. Check the mapping, and that Employees is installed"
            return self._refused(text)
        return self.later("Odoo could not answer. When it stays so, check the name of the database.")

    def _refused(self, text: str, kind: type[FatalError] = FatalError) -> FatalError:
        return kind("odoo", "POST", f"{self._client.base}/jsonrpc", None, f"{text}. Nobody was changed.")

    def later(self, text: str) -> RetriableError:
        """Make the error for what may pass."""
        text = f"{text} Nobody was changed. It is tried again at the next run."
        return RetriableError("odoo", "POST", f"{self._client.base}/jsonrpc", None, text)


class Employees:
    """What the user can read of employees, and records made of it.

    :param mapping: as declared.
    :ivar columns: our field -> readable fields of Odoo, best first.
    :ivar withheld: our fields that Odoo hides from the user, or does not have.
    :ivar newest: `write_date` of the row that was changed last.
    """

    def __init__(self, odoo: Odoo, mapping: Mapping[str, str]) -> None:
        self._odoo, self.newest = odoo, ""
        wanted = {name: theirs.split("|") for name, theirs in {**FIELDS, **mapping}.items() if theirs}
        asked = sorted({"active", "write_date"}.union(*wanted.values()))
        # It leaves out fields that the user's groups may not see, and those of missing applications.
        there = odoo.ask("hr.employee", "fields_get", asked, attributes=["type"])
        self.readable = self._readable([name for name in asked if name in there])
        found = {name: [t for t in theirs if t in self.readable] for name, theirs in wanted.items()}
        if found.get("skills") and not self._permits("hr.employee.skill", ["employee_id", "skill_id"]):
            del found["skills"]
        self.columns = {name: theirs for name, theirs in found.items() if theirs}
        self.withheld = frozenset(wanted.keys() - self.columns.keys())

    def _readable(self, names: list[str]) -> list[str]:
        if self._permits("hr.employee", names):
            return names
        readable = [name for name in names if self._permits("hr.employee", [name])]
        if not readable:
            self._odoo.rows("hr.employee", [], ["id"], limit=1)
        return readable

    def _permits(self, model: str, fields: list[str]) -> bool:
        try:
            self._odoo.rows(model, [], ["id", *fields], limit=1)
        except NoAccessError:
            return False
        return True

    def pages(self, domain: list[Any], size: int) -> Iterator[list[dict[str, Any]]]:
        """Read rows by rising id, so that what is archived or changed meanwhile moves nobody.

        **Touches** the network.
        """
        last = 0
        while rows := self._odoo.rows(
            "hr.employee", [*domain, ["id", ">", last]], ["id", *self.readable], order="id", limit=size
        ):
            ids = [last, *(row["id"] for row in rows)]
            if ids != sorted(set(ids)):
                raise self._odoo.later("Odoo repeats employees, so the reading would never end.")
            yield rows
            last = ids[-1]

    def page(self, rows: list[dict[str, Any]]) -> RosterPage:
        """Turn rows into records. **Touches** the network, for skills."""
        page = RosterPage([], fields=frozenset(self.columns) | {"status"})
        skills = self._skills([row["id"] for row in rows if row.get("employee_skill_ids")])
        for row in rows:
            self.newest = max(self.newest, str(row.get("write_date") or ""))
            with skipping(page, str(row["id"])):
                page.records.append(self._record(row, skills.get(row["id"], {})))
        return page

    def _skills(self, ids: list[int]) -> dict[int, dict[str, None]]:
        skills: dict[int, dict[str, None]] = {}
        if ids and "skills" in self.columns:
            rows = self._odoo.rows(
                "hr.employee.skill", [["employee_id", "in", ids]], ["employee_id", "skill_id"], order="id"
            )
            for row in rows:
                who, what = row.get("employee_id"), row.get("skill_id")
                if isinstance(who, list) and isinstance(what, list):
                    skills.setdefault(who[0], {})[clean(str(what[1]), "skills").strip()] = None
        return skills

    def _record(self, row: Mapping[str, Any], skills: Mapping[str, None]) -> EmployeeRecord:
        ref = f"employee {row['id']}"
        values: dict[str, Any] = {}
        for name in self.columns.keys() - {"manager_key", "skills"}:
            text = next(filter(None, (_text(row.get(c), ref, name) for c in self.columns[name])), None)
            if text is not None:
                values[name] = _converted(name, text, ref)
        manager = row.get("parent_id")
        if isinstance(manager, list):
            values["manager_key"] = str(manager[0])
        if row.get("active") is False:
            values |= {"status": "terminated", "status_raw": "archived"}
        return EmployeeRecord(
            source_key=str(row["id"]), ref=ref, skills=tuple(skills), withheld=self.withheld, **values
        )


def _text(value: Any, ref: str, field: str) -> str | None:
    """Read a text, a number or the name of a reference; Odoo writes `false` for none."""
    if isinstance(value, list) and len(value) == 2:
        value = value[1]
    if value is None or value is False:
        return None
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise SkippableRecordError(ref, field, "The value is neither a text nor a reference.")
    return bounded(clean(str(value), ref).strip(), ref, field)


def _converted(name: str, text: str, ref: str) -> Any:
    if name in {"hire_date", "termination_date"}:
        try:
            # A mapped moment has a time, too.
            return date.fromisoformat(text[:10])
        except ValueError:
            raise SkippableRecordError(ref, name, "The value is no date.") from None
    if name == "employment_type":
        return KINDS.get(text, "other")
    return email_of(text, ref) if name == "email" else text


class OdooConnector:
    """Reads the employees of an Odoo database."""

    key = "odoo"
    title = "Odoo"
    settings_schema: type[ma.Schema] = OdooSettings
    # Odoo forgets whom it deletes, so only a full reading can tell.
    capabilities = Capabilities(incremental=True)

    def check(self, settings: Mapping[str, Any]) -> list[CheckResult]:
        """Sign in, and say how many employees there are and which fields the user sees.

        :param settings: loaded by `OdooSettings`.
        **Touches** reads one page of Odoo.
        """
        results: list[CheckResult] = []
        try:
            odoo = Odoo(settings)
            results.append(CheckResult("Sign-in", ok=True, advice="Odoo accepted the key."))
            people = Employees(odoo, settings["mapping"])
            rows = next(people.pages([], SAMPLE_SIZE), [])
            results += _check_sample(people, rows, settings["mapping"])
        except (FatalError, RetriableError) as error:
            results.append(CheckResult("Odoo", ok=False, advice=error.message_for_user))
        return results

    def read(self, settings: Mapping[str, Any], cursor: str | None) -> Iterator[RosterPage]:
        """Read the employees page by page, archived ones as leavers.

        :param cursor: where the last reading ended; None for everybody.
        :raises RetriableError: Odoo did not answer, or not in a way that makes sense.
        :raises FatalError: it refuses us.
        :raises CursorExpiredError: the cursor is of other settings, or of a later state of the database.
        **Touches** reads Odoo.
        """
        began = f"{datetime.now(UTC):{MOMENT}}"
        digest = digest_of(settings, "api_key")
        since = "" if cursor is None else _since(cursor, digest)
        domain = []
        if since:
            moment = datetime.strptime(since, MOMENT).replace(tzinfo=UTC) - OVERLAP
            domain = [["write_date", ">=", f"{moment:{MOMENT}}"]]
        odoo = Odoo(settings)
        people = Employees(odoo, settings["mapping"])
        for rows in people.pages(domain, PAGE_SIZE):
            yield people.page(rows)
        # The row was deleted, or the database was restored from a backup: only a full reading can tell.
        if people.newest < since:
            raise _expired()
        place = min(people.newest, began)
        yield RosterPage(
            [],
            cursor=json.dumps({"settings": digest, "time": place}) if place else None,
            total=None if since else odoo.count("hr.employee"),
            fields=frozenset(people.columns) | {"status"},
        )


def _since(cursor: str, digest: str) -> str:
    try:
        since = json.loads(cursor)
        moment = datetime.strptime(since["time"], MOMENT).replace(tzinfo=UTC)
        known = since["settings"] == digest
    except (KeyError, TypeError, ValueError):
        known = False
    if not known:
        raise _expired()
    return f"{moment:{MOMENT}}"


def _expired() -> CursorExpiredError:
    text = (
        "Odoo's changes cannot be told from where the last reading ended: its database was restored, or the "
        "settings were changed. Nobody was changed; everybody is read instead."
    )
    return CursorExpiredError("odoo", "read", "", None, text)


def _check_sample(
    people: Employees, rows: list[dict[str, Any]], mapping: Mapping[str, str]
) -> list[CheckResult]:
    page = people.page(rows)
    if not rows:
        advice = "Odoo shows no employee. Let the user read all employees, of all companies."
        return [CheckResult("Employees", ok=False, advice=advice)]
    advice = f"{len(page.records)} usable among the first {len(rows)}"
    results = [CheckResult("Employees", ok=bool(page.records), advice=advice)]
    for name, theirs in people.columns.items():
        count = sum(any(row.get(c) not in (False, None, "", []) for c in theirs) for row in rows)
        advice = f"{count} of {len(rows)} have {' or '.join(theirs)}"
        results.append(CheckResult(f"Field {name}", ok=True, advice=advice))
    for name in sorted(people.withheld):
        advice = "The user may not see it, or Odoo does not have it. What is known of it stays."
        results.append(CheckResult(f"Field {name}", ok=name not in mapping, advice=advice))
    return results + skipped_by_reason(page.skipped, "Skipped employees")


@hookimpl
def rm_register_hris_connectors() -> list[OdooConnector]:
    """Bring this connector."""
    return [OdooConnector()]
