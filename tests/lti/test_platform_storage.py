"""A browser hides our cookie, the platform has storage: the right browser gets in, every other is refused."""

from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from flask import Flask, make_response

from lti.errors import LAUNCH_CODES
from lti.routes import create_blueprint

TOOL = "https://tool.example"
OURS = {"Origin": TOOL}


class Elements(HTMLParser):
    """Collects the attributes of a page's elements by tag, and the hidden fields by name."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: dict[str, list[dict]] = {}
        self.feed(page)
        self.fields = {field["name"]: field["value"] for field in self.found.get("input", [])}

    def handle_starttag(self, tag, attrs):
        self.found.setdefault(tag, []).append(dict(attrs))


def login(lms, browser, frame="_parent", **changes):
    """Begin at a platform with storage; give what the page tells its script, and the request to go on."""
    request = lms.platform.login_request(TOOL + "/lti/launch", lti_storage_target=frame, **changes)
    response = browser.post("/lti/login", data=request, base_url=TOOL)
    assert response.status_code == 200
    (link,) = Elements(response.text).found["a"]
    query = lms.platform.read_authorisation(link["href"])
    return SimpleNamespace(
        response=response, link=link, query=query, key=link["data-key"], secret=link["data-value"]
    )


def launch_form(lms, query, **changes):
    return {"state": query["state"], "id_token": lms.platform.id_token(lms.platform.claims(query, **changes))}


def post_without_cookie(lms, began):
    """Post the launch from a browser that shows no cookie; give the fields of the page's form."""
    response = lms.post(lms.tool.browser(), launch_form(lms, began.query))
    assert response.status_code == 200
    return Elements(response.text).fields


def confirm(lms, fields, headers=OURS, **changes):
    return lms.tool.browser().post(
        "/lti/confirm", data={**fields, **changes}, headers=dict(headers), base_url=TOOL
    )


def code_of(response) -> str:
    assert response.status_code == LAUNCH_CODES[response.json["code"]][0]
    return response.json["code"]


@pytest.mark.parametrize("frame", ["_parent", "post_message_forwarding"])
def test_login_when_platform_has_storage_hands_the_secret_to_the_script_and_to_the_cookie(lms, tool, frame):
    browser = tool.browser()
    began = login(lms, browser, frame)
    assert began.link["data-frame"] == frame
    assert began.link["data-origin"] == lms.platform.base
    (cookie,) = browser._cookies.values()
    assert (cookie.key, cookie.value) == (began.key, began.secret)
    assert began.secret not in began.link["href"]
    assert "Partitioned" in began.response.headers["Set-Cookie"]


def test_login_page_when_framed_by_any_platform_shows_runs_its_script_and_is_kept_nowhere(lms, tool):
    response = login(lms, tool.browser()).response
    assert "X-Frame-Options" not in response.headers
    policy = response.headers["Content-Security-Policy"]
    assert "frame-ancestors" not in policy
    assert "script-src 'self'" in policy
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    (script,) = Elements(response.text).found["script"]
    answer = tool.browser().get(script["src"].removeprefix(TOOL), base_url=TOOL)
    assert answer.mimetype == "text/javascript"
    assert "max-age" in answer.headers["Cache-Control"]


@pytest.mark.parametrize("frame", ['"><script>alert(1)</script>', "' onload='x", "{url}{data}"])
def test_login_when_the_frame_has_a_hostile_name_stays_one_attribute(lms, tool, frame):
    began = login(lms, tool.browser(), frame)
    assert began.link["data-frame"] == frame
    assert len(Elements(began.response.text).found["script"]) == 1


def test_launch_when_the_cookie_is_shown_asks_no_storage(lms, tool):
    browser = tool.browser()
    began = login(lms, browser)
    assert lms.post(browser, launch_form(lms, began.query)).json == {"code": "ok"}
    assert tool.launches[0].bound_by == "cookie"
    assert browser._cookies == {}


def test_launch_when_the_cookie_is_hidden_asks_the_storage_and_starts_nothing(lms, tool):
    began = login(lms, tool.browser(), "post_message_forwarding")
    response = lms.post(tool.browser(), launch_form(lms, began.query))
    page = Elements(response.text)
    (form,) = page.found["form"]
    assert (form["action"], form["method"]) == (TOOL + "/lti/confirm", "post")
    assert form["data-frame"] == "post_message_forwarding"
    assert form["data-origin"] == lms.platform.base
    assert form["data-key"] == began.key
    assert "data-value" not in form
    assert page.fields["stored"] == ""
    assert began.secret not in response.text
    # Otherwise browsers would hide from which page the form comes.
    assert response.headers["Referrer-Policy"] == "same-origin"
    assert tool.launches == []
    assert tool.log[-1]["code"] == "cookie_missing"


