"""Delivering: a short transaction claims and records for many at once, the calls are outside any."""

import shlex
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from operator import attrgetter
from typing import Any

import structlog
from marshmallow import ValidationError
from sqlalchemy import and_, func, or_, select

from lti import ags
from lti.errors import ServiceError
from lti.platforms import Platform
from lti.service import ServiceClient
from rmplugin.credits import events, operations, store
from rmplugin.credits.claims import LEASE, Answered, Claim, Due, Held, select_due
from rmplugin.credits.columns import NO_COLUMN
from rmplugin.credits.hands import Hands
from rmplugin.credits.models import Delivery
from rmplugin.credits.queries import count_by_account
from rmplugin.db import Db
from rmplugin.destinations.models import Brake, SinkAccount
from rmplugin.destinations.queries import get_account, list_accounts, shut_brakes
from rmplugin.destinations.store import has_failed
from rmplugin.errors import FatalError, RetriableError
from rmplugin.jobs import Runtime, work_outbox
from rmplugin.people.models import LtiUser
from rmplugin.records import CheckResult, PlatformQuirks
from rmplugin.sinks import CompletionSink, CreditSink, SinkAnswer
from rmplugin.tenants.checks import Finding
from rmplugin.tenants.models import LtiResourceLink
from rmplugin.tenants.queries import join_settings, may_make_column
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
    """Deliver everything that is due, the longest waiting first, a few at once; states and events by turns.

    :return: how many deliveries ended in which state.
    **Touches** calls the sinks; writes delivery, sink_account, brake.
    """
    _unblock_seen(runtime)
    books = _Books(runtime)
    hands = Hands(AT_ONCE, attrgetter("sink", "tenant_id", "course"), books.turn, _went_through)
    tried: set[uuid.UUID] = set()
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="events") as pool:
        while True:
            rows = [row for row in _due(runtime, len(tried)) if row.id not in tried]
            tried.update(row.id for row in rows)
            hands.work_through(rows)
            # One batch for each, so that an account with much to tell keeps no other waiting.
            batches = list(pool.map(lambda one: _deliver_batch(runtime, *one), _due_accounts(runtime)))
            books.ended.update(state for states in batches for state in states)
            if not rows and not any(batches):
                return books.ended


class _Books:
    """Keeps the books of several hands: claims what they are to send, and records what became of it.

    :ivar ended: state -> how many deliveries ended in it.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._claims: dict[uuid.UUID, Claim] = {}
        self.ended: Counter[str] = Counter()

    def turn(
        self, back: Sequence[tuple[Due, SinkAnswer | None]], wanted: Sequence[Due]
    ) -> list[Callable[[], SinkAnswer | None] | None]:
        """See `hands.Hands`; a transaction for each tenant."""
        for tenant_id in sorted({row.tenant_id for row, _answer in back} | {row.tenant_id for row in wanted}):
            answered = [
                (self._claims.pop(row.id), answer) for row, answer in back if row.tenant_id == tenant_id
            ]
            self._write(tenant_id, answered, [row for row in wanted if row.tenant_id == tenant_id])
        claims = [self._claims.get(row.id) for row in wanted]
        return [partial(_call, self._runtime, claim) if claim is not None else None for claim in claims]

    def _write(self, tenant_id: uuid.UUID, answered: Sequence[Answered], due: Sequence[Due]) -> None:
        """Record and claim; when it fails, each by itself: one row's fault keeps no other."""
        about = [*(claim.due for claim, _answer in answered), *due]
        try:
            with self._runtime.database.transaction(tenant_id) as db:
                held = Held(db, about, self._runtime.plugins.sinks, self._runtime.clock())
                states = held.record(answered)
                db.flush()
                claims = held.claim(due)
        except Exception as error:  # noqa: BLE001 - what could not be recorded is brought back by its lease.
            if len(about) == 1:
                name = type(error).__name__
                log.error("delivery_failed", delivery=str(about[0].id), sink=about[0].sink, error=name)
                return
            log.info("deliveries_one_by_one", code=type(error).__name__, deliveries=len(about))
            for one in answered:
                self._write(tenant_id, [one], [])
            for row in due:
                self._write(tenant_id, [], [row])
            return
        self._claims.update({claim.due.id: claim for claim in claims})
        for (claim, answer), state in zip(answered, states, strict=True):
            if answer is not None:
                self.ended.update([state] if state is not None else [])
                log.info(
                    "delivery",
                    delivery=str(claim.due.id),
                    sink=claim.due.sink,
                    state=state,
                    attempt=claim.record.attempts,
                    status=answer.status,
                )


