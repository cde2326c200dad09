"""Gradebooks are read back and compared with the ledger: repaired where it is ours, else reported."""

import uuid
from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from rmplugin.credits import reconciling
from rmplugin.credits.models import Completion, Delivery, GradeComparison, GradeDifference
from rmplugin.errors import ConflictError
from rmplugin.people.models import CourseMember, LtiUser
from rmplugin.tenants.models import LtiResourceLink
from tests.factories.credits import confirm_session, make_pair
from tests.factories.grades import Scene, counts, kinds
from tests.fakes.ags_platform import AgsPlatform


@pytest.fixture
def lms(runtime, tool_keys, clock):
    with AgsPlatform(runtime, clock) as platform:
        yield platform


@pytest.fixture
def scene(runtime, tenant, clock, lms):
    return Scene(runtime, tenant, clock, lms)


def test_compare_when_all_is_well_finds_nothing_and_sends_nothing(scene, lms):
    pushes = len(lms.pushes)
    document = scene.compare()
    assert counts(document) == {"equal": 2}
    assert document["differences"] == []
    assert scene.work() == {}
    assert len(lms.pushes) == pushes


@pytest.mark.parametrize("given", [80, 55, 33.333])
def test_compare_when_a_teacher_gave_another_grade_reports_it_and_keeps_it(scene, given):
    mentor = scene.pairs[0].mentor
    scene.show(mentor, given)
    document = scene.compare()
    assert counts(document) == {"equal": 1, "reported": 1}
    (one,) = document["differences"]
    shown = round(given, 2)
    assert (one["kind"], one["repaired"], one["ours"], one["theirs"]) == ("overridden", False, 25, shown)
    assert one["person"] == mentor.employee_number
    assert "never overwrites" in one["says"]
    scene.work()
    assert scene.grade(mentor) == given
    assert kinds(scene.compare()) == {("overridden", False): 1}


@pytest.mark.parametrize("score", [None, "erased"])
def test_compare_when_a_score_was_lost_sends_it_again_and_once_only(scene, lms, score):
    mentor = scene.pairs[0].mentor
    scene.show(mentor, score)
    assert kinds(scene.compare()) == {("lost", True): 1}
    assert scene.work() == {"delivered": 1}
    assert scene.grade(mentor) == 25
    assert counts(scene.compare()) == {"equal": 2}
    # A gradebook that takes a grade and goes on without it is not fed each night.
    scene.show(mentor, score)
    scene.compare()
    scene.work()
    scene.show(mentor, score)
    pushes = len(lms.pushes)
    for _night in range(3):
        assert kinds(scene.compare()) == {("ignored", False): 1}
        scene.work()
    assert len(lms.pushes) == pushes
    scene.confirm()
    scene.work()
    assert counts(scene.compare()) == {"equal": 2}


def test_compare_when_an_older_score_of_ours_is_shown_sends_the_newest_again(scene, clock):
    mentor = scene.pairs[0].mentor
    first_at = clock.now
    scene.confirm()
    scene.work()
    scene.show(mentor, 25, first_at - timedelta(hours=1))
    assert kinds(scene.compare()) == {("stale", True): 1}
    scene.work()
    assert scene.grade(mentor) == 50


def test_compare_when_the_platform_dates_grades_tells_a_teachers_from_an_older_one_of_ours(scene, lms, clock):
    lms.result_times = True
    mentor, mentee = scene.pairs[0].mentor, scene.pairs[0].mentee
    scene.confirm()
    scene.work()
    scene.show(mentor, 25, clock.now)
    scene.show(mentee, 25, clock.now - timedelta(hours=5))
    assert kinds(scene.compare()) == {("overridden", False): 1, ("stale", True): 1}
    scene.work()
    assert (scene.grade(mentor), scene.grade(mentee)) == (25, 50)


def test_compare_when_somebody_left_the_course_reports_it_and_sends_nothing(scene, lms):
    mentor = scene.pairs[0].mentor
    with scene.db() as db:
        user = db.scalars(select(LtiUser).where(LtiUser.person_id == mentor.id)).one()
        db.scalars(select(CourseMember).where(CourseMember.lti_user_id == user.id)).one().status = "Deleted"
    assert counts(scene.compare()) == {"equal": 2}, "the grade is still there"
    scene.show(mentor, None)
    pushes = len(lms.pushes)
    assert kinds(scene.compare()) == {("left", False): 1}
    scene.work()
    assert len(lms.pushes) == pushes