def test_confirm_when_the_storage_gave_the_secret_is_accepted(lms, tool):
    began = login(lms, tool.browser())
    fields = post_without_cookie(lms, began)
    assert confirm(lms, fields, stored=began.secret).json == {"code": "ok"}
    assert tool.launches[0].bound_by == "storage"
    assert tool.launches[0].subject == "7"
    assert (tool.log[-1]["event"], tool.log[-1]["detail_bound_by"]) == ("lti.confirm", "storage")
    assert began.secret not in str(tool.log)


@pytest.mark.parametrize(
    ("headers", "accepted"),
    [
        ({"Origin": TOOL}, True),
        ({"Origin": TOOL + ":443"}, True),
        ({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({}, False),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"}, False),
        ({"Origin": "http://tool.example"}, False),
        ({"Origin": "https://tool.example.evil.example"}, False),
        ({"Origin": "https://tool.example:444"}, False),
        ({"Origin": "null", "Sec-Fetch-Site": "cross-site"}, False),
        ({"Origin": "null", "Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Referer": TOOL + "/lti/launch"}, False),
    ],
)
def test_confirm_when_another_page_sends_it_is_offered_a_new_tab_only(lms, tool, headers, accepted):
    # The sender knows all: it is the attacker's own login, and the victim's browser is made to post it.
    began = login(lms, tool.browser())
    response = confirm(lms, post_without_cookie(lms, began), headers, stored=began.secret)
    assert ("new_tab" in response.json) is not accepted
    assert len(tool.launches) == accepted


@pytest.mark.parametrize(
    "wrong", ["", "null", "{began.query[state]}", "{began.key}", "{began.secret}x", "{other.secret}"]
)
def test_confirm_when_the_storage_has_not_the_secret_is_offered_a_new_tab_only(lms, tool, wrong):
    began, other = login(lms, tool.browser()), login(lms, tool.browser())
    response = confirm(lms, post_without_cookie(lms, began), stored=wrong.format(began=began, other=other))
    assert response.json["new_tab"].startswith(TOOL + "/lti/relaunch/")
    assert tool.log[-1]["code"] == "state_mismatch"
    assert tool.launches == []


def test_confirm_when_sent_twice_is_refused_the_second_time(lms, tool):
    began = login(lms, tool.browser())
    fields = post_without_cookie(lms, began) | {"stored": began.secret}
    assert confirm(lms, fields).json == {"code": "ok"}
    assert code_of(confirm(lms, fields)) == "state_unknown"
    assert len(tool.launches) == 1


def test_confirm_when_sent_many_times_at_once_is_accepted_once(lms, tool):
    began = login(lms, tool.browser())
    fields = post_without_cookie(lms, began) | {"stored": began.secret}
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: confirm(lms, fields).json["code"], range(4)))
    assert sorted(answers) == ["ok", "state_unknown", "state_unknown", "state_unknown"]


def test_confirm_when_guessed_at_first_leaves_no_second_guess(lms, tool):
    began = login(lms, tool.browser())
    fields = post_without_cookie(lms, began)
    assert "new_tab" in confirm(lms, fields, stored="wrong").json
    assert code_of(confirm(lms, fields, stored=began.secret)) == "state_unknown"


def test_launch_when_posted_twice_while_the_storage_is_asked_is_refused_the_second_time(lms, tool):
    form = launch_form(lms, login(lms, tool.browser()).query)
    assert lms.post(tool.browser(), form).status_code == 200
    assert code_of(lms.post(tool.browser(), form)) == "state_unknown"


def test_confirm_when_a_minute_has_passed_is_refused(lms, tool, clock):
    began = login(lms, tool.browser())
    fields = post_without_cookie(lms, began)
    clock.advance(seconds=60)
    assert code_of(confirm(lms, fields, stored=began.secret)) == "state_expired"


