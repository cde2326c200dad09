"""The SCIM server as Entra ID, Okta and careful clients use it: fault 53 of our list, in all its shapes."""

import json
import threading

import pytest
import structlog
from sqlalchemy import select, text

from rmplugin.db import Base
from rmplugin.errors import ConflictError
from rmplugin.jobs import OutboxEvent
from rmplugin.scim.models import ScimResource
from rmplugin.scim.operations import revoke_tokens
from rmplugin.scim.schemas import EMPLOYMENT, ENTERPRISE
from rmplugin.tenants.queries import get_account
from tests.factories.scim import CORE_USER, Provider, user

GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"


@pytest.fixture
def provider(app, runtime, tenant, clock):
    return Provider(app, runtime, tenant, clock)


def work_email(body):
    return next(one["value"] for one in body["emails"] if one["type"] == "work")


# -- tokens and tenants ------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", [None, "", "Basic dTpw", "Bearer", "Bearer ", "Bearer made-up"])
def test_request_when_the_token_is_not_good_is_refused_in_scims_words(provider, app, header):
    headers = {} if header is None else {"Authorization": header}
    answer = app.test_client().get("/scim/v2/Users", headers=headers)
    assert answer.status_code == 401
    assert answer.content_type == "application/scim+json"
    assert answer.get_json(force=True)["status"] == "401"
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_tokens_when_made_anew_stay_good_until_they_are_revoked(provider, database, tenant, clock):
    old, new = provider.token, provider.new_token()
    assert {provider.ask("GET", "/Users", token=one).status for one in (old, new)} == {200}
    with database.transaction(tenant.id) as db:
        assert revoke_tokens(db, get_account(db, "entra"), clock.now, keep_newest=True) == 1
    assert provider.ask("GET", "/Users", token=old).status == 401
    assert provider.ask("GET", "/Users", token=new).status == 200


def test_tokens_when_stored_cannot_be_read_back(provider, database):
    with database.engine.connect() as connection:
        rows = connection.execute(text("select * from scim_token")).all()
    assert len(rows) == 1
    assert provider.token not in str(rows)


def test_token_when_the_account_reads_another_system_is_not_made(runtime, provider, tenant, clock, tmp_path):
    from rmplugin.tenants.operations import add_account

    with runtime.database.transaction(tenant.id) as db:
        csv = runtime.plugins.connector("csv_file")
        add_account(db, "files", csv, {"path": "x.csv"}, {}, runtime.database.secrets, clock.now)
    provider.name = "files"
    with pytest.raises(ConflictError, match="another system"):
        provider.new_token()


def test_resources_when_another_account_or_tenant_asks_are_not_there(
    app, runtime, provider, tenant, other_tenant, clock
):
    body = provider.add(1)
    strangers = [
        Provider(app, runtime, other_tenant, clock),
        Provider(app, runtime, tenant, clock, name="okta"),
    ]
    for stranger in strangers:
        assert stranger.ask("GET", f"/Users/{body['id']}").status == 404
        assert stranger.ask("DELETE", f"/Users/{body['id']}").status == 404
        assert stranger.patch(body["id"], {"op": "remove", "path": "title"}).status == 404
        assert stranger.find('userName eq "u1@example.com"').body["totalResults"] == 0
        assert stranger.ask("POST", "/Users", user(1)).status == 201
    assert provider.ask("GET", f"/Users/{body['id']}").body == body


# -- create, read, replace, delete -------------------------------------------------------------------------


def test_user_when_created_is_answered_with_id_meta_and_location(provider):
    answer = provider.ask("POST", "/Users", user(1))
    key = answer.body["id"]
    assert answer.status == 201
    assert answer.headers["Location"] == f"http://localhost:5000/scim/v2/Users/{key}"
    assert answer.headers["ETag"] == answer.body["meta"]["version"] == 'W/"1"'
    assert answer.body["schemas"] == [CORE_USER, ENTERPRISE]
    assert provider.ask("GET", f"/Users/{key}").body == answer.body


