"""People of a directory: Active Directory, or OpenLDAP and others that keep to the standard."""

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any
from urllib.parse import urlsplit

import marshmallow as ma
from ldap3.core import exceptions as ldap_errors
from ldap3.operation.search import parse_filter

from connectors.directory import (
    ACTIVE_DIRECTORY,
    OPENLDAP,
    Directory,
    Entry,
    Flavour,
    choose_flavour,
    is_loopback,
    read_filetime,
)
from connectors.tables import (
    EMPLOYMENT_WORDS,
    STATUS_WORDS,
    DateReader,
    is_private_name,
)
from connectors.values import Strict, digest_of, email_of, skipped_by_reason, skipping, status_words, text_of
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
)

SAMPLE_SIZE = 200


FIELDS = (
    "employee_number", "user_name", "email", "given_name", "family_name", "preferred_name", "display_name",
    "job_title", "grade", "level", "department", "division", "cost_center", "legal_entity", "location",
    "city", "country", "time_zone", "manager", "employment_type", "status", "hire_date", "termination_date",
    "languages", "skills",
)  # fmt: skip


class AttributeMap(Strict):
    """Our field -> the directory's attribute. Nothing else is read; "" leaves a field out."""

    locals().update(
        {
            name: ma.fields.String(validate=ma.validate.Regexp(r"[A-Za-z][A-Za-z0-9;-]*\Z|\Z"))
            for name in FIELDS
        }
    )

    @ma.validates_schema
    def refuse_private_attributes(self, data: Mapping[str, str], **_options: Any) -> None:
        """Refuse pay, birth dates, passwords and other private data under any name.

        :raises marshmallow.ValidationError: such an attribute is mapped.
        **Touches** pure.
        """
        private = {
            name: ["This attribute holds private data and is never read."]
            for name, attribute in data.items()
            if is_private_name(attribute) or re.search(r"passw|pwd", attribute, re.IGNORECASE)
        }
        if private:
            raise ma.ValidationError(private)


class LdapSettings(Strict):
    """What an administrator declares about the directory."""

    url = ma.fields.String(
        required=True,
        validate=ma.validate.Regexp(r"ldaps?://[^/?#@\s]+/?\Z"),
        metadata={"help": "ldaps://dc1.company.example, or ldap://… which turns to TLS by StartTLS"},
    )
    start_tls = ma.fields.Boolean(
        load_default=True,
        metadata={"help": "encrypt ldap:// by StartTLS; false only on this machine itself"},
    )
    ca_file = ma.fields.String(
        load_default=None,
        allow_none=True,
        metadata={
            "help": "file with the certificates (PEM) to trust, when the directory's are the company's own"
        },
    )
    bind_dn = ma.fields.String(
        required=True,
        validate=ma.validate.Length(min=1),
        metadata={"help": "account that reads: its DN, or user@domain for Active Directory"},
    )
    # An empty password would be an anonymous bind that looks like a success.
    password = ma.fields.String(
        required=True,
        validate=ma.validate.Length(min=1),
        metadata={"help": "the account's password", "secret": True},
    )
    base_dn = ma.fields.String(
        required=True,
        validate=ma.validate.Length(min=1),
        metadata={"help": "people below this entry are read, for example OU=Staff,DC=company,DC=example"},
    )
    filter = ma.fields.String(
        load_default="",
        metadata={"help": "LDAP filter of who is a person; the flavour's own unless declared"},
    )
    flavour = ma.fields.String(
        load_default="auto",
        validate=ma.validate.OneOf(["auto", ACTIVE_DIRECTORY, OPENLDAP]),
        metadata={"help": "auto asks the directory; openldap is right for every other one, too"},
    )
    mapping = ma.fields.Nested(
        AttributeMap, load_default=dict, metadata={"help": "our field -> the directory's attribute"}
    )
    date_format = ma.fields.String(
        load_default="%Y-%m-%d",
        metadata={"help": "strptime format of mapped dates that are plain text"},
    )
    status_values = status_words("word of a mapped status attribute -> our status")
    disabled_status = ma.fields.String(
        load_default="terminated",
        validate=ma.validate.OneOf(["terminated", "suspended", "leave"]),
        metadata={"help": "what a disabled account of Active Directory means"},
    )
    page_size = ma.fields.Integer(
        load_default=500,
        validate=ma.validate.Range(1, 1000),
        metadata={"help": "entries per request; directories rarely allow more than 1000"},
    )

    @ma.validates("filter")
    def check_filter(self, value: str, **_options: Any) -> None:
        """Refuse what is no filter.

        :raises marshmallow.ValidationError: when it is none.
        **Touches** pure.
        """
        try:
            if value:
                parse_filter(
                    value, schema=None, auto_escape=True, auto_encode=False, validator=None, check_names=False
                )  # type: ignore[no-untyped-call]
        except ldap_errors.LDAPException:
            raise ma.ValidationError("This is not an LDAP filter, such as (objectClass=person).") from None

    @ma.validates_schema
    def want_encryption(self, data: Mapping[str, Any], **_options: Any) -> None:
        """Refuse to send the password in the clear to another machine.

        :raises marshmallow.ValidationError: neither ldaps:// nor StartTLS.
        **Touches** pure.
        """
        parts = urlsplit(data["url"])
        if parts.scheme == "ldap" and not data["start_tls"] and not is_loopback(parts.hostname):
            raise ma.ValidationError("Without TLS the password could be read on its way.", "start_tls")


