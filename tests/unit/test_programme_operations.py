"""Creating programmes, inviting, enrolling, leaving."""

import uuid
from datetime import date

import pytest
from sqlalchemy import func, select

from rmplugin.errors import ConflictError, InputError, NotAllowedError, NotFoundError
from rmplugin.jobs import OutboxEvent
from rmplugin.notify import unread
from rmplugin.people.models import PersonSkill, Skill
from rmplugin.programmes import operations, queries
from rmplugin.programmes.catalogue import BY_NAME, TEMPLATES, get_template
from rmplugin.programmes.models import Enrolment, StageReason
from tests.factories.people import make_leader, make_person
from tests.factories.programmes import OFFER, WANT, enrol, make_answers, make_context, make_programme


@pytest.fixture
def db(database, tenant):
    with database.transaction(tenant.id) as db:
        yield db


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.key)
def test_template_when_cloned_unchanged_gives_a_valid_programme(db, clock, template):
    programme = operations.create_programme(db, template.key, {}, "command", clock.now)
    skills = queries.skills_of_programme(db, programme.id)
    assert 12 <= len(skills) <= 24
    assert {skill.kind for skill in skills} == {"skill", "perspective"}
    assert programme.topics == ["Inclusion", "Participation", "Perspective"]
    assert programme.mentor_max_rank < programme.mentee_min_rank
    assert programme.starts_on.weekday() == 0
    assert programme.starts_on > clock.now.date()


def test_templates_name_only_skills_of_the_catalogue():
    for template in TEMPLATES:
        assert set(template.skills) <= BY_NAME.keys()
        assert len(set(template.skills)) == len(template.skills)


def test_template_when_unknown_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="digital_fluency"):
        get_template("nonsense")


def test_create_when_texts_are_given_as_a_command_gives_them_loads_them(db, clock):
    values = {"name": "Spring", "starts_on": "2027-03-01", "ends_on": date(2027, 9, 1), "min_sessions": "5"}
    programme = operations.create_programme(db, "ai_literacy", values, "command", clock.now)
    assert (programme.name, programme.starts_on, programme.min_sessions) == ("Spring", date(2027, 3, 1), 5)
    assert (programme.state, programme.context_id) == ("draft", None)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"mentor_max_rank": 70}, "mentor_max_rank"),
        ({"ends_on": "2026-01-01"}, "ends_on"),
        ({"session_minutes": 90, "cadence_weeks": 1}, "session_minutes"),
        ({"min_sessions": 14}, "min_sessions"),
        ({"min_minutes": 5000}, "min_minutes"),
        ({"min_days": 400}, "min_days"),
        ({"min_reflections": 7}, "min_reflections"),
        ({"programme_cap": 299}, "programme_cap"),
        ({"preparation_percent": 26}, "preparation_percent"),
        ({"day_cap": 14}, "day_cap"),
        ({"cadence_weeks": "often"}, "cadence_weeks"),
        ({"name": ""}, "name"),
        ({"skills": ["Budgeting"]}, "skills"),
        ({"own_skills": "Drones | nonsense"}, "own_skills"),
    ],
)
def test_create_when_settings_contradict_names_the_field_and_creates_nothing(db, clock, values, field):
    with pytest.raises(InputError) as caught:
        operations.create_programme(db, "digital_fluency", values, "command", clock.now)
    assert list(caught.value.details) == [field]
    assert queries.list_programmes(db) == []


def test_create_when_name_is_taken_in_other_case_is_refused(db, clock):
    make_programme(db, name="Spring")
    with pytest.raises(InputError) as caught:
        operations.create_programme(db, "digital_fluency", {"name": "SPRING"}, "command", clock.now)
    assert "name" in caught.value.details


def test_create_when_own_skills_repeat_known_ones_uses_those(db, clock):
    own = "generative ai tools\nDrone law | The world outside\nDrone law | people"
    programme = make_programme(db, own_skills=own)
    make_programme(db, name="Another", own_skills="Drone law")
    names = [skill.name for skill in queries.skills_of_programme(db, programme.id)]
    assert names.count("Generative AI tools") == 1
    drones = db.scalars(select(Skill).where(func.lower(Skill.name) == "drone law")).one()
    assert drones.theme == "outside_world"


