"""Reviews in the background: once a day, because a programme can end without any pair ending."""

import structlog
from sqlalchemy import select

from rmplugin.jobs import Runtime
from rmplugin.matching.models import Pairing
from rmplugin.programmes.models import Programme
from rmplugin.reviews import operations, queries
from rmplugin.reviews.models import MatchmakingReview

log = structlog.get_logger()


def review_all(runtime: Runtime) -> int:
    """Look at every programme that has pairs, and bring decided reviews forward.

    :return: how many reviews were opened.
    **Touches** what `operations.review_programme` and `operations.follow_up` touch.
    """
    with runtime.database.unbound(write=False) as db:
        live = select(Programme.tenant_id, Programme.id).where(
            Programme.state != "archived",
            select(Pairing.id).where(Pairing.programme_id == Programme.id).exists(),
        )
        waiting = select(MatchmakingReview.tenant_id, MatchmakingReview.programme_id).where(
            MatchmakingReview.state.in_(("decided", "applied"))
        )
        found = db.execute(live.union(waiting)).all()
    opened = 0
    for tenant_id, programme_id in found:
        try:
            with runtime.database.transaction(tenant_id) as db:
                now = runtime.clock()
                for review in queries.list_reviews(db, programme_id):
                    operations.follow_up(db, review, now)
                opened += len(operations.review_programme(db, programme_id, now))
        except Exception as error:  # noqa: BLE001 - one programme's trouble must not keep the others waiting.
            log.error("not_reviewed", programme=str(programme_id), kind=type(error).__name__)
    return opened
