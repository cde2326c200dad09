"""From a signed launch to a session: who is recognised, who is not, what is remembered, what is refused."""

from concurrent.futures import ThreadPoolExecutor, wait
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from lti.claims import LAUNCH_PRESENTATION
from rmplugin import web
from rmplugin.launches import operations
from rmplugin.logins import WebSession, open_session
from rmplugin.people.linking import link_by_hand, undo_link
from rmplugin.people.models import CourseMember, LtiUser
from rmplugin.tenants.models import LtiContext, LtiDeployment, LtiLogin, LtiResourceLink
from rmplugin.tenants.operations import approve_deployments
from rmplugin.tenants.queries import get_platform
from tests.factories.identity import the_user
from tests.factories.launches import AGS, CUSTOM, ROLES, TOOL, hire, token_of
from tests.fakes.lti_platform import INSTRUCTOR, LEARNER


def the_session(database) -> WebSession:
    with database.transaction(None, write=False) as db:
        return db.scalars(select(WebSession)).one()


def test_launch_when_employee_number_known_links_person(lms, database, tenant, clock):
    person = hire(database, tenant, clock.now, employee_number="E-1001")
    assert lms.launch().status_code == 200
    user = the_user(database, tenant)
    assert (user.person_id, user.link_state, user.link_source) == (person.id, "confirmed", "custom")
    assert the_session(database).person_id == person.id


def test_launch_when_only_sourcedid_sent_links_person(lms, database, tenant, clock):
    person = hire(database, tenant, clock.now, employee_number="E-77")
    lis = {"https://purl.imsglobal.org/spec/lti/claim/lis": {"person_sourcedid": "E-77"}}
    lms.launch(**{CUSTOM: {"emp": "$Person.sourcedId"}, **lis})
    user = the_user(database, tenant)
    assert (user.person_id, user.link_source) == (person.id, "sourcedid")


def test_launch_when_only_email_unique_on_both_sides_links_person(lms, database, tenant, clock):
    person = hire(database, tenant, clock.now, employee_number="E-5", email="Ada@company.example")
    lms.launch(**{CUSTOM: {}})
    user = the_user(database, tenant)
    assert (user.person_id, user.link_source) == (person.id, "email")


def test_launch_when_email_called_unverified_links_nobody(lms, database, tenant, clock):
    hire(database, tenant, clock.now, employee_number="E-5", email="ada@company.example")
    lms.launch(**{CUSTOM: {}, "email_verified": False})
    assert the_user(database, tenant).link_problem == "no_hr_id"


def test_launch_when_two_people_share_email_is_conflict(lms, database, tenant, clock):
    for number in ("E-5", "E-6"):
        hire(database, tenant, clock.now, employee_number=number, email="ada@company.example")
    lms.launch(**{CUSTOM: {}})
    user = the_user(database, tenant)
    assert (user.person_id, user.link_state) == (None, "conflict")


def test_launch_when_name_alone_fits_links_nobody(lms, database, tenant, clock):
    hire(database, tenant, clock.now, employee_number="E-5", display_name="Ada Byron")
    page = lms.launch(**{CUSTOM: {}, "email": None})
    assert the_user(database, tenant).person_id is None
    assert page.status_code == 200


def test_launch_when_number_claimed_by_another_user_is_conflict(lms, database, tenant, clock):
    hire(database, tenant, clock.now, employee_number="E-1001")
    lms.launch()
    lms.launch(sub="8")
    with database.transaction(tenant.id, write=False) as db:
        states = {user.sub: user.link_state for user in db.scalars(select(LtiUser))}
    assert states == {"7": "confirmed", "8": "conflict"}


def test_launch_when_person_left_company_links_nobody(lms, database, tenant, clock):
    hire(database, tenant, clock.now, employee_number="E-1001", status="terminated")
    lms.launch()
    assert the_user(database, tenant).link_problem == "not_working"


def test_launch_when_person_is_of_other_tenant_links_nobody(lms, database, tenant, other_tenant, clock):
    hire(database, other_tenant, clock.now, employee_number="E-1001")
    lms.launch()
    assert the_user(database, tenant).person_id is None


def test_launch_when_repeated_remembers_course_once(lms, database, tenant, clock):
    item = {"lineitem": "https://lms.example/items/1?type_id=36", "scope": ["s"]}
    lms.launch(**{AGS: item})
    clock.forward(minutes=5)
    lms.launch()
    with database.transaction(tenant.id, write=False) as db:
        context = db.scalars(select(LtiContext)).one()
        link = db.scalars(select(LtiResourceLink)).one()
        member = db.scalars(select(CourseMember)).one()
    assert context.memberships_url.endswith("/nrps/members?id=3")
    assert context.last_launch_at == clock.now
    assert member.graded_link_id == link.id
    assert member.is_learner


