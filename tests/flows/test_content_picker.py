"""A teacher picks what links show; the LMS gets a signed answer; the later launch opens that very view."""

import json
import re
import uuid

import itsdangerous
import jwt
import pytest

from lti.ags import REVIEWABLE
from tests.factories.browser import _Forms
from tests.factories.launches import CUSTOM, MESSAGE, ROLES, TOOL, Launcher, hire
from tests.fakes.lti_platform import INSTRUCTOR, LEARNER

DL = "https://purl.imsglobal.org/spec/lti-dl/claim/"
RETURN = "https://moodle.example/return?sesskey=secret"


class Teacher:
    """A teacher in front of the content picker."""

    def __init__(self, lms: Launcher) -> None:
        self.lms = lms
        self.client = lms.app.test_client()
        self.page = ""

    def ask(self, roles=INSTRUCTOR, **settings):
        wanted = {
            "deep_link_return_url": RETURN,
            "accept_types": ["ltiResourceLink"],
            "accept_presentation_document_targets": ["iframe", "window"],
            "accept_lineitem": True,
            "data": "echo-me",
            **settings,
        }
        wanted = {name: value for name, value in wanted.items() if value is not None}
        claims = {MESSAGE: "LtiDeepLinkingRequest", DL + "deep_linking_settings": wanted, ROLES: [roles]}
        answer = self.lms.launch(self.client, **claims)
        self.page = answer.get_data(as_text=True)
        return answer

    def fields(self) -> dict:
        parser = _Forms()
        parser.feed(self.page)
        return dict(parser.forms[0]["fields"])

    def pick(self, fields=None, **changes):
        values = {**(fields or self.fields()), **changes}
        answer = self.client.post("/lti/deep-link", data=values, base_url=TOOL)
        self.page = answer.get_data(as_text=True)
        return answer

    def answer(self) -> dict:
        """Read the signed answer as the platform does, with our published keys."""
        (token,) = re.findall(r'name="JWT" value="([^"]+)"', self.page)
        published = self.client.get("/lti/jwks", base_url=TOOL).get_json()["keys"]
        keys = {key["kid"]: jwt.PyJWK(key) for key in published}
        # The test's clock stands still in the past or future of the machine's.
        times = {"verify_exp": False, "verify_iat": False}
        key = keys[jwt.get_unverified_header(token)["kid"]]
        return jwt.decode(token, key, algorithms=["RS256"], audience=self.lms.platform.issuer, options=times)

    def items(self) -> list:
        return self.answer()[DL + "content_items"]


@pytest.fixture
def teacher(lms):
    return Teacher(lms)


def test_picker_when_several_are_chosen_gives_an_item_for_each(teacher):
    assert teacher.ask().status_code == 200
    answer = teacher.pick(views=["home", "goals", "credits", "desk"], title_goals="Our <goals> & 'more'")
    items = teacher.items()
    assert [item["custom"]["view"] for item in items] == ["home", "goals", "credits", "desk"]
    assert {item["custom"]["context_id_history"] for item in items} == {"$Context.id.history"}
    assert items[1]["title"] == "Our <goals> & 'more'"
    assert items[0]["lineItem"] == {
        "scoreMaximum": 100,
        "label": "Reverse mentoring",
        "resourceId": "completion",
        "tag": "completion",
        **REVIEWABLE,
    }
    assert all("lineItem" not in item for item in items[1:])
    for item in items:
        assert item["type"] == "ltiResourceLink"
        assert item["url"] == TOOL + "/lti/launch"
        assert item["text"]
        with teacher.client.get(item["thumbnail"]["url"], base_url=TOOL) as icon:
            assert (icon.status_code, icon.mimetype) == (200, "image/svg+xml")
    assert teacher.answer()[DL + "data"] == "echo-me"
    policy = answer.headers["Content-Security-Policy"]
    assert "form-action https://moodle.example;" in policy
    assert f'action="{RETURN}"' in teacher.page
    assert "data-send" in teacher.page


@pytest.mark.parametrize("data", ["", {"a": [1, None]}, 0, False, "x" * 3000])
def test_picker_when_data_is_of_any_kind_echoes_it_exactly(teacher, data):
    teacher.ask(data=data)
    teacher.pick()
    assert teacher.answer()[DL + "data"] == data


def test_picker_when_no_data_was_sent_sends_none(teacher):
    teacher.ask(data=None)
    teacher.pick()
    assert DL + "data" not in teacher.answer()


def test_picker_when_the_lms_takes_no_column_offers_none_and_gives_none(teacher):
    teacher.ask(accept_lineitem=False)
    assert 'name="graded"' not in teacher.page
    teacher.pick(graded="true")
    assert "lineItem" not in teacher.items()[0]


def test_picker_when_the_lms_takes_one_item_refuses_two_and_keeps_what_was_typed(teacher):
    teacher.ask(accept_multiple=False)
    assert 'type="radio" name="views"' in teacher.page
    answer = teacher.pick(views=["home", "goals"], title_home="Mentoring <1>")
    assert answer.status_code == 422
    assert "takes one at a time" in teacher.page
    assert 'value="Mentoring &lt;1&gt;"' in teacher.page
    assert teacher.pick(views=["goals"]).status_code == 200
    assert [item["custom"]["view"] for item in teacher.items()] == ["goals"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"views": []}, "Choose at least one"),
        ({"title_home": "x" * 201}, "This is too long"),
        ({"views": ["x"]}, ""),
    ],
)
def test_picker_when_the_choice_is_wrong_comes_back(teacher, changes, words):
    teacher.ask()
    assert teacher.pick(**changes).status_code == 422
    assert words in teacher.page


