"""Sessions: planned in local time, moved, cancelled, confirmed by both, counted once."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from rmplugin.errors import ConflictError, InputError
from rmplugin.jobs import OutboxEvent, work_outbox
from rmplugin.matching.models import Pairing, Proposal
from rmplugin.notify import Notice
from rmplugin.sessions import operations, queries
from rmplugin.sessions.models import MentoringSession, SessionClaim
from tests.factories.pairs import MEETING, make_pair
from tests.factories.people import make_person


@pytest.fixture
def pair(runtime, tenant):
    return make_pair(runtime, tenant)


def only(pair):
    return pair.rows(MentoringSession)[0]


def confirmations(pair):
    return [event.payload for event in pair.rows(OutboxEvent, kind="session_confirmed")]


def do(pair, verb, session, *args):
    with pair.transaction() as db:
        return verb(db, db.get_one(MentoringSession, session.id), *args)


def test_plan_when_typed_in_local_time_is_shown_to_each_in_their_own(sign_in, tenant, pair):
    browser = sign_in(tenant, pair.mentor).get(f"{pair.path}/sessions/new")
    assert "Time (Europe/Berlin)" in browser.says()
    browser.submit("/sessions", on="2026-12-03", at="15:00", agenda="Prompts")
    assert browser.status == 200, browser.says()
    assert only(pair).starts_at == datetime(2026, 12, 3, 14, tzinfo=UTC)
    assert "Thu 3 Dec 2026, 15:00 (Europe/Berlin)" in browser.says()
    assert "Thu 3 Dec 2026, 14:00 (Europe/London)" in sign_in(tenant, pair.mentee).get(pair.path).says()


def test_plan_when_the_place_is_a_long_link_of_a_call_can_be_opened_from_every_page(sign_in, tenant, pair):
    call = "https://teams.example/l/meetup-join/" + "19%3ameeting_" * 20 + "?context=%7b%22Tid%22%3a1%7d"
    browser = sign_in(tenant, pair.mentor).get(f"{pair.path}/sessions/new")
    browser.submit("/sessions", on="2026-12-03", at="15:00", place=call)
    assert browser.status == 200, browser.says()
    for path in ("/home", pair.path, f"/sessions/{only(pair).id}"):
        page = sign_in(tenant, pair.mentee).get(path)
        assert f'<a href="{call}" rel="noopener noreferrer" target="_blank">' in page.text, path
        assert "(new tab)" in page.says()


def test_plan_when_the_place_holds_markup_or_a_script_is_shown_as_text(sign_in, tenant, pair):
    browser = sign_in(tenant, pair.mentor).get(f"{pair.path}/sessions/new")
    browser.submit("/sessions", on="2026-12-03", at="15:00", place="<b>Café</b> javascript:alert(1)")
    page = browser.get(f"/sessions/{only(pair).id}")
    assert "&lt;b&gt;Café" in page.text
    assert 'href="javascript' not in page.text


def test_plan_form_suggests_a_time_in_the_working_hours_of_both(sign_in, tenant, runtime):
    far = make_pair(runtime, tenant, mentor_zone="Europe/Berlin", mentee_zone="America/New_York")
    fields = sign_in(tenant, far.mentor).get(f"{far.path}/sessions/new").forms()[0]["fields"]
    assert (fields["on"], fields["at"]) == (["2026-11-24"], ["15:00"])


def test_plan_form_when_the_clocks_change_meanwhile_suggests_the_same_time_of_day(
    sign_in, tenant, pair, clock
):
    clock.forward(days=(datetime(2027, 3, 15, tzinfo=UTC) - clock.now).days)
    pair.agree()
    # 15:00 in Berlin, in winter; two weeks later it is summer time there and in London.
    pair.plan(pair.mentor, datetime(2027, 3, 16, 14, tzinfo=UTC))
    fields = sign_in(tenant, pair.mentor).get(f"{pair.path}/sessions/new").forms()[0]["fields"]
    assert (fields["on"], fields["at"]) == (["2027-03-30"], ["15:00"])
    fields = sign_in(tenant, pair.mentee).get(f"{pair.path}/sessions/new").forms()[0]["fields"]
    assert (fields["on"], fields["at"]) == (["2027-03-30"], ["14:00"])


def test_plan_form_when_no_hour_is_shared_still_opens(sign_in, tenant, runtime):
    far = make_pair(runtime, tenant, mentor_zone="Europe/Berlin", mentee_zone="Pacific/Auckland")
    page = sign_in(tenant, far.mentor).get(f"{far.path}/sessions/new")
    assert page.status == 200
    assert "working hours of both" not in page.says()


def test_plan_when_clock_skips_the_time_offers_another(sign_in, tenant, pair):
    browser = sign_in(tenant, pair.mentor).get(f"{pair.path}/sessions/new")
    browser.submit("/sessions", on="2027-03-28", at="02:30", agenda="Kept words")
    assert browser.status == 422
    assert "You could choose 03:30." in browser.says()
    assert "Kept words" in browser.text


def test_plan_when_time_comes_twice_asks_which_and_takes_the_answer(sign_in, tenant, pair):
    browser = sign_in(tenant, pair.mentor).get(f"{pair.path}/sessions/new")
    browser.submit("/sessions", on="2027-10-31", at="02:30")
    assert browser.status == 422
    assert "Which of the two?" in browser.says()
    browser.submit("/sessions", which="second")
    assert browser.status == 200
    assert only(pair).starts_at == datetime(2027, 10, 31, 1, 30, tzinfo=UTC)


def test_plan_when_second_session_waits_for_the_signed_agreement(sign_in, tenant, pair):
    first = pair.hold()
    browser = sign_in(tenant, pair.mentor).get(f"{pair.path}/sessions/new")
    assert "First sign your agreement" in browser.says()
    with pytest.raises(ConflictError, match="agreement_first"):
        pair.plan(pair.mentor, pair.now + timedelta(days=2))
    pair.agree()
    pair.plan(pair.mentor, pair.now + timedelta(days=2))
    assert len(pair.rows(MentoringSession)) == 2
    assert only(pair).id == first.id


def test_plan_when_first_was_cancelled_needs_no_agreement(pair):
    first = pair.plan(pair.mentor, pair.now + timedelta(days=1))
    do(pair, operations.cancel, first, pair.mentee.id, pair.now)
    assert pair.plan(pair.mentor, pair.now + timedelta(days=2)).state == "scheduled"


@pytest.mark.parametrize(("days", "code"), [(-61, "too_long_ago"), (400, "too_far_ahead")])
def test_plan_when_out_of_range_is_refused(pair, days, code):
    with pytest.raises(InputError, match=code):
        pair.plan(pair.mentor, pair.now + timedelta(days=days))


def test_plan_when_the_two_meet_then_already_is_refused(pair):
    pair.agree()
    start = pair.now + timedelta(days=1)
    pair.plan(pair.mentor, start)
    with pytest.raises(InputError, match="overlap"):
        pair.plan(pair.mentee, start + timedelta(minutes=59))
    pair.plan(pair.mentee, start + timedelta(minutes=60))
    assert len(pair.rows(MentoringSession)) == 2


def test_plan_when_one_of_the_two_meets_somebody_else_then_is_refused(pair, runtime, tenant):
    with pair.transaction() as db:
        other = make_person(db)
        run = db.get_one(Proposal, pair.pairing.proposal_id)
        proposal = Proposal(
            run_id=run.run_id,
            programme_id=run.programme_id,
            mentor_id=other.id,
            mentee_id=pair.mentee.id,
            state="accepted",
            score=1,
            contributions={},
            reasons={},
            created_at=pair.now,
        )
        db.add(proposal)
        db.flush()
        second = Pairing(
            programme_id=run.programme_id,
            proposal_id=proposal.id,
            mentor_id=other.id,
            mentee_id=pair.mentee.id,
            state="active",
            started_at=pair.now,
            introduced_at=pair.now,
        )
        db.add(second)
    start = pair.now + timedelta(days=1)
    pair.plan(pair.mentor, start)
    with pair.transaction() as db, pytest.raises(InputError, match="overlap"):
        operations.plan(db, db.get_one(Pairing, second.id), other.id, start, MEETING, pair.now)


def test_session_when_logged_before_the_two_were_a_pair_is_refused(sign_in, tenant, pair):
    browser = sign_in(tenant, pair.mentor).get(f"{pair.path}/sessions/new")
    browser.submit("/sessions", on="2026-11-20", at="10:00", minutes="45")
    assert browser.status == 422
    assert "were not a pair then" in browser.says()
    assert not pair.rows(MentoringSession)


def test_session_when_logged_afterwards_can_be_confirmed_at_once(sign_in, tenant, pair, clock):
    clock.forward(days=3)
    browser = sign_in(tenant, pair.mentor).get(f"{pair.path}/sessions/new")
    browser.submit("/sessions", on="2026-11-24", at="10:00", minutes="45")
    assert "Please say how long it was" in browser.says()
    browser.submit("/claim")
    assert "counts as soon as the other side has confirmed" in browser.says()
    assert only(pair).state == "claimed"


def test_confirm_when_both_tap_counts_the_lower_and_tells_once(sign_in, tenant, pair):
    session = pair.hold()
    pair.claim(session, pair.mentor, 60)
    browser = sign_in(tenant, pair.mentee).get(pair.path)
    assert "To confirm (1)" in browser.says()
    assert "Yes, 60 minutes" in browser.says()
    browser.get(f"/sessions/{session.id}").submit("/claim", minutes="50")
    assert "It counts 50 minutes for each of you" in browser.says()
    assert confirmations(pair) == [{"session_id": str(session.id), "minutes": 50}]
    told = sorted(event.payload["person_id"] for event in pair.rows(OutboxEvent, kind="progress_changed"))
    assert told == sorted([str(pair.mentor.id), str(pair.mentee.id)])


def test_confirm_when_tapped_on_the_pairs_page_takes_the_prefilled_minutes(sign_in, tenant, pair):
    pair.hold()
    sign_in(tenant, pair.mentor).get(pair.path).submit("/claim")
    sign_in(tenant, pair.mentee).get(pair.path).submit("/claim")
    assert (only(pair).state, only(pair).counted_minutes) == ("confirmed", 60)


def test_claim_when_before_the_start_is_refused(sign_in, tenant, pair):
    session = pair.plan(pair.mentor, pair.now + timedelta(hours=1))
    browser = sign_in(tenant, pair.mentor).post(f"/sessions/{session.id}/claim", minutes="60")
    assert browser.status == 422
    assert pair.rows(SessionClaim) == []


@pytest.mark.parametrize("minutes", ["0", "481", "-5", "1e2", ""])
def test_claim_when_minutes_are_impossible_is_refused(sign_in, tenant, pair, minutes):
    session = pair.hold()
    browser = sign_in(tenant, pair.mentor).post(f"/sessions/{session.id}/claim", minutes=minutes)
    assert browser.status == 422
    assert only(pair).state == "scheduled"


def test_claim_when_repeated_changes_nothing(pair):
    session = pair.hold()
    pair.claim(session, pair.mentor, 60)
    pair.claim(session, pair.mentor, 60)
    pair.claim(session, pair.mentee, 60)
    pair.claim(session, pair.mentee, 60)
    assert len(pair.rows(SessionClaim)) == 2
    assert len(confirmations(pair)) == 1
    assert len(pair.rows(Notice, person_id=pair.mentee.id, kind="session_changed")) == 2


def test_claim_when_confirmed_already_cannot_be_changed(pair):
    session = pair.hold()
    pair.claim(session, pair.mentor, 60)
    pair.claim(session, pair.mentee, 60)
    with pytest.raises(ConflictError, match="already_confirmed"):
        pair.claim(session, pair.mentee, 90)
    assert only(pair).counted_minutes == 60


def test_claim_when_16_minutes_apart_shows_both_until_one_corrects(sign_in, tenant, pair):
    session = pair.hold()
    pair.claim(session, pair.mentor, 60)
    pair.claim(session, pair.mentee, 44)
    browser = sign_in(tenant, pair.mentor).get(f"/sessions/{session.id}")
    assert "You said 60 minutes, Sven Senior said 44" in browser.says()
    assert confirmations(pair) == []
    browser.submit("/claim", minutes="50")
    assert (only(pair).state, only(pair).counted_minutes) == ("confirmed", 44)
    assert confirmations(pair) == [{"session_id": str(session.id), "minutes": 44}]


def test_claim_when_too_short_is_confirmed_and_said_not_to_count(sign_in, tenant, pair):
    session = pair.hold()
    pair.claim(session, pair.mentor, 14)
    browser = sign_in(tenant, pair.mentee).get(f"/sessions/{session.id}")
    browser.submit("/claim", minutes="20")
    assert (only(pair).state, only(pair).counted_minutes) == ("confirmed", 0)
    assert "too short to count" in browser.get(f"/sessions/{session.id}").says()


def test_claim_when_both_at_the_same_moment_has_one_effect(pair):
    session = pair.hold()
    ready = threading.Barrier(4)
    failures = []

    def confirm(person):
        ready.wait()
        try:
            pair.claim(session, person, 60)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong in a thread must fail the test.
            failures.append(error)

    people = [pair.mentor, pair.mentee] * 2
    threads = [threading.Thread(target=confirm, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert only(pair).state == "confirmed"
    assert len(confirmations(pair)) == 1
    assert len(pair.rows(SessionClaim)) == 2


def test_claim_when_pairing_ended_after_the_session_still_counts(pair):
    session = pair.hold()
    pair.end()
    pair.claim(session, pair.mentor, 60)
    pair.claim(session, pair.mentee, 60)
    assert only(pair).counted_minutes == 60


def test_move_when_start_changes_counts_and_tells_the_other(sign_in, tenant, pair):
    session = pair.plan(pair.mentor, pair.now + timedelta(days=1))
    browser = sign_in(tenant, pair.mentee).get(f"/sessions/{session.id}/move")
    browser.submit("/move", at="16:00")
    assert browser.status == 200
    assert only(pair).moves == 1
    assert only(pair).starts_at == datetime(2026, 11, 24, 16, tzinfo=UTC)
    assert "moved a session" in pair.rows(Notice, person_id=pair.mentor.id)[-1].text


def test_move_when_only_words_change_is_no_move(sign_in, tenant, pair):
    session = pair.plan(pair.mentor, pair.now + timedelta(days=1))
    sign_in(tenant, pair.mentee).get(f"/sessions/{session.id}/move").submit("/move", agenda="Other words")
    assert (only(pair).moves, only(pair).agenda) == (0, "Other words")


def test_move_when_start_is_the_second_of_a_doubled_hour_and_kept_asks_nothing(sign_in, tenant, pair):
    start = datetime(2027, 10, 31, 1, 30, tzinfo=UTC)
    session = pair.plan(pair.mentor, start)
    browser = sign_in(tenant, pair.mentor).get(f"/sessions/{session.id}/move").submit("/move", place="Café")
    assert browser.status == 200
    assert (only(pair).starts_at, only(pair).place) == (start, "Café")


def test_move_when_claimed_is_refused(pair):
    session = pair.hold()
    pair.claim(session, pair.mentor, 60)
    with pytest.raises(ConflictError, match="not_scheduled"):
        do(pair, operations.reschedule, session, pair.mentee.id, pair.now, MEETING, pair.now)


def test_cancel_records_who_and_tells_the_other(sign_in, tenant, pair):
    session = pair.plan(pair.mentor, pair.now + timedelta(days=1))
    sign_in(tenant, pair.mentee).get(f"/sessions/{session.id}").submit("/cancel")
    assert (only(pair).state, only(pair).cancelled_by) == ("cancelled", pair.mentee.id)
    says = sign_in(tenant, pair.mentor).get(f"/sessions/{session.id}").says()
    assert "Cancelled by Sven Senior." in says


def test_cancel_when_the_other_said_it_took_place_is_refused(pair):
    session = pair.hold()
    pair.claim(session, pair.mentor, 60)
    with pytest.raises(ConflictError, match="took_place"):
        do(pair, operations.cancel, session, pair.mentee.id, pair.now)
    do(pair, operations.cancel, session, pair.mentor.id, pair.now)
    assert only(pair).state == "cancelled"
    assert pair.rows(SessionClaim) == []
    with pytest.raises(ConflictError, match="session_cancelled"):
        pair.claim(session, pair.mentee, 60)


def test_pairing_closed_cancels_what_is_ahead_by_nobody_and_leaves_the_past(pair):
    pair.agree()
    held = pair.hold()
    ahead = pair.plan(pair.mentor, pair.now + timedelta(days=1))
    with pair.transaction() as db:
        operations.on_pairing_closed(db, {"pairing_id": str(pair.pairing.id)}, pair.now)
    states = {row.id: (row.state, row.cancelled_by) for row in pair.rows(MentoringSession)}
    assert states == {held.id: ("scheduled", None), ahead.id: ("cancelled", None)}


def test_pairing_closed_event_reaches_sessions(pair, runtime):
    from rmplugin.jobs import enqueue

    pair.plan(pair.mentor, pair.now + timedelta(days=1))
    with pair.transaction() as db:
        enqueue(db, "pairing_closed", pair.now, pairing_id=str(pair.pairing.id))
    work_outbox(runtime)
    assert only(pair).state == "cancelled"


@pytest.mark.parametrize("verb", ["plan", "cancel", "move"])
def test_session_when_pairing_ended_stays_as_it_is(pair, verb):
    pair.agree()
    session = pair.plan(pair.mentor, pair.now + timedelta(days=1))
    pair.end()
    later = pair.now + timedelta(days=3)
    changes = {
        "plan": lambda: pair.plan(pair.mentor, later),
        "cancel": lambda: do(pair, operations.cancel, session, pair.mentor.id, pair.now),
        "move": lambda: do(pair, operations.reschedule, session, pair.mentor.id, later, MEETING, pair.now),
    }
    with pytest.raises(ConflictError, match="pairing_ended"):
        changes[verb]()


def test_reads_give_the_next_session_and_what_waits(pair):
    pair.agree()
    held = pair.hold()
    ahead = pair.plan(pair.mentor, pair.now + timedelta(days=1))
    with pair.transaction() as db:
        assert queries.next_session(db, pair.pairing.id, pair.now).id == ahead.id
        assert [story.session.id for story in queries.to_confirm(db, pair.mentee.id, pair.now)] == [held.id]
    pair.claim(held, pair.mentor, 60)
    pair.claim(held, pair.mentee, 55)
    with pair.transaction() as db:
        assert queries.to_confirm(db, pair.mentee.id, pair.now) == []


def test_topics_when_five_pairs_take_one_up_are_counted_and_fewer_are_hidden(sign_in, runtime, tenant):
    topics = ["Inclusion", "Participation", "Perspective"]
    pairs = [make_pair(runtime, tenant, topics=topics) for _ in range(5)]
    first = pairs[0]
    with first.transaction() as db:
        for pair in pairs:
            pair.get(db).programme_id = first.programme.id
    for number, pair in enumerate(pairs):
        start = pair.now + timedelta(days=3)
        pair.plan(pair.mentee, start, topic=topics[0])
        if not number:
            pair.agree()
            pair.plan(pair.mentee, start + timedelta(days=1), topic=topics[1])
    manager = sign_in(tenant, manager=True).get(f"/programmes/{first.programme.id}/topics").says()
    assert "Inclusion 5 Participation hidden Perspective 0" in manager


def test_topic_when_chosen_in_the_form_stays_and_can_be_changed(sign_in, runtime, tenant):
    pair = make_pair(runtime, tenant, topics=["Inclusion", "Perspective"])
    browser = sign_in(tenant, pair.mentor).get(f"{pair.path}/sessions/new")
    browser.submit("/sessions", topic="Perspective")
    session = pair.rows(MentoringSession)[0]
    assert session.topic == "Perspective"
    assert "Topic Perspective" in sign_in(tenant, pair.mentee).get(f"/sessions/{session.id}").says()
    browser.get(f"/sessions/{session.id}/move").submit("/move", topic="What the programme does not suggest")
    assert pair.rows(MentoringSession)[0].topic is None
