"""Reads about leaving: thanks, what a person takes along, and what a manager may know about ends."""

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

from sqlalchemy import or_, select

from rmplugin.credits.models import Completion
from rmplugin.credits.queries import began_at, completion_of, ledger_history
from rmplugin.db import Db
from rmplugin.errors import NotFoundError
from rmplugin.goals.queries import GoalStory, list_goals_of
from rmplugin.leaving.models import Thanks
from rmplugin.matching.models import PROGRAMME_OVER, Closure, Pairing
from rmplugin.notes.models import ActionItem
from rmplugin.notes.queries import done_items
from rmplugin.people.queries import display_names
from rmplugin.privacy import LEAST_FOR_COUNT, safe_counts
from rmplugin.programmes.models import Enrolment, Programme
from rmplugin.programmes.queries import get_programme


@dataclass(frozen=True, slots=True)
class Kudos:
    """A thank-you with the name of who gave it."""

    thanks: Thanks
    giver: str


@dataclass(frozen=True, slots=True)
class Record:
    """What a person takes along from a programme: their own words and numbers, and thanks given to them.

    :ivar began_at: see `credits.queries.began_at`.
    :ivar pairings: theirs in the programme, the oldest first, each with the name of the partner.
    :ivar sessions: confirmed ones that count; `minutes`: their minutes.
    :ivar completion: None before anything happened.
    :ivar goals: their own, in their own words.
    :ivar done: what they took on and did; a mentee's are commitments.
    :ivar kudos: all that were delivered to them; only those that are kept are printed.
    """

    person_id: uuid.UUID
    name: str
    programme: Programme
    began_at: datetime
    pairings: Sequence[tuple[Pairing, str]]
    completion: Completion | None
    sessions: int
    minutes: int
    goals: Sequence[GoalStory]
    done: Sequence[ActionItem]
    kudos: Sequence[Kudos]

    @property
    def is_complete(self) -> bool:
        """Tell whether every criterion is met."""
        return self.completion is not None and self.completion.met_at is not None


def thanks_given(db: Db, pairing_id: uuid.UUID, person_id: uuid.UUID) -> Thanks | None:
    """Give the thank-you that somebody gave in a pairing; None for none. **Touches** reads thanks."""
    query = select(Thanks).where(Thanks.pairing_id == pairing_id, Thanks.giver_id == person_id)
    return db.scalars(query).one_or_none()


def kudos_of(
    db: Db, person_id: uuid.UUID, pairing_ids: Sequence[uuid.UUID], names: Mapping[uuid.UUID, str]
) -> list[Kudos]:
    """List the thanks that were delivered to a person in some pairings, the oldest first.

    :param names: of the partners in these pairings.
    **Touches** reads thanks.
    """
    query = select(Thanks).where(
        Thanks.receiver_id == person_id,
        Thanks.pairing_id.in_(pairing_ids),
        Thanks.delivered_at.is_not(None),
        Thanks.text != "",  # Words go when their time is over.
    )
    rows = db.scalars(query.order_by(Thanks.delivered_at, Thanks.id)).all()
    return [Kudos(row, names[row.giver_id]) for row in rows]


def record_of(db: Db, programme_id: uuid.UUID, person_id: uuid.UUID) -> Record:
    """Gather what a person takes along from a programme. Nothing in it was written by a partner but thanks.

    :raises NotFoundError: there is no such programme, or the person has had no pairing in it.
    **Touches** reads programme, person, pairing, completion, credit_entry, goal, action_item,
    thanks.
    """
    programme = get_programme(db, programme_id)
    own = or_(Pairing.mentor_id == person_id, Pairing.mentee_id == person_id)
    query = select(Pairing).where(Pairing.programme_id == programme_id, own)
    pairings = db.scalars(query.order_by(Pairing.started_at, Pairing.id)).all()
    if not pairings:
        raise NotFoundError("record")
    names = display_names(db, {person_id, *(row.partner_of(person_id) for row in pairings)})
    history = ledger_history(db, programme_id, person_id)
    ids = [row.id for row in pairings]
    goals = [
        story
        for story in list_goals_of(db, person_id)
        if story.goal.pairing_id in ids and story.goal.state != "dropped"
    ]
    return Record(
        person_id=person_id,
        name=names[person_id],
        programme=programme,
        began_at=began_at((row.started_at for row in pairings), history, programme),
        pairings=[(row, names[row.partner_of(person_id)]) for row in pairings],
        completion=completion_of(db, programme_id, person_id),
        sessions=history.sessions,
        minutes=history.minutes,
        goals=[_own_words(story, person_id) for story in reversed(goals)],
        done=done_items(db, person_id, ids),
        kudos=kudos_of(db, person_id, ids, names),
    )


