"""A made-up language whose texts are longer and marked, and the main pages of a pair and its manager."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from babel.messages.catalog import Catalog
from flask import Flask

from rmplugin.jobs import Runtime
from rmplugin.people.models import Person, Skill
from rmplugin.programmes.models import Enrolment, Programme
from rmplugin.tenants.models import Tenant
from tests.factories.browser import Browser
from tests.factories.pairs import AGREED, GOAL, MEETING, make_pair
from tests.factories.programmes import make_context
from tests.rules.test_translations import translations

# Esperanto from the left, Arabic from the right: Babel knows both, and nobody has translated into them.
LANGUAGES = {"eo": "ltr", "ar": "rtl"}
LETTERS = str.maketrans("aeiouAEIOU", "áéíóúÁÉÍÓÚ")
KEPT = re.compile(r"%(?:\(\w+\))?\d*[sd]|%%|<[^>]+>|&\w+;")
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


def write_catalogues(folder: Path) -> Path:
    """Write a catalogue of every text for each language."""
    said = translations.collect()
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


@dataclass
class MainPages:
    """The main pages of a pair that has done something.

    :ivar paths: person, or None for their manager -> paths.
    :ivar browsers: of the same.
    :ivar typed: words that somebody typed, which no catalogue has.
    """

    paths: dict[Person | None, list[str]]
    browsers: dict[Person | None, Browser]
    typed: set[str]


def make_main_pages(app: Flask, runtime: Runtime, tenant: Tenant, catalogues: Path) -> MainPages:
    """Have an app speak the made-up languages, and give it a pair with a manager."""
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
    return MainPages(paths, browsers, own)
