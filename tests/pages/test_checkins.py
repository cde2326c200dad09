"""Check-ins: each alone, encrypted words, a band for the manager and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, select

from rmplugin import notify
from rmplugin.audit import AccessEntry
from rmplugin.checkins import operations, queries
from rmplugin.checkins.forms import ITEMS
from rmplugin.checkins.models import CareTask, Checkin, CheckinAsk
from rmplugin.checkins.views import TASKS_SHOWN
from rmplugin.errors import ConflictError
from rmplugin.jobs import work_outbox
from rmplugin.matching.ending import close_pairing
from rmplugin.notify import Notice
from rmplugin.people.models import LtiUser
from rmplugin.safeguards.models import ContactPerson
from rmplugin.safeguards.operations import add_contact
from tests.factories.credits import join_course, make_course
from tests.factories.pairs import make_pair
from tests.factories.people import make_person
from tests.factories.programmes import make_context

SECRET = "I did not dare to say it aloud"


@pytest.fixture
def pair(runtime, tenant):
    return make_pair(runtime, tenant)


def answer(pair, person, satisfaction=4, **values):
    values = dict.fromkeys(ITEMS, 4) | {"fit": satisfaction} | values
    with pair.transaction() as db:
        secrets = pair.runtime.database.secrets
        return operations.answer(db, secrets, pair.get(db), person.id, values, pair.now)


def due(pair, person):
    with pair.transaction() as db:
        return queries.due_checkin(db, pair.get(db), person.id, pair.now)


def health(pair):
    with pair.transaction() as db:
        return next(iter(queries.pair_health(db, [pair.pairing.id], None).values()), None)


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
    scale = dict.fromkeys(ITEMS, "4")
    browser.submit("/checkin", words=SECRET, **scale)
    assert "your partner does not see them" in browser.says()
    assert SECRET in browser.get(f"{pair.path}/checkin").says()
    assert "The next one is on Mon 4 Jan 2027, 10:00 (Europe/Berlin)" in browser.says()


def test_checkin_when_a_question_is_open_keeps_the_rest(sign_in, tenant, pair, clock):
    clock.forward(days=14)
    browser = sign_in(tenant, pair.mentor).get(f"{pair.path}/checkin")
    browser.submit("/checkin", words=SECRET, fit="6", heard="2")
    assert browser.status == 422
    assert browser.text.count("Please choose a number from 1 to 5.") == 8
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


def test_manager_when_one_of_a_pair_learns_nothing_of_what_the_partner_answered(
    sign_in, tenant, pair, database, clock
):
    with database.transaction(tenant.id) as db:
        context = make_context(db)
        db.merge(pair.programme).context_id = context.id
    clock.forward(days=14)
    answer(pair, pair.mentor, satisfaction=1, words=SECRET, shared=True)
    answer(pair, pair.mentee, satisfaction=5)
    task = pair.rows(CareTask)[0]
    other = sign_in(tenant, manager=True, context=context)
    assert "lower of the two: 1 of 5" in other.get("/manage").says()
    assert SECRET in other.get(f"/programmes/{pair.programme.id}/care").says()
    mentee = sign_in(tenant, pair.mentee, manager=True, context=context)
    assert "your own pair: not shown to you" in mentee.get("/manage").says()
    assert "lower of the two" not in mentee.says()
    assert "need a quiet word" not in mentee.says()
    for path in ("/manage?health=low", f"/programmes/{pair.programme.id}/care"):
        words = mentee.get(path).says()
        assert pair.mentor.display_name not in words
        assert SECRET not in words
    mentee.get("/manage").submit("/manage/pairs.csv")
    assert mentee.text.splitlines()[1].endswith(",,,")
    other.get(f"/programmes/{pair.programme.id}/care")
    assert mentee.post(f"/care/{task.id}/done").status == 404


def test_quiet_word_when_the_only_manager_is_in_the_pair_is_for_the_contact(
    sign_in, tenant, pair, database, clock
):
    with database.transaction(tenant.id) as db:
        course = make_course(db, clock.now, "http://lms", None)
        db.merge(pair.programme).context_id = course.context.id
        join_course(db, course, pair.mentee, "s-1", clock.now, roles=("Instructor",))
        contact, stranger = make_person(db), make_person(db)
        add_contact(db, pair.programme, contact.employee_number, "command", clock.now)
    clock.forward(days=14)
    answer(pair, pair.mentor, satisfaction=1, words=SECRET, shared=True)
    answer(pair, pair.mentee, satisfaction=5)
    assert [row.path for row in pair.rows(Notice, kind="help_asked")] == ["/quiet-words"]
    task = pair.rows(CareTask)[0]
    for person in (pair.mentor, pair.mentee, stranger):
        other = sign_in(tenant, person)
        assert "Nothing at the moment" in other.get("/quiet-words").says()
        assert other.post(f"/quiet-words/{task.id}/done").status == 404
    browser = sign_in(tenant, contact)
    words = browser.get("/quiet-words").says()
    assert "each alone" in words
    assert pair.mentor.display_name in words
    assert SECRET not in words
    browser.submit(f"/quiet-words/{task.id}/done")
    assert "Noted as done. " in browser.says()
    assert "Nothing at the moment" in browser.says()


def test_quiet_word_when_a_manager_is_outside_the_pair_is_not_for_the_contact(
    sign_in, tenant, pair, database, clock
):
    with database.transaction(tenant.id) as db:
        course = make_course(db, clock.now, "http://lms", None)
        db.merge(pair.programme).context_id = course.context.id
        contact, manager = make_person(db), make_person(db)
        for number, person in enumerate((pair.mentee, manager)):
            join_course(db, course, person, f"s-{number}", clock.now, roles=("Instructor",))
        add_contact(db, pair.programme, contact.employee_number, "command", clock.now)
    clock.forward(days=14)
    answer(pair, pair.mentor, satisfaction=1)
    answer(pair, pair.mentee, satisfaction=5)
    assert pair.rows(Notice, kind="help_asked") == []
    assert "Nothing at the moment" in sign_in(tenant, contact).get("/quiet-words").says()


def ask_contact(pair, clock):
    """Let a pair whose only manager is in it need a quiet word. :return: the contact who is asked."""
    with pair.transaction() as db:
        course = make_course(db, clock.now, "http://lms", None)
        db.merge(pair.programme).context_id = course.context.id
        join_course(db, course, pair.mentee, "s-1", clock.now, roles=("Instructor",))
        contact = make_person(db)
        add_contact(db, pair.programme, contact.employee_number, "command", clock.now)
    clock.forward(days=14)
    answer(pair, pair.mentor, satisfaction=1)
    answer(pair, pair.mentee, satisfaction=5)
    assert asked(pair, contact)
    return contact


def asked(pair, contact):
    return pair.rows(Notice, kind="help_asked", person_id=contact.id, read_at=None)


def test_quiet_word_when_the_contact_has_seen_the_page_is_no_news_any_more(sign_in, tenant, pair, clock):
    contact = ask_contact(pair, clock)
    assert pair.mentor.display_name in sign_in(tenant, contact).get("/quiet-words").says()
    assert asked(pair, contact) == []


def test_quiet_word_when_it_is_done_is_no_news_unless_another_is_left(pair, clock):
    contact = ask_contact(pair, clock)
    with pair.transaction() as db:
        db.add(CareTask(pairing_id=pair.pairing.id, kind="energy", wave=1, created_at=clock.now))
        first, second = [task for task, _pairing in queries.tasks_for_contact(db, contact.id)]
        operations.finish_task(db, first, "command", clock.now)
    assert asked(pair, contact)
    with pair.transaction() as db:
        operations.finish_task(db, db.merge(second), "command", clock.now)
    assert asked(pair, contact) == []


def test_quiet_word_when_the_pair_ends_is_no_news_any_more(pair, clock):
    contact = ask_contact(pair, clock)
    with pair.transaction() as db:
        close_pairing(db, pair.get(db), clock.now)
    work_outbox(pair.runtime)
    assert asked(pair, contact) == []


def test_quiet_word_when_it_is_done_and_no_contact_is_named_leaves_the_news_of_others(pair, clock):
    ask_contact(pair, clock)
    with pair.transaction() as db:
        db.execute(delete(ContactPerson))
        elsewhere = make_person(db)
        notify.tell(db, elsewhere.id, "help_asked", "Elsewhere", clock.now, operations.QUIET_WORDS)
        operations.finish_task(db, db.scalars(select(CareTask)).one(), "command", clock.now)
    assert asked(pair, elsewhere)


@pytest.mark.parametrize(
    ("own", "roles", "linked", "for_contact"),
    [
        (("Instructor",), ("Instructor",), False, False),
        (("Instructor",), ("Administrator",), False, False),
        (("Instructor",), ("Instructor", "Learner"), True, False),
        (("Instructor",), ("Mentor",), True, True),
        (("Instructor",), (), True, True),
        (("Instructor", "Learner"), ("Learner",), False, True),
        (("Instructor",), ("Instructor", "TestUser"), False, True),
        (("Learner",), ("Learner",), True, False),
    ],
)
def test_quiet_word_when_somebody_else_is_in_the_course_asks_the_contact_unless_they_manage(
    tenant, pair, database, clock, own, roles, linked, for_contact
):
    with database.transaction(tenant.id) as db:
        course = make_course(db, clock.now, "http://lms", None)
        db.merge(pair.programme).context_id = course.context.id
        join_course(db, course, pair.mentee, "s-1", clock.now, own)
        contact = make_person(db)
        other = join_course(db, course, make_person(db), "s-2", clock.now, roles)
        user = db.get_one(LtiUser, other.lti_user_id)
        if not linked:
            user.person_id, user.link_state = None, "unlinked"
        add_contact(db, pair.programme, contact.employee_number, "command", clock.now)
    clock.forward(days=14)
    answer(pair, pair.mentor, satisfaction=1)
    answer(pair, pair.mentee, satisfaction=5)
    assert len(pair.rows(Notice, kind="help_asked")) == for_contact
    with pair.transaction() as db:
        assert len(queries.tasks_for_contact(db, contact.id)) == for_contact


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
    ("mentor", "mentee", "band", "lower", "gap"),
    [
        (5, 4, "good", 4, 1),
        (5, 3, "mixed", 3, 2),
        (4, 3, "mixed", 3, 1),
        (2, 5, "low", 2, 3),
        (1, 1, "low", 1, 0),
    ],
)
def test_health_when_both_answered_is_the_band_of_the_lower(pair, clock, mentor, mentee, band, lower, gap):
    clock.forward(days=14)
    answer(pair, pair.mentor, mentor)
    assert health(pair) is None
    answer(pair, pair.mentee, mentee)
    assert health(pair) == queries.Health(band, lower, gap)
    assert [row.kind for row in pair.rows(CareTask)] == (["gap"] if gap >= 2 else [])


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


@given(st.integers(1, 5), st.integers(1, 5))
def test_health_is_the_same_in_either_order_and_low_when_one_is_low(one, other):
    found = queries.health_of(one, other)
    assert found == queries.health_of(other, one)
    assert found.lower == min(one, other)
    assert (found.band == "low") == (min(one, other) <= 2)
    assert found.is_apart == (abs(one - other) >= 2)


def ask_due(pair):
    with pair.transaction() as db:
        return operations.ask_due(db, pair.now)


def notices(pair, person):
    return [str(row.text) for row in pair.rows(Notice, person_id=person.id, read_at=None)]


def test_asking_when_a_checkin_begins_tells_each_once_reminds_once_and_lets_go(pair, clock):
    assert ask_due(pair) == 0
    clock.forward(days=14)
    assert ask_due(pair) == 2
    assert ask_due(pair) == 0
    assert "A check-in of two minutes" in notices(pair, pair.mentee)[0]
    answer(pair, pair.mentor)
    clock.forward(days=7)
    ask_due(pair)
    ask_due(pair)
    assert len(notices(pair, pair.mentee)) == 1
    assert "still waits for you" in notices(pair, pair.mentee)[0]
    clock.forward(days=7)
    ask_due(pair)
    assert notices(pair, pair.mentee) == []
    assert due(pair, pair.mentee) is None
    asks = {row.person_id: row for row in pair.rows(CheckinAsk)}
    assert asks[pair.mentee.id].expired_at == pair.now
    assert asks[pair.mentor.id].expired_at is None
    assert asks[pair.mentor.id].reminded_at is None
    clock.forward(weeks=2)
    assert ask_due(pair) == 2


def test_asking_when_a_pairing_is_not_introduced_or_on_hold_asks_nobody(runtime, tenant, clock):
    new, held = make_pair(runtime, tenant), make_pair(runtime, tenant)
    with new.transaction() as db:
        new.get(db).introduced_at = None
        held.get(db).interrupt("paused", "not_at_work", new.now)
    clock.forward(days=14)
    assert ask_due(new) == 0


def care_page(sign_in, tenant, pair):
    return sign_in(tenant, manager=True).get(f"/programmes/{pair.programme.id}/care")


def test_gap_when_the_two_lie_apart_asks_the_coordinator_once_and_tells_the_two_nothing(
    sign_in, tenant, pair, clock
):
    clock.forward(days=14)
    answer(pair, pair.mentor, 2, words=SECRET)
    answer(pair, pair.mentee, 5)
    page = care_page(sign_in, tenant, pair)
    assert "Talk to Mira Junior and to Sven Senior, each alone." in page.says()
    assert SECRET not in page.says()
    assert pair.rows(Notice) == []
    page.submit("/done")
    assert "Noted as done." in page.says()
    task = pair.rows(CareTask)[0]
    assert task.done_at == pair.now
    assert page.get(f"/programmes/{pair.programme.id}/care").says().count("each alone.") == 0


def test_desk_when_a_pair_lies_apart_says_so_and_leads_to_it(sign_in, tenant, pair, clock):
    with pair.transaction() as db:
        context = make_context(db)
        db.merge(pair.programme).context_id = context.id
    clock.forward(days=14)
    answer(pair, pair.mentor, 2)
    answer(pair, pair.mentee, 5)
    desk = sign_in(tenant, manager=True, context=context).get("/manage")
    assert "Pairs that need a quiet word: 1." in desk.says()
    assert f'href="/programmes/{pair.programme.id}/care">See which' in desk.text
    assert "low (lower of the two: 2 of 5) · 3 points apart" in desk.says()


@pytest.mark.parametrize(
    ("energies", "falls"),
    [((5, 4, 3), True), ((5, 4, 4), False), ((3, 4, 3), False), ((5, 3), False), ((2, 5, 4, 1), True)],
)
def test_energy_when_a_mentors_fell_twice_offers_support_to_coordinator_and_mentor(
    pair, clock, energies, falls
):
    clock.forward(days=14)
    for energy in energies:
        answer(pair, pair.mentee, energy=energy)
        answer(pair, pair.mentor, energy=energy)
        clock.forward(weeks=4)
    assert [row.kind for row in pair.rows(CareTask)] == (["energy"] if falls else [])
    assert [row.person_id for row in pair.rows(Notice)] == ([pair.mentor.id] if falls else [])


def test_words_when_shared_are_read_by_the_team_and_by_nobody_else(sign_in, tenant, pair, clock):
    clock.forward(days=14)
    browser = sign_in(tenant, pair.mentee).get(f"{pair.path}/checkin")
    assert "nobody but you can read them" in browser.says()
    browser.submit("/checkin", words=SECRET, shared="yes", **dict.fromkeys(ITEMS, "4"))
    answer(pair, pair.mentor, words="For me alone")
    page = care_page(sign_in, tenant, pair).says()
    assert SECRET in page
    assert "Sven Senior, 7 Dec 2026" in page
    assert "For me alone" not in page
    partner = sign_in(tenant, pair.mentor)
    assert all(SECRET not in partner.get(pair.path + path).says() for path in ("", "/checkin", "/agreement"))
    # Whoever wrote them reads that they were opened; nobody learns that they are on the list of pairs.
    assert [row.person_id for row in pair.rows(AccessEntry)] == [pair.mentee.id]
    assert "What you wanted the programme team to read" in browser.get("/my-data").says()


def test_care_when_many_pairs_wait_shows_the_oldest_and_how_many_more(sign_in, tenant, pair, clock):
    with pair.transaction() as db:
        for wave in range(TASKS_SHOWN + 2):
            db.add(CareTask(pairing_id=pair.pairing.id, kind="gap", wave=wave, created_at=clock.now))
    page = care_page(sign_in, tenant, pair)
    assert page.says().count("each alone.") == TASKS_SHOWN
    assert "2 more, shown when some of these are done." in page.says()


def test_pulse_when_fewer_than_ten_answered_is_hidden_and_then_moves_by_ten(runtime, tenant, clock):
    first = make_pair(runtime, tenant)
    others = [make_pair(runtime, tenant) for _ in range(10)]
    with first.transaction() as db:
        for other in others:
            other.get(db).programme_id = first.programme.id
    clock.forward(days=14)

    def pulse():
        with first.transaction() as db:
            return queries.pulse(db, first.programme.id)[1]["heard", "mentor"]

    for pair in others[:9]:
        answer(pair, pair.mentor, heard=4)
    assert pulse() is None
    answer(others[9], others[9].mentor, heard=5)
    assert (pulse().n, pulse().value) == (10, 4.1)
    answer(first, first.mentor, heard=1)
    assert (pulse().n, pulse().value) == (10, 4.1)


def test_checkin_when_the_agreement_changed_since_the_last_one_says_so(sign_in, tenant, pair, clock):
    pair.agree()
    clock.forward(days=14)
    answer(pair, pair.mentor)
    clock.forward(days=1)
    pair.agree(place="Library")
    clock.forward(weeks=4)
    page = sign_in(tenant, pair.mentor).get(f"{pair.path}/checkin")
    assert "version 2 of your agreement is in force. Does it help?" in page.says()
    assert f'href="{pair.path}/agreement/new"' in page.text