def test_user_when_private_data_are_sent_keeps_none_of_them(provider, database):
    private = {
        "password": "Secret-1",
        "phoneNumbers": [{"type": "mobile", "value": "0176-5551"}],
        "photos": [{"value": "https://example.com/face.jpg"}],
        "birthDate": "1980-02-03",
        "urn:example:payroll:User": {"salary": "77000", "iban": "DE00-1"},
        "addresses": [
            {
                "type": "work",
                "streetAddress": "Elm 5",
                "locality": "Oslo",
                "country": "NO",
                "postalCode": "0150",
            }
        ],
    }
    body = provider.add(1, **private)
    provider.patch(
        body["id"], {"op": "add", "value": private}, {"op": "add", "path": "nickName", "value": "U"}
    )
    provider.settle()
    assert body["addresses"] == [{"type": "work", "locality": "Oslo", "country": "NO"}]
    with database.engine.connect() as connection:
        everything = str([connection.execute(table.select()).all() for table in Base.metadata.sorted_tables])
    for word in ("Secret-1", "0176-5551", "face.jpg", "1980-02-03", "77000", "DE00-1", "Elm 5", "0150"):
        assert word not in everything


@pytest.mark.parametrize(
    ("body", "status", "scim_type"),
    [
        ("{", 400, "invalidSyntax"),
        ("[" * 100_000, 400, "invalidSyntax"),
        ([], 400, "invalidSyntax"),
        ({"displayName": "No name"}, 400, "invalidValue"),
        ({"userName": "a", "active": "perhaps"}, 400, "invalidValue"),
        ({"userName": "a", "name": "Anna"}, 400, "invalidValue"),
        ({"userName": ["a", "b"]}, 400, "invalidValue"),
        ({"userName": "a\0b"}, 400, "invalidValue"),
        ({"userName": "\ud800"}, 400, "invalidValue"),
        ({"userName": "a" * 2000}, 400, "invalidValue"),
        (user(1, userName="U1@Example.COM"), 409, "uniqueness"),
    ],
)
def test_user_when_it_cannot_be_used_is_refused_and_named_nowhere(provider, body, status, scim_type):
    provider.add(1)
    answer = provider.ask("POST", "/Users", body)
    assert (answer.status, answer.body["status"], answer.body["scimType"]) == (status, str(status), scim_type)
    assert answer.body["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
    assert "example" not in answer.body["detail"].lower()
    assert provider.ask("GET", "/Users").body["totalResults"] == 1


def test_user_when_the_body_is_too_large_is_refused_in_scims_words(provider):
    answer = provider.ask("POST", "/Users", user(1, title="x" * 2_100_000))
    assert (answer.status, answer.body["status"]) == (413, "413")


@pytest.mark.parametrize("active", [True, False])
def test_user_when_replaced_without_active_stays_as_they_were(provider, active):
    key = provider.add(1, active=active)["id"]
    changed = user(1, title="Lead")
    del changed["active"]
    answer = provider.ask("PUT", f"/Users/{key}", changed)
    assert answer.status == 200
    assert (answer.body["active"], answer.body["title"]) == (active, "Lead")


def test_user_when_replaced_loses_what_is_left_out(provider):
    key = provider.add(1)["id"]
    answer = provider.ask("PUT", f"/Users/{key}", {"schemas": [CORE_USER], "userName": "u1@example.com"})
    assert set(answer.body) == {"schemas", "id", "userName", "active", "meta"}


def test_user_when_renamed_to_anothers_name_is_refused(provider):
    provider.add(1)
    key = provider.add(2)["id"]
    op = {"op": "replace", "path": "userName", "value": "U1@example.com"}
    assert provider.patch(key, op).body["scimType"] == "uniqueness"
    assert provider.ask("PUT", f"/Users/{key}", user(1)).body["scimType"] == "uniqueness"
    assert provider.ask("GET", f"/Users/{key}").body["userName"] == "u2@example.com"


def test_user_when_deleted_is_gone_and_can_be_created_again(provider, database, tenant):
    key = provider.add(1)["id"]
    assert provider.ask("DELETE", f"/Users/{key}").status == 204
    for method in ("GET", "DELETE"):
        assert provider.ask(method, f"/Users/{key}").status == 404
    assert provider.find('userName eq "u1@example.com"').body["totalResults"] == 0
    assert provider.add(1)["id"] != key
    with database.transaction(tenant.id, write=False) as db:
        deleted = db.scalars(select(ScimResource).where(ScimResource.deleted_at.is_not(None))).one()
        assert (deleted.body, deleted.user_name_folded) == ({}, None)


def test_etags_when_they_do_not_match_keep_the_resource_and_spare_the_answer(provider):
    key = provider.add(1)["id"]
    change = {"op": "replace", "path": "title", "value": "Lead"}
    assert provider.patch(key, change, If_Match='W/"1"').headers["ETag"] == 'W/"2"'
    assert provider.patch(key, {**change, "value": "Boss"}, If_Match='W/"1"').status == 412
    assert provider.ask("PUT", f"/Users/{key}", user(1), If_Match='"1"').status == 412
    assert provider.ask("DELETE", f"/Users/{key}", If_Match='W/"1"').status == 412
    assert provider.ask("GET", f"/Users/{key}").body["title"] == "Lead"
    assert provider.ask("GET", f"/Users/{key}", If_None_Match='W/"2"').status == 304
    assert provider.ask("GET", f"/Users/{key}", If_None_Match='W/"1"').status == 200
    assert provider.ask("DELETE", f"/Users/{key}", If_Match='W/"1", W/"2"').status == 204


def test_user_when_sent_again_unchanged_keeps_its_version_and_needs_no_run(provider):
    key = provider.add(1)["id"]
    provider.settle()
    assert provider.ask("PUT", f"/Users/{key}", user(1)).headers["ETag"] == 'W/"1"'
    runs = len(provider.runs())
    provider.settle()
    assert len(provider.runs()) == runs


# -- PATCH -------------------------------------------------------------------------------------------------


def test_patch_when_entra_disables_by_a_word_and_a_capital_letter_disables(provider):
    key = provider.add(1)["id"]
    answer = provider.patch(key, {"op": "Replace", "path": "active", "value": "False"})
    assert answer.body["active"] is False
    assert provider.patch(key, {"op": "Replace", "value": {"active": "True"}}).body["active"] is True


def test_patch_when_entra_sends_paths_as_keys_without_a_path_sets_each(provider):
    key = provider.add(1)["id"]
    value = {
        "displayName": "Anna Q",
        "name.familyName": "Q",
        'emails[type eq "work"].value': "anna@example.com",
        f"{ENTERPRISE}:department": "Sales",
        ENTERPRISE: {"division": "North"},
        "phoneNumbers": [{"type": "work", "value": "1"}],
    }
    body = provider.patch(key, {"op": "Add", "value": value}).body
    assert (body["displayName"], body["name"]["familyName"], body["name"]["givenName"]) == (
        "Anna Q",
        "Q",
        "User",
    )
    assert work_email(body) == "anna@example.com"
    assert body[ENTERPRISE] == {"employeeNumber": "1", "department": "Sales", "division": "North"}
    assert "phoneNumbers" not in body


@pytest.mark.parametrize(
    "value", ["m-1", {"value": "m-1"}, [{"value": "m-1"}], {"$ref": "x", "value": "m-1"}]
)
@pytest.mark.parametrize("path", [f"{ENTERPRISE}:manager", "manager"])
@pytest.mark.parametrize("op", ["Add", "replace"])
def test_patch_when_the_manager_is_sent_in_any_shape_sets_them(provider, op, path, value):
    key = provider.add(1)["id"]
    body = provider.patch(key, {"op": op, "path": path, "value": value}).body
    assert body[ENTERPRISE]["manager"] == {"value": "m-1"}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "Remove", "path": f"{ENTERPRISE}:manager"},
        {"op": "Replace", "path": f"{ENTERPRISE}:manager", "value": ""},
        {"op": "Replace", "path": f"{ENTERPRISE}:manager", "value": None},
        {"op": "Replace", "path": f"{ENTERPRISE}:manager.value", "value": ""},
        {"op": "remove", "path": ENTERPRISE},
    ],
)
def test_patch_when_the_manager_is_taken_away_leaves_none(provider, operation):
    key = provider.add(1, **{ENTERPRISE: {"manager": {"value": "m-1"}}})["id"]
    assert "manager" not in provider.patch(key, operation).body.get(ENTERPRISE, {})


