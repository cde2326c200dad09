"""The enrolment page of a participant."""

from datetime import date

import pytest

from rmplugin.programmes import operations, queries
from tests.factories.people import make_leader, make_person
from tests.factories.programmes import OFFER, WANT, enrol, make_programme


@pytest.fixture
def programme(database, tenant):
    with database.transaction(tenant.id) as db:
        return make_programme(db)


@pytest.fixture
def junior(database, tenant):
    with database.transaction(tenant.id) as db:
        return make_person(db, time_zone="Asia/Kolkata", languages=["sv", "en"])


def names_of(database, tenant, programme):
    with database.transaction(tenant.id) as db:
        return {skill.name: skill.id.hex for skill in queries.skills_of_programme(db, programme.id)}


def own(database, tenant, programme, person):
    with database.transaction(tenant.id) as db:
        return queries.find_enrolment(db, programme.id, person.id)


def test_page_when_opened_shows_the_ask_before_the_form_prefilled_from_hr(sign_in, tenant, programme, junior):
    browser = sign_in(tenant, junior).get(f"/enrol/{programme.id}")
    words = browser.says()
    assert "You can take part as mentor (the junior who teaches)" in words
    assert words.index("About 60 minutes of working time a week") < words.index("Your answers")
    assert words.index("Who sees what") < words.index("Your answers")
    fields = browser.forms()[0]["fields"]
    assert fields["time_zone"] == ["Asia/Kolkata"]
    assert fields["languages"] == ["sv", "en"]
    assert fields["work_days"] == ["0", "1", "2", "3", "4"]
    assert "consent" not in fields


def test_page_when_leader_opens_it_offers_to_be_mentored(sign_in, database, tenant, programme):
    with database.transaction(tenant.id) as db:
        leader = make_leader(db)
    assert "as mentee (the senior who learns)" in sign_in(tenant, leader).get(f"/enrol/{programme.id}").says()


def test_form_when_complete_signs_up_and_can_be_changed(sign_in, database, tenant, programme, junior):
    ids = names_of(database, tenant, programme)
    browser = sign_in(tenant, junior).get(f"/enrol/{programme.id}")
    answers = {f"offer-{ids[OFFER]}": "3", f"want-{ids[WANT]}": "2", f"priority-{ids[WANT]}": "1"}
    answers |= {
        "motivation_level": "4",
        "motivation": "To learn",
        "consent": "true",
        "other_languages": "Danish",
    }
    browser.submit("/enrol/", **answers, work_from="08:00", work_to="16:30", work_days=["1", "3"])
    assert "You are signed up." in browser.says()
    enrolment = own(database, tenant, programme, junior)
    assert (enrolment.state, enrolment.role, enrolment.motivation) == ("submitted", "mentor", "To learn")
    with database.transaction(tenant.id) as db:
        profile, offers, wants = queries.answers_of(db, junior.id)
    assert (profile.languages, profile.work_days) == (["sv", "en", "da"], [1, 3])
    assert (profile.work_from_minute, profile.work_to_minute) == (480, 990)
    assert (list(offers.values()), list(wants.values())) == ([3], [(2, 1)])
    fields = browser.forms()[0]["fields"]
    assert (fields[f"offer-{ids[OFFER]}"], fields["consent"]) == (["3"], ["true"])
    browser.submit("/enrol/", capacity="2")
    assert "Your answers are changed." in browser.says()
    assert own(database, tenant, programme, junior).capacity == 2


def test_form_when_nothing_is_offered_or_wanted_says_so_and_keeps_the_rest(
    sign_in, database, tenant, programme, junior
):
    browser = sign_in(tenant, junior).get(f"/enrol/{programme.id}")
    browser.submit("/enrol/", motivation_level="4", motivation="Kept words", consent="true", languages=[])
    assert browser.status == 422
    assert "Choose at least one skill or perspective that you can offer." in browser.says()
    assert "Choose at least one skill or perspective that you want to learn." in browser.says()
    assert "Tick at least one language" in browser.says()
    fields = browser.forms()[0]["fields"]
    assert (fields["motivation"], fields["consent"]) == (["Kept words"], ["true"])
    assert "languages" not in fields
    assert own(database, tenant, programme, junior) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("work_to", "06:00"),
        ("work_from", "noon"),
        ("time_zone", "Middle/Earth"),
        ("other_languages", "Klingonish"),
        ("capacity", "9"),
    ],
)
def test_draft_when_an_answer_is_wrong_marks_it(sign_in, database, tenant, programme, junior, field, value):
    browser = sign_in(tenant, junior).get(f"/enrol/{programme.id}")
    browser.submit("/enrol/", step="draft", **{field: value})
    assert browser.status == 422
    assert f'href="#f-{field}"' in browser.text
    assert own(database, tenant, programme, junior) is None


