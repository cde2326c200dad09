"""The practice LMS copies a course like an LMS does, and lets an instructor review a learner's work."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rmplugin.demo.practice_lms import LmsActivity, LmsCourse, LmsSettings, create_lms
from tests.pages.test_practice_lms import (
    AGS,
    CLAIM,
    ISSUER,
    LEARNER,
    MANAGER,
    QUIET,
    SUSPENDED,
    TOOL,
    Desk,
    make_desk,
)

HISTORY = ("context_id_history", "resource_link_id_history")
REVIEW = "/course/101/column/1/review/12"
COURSE = LmsCourse(
    course_id="101",
    label="L",
    title="Leading",
    deployment_id="2",
    storage_frame="_parent",
    activities=(
        LmsActivity(title="Graded", pass_mark=40.0, custom={"group": "b", "was": "$Context.id.history"}),
        LmsActivity(title="Plain", score_maximum=None),
    ),
)


@pytest.fixture
def settings(tmp_path: Path) -> LmsSettings:
    return LmsSettings(
        issuer=ISSUER,
        tool_url=TOOL,
        data_dir=tmp_path,
        people=(MANAGER, LEARNER, QUIET, SUSPENDED),
        courses=(COURSE,),
    )


@pytest.fixture
def desk(settings: LmsSettings) -> Desk:
    return make_desk(settings)


def copy(desk: Desk, course_id: str = "101") -> str:
    """Press the button; return the id of the copy."""
    desk.sign_in(MANAGER)
    answer = desk.client.post(f"/course/{course_id}/copy")
    assert answer.status_code == 303
    return answer.location.rpartition("/")[2]


def course(desk: Desk, course_id: str) -> dict[str, Any]:
    state = desk.client.get("/practice/state").json or {}
    return next(found for found in state["courses"] if found["id"] == course_id)


def launch_first(desk: Desk, course_id: str) -> dict[str, Any]:
    first = course(desk, course_id)["activities"][0]["id"]
    return desk.launch(LEARNER, f"/course/{course_id}/activity/{first}/launch")


# Copies


def test_copy_when_made_has_the_activities_under_new_ids_with_columns_of_their_own(desk: Desk) -> None:
    made = course(desk, copy(desk))
    original = course(desk, "101")
    for kept in ("title", "custom", "pass_mark", "url"):
        assert [a[kept] for a in made["activities"]] == [a[kept] for a in original["activities"]]
    ids = [activity["id"] for activity in made["activities"]]
    assert not set(ids) & {activity["id"] for activity in original["activities"]}
    (column,) = made["line_items"]
    assert (column["coupled"], column["resourceLinkId"], column["scoreMaximum"]) == (True, ids[0], 100)
    assert [item["line_item_id"] for item in original["line_items"]] == [1]
    assert column["line_item_id"] == 2


def test_copy_when_launched_is_a_course_of_its_own_with_the_same_parameters(desk: Desk) -> None:
    made = copy(desk)
    claims = launch_first(desk, made)
    context = claims[CLAIM + "context"]
    assert (context["id"], context["title"]) == (made, "Leading (copy)")
    assert context["label"] not in ("L", "")
    assert claims[CLAIM + "deployment_id"] == "2"
    assert claims[AGS]["lineitem"] == f"{ISSUER}/course/{made}/lineitems/2/lineitem?type_id=1"
    custom = claims[CLAIM + "custom"]
    assert (custom["group"], custom["was"], custom["emp"]) == ("b", "101", "E2")


def test_history_when_nothing_was_copied_is_empty(desk: Desk) -> None:
    custom = launch_first(desk, "101")[CLAIM + "custom"]
    assert [custom[name] for name in HISTORY] == ["", ""]


def test_history_when_a_copy_is_copied_lists_the_newest_first(desk: Desk) -> None:
    first = copy(desk)
    second = copy(desk, first)
    custom = launch_first(desk, second)[CLAIM + "custom"]
    assert [custom[name] for name in HISTORY] == [f"{first},101", "3,1"]


def test_history_when_an_id_has_a_comma_encodes_it(settings: LmsSettings) -> None:
    desk = make_desk(replace(settings, courses=(replace(COURSE, course_id="a,b c"),)))
    custom = launch_first(desk, copy(desk, "a,b c"))[CLAIM + "custom"]
    assert custom["context_id_history"] == "a%2Cb%20c"


def test_history_when_content_is_selected_names_the_course_and_no_activity(desk: Desk) -> None:
    custom = desk.launch(MANAGER, f"/course/{copy(desk)}/add/launch")[CLAIM + "custom"]
    assert [custom[name] for name in HISTORY] == ["101", ""]


def test_copy_when_the_lms_is_restarted_is_still_there_and_not_filled_again(desk: Desk) -> None:
    made = copy(desk)
    before = course(desk, made)
    again = replace(desk, client=create_lms(desk.settings).test_client())
    assert course(again, made) == before
    assert launch_first(again, made)[CLAIM + "custom"]["context_id_history"] == "101"


def test_copy_when_made_twice_is_two_courses_that_are_listed(desk: Desk) -> None:
    made = [copy(desk), copy(desk)]
    assert len(set(made)) == 2
    desk.sign_in(LEARNER)
    page = desk.client.get("/course/101").text
    assert all(f'href="/course/{course_id}"' in page for course_id in made)
    assert 'href="/course/101"' in desk.client.get(f"/course/{made[0]}").text.partition("other courses")[2]


def test_copy_when_its_number_is_a_course_of_the_settings_takes_another(settings: LmsSettings) -> None:
    desk = make_desk(replace(settings, courses=(COURSE, replace(COURSE, course_id="1001"))))
    assert copy(desk) not in ("101", "1001")


def test_copy_when_people_have_grades_takes_none_along(desk: Desk) -> None:
    with desk.client.application.extensions["practice_lms"].store.transaction(write=True) as db:
        db.execute(
            "INSERT INTO result VALUES (1, '12', 1, NULL, 'Completed', 'FullyGraded', '', 0, 0, '{}', 1)"
        )
    made = copy(desk)
    assert course(desk, made)["score_posts"] == 0
    assert course(desk, "101")["score_posts"] == 1


def test_copy_when_a_learner_looks_is_not_offered_and_refused(desk: Desk) -> None:
    desk.sign_in(MANAGER)
    assert "Copy this course" in desk.client.get("/course/101").text
    desk.sign_in(LEARNER)
    assert "Copy this course" not in desk.client.get("/course/101").text
    assert desk.client.post("/course/101/copy").status_code == 403
    state = desk.client.get("/practice/state").json or {}
    assert [found["id"] for found in state["courses"]] == ["101"]


def test_copy_when_nobody_is_signed_in_or_there_is_no_such_course_is_refused(desk: Desk) -> None:
    assert desk.client.post("/course/101/copy").status_code == 401
    desk.sign_in(MANAGER)
    assert desk.client.post("/course/999/copy").status_code == 404


# Reviews


def test_review_when_an_instructor_opens_it_says_whose_work_of_which_column(desk: Desk) -> None:
    claims = desk.launch(MANAGER, f"{REVIEW}/launch")
    assert claims[CLAIM + "message_type"] == "LtiSubmissionReviewRequest"
    assert claims["sub"] == MANAGER.user_id
    assert claims[CLAIM + "roles"][0].endswith("membership#Instructor")
    assert claims[CLAIM + "for_user"]["user_id"] == LEARNER.user_id
    assert claims[CLAIM + "for_user"]["roles"][0].endswith("membership#Learner")
    assert claims[AGS]["lineitem"] == f"{ISSUER}/course/101/lineitems/1/lineitem?type_id=1"
    assert claims[CLAIM + "resource_link"]["id"] == "1"
    assert claims[CLAIM + "custom"]["group"] == "b"


def test_review_when_followed_from_the_gradebook_frames_the_tool(desk: Desk) -> None:
    desk.sign_in(MANAGER)
    page = desk.client.get("/course/101/grades").text
    links = re.findall(r'href="([^"]+/review/[^"]+)"', page)
    assert links == [f"/course/101/column/1/review/{person.user_id}" for person in (QUIET, LEARNER)]
    answer = desk.client.get(REVIEW)
    assert f'<iframe class="tool" src="{REVIEW}/launch"' in answer.text
    assert LEARNER.name in answer.text


def test_review_when_a_learner_asks_is_not_offered_and_refused(desk: Desk) -> None:
    desk.sign_in(LEARNER)
    assert "/review/" not in desk.client.get("/course/101/grades").text
    assert desk.client.get(REVIEW).status_code == 403
    assert desk.client.get(f"{REVIEW}/launch").status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "/course/101/column/9/review/12",
        "/course/101/column/1/review/11",
        "/course/101/column/1/review/14",
        "/course/101/column/2/review/12",
        "/course/999/column/1/review/12",
    ],
    ids=["no column", "an instructor", "a suspended account", "a column without activity", "no course"],
)
def test_review_when_there_is_no_such_work_answers_404(desk: Desk, path: str) -> None:
    with desk.client.application.extensions["practice_lms"].store.transaction(write=True) as db:
        db.execute(
            "INSERT INTO line_item (id, course_id, label, score_maximum, coupled)"
            " VALUES (2, '101', 'Own', 1, 0)"
        )
    desk.sign_in(MANAGER)
    assert desk.client.get(path).status_code == 404
    assert desk.client.get(f"{path}/launch").status_code == 404


def test_review_when_nobody_is_signed_in_leads_to_the_front_page(desk: Desk) -> None:
    assert desk.client.get(REVIEW).location == "/"
    assert desk.client.get(f"{REVIEW}/launch").status_code == 401
