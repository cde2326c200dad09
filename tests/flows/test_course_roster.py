"""Reading a course's members: complete or not at all, launches know better, grades follow."""

import json
import socket
import threading
from dataclasses import asdict
from datetime import timedelta

import pytest
from sqlalchemy import event, select
from werkzeug.serving import make_server

from rmplugin.demo.practice_lms import LmsPerson, LmsSettings, make_lms_server, platform_values
from rmplugin.jobs import OutboxEvent, work_outbox
from rmplugin.people.linking import want_roster
from rmplugin.people.models import CourseMember, LtiUser
from rmplugin.people.store import record_members
from rmplugin.programmes.tasks import want_rosters
from rmplugin.tenants.models import LtiContext, LtiPlatform, LtiResourceLink
from rmplugin.tenants.operations import PlatformValues, add_platform
from tests.factories.identity import TEST_USER, join, listed
from tests.factories.launches import CUSTOM, ROLES, hire
from tests.factories.people import make_person
from tests.factories.programmes import make_context, make_programme
from tests.fakes.lti_platform import CLAIM, INSTRUCTOR, NRPS_SCOPE
from tests.fakes.lti_platform import LtiPlatform as Lms

ROSTER = "course_roster_wanted"


@pytest.fixture
def platform(app, platform_key, runtime, tool_keys, clock):
    def keys():
        return app.test_client().get("/lti/jwks", base_url="http://localhost:5000").get_json()

    with Lms(platform_key, keys, clock) as running:
        yield running


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def member(user_id, role="Learner", **fields):
    return {"user_id": str(user_id), "roles": [role], "status": "Active", **fields}


def work(runtime):
    """Let the worker go one round."""
    work_outbox(runtime)
    work_outbox(runtime, slow=True)
    work_outbox(runtime)


def course_of(database, tenant) -> LtiContext:
    with database.transaction(tenant.id, write=False) as db:
        return db.scalars(select(LtiContext)).one()


def members(database, tenant) -> dict[str, tuple[CourseMember, LtiUser]]:
    with database.transaction(tenant.id, write=False) as db:
        query = select(CourseMember, LtiUser).join(LtiUser, LtiUser.id == CourseMember.lti_user_id)
        return {user.sub: (row, user) for row, user in db.execute(query)}


def waiting(database, tenant) -> list[OutboxEvent]:
    with database.transaction(tenant.id, write=False) as db:
        query = select(OutboxEvent).where(OutboxEvent.kind == ROSTER, OutboxEvent.state == "pending")
        return list(db.scalars(query))


def read_again(runtime, database, tenant):
    with database.transaction(tenant.id) as db:
        want_roster(db, db.scalars(select(LtiContext)).one(), runtime.clock())
    work(runtime)


def enter_as_manager(lms):
    return lms.launch(**{ROLES: [INSTRUCTOR], "sub": "1", CUSTOM: {}})


def test_roster_when_a_manager_launches_first_is_read_and_links_people(
    lms, platform, runtime, database, tenant, clock
):
    person = hire(database, tenant, clock.now, employee_number="E-9")
    platform.members = [member(1, "Instructor"), *(member(n) for n in range(10, 14))]
    platform.members += [member(9, lis_person_sourcedid="E-9", name="Ada Byron"), member(8, TEST_USER)]
    enter_as_manager(lms)
    assert len(waiting(database, tenant)) == 1
    work(runtime)
    found = members(database, tenant)
    assert set(found) == {"1", "8", "9", "10", "11", "12", "13"}
    row, user = found["9"]
    assert (user.person_id, user.link_source, user.name, user.last_launch_at) == (
        person.id, "sourcedid", "Ada Byron", None,
    )  # fmt: skip
    assert (row.status, row.is_learner, row.roles, row.in_roster_at) == (
        "Active",
        True,
        ["Learner"],
        clock.now,
    )
    assert found["8"][1].is_test
    assert not found["8"][0].is_learner
    course = course_of(database, tenant)
    assert (course.roster_read_at, course.roster_problem) == (clock.now, None)
    assert waiting(database, tenant) == []
    enter_as_manager(lms)
    assert waiting(database, tenant) == []


def test_roster_when_only_the_links_claims_have_the_number_links_by_them(
    lms, platform, runtime, database, tenant, clock
):
    hire(database, tenant, clock.now, employee_number="12")
    with database.transaction(tenant.id) as db:
        db.scalars(select(LtiPlatform)).one().employee_number_params = ["link"]
    platform.members = [member(1, "Instructor"), member(9)]
    enter_as_manager(lms)
    platform.members = platform.members[1:] + platform.members[:1]
    work(runtime)
    # The strict platform puts the link's id into the custom parameters, the same for both: nobody gets it.
    assert {user.link_source for _row, user in members(database, tenant).values()} == {"custom"}
    assert {user.link_state for _row, user in members(database, tenant).values()} == {"conflict"}
    assert any("rlid=12" in path for _verb, path in platform.requests)


