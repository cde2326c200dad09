"""The Entra connector, against a stand-in for sign-in and Graph that pages, forgets and repeats."""

from datetime import date

import marshmallow as ma
import pytest

from connectors.hris import entra
from connectors.hris.entra import EntraConnector, EntraSettings
from rmplugin import testing
from rmplugin.api import CursorExpiredError, FatalError, RetriableError
from tests.fakes.entra import SECRET, Entra

APP_GRADE = "extension_0123456789abcdef0123456789abcdef_grade"


class EntraSource:
    """The stand-in under the contract's people."""

    def __init__(self, fake):
        self.connector, self.fake = EntraConnector(), fake
        self.server, self.settings = fake.server, fake.settings

    def fill(self, people):
        wanted = {p["source_key"]: row_of(p) for p in people}
        for key in set(self.fake.users) - set(wanted):
            self.fake.delete(key)
        for key, row in wanted.items():
            self.fake.put(key, **row)

    def spoil(self):
        # The usual end: the client secret's two years are over.
        self.fake.secret = "another"


def row_of(person):
    return {
        "givenName": person["given_name"],
        "surname": person["family_name"],
        "displayName": f"{person['given_name']} {person['family_name']}",
        "mail": person["email"],
        "employeeHireDate": "soon" if person.get("bad") else f"{person['hire_date']}T00:00:00Z",
    }


@pytest.fixture
def fake():
    fake = Entra()
    with fake.server, fake.login:
        yield fake


@pytest.fixture
def read(fake):
    """Read; give the last cursor, the records by key, and who is gone."""

    def read(cursor=None, **settings):
        pages = testing.read_all(EntraConnector(), {**fake.settings, **settings}, cursor)
        records = [record for page in pages for record in page.records]
        assert len({record.source_key for record in records}) == len(records)
        gone = [key for page in pages for key in page.gone]
        return pages[-1].cursor, {record.source_key: record for record in records}, gone

    return read


class TestEntra(testing.ConnectorContract):
    @pytest.fixture
    def source(self, fake):
        fake.page_most = 70
        return EntraSource(fake)


def test_read_when_everything_is_said_maps_every_field(fake, read):
    fake.permissions.add("User-LifeCycleInfo.Read.All")
    fake.put(
        "7", employeeId="0042", userPrincipalName="grace@corp.example", mail="g@example.com",
        givenName=" Grace\n", surname="Hopper", displayName="Grace Hopper", jobTitle="Admiral",
        department="Navy", employeeOrgData={"division": "East", "costCenter": "C-9"}, companyName="Fleet Ltd",
        officeLocation="Arlington", usageLocation="US", employeeType="Contractor", manager="3",
        employeeHireDate="2019-02-28T00:00:00Z", employeeLeaveDateTime="2999-12-31T00:00:00Z",
        preferredLanguage="en-US", onPremisesExtensionAttributes={"extensionAttribute5": "G7"},
    )  # fmt: skip
    mapping = {"grade": "extensionAttribute5"}
    record = read(leave_dates=True, mapping=mapping)[1]["7"]
    testing.check_record(record)
    assert (record.employee_number, record.user_name, record.email) == (
        "0042",
        "grace@corp.example",
        "g@example.com",
    )
    assert (record.given_name, record.family_name, record.display_name) == ("Grace", "Hopper", "Grace Hopper")
    assert (record.job_title, record.department, record.division) == ("Admiral", "Navy", "East")
    assert (record.cost_center, record.legal_entity, record.location) == ("C-9", "Fleet Ltd", "Arlington")
    assert (record.country, record.languages, record.manager_key) == ("US", ("en",), "3")
    assert (record.hire_date, record.termination_date) == (date(2019, 2, 28), date(2999, 12, 31))
    assert (record.status, record.status_raw, record.employment_type) == ("active", "enabled", "contractor")
    assert (record.grade, record.withheld) == ("G7", frozenset())


def test_read_when_private_properties_exist_never_asks_for_them(fake, read):
    fake.put("1", birthday="1990-01-01", mobilePhone="555-0100", streetAddress="1 Home Road")
    cursor, records, _gone = read()
    fake.put("1", jobTitle="Changed")
    assert not {"1990-01-01", "555-0100", "1 Home Road"} & set(str([records, read(cursor)[1]]).split("'"))
    private = ("birthday", "ageGroup", "mobilePhone", "streetAddress", "aboutMe")
    assert not any(name in asked.query for asked in fake.server.asked for name in private)


