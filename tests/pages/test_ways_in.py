"""Pages beside the enrolment page: no time, a colleague suggested, the line manager's link."""

import re

import pytest
from sqlalchemy import select

from rmplugin.audit import AuditEntry
from rmplugin.notify import Notice, unread
from rmplugin.people.models import Person
from rmplugin.programmes import endorsements, operations, queries
from rmplugin.programmes.models import StageReason
from tests.conftest import SECRET_KEY
from tests.factories.people import make_leader, make_person
from tests.factories.programmes import enrol, make_context, make_programme


@pytest.fixture
def context(database, tenant):
    with database.transaction(tenant.id) as db:
        return make_context(db)


@pytest.fixture
def programme(database, tenant, context):
    with database.transaction(tenant.id) as db:
        return make_programme(db, context, needs_endorsement=True, sponsor_message="I will be there.")


@pytest.fixture
def plain(database, tenant, context):
    with database.transaction(tenant.id) as db:
        return make_programme(db, context, name="Plain", target_mentors=1)


@pytest.fixture
def junior(database, tenant):
    with database.transaction(tenant.id) as db:
        return make_person(db, manager_id=make_leader(db, display_name="Mona Boss").id)


def state_of(database, tenant, programme, person):
    with database.transaction(tenant.id) as db:
        return queries.find_enrolment(db, programme.id, person.id).state


def link_of(database, tenant, programme, person):
    with database.transaction(tenant.id) as db:
        row = queries.find_enrolment(db, programme.id, person.id)
        token = endorsements.find(db, row.id).token
    return endorsements.signed(f"/endorse/{token}", SECRET_KEY)


def test_invitation_when_opened_is_noted_once_for_the_funnel(sign_in, database, tenant, plain, junior, clock):
    with database.transaction(tenant.id) as db:
        operations.invite(db, plain, "command", clock.now, person_ids=[junior.id])
    first = clock.now
    browser = sign_in(tenant, junior).get(f"/enrol/{plain.id}")
    clock.forward(minutes=1)
    browser.get(f"/enrol/{plain.id}")
    with database.transaction(tenant.id) as db:
        assert queries.find_enrolment(db, plain.id, junior.id).opened_at == first


def test_decline_when_time_is_the_reason_offers_four_ways(sign_in, database, tenant, plain, junior, clock):
    with database.transaction(tenant.id) as db:
        operations.invite(db, plain, "command", clock.now, person_ids=[junior.id])
    browser = sign_in(tenant, junior).get(f"/enrol/{plain.id}")
    browser.submit("/decline", reason="time")
    assert browser.path == f"/enrol/{plain.id}/time"
    assert "It need not be all or nothing" in browser.says()
    assert state_of(database, tenant, plain, junior) == "invited"
    browser.submit("/time", choice="leave")
    assert "You said no, and nobody asks further." in browser.says()
    assert state_of(database, tenant, plain, junior) == "declined"
    with database.transaction(tenant.id) as db:
        assert db.scalars(select(StageReason.choice)).all() == ["leave"]


def test_time_page_when_signed_up_lets_them_pause_and_come_back(
    sign_in, database, tenant, plain, junior, clock
):
    with database.transaction(tenant.id) as db:
        enrol(db, plain, junior, clock.now)
    browser = sign_in(tenant, junior).get(f"/enrol/{plain.id}/time")
    browser.submit("/time", weeks="2")
    assert browser.status == 422
    assert "Please choose what fits best." in browser.says()
    browser.submit("/time", choice="pause", weeks="2")
    assert "You pause until 7 Dec 2026" in browser.says()
    assert "You pause, and come back by yourself." in browser.get("/home").says() or browser.status == 200
    browser.get(f"/enrol/{plain.id}").submit("/back")
    assert "You are in the pool again." in browser.says()
    assert state_of(database, tenant, plain, junior) == "submitted"


