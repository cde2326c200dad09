"""Reads of HR accounts for those who look after them."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import aliased, defer

from rmplugin.db import Db
from rmplugin.errors import NotFoundError
from rmplugin.hris.models import NoticedPerson
from rmplugin.jobs import OutboxEvent
from rmplugin.people.models import Person, RosterRun
from rmplugin.people.queries import ACCEPTED_RUN, newest_run
from rmplugin.tenants.models import HrAccount

# Kinds of outbox events; each payload names the account.
RUN_WANTED = "hris_run_wanted"
CHECK_WANTED = "hris_check_wanted"
PEOPLE_NOTICED = "hris_people_noticed"
DAY = 24 * 60
# More words than anybody ranks by hand; a file does it by `rmplugin hris ranks --file`.
MOST_WORDS = 300
# A page names so many people whom two accounts list.
MOST_DOUBLES = 500


@dataclass(frozen=True, slots=True)
class Word:
    """A word of the source by which people are ranked.

    :ivar count: people in the roster who have it now.
    :ivar rank: 0..100; None while nobody has said.
    """

    word: str
    count: int
    rank: int | None


def get_account(db: Db, hr_account_id: uuid.UUID) -> HrAccount:
    """Give an HR account by its id.

    :raises NotFoundError: the tenant has none of that id.
    **Touches** reads hr_account.
    """
    account = db.get(HrAccount, hr_account_id)
    if account is None:
        raise NotFoundError("HR account")
    return account


def get_run(db: Db, hr_account_id: uuid.UUID, roster_run_id: uuid.UUID) -> RosterRun:
    """Give a run of an account.

    :raises NotFoundError: the account has none of that id.
    **Touches** reads roster_run.
    """
    run = db.get(RosterRun, roster_run_id)
    if run is None or run.account_id != hr_account_id:
        raise NotFoundError("roster run")
    return run


def list_runs(db: Db, hr_account_id: uuid.UUID, limit: int = 20) -> list[tuple[RosterRun, int]]:
    """List the last runs of an account, newest first, each with how many records it skipped.

    **Touches** reads roster_run, without what was skipped.
    """
    query = select(RosterRun, func.json_array_length(RosterRun.skipped)).options(defer(RosterRun.skipped))
    query = query.where(RosterRun.account_id == hr_account_id)
    query = query.order_by(RosterRun.started_at.desc(), RosterRun.id.desc())
    return [(run, skipped) for run, skipped in db.execute(query.limit(limit))]


def find_open_run(db: Db, hr_account_id: uuid.UUID) -> RosterRun | None:
    """Give the run that waits for a person's decision; None when none does. **Touches** reads roster_run."""
    newest = newest_run(db, hr_account_id)
    return newest if newest is not None and newest.status == "held" else None


def count_failures(db: Db, hr_account_id: uuid.UUID) -> int:
    """Count the runs that failed since one last ended otherwise. **Touches** reads roster_run."""
    mine = select(func.count()).where(RosterRun.account_id == hr_account_id, RosterRun.status == "failed")
    good = select(func.max(RosterRun.started_at)).where(
        RosterRun.account_id == hr_account_id, RosterRun.status.not_in(("failed", "running"))
    )
    last_good = db.scalar(good)
    if last_good is not None:
        mine = mine.where(RosterRun.started_at > last_good)
    return db.scalar(mine) or 0


def wait_after(schedule: int, failures: int) -> timedelta:
    """Give the pause before the next planned run: the schedule's, doubled per failure, at most a day.

    :param schedule: minutes; a longer one than a day stays as it is.
    **Touches** pure.
    """
    return timedelta(minutes=max(schedule, min(DAY, schedule << min(failures, 16))))


def newest_runs(db: Db) -> dict[uuid.UUID, RosterRun]:
    """Give the newest run of each account that has one. **Touches** reads roster_run."""
    other = aliased(RosterRun)
    newest = select(func.max(other.started_at)).where(other.account_id == RosterRun.account_id)
    query = select(RosterRun).options(defer(RosterRun.skipped))
    query = query.where(RosterRun.started_at == newest.scalar_subquery())
    return {run.account_id: run for run in db.scalars(query.order_by(RosterRun.id))}


def coverage(run: RosterRun | None) -> list[tuple[str, int]]:
    """Say how many of a reading's people have each field.

    :return: (field, per cent) each, the emptiest first.
    **Touches** pure.
    """
    blanks: dict[str, float] = run.notes.get("blanks", {}) if run is not None else {}
    shares = [(name, round(100 * (1 - share))) for name, share in blanks.items()]
    return sorted(shares, key=lambda pair: (pair[1], pair[0]))


