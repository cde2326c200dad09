"""Reads about goals."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Select, func, select

from rmplugin.db import Db
from rmplugin.errors import NotFoundError
from rmplugin.goals.forms import THEMES
from rmplugin.goals.models import Goal, GoalProgress, GoalVersion
from rmplugin.matching.models import LIVE, Pairing
from rmplugin.matching.queries import get_pairing_of
from rmplugin.people.models import PersonSkill, Skill
from rmplugin.privacy import in_steps
from rmplugin.programmes.catalogue import THEMES as WANTED_THEMES
from rmplugin.programmes.models import ProgrammeSkill

# Names of the five level texts, worst first, with the level that each describes.
LEVEL_FIELDS = {
    -2: "level_minus_2",
    -1: "level_minus_1",
    0: "level_0",
    1: "level_plus_1",
    2: "level_plus_2",
}
FIELDS = ("theme", "weight", "title", "baseline", *LEVEL_FIELDS.values(), "due_on")


@dataclass(frozen=True)
class GoalStory:
    """A goal with its words and its way.

    :ivar versions: oldest first; the first one is what outcomes are compared with.
    :ivar progress: oldest first.
    """

    goal: Goal
    versions: Sequence[GoalVersion]
    progress: Sequence[GoalProgress]

    @property
    def first(self) -> GoalVersion:
        """Give the initial goal."""
        return self.versions[0]

    @property
    def current(self) -> GoalVersion:
        """Give the goal as it reads now."""
        return self.versions[-1]

    @property
    def latest(self) -> GoalProgress | None:
        """Give the newest progress entry; None before the first."""
        return self.progress[-1] if self.progress else None

    @property
    def review(self) -> GoalProgress | None:
        """Give the closing comparison; None before it."""
        return next((entry for entry in reversed(self.progress) if entry.is_review), None)

    @property
    def mid(self) -> GoalProgress | None:
        """Give the newest comparison half-way; None before it."""
        return next((entry for entry in reversed(self.progress) if entry.is_mid), None)

    def words_of(self, entry: GoalProgress) -> str:
        """Say what an entry's level means: comparisons go by the initial goal, others by that of then."""
        then = [version for version in self.versions if version.created_at <= entry.created_at]
        is_comparison = entry.is_review or entry.is_mid or not then
        return level_text(self.first if is_comparison else then[-1], entry.attainment)

    def is_half_way(self, today: date) -> bool:
        """Tell whether half of the goal's time is over and nobody has compared yet."""
        begins = self.first.created_at.date()
        half = begins + (self.current.due_on - begins) / 2
        return self.goal.state == "open" and self.mid is None and half <= today < self.current.due_on


def level_text(version: GoalVersion, level: int) -> str:
    """Give what a level means for this goal.

    :param level: -2..2.
    **Touches** pure.
    """
    return str(getattr(version, LEVEL_FIELDS[level]))


def list_goals(db: Db, pairing_id: uuid.UUID) -> list[GoalStory]:
    """List a pairing's goals, both people's, oldest first, with versions and progress.

    Only for the two people of the pairing: the caller has checked that.
    **Touches** reads goal, goal_version, goal_progress.
    """
    query = select(Goal).where(Goal.pairing_id == pairing_id).order_by(Goal.created_at, Goal.id)
    return _stories(db, query)


def list_goals_of(db: Db, person_id: uuid.UUID) -> list[GoalStory]:
    """List a person's own goals over all their pairings, the newest first, with versions and progress.

    **Touches** reads goal, goal_version, goal_progress.
    """
    query = select(Goal).where(Goal.owner_id == person_id)
    return _stories(db, query.order_by(Goal.created_at.desc(), Goal.id))


