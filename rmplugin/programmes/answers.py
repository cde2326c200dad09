"""What a participant answers at enrolment, and the words for it."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from zoneinfo import available_timezones

import marshmallow as ma
from babel import Locale
from marshmallow import validate

from rmplugin.programmes.forms import FILL_IN, short_text, whole_number
from rmplugin.texts import Text, texts

LEVELS = tuple(map(Text, ("none", "basics", "practised", "confident", "can teach it")))
PRIORITIES = tuple(texts({1: "most wanted", 2: "would be good", 3: "if there is time"}).items())
MOTIVATION = tuple(
    texts(
        {
            1: "I am curious, no more yet",
            2: "I would like to try it",
            3: "I look forward to it",
            4: "I want this to work",
            5: "I cannot wait to start",
        }
    ).items()
)
DAYS = tuple(map(Text, ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")))
COMMON_LANGUAGES = (
    "en",
    "de",
    "fr",
    "es",
    "it",
    "pt",
    "nl",
    "pl",
    "tr",
    "ar",
    "zh",
    "hi",
    "ja",
    "ko",
    "ru",
    "uk",
)
# Two-letter codes (ISO 639-1) with their English names.
LANGUAGES: dict[str, str] = {
    code: str(name) for code, name in Locale("en").languages.items() if len(code) == 2 and code.isalpha()
}
# What two people may come to speak about, and how somebody feels about it until they say otherwise.
TOPICS = texts(
    {
        "work": "My everyday work here",
        "career": "My career so far",
        "leadership": "How leadership comes across to me",
        "belonging": "Belonging here, or feeling left out",
        "background": "Background, culture and language",
        "family": "Family and caring for others",
        "health": "Health and strain",
        "beliefs": "Faith and politics",
    }
)
BOUNDARIES = texts({"open": "open", "ask": "ask me first", "closed": "closed: please not"})
MOST_INTERESTS = 10
REGIONS = (
    "Africa",
    "America",
    "Antarctica",
    "Arctic",
    "Asia",
    "Atlantic",
    "Australia",
    "Europe",
    "Indian",
    "Pacific",
)


@cache
def known_zones() -> frozenset[str]:
    """Give every IANA name; kept, because each look goes through all files. **Touches** the zone data."""
    return frozenset(available_timezones())


def time_zones() -> list[str]:
    """List the IANA names that a person can choose from. **Touches** the zone data."""
    return ["UTC", *sorted(zone for zone in known_zones() if zone.split("/")[0] in REGIONS)]


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What a person answers at enrolment.

    :ivar role: chosen by somebody who fits both; None leaves the offered one.
    :ivar offers: skill id -> level 1..4; level 0 is not an offer and not in here.
    :ivar wants: skill id -> (level 1..4 to reach, priority 1..3).
    :ivar languages: ISO 639-1 codes.
    :ivar work_days: Monday=0 .. Sunday=6.
    :ivar work_from_minute, work_to_minute: local minutes after midnight in `time_zone` (IANA).
    :ivar motivation_level: 1..5; None in a draft.
    :ivar interests: own words; None leaves those that are known, as for the next two.
    :ivar topics: key of `TOPICS` -> key of `BOUNDARIES`.
    :ivar closed_topics: what else to leave out, in own words; "" for nothing.
    :ivar consent: whether the matching may use the answers.
    """

    role: str | None = None
    offers: Mapping[uuid.UUID, int] = field(default_factory=dict)
    wants: Mapping[uuid.UUID, tuple[int, int]] = field(default_factory=dict)
    languages: Sequence[str] = ()
    work_days: Sequence[int] = (0, 1, 2, 3, 4)
    work_from_minute: int = 9 * 60
    work_to_minute: int = 17 * 60
    time_zone: str = "UTC"
    capacity: int = 1
    motivation_level: int | None = None
    motivation: str | None = None
    interests: Sequence[str] | None = None
    topics: Mapping[str, str] | None = None
    closed_topics: str | None = None
    consent: bool = False


def missing_answers(answers: Answers) -> dict[str, str]:
    """Find what is missing before a person can be matched.

    :return: form field -> what to add; empty when complete.
    **Touches** pure.
    """
    missing = {}
    if not answers.offers:
        missing["offers"] = "Choose at least one skill or perspective that you can offer."
    if not answers.wants:
        missing["wants"] = "Choose at least one skill or perspective that you want to learn."
    if not answers.languages:
        missing["languages"] = "Tick at least one language, so that we find a partner you can talk with."
    if not answers.work_days:
        missing["work_days"] = "Tick at least one day on which you work."
    if answers.motivation_level is None:
        missing["motivation_level"] = "Choose the sentence that fits best."
    if not answers.consent:
        missing["consent"] = (
            "Without your consent the matching cannot use your answers. You can save a draft."
        )
    return missing


