"""Background work with programmes: keeping the member lists of their courses fresh."""

from sqlalchemy import select

from rmplugin.jobs import Runtime
from rmplugin.people.linking import want_roster
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
