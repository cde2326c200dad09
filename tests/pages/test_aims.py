"""Leadership aims: the mentor's own; the mentee observes only when both agree; no manager reads one."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmplugin.aims import operations, queries
from rmplugin.aims.models import AimRating, LeadershipAim
from rmplugin.errors import ConflictError, NotAllowedError
from rmplugin.notify import Notice
from tests.factories.pairs import make_pair
from tests.factories.people import make_person

SECRET = "I am afraid of the board"
BEGINS, ENDS = date(2026, 12, 1), date(2027, 6, 1)


@pytest.fixture
def pair(runtime, tenant):
    return make_pair(runtime, tenant)


def do(pair, verb, person, *args, **fields):
    with pair.transaction() as db:
        return verb(db, pair.get(db), person.id, *args, pair.now, **fields)


def choose(pair):
    return do(pair, operations.choose_aim, pair.mentor, "speak_up", SECRET)


def agree(pair):
    do(pair, operations.ask_to_observe, pair.mentor)
    do(pair, operations.answer_observation, pair.mentee, yes=True)


def ratings(pair):
    return [(row.moment, row.rater, row.rating) for row in pair.rows(AimRating)]


@pytest.mark.parametrize(
    ("today", "moment"),
    [(date(2026, 12, 1), "start"), (date(2027, 2, 1), "start"), (date(2027, 3, 1), "mid"), (ENDS, "end")],
)
def test_moment_when_time_passes_goes_from_start_to_end(today, moment):
    assert queries.moment_of(BEGINS, ENDS, today) == moment


@given(st.dates(BEGINS, ENDS), st.dates(BEGINS, ENDS))
def test_moment_when_later_is_never_earlier(one, other):
    first, second = sorted((one, other))
    order = queries.MOMENTS.index
    assert order(queries.moment_of(BEGINS, ENDS, first)) <= order(queries.moment_of(BEGINS, ENDS, second))


def test_aim_when_chosen_and_rated_three_times_shows_the_change_and_can_be_downloaded(
    sign_in, tenant, pair, clock
):
    browser = sign_in(tenant, pair.mentor).get(pair.path)
    assert "What do you want to grow in by teaching?" in browser.says()
    browser.get(f"{pair.path}/aim").submit("/aim", aim="speak_up", words=SECRET)
    assert "Your aim is kept." in browser.says()
    for rating, days in ((2, 100), (3, 80), (4, 0)):
        browser = sign_in(tenant, pair.mentor).get(f"{pair.path}/aim")
        browser.submit("/aim/rating", rating=str(rating), note="In the review")
        assert browser.status == 200, browser.says()
        clock.forward(days=days)
    assert ratings(pair) == [("start", "mentor", 2), ("mid", "mentor", 3), ("end", "mentor", 4)]
    browser = sign_in(tenant, pair.mentor).get(f"{pair.path}/aim")
    assert "Change as the mentor sees it: +2" in browser.says()
    page = browser.get(f"{pair.path}/aim/evidence")
    assert "Leadership aim of Mira Junior" in page.says()
    assert "Say what I think when it is uncomfortable" in page.says()
    assert "<script" not in page.text


def test_aim_when_the_mentee_was_not_asked_is_not_found_by_them(sign_in, tenant, pair):
    choose(pair)
    mentee = sign_in(tenant, pair.mentee)
    assert mentee.get(f"{pair.path}/aim").status == 404
    assert mentee.get(f"{pair.path}/aim/evidence").status == 404
    assert "Leadership aim" not in mentee.get(pair.path).says()
    with pytest.raises(NotAllowedError, match="not_agreed"):
        do(pair, operations.rate, pair.mentee, 3, "")


def test_observation_when_both_agree_is_read_by_the_mentor_and_hides_their_own_rating(sign_in, tenant, pair):
    choose(pair)
    do(pair, operations.rate, pair.mentor, 2, "My own note")
    mentor, mentee = sign_in(tenant, pair.mentor), sign_in(tenant, pair.mentee)
    mentor.get(f"{pair.path}/aim").submit("/aim/ask")
    assert "Sven Senior is asked" in mentor.says()
    assert [row.kind for row in pair.rows(Notice, person_id=pair.mentee.id)] == ["aim_observation"]
    assert "asks whether you would observe" in mentee.get(pair.path).says()
    mentee.get(f"{pair.path}/aim").submit("/aim/observe", answer="yes")
    mentee.get(f"{pair.path}/aim").submit("/aim/rating", rating="4", note="Asked a hard question")
    assert mentee.status == 200, mentee.says()
    assert "My own note" not in mentee.says()
    page = mentor.get(f"{pair.path}/aim").says()
    assert "4: does it well, mostly" in page
    assert "Asked a hard question" in page


def test_observation_when_declined_stays_so(pair):
    choose(pair)
    do(pair, operations.ask_to_observe, pair.mentor)
    do(pair, operations.answer_observation, pair.mentee, yes=False)
    with pytest.raises(ConflictError, match="cannot_ask"):
        do(pair, operations.ask_to_observe, pair.mentor)
    with pytest.raises(NotAllowedError, match="not_agreed"):
        do(pair, operations.rate, pair.mentee, 3, "")


@pytest.mark.parametrize("by", ["mentor", "mentee"])
def test_observation_when_either_takes_it_back_stops_and_keeps_what_was_rated(sign_in, tenant, pair, by):
    choose(pair)
    agree(pair)
    do(pair, operations.rate, pair.mentee, 4, "clear words")
    browser = sign_in(tenant, getattr(pair, by)).get(f"{pair.path}/aim")
    browser.submit("/aim/stop")
    assert "not observed any more" in browser.says()
    with pytest.raises(NotAllowedError, match="not_agreed"):
        do(pair, operations.rate, pair.mentee, 5, "")
    with pytest.raises(ConflictError, match="not_observed"):
        do(pair, operations.stop_observing, pair.mentee)
    assert sign_in(tenant, pair.mentee).get(f"{pair.path}/aim").status == 404
    words = sign_in(tenant, pair.mentor).get(f"{pair.path}/aim").says()
    assert "does not observe it" in words
    assert "clear words" in words
    told = [notice for notice in pair.rows(Notice, person_id=pair.mentor.id) if "any more" in notice.text]
    assert len(told) == (by == "mentee")


def test_observation_when_not_asked_cannot_be_agreed_to(pair):
    choose(pair)
    with pytest.raises(ConflictError, match="nothing_asked"):
        do(pair, operations.answer_observation, pair.mentee, yes=True)


def test_aim_when_a_mentee_chooses_is_refused(pair):
    with pytest.raises(NotAllowedError, match="other_role"):
        do(pair, operations.choose_aim, pair.mentee, "explain", "")


def test_aim_when_not_rated_can_be_chosen_anew_and_then_stays(pair):
    choose(pair)
    do(pair, operations.choose_aim, pair.mentor, "explain", "")
    assert [row.aim for row in pair.rows(LeadershipAim)] == ["explain"]
    do(pair, operations.rate, pair.mentor, 3, "")
    do(pair, operations.rate, pair.mentor, 4, "")
    assert ratings(pair) == [("start", "mentor", 4)]
    with pytest.raises(ConflictError, match="aim_rated"):
        choose(pair)


def test_aim_when_a_manager_or_line_manager_looks_is_not_found(sign_in, tenant, pair):
    choose(pair)
    agree(pair)
    with pair.transaction() as db:
        boss = make_person(db)
        db.merge(pair.mentor).manager_id = boss.id
    for path in ("/aim", "/aim/evidence"):
        assert sign_in(tenant, boss, manager=True).get(pair.path + path).status == 404
        assert sign_in(tenant, manager=True).get(pair.path + path).status in (403, 404)


def test_rating_when_no_step_is_chosen_says_so(sign_in, tenant, pair):
    choose(pair)
    browser = sign_in(tenant, pair.mentor).get(f"{pair.path}/aim").submit("/aim/rating", note="Kept")
    assert browser.status == 422
    assert "Kept" in browser.text


def remind(pair):
    with pair.transaction() as db:
        return operations.remind(db, pair.now)


def test_ratings_when_half_way_and_at_the_end_are_reminded_of_once_each(pair, clock):
    choose(pair)
    agree(pair)
    assert remind(pair) == 0
    clock.forward(days=100)
    assert remind(pair) == 2
    assert remind(pair) == 0
    do(pair, operations.rate, pair.mentor, 3, "")
    clock.forward(days=80)
    do(pair, operations.rate, pair.mentor, 4, "")
    assert remind(pair) == 1
    told = [row.kind for row in pair.rows(Notice, person_id=pair.mentee.id)]
    assert told == ["aim_observation", "aim_due_mid", "aim_due_end"]
