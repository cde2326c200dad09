"""The manager's pages of programmes."""

import re
import uuid

import pytest

from rmplugin import languages
from rmplugin.programmes import queries
from tests.factories.people import make_leader, make_person
from tests.factories.programmes import enrol, make_context, make_programme


@pytest.fixture
def context(database, tenant):
    with database.transaction(tenant.id) as db:
        return make_context(db)


@pytest.fixture
def manager(sign_in, tenant, context):
    return sign_in(tenant, manager=True, context=context)


@pytest.fixture
def programme(database, tenant, context):
    with database.transaction(tenant.id) as db:
        return make_programme(db, context)


def test_programme_when_created_from_a_template_runs_in_this_course(manager, database, tenant, context):
    manager.get("/programmes")
    assert "Start from a template" in manager.says()
    manager.get("/programmes/new")
    manager.get(re.search(r"/programmes/new/inclusion", manager.text).group())
    manager.submit("/programmes/new/inclusion", name="Hear us", own_skills="Sign language | people")
    assert manager.status == 200
    assert "The programme is created" in manager.says()
    with database.transaction(tenant.id) as db:
        programme = queries.programme_of_course(db, context.id)
        assert (programme.name, programme.state) == ("Hear us", "draft")
        assert "Sign language" in {skill.name for skill in queries.skills_of_programme(db, programme.id)}


def test_programme_form_when_settings_contradict_keeps_what_was_typed(manager, database, tenant):
    manager.get("/programmes/new/digital_fluency")
    manager.submit(
        "/programmes/new", name="My own name", mentor_max_rank="80", skills=["Budgeting", "Negotiation"]
    )
    assert manager.status == 422
    assert "this must be below the lowest rank of a mentee" in manager.says()
    fields = manager.forms()[0]["fields"]
    assert (fields["name"], fields["mentor_max_rank"]) == (["My own name"], ["80"])
    assert fields["skills"] == ["Budgeting", "Negotiation"]
    with database.transaction(tenant.id) as db:
        assert queries.list_programmes(db) == []


@pytest.mark.parametrize(
    "dates", [{"starts_on": "2020-01-06", "ends_on": "2020-06-05"}, {"ends_on": "9999-12-31"}]
)
def test_programme_form_when_the_end_is_over_or_never_comes_is_refused(manager, database, tenant, dates):
    manager.get("/programmes/new/digital_fluency").submit("/programmes/new", **dates)
    assert manager.status == 422
    assert "Choose a last day after today" in manager.says()
    with database.transaction(tenant.id) as db:
        assert queries.list_programmes(db) == []


def test_programme_form_when_a_policy_is_chosen_keeps_it_with_its_numbers(manager, database, tenant):
    numbers = {"policy": "cpe50", "day_cap": "", "year_cap": "1200", "preparation_percent": "10"}
    numbers |= {"min_days": "90", "min_reflections": "1"}
    manager.get("/programmes/new/digital_fluency").submit("/programmes/new", **numbers)
    assert "Credit is counted as: CPE credits of 50 minutes; at most 1200 minutes a year" in manager.says()
    assert "90 days from the first to the last, notes about 1 of them" in manager.says()
    with database.transaction(tenant.id) as db:
        (made,) = queries.list_programmes(db)
    assert (made.policy, made.day_cap, made.year_cap, made.programme_cap) == ("cpe50", None, 1200, None)
    assert (made.preparation_percent, made.min_days, made.min_reflections) == (10, 90, 1)


def test_programme_page_when_a_day_is_limited_says_so_beside_the_other_limits(manager):
    manager.get("/programmes/new/digital_fluency").submit(
        "/programmes/new", day_cap="100", programme_cap="400"
    )
    assert "at most 100 minutes a day; at most 400 minutes in this programme" in manager.says()


def test_programme_form_when_no_plug_in_brings_the_policy_says_which_there_are(manager, database, tenant):
    manager.get("/programmes/new/digital_fluency").submit("/programmes/new", policy="nonsense")
    assert manager.status == 422
    assert "There is no credit policy 'nonsense' (known: ceu, contact_hours" in manager.says()
    with database.transaction(tenant.id) as db:
        assert queries.list_programmes(db) == []


def test_programme_form_when_template_unknown_is_not_found(manager):
    assert manager.get("/programmes/new/nonsense").status == 404


