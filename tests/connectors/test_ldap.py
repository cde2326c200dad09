"""The LDAP connector against a real slapd and a real Samba domain controller."""

import json
import socket
import threading
import time
from datetime import UTC, date, datetime

import marshmallow as ma
import pytest

from connectors import directory as directory_module
from connectors.hris.ldap import LdapConnector
from rmplugin.api import CursorExpiredError, FatalError, RetriableError
from rmplugin.testing import ConnectorContract, caught, make_people, read_all
from tests.connectors import directories

SAMBA = [
    pytest.mark.part("samba"),
    pytest.mark.xdist_group("samba"),
    pytest.mark.allow_hosts(["127.0.0.1", directories.SAMBA_ADDRESS]),
]
SLAPD = [pytest.mark.part("slapd"), pytest.mark.xdist_group("slapd")]
NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="session")
def slapd(tmp_path_factory):
    with directories.openldap(tmp_path_factory.mktemp("slapd")) as running:
        yield running


@pytest.fixture(scope="session")
def samba(tmp_path_factory):
    with directories.active_directory(tmp_path_factory.mktemp("samba")) as running:
        yield running


class Source:
    """A part of a directory that one test has for itself."""

    server = None

    def __init__(self, directory):
        self.connector, self.directory = LdapConnector(), directory
        self.name, self.known = directories.place_name(), {}
        self.base = f"ou={self.name},{directory.root}"
        directory.do("add", self.base, "organizationalUnit")
        is_ad = directory.flavour == "active_directory"
        self.date_attribute = "info" if is_ad else "description"
        self.settings = directory.settings(
            base_dn=self.base, page_size=3, mapping={"hire_date": self.date_attribute}
        )

    def fill(self, people):
        wanted = {p["source_key"]: p for p in people}
        for key in self.known.keys() - wanted.keys():
            self.directory.do("delete", self.dn(key))
        for key, person in wanted.items():
            if key not in self.known:
                self.add(key, **self.attributes(person))
            elif person != self.known[key]:
                changes = {name: [("MODIFY_REPLACE", [v])] for name, v in self.attributes(person).items()}
                self.directory.do("modify", self.dn(key), changes)
        self.known = wanted

    def spoil(self):
        controls = [directories.TREE_DELETE] if self.directory.flavour == "active_directory" else None
        self.fill([])
        self.directory.do("delete", self.base, controls=controls)

    def attributes(self, person):
        hired = "never" if person.get("bad") else person["hire_date"].isoformat()
        return {
            "givenName": person["given_name"], "sn": person["family_name"], "mail": person["email"],
            self.date_attribute: hired,
        }  # fmt: skip

    def dn(self, key, **_more):
        return f"cn=Person {key},{self.base}"

    def add(self, key, *, classes=(), dn=None, **attributes):
        """Add a person, or with `classes` something else, and give its DN."""
        if self.directory.flavour == "active_directory":
            usual = {"sAMAccountName": f"{self.name}{key}", "userAccountControl": "544"}
            classes = classes or ["top", "person", "organizationalPerson", "user"]
        else:
            usual, classes = {"uid": key}, classes or ["inetOrgPerson"]
        values = {name: v for name, v in {"sn": "Doe", **usual, **attributes}.items() if v is not None}
        self.directory.do("add", dn or self.dn(key), list(classes), values)
        return dn or self.dn(key)

    def read(self, cursor=None, **settings):
        """Read, and give records by the number in their DN's mail, and the last page."""
        pages = read_all(self.connector, {**self.settings, **settings}, cursor)
        return [r for page in pages for r in page.records], pages

    def key_of(self, dn):
        values = self.directory.read(dn, "entryUUID", "objectGUID")
        if values.get("objectGUID"):
            return directory_module._guid(values["objectGUID"][0])
        return values["entryUUID"][0].decode()


@pytest.fixture
def openldap(slapd):
    return Source(slapd)


@pytest.fixture
def domain(samba):
    return Source(samba)


@pytest.fixture(
    params=[pytest.param("slapd", marks=SLAPD), pytest.param("samba", marks=SAMBA)],
)
def either(request):
    return Source(request.getfixturevalue(request.param))