def names_of_leavers(db: Db, person_ids: Sequence[str]) -> list[str]:
    """Name the people who would leave if a held run were accepted. **Touches** reads person."""
    ids = [uuid.UUID(text) for text in person_ids]
    query = select(Person.display_name).where(Person.id.in_(ids))
    return list(db.scalars(query.order_by(func.lower(Person.display_name))))


@dataclass(frozen=True, slots=True)
class Double:
    """Somebody whom two accounts list.

    :ivar other_id, other: the row of the other account, which counts.
    """

    person_id: uuid.UUID
    name: str
    number: str | None
    other_id: uuid.UUID
    other: str
    other_number: str | None
    account: str


def doubles_of(db: Db, hr_account_id: uuid.UUID, limit: int = MOST_DOUBLES) -> list[Double]:
    """List an account's people who are taken for somebody of another account, by name.

    **Touches** reads person, hr_account.
    """
    other = aliased(Person)
    query = (
        select(
            Person.id,
            Person.display_name,
            Person.employee_number,
            other.id,
            other.display_name,
            other.employee_number,
            HrAccount.name,
        )
        .join(other, other.id == Person.same_person_id)
        .join(HrAccount, HrAccount.id == other.account_id)
        .where(Person.account_id == hr_account_id, Person.lifecycle != "tombstoned")
    )
    rows: Iterable[Any] = db.execute(query.order_by(func.lower(Person.display_name), Person.id).limit(limit))
    return [Double(*row) for row in rows]


def get_person(db: Db, hr_account_id: uuid.UUID, person_id: uuid.UUID) -> Person:
    """Give a person of an account.

    :raises NotFoundError: the account has none of that id.
    **Touches** reads person.
    """
    person = db.get(Person, person_id)
    if person is None or person.account_id != hr_account_id:
        raise NotFoundError("person")
    return person


def words_of(db: Db, account: HrAccount, rank_by: str) -> list[Word]:
    """List the words by which an account's people can be ranked: unmapped first, then by frequency.

    Words that differ in case or outer spaces only are one.

    :param rank_by: grade, level or job_title.
    **Touches** reads person.
    """
    known = {fold(word): Word(word, 0, rank) for word, rank in account.grade_ranks.items()}
    for word, count in word_counts(db, account.id, rank_by):
        before = known.get(fold(word), Word(word.strip(), 0, None))
        known[fold(word)] = replace(before, count=before.count + count)
    return sorted(known.values(), key=lambda word: (word.rank is not None, -word.count, word.word))


def word_counts(db: Db, account_id: uuid.UUID, rank_by: str) -> list[tuple[str, int]]:
    """Count the people in an account's roster by a word, as it is written there, the most frequent first.

    **Touches** reads person.
    """
    column = getattr(Person, rank_by)
    query = select(column, func.count()).where(
        Person.account_id == account_id, column.is_not(None), Person.lifecycle != "tombstoned"
    )
    found = [(row[0], row[1]) for row in db.execute(query.group_by(column))]
    return sorted(found, key=lambda pair: (-pair[1], pair[0]))


def fold(word: str) -> str:
    """Fold a word of the source for comparing, as a roster run does. **Touches** pure."""
    return word.strip().casefold()


def noticed_keys(db: Db, account_id: uuid.UUID, limit: int) -> list[tuple[uuid.UUID, str]]:
    """Give (row id, source key) of people who changed and were not fetched since, the oldest first.

    **Touches** reads noticed_person.
    """
    query = select(NoticedPerson.id, NoticedPerson.source_key).where(NoticedPerson.account_id == account_id)
    return [(row[0], row[1]) for row in db.execute(query.order_by(NoticedPerson.id).limit(limit))]


def runs_asked_for(db: Db) -> dict[str, OutboxEvent]:
    """Give the oldest event that asks for a run, by the account's id as text.

    **Touches** reads outbox_event.
    """
    query = select(OutboxEvent).where(
        OutboxEvent.kind.in_((RUN_WANTED, ACCEPTED_RUN)), OutboxEvent.state == "pending"
    )
    return {event.payload["account_id"]: event for event in db.scalars(query.order_by(OutboxEvent.id.desc()))}


def state_of(
    db: Db, account: HrAccount, newest: RosterRun | None, event: OutboxEvent | None, now: datetime
) -> tuple[str, dict[str, Any]]:
    """Say in a word how an account is: new, wanted, running, held, failed or fine, with facts for it.

    :param event: asks for a run of the account.
    **Touches** reads roster_run of one that failed.
    """
    if event is not None:
        return ("running" if event.next_at > now else "wanted"), {"asked_at": event.created_at}
    if newest is None:
        return "new", {}
    if newest.status == "failed":
        return "failed", {"failures": count_failures(db, account.id)}
    return {"running": "running", "held": "held"}.get(newest.status, "fine"), {}
