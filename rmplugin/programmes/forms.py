"""What managers and participants may type, and the words for it."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from typing import Any
from zoneinfo import available_timezones

import marshmallow as ma
from babel import Locale
from marshmallow import validate

from rmplugin.errors import InputError
from rmplugin.programmes.catalogue import BY_NAME, NAME_LENGTH, THEMES, CatalogueSkill, Template
from rmplugin.texts import Text, texts

FILL_IN: dict[str, str | list[Any] | dict[Any, Any]] = {
    "required": "Please fill this in.",
    "null": "Please fill this in.",
}
NUMBER: dict[str, str | list[Any] | dict[Any, Any]] = {**FILL_IN, "invalid": "Please write a whole number."}
DATE: dict[str, str | list[Any] | dict[Any, Any]] = {**FILL_IN, "invalid": "Please choose a date."}
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
DECLINE_REASONS = texts(
    {
        "time": "I do not have the time now",
        "not_interested": "It does not interest me",
        "manager": "My manager needs me elsewhere",
        "other": "Another reason",
    }
)
STATES = texts(
    {
        "invited": "invited",
        "started": "started, not sent",
        "submitted": "signed up",
        "declined": "declined",
        "withdrawn": "left",
        "completed": "completed",
    }
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
SKILL_NAME_LENGTH = 80


@cache
def known_zones() -> frozenset[str]:
    """Give every IANA name; kept, because each look goes through all files. **Touches** the zone data."""
    return frozenset(available_timezones())


def time_zones() -> list[str]:
    """List the IANA names that a person can choose from. **Touches** the zone data."""
    return ["UTC", *sorted(zone for zone in known_zones() if zone.split("/")[0] in REGIONS)]


def _number(low: int, high: int, **options: Any) -> ma.fields.Integer:
    message = Text("Please write a whole number from %(low)s to %(high)s.", low=low, high=high)
    return ma.fields.Integer(
        validate=validate.Range(low, high, error=message),
        error_messages=NUMBER,
        **({"required": True} | options),
    )


def _text(most: int, **options: Any) -> ma.fields.String:
    message = Text("Please keep this to %(most)s characters.", most=most)
    return ma.fields.String(
        validate=validate.Length(min=1, max=most, error=message),
        error_messages=FILL_IN,
        **({"required": True} | options),
    )


def _lines(text: str) -> list[str]:
    """Split into lines; blank ones and repeated ones do not count."""
    return list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))


class ProgrammeForm(ma.Schema):
    """A programme's settings. Loads to the columns of `Programme`, and `skills` as `CatalogueSkill`s."""

    name = _text(NAME_LENGTH)
    purpose = _text(2000)
    sponsor = _text(120, required=False, load_default=None, allow_none=True)
    starts_on = ma.fields.Date(required=True, error_messages=DATE)
    ends_on = ma.fields.Date(required=True, error_messages=DATE)
    cadence_weeks = _number(1, 12)
    allowance_minutes = _number(15, 480)
    session_minutes = _number(15, 240)
    mentee_min_rank = _number(1, 100)
    mentor_max_rank = _number(0, 99)
    mentor_max_tenure_months = _number(1, 120, required=False, load_default=None, allow_none=True)
    min_sessions = _number(1, 100)
    min_minutes = _number(1, 10_000)
    needs_goal_review = ma.fields.Boolean(load_default=False)
    needs_agreement = ma.fields.Boolean(load_default=False)
    topics = ma.fields.String(load_default="")
    skills = ma.fields.List(ma.fields.String(), load_default=list)
    own_skills = ma.fields.String(load_default="")

    @ma.validates_schema
    def check_together(self, data: Mapping[str, Any], **_: Any) -> None:
        """Refuse settings that contradict each other."""
        faults = programme_faults(data)
        if faults:
            raise ma.ValidationError({name: [text] for name, text in faults.items()})

    @ma.post_load
    def gather(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Split topics into a list; join ticked and own skills."""
        data["topics"] = _lines(data["topics"])
        data["skills"] = chosen_skills(data.pop("skills"), data.pop("own_skills"))
        return data


class SafeProgrammeForm(ma.Schema):
    """What may still change when people have been invited: nothing that they said yes to."""

    name = _text(NAME_LENGTH)
    purpose = _text(2000)
    sponsor = _text(120, required=False, load_default=None, allow_none=True)
    topics = ma.fields.String(load_default="")
    own_skills = ma.fields.String(load_default="")

    @ma.post_load
    def gather(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Split topics into a list; read the added skills."""
        faults = _own_skill_faults(data["own_skills"])
        if faults:
            raise ma.ValidationError(faults, "own_skills")
        data["topics"] = _lines(data["topics"])
        data["skills"] = chosen_skills([], data.pop("own_skills"))
        return data


def programme_faults(data: Mapping[str, Any]) -> dict[str, str]:
    """Find settings that contradict each other.

    :return: field -> what to change.
    **Touches** pure.
    """
    faults: dict[str, str] = {}
    if data["ends_on"] <= data["starts_on"]:
        faults["ends_on"] = "The last day must be after the first day."
    if data["mentor_max_rank"] >= data["mentee_min_rank"]:
        faults["mentor_max_rank"] = (
            "In reverse mentoring the junior teaches: this must be below the lowest rank of a mentee."
        )
    if data["session_minutes"] > data["allowance_minutes"] * data["cadence_weeks"]:
        faults["session_minutes"] = Text(
            "A session does not fit into the working time that is granted: %(minutes)s minutes a week, a "
            "session every %(weeks)s weeks.",
            minutes=data["allowance_minutes"],
            weeks=data["cadence_weeks"],
        )
    possible = max(0, (data["ends_on"] - data["starts_on"]).days // (7 * data["cadence_weeks"]))
    if "ends_on" not in faults and data["min_sessions"] > possible:
        faults["min_sessions"] = Text(
            "Between the two dates there is room for %(possible)s sessions at this rhythm.", possible=possible
        )
    elif data["min_minutes"] > max(possible, data["min_sessions"]) * data["session_minutes"]:
        faults["min_minutes"] = "That is more than all sessions together last."
    own = _own_skill_faults(data["own_skills"])
    if own:
        faults["own_skills"] = own
    elif len(chosen_skills(data["skills"], data["own_skills"])) < 2:
        faults["skills"] = (
            "Choose at least two skills, so that there is something to offer and something to want."
        )
    return faults


def _own_skill_faults(text: str) -> str | None:
    for line in _lines(text):
        name, _, theme = (part.strip() for part in line.partition("|"))
        if not name or len(name) > SKILL_NAME_LENGTH:
            return Text("A skill's name has 1 to %(most)s characters.", most=SKILL_NAME_LENGTH)
        if theme and theme.casefold() not in _themes():
            themes = ", ".join(THEMES.values())
            return Text("After the bar write one of these themes: %(themes)s.", themes=themes)
    return None


def _themes() -> dict[str, str]:
    known = {key.casefold(): key for key in THEMES}
    return known | {name.casefold(): key for key, name in THEMES.items()}


def chosen_skills(ticked: Sequence[str], own: str) -> list[CatalogueSkill]:
    """Join the skills that were ticked with those that were written, one per line, "name | theme".

    :param ticked: names of `catalogue.SKILLS`; others are left out.
    :return: each name once; a written one that the catalogue knows is taken from there.
    **Touches** pure.
    """
    skills = {name.casefold(): BY_NAME[name] for name in ticked if name in BY_NAME}
    known = {name.casefold(): skill for name, skill in BY_NAME.items()}
    for line in _lines(own):
        name, _, theme = (part.strip() for part in line.partition("|"))
        key = _themes().get(theme.casefold(), "organisation")
        made = CatalogueSkill(name, key)  # type: ignore[arg-type]  # The keys of THEMES are the themes.
        skills.setdefault(name.casefold(), known.get(name.casefold(), made))
    return list(skills.values())


def template_values(template: Template, today: date) -> dict[str, Any]:
    """Give what the form shows for a template: it starts on a Monday, two weeks from now or a little later.

    **Touches** pure.
    """
    soon = today + timedelta(days=14)
    starts_on = soon + timedelta(days=-soon.weekday() % 7)
    names: tuple[str, ...] = (
        "name",
        "purpose",
        "cadence_weeks",
        "allowance_minutes",
        "session_minutes",
        "mentee_min_rank",
    )
    names += ("mentor_max_rank", "mentor_max_tenure_months", "min_sessions", "min_minutes")
    names += ("needs_goal_review", "needs_agreement")
    return {name: getattr(template, name) for name in names} | {
        "sponsor": None,
        "starts_on": starts_on.isoformat(),
        "ends_on": (starts_on + timedelta(weeks=template.weeks, days=-3)).isoformat(),
        "topics": "\n".join(template.topics),
        "skills": list(template.skills),
        "own_skills": "",
    }


def load_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Check settings that come as text, as values, or loaded by `ProgrammeForm` before.

    :return: as `ProgrammeForm` loads them.
    :raises InputError: `details` maps every wrong field to a sentence.
    **Touches** pure.
    """
    raw = dict(values)
    for name, value in raw.items():
        if isinstance(value, date):
            raw[name] = value.isoformat()
    # A form that was loaded before carries its lists already.
    if not isinstance(raw["topics"], str):
        raw["topics"] = "\n".join(raw["topics"])
    ready = [skill for skill in raw["skills"] if isinstance(skill, CatalogueSkill)]
    if ready:
        raw["own_skills"] = "\n".join(f"{skill.name} | {skill.theme}" for skill in ready)
        raw["skills"] = []
    elif not isinstance(raw["own_skills"], str):
        raw["own_skills"] = "\n".join(raw["own_skills"])
    try:
        return dict(ProgrammeForm().load(raw))
    except ma.ValidationError as error:
        messages: dict[str, Any] = error.normalized_messages()  # type: ignore[no-untyped-call]
        faults = {name: _first(text) for name, text in messages.items()}
        told = "; ".join(f"{name}: {text}" for name, text in faults.items())
        raise InputError(
            "programme_invalid", Text("Nothing was created. %(told)s", told=told), faults
        ) from error


def _first(message: Any) -> str:
    while isinstance(message, dict | list):
        message = next(iter(message.values())) if isinstance(message, dict) else message[0]
    return str(message)


class ListQuery(ma.Schema):
    """Which part of a list of people to show."""

    role = ma.fields.String(load_default=None, validate=validate.OneOf(("mentor", "mentee")))
    state = ma.fields.String(load_default=None, validate=validate.OneOf(tuple(STATES)))
    page = ma.fields.Integer(load_default=1, validate=validate.Range(1, 100_000))
    q = ma.fields.String(load_default="", validate=validate.Length(max=100))


class InviteForm(ma.Schema):
    """Whom to invite: the ticked people, and where in the list they were."""

    people = ma.fields.List(ma.fields.UUID(), load_default=list)
    role = ma.fields.String(load_default=None, validate=validate.OneOf(("mentor", "mentee")))
    page = ma.fields.Integer(load_default=1)
    q = ma.fields.String(load_default="")


class StepForm(ma.Schema):
    """The state that a programme is moved to."""

    state = ma.fields.String(required=True)


class DeclineForm(ma.Schema):
    """Why somebody declines, if they want to say."""

    reason = ma.fields.String(load_default=None, validate=validate.OneOf(tuple(DECLINE_REASONS)))


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
    work_days = ma.fields.List(_number(0, 6), load_default=list)
    work_from = MinuteField(required=True, error_messages=FILL_IN)
    work_to = MinuteField(required=True, error_messages=FILL_IN)
    time_zone = ma.fields.String(required=True, error_messages=FILL_IN)
    capacity = _number(1, 3, required=False, load_default=1)
    motivation_level = _number(1, 5, required=False, load_default=None, allow_none=True)
    motivation = _text(1000, required=False, load_default=None, allow_none=True)
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


def make_answers_form(skill_ids: Sequence[uuid.UUID]) -> ma.Schema:
    """Make the enrolment form of a programme: three more fields per skill.

    **Touches** pure.
    """
    fields: dict[str, ma.fields.Field[Any]] = {}
    for skill_id in skill_ids:
        fields[f"offer-{skill_id.hex}"] = _number(0, 4, required=False, load_default=0)
        fields[f"want-{skill_id.hex}"] = _number(0, 4, required=False, load_default=0)
        fields[f"priority-{skill_id.hex}"] = _number(1, 3, required=False, load_default=2)
    form: ma.Schema = type("ProgrammeAnswersForm", (AnswersForm,), fields)()
    return form


def read_answers(loaded: Mapping[str, Any], skill_ids: Sequence[uuid.UUID]) -> Answers:
    """Turn a loaded enrolment form into answers.

    :param loaded: by the form of `make_answers_form` with the same skills.
    **Touches** pure.
    """
    wants = {s: (loaded[f"want-{s.hex}"], loaded[f"priority-{s.hex}"]) for s in skill_ids}
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
        consent=loaded["consent"],
    )