def test_patch_when_there_is_no_work_address_yet_makes_one(provider):
    key = provider.add(1, emails=[{"type": "home", "value": "h@example.com"}])["id"]
    path = 'emails[type eq "work"].value'
    body = provider.patch(key, {"op": "Replace", "path": path, "value": "w@example.com"}).body
    assert work_email(body) == "w@example.com"
    assert len(body["emails"]) == 2
    body = provider.patch(key, {"op": "Remove", "path": 'emails[type eq "work"]'}).body
    assert [one["type"] for one in body["emails"]] == ["home"]


def test_patch_when_a_new_address_is_primary_the_old_one_is_not(provider):
    key = provider.add(1)["id"]
    new = {"value": "new@example.com", "type": "home", "primary": True}
    body = provider.patch(key, {"op": "add", "path": "emails", "value": [new]}).body
    assert [one["value"] for one in body["emails"] if one.get("primary")] == ["new@example.com"]


def test_patch_when_attributes_are_not_stored_does_the_rest(provider):
    key = provider.add(1)["id"]
    answer = provider.patch(
        key,
        {"op": "Add", "path": 'phoneNumbers[type eq "mobile"].value', "value": "1"},
        {"op": "Add", "path": "urn:example:extension:2.0:User:shoeSize", "value": "44"},
        {"op": "Replace", "path": "title", "value": "Lead"},
        {"op": "Replace", "path": "id", "value": "other"},
    )
    assert (answer.status, answer.body["title"], answer.body["id"]) == (200, "Lead", key)


