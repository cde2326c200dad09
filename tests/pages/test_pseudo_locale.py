"""The main pages in a made-up language whose texts are longer and marked, written from left and from right.

Whatever on a page is neither marked nor somebody's own words was never given to the translators.
"""

import html
import re

import pytest
from babel.messages.catalog import Catalog

from rmplugin.people.models import Person, Skill
from rmplugin.programmes.models import Enrolment, Programme
from tests.factories.browser import Browser
from tests.factories.pairs import AGREED, GOAL, MEETING, make_pair
from tests.factories.programmes import make_context
from tests.rules.test_translations import translations

# Esperanto from the left, Arabic from the right: Babel knows both, and nobody has translated into them.
LANGUAGES = {"eo": "ltr", "ar": "rtl"}
LETTERS = str.maketrans("aeiouAEIOU", "áéíóúÁÉÍÓÚ")
KEPT = re.compile(r"%(?:\(\w+\))?\d*[sd]|%%|<[^>]+>|&\w+;")
MARKED = re.compile(r"⟦[^⟦⟧]*⟧")
# Babel writes days and moments by the language itself; a time zone has its name everywhere.
MOMENT = re.compile(r"(\w\w, )?\d+ \w+ \d{4}|\(?\w+/\w+\)?")
OF_PERSON = ("display_name", "job_title", "department", "location")


def pseudo(text: str) -> str:
    """Mark a text, give its vowels accents, and make it 40 % longer; blanks and markup stay."""
    kept = KEPT.findall(text)
    words = KEPT.split(text)
    said = "".join(
        word.translate(LETTERS) + (kept[n] if n < len(kept) else "") for n, word in enumerate(words)
    )
    longer = " ".join(["lóng"] * max(1, len(text) * 2 // 5 // 5))
    return f"⟦{said} {longer}⟧"


@pytest.fixture(scope="module")
def catalogues(tmp_path_factory):
    """Write a catalogue of every text for each language."""
    said = translations.collect()
    folder = tmp_path_factory.mktemp("translations")
    for language in LANGUAGES:
        made = Catalog(locale=language)
        for message in said:
            if not message.id:
                continue
            if isinstance(message.id, str):
                made.add(message.id, pseudo(message.id), context=message.context)
            else:
                made.add(message.id, [pseudo(message.id[1])] * made.num_plurals, context=message.context)
        place = folder / language / "LC_MESSAGES"
        place.mkdir(parents=True)
        (place / "messages.mo").write_bytes(translations.as_mo(made))
    return folder


@pytest.fixture
def world(app, runtime, tenant, catalogues):
    """Give a pair that has done something, somebody of it, their manager, and the main pages of both."""
    app.extensions["babel"].translation_directories = [str(catalogues)]
    app.extensions["rm_languages"] = list(LANGUAGES)
    pair = make_pair(runtime, tenant)
    pair.agree()
    goal = pair.add_goal(pair.mentor)
    session = pair.hold()
    pair.claim(session, pair.mentee, 60)
    with pair.transaction() as db:
        context = make_context(db)
        programme = db.merge(pair.programme)
        programme.context_id = context.id
        person = db.get_one(Person, pair.mentor.id)
    here = f"/programmes/{pair.programme.id}"
    paths = {
        person: [
            "/home",
            pair.path,
            f"/sessions/{session.id}",
            f"{pair.path}/sessions/new",
            f"{pair.path}/agreement",
            f"{pair.path}/checkin",
            f"{pair.path}/help",
            f"{pair.path}/end",
            f"/goals/{goal.id}",
            "/goals",
            "/credits",
            "/notifications",
            "/help",
        ],
        None: ["/manage", here, f"{here}/enrolments", f"{here}/care", "/manage/hours", f"{here}/matching"],
    }
    browsers = {
        who: Browser.signed_in(app, runtime, tenant, who, who is None, context, None, runtime.clock())
        for who in paths
    }
    with pair.transaction() as db:
        typed = [value for form in (AGREED, GOAL, MEETING) for value in form.values()]
        typed += [getattr(row, column) for row in db.query(Person) for column in OF_PERSON]
        typed += [skill.name for skill in db.query(Skill)]
        typed += [enrolment.motivation for enrolment in db.query(Enrolment)]
        programme = db.get_one(Programme, pair.programme.id)
        typed += [programme.name, programme.purpose]
    own = {value for value in typed if value and isinstance(value, str)}
    return paths, browsers, own


def unmarked(page: str, own: set[str]) -> list[str]:
    """Give the English sentences on a page that nobody could translate."""
    page = re.sub(r"<(script|style|textarea|option|title)[^>]*>.*?</\1>", " ", page, flags=re.DOTALL)
    found = []
    for text in re.findall(r">([^<]+)<", page):
        plain = html.unescape(text)
        while MARKED.search(plain):
            plain = MARKED.sub(" ", plain)
        for words in sorted(own, key=len, reverse=True):
            plain = plain.replace(words, " ")
        plain = MOMENT.sub(" ", plain)
        if len(re.findall(r"[A-Za-z]{2,}", plain)) > 1 and "⟦" not in plain:
            found.append(" ".join(plain.split()))
    return found


@pytest.mark.parametrize(("language", "direction"), LANGUAGES.items())
def test_main_pages_when_the_language_is_made_up_leave_nothing_in_english(world, language, direction):
    paths, browsers, names = world
    # Marks that markup divides are seen as one when the markup inside sentences is taken out.
    found = {}
    for who, addresses in paths.items():
        for path in addresses:
            browser = browsers[who].get(path, query_string={"_": 1})
            page = browser.client.get(
                path, headers={"X-Rm-Session": browser.token, "Accept-Language": language}
            ).get_data(as_text=True)
            assert f'lang="{language}" dir="{direction}"' in page
            if left := unmarked(page, names):
                found[path] = left
    assert found == {}


def test_mark_when_a_text_was_not_given_to_translators_is_missed():
    assert pseudo("%(n)d hours") == "⟦%(n)d hóúrs lóng⟧"
    assert unmarked("<p>⟦Yés ⟦ńo⟧ lóng⟧ Mira Junior</p>", {"Mira Junior"}) == []
    assert unmarked("<p>This was forgotten.</p>", set()) == ["This was forgotten."]