def test_enrolment_page_when_full_says_so_and_puts_into_the_line(
    sign_in, database, tenant, plain, junior, clock
):
    with database.transaction(tenant.id) as db:
        enrol(db, plain, make_person(db), clock.now)
    browser = sign_in(tenant, junior).get(f"/enrol/{plain.id}")
    assert "All places for this role are taken." in browser.says()
    with database.transaction(tenant.id) as db:
        enrol(db, plain, junior, clock.now)
    assert "you are number 1 in line" in browser.get(f"/enrol/{plain.id}").says()


def test_nomination_when_sent_says_the_same_whoever_they_are(sign_in, database, tenant, plain, junior):
    with database.transaction(tenant.id) as db:
        fits, does_not = make_person(db), make_person(db, seniority_rank=55)
    browser = sign_in(tenant, junior).get(f"/enrol/{plain.id}/nominate")
    said = []
    for person in (fits, does_not):
        browser.submit("/nominate", who=person.email)
        said.append(browser.says())
    assert said[0].split("Suggest a colleague")[0] == said[1].split("Suggest a colleague")[0]
    assert state_of(database, tenant, plain, fits) == "invited"
    browser.submit("/nominate", who="nobody@example.com")
    assert (browser.status, "Nobody at work has exactly this" in browser.says()) == (422, True)
    browser.submit("/nominate", who=junior.employee_number)
    assert "That is you." in browser.says()


def test_link_when_opened_by_the_manager_shows_name_programme_and_time_only(
    app, sign_in, database, tenant, programme, junior, clock
):
    with database.transaction(tenant.id) as db:
        enrol(db, programme, junior, clock.now, motivation="Secret words", closed_topics="Secret topic")
    path = link_of(database, tenant, programme, junior)
    client = app.test_client()
    for _ in range(2):
        page = client.get(path).get_data(as_text=True)
    assert junior.display_name in page
    assert "about 60 minutes of working time a week" in page
    assert "Secret" not in page
    assert state_of(database, tenant, programme, junior) == "endorsing"
    waiting = sign_in(tenant, junior).get(f"/enrol/{programme.id}")
    assert "Your line manager is asked for the weekly time" in waiting.says()
    assert "I will be there." in waiting.says()


def test_link_when_answered_is_good_once_without_a_login(app, database, tenant, programme, junior, clock):
    with database.transaction(tenant.id) as db:
        enrol(db, programme, junior, clock.now)
    path = link_of(database, tenant, programme, junior)
    client = app.test_client()
    answer = client.post(path, data={"answer": "yes"}, follow_redirects=True)
    assert "Thank you: you said yes" in answer.get_data(as_text=True)
    assert state_of(database, tenant, programme, junior) == "submitted"
    assert client.post(path, data={"answer": "not_now"}).status_code == 409
    assert state_of(database, tenant, programme, junior) == "submitted"


def test_link_when_not_now_tells_the_person_the_reason(
    app, sign_in, database, tenant, programme, junior, clock
):
    with database.transaction(tenant.id) as db:
        enrol(db, programme, junior, clock.now)
    path = link_of(database, tenant, programme, junior)
    app.test_client().post(path, data={"answer": "not_now", "reason": "role"})
    browser = sign_in(tenant, junior).get(f"/enrol/{programme.id}")
    assert "This job leaves no such time in the week" in browser.says()
    assert not any("ask-again" in form["action"] for form in browser.forms())
    assert browser.post(f"/enrol/{programme.id}/ask-again").status == 409
    clock.forward(days=8)
    browser = sign_in(tenant, junior).get(f"/enrol/{programme.id}")
    browser.submit("/ask-again")
    assert "Your line manager is asked again." in browser.says()


def test_link_when_the_question_was_asked_again_says_to_open_the_newest_mail(
    app, database, tenant, programme, junior, clock
):
    with database.transaction(tenant.id) as db:
        enrol(db, programme, junior, clock.now)
    old = link_of(database, tenant, programme, junior)
    with database.transaction(tenant.id) as db:
        endorsements.ask_again(db, queries.find_enrolment(db, programme.id, junior.id), clock.forward(days=8))
    client = app.test_client()
    for answer in (client.get(old), client.post(old, data={"answer": "yes"})):
        assert answer.status_code == 409
        assert "Please open the newest mail about it" in answer.text
    assert client.get(link_of(database, tenant, programme, junior)).status_code == 200


