"""The pairs of a programme on the manager's desk: all of them briefly, in full those that a page shows."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Select, String, Subquery, and_, case, cast, func, select
from sqlalchemy.orm import aliased

from rmplugin.checkins.queries import Health, newest_checkins, not_of, pair_health, read_health
from rmplugin.db import Db
from rmplugin.matching.juniors import is_junior, surely_junior
from rmplugin.matching.models import LIVE, MatchRuleSet, Pairing
from rmplugin.matching.rules import read_book, values_of
from rmplugin.people.models import Person
from rmplugin.programmes.models import Programme
from rmplugin.sessions.models import MentoringSession

# So many pairs are on a page of the desk's table, and so many at most in each list of pairs above it.
PAGE = 25
# Why pairs are on hold; the most urgent first.
HELD = ("reporting_line", "line_gone", "not_at_work")
Ids = Sequence[uuid.UUID] | Select[uuid.UUID]


class PairLine(NamedTuple):
    """How one of all pairs stands.

    :ivar id, mentor, mentee: ids as the database writes them: they are only compared, and making 15,000 ids
        takes longer than reading them.
    """

    id: str
    state: str
    interruption: str | None
    mentor: str
    mentee: str

    @property
    def people(self) -> tuple[str, str]:
        """Give the two."""
        return self.mentor, self.mentee


@dataclass(frozen=True, slots=True)
class PairRow:
    """A pair as the manager sees it: states and counts, never words.

    :ivar health: band of the lower satisfaction of the two; None until both answered, and in one's own pair.
    :ivar is_own: the manager who looks is one of the two.
    """

    id: uuid.UUID
    state: str
    interruption: str | None
    interrupted_at: datetime | None
    mentor: str
    mentee: str
    confirmed: int
    minutes: int
    last_session: datetime | None
    next_session: datetime | None
    health: Health | None
    is_own: bool


@dataclass(frozen=True, slots=True)
class Pairs:
    """The pairs of a programme as the desk shows them.

    :ivar lines: all of them, the newest first.
    :ivar turned: how many have a mentor who is no longer junior to the mentee.
    :ivar rows: the page of the table that was asked for.
    :ivar total: pairs that fit the filter.
    :ivar on_hold: the first pairs that are on hold, those first that ask most urgently.
    :ivar upside_down: the first pairs whose mentor is no longer junior.
    """

    lines: Sequence[PairLine] = ()
    turned: int = 0
    rows: Sequence[PairRow] = ()
    total: int = 0
    page: int = 1
    on_hold: Sequence[PairRow] = ()
    upside_down: Sequence[PairRow] = ()

    @property
    def pages(self) -> int:
        """Give the number of pages."""
        return max(1, -(-self.total // PAGE))


def read_pairs(
    db: Db,
    programme: Programme,
    rule_set: MatchRuleSet | None,
    asked: Mapping[str, Any],
    viewer_id: uuid.UUID | None,
    now: datetime,
) -> Pairs:
    """Read the pairs of a programme for the desk.

    :param rule_set: what the programme goes by, as `rules.values_of` takes it.
    :param asked: which part of the table of pairs, see `forms.PairsQuery`.
    :param viewer_id: who looks; of their own pairs they see no health.
    **Touches** reads pairing, person, mentoring_session, checkin.
    """
    lines = _lines(db, programme.id)
    turned = _upside_down(db, programme, rule_set)
    fit = [line for line in lines if asked["state"] in (None, line.state)]
    if asked["health"] is not None:
        health = pair_health(db, select(Pairing.id).where(Pairing.programme_id == programme.id), viewer_id)
        bands = {key: found.band for key, found in health.items()}
        fit = [line for line in fit if asked["health"] == bands.get(line.id, "none")]
    page = min(asked["page"], max(1, -(-len(fit) // PAGE)))
    shown = [line.id for line in fit[(page - 1) * PAGE : page * PAGE]]
    held = sorted((line for line in lines if line.interruption), key=_urgency)
    on_hold, upside_down = [line.id for line in held[:PAGE]], turned[:PAGE]
    few = [uuid.UUID(key) for key in {*shown, *on_hold, *upside_down}]
    rows = _rows(db, few, viewer_id, now) if few else {}
    parts = [[rows[key] for key in keys] for keys in (shown, on_hold, upside_down)]
    return Pairs(lines, len(turned), parts[0], len(fit), page, *parts[1:])


def all_pairs(db: Db, programme_id: uuid.UUID, viewer_id: uuid.UUID | None, now: datetime) -> list[PairRow]:
    """Give the whole table of pairs, the newest first.

    :param viewer_id: see `read_pairs`.
    **Touches** reads pairing, person, mentoring_session, checkin.
    """
    every = select(Pairing.id).where(Pairing.programme_id == programme_id)
    return list(_rows(db, every, viewer_id, now).values())


def _urgency(line: PairLine) -> int:
    return HELD.index(str(line.interruption))


def _lines(db: Db, programme_id: uuid.UUID) -> list[PairLine]:
    """List all pairs of a programme, the newest first."""
    ids = [cast(column, String) for column in (Pairing.id, Pairing.mentor_id, Pairing.mentee_id)]
    query = (
        select(ids[0], Pairing.state, Pairing.interruption, *ids[1:])
        .where(Pairing.programme_id == programme_id)
        .order_by(Pairing.started_at.desc(), Pairing.id.desc())
    )
    return [PairLine._make(row) for row in db.execute(query)]


def _upside_down(db: Db, programme: Programme, rule_set: MatchRuleSet | None) -> list[str]:
    """List the pairs whose mentor, by today's roster, is not junior to the mentee; the newest first."""
    rules = read_book(programme, values_of(rule_set), rule_set).rules
    mentor, mentee = aliased(Person), aliased(Person)
    facts = [fact for one in (mentor, mentee) for fact in (one.seniority_rank, one.hire_date)]
    query = (
        select(cast(Pairing.id, String), *facts)
        .join(mentor, mentor.id == Pairing.mentor_id)
        .join(mentee, mentee.id == Pairing.mentee_id)
        .where(Pairing.programme_id == programme.id, Pairing.state.in_(LIVE))
        .where(~surely_junior(rules, mentor, mentee))
        .order_by(Pairing.started_at.desc(), Pairing.id.desc())
    )
    return [key for key, *said in db.execute(query) if not is_junior(rules, said[:2], said[2:])]