@pytest.mark.parametrize(
    ("operation", "scim_type"),
    [
        ({"op": "move", "path": "title"}, "invalidSyntax"),
        ({"op": "remove"}, "noTarget"),
        ({"op": "add", "value": "x"}, "noTarget"),
        ({"op": "replace", "path": "emails[type", "value": "x"}, "invalidPath"),
        ({"op": "replace", "path": "active", "value": "perhaps"}, "invalidValue"),
        ({"op": "remove", "path": "userName"}, "invalidValue"),
    ],
)
def test_patch_when_one_operation_is_wrong_changes_nothing(provider, operation, scim_type):
    body = provider.add(1)
    answer = provider.patch(body["id"], {"op": "replace", "path": "title", "value": "Lead"}, operation)
    assert (answer.status, answer.body["scimType"]) == (400, scim_type)
    assert provider.ask("GET", f"/Users/{body['id']}").body == body


def test_patch_when_the_body_is_no_patch_is_refused(provider):
    key = provider.add(1)["id"]
    for body in ([], {}, {"Operations": []}, {"Operations": ["x"]}, {"Operations": {"op": "add"}}):
        assert provider.ask("PATCH", f"/Users/{key}", body).body["scimType"] == "invalidSyntax"


def test_group_when_members_come_and_go_knows_them(provider):
    group = {"schemas": [GROUP], "displayName": "Mentors", "members": [{"value": "a"}]}
    key = provider.ask("POST", "/Groups", group).body["id"]

    def members(*operations):
        return [
            one["value"] for one in provider.patch(key, *operations, kind="Groups").body.get("members", [])
        ]

    assert members({"op": "Add", "path": "members", "value": [{"value": "b"}, {"value": "a"}]}) == ["b", "a"]
    assert members({"op": "Remove", "path": "members", "value": [{"value": "b"}]}) == ["a"]
    assert members({"op": "remove", "path": 'members[value eq "a"]'}) == []
    assert members({"op": "replace", "path": "members", "value": [{"value": "c"}]}) == ["c"]
    assert provider.find('displayName eq "mentors"', "Groups").body["totalResults"] == 1
    assert provider.find('members.value eq "c"', "Groups").body["totalResults"] == 1


