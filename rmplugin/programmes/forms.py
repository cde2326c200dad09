"""What managers type about programmes, how people say no, and the words for it."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import marshmallow as ma
from marshmallow import validate

from rmplugin import fields
from rmplugin.errors import InputError
from rmplugin.fields import plain_words
from rmplugin.programmes.catalogue import BY_NAME, NAME_LENGTH, THEMES, CatalogueSkill, Template
from rmplugin.texts import Text, texts

FILL_IN: dict[str, str | list[Any] | dict[Any, Any]] = {
    "required": "Please fill this in.",
    "null": "Please fill this in.",
}
NUMBER: dict[str, str | list[Any] | dict[Any, Any]] = {**FILL_IN, "invalid": "Please write a whole number."}
DATE: dict[str, str | list[Any] | dict[Any, Any]] = {**FILL_IN, "invalid": "Please choose a date."}
DECLINE_REASONS = texts(
    {
        "time": "I do not have the time now",
        "not_interested": "It does not interest me",
        "nothing_to_offer": "I do not see what I could offer or learn",
        "exposure": "I would rather not speak openly across levels",
        "manager": "My manager needs me elsewhere",
        "other": "Another reason",
    }
)
# What somebody without time can choose instead of a plain no.
TIME_CHOICES = texts(
    {
        "shorter": "Shorter or fewer sessions",
        "retime": "Other days or hours",
        "pause": "A pause of up to six weeks",
        "leave": "Not this time",
    }
)
NOT_NOW_REASONS = texts(
    {
        "peak": "A busy period; please ask again in some weeks",
        "role": "This job leaves no such time in the week",
        "talk": "I would like to talk about it with them first",
        "other": "Another reason",
    }
)
STATES = texts(
    {
        "invited": "invited",
        "started": "started, not sent",
        "endorsing": "waits for the line manager's yes",
        "waitlisted": "on the waiting list",
        "submitted": "signed up",
        "paused": "pausing",
        "declined": "declined",
        "withdrawn": "left",
        "completed": "completed",
    }
)
# How somebody stands who sent their answers and did not leave.
SIGNED_UP = ("endorsing", "waitlisted", "submitted", "paused", "completed")
LONGEST_PAUSE_WEEKS = 6
# As long as the names of the large public catalogues.
SKILL_NAME_LENGTH = 200
# What a programme counts by, and at most in a day, unless it says otherwise.
POLICY = "contact_hours"
DAY_CAP = 600
OPTIONAL: dict[str, Any] = {"required": False, "load_default": None, "allow_none": True}
# So long after its last day a programme keeps what its pairs wrote, unless it says otherwise.
KEEP_MONTHS = 12


def whole_number(low: int, high: int, **options: Any) -> ma.fields.Integer:
    """Make a field for a whole number. **Touches** pure."""
    message = Text("Please write a whole number from %(low)s to %(high)s.", low=low, high=high)
    return ma.fields.Integer(
        validate=validate.Range(low, high, error=message),
        error_messages=NUMBER,
        **({"required": True} | options),
    )


def short_text(most: int, **options: Any) -> ma.fields.String:
    """Make a field for some words. **Touches** pure."""
    message = Text("Please keep this to %(most)s characters.", most=most)
    return ma.fields.String(
        validate=validate.Length(min=1, max=most, error=message),
        error_messages=FILL_IN,
        **({"required": True} | options),
    )


def _lines(text: str) -> list[str]:
    """Split into lines; blank ones and repeated ones do not count."""
    return list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))


class _OpenSettings(ma.Schema):
    """What may change at any time."""

    name = short_text(NAME_LENGTH)
    purpose = short_text(2000)
    sponsor = short_text(120, required=False, load_default=None, allow_none=True)
    sponsor_message = short_text(2000, required=False, load_default=None, allow_none=True)
    target_mentors = whole_number(1, 100_000, required=False, load_default=None, allow_none=True)
    target_mentees = whole_number(1, 100_000, required=False, load_default=None, allow_none=True)
    sign_up_until = ma.fields.Date(load_default=None, allow_none=True, error_messages=DATE)
    keep_months = whole_number(1, 120)
    topics = ma.fields.String(load_default="")
    own_skills = ma.fields.String(load_default="")


class ProgrammeForm(_OpenSettings):
    """A programme's settings. Loads to the columns of `Programme`, and `skills` as `CatalogueSkill`s."""

    starts_on = ma.fields.Date(required=True, error_messages=DATE)
    ends_on = ma.fields.Date(required=True, error_messages=DATE)
    cadence_weeks = whole_number(1, 12)
    allowance_minutes = whole_number(15, 480)
    session_minutes = whole_number(15, 240)
    mentee_min_rank = whole_number(1, 100)
    mentor_max_rank = whole_number(0, 99)
    mentor_max_tenure_months = whole_number(1, 120, required=False, load_default=None, allow_none=True)
    min_sessions = whole_number(1, 100)
    min_minutes = whole_number(1, 10_000)
    needs_goal_review = ma.fields.Boolean(load_default=False)
    needs_agreement = ma.fields.Boolean(load_default=False)
    needs_endorsement = ma.fields.Boolean(load_default=False)
    min_days = whole_number(0, 1_830, required=False, load_default=0)
    min_reflections = whole_number(0, 100, required=False, load_default=0)
    policy = ma.fields.String(load_default=POLICY)
    day_cap = whole_number(15, 1_440, **OPTIONAL)
    programme_cap = whole_number(15, 100_000, **OPTIONAL)
    year_cap = whole_number(15, 100_000, **OPTIONAL)
    preparation_percent = whole_number(0, 25, required=False, load_default=0)
    skills = ma.fields.List(ma.fields.String(), load_default=list)

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


