"""Forms of matching, and the coded reasons that people can give."""

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import marshmallow as ma
from marshmallow.validate import Length, OneOf, Range

from rmplugin.texts import Text, texts

# Codes are stored and counted; nobody has to give one.
DECLINE_REASONS = tuple(
    texts(
        {
            "know_each_other": "We already know each other well",
            "relevance": "The skills are not what I am looking for",
            "conflict": "There is a conflict of interest",
            "time": "I have no time for it at the moment",
            "language_hours": "Language, time zone or working hours do not fit",
            "prefer_not_to_say": "I prefer not to say",
        }
    ).items()
)
# Eby and others (2000), the five themes of what goes wrong between two, and structural reasons.
CLOSURE_REASONS = tuple(
    texts(
        {
            "goals_met": "We reached our goals early",
            "goal_not_relevant": "The goal is no longer relevant",
            "time": "There is not enough time",
            "never_scheduled": "We never found a date",
            "role_change": "One of us changes role or place of work",
            "conflict_of_interest": "A conflict of interest came up",
            "left_organisation": "One of us leaves the company",
            "language_time_zone": "Language or time zone",
            "match_within_pair": "Our values, style or working habits differ too much",
            "distancing": "Meetings were cancelled, unprepared, or could not be arranged",
            "misuse_of_power": "Power was used in a way that it should not be",
            "lack_of_expertise": "The knowledge for this goal is missing",
            "general_difficulty": "Attitude or personal strain made it hard",
            "prefer_not_to_say": "I prefer not to say",
        }
    ).items()
)

PROPOSAL_CODES = ("proposed", "dropped", "released", "accepted", "declined", "expired", "void")
# What people can say of somebody on their short list.
WISHES = tuple(
    texts(
        {
            "": "No wish",
            "1": "First choice",
            "2": "Second choice",
            "3": "Third choice",
            "4": "Fourth choice",
            "5": "Fifth choice",
            "avoid": "I would rather not",
        }
    ).items()
)


def codes(choices: tuple[tuple[str, str], ...]) -> list[str]:
    """Give the codes of a list of choices.

    **Touches** nothing.
    """
    return [code for code, _text in choices]


class AnswerForm(ma.Schema):
    """Yes or no to a proposal."""

    answer = ma.fields.Str(
        required=True,
        validate=OneOf(["yes", "no"], error="Choose yes or no."),
        error_messages={"required": "Choose yes or no."},
    )
    reason = ma.fields.Str(
        load_default=None,
        validate=OneOf(codes(DECLINE_REASONS), error="Choose a reason from the list, or none."),
    )


OBJECTIVES = ("total", "fair", "stable")


class RunForm(ma.Schema):
    """Who takes part in a matching, and what is best; None for what the rules say."""

    scope = ma.fields.Str(load_default="all", validate=OneOf(["all", "waiting"]))
    objective = ma.fields.Str(load_default=None, validate=OneOf(OBJECTIVES))


def _page() -> ma.fields.Int:
    return ma.fields.Int(load_default=1, validate=Range(1, 100_000))


def _name() -> ma.fields.Str:
    return ma.fields.Str(load_default="", validate=Length(max=100))


class PageQuery(ma.Schema):
    """Which page of a list."""

    page = _page()


class PairQuery(PageQuery):
    """Which pairs of a run are listed, and in which order; `below` is a fit in percent."""

    q = _name()
    department = _name()
    state = ma.fields.Str(load_default="", validate=OneOf(PROPOSAL_CODES))
    pinned = ma.fields.Bool(load_default=False)
    below = ma.fields.Int(load_default=None, validate=Range(0, 200))
    skill = ma.fields.UUID(load_default=None)
    sort = ma.fields.Str(load_default="best", validate=OneOf(["best", "worst", "mentor", "mentee"]))


class LeftOutQuery(PageQuery):
    """Whom of those without a pair to list."""

    q = _name()
    role = ma.fields.Str(load_default="", validate=OneOf(["mentor", "mentee"]))
    reason = _name()
    department = _name()
    skill = ma.fields.UUID(load_default=None)


class CardQuery(ma.Schema):
    """On the page of one pair: whom else to look at, by part of a name or by id; whom to exchange with."""

    name = _name()
    other = ma.fields.UUID(load_default=None)
    pair = _name()