# -- lists -------------------------------------------------------------------------------------------------


def test_probe_when_entra_tests_the_connection_finds_nobody(provider):
    answer = provider.find('userName eq "non-existent-1b2c"')
    assert answer.status == 200
    assert (answer.body["totalResults"], answer.body["Resources"]) == (0, [])


@pytest.mark.parametrize(
    "condition",
    [
        'userName eq "U2@EXAMPLE.com"',
        'externalId eq "object-2"',
        'emails.value eq "u2@example.com" and active eq true',
        'userName eq "u2@example.com" or id eq "nobody"',
        'emails[type eq "work"].value eq "u2@example.com"',
        'meta.lastModified gt "2026-11-23T09:00:30Z" and userName pr',
    ],
)
def test_list_when_filtered_gives_who_fits(provider, clock, condition):
    provider.add(1)
    clock.forward(minutes=1)
    provider.add(2)
    found = provider.find(condition)
    assert [one["externalId"] for one in found.body["Resources"]] == ["object-2"]


def test_list_when_the_filter_is_an_injection_gives_nobody_or_an_error(provider):
    provider.add(1)
    for name in ("' or '1'='1", "%", "_", "u1@example.com' --", '\\" or userName pr or \\"'):
        found = provider.find(f'userName eq "{name}"')
        assert found.body["totalResults"] == 0, name
    for condition in ('userName eq "x" or 1=1', "1 eq 1; delete from person", "userName eq 'u1@example.com'"):
        assert provider.find(condition).body["scimType"] == "invalidFilter"


@pytest.mark.parametrize("condition", [None, "userName pr"])
def test_list_when_paged_gives_everybody_once(provider, condition):
    for number in range(7):
        provider.add(number)
    names, start = [], 1
    while True:
        query = {"startIndex": start, "count": 3} | ({"filter": condition} if condition else {})
        page = provider.ask("GET", "/Users", query=query).body
        assert (page["totalResults"], page["startIndex"]) == (7, start)
        if not page["Resources"]:
            break
        names += [one["userName"] for one in page["Resources"]]
        start += page["itemsPerPage"]
    assert names == [f"u{number}@example.com" for number in range(7)]


@pytest.mark.parametrize(
    ("query", "status", "number"),
    [
        ({"count": 0}, 200, 0),
        ({"count": -5}, 200, 0),
        ({"startIndex": -3}, 200, 2),
        ({"startIndex": 9}, 200, 0),
        ({"count": 10**12}, 200, 2),
        ({"count": "many"}, 400, None),
    ],
)
def test_list_when_the_page_is_odd_answers_as_the_standard_says(provider, query, status, number):
    provider.add(1)
    provider.add(2)
    answer = provider.ask("GET", "/Users", query=query)
    assert answer.status == status
    if number is not None:
        assert (len(answer.body["Resources"]), answer.body["totalResults"]) == (number, 2)


def test_answers_when_attributes_are_chosen_hold_these_alone(provider):
    key = provider.add(1)["id"]

    def asked(**query):
        return provider.ask("GET", f"/Users/{key}", query=query).body

    assert set(asked(attributes="userName")) == {"schemas", "id", "userName"}
    assert asked(attributes="name.givenName,emails.value")["name"] == {"givenName": "User"}
    assert asked(attributes="emails.value,emails.type")["emails"] == [
        {"value": "u1@example.com", "type": "work"}
    ]
    assert asked(attributes=f"{ENTERPRISE}:department")[ENTERPRISE] == {"department": "R&D"}
    assert asked(attributes=ENTERPRISE)[ENTERPRISE]["employeeNumber"] == "1"
    less = asked(excludedAttributes=f"id,emails,name.formatted,{ENTERPRISE}:department")
    assert "emails" not in less
    assert less["id"] == key
    assert less["name"] == {"givenName": "User", "familyName": "No1"}
    assert less[ENTERPRISE] == {"employeeNumber": "1"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "", 404),
        ("GET", "/Nothing", 404),
        ("GET", "/Users/none", 404),
        ("GET", "/Users/none/more", 404),
        ("POST", "/Bulk", 404),
        ("DELETE", "/Users", 405),
        ("POST", "/Schemas", 405),
        ("GET", "/Schemas/urn:none", 404),
    ],
)
def test_address_when_there_is_nothing_says_so_in_scims_words(provider, method, path, status):
    answer = provider.ask(method, path)
    assert (answer.status, answer.body["status"]) == (status, str(status))
    assert answer.headers["Content-Type"] == "application/scim+json"


