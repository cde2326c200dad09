"""The table of pairs on the manager's desk: its pages, its filters, and the whole of it as a file."""

import csv
import io
from datetime import date, timedelta

import pytest
from sqlalchemy import update

from rmplugin.checkins import operations as checkins
from rmplugin.checkins.forms import ITEMS
from rmplugin.dashboard.pairs import PAGE
from rmplugin.matching.models import Pairing
from rmplugin.people.models import Person
from rmplugin.programmes.models import Enrolment
from tests.factories.pairs import make_pair
from tests.factories.programmes import make_context


def gather(pairs, course):
    """Put pairs into the programme of the first one, and that into a course."""
    first = pairs[0]
    with first.transaction() as db:
        db.merge(first.programme).context_id = course.id
        ids = [pair.pairing.id for pair in pairs]
        db.execute(update(Pairing).where(Pairing.id.in_(ids)).values(programme_id=first.programme.id))
        for number, pair in enumerate(pairs):
            # The newest pair comes first in the table.
            pair.get(db).started_at = first.now - timedelta(hours=number)
            db.get_one(Person, pair.mentor.id).display_name = f"Mentor {number:02d}"


@pytest.fixture
def course(runtime, tenant):
    with runtime.database.transaction(tenant.id) as db:
        return make_context(db)


@pytest.fixture
def pairs(runtime, tenant, course, clock):
    """Give three pairs: one that is fine and meets, one that ended, one that lies apart."""
    fine, over, apart = found = [make_pair(runtime, tenant) for _ in range(3)]
    gather(found, course)
    fine.agree()
    session = fine.hold()
    fine.claim(session, fine.mentor, 60)
    fine.claim(session, fine.mentee, 45)
    fine.plan(fine.mentor, fine.now + timedelta(days=20))
    over.end()
    clock.forward(days=14)
    for pair, points in ((fine, (5, 4)), (apart, (2, 5))):
        for person, fit in zip((pair.mentor, pair.mentee), points, strict=True):
            with pair.transaction() as db:
                answers = dict.fromkeys(ITEMS, 4) | {"fit": fit}
                secrets = pair.runtime.database.secrets
                checkins.answer(db, secrets, pair.get(db), person.id, answers, pair.now)
    return found


def mentors_on(page) -> list[str]:
    """Name the mentors in the table, in its order."""
    table = page.text[page.text.index('id="pairs"') :]
    return [f"Mentor {part[:2]}" for part in table.split('<tr><th scope="row">Mentor ')[1:]]


def test_table_when_longer_than_a_page_has_pages_and_beyond_the_end_shows_the_last(
    sign_in, runtime, tenant, course
):
    gather([make_pair(runtime, tenant) for _ in range(PAGE + 2)], course)
    page = sign_in(tenant, manager=True, context=course).get("/manage")
    assert mentors_on(page) == [f"Mentor {n:02d}" for n in range(PAGE)]
    assert "Page 1 of 2" in page.says()
    for late in (2, 3, 100_000):
        page.get(f"/manage?page={late}")
        assert mentors_on(page) == [f"Mentor {PAGE}", f"Mentor {PAGE + 1}"]
        assert "Page 2 of 2" in page.says()
        assert f"{PAGE + 2} pairs" in page.says()


@pytest.mark.parametrize(
    ("asked", "mentors"),
    [
        ("", ["00", "01", "02"]),
        ("state=active", ["00", "02"]),
        ("state=ended", ["01"]),
        ("state=completed", []),
        ("health=good", ["00"]),
        ("health=low", ["02"]),
        ("health=none", ["01"]),
        ("health=low&state=active&page=9", ["02"]),
        ("health=low&state=ended", []),
    ],
)
def test_table_when_filtered_shows_what_fits_and_says_when_nothing_does(
    sign_in, tenant, course, pairs, asked, mentors
):
    page = sign_in(tenant, manager=True, context=course).get(f"/manage?{asked}")
    assert mentors_on(page) == [f"Mentor {number}" for number in mentors]
    assert ("No pair fits this filter." in page.says()) == (not mentors)


@pytest.mark.parametrize("asked", ["state=nonsense", "health=5", "page=0", "page=x", "page=-3"])
def test_table_when_asked_for_nonsense_shows_everything(sign_in, tenant, course, pairs, asked):
    page = sign_in(tenant, manager=True, context=course).get(f"/manage?{asked}")
    assert page.status == 200
    assert len(mentors_on(page)) == 3


