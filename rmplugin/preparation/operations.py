"""Verbs of the preparation: finish a module, switch the gate, remind, supervision groups."""

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select

from rmplugin import audit, notify
from rmplugin.db import Db
from rmplugin.errors import ConflictError, InputError, NotFoundError
from rmplugin.matching.models import Pairing
from rmplugin.preparation import queries
from rmplugin.preparation.models import PreparationRule, PreparationStep, SupervisionGroup, SupervisionSeat
from rmplugin.programmes.models import Programme
from rmplugin.texts import Text

REMIND_EVERY = timedelta(days=3)
DAY_BEFORE = timedelta(hours=24)
PLAN_WITHIN = timedelta(days=366)


def finish(db: Db, person_id: uuid.UUID, module: str, now: datetime) -> None:
    """Note that somebody has worked through a module; a second time changes nothing.

    :param module: a key of `catalogue.BY_KEY`.
    **Touches** writes preparation_step.
    """
    query = select(PreparationStep.id).where(
        PreparationStep.person_id == person_id, PreparationStep.module == module
    )
    if db.scalars(query).one_or_none() is None:
        db.add(PreparationStep(person_id=person_id, module=module, done_at=now))
        db.flush()


def require_ready(db: Db, pairing: Pairing) -> None:
    """Let a first session be planned only when both are ready, if the programme asks for it.

    :raises ConflictError: somebody is not; the texts do not say who.
    **Touches** what `queries.not_ready` touches.
    """
    if queries.not_ready(db, pairing):
        raise ConflictError(
            "preparation_first",
            "Before your first session, both of you work through the preparation. It takes about twenty "
            "minutes and stands on your home page. Nothing was lost: plan the session when both are ready.",
        )


def set_gate(db: Db, programme: Programme, actor: str, now: datetime, *, gate: bool) -> None:
    """Say whether first sessions wait for the preparation of both.

    **Touches** writes preparation_rule, audit_entry.
    """
    rule = _hold_rule(db, programme)
    if rule.gate != gate:
        rule.gate = gate
        audit.record(db, actor, "preparation.gate", programme.id, now, gate=gate)


def remind(db: Db, programme: Programme, actor: str, now: datetime) -> None:
    """Remind everybody who takes part and is not ready. Whom it reached is told to nobody.

    :raises ConflictError: they were reminded within the last three days.
    **Touches** writes preparation_rule, notice, audit_entry.
    """
    rule = _hold_rule(db, programme)
    if rule.reminded_at is not None and now - rule.reminded_at < REMIND_EVERY:
        raise ConflictError(
            "reminded_lately",
            "They were reminded within the last three days. Nobody was reminded again: it should stay kind.",
        )
    rule.reminded_at = now
    page = f"/programmes/{programme.id}/preparation"
    text = Text(
        "A short preparation for your first session in “%(name)s” waits for you: a few minutes each, when "
        "it suits you.",
        name=programme.name,
    )
    told = [(person, text, page) for person in queries.list_not_ready(db, programme.id)]
    notify.tell_all(db, "preparation_reminder", told, now, [page])
    audit.record(db, actor, "preparation.remind", programme.id, now)


def _hold_rule(db: Db, programme: Programme) -> PreparationRule:
    rule = queries.rule_of(db, programme.id)
    if rule is None:
        rule = PreparationRule(programme_id=programme.id, gate=False, reminded_at=None)
        db.add(rule)
        db.flush()
    return rule


def plan_group(
    db: Db, programme: Programme, values: Mapping[str, Any], actor: str, now: datetime
) -> SupervisionGroup:
    """Offer a date at which the mentors, or the mentees, of a programme talk about how it goes.

    :param values: as `forms.GroupForm` loads them.
    :raises InputError: it lies in the past or more than a year ahead.
    **Touches** writes supervision_group, audit_entry.
    """
    if not now < values["starts_at"] <= now + PLAN_WITHIN:
        raise InputError(
            "group_date",
            "The date needs a change. Nothing was lost.",
            {"on": "Please choose a day within the next twelve months."},
        )
    group = SupervisionGroup(
        programme_id=programme.id,
        created_by=actor,
        created_at=now,
        cancelled_at=None,
        reminded_at=None,
        **values,
    )
    db.add(group)
    db.flush()
    audit.record(db, actor, "supervision_group.plan", group.id, now)
    return group


def cancel_group(db: Db, group: SupervisionGroup, actor: str, now: datetime) -> None:
    """Call a group off, and tell those who joined; a second time changes nothing.

    **Touches** writes supervision_group, notice, audit_entry.
    """
    if group.cancelled_at is not None:
        return
    group.cancelled_at = now
    _tell_joined(db, group, "The supervision group that you joined does not take place.", now)
    audit.record(db, actor, "supervision_group.cancel", group.id, now)


def join(db: Db, group: SupervisionGroup, person_id: uuid.UUID, now: datetime) -> None:
    """Take a seat in a group; a second time changes nothing.

    :raises NotFoundError: the group is for other people.
    :raises ConflictError: it is full, over or called off.
    **Touches** locks and reads supervision_group; writes supervision_seat.
    """
    enrolment = queries.get_enrolment(db, group.programme_id, person_id)
    if enrolment.role != group.role or enrolment.state not in queries.TAKES_PART:
        raise NotFoundError("group")
    # Two who want the last seat stand in line here.
    db.refresh(group, with_for_update=True)
    seats = queries.seats_of(db, group.id)
    if any(seat.person_id == person_id for seat in seats):
        return
    if group.cancelled_at is not None or group.starts_at <= now:
        raise ConflictError("group_over", "This group does not take place any more. Nothing was changed.")
    if len(seats) >= group.capacity:
        raise ConflictError("group_full", "The last seat was taken a moment ago. Nothing was changed.")
    db.add(SupervisionSeat(group_id=group.id, person_id=person_id, joined_at=now))
    db.flush()


def leave(db: Db, group: SupervisionGroup, person_id: uuid.UUID) -> None:
    """Give one's seat back; without a seat, nothing changes. **Touches** writes supervision_seat."""
    db.execute(
        delete(SupervisionSeat).where(
            SupervisionSeat.group_id == group.id, SupervisionSeat.person_id == person_id
        )
    )


def remind_due(db: Db, now: datetime) -> int:
    """Remind those who joined a group that begins within a day, once.

    :return: of how many groups.
    **Touches** writes supervision_group, notice.
    """
    query = select(SupervisionGroup).where(
        SupervisionGroup.reminded_at.is_(None),
        SupervisionGroup.cancelled_at.is_(None),
        SupervisionGroup.starts_at > now,
        SupervisionGroup.starts_at <= now + DAY_BEFORE,
    )
    groups = db.scalars(query.with_for_update(skip_locked=True)).all()
    for group in groups:
        group.reminded_at = now
        _tell_joined(db, group, "The supervision group that you joined meets within a day.", now)
    return len(groups)


def _tell_joined(db: Db, group: SupervisionGroup, text: str, now: datetime) -> None:
    page = f"/programmes/{group.programme_id}/preparation"
    for seat in queries.seats_of(db, group.id):
        notify.tell(db, seat.person_id, "supervision_group", text, now, page)