def _went_through(answer: SinkAnswer) -> bool:
    return not has_failed(answer)


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
            operations.unblock(db, runtime.clock(), Delivery.person_id == person_id)


def _due(runtime: Runtime, already: int) -> list[Due]:
    query = select_due(
        Delivery.account_id.is_(None),
        Delivery.sink.in_(list(runtime.plugins.sinks)),
        store.is_due(runtime.clock()),
    )
    with runtime.database.unbound(write=False) as db:
        rows = db.execute(query.order_by(Delivery.next_at, Delivery.id).limit(BATCH + already))
        return [Due._make(row) for row in rows]


def _due_accounts(runtime: Runtime) -> list[tuple[uuid.UUID, uuid.UUID, str]]:
    waits = select(Delivery.id).where(Delivery.account_id == SinkAccount.id, events.is_next(runtime.clock()))
    query = select(SinkAccount.tenant_id, SinkAccount.id, SinkAccount.sink).where(
        SinkAccount.paused_at.is_(None),
        SinkAccount.sink.in_(list(runtime.plugins.credit_sinks)),
        waits.exists(),
    )
    with runtime.database.unbound(write=False) as db:
        return list(db.execute(query.order_by(SinkAccount.id)))


def _deliver_batch(runtime: Runtime, tenant_id: uuid.UUID, account_id: uuid.UUID, sink_key: str) -> list[str]:
    """Give one account its oldest events; whatever comes between is brought back by the lease."""
    sink = runtime.plugins.credit_sinks[sink_key]
    try:
        with runtime.database.transaction(tenant_id) as db:
            box = runtime.database.secrets
            batch = events.claim_batch(db, account_id, sink, box, runtime.clock())
        if batch is None:
            return []
        answers = _give(runtime, sink, batch)
        with runtime.database.transaction(tenant_id) as db:
            states = events.record_answers(db, batch, answers, runtime.clock())
    except Exception as error:  # noqa: BLE001 - one account's fault keeps no other.
        log.error("events_failed", account=str(account_id), sink=sink_key, error=type(error).__name__)
        return []
    log.info("events", account=str(account_id), sink=sink_key, states=dict(Counter(states)))
    return states


def _give(runtime: Runtime, sink: CreditSink, batch: events.Batch) -> Sequence[SinkAnswer]:
    """Call the sink; whatever it raises, and too few answers, become an answer for each record."""
    count = len(batch.records)
    try:
        answers = sink.deliver(batch.settings, batch.records, runtime.clock())
    except Exception as error:  # noqa: BLE001 - a plug-in may raise anything, and the others must go on.
        return [_answer_of(error, sink.key)] * count
    if len(answers) != count:
        log.error("sink_miscounted", sink=sink.key, records=count, answers=len(answers))
        return [_answer_of(ValueError(), sink.key)] * count
    return answers


def _call(runtime: Runtime, claim: Claim) -> SinkAnswer | None:
    """Ask the sink; whatever it raises becomes an answer. None when the claim lay so long that it may end."""
    sink = runtime.plugins.sinks[claim.due.sink]
    if claim.lease_until - runtime.clock() < LEASE / 2:
        return None
    try:
        family = claim.platform.family if claim.platform is not None else None
        services = Services(service_client(runtime), claim.platform, runtime.plugins.quirks_of(family))
        return _deliver(runtime, sink, claim, services)
    except Exception as error:  # noqa: BLE001 - a plug-in may raise anything, and the delivery must go on.
        return _answer_of(error, sink.key)


def _answer_of(error: Exception, sink_key: str) -> SinkAnswer:
    """Give the answer that an error stands for."""
    if isinstance(error, RetriableError):
        return SinkAnswer(
            outcome="retry",
            message_for_user=error.message_for_user,
            status=error.remote_status,
            retry_after=error.retry_after,
        )
    if isinstance(error, FatalError):
        return SinkAnswer(
            outcome="needs_human", message_for_user=error.message_for_user, status=error.remote_status
        )
    log.error("sink_crashed", sink=sink_key, error=type(error).__name__)
    return SinkAnswer(
        outcome="retry",
        message_for_user=Text(
            "The connection '%(key)s' stopped with an unexpected error (%(kind)s). It is tried again.",
            key=sink_key,
            kind=type(error).__name__,
        ),
    )


def _deliver(runtime: Runtime, sink: CompletionSink, claim: Claim, services: Services) -> SinkAnswer:
    """Let the sink deliver; a column that this tool had made and that was deleted is made again, once."""
    record = claim.record
    if claim.link_id is None:
        return sink.deliver(record, services, runtime.clock())
    if "line_item_url" in record.target:
        answer = sink.deliver(record, services, runtime.clock())
        if not (answer.column_gone and _may_be_made_again(runtime, claim)):
            return answer
    url = make_column(runtime, claim.due.tenant_id, claim.link_id, services)
    if isinstance(url, SinkAnswer):
        return url
    return sink.deliver(replace(record, target={"line_item_url": url}), services, runtime.clock())


