"""Mails made of notices and of sessions; how people want to be told; news of a programme."""

import uuid
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select

from rmplugin import audit, jobs, notify
from rmplugin.db import Db, Secrets
from rmplugin.errors import ConflictError
from rmplugin.mailing import queries
from rmplugin.mailing.catalogue import GROUPS, SERVICE, find_kind
from rmplugin.mailing.models import BlockedAddress, Mail, MailChoice, MailSetup, News, NewsChannel
from rmplugin.mailing.quiet import EVENING, MORNING
from rmplugin.notify import Notice
from rmplugin.programmes.models import Programme
from rmplugin.texts import Text

# Notices that are looked at in one transaction.
AT_ONCE = 500
NEWS_TO_POST = "news_to_post"
# What was sent is told for so long; then its row goes.
KEPT = timedelta(days=90)


def take_notices(db: Db, now: datetime, *, mailing: bool) -> int:
    """Make the mails of new notices, as each person wishes; a notice makes one at most.

    :param mailing: False when there is no mail server: then the notices stay in the tool.
    :return: how many notices were looked at, `AT_ONCE` at most.
    **Touches** writes mail, notice.
    """
    query = select(Notice).where(Notice.to_mail).order_by(Notice.id).limit(AT_ONCE)
    notices = db.scalars(query.with_for_update(skip_locked=True)).all()
    people = {notice.person_id for notice in notices}
    reachable = queries.reachable(db, people) if mailing else set()
    wishes = queries.wishes_of(db, reachable)
    for notice in notices:
        notice.to_mail = False
        if notice.person_id not in reachable or notice.read_at is not None:
            continue
        due_at = wishes[notice.person_id].due_at(find_kind(notice.kind).group, now)
        if due_at is not None:
            mail = {"person_id": notice.person_id, "notice_id": notice.id, "kind": notice.kind}
            db.add(Mail(**mail, due_at=due_at, created_at=now))
    return len(notices)


def invite(
    db: Db, person_id: uuid.UUID, kind: str, about: str, invitation: str, starts_at: datetime, now: datetime
) -> None:
    """Mail an invitation for a calendar, or what has become of it.

    One that was not sent yet gives way. Whoever wants no such mails gets none, but for what changes an entry
    that an earlier one has put into their calendar. A session that begins before quiet hours end is told
    at once.

    :param kind: session_planned, session_moved or session_cancelled.
    :param about: the same for all invitations to one session.
    :param invitation: iCalendar document.
    :param starts_at: aware UTC.
    **Touches** writes mail.
    """
    earlier = select(Mail).where(Mail.person_id == person_id, Mail.about == about).with_for_update()
    known = False
    for mail in db.scalars(earlier):
        if mail.state == "waiting" and mail.letter_id is None:
            mail.state, mail.invitation = "dropped", None
        known = known or mail.letter_id is not None
    if not queries.reachable(db, [person_id]) or (kind == "session_cancelled" and not known):
        return
    wishes = queries.wishes_of(db, [person_id])[person_id]
    due_at = wishes.due_at(find_kind(kind).group, now)
    if due_at is None and not known:
        return
    due_at = due_at or wishes.quiet.end_of_quiet(now)
    mail = Mail(person_id=person_id, kind=kind, about=about, invitation=invitation, created_at=now)
    mail.due_at = due_at if due_at < starts_at else now
    db.add(mail)
    db.info["wake"] = True


def send_test(db: Db, address: str, kind: str, language: str, actor: str, now: datetime) -> None:
    """Mail a sample to whoever asks for it. **Touches** writes mail, audit_entry."""
    db.add(Mail(address=address, kind=kind, language=language, due_at=now, created_at=now))
    db.info["wake"] = True
    audit.record(db, actor, "mail.test", None, now, kind=kind)


def choose(db: Db, person_id: uuid.UUID, values: Mapping[str, Any], now: datetime) -> None:
    """Keep how a person wants to be told. Mails that wait already follow it when they are due.

    :param values: ways (group -> way), quiet_from_minute, quiet_to_minute, language.
    **Touches** writes mail_choice.
    """
    row = _choice(db, person_id, now)
    row.ways = {group: way for group, way in values["ways"].items() if group in GROUPS and group != SERVICE}
    row.quiet_from_minute, row.quiet_to_minute = values["quiet_from_minute"], values["quiet_to_minute"]
    row.language, row.updated_at = values["language"], now


def switch_off(db: Db, person_id: uuid.UUID, groups: Collection[str], now: datetime) -> list[str]:
    """Send a person no more mails of some groups; the notices stay in the tool. Twice changes nothing.

    :return: the groups that are off now, of those that were asked for.
    **Touches** writes mail_choice.
    """
    wanted = [group for group in GROUPS if group in groups and group != SERVICE]
    row = _choice(db, person_id, now)
    row.ways, row.updated_at = row.ways | dict.fromkeys(wanted, "off"), now
    return wanted