def test_compare_when_the_teachers_column_was_deleted_reports_everybody(scene, lms):
    lms.line_items.clear()
    document = scene.compare()
    assert counts(document) == {"reported": 2}
    assert kinds(document) == {("column_gone", False): 2}


def test_compare_when_the_tools_own_column_was_deleted_makes_it_again_with_all_grades(
    runtime, tenant, clock, lms
):
    scene = Scene(runtime, tenant, clock, lms, family="brightspace", pairs=2)
    with scene.db() as db:
        link = db.get(LtiResourceLink, scene.course.link.id)
        link.line_items_url, link.line_item_is_ours = lms.base + "/ags/lineitems?type_id=36", True
    lms.line_items.clear()
    lms.scores.clear()
    assert kinds(scene.compare(dry_run=True)) == {("column_gone", True): 4}
    assert scene.work() == {}, "a dry run changes nothing"
    assert kinds(scene.compare()) == {("column_gone", True): 4}
    assert scene.work() == {"delivered": 4}
    assert sorted(lms.grades.values()) == [25] * 4
    assert len(lms.line_items) == 1
    assert counts(scene.compare()) == {"equal": 4}


def test_compare_when_a_course_was_copied_leaves_the_other_activitys_column_alone(scene, lms):
    lms.add_line_item(label="Copy", scoreMaximum=100, tag="completion", resourceId=str(uuid.uuid4()))
    with scene.db() as db:
        link = db.get(LtiResourceLink, scene.course.link.id)
        link.line_items_url = lms.base + "/ags/lineitems?type_id=36"
    assert kinds(scene.compare()) == {("stray_column", False): 1}
    with scene.db() as db:
        db.get(LtiResourceLink, scene.course.link.id).line_item_url = list(lms.line_items.values())[-1]["id"]
    pushes = len(lms.pushes)
    assert kinds(scene.compare()) == {("copied", False): 2}
    scene.work()
    assert len(lms.pushes) == pushes


def test_compare_when_the_gradebook_cannot_be_read_says_so_of_everybody(scene, lms):
    lms.outage["ags"] = (503, {})
    document = scene.compare()
    assert counts(document) == {"reported": 2}
    assert kinds(document) == {("unreadable", False): 2}
    lms.outage.clear()
    assert counts(scene.compare()) == {"equal": 2}


def test_compare_when_strangers_have_a_grade_counts_them_without_a_name(scene, lms):
    number = lms.line_item_url.split("/LineItem")[0].rpartition("/")[2]
    for name in ("x-1", "x-2", "x-3"):
        lms.scores[number, name] = {"at": scene.clock.now, "result": 12, "comment": None}
    document = scene.compare()
    assert counts(document) == {"equal": 2}
    (one,) = document["differences"]
    assert (one["kind"], one["times"], one["person"]) == ("stranger", 3, None)
    assert "x-1" not in str(document)


def test_compare_when_a_word_was_never_written_sends_it(scene):
    mentor = scene.pairs[0].mentor
    with scene.db() as db:
        row = db.scalars(select(Completion).where(Completion.person_id == mentor.id)).one()
        row.percent = 60
    assert kinds(scene.compare()) == {("unsent", True): 1}
    scene.work()
    assert scene.grade(mentor) == 60


def test_compare_when_two_programmes_share_a_column_takes_the_word_that_was_sent_last(scene):
    pair = scene.pairs[0]
    with scene.db() as db:
        fields = {"context_id": scene.course.context.id, "min_sessions": 2, "min_minutes": 120}
        other = make_pair(db, scene.clock.now, mentor=pair.mentor, mentee=pair.mentee, **fields)
        confirm_session(db, other, scene.clock.now)
    scene.work()
    assert scene.grade(pair.mentor) == 25
    assert counts(scene.compare()) == {"equal": 2, "blocked": 2}
    scene.end(pair)
    scene.work()
    scene.work()
    assert scene.grade(pair.mentor) == 50
    assert counts(scene.compare()) == {"equal": 4}
    scene.show(pair.mentor, None)
    assert kinds(scene.compare())[("lost", True)] >= 1
    scene.work()
    assert scene.grade(pair.mentor) == 50
    assert counts(scene.compare()) == {"equal": 4}


