"""Directories that speak LDAP: signed in over TLS, whole or not at all, and how two families differ."""

import re
import ssl
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Self
from urllib.parse import urlsplit

import ldap3
from ldap3.core import exceptions as ldap_errors

from rmplugin.api import CheckResult, FatalError, RetriableError

CONNECT_SECONDS, ANSWER_SECONDS, READING_SECONDS = 5, 30, 3600.0
# Clocks differ, and a change can be written while we read.
OVERLAP = timedelta(minutes=5)
MANAGERS_REMEMBERED = 50_000
SHOW_DELETED = ("1.2.840.113556.1.4.417", True, None)
# Puts "<GUID=…>;" before each DN: a manager's key comes with their name, and a rename changes nothing.
# The value is BER for SEQUENCE { INTEGER 1 }: identifiers as text.
EXTENDED_DN = ("1.2.840.113556.1.4.529", True, b"\x30\x03\x02\x01\x01")
DELETED_OBJECTS = "18E2EA80684F11D2B9AA00C04F79F805"
DISABLED = 0x2
IS_ACTIVE_DIRECTORY = b"1.2.840.113556.1.4.800"
FILETIME = datetime(1601, 1, 1, tzinfo=UTC)
ACTIVE_DIRECTORY, OPENLDAP = "active_directory", "openldap"
PAGED_RESULTS = "1.2.840.113556.1.4.319"
# Results that may pass; what an administrator has to change for others.
LATER = frozenset({1, 3, 51, 52, 53, 80})
REFUSALS: Mapping[int, str] = {
    **dict.fromkeys(
        (4, 11),
        "The directory gives this account only a part of the entries, and a part is never taken for all. "
        "Raise the account's size limit",
    ),
    **dict.fromkeys((8, 13), "The directory wants an encrypted connection. Use an ldaps:// address"),
    10: "The base DN lies on another server, which is not followed there. Use that server's address",
    12: "The directory lacks a control that is needed (paged results, extended DN). Correct `flavour`",
    32: "There is no such base DN, or the account may not see it. Correct `base_dn` or the permission",
    34: "The base DN is not written as one. Correct `base_dn`",
    **dict.fromkeys(
        (48, 49),
        "The directory refused the sign-in. Enter `bind_dn` and `password` again; they may have expired",
    ),
    50: "The account may not read the people below the base DN. Give it the permission",
}


def is_loopback(host: str | None) -> bool:
    """Tell this machine itself from another. **Touches** pure."""
    with suppress(ValueError):
        return ip_address(host or "").is_loopback
    return host == "localhost"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: its values by attribute in lower case."""

    values: Mapping[str, Sequence[bytes]]

    def first(self, attribute: str) -> bytes | None:
        """Give the attribute's first value; None when it is not there or may not be seen."""
        return next(iter(self.values.get(attribute.lower(), ())), None)

    def number(self, attribute: str) -> int | None:
        """Give a whole number."""
        value = self.first(attribute)
        return int(value) if value is not None and re.fullmatch(rb"-?\d{1,19}", value) else None


class _Tls(ldap3.Tls):
    """Python's own check of certificate and host name; ldap3 2.9 uses one that Python 3.12 has no more."""

    def wrap_socket(self, connection: Any, do_handshake: bool = False) -> None:  # noqa: FBT001, FBT002 - ldap3's.
        """Encrypt the connection. **Touches** the network."""
        del do_handshake
        context = ssl.create_default_context(cafile=self.ca_certs_file)
        connection.socket = context.wrap_socket(connection.socket, server_hostname=connection.server.host)