def test_change_when_nobody_is_invited_replaces_settings_and_skills(db, clock):
    programme = make_programme(db)
    values = {"skills": ["Budgeting", "Negotiation"], "own_skills": "", "mentee_min_rank": 80}
    loaded = operations.forms.load_settings(
        operations.forms.template_values(get_template("digital_fluency"), clock.now.date()) | values
    )
    operations.change_programme(db, programme, loaded, "command", clock.now)
    assert programme.mentee_min_rank == 80
    assert [skill.name for skill in queries.skills_of_programme(db, programme.id)] == [
        "Negotiation",
        "Budgeting",
    ]


def test_change_when_somebody_was_invited_keeps_what_they_said_yes_to(db, clock):
    programme = make_programme(db)
    make_person(db)
    operations.invite(db, programme, "command", clock.now)
    safe = {"name": "Renamed", "purpose": "New", "sponsor": None, "topics": [], "skills": []}
    with pytest.raises(ConflictError):
        operations.change_programme(db, programme, safe | {"min_sessions": 9}, "command", clock.now)
    assert programme.name != "Renamed"
    before = len(queries.skills_of_programme(db, programme.id))
    operations.change_programme(db, programme, safe, "command", clock.now)
    assert (programme.name, len(queries.skills_of_programme(db, programme.id))) == ("Renamed", before)


def test_state_when_step_does_not_exist_is_refused(db, clock):
    programme = make_programme(db, state="draft")
    with pytest.raises(ConflictError):
        operations.change_state(db, programme, "concluding", "command", clock.now)
    operations.change_state(db, programme, "enrolling", "command", clock.now)
    operations.change_state(db, programme, "enrolling", "command", clock.now)
    assert programme.state == "enrolling"


def test_programme_of_course_when_several_gives_the_newest_that_is_not_archived(db):
    context, other = make_context(db), make_context(db)
    first = make_programme(db, context, name="One")
    second = make_programme(db, context, name="Two")
    make_programme(db, other, name="Elsewhere")
    assert queries.programme_of_course(db, context.id) is second
    second.state = "archived"
    db.flush()
    assert queries.programme_of_course(db, context.id) is first
    assert queries.programme_of_course(db, None) is None


def test_put_into_course_when_it_runs_elsewhere_is_refused(db, clock):
    context, other = make_context(db), make_context(db)
    programme = make_programme(db)
    operations.put_into_course(db, programme, context.id, "command", clock.now)
    with pytest.raises(ConflictError):
        operations.put_into_course(db, programme, other.id, "command", clock.now)
    assert programme.context_id == context.id


def test_invite_when_repeated_changes_nothing_and_says_so(db, clock):
    programme = make_programme(db, state="draft")
    mentor, leader = make_person(db), make_leader(db)
    make_person(db, seniority_rank=55)
    first = operations.invite(db, programme, "command", clock.now)
    second = operations.invite(db, programme, "command", clock.forward(days=1))
    assert (first.invited, first.already) == (2, 0)
    assert (second.invited, second.already) == (0, 2)
    assert programme.state == "enrolling"
    roles = {row.person_id: row.role for row in queries.list_enrolments(db, programme.id)}
    assert roles == {mentor.id: "mentor", leader.id: "mentee"}
    assert len(unread(db, mentor.id)) == 1


def test_invite_when_people_do_not_fit_or_do_not_exist_leaves_them_out(db, clock):
    programme = make_programme(db)
    fits, between = make_person(db), make_person(db, seniority_rank=55)
    report = operations.invite(
        db, programme, "command", clock.now, person_ids=[fits.id, between.id, uuid.uuid4(), fits.id]
    )
    assert (report.invited, report.not_eligible) == (1, 2)


def test_invite_when_role_is_named_leaves_the_other_role_alone(db, clock):
    programme = make_programme(db)
    make_person(db)
    leader = make_leader(db)
    operations.invite(db, programme, "command", clock.now, role="mentee")
    assert [row.person_id for row in queries.list_enrolments(db, programme.id)] == [leader.id]