class TestOpenLdap(ConnectorContract):
    pytestmark = SLAPD

    @pytest.fixture
    def source(self, openldap):
        return openldap


class TestActiveDirectory(ConnectorContract):
    pytestmark = SAMBA

    @pytest.fixture
    def source(self, domain):
        return domain


def the(records):
    assert len(records) == 1, records
    return records[0]


# Both families


def test_read_when_a_person_is_complete_gives_every_field(either):
    either.add("1", givenName="Zoë", sn="Doe", displayName="Zoë  Doe ", mail="Zoe@Company.EXAMPLE",
               title="Engineer", employeeNumber="0042", employeeType="Contractor",
               preferredLanguage="de-AT, en;q=0.5",
               physicalDeliveryOfficeName="Vienna 2", l="Vienna")  # fmt: skip
    record = the(either.read()[0])
    assert (record.given_name, record.family_name, record.display_name) == ("Zoë", "Doe", "Zoë Doe")
    assert (record.email, record.job_title) == ("Zoe@company.example", "Engineer")
    assert (record.employee_number, record.employment_type) == ("0042", "contractor")
    assert record.languages == ("de", "en")
    assert (record.location, record.city, record.status) == ("Vienna 2", "Vienna", "active")
    assert record.source_key == either.key_of(either.dn("1"))


def test_read_when_names_are_strange_makes_them_fit_to_be_stored(either):
    """Fault 27: control characters, decomposed letters, markup, right to left."""
    either.add("1", displayName="Zoe\u0308\u0007 <b>=cmd()</b>")
    either.add("2", displayName="דנה")
    names = {record.display_name for record in either.read()[0]}
    assert names == {"Zoë <b>=cmd()</b>", "דנה"}


def test_read_when_the_manager_is_a_dn_gives_their_key_however_they_are_renamed_or_moved(either):
    """Fault 28: a manager by DN, over the edge of a page, outside the base, renamed, moved."""
    boss = either.add("1", mail="boss@company.example")
    for key in "23456":
        either.add(key, manager=boss)
    key = either.key_of(boss)
    records = either.read()[0]
    assert [r.manager_key for r in records if r.source_key != key] == [key] * 5
    outside = f"ou=x{either.name},{either.directory.root}"
    either.directory.do("add", outside, "organizationalUnit")
    either.directory.do("modify_dn", boss, "cn=Somebody Else", new_superior=outside)
    moved = f"cn=Somebody Else,{outside}"
    if either.directory.flavour == "openldap":
        # Without its refint overlay, OpenLDAP leaves the old name with the others: known, but not followed.
        assert {r.withheld for r in either.read()[0]} == {frozenset({"manager_key"})}
        for number in "23456":
            either.directory.do("modify", either.dn(number), {"manager": [("MODIFY_REPLACE", [moved])]})
    assert [r.manager_key for r in either.read()[0]] == [key] * 5


def test_read_when_a_person_is_renamed_and_moved_keeps_the_key(either):
    """Fault 28: DNs change, people do not."""
    dn = either.add("1")
    before = the(either.read()[0])
    below = f"ou=Sales,{either.base}"
    either.directory.do("add", below, "organizationalUnit")
    either.directory.do("modify_dn", dn, "cn=New Name", new_superior=below)
    after = the(either.read()[0])
    assert after.source_key == before.source_key
    assert after.display_name == "New Name"


def test_read_when_the_settings_changed_reads_everybody_anew(either):
    """A cursor of another filter or mapping would leave people out, or fields empty."""
    either.fill(make_people(3))
    cursor = either.read()[1][-1].cursor
    assert cursor
    with pytest.raises(CursorExpiredError):
        either.read(cursor, mapping={"job_title": "title"})
    with pytest.raises(CursorExpiredError):
        either.read(cursor, filter="(mail=*)")


def test_read_when_the_filter_is_declared_gives_these_only(either):
    either.fill(make_people(3))
    assert the(either.read(filter="(mail=quill2@*)")[0]).email == "quill2@quill.example"


