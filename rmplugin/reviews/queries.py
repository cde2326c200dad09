"""Reads about what became of pairs, and about matchmaking reviews."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import aliased

from rmplugin.db import Db
from rmplugin.errors import NotFoundError
from rmplugin.matching import rules
from rmplugin.matching.models import PROGRAMME_OVER, Closure, MatchRun, Pairing, Proposal
from rmplugin.people.models import CourseMember, LtiUser, Person
from rmplugin.programmes.models import Programme
from rmplugin.reviews.models import OPEN, MatchmakingReview
from rmplugin.reviews.outcomes import Outcome, judge, telling_reason

TENURE_YEARS = (1, 3, 10)
RANK_STEPS = (20, 40)
SHARE_STEPS = (1 / 3, 2 / 3)
SHARE_WORDS = ("low", "middle", "high")
FEW_MINUTES = 10 * 60
DAYS_OF_A_YEAR = 365.25


def is_over(programme: Programme, today: date) -> bool:
    """Tell whether a programme has ended, so that what lasted until now has lasted. **Touches** pure."""
    return programme.state == "archived" or programme.ends_on < today


def length_of(programme: Programme) -> timedelta:
    """Give how long a pair of a programme is meant to last. **Touches** pure."""
    return programme.ends_on - programme.starts_on


def outcomes_of(db: Db, programme: Programme, now: datetime, *conditions: Any) -> list[Outcome]:
    """Give what became of the pairs of a programme, in the order of their starts.

    :param conditions: on `Pairing`, `Proposal` and `MatchRun`.
    **Touches** reads pairing, proposal, match_run, closure, person.
    """
    query = _pairs().where(Pairing.programme_id == programme.id, *conditions)
    over = is_over(programme, now.date())
    rows = db.execute(query.order_by(Pairing.started_at, Pairing.id))
    return [_outcome(row, is_over=over) for row in rows]


def _pairs() -> Select[Any]:
    mentor, mentee = aliased(Person), aliased(Person)
    return (
        select(
            Pairing.id,
            Pairing.state,
            Pairing.started_at,
            Pairing.ended_at,
            Closure.reasons.label("closing"),
            Proposal.score,
            Proposal.contributions,
            Proposal.reasons,
            MatchRun.weights,
            MatchRun.rule_set_version,
            mentor.department.label("mentor_department"),
            mentor.location.label("mentor_site"),
            mentor.hire_date.label("mentor_hired"),
            mentor.seniority_rank.label("mentor_rank"),
            mentee.department.label("mentee_department"),
            mentee.location.label("mentee_site"),
            mentee.seniority_rank.label("mentee_rank"),
        )
        .join(Proposal, Proposal.id == Pairing.proposal_id)
        .join(MatchRun, MatchRun.id == Proposal.run_id)
        .join(mentor, mentor.id == Pairing.mentor_id)
        .join(mentee, mentee.id == Pairing.mentee_id)
        .outerjoin(Closure, Closure.pairing_id == Pairing.id)
    )


def _outcome(row: Any, *, is_over: bool) -> Outcome:
    reason = telling_reason(row.closing or ())
    result = judge(row.state, reason, is_over=is_over)
    lasted = row.state == "completed" or reason == PROGRAMME_OVER
    most = {name: int(row.weights.get(name) or 0) for name in row.contributions}
    shares = {name: int(row.contributions[name]) / most[name] for name in most if most[name] > 0}
    total = sum(most.values())
    return Outcome(
        pair=str(row.id),
        result=result,
        reason=reason if result == "failed" else None,
        started_at=row.started_at,
        ended_at=None if lasted else row.ended_at,
        segments=dict(_segments(row, shares)),
        shares=shares,
        score=row.score / total if total else None,
    )


def _segments(row: Any, shares: Mapping[str, float]) -> Iterable[tuple[str, str]]:
    """Name the segments that a pair is in. None of them is a trait that the law protects."""
    for kind in ("mentor_department", "mentee_department", "mentor_site", "mentee_site"):
        if getattr(row, kind):
            yield kind, getattr(row, kind)
    if row.mentor_hired:
        years = (row.started_at.date() - row.mentor_hired).days / DAYS_OF_A_YEAR
        yield "mentor_tenure", _band(years, TENURE_YEARS)
    if row.mentor_rank is not None and row.mentee_rank is not None:
        yield "rank_gap", _band(row.mentee_rank - row.mentor_rank, RANK_STEPS)
    if row.rule_set_version is not None:
        yield "rule_set", str(row.rule_set_version)
    for name in ("coverage", "learning"):
        if name in shares:
            yield name, SHARE_WORDS[sum(shares[name] >= step for step in SHARE_STEPS)]
    if "languages" in row.reasons:
        yield "languages", "one" if len(row.reasons["languages"]) < 2 else "several"
    if "common_minutes" in row.reasons:
        yield "common_hours", "few" if row.reasons["common_minutes"] < FEW_MINUTES else "many"


def _band(value: float, steps: Sequence[int]) -> str:
    """Write the band of a number: "<20", "20-40", "40+"."""
    above = [step for step in steps if value >= step]
    if not above:
        return f"<{steps[0]}"
    return f"{above[-1]}+" if above[-1] == steps[-1] else f"{above[-1]}-{steps[len(above)]}"


def earlier_programmes(db: Db, programme: Programme) -> Sequence[Programme]:
    """List the programmes of the same course that began before; none for one outside of courses.

    **Touches** reads programme.
    """
    return _same_course(db, programme, Programme.starts_on < programme.starts_on)


def later_programmes(db: Db, programme: Programme) -> Sequence[Programme]:
    """List the programmes of the same course that began after; none for one outside of courses.

    **Touches** reads programme.
    """
    return _same_course(db, programme, Programme.starts_on > programme.starts_on)


def programmes_to_change(db: Db, programme: Programme) -> list[Programme]:
    """List the programmes of the course that a review of this one can change, the likeliest first.

    Those that began later, the newest first, and the programme itself; without those that are archived.

    **Touches** reads programme.
    """
    found = (*reversed(later_programmes(db, programme)), programme)
    return [one for one in found if one.state != "archived"]


def versions_of(db: Db, programme: Programme) -> tuple[int, int]:
    """Give the version of a programme's rules in force, 0 before its first matching, and the next one.

    **Touches** reads match_rule_set.
    """
    known = rules.list_rule_sets(db, programme.id)
    in_force = next((row.version for row in known if row.state == "live"), 0)
    draft = next((row.version for row in known if row.state == "draft"), None)
    return in_force, draft or in_force + 1


def _same_course(db: Db, programme: Programme, *conditions: Any) -> Sequence[Programme]:
    if programme.context_id is None:
        return []
    query = select(Programme).where(Programme.context_id == programme.context_id, *conditions)
    return db.scalars(query.order_by(Programme.starts_on, Programme.id)).all()


def newest_run(db: Db, programme_id: uuid.UUID) -> MatchRun | None:
    """Find the newest run of a programme that was computed.

    **Touches** reads match_run.
    """
    query = select(MatchRun).where(
        MatchRun.programme_id == programme_id, MatchRun.state.in_(("solved", "released", "dropped"))
    )
    return db.scalars(query.order_by(MatchRun.created_at.desc(), MatchRun.id.desc()).limit(1)).first()


def get_review(db: Db, review_id: uuid.UUID) -> MatchmakingReview:
    """Give a review.

    :raises NotFoundError: this tenant has no such review.
    **Touches** reads matchmaking_review.
    """
    query = select(MatchmakingReview).where(MatchmakingReview.id == review_id)
    review = db.scalars(query).one_or_none()
    if review is None:
        raise NotFoundError("matchmaking review")
    return review


def list_reviews(db: Db, programme_id: uuid.UUID) -> Sequence[MatchmakingReview]:
    """List the reviews of a programme, the newest first.

    **Touches** reads matchmaking_review.
    """
    query = select(MatchmakingReview).where(MatchmakingReview.programme_id == programme_id)
    newest = query.order_by(MatchmakingReview.opened_at.desc(), MatchmakingReview.id.desc())
    return db.scalars(newest).all()


def count_open(programme_id: uuid.UUID) -> Select[int]:
    """Count the reviews of a programme that wait for a decision, as a part of a larger statement.

    **Touches** pure.
    """
    return select(func.count(MatchmakingReview.id)).where(
        MatchmakingReview.programme_id == programme_id, MatchmakingReview.state.in_(OPEN)
    )


def managers_of(db: Db, programme: Programme) -> list[uuid.UUID]:
    """List the persons who teach the course of a programme, as far as the roster knows them.

    **Touches** reads course_member, lti_user.
    """
    query = (
        select(LtiUser.person_id)
        .join(CourseMember, CourseMember.lti_user_id == LtiUser.id)
        .where(CourseMember.context_id == programme.context_id, CourseMember.status == "Active")
        .where(LtiUser.link_state == "confirmed", LtiUser.person_id.is_not(None), ~LtiUser.is_test)
        .where(~CourseMember.is_learner)
    )
    return sorted({person_id for person_id in db.scalars(query) if person_id is not None})


def review_document(review: MatchmakingReview) -> dict[str, Any]:
    """Give a review as commands print it; its evidence holds only what may be shown.

    **Touches** nothing.
    """
    names = (
        *("alarm", "state", "evidence", "suspected", "finding", "change", "owner", "decided_on"),
        *("rule_set_before", "rule_set_after", "verdict", "opened_at", "analysed_at", "decided_at"),
        *("applied_at", "verified_at"),
    )
    after = review.programme_after_id
    return {
        "review_id": str(review.id),
        "programme_id": str(review.programme_id),
        "programme_after_id": str(after) if after else None,
    } | {name: getattr(review, name) for name in names}
