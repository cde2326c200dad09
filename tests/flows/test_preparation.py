"""The preparation: modules, the gate before the first session, counts, reminders, supervision groups."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from rmplugin.errors import ConflictError, NotFoundError
from rmplugin.notify import unread
from rmplugin.preparation import operations, queries, tasks
from rmplugin.preparation.catalogue import MODULES, modules_for
from rmplugin.preparation.models import PreparationStep, SupervisionGroup, SupervisionSeat
from rmplugin.programmes.models import Programme
from rmplugin.programmes.places import new_enrolment
from tests.factories.pairs import Pair, make_pair
from tests.factories.people import make_person
from tests.factories.programmes import make_context, make_programme

DAY = timedelta(days=1)


@pytest.fixture
def pair(runtime, tenant) -> Pair:
    return make_pair(runtime, tenant)


@pytest.fixture
def course(runtime, tenant):
    with runtime.database.transaction(tenant.id) as db:
        context = make_context(db)
        return context, make_programme(db, context)


def add_people(db, programme, role, number, done=()):
    """Enrol people of a role; each of them has done the modules of `done`."""
    people = []
    for _ in range(number):
        person = make_person(db)
        db.add(new_enrolment(programme, person.id, role, "submitted", programme.created_at))
        for key in done:
            operations.finish(db, person.id, key, programme.created_at)
        people.append(person)
    db.flush()
    return people


def switch(pair: Pair, *, gate: bool) -> None:
    with pair.transaction() as db:
        operations.set_gate(db, pair.programme, "command", pair.now, gate=gate)


def prepare(pair: Pair, person, role) -> None:
    with pair.transaction() as db:
        for module in modules_for(role):
            operations.finish(db, person.id, module.key, pair.now)


def test_gate_when_it_is_off_lets_pairs_start(pair):
    pair.plan(pair.mentor, pair.now + DAY)


def test_gate_when_it_is_on_waits_until_both_are_ready(pair):
    switch(pair, gate=True)
    for person, role in ((pair.mentor, "mentor"), (pair.mentee, "mentee")):
        with pytest.raises(ConflictError, match="preparation_first"):
            pair.plan(pair.mentor, pair.now + DAY)
        prepare(pair, person, role)
    pair.plan(pair.mentor, pair.now + DAY)


def test_gate_never_keeps_a_session_that_took_place_or_the_second_one_out(pair):
    switch(pair, gate=True)
    pair.hold()
    pair.agree()
    pair.plan(pair.mentor, pair.now + DAY)


def test_plan_page_says_what_is_missing_and_not_what_the_partner_misses(pair, sign_in, tenant):
    switch(pair, gate=True)
    prepare(pair, pair.mentee, "mentee")
    page = sign_in(tenant, pair.mentor).get(f"{pair.path}/sessions/new")
    assert "Giving feedback upwards" in page.says()
    page = sign_in(tenant, pair.mentee).get(f"{pair.path}/sessions/new")
    assert "your partner is still preparing" in page.says()
    assert "feedback" not in page.says()


@pytest.mark.parametrize("role", ["mentor", "mentee"])
def test_somebody_walks_through_all_modules_of_their_role(pair, sign_in, tenant, role):
    person = getattr(pair, role)
    browser = sign_in(tenant, person).get("/home")
    assert "about 20 minutes left" in browser.says()
    for number, module in enumerate(modules_for(role), 1):
        browser.get(f"/programmes/{pair.programme.id}/preparation")
        assert f"/preparation/{module.key}" in browser.text.split("btn-primary")[1]
        browser.get(f"/programmes/{pair.programme.id}/preparation/{module.key}")
        assert browser.status == 200
        browser.submit(f"/preparation/{module.key}", answer="abc"[number % 3])
        assert "You chose:" in browser.says()
    browser.get(f"/programmes/{pair.programme.id}/preparation")
    assert "You are ready." in browser.says()
    steps = pair.rows(PreparationStep)
    assert {row.module for row in steps} == {module.key for module in modules_for(role)}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.key)
@pytest.mark.parametrize("answer", ["a", "b", "c"])
def test_module_explains_each_answer_and_only_the_chosen_one(pair, sign_in, tenant, module, answer):
    browser = sign_in(tenant, pair.mentor)
    page = f"/programmes/{pair.programme.id}/preparation/{module.key}"
    explained = {letter: browser.get(f"{page}?answer={letter}").says() for letter in ("a", "b", "c")}
    assert len(set(explained.values())) == 3
    assert "You chose:" not in browser.get(f"{page}?answer=z").says()
    assert browser.post(page, answer="z").status == 422
    browser.post(page, answer=answer)
    browser.post(page, answer=answer)
    assert len(pair.rows(PreparationStep)) == 1


def test_modules_are_for_those_who_take_part_and_their_managers(pair, sign_in, tenant, course):
    context, programme = course
    with pair.transaction() as db:
        stranger = make_person(db)
    page = f"/programmes/{pair.programme.id}/preparation"
    for path in (page, f"{page}/guide", f"{page}/listening"):
        assert sign_in(tenant, stranger).get(path).status == 404
    manager = sign_in(tenant, manager=True, context=context)
    with pair.transaction() as db:
        elsewhere = make_context(db, "Elsewhere")
    other = sign_in(tenant, manager=True, context=elsewhere)
    assert other.get(f"/programmes/{programme.id}/preparation/listening").status in (403, 404)
    assert manager.get(f"/programmes/{programme.id}/preparation/listening").status == 200
    assert "submit" not in manager.text
    assert manager.get(f"/programmes/{programme.id}/preparation/nothing").status == 404


def test_counts_hide_fewer_than_five_and_what_gives_them_away(runtime, tenant, course, sign_in):
    context, programme = course
    with runtime.database.transaction(tenant.id) as db:
        add_people(db, programme, "mentor", 6, ["safety", "listening"])
        add_people(db, programme, "mentor", 5, ["safety"])
        add_people(db, programme, "mentor", 2)
        add_people(db, programme, "mentee", 4, [module.key for module in MODULES])
    with runtime.database.transaction(tenant.id) as db:
        counts = queries.count_done(db, programme.id)
    people, rows = counts["mentor"]
    shown = {row.module.key if row.module else "ready": row.done for row in rows}
    assert people == 13
    # Safety: 11 of 13 would tell about the two who have not. Listening: 6 of 13 tells of nobody; nor does 0.
    assert (shown["safety"], shown["listening"], shown["ready"]) == (None, 6, 0)
    people, rows = counts["mentee"]
    assert people is None
    assert {row.done for row in rows} == {None}
    page = sign_in(tenant, manager=True, context=context).get(
        f"/manage/programmes/{programme.id}/preparation"
    )
    assert page.status == 200
    with runtime.database.transaction(tenant.id) as db:
        names = [person.display_name for person in add_people(db, programme, "mentor", 1)]
    assert not any(name in page.says() for name in names)


def test_reminder_reaches_those_who_are_not_ready_every_three_days_at_most(
    runtime, tenant, course, sign_in, clock
):
    context, programme = course
    with runtime.database.transaction(tenant.id) as db:
        ready = add_people(db, programme, "mentor", 1, [module.key for module in modules_for("mentor")])[0]
        late = add_people(db, programme, "mentor", 1, ["safety"])[0]
    here = f"/manage/programmes/{programme.id}/preparation"
    browser = sign_in(tenant, manager=True, context=context).get(here)
    browser.submit("/remind")
    assert "Whoever is not ready is reminded." in browser.says()
    clock.forward(days=2)
    assert sign_in(tenant, manager=True, context=context).post(f"{here}/remind").status == 409
    clock.forward(days=1)
    assert sign_in(tenant, manager=True, context=context).post(f"{here}/remind").status == 200
    with runtime.database.transaction(tenant.id) as db:
        assert [notice.kind for notice in unread(db, late.id)] == ["preparation_reminder"]
        assert unread(db, ready.id) == []


def test_gate_is_switched_on_the_managers_page(runtime, tenant, course, sign_in):
    context, programme = course
    browser = sign_in(tenant, manager=True, context=context).get(
        f"/manage/programmes/{programme.id}/preparation"
    )
    browser.submit("/gate")
    assert "First sessions wait until both are ready." in browser.says()
    browser.submit("/gate")
    assert "First sessions wait for nobody now." in browser.says()


GROUP = {"on": "2026-12-01", "at": "10:00", "zone": "Europe/Berlin", "minutes": "60", "capacity": "2"}


def offer(sign_in, tenant, course, **changes):
    context, programme = course
    browser = sign_in(tenant, manager=True, context=context)
    browser.get(f"/manage/programmes/{programme.id}/preparation")
    return browser.submit("/groups", **(GROUP | {"link": "https://meet.example/room"} | changes))


@pytest.mark.parametrize(
    "wrong",
    [
        {"link": "javascript:alert(1)"},
        {"link": "meet.example"},
        {"on": "2026-11-01"},
        {"on": "2028-01-01"},
        {"capacity": "1"},
        {"zone": "Mars/Olympus"},
    ],
)
def test_group_with_a_wrong_answer_is_not_offered(runtime, tenant, course, sign_in, wrong):
    assert offer(sign_in, tenant, course, **wrong).status == 422


def test_group_is_joined_left_and_full(runtime, tenant, course, sign_in):
    _context, programme = course
    with runtime.database.transaction(tenant.id) as db:
        mentors = add_people(db, programme, "mentor", 3)
        mentee = add_people(db, programme, "mentee", 1)[0]
    assert "The group is open." in offer(sign_in, tenant, course).says()
    here = f"/programmes/{programme.id}/preparation"
    with runtime.database.transaction(tenant.id) as db:
        group = db.scalars(select(SupervisionGroup)).one()
    assert group.starts_at.isoformat() == "2026-12-01T09:00:00+00:00"
    assert "No date is planned" in sign_in(tenant, mentee).get(here).says()
    assert sign_in(tenant, mentee).post(f"/supervision/{group.id}/join").status == 404
    first, second, third = (sign_in(tenant, person).get(here) for person in mentors)
    assert "meet.example" not in first.text
    assert "meet.example" in first.submit("/join").text
    second.submit("/join")
    assert third.submit("/join").status == 409
    assert "No place is free." in third.get(here).says()
    first.submit("/leave")
    assert "Your place" not in third.get(here).says()
    third.submit("/join")
    with runtime.database.transaction(tenant.id) as db:
        seats = {seat.person_id for seat in db.scalars(select(SupervisionSeat))}
    assert seats == {mentors[1].id, mentors[2].id}


def test_group_reminds_once_within_the_day_before_and_says_when_it_is_called_off(
    runtime, tenant, course, sign_in, clock
):
    context, programme = course
    with runtime.database.transaction(tenant.id) as db:
        person = add_people(db, programme, "mentor", 1)[0]
    offer(sign_in, tenant, course)
    with runtime.database.transaction(tenant.id) as db:
        group = db.scalars(select(SupervisionGroup)).one()
        operations.join(db, group, person.id, clock())
    clock.forward(days=6, hours=23, minutes=59)
    assert tasks.remind_due(runtime) == 0
    clock.forward(minutes=1)
    assert [tasks.remind_due(runtime) for _ in range(2)] == [1, 0]
    sign_in(tenant, manager=True, context=context).post(f"/manage/supervision/{group.id}/cancel")
    with runtime.database.transaction(tenant.id) as db:
        told = [str(notice.text) for notice in unread(db, person.id)]
        assert told == ["The supervision group that you joined does not take place."]
        with pytest.raises(ConflictError, match="group_over"):
            operations.join(
                db,
                db.get_one(SupervisionGroup, group.id),
                add_people(db, db.get_one(Programme, programme.id), "mentor", 1)[0].id,
                clock(),
            )
        with pytest.raises(NotFoundError):
            operations.join(db, db.get_one(SupervisionGroup, group.id), make_person(db).id, clock())