def test_read_when_the_password_is_wrong_is_fatal_and_says_so(either):
    with pytest.raises(FatalError, match="refused the sign-in") as error:
        either.read(password="wrong")
    assert "wrong" not in f"{error.value}{error.value.details}"


def test_read_when_start_tls_is_used_reads_the_same(either):
    either.fill(make_people(2))
    assert len(either.read(url=either.directory.plain)[0]) == 2


@pytest.mark.parametrize("address", ["url", "plain"])
def test_read_when_the_certificate_is_not_trusted_is_fatal(either, address, tmp_path):
    """Fault 14."""
    directories.certificate(tmp_path, "127.0.0.1")
    with pytest.raises(FatalError, match="certificate"):
        either.read(url=getattr(either.directory, address), ca_file=f"{tmp_path}/ca.pem")


def test_read_when_the_file_of_certificates_is_missing_is_fatal(either):
    with pytest.raises(FatalError, match="ca_file"):
        either.read(ca_file="/nowhere/ca.pem")


def test_check_when_it_works_says_how_many_have_each_field(either):
    either.fill(make_people(3))
    told = {result.what: result for result in either.connector.check(
        either.connector.settings_schema().load(either.settings))}  # fmt: skip
    assert "over TLS" in told["Sign-in"].advice
    assert told["People"].advice == "3 usable among the first 3"
    assert told["Field email"].advice == "3 of 3 have mail"
    assert told["Field job_title"].advice == "0 of 3 have title"


def test_check_when_a_declared_attribute_is_nowhere_says_so(either):
    either.fill(make_people(3))
    settings = {**either.settings, "mapping": {"job_title": "carLicense"}}
    told = either.connector.check(either.connector.settings_schema().load(settings))
    assert [result.what for result in told if not result.ok] == ["Field job_title"]


def test_check_when_nobody_is_found_is_not_ok(either):
    told = either.connector.check(either.connector.settings_schema().load(either.settings))
    assert [result.what for result in told if not result.ok] == ["People"]


def test_read_when_it_takes_too_long_ends_and_can_be_tried_again(either, monkeypatch):
    """Fault 50: the whole reading has an end."""
    monkeypatch.setattr(directory_module, "READING_SECONDS", 0.01)
    either.fill(make_people(9))
    settings = either.connector.settings_schema().load({**either.settings, "page_size": 1})

    def read_slowly():
        for _ in either.connector.read(settings, None):
            time.sleep(0.05)

    assert isinstance(caught(read_slowly), RetriableError)


# OpenLDAP


@pytest.mark.part("slapd")
@pytest.mark.xdist_group("slapd")
def test_read_when_the_certificate_is_for_another_name_is_fatal(openldap):
    """Fault 14: trusted, but not this host's."""
    with pytest.raises(FatalError, match="certificate"):
        openldap.read(url=openldap.directory.url.replace("127.0.0.1", "localhost"))


@pytest.mark.parametrize("size", [3, 1000])
@pytest.mark.part("slapd")
@pytest.mark.xdist_group("slapd")
def test_read_when_the_account_gets_a_part_only_is_fatal(openldap, size):
    """Fault 23: sizeLimitExceeded comes with entries, and a part must not be taken for all."""
    openldap.fill(make_people(9))
    with pytest.raises(FatalError, match="a part is never taken for all"):
        openldap.read(bind_dn="cn=limited,dc=company,dc=test", page_size=size)


@pytest.mark.part("slapd")
@pytest.mark.xdist_group("slapd")
def test_read_when_parts_lie_on_other_servers_does_not_go_there(openldap):
    """Fault 23: a reference is not followed, and a base that is one is refused."""
    openldap.fill(make_people(2))
    elsewhere = f"ou=elsewhere,{openldap.base}"
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.settimeout(0.05)
        url = f"ldap://127.0.0.1:{trap.getsockname()[1]}/ou=x"
        openldap.directory.do(
            "add", elsewhere, ["referral", "extensibleObject"], {"ou": "elsewhere", "ref": url}
        )
        assert len(openldap.read()[0]) == 2
        with pytest.raises(FatalError, match="another server"):
            openldap.read(base_dn=elsewhere)
        with pytest.raises(TimeoutError):
            trap.accept()


