"""Background work with programmes: fresh member lists; pauses that end, reminders, places that are free."""

from datetime import datetime

from sqlalchemy import select

from rmplugin.db import Db
from rmplugin.jobs import Runtime
from rmplugin.people.linking import want_roster
from rmplugin.programmes import endorsements, places
from rmplugin.programmes.models import Programme
from rmplugin.tenants.models import LtiContext
from rmplugin.tenants.tasks import in_each_tenant


def want_rosters(runtime: Runtime) -> int:
    """Ask for a reading of the members of every course in which a programme runs or takes people in.

    :return: how many courses.
    **Touches** writes outbox_event.
    """
    query = (
        select(LtiContext.tenant_id, LtiContext.id)
        .join(Programme, Programme.context_id == LtiContext.id)
        .where(Programme.state.in_(("enrolling", "running", "concluding")))
        .where(LtiContext.memberships_url.is_not(None))
    )
    with runtime.database.unbound(write=False) as db:
        courses = db.execute(query.distinct()).all()
    for tenant_id, context_id in courses:
        with runtime.database.transaction(tenant_id) as db:
            want_roster(db, db.get_one(LtiContext, context_id), runtime.clock())
    return len(courses)


def tend_places(runtime: Runtime) -> int:
    """Bring back whose pause is over, remind line managers, give free places to those who wait.

    :return: how many tenants were looked after.
    **Touches** writes enrolment, endorsement, notice.
    """
    return in_each_tenant(runtime, _tend_places)


def _tend_places(db: Db, now: datetime) -> int:
    places.end_pauses(db, now)
    endorsements.remind(db, now)
    query = select(Programme).where(Programme.state.in_(("enrolling", "running"))).order_by(Programme.id)
    programmes = db.scalars(query.with_for_update()).all()
    for programme in programmes:
        places.fill_places(db, programme, now)
    return int(bool(programmes))