@pytest.mark.parametrize("state", ["concluding", "archived"])
def test_invite_when_programme_is_over_is_refused(db, clock, state):
    programme = make_programme(db, state=state)
    make_person(db)
    with pytest.raises(ConflictError):
        operations.invite(db, programme, "command", clock.now)


@pytest.mark.parametrize(
    ("fields", "missing"),
    [
        ({"offers": {}}, "offers"),
        ({"wants": {}}, "wants"),
        ({"languages": []}, "languages"),
        ({"work_days": []}, "work_days"),
        ({"motivation_level": None}, "motivation_level"),
        ({"consent": False}, "consent"),
    ],
)
def test_submit_when_an_answer_is_missing_names_it_and_keeps_the_person_out(db, clock, fields, missing):
    programme, person = make_programme(db), make_person(db)
    with pytest.raises(InputError) as caught:
        enrol(db, programme, person, clock.now, **fields)
    assert list(caught.value.details) == [missing]
    assert queries.find_enrolment(db, programme.id, person.id) is None


def test_draft_when_incomplete_is_kept_and_not_in_the_pool(db, clock):
    programme, person = make_programme(db), make_person(db)
    answers = make_answers(db, programme, wants={}, consent=False, motivation_level=None)
    enrolment = operations.start_enrolment(db, programme, person.id, answers, clock.now)
    assert (enrolment.state, enrolment.consented_at, enrolment.submitted_at) == ("started", None, None)
    _, offers, wants = queries.answers_of(db, person.id)
    assert (list(offers.values()), wants) == ([3], {})


def test_submit_when_changed_later_replaces_the_answers_and_keeps_the_first_moment(db, clock):
    programme, person = make_programme(db), make_person(db)
    first = clock.now
    enrol(db, programme, person, first, offers={OFFER: 4, "Social media": 2})
    enrolment = enrol(db, programme, person, clock.forward(days=2), offers={OFFER: 1}, capacity=2)
    _, offers, wants = queries.answers_of(db, person.id)
    assert (list(offers.values()), list(wants.values())) == ([1], [(2, 1)])
    assert (enrolment.submitted_at, enrolment.consented_at, enrolment.capacity) == (first, first, 2)


def test_submit_when_another_programme_has_other_skills_leaves_its_answers(db, clock):
    programme = make_programme(db)
    other = make_programme(db, name="Drones", skills=["Budgeting"], own_skills="Drone law\nKites")
    person = make_person(db)
    enrol(db, other, person, clock.now, offers={"Drone law": 4}, wants={"Kites": (1, 1)})
    enrol(db, programme, person, clock.now)
    assert len(db.scalars(select(PersonSkill).where(PersonSkill.person_id == person.id)).all()) == 4


def test_submit_when_not_eligible_says_why(db, clock):
    programme, person = make_programme(db), make_person(db, seniority_rank=55)
    with pytest.raises(NotAllowedError, match="neither senior enough"):
        enrol(db, programme, person, clock.now)


@pytest.mark.parametrize("state", ["draft", "running", "concluding", "archived"])
def test_submit_when_enrolment_is_not_open_is_refused_for_the_uninvited(db, clock, state):
    programme, person = make_programme(db, state=state), make_person(db)
    with pytest.raises(NotAllowedError):
        enrol(db, programme, person, clock.now)


def test_submit_when_running_takes_the_invited(db, clock):
    programme, person = make_programme(db), make_person(db)
    operations.invite(db, programme, "command", clock.now)
    programme.state = "running"
    assert enrol(db, programme, person, clock.now).state == "submitted"


def test_submit_when_role_is_chosen_is_followed_only_if_it_fits(db, clock):
    programme = make_programme(db)
    both = make_leader(db, hire_date=date(2026, 9, 1))
    junior = make_person(db)
    assert enrol(db, programme, both, clock.now, role="mentor").role == "mentor"
    assert enrol(db, programme, both, clock.now).role == "mentor"
    assert enrol(db, programme, junior, clock.now, role="mentee").role == "mentor"