def test_launch_when_instructor_gives_manager_session(lms, database):
    lms.launch(**{ROLES: [INSTRUCTOR]})
    assert the_session(database).is_manager


def test_launch_when_mentor_role_of_lti_promotes_nobody(lms, database):
    lms.launch(**{ROLES: ["http://purl.imsglobal.org/vocab/lis/v2/membership#Mentor"]})
    assert not the_session(database).is_manager


def test_launch_when_deployment_unknown_waits_for_approval(lms, database, tenant, clock):
    other = {"https://purl.imsglobal.org/spec/lti/claim/deployment_id": "99"}
    client = lms.app.test_client()
    query = lms.begin(client, lti_deployment_id="99")
    page = lms.post(client, query, **other)
    assert page.status_code == 403
    assert "approve" in page.get_data(as_text=True)
    with database.transaction(tenant.id) as db:
        row = db.scalars(select(LtiDeployment).where(LtiDeployment.deployment_id == "99")).one()
        assert row.state == "pending"
        assert db.scalar(select(func.count(LtiUser.id))) == 0
        approve_deployments(db, get_platform(db, "lms"), None, "command", clock.now)
    query = lms.begin(client, lti_deployment_id="99")
    assert lms.post(client, query, **other).status_code == 303


def test_launch_when_cookie_blocked_offers_new_tab_and_makes_no_session(lms, database, tenant):
    query = lms.begin(lms.app.test_client())
    page = lms.post(lms.app.test_client(), query)
    text = page.get_data(as_text=True)
    assert "Open in a new tab" in text
    with database.transaction(None, write=False) as db:
        assert db.scalar(select(func.count(WebSession.id))) == 0
        assert db.scalar(select(func.count()).select_from(LtiLogin)) <= 1


def test_entry_when_opened_twice_is_refused_and_token_is_not_the_code(lms):
    client = lms.app.test_client()
    answer = lms.post(client, lms.begin(client))
    first = client.get(answer.location, base_url=TOOL)
    token = token_of(first.get_data(as_text=True))
    assert token not in answer.location
    cookies = "; ".join(text.split(";")[0] for text in answer.headers.getlist("Set-Cookie"))
    bare = lms.app.test_client(use_cookies=False)
    second = bare.get(answer.location, base_url=TOOL, headers={"Cookie": cookies})
    assert second.status_code == 401


def test_entry_when_another_browser_opens_it_signs_nobody_in_and_leaves_it_to_its_own(app, lms, database):
    attacker, victim = app.test_client(), app.test_client(use_cookies=False)
    redirect = lms.post(attacker, lms.begin(attacker))
    (cookie,) = [text for text in redirect.headers.getlist("Set-Cookie") if "entry-" in text]
    assert {"Secure", "HttpOnly", "SameSite=None", "Partitioned"} <= set(cookie.split("; "))
    assert cookie.startswith("entry-")
    for headers in ({}, {"Sec-Fetch-Site": "same-origin"}, {"Cookie": cookie.split("=")[0] + "=guess"}):
        page = victim.get(redirect.location, base_url=TOOL, headers=headers)
        assert page.status_code == 401
        assert not page.headers.getlist("Set-Cookie")
    assert attacker.get(redirect.location, base_url=TOOL).status_code == 200


def test_entry_without_cookies_when_another_site_sends_there_signs_nobody_in(app, database, tenant, clock):
    facts = {
        **dict.fromkeys(("lti_user_id", "person_id", "context_id", "start_path", "locale")),
        "tenant_id": tenant.id,
        "is_manager": False,
        "is_administrator": True,
        "display_name": "",
        "frame_origins": [],
    }
    key = str(app.secret_key)
    with database.transaction(None) as db:
        code, sent = (open_session(db, facts, clock.now, secret_key=key, tie=tie) for tie in ("page", "link"))
    for site in ("cross-site", "same-site", "none"):
        headers = {"Sec-Fetch-Site": site}
        assert app.test_client().get(f"/entry/{code}", headers=headers).status_code == 401
    for good, site in ((code, "same-origin"), (sent, "cross-site")):
        answer = app.test_client().get(f"/entry/{good}", headers={"Sec-Fetch-Site": site})
        assert answer.status_code == 200


def test_entry_when_older_than_five_minutes_is_refused(lms, clock):
    client = lms.app.test_client()
    answer = lms.post(client, lms.begin(client))
    clock.forward(minutes=5, seconds=1)
    assert client.get(answer.location, base_url=TOOL).status_code == 401


