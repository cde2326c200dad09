"""Places, waiting lists, pauses, nominations and the line manager's yes."""

from datetime import date, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from rmplugin.errors import ConflictError, InputError, NotFoundError
from rmplugin.notify import unread
from rmplugin.programmes import endorsements, operations, places, queries, tasks
from rmplugin.programmes.models import Endorsement, StageReason
from tests.factories.people import make_leader, make_person
from tests.factories.programmes import enrol, make_programme


@pytest.fixture
def db(database, tenant):
    with database.transaction(tenant.id) as db:
        yield db


def kinds(db, person):
    return [notice.kind for notice in unread(db, person.id)]


def test_sign_up_when_all_places_are_taken_waits_in_line_and_moves_up(db, clock):
    programme = make_programme(db, target_mentors=1)
    people = [make_person(db) for _ in range(3)]
    rows = [enrol(db, programme, person, clock.forward(minutes=1)) for person in people]
    assert [row.state for row in rows] == ["submitted", "waitlisted", "waitlisted"]
    assert [places.place_in_line(db, row) for row in rows[1:]] == [1, 2]
    operations.withdraw(db, rows[0], clock.now)
    assert [row.state for row in rows] == ["withdrawn", "submitted", "waitlisted"]
    assert "place_free" in kinds(db, people[1])
    assert kinds(db, people[2]) == []


def test_sign_up_when_the_other_role_is_full_is_not_held_up(db, clock):
    programme = make_programme(db, target_mentors=1)
    enrol(db, programme, make_person(db), clock.now)
    assert enrol(db, programme, make_leader(db), clock.now).state == "submitted"


def test_waiting_list_when_the_target_is_raised_or_taken_away_lets_people_in(db, clock):
    programme = make_programme(db, target_mentors=1)
    rows = [enrol(db, programme, make_person(db), clock.forward(minutes=1)) for _ in range(4)]
    values = {"name": programme.name, "purpose": "p", "sponsor": None, "topics": [], "skills": []}
    operations.change_programme(db, programme, values | {"target_mentors": 2}, "command", clock.now)
    assert [row.state for row in rows] == ["submitted"] * 2 + ["waitlisted"] * 2
    operations.change_programme(db, programme, values | {"target_mentors": None}, "command", clock.now)
    assert [row.state for row in rows] == ["submitted"] * 4


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    target=st.integers(1, 4),
    steps=st.lists(
        st.tuples(st.sampled_from(["come", "go", "pause", "back"]), st.integers(0, 5)), max_size=14
    ),
)
def test_places_when_people_come_and_go_are_never_more_than_the_target_and_never_empty_beside_a_line(
    database, tenant, clock, target, steps
):
    with database.transaction(tenant.id) as db:
        programme = make_programme(db, name=f"P{clock.forward(seconds=1)}", target_mentors=target)
        people = [make_person(db) for _ in range(6)]
        for step, number in steps:
            now, person = clock.forward(minutes=1), people[number]
            row = queries.find_enrolment(db, programme.id, person.id)
            if step == "come":
                enrol(db, programme, person, now)
            elif row is not None and step == "go":
                operations.withdraw(db, row, now)
            elif row is not None and step == "back":
                places.come_back(row, now)
            elif row is not None and row.state in ("submitted", "paused"):
                places.pause(db, row, 3, now)
            db.flush()
            states = [one.state for one in queries.list_enrolments(db, programme.id)]
            placed = sum(state in places.PLACED for state in states)
            assert placed <= target
            assert "waitlisted" not in states or placed == target


def test_pause_when_over_brings_them_back_once_and_tells_them(db, clock, runtime, tenant):
    programme, person = make_programme(db), make_person(db)
    row = enrol(db, programme, person, clock.now)
    places.pause(db, row, 2, clock.now)
    assert (row.state, row.paused_until) == ("paused", date(2026, 12, 7))
    assert places.end_pauses(db, clock.forward(days=13)) == 0
    assert places.end_pauses(db, clock.forward(days=1)) == 1
    assert places.end_pauses(db, clock.now) == 0
    assert (row.state, row.paused_until) == ("submitted", None)
    assert kinds(db, person) == ["pause_over"]


@pytest.mark.parametrize("weeks", [0, 7])
def test_pause_when_longer_than_six_weeks_is_refused(db, clock, weeks):
    row = enrol(db, make_programme(db), make_person(db), clock.now)
    with pytest.raises(InputError):
        places.pause(db, row, weeks, clock.now)


def test_pause_when_paired_or_only_invited_is_refused(db, clock):
    programme, person = make_programme(db), make_person(db)
    row = enrol(db, programme, person, clock.now)
    operations.count_pairing(db, programme.id, person.id, +1)
    with pytest.raises(ConflictError, match="partner"):
        places.pause(db, row, 2, clock.now)
    other = make_programme(db, name="Other")
    operations.invite(db, other, "command", clock.now, person_ids=[person.id])
    with pytest.raises(ConflictError):
        places.pause(db, queries.find_enrolment(db, other.id, person.id), 2, clock.now)


