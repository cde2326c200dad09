"""Pages about sign-up: concerns and answers, the survey, the launch, the funnel and what helps."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from rmplugin.audit import AuditEntry
from rmplugin.notify import unread
from rmplugin.people.models import LtiUser
from rmplugin.programmes import operations, queries
from rmplugin.programmes.models import Programme
from rmplugin.signup import forms
from rmplugin.signup import operations as signup
from rmplugin.signup.models import Concern, Readiness, ReadinessTaken
from tests.factories.people import make_leader, make_person
from tests.factories.programmes import OFFER, WANT, enrol, make_context, make_programme


@pytest.fixture
def context(database, tenant):
    with database.transaction(tenant.id) as db:
        return make_context(db)


@pytest.fixture
def manager(sign_in, tenant, context):
    return sign_in(tenant, manager=True, context=context)


@pytest.fixture
def draft(database, tenant, context):
    with database.transaction(tenant.id) as db:
        return make_programme(db, context, state="draft")


@pytest.fixture
def programme(database, tenant, context, clock):
    with database.transaction(tenant.id) as db:
        row = make_programme(
            db, context, target_mentors=20, target_mentees=2, sponsor_message="I want to learn."
        )
        row.opened_at = clock.now
        row.sign_up_until = clock.now.date() + timedelta(days=9)
        return row


def make_lti_user(db, context, number):
    user = LtiUser(platform_id=context.platform_id, sub=f"sub-{number}", name="Somebody")
    db.add(user)
    db.flush()
    return user


def test_concern_when_raised_has_no_author_and_is_answered_for_everybody(
    sign_in, manager, database, tenant, programme, context
):
    with database.transaction(tenant.id) as db:
        person = make_person(db)
    browser = sign_in(tenant, person, context=context).get(f"/programmes/{programme.id}/questions")
    browser.submit("/questions", code="hierarchy", text="My boss reads this?")
    assert "Thank you." in browser.says()
    assert "Somebody has a concern" in manager.get("/manage").says()
    manager.get(f"/programmes/{programme.id}/concerns")
    assert "My boss reads this?" in manager.says()
    assert person.display_name not in manager.text
    manager.submit(
        "/concerns", code="hierarchy", question="Who reads what we say?", answer="Nobody but the two."
    )
    assert "My boss reads this?" not in manager.says()
    browser.get(f"/programmes/{programme.id}/questions")
    assert "Who reads what we say?" in browser.says()
    assert "My boss reads this?" not in browser.says()
    assert "Somebody has a concern" not in manager.get("/manage").says()


def test_concern_when_stored_holds_no_person_no_moment_and_an_id_by_chance(database, tenant, draft, clock):
    with database.transaction(tenant.id) as db:
        signup.raise_concern(db, draft, "time", "words", clock.now)
        row = db.scalars(select(Concern)).one()
        assert row.month.day == 1
        assert row.id.version == 4
    columns = {column.name for column in Concern.__table__.columns}
    assert columns == {"id", "tenant_id", "programme_id", "code", "text", "month", "answer_id"}


def test_trend_when_counts_are_small_hides_them(manager, database, tenant, programme, clock):
    with database.transaction(tenant.id) as db:
        for code, times in (("time", 7), ("hierarchy", 2), ("exposure", 6)):
            for _ in range(times):
                signup.raise_concern(db, programme, code, "", clock.now)
    manager.get(f"/programmes/{programme.id}/concerns")
    table = manager.says().split("How it develops")[1]
    assert "2026-11" in table
    assert " 2 " not in table
    assert " 7 " in table


def test_answer_when_changed_and_taken_away_lets_its_concerns_wait_again(
    manager, database, tenant, programme, clock
):
    with database.transaction(tenant.id) as db:
        signup.raise_concern(db, programme, "time", "", clock.now)
        row = signup.publish_answer(db, programme, "time", "Q", "A", "command", clock.now)
    manager.get(f"/programmes/{programme.id}/answers/{row.id}")
    manager.submit(f"/answers/{row.id}", question="Q2", answer="Only for boomers")
    assert "Q2" in manager.says()
    assert "judges by age" in manager.says()
    manager.get(f"/programmes/{programme.id}/answers/{row.id}").submit("/away")
    with database.transaction(tenant.id) as db:
        assert db.scalars(select(Concern.answer_id)).all() == [None]


def test_survey_when_ten_have_answered_shows_means_and_moves_with_every_ten(
    sign_in, manager, database, tenant, draft, context
):
    manager.get(f"/programmes/{draft.id}/readiness")
    manager.submit("/readiness")
    assert "The survey is open" in manager.says()
    with database.transaction(tenant.id) as db:
        users = [make_lti_user(db, context, number) for number in range(12)]
    for number, user in enumerate(users):
        person = None
        if number == 0:
            with database.transaction(tenant.id) as db:
                person = make_person(db)
        browser = sign_in(tenant, person, context=context, lti_user=user)
        if person is not None:
            assert "Say in one minute" in browser.get("/home").says()
        browser.get(f"/programmes/{draft.id}/survey")
        browser.submit("/survey", **dict.fromkeys(forms.ITEMS, "5" if number > 9 else "2"))
        assert browser.status == 200
        shown = manager.get(f"/programmes/{draft.id}/readiness").says()
        assert ("Of 10 people" in shown) == (number >= 9)
    assert "low" in shown
    browser.post(f"/programmes/{draft.id}/survey", **dict.fromkeys(forms.ITEMS, "1"))
    assert browser.status == 409
    with database.transaction(tenant.id) as db:
        row = db.scalars(select(Readiness)).one()
        assert (row.people, row.shown_people, row.shown["voice"], row.sums["voice"]) == (12, 10, 20, 30)
        assert {c.name for c in ReadinessTaken.__table__.columns} == {
            "id", "tenant_id", "programme_id", "lti_user_id",
        }  # fmt: skip
    assert "The readiness survey is low here" in manager.get(f"/programmes/{draft.id}/launch").says()


def test_survey_when_an_answer_is_missing_or_it_is_closed_keeps_nothing(
    sign_in, database, tenant, draft, context, clock
):
    with database.transaction(tenant.id) as db:
        signup.switch_survey(db, draft, "command", clock.now, is_open=True)
        user = make_lti_user(db, context, 1)
    browser = sign_in(tenant, context=context, lti_user=user).get(f"/programmes/{draft.id}/survey")
    assert browser.submit("/survey", voice="3").status == 422
    with database.transaction(tenant.id) as db:
        signup.switch_survey(db, draft, "command", clock.now, is_open=False)
    browser.post(f"/programmes/{draft.id}/survey", **dict.fromkeys(forms.ITEMS, "3"))
    assert browser.status == 409
    with database.transaction(tenant.id) as db:
        assert db.scalars(select(Readiness.people)).one() == 0


def test_launch_when_something_is_not_ready_needs_a_reason_that_is_written_down(
    manager, database, tenant, draft
):
    manager.get(f"/programmes/{draft.id}")
    assert "Check readiness and launch" in manager.says()
    manager.get(f"/programmes/{draft.id}/launch")
    assert "No sponsor is named." in manager.says()
    manager.submit("/launch")
    assert (manager.status, "Choose why you launch all the same." in manager.says()) == (422, True)
    manager.submit("/launch", reason="pilot")
    assert "Enrolment is open." in manager.says()
    with database.transaction(tenant.id) as db:
        found = db.get_one(Programme, draft.id)
        assert found.state == "enrolling"
        assert found.opened_at is not None
        entry = db.scalars(select(AuditEntry).where(AuditEntry.action == "programme.launch_override")).one()
        assert entry.details["why"] == "pilot"
        assert {"sponsor", "message", "mentors", "mentees"} <= set(entry.details["warnings"])


def test_launch_when_all_is_ready_asks_for_no_reason(manager, database, tenant, draft):
    with database.transaction(tenant.id) as db:
        found = db.get_one(Programme, draft.id)
        found.sponsor, found.sponsor_message = "Ada", "I want to learn."
        make_person(db), make_leader(db)
    manager.get(f"/programmes/{draft.id}/launch")
    assert "It is ready" in manager.says()
    manager.submit("/launch")
    assert "Enrolment is open." in manager.says()
    with database.transaction(tenant.id) as db:
        assert "programme.launch_override" not in db.scalars(select(AuditEntry.action)).all()


@pytest.mark.parametrize("form", ["invite-all", "invite-ticked", "state"])
def test_draft_when_somebody_goes_around_the_check_leads_to_it(manager, database, tenant, draft, form):
    with database.transaction(tenant.id) as db:
        person = make_person(db)
    manager.post(f"/programmes/{draft.id}/{form}", state="enrolling", people=[str(person.id)])
    assert manager.path == f"/programmes/{draft.id}/launch"
    with database.transaction(tenant.id) as db:
        assert db.get_one(Programme, draft.id).state == "draft"
        assert queries.list_enrolments(db, draft.id) == []


def test_funnel_when_people_go_on_counts_each_step_and_warns_at_half_time(
    sign_in, manager, database, tenant, programme, context, clock
):
    with database.transaction(tenant.id) as db:
        people = [make_person(db) for _ in range(6)]
        leader = make_leader(db)
        operations.invite(db, programme, "command", clock.now)
        enrol(db, programme, people[0], clock.now)
        enrol(db, programme, leader, clock.now, offers={WANT: 3}, wants={OFFER: (2, 1)})
    sign_in(tenant, people[1]).get(f"/enrol/{programme.id}")
    manager.get(f"/programmes/{programme.id}/sign-up")
    assert "On the way" in manager.says()
    clock.forward(days=6)
    manager = sign_in(tenant, manager=True, context=context)
    manager.get(f"/programmes/{programme.id}/sign-up")
    says = manager.says()
    assert "Fewer sign up than you want" in says
    assert "1 of 20 so far" in says
    assert "Most of those who are invited have not opened the invitation." in says
    assert "Invited 6 1" in says
    assert "Opened it 2 1" in says
    assert "Signed up 1 1" in says
    # One offers what the other wants, so nobody lacks a partner.
    assert "everybody in the pool can have a partner" in says
    assert "Fewer people sign up than you want." in manager.get("/manage").says()


def test_pool_when_mentors_lack_says_how_many_of_which_role(manager, database, tenant, programme, clock):
    with database.transaction(tenant.id) as db:
        enrol(db, programme, make_person(db), clock.now)
        for _ in range(2):
            wants = {"offers": {WANT: 3}, "wants": {OFFER: (2, 1)}}
            enrol(db, programme, make_leader(db), clock.now, **wants)
    says = manager.get(f"/programmes/{programme.id}/sign-up").says()
    assert "Mentors (juniors who teach): at least 1 more, so that everybody can have a partner" in says


def test_reasons_when_few_gave_them_are_hidden_and_never_stand_beside_a_name(
    manager, sign_in, context, database, tenant, programme, clock
):
    with database.transaction(tenant.id) as db:
        people = [make_person(db) for _ in range(9)]
        operations.invite(db, programme, "command", clock.now)
        for number, person in enumerate(people):
            row = queries.find_enrolment(db, programme.id, person.id)
            reason = "exposure" if number < 6 else "manager"
            operations.decline_invitation(db, row, reason, clock.now)
    assert "Fewer than five gave a reason" in manager.get(f"/programmes/{programme.id}/sign-up").says()
    clock.forward(weeks=1)
    manager = sign_in(tenant, manager=True, context=context)
    table = (
        manager.get(f"/programmes/{programme.id}/sign-up")
        .says()
        .split("Why people said no, other than time")[1]
    )
    # Ten would be counted in two batches; of nine, five are.
    assert "Together 5" in table
    assert "Together 9" not in table
    listed = manager.get(f"/programmes/{programme.id}/enrolments").says()
    assert people[0].display_name in listed
    assert "across levels" not in listed


def test_time_when_it_is_a_reason_is_in_one_table_only_so_that_none_gives_another_away(
    sign_in, context, database, tenant, programme, clock
):
    with database.transaction(tenant.id) as db:
        people = [make_person(db) for _ in range(7)]
        operations.invite(db, programme, "command", clock.now)
        for person in people[:6]:
            row = queries.find_enrolment(db, programme.id, person.id)
            operations.choose_for_time(db, row, "leave", 6, clock.now)
        last = queries.find_enrolment(db, programme.id, people[6].id)
        operations.decline_invitation(db, last, "exposure", clock.now)
    clock.forward(weeks=1)
    manager = sign_in(tenant, manager=True, context=context)
    says = manager.get(f"/programmes/{programme.id}/sign-up").says()
    reasons, times = says.split("other than time")[1].split("No time: at which stage")
    assert "I do not have the time now" not in reasons
    # The only one who said so: that they did would stand beside their name in the list of people.
    assert "across levels" not in reasons
    assert "When invited 5 Together 5" in times


def test_nudge_when_sent_reaches_who_has_not_answered_and_replaces_the_unread(
    manager, database, tenant, programme, clock
):
    with database.transaction(tenant.id) as db:
        waiting, done = make_person(db), make_person(db)
        operations.invite(db, programme, "command", clock.now)
        enrol(db, programme, done, clock.now)
    path = f"/programmes/{programme.id}/sign-up/nudge"
    for message in ("reminder", "sponsor", "sponsor"):
        assert "1 people were written to." in manager.post(path, message=message).says()
    with database.transaction(tenant.id) as db:
        kinds = [notice.kind for notice in unread(db, waiting.id)]
        assert kinds == ["programme_invitation", "programme_reminder", "programme_sponsor"]
        assert "I want to learn." in unread(db, waiting.id)[2].text
        assert [notice.kind for notice in unread(db, done.id)] == ["programme_invitation"]


def test_taster_when_offered_is_on_the_page_of_questions(
    sign_in, manager, database, tenant, programme, context, clock
):
    with database.transaction(tenant.id) as db:
        person = make_person(db)
        operations.invite(db, programme, "command", clock.now)
    manager.get(f"/programmes/{programme.id}/sign-up")
    manager.submit("/taster", day="2020-01-01", time="12:00", place="Room 1")
    assert (manager.status, "Choose a time to come." in manager.says()) == (422, True)
    manager.submit("/taster", day="2026-11-30", time="12:00", place="Room 1")
    assert "1 people were told" in manager.says()
    page = sign_in(tenant, person, context=context).get(f"/programmes/{programme.id}/questions")
    assert "Mon 30 Nov 2026, 12:00 (Europe/Berlin) , Room 1" in page.says()
    manager.submit("/away")
    assert "Room 1" not in page.get(f"/programmes/{programme.id}/questions").says()


def test_extension_when_later_is_kept_and_otherwise_refused(manager, database, tenant, programme, clock):
    manager.get(f"/programmes/{programme.id}/sign-up")
    manager.submit("/extend", sign_up_until="2026-11-24")
    assert manager.status == 422
    manager.submit("/extend", sign_up_until="2026-12-20")
    with database.transaction(tenant.id) as db:
        assert db.get_one(Programme, programme.id).sign_up_until.isoformat() == "2026-12-20"


def test_time_ask_when_it_becomes_less_tells_everybody_and_completion_shrinks(
    manager, database, tenant, programme, clock
):
    with database.transaction(tenant.id) as db:
        person = make_person(db)
        operations.invite(db, programme, "command", clock.now)
    manager.get(f"/programmes/{programme.id}/sign-up")
    manager.submit("/ease", allowance_minutes="90")
    assert (manager.status, "People said yes to less than that." in manager.says()) == (422, True)
    manager.submit("/ease", allowance_minutes="30", session_minutes="30")
    assert "1 people were told" in manager.says()
    with database.transaction(tenant.id) as db:
        found = db.get_one(Programme, programme.id)
        assert (found.allowance_minutes, found.session_minutes, found.min_minutes) == (30, 30, 150)
        assert "30 minutes a week" in unread(db, person.id)[-1].text


def test_pages_when_programme_is_in_another_course_are_not_there(sign_in, database, tenant, programme):
    with database.transaction(tenant.id) as db:
        elsewhere = make_context(db, "Elsewhere")
        person = make_person(db)
    visitor = sign_in(tenant, person, context=elsewhere)
    for page in ("questions", "survey"):
        assert visitor.get(f"/programmes/{programme.id}/{page}").status == 404
        assert visitor.post(f"/programmes/{programme.id}/{page}", code="time").status == 404


def test_form_when_targets_and_endorsement_are_set_keeps_them(manager, database, tenant):
    manager.get("/programmes/new/ai_literacy")
    manager.submit(
        "/programmes/new",
        target_mentors="12",
        target_mentees="10",
        needs_endorsement="true",
        sponsor_message="Digital natives will teach us.",
    )
    assert "“digital native” judges by age" in manager.says()
    with database.transaction(tenant.id) as db:
        (found,) = queries.list_programmes(db)
        assert (found.target_mentors, found.target_mentees, found.needs_endorsement) == (12, 10, True)
        assert found.sponsor_message == "Digital natives will teach us."


def test_manager_when_hr_does_not_know_them_reads_times_in_the_zone_of_most_people(
    manager, database, tenant, programme
):
    assert "Time (UTC)" in manager.get(f"/programmes/{programme.id}/sign-up").says()
    with database.transaction(tenant.id) as db:
        for zone in ("Asia/Tokyo", "Europe/Vienna", "Europe/Vienna", "Mars/Olympus"):
            make_person(db, time_zone=zone)
        make_person(db, time_zone="Asia/Tokyo", lifecycle="tombstoned")
    assert "Time (Europe/Vienna)" in manager.get(f"/programmes/{programme.id}/sign-up").says()
