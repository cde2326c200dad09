"""Two programmes in one course: a person has one grade there, and it never goes to and fro."""

import pytest
from sqlalchemy import select

from rmplugin.api import SinkAnswer
from rmplugin.credits.models import Delivery
from rmplugin.jobs import work_outbox
from tests.factories.credits import confirm_session, hold, join_course, make_pair
from tests.factories.grades import Scene
from tests.fakes.ags_platform import AgsPlatform


@pytest.fixture
def lms(runtime, tool_keys, clock):
    with AgsPlatform(runtime, clock) as platform:
        yield platform


class Both(Scene):
    """The mentor of the first pair teaches somebody else in a second programme of the course, too."""

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.mentor, self.first = self.pairs[0].mentor, self.pairs[0]
        with self.db() as db:
            self.second = make_pair(
                db, self.clock.now, mentor=self.mentor,
                context_id=self.course.context.id, min_sessions=2, min_minutes=120,
            )  # fmt: skip
            self.subs[self.second.mentee.id] = "u-other"
            self.lms.enrol("u-other")
            join_course(db, self.course, self.second.mentee, "u-other", self.clock.now)

    def newest(self, pair, person):
        query = select(Delivery).where(
            Delivery.programme_id == pair.programme.id, Delivery.person_id == person.id
        )
        with self.db() as db:
            return db.scalars(query.order_by(Delivery.created_at.desc(), Delivery.id.desc()).limit(1)).one()


@pytest.fixture
def scene(runtime, tenant, clock, lms):
    return Both(runtime, tenant, clock, lms)


def test_grade_when_a_person_is_in_two_programmes_is_that_of_the_older_until_it_is_over(scene):
    scene.confirm(scene.second)
    scene.work()
    assert scene.grade(scene.mentor) == 25
    assert scene.grade(scene.second.mentee) == 50, "who is in one programme only has its grade"
    waits = scene.newest(scene.second, scene.mentor)
    assert waits.state == "blocked"
    assert str(waits.last_error).startswith(f"You take part in {scene.programme.name}, too")
    scene.confirm(scene.first)
    scene.work()
    assert scene.grade(scene.mentor) == 50
    scene.end(scene.first)
    scene.work()
    scene.work()
    assert scene.newest(scene.second, scene.mentor).state == "delivered"
    scene.confirm(scene.second)
    scene.work()
    assert scene.grade(scene.mentor) == 100
    # A late correction in the programme that is over no longer touches the grade.
    scene.confirm(scene.first)
    scene.work()
    assert scene.grade(scene.mentor) == 100
    late = scene.newest(scene.first, scene.mentor)
    assert (late.state, "is over" in str(late.last_error)) == ("blocked", True)
    assert scene.grade(scene.first.mentee) == 75


def test_grade_when_a_push_of_the_other_programme_is_under_way_waits_for_its_answer(scene):
    """One in flight per column and person, whichever programme it is of."""
    scene.confirm(scene.second)
    scene.work()
    with scene.db() as db:
        confirm_session(db, scene.first, scene.clock.now)
    scene.runtime.clock.forward(seconds=1)
    work_outbox(scene.runtime)
    row = scene.newest(scene.first, scene.mentor)
    with scene.db() as db:
        due, held = hold(db, scene.runtime, row, scene.clock.now)
        [claim] = held.claim([due])
    scene.end(scene.first)
    work_outbox(scene.runtime)
    other = scene.newest(scene.second, scene.mentor)
    assert other.state == "pending"
    with scene.db() as db:
        due, held = hold(db, scene.runtime, other, scene.clock.now)
        assert held.claim([due]) == []
    with scene.db() as db:
        held = hold(db, scene.runtime, row, scene.clock.now)[1]
        assert held.record([(claim, SinkAnswer(outcome="delivered", status=200))]) == ["delivered"]
    with scene.db() as db:
        due, held = hold(db, scene.runtime, other, scene.clock.now)
        [after] = held.claim([due])
    assert after.record.sent_at.replace(microsecond=0) > claim.record.sent_at.replace(microsecond=0)
