"""Every page asks the database at most twelve times, however much there is to show, and is light.

The pages are taken from the app's own table of routes. Each is opened twice: with the rows of a pair that has
met, and with a made-up row of every table.
"""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import Any

import pytest
from sqlalchemy import event, func, select

from rmplugin import notify, web
from rmplugin.db import Base
from rmplugin.people.models import Person
from rmplugin.programmes.models import Enrolment, Programme
from rmplugin.tenants.models import LtiContext
from rmplugin.web import Role
from tests.factories.browser import Browser
from tests.factories.pairs import make_pair
from tests.factories.programmes import make_context
from tests.factories.rows import fill
from tests.pages.test_weight import FILE, MOST_BYTES
from tests.rules.test_routes import ask, requests_for

MOST = 12
# Pages that may ask more often, and how often.
EXCEPTIONS = {
    # A small pool is counted while the page waits: the matching reads each kind of its facts once. One
    # more is the zone of a manager whom HR does not know.
    "matching.health_page": 20,
    "signup.funnel_page": 20,
}


@contextmanager
def statements(runtime) -> Iterator[list[str]]:
    """Collect what is sent to the database."""
    seen: list[str] = []

    def see(_connection, _cursor, statement, *_rest):
        if statement.startswith(("SELECT", "UPDATE", "INSERT", "DELETE", "WITH")):
            seen.append(statement)

    event.listen(runtime.database.engine, "before_cursor_execute", see)
    yield seen
    event.remove(runtime.database.engine, "before_cursor_execute", see)


@dataclasses.dataclass
class World:
    """Rows, and somebody of each role who may see them.

    :ivar ids: table -> id.
    """

    ids: dict[str, Any]
    tokens: dict[Role, str | None]

    @classmethod
    def of(cls, app, runtime, tenant, now, ids) -> "World":
        with runtime.database.transaction(tenant.id) as db:
            person, context = db.get_one(Person, ids["person"]), db.get_one(LtiContext, ids["lti_context"])
        who = {
            Role.VISITOR: (person, False, context),
            Role.PARTICIPANT: (person, False, context),
            Role.MANAGER: (None, True, context),
            Role.ADMINISTRATOR: (None, False, None),
        }
        tokens: dict[Role, str | None] = {Role.PUBLIC: None}
        for role, (one, manager, course) in who.items():
            is_administrator = role is Role.ADMINISTRATOR
            tokens[role] = Browser.signed_in(
                app, runtime, tenant, one, manager, course, None, now, administrator=is_administrator
            ).token
        return cls(ids, tokens)


@pytest.fixture
def worlds(app, runtime, tenant, tool_keys, clock) -> list[World]:
    with runtime.database.transaction(tenant.id) as db:
        rows = fill(db.connection(), Base.metadata, {"tenant": tenant.id})
        made_up = {name: ids[0] for name, ids in rows.items()}
        db.get_one(Programme, made_up["programme"]).context_id = made_up["lti_context"]
        context = make_context(db)
    pair = make_pair(runtime, tenant)
    with pair.transaction() as db:
        db.get_one(Programme, pair.programme.id).context_id = context.id
    agreement = pair.agree()
    mine = [
        pair.add_goal(person, title=f"Goal {n}") for n in range(3) for person in (pair.mentor, pair.mentee)
    ]
    held = [pair.hold(hours) for hours in (2, 4, 6, 8)]
    for session in held:
        pair.claim(session, pair.mentee, 60)
    pair.claim(held[-1], pair.mentor, 60)
    pair.plan(pair.mentor, clock.now + timedelta(days=3))
    with pair.transaction() as db:
        for person in (pair.mentor, pair.mentee):
            notify.tell(db, person.id, "x", "Look at your goals", clock.now, "/goals")
        enrolment = db.query(Enrolment).filter_by(person_id=pair.mentor.id).one().id
        pairing = pair.get(db)
    walked = made_up | {
        "lti_context": context.id,
        "programme": pair.programme.id,
        "pairing": pairing.id,
        "proposal": pairing.proposal_id,
        "person": pair.mentor.id,
        "enrolment": enrolment,
        "agreement": agreement.id,
        "goal": mine[0].id,
        "mentoring_session": held[0].id,
    }
    return [World.of(app, runtime, tenant, clock.now, ids) for ids in (walked, made_up)]


def visits(app, worlds) -> Iterator[tuple[str, Any]]:
    """Open every page of every world: its name, and the answer when it was shown, else None."""
    client = app.test_client()
    for world in worlds:
        for request in requests_for(app, world.ids):
            if request.method == "GET" and request.role is not None:
                answer = ask(client, request, world.tokens[request.role])
                yield request.endpoint, answer if answer.status_code == 200 else None


def count(app, runtime, worlds) -> dict[str, list[str]]:
    """Give the statements of every page, of the world in which it asks more; none for a page nobody saw."""
    asked: dict[str, list[str]] = {}
    with statements(runtime) as seen:
        for endpoint, answer in visits(app, worlds):
            before = asked.setdefault(endpoint, [])
            if answer is not None and len(seen) > len(before):
                asked[endpoint] = list(seen)
            seen.clear()
    return asked


def test_pages_when_opened_ask_at_most_twelve_times(app, runtime, worlds):
    asked = count(app, runtime, worlds)
    assert len(asked) > len(EXCEPTIONS) + 50
    too_often = {page: len(said) for page, said in asked.items() if len(said) > EXCEPTIONS.get(page, MOST)}
    assert too_often == {}
    assert {page for page in EXCEPTIONS if len(asked[page]) <= MOST} == set(), "no exceptions any more"
    # Pages that were not shown here are few, and none of them is among those that people open most.
    unseen = {page for page, said in asked.items() if not said}
    assert unseen.isdisjoint({"dashboard.home", "dashboard.desk", "dashboard.pairing"})


def test_pages_when_opened_first_weigh_at_most_150_kb(app, worlds):
    client = app.test_client()
    packed = cache(lambda path: len(client.get(path, headers={"Accept-Encoding": "gzip"}).data))
    # Pages themselves are sent as they are: they hold the session.
    weights = {
        endpoint: len(answer.data) + sum(map(packed, FILE.findall(answer.text)))
        for endpoint, answer in visits(app, worlds)
        if answer is not None and answer.mimetype == "text/html"
    }
    assert len(weights) > 50
    assert {page: weight for page, weight in weights.items() if weight > MOST_BYTES} == {}


def test_rule_when_a_page_asks_in_a_loop_finds_it(app, runtime, worlds):
    def careless(visit):
        return str([visit.db.scalar(select(func.count(Person.id))) for _ in range(MOST)])

    pages = web.Pages("careless", __name__)
    pages.get("/careless", role=Role.VISITOR)(careless)
    app.register_blueprint(pages.blueprint)
    app.extensions["rm_roles"] |= pages.roles
    assert len(count(app, runtime, worlds[:1])["careless.careless"]) == MOST + 1