def test_first_page_frame_policy_names_the_lms_only(lms):
    page = lms.launch()
    policy = page.headers["Content-Security-Policy"]
    assert f"frame-ancestors 'self' {lms.platform.base} https://moodle.example" in policy
    assert page.headers["Referrer-Policy"] == "no-referrer"


def test_session_cookie_alone_reads_but_never_changes(lms, database, tenant, clock):
    hire(database, tenant, clock.now, employee_number="E-1001")
    client = lms.app.test_client()
    lms.launch(client)
    # The test client follows browsers: a Secure cookie is kept for https, and for localhost by our
    # base address.
    cookie = client.get_cookie(web.COOKIE, domain="localhost")
    assert cookie is not None
    assert cookie.secure
    assert cookie.http_only
    header = {"Cookie": f"{web.COOKIE}={cookie.value}"}
    fresh = lms.app.test_client(use_cookies=False)
    assert fresh.get("/home", headers=header, base_url=TOOL).status_code == 200
    posted = fresh.post("/notices/0190aaaa-0000-7000-8000-000000000000/away", headers=header, base_url=TOOL)
    assert posted.status_code == 401


def test_session_when_the_lms_names_somebody_else_ends(app, lms, database, tenant, clock):
    hire(database, tenant, clock.now, employee_number="E-1001")
    hire(database, tenant, clock.now, employee_number="E-1002")
    client = app.test_client()
    page = client.get(lms.post(client, lms.begin(client)).location, base_url=TOOL)
    headers = {web.HTTP_HEADER: token_of(page.get_data(as_text=True))}
    assert client.get("/home", base_url=TOOL, headers=headers).status_code == 200
    lms.launch(**{CUSTOM: {"employee_number": "E-1002"}})
    assert the_user(database, tenant).link_problem == "changed"
    assert client.get("/home", base_url=TOOL, headers=headers).status_code == 401


def test_session_when_idle_too_long_asks_to_reopen_and_shows_typed_text(lms, clock):
    page = lms.launch(**{ROLES: [INSTRUCTOR]})
    token = token_of(page.get_data(as_text=True))
    clock.forward(hours=3)
    client = lms.app.test_client()
    answer = client.post(
        "/programmes/new/digital_fluency",
        data={"_session": token, "_once": "x", "purpose": "Typed with care"},
        base_url=TOOL,
    )
    assert answer.status_code == 401
    assert "Typed with care" in answer.get_data(as_text=True)


def test_launch_when_repeated_within_the_hour_gives_the_same_person_without_writing_again(
    lms, database, tenant, clock
):
    person = hire(database, tenant, clock.now, employee_number="E-1001")
    lms.launch()
    clock.forward(minutes=10)
    lms.launch()
    with database.transaction(tenant.id, write=False) as db:
        member = db.scalars(select(CourseMember)).one()
        sessions = db.scalars(select(WebSession)).all()
    assert member.last_launch_at == clock.now - timedelta(minutes=10)
    assert [session.person_id for session in sessions] == [person.id, person.id]
    assert len({session.token_sha256 for session in sessions}) == 2


@pytest.mark.parametrize("change", ["role", "roster", "hour"])
def test_launch_when_anything_changed_is_taken_in_anew(lms, database, tenant, clock, change):
    person = hire(database, tenant, clock.now, employee_number="E-1001")
    lms.launch()
    clock.forward(minutes=10)
    claims = {}
    if change == "role":
        claims = {ROLES: [INSTRUCTOR]}
    elif change == "roster":
        with database.transaction(tenant.id) as db:
            row = db.get_one(type(person), person.id)
            row.status, row.updated_at = "terminated", clock.now
    else:
        clock.forward(minutes=51)
    lms.launch(**claims)
    with database.transaction(tenant.id, write=False) as db:
        newest = db.scalars(select(WebSession).order_by(WebSession.id.desc())).first()
        member = db.scalars(select(CourseMember)).one()
    assert member.last_launch_at == clock.now
    assert newest.is_manager == (change == "role")
    assert newest.person_id == (None if change == "roster" else person.id)


TEST_USER = "http://purl.imsglobal.org/vocab/lti/system/person#TestUser"