def test_codes_when_used_for_another_purpose_are_refused(lms, tool):
    began = login(lms, tool.browser())
    fields = post_without_cookie(lms, began)
    token, code = fields["id_token"], fields["code"]
    for state in (code, "confirm." + code):
        assert code_of(lms.post(tool.browser(), {"state": state, "id_token": token})) == "state_unknown"
    assert code_of(tool.browser().get(f"/lti/relaunch/{code}", base_url=TOOL)) == "relaunch_unknown"
    relaunch = confirm(lms, fields).json["new_tab"].rpartition("/")[2]
    for wrong in (relaunch, "relaunch." + relaunch, began.query["state"], ""):
        assert code_of(confirm(lms, fields, code=wrong, stored=began.secret)) == "state_unknown"


def test_confirm_when_the_token_was_exchanged_is_refused(lms, tool, platform_keys):
    other = launch_form(lms, login(lms, tool.browser()).query)["id_token"]
    for token, code in ((other, "nonce_invalid"), ("", "id_token_missing"), ("a.b.c", "token_malformed")):
        began = login(lms, tool.browser())
        fields = post_without_cookie(lms, began)
        answer = confirm(lms, fields, stored=began.secret, id_token=token)
        assert code_of(answer) == code
    began = login(lms, tool.browser())
    fields = post_without_cookie(lms, began)
    lms.platform.keys[0] = platform_keys[2]
    forged = launch_form(lms, began.query, sub="1")["id_token"]
    lms.platform.keys[0] = platform_keys[0]
    assert code_of(confirm(lms, fields, stored=began.secret, id_token=forged)) == "kid_unknown"
    assert tool.launches == []


def test_launch_when_a_cookie_with_another_value_is_shown_asks_no_storage(lms, tool):
    browser = tool.browser()
    began = login(lms, tool.browser())
    for value in ("planted", began.query["state"]):
        browser.set_cookie(began.key, value, domain="tool.example")
        response = lms.post(browser, launch_form(lms, began.query))
        assert "new_tab" in response.json
        began = login(lms, tool.browser())
    assert tool.launches == []


def test_relaunch_when_the_storage_gave_nothing_goes_on_by_cookies_alone(lms, tool, platform):
    for keeps_cookies in (True, False):
        fields = post_without_cookie(lms, login(lms, tool.browser()))
        path = urlsplit(confirm(lms, fields).json["new_tab"]).path
        tab = tool.browser()
        response = tab.get(path, base_url=TOOL)
        # No page that asks a storage: above a tab of its own there is no platform.
        query = platform.read_authorisation(response.location)
        answer = lms.post(tab if keeps_cookies else tool.browser(), launch_form(lms, query))
        assert answer.json["code"] == ("ok" if keeps_cookies else "cookies_blocked")
    assert [launch.bound_by for launch in tool.launches] == ["new_tab"]


def test_launches_when_two_tabs_start_at_once_are_both_confirmed(lms, tool):
    begun = [login(lms, tool.browser()), login(lms, tool.browser())]
    assert begun[0].key != begun[1].key
    fields = [post_without_cookie(lms, began) for began in begun]
    for form, began in zip(fields, begun, strict=True):
        assert confirm(lms, form, stored=began.secret).json == {"code": "ok"}


def test_launch_address_when_reloaded_without_a_message_says_to_reopen(tool):
    response = tool.browser().get("/lti/launch", base_url=TOOL)
    assert code_of(response) == "state_missing"
    error, _ = tool.refusals[-1]
    assert error.message.endswith("open the activity again from your course.")


def test_waiting_page_when_the_host_brings_its_own_keeps_what_the_launch_needs(
    store, http, clock, platform, registration
):
    def on_wait(element):
        response = make_response(f"<main><h1>Öffnet …</h1>{element}</main>")
        response.headers["Content-Security-Policy"] = "script-src 'self'"
        return response

    def answer(*_):
        return make_response("")

    app = Flask("host")
    app.register_blueprint(
        create_blueprint(
            lambda: store,
            http,
            on_launch=answer,
            on_refused=answer,
            on_new_tab=answer,
            on_wait=on_wait,
            public_url=lambda: TOOL,
            clock=clock,
        )
    )
    request = platform.login_request(TOOL + "/lti/launch", lti_storage_target="_parent")
    response = app.test_client().get("/lti/login", query_string=request, base_url=TOOL)
    assert "Öffnet …" in response.text
    assert Elements(response.text).found["a"][0]["id"] == "lti-storage"
    assert response.headers["Content-Security-Policy"] == "script-src 'self'"
    assert response.headers["Cache-Control"] == "no-store"
    assert "Partitioned" in response.headers["Set-Cookie"]
