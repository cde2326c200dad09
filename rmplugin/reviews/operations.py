"""Verbs of reviews: look at a cohort, suspect a cause, decide, and compare the next cohort."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import select

from rmplugin import audit, notify
from rmplugin.db import Db
from rmplugin.errors import ConflictError, InputError
from rmplugin.matching.models import MatchRun, Pairing
from rmplugin.matching.queries import get_pairing
from rmplugin.matching.runs import lock_programme
from rmplugin.programmes.models import Programme
from rmplugin.reviews import evidence, queries
from rmplugin.reviews.detection import Alarm, compare, find_alarms, prior_of
from rmplugin.reviews.models import MatchmakingReview
from rmplugin.reviews.outcomes import Outcome
from rmplugin.texts import Text

FEWEST_COMPARED = 10
MOST_RUNNING = 0.2
OPENED = (
    "Matches in the programme %(name)s fail more often, or in a more regular way, than chance explains. Look "
    "over how they are made."
)


def on_pairing_closed(db: Db, payload: Mapping[str, Any], now: datetime) -> None:
    """Look at the cohort of a pair that has ended.

    :param payload: of the event "pairing_closed".
    **Touches** what `review_programme` touches.
    """
    programme_id = get_pairing(db, uuid.UUID(payload["pairing_id"])).programme_id
    # The pairs that end with their programme are looked at together.
    if db.get_one(Programme, programme_id).state != "archived":
        review_programme(db, programme_id, now)


def on_programme_archived(db: Db, payload: Mapping[str, Any], now: datetime) -> None:
    """Look at the cohort of a programme that is over.

    :param payload: of the event "programme_archived".
    **Touches** what `review_programme` touches.
    """
    review_programme(db, uuid.UUID(payload["programme_id"]), now)


def review_programme(db: Db, programme_id: uuid.UUID, now: datetime) -> list[MatchmakingReview]:
    """Open a review for each trigger that fires on a programme's pairs and has none open.

    After a decision only pairs that began later count: the others were made in the old way.

    :return: the reviews that were opened.
    **Touches** locks programme; reads pairing, closure, person; writes matchmaking_review, notice,
    audit_entry.
    """
    programme = lock_programme(db, programme_id)
    known = queries.list_reviews(db, programme_id)
    since = max((review.decided_at for review in known if review.decided_at), default=None)
    outcomes = queries.outcomes_of(db, programme, now, *([Pairing.started_at > since] if since else []))
    alarms = find_alarms(outcomes, now, queries.length_of(programme), _prior(db, programme, now))
    waiting = {review.alarm for review in known if review.is_open}
    newest = known[0].evidence if known else None
    opened = [
        _open(db, programme, alarm, evidence.describe(alarm, outcomes, newest), now)
        for alarm in alarms
        if alarm.trigger not in waiting
    ]
    if opened:
        page = _page(programme_id)
        told = [(one, Text(OPENED, name=programme.name), page) for one in queries.managers_of(db, programme)]
        notify.tell_all(db, "review_opened", told, now, [page])
    return opened


def _page(programme_id: uuid.UUID) -> str:
    return f"/manage/reviews/programmes/{programme_id}"


def _prior(db: Db, programme: Programme, now: datetime) -> tuple[float, float]:
    """Learn the usual rate from the earlier programmes of the course."""
    failed, pairs = _count(
        outcome
        for earlier in queries.earlier_programmes(db, programme)
        for outcome in queries.outcomes_of(db, earlier, now)
    )
    return prior_of(failed, pairs)


def _count(outcomes: Iterable[Outcome], *, running: bool = False) -> tuple[int, int]:
    """Count (failed, pairs) of those that came out, or with those that run on and have not failed yet."""
    counted = [o for o in outcomes if o.is_decided or (running and o.result == "running")]
    return sum(outcome.result == "failed" for outcome in counted), len(counted)


def _open(
    db: Db, programme: Programme, alarm: Alarm, shown: dict[str, Any], now: datetime
) -> MatchmakingReview:
    newest = queries.newest_run(db, programme.id)
    review = MatchmakingReview(
        programme_id=programme.id,
        alarm=alarm.trigger,
        state="opened",
        evidence=shown,
        rule_set_before=(newest.rule_set_version or 0) if newest else 0,
        opened_at=now,
    )
    db.add(review)
    db.flush()
    audit.record(db, "worker", "review.open", review.id, now, alarm=alarm.trigger)
    return review


def analyse(db: Db, review: MatchmakingReview, suspected: str, actor: str, now: datetime) -> None:
    """Write down which cause is suspected; it can be changed until the decision.

    :raises ConflictError: the review is decided.
    **Touches** locks and writes matchmaking_review; writes audit_entry.
    """
    _lock_open(db, review)
    review.state, review.suspected, review.analysed_at = "analysed", suspected, now
    audit.record(db, actor, "review.analyse", review.id, now)


def decide(
    db: Db,
    review: MatchmakingReview,
    *,
    finding: str,
    change: str,
    rule_set: int,
    owner: str,
    decided_on: date,
    actor: str,
    now: datetime,
    programme: Programme | None = None,
) -> None:
    """Write the decision record; nothing of it can be changed afterwards.

    :param rule_set: the version of rules and weights that holds from now on; the one before if no rule
        changes.
    :param programme: the one that the change is for, whose version that is; None for the reviewed one and
        those that follow it in the course.
    :raises ConflictError: the review is decided.
    :raises InputError: the version is older than the one before, the programme makes no pairs any more, or
        the day lies ahead.
    **Touches** locks and writes matchmaking_review; reads match_rule_set; writes audit_entry, notice.
    """
    _lock_open(db, review)
    faults: dict[str, Text] = {}
    before = _version_before(db, review, programme)
    if rule_set < before:
        faults["rule_set"] = Text("The version before is %(n)s; give the same or a newer one.", n=before)
    if programme is not None and programme.state == "archived":
        faults["programme"] = Text("This programme is archived and makes no pairs any more. Choose another.")
    if decided_on > now.date():
        faults["decided_on"] = Text("Give the day on which this was decided, today at the latest.")
    if faults:
        raise InputError("decision_invalid", "Some answers need a change. Nothing was saved.", faults)
    review.state, review.decided_at = "decided", now
    review.finding, review.change, review.owner = finding, change, owner
    review.rule_set_after, review.decided_on = rule_set, decided_on
    review.programme_after_id = programme.id if programme else None
    audit.record(db, actor, "review.decide", review.id, now, rule_set=rule_set)
    db.flush()
    if not db.scalar(queries.count_open(review.programme_id)):
        notify.take_back(db, [_page(review.programme_id)], now)


def _version_before(db: Db, review: MatchmakingReview, programme: Programme | None) -> int:
    """Give the version that a change cannot fall behind; each programme counts its own."""
    if programme is not None and programme.id != review.programme_id:
        return max(1, queries.versions_of(db, programme)[0])
    reviewed = db.get_one(Programme, review.programme_id)
    # What follows an archived programme in the course begins with its own first version.
    return min(1, review.rule_set_before) if reviewed.state == "archived" else review.rule_set_before


def _lock_open(db: Db, review: MatchmakingReview) -> None:
    db.refresh(review, with_for_update=True)
    if not review.is_open:
        raise ConflictError(
            "review_decided",
            "This review was decided before, and a decision record is never changed. Nothing was saved. If "
            "matches go on failing, a new review opens.",
        )


def follow_up(db: Db, review: MatchmakingReview, now: datetime) -> None:
    """Bring a decided review forward: applied with the first run by the new rules, verified by its pairs.

    **Touches** reads match_run, pairing, closure; writes matchmaking_review.
    """
    if review.state not in ("decided", "applied"):
        return
    programme = db.get_one(Programme, review.programme_id)
    assert review.decided_at is not None
    assert review.rule_set_after is not None
    cohorts = [programme, *queries.later_programmes(db, programme)]
    if review.programme_after_id is not None:
        cohorts = [db.get_one(Programme, review.programme_after_id)]
    ids = [cohort.id for cohort in cohorts]
    query = select(MatchRun.id).where(
        MatchRun.programme_id.in_(ids),
        MatchRun.created_at > review.decided_at,
        MatchRun.released_at.is_not(None),
        MatchRun.rule_set_version >= review.rule_set_after,
    )
    runs = list(db.scalars(query))
    if not runs:
        return
    if review.state == "decided":
        review.state, review.applied_at = "applied", now
    after = [
        outcome
        for cohort in cohorts
        for outcome in queries.outcomes_of(db, cohort, now, MatchRun.id.in_(runs))
    ]
    before = queries.outcomes_of(db, programme, now, Pairing.started_at <= review.decided_at)
    verdict = judge_next(before, after)
    if verdict is not None:
        review.state, review.verified_at, review.verdict = "verified", now, verdict


def judge_next(before: Sequence[Outcome], after: Sequence[Outcome]) -> dict[str, Any] | None:
    """Compare the cohort after a change with the one before.

    It waits for ten pairs and until four of five have come out, because failures are the first to end.

    :return: "word" (better, same, worse), "pairs", "low" and "high" of the change in the failure rate; None
        while it is too early.
    **Touches** pure.
    """
    (_failed, came_out), (_also, counted) = _count(after), _count(after, running=True)
    if came_out < FEWEST_COMPARED or counted - came_out > MOST_RUNNING * counted:
        return None
    word, low, high = compare(_count(before, running=True), _count(after, running=True))
    return {"word": word, "pairs": counted, "low": evidence.rounded(low), "high": evidence.rounded(high)}