def test_picker_when_opened_in_a_window_is_chosen_says_so(teacher):
    teacher.ask()
    teacher.pick(target="window")
    assert teacher.items()[0]["window"] == {"targetName": "_blank"}


def test_picker_when_the_lms_takes_frames_only_opens_no_window(teacher):
    teacher.ask(accept_presentation_document_targets=["iframe"])
    assert 'name="target"' not in teacher.page
    teacher.pick(target="window")
    assert "window" not in teacher.items()[0]


def test_picker_when_cancelled_gives_an_empty_list(teacher):
    teacher.ask()
    teacher.pick(cancel="1")
    assert teacher.items() == []


def test_picker_when_sent_twice_is_told_so(teacher):
    teacher.ask()
    fields = teacher.fields()
    assert teacher.pick(fields).status_code == 200
    assert teacher.pick(fields).status_code == 409
    assert "took effect once" in teacher.page


def test_picker_when_an_hour_old_says_to_start_again(teacher, clock):
    teacher.ask()
    clock.forward(minutes=61)
    assert teacher.pick().status_code == 409
    assert "too old" in teacher.page


@pytest.mark.parametrize("forged", ["", "x", "made-up"])
def test_picker_when_the_request_is_forged_signs_nothing(teacher, forged):
    teacher.ask()
    sealed = teacher.fields()["sealed"][0]
    if forged == "made-up":
        forged = itsdangerous.URLSafeSerializer("another key", salt="content").dumps({"request": {}})
    elif forged == "x":
        # Not the last character: some of its bits are padding, and a reader drops them.
        forged = sealed[:-2] + ("A" if sealed[-2] != "A" else "B") + sealed[-1]
    assert teacher.pick(sealed=forged).status_code == 404
    assert "JWT" not in teacher.page


def test_picker_when_the_lms_wants_another_kind_says_so(teacher):
    assert teacher.ask(accept_types=["file"]).status_code == 400
    assert "does not offer" in teacher.page


def test_picker_when_a_learner_asks_is_refused(teacher):
    assert teacher.ask(LEARNER).status_code == 403
    assert "sealed" not in teacher.page


def test_picker_when_the_way_back_holds_quotes_escapes_them(teacher):
    url = 'https://moodle.example/r?a="><script src=x></script>'
    teacher.ask(deep_link_return_url=url)
    answer = teacher.pick()
    assert "<script src=x>" not in teacher.page
    assert "&#34;&gt;&lt;script" in teacher.page
    assert "form-action https://moodle.example;" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "//evil.example/x"])
def test_picker_when_the_way_back_is_no_web_address_is_refused(teacher, url):
    assert teacher.ask(deep_link_return_url=url).status_code == 400


VIEWS = [("goals", "My goals", "/goals"), ("credits", "My credits", "/credits"), ("home", "", "/home")]


@pytest.mark.parametrize(("view", "heading", "path"), VIEWS)
def test_launch_when_the_link_names_a_view_opens_it_also_when_recognised(
    lms, database, tenant, clock, view, heading, path
):
    hire(database, tenant, clock.now, employee_number="E-1001")
    for _ in range(2):
        page = lms.launch(**{CUSTOM: {"emp": "E-1001", "view": view}}).get_data(as_text=True)
        assert f'data-settle="{path}"' in page
        assert heading in re.search(r"<h1[^>]*>(.*?)</h1>", page)[1]
        clock.forward(minutes=1)


def test_launch_when_a_manager_opens_the_desk_link_shows_the_desk(lms):
    page = lms.launch(**{CUSTOM: {"view": "desk"}, ROLES: [INSTRUCTOR]}).get_data(as_text=True)
    assert 'data-settle="/manage"' in page
    assert "Programme desk" in page


def test_launch_when_a_learner_opens_the_desk_link_shows_the_own_page_with_a_note(
    lms, database, tenant, clock
):
    hire(database, tenant, clock.now, employee_number="E-1001")
    page = lms.launch(**{CUSTOM: {"emp": "E-1001", "view": "desk"}}).get_data(as_text=True)
    assert "not for you, so this is your own start page" in page
    assert 'data-settle="/home"' in page
    assert 'data-settle="/manage"' not in page


@pytest.mark.parametrize("view", ["nonsense", "../admin", "", 5, None, "$View"])
def test_launch_when_the_view_is_unknown_opens_the_start_page(lms, database, tenant, clock, view):
    hire(database, tenant, clock.now, employee_number="E-1001")
    page = lms.launch(**{CUSTOM: json.loads(json.dumps({"emp": "E-1001", "view": view}))})
    assert 'data-settle="/home"' in page.get_data(as_text=True)


def test_launch_when_nobody_is_recognised_explains_that_whatever_the_link_shows(lms):
    page = lms.launch(**{CUSTOM: {"emp": uuid.uuid4().hex, "view": "goals"}}).get_data(as_text=True)
    assert "We could not find you" in page