def test_compare_when_something_is_under_way_or_stuck_leaves_it(scene, lms):
    mentor, mentee = scene.pairs[0].mentor, scene.pairs[0].mentee
    scene.confirm()
    lms.outage["ags"] = (503, {})
    scene.work()
    lms.outage.clear()
    with scene.db() as db:
        row = db.scalars(
            select(Delivery).where(Delivery.person_id == mentor.id, Delivery.state == "retry")
        ).one()
        row.state = "blocked"
    assert counts(scene.compare()) == {"blocked": 1, "on_its_way": 1}
    assert scene.grade(mentee) == 25


def test_compare_keeps_the_last_run_of_each_platform_and_no_dry_one(scene):
    scene.show(scene.pairs[0].mentor, 80)
    scene.compare(dry_run=True)
    with scene.db() as db:
        assert db.scalar(select(func.count(GradeComparison.id))) == 0
    scene.compare()
    scene.compare()
    with scene.db() as db:
        assert db.scalars(select(GradeComparison.people)).all() == [{"equal": 1, "reported": 1}]
        assert db.scalar(select(func.count(GradeDifference.id))) == 1


def test_compare_when_another_process_is_at_it_is_refused(scene):
    with (
        scene.runtime.database.hold("grades", scene.course.platform.id),
        pytest.raises(ConflictError, match="right now"),
    ):
        scene.compare()


def test_compare_all_takes_every_platform_with_a_programme(scene):
    assert reconciling.compare_all(scene.runtime) == 1


WAYS = ("equal", "other", "lost", "erased", "older", "pending", "blocked", "left", "unsent")


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ways=st.lists(st.sampled_from(WAYS), min_size=4, max_size=4), times=st.booleans())
def test_compare_whatever_the_gradebook_shows_puts_everybody_into_one_class(scene, lms, clock, ways, times):
    lms.result_times = times
    pairs = [scene.add_pair() for _ in range(2)]
    scene.work()
    people = [person for pair in pairs for person in (pair.mentor, pair.mentee)]
    for pair in pairs:
        scene.confirm(pair)
    scene.work()
    for person, way in zip(people, ways, strict=True):
        twist(scene, person, way)
    document = scene.compare()
    named = Counter(one["person"] for one in document["differences"] if one["person"])
    with scene.db() as db:
        above = db.scalar(select(func.count(Completion.id)).where(Completion.percent > 0))
    assert sum(document["people"].values()) == above, "everybody is in exactly one class"
    assert max(named.values(), default=0) <= 1
    assert sum(named.values()) == document["people"]["repaired"] + document["people"]["reported"]
    found = {one["person"]: (one["kind"], one["repaired"]) for one in document["differences"]}
    for person, way in zip(people, ways, strict=True):
        assert found.get(person.employee_number) == EXPECTED[way], way
    teachers = {
        person.id: scene.grade(person) for person, way in zip(people, ways, strict=True) if way == "other"
    }
    scene.work()
    # What was ours to repair is right now, and a teacher's grade stands as it was.
    for person, way in zip(people, ways, strict=True):
        if way in ("lost", "erased", "older", "equal", "pending"):
            assert scene.grade(person) == 50, way
        elif way == "unsent":
            assert scene.grade(person) == 77
        elif way == "other":
            assert scene.grade(person) == teachers[person.id]


EXPECTED = {
    "equal": None,
    "other": ("overridden", False),
    "lost": ("lost", True),
    "erased": ("lost", True),
    "older": ("stale", True),
    "pending": None,
    "blocked": None,
    "left": ("left", False),
    "unsent": ("unsent", True),
}


def twist(scene, person, way):
    if way == "other":
        scene.show(person, 33)
    elif way in ("lost", "erased"):
        scene.show(person, None if way == "lost" else "erased")
    elif way == "older":
        scene.show(person, 25, scene.clock.now - timedelta(hours=6))
    elif way in ("pending", "blocked"):
        with scene.db() as db:
            query = select(Delivery).where(Delivery.person_id == person.id, Delivery.state == "delivered")
            row = db.scalars(query.order_by(Delivery.id.desc()).limit(1)).one()
            row.state = way
    elif way == "left":
        scene.show(person, None)
        with scene.db() as db:
            user = db.scalars(select(LtiUser).where(LtiUser.person_id == person.id)).one()
            member = db.scalars(select(CourseMember).where(CourseMember.lti_user_id == user.id)).one()
            member.status = "Inactive"
    elif way == "unsent":
        with scene.db() as db:
            query = select(Completion).where(Completion.person_id == person.id)
            db.scalars(query).one().percent = 77