class ChangeQuery(ma.Schema):
    """A change in a run, to see its effect before it is made."""

    do = ma.fields.Str(load_default="", validate=OneOf(["pin", "drop", "swap", "restore"]))
    pair = ma.fields.UUID(load_default=None)
    other = ma.fields.UUID(load_default=None)
    mentor = ma.fields.UUID(load_default=None)
    mentee = ma.fields.UUID(load_default=None)


class PickQuery(ma.Schema):
    """Two people whom a manager looks for by part of their names, and the two that are chosen."""

    mentor_name = _name()
    mentee_name = _name()
    mentor = ma.fields.UUID(load_default=None)
    mentee = ma.fields.UUID(load_default=None)


class CompareQuery(PageQuery):
    """With which run to compare, and which differences to list."""

    other = ma.fields.UUID(load_default=None)
    kind = ma.fields.Str(
        load_default="changed", validate=OneOf(["kept", "changed", "new", "gone", "gained", "lost"])
    )


class RulesQuery(ma.Schema):
    """Which version of the rules the form begins with; or what was tried last."""

    version = ma.fields.Int(load_default=None, validate=Range(1, 100_000))
    trial = ma.fields.Bool(load_default=False)


class SwapForm(ma.Schema):
    """The other pair with which partners are exchanged."""

    other = ma.fields.UUID(required=True)


def wish_field(person_id: uuid.UUID) -> str:
    """Name the field for somebody on a short list. **Touches** nothing."""
    return f"choice-{person_id}"


def wish_form(people: Iterable[uuid.UUID]) -> ma.Schema:
    """Make the form of a short list: a choice for each person. **Touches** nothing."""
    valid = OneOf(codes(WISHES), error="Choose a place from the list, or none.")
    return ma.Schema.from_dict(
        {wish_field(person): ma.fields.Str(load_default="", validate=valid) for person in people}
    )()


class PinForm(ma.Schema):
    """Two people whom the manager wants to be a pair."""

    mentor = ma.fields.UUID(
        required=True, error_messages={"required": "Choose a mentor.", "invalid_uuid": "Choose a mentor."}
    )
    mentee = ma.fields.UUID(
        required=True, error_messages={"required": "Choose a mentee.", "invalid_uuid": "Choose a mentee."}
    )


MOST_POINTS = 1_000_000


def _number(low: int, high: int, **more: Any) -> ma.fields.Int:
    said = Text("Give a whole number from %(low)s to %(high)s.", low=low, high=high)
    within = Range(low, high, error=said)
    return ma.fields.Int(
        required=True,
        validate=within,
        error_messages={"invalid": said, "null": said, "required": said},
        **more,
    )


def _switch(**more: Any) -> ma.fields.Bool:
    said = "Choose yes or no."
    return ma.fields.Bool(
        required=True, error_messages={"invalid": said, "null": said, "required": said}, **more
    )


def _choice(*words: str, **more: Any) -> ma.fields.Str:
    said = Text("Choose one of: %(words)s.", words=", ".join(words))
    messages: dict[str, Any] = {"null": said, "required": said, "invalid": said}
    return ma.fields.Str(required=True, validate=OneOf(words, error=said), error_messages=messages, **more)


