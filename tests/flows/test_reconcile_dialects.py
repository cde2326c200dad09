"""What each platform does to grades, as it tells of it, and platforms that fail while they are read."""

import json

import pytest
from sqlalchemy import select

from rmplugin.people.models import CourseMember, LtiUser
from rmplugin.tenants.models import LtiResourceLink
from tests.factories.grades import Scene, counts, kinds
from tests.fakes.ags_platform import AgsPlatform
from tests.fakes.canvas_ags import CanvasAgs

PLATFORMS = {"moodle": AgsPlatform, "canvas": CanvasAgs}


@pytest.fixture(params=PLATFORMS)
def family(request):
    return request.param


@pytest.fixture
def lms(runtime, tool_keys, clock, family):
    with PLATFORMS[family](runtime, clock) as platform:
        platform.result_times = family == "moodle"
        yield platform


@pytest.fixture
def scene(runtime, tenant, clock, lms, family):
    return Scene(runtime, tenant, clock, lms, family=family, pairs=3)


def people(scene):
    return [person for pair in scene.pairs for person in (pair.mentor, pair.mentee)]


def leave(scene, person):
    with scene.db() as db:
        user = db.scalars(select(LtiUser).where(LtiUser.person_id == person.id)).one()
        db.scalars(select(CourseMember).where(CourseMember.lti_user_id == user.id)).one().status = "Deleted"


def test_compare_on_each_platform_finds_every_difference_and_none_after_the_repair(scene, lms, clock):
    first_at = clock.now
    scene.confirm(scene.pairs[2])
    scene.work()
    kept, overridden, lost, left, stale, _fine = people(scene)
    scene.show(overridden, 80)
    scene.show(lost, None)
    leave(scene, left)
    scene.show(left, None)
    scene.show(stale, 25, first_at)
    found = {("overridden", False): 1, ("lost", True): 1, ("left", False): 1, ("stale", True): 1}
    pushes = len(lms.pushes)
    assert kinds(scene.compare(dry_run=True)) == found
    assert scene.work() == {}
    assert len(lms.pushes) == pushes, "a dry run changes nothing"
    assert kinds(scene.compare()) == found
    assert scene.work() == {"delivered": 2}
    assert kinds(scene.compare()) == {("overridden", False): 1, ("left", False): 1}
    assert scene.work() == {}
    grades = {person.id: scene.grade(person) for person in people(scene)}
    assert [grades[one.id] for one in (kept, overridden, lost, left, stale)] == [25, 80, 25, None, 50]


def test_compare_on_each_platform_when_the_column_was_deleted_reports_it(scene, lms):
    lms.line_items.clear()
    assert kinds(scene.compare()) == {("column_gone", False): 6}
    assert scene.work() == {}


def test_compare_on_each_platform_when_the_course_was_copied_leaves_the_other_column_alone(scene, lms):
    with scene.db() as db:
        link = db.get(LtiResourceLink, scene.course.link.id)
        other = lms.add_line_item(label="Copy", resourceLinkId="99")
        db.add(LtiResourceLink(context_id=link.context_id, resource_link_id="99", line_item_url=other,
                               scopes=link.scopes, last_launch_at=scene.clock.now))  # fmt: skip
        link.line_item_url = other
    pushes = len(lms.pushes)
    assert kinds(scene.compare()) == {("copied", False): 6}
    scene.work()
    assert len(lms.pushes) == pushes


def spoil(lms, how):
    """Let the second page of results fail in a way; the first one came as always."""
    whole = lms._results

    def results(number, query, headers):
        status, kind, body, link = whole(number, query, headers)
        if not {"Page", "page"} & set(query):
            return status, kind, body, link
        if how == "loop":
            url = f"{lms.base}{lms.requests[-1][1]}"
            return status, kind, body, {"Link": f'<{url}>; rel="next"'}
        if isinstance(how, int):
            lms._need(False, how, "spoilt")
        return status, kind, how, {}

    lms._results = results


NO_NUMBER = '[{"userId": "x", "resultScore": "A+"}]'
BROKEN = [500, 404, 401, 429, "loop", '{"errors": "maintenance"}', "[{}]", "<html>", NO_NUMBER]


@pytest.mark.parametrize("how", BROKEN)
def test_compare_when_the_platform_fails_midway_says_so_and_repairs_nothing(scene, lms, how):
    scene.show(people(scene)[0], 80)
    scene.show(people(scene)[-1], None)
    with scene.db() as db:
        db.get(LtiResourceLink, scene.course.link.id).line_item_is_ours = True
    spoil(lms, how)
    pushes = len(lms.pushes)
    document = scene.compare()
    assert kinds(document) == {("unreadable", False): 6}
    assert all("could not be read" in one["says"] for one in document["differences"])
    assert scene.work() == {}
    assert len(lms.pushes) == pushes
    del lms._results
    assert kinds(scene.compare()) == {("overridden", False): 1, ("lost", True): 1}


def test_compare_when_the_token_expired_takes_a_new_one(scene, lms):
    lms.tokens.clear()
    assert counts(scene.compare()) == {"equal": 6}


def test_compare_when_no_token_is_given_says_so_of_everybody(scene, lms):
    lms.tokens.clear()
    lms.token_answer = (400, json.dumps({"error": "invalid_client"}))
    assert kinds(scene.compare()) == {("unreadable", False): 6}


@pytest.mark.parametrize("family", ["canvas"], indirect=True)
def test_compare_when_pages_move_while_they_are_read_takes_nobody_for_lost(scene, lms):
    moves = [next(iter(lms.scores))]

    def shuffle():
        if moves:
            key = moves.pop()
            lms.scores[key] = lms.scores.pop(key)

    lms.shuffle = shuffle
    assert counts(scene.compare()) == {"equal": 6}
    assert moves == []

    def always():
        key = next(iter(lms.scores))
        lms.scores[key] = lms.scores.pop(key)

    lms.shuffle = always
    assert kinds(scene.compare()) == {("unreadable", False): 6}


def test_compare_when_scores_come_as_texts_reads_them(scene, lms):
    whole = lms._results

    def results(number, query, headers):
        status, kind, body, link = whole(number, query, headers)
        rows = [{**row, "resultScore": str(row["resultScore"])} for row in json.loads(body)]
        return status, kind, json.dumps(rows), link

    lms._results = results
    assert counts(scene.compare()) == {"equal": 6}
