"""Sending: a short transaction to claim, the call outside any transaction, a short one to record."""

import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import structlog
from sqlalchemy import select

from rmplugin.errors import RetriableError
from rmplugin.jobs import Runtime
from rmplugin.mailing import operations, queries, store
from rmplugin.mailing.models import News, NewsChannel
from rmplugin.notifiers import Letter, NewsNotifier, NewsPost, NotifierAnswer
from rmplugin.notify import Notice
from rmplugin.plugins import Plugins
from rmplugin.programmes.models import Programme
from rmplugin.settings import Settings
from rmplugin.texts import Text

log = structlog.get_logger()

# After so many failures in a row, a mail server that is down is left alone until the next round.
PATIENCE = 3
BATCH = 200
# Then other work has its turn; the next round goes on.
ROUND_SECONDS = 40.0


def take_notices(runtime: Runtime) -> int:
    """Make the mails of all tenants' new notices, as each person wishes.

    :return: how many notices were looked at.
    **Touches** writes mail, notice.
    """
    mailing = runtime.settings.smtp_url is not None
    with runtime.database.unbound(write=False) as db:
        tenants = db.scalars(select(Notice.tenant_id).where(Notice.to_mail).distinct()).all()
    taken = 0
    for tenant_id in tenants:
        some = operations.AT_ONCE
        while some == operations.AT_ONCE:
            with runtime.database.transaction(tenant_id) as db:
                some = operations.take_notices(db, runtime.clock(), mailing=mailing)
            taken += some
    return taken


def send_due(runtime: Runtime, *, seconds: float = ROUND_SECONDS) -> Counter[str]:
    """Send what is due, the longest waiting first.

    :param seconds: after this time no further letter is begun.
    :return: how many letters ended in which state.
    **Touches** the mail server; writes mail, blocked_address.
    """
    take_notices(runtime)
    url = runtime.settings.smtp_url
    mailer = runtime.plugins.mailer(url)
    ended: Counter[str] = Counter()
    if mailer is None or url is None:
        return ended
    round_ = _Round(runtime, make_post(runtime.settings, runtime.plugins), time.monotonic() + seconds)
    try:
        for answer in mailer.send(url, round_.letters()):
            ended[round_.record(answer)] += 1
    except Exception as error:  # noqa: BLE001 - a plug-in may raise anything; the lease brings the letter back.
        log.error("mailer_crashed", mailer=mailer.key, error=type(error).__name__)
    return ended


def make_post(settings: Settings, plugins: Plugins) -> store.Post:
    """Give what is the same for all letters. **Touches** pure."""
    mailer = plugins.mailer(settings.smtp_url)
    own = mailer.sender(settings.smtp_url) if mailer is not None and settings.smtp_url else None
    sender = own or f"mentoring@{urlsplit(settings.public_url).hostname}"
    return store.Post(settings.public_url, str(settings.secret_key), sender, plugins.quirks_of)


class _Round:
    """One round of sending: gives the letters one by one, and takes the answer to each.

    :param until: by the monotonic clock.
    """

    def __init__(self, runtime: Runtime, post: store.Post, until: float) -> None:
        self._runtime, self._post, self._until = runtime, post, until
        self._current: store.Claim | None = None
        self._failures = 0

    def letters(self) -> Iterator[Letter]:
        """Claim and give letter after letter, until none is due or there is no use in going on."""
        tried: set[uuid.UUID] = set()
        while some := self._due(tried):
            for tenant_id, mail_id in some:
                if self._failures >= PATIENCE or time.monotonic() > self._until:
                    return
                tried.add(mail_id)
                with self._runtime.database.transaction(tenant_id) as db:
                    self._current = store.claim(db, mail_id, self._post, self._runtime.clock())
                if self._current is not None:
                    yield self._current.letter

    def _due(self, tried: set[uuid.UUID]) -> list[tuple[uuid.UUID, uuid.UUID]]:
        with self._runtime.database.unbound(write=False) as db:
            rows = db.execute(store.due(self._runtime.clock()).limit(BATCH + len(tried)))
            return [(row[0], row[1]) for row in rows if row[1] not in tried]

    def record(self, answer: NotifierAnswer) -> str:
        """Record the answer to the letter that was given last."""
        claimed = self._current
        assert claimed is not None, "a mailer answers each letter before it takes the next"
        self._failures = self._failures + 1 if answer.outcome == "retry" else 0
        with self._runtime.database.transaction(claimed.tenant_id) as db:
            state = store.record(db, claimed, answer, self._runtime.clock())
        log.info("mail", letter=str(claimed.letter_id), state=state, status=answer.status)
        return state or "taken_over"


def post_news(runtime: Runtime, tenant_id: uuid.UUID, payload: Mapping[str, Any]) -> None:
    """Post news of a programme into one channel.

    :param payload: {"channel_id", "news_id"}; without news, a sample is posted.
    :raises RetriableError: not now; the outbox asks again, after the time that the other system asked for.
    **Touches** the channel's system; writes news_channel.
    """
    channel_id = uuid.UUID(payload["channel_id"])
    public_url = runtime.settings.public_url
    with runtime.database.transaction(tenant_id, write=False) as db:
        channel = db.get(NewsChannel, channel_id)
        if channel is None or channel.state == "stopped":
            return
        programme = db.get_one(Programme, channel.programme_id)
        news = db.get(News, uuid.UUID(payload["news_id"])) if payload["news_id"] else None
        url = queries.activity_url(db, programme, runtime.plugins.quirks_of, public_url) or public_url
    notifier: NewsNotifier | None = runtime.plugins.news.get(channel.notifier)
    if notifier is None:
        return
    post = NewsPost(
        title=news.title if news else programme.name,
        text=news.words if news else "This channel will get the news of the programme.",
        button="Open the programme",
        url=url,
    )
    answer = notifier.post(runtime.database.secrets.unlock(channel.settings_locked), post)
    with runtime.database.transaction(tenant_id) as db:
        _note(db.get(NewsChannel, channel_id), answer, runtime)
    if answer.outcome == "retry":
        raise RetriableError(
            notifier.key, "POST", "", answer.status, answer.message_for_user, answer.retry_after
        )


def _note(channel: NewsChannel | None, answer: NotifierAnswer, runtime: Runtime) -> None:
    if channel is None:
        return
    channel.last_error = Text(answer.message_for_user) if answer.message_for_user else None
    if answer.outcome == "sent":
        channel.posted_at = runtime.clock()
    elif answer.outcome == "stopped":
        channel.state = "stopped"


def tidy(runtime: Runtime) -> None:
    """Forget what was sent long ago. **Touches** deletes from mail."""
    with runtime.database.unbound() as db:
        operations.forget_old(db, runtime.clock())