@pytest.mark.parametrize("token", ["x", "0" * 32, "0" * 32 + "-abc", "%00", "ffffffff-ffff"])
def test_link_when_it_is_none_of_ours_is_not_found(app, tenant, token):
    client = app.test_client()
    assert client.get(f"/endorse/{token}").status_code == 404
    assert client.post(f"/endorse/{token}", data={"answer": "yes"}).status_code == 404


def test_link_when_known_from_the_database_alone_opens_nothing(
    app, sign_in, database, tenant, programme, junior, clock
):
    with database.transaction(tenant.id) as db:
        enrol(db, programme, junior, clock.now)
        manager = db.get_one(Person, junior.manager_id)
        kept = db.scalars(select(Notice.path).where(Notice.person_id == manager.id)).one()
    client = app.test_client()
    assert client.get(kept).status_code == 404
    assert client.post(f"{kept}.abc", data={"answer": "yes"}).status_code == 404
    assert state_of(database, tenant, programme, junior) == "endorsing"
    # The manager's own page and mail have the signature with it.
    home = sign_in(tenant, manager).get("/home").text
    link = re.search(rf'href="({kept}[^"]+)"', home)[1]
    assert client.get(link).status_code == 200


def test_link_when_it_names_another_tenant_opens_nothing_there(
    app, database, tenant, other_tenant, programme, junior, clock
):
    with database.transaction(tenant.id) as db:
        enrol(db, programme, junior, clock.now)
    path = link_of(database, tenant, programme, junior)
    forged = path.replace(tenant.id.hex, other_tenant.id.hex).rpartition(".")[0]
    forged = endorsements.signed(forged, SECRET_KEY)
    answer = app.test_client().post(forged, data={"answer": "yes"})
    assert (answer.status_code, "no longer good" in answer.text) == (409, True)
    assert junior.display_name not in answer.text
    assert state_of(database, tenant, programme, junior) == "endorsing"


def test_team_when_nobody_is_named_says_yes_and_it_is_written_down(
    sign_in, database, tenant, context, programme, clock
):
    with database.transaction(tenant.id) as db:
        orphan = make_person(db)
        enrol(db, programme, orphan, clock.now)
    manager = sign_in(tenant, manager=True, context=context)
    assert "Somebody signed up whose line manager" in manager.get("/manage").says()
    manager.get(f"/programmes/{programme.id}/endorsements")
    assert orphan.display_name in manager.says()
    manager.submit("/endorsements")
    assert "Nobody is waiting." in manager.says()
    assert state_of(database, tenant, programme, orphan) == "submitted"
    with database.transaction(tenant.id) as db:
        assert "enrolment.endorse" in db.scalars(select(AuditEntry.action)).all()
        assert [notice.kind for notice in unread(db, orphan.id)] == ["endorsement_answered"]


def test_answers_when_they_hold_a_stereotype_are_kept_with_a_hint(sign_in, database, tenant, plain, junior):
    browser = sign_in(tenant, junior).get(f"/enrol/{plain.id}")
    browser.submit("/enrol/", step="draft", motivation="Digital natives like me can help.")
    assert "Your draft is saved." in browser.says()
    assert "“digital native” judges by age" in browser.says()
    with database.transaction(tenant.id) as db:
        assert (
            queries.find_enrolment(db, plain.id, junior.id).motivation == "Digital natives like me can help."
        )


def test_answers_when_topics_and_interests_are_given_are_shown_again(
    sign_in, database, tenant, plain, junior
):
    browser = sign_in(tenant, junior).get(f"/enrol/{plain.id}")
    topics = {"topic-health": "closed", "topic-career": "open"}
    browser.submit("/enrol/", step="draft", interests="choir, , maps", closed_topics="my exams", **topics)
    fields = browser.forms()[0]["fields"]
    assert (fields["interests"], fields["closed_topics"]) == (["choir, maps"], ["my exams"])
    assert [fields[f"topic-{key}"] for key in ("health", "career", "work")] == [["closed"], ["open"], ["ask"]]
