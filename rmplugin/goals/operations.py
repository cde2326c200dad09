"""Goals: set, change, follow, review, drop."""

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from rmplugin import jobs
from rmplugin.db import Db
from rmplugin.errors import ConflictError, InputError, NotAllowedError
from rmplugin.goals.models import Goal, GoalProgress, GoalVersion
from rmplugin.goals.queries import FIELDS
from rmplugin.matching.models import Pairing
from rmplugin.matching.queries import lock_active_pairing

LONGEST = timedelta(days=2 * 365)


def add_goal(
    db: Db, pairing: Pairing, values: Mapping[str, Any], person_id: uuid.UUID, now: datetime
) -> Goal:
    """Set a goal of one's own. Its first version is kept unchanged for ever.

    :param values: a value per name in `queries.FIELDS`; `due_on` is a date.
    :raises InputError: the due date lies in the past or more than two years ahead.
    :raises ConflictError: the pairing has ended.
    **Touches** writes goal, goal_version.
    """
    lock_active_pairing(db, pairing.id, person_id)
    _check_due(values, now)
    goal = Goal(pairing_id=pairing.id, owner_id=person_id, state="open", created_at=now)
    db.add(goal)
    db.flush()
    _add_version(db, goal, 1, values, person_id, now)
    return goal


def change_goal(
    db: Db, goal: Goal, values: Mapping[str, Any], person_id: uuid.UUID, now: datetime
) -> GoalVersion:
    """Change a goal's words. The change is a new version; all older ones stay.

    :return: the version that is current now.
    :raises InputError: the due date is changed to one in the past or more than two years ahead.
    :raises ConflictError: the goal is closed, the pairing has ended, or nothing was changed.
    :raises NotAllowedError: it is the partner's goal.
    **Touches** writes goal_version.
    """
    _take_open(db, goal, person_id)
    query = select(GoalVersion).where(GoalVersion.goal_id == goal.id)
    last = db.scalars(query.order_by(GoalVersion.version.desc()).limit(1)).one()
    if all(getattr(last, name) == values[name] for name in FIELDS):
        raise ConflictError("nothing_changed", "Nothing was changed, so no new version was made.")
    if values["due_on"] != last.due_on:
        _check_due(values, now)
    return _add_version(db, goal, last.version + 1, values, person_id, now)


def record_progress(
    db: Db, goal: Goal, person_id: uuid.UUID, attainment: int, note: str, now: datetime
) -> GoalProgress:
    """Write down where one's goal stands.

    :param attainment: -2..2 on the goal's own scale.
    :raises ConflictError: the goal is closed, or the pairing has ended.
    :raises NotAllowedError: it is the partner's goal.
    **Touches** writes goal_progress.
    """
    _take_open(db, goal, person_id)
    return _add_progress(db, goal, person_id, attainment, note, now)


def review_goal(
    db: Db,
    goal: Goal,
    person_id: uuid.UUID,
    attainment: int,
    reason: str | None,
    note: str,
    now: datetime,
    *,
    is_mid: bool = False,
) -> GoalProgress:
    """Compare one's goal now with the beginning; at the end that closes it.

    :param is_mid: it is the comparison half-way, which closes nothing.
    :param reason: what stood in the way, a code of `forms.REASONS`; needed below 0, kept only then.
    :raises InputError: below 0 without a reason.
    :raises ConflictError: the goal is closed already, or the pairing has ended.
    :raises NotAllowedError: it is the partner's goal.
    **Touches** writes goal, goal_progress, outbox_event.
    """
    pairing = _take_open(db, goal, person_id)
    if attainment < 0 and reason is None:
        raise InputError(
            "reason_missing",
            "One answer is missing. Nothing was lost.",
            {"reason": "The goal was not fully reached: please choose what stood in the way most."},
        )
    entry = _add_progress(db, goal, person_id, attainment, note, now)
    entry.reason = reason if attainment < 0 else None
    entry.is_mid, entry.is_review = is_mid, not is_mid
    if is_mid:
        return entry
    goal.state, goal.reviewed_at = "reviewed", now
    jobs.enqueue(
        db, "progress_changed", now, programme_id=str(pairing.programme_id), person_id=str(person_id)
    )
    return entry


def drop_goal(db: Db, goal: Goal, person_id: uuid.UUID) -> None:
    """Give up one's goal. It stays visible to both as dropped.

    :raises ConflictError: the goal is closed already, or the pairing has ended.
    :raises NotAllowedError: it is the partner's goal.
    **Touches** writes goal.
    """
    _take_open(db, goal, person_id)
    goal.state = "dropped"


def _take_open(db: Db, goal: Goal, person_id: uuid.UUID) -> Pairing:
    pairing = lock_active_pairing(db, goal.pairing_id, person_id)
    db.refresh(goal)
    if goal.owner_id != person_id:
        raise NotAllowedError(
            "not_your_goal", "This is the other side's goal: you can read it, and only they can change it."
        )
    if goal.state != "open":
        raise ConflictError(
            "goal_closed", "This goal is closed, so it was left as it is. You can set a new goal instead."
        )
    return pairing


def _check_due(values: Mapping[str, Any], now: datetime) -> None:
    if not now.date() < values["due_on"] <= (now + LONGEST).date():
        raise InputError(
            "due_on",
            "The due date needs a change. Nothing was lost.",
            {"due_on": "Please choose a day after today, within the next two years."},
        )


def _add_version(
    db: Db, goal: Goal, number: int, values: Mapping[str, Any], person_id: uuid.UUID, now: datetime
) -> GoalVersion:
    version = GoalVersion(
        goal_id=goal.id,
        version=number,
        written_by=person_id,
        created_at=now,
        **{name: values[name] for name in FIELDS},
    )
    db.add(version)
    db.flush()
    return version


def _add_progress(
    db: Db, goal: Goal, person_id: uuid.UUID, attainment: int, note: str, now: datetime
) -> GoalProgress:
    entry = GoalProgress(
        goal_id=goal.id, attainment=attainment, note=note, written_by=person_id, created_at=now
    )
    db.add(entry)
    db.flush()
    return entry