def test_draft_when_saved_is_shown_again_and_not_in_the_pool(sign_in, database, tenant, programme, junior):
    ids = names_of(database, tenant, programme)
    browser = sign_in(tenant, junior).get(f"/enrol/{programme.id}")
    browser.submit("/enrol/", step="draft", **{f"offer-{ids[OFFER]}": "4"})
    assert "Your draft is saved." in browser.says()
    assert own(database, tenant, programme, junior).state == "started"
    assert browser.forms()[0]["fields"][f"offer-{ids[OFFER]}"] == ["4"]


def test_invitation_when_declined_asks_nobody_further_and_allows_another_mind(
    sign_in, database, tenant, programme, junior, clock
):
    with database.transaction(tenant.id) as db:
        operations.invite(db, programme, "command", clock.now)
    browser = sign_in(tenant, junior).get(f"/enrol/{programme.id}")
    assert "You are invited as mentor" in browser.says()
    browser.submit("/decline", reason="manager")
    assert "You said no, and nobody asks further." in browser.says()
    assert "You can still change your mind." in browser.says()
    assert own(database, tenant, programme, junior).state == "declined"


def test_withdraw_when_signed_up_leaves_the_pool(sign_in, database, tenant, programme, junior, clock):
    with database.transaction(tenant.id) as db:
        enrol(db, programme, junior, clock.now)
    browser = sign_in(tenant, junior).get(f"/enrol/{programme.id}")
    browser.submit("/withdraw")
    assert "You have left the programme." in browser.says()
    assert own(database, tenant, programme, junior).state == "withdrawn"


def test_page_when_paired_has_no_form(sign_in, database, tenant, programme, junior, clock):
    with database.transaction(tenant.id) as db:
        enrol(db, programme, junior, clock.now)
        operations.count_pairing(db, programme.id, junior.id, +1)
    browser = sign_in(tenant, junior).get(f"/enrol/{programme.id}")
    assert "You have a partner" in browser.says()
    assert browser.forms() == []


def test_page_when_answers_came_from_a_file_asks_to_check_them(
    sign_in, database, tenant, programme, junior, clock
):
    with database.transaction(tenant.id) as db:
        enrol(db, programme, junior, clock.now).consented_at = None
    assert "taken from a file" in sign_in(tenant, junior).get(f"/enrol/{programme.id}").says()


def test_page_when_not_eligible_explains_and_names_whom_to_ask(sign_in, database, tenant, programme):
    with database.transaction(tenant.id) as db:
        person = make_person(db, seniority_rank=55)
    browser = sign_in(tenant, person).get(f"/enrol/{programme.id}")
    assert browser.status == 403
    assert "neither senior enough to be mentored, nor junior or new enough to mentor" in browser.says()
    assert "tell the programme team" in browser.says()
    assert browser.post(f"/enrol/{programme.id}").status in (403, 422)
    assert own(database, tenant, programme, person) is None


@pytest.mark.parametrize(("state", "words"), [("draft", "has not opened"), ("concluding", "takes nobody in")])
def test_page_when_enrolment_is_closed_says_so(sign_in, database, tenant, junior, state, words):
    with database.transaction(tenant.id) as db:
        programme = make_programme(db, state=state)
    browser = sign_in(tenant, junior).get(f"/enrol/{programme.id}")
    assert browser.status == 403
    assert words in browser.says()


def test_page_when_leader_joined_lately_lets_them_choose_to_mentor(sign_in, database, tenant, programme):
    with database.transaction(tenant.id) as db:
        leader = make_leader(db, hire_date=date(2026, 9, 1))
    browser = sign_in(tenant, leader).get(f"/enrol/{programme.id}")
    assert "You fit both roles" in browser.says()
    browser.submit("/enrol/", step="draft", role="mentor")
    assert own(database, tenant, programme, leader).role == "mentor"


def test_page_when_programme_is_another_tenants_is_not_found(sign_in, database, other_tenant, programme):
    with database.transaction(other_tenant.id) as db:
        stranger = make_person(db)
    browser = sign_in(other_tenant, stranger)
    assert browser.get(f"/enrol/{programme.id}").status == 404
    for form in ("", "/decline", "/withdraw"):
        assert browser.post(f"/enrol/{programme.id}{form}").status == 404


def test_page_when_visitor_is_not_in_the_roster_is_refused(sign_in, tenant, programme):
    assert sign_in(tenant).get(f"/enrol/{programme.id}").status == 403


def test_form_when_it_names_a_skill_of_another_programme_ignores_it(
    sign_in, database, tenant, programme, junior
):
    with database.transaction(tenant.id) as db:
        other = make_programme(db, name="Other", own_skills="Kites")
    kites = names_of(database, tenant, other)["Kites"]
    browser = sign_in(tenant, junior)
    browser.post(
        f"/enrol/{programme.id}",
        **{
            f"offer-{kites}": "4",
            "step": "draft",
            "work_from": "09:00",
            "work_to": "17:00",
            "time_zone": "UTC",
        },
    )
    assert browser.status == 200
    with database.transaction(tenant.id) as db:
        assert queries.answers_of(db, junior.id)[1] == {}
