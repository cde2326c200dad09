"""The words of the record that a person takes along, in the order in which they are printed."""

from collections.abc import Callable, Iterable, Iterator
from datetime import date

from rmplugin.goals.queries import GoalStory
from rmplugin.leaving.queries import Record
from rmplugin.texts import Text, duration, texts

LEVELS = texts(
    {
        -2: "−2, much less than hoped",
        -1: "−1, less than hoped",
        0: "0, as hoped",
        1: "+1, more than hoped",
        2: "+2, much more than hoped",
    }
)
ROLES = texts(
    {
        "mentor": "Mentor: %(name)s taught a senior colleague.",
        "mentee": "Mentee: %(name)s learned from a junior colleague.",
    }
)


def lines_of(
    record: Record, done: Iterable[tuple[str, str]], day: Callable[[date], str]
) -> Iterator[tuple[str, str]]:
    """Give the lines of a record: how each is printed (title, heading, text or quote), and its words.

    :param done: what was taken on and done, and what became of it, "" for nothing said.
    :param day: writes a day for people.
    **Touches** pure.
    """
    name = record.name
    yield "title", Text("What I reached with reverse mentoring")
    yield "heading", name
    yield "text", record.programme.name
    roles = {pairing.role_of(record.person_id) for pairing, _partner in record.pairings}
    for role in sorted(str(role) for role in roles):
        yield "text", Text(ROLES[role].template, name=name)
    yield "text", Text("Began on %(day)s.", day=day(record.began_at.date()))
    if record.completion is not None and record.completion.met_at is not None:
        yield "text", Text("Completed on %(day)s.", day=day(record.completion.met_at.date()))
    yield "heading", Text("Time given to each other")
    together = duration(record.minutes)
    yield "text", Text("Sessions that count: %(n)s. Together %(t)s.", n=record.sessions, t=together)
    if record.goals:
        yield "heading", Text("My goals, then and now")
    for story in record.goals:
        yield from _goal(story)
    for number, (words, outcome) in enumerate(done):
        if not number:
            yield "heading", Text("What I took on and did")
        yield "subheading", words
        if outcome:
            yield "text", outcome
    kept = [entry for entry in record.kudos if entry.thanks.is_kept]
    if kept:
        yield "heading", Text("What I was thanked for")
    for entry in kept:
        yield "quote", entry.thanks.text
        yield "text", f"{entry.giver}, {day(entry.thanks.created_at.date())}"


def _goal(story: GoalStory) -> Iterator[tuple[str, str]]:
    if not story.versions:
        return
    yield "subheading", story.current.title
    if story.first.title != story.current.title:
        yield "text", Text("The goal at first: %(words)s", words=story.first.title)
    yield "text", Text("Where it started: %(words)s", words=story.first.baseline)
    if story.latest is None:
        yield "text", Text("No progress written down yet.")
        return
    reached = story.latest.attainment
    yield (
        "text",
        Text("Now: %(level)s. %(words)s", level=LEVELS[reached], words=story.words_of(story.latest)),
    )
    if story.latest.note:
        yield "quote", story.latest.note
