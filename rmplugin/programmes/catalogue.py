"""What ships with the product: programme templates, and the skills and perspectives that they choose from."""

from dataclasses import dataclass
from typing import Literal

from rmplugin.errors import InputError
from rmplugin.texts import Text, texts

Theme = Literal["organisation", "outside_world", "technology", "leadership", "people", "general"]

# Characters of a programme's name.
NAME_LENGTH = 120
THEMES = texts(
    {
        "technology": "Technology",
        "outside_world": "The world outside",
        "people": "People and culture",
        "organisation": "How this organisation works",
        "leadership": "Leadership",
        "general": "Other skills",
    }
)
# What every reverse-mentoring programme is also for; a manager may take them out.
TOPICS = (Text("Inclusion"), Text("Participation"), Text("Perspective"))


@dataclass(frozen=True, slots=True)
class CatalogueSkill:
    """A skill or perspective that people can offer or want."""

    name: str
    theme: Theme
    kind: Literal["skill", "perspective"] = "skill"


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A programme to clone. Everything in it can be changed before it is created.

    :ivar weeks: from the first to the last day.
    :ivar mentee_min_rank, mentor_max_rank: 0 (most junior) .. 100.
    :ivar skills: names from `SKILLS`.
    """

    key: str
    name: str
    summary: str
    purpose: str
    skills: tuple[str, ...]
    weeks: int = 26
    cadence_weeks: int = 2
    allowance_minutes: int = 60
    session_minutes: int = 60
    mentee_min_rank: int = 70
    mentor_max_rank: int = 40
    mentor_max_tenure_months: int | None = 12
    min_sessions: int = 6
    min_minutes: int = 300
    needs_goal_review: bool = True
    needs_agreement: bool = True
    topics: tuple[str, ...] = TOPICS


SKILLS = (
    CatalogueSkill("Generative AI tools", "technology"),
    CatalogueSkill("Writing good prompts", "technology"),
    CatalogueSkill("Checking what an AI says", "technology"),
    CatalogueSkill("AI rules and risks at work", "technology"),
    CatalogueSkill("Data visualisation", "technology"),
    CatalogueSkill("Spreadsheets beyond the basics", "technology"),
    CatalogueSkill("Collaboration tools", "technology"),
    CatalogueSkill("Automation without code", "technology"),
    CatalogueSkill("Privacy in everyday apps", "technology"),
    CatalogueSkill("Software development today", "technology"),
    CatalogueSkill("Digital accessibility", "technology"),
    CatalogueSkill("Social media", "outside_world"),
    CatalogueSkill("Short video", "outside_world"),
    CatalogueSkill("Online communities", "outside_world"),
    CatalogueSkill("User research", "outside_world"),
    CatalogueSkill("How younger customers decide", "outside_world", "perspective"),
    CatalogueSkill("Customer voice of younger buyers", "outside_world", "perspective"),
    CatalogueSkill("What competitors do better", "outside_world", "perspective"),
    CatalogueSkill("Sustainability in daily decisions", "outside_world", "perspective"),
    CatalogueSkill("Inclusive language", "people", "perspective"),
    CatalogueSkill("Being the only one in the room", "people", "perspective"),
    CatalogueSkill("Barriers that go unnoticed", "people", "perspective"),
    CatalogueSkill("Who is heard in meetings", "people", "perspective"),
    CatalogueSkill("Working across cultures", "people", "perspective"),
    CatalogueSkill("Caring for family while working", "people", "perspective"),
    CatalogueSkill("Returning after a long break", "people", "perspective"),
    CatalogueSkill("Hybrid work from the junior side", "people", "perspective"),
    CatalogueSkill("What early careers expect from work", "people", "perspective"),
    CatalogueSkill("Feedback culture", "people", "perspective"),
    CatalogueSkill("Newcomer's view of onboarding", "organisation", "perspective"),
    CatalogueSkill("How we look to applicants", "organisation", "perspective"),
    CatalogueSkill("Habits brought from other companies", "organisation", "perspective"),
    CatalogueSkill("Work as it is really done", "organisation", "perspective"),
    CatalogueSkill("Unwritten rules of this organisation", "organisation", "perspective"),
    CatalogueSkill("Company strategy", "organisation"),
    CatalogueSkill("How decisions are made here", "organisation"),
    CatalogueSkill("Budgeting", "organisation"),
    CatalogueSkill("Stakeholder management", "leadership"),
    CatalogueSkill("Leading through change", "leadership"),
    CatalogueSkill("Negotiation", "leadership"),
    CatalogueSkill("Building a career path", "leadership"),
    CatalogueSkill("Presenting to senior people", "leadership"),
)
BY_NAME = {skill.name: skill for skill in SKILLS}

# What seniors usually give back; every template has these, so that learning goes both ways.
_GIVEN_BACK = (
    "Company strategy",
    "How decisions are made here",
    "Budgeting",
    "Stakeholder management",
    "Leading through change",
    "Negotiation",
    "Building a career path",
    "Presenting to senior people",
)

TEMPLATES = (
    Template(
        key="digital_fluency",
        name="Digital fluency",
        summary="Leaders try the tools that their people and customers use every day.",
        purpose="Colleagues who are at home with today's tools sit down with leaders and try them out "
        "together. Leaders decide better about technology that they have used themselves; mentors"
        " learn how decisions are made and are heard by those who make them.",
        skills=(
            "Generative AI tools",
            "Data visualisation",
            "Spreadsheets beyond the basics",
            "Collaboration tools",
            "Automation without code",
            "Privacy in everyday apps",
            "Software development today",
            "Digital accessibility",
            "Social media",
            "Short video",
            "Online communities",
            "User research",
            "Hybrid work from the junior side",
            "Working across cultures",
            "Feedback culture",
            *_GIVEN_BACK,
        ),
    ),
    Template(
        key="inclusion",
        name="Inclusion and participation",
        summary="Leaders hear first-hand what helps people to take part, and what keeps them out.",
        purpose="Leaders learn from colleagues whose everyday experience differs from theirs: what helps "
        "people to take part and be heard, what gets in the way, and what a leader can change "
        "this month. Mentors speak only about what they choose to; nobody is asked to stand for a"
        " group.",
        skills=(
            "Inclusive language",
            "Being the only one in the room",
            "Barriers that go unnoticed",
            "Who is heard in meetings",
            "Working across cultures",
            "Caring for family while working",
            "Returning after a long break",
            "Hybrid work from the junior side",
            "What early careers expect from work",
            "Feedback culture",
            "Digital accessibility",
            "Unwritten rules of this organisation",
            *_GIVEN_BACK,
        ),
    ),
    Template(
        key="customer_insight",
        name="Customer and generation insight",
        summary="Leaders see customers and the market through the eyes of colleagues who are closer to them.",
        purpose="Colleagues who are close to customers, or are such customers themselves, show leaders "
        "how people choose, complain and recommend today. Leaders take what they hear into "
        "product and service decisions and report back what came of it.",
        skills=(
            "How younger customers decide",
            "Customer voice of younger buyers",
            "What competitors do better",
            "Sustainability in daily decisions",
            "Social media",
            "Short video",
            "Online communities",
            "User research",
            "Generative AI tools",
            "Data visualisation",
            "What early careers expect from work",
            "Working across cultures",
            *_GIVEN_BACK,
        ),
    ),
    Template(
        key="newcomer_view",
        name="A newcomer's view",
        summary="People of any age who joined lately tell leaders what still strikes them as odd.",
        purpose="Whoever joined lately still sees what everybody else has stopped noticing. Newcomers of "
        "any age and background share what helped, what confused them and what other companies do"
        " better, before they get used to it. Leaders open doors and explain how this "
        "organisation works.",
        weeks=20,
        # Newcomers teach here whatever their grade, as long as they stand below the leaders.
        mentor_max_rank=20,
        skills=(
            "Newcomer's view of onboarding",
            "How we look to applicants",
            "Habits brought from other companies",
            "Work as it is really done",
            "Unwritten rules of this organisation",
            "What competitors do better",
            "What early careers expect from work",
            "Hybrid work from the junior side",
            "Who is heard in meetings",
            "Feedback culture",
            "Collaboration tools",
            "Working across cultures",
            *_GIVEN_BACK,
        ),
    ),
    Template(
        key="ai_literacy",
        name="AI literacy",
        summary="Leaders learn by doing what AI tools can and cannot do in their own work.",
        purpose="Leaders bring tasks from their own week, and mentors show how AI tools help with them, "
        "where they fail and how to check. Afterwards leaders can judge proposals about AI from "
        "experience, and mentors know how such proposals are weighed.",
        weeks=20,
        skills=(
            "Generative AI tools",
            "Writing good prompts",
            "Checking what an AI says",
            "AI rules and risks at work",
            "Automation without code",
            "Data visualisation",
            "Spreadsheets beyond the basics",
            "Privacy in everyday apps",
            "Software development today",
            "Digital accessibility",
            "Inclusive language",
            "Feedback culture",
            *_GIVEN_BACK,
        ),
    ),
)


def get_template(key: str) -> Template:
    """Give a built-in template.

    :raises InputError: there is none of that name; the message lists those that exist.
    **Touches** pure.
    """
    for template in TEMPLATES:
        if template.key == key:
            return template
    known = ", ".join(template.key for template in TEMPLATES)
    raise InputError("template_unknown", f"There is no template of that name. Choose one of: {known}.")