@pytest.mark.parametrize(
    ("stage", "choice", "after"),
    [
        ("invited", "leave", "declined"),
        ("invited", "shorter", "invited"),
        ("submitted", "retime", "submitted"),
        ("submitted", "pause", "paused"),
        ("submitted", "leave", "withdrawn"),
    ],
)
def test_no_time_when_something_is_chosen_does_it_and_counts_it_by_stage(db, clock, stage, choice, after):
    programme, person = make_programme(db), make_person(db)
    operations.invite(db, programme, "command", clock.now, person_ids=[person.id])
    if stage == "submitted":
        enrol(db, programme, person, clock.now)
    row = queries.find_enrolment(db, programme.id, person.id)
    operations.choose_for_time(db, row, choice, 3, clock.now)
    assert row.state == after
    (counted,) = db.scalars(select(StageReason))
    assert (counted.stage, counted.reason, counted.choice) == (stage, "time", choice)


def test_no_time_when_paired_counts_and_leaves_the_pairing_alone(db, clock):
    programme, person = make_programme(db), make_person(db)
    row = enrol(db, programme, person, clock.now)
    operations.count_pairing(db, programme.id, person.id, +1)
    operations.choose_for_time(db, row, "leave", 3, clock.now)
    assert row.state == "submitted"
    assert db.scalars(select(StageReason.stage)).all() == ["paired"]


def test_nomination_when_the_colleague_fits_invites_them_and_names_nobody_unasked(db, clock):
    programme, me, colleague, leader = make_programme(db), make_person(db), make_person(db), make_leader(db)
    operations.nominate(db, programme, colleague, me.id, clock.now, named=False)
    operations.nominate(db, programme, leader, me.id, clock.now, named=True)
    row = queries.find_enrolment(db, programme.id, colleague.id)
    assert (row.state, row.source, row.role) == ("invited", "nominated", "mentor")
    assert me.display_name not in unread(db, colleague.id)[0].text
    assert me.display_name in unread(db, leader.id)[0].text


def test_nomination_when_they_are_in_already_or_do_not_fit_changes_nothing(db, clock):
    programme, me = make_programme(db), make_person(db)
    inside, between = make_person(db), make_person(db, seniority_rank=55)
    row = enrol(db, programme, inside, clock.now)
    for person in (inside, between):
        operations.nominate(db, programme, person, me.id, clock.now, named=True)
        assert kinds(db, person) == []
    assert (row.state, row.source) == ("submitted", "self")
    assert queries.find_enrolment(db, programme.id, between.id) is None


def test_nomination_when_five_were_nominated_is_refused(db, clock):
    programme, me = make_programme(db), make_person(db)
    for _ in range(5):
        operations.nominate(db, programme, make_person(db), me.id, clock.now, named=False)
    with pytest.raises(ConflictError):
        operations.nominate(db, programme, make_person(db), me.id, clock.now, named=False)


@pytest.fixture
def asked(db, clock):
    programme = make_programme(db, needs_endorsement=True)
    manager = make_person(db)
    person = make_person(db, manager_id=manager.id)
    row = enrol(db, programme, person, clock.now)
    return programme, manager, person, row


def test_endorsement_when_asked_keeps_them_out_of_the_pool_until_the_yes(db, clock, asked):
    _programme, manager, person, row = asked
    assert row.state == "endorsing"
    (notice,) = unread(db, manager.id)
    assert notice.path.startswith("/endorse/")
    question = endorsements.get(db, notice.path.removeprefix("/endorse/"))
    places.answer_endorsement(db, question, "yes", None, clock.now)
    assert row.state == "submitted"
    assert kinds(db, person) == ["endorsement_answered"]
    assert kinds(db, manager) == []
    with pytest.raises(ConflictError):
        places.answer_endorsement(db, question, "not_now", None, clock.now)


def test_endorsement_when_not_now_tells_the_coded_reason_and_may_be_asked_again_after_a_week(
    db, clock, asked
):
    programme, manager, person, row = asked
    first = endorsements.find(db, row.id)
    places.answer_endorsement(db, endorsements.get(db, first.token), "not_now", "peak", clock.now)
    assert row.state == "endorsing"
    assert "busy period" in unread(db, person.id)[0].text
    with pytest.raises(ConflictError):
        endorsements.ask_again(db, row, clock.forward(days=6))
    old = first.token
    endorsements.ask_again(db, row, clock.forward(days=1))
    with pytest.raises(NotFoundError):
        endorsements.get(db, old)
    places.answer_endorsement(db, endorsements.get(db, first.token), "yes", None, clock.now)
    assert row.state == "submitted"
    # A second time in this programme nobody is asked: the hour is agreed.
    operations.withdraw(db, row, clock.now)
    assert enrol(db, programme, person, clock.now).state == "submitted"
    assert kinds(db, manager) == []