def test_answers_when_paired_stay_and_withdrawing_is_refused(db, clock):
    programme, person = make_programme(db), make_person(db)
    enrolment = enrol(db, programme, person, clock.now)
    operations.count_pairing(db, programme.id, person.id, +1)
    with pytest.raises(ConflictError):
        enrol(db, programme, person, clock.now, offers={OFFER: 1})
    with pytest.raises(ConflictError):
        operations.withdraw(db, enrolment, clock.now)
    operations.count_pairing(db, programme.id, person.id, -1)
    assert enrol(db, programme, person, clock.now, offers={OFFER: 1}).state == "submitted"


def test_decline_when_invited_counts_the_reason_once_and_lets_them_come_back(db, clock):
    programme, person = make_programme(db), make_person(db)
    operations.invite(db, programme, "command", clock.now)
    enrolment = queries.find_enrolment(db, programme.id, person.id)
    operations.decline_invitation(db, enrolment, "exposure", clock.now)
    operations.decline_invitation(db, enrolment, "other", clock.now)
    assert enrolment.state == "declined"
    (counted,) = db.scalars(select(StageReason))
    assert (counted.stage, counted.role, counted.reason) == ("invited", "mentor", "exposure")
    assert counted.week == date(2026, 11, 23)
    enrol(db, programme, person, clock.now)
    assert enrolment.state == "submitted"
    with pytest.raises(ConflictError):
        operations.decline_invitation(db, enrolment, None, clock.now)


def test_counted_reason_when_looked_at_holds_nothing_that_names_a_person():
    kept = {column.name for column in StageReason.__table__.columns}
    assert kept == {"id", "tenant_id", "programme_id", "role", "stage", "reason", "choice", "week"}


def test_withdraw_when_repeated_tells_the_matching_once(db, clock):
    programme, person = make_programme(db), make_person(db)
    enrolment = enrol(db, programme, person, clock.now)
    operations.withdraw(db, enrolment, clock.now)
    operations.withdraw(db, enrolment, clock.now)
    db.flush()
    events = db.scalars(select(OutboxEvent).where(OutboxEvent.kind == "enrolment_withdrawn")).all()
    assert enrolment.state == "withdrawn"
    assert [event.payload["person_id"] for event in events] == [str(person.id)]


def test_withdraw_when_only_invited_is_refused(db, clock):
    programme, person = make_programme(db), make_person(db)
    operations.invite(db, programme, "command", clock.now)
    with pytest.raises(ConflictError):
        operations.withdraw(db, queries.find_enrolment(db, programme.id, person.id), clock.now)


def test_programme_when_of_another_tenant_is_not_found(database, tenant, other_tenant):
    with database.transaction(other_tenant.id) as db:
        foreign = make_programme(db)
    with database.transaction(tenant.id) as db:
        with pytest.raises(NotFoundError):
            queries.get_programme(db, foreign.id)
        with pytest.raises(NotFoundError):
            queries.find_programme(db, "Digital fluency")
        assert queries.list_programmes_report(db) == []


def test_programmes_report_when_people_enrolled_counts_them_by_role_and_state(db, clock):
    context = make_context(db, "Course 7")
    programme = make_programme(db, context)
    enrol(db, programme, make_person(db), clock.now)
    make_leader(db)
    operations.invite(db, programme, "command", clock.now)
    (row,) = queries.list_programmes_report(db)
    assert row["course"] == "Course 7"
    assert row["enrolments"] == {"mentor": {"submitted": 1}, "mentee": {"invited": 1}}
    assert queries.find_programme(db, "digital FLUENCY").id == uuid.UUID(row["id"])


def test_enrolment_when_want_is_submitted_keeps_level_and_priority(db, clock):
    programme, person = make_programme(db), make_person(db)
    enrol(db, programme, person, clock.now, wants={WANT: (4, 3)})
    row = db.scalars(select(PersonSkill).where(PersonSkill.direction == "wanted")).one()
    assert (row.level, row.priority) == (4, 3)
    assert db.scalars(select(Enrolment)).one().role == "mentor"