# -- the roster --------------------------------------------------------------------------------------------


def test_users_when_taken_in_are_people_of_the_account(provider):
    boss = provider.add(1)["id"]
    provider.add(
        2,
        nickName="Annie",
        timezone="Europe/Berlin",
        preferredLanguage="de-AT",
        userType="Contractor",
        **{
            ENTERPRISE: {"employeeNumber": "2", "department": "R&D", "manager": {"value": boss}},
            EMPLOYMENT: {"grade": "G7", "hireDate": "2024-03-01", "location": "Graz"},
        },
    )
    provider.accept()
    people = provider.people()
    anna = people["2"]
    assert (anna.email, anna.job_title, anna.department) == ("u2@example.com", "Engineer", "R&D")
    assert (anna.preferred_name, anna.time_zone, anna.languages) == ("Annie", "Europe/Berlin", ["de"])
    assert (anna.employment_type, anna.grade, anna.location) == ("contractor", "G7", "Graz")
    assert (anna.manager_id, anna.hire_date.isoformat()) == (people["1"].id, "2024-03-01")


def test_burst_when_sent_is_taken_in_by_one_run(provider, database, tenant):
    for number in range(30):
        provider.add(number)
    with database.transaction(tenant.id, write=False) as db:
        events = db.scalars(select(OutboxEvent).where(OutboxEvent.kind == "scim_changed")).all()
    assert len(events) == 1
    provider.accept()
    assert len(provider.people()) == 30


def test_change_when_it_comes_while_a_run_reads_is_taken_in_by_the_next(provider, runtime, monkeypatch):
    provider.add(1)
    provider.accept()
    key = provider.find('userName eq "u1@example.com"').body["Resources"][0]["id"]
    provider.patch(key, {"op": "replace", "path": "title", "value": "One"})
    connector = type(runtime.plugins.connector("scim_server"))
    read = connector.read

    def read_and_be_overtaken(self, settings, cursor):
        yield from read(self, settings, cursor)
        monkeypatch.setattr(connector, "read", read)
        provider.patch(key, {"op": "replace", "path": "title", "value": "Two"})

    monkeypatch.setattr(connector, "read", read_and_be_overtaken)
    provider.settle()
    provider.settle()
    assert provider.people()["1"].job_title == "Two"


@pytest.mark.parametrize("way", ["patch", "delete"])
def test_person_when_the_provider_says_they_left_has_left_and_can_come_back(provider, way):
    for number in range(3):
        provider.add(number)
    provider.accept()
    before = provider.people()["1"]
    key = provider.find('userName eq "u1@example.com"').body["Resources"][0]["id"]
    if way == "patch":
        provider.patch(key, {"op": "Replace", "path": "active", "value": "False"})
    else:
        provider.ask("DELETE", f"/Users/{key}")
    provider.settle()
    assert provider.people()["1"].has_left
    assert not provider.people()["2"].has_left
    if way == "patch":
        provider.patch(key, {"op": "Replace", "path": "active", "value": "True"})
    else:
        provider.add(1)
    provider.settle()
    assert (provider.people()["1"].id, provider.people()["1"].has_left) == (before.id, False)
    provider.sync(full=True)
    assert (provider.people()["1"].id, provider.people()["1"].has_left) == (before.id, False)