class RuleSetForm(ma.Schema):
    """All that one version of a programme's rules says, by one name each.

    An empty value of `min_common_minutes` or `junior_by_tenure` means: as the programme's settings say.
    """

    class Meta:
        """Settings that nobody knows are refused."""

        unknown = ma.RAISE

    error_messages = {"unknown": "There is no setting of this name."}  # noqa: RUF012 - marshmallow reads it once.

    min_rank_gap = _number(1, 50, metadata={"in": "rules"})
    min_tenure_gap_months = _number(0, 480, metadata={"in": "rules"})
    junior_by_rank = _switch(metadata={"in": "rules"})
    junior_by_tenure = _switch(metadata={"in": "rules"}, allow_none=True)
    min_common_minutes = _number(0, 600, metadata={"in": "rules"}, allow_none=True)
    bar_same_team = _switch(metadata={"in": "rules"})
    bar_same_department = _switch(metadata={"in": "rules"})
    needs_language = _switch(metadata={"in": "rules"})
    coverage = _number(1, MOST_POINTS, metadata={"in": "weights"})
    learning = _number(0, MOST_POINTS, metadata={"in": "weights"})
    motivation = _number(0, MOST_POINTS, metadata={"in": "weights"})
    other_department = _number(0, MOST_POINTS, metadata={"in": "weights"})
    other_site = _number(0, MOST_POINTS, metadata={"in": "weights"})
    tenure = _number(0, MOST_POINTS, metadata={"in": "weights"})
    wishes = _number(0, MOST_POINTS, metadata={"in": "weights"})
    objective = _choice(*OBJECTIVES)
    mentors_per_mentee = _number(1, 3, metadata={"in": "options"})
    self_service = _switch(metadata={"in": "options"})
    answer_days = _number(1, 60, metadata={"in": "options"})
    rerun = _choice("off", "weekly", metadata={"in": "options"})
    kept_bonus = _number(0, MOST_POINTS, metadata={"in": "options"})
    note = ma.fields.Str(
        required=True, allow_none=True, validate=Length(max=500, error="Use 500 characters at most.")
    )

    @ma.pre_load
    def empty_is_none(self, data: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        """Take an empty text for no value. **Touches** nothing."""
        return {name: None if value == "" else value for name, value in data.items()}

    @ma.validates_schema
    def check_together(self, data: Mapping[str, Any], **_: Any) -> None:
        """Refuse what makes no sense together. **Touches** nothing."""
        if not data["junior_by_rank"] and data["junior_by_tenure"] is False:
            raise ma.ValidationError(
                "A mentor must be junior by grade or by tenure: choose yes for one of the two.",
                "junior_by_rank",
            )
        if data["self_service"] and not data["wishes"]:
            raise ma.ValidationError(
                "Short lists change nothing while wishes give no points: give them some.",
                "wishes",
            )


def rules_as_typed() -> ma.Schema:
    """Take every setting of `RuleSetForm` as the text that was typed; what is missing is "".

    **Touches** nothing.
    """
    return ma.Schema.from_dict({name: ma.fields.Str(load_default="") for name in RuleSetForm().fields})()


OBJECTIVE_WORDS = texts(
    {
        "total": "Highest total: all pairs together get the most points.",
        "fair": "Fair: as many people as possible get a pair, then the weakest pair is made as good as it "
        "can be, then the total counts.",
        "stable": "Stable: no two people would both rather have each other than whom they got.",
    }
)
# The settings of a rule set in the order of the form, and what each means.
SETTING_NAMES = texts(
    {
        "junior_by_rank": "Junior by grade",
        "min_rank_gap": "Grades apart",
        "junior_by_tenure": "Junior by tenure",
        "min_tenure_gap_months": "Months apart",
        "min_common_minutes": "Working minutes in common",
        "needs_language": "A common language",
        "bar_same_team": "Different teams",
        "bar_same_department": "Different departments",
        "coverage": "What the mentee wants",
        "learning": "What the mentor wants",
        "motivation": "How keen both are",
        "other_department": "Other department",
        "other_site": "Other place",
        "tenure": "Tenure apart",
        "wishes": "Short lists",
        "kept_bonus": "Proposed before",
        "mentors_per_mentee": "Mentors of a mentee at most",
        "answer_days": "Days to answer",
        "self_service": "Short lists before the first run",
        "rerun": "Match who waits by itself",
    }
)
SETTING_HINTS = texts(
    {
        "junior_by_rank": "A mentor may be junior by a lower grade.",
        "min_rank_gap": "So far below the mentee a mentor must stand to be junior by grade.",
        "junior_by_tenure": "A mentor may be junior by having joined later.",
        "min_tenure_gap_months": "So much later a mentor must have joined to be junior.",
        "min_common_minutes": "In one piece, each week. Empty means the length of a session of the "
        "programme; 0 asks for none.",
        "needs_language": "The two need a language in common.",
        "bar_same_team": "Two people of the same manager are never a pair.",
        "bar_same_department": "Two people of the same department are never a pair.",
        "coverage": "The mentor offers what the mentee wants to learn.",
        "learning": "The mentee offers what the mentor wants to learn.",
        "motivation": "Both said how keen they are when they enrolled.",
        "other_department": "The two work in different departments.",
        "other_site": "The two work at different places.",
        "tenure": "One has been here much longer than the other.",
        "wishes": "On top, when the two asked for each other.",
        "kept_bonus": "On top, when the run before proposed the pair by the same rules: fewer pairs change.",
        "mentors_per_mentee": "Whatever the mentee offers to carry.",
        "answer_days": "After that a proposal closes by itself.",
        "self_service": "People may prefer or avoid a few.",
        "rerun": "Every week, for you to release.",
    }
)