class MinuteField(ma.fields.Field[int]):
    """A time of day, "HH:MM", as minutes after midnight; "24:00" is the end of the day."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> int:  # noqa: ARG002
        try:
            hours, minutes = (int(part) for part in str(value).split(":")[:2])
        except ValueError as error:
            raise ma.ValidationError("Please write a time such as 09:00.") from error
        if not (0 <= hours <= 24 and 0 <= minutes < 60 and hours * 60 + minutes <= 24 * 60):
            raise ma.ValidationError("Please write a time between 00:00 and 24:00.")
        return hours * 60 + minutes


class AnswersForm(ma.Schema):
    """The questions at enrolment that do not depend on the programme's skills."""

    role = ma.fields.String(load_default=None, allow_none=True, validate=validate.OneOf(("mentor", "mentee")))
    languages = ma.fields.List(ma.fields.String(validate=validate.OneOf(list(LANGUAGES))), load_default=list)
    other_languages = ma.fields.String(load_default="")
    work_days = ma.fields.List(whole_number(0, 6), load_default=list)
    work_from = MinuteField(required=True, error_messages=FILL_IN)
    work_to = MinuteField(required=True, error_messages=FILL_IN)
    time_zone = ma.fields.String(required=True, error_messages=FILL_IN)
    capacity = whole_number(1, 3, required=False, load_default=1)
    motivation_level = whole_number(1, 5, required=False, load_default=None, allow_none=True)
    motivation = short_text(1000, required=False, load_default=None, allow_none=True)
    interests = short_text(300, required=False, load_default="")
    closed_topics = short_text(300, required=False, load_default="")
    consent = ma.fields.Boolean(load_default=False)
    step = ma.fields.String(load_default="submit", validate=validate.OneOf(("submit", "draft")))

    @ma.validates_schema
    def check_together(self, data: Mapping[str, Any], **_: Any) -> None:
        """Check hours against each other, the zone, and languages that were written."""
        if data["work_from"] >= data["work_to"]:
            raise ma.ValidationError("Your day must end after it begins.", "work_to")
        if data["time_zone"] not in known_zones():
            raise ma.ValidationError("Please choose a time zone from the list.", "time_zone")
        if read_languages(data["other_languages"]) is None:
            raise ma.ValidationError(
                "Please write two-letter codes or English names, for example sv, Danish.", "other_languages"
            )


def read_languages(text: str) -> list[str] | None:
    """Read languages from codes or English names.

    :param text: separated by commas, bars or semicolons.
    :return: ISO 639-1 codes; None when a word is no language.
    **Touches** pure.
    """
    names = {name.casefold(): code for code, name in LANGUAGES.items()}
    codes = []
    for word in text.replace("|", ",").replace(";", ",").split(","):
        if not word.strip():
            continue
        folded = word.strip().casefold()
        code = folded if folded in LANGUAGES else names.get(folded)
        if code is None:
            return None
        codes.append(code)
    return list(dict.fromkeys(codes))


def _topic_fields() -> dict[str, ma.fields.Field[Any]]:
    return {
        f"topic-{key}": ma.fields.String(load_default="ask", validate=validate.OneOf(tuple(BOUNDARIES)))
        for key in TOPICS
    }


def make_about_form() -> ma.Schema:
    """Make the form of what a partner reads. **Touches** pure."""
    fields: dict[str, ma.fields.Field[Any]] = {
        "interests": short_text(300, required=False, load_default=""),
        "closed_topics": short_text(300, required=False, load_default=""),
    }
    form: ma.Schema = type("AboutForm", (ma.Schema,), fields | _topic_fields())()
    return form


def read_about(loaded: Mapping[str, Any]) -> tuple[list[str], dict[str, str], str]:
    """Give interests, boundaries by topic, and what else to leave out, of a loaded form. **Touches** pure."""
    words = [word.strip() for word in loaded["interests"].split(",") if word.strip()]
    topics = {key: loaded[f"topic-{key}"] for key in TOPICS}
    return words[:MOST_INTERESTS], topics, loaded["closed_topics"]


def make_answers_form(skill_ids: Sequence[uuid.UUID]) -> ma.Schema:
    """Make the enrolment form of a programme: a field per topic, and three per skill.

    **Touches** pure.
    """
    fields = _topic_fields()
    for skill_id in skill_ids:
        fields[f"offer-{skill_id.hex}"] = whole_number(0, 4, required=False, load_default=0)
        fields[f"want-{skill_id.hex}"] = whole_number(0, 4, required=False, load_default=0)
        fields[f"priority-{skill_id.hex}"] = whole_number(1, 3, required=False, load_default=2)
    form: ma.Schema = type("ProgrammeAnswersForm", (AnswersForm,), fields)()
    return form


def read_answers(loaded: Mapping[str, Any], skill_ids: Sequence[uuid.UUID]) -> Answers:
    """Turn a loaded enrolment form into answers.

    :param loaded: by the form of `make_answers_form` with the same skills.
    **Touches** pure.
    """
    wants = {s: (loaded[f"want-{s.hex}"], loaded[f"priority-{s.hex}"]) for s in skill_ids}
    interests, topics, closed_topics = read_about(loaded)
    languages = [*loaded["languages"], *(read_languages(loaded["other_languages"]) or ())]
    return Answers(
        role=loaded["role"],
        offers={s: loaded[f"offer-{s.hex}"] for s in skill_ids if loaded[f"offer-{s.hex}"]},
        wants={s: want for s, want in wants.items() if want[0]},
        languages=list(dict.fromkeys(languages)),
        work_days=sorted(set(loaded["work_days"])),
        work_from_minute=loaded["work_from"],
        work_to_minute=loaded["work_to"],
        time_zone=loaded["time_zone"],
        capacity=loaded["capacity"],
        motivation_level=loaded["motivation_level"],
        motivation=loaded["motivation"],
        interests=interests,
        topics=topics,
        closed_topics=closed_topics,
        consent=loaded["consent"],
    )