@pytest.mark.parametrize(
    "name", ["extension_0123456789abcdef0123456789abcdef_baseSalary", "birthday", "mail"]
)
def test_settings_when_an_attribute_is_private_or_no_extension_refuse_it(fake, name):
    with pytest.raises(ma.ValidationError) as caught:
        EntraSettings().load({**fake.settings, "mapping": {"grade": name}})
    assert set(caught.value.messages) == {"mapping"}


def test_read_when_an_apps_attribute_is_mapped_reads_it(fake, read):
    fake.put("1", **{APP_GRADE: "Senior"})
    assert read(mapping={"level": APP_GRADE})[1]["1"].level == "Senior"


# Guests, printers and scripts are no people.
@pytest.mark.parametrize(
    ("people", "found"),
    [
        ("employees", {"clerk", "old"}),
        ("members", {"clerk", "old", "printer"}),
        ("everybody", {"clerk", "old", "printer", "guest"}),
    ],
)
def test_read_when_accounts_are_no_people_leaves_them_out_as_the_settings_say(fake, read, people, found):
    fake.put("clerk")
    fake.put("old", userType=None, jobTitle=None, manager="clerk")
    fake.put("printer", jobTitle=None)
    fake.put("guest", userType="Guest")
    assert set(read(people=people)[1]) == found


# Fault 29: an account says little about an employment.
@pytest.mark.parametrize(
    ("properties", "disabled", "status"),
    [
        ({}, "suspended", "active"),
        ({"accountEnabled": False}, "suspended", "suspended"),
        ({"accountEnabled": False}, "terminated", "terminated"),
        ({"accountEnabled": False, "employeeHireDate": "2999-01-01T00:00:00Z"}, "terminated", "prehire"),
        (
            {"accountEnabled": False, "employeeLeaveDateTime": "2020-01-31T17:00:00Z"},
            "suspended",
            "terminated",
        ),
        (
            {"accountEnabled": False, "employeeLeaveDateTime": "2999-01-31T17:00:00Z"},
            "suspended",
            "suspended",
        ),
        # Somebody came back: the old leave date says nothing.
        (
            {
                "accountEnabled": False,
                "employeeHireDate": "2021-01-01T00:00:00Z",
                "employeeLeaveDateTime": "2020-01-31T17:00:00Z",
            },
            "suspended",
            "suspended",
        ),
        ({"accountEnabled": None}, "suspended", "unknown"),
    ],
)
def test_read_when_an_account_is_disabled_lets_the_dates_decide(fake, read, properties, disabled, status):
    fake.permissions.add("User-LifeCycleInfo.Read.All")
    fake.put("1", **properties)
    record = read(leave_dates=True, disabled=disabled)[1]["1"]
    assert record.status == status
    # Fault 30: what is hidden is not said to be otherwise.
    assert ("status" in record.withheld) == (properties.get("accountEnabled", True) is None)


# Fault 32: days kept as moments, and the placeholders for "none".
@pytest.mark.parametrize(
    ("moment", "day"),
    [
        ("2014-11-09T00:00:00Z", date(2014, 11, 9)),
        ("2014-11-08T23:00:00Z", date(2014, 11, 9)),
        ("2014-11-08T15:00:00.0000000Z", date(2014, 11, 9)),
        ("2014-11-09T08:00:00Z", date(2014, 11, 9)),
        ("2014-11-09T12:00:00Z", date(2014, 11, 9)),
        ("2024-02-29T00:00:00+01:00", date(2024, 2, 29)),
        ("0001-01-01T00:00:00Z", None),
        ("1601-01-01T00:00:00Z", None),
        ("9999-12-31T23:59:59Z", None),
        (None, None),
    ],
)
def test_read_when_a_day_is_kept_as_a_moment_gives_the_day(fake, read, moment, day):
    fake.put("1", employeeHireDate=moment)
    assert read()[1]["1"].hire_date == day


