"""Enrolling people from a file."""

import pytest

from rmplugin.errors import ConflictError
from rmplugin.programmes import imports, operations, queries
from tests.factories.people import make_leader, make_person
from tests.factories.programmes import make_programme

HEAD = "employee_number,email,role,offers,wants,languages,motivation,motivation_level,capacity,"
HEAD += "work_from,work_to,work_days,time_zone\n"


@pytest.fixture
def db(database, tenant):
    with database.transaction(tenant.id) as db:
        yield db


def read(db, clock, programme, text):
    return imports.import_enrolments(db, programme, imports.read_enrolment_rows(text), "command", clock.now)


def line(**cells):
    good = {
        "employee_number": "000777",
        "offers": "Generative AI tools:3|Short video:2",
        "wants": "Company strategy:2:1",
        "languages": "en|German",
    }
    cells = good | cells
    return ",".join(cells.get(name, "") for name in HEAD.strip().split(",")) + "\n"


def test_import_when_row_is_good_enrols_with_every_answer(db, clock):
    programme, person = make_programme(db, state="draft"), make_person(db, employee_number="000777")
    cells = {"motivation": "Because", "motivation_level": "5", "capacity": "2", "work_from": "08:30"}
    cells |= {"work_to": "24:00", "work_days": "Mon|Wednesday|Sa", "time_zone": "Asia/Kolkata"}
    report = read(db, clock, programme, HEAD + line(**cells))
    assert report.as_json() == {"seen": 1, "created": 1, "updated": 0, "skipped": []}
    enrolment = queries.find_enrolment(db, programme.id, person.id)
    assert (enrolment.state, enrolment.role, enrolment.capacity) == ("submitted", "mentor", 2)
    assert (enrolment.motivation, enrolment.motivation_level) == ("Because", 5)
    assert enrolment.consented_at is None
    profile, offers, wants = queries.answers_of(db, person.id)
    assert (profile.work_from_minute, profile.work_to_minute, profile.work_days) == (510, 1440, [0, 2, 5])
    assert (profile.languages, profile.time_zone) == (["en", "de"], "Asia/Kolkata")
    assert (sorted(offers.values()), list(wants.values())) == ([2, 3], [(2, 1)])
    assert programme.state == "enrolling"


def test_import_when_file_comes_twice_is_as_once(db, clock):
    programme = make_programme(db)
    make_person(db, employee_number="000777")
    read(db, clock, programme, HEAD + line())
    again = read(db, clock, programme, HEAD + line())
    assert (again.created, again.updated) == (0, 1)
    assert len(queries.list_enrolments(db, programme.id)) == 1


def test_import_when_file_comes_from_a_spreadsheet_is_read(db, clock):
    programme = make_programme(db)
    person = make_person(db, email="Ada@Example.com")
    text = "\ufeffEmail;Offers;Wants;Motivation\r\n"
    text += 'ADA@example.com;Short video:2;Budgeting:1;"One\ntwo; three"\r\n'
    assert read(db, clock, programme, text).created == 1
    enrolment = queries.find_enrolment(db, programme.id, person.id)
    assert enrolment.motivation == "One\ntwo; three"
    profile, _, _ = queries.answers_of(db, person.id)
    assert (profile.languages, profile.time_zone) == (["en"], "Europe/Berlin")


@pytest.mark.parametrize(
    ("cells", "field"),
    [
        ({"employee_number": ""}, "employee_number"),
        ({"employee_number": "424242"}, "employee_number"),
        ({"offers": "Juggling:3"}, "offers"),
        ({"offers": ""}, "offers"),
        ({"offers": "Short video:0"}, "offers"),
        ({"offers": "Short video:5"}, "offers"),
        ({"offers": "Short video"}, "offers"),
        ({"wants": "Budgeting:2:4"}, "wants"),
        ({"languages": "Klingonish"}, "languages"),
        ({"capacity": "4"}, "capacity"),
        ({"motivation_level": "much"}, "motivation_level"),
        ({"work_from": "nine"}, "work_from"),
        ({"work_from": "18:00"}, "work_to"),
        ({"work_days": "T"}, "work_days"),
        ({"time_zone": "Berlin"}, "time_zone"),
        ({"role": "mentee"}, "role"),
    ],
)
def test_import_when_row_is_bad_lists_it_and_keeps_the_others(db, clock, cells, field):
    programme = make_programme(db)
    make_person(db, employee_number="000777")
    make_leader(db, employee_number="000888")
    report = read(db, clock, programme, HEAD + line(**cells) + line(employee_number="000888"))
    assert [(fault["ref"], fault["field"]) for fault in report.skipped] == [("row 2", field)]
    assert (report.seen, report.created) == (2, 1)
    assert "000777" not in str(report.skipped)


def test_import_when_person_is_not_eligible_says_why(db, clock):
    programme = make_programme(db)
    make_person(db, employee_number="000777", seniority_rank=55)
    (fault,) = read(db, clock, programme, HEAD + line()).skipped
    assert fault["reason"].startswith("not eligible: neither senior enough")


def test_import_when_two_rows_name_one_person_takes_the_first(db, clock):
    programme = make_programme(db)
    person = make_person(db, employee_number="000777")
    report = read(db, clock, programme, HEAD + line(capacity="2") + line(capacity="3"))
    assert [fault["ref"] for fault in report.skipped] == ["row 3"]
    assert queries.find_enrolment(db, programme.id, person.id).capacity == 2


def test_import_when_number_is_ambiguous_enrols_neither(db, clock):
    programme = make_programme(db)
    make_person(db, employee_number="000777")
    make_person(db, employee_number="000777")
    (fault,) = read(db, clock, programme, HEAD + line()).skipped
    assert fault["reason"] == "several people have it"


def test_import_when_person_is_paired_leaves_the_answers(db, clock):
    programme = make_programme(db)
    person = make_person(db, employee_number="000777")
    read(db, clock, programme, HEAD + line())
    operations.count_pairing(db, programme.id, person.id, +1)
    assert len(read(db, clock, programme, HEAD + line(capacity="3")).skipped) == 1
    assert queries.find_enrolment(db, programme.id, person.id).capacity == 1


def test_import_when_programme_is_over_is_refused(db, clock):
    programme = make_programme(db, state="archived")
    with pytest.raises(ConflictError):
        read(db, clock, programme, HEAD + line())
