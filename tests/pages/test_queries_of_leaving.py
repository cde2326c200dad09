"""Pages of leaving and preparation ask the database little, however much there is to show."""

from datetime import timedelta

import pytest
from sqlalchemy import event

from rmplugin.leaving import operations
from rmplugin.matching.ending import end_pairing
from rmplugin.preparation.operations import join, plan_group
from tests.factories.pairs import make_pair
from tests.factories.programmes import make_context

MOST = 12


@pytest.fixture
def statements(runtime):
    seen = []

    def see(_connection, _cursor, statement, *_rest):
        if statement.startswith(("SELECT", "UPDATE", "INSERT", "DELETE")):
            seen.append(statement)

    event.listen(runtime.database.engine, "before_cursor_execute", see)
    yield seen
    event.remove(runtime.database.engine, "before_cursor_execute", see)


@pytest.fixture
def ended(runtime, tenant):
    """Give a pair that has ended, with goals, sessions, thanks and supervision groups."""
    pair = make_pair(runtime, tenant)
    for number in range(3):
        pair.add_goal(pair.mentor, title=f"Goal {number}")
    session = pair.hold()
    pair.claim(session, pair.mentor, 60)
    pair.claim(session, pair.mentee, 60)
    with pair.transaction() as db:
        pair.programme = db.merge(pair.programme)
        context = make_context(db)
        pair.programme.context_id = context.id
        end_pairing(db, pair.get(db), pair.mentee.id, [], "rematch", pair.now)
        operations.thank(db, pair.get(db), pair.mentee.id, "Thank you.", pair.now - timedelta(days=2))
        operations.deliver_thanks(db, pair.now)
        for day in range(1, 4):
            values = {"role": "mentor", "minutes": 60, "capacity": 8, "link": "https://meet.example/"}
            values["starts_at"] = pair.now + timedelta(days=day)
            group = plan_group(db, pair.programme, values, "command", pair.now)
            join(db, group, pair.mentor.id, pair.now)
    return pair, context


def test_pages_of_a_person_ask_at_most_twelve_times(sign_in, tenant, ended, statements):
    pair, _context = ended
    here = f"/programmes/{pair.programme.id}"
    asked = {}
    for path in (
        f"{pair.path}/parting",
        f"{here}/record",
        f"{here}/preparation",
        f"{here}/preparation/safety",
        f"{here}/preparation/guide",
    ):
        browser = sign_in(tenant, pair.mentor)
        statements.clear()
        assert browser.get(path).status == 200
        asked[path] = len(statements)
    assert {path: count for path, count in asked.items() if count > MOST} == {}


def test_pages_of_a_manager_ask_at_most_twelve_times(sign_in, tenant, ended, statements):
    pair, context = ended
    asked = {}
    for page in ("ends", "preparation"):
        browser = sign_in(tenant, manager=True, context=context)
        statements.clear()
        assert browser.get(f"/manage/programmes/{pair.programme.id}/{page}").status == 200
        asked[page] = len(statements)
    assert {page: count for page, count in asked.items() if count > MOST} == {}