class People:
    """Turns entries into records, for one reading.

    :param flavour: how this directory names things.
    :param settings: loaded by `LdapSettings`.
    """

    def __init__(self, flavour: Flavour, settings: Mapping[str, Any]) -> None:
        self._flavour = flavour
        wanted = {**flavour.attributes, **settings["mapping"]}
        self.attributes: dict[str, list[str]] = {
            name: words.split("|") for name, words in wanted.items() if words
        }
        self.wanted = sorted({*flavour.own, *(a for names in self.attributes.values() for a in names)})
        self._dates = DateReader(settings["date_format"])
        self._statuses = STATUS_WORDS | {
            word.strip().casefold(): status for word, status in settings["status_values"].items()
        }

    def take(self, entry: Entry, number: int, page: RosterPage) -> None:
        """Add an entry to a page, as a record or as skipped. **Touches** the page; may ask for a manager."""
        self._flavour.notice(entry)
        key = self._flavour.key(entry)
        ref = f"entry {key or f'number {number}'}"
        with skipping(page, key):
            page.records.append(self._record(entry, key, ref))

    def _record(self, entry: Entry, key: str | None, ref: str) -> EmployeeRecord:
        if key is None:
            reason = "The entry shows no identifier. Let the account read operational attributes."
            raise SkippableRecordError(ref, "source_key", reason)
        fields: dict[str, Any] = {}
        for name in self.attributes.keys() - {"manager", "skills"}:
            text = next(self._texts(entry, name, ref), None)
            if text is not None:
                fields[name] = self._converted(name, text, ref)
        if "skills" in self.attributes:
            fields["skills"] = tuple(dict.fromkeys(self._texts(entry, "skills", ref)))
        if "status" in fields:
            fields["status_raw"] = fields["status"]
            fields["status"] = self._statuses.get(fields["status"].casefold(), "unknown")
        standing = self._flavour.standing(entry)
        # What the company writes about a leaver says more than the account.
        if fields.get("status") in {"terminated", "deceased"}:
            standing.pop("status", None)
        if "termination_date" in self.attributes:
            standing.pop("termination_date", None)
        return EmployeeRecord(source_key=key, ref=ref, **{**fields, **standing, **self._manager(entry)})

    def _manager(self, entry: Entry) -> dict[str, Any]:
        dn = next(filter(None, map(entry.first, self.attributes.get("manager", ()))), None)
        if dn is None:
            return {}
        key = self._flavour.manager_key(dn)
        # Renamed this moment, deleted, or hidden from us: what was known of the manager stays.
        return {"manager_key": key} if key else {"withheld": frozenset({"manager_key"})}

    def _converted(self, name: str, text: str, ref: str) -> Any:
        if name in {"hire_date", "termination_date"}:
            return self._date(name, text, ref)
        if name == "employment_type":
            return EMPLOYMENT_WORDS.get(text.casefold(), "other")
        if name == "languages":
            # As in "de-AT, en;q=0.5".
            codes = (re.match(r"([A-Za-z]{2})(?![A-Za-z])", word.strip()) for word in text.split(","))
            return tuple(dict.fromkeys(code[1].lower() for code in codes if code))
        if name == "email":
            return email_of(text, ref)
        return text

    def _date(self, name: str, text: str, ref: str) -> date | None:
        if re.fullmatch(r"-?\d{16,19}", text) or text == "0":
            moment = read_filetime(int(text))
            return moment.date() if moment else None
        try:
            # Generalized time, as in whenCreated; the day is all that matters.
            if re.fullmatch(r"\d{8}(\d{2}){1,3}([.,]\d+)?(Z|[+-]\d{2,4})", text):
                return DateReader("%Y%m%d")(text[:8])
            return self._dates(text)
        except ValueError:
            reason = "The date is neither of the declared format nor one of the directory's own."
            raise SkippableRecordError(ref, name, reason) from None

    def _texts(self, entry: Entry, name: str, ref: str) -> Iterator[str]:
        for attribute in self.attributes[name]:
            for value in entry.values.get(attribute.lower(), ()):
                try:
                    text = text_of(value.decode(), ref, name)
                except UnicodeDecodeError:
                    raise SkippableRecordError(ref, name, "The value is no text.") from None
                if text is not None:
                    yield text