def test_endorsement_when_unanswered_is_reminded_twice_a_week_apart(db, clock, asked):
    _programme, manager, _person, _row = asked
    reminded = [endorsements.remind(db, clock.forward(days=1)) for _ in range(30)]
    assert [day for day, n in enumerate(reminded, start=1) if n] == [7, 14]
    assert kinds(db, manager) == ["endorsement_asked"]


def test_endorsement_when_the_manager_changed_meanwhile_asks_the_new_one(db, clock, asked):
    _programme, manager, person, row = asked
    old, new = endorsements.find(db, row.id).token, make_person(db)
    person.manager_id = new.id
    assert [endorsements.remind(db, clock.forward(days=7)) for _ in range(4)] == [1, 1, 1, 0]
    assert (kinds(db, manager), kinds(db, new)) == ([], ["endorsement_asked"])
    with pytest.raises(NotFoundError):
        endorsements.get(db, old)


@pytest.mark.parametrize("state", ["concluding", "archived"])
def test_endorsement_when_the_programme_takes_nobody_in_any_more_is_closed(db, clock, asked, state):
    programme, _manager, _person, row = asked
    programme.state = state
    question = endorsements.get(db, endorsements.find(db, row.id).token)
    assert not question.is_open
    with pytest.raises(ConflictError):
        places.answer_endorsement(db, question, "yes", None, clock.now)
    assert (row.state, endorsements.remind(db, clock.forward(days=8))) == ("endorsing", 0)


def test_endorsement_when_the_person_leaves_is_asked_no_longer(db, clock, asked):
    _programme, manager, _person, row = asked
    token = endorsements.find(db, row.id).token
    operations.withdraw(db, row, clock.now)
    assert kinds(db, manager) == []
    with pytest.raises(ConflictError):
        places.answer_endorsement(db, endorsements.get(db, token), "yes", None, clock.now)
    assert row.state == "withdrawn"


def test_endorsement_when_the_roster_names_no_manager_at_work_is_the_teams(db, clock):
    programme = make_programme(db, needs_endorsement=True)
    gone = make_person(db, status="terminated")
    person = make_person(db, manager_id=gone.id)
    row = enrol(db, programme, person, clock.now)
    assert [one.id for _row, one in endorsements.without_manager(db, programme.id)] == [person.id]
    other = make_programme(db, name="Other")
    with pytest.raises(NotFoundError):
        endorsements.get_for_team(db, other.id, row.id)
    places.endorse_for_team(db, endorsements.get_for_team(db, programme.id, row.id), "command", clock.now)
    assert row.state == "submitted"


def test_endorsement_when_the_manager_is_known_cannot_be_given_by_the_team(db, clock, asked):
    programme, _manager, _person, row = asked
    with pytest.raises(NotFoundError):
        endorsements.get_for_team(db, programme.id, row.id)


def test_yes_when_all_places_are_taken_leads_into_the_line(db, clock):
    programme = make_programme(db, needs_endorsement=True, target_mentors=1)
    people = [make_person(db, manager_id=make_leader(db).id) for _ in range(2)]
    rows = [enrol(db, programme, person, clock.now) for person in people]
    for row in rows:
        question = endorsements.get(db, endorsements.find(db, row.id).token)
        places.answer_endorsement(db, question, "yes", None, clock.now)
    assert [row.state for row in rows] == ["submitted", "waitlisted"]


def test_night_when_it_comes_looks_after_everybody_in_each_tenant(
    database, runtime, tenant, other_tenant, clock
):
    rows = []
    for one in (tenant, other_tenant):
        with database.transaction(one.id) as db:
            programme = make_programme(db, needs_endorsement=True)
            person = make_person(db, manager_id=make_person(db).id)
            enrol(db, programme, person, clock.now)
            pausing = enrol(db, make_programme(db, name="Plain"), person, clock.now)
            places.pause(db, pausing, 1, clock.now)
            rows.append((one, pausing.id))
    clock.forward(days=8)
    assert tasks.tend_places(runtime) == 2
    for one, enrolment_id in rows:
        with database.transaction(one.id) as db:
            assert db.get_one(places.Enrolment, enrolment_id).state == "submitted"
            assert db.scalars(select(Endorsement.reminders)).all() == [1]


def test_places_when_newcomers_of_any_age_come_take_them_as_mentors(db, clock):
    """A newcomer is somebody who joined lately, and nothing else is known about them."""
    programme = make_programme(db, template="newcomer_view")
    recent = clock.now.date() - timedelta(days=100)
    newcomer = make_person(db, seniority_rank=50, hire_date=recent)
    assert enrol(db, programme, newcomer, clock.now).role == "mentor"
    suggested = queries.eligible_people(db, programme, clock.now.date(), "mentor", newcomers=True)
    assert suggested == []
    also = make_person(db, seniority_rank=60, hire_date=recent)
    suggested = queries.eligible_people(db, programme, clock.now.date(), "mentor", newcomers=True)
    assert [row.person.id for row in suggested] == [also.id]