@pytest.mark.part("slapd")
@pytest.mark.xdist_group("slapd")
def test_read_when_a_manager_is_gone_or_hidden_keeps_what_is_known(openldap):
    """Fault 28: a DN that leads nowhere is no word that there is no manager."""
    openldap.add("1", manager=f"cn=Gone,{openldap.base}")
    openldap.add("2")
    dangling, none = sorted(openldap.read()[0], key=lambda r: r.user_name)
    assert (dangling.manager_key, dangling.withheld) == (None, {"manager_key"})
    assert (none.manager_key, none.withheld) == (None, frozenset())


@pytest.mark.part("slapd")
@pytest.mark.xdist_group("slapd")
def test_read_when_nothing_changed_repeats_the_last_minutes_and_no_more(openldap):
    """Fault 40: seconds are coarse, so the boundary comes again; what is older does not."""
    openldap.fill(make_people(4))
    cursor = openldap.read()[1][-1].cursor
    again, pages = openldap.read(cursor)
    assert len(again) == 4
    assert pages[-1].cursor == cursor
    later = json.loads(cursor)
    later["time"] = f"{datetime(2020, 1, 1, tzinfo=UTC):%Y%m%d%H%M%S}"
    assert len(openldap.read(json.dumps(later))[0]) == 4


@pytest.mark.part("slapd")
@pytest.mark.xdist_group("slapd")
def test_read_when_the_newest_change_is_not_there_any_more_reads_everybody_anew(openldap):
    """Fault 41: the directory was restored from a backup, so its newest change is older than the cursor."""
    openldap.fill(make_people(2))
    cursor = json.loads(openldap.read()[1][-1].cursor)
    cursor["time"] = str(int(cursor["time"]) + 10_000)
    with pytest.raises(CursorExpiredError):
        openldap.read(json.dumps(cursor))


@pytest.mark.part("slapd")
@pytest.mark.xdist_group("slapd")
def test_read_when_groups_and_services_lie_beside_people_leaves_them_out(openldap):
    openldap.add("1")
    openldap.add("2", classes=["inetOrgPerson", "simpleSecurityObject"], userPassword="Secret-7-word")
    openldap.directory.do("add", f"cn=staff,{openldap.base}", "groupOfNames",
                          {"member": openldap.dn("1")})  # fmt: skip
    assert the(openldap.read()[0]).user_name == "1"


@pytest.mark.part("slapd")
@pytest.mark.xdist_group("slapd")
def test_check_when_an_attribute_is_hidden_from_the_account_tells_it(openldap):
    """Fault 30: a directory leaves out what an account may not see, so the coverage must be shown."""
    openldap.add("1", title="Engineer")
    for account, count in ((openldap.settings["bind_dn"], 1), ("cn=narrow,dc=company,dc=test", 0)):
        settings = {**openldap.settings, "bind_dn": account, "mapping": {"job_title": "title"}}
        told = openldap.connector.check(openldap.connector.settings_schema().load(settings))
        field = next(result for result in told if result.what == "Field job_title")
        assert (field.ok, field.advice[0]) == (count > 0, str(count))


@pytest.mark.part("slapd")
@pytest.mark.xdist_group("slapd")
def test_read_when_a_value_is_no_text_or_too_long_skips_the_entry(openldap):
    """Fault 27 and 31."""
    openldap.add("1", jpegPhoto=b"\xff\xd8\xff")
    openldap.add("2", title="x" * 300)
    openldap.add("3", mail="nobody at home")
    records, pages = openldap.read(mapping={"grade": "jpegPhoto"})
    assert records == []
    skipped = [s for page in pages for s in page.skipped]
    assert sorted(s.field for s in skipped) == ["email", "grade", "job_title"]
    assert {s.source_key for s in skipped} == {openldap.key_of(openldap.dn(n)) for n in "123"}