class SafeProgrammeForm(_OpenSettings):
    """What may still change when people have been invited: nothing that they said yes to."""

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
    if data.get("sign_up_until") and data["sign_up_until"] > data["ends_on"]:
        faults["sign_up_until"] = "Sign-up must end before the programme does."
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
    faults |= _credit_faults(data)
    own = _own_skill_faults(data["own_skills"])
    if own:
        faults["own_skills"] = own
    elif len(chosen_skills(data["skills"], data["own_skills"])) < 2:
        faults["skills"] = (
            "Choose at least two skills, so that there is something to offer and something to want."
        )
    return faults


def _credit_faults(data: Mapping[str, Any]) -> dict[str, str]:
    """Find what nobody can reach."""
    faults: dict[str, str] = {}
    days = (data["ends_on"] - data["starts_on"]).days
    if data["min_days"] > max(0, days):
        faults["min_days"] = Text("The programme itself has only %(days)s days.", days=max(0, days))
    if data["min_reflections"] > data["min_sessions"]:
        faults["min_reflections"] = "That is more than the sessions that are asked for."
    cap = data["programme_cap"]
    if cap is not None and cap < data["min_minutes"]:
        faults["programme_cap"] = (
            "That is less than the minutes that are asked for, so nobody could complete it."
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
        **dict.fromkeys(("sponsor", "sponsor_message", "target_mentors", "target_mentees", "sign_up_until")),
        **dict.fromkeys(("min_days", "min_reflections", "preparation_percent"), 0),
        **dict.fromkeys(("programme_cap", "year_cap")),
        "policy": POLICY,
        "day_cap": DAY_CAP,
        "needs_endorsement": False,
        "keep_months": KEEP_MONTHS,
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
    return plain_words(message)


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


class TimeForm(ma.Schema):
    """What somebody without time chooses."""

    choice = fields.choice(tuple(TIME_CHOICES), "Please choose what fits best.")
    weeks = whole_number(1, LONGEST_PAUSE_WEEKS, required=False, load_default=LONGEST_PAUSE_WEEKS)


class NominateForm(ma.Schema):
    """A colleague, named exactly."""

    who = short_text(255)
    named = ma.fields.Boolean(load_default=False)


class EndorseForm(ma.Schema):
    """The answer of a line manager."""

    answer = fields.choice(("yes", "not_now"), "Please choose one of the two.")
    reason = ma.fields.String(load_default=None, validate=validate.OneOf(tuple(NOT_NOW_REASONS)))


class EnrolmentForm(ma.Schema):
    """Whose enrolment a manager means."""

    enrolment = ma.fields.UUID(required=True)