def test_programme_page_tells_who_is_not_eligible_and_why(manager, database, tenant, programme):
    with database.transaction(tenant.id) as db:
        make_person(db)
        make_person(db, seniority_rank=None, grade="X1")
        make_person(db, seniority_rank=55)
    manager.get(f"/programmes/{programme.id}")
    assert "1 can be mentors" in manager.says()
    assert "The grade is not mapped to a seniority rank 1" in manager.says()
    assert "Neither senior enough to be mentored, nor junior or new enough to mentor 1" in manager.says()


def test_people_when_ticked_are_invited_once(manager, database, tenant, programme):
    with database.transaction(tenant.id) as db:
        first, second = make_person(db, given_name="Ann"), make_person(db, given_name="Bob")
    path = f"/programmes/{programme.id}"
    manager.get(f"{path}/people")
    assert "mentor: seniority 16 (at most 40)" in manager.says()
    manager.submit(f"{path}/invite-ticked", people=[str(first.id)])
    assert "1 invited." in manager.says()
    manager.post(f"{path}/invite-ticked", people=[str(first.id), str(second.id)])
    assert "1 invited." in manager.says()
    assert "1 had been invited or enrolled before; nothing changed for them." in manager.says()
    with database.transaction(tenant.id) as db:
        assert queries.count_enrolments(db, programme.id)["mentor"] == {"invited": 2}


def test_people_when_nobody_is_ticked_says_so(manager, database, tenant, programme):
    with database.transaction(tenant.id) as db:
        make_person(db)
    manager.get(f"/programmes/{programme.id}/people")
    assert manager.submit("/invite-ticked", people=[]).status == 422
    assert "Nobody is ticked" in manager.says()


def test_people_when_many_are_paged_and_found_by_name(manager, database, tenant, programme):
    with database.transaction(tenant.id) as db:
        for number in range(30):
            make_person(db, given_name=f"Person{number:02d}")
        make_leader(db, given_name="Zoe")
    path = f"/programmes/{programme.id}/people"
    assert len(re.findall('name="people"', manager.get(f"{path}?role=mentor").text)) == 25
    assert len(re.findall('name="people"', manager.get(f"{path}?role=mentor&page=2").text)) == 5
    assert "Page 2 of 2" in manager.get(f"{path}?role=mentor&page=99").says()
    assert "Zoe" in manager.get(f"{path}?q=zoe").says()
    assert manager.get(f"{path}?role=nonsense&page=x").status == 200


def test_invite_all_when_pressed_again_invites_nobody_new(manager, database, tenant, programme):
    with database.transaction(tenant.id) as db:
        make_person(db)
        make_person(db)
        make_leader(db)
    path = f"/programmes/{programme.id}"
    manager.get(f"{path}/people")
    manager.submit("/invite-all")
    assert "2 invited." in manager.says()
    manager.post(f"{path}/invite-all", role="mentor")
    assert "Nobody new was invited. 2 had been invited" in manager.says()


def test_settings_when_somebody_was_invited_show_only_the_safe_ones(manager, database, tenant, programme):
    path = f"/programmes/{programme.id}"
    assert "mentee_min_rank" in manager.get(f"{path}/settings").forms()[0]["fields"]
    with database.transaction(tenant.id) as db:
        make_person(db)
    manager.post(f"{path}/invite-all", role="mentor")
    fields = manager.get(f"{path}/settings").forms()[0]["fields"]
    assert "mentee_min_rank" not in fields
    manager.submit("/settings", name="Renamed", topics="Inclusion")
    assert "The settings are saved." in manager.says()
    with database.transaction(tenant.id) as db:
        found = queries.get_programme(db, programme.id)
        assert (found.name, found.topics, found.mentee_min_rank) == ("Renamed", ["Inclusion"], 70)


def test_settings_when_somebody_was_invited_only_shorten_how_long_words_are_kept(
    manager, database, tenant, programme
):
    path = f"/programmes/{programme.id}"
    manager.get(f"{path}/settings").submit("/settings", keep_months="18")
    with database.transaction(tenant.id) as db:
        make_person(db)
    manager.post(f"{path}/invite-all", role="mentor")
    manager.get(f"{path}/settings").submit("/settings", keep_months="24")
    assert "it can only become shorter" in manager.says()
    manager.submit("/settings", keep_months="6")
    assert "The settings are saved." in manager.says()
    with database.transaction(tenant.id) as db:
        assert queries.get_programme(db, programme.id).keep_months == 6


def test_settings_when_nobody_was_invited_change_and_keep_own_skills(manager, database, tenant, context):
    with database.transaction(tenant.id) as db:
        programme = make_programme(db, context, own_skills="100% drones | people")
    manager.get(f"/programmes/{programme.id}/settings").submit("/settings", mentee_min_rank="60")
    assert "The settings are saved." in manager.says()
    with database.transaction(tenant.id) as db:
        skills = {skill.name: skill.theme for skill in queries.skills_of_programme(db, programme.id)}
        assert (skills["100% drones"], len(skills)) == ("people", 24)
        assert queries.get_programme(db, programme.id).mentee_min_rank == 60