def _choice(db: Db, person_id: uuid.UUID, now: datetime) -> MailChoice:
    row = queries.find_choice(db, person_id)
    if row is None:
        row = MailChoice(person_id=person_id, ways={}, language=None, updated_at=now)
        row.quiet_from_minute, row.quiet_to_minute = EVENING, MORNING
        db.add(row)
    return row


def unblock(db: Db, blocked: BlockedAddress, actor: str, now: datetime) -> None:
    """Send mails to an address again, those that were given up for it included.

    **Touches** deletes from blocked_address; writes mail, audit_entry.
    """
    db.delete(blocked)
    _send_again(db, Mail.person_id == blocked.person_id, now)
    audit.record(db, actor, "mail.unblock", blocked.person_id, now)


def try_again(db: Db, actor: str, now: datetime) -> int:
    """Make every mail that was given up, or waits after a fault, due now.

    :return: how many.
    **Touches** writes mail, audit_entry.
    """
    count = _send_again(db, (Mail.state == "failed") | (Mail.attempts > 0), now)
    audit.record(db, actor, "mail.try_again", None, now, count=count)
    return count


def _send_again(db: Db, which: Any, now: datetime) -> int:
    query = select(Mail).where(which, Mail.state.in_(("failed", "waiting"))).with_for_update()
    rows = db.scalars(query).all()
    for row in rows:
        if row.state == "failed":
            row.attempts = 0
        row.state, row.due_at = "waiting", now
    db.info["wake"] = True
    return len(rows)


def forget_old(db: Db, now: datetime) -> None:
    """Forget mails that were sent or dropped long ago. **Touches** deletes from mail."""
    db.execute(delete(Mail).where(Mail.state.in_(("sent", "dropped")), Mail.created_at < now - KEPT))


# ---- a programme's manager ----


def set_activity_url(db: Db, programme: Programme, url: str | None, actor: str, now: datetime) -> None:
    """Say where the button of a programme's mails leads.

    :param url: of the activity in the LMS; None to work it out.
    **Touches** writes mail_setup, audit_entry.
    """
    row = queries.find_setup(db, programme.id)
    if row is None:
        row = MailSetup(programme_id=programme.id)
        db.add(row)
    row.activity_url = url
    audit.record(db, actor, "mail.activity_url", programme.id, now)


def add_channel(
    db: Db,
    programme: Programme,
    values: Mapping[str, Any],
    settings: Mapping[str, Any],
    secrets: Secrets,
    actor: str,
    now: datetime,
) -> NewsChannel:
    """Let a programme's news also go to a channel of a team.

    :param values: notifier, name.
    :param settings: of the notifier, loaded by its schema.
    **Touches** writes news_channel, audit_entry.
    """
    channel = NewsChannel(
        programme_id=programme.id,
        notifier=values["notifier"],
        name=values["name"],
        settings_locked=secrets.lock(dict(settings)),
        created_at=now,
    )
    db.add(channel)
    db.flush()
    audit.record(db, actor, "news_channel.add", channel.id, now, notifier=channel.notifier)
    return channel


def remove_channel(db: Db, channel: NewsChannel, actor: str, now: datetime) -> None:
    """Send no more news to a channel, and forget its address. **Touches** deletes from news_channel."""
    db.delete(channel)
    audit.record(db, actor, "news_channel.remove", channel.id, now)


def tell_news(db: Db, programme: Programme, values: Mapping[str, Any], actor: str, now: datetime) -> News:
    """Tell everybody who takes part in a programme something, and its channels.

    :param values: title, words.
    :raises ConflictError: the programme is over.
    **Touches** writes news, notice, outbox_event, audit_entry.
    """
    if programme.state == "archived":
        raise ConflictError("programme_over", "This programme is over, so nobody was told anything.")
    news = News(programme_id=programme.id, title=values["title"], words=values["words"])
    news.written_by, news.written_at = actor, now
    db.add(news)
    db.flush()
    text = Text("News of “%(name)s”: %(title)s", name=programme.name, title=news.title)
    told = [(person, text, f"/news/{news.id}") for person in queries.people_of(db, programme.id)]
    notify.tell_all(db, "news", told, now, ())
    for channel in queries.list_channels(db, programme.id):
        if channel.state == "active":
            jobs.enqueue(db, NEWS_TO_POST, now, news_id=str(news.id), channel_id=str(channel.id))
    audit.record(db, actor, "news.tell", news.id, now, people=len(told))
    return news


def try_channel(db: Db, channel: NewsChannel, now: datetime) -> None:
    """Post a sample into a channel; one that was stopped gets another chance.

    **Touches** writes news_channel, outbox_event.
    """
    channel.state, channel.last_error = "active", None
    jobs.enqueue(db, NEWS_TO_POST, now, news_id=None, channel_id=str(channel.id))