def _own_words(story: GoalStory, person_id: uuid.UUID) -> GoalStory:
    """Leave out of a goal what somebody else wrote."""
    return GoalStory(
        story.goal,
        [version for version in story.versions if version.written_by == person_id],
        [entry for entry in story.progress if entry.written_by == person_id],
    )


@dataclass(frozen=True, slots=True)
class Ends:
    """What a manager may know about the ends of a programme's pairs: numbers about five pairs and more.

    :ivar counted: ends that are counted, a multiple of five; 0 when fewer have ended.
    :ivar reasons: code -> how many of them gave it, the most frequent first; only counts that may be shown.
    :ivar hides: whether other reasons were given, each too seldom to be shown.
    :ivar waits: people who wanted another partner; None for fewer than five.
    :ivar median_days: days after which half of them had one; None when fewer than half have.
    """

    counted: int
    reasons: Mapping[str, int]
    hides: bool
    waits: int | None
    median_days: int | None


def ends_of(db: Db, programme_id: uuid.UUID, now: datetime) -> Ends:
    """Sum up the early ends of a programme.

    Whoever looks often must not see what the newest end changed, so that ends count in groups of five.

    **Touches** reads pairing, closure, enrolment.
    """
    query = (
        select(Pairing.ended_at, Closure.reasons)
        .outerjoin(Closure, Closure.pairing_id == Pairing.id)
        .where(Pairing.programme_id == programme_id, Pairing.state == "ended")
    )
    ended = db.execute(query.order_by(Pairing.ended_at, Pairing.id)).all()
    rows = [row for row in ended if PROGRAMME_OVER not in (row.reasons or ())]
    counted = rows[: len(rows) - len(rows) % LEAST_FOR_COUNT]
    given = Counter(reason for row in counted for reason in set(row.reasons or ()))
    shown = {reason: count for reason, count in safe_counts(given).cells.items() if count is not None}
    until = counted[-1].ended_at if counted else None
    spans = _waits(db, programme_id, until, now) if until else []
    enough = len(spans) >= LEAST_FOR_COUNT
    return Ends(
        counted=len(counted),
        reasons=dict(sorted(shown.items(), key=lambda item: (-item[1], item[0]))),
        hides=len(shown) < len(given),
        waits=len(spans) if enough else None,
        median_days=median_wait(spans) if enough else None,
    )


def _waits(db: Db, programme_id: uuid.UUID, until: datetime, now: datetime) -> list[tuple[timedelta, bool]]:
    """Give how long people waited for another partner after an end, and whether they have one.

    Who left or pauses without another partner wants none.
    """
    enrolled = select(Enrolment.person_id, Enrolment.state).where(Enrolment.programme_id == programme_id)
    states = {row.person_id: row.state for row in db.execute(enrolled)}
    query = select(Pairing).where(Pairing.programme_id == programme_id)
    pairings = db.scalars(query.order_by(Pairing.started_at, Pairing.id)).all()
    starts: dict[uuid.UUID, list[datetime]] = {}
    for pairing in pairings:
        for person in (pairing.mentor_id, pairing.mentee_id):
            starts.setdefault(person, []).append(pairing.started_at)
    spans = []
    for pairing in pairings:
        if pairing.state != "ended" or pairing.ended_at is None or pairing.ended_at > until:
            continue
        for person in (pairing.mentor_id, pairing.mentee_id):
            again = next((start for start in starts[person] if start > pairing.ended_at), None)
            if again is not None or states.get(person) == "submitted":
                spans.append(((again or now) - pairing.ended_at, again is not None))
    return spans


def median_wait(spans: Sequence[tuple[timedelta, bool]]) -> int | None:
    """Estimate after how many days half of the people have another partner; who waits counts as waiting.

    :param spans: (time, whether it ended with another partner).
    :return: whole days; None when so far fewer than half have one.
    **Source** Kaplan and Meier 1958. **Touches** pure.
    """
    waiting = Fraction(1)
    at_risk = len(spans)
    # Of those who are matched and those who still wait after the same time, the matched come first.
    for time, matched in sorted(spans, key=lambda span: (span[0], not span[1])):
        if matched:
            waiting *= Fraction(at_risk - 1, at_risk)
            if waiting <= Fraction(1, 2):
                return time.days
        at_risk -= 1
    return None