def get_goal_of(db: Db, goal_id: uuid.UUID, person_id: uuid.UUID) -> tuple[GoalStory, Pairing]:
    """Give a goal and its pairing to one of the two people.

    :raises NotFoundError: there is no such goal, or it is not of a pairing of theirs.
    **Touches** reads goal, goal_version, goal_progress, pairing.
    """
    found = _stories(db, select(Goal).where(Goal.id == goal_id))
    if not found:
        raise NotFoundError("goal")
    return found[0], get_pairing_of(db, found[0].goal.pairing_id, person_id)


def count_themes(db: Db, programme_id: uuid.UUID) -> tuple[dict[str, int | None], int | None]:
    """Count, for managers, mentees of live pairings by the themes of their goals; in steps of five.

    Somebody can have goals of several themes, so that the counts have no sum to be taken from.

    :return: theme -> mentees with a goal of it, and how many mentees have no goal.
    **Touches** reads goal, goal_version, pairing.
    """
    live = select(Pairing.mentee_id).where(Pairing.programme_id == programme_id, Pairing.state.in_(LIVE))
    query = (
        select(Goal.id, Goal.owner_id, GoalVersion.theme)
        .join(Goal, Goal.id == GoalVersion.goal_id)
        .join(Pairing, Pairing.id == Goal.pairing_id)
        .where(Pairing.programme_id == programme_id, Pairing.state.in_(LIVE))
        .where(Goal.owner_id == Pairing.mentee_id, Goal.state != "dropped")
        .order_by(GoalVersion.version)
    )
    # The newest version of each goal comes last.
    newest = {row.id: (row.theme, row.owner_id) for row in db.execute(query)}
    people: dict[str, set[uuid.UUID]] = {theme: set() for theme in THEMES}
    for theme, owner in newest.values():
        people[theme].add(owner)
    without = set(db.scalars(live)) - set().union(*people.values())
    return {theme: in_steps(len(found)) for theme, found in people.items()}, in_steps(len(without))


def count_wanted(db: Db, programme_id: uuid.UUID) -> dict[str, int | None]:
    """Count, for managers, mentees of live pairings by the themes of what they wanted to learn at sign-up.

    Everybody who signs up wants to learn something, so that each of them is in it at least once; counts go in
    steps of five.

    :return: theme of `programmes.catalogue.THEMES` -> mentees.
    **Touches** reads pairing, person_skill, skill, programme_skill.
    """
    query = (
        select(Skill.theme, func.count(PersonSkill.person_id.distinct()))
        .join(PersonSkill, PersonSkill.skill_id == Skill.id)
        .join(ProgrammeSkill, ProgrammeSkill.skill_id == Skill.id)
        .join(Pairing, Pairing.mentee_id == PersonSkill.person_id)
        .where(Pairing.programme_id == programme_id, Pairing.state.in_(LIVE))
        .where(ProgrammeSkill.programme_id == programme_id, PersonSkill.direction == "wanted")
        .group_by(Skill.theme)
    )
    found = {row[0]: row[1] for row in db.execute(query)}
    return {theme: in_steps(found.get(theme, 0)) for theme in WANTED_THEMES}


def _stories(db: Db, query: Select[Goal]) -> list[GoalStory]:
    """Give the goals of a query, in its order, with their versions and progress."""
    goals: dict[uuid.UUID, Goal] = {}
    versions: dict[uuid.UUID, list[GoalVersion]] = {}
    of_goal = GoalVersion.goal_id == Goal.id
    both: Select[Any] = query.add_columns(GoalVersion).join(GoalVersion, of_goal)
    for goal, version in db.execute(both.order_by(GoalVersion.version)):
        goals[goal.id] = goal
        versions.setdefault(goal.id, []).append(version)
    progress: dict[uuid.UUID, list[GoalProgress]] = {goal_id: [] for goal_id in goals}
    entries = select(GoalProgress).where(GoalProgress.goal_id.in_(list(goals)))
    for entry in db.scalars(entries.order_by(GoalProgress.created_at, GoalProgress.id)):
        progress[entry.goal_id].append(entry)
    return [GoalStory(goal, versions[key], progress[key]) for key, goal in goals.items()]
