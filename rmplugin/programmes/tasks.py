"""Background work with programmes: fresh member lists; pauses that end, reminders, places that are free."""

import uuid

from sqlalchemy import select

from rmplugin.jobs import Runtime
from rmplugin.people.linking import want_roster
from rmplugin.programmes import endorsements, places
from rmplugin.programmes.models import Programme
from rmplugin.tenants.models import LtiContext


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
    query = select(Programme.tenant_id, Programme.id).where(Programme.state.in_(("enrolling", "running")))
    with runtime.database.unbound(write=False) as db:
        rows = db.execute(query.order_by(Programme.id)).all()
    tenants: dict[uuid.UUID, list[uuid.UUID]] = {}
    for tenant_id, programme_id in rows:
        tenants.setdefault(tenant_id, []).append(programme_id)
    for tenant_id, programme_ids in tenants.items():
        with runtime.database.transaction(tenant_id) as db:
            now = runtime.clock()
            places.end_pauses(db, now)
            endorsements.remind(db, now)
            for programme_id in programme_ids:
                programme = db.get(Programme, programme_id, with_for_update=True)
                if programme is not None:
                    places.fill_places(db, programme, now)
    return len(tenants)