class LdapConnector:
    """Reads the people of a directory."""

    key = "ldap"
    title = "LDAP directory (Active Directory, OpenLDAP)"
    settings_schema: type[ma.Schema] = LdapSettings
    # Deletions come with Active Directory's changes, but a standard directory forgets whom it deletes.
    capabilities = Capabilities(incremental=True)

    def check(self, settings: Mapping[str, Any]) -> list[CheckResult]:
        """Sign in, and say whom and which fields the account sees.

        :param settings: loaded by `LdapSettings`.
        **Touches** reads one page of the directory.
        """
        results: list[CheckResult] = []
        try:
            with Directory(settings) as directory:
                flavour = choose_flavour(directory, settings)
                encrypted = "over TLS" if directory.encrypted else "without TLS, on this machine"
                results.append(CheckResult("Sign-in", ok=True, advice=f"{flavour.title}, {encrypted}"))
                people = People(flavour, settings)
                where = settings["filter"] or flavour.people
                size = min(SAMPLE_SIZE, settings["page_size"])
                pages = directory.pages(settings["base_dn"], where, people.wanted, size, flavour.controls)
                results += _check_sample(people, next(pages), settings)
                results += flavour.check()
        except (FatalError, RetriableError) as error:
            results.append(CheckResult("Directory", ok=False, advice=error.message_for_user))
        return results

    def read(self, settings: Mapping[str, Any], cursor: str | None) -> Iterator[RosterPage]:
        """Read the people page by page.

        :param cursor: where the last reading ended; None for everybody.
        :raises RetriableError: the directory did not answer, or broke off.
        :raises FatalError: it refuses us, or gives only a part.
        :raises CursorExpiredError: the cursor is of another server, of other settings, or of a later state.
        **Touches** reads the directory.
        """
        digest = digest_of(settings, "password")
        with Directory(settings) as directory:
            flavour = choose_flavour(directory, settings)
            people = People(flavour, settings)
            changed = "" if cursor is None else _changed(flavour, cursor, digest, directory.url)
            where = f"(&{settings['filter'] or flavour.people}{changed})"
            numbers = itertools.count(1)
            for entries in directory.pages(
                settings["base_dn"], where, people.wanted, settings["page_size"], flavour.controls
            ):
                page = RosterPage([])
                for entry in entries:
                    people.take(entry, next(numbers), page)
                yield page
            if changed:
                for gone in flavour.gone(changed, settings["page_size"]):
                    yield RosterPage([], gone=gone)
            try:
                place = flavour.cursor()
            except KeyError:
                raise _expired(directory.url) from None
            yield RosterPage([], cursor=json.dumps({"settings": digest, **place}) if place else None)


def _changed(flavour: Flavour, cursor: str, digest: str, url: str) -> str:
    try:
        since = json.loads(cursor)
        if since["settings"] != digest:
            raise _expired(url)
        return flavour.changes(since)
    except (KeyError, TypeError, ValueError):
        raise _expired(url) from None


def _expired(url: str) -> CursorExpiredError:
    text = (
        "The directory cannot tell its changes from where the last reading ended: it is another server, it "
        "was restored, or the settings were changed. Nobody was changed; everybody is read instead."
    )
    return CursorExpiredError("ldap", "read", url, None, text)


def _check_sample(people: People, entries: list[Entry], settings: Mapping[str, Any]) -> list[CheckResult]:
    page = RosterPage([])
    for number, entry in enumerate(entries, 1):
        people.take(entry, number, page)
    if not entries:
        advice = "Nobody was found. Correct `base_dn` or `filter`, or let the account read the people."
        return [CheckResult("People", ok=False, advice=advice)]
    usable = len(page.records)
    results = [CheckResult("People", ok=usable > 0, advice=f"{usable} usable among the first {len(entries)}")]
    for name, attributes in people.attributes.items():
        count = sum(any(entry.first(a) for a in attributes) for entry in entries)
        # What nobody has need not be wrong, unless somebody asked for it.
        ok = count > 0 or name not in settings["mapping"]
        advice = f"{count} of {len(entries)} have {' or '.join(attributes)}"
        if not ok:
            advice += ". Correct the mapping, or let the account read it."
        results.append(CheckResult(f"Field {name}", ok=ok, advice=advice))
    return results + skipped_by_reason(page.skipped, "Skipped entries")


@hookimpl
def rm_register_hris_connectors() -> list[LdapConnector]:
    """Bring this connector."""
    return [LdapConnector()]
