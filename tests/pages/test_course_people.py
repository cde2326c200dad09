"""The manager's page on who of the course is who of the staff list, and the decisions made there."""

import pytest
from sqlalchemy import event, select

from rmplugin import logins
from rmplugin.audit import AuditEntry
from rmplugin.jobs import OutboxEvent
from rmplugin.people.models import CourseMember, LtiUser
from rmplugin.programmes.operations import invite
from tests.factories.identity import join, link, see
from tests.factories.people import make_person
from tests.factories.programmes import make_context, make_programme

LMS = "https://lms.example/members"


class Scene:
    """A course with somebody of each group, and the browser of its manager."""

    def __init__(self, runtime, tenant, sign_in):
        self.runtime, self.tenant = runtime, tenant
        now = runtime.clock()
        with self.db() as db:
            self.context = make_context(db)
            self.context.memberships_url = LMS
            self.ada = make_person(
                db, employee_number="E-1", email="ada@company.example", display_name="Ada Byron"
            )
            self.ben = make_person(
                db, employee_number="E-2", email="ben@company.example", display_name="Ben Ito"
            )
            first = {"link_state": "confirmed", "person_id": self.ada.id, "link_source": "custom"}
            self.first = join(db, self.context, "1", now, name="Ada B.", **(first | {"link_problem": None}))
            claim = {"link_state": "conflict", "link_problem": "conflict", "claimed_person_id": self.ada.id}
            self.second = join(
                db, self.context, "2", now, name="Adah Byron", link_source="sourcedid", **claim
            )
            self.guest = join(db, self.context, "3", now, name="Gina Guest", launched=False)
            join(db, self.context, "4", now, name="Test Student", is_test=True, link_problem=None)
            join(db, self.context, "5", now, name="Gone Away", status="Deleted")
            self.manager = join(db, self.context, "6", now, name="The Manager", is_learner=False)
        self.browser = sign_in(tenant, manager=True, context=self.context, lti_user=self.manager)

    def db(self, *, write=True):
        return self.runtime.database.transaction(self.tenant.id, write=write)

    def user(self, user) -> LtiUser:
        with self.db(write=False) as db:
            return db.get_one(LtiUser, user.id)

    def open(self, group=""):
        return self.browser.get(f"/people/course{group and f'?group={group}'}")


@pytest.fixture
def scene(runtime, tenant, sign_in):
    return Scene(runtime, tenant, sign_in)


def test_page_when_opened_counts_groups_and_begins_with_what_needs_a_decision(scene):
    said = scene.open().says()
    assert "1 To decide 2 Only in the course 1 In both 0 Not in the course" in said
    assert "Adah Byron says to be Ada Byron, as does: Ada B." in said
    unknown = scene.open("unknown").says()
    assert "Gina Guest" in unknown
    assert "never opened the activity" in unknown
    linked = scene.open("linked").says()
    assert "Ada B. Ada Byron by employee number (custom parameter) learner active" in linked
    for page in (said, unknown, linked):
        assert "Test Student" not in page
        assert "Gone Away" not in page
        assert "@company.example" not in page
        assert "E-1" not in page


def test_page_when_people_of_the_programme_are_not_in_the_course_lists_them(scene, clock):
    with scene.db() as db:
        programme = make_programme(db, scene.context)
        for person in (scene.ada, scene.ben):
            invite(db, programme, "command", clock.now, person_ids=[person.id])
    assert "1 Not in the course" in scene.open().says()
    page = scene.open("missing")
    assert "Ben Ito" in page.says()
    assert "Ada Byron" not in page.says()
    with scene.db() as db:
        for row in db.scalars(select(CourseMember)):
            row.status = "Inactive"
    assert "2 Not in the course" in scene.open().says()


def test_page_when_the_course_is_large_searches_and_turns_pages_with_few_queries(scene, runtime):
    with scene.db() as db:
        for number in range(60):
            join(db, scene.context, f"u{number}", runtime.clock(), name=f"Person {number:02} 100%_sure")
    page = scene.open("unknown")
    assert "Page 1 of 3" in page.says()
    assert "Person 30" in scene.browser.get("/people/course?group=unknown&page=2").says()
    statements: list[str] = []
    event.listen(runtime.database.engine, "before_cursor_execute", lambda *a: statements.append(a[2]))
    found = scene.browser.get("/people/course?group=unknown&q=N+07+100%25_").says()
    assert "Person 07" in found
    assert "Person 08" not in found
    assert "Nobody fits" in scene.browser.get("/people/course?group=unknown&q=100%25s").says()
    scene.open("conflict")
    assert len([text for text in statements if text.startswith("SELECT")]) <= 3 * 12


def test_conflict_when_the_manager_decides_for_the_second_moves_the_person(scene, sign_in, runtime, clock):
    session = sign_in(scene.tenant, scene.ada, context=scene.context, lti_user=scene.first)
    assert session.get("/home").status == 200
    member = scene.browser.get(f"/people/course/{scene.second.id}")
    assert "Several users of the LMS say that they are Ada Byron" in member.says()
    assert "Ada B.: linked; stays so until you decide" in member.says()
    confirm = member.submit("/find", who=" ADA@company.example ")
    assert "Is this the right person?" in confirm.says()
    assert "Another user of the LMS is linked to this person, or says so: Ada B." in confirm.says()
    assert scene.user(scene.second).link_state == "conflict"
    done = confirm.submit("/link")
    assert "Linked to Ada Byron" in done.says()
    assert scene.user(scene.second).link_source == "by_hand"
    assert (scene.user(scene.first).link_state, scene.user(scene.first).person_id) == ("revoked", None)
    assert session.get("/home").status == 401
    with scene.db(write=False) as db:
        audits = db.scalars(select(AuditEntry).where(AuditEntry.action == "lti_user.link")).all()
        events = db.scalars(select(OutboxEvent.payload).where(OutboxEvent.kind == "member_seen")).all()
    assert {audit.actor for audit in audits} == {f"lti_user:{scene.manager.id}"}
    assert [audit.details["state"] for audit in audits] == ["revoked", "confirmed"]
    assert events == [{"person_id": str(scene.ada.id)}]


