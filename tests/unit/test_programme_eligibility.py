"""Who may take part in a programme, and why."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmplugin.people.models import Person
from rmplugin.programmes import queries
from tests.factories.people import make_leader, make_person
from tests.factories.programmes import enrol, make_programme

TODAY = date(2026, 11, 23)


@pytest.fixture
def db(database, tenant):
    with database.transaction(tenant.id) as db:
        yield db


def fit(db, programme, person):
    return queries.find_fit(db, programme, person.id, TODAY)


@given(st.dates(date(2000, 1, 1), TODAY), st.integers(0, 60), st.dates(date(2020, 1, 1), date(2030, 12, 31)))
def test_hired_after_the_day_some_months_ago_when_any_dates_equals_whole_months(hired, months, today):
    if hired <= today:
        within = hired > queries.months_ago(today, months + 1)
        assert within == (queries.tenure_months(hired, today) <= months)


@pytest.mark.parametrize(
    ("rank", "hired", "code", "roles"),
    [
        (70, date(2015, 1, 1), "mentee", ("mentee",)),
        (69, date(2015, 1, 1), "between", ()),
        (40, date(2015, 1, 1), "mentor_rank", ("mentor",)),
        (41, date(2015, 1, 1), "between", ()),
        (55, date(2025, 10, 24), "mentor_tenure", ("mentor",)),
        (55, date(2025, 10, 23), "between", ()),
        (90, date(2026, 5, 1), "mentee", ("mentee", "mentor")),
        (None, date(2015, 1, 1), "unmapped", ()),
        (None, date(2026, 5, 1), "mentor_tenure", ("mentor",)),
        (10, date(2026, 11, 24), "not_working", ()),
    ],
)
def test_fit_when_grade_and_first_day_vary_names_role_and_reason(db, rank, hired, code, roles):
    programme = make_programme(db)
    found = fit(db, programme, make_person(db, seniority_rank=rank, hire_date=hired))
    assert (found.code, found.roles) == (code, roles)


def test_fit_when_tenure_way_is_off_asks_for_the_grade(db):
    programme = make_programme(db, mentor_max_tenure_months=None)
    assert fit(db, programme, make_person(db, seniority_rank=55, hire_date=date(2026, 10, 1))).roles == ()


def test_fit_when_no_grade_at_all_says_so(db):
    programme = make_programme(db)
    assert fit(db, programme, make_person(db, seniority_rank=None, grade=None)).code == "no_grade"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"status": "prehire"}, "not_working"),
        ({"status": "suspended"}, "not_working"),
        ({"status": "leave"}, "mentor_rank"),
        ({"status": "terminated"}, "unknown"),
        ({"lifecycle": "tombstoned"}, "unknown"),
    ],
)
def test_fit_when_not_at_work_is_none(db, fields, code):
    programme = make_programme(db)
    assert fit(db, programme, make_person(db, **fields)).code == code


def test_fit_when_explained_names_the_facts(db):
    programme = make_programme(db)
    newcomer = make_person(db, seniority_rank=50, hire_date=date(2026, 4, 1))
    assert (
        fit(db, programme, newcomer).text == "joined 7 months ago, and mentors joined at most 12 months ago"
    )
    assert fit(db, programme, newcomer).newcomer


def test_person_has_no_birth_date():
    assert not [name for name in Person.__table__.columns.keys() if "birth" in name or name == "age"]  # noqa: SIM118


def test_eligible_people_when_listed_put_newcomers_first_and_leave_others_out(db):
    programme = make_programme(db)
    old = make_person(db, given_name="Aa", hire_date=date(2015, 1, 1))
    newcomer = make_person(db, given_name="Zz", hire_date=date(2026, 9, 1))
    leader = make_leader(db)
    make_person(db, seniority_rank=55)
    listed = queries.eligible_people(db, programme, TODAY)
    assert [row.person.id for row in listed] == [newcomer.id, old.id, leader.id]
    assert [row.role for row in listed] == ["mentor", "mentor", "mentee"]
    assert [row.person.id for row in queries.eligible_people(db, programme, TODAY, "mentee")] == [leader.id]


def test_eligible_people_when_a_few_newcomers_are_asked_for_begin_with_who_joined_last(db):
    programme = make_programme(db)
    for number in range(3):
        make_person(db, given_name=f"Aa{number}", hire_date=date(2026, 2, 1 + number))
    make_person(db, given_name="Zz", hire_date=date(2026, 9, 1))
    found = queries.eligible_people(db, programme, TODAY, "mentor", newcomers=True, limit=2)
    assert [row.person.given_name for row in found] == ["Zz", "Aa2"]


def test_eligible_people_when_searched_or_paged_agree_with_the_count(db):
    programme = make_programme(db)
    for number in range(7):
        make_person(db, given_name=f"Ann{number}")
    make_person(db, given_name="100%")
    paged = [
        row.person.id
        for offset in (0, 3, 6)
        for row in queries.eligible_people(db, programme, TODAY, search="ann", offset=offset, limit=3)
    ]
    assert len(paged) == len(set(paged)) == 7
    assert queries.count_eligible_people(db, programme, TODAY, search="ann") == 7
    assert queries.count_eligible_people(db, programme, TODAY, search="%") == 1


def test_count_eligibility_when_some_are_enrolled_counts_who_is_left(db, clock):
    programme = make_programme(db)
    mentor = make_person(db, hire_date=date(2026, 9, 1))
    make_person(db)
    make_leader(db)
    for rank, grade in ((55, "G6"), (None, "X1"), (None, "X1")):
        make_person(db, seniority_rank=rank, grade=grade)
    make_person(db, status="terminated")
    enrol(db, programme, mentor, clock.now)
    counts = queries.count_eligibility(db, programme, TODAY)
    assert (counts.mentors, counts.mentees, counts.newcomers) == (2, 1, 1)
    assert counts.to_invite == {"mentor": 1, "mentee": 1}
    assert counts.not_eligible == {"unmapped": 2, "between": 1}
