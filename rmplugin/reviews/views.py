"""Pages of matchmaking reviews, for the manager of the programme."""

import uuid
from typing import Any

from rmplugin import web
from rmplugin.errors import NotFoundError
from rmplugin.matching.queries import list_pairings
from rmplugin.programmes.models import Programme
from rmplugin.programmes.queries import get_managed_programme, get_programme
from rmplugin.reviews import evidence, forms, operations, queries, words
from rmplugin.reviews.models import MatchmakingReview
from rmplugin.reviews.replay import Replay, replay
from rmplugin.web import Role, Visit

pages = web.Pages("reviews", __name__)

MOVES_SHOWN = 5


@pages.get("/manage/reviews/programmes/<uuid:programme_id>", role=Role.MANAGER)
def reviews_page(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """List the reviews of a programme, and say what is watched."""
    programme = get_managed_programme(visit.db, programme_id, visit.session.context_id)
    return web.render(
        "reviews/reviews.html",
        visit,
        programme=programme,
        reviews=queries.list_reviews(visit.db, programme_id),
        words=words,
    )


@pages.get("/manage/reviews/<uuid:review_id>", role=Role.MANAGER)
def review_page(visit: Visit, review_id: uuid.UUID) -> web.Answer:
    """Show a review: evidence, possible causes, the decision and what came of it."""
    review, programme = _managed(visit, review_id)
    found = evidence.read(review.evidence)
    after = review.programme_after_id
    choices = queries.programmes_to_change(visit.db, programme) if review.is_open else []
    return web.render(
        "reviews/review.html",
        visit,
        programme=programme,
        review=review,
        cohort=found["cohort"],
        sure=found["alarm"]["sure"],
        subject=words.subject_of(review.alarm, found),
        causes=words.causes(review.alarm, found),
        words=words,
        choices=[(one, *queries.versions_of(visit.db, one)) for one in choices],
        after=get_programme(visit.db, after) if after else None,
        today=visit.now.date(),
    )


@pages.post("/manage/reviews/<uuid:review_id>/analysis", role=Role.MANAGER, on_input_error=review_page)
def analyse(visit: Visit, review_id: uuid.UUID) -> web.Answer:
    """Note which cause is suspected."""
    review, _programme = _managed(visit, review_id)
    suspected = web.load_form(forms.AnalysisForm())["suspected"]
    operations.analyse(visit.db, review, suspected, visit.actor, visit.now)
    return web.go("reviews.review_page", "The suspected cause is noted.", review_id=review_id)


@pages.post("/manage/reviews/<uuid:review_id>/decision", role=Role.MANAGER, on_input_error=review_page)
def decide(visit: Visit, review_id: uuid.UUID) -> web.Answer:
    """Write the decision record."""
    review, reviewed = _managed(visit, review_id)
    given = web.load_form(forms.DecisionForm())
    chosen = given.pop("programme")
    choices = {one.id: one for one in queries.programmes_to_change(visit.db, reviewed)}
    if chosen is not None and chosen not in choices:
        raise NotFoundError("programme")
    given["programme"] = choices[chosen] if chosen else None
    operations.decide(visit.db, review, **given, actor=visit.actor, now=visit.now)
    said = "The decision is recorded. The next cohort will show whether it helped."
    return web.go("reviews.review_page", said, review_id=review_id)


@pages.get("/manage/reviews/programmes/<uuid:programme_id>/replay", role=Role.MANAGER)
def replay_page(visit: Visit, programme_id: uuid.UUID) -> web.Answer:
    """Show the pairs of the past under other weights."""
    programme = get_managed_programme(visit.db, programme_id, visit.session.context_id)
    newest = queries.newest_run(visit.db, programme_id)
    weights = dict(newest.weights) if newest else {}
    outcomes = queries.outcomes_of(visit.db, programme, visit.now)
    factors = sorted({name for o in outcomes for name in o.shares}, key=lambda name: (-weights[name], name))
    then = {name: int(weights[name]) for name in factors}
    asked = web.load_query(forms.weights_query(factors))
    other = {name: then[name] if asked[name] is None else asked[name] for name in factors}
    found = replay(outcomes, then, other) if factors else None
    return web.render(
        "reviews/replay.html",
        visit,
        programme=programme,
        then=then,
        other=other,
        changed=then != other,
        found=found,
        moves=_moves(visit, programme, found) if found else {},
        words=words,
        most=forms.MOST_POINTS,
    )


def _moves(visit: Visit, programme: Programme, found: Replay) -> dict[str, list[dict[str, Any]]]:
    """Give the pairs that would move most, up and down; names and ranks, never outcomes."""
    names = {
        str(pair.row.id): (pair.mentor.display_name, pair.mentee.display_name)
        for pair in list_pairings(visit.db, programme.id)
    }
    moved = sorted(((then - other, pair, then, other) for pair, then, other in found.moves), reverse=True)
    ends = {
        "up": [row for row in moved[:MOVES_SHOWN] if row[0] > 0],
        "down": [row for row in reversed(moved[-MOVES_SHOWN:]) if row[0] < 0],
    }
    return {
        end: [
            {"mentor": names[pair][0], "mentee": names[pair][1], "then": then, "other": other}
            for _by, pair, then, other in rows
        ]
        for end, rows in ends.items()
    }


def _managed(visit: Visit, review_id: uuid.UUID) -> tuple[MatchmakingReview, Programme]:
    review = queries.get_review(visit.db, review_id)
    return review, get_managed_programme(visit.db, review.programme_id, visit.session.context_id)