# Fault 28: the manager is another account, of whatever kind.
@pytest.mark.parametrize("manager", [None, "1", "guest", "unknown"])
def test_read_when_the_manager_is_strange_says_only_who_it_is(fake, read, manager):
    fake.put("1", manager=manager)
    fake.put("guest", userType="Guest")
    assert read()[1]["1"].manager_key == manager


# Fault 16.
def test_read_when_a_page_is_empty_but_has_a_next_link_goes_on(fake, read):
    fake.page_most, fake.empty_pages = 2, {0, 1, 3}
    for number in range(7):
        fake.put(str(number))
    cursor, records, gone = read()
    assert (len(records), gone) == (7, [])
    fake.change_most = 1
    fake.put("3", mobilePhone="555-0100")
    fake.put("4", jobTitle="Changed")
    # The first page of changes is empty: what changed was not asked for.
    assert set(read(cursor)[1]) == {"4"}


# Fault 17.
@pytest.mark.parametrize("path", ["users", "users/delta"])
def test_read_when_a_next_link_leads_back_stops(fake, read, path):
    fake.put("1")
    cursor = read()[0]
    fake.loops.add(f"/v1.0/{path}")
    with pytest.raises(RetriableError, match="never end"):
        read(cursor if path == "users/delta" else None)


# Fault 13.
@pytest.mark.parametrize(
    "elsewhere", ["https://graph.evil.example/v1.0/users?$skiptoken=1", "http://localhost:1/"]
)
def test_read_when_a_next_link_leads_to_another_host_sends_no_token_there(fake, read, elsewhere):
    fake.put("1")
    fake.next_link = elsewhere
    with pytest.raises(FatalError, match="points to another host"):
        read()


# Fault 18: seven days later, or after work on Microsoft's side.
@pytest.mark.parametrize(
    "answer",
    [
        (410, "syncStateNotFound"),
        (400, "syncStateNotFound"),
        (410, "resyncRequired"),
        (400, "Directory_ResyncRequired"),
    ],
)
def test_read_when_the_delta_link_is_forgotten_asks_for_everything(fake, read, answer):
    fake.put("1")
    cursor = read()[0]
    fake.forgotten, fake.forgets_with = len(fake.events), answer
    with pytest.raises(CursorExpiredError, match="Everything is read instead"):
        read(cursor)


def test_read_when_the_delta_link_is_that_of_another_host_never_asks_it(fake, read):
    fake.put("1")
    cursor = read()[0]
    asked = len(fake.server.asked)
    with pytest.raises(CursorExpiredError):
        read(cursor.replace("127.0.0.1", "localhost"))
    assert len(fake.server.asked) == asked


def test_read_when_a_page_of_everybody_is_forgotten_tries_later(fake, read):
    fake.page_most = 1
    for number in range(3):
        fake.put(str(number))
    fake.page_expires = True
    with pytest.raises(RetriableError, match="Nobody was changed"):
        read()


# Faults 19 and 20: people come, go and change while everybody is read.
def test_read_when_people_change_meanwhile_loses_no_change(fake, read):
    fake.page_most = 2
    for number in range(6):
        fake.put(f"{number}5")

    def change(number):
        if number == 1:
            fake.put("04", mail="new@example.com")
            fake.put("05", jobTitle="Chief")
            fake.delete("55")

    fake.after_page = change
    cursor, records, gone = read()
    assert set(records) == {"05", "15", "25", "35", "45"}
    assert records["05"].job_title == "Clerk"
    _cursor, records, gone = read(cursor)
    assert (records["04"].email, records["05"].job_title, gone) == ("new@example.com", "Chief", ["55"])


# Fault 19: the fixture `read` finds people who come twice.
def test_read_when_pages_overlap_doubles_nobody(fake, read):
    fake.page_most, fake.overlap = 3, 1
    for number in range(6):
        fake.put(str(number))
    assert len(read()[1]) == 6


# Fault 44: a tombstone holds an id and nothing else.
def test_read_when_somebody_is_deleted_restored_or_purged_tells_who_is_gone(fake, read):
    for key in ("deleted", "purged", "restored", "stays"):
        fake.put(key)
    cursor = read()[0]
    fake.delete("deleted")
    fake.delete("purged")
    fake.purge("purged")
    fake.delete("restored")
    fake.restore("restored")
    cursor, records, gone = read(cursor)
    assert (set(records), gone) == ({"restored"}, ["deleted", "purged"])
    fake.restore("deleted")
    cursor, records, gone = read(cursor)
    assert (set(records), gone) == ({"deleted"}, [])


