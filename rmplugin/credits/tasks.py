"""Delivering: a short transaction to claim, the call outside any transaction, a short one to record."""

import time
import uuid
from collections import Counter
from collections.abc import Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import structlog
from sqlalchemy import and_, or_, select

from lti import ags
from lti.errors import ServiceError
from lti.platforms import Platform
from lti.service import ServiceClient
from rmplugin.credits import operations, store
from rmplugin.credits.hands import work_through
from rmplugin.credits.models import Delivery
from rmplugin.credits.queries import NO_COLUMN
from rmplugin.errors import FatalError, RetriableError
from rmplugin.jobs import Runtime, work_outbox
from rmplugin.people.models import LtiUser
from rmplugin.programmes.models import Programme
from rmplugin.records import PlatformQuirks
from rmplugin.sinks import CompletionSink, SinkAnswer
from rmplugin.tenants.models import LtiResourceLink
from rmplugin.tenants.queries import may_make_column
from rmplugin.tenants.store import service_client
from rmplugin.texts import Text

log = structlog.get_logger()

BATCH = 2000
# How many deliveries a worker process has in its hands at once: mostly they wait for another system's answer.
AT_ONCE = 8

# How the columns that the tool makes itself are called and found again.
COLUMN_LABEL = "Reverse mentoring"
COLUMN_TAG = "completion"
COLUMN_IN_THE_MAKING = "The gradebook column of your course is being made. Your grade is sent by itself."
COLUMN_LATER = "Your LMS could not make a gradebook column at the moment. It is tried again by itself."


@dataclass(frozen=True, slots=True)
class Services:
    """What a sink is handed: see `records.SinkServices`."""

    client: ServiceClient
    platform: Platform | None
    dialect: PlatformQuirks

    def quirks(self) -> PlatformQuirks:
        """Give the dialect of the platform."""
        return self.dialect

    def lti(self) -> tuple[ServiceClient, Platform]:
        """Give the client and the platform that the target lies on."""
        if self.platform is None:
            raise AssertionError("this sink did not ask for a line item")
        return self.client, self.platform


def deliver_due(runtime: Runtime) -> Counter[str]:
    """Deliver everything that is due, the longest waiting first, a few at once.

    :return: how many deliveries ended in which state.
    **Touches** calls the sinks; writes delivery.
    """
    _unblock_seen(runtime)
    ended: Counter[str] = Counter()
    failures: Counter[Hashable] = Counter()
    tried: set[uuid.UUID] = set()

    def work(due: _Due) -> bool | None:
        state, went_through = _deliver_one(runtime, due, runtime.plugins.sinks[due.sink])
        ended.update([state] if state is not None else [])
        return went_through

    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="deliver") as hands:
        while rows := [row for row in _due(runtime, len(tried)) if row.id not in tried]:
            tried.update(row.id for row in rows)
            work_through(
                rows, lambda row: (row.sink, row.tenant_id, row.course), work, hands, failures, AT_ONCE
            )
    return ended


def _unblock_seen(runtime: Runtime) -> None:
    """Look again at what was blocked before the person's last launch: once per launch, never blindly."""
    query = (
        select(Delivery.tenant_id, Delivery.person_id)
        .join(LtiUser, LtiUser.person_id == Delivery.person_id)
        .where(Delivery.state == "blocked", LtiUser.last_launch_at > Delivery.updated_at)
    )
    with runtime.database.unbound(write=False) as db:
        seen = db.execute(query.distinct()).all()
    for tenant_id, person_id in seen:
        with runtime.database.transaction(tenant_id) as db:
            operations.unblock(db, person_id, runtime.clock())


class _Due(NamedTuple):
    """A delivery that is due. :ivar course: what it goes through, so that nobody knocks at a shut door."""

    id: uuid.UUID
    tenant_id: uuid.UUID
    sink: str
    course: uuid.UUID | None


def _due(runtime: Runtime, already: int) -> list[_Due]:
    now = runtime.clock()
    ripe = or_(
        and_(Delivery.state.in_(("pending", "retry")), Delivery.next_at <= now),
        and_(Delivery.state == "in_flight", Delivery.lease_until <= now),
    )
    query = (
        select(Delivery.id, Delivery.tenant_id, Delivery.sink, Programme.context_id)
        .join(Programme, Programme.id == Delivery.programme_id)
        .where(ripe, Delivery.sink.in_(list(runtime.plugins.sinks)))
    )
    with runtime.database.unbound(write=False) as db:
        rows = db.execute(query.order_by(Delivery.next_at, Delivery.id).limit(BATCH + already))
        return [_Due(*row) for row in rows]


def _deliver_one(runtime: Runtime, due: _Due, sink: CompletionSink) -> tuple[str | None, bool | None]:
    """Try one delivery. :return: its new state, and whether the other system let it through: see `hands`."""
    try:
        with runtime.database.transaction(due.tenant_id) as db:
            claim = store.claim(db, due.id, sink, runtime.clock())
        if claim is None:
            return None, None
        answer = _call(runtime, sink, claim)
        with runtime.database.transaction(due.tenant_id) as db:
            state = store.record_answer(db, claim, answer, sink, runtime.clock())
    except Exception as error:  # noqa: BLE001 - one row's fault keeps no other; the lease brings it back.
        log.error("delivery_failed", delivery=str(due.id), sink=sink.key, error=type(error).__name__)
        return None, None
    log.info(
        "delivery",
        delivery=str(due.id),
        sink=sink.key,
        state=state,
        attempt=claim.record.attempts,
        status=answer.status,
    )
    shut = answer.outcome == "retry" and (answer.status is None or answer.status >= 429)
    return state, not shut


