"""Leaving in the background: pairs of leavers, thanks that are due, completed pairs."""

from collections.abc import Callable
from datetime import datetime

import structlog
from sqlalchemy import select

from rmplugin.db import Db
from rmplugin.jobs import Runtime
from rmplugin.leaving import operations
from rmplugin.tenants.models import Tenant

log = structlog.get_logger()
WORK: tuple[Callable[[Db, datetime], int], ...] = (
    operations.complete_pairs,
    operations.end_pairs_of_leavers,
    operations.deliver_thanks,
)


def look_after(runtime: Runtime) -> int:
    """Do for every tenant what time alone brings about.

    :return: how many people or pairs something happened to.
    **Touches** what the operations touch.
    """
    with runtime.database.unbound(write=False) as db:
        tenants = db.scalars(select(Tenant.id)).all()
    done = 0
    for tenant_id in tenants:
        for work in WORK:
            try:
                with runtime.database.transaction(tenant_id) as db:
                    done += work(db, runtime.clock())
            except Exception as error:  # noqa: BLE001 - one tenant's trouble must not keep the others waiting.
                log.error("leaving_not_done", work=work.__name__, kind=type(error).__name__)
    return done