def test_user_when_somebody_else_gets_the_leavers_external_id_is_another_person(provider):
    provider.add(1)
    provider.accept()
    key = provider.find('userName eq "u1@example.com"').body["Resources"][0]["id"]
    provider.ask("DELETE", f"/Users/{key}")
    provider.add(9, externalId="object-1")
    provider.settle()
    assert provider.people()["1"].id != provider.people()["9"].id


def test_manager_when_deleted_and_created_again_is_still_the_manager(provider):
    boss = provider.add(1)["id"]
    provider.add(2, **{ENTERPRISE: {"employeeNumber": "2", "manager": {"value": boss}}})
    provider.accept()
    provider.ask("DELETE", f"/Users/{boss}")
    new = provider.add(1)["id"]
    key = provider.find('userName eq "u2@example.com"').body["Resources"][0]["id"]
    provider.patch(key, {"op": "Replace", "path": f"{ENTERPRISE}:manager", "value": new})
    provider.settle()
    people = provider.people()
    assert people["2"].manager_id == people["1"].id


def test_mass_deactivation_when_pushed_is_held_and_nobody_leaves(provider):
    keys = [provider.add(number)["id"] for number in range(20)]
    provider.accept()
    for key in keys[:15]:
        provider.patch(key, {"op": "Replace", "path": "active", "value": "False"})
    provider.settle()
    assert provider.runs()[-1].status == "held"
    assert not any(person.has_left for person in provider.people().values())
    # What comes later does not slip the earlier changes in.
    provider.patch(keys[19], {"op": "Replace", "path": "title", "value": "Lead"})
    provider.settle()
    assert not any(person.has_left for person in provider.people().values())
    provider.sync(accept_shrink=True)
    assert sum(person.has_left for person in provider.people().values()) == 15


def test_run_when_it_is_held_is_made_anew_every_quarter_of_an_hour_and_accepting_takes_in_all(
    provider, clock
):
    for number in range(4):
        provider.add(number)
        provider.settle()
    assert [run.status for run in provider.runs()] == ["held"]
    clock.forward(minutes=15)
    provider.settle()
    assert [run.counts["created"] for run in provider.runs()] == [1, 4]
    provider.add(9)
    provider.sync(accept_shrink=True)
    assert len(provider.people()) == 5


def test_mass_deactivation_when_pushed_little_by_little_is_held_too(provider):
    keys = [provider.add(number)["id"] for number in range(12)]
    provider.accept()
    for key in keys[:7]:
        provider.patch(key, {"op": "Replace", "path": "active", "value": "False"})
        provider.settle()
    assert provider.runs()[-1].status == "held"
    assert sum(person.has_left for person in provider.people().values()) == 5
    provider.sync(accept_shrink=True)
    assert sum(person.has_left for person in provider.people().values()) == 7
    # What somebody accepted does not hold the next one.
    provider.patch(keys[7], {"op": "Replace", "path": "active", "value": "False"})
    provider.settle()
    assert sum(person.has_left for person in provider.people().values()) == 8


def test_requests_when_they_come_at_the_same_time_lose_no_change(provider):
    key = provider.add(1)["id"]
    answers = []

    def set_title(number):
        answers.append(provider.patch(key, {"op": "replace", "path": "title", "value": f"T{number}"}).status)

    threads = [threading.Thread(target=set_title, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 6
    assert provider.ask("GET", f"/Users/{key}").body["meta"]["version"] == 'W/"7"'


def test_user_names_when_created_at_the_same_time_are_given_once(provider):
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(provider.ask("POST", "/Users", user(1)).status))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [201, 409, 409, 409]


def test_log_when_requests_fail_names_nobody(provider):
    provider.add(1)
    with structlog.testing.capture_logs() as entries:
        provider.ask("POST", "/Users", user(1))
        provider.ask("POST", "/Users", json.dumps(user(1))[:-9])
        provider.find('userName xx "u1@example.com"')
    assert [entry["event"] for entry in entries] == ["scim_refused"] * 3
    assert "u1@example" not in str(entries)
    assert provider.token not in str(entries)