# Fault 40: news are told again, old ones too.
def test_read_when_old_changes_are_told_again_gives_the_state_of_now(fake, read):
    fake.put("1", jobTitle="First")
    fake.delete("1")
    fake.restore("1")
    fake.put("1", jobTitle="Second")
    cursor = read()[0]
    fake.replay = 10
    fake.put("1", jobTitle="Third")
    _cursor, records, gone = read(cursor)
    assert (records["1"].job_title, gone) == ("Third", [])


def test_read_when_only_one_property_changed_gives_the_whole_record(fake, read):
    fake.put("1", mail="one@example.com", department="Navy", manager="2")
    cursor = read()[0]
    fake.put("1", jobTitle="Changed")
    record = read(cursor)[1]["1"]
    assert (record.email, record.department, record.manager_key) == ("one@example.com", "Navy", "2")


def test_read_when_only_the_manager_changed_or_left_gives_the_new_one(fake, read):
    fake.put("1", manager="2")
    fake.put("3", manager="2")
    cursor = read()[0]
    fake.put("1", manager="9")
    fake.put("3", manager=None)
    records = read(cursor)[1]
    assert (records["1"].manager_key, records["3"].manager_key) == ("9", None)


def test_read_when_many_changed_asks_for_fifteen_at_once(fake, read):
    for number in range(40):
        fake.put(str(number))
    cursor = read()[0]
    for number in range(31):
        fake.put(str(number), jobTitle="Changed")
    before = len(fake.asked("/v1.0/users"))
    assert len(read(cursor)[1]) == 31
    assert len(fake.asked("/v1.0/users")) == before + 3


def test_read_when_most_people_changed_reads_everybody_instead(fake, read, monkeypatch):
    monkeypatch.setattr(entra, "MANY_CHANGES", 20)
    for number in range(40):
        fake.put(str(number))
    cursor = read()[0]
    for number in range(21):
        fake.put(str(number), jobTitle="Changed")
    fake.delete("20")
    before = len(fake.asked("/v1.0/users"))
    _cursor, records, gone = read(cursor)
    assert (len(records), gone) == (39, ["20"])
    assert len(fake.asked("/v1.0/users")) == before + 1


def test_read_when_the_changes_end_without_a_link_to_later_ones_does_not_lose_the_place(fake, read):
    fake.put("1")
    cursor = read()[0]
    fake.lasting = False
    with pytest.raises(RetriableError, match="without a link"):
        read(cursor)


# Fault 12: a token is renewed once in the middle; sign-in and Graph never see each other's credentials.
def test_read_when_the_token_ends_in_the_middle_fetches_another_one(fake, read):
    fake.page_most = 1
    for number in range(3):
        fake.put(str(number))
    fake.after_page = lambda number: fake.tokens.clear() if number == 0 else None
    assert len(read()[1]) == 3
    assert len(fake.login.asked) == 2
    assert not any(SECRET in str(asked) for asked in fake.server.asked)
    assert not any("Authorization" in a.headers for a in fake.login.asked)


@pytest.mark.parametrize("lost", ["secret", "permission", "lifecycle"])
def test_check_when_something_is_not_permitted_says_so(fake, lost):
    fake.put("1")
    settings = fake.settings | {"leave_dates": lost == "lifecycle"}
    if lost == "secret":
        fake.secret = "another"
    if lost == "permission":
        fake.permissions.clear()
    results = EntraConnector().check(EntraSettings().load(settings))
    (wrong,) = [result for result in results if not result.ok]
    assert ("secret" if lost == "secret" else "permit") in wrong.advice


def test_check_when_no_account_looks_like_a_person_says_what_to_change(fake):
    fake.put("1", jobTitle=None)
    results = EntraConnector().check(EntraSettings().load(fake.settings))
    assert "set people to members" in next(result.advice for result in results if not result.ok)


def test_read_when_a_mapped_attribute_does_not_exist_names_the_refusal(fake, read):
    with pytest.raises(FatalError, match=r"Request_BadRequest.*mapping"):
        read(mapping={"grade": "extension_ffffffffffffffffffffffffffffffff_grade"})