def test_roster_when_somebody_is_no_longer_listed_marks_them_until_they_are_again(
    lms, platform, runtime, database, tenant, clock
):
    platform.members = [member(1, "Instructor"), member(9), member(10, status="Inactive")]
    enter_as_manager(lms)
    work(runtime)
    assert members(database, tenant)["10"][0].status == "Inactive"
    for listed_now, status in (([9], "Deleted"), ([9, 10], "Active")):
        clock.forward(hours=1)
        platform.members = [member(1, "Instructor"), *map(member, listed_now)]
        read_again(runtime, database, tenant)
        assert members(database, tenant)["10"][0].status == status
        assert members(database, tenant)["9"][0].status == "Active"


@pytest.mark.parametrize("failure", ["second page", "no scope", "nobody", "no list"])
def test_roster_when_it_cannot_be_read_to_the_end_changes_nobody_and_says_why(
    lms, platform, runtime, database, tenant, clock, failure, monkeypatch
):
    platform.members = [member(n) for n in range(1, 6)]
    enter_as_manager(lms)
    work(runtime)
    read_at = course_of(database, tenant).roster_read_at
    clock.forward(hours=2)
    platform.members = [member(1), member(77), member(78)]
    if failure == "second page":
        platform.link_style = '<{url}&id=4>; rel="next"'
    elif failure == "no scope":
        platform.offered.discard(NRPS_SCOPE)
    elif failure == "nobody":
        platform.members = []
    else:
        empty = json.dumps({"error": "maintenance"})
        monkeypatch.setattr(platform, "_list_members", lambda *_: (200, "text/html", empty, {}))
    read_again(runtime, database, tenant)
    found = members(database, tenant)
    assert set(found) == {"1", "2", "3", "4", "5"}
    assert {row.status for row, _user in found.values()} == {"Active"}
    course = course_of(database, tenant)
    assert course.roster_read_at == read_at
    words = {"nobody": "no members at all", "no list": "no list of members"}
    assert words.get(failure, "does not let this tool") in course.roster_problem


def test_roster_when_the_lms_is_down_is_read_when_it_is_back(lms, platform, runtime, database, tenant, clock):
    platform.members = [member(1, "Instructor"), member(9)]
    platform.outage = {"nrps": (503, {})}
    enter_as_manager(lms)
    work(runtime)
    assert "did not answer" in course_of(database, tenant).roster_problem
    assert waiting(database, tenant)[0].attempts == 1
    platform.outage = {}
    work(runtime)
    assert set(members(database, tenant)) == {"1"}
    clock.forward(minutes=2)
    work(runtime)
    assert set(members(database, tenant)) == {"1", "9"}
    assert course_of(database, tenant).roster_problem is None


def test_roles_when_a_launch_is_newer_or_of_a_teacher_are_those_of_the_launch(database, tenant, clock):
    with database.transaction(tenant.id) as db:
        context = make_context(db)
        old, new = clock.now - timedelta(days=2), clock.now + timedelta(minutes=1)
        join(db, context, "helper", old, roles=["Instructor"], is_learner=False)
        join(db, context, "promoted", old)
        join(db, context, "quick", new, roles=["Mentor"], is_learner=False)
        join(db, context, "gone", old)
        join(db, context, "late", new)
        roster = [
            listed("helper"),
            listed("promoted", roles=["http://purl.imsglobal.org/vocab/lis/v2/membership#Instructor"]),
            listed("quick", status="Inactive"),
            listed("new", status="odd"),
            listed("new", roles=["Mentor"], status="Deleted"),
        ]
        record_members(db, context, roster, complete=True, began_at=clock.now, now=new)
    found = {
        sub: (row.roles, row.is_learner, row.status)
        for sub, (row, _user) in members(database, tenant).items()
    }
    assert found == {
        "helper": (["Instructor"], False, "Active"),
        "promoted": (["Instructor"], False, "Active"),
        "quick": (["Mentor"], False, "Active"),
        "gone": (["Learner"], True, "Deleted"),
        "late": (["Learner"], True, "Active"),
        "new": (["Learner", "Mentor"], True, "Active"),
    }


def test_changes_when_only_they_are_read_take_nobody_out(database, tenant, clock):
    with database.transaction(tenant.id) as db:
        context = make_context(db)
        for sub in ("stays", "leaves"):
            join(db, context, sub, clock.now - timedelta(days=1))
        record_members(
            db,
            context,
            [listed("leaves", status="Deleted")],
            complete=False,
            began_at=clock.now,
            now=clock.now,
        )
    assert {sub: row.status for sub, (row, _user) in members(database, tenant).items()} == {
        "stays": "Active",
        "leaves": "Deleted",
    }