def test_link_when_undone_holds_whatever_the_lms_says(scene, clock):
    page = scene.browser.get(f"/people/course/{scene.first.id}").submit("/undo")
    assert "They are linked to nobody now" in page.says()
    assert "the programme manager decided" in page.says()
    with scene.db() as db:
        user = db.get_one(LtiUser, scene.first.id)
        link(db, type("P", (), {"id": user.platform_id}), clock.now, see("1", custom="E-1"))
        assert user.link_state == "revoked"
    assert scene.browser.post(f"/people/course/{scene.first.id}/undo").status == 409


@pytest.mark.parametrize("who", ["", "E-", "Ada Byron", "%", "E-404"])
def test_person_when_not_named_exactly_is_not_shown(scene, who):
    page = scene.browser.get(f"/people/course/{scene.guest.id}").submit("/find", who=who)
    assert page.status == 422
    assert "Ben Ito" not in page.says()
    assert "Who is Gina Guest?" in page.says()


def test_person_when_two_have_the_number_is_not_guessed(scene):
    with scene.db() as db:
        make_person(db, employee_number="E-2")
    page = scene.browser.get(f"/people/course/{scene.guest.id}").submit("/find", who="E-2")
    assert "More than one person has this" in page.says()
    assert "Is this the right" in page.submit("/find", who="ben@company.example").says()


def test_manager_when_they_name_themselves_is_refused(scene):
    page = scene.browser.get(f"/people/course/{scene.manager.id}")
    assert "This is you" in page.says()
    for path, fields in (("find", {"who": "E-2"}), ("link", {"person": scene.ben.id})):
        answer = scene.browser.post(f"/people/course/{scene.manager.id}/{path}", **fields)
        assert answer.status == 403
    assert scene.user(scene.manager).link_state == "unlinked"


def test_members_when_of_another_course_or_tests_are_not_reached(scene, sign_in, tenant):
    with scene.db() as db:
        other = make_context(db, "Other")
        stranger = join(db, other, "9", scene.runtime.clock(), name="Stranger")
        test = db.scalars(select(LtiUser).where(LtiUser.is_test)).one()
    for user in (stranger, test):
        here = f"/people/course/{user.id}"
        assert scene.browser.get(here).status == 404
        assert scene.browser.post(f"{here}/find", who="E-2").status == 404
        assert scene.browser.post(f"{here}/link", person=scene.ben.id).status == 404
        assert scene.browser.post(f"{here}/undo").status == 404
    assert "Stranger" not in scene.open("unknown").says()
    assert sign_in(tenant, manager=True).post("/people/course/read").status == 403


def test_link_when_the_person_is_another_tenants_is_refused(scene, other_tenant, runtime):
    with runtime.database.transaction(other_tenant.id) as db:
        foreign = make_person(db, employee_number="E-7")
    answer = scene.browser.post(f"/people/course/{scene.guest.id}/link", person=foreign.id)
    assert answer.status == 422
    assert scene.user(scene.guest).link_state == "unlinked"


def test_reading_when_asked_for_shows_that_it_runs_and_what_came_of_it(scene, clock):
    page = scene.open().submit("/people/course/read")
    assert "Being read" in page.says()
    assert 'hx-trigger="every 2s"' in page.text
    assert "Read it now" not in page.says()
    scene.browser.post("/people/course/read")
    with scene.db() as db:
        (event_row,) = db.scalars(select(OutboxEvent).where(OutboxEvent.kind == "course_roster_wanted"))
        event_row.attempts = 1
        scene_context = db.get_one(type(scene.context), scene.context.id)
        scene_context.roster_problem = "The LMS did not answer."
    page = scene.open()
    assert "The LMS did not answer. What was read before stays as it was. Next try:" in page.says()
    assert "hx-trigger" not in page.text
    assert "Being read" in page.submit("/people/course/read").says()


def test_desk_when_somebody_is_unknown_leads_to_them_and_to_the_page(scene):
    desk = scene.browser.get("/manage")
    assert "/people/course/" in desk.text
    assert "Gina Guest" not in desk.says()
    assert "Adah Byron" in desk.says()
    assert 'href="/people/course"' in desk.text


def test_session_of_nobody_when_opened_explains_the_activity(app, runtime, scene, tenant, clock):
    with runtime.database.transaction(None) as db:
        facts = {
            "tenant_id": tenant.id, "lti_user_id": None, "person_id": None, "context_id": scene.context.id,
            "is_manager": False, "is_administrator": False, "start_path": None, "locale": None,
            "display_name": "", "frame_origins": [],
        }  # fmt: skip
        code = logins.open_session(db, facts, clock.now, secret_key=str(app.secret_key))
    text = app.test_client().get(f"/entry/{code}").get_data(as_text=True)
    assert "Your LMS hides who opens this activity" in text