@pytest.mark.part("slapd")
@pytest.mark.xdist_group("slapd")
def test_read_when_status_and_dates_are_mapped_understands_them(openldap):
    """Fault 29 and 32: a status word of the company's own, generalized time, German dates."""
    openldap.add("1", carLicense="Karenz", description="24.12.2025")
    mapping = {"status": "carLicense", "hire_date": "createTimestamp", "termination_date": "description"}
    record = the(openldap.read(mapping=mapping, status_values={"karenz": "leave"}, date_format="%d.%m.%Y")[0])
    assert (record.status, record.status_raw) == ("leave", "Karenz")
    assert abs((record.hire_date - datetime.now(UTC).date()).days) <= 1
    assert record.termination_date == date(2025, 12, 24)


# Active Directory


def ad(test):
    for mark in SAMBA:
        test = mark(test)
    return test


@ad
def test_read_when_people_are_deleted_names_their_keys(domain):
    """Fault 44: the tombstone has no mail and no employeeID any more, but it has the GUID."""
    domain.fill(make_people(6))
    keys = {r.email: r.source_key for r in domain.read()[0]}
    cursor = domain.read()[1][-1].cursor
    domain.fill(make_people(6)[2:])
    records, pages = domain.read(cursor)
    assert records == []
    # Other tests delete people of the same domain.
    assert {keys["quill1@quill.example"], keys["quill2@quill.example"]} <= {
        key for page in pages for key in page.gone
    }
    assert keys["quill3@quill.example"] not in {key for page in pages for key in page.gone}


@ad
def test_read_when_nothing_changed_gives_nobody(domain):
    domain.fill(make_people(4))
    cursor = domain.read()[1][-1].cursor
    assert domain.read(cursor)[0] == []


@ad
def test_read_when_another_controller_answers_or_numbers_went_back_reads_everybody_anew(domain):
    """Fault 41: change numbers are one server's own, and of one life of its database."""
    domain.fill(make_people(2))
    cursor = json.loads(domain.read()[1][-1].cursor)
    with pytest.raises(CursorExpiredError):
        domain.read(json.dumps({**cursor, "database": NOBODY}))
    with pytest.raises(CursorExpiredError):
        domain.read(json.dumps({**cursor, "usn": cursor["usn"] + 1_000_000}))
    assert domain.read(json.dumps(cursor))[0] == []


@ad
def test_read_when_the_key_is_written_finds_the_same_entry_in_the_directory(domain):
    """The first parts of a GUID are stored with the lowest byte first."""
    dn = domain.add("1")
    key = the(domain.read()[0]).source_key
    found = domain.directory.read(f"<GUID={key}>", "distinguishedName")
    assert found["distinguishedName"][0].decode().casefold() == dn.casefold()


@ad
@pytest.mark.parametrize(
    ("attributes", "status", "ends"),
    [
        ({"userAccountControl": "546"}, "terminated", None),
        ({"userAccountControl": "66080"}, "active", None),
        ({"accountExpires": "0"}, "active", None),
        ({"accountExpires": "9223372036854775807"}, "active", None),
        # 2027-01-01T00:00:00Z: the last day was the day before.
        ({"accountExpires": "134432352000000000"}, "active", date(2026, 12, 31)),
    ],
)
def test_read_when_an_account_is_disabled_or_expires_says_what_it_means(domain, attributes, status, ends):
    """Fault 32: 0 and the largest number, the years 1601 and 9999, mean never."""
    domain.add("1", **attributes)
    record = the(domain.read()[0])
    assert (record.status, record.termination_date) == (status, ends)
    assert record.status_raw == ("disabled" if status == "terminated" else None)


@ad
def test_read_when_disabled_means_something_else_says_so_but_for_leavers(domain):
    domain.add("1", userAccountControl="546", info="left")
    assert the(domain.read(disabled_status="suspended", mapping={})[0]).status == "suspended"
    mapped = domain.read(disabled_status="suspended", mapping={"status": "info"})[0]
    assert the(mapped).status == "terminated"


