"""A login in a frame first tries whether the browser keeps cookies: platforms give out a launch only once."""

import pytest

from tests.lti.test_platform_storage import Elements

TOOL = "https://tool.example"
FRAMED = {"Sec-Fetch-Dest": "iframe"}


def begin(lms, browser, method="post", headers=FRAMED, **changes):
    """Send the browser to log in; give the answer."""
    request = lms.platform.login_request(TOOL + "/lti/launch", **changes)
    send = {"data": request} if method == "post" else {"query_string": request}
    return getattr(browser, method)("/lti/login", base_url=TOOL, headers=headers, **send)


def follow(browser, answer):
    assert answer.status_code == 303
    assert answer.location.startswith(TOOL + "/lti/login/")
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    return browser.get(answer.location, base_url=TOOL, headers=FRAMED)


def goes_to(lms, answer) -> bool:
    return answer.status_code == 302 and answer.location.startswith(lms.platform.base)


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("storage", [{}, {"lti_storage_target": "_parent"}])
def test_login_in_a_frame_when_cookies_are_kept_goes_on_to_the_platform_with_all_it_said(
    lms, tool, method, storage
):
    browser = tool.browser()
    first = begin(lms, browser, method, **storage)
    assert {"Secure", "HttpOnly", "SameSite=None", "Partitioned"} <= set(
        first.headers["Set-Cookie"].split("; ")
    )
    answer = follow(browser, first)
    assert goes_to(lms, answer)
    query = lms.platform.read_authorisation(answer.location)
    form = {"state": query["state"], "id_token": lms.platform.id_token(lms.platform.claims(query))}
    assert lms.post(browser, form).json == {"code": "ok"}
    assert tool.launches[0].bound_by == "cookie"
    # From now on the browser is known.
    assert goes_to(lms, begin(lms, browser, method, **storage))


@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Dest": "document"}])
def test_login_when_nothing_says_that_it_is_framed_goes_to_the_platform_at_once(lms, tool, headers):
    assert goes_to(lms, begin(lms, tool.browser(), headers=headers))


def test_login_in_a_frame_when_cookies_are_hidden_offers_a_new_tab_before_the_platform_is_asked(lms, tool):
    hidden = tool.app.test_client(use_cookies=False)
    answer = follow(hidden, begin(lms, hidden))
    assert tool.log[-1]["code"] == "cookies_hidden"
    assert tool.log[-1]["platform"] == tool.store.platforms[0].key
    tab = tool.browser()
    again = tab.get(answer.json["new_tab"], base_url=TOOL)
    query = lms.platform.read_authorisation(again.location)
    # The platform hears of this launch for the first time, with the hint that it gave.
    assert query["lti_message_hint"] == '{"cmid":5}'
    form = {"state": query["state"], "id_token": lms.platform.id_token(lms.platform.claims(query))}
    assert lms.post(tab, form).json == {"code": "ok"}
    assert tool.launches[0].bound_by == "new_tab"


def test_login_in_a_frame_when_cookies_are_hidden_tries_the_storage_and_else_offers_a_new_tab(lms, tool):
    hidden = tool.app.test_client(use_cookies=False)
    page = follow(hidden, begin(lms, hidden, lti_storage_target="_parent"))
    (link,) = Elements(page.text).found["a"]
    assert link["href"].startswith(lms.platform.base)
    assert link["data-otherwise"].startswith(TOOL + "/lti/login/")
    answer = hidden.get(link["data-otherwise"], base_url=TOOL, headers=FRAMED)
    assert "/lti/relaunch/" in answer.json["new_tab"]


def test_tried_login_when_used_twice_or_too_late_or_looked_at_is_once_only(lms, tool, clock):
    browser = tool.browser()
    first = begin(lms, browser)
    assert browser.head(first.location, base_url=TOOL).status_code == 200
    assert goes_to(lms, follow(browser, first))
    assert browser.get(first.location, base_url=TOOL).json["code"] == "relaunch_unknown"
    other = tool.browser()
    late = begin(lms, other)
    clock.advance(seconds=61)
    assert other.get(late.location, base_url=TOOL).json["code"] == "relaunch_unknown"


@pytest.mark.parametrize("wrong", [{"iss": "https://elsewhere.example"}, {"login_hint": ""}])
def test_login_in_a_frame_when_it_is_wrong_is_refused_at_once(lms, tool, wrong):
    answer = begin(lms, tool.browser(), **wrong)
    assert answer.json["code"] in ("issuer_unknown", "login_incomplete")
    assert "Set-Cookie" not in answer.headers


def test_code_of_a_tried_login_is_good_for_nothing_else(lms, tool):
    code = begin(lms, tool.browser()).location.rpartition("/")[2]
    browser = tool.browser()
    assert browser.get(f"/lti/relaunch/{code}", base_url=TOOL).json["code"] == "relaunch_unknown"
    form = {"state": code, "id_token": "x"}
    assert lms.post(browser, form).json["code"] == "state_unknown"
    form = {"code": code, "id_token": "x", "stored": ""}
    answer = browser.post("/lti/confirm", data=form, base_url=TOOL, headers={"Origin": TOOL})
    assert answer.json["code"] == "state_unknown"
