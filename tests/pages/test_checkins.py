"""Check-ins: each alone, encrypted words, a band for the manager and nothing else."""

import pytest

from rmplugin.checkins import operations, queries
from rmplugin.checkins.models import Checkin
from rmplugin.errors import ConflictError
from rmplugin.notify import Notice
from tests.factories.pairs import make_pair

SECRET = "I did not dare to say it aloud"


@pytest.fixture
def pair(runtime, tenant):
    return make_pair(runtime, tenant)


def answer(pair, person, satisfaction=4, words=""):
    values = dict.fromkeys(("progress", "safety", "heard", "learned", "energy"), 4)
    values |= {"satisfaction": satisfaction, "words": words}
    with pair.transaction() as db:
        secrets = pair.runtime.database.secrets
        return operations.answer(db, secrets, pair.get(db), person.id, values, pair.now)


def due(pair, person):
    with pair.transaction() as db:
        return queries.due_checkin(db, pair.get(db), person.id, pair.now)


def health(pair):
    with pair.transaction() as db:
        return queries.pair_health(db, [pair.pairing.id]).get(pair.pairing.id)


def test_checkin_waits_from_week_two_and_then_every_four_weeks(pair, clock):
    assert due(pair, pair.mentor) is None
    clock.forward(days=13, hours=23)
    assert due(pair, pair.mentor) is None
    clock.forward(hours=1)
    assert due(pair, pair.mentor) == 1
    answer(pair, pair.mentor)
    assert due(pair, pair.mentor) is None
    assert due(pair, pair.mentee) == 1
    clock.forward(weeks=4)
    assert due(pair, pair.mentor) == 2
    assert due(pair, pair.mentee) == 2


def test_checkin_when_answered_through_the_page_is_seen_by_oneself(sign_in, tenant, pair, clock):
    clock.forward(days=14)
    browser = sign_in(tenant, pair.mentor).get(f"{pair.path}/checkin")
    scale = dict.fromkeys(("satisfaction", "progress", "safety", "heard", "learned", "energy"), "4")
    browser.submit("/checkin", words=SECRET, **scale)
    assert "your partner does not see them" in browser.says()
    assert SECRET in browser.get(f"{pair.path}/checkin").says()
    assert "The next one is on Mon 4 Jan 2027, 10:00 (Europe/Berlin)" in browser.says()


def test_checkin_when_a_question_is_open_keeps_the_rest(sign_in, tenant, pair, clock):
    clock.forward(days=14)
    browser = sign_in(tenant, pair.mentor).get(f"{pair.path}/checkin")
    browser.submit("/checkin", words=SECRET, satisfaction="6", heard="2")
    assert browser.status == 422
    assert browser.text.count("Please choose a number from 1 to 5.") == 5
    assert SECRET in browser.text
    assert pair.rows(Checkin) == []


def test_checkin_words_lie_encrypted_in_the_database(pair, clock):
    clock.forward(days=14)
    answer(pair, pair.mentor, words=SECRET)
    row = pair.rows(Checkin)[0]
    assert SECRET.encode() not in row.words_locked
    assert SECRET not in str(row.answers)
    assert pair.runtime.database.secrets.unlock(row.words_locked) == SECRET


def test_checkin_when_answered_is_on_no_page_of_the_partner(sign_in, tenant, pair, clock):
    clock.forward(days=14)
    plain = sign_in(tenant, pair.mentee)
    paths = ("", "/checkin", "/agreement", "/goals/new", "/sessions/new")
    before = [plain.get(pair.path + path).says() for path in paths]
    answer(pair, pair.mentor, satisfaction=1, words=SECRET)
    after = [plain.get(pair.path + path).says() for path in paths]
    assert after == before
    assert SECRET not in " ".join(after)
    assert pair.rows(Notice, person_id=pair.mentee.id) == []


def test_own_checkins_never_hold_the_partners(pair, clock):
    clock.forward(days=14)
    answer(pair, pair.mentor)
    mine = answer(pair, pair.mentee, satisfaction=2)
    with pair.transaction() as db:
        rows = queries.own_checkins(db, pair.pairing.id, pair.mentee.id)
    assert [row.id for row in rows] == [mine.id]


def test_checkin_when_answered_twice_in_a_wave_is_refused(pair, clock):
    clock.forward(days=14)
    answer(pair, pair.mentor)
    with pytest.raises(ConflictError, match="no_checkin_due"):
        answer(pair, pair.mentor, satisfaction=1)
    assert [row.satisfaction for row in pair.rows(Checkin)] == [4]


def test_checkin_when_too_early_or_ended_is_refused(pair, clock):
    with pytest.raises(ConflictError, match="no_checkin_due"):
        answer(pair, pair.mentor)
    clock.forward(days=14)
    pair.end()
    with pytest.raises(ConflictError, match="pairing_ended"):
        answer(pair, pair.mentor)


@pytest.mark.parametrize(
    ("mentor", "mentee", "band", "gap"),
    [
        (5, 4, "good", False),
        (5, 3, "mixed", True),
        (4, 3, "mixed", False),
        (2, 5, "low", True),
        (1, 1, "low", False),
    ],
)
def test_health_when_both_answered_is_the_band_of_the_lower(pair, clock, mentor, mentee, band, gap):
    clock.forward(days=14)
    answer(pair, pair.mentor, mentor)
    assert health(pair) is None
    answer(pair, pair.mentee, mentee)
    assert (health(pair).band, health(pair).gap) == (band, gap)


def test_health_when_only_one_answered_the_newest_stays_at_the_last_common_one(pair, clock):
    clock.forward(days=14)
    answer(pair, pair.mentor, 5)
    answer(pair, pair.mentee, 5)
    clock.forward(weeks=4)
    answer(pair, pair.mentor, 1)
    assert health(pair).band == "good"


def test_health_says_the_same_whoever_is_less_satisfied(runtime, tenant, clock):
    one, other = make_pair(runtime, tenant), make_pair(runtime, tenant)
    clock.forward(days=14)
    answer(one, one.mentor, 2)
    answer(one, one.mentee, 5)
    answer(other, other.mentor, 5)
    answer(other, other.mentee, 2)
    assert health(one) == health(other)
