"""The first call: each says alone whether to go on; nobody learns what the other one said."""

from datetime import timedelta
from itertools import product

import pytest

from rmplugin import notify
from rmplugin.errors import ConflictError
from rmplugin.introductions import operations, queries
from rmplugin.introductions.models import IntroAnswer
from rmplugin.jobs import work_outbox
from rmplugin.matching.models import Pairing
from rmplugin.matching.queries import ruled_out_pairs
from rmplugin.notify import Notice
from rmplugin.programmes.models import Enrolment
from tests.factories.pairs import make_pair


@pytest.fixture
def pair(runtime, tenant):
    made = make_pair(runtime, tenant)
    with made.transaction() as db:
        made.get(db).introduced_at = None
    return made


def answer(pair, person, word):
    with pair.transaction() as db:
        return operations.answer(db, pair.get(db), person.id, word, pair.now)


def see_after(pair):
    with pair.transaction() as db:
        return operations.see_after(db, pair.now)


def pairing(pair):
    return pair.rows(Pairing)[0]


def told(pair, person):
    return [(row.kind, str(row.text)) for row in pair.rows(Notice, person_id=person.id, read_at=None)]


def standing(pair, person):
    with pair.transaction() as db:
        return queries.standing_of(db, pair.get(db), person.id)


def held_sessions(pair, count):
    pair.agree()
    for number in range(count):
        session = pair.hold(2 + 24 * number)
        pair.claim(session, pair.mentor, 60)
        pair.claim(session, pair.mentee, 60)
    work_outbox(pair.runtime)


@pytest.mark.parametrize(("first", "second"), list(product(["yes", "unsure", "no"], repeat=2)))
def test_pairing_when_both_answered_goes_on_unless_one_said_no(pair, first, second):
    assert answer(pair, pair.mentor, first) == "waits"
    assert pairing(pair).introduced_at is None
    outcome = answer(pair, pair.mentee, second)
    if "no" in (first, second):
        assert outcome == "ended"
        assert pairing(pair).state == "ended"
        assert {row.state for row in pair.rows(Enrolment)} == {"submitted"}
        assert {row.active_pairings for row in pair.rows(Enrolment)} <= {0, -1}
    else:
        assert outcome == "goes_on"
        assert pairing(pair).introduced_at == pair.now


@pytest.mark.parametrize(("mentor", "mentee"), [("no", "yes"), ("yes", "no"), ("no", "no"), ("no", "unsure")])
def test_pairing_when_ended_by_a_no_tells_both_the_same_and_never_pairs_them_again(pair, mentor, mentee):
    answer(pair, pair.mentor, mentor)
    answer(pair, pair.mentee, mentee)
    said = [told(pair, person) for person in (pair.mentor, pair.mentee)]
    words = "Pairings end for many reasons and nobody is to blame."
    assert [[kind for kind, _ in some] for some in said] == [["pairing_ended"]] * 2
    assert all(words in text for some in said for _, text in some)
    assert said[0][0][1].replace("Sven Senior", "X") == said[1][0][1].replace("Mira Junior", "X")
    with pair.transaction() as db:
        assert (pair.mentor.id, pair.mentee.id) in ruled_out_pairs(db, pair.programme.id)


@pytest.mark.parametrize("word", ["yes", "unsure", "no"])
def test_answer_when_given_changes_nothing_that_the_partner_sees(sign_in, tenant, pair, word):
    browser = sign_in(tenant, pair.mentee)
    paths = ("", "/introduction", "/agreement")
    before = [browser.get(pair.path + path).says() for path in paths]
    answer(pair, pair.mentor, word)
    assert [browser.get(pair.path + path).says() for path in paths] == before
    assert told(pair, pair.mentee) == []


@pytest.mark.parametrize("word", ["yes", "unsure"])
def test_notices_when_both_go_on_are_the_same_whether_somebody_was_unsure(pair, word):
    answer(pair, pair.mentor, word)
    answer(pair, pair.mentee, "yes")
    (kind, text) = told(pair, pair.mentee)[0]
    assert kind == "intro_done"
    assert text.startswith("You have met, and your pairing with Mira Junior goes on.")


def test_answer_when_the_other_has_not_answered_can_be_changed(sign_in, tenant, pair):
    answer(pair, pair.mentor, "no")
    browser = sign_in(tenant, pair.mentor).get(f"{pair.path}/introduction")
    assert "Until then you can change your answer" in browser.says()
    browser.submit("/introduction", answer="yes")
    assert "It counts as soon as both of you have answered." in browser.says()
    assert [row.answer for row in pair.rows(IntroAnswer)] == ["yes"]