class Directory:
    """A directory for the length of one reading, signed in.

    :param settings: url, start_tls, ca_file, bind_dn, password.
    :ivar root: what the directory says about itself.
    :raises RetriableError, FatalError: it cannot be reached, or refuses us.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.url, self._start_tls = settings["url"], settings["start_tls"]
        url = urlsplit(self.url)
        self.encrypted = url.scheme == "ldaps"
        with self._translated():
            server = ldap3.Server(
                url.hostname,
                port=url.port or (636 if self.encrypted else 389),
                use_ssl=self.encrypted,
                get_info=ldap3.NONE,
                tls=_Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=settings["ca_file"]),
                connect_timeout=CONNECT_SECONDS,
            )
            self._connection = ldap3.Connection(
                server,
                settings["bind_dn"],
                settings["password"],
                client_strategy=ldap3.SAFE_SYNC,
                auto_referrals=False,
                check_names=False,
                read_only=True,
                receive_timeout=ANSWER_SECONDS,
            )
        self._timer = threading.Timer(READING_SECONDS, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        """Connect, encrypt, sign in, and read what the directory says about itself."""
        try:
            with self._translated():
                self._connection.open(read_server_info=False)
                if self._start_tls and not self.encrypted:
                    self._connection.start_tls(read_server_info=False)
                    self.encrypted = True
                self._expect(self._connection.bind(read_server_info=False)[1])
            self._timer.start()
            wanted = ["supportedCapabilities", "defaultNamingContext", "dsServiceName", "highestCommittedUSN"]
            self.root = self.get("", wanted) or Entry({})
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_problem: object) -> None:
        """Sign out."""
        self._close()

    def get(self, dn: str, attributes: Sequence[str], controls: Sequence[Any] = ()) -> Entry | None:
        """Read one entry; None when there is none that the account may see. **Touches** the network."""
        result, entries = self._search(
            dn, "(objectClass=*)", attributes, search_scope=ldap3.BASE, controls=list(controls) or None
        )
        # No such object, no valid name of one, on another server, or not for us.
        if result["result"] not in (10, 32, 34, 50):
            self._expect(result)
        return entries[0] if entries else None

    def pages(
        self, base: str, where: str, attributes: Sequence[str], size: int, controls: Sequence[Any] = ()
    ) -> Iterator[list[Entry]]:
        """Read entries below a base page by page; continuation references are not followed.

        :raises FatalError: the directory gives only a part of them, among others.
        **Source** RFC 2696. **Touches** the network.
        """
        cookie = None
        while cookie != b"":
            result, entries = self._search(
                base,
                where,
                attributes,
                controls=list(controls) or None,
                paged_size=size,
                paged_criticality=True,
                paged_cookie=cookie,
            )
            # A part comes with entries, too; they are not given on before the answer is known to be whole.
            self._expect(result)
            yield entries
            cookie = result.get("controls", {}).get(PAGED_RESULTS, {}).get("value", {}).get("cookie", b"")

    def _search(
        self, base: str, where: str, attributes: Sequence[str], **options: Any
    ) -> tuple[Mapping[str, Any], list[Entry]]:
        with self._translated():
            _, result, response, _ = self._connection.search(
                base, where, attributes=list(attributes), **options
            )
        found = [item["raw_attributes"] for item in response or () if item["type"] == "searchResEntry"]
        return result, [Entry({name.lower(): values for name, values in item.items()}) for item in found]

    def _expect(self, result: Mapping[str, Any]) -> None:
        code = result["result"]
        if code == 0:
            return
        if code in LATER:
            raise self.later(f"The directory could not answer (LDAP result {code}).")
        raise self.refused(REFUSALS.get(code, f"The directory refused the request (LDAP result {code})"))

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - ldap3 stumbles in many ways over what is no LDAP.
            raise self._failure(error) from None

    def _failure(self, error: Exception) -> Exception:
        if isinstance(error, FatalError | RetriableError):
            return error
        if "CERTIFICATE" in str(error).upper():
            return self.refused(
                "The directory's certificate cannot be trusted. Set `ca_file` to the company's certificates, "
                "use the host name that stands in the certificate, and check its dates"
            )
        if isinstance(error, ldap_errors.LDAPSSLConfigurationError):
            return self.refused("The file that `ca_file` names cannot be read. Correct it")
        if isinstance(error, ldap_errors.LDAPStartTLSError):
            return self.refused("The directory does not offer StartTLS. Use an ldaps:// address")
        return self.later("The directory did not answer, or broke off.")

    def refused(self, text: str) -> FatalError:
        """Make the error for what an administrator has to change."""
        return FatalError("ldap", "read", self.url, None, f"{text}. Nobody was changed.")

    def later(self, text: str) -> RetriableError:
        """Make the error for what may pass."""
        text = f"{text} Nobody was changed. It is tried again at the next run; if it stays so, check `url`."
        return RetriableError("ldap", "read", self.url, None, text)

    def _cut(self) -> None:
        """End a reading that takes too long: whatever waits for the directory gets an error."""
        with suppress(OSError, AttributeError):
            self._connection.socket.shutdown(2)

    def _close(self) -> None:
        self._timer.cancel()
        # A connection that failed to open leaves its socket behind.
        socket = self._connection.socket
        with suppress(ldap_errors.LDAPException, OSError):
            self._connection.unbind()
        if socket is not None:
            socket.close()


class ActiveDirectory:
    """How Active Directory names people, counts changes and keeps the deleted. One object per reading.

    **Source** MS-ADTS; Microsoft, "Polling for Changes Using USNChanged".
    """

    title = "Active Directory"
    # Ordinary accounts (no computers, no trusts) with a surname: no services, rooms or built-in accounts.
    people = "(&(sAMAccountType=805306368)(sn=*)(!(isCriticalSystemObject=TRUE))(!(servicePrincipalName=*)))"
    attributes: Mapping[str, str] = {
        "employee_number": "employeeID|employeeNumber",
        "user_name": "sAMAccountName",
        "email": "mail",
        "given_name": "givenName",
        "family_name": "sn",
        "display_name": "displayName|cn|name",
        "job_title": "title",
        "department": "department",
        "division": "division",
        "legal_entity": "company",
        "location": "physicalDeliveryOfficeName",
        "city": "l",
        "country": "c",
        "manager": "manager",
        "employment_type": "employeeType",
        "languages": "preferredLanguage",
    }
    own = ("objectGUID", "userAccountControl", "accountExpires")
    controls = (EXTENDED_DN,)

    def __init__(self, directory: Directory, settings: Mapping[str, Any]) -> None:
        self._directory = directory
        self._disabled_status = settings["disabled_status"]
        # Read before the people, so that what changes meanwhile is read again the next time.
        self._newest = directory.root.number("highestCommittedUSN")
        server = directory.root.first("dsServiceName")
        known = directory.get(server.decode(), ["invocationId"]) if server else None
        # The id of this server's database: another server counts otherwise, and so does a restored one.
        self._database = _guid(known.first("invocationId") if known else None)

    def key(self, entry: Entry) -> str | None:
        """Give whose entry it is. **Touches** pure."""
        return _guid(entry.first("objectGUID"))

    def manager_key(self, dn: bytes) -> str | None:
        """Give the key of the manager whose DN this is; None when it does not say. **Touches** pure."""
        found = re.match(rb"<GUID=([0-9A-Fa-f-]{36})>;", dn)
        return found[1].decode().lower() if found else None

    def standing(self, entry: Entry) -> dict[str, Any]:
        """Give status and end of an account, as far as the account says them. **Touches** pure."""
        standing: dict[str, Any] = {}
        if (entry.number("userAccountControl") or 0) & DISABLED:
            standing |= {"status": self._disabled_status, "status_raw": "disabled"}
        # It expires at the beginning of a day, so the day before is the last one.
        ends = read_filetime(entry.number("accountExpires"))
        if ends is not None:
            standing["termination_date"] = (ends - timedelta(seconds=1)).date()
        return standing

    def changes(self, since: Mapping[str, Any]) -> str:
        """Give the filter for what changed since a cursor.

        :raises KeyError: the cursor is of another server, or of a state that it no longer is in.
        """
        if since["database"] != self._database or int(since["usn"]) > (self._newest or 0):
            raise KeyError
        return f"(uSNChanged>={int(since['usn']) + 1})"

    def notice(self, entry: Entry) -> None:
        """Take notice of an entry that was read; this server counts by itself. **Touches** nothing."""

    def cursor(self) -> dict[str, Any] | None:
        """Give where the next reading may begin. **Touches** pure."""
        if self._database is None or self._newest is None:
            return None
        return {"database": self._database, "usn": self._newest}

    def gone(self, changed: str, size: int) -> Iterator[list[str]]:
        """Give keys of deleted accounts; none when the account may not see deleted objects.

        **Touches** the network.
        """
        domain = self._directory.root.first("defaultNamingContext")
        where = f"(&(isDeleted=TRUE)(objectClass=user){changed})"
        if domain is not None:
            for page in self._directory.pages(domain.decode(), where, ["objectGUID"], size, [SHOW_DELETED]):
                yield [key for entry in page if (key := self.key(entry))]

    def check(self) -> Iterator[CheckResult]:
        """Say whether changes and deletions can be told. **Touches** the network."""
        told = "are read by themselves" if self.cursor() else "cannot be told; everything is read each time"
        yield CheckResult("Changes", ok=True, advice=f"Changes {told}.")
        domain = (self._directory.root.first("defaultNamingContext") or b"").decode()
        place = f"<WKGUID={DELETED_OBJECTS},{domain}>"
        container = self._directory.get(place, ["name"], [SHOW_DELETED])
        seen = container is not None and container.first("name") is not None
        advice = (
            "Deleted accounts are seen."
            if seen
            else "The account may not see deleted objects, so deletions are only found by a full reading."
        )
        yield CheckResult("Deletions", ok=True, advice=advice)


class OpenLdap:
    """How OpenLDAP, and whatever else keeps to the standard, names people. One object per reading.

    **Source** RFC 4512 (operational attributes), RFC 4530 (entryUUID), RFC 2798 (inetOrgPerson).
    """

    title = "OpenLDAP"
    # Accounts of services are no inetOrgPerson, or carry a password without being one.
    people = "(&(objectClass=inetOrgPerson)(!(objectClass=simpleSecurityObject)))"
    attributes: Mapping[str, str] = {
        "employee_number": "employeeNumber",
        "user_name": "uid",
        "email": "mail",
        "given_name": "givenName",
        "family_name": "sn",
        "display_name": "displayName|cn",
        "job_title": "title",
        "department": "departmentNumber|ou",
        "legal_entity": "o",
        "location": "physicalDeliveryOfficeName",
        "city": "l",
        "manager": "manager",
        "employment_type": "employeeType",
        "languages": "preferredLanguage",
    }
    own = ("entryUUID", "modifyTimestamp")
    controls = ()

    def __init__(self, directory: Directory, _settings: Mapping[str, Any]) -> None:
        self._directory = directory
        self._began = f"{datetime.now(UTC):%Y%m%d%H%M%S}"
        self._newest = ""
        self._since = ""
        # Managers are few against people; the directory itself compares DNs best.
        self.manager_key = lru_cache(MANAGERS_REMEMBERED)(self._manager_key)

    def key(self, entry: Entry) -> str | None:
        """Give whose entry it is. **Touches** pure."""
        with suppress(ValueError):
            return str(uuid.UUID((entry.first("entryUUID") or b"").decode()))
        return None

    def _manager_key(self, dn: bytes) -> str | None:
        manager = self._directory.get(dn.decode(), ["entryUUID"])
        return self.key(manager) if manager else None

    def standing(self, _entry: Entry) -> dict[str, Any]:
        """Give nothing: the standard knows no disabled accounts. **Touches** pure."""
        return {}

    def changes(self, since: Mapping[str, Any]) -> str:
        """Give the filter for what changed since a cursor, and a little earlier."""
        self._since = since["time"]
        moment = datetime.strptime(self._since, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        return f"(modifyTimestamp>={moment - OVERLAP:%Y%m%d%H%M%SZ})"

    def notice(self, entry: Entry) -> None:
        """Take notice of when an entry was changed. **Touches** this object."""
        changed = (entry.first("modifyTimestamp") or b"")[:14].decode("ascii", "replace")
        if changed.isdecimal() and changed > self._newest:
            self._newest = changed

    def cursor(self) -> dict[str, Any] | None:
        """Give where the next reading may begin: at the newest change, but not after this one began.

        :raises KeyError: the change at which the last reading ended is not there any more.
        **Touches** pure.
        """
        # The entry was deleted, or the directory was restored from a backup: only a full reading can tell.
        if self._newest < self._since:
            raise KeyError
        return {"time": min(self._newest, self._began)} if self._newest else None

    def gone(self, _changed: str, _size: int) -> Iterator[list[str]]:
        """Give nobody: the standard does not remember the deleted. **Touches** nothing."""
        return iter(())

    def check(self) -> Iterator[CheckResult]:
        """Say what changes and deletions need. **Touches** nothing."""
        yield CheckResult("Deletions", ok=True, advice="They are found by a full reading only.")


Flavour = ActiveDirectory | OpenLdap
FLAVOURS: Mapping[str, type[Flavour]] = {ACTIVE_DIRECTORY: ActiveDirectory, OPENLDAP: OpenLdap}


def choose_flavour(directory: Directory, settings: Mapping[str, Any]) -> Flavour:
    """Choose as declared, or by what the directory says about itself. **Touches** the network."""
    declared = settings["flavour"]
    if declared == "auto":
        said = directory.root.values.get("supportedcapabilities", ())
        declared = ACTIVE_DIRECTORY if IS_ACTIVE_DIRECTORY in said else OPENLDAP
    return FLAVOURS[declared](directory, settings)


def _guid(value: bytes | None) -> str | None:
    """Write a GUID as text: its first three parts are stored with the lowest byte first."""
    return str(uuid.UUID(bytes_le=value)) if value is not None and len(value) == 16 else None


def read_filetime(ticks: int | None) -> datetime | None:
    """Read tenths of a microsecond since 1601; 0 and the largest number mean never. **Touches** pure."""
    with suppress(OverflowError):
        moment = FILETIME + timedelta(microseconds=(ticks or 0) // 10)
        return moment if 1601 < moment.year < 9999 else None
    return None
