"""Notes, takeaways, action items and commitments: whose they are, who reads them, what became of them."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from rmplugin.notes import operations, queries
from rmplugin.notes.models import ActionItem, Note
from rmplugin.notify import Notice
from tests.factories.pairs import make_pair
from tests.factories.people import make_person

PRIVATE, SHARED = "He talked about a walrus.", "Our walrus plan."


@pytest.fixture
def pair(runtime, tenant):
    return make_pair(runtime, tenant)


@pytest.fixture
def session(pair):
    return pair.hold()


def take_on(pair, person, words="Ask the walrus team", days=7, session_id=None):
    with pair.transaction() as db:
        values = {"text": words, "due_on": (pair.now + timedelta(days=days)).date()}
        secrets = pair.runtime.database.secrets
        return operations.take_on(db, secrets, pair.get(db), session_id, person.id, values, pair.now)


def test_note_when_private_is_read_by_its_author_only_and_when_shared_by_both(sign_in, tenant, pair, session):
    mentor = sign_in(tenant, pair.mentor).get(f"/sessions/{session.id}")
    mentor.submit("/notes", body=PRIVATE)
    mentor.submit("/notes", body=SHARED, is_shared="true")
    assert PRIVATE in mentor.says()
    for path in (f"/sessions/{session.id}", f"{pair.path}/notes"):
        assert PRIVATE not in sign_in(tenant, pair.mentee).get(path).says()
        assert SHARED in sign_in(tenant, pair.mentee).get(path).says()
        assert PRIVATE in sign_in(tenant, pair.mentor).get(path).says()


def test_words_when_stored_are_encrypted(sign_in, tenant, pair, session):
    sign_in(tenant, pair.mentor).get(f"/sessions/{session.id}").submit("/notes", body=PRIVATE)
    take_on(pair, pair.mentee)
    with pair.transaction() as db:
        stored = [
            *db.execute(text("select body_locked from note")).scalars(),
            *db.execute(text("select text_locked from action_item")).scalars(),
        ]
    assert len(stored) == 2
    assert not any(b"walrus" in bytes(words) for words in stored)


def test_note_when_it_is_the_partners_cannot_be_changed_even_if_shared(sign_in, tenant, pair, session):
    sign_in(tenant, pair.mentor).get(f"/sessions/{session.id}").submit(
        "/notes", body=SHARED, is_shared="true"
    )
    note = pair.rows(Note)[0]
    mentee = sign_in(tenant, pair.mentee)
    assert mentee.get(f"/notes/{note.id}").status == 404
    assert mentee.post(f"/notes/{note.id}", body="x").status == 404
    assert mentee.post(f"/notes/{note.id}/delete").status == 404
    mentor = sign_in(tenant, pair.mentor).get(f"/notes/{note.id}")
    fields = {"body": "Other words", "is_shared": ""}
    mentor.submit(f"/notes/{note.id}", **fields)
    assert "Other words" not in sign_in(tenant, pair.mentee).get(f"{pair.path}/notes").says()
    mentor.get(f"/notes/{note.id}").submit("/delete")
    assert pair.rows(Note) == []


@pytest.mark.parametrize("manager", [False, True])
def test_pages_when_a_third_person_or_a_manager_asks_do_not_exist(
    sign_in, tenant, pair, session, runtime, manager
):
    sign_in(tenant, pair.mentor).get(f"/sessions/{session.id}").submit(
        "/notes", body=SHARED, is_shared="true"
    )
    item, note = take_on(pair, pair.mentee), pair.rows(Note)[0]
    with runtime.database.transaction(tenant.id) as db:
        other = make_person(db)
    stranger = sign_in(tenant, other, manager=manager)
    for path in ("notes", "notes/download", "actions"):
        assert stranger.get(f"{pair.path}/{path}").status == 404
    assert stranger.get(f"/sessions/{session.id}").status == 404
    assert stranger.get(f"/notes/{note.id}").status == 404
    assert stranger.post(f"/action-items/{item.id}/done").status == 404
    assert stranger.post(f"/sessions/{session.id}/notes", body="x").status == 404


def test_takeaway_when_written_with_the_confirmation_is_private_unless_shared(sign_in, tenant, pair, session):
    browser = sign_in(tenant, pair.mentor).get(f"/sessions/{session.id}").submit("/claim", takeaway=PRIVATE)
    assert "counts as soon as the other side" in browser.says()
    assert PRIVATE in browser.text
    assert PRIVATE not in sign_in(tenant, pair.mentee).get(f"/sessions/{session.id}").text
    browser.submit("/takeaway", takeaway=SHARED, share_takeaway="true")
    assert len(pair.rows(Note)) == 1
    pair.claim(session, pair.mentee, 60)
    assert SHARED in sign_in(tenant, pair.mentee).get(f"/sessions/{session.id}").says()
    browser.submit("/takeaway", takeaway="")
    assert pair.rows(Note) == []


def test_next_session_when_confirmed_is_planned_with_one_tap(sign_in, tenant, pair, session):
    pair.agree()
    pair.claim(session, pair.mentor, 60)
    browser = sign_in(tenant, pair.mentor).get(f"/sessions/{session.id}")
    assert "And the next session?" in browser.says()
    browser.submit(f"{pair.path}/sessions")
    assert "The session is planned." in browser.says()
    assert "And the next session?" not in browser.get(f"/sessions/{session.id}").says()


def test_commitment_when_kept_is_told_to_the_partner_and_counted(sign_in, tenant, pair, session):
    mentee = sign_in(tenant, pair.mentee).get(f"/sessions/{session.id}")
    assert "What will you do about what you heard?" in mentee.says()
    mentee.submit("/actions", text="Ask the walrus team", due_on="2026-11-27")
    item = pair.rows(ActionItem)[0]
    assert (item.kind, item.session_id, item.owner_id) == ("commitment", session.id, pair.mentee.id)
    assert "Due this week" in mentee.get("/home").says()
    mentee.get(f"{pair.path}/actions").submit("/done", outcome="They try it from May on.")
    mentor = sign_in(tenant, pair.mentor).get(f"{pair.path}/actions")
    assert "They try it from May on." in mentor.says()
    assert "Done: 1 of 1 that were due." in mentor.says()
    told = pair.rows(Notice, person_id=pair.mentor.id, kind="item_done")
    assert [notice.text for notice in told] == ["Sven Senior did what they had taken on."]
    assert mentee.post(f"/action-items/{item.id}/done").status == 200
    assert len(pair.rows(Notice, person_id=pair.mentor.id, kind="item_done")) == 1
    assert mentee.post(f"/action-items/{item.id}/drop").status == 409


def test_item_when_it_is_the_partners_can_be_read_and_not_settled(sign_in, tenant, pair):
    item = take_on(pair, pair.mentee)
    mentor = sign_in(tenant, pair.mentor)
    assert "Ask the walrus team" in mentor.get(f"{pair.path}/actions").says()
    assert mentor.post(f"/action-items/{item.id}/done").status == 404
    assert mentor.post(f"/action-items/{item.id}/drop").status == 404


def test_item_when_dropped_with_a_reason_shows_the_partner_only_that(sign_in, tenant, pair):
    take_on(pair, pair.mentee)
    mentee = sign_in(tenant, pair.mentee).get(f"{pair.path}/actions")
    mentee.submit("/drop", reason="not_possible")
    says = sign_in(tenant, pair.mentor).get(f"{pair.path}/actions").says()
    assert "dropped" in says
    assert "not possible" not in says


@pytest.mark.parametrize("due_on", ["2026-11-22", "2028-01-01", "soon", ""])
def test_item_when_its_day_cannot_be_is_refused_and_kept_in_the_form(sign_in, tenant, pair, due_on):
    browser = sign_in(tenant, pair.mentor).get(f"{pair.path}/actions")
    browser.submit("/actions", text="My words", due_on=due_on)
    assert browser.status == 422
    assert "My words" in browser.text
    assert pair.rows(ActionItem) == []


def test_follow_through_counts_what_was_due_and_forgives_what_is_not_needed(pair, clock):
    done, dropped, forgiven, late, ahead = [take_on(pair, pair.mentee, days=n) for n in (1, 1, 1, 1, 30)]
    with pair.transaction() as db:
        secrets = pair.runtime.database.secrets
        operations.finish(db, secrets, db.get_one(ActionItem, done.id), pair.mentee.id, "", pair.now)
        operations.drop(db, db.get_one(ActionItem, dropped.id), pair.mentee.id, None, pair.now)
        operations.drop(db, db.get_one(ActionItem, forgiven.id), pair.mentee.id, "not_needed", pair.now)
    today = clock.forward(days=2).date()
    with pair.transaction() as db:
        items = queries.list_items(db, pair.pairing.id)
        assert queries.follow_through(items, today) == (1, 3)
        assert queries.count_commitments(db, pair.programme.id, today) == (1, 3, 1)
        assert [item.id for item in queries.due_items(db, pair.mentee.id, pair.now)] == [late.id]
    assert ahead.state == "open"


def test_download_when_asked_holds_ones_own_words_only(sign_in, tenant, pair, session):
    sign_in(tenant, pair.mentor).get(f"/sessions/{session.id}").submit("/notes", body=PRIVATE)
    sign_in(tenant, pair.mentee).get(f"/sessions/{session.id}").submit(
        "/notes", body=SHARED, is_shared="true"
    )
    take_on(pair, pair.mentee)
    mine = sign_in(tenant, pair.mentor).get(f"{pair.path}/notes/download")
    assert mine.headers["Content-Disposition"] == "attachment; filename=notes.txt"
    assert PRIVATE in mine.text
    assert SHARED not in mine.text
    assert "walrus team" not in mine.text


def test_everything_when_the_pairing_ended_stays_readable_and_takes_nothing_new(
    sign_in, tenant, pair, session
):
    browser = sign_in(tenant, pair.mentor).get(f"/sessions/{session.id}").submit("/notes", body=PRIVATE)
    pair.end()
    assert PRIVATE in browser.get(f"{pair.path}/notes").says()
    assert browser.post(f"/sessions/{session.id}/notes", body="late").status == 409
    assert browser.post(f"{pair.path}/actions", text="late", due_on="2026-12-01").status == 409
