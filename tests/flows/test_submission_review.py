"""A teacher reviews a learner: the learner's credits, without the partner; nobody else gets there."""

import pytest

from tests.factories.launches import AGS, CONTEXT, CUSTOM, MESSAGE, ROLES, TOOL, hire, token_of
from tests.fakes.lti_platform import CLAIM, INSTRUCTOR, LEARNER

FOR_USER = CLAIM + "for_user"
LINK = CLAIM + "resource_link"


@pytest.fixture
def learner(lms, database, tenant, clock):
    person = hire(database, tenant, clock.now, employee_number="E-7", display_name="Lena Learner")
    lms.launch(**{CUSTOM: {"emp": "E-7"}, "sub": "7"})
    return person


def review(lms, of="7", role=INSTRUCTOR, sub="99", **changes):
    claims = {
        MESSAGE: "LtiSubmissionReviewRequest",
        FOR_USER: {"user_id": of},
        AGS: {"lineitem": "https://lms.example/items/1", "scope": []},
        ROLES: [role],
        CUSTOM: {"emp": f"E-{sub}"},
        "sub": sub,
        "name": "Tim Teacher",
        "email": "tim@company.example",
        **changes,
    }
    return lms.launch(**claims)


def test_review_when_a_teacher_asks_shows_the_learners_credits(lms, learner):
    page = review(lms).get_data(as_text=True)
    assert "Credits of Lena Learner" in page
    assert f'data-settle="/people/{learner.id}/credits"' in page
    assert "stays with the pair" in page


def test_review_when_a_learner_asks_about_somebody_is_refused(lms, learner):
    answer = review(lms, role=LEARNER)
    assert answer.status_code == 403
    assert "Lena" not in answer.get_data(as_text=True)


def test_review_when_a_learner_asks_about_themselves_shows_their_own_credits(lms, learner):
    page = review(lms, role=LEARNER, sub="7").get_data(as_text=True)
    assert "<h1>My credits</h1>" in page


@pytest.mark.parametrize("of", ["8", "x" * 255])
def test_review_when_the_learner_is_unknown_says_so(lms, learner, of):
    answer = review(lms, of=of)
    assert answer.status_code == 404
    assert "not known here" in answer.get_data(as_text=True)


def test_review_when_nobody_is_named_is_refused(lms, learner):
    assert review(lms, **{FOR_USER: {}}).status_code == 400


def test_review_when_the_learner_is_of_another_course_shows_the_teachers_own_page(lms, learner):
    page = review(lms, **{CONTEXT: {"id": "another"}, LINK: {"id": "13"}}).get_data(as_text=True)
    assert "Credits of" not in page
    assert "Lena" not in page


def test_review_page_when_opened_from_another_course_is_not_found(lms, learner):
    page = lms.launch(**{ROLES: [INSTRUCTOR], CONTEXT: {"id": "another"}, "sub": "99"})
    token = token_of(page.get_data(as_text=True))
    client = lms.app.test_client()
    answer = client.get(f"/people/{learner.id}/credits", headers={"X-Rm-Session": token}, base_url=TOOL)
    assert answer.status_code == 404


def test_privacy_launch_when_asked_says_what_is_kept(lms):
    claims = {MESSAGE: "DataPrivacyLaunchRequest", FOR_USER: {"user_id": "7"}, CONTEXT: None, LINK: None}
    page = lms.launch(**claims)
    assert page.status_code == 200
    assert "What reverse mentoring keeps about people" in page.get_data(as_text=True)


def test_message_when_of_a_kind_that_we_do_not_know_says_so(lms):
    answer = lms.launch(**{MESSAGE: "LtiStartProctoring"})
    assert answer.status_code == 400
    assert "Reference" in answer.get_data(as_text=True)