def _may_be_made_again(runtime: Runtime, claim: Claim) -> bool:
    assert claim.link_id is not None
    url = str(claim.record.target["line_item_url"])
    with runtime.database.transaction(claim.due.tenant_id) as db:
        return store.forget_column(db, claim.link_id, url, claim.due.sink, runtime.clock())


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


def check_account(runtime: Runtime, tenant_id: uuid.UUID, name: str) -> list[CheckResult]:
    """Try an account without leaving anything there.

    :raises NotFoundError: no such account or plug-in.
    **Touches** calls the sink's system.
    """
    with runtime.database.transaction(tenant_id, write=False) as db:
        account = get_account(db, name)
    sink = runtime.plugins.credit_sink(account.sink)
    try:
        box = runtime.database.secrets
        settings = join_settings(sink, account.settings, account.secrets_locked, box)
    except ValidationError:
        return [
            CheckResult(what="settings", ok=False, advice=f"They do not fit: rmplugin sink kinds {sink.key}")
        ]
    found: list[CheckResult] = sink.check(settings)
    return found


def examine(runtime: Runtime, tenant_id: uuid.UUID) -> list[Finding]:
    """Say of every account and every course whether deliveries go through, for `doctor`.

    **Touches** reads sink_account, brake, delivery; calls the sinks' checks.
    """
    now = runtime.clock()
    with runtime.database.transaction(tenant_id, write=False) as db:
        accounts, counts = list_accounts(db), count_by_account(db)
        brakes = {(brake.sink, brake.place_id): brake for brake in shut_brakes(db, now)}
        courses = [brake for brake in brakes.values() if brake.sink in runtime.plugins.sinks]
    findings = [
        _examine(runtime, tenant_id, row, counts.get(row.id, {}), brakes.get((row.sink, row.id)))
        for row in accounts
    ]
    if courses:
        advice = f"{len(courses)} do not answer and are tried again by themselves: {courses[0].last_error}"
        findings.append(Finding("gradebooks of courses", ok=False, advice=advice))
    return findings


def _examine(
    runtime: Runtime, tenant_id: uuid.UUID, row: SinkAccount, counts: dict[str, int], brake: Brake | None
) -> Finding:
    what, name = f"account {row.name}", shlex.quote(row.name)
    if row.sink not in runtime.plugins.credit_sinks:
        return Finding(what, ok=False, advice=f"The plug-in for '{row.sink}' is not installed.")
    if row.paused_at is not None:
        return Finding(what, ok=False, advice=f"Paused: rmplugin sink resume {name}")
    if brake is not None:
        at = f"{brake.shut_until:%H:%M} UTC"
        advice = f"Failed {brake.failures} times in a row, tried again at {at}: {brake.last_error}"
        return Finding(what, ok=False, advice=f"{advice} Look closer: rmplugin sink check {name}")
    if stuck := counts.get("needs_human", 0) + counts.get("blocked", 0):
        state = "needs_human" if counts.get("needs_human") else "blocked"
        advice = f"{stuck} wait for somebody: rmplugin credits deliveries --state {state}"
        return Finding(what, ok=False, advice=advice)
    try:
        wrong = [one for one in check_account(runtime, tenant_id, row.name) if not one.ok]
    except Exception as error:  # noqa: BLE001 - a plug-in may raise anything; the others must be examined, too.
        return Finding(what, ok=False, advice=f"The check failed ({type(error).__name__}).")
    advice = "; ".join(f"{one.what}: {one.advice}" for one in wrong)
    return Finding(what, ok=not wrong, advice=advice or f"{counts.get('delivered', 0)} told")


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
            left = _count_open(db, runtime.clock())
        if left == 0 or time.monotonic() >= until:
            return {"states": dict(sorted(states.items())), "open": left}
        time.sleep(min(0.5, max(0.0, until - time.monotonic())))


def _count_open(db: Db, now: datetime) -> int:
    """Count deliveries that are on their way: due now or in a worker's hands."""
    paused = select(SinkAccount.id).where(SinkAccount.paused_at.is_not(None))
    state = and_(Delivery.account_id.is_(None), store.is_due(now))
    event = and_(events.is_next(now), Delivery.account_id.not_in(paused))
    query = select(func.count()).select_from(Delivery)
    return db.scalar(query.where(or_(Delivery.state == "in_flight", state, event))) or 0