def test_lists_above_the_table_when_their_pairs_are_on_another_page_show_them(
    sign_in, runtime, tenant, course, pairs
):
    fine, _over, apart = pairs
    with fine.transaction() as db:
        pairing = apart.get(db)
        pairing.state, pairing.interruption, pairing.interrupted_at = "suspended", "line_gone", apart.now
        db.get_one(Person, fine.mentor.id).seniority_rank = 99
        db.get_one(Person, fine.mentor.id).hire_date = date(2000, 1, 1)
    page = sign_in(tenant, manager=True, context=course).get("/manage?state=ended")
    assert mentors_on(page) == ["Mentor 01"]
    assert "Mentor 02 → Sven Senior suspended since 7 Dec 2026" in page.says()
    turned = page.says().split("No longer junior ")[1].split(" New colleagues")[0].split("Sign-up")[0]
    assert "Mentor 00 → Sven Senior" in turned
    assert "Mentor 02" not in turned


def test_file_when_downloaded_has_every_pair_with_numbers_and_without_words(
    sign_in, runtime, tenant, course, pairs
):
    with pairs[1].transaction() as db:
        db.get_one(Person, pairs[1].mentee.id).display_name = "=HYPERLINK(1)"
    browser = sign_in(tenant, manager=True, context=course).get("/manage")
    browser.submit("/manage/pairs.csv")
    # Spreadsheet programs take a file for UTF-8 when it begins so.
    assert browser.text.startswith("\ufeff")
    rows = list(csv.DictReader(io.StringIO(browser.text.removeprefix("\ufeff"))))
    assert [row["mentor"] for row in rows] == ["Mentor 00", "Mentor 01", "Mentor 02"]
    assert rows[0] == {
        "mentor": "Mentor 00",
        "mentee": "Sven Senior",
        "state": "active",
        "sessions": "1",
        "minutes": "45",
        "last_session": str(date(2026, 11, 23)),
        "next_session": str(date(2026, 12, 13)),
        "health": "good",
        "lower_of_the_two": "4",
        "gap": "1",
    }
    # A name that a spreadsheet would run is only text in it.
    assert rows[1]["mentee"] == "'=HYPERLINK(1)"
    assert (rows[1]["state"], rows[1]["sessions"], rows[1]["health"], rows[1]["gap"]) == (
        "ended",
        "0",
        "",
        "",
    )
    assert (rows[2]["health"], rows[2]["lower_of_the_two"], rows[2]["gap"]) == ("low", "2", "3")


def test_file_when_the_course_has_no_programme_is_not_found(sign_in, tenant, course):
    browser = sign_in(tenant, manager=True, context=course)
    assert browser.post("/manage/pairs.csv").status == 404


def test_desk_when_five_wanted_another_partner_says_how_many_have_one(sign_in, runtime, tenant, course):
    over = [make_pair(runtime, tenant) for _ in range(3)]
    gather(over, course)
    first = over[0]
    with first.transaction() as db:
        for pair in over:
            pair.get(db).state, pair.get(db).ended_at = "ended", pair.now
        for person in (person for pair in over for person in (pair.mentor, pair.mentee)):
            db.execute(
                update(Enrolment)
                .where(Enrolment.person_id == person.id)
                .values(programme_id=first.programme.id, state="submitted")
            )
    page = sign_in(tenant, manager=True, context=course)
    wanted = "Another partner, of those who wanted one"
    assert f"0 of 6 {wanted}" in page.get("/manage").says()
    again = make_pair(runtime, tenant)
    with first.transaction() as db:
        pairing = again.get(db)
        pairing.programme_id, pairing.mentor_id = first.programme.id, first.mentor.id
        pairing.started_at = first.now + timedelta(days=1)
    assert f"1 of 6 {wanted}" in page.get("/manage").says()
    with first.transaction() as db:
        left = [over[1].mentor.id, over[2].mentor.id]
        db.execute(update(Enrolment).where(Enrolment.person_id.in_(left)).values(state="withdrawn"))
    # About fewer than five people nothing is said.
    assert wanted not in page.get("/manage").says()
