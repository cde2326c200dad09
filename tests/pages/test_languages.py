"""The language of the pages: what the launch asks for, else what the browser asks for, else English."""

import re
from datetime import UTC, datetime

import flask
import pytest
from werkzeug.datastructures import LanguageAccept

from rmplugin import formats, web
from rmplugin.languages import choose
from rmplugin.texts import Text, duration
from tests.factories.launches import ROLES, TOOL
from tests.fakes.lti_platform import CLAIM, INSTRUCTOR

PRESENTATION = CLAIM + "launch_presentation"
ODD = ["xx", "", " ", "../de", "d" * 10_000, "zh-Hant", "en_US.utf8", "de" * 20, "🦉", "_", "-"]


def language_of(page: str) -> tuple[str, str]:
    return re.search(r'<html lang="([^"]*)" dir="([^"]*)">', page).groups()


@pytest.mark.parametrize("locale", ["de", "de-AT", "de_DE", "DE", "de_CH.UTF-8", "de-", "\x00de"])
def test_page_when_launch_asks_for_german_is_german(lms, locale):
    page = lms.launch(**{ROLES: [INSTRUCTOR], PRESENTATION: {"locale": locale}}).get_data(as_text=True)
    assert language_of(page) == ("de", "ltr")
    assert re.search(r"<h1[^>]*>Programmbüro</h1>", page)


@pytest.mark.parametrize("locale", ["ar", "pt_BR", *ODD])
def test_page_when_launch_asks_for_what_there_is_not_is_english(lms, locale):
    page = lms.launch(**{ROLES: [INSTRUCTOR], PRESENTATION: {"locale": locale}}).get_data(as_text=True)
    assert language_of(page) == ("en", "ltr")


def test_page_when_launch_asks_for_nothing_follows_the_browser(lms):
    client = lms.app.test_client()
    answer = lms.post(client, lms.begin(client), **{PRESENTATION: {}})
    page = client.get(
        answer.location, base_url=TOOL, headers={"Accept-Language": "fr, de-CH;q=0.8, en;q=0.5"}
    )
    assert language_of(page.get_data(as_text=True))[0] == "de"


def test_page_when_launch_asks_for_english_does_not_follow_the_browser(lms):
    client = lms.app.test_client()
    answer = lms.post(client, lms.begin(client), **{PRESENTATION: {"locale": "en-GB"}})
    page = client.get(answer.location, base_url=TOOL, headers={"Accept-Language": "de"})
    assert language_of(page.get_data(as_text=True))[0] == "en"


def test_refusal_when_browser_asks_for_german_says_it_in_german(app):
    request = {"iss": "https://elsewhere.example", "login_hint": "7"}
    answer = app.test_client().get(
        "/lti/login", query_string=request, base_url=TOOL, headers={"Accept-Language": "de"}
    )
    page = answer.get_data(as_text=True)
    assert answer.status_code == 403
    assert language_of(page)[0] == "de"
    assert "Die Aktivität konnte nicht geöffnet werden" in page
    assert "Diese Lernplattform ist hier nicht registriert. Es ist nichts verloren gegangen." in page


def test_refusal_when_launch_asks_for_german_says_it_in_german(lms):
    client = lms.app.test_client()
    changes = {CLAIM + "deployment_id": "99", PRESENTATION: {"locale": "de"}}
    page = lms.post(client, lms.begin(client), **changes).get_data(as_text=True)
    assert language_of(page)[0] == "de"
    assert "Ein Klick der Administration fehlt" in page


@pytest.mark.parametrize(
    ("asked", "accepted", "chosen"),
    [
        ("de", [], "de"),
        ("pt-BR", [("de", 1)], "de"),
        (None, [("de", 0.5), ("en", 1)], "en"),
        (None, [("fr", 1)], "en"),
        (None, [("fr", 1), ("de-CH", 0.8), ("en", 0.5)], "de"),
        (None, [("de", 0)], "en"),
        *((odd, [], "en") for odd in ODD),
    ],
)
def test_language_when_asked_in_any_spelling_is_one_that_there_is(asked, accepted, chosen):
    assert choose(asked, LanguageAccept(accepted), ["de"]) == chosen


@pytest.mark.parametrize(
    ("locale", "text"),
    [("en", "Thu 3 Dec 2026, 15:00 (Europe/Berlin)"), ("de", "Do., 3. Dez. 2026, 15:00 (Europe/Berlin)")],
)
def test_moment_when_shown_is_in_the_language_of_the_page(app, locale, text):
    with app.test_request_context():
        flask.g.locale = locale
        assert formats.local_moment(datetime(2026, 12, 3, 14, 0, tzinfo=UTC), "Europe/Berlin") == text


def test_duration_when_a_sentence_ends_with_it_brings_no_point_of_its_own(app):
    with app.test_request_context():
        flask.g.locale = "de"
        assert web.say(Text("Confirmed so far: %(t)s.", t=duration(90))) == "Bisher bestätigt: 1 h 30 min."