def test_answer_when_none_is_chosen_says_so(sign_in, tenant, pair):
    browser = sign_in(tenant, pair.mentor).get(f"{pair.path}/introduction").submit("/introduction")
    assert browser.status == 422
    assert "Please choose one of these." in browser.says()


def test_pairing_when_new_asks_for_the_call_first_and_then_waits(sign_in, tenant, pair):
    browser = sign_in(tenant, pair.mentee).get(pair.path)
    assert "Talk with Mira Junior first" in browser.says()
    answer(pair, pair.mentee, "yes")
    assert "As soon as Mira Junior has answered, too, it goes on." in browser.get(pair.path).says()


def test_session_when_not_introduced_is_refused(pair):
    with pytest.raises(ConflictError, match="intro_first"):
        pair.plan(pair.mentor, pair.now + timedelta(days=1))


def test_unsure_when_two_sessions_were_held_is_asked_again_once(sign_in, tenant, pair, clock):
    answer(pair, pair.mentor, "unsure")
    answer(pair, pair.mentee, "yes")
    clock.forward(days=7)
    held_sessions(pair, 1)
    assert standing(pair, pair.mentor).due is None
    clock.forward(days=3)
    held_sessions_again = pair.hold()
    pair.claim(held_sessions_again, pair.mentor, 60)
    pair.claim(held_sessions_again, pair.mentee, 60)
    work_outbox(pair.runtime)
    assert standing(pair, pair.mentor).due == 2
    assert standing(pair, pair.mentee).due is None
    assert [kind for kind, _ in told(pair, pair.mentor)].count("intro_again") == 1
    assert "intro_again" not in [kind for kind, _ in told(pair, pair.mentee)]
    browser = sign_in(tenant, pair.mentor).get(f"{pair.path}/introduction")
    assert "Now you have had two sessions" in browser.says()
    assert "I am not sure yet" not in browser.says()
    browser.submit("/introduction", answer="yes")
    assert standing(pair, pair.mentor).due is None
    assert pairing(pair).state == "active"


def test_unsure_when_three_sessions_are_confirmed_at_one_time_is_asked_again_once(pair, clock):
    answer(pair, pair.mentor, "unsure")
    answer(pair, pair.mentee, "yes")
    clock.forward(days=7)
    held_sessions(pair, 3)
    with pair.transaction() as db:
        notify.settle(db, pair.mentor.id, queries.page_of(pair.pairing.id), clock.now)
    session = pair.hold(1)
    pair.claim(session, pair.mentor, 30)
    pair.claim(session, pair.mentee, 30)
    work_outbox(pair.runtime)
    assert len(pair.rows(Notice, person_id=pair.mentor.id, kind="intro_again")) == 1, "it was put away"


def test_unsure_when_asked_again_says_no_ends_it_in_the_same_words(pair, clock):
    answer(pair, pair.mentor, "yes")
    answer(pair, pair.mentee, "unsure")
    clock.forward(days=7)
    held_sessions(pair, 2)
    with pytest.raises(ConflictError, match="no_intro_due"):
        answer(pair, pair.mentee, "unsure")
    assert answer(pair, pair.mentee, "no") == "ended"
    assert pairing(pair).state == "ended"
    assert any("nobody is to blame" in text for _, text in told(pair, pair.mentor))


def test_no_when_the_other_stays_silent_ends_after_a_week(pair, clock):
    answer(pair, pair.mentor, "no")
    clock.forward(days=6)
    assert see_after(pair) == 0
    clock.forward(days=1)
    assert see_after(pair) == 1
    assert see_after(pair) == 0
    assert pairing(pair).state == "ended"


def test_silence_when_a_week_long_is_reminded_of_once(pair, clock):
    answer(pair, pair.mentor, "yes")
    clock.forward(days=7)
    see_after(pair)
    see_after(pair)
    assert [row.person_id for row in pair.rows(Notice, kind="intro_reminder")] == [pair.mentee.id]


def test_answer_when_of_an_old_pairing_is_not_asked(runtime, tenant):
    old = make_pair(runtime, tenant)
    with pytest.raises(ConflictError, match="no_intro_due"):
        answer(old, old.mentor, "no")