@pytest.mark.parametrize("allowed", [True, False])
def test_launch_when_nobody_is_named_explains_or_is_refused_as_the_registration_says(
    lms, database, tenant, allowed
):
    with database.transaction(tenant.id) as db:
        get_platform(db, "lms").allow_anonymous = allowed
    page = lms.launch(**{"sub": None, "name": None, "email": None, ROLES: [INSTRUCTOR]})
    assert page.status_code == (200 if allowed else 403)
    with database.transaction(tenant.id, write=False) as db:
        assert db.scalar(select(func.count(LtiUser.id))) == 0
        assert db.scalar(select(func.count(LtiContext.id))) == allowed
    if allowed:
        assert "Your LMS hides who opens this activity" in page.get_data(as_text=True)
        session = the_session(database)
        assert (session.lti_user_id, session.person_id, session.is_manager) == (None, None, False)


def test_launch_when_a_test_user_previews_shows_that_it_is_one_and_links_nobody(lms, database, tenant, clock):
    hire(database, tenant, clock.now, employee_number="E-1001")
    for _ in range(2):
        page = lms.launch(**{ROLES: [LEARNER, TEST_USER]})
        assert "This is a preview" in page.get_data(as_text=True)
    user = the_user(database, tenant)
    assert (user.is_test, user.person_id) == (True, None)
    with database.transaction(tenant.id, write=False) as db:
        assert not db.scalars(select(CourseMember)).one().is_learner


def test_launch_when_brightspace_or_moodle_name_the_person_their_way_links_person(
    lms, database, tenant, clock
):
    person = hire(database, tenant, clock.now, employee_number="E-5", user_name="ABYRON")
    silent = {CUSTOM: {}, "email": None}
    lms.launch(**silent, **{"http://www.brightspace.com": {"org_defined_id": "E-5"}})
    assert the_user(database, tenant).link_source == "org_defined_id"
    with database.transaction(tenant.id) as db:
        db.delete(db.scalars(select(LtiUser)).one())
    lms.launch(**silent, **{"https://purl.imsglobal.org/spec/lti/claim/ext": {"user_username": "abyron"}})
    user = the_user(database, tenant)
    assert (user.person_id, user.link_source) == (person.id, "username")


@pytest.mark.parametrize("decision", ["undo", "other person"])
def test_launch_when_a_manager_decided_meanwhile_obeys_though_nothing_else_changed(
    lms, database, tenant, clock, decision
):
    hire(database, tenant, clock.now, employee_number="E-1001")
    other = hire(database, tenant, clock.now, employee_number="E-2")
    lms.launch()
    clock.forward(minutes=1)
    with database.transaction(tenant.id) as db:
        user, context = db.scalars(select(LtiUser)).one(), db.scalars(select(LtiContext)).one()
        if decision == "undo":
            undo_link(db, user, "lti_user:manager", clock.now)
        else:
            link_by_hand(db, context.id, user, other, "lti_user:manager", clock.now)
    clock.forward(minutes=1)
    lms.launch()
    with database.transaction(None, write=False) as db:
        newest = db.scalars(select(WebSession).order_by(WebSession.id.desc())).first()
    assert newest.person_id == (None if decision == "undo" else other.id)


def test_repeated_launch_when_its_link_is_undone_at_that_moment_leaves_no_session(
    lms, database, tenant, clock, monkeypatch
):
    hire(database, tenant, clock.now, employee_number="E-1001")
    lms.launch()
    recognise, known = operations.recognise, []

    def undo():
        with database.transaction(tenant.id) as db:
            undo_link(db, db.scalars(select(LtiUser)).one(), "command", clock.now)

    with ThreadPoolExecutor(1) as threads:

        def slow(*arguments):
            known.append((recognise(*arguments), threads.submit(undo)))
            # The manager decides before the session is there, and is done with it, if nothing keeps them.
            wait([known[0][1]], timeout=1)
            return known[0][0]

        monkeypatch.setattr(operations, "recognise", slow)
        lms.launch()
        known[0][1].result()
    assert known[0][0] is not None
    with database.transaction(None, write=False) as db:
        assert db.scalars(select(WebSession)).all() == []


@pytest.mark.parametrize(
    ("way_back", "kept"),
    [
        (
            "https://acme.example/courses/42/external_content/success/external_tool_redirect?sesskey=x",
            "https://acme.example/courses/42",
        ),
        ("https://acme.example/courses/42", "https://acme.example/courses/42"),
        ("https://acme.example/mod/lti/return.php?course=4&sesskey=secret", None),
        ("https://acme.example/courses/42secret/x", None),
    ],
)
def test_launch_when_the_way_back_names_the_course_keeps_that_part_alone(
    lms, database, tenant, way_back, kept
):
    lms.launch(**{LAUNCH_PRESENTATION: {"return_url": way_back}})
    with database.transaction(tenant.id, write=False) as db:
        assert db.scalars(select(LtiContext)).one().course_url == kept