def _call(runtime: Runtime, sink: CompletionSink, claim: store.Claim) -> SinkAnswer:
    """Ask the sink; whatever it raises becomes an answer."""
    family = claim.platform.family if claim.platform is not None else None
    services = Services(service_client(runtime), claim.platform, runtime.plugins.quirks_of(family))
    try:
        return _deliver(runtime, sink, claim, services)
    except RetriableError as error:
        return SinkAnswer(
            outcome="retry",
            message_for_user=error.message_for_user,
            status=error.remote_status,
            retry_after=error.retry_after,
        )
    except FatalError as error:
        return SinkAnswer(
            outcome="needs_human", message_for_user=error.message_for_user, status=error.remote_status
        )
    except Exception as error:  # noqa: BLE001 - a plug-in may raise anything, and the delivery must go on.
        log.error("sink_crashed", sink=sink.key, error=type(error).__name__)
        return SinkAnswer(
            outcome="retry",
            message_for_user=Text(
                "The connection '%(key)s' stopped with an unexpected error (%(kind)s). It is tried again.",
                key=sink.key,
                kind=type(error).__name__,
            ),
        )


def _deliver(runtime: Runtime, sink: CompletionSink, claim: store.Claim, services: Services) -> SinkAnswer:
    """Let the sink deliver; a column that this tool had made and that was deleted is made again, once."""
    record = claim.record
    if claim.link_id is None:
        return sink.deliver(record, services, runtime.clock())
    if "line_item_url" in record.target:
        answer = sink.deliver(record, services, runtime.clock())
        if not (answer.column_gone and _may_be_made_again(runtime, claim)):
            return answer
    url = make_column(runtime, claim.tenant_id, claim.link_id, services)
    if isinstance(url, SinkAnswer):
        return url
    return sink.deliver(replace(record, target={"line_item_url": url}), services, runtime.clock())


def _may_be_made_again(runtime: Runtime, claim: store.Claim) -> bool:
    assert claim.link_id is not None
    url = str(claim.record.target["line_item_url"])
    with runtime.database.transaction(claim.tenant_id) as db:
        return store.forget_column(db, claim.link_id, url, claim.sink, runtime.clock())


def make_column(
    runtime: Runtime, tenant_id: uuid.UUID, link_id: uuid.UUID, services: Services
) -> str | SinkAnswer:
    """Find or make the one gradebook column of a link that has none, and remember it.

    One worker at a time does this for a link: platforms make duplicates without a word. One that died after
    the platform made the column leaves it to be found by its resource id and tag.

    :return: the column's address, or why there is none yet.
    **Source** AGS 2.0, section 3.2. **Touches** calls the platform; writes lti_resource_link.
    """
    client, platform = services.lti()
    with runtime.database.hold("column", link_id) as held:
        if not held:
            return SinkAnswer(outcome="retry", message_for_user=COLUMN_IN_THE_MAKING, retry_after=2.0)
        with runtime.database.transaction(tenant_id, write=False) as db:
            link = db.get(LtiResourceLink, link_id)
        if link is not None and link.line_item_url is not None:
            return link.line_item_url
        if link is None or not may_make_column(link) or services.dialect.column_by_teacher:
            return SinkAnswer(outcome="blocked", message_for_user=NO_COLUMN)
        assert link.line_items_url is not None
        try:
            column = ags.find_or_create_line_item(
                client,
                platform,
                link.line_items_url,
                label=link.title or COLUMN_LABEL,
                score_maximum=store.SCORE_MAXIMUM,
                resource_id=str(link.id),
                tag=COLUMN_TAG,
                resource_link_id=link.resource_link_id,
                extra=ags.REVIEWABLE,
                offered_scopes=link.scopes,
            )
        except ServiceError as error:
            return _why_no_column(error)
        with runtime.database.transaction(tenant_id) as db:
            return store.remember_column(db, link_id, column.id)


def _why_no_column(error: ServiceError) -> SinkAnswer:
    again = error.retriable or error.code in ("network", "bad_answer", "unauthorised", "token_refused")
    return SinkAnswer(
        outcome="retry" if again else "blocked",
        message_for_user=COLUMN_LATER if again else NO_COLUMN,
        status=error.status,
        retry_after=error.retry_after,
    )


def deliver_now(runtime: Runtime, *, wait_seconds: float = 0.0) -> dict[str, Any]:
    """Work off the outbox and deliver what is due, for the command line.

    :param wait_seconds: go on so long at most, until nothing is due or in a worker's hands; 0 is one round.
    :return: {"states": {state: count}, "open": deliveries that are still due}.
    **Touches** what the worker touches.
    """
    until = time.monotonic() + wait_seconds
    states: Counter[str] = Counter()
    while True:
        work_outbox(runtime)
        states += deliver_due(runtime)
        work_outbox(runtime)
        with runtime.database.unbound(write=False) as db:
            left = store.count_open(db, runtime.clock())
        if left == 0 or time.monotonic() >= until:
            return {"states": dict(sorted(states.items())), "open": left}
        time.sleep(min(0.5, max(0.0, until - time.monotonic())))
