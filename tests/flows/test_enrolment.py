"""From an empty course to a pool that can be matched, through the pages alone."""

from rmplugin.programmes import queries
from tests.factories.people import make_leader, make_person
from tests.factories.programmes import OFFER, WANT, make_context


def sign_up(browser, path, skills, offer, want):
    browser.get(path)
    answers = {f"offer-{skills[offer]}": "3", f"want-{skills[want]}": "2"}
    return browser.submit("/enrol/", **answers, motivation_level="4", consent="true")


def test_enrolment_when_manager_invites_and_two_sign_up_fills_the_pool(sign_in, database, tenant):
    with database.transaction(tenant.id) as db:
        context = make_context(db)
        junior, leader = make_person(db), make_leader(db)
        bystander = make_person(db, seniority_rank=55)
    manager = sign_in(tenant, manager=True, context=context)
    manager.get("/programmes/new/digital_fluency").submit("/programmes/new", name="Spring")
    with database.transaction(tenant.id) as db:
        programme = queries.programme_of_course(db, context.id)
        skills = {skill.name: skill.id.hex for skill in queries.skills_of_programme(db, programme.id)}
    path = f"/enrol/{programme.id}"

    mentor = sign_in(tenant, junior, context=context)
    assert "has not opened for enrolment yet" in mentor.get(path).says()

    manager.get(f"/programmes/{programme.id}/launch").submit("/launch", reason="pilot")
    manager.get(f"/programmes/{programme.id}/people?role=mentee").submit(
        "/invite-ticked", people=[str(leader.id)]
    )
    assert "1 invited." in manager.says()

    # The leader was invited; the junior comes without an invitation; the bystander fits neither role.
    mentee = sign_in(tenant, leader, context=context)
    assert "You are invited as mentee" in mentee.get(path).says()
    assert "You are signed up." in sign_up(mentee, path, skills, WANT, OFFER).says()
    assert "You are signed up." in sign_up(mentor, path, skills, OFFER, WANT).says()
    assert sign_in(tenant, bystander, context=context).get(path).status == 403

    manager.get(f"/programmes/{programme.id}")
    assert "Signed up: 1 as mentors, 1 as mentees." in manager.says()
    with database.transaction(tenant.id) as db:
        assert queries.count_enrolments(db, programme.id) == {
            "mentor": {"submitted": 1},
            "mentee": {"submitted": 1},
        }


def test_sign_up_when_the_same_form_is_sent_twice_takes_effect_once(sign_in, database, tenant):
    with database.transaction(tenant.id) as db:
        context = make_context(db)
        junior = make_person(db)
    sign_in(tenant, manager=True, context=context).get("/programmes/new/ai_literacy").submit(
        "/programmes/new"
    )
    with database.transaction(tenant.id) as db:
        programme = queries.programme_of_course(db, context.id)
        programme.state = "enrolling"
    browser = sign_in(tenant, junior, context=context).get(f"/enrol/{programme.id}")
    fields = browser.forms()[0]["fields"] | {"step": "draft"}
    once = fields["_once"][0]
    answers = {name: value for name, value in fields.items() if not name.startswith("_")}
    assert browser.post(f"/enrol/{programme.id}", _once=once, **answers).status == 200
    assert browser.post(f"/enrol/{programme.id}", _once=once, **answers).status == 409
    with database.transaction(tenant.id) as db:
        assert len(queries.list_enrolments(db, programme.id)) == 1