def test_state_when_enrolment_is_closed_and_opened_follows_the_buttons(manager, programme):
    path = f"/programmes/{programme.id}"
    manager.get(path).submit("/state", state="running")
    assert "The programme is running" in manager.says()
    manager.submit("/state", state="enrolling")
    assert "Enrolment is open" in manager.says()
    assert manager.post(f"{path}/state", state="concluding").status == 409


def test_enrolments_when_listed_show_states_and_never_private_answers(
    manager, database, tenant, programme, clock
):
    with database.transaction(tenant.id) as db:
        enrol(db, programme, make_person(db, given_name="Ann"), clock.now, motivation="I <b>care</b>")
    manager.get(f"/programmes/{programme.id}/enrolments")
    assert "Ann" in manager.says()
    assert "I &lt;b&gt;care&lt;/b&gt;" in manager.text
    assert (
        "Nobody fits this filter"
        in manager.get(f"/programmes/{programme.id}/enrolments?state=declined").says()
    )


def test_programme_when_made_by_command_is_put_into_this_course(manager, database, tenant, context):
    with database.transaction(tenant.id) as db:
        programme = make_programme(db)
    manager.get("/programmes").submit(f"/programmes/{programme.id}/course")
    assert "runs in this course now" in manager.says()
    with database.transaction(tenant.id) as db:
        assert queries.programme_of_course(db, context.id).id == programme.id


PAGES = ["", "/people", "/enrolments", "/settings"]
POSTS = ["/settings", "/state", "/course", "/invite-ticked", "/invite-all"]


@pytest.mark.parametrize("page", PAGES)
def test_pages_when_opened_by_a_learner_are_refused(sign_in, database, tenant, programme, page):
    with database.transaction(tenant.id) as db:
        learner = make_person(db)
    assert sign_in(tenant, learner).get(f"/programmes/{programme.id}{page}").status == 403


@pytest.mark.parametrize("page", POSTS)
def test_forms_when_sent_by_a_learner_are_refused(sign_in, database, tenant, programme, page):
    with database.transaction(tenant.id) as db:
        learner = make_person(db)
    assert sign_in(tenant, learner).post(f"/programmes/{programme.id}{page}", state="archived").status == 403
    with database.transaction(tenant.id) as db:
        assert queries.get_programme(db, programme.id).state == "enrolling"


@pytest.mark.parametrize("page", PAGES)
def test_pages_when_programme_is_another_tenants_are_not_found(sign_in, other_tenant, programme, page):
    browser = sign_in(other_tenant, manager=True)
    assert browser.get(f"/programmes/{programme.id}{page}").status == 404
    assert browser.get(f"/programmes/{uuid.uuid4()}{page}").status == 404


@pytest.mark.parametrize("page", POSTS)
def test_forms_when_programme_is_another_tenants_are_not_found(sign_in, other_tenant, programme, page):
    browser = sign_in(other_tenant, manager=True)
    assert browser.post(f"/programmes/{programme.id}{page}", state="archived").status == 404


GERMAN = {"environ_overrides": {"HTTP_ACCEPT_LANGUAGE": "de"}}


def test_new_programme_when_the_manager_reads_german_begins_in_german(manager):
    page = manager.get("/programmes/new", **GERMAN)
    assert "„Mit KI umgehen“ verwenden" in page.says()
    page = manager.get("/programmes/new/ai_literacy", **GERMAN)
    fields = next(form["fields"] for form in page.forms() if "purpose" in form["fields"])
    assert fields["name"] == ["Mit KI umgehen"]
    assert fields["topics"][0].split() == ["Inklusion", "Teilhabe", "Perspektive"]
    assert not set(fields["purpose"][0].split()) & {"the", "and", "with"}


def test_sign_up_when_read_in_german_names_the_shipped_skills_in_german(
    sign_in, database, tenant, context, programme, clock
):
    with database.transaction(tenant.id) as db:
        person = make_person(db, hire_date=clock.now.date())
        names = [skill.name for skill in queries.skills_of_programme(db, programme.id)]
    says = sign_in(tenant, person, context=context).get(f"/enrol/{programme.id}", **GERMAN).says()
    german = languages.translator("de")
    translated = [name for name in names if german(name) != name]
    assert translated
    assert [name for name in translated if german(name) not in says or f" {name} " in says] == []