@ad
def test_read_when_others_lie_beside_people_leaves_them_out(domain):
    """Groups, computers, services and accounts without a surname are no people."""
    domain.add("1", mail="p@company.example")
    domain.add("2", servicePrincipalName=f"http/{domain.name}")
    domain.directory.do("add", f"cn=Room,{domain.base}", ["user"], {"sAMAccountName": f"{domain.name}r"})
    domain.directory.do("add", f"cn=PC,{domain.base}", ["computer"],
                        {"sAMAccountName": f"{domain.name}$", "userAccountControl": "4096"})  # fmt: skip
    domain.directory.do("add", f"cn=Staff,{domain.base}", ["group"], {"sAMAccountName": f"{domain.name}g"})
    assert the(domain.read()[0]).email == "p@company.example"


@ad
def test_read_when_the_account_is_an_ordinary_one_reads_all_but_the_deleted(domain):
    """Least permission: any account can read people; deleted ones need one more, and the check says so."""
    domain.add(
        "svc", sn=None, unicodePwd=f'"{directories.PASSWORD}"'.encode("utf-16-le"), userAccountControl="512"
    )
    ordinary = {"bind_dn": f"{domain.name}svc@company.test"}
    domain.fill(make_people(3))
    records, pages = domain.read(**ordinary)
    assert len(records) == 3
    domain.fill(make_people(2))
    assert [key for page in domain.read(pages[-1].cursor, **ordinary)[1] for key in page.gone] == []
    for account, words in ((ordinary, "may not see"), ({}, "are seen")):
        told = domain.connector.check(domain.connector.settings_schema().load({**domain.settings, **account}))
        assert words in next(result.advice for result in told if result.what == "Deletions")


@ad
def test_read_when_the_connection_is_not_encrypted_is_fatal(domain):
    with pytest.raises(FatalError, match="encrypted"):
        domain.read(url=domain.directory.plain, start_tls=False)


# No directory at all


def settings_for(url, **more):
    return {"url": url, "bind_dn": "cn=x", "password": "x", "base_dn": "dc=x", **more}


def test_read_when_nobody_listens_can_be_tried_again():
    """Fault 8."""
    url = f"ldap://127.0.0.1:{directories.free_port()}"
    with pytest.raises(RetriableError, match="did not answer"):
        read_all(LdapConnector(), settings_for(url))


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n<html>", b"", b"\x30\x82", b"\x00" * 64],
    ids=["http", "nothing", "half", "zeros"],
)
@pytest.mark.parametrize("start_tls", [True, False])
def test_read_when_something_else_listens_can_be_tried_again(answer, start_tls):
    """Fault 10: an answer that is not LDAP, or half of one."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def talk():
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)

        thread = threading.Thread(target=talk)
        thread.start()
        url = f"ldap://127.0.0.1:{server.getsockname()[1]}"
        error = caught(lambda: read_all(LdapConnector(), settings_for(url, start_tls=start_tls)))
        thread.join()
    assert isinstance(error, RetriableError), repr(error)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"url": "ldap://dc.company.example", "start_tls": False}, "start_tls"),
        ({"url": "https://dc.company.example"}, "url"),
        ({"url": "ldaps://user:word@dc.company.example"}, "url"),
        ({"password": ""}, "password"),
        ({"filter": "objectClass=*)"}, "filter"),
        ({"mapping": {"level": "birthDate"}}, "mapping"),
        ({"mapping": {"grade": "baseSalary"}}, "mapping"),
        ({"mapping": {"grade": "unicodePwd"}}, "mapping"),
        ({"mapping": {"birth_date": "x"}}, "mapping"),
        ({"strange": "x"}, "strange"),
    ],
)
def test_settings_when_wrong_are_refused_by_name(changes, field):
    with pytest.raises(ma.ValidationError) as error:
        LdapConnector.settings_schema().load(settings_for("ldaps://dc.company.example") | changes)
    assert set(error.value.messages_dict) == {field}


def test_settings_when_on_this_machine_need_no_encryption():
    for host in ("localhost", "127.0.0.1", "[::1]"):
        loaded = LdapConnector.settings_schema().load(settings_for(f"ldap://{host}:389", start_tls=False))
        assert loaded["start_tls"] is False