def test_launch_when_the_roster_had_taken_the_member_out_makes_them_active_again(
    lms, platform, runtime, database, tenant, clock
):
    hire(database, tenant, clock.now, employee_number="E-1001")
    lms.launch()
    with database.transaction(tenant.id) as db:
        db.scalars(select(CourseMember)).one().status = "Deleted"
    clock.forward(minutes=1)
    lms.launch()
    row, _user = members(database, tenant)["7"]
    assert (row.status, row.last_launch_at) == ("Active", clock.now)


def test_night_when_it_comes_asks_for_courses_with_a_programme_once(runtime, database, tenant, other_tenant):
    with database.transaction(tenant.id) as db:
        running, idle, silent = (make_context(db, title) for title in ("running", "idle", "silent"))
        for context in (running, idle):
            context.memberships_url = "https://lms.example/members"
        make_programme(db, running, name="one")
        make_programme(db, running, name="two", state="running")
        make_programme(db, idle, name="three", state="archived")
        make_programme(db, silent, name="four", state="running")
    assert want_rosters(runtime) == 1
    want_rosters(runtime)
    assert [event.payload for event in waiting(database, tenant)] == [{"context_id": str(running.id)}]
    assert waiting(database, other_tenant) == []


def test_worker_when_it_goes_a_round_reads_what_was_asked_for(lms, platform, app, database, tenant):
    platform.members = [member(1, "Instructor"), member(9)]
    enter_as_manager(lms)
    app.extensions["rm_wake"].call_local()
    assert set(members(database, tenant)) == {"1", "9"}


def test_roster_when_large_is_taken_in_with_few_statements(runtime, database, tenant, clock):
    with database.transaction(tenant.id) as db:
        context = make_context(db)
        for number in range(5):
            make_person(db, employee_number=f"E-{number}")
    roster = [listed(str(n), sourcedid=f"E-{n}") for n in range(3000)]
    statements: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *a: statements.append(a[2]))
    for _ in range(2):
        statements.clear()
        with database.transaction(tenant.id) as db:
            own = db.get_one(LtiContext, context.id)
            record_members(db, own, roster, complete=True, began_at=clock.now, now=clock.now)
        assert len([text for text in statements if text.startswith("SELECT")]) < 20
    linked = [user for _row, user in members(database, tenant).values() if user.person_id]
    assert len(linked) == 5


@pytest.mark.parametrize("hr_id", ["both", "custom", "lis", "none"])
def test_roster_of_the_practice_lms_when_read_links_by_what_it_sends(
    app, runtime, database, tenant, tool_keys, clock, tmp_path, hr_id
):
    tool = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=tool.serve_forever, daemon=True).start()
    port = free_port()
    people = tuple(
        LmsPerson(user_id=str(n), given_name="Nia", family_name=f"{n}", employee_number=f"E-{n}")
        for n in range(100, 230)
    )
    practice = LmsSettings(
        issuer=f"http://127.0.0.1:{port}",
        tool_url=f"http://127.0.0.1:{tool.server_port}",
        data_dir=tmp_path / "lms",
        people=(*people, LmsPerson(user_id="7", given_name="Old", family_name="Account", active=False)),
        hr_id=hr_id,
        clock=clock.now.timestamp,
    )
    server = make_lms_server(practice, port=port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with database.transaction(tenant.id) as db:
        known = {
            name: value
            for name, value in asdict(platform_values(practice)).items()
            if name != "deployment_id"
        }
        platform = add_platform(db, PlatformValues(name="practice", **known), clock.now)
        course = {"platform_id": platform.id, "deployment_id": "1", "context_id": "101"}
        context = LtiContext(**course, last_launch_at=clock.now)
        context.memberships_url = f"{practice.issuer}/course/101/memberships"
        db.add(context)
        db.flush()
        link = {"context_id": context.id, "resource_link_id": "1", "scopes": []}
        db.add(LtiResourceLink(**link, last_launch_at=clock.now))
        for person in people:
            make_person(db, employee_number=person.employee_number)
    try:
        read_again(runtime, database, tenant)
    finally:
        for running in (server, tool):
            running.shutdown()
            running.server_close()
    found = members(database, tenant)
    assert len(found) == 130
    sources = {"both": {"sourcedid"}, "lis": {"sourcedid"}, "custom": {"custom"}, "none": {None}}
    assert {user.link_source for _row, user in found.values()} == sources[hr_id]
    assert course_of(database, tenant).roster_problem is None


def test_message_claims_when_in_one_entry_are_read_with_it(database, tenant, clock):
    with database.transaction(tenant.id) as db:
        context = make_context(db)
        person = make_person(db, employee_number="E-5")
        twice = [
            listed("7", name="Ada"),
            listed("7", message=({CLAIM + "custom": {"employee_number": "E-5"}},)),
        ]
        record_members(db, context, twice, complete=True, began_at=clock.now, now=clock.now)
    user = members(database, tenant)["7"][1]
    assert (user.person_id, user.name) == (person.id, "Ada")
