"""From the ledger to the gradebook of a strict platform, and what happens when it says no."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from connectors.sinks.ags import AgsSink
from lti.ags import SCOPE_LINE_ITEM, SCOPE_LINE_ITEM_READ, SCOPE_SCORE
from rmplugin.api import FatalError, RetriableError, SinkAnswer, hookimpl
from rmplugin.credits import operations, tasks
from rmplugin.credits.claims import Due, Held, select_due
from rmplugin.credits.models import Delivery
from rmplugin.destinations.models import Brake
from rmplugin.destinations.store import PATIENCE
from rmplugin.errors import ConflictError
from rmplugin.jobs import enqueue, work_outbox
from rmplugin.people.models import CourseMember, LtiUser
from rmplugin.programmes.models import Programme
from rmplugin.tenants.models import LtiPlatform, LtiResourceLink
from rmplugin.tenants.store import as_platform
from rmplugin.wiring import make_runtime
from tests.factories.credits import confirm_session, hold, join_course, make_course, make_pair
from tests.fakes.ags_platform import AgsPlatform
from tests.fakes.lti_platform import Refused


@pytest.fixture
def lms(runtime, tool_keys, clock):
    with AgsPlatform(runtime, clock) as platform:
        platform.enrol("u-mentor")
        platform.enrol("u-mentee")
        yield platform


class World:
    """A pair whose programme runs in a course of the LMS."""

    def __init__(self, runtime, tenant, clock, lms, *, family="moodle", joined=True, **fields) -> None:
        self.runtime, self.tenant, self.clock, self.lms = runtime, tenant, clock, lms
        with self.db() as db:
            self.course = make_course(db, clock.now, lms.base, lms.line_item_url, family=family)
            self.pair = make_pair(
                db, clock.now, context_id=self.course.context.id, min_sessions=4, min_minutes=240, **fields
            )
            if joined:
                join_course(db, self.course, self.pair.mentor, "u-mentor", clock.now)
                join_course(db, self.course, self.pair.mentee, "u-mentee", clock.now)

    def db(self):
        return self.runtime.database.transaction(self.tenant.id)

    def confirm(self, minutes=60):
        with self.db() as db:
            confirm_session(db, self.pair, self.clock.now, minutes)

    def work(self):
        work_outbox(self.runtime)
        return tasks.deliver_due(self.runtime)

    def rows(self, person=None):
        query = select(Delivery).order_by(Delivery.created_at, Delivery.id)
        query = query.where(Delivery.person_id == (person or self.pair.mentee).id)
        with self.db() as db:
            return db.scalars(query).all()

    def row(self, person=None) -> Delivery:
        return self.rows(person)[-1]


@pytest.fixture
def world(runtime, tenant, clock, lms):
    return World(runtime, tenant, clock, lms)


def test_delivery_when_sessions_are_confirmed_raises_the_score_to_100(world, lms, clock):
    shown = []
    for _ in range(4):
        world.confirm()
        world.work()
        shown.append(dict(lms.grades))
        clock.forward(days=7)
    assert [grades["u-mentee"] for grades in shown] == [25, 50, 75, 100]
    assert shown[-1] == {"u-mentor": 100, "u-mentee": 100}
    last = [body for body in lms.bodies if body["userId"] == "u-mentee"]
    assert [body["activityProgress"] for body in last] == ["InProgress"] * 3 + ["Completed"]
    assert {body["gradingProgress"] for body in last} == {"FullyGraded"}
    assert {body["scoreMaximum"] for body in last} == {100}
    assert {row.state for row in world.rows()} == {"delivered"}
    assert len(lms.line_items) == 1


def test_delivery_when_nothing_changed_sends_nothing(world, lms, clock):
    world.confirm()
    world.work()
    with world.db() as db:
        enqueue(
            db,
            "progress_changed",
            clock.now,
            programme_id=str(world.pair.programme.id),
            person_id=str(world.pair.mentee.id),
        )
    world.work()
    assert len(lms.pushes) == 2


def test_delivery_when_progress_is_zero_sends_nothing(world, lms, clock):
    with world.db() as db:
        operations.on_progress_changed(
            db,
            {"programme_id": str(world.pair.programme.id), "person_id": str(world.pair.mentee.id)},
            clock.now,
            sinks=tuple(world.runtime.plugins.sinks.values()),
            policies=world.runtime.plugins.policies,
        )
    world.work()
    assert world.rows() == []


def test_delivery_when_several_wait_sends_the_newest_only(world, lms):
    for _ in range(3):
        world.confirm()
        work_outbox(world.runtime)
    world.work()
    assert sorted(lms.taken) == [("u-mentee", 75), ("u-mentor", 75)]
    assert [row.state for row in world.rows()] == ["superseded", "superseded", "delivered"]


def test_delivery_when_pushes_fall_into_one_second_grows_by_whole_seconds(world, lms, clock):
    for _ in range(3):
        world.confirm(20)
        world.work()
        clock.forward(milliseconds=100)
    assert {status for *_, status in lms.pushes} == {200}
    sent = [row.sent_timestamp.replace(microsecond=0) for row in world.rows()]
    assert len(set(sent)) == 3
    assert sent == sorted(sent)


def test_delivery_when_the_lms_is_down_for_an_hour_arrives_afterwards(world, lms, clock):
    lms.outage["ags"] = (503, {})
    start = clock.now
    while clock.now - start < timedelta(hours=1):
        if (clock.now - start) in (timedelta(0), timedelta(minutes=20)):
            world.confirm()
        world.work()
        clock.forward(minutes=1)
    row = world.row()
    assert row.state == "retry"
    assert row.last_status == 503
    assert "tried again by itself" in row.last_error
    assert lms.grades == {}
    # Doubling pauses: far fewer knocks than minutes.
    assert row.attempts < 10
    lms.outage.clear()
    for _ in range(40):
        world.work()
        clock.forward(minutes=1)
    assert lms.grades == {"u-mentor": 50, "u-mentee": 50}
    assert [r.state for r in world.rows()] == ["superseded", "delivered"]


def test_delivery_when_the_lms_stays_down_goes_on_with_one_try_for_all(world, lms, clock):
    lms.outage["ags"] = (500, {})
    world.confirm()
    for _ in range(30):
        world.work()
        clock.forward(hours=6)
    rows = [world.row(), world.row(world.pair.mentor)]
    assert {row.state for row in rows} == {"retry"}
    # Until the brake shuts, both are tried.
    assert sum(row.attempts for row in rows) in (30, 31, 32)
    lms.outage.clear()
    world.work()
    assert lms.grades == {"u-mentor": 25, "u-mentee": 25}


def test_delivery_when_told_to_wait_keeps_to_it_also_for_newer_words(world, lms, clock):
    lms.outage["ags"] = (429, {"Retry-After": "600"})
    world.confirm()
    world.work()
    tried = next(row for row in (world.row(), world.row(world.pair.mentor)) if row.attempts)
    assert tried.next_at == clock.now + timedelta(seconds=600)
    assert len([path for _method, path in lms.requests if "/scores" in path]) == 1, "the wish is for all"
    lms.outage.clear()
    clock.forward(minutes=5)
    world.confirm()
    world.work()
    assert lms.grades == {}
    clock.forward(minutes=5)
    world.work()
    assert lms.grades["u-mentee"] == 50


@pytest.mark.parametrize("wish", [1e17, float("inf")])
def test_delivery_when_told_to_wait_beyond_all_reason_waits_a_day(world, lms, clock, monkeypatch, wish):
    monkeypatch.setattr(
        AgsSink, "deliver", lambda *_: SinkAnswer(outcome="retry", status=429, retry_after=wish)
    )
    world.confirm()
    world.work()
    tried = next(row for row in (world.row(), world.row(world.pair.mentor)) if row.attempts)
    assert (tried.state, tried.next_at) == ("retry", clock.now + timedelta(hours=24))


def test_delivery_when_the_answer_was_lost_compares_and_sends_once_more(world, lms, clock):
    lms.lost_answers = 1
    world.confirm()
    world.work()
    clock.forward(minutes=2)
    world.work()
    assert lms.grades == {"u-mentor": 25, "u-mentee": 25}
    assert world.row().state == world.row(world.pair.mentor).state == "delivered"


def test_delivery_when_the_platform_calls_it_stale_but_has_it_is_delivered(world, lms, clock):
    number = next(iter(lms.line_items))
    lms.scores[number, "u-mentee"] = {"at": clock.now + timedelta(hours=1), "result": 25, "comment": None}
    world.confirm()
    world.work()
    row = world.row()
    assert (row.state, row.last_status, row.last_error) == ("delivered", 409, None)


def test_delivery_when_the_platform_has_a_newer_other_grade_is_sent_again_later(world, lms, clock):
    number = next(iter(lms.line_items))
    lms.scores[number, "u-mentee"] = {"at": clock.now + timedelta(minutes=3), "result": 7, "comment": None}
    world.confirm()
    world.work()
    assert (world.row().state, world.row().last_status) == ("retry", 409)
    for _ in range(20):
        clock.forward(minutes=1)
        world.work()
    assert lms.grades["u-mentee"] == 25
    assert world.row().state == "delivered"


def test_delivery_when_the_person_is_no_learner_there_is_blocked_in_plain_words(world, lms, clock):
    lms.members = [
        {"user_id": "u-mentor", "roles": ["Learner"]},
        {"user_id": "u-mentee", "roles": ["Instructor"]},
    ]
    world.confirm()
    world.work()
    row = world.row()
    assert (row.state, row.last_status) == ("blocked", 400)
    assert "not enrolled as a learner" in row.last_error
    assert lms.grades == {"u-mentor": 25}
    pushes = len(lms.pushes)
    clock.forward(days=2)
    world.work()
    assert len(lms.pushes) == pushes, "a blocked delivery is not tried again blindly"
    lms.members[1]["roles"] = ["Learner"]
    with world.db() as db:
        enqueue(db, "member_seen", clock.now, person_id=str(world.pair.mentee.id))
    world.work()
    assert lms.grades["u-mentee"] == 25


def test_delivery_when_the_column_was_deleted_says_so_and_makes_no_other(world, lms):
    lms.line_items.clear()
    world.confirm()
    world.work()
    row = world.row()
    assert (row.state, row.last_status) == ("blocked", 404)
    assert "column of this activity was deleted" in row.last_error
    assert lms.line_items == {}


def test_delivery_when_there_is_no_place_waits_until_the_person_launches(runtime, tenant, clock, lms):
    world = World(runtime, tenant, clock, lms, joined=False)
    world.confirm()
    world.work()
    row = world.row()
    assert row.state == "blocked"
    assert row.last_error.startswith("Open the activity once from your course")
    assert lms.pushes == []
    clock.forward(hours=1)
    with world.db() as db:
        join_course(db, world.course, world.pair.mentee, "u-mentee", clock.now)
        enqueue(db, "member_seen", clock.now, person_id=str(world.pair.mentee.id))
    world.work()
    assert lms.grades == {"u-mentee": 25}
    assert world.row(world.pair.mentor).state == "blocked"


def test_delivery_when_blocked_is_tried_once_per_launch(world, lms, clock):
    lms.refuse_scores = 422
    world.confirm()
    world.work()

    def launch():
        clock.forward(minutes=5)
        with world.db() as db:
            for user in db.scalars(select(LtiUser)):
                user.last_launch_at = clock.now
        clock.forward(seconds=1)

    for _ in range(2):
        launch()
        for _ in range(3):
            world.work()
            clock.forward(minutes=1)
    assert len([user for user, *_ in lms.pushes if user == "u-mentee"]) == 3
    lms.refuse_scores = None
    launch()
    world.work()
    assert lms.grades == {"u-mentor": 25, "u-mentee": 25}


def test_unblock_when_launched_as_a_teacher_changes_the_sentence(runtime, tenant, clock, lms):
    world = World(runtime, tenant, clock, lms, joined=False)
    world.confirm()
    world.work()
    with world.db() as db:
        join_course(db, world.course, world.pair.mentee, "u-mentee", clock.now, roles=("Instructor",))
        assert operations.unblock(db, clock.now, Delivery.person_id == world.pair.mentee.id) == 0
    assert "lists you as a teacher" in world.row().last_error


def test_delivery_when_the_link_has_no_column_says_who_can_add_one(world, lms):
    with world.db() as db:
        for member in db.scalars(select(CourseMember)):
            member.graded_link_id = None
    world.confirm()
    world.work()
    assert "no column in the gradebook" in world.row().last_error


def test_delivery_when_the_place_vanishes_before_the_push_is_blocked(world, lms, clock):
    lms.outage["ags"] = (503, {})
    world.confirm()
    world.work()
    with world.db() as db:
        db.get(Programme, world.pair.programme.id).context_id = None
    clock.forward(minutes=5)
    world.work()
    assert world.row().state == "blocked"
    assert "not open in a course" in world.row().last_error


def test_delivery_when_access_is_refused_is_tried_again(world, lms, clock):
    lms.outage["token"] = (400, {})
    world.confirm()
    world.work()
    row = world.row()
    assert (row.state, row.last_status) == ("retry", 400)
    assert "sign-in" in row.last_error
    lms.outage.clear()
    clock.forward(minutes=1)
    world.work()
    assert lms.grades["u-mentee"] == 25


def test_delivery_when_two_workers_race_pushes_each_snapshot_once(world, lms):
    world.confirm()
    work_outbox(world.runtime)
    workers = [threading.Thread(target=tasks.deliver_due, args=(world.runtime,)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted((user, given) for user, given, *_ in lms.pushes) == [("u-mentee", 25), ("u-mentor", 25)]


def test_delivery_when_one_is_in_flight_the_next_waits_its_turn(world, lms, clock):
    lms.holding = True
    world.confirm()
    work_outbox(world.runtime)
    first = threading.Thread(target=tasks.deliver_due, args=(world.runtime,))
    first.start()
    assert lms.reached.wait(10)
    user = lms.taken[0][0]
    world.confirm()
    work_outbox(world.runtime)
    lms.holding = False
    tasks.deliver_due(world.runtime)
    assert [given for who, given in lms.taken if who == user] == [25], "one in flight per person"
    lms.answer_now.set()
    first.join()
    clock.forward(seconds=1)
    tasks.deliver_due(world.runtime)
    assert [given for who, given in lms.taken if who == user] == [25, 50]
    assert lms.grades == {"u-mentor": 50, "u-mentee": 50}


def test_delivery_when_a_lease_ends_is_taken_over_and_the_late_answer_is_void(world, lms, clock):
    lms.holding = True
    world.confirm()
    work_outbox(world.runtime)
    slow = threading.Thread(target=tasks.deliver_due, args=(world.runtime,))
    slow.start()
    assert lms.reached.wait(10)
    lms.holding = False
    clock.forward(seconds=61)
    assert tasks.deliver_due(world.runtime)["delivered"] == 2
    lms.answer_now.set()
    slow.join()
    assert {row.state for row in (world.row(), world.row(world.pair.mentor))} == {"delivered"}
    assert max(row.attempts for row in (world.row(), world.row(world.pair.mentor))) == 2


@pytest.fixture
def own_column(runtime, tenant, clock, lms):
    """Give a world whose LMS leaves the gradebook column to the tool."""
    lms.line_items.clear()
    world = World(runtime, tenant, clock, lms, family="brightspace")
    with world.db() as db:
        link = db.get(LtiResourceLink, world.course.link.id)
        link.line_item_url, link.line_items_url = None, lms.base + "/ags/lineitems?type_id=36"
        link.scopes = [*link.scopes, SCOPE_LINE_ITEM, SCOPE_LINE_ITEM_READ]
    return world


def test_delivery_when_the_tools_own_column_was_deleted_makes_it_again_and_sends_everybodys_grade(
    own_column, lms, clock
):
    own_column.confirm()
    assert own_column.work() == {"delivered": 2}
    first = dict(lms.line_items)
    lms.line_items.clear()
    lms.scores.clear()
    clock.forward(days=1)
    other = own_column.row(own_column.pair.mentor)
    with own_column.db() as db:
        completion = operations.store.hold_completion(db, other.programme_id, other.person_id, clock.now)
        completion.percent = 50
        db.flush()
        sink = own_column.runtime.plugins.sinks["ags"]
        operations.store.write_deliveries(db, [completion], sink, clock.now)
    assert own_column.work() == {"delivered": 2}
    assert len(lms.line_items) == 1
    assert lms.line_items.keys() != first.keys()
    assert lms.grades == {"u-mentor": 50, "u-mentee": 25}


def test_delivery_when_the_new_column_is_gone_too_stops_and_says_so(own_column, lms, clock):
    own_column.confirm()
    own_column.work()
    clock.forward(days=1)
    with own_column.db() as db:
        db.get(LtiResourceLink, own_column.course.link.id).line_item_url += "&lost=1"
    lms.refuse_scores = 404
    asked = len(lms.bodies)
    route = lms.route

    def without_columns(method, path, *rest):
        if method == "GET" and path.endswith("/LineItem"):
            raise Refused(404, "gone")
        return route(method, path, *rest)

    lms.route = without_columns
    own_column.confirm()
    assert own_column.work() == {"blocked": 2}
    assert "column of this activity was deleted" in own_column.row().last_error
    assert len(lms.bodies) - asked == 4
    assert len(lms.line_items) == 1


def test_delivery_when_the_platform_is_the_teachers_business_makes_no_column(runtime, tenant, clock, lms):
    lms.line_items.clear()
    world = World(runtime, tenant, clock, lms, family="moodle")
    with world.db() as db:
        link = db.get(LtiResourceLink, world.course.link.id)
        link.line_item_url, link.line_items_url = None, lms.base + "/ags/lineitems?type_id=36"
        link.scopes = [*link.scopes, SCOPE_LINE_ITEM, SCOPE_LINE_ITEM_READ]
    world.confirm()
    assert world.work() == {"blocked": 2}
    assert "switch grades on" in world.row().last_error
    assert lms.line_items == {}


def test_token_when_grades_are_sent_is_for_the_courses_deployment(world, lms):
    world.confirm()
    world.work()
    claim = "https://purl.imsglobal.org/spec/lti/claim/deployment_id"
    assert [claims[claim] for claims in lms.assertions] == ["36"]


def test_token_when_two_processes_want_one_is_asked_for_once_until_it_expires(
    world, lms, settings, clock, runtime
):
    other = make_runtime(settings, clock=clock)
    with world.db() as db:
        platform = as_platform(db.get(LtiPlatform, world.course.platform.id), "36")
    try:
        clients = [tasks.service_client(runtime), tasks.service_client(other)]
        tokens = {client.access_token(platform, [SCOPE_SCORE]) for client in clients}
        assert (len(tokens), len(lms.assertions)) == (1, 1)
        clock.forward(seconds=3541)
        later = {client.access_token(platform, [SCOPE_SCORE]) for client in clients}
        assert (len(later), len(lms.assertions)) == (1, 2)
        assert later != tokens
    finally:
        other.database.close()
        other.queue.storage.close()


def test_delivery_when_many_are_refused_by_a_dead_lms_leaves_it_alone(runtime, tenant, clock, lms):
    world = World(runtime, tenant, clock, lms)
    with world.db() as db:
        for number in range(6):
            pair = make_pair(db, clock.now, programme=world.pair.programme)
            for person, user in ((pair.mentor, f"m{number}"), (pair.mentee, f"e{number}")):
                join_course(db, world.course, person, user, clock.now)
                lms.enrol(user)
            confirm_session(db, pair, clock.now)
    lms.outage["ags"] = (503, {})
    world.work()
    assert len([path for _method, path in lms.requests if "/scores" in path]) == PATIENCE
    world.work()
    assert len([path for _method, path in lms.requests if "/scores" in path]) == PATIENCE, "for all workers"
    clock.forward(minutes=1)
    world.work()
    assert len([path for _method, path in lms.requests if "/scores" in path]) == PATIENCE + 1
    lms.outage.clear()
    clock.forward(minutes=2)
    world.work()
    assert len(lms.grades) == 12


def test_delivery_when_one_course_does_not_answer_goes_on_in_the_others(runtime, tenant, clock, lms):
    worlds = []
    for number in range(3):
        with runtime.database.transaction(tenant.id) as db:
            db.execute(update(LtiPlatform).where(LtiPlatform.name == "lms").values(name=f"lms-{number}"))
        world = World(runtime, tenant, clock, lms, joined=False)
        with world.db() as db:
            join_course(db, world.course, world.pair.mentee, f"e{number}", clock.now)
        lms.enrol(f"e{number}")
        world.confirm()
        worlds.append(world)
    silent = worlds[0].pair.programme.context_id
    with worlds[0].db() as db:
        later = clock.now + timedelta(minutes=5)
        db.add(Brake(sink="ags", place_id=silent, failures=3, shut_until=later, updated_at=clock.now))
    worlds[0].work()
    assert set(lms.grades) == {"e1", "e2"}
    clock.forward(minutes=5)
    worlds[0].work()
    assert set(lms.grades) == {"e0", "e1", "e2"}


def test_delivery_on_canvas_makes_no_new_submission(runtime, tenant, clock, lms):
    world = World(runtime, tenant, clock, lms, family="canvas")
    world.confirm()
    world.work()
    extension = "https://canvas.instructure.com/lti/submission"
    assert {body[extension]["new_submission"] for body in lms.bodies} == {False}


def test_retry_when_the_obstacle_is_gone_sends_at_once(world, lms, clock):
    lms.refuse_scores = 422
    world.confirm()
    world.work()
    blocked = world.row()
    assert blocked.state == "blocked"
    lms.refuse_scores = None
    with world.db() as db:
        operations.retry(db, db.get(Delivery, blocked.id), "command", clock.now)
    world.work()
    assert lms.grades == {"u-mentee": 25}
    with world.db() as db, pytest.raises(ConflictError):
        operations.retry(db, db.get(Delivery, blocked.id), "command", clock.now)


def test_retry_when_the_obstacle_is_still_there_says_what_is_missing(world, lms, clock):
    world.confirm()
    with world.db() as db:
        db.scalars(select(CourseMember).where(CourseMember.is_learner)).first().last_launch_at = None
    world.work()
    with world.db() as db:
        blocked = db.scalars(select(Delivery).where(Delivery.state == "blocked")).one()
        with pytest.raises(ConflictError, match="What is missing: Open the activity once"):
            operations.retry(db, blocked, "command", clock.now)
        assert db.get_one(Delivery, blocked.id).state == "blocked"


def test_delivery_when_the_tenant_is_another_is_kept_apart(world, other_tenant, lms, clock, runtime):
    world.confirm()
    world.work()
    mine = world.row().id
    with runtime.database.transaction(other_tenant.id) as db:
        assert db.scalars(select(Delivery)).all() == []
        assert db.get(Delivery, mine) is None


def test_deliver_now_when_waiting_ends_with_nothing_open(world, lms):
    world.confirm()
    assert tasks.deliver_now(world.runtime, wait_seconds=5) == {"states": {"delivered": 2}, "open": 0}


def test_retry_when_pressed_while_a_dead_workers_answer_is_late_keeps_the_newer_try(world, lms, clock):
    world.confirm()
    work_outbox(world.runtime)
    row = world.row()
    with world.db() as db:
        due, held = hold(db, world.runtime, row, clock.now)
        [late] = held.claim([due])
    clock.forward(seconds=61)
    with world.db() as db:
        operations.retry(db, db.get(Delivery, row.id), "command", clock.now)
    with world.db() as db:
        due, held = hold(db, world.runtime, row, clock.now)
        [newer] = held.claim([due])
        assert held.claim([due]) == []
    blocked = SinkAnswer(outcome="blocked", message_for_user="old news")
    with world.db() as db:
        answers = [(late, blocked), (newer, SinkAnswer(outcome="delivered"))]
        assert hold(db, world.runtime, row, clock.now)[1].record(answers) == [None, "delivered"]
    assert (world.row().state, world.row().last_error) == ("delivered", None)


class EventSink:
    """A sink for events, as a plug-in could bring it: every snapshot counts, in order."""

    key, title, coalesces, needs_line_item = "events", "Event log", False, False

    def __init__(self) -> None:
        self.seen: list[tuple[str, float, int]] = []
        self.raises: Exception | None = None
        self.after: Callable[[], None] = lambda: None

    def deliver(self, record, services, now):  # noqa: ARG002 - names of the protocol.
        if self.raises is not None:
            raise self.raises
        self.seen.append((record.delivery_id, record.score_given, record.minutes))
        self.after()
        return SinkAnswer(outcome="delivered")

    @hookimpl
    def rm_register_completion_sinks(self):
        return [self]


@pytest.fixture
def events(settings, clock):
    sink = EventSink()
    runtime = make_runtime(settings, clock=clock, plugins=[sink])
    yield sink, runtime
    runtime.database.close()
    runtime.queue.storage.close()


def test_event_sink_when_down_gets_every_snapshot_in_order_afterwards(events, tenant, clock, lms):
    sink, runtime = events
    world = World(runtime, tenant, clock, lms)
    sink.raises = RetriableError("events", "POST", "https://log.example/x?token=secret", 503)
    for _ in range(3):
        world.confirm()
        world.work()
        clock.forward(minutes=1)
    assert sink.seen == []
    sink.raises = None
    for _ in range(20):
        world.work()
        clock.forward(minutes=1)
    mine = [row for row in world.rows() if row.sink == "events"]
    assert [row.state for row in mine] == ["delivered"] * 3
    ids = [str(row.id) for row in mine]
    assert [seen[1:] for seen in sink.seen if seen[0] in ids] == [(25, 60), (50, 120), (75, 180)]


@pytest.mark.parametrize(
    ("error", "state", "words"),
    [
        (ValueError("name of a person"), "retry", "unexpected error (ValueError)"),
        (
            FatalError("events", "POST", "https://log.example/x?token=secret", 401),
            "needs_human",
            "answered 401",
        ),
    ],
)
def test_event_sink_when_it_raises_keeps_the_delivery_and_leaks_nothing(
    events, tenant, clock, lms, error, state, words
):
    sink, runtime = events
    world = World(runtime, tenant, clock, lms)
    sink.raises = error
    world.confirm()
    world.work()
    row = next(row for row in world.rows() if row.sink == "events")
    assert row.state == state
    assert words in row.last_error
    assert "name of a person" not in row.last_error
    assert "secret" not in row.last_error
    assert lms.grades["u-mentee"] == 25, "one sink's fault is not another's"


@pytest.mark.parametrize("status", ["Deleted", "Inactive"])
def test_delivery_when_the_person_is_out_of_the_course_waits_and_goes_when_they_are_back(
    world, lms, clock, status
):
    with world.db() as db:
        rows = db.scalars(select(CourseMember).join(LtiUser, LtiUser.id == CourseMember.lti_user_id))
        member = next(row for row in rows if db.get_one(LtiUser, row.lti_user_id).sub == "u-mentee")
        member.status = status
    world.confirm()
    world.work()
    assert lms.grades == {"u-mentor": 25}
    assert world.row().state == "blocked"
    assert "does not list you as an active member" in world.row().last_error
    clock.forward(hours=1)
    with world.db() as db:
        db.get_one(CourseMember, member.id).status = "Active"
        enqueue(db, "course_roster_read", clock.now, context_id=str(world.course.context.id))
    world.work()
    assert lms.grades == {"u-mentor": 25, "u-mentee": 25}


def test_delivery_when_the_roster_alone_knows_the_person_asks_them_to_open_the_activity(world, lms):
    with world.db() as db:
        for row in [*db.scalars(select(CourseMember)), *db.scalars(select(LtiUser))]:
            row.last_launch_at = None
    world.confirm()
    world.work()
    assert lms.pushes == []
    assert "Open the activity once from your course" in world.row().last_error


def test_claim_when_it_lay_too_long_is_given_back_and_sent_in_the_next_round(
    events, tenant, clock, lms, monkeypatch
):
    sink, runtime = events
    world = World(runtime, tenant, clock, lms)
    with world.db() as db:
        other = make_pair(db, clock.now, world.pair.programme)
        confirm_session(db, other, clock.now)
    world.confirm()
    # One hand, for which claims wait.
    monkeypatch.setattr(tasks, "AT_ONCE", 1)
    ahead = select(Delivery).where(Delivery.sink == "events", Delivery.state == "in_flight")

    def take_long():
        until = time.monotonic() + 10
        while len(sink.seen) == 2 and time.monotonic() < until:
            with world.db() as db:
                if len(db.scalars(ahead).all()) == 2:
                    clock.forward(seconds=40)
                    return
            time.sleep(0.01)

    sink.after = take_long
    world.work()
    with world.db() as db:
        rows = db.scalars(select(Delivery).where(Delivery.sink == "events")).all()
        left = [row for row in rows if row.state != "delivered"]
        assert [(row.state, row.attempts, row.lease_until) for row in left] == [("pending", 0, None)]
        assert {str(row.id) for row in rows} - {seen[0] for seen in sink.seen} == {str(left[0].id)}
    world.work()
    assert sorted(seen[0] for seen in sink.seen) == sorted(str(row.id) for row in rows), "each once"


def test_claim_when_two_programmes_of_one_course_are_due_at_once_takes_one_for_each_person(
    events, tenant, clock, lms
):
    _sink, runtime = events
    world = World(runtime, tenant, clock, lms)
    with world.db() as db:
        other = make_pair(db, clock.now, mentor=world.pair.mentor, context_id=world.course.context.id)
        confirm_session(db, other, clock.now)
    world.confirm()
    work_outbox(runtime)

    def claim():
        with world.db() as db:
            due = [Due._make(row) for row in db.execute(select_due(Delivery.sink == "events"))]
            return Held(db, due, runtime.plugins.sinks, clock.now).claim(due)

    first = [one.due.person_id for one in claim()]
    people = {world.pair.mentor.id, world.pair.mentee.id, other.mentee.id}
    assert (len(first), set(first)) == (3, people), "the mentor's other one waits for its answer"
    clock.forward(seconds=61)
    assert len(claim()) == 3, "and so it does when the leases ended"


def test_pause_when_a_call_that_began_before_goes_through_is_kept_nevertheless(world, clock):
    world.confirm()
    work_outbox(world.runtime)
    sinks = world.runtime.plugins.sinks
    with world.db() as db:
        due = [Due._make(row) for row in db.execute(select_due())]
        asked, before = Held(db, due, sinks, clock.now).claim(due)
    clock.forward(seconds=5)
    with world.db() as db:
        rest = SinkAnswer(outcome="retry", status=429, retry_after=600)
        Held(db, due, sinks, clock.now).record([(asked, rest)])
    clock.forward(seconds=5)
    with world.db() as db:
        arrived = SinkAnswer(outcome="delivered", status=200)
        assert Held(db, due, sinks, clock.now).record([(before, arrived)]) == ["delivered"]
    world.confirm()
    assert world.work() == {}, "the LMS wanted rest"
    clock.forward(seconds=595)
    assert world.work() == {"delivered": 2}
    with world.db() as db:
        assert db.scalars(select(Brake)).all() == []


@pytest.mark.only_on("postgresql")
def test_retry_when_a_worker_took_the_row_meanwhile_leaves_it_in_its_hands(world, clock):
    world.confirm()
    work_outbox(world.runtime)
    with world.db() as page:
        seen = page.get_one(Delivery, world.row().id)
        with world.db() as db:
            due, held = hold(db, world.runtime, seen, clock.now)
            assert len(held.claim([due])) == 1
        with pytest.raises(ConflictError, match="being sent right now"):
            operations.retry(page, seen, "command", clock.now)
    assert world.row().state == "in_flight"