def _rows(db: Db, pairing_ids: Ids, viewer_id: uuid.UUID | None, now: datetime) -> dict[str, PairRow]:
    """Read pairs in full, few or those of a query, by the id as in `PairLine`; the newest first."""
    mentor, mentee = aliased(Person), aliased(Person)
    sessions, health = _sessions(pairing_ids, now), newest_checkins(pairing_ids, viewer_id)
    counts = [func.coalesce(column, 0) for column in (sessions.c.confirmed, sessions.c.minutes)]
    query = (
        select(
            cast(Pairing.id, String),
            *(Pairing.id, Pairing.state, Pairing.interruption, Pairing.interrupted_at),
            *(mentor.display_name, mentee.display_name, *counts, sessions.c.last, sessions.c.next),
            health.c.said,
            ~not_of(viewer_id),
        )
        .join(mentor, mentor.id == Pairing.mentor_id)
        .join(mentee, mentee.id == Pairing.mentee_id)
        .outerjoin(sessions, sessions.c.pairing_id == Pairing.id)
        .outerjoin(health, health.c.pairing_id == Pairing.id)
        .where(Pairing.id.in_(pairing_ids))
        .order_by(Pairing.started_at.desc(), Pairing.id.desc())
    )
    return {row[0]: PairRow(*(*row[1:-2], read_health(row[-2]), bool(row[-1]))) for row in db.execute(query)}


def _sessions(pairing_ids: Ids, now: datetime) -> Subquery:
    """Count the sessions of pairs, and say when the last was and the next is."""
    met = MentoringSession.state == "confirmed"
    comes = and_(MentoringSession.state == "scheduled", MentoringSession.starts_at >= now)
    minutes = func.coalesce(MentoringSession.counted_minutes, 0)
    return (
        select(
            MentoringSession.pairing_id,
            func.sum(case((met, 1), else_=0)).label("confirmed"),
            func.sum(case((met, minutes), else_=0)).label("minutes"),
            func.max(case((met, MentoringSession.starts_at))).label("last"),
            func.min(case((comes, MentoringSession.starts_at))).label("next"),
        )
        .where(MentoringSession.pairing_id.in_(pairing_ids))
        .group_by(MentoringSession.pairing_id)
        .subquery()
    )
