"""Messages of a pair: written, read, removed; nobody else reads them, and a notice says nothing of them."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from rmplugin.errors import ConflictError
from rmplugin.messages import operations, queries
from rmplugin.messages.models import Message, ThreadRead
from rmplugin.notify import Notice
from tests.factories.pairs import make_pair
from tests.factories.people import make_person

WORDS = "Could you show me the pelican prompt?"


@pytest.fixture
def pair(runtime, tenant):
    return make_pair(runtime, tenant)


@pytest.fixture
def thread(pair):
    return f"{pair.path}/messages"


def write(pair, person, body=WORDS):
    with pair.transaction() as db:
        return operations.write(db, pair.runtime.database.secrets, pair.get(db), person.id, body, pair.now)


def test_message_when_sent_is_read_by_the_other_and_counted_until_then(sign_in, tenant, pair, thread):
    sign_in(tenant, pair.mentor).get(thread).submit("/messages", body=WORDS)
    mentee = sign_in(tenant, pair.mentee)
    assert "1 new message" in mentee.get("/home").says()
    assert "1 new message" in mentee.get(pair.path).says()
    page = mentee.get(thread)
    assert WORDS in page.says()
    assert "new" in page.says()
    assert "new message" not in mentee.get("/home").says()
    assert "wrote to you" not in mentee.get("/home").says()


def test_message_when_stored_or_told_of_shows_no_word_of_it(pair):
    write(pair, pair.mentor)
    with pair.transaction() as db:
        stored = db.execute(text("select body_locked from message")).scalar_one()
    assert b"pelican" not in bytes(stored)
    told = pair.rows(Notice, person_id=pair.mentee.id)[-1]
    assert (told.kind, told.text, told.path) == (
        "message",
        "Mira Junior wrote to you.",
        f"{pair.path}/messages",
    )
    assert pair.rows(Notice, person_id=pair.mentor.id) == []


def test_message_when_several_come_leaves_one_notice(pair):
    for _ in range(3):
        write(pair, pair.mentor)
    unread = [row for row in pair.rows(Notice, person_id=pair.mentee.id) if row.read_at is None]
    assert len(unread) == 1
    with pair.transaction() as db:
        assert queries.unread_counts(db, pair.mentee.id, [pair.pairing.id]) == {pair.pairing.id: 3}
        assert queries.unread_counts(db, pair.mentor.id, [pair.pairing.id]) == {}


@pytest.mark.parametrize("manager", [False, True])
def test_thread_when_a_third_person_or_a_manager_asks_does_not_exist(
    sign_in, tenant, pair, thread, manager, runtime
):
    message = write(pair, pair.mentor)
    with runtime.database.transaction(tenant.id) as db:
        other = make_person(db)
    stranger = sign_in(tenant, other, manager=manager)
    assert stranger.get(thread).status == 404
    assert stranger.post(thread, body="x").status == 404
    assert stranger.post(f"/messages/{message.id}/remove").status == 404
    assert len(pair.rows(Message)) == 1


def test_message_when_removed_in_time_leaves_no_words(sign_in, tenant, pair, thread):
    write(pair, pair.mentor)
    browser = sign_in(tenant, pair.mentor).get(thread).submit("/remove")
    assert WORDS not in browser.says()
    assert "removed" in browser.says()
    assert pair.rows(Message)[0].body_locked is None
    assert "new message" not in sign_in(tenant, pair.mentee).get("/home").says()


def test_message_when_16_minutes_old_or_of_the_other_cannot_be_removed(sign_in, tenant, pair, thread, clock):
    message = write(pair, pair.mentor)
    assert sign_in(tenant, pair.mentee).post(f"/messages/{message.id}/remove").status == 404
    clock.forward(minutes=16)
    browser = sign_in(tenant, pair.mentor).get(thread)
    assert "/remove" not in browser.text
    assert browser.post(f"/messages/{message.id}/remove").status == 409
    assert pair.rows(Message)[0].body_locked


def test_thread_when_the_pairing_ended_is_readable_and_takes_nothing(sign_in, tenant, pair, thread):
    write(pair, pair.mentor)
    pair.end()
    browser = sign_in(tenant, pair.mentee).get(thread)
    assert WORDS in browser.says()
    assert not [form for form in browser.forms() if form["action"].endswith("/messages")]
    assert browser.post(thread, body="late").status == 409


@pytest.mark.parametrize("body", ["", "   ", "x" * 4001])
def test_message_when_empty_or_too_long_is_refused_and_kept_in_the_form(sign_in, tenant, pair, thread, body):
    browser = sign_in(tenant, pair.mentor).get(thread).submit("/messages", body=body)
    assert browser.status == 422
    assert pair.rows(Message) == []
    assert not body.strip() or body in browser.text


def test_message_when_it_holds_markup_is_shown_as_text(sign_in, tenant, pair, thread):
    write(pair, pair.mentor, "<b>bold</b> & more")
    assert "&lt;b&gt;bold&lt;/b&gt; &amp; more" in sign_in(tenant, pair.mentee).get(thread).text


def test_thread_when_long_is_paged_newest_first(sign_in, tenant, pair, thread, clock):
    for number in range(21):
        clock.forward(minutes=5)
        write(pair, pair.mentor, f"Number {number:02}.")
    browser = sign_in(tenant, pair.mentee).get(thread)
    assert browser.says().index("Number 20.") < browser.says().index("Number 01.")
    assert "Number 00." not in browser.says()
    assert "Number 00." in browser.get(f"{thread}?page=2").says()
    assert browser.get(f"{thread}?page=nonsense").status == 200


def test_messages_when_very_many_within_an_hour_are_refused(pair, clock):
    for _ in range(operations.MOST_AN_HOUR):
        write(pair, pair.mentor)
    with pytest.raises(ConflictError, match="many_messages"):
        write(pair, pair.mentor)
    write(pair, pair.mentee)
    clock.forward(minutes=61)
    write(pair, pair.mentor)


def test_reading_when_done_twice_never_goes_back(pair):
    with pair.transaction() as db:
        operations.mark_read(db, pair.pairing.id, pair.mentee.id, pair.now, pair.now)
        operations.mark_read(db, pair.pairing.id, pair.mentee.id, pair.now - timedelta(days=1), pair.now)
    assert [row.read_at for row in pair.rows(ThreadRead)] == [pair.now]


def test_exchange_is_the_older_of_the_two_newest(pair, clock):
    write(pair, pair.mentor)
    with pair.transaction() as db:
        assert queries.last_exchange(db, pair.pairing.id) is None
    first = clock.forward(days=1)
    write(pair, pair.mentee)
    clock.forward(days=1)
    write(pair, pair.mentor)
    with pair.transaction() as db:
        assert queries.last_exchange(db, pair.pairing.id) == first
