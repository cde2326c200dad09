"""Reads about mails: how people want to be told, what is on its way, what was refused."""

import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

from sqlalchemy import and_, func, select

from rmplugin import languages
from rmplugin.db import Db, chunks
from rmplugin.errors import NotFoundError
from rmplugin.logins import WebSession
from rmplugin.mailing.catalogue import DEFAULT_WAYS, GROUPS, SERVICE
from rmplugin.mailing.letters import Reader
from rmplugin.mailing.models import BlockedAddress, Mail, MailChoice, MailSetup, News, NewsChannel
from rmplugin.mailing.quiet import WEEK, QuietHours
from rmplugin.people.models import LtiUser, Person, Profile
from rmplugin.people.queries import is_zone
from rmplugin.programmes.models import Enrolment, Programme
from rmplugin.records import PlatformQuirks
from rmplugin.tenants.models import LtiContext, LtiPlatform, LtiResourceLink

QuirksOf = Callable[[str | None], PlatformQuirks]


@dataclass(frozen=True, slots=True)
class Wishes:
    """How somebody wants to be told.

    :ivar ways: group -> at_once, digest or off, for every group.
    :ivar language: that they chose; None when they did not.
    """

    ways: dict[str, str] = field(default_factory=lambda: dict(DEFAULT_WAYS))
    quiet: QuietHours = field(default_factory=QuietHours)
    language: str | None = None

    def due_at(self, group: str, now: datetime) -> datetime | None:
        """Give the moment at which a mail may go out; None when none is wanted.

        :param now: aware UTC.
        **Touches** pure.
        """
        way = self.ways[group]
        if way == "off":
            return None
        return self.quiet.next_round(now) if way == "digest" else self.quiet.end_of_quiet(now)


def wishes_of(db: Db, person_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, Wishes]:
    """Give people's wishes; in a few statements, however many they are.

    :return: for everybody of this tenant.
    **Touches** reads person, profile, mail_choice.
    """
    found: dict[uuid.UUID, Wishes] = {}
    for some in chunks(person_ids):
        query = (
            select(Person.id, Person.time_zone, Profile, MailChoice)
            .outerjoin(Profile, Profile.person_id == Person.id)
            .outerjoin(MailChoice, MailChoice.person_id == Person.id)
            .where(Person.id.in_(some))
        )
        for person_id, zone, profile, choice in db.execute(query):
            found[person_id] = _wishes(zone, profile, choice)
    return found


def _wishes(hr_zone: str | None, profile: Profile | None, choice: MailChoice | None) -> Wishes:
    zones = (profile.time_zone if profile else None, hr_zone)
    zone = next((name for name in zones if name and is_zone(name)), "UTC")
    days = tuple(profile.work_days) if profile else WEEK
    if choice is None:
        return Wishes(quiet=QuietHours(zone, work_days=days))
    quiet = QuietHours(zone, choice.quiet_from_minute, choice.quiet_to_minute, days)
    chosen = {group: way for group, way in choice.ways.items() if group in GROUPS and group != SERVICE}
    return Wishes(DEFAULT_WAYS | chosen, quiet, choice.language)


def reachable(db: Db, person_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Tell who can be sent mail: at work, with an address that was not refused.

    **Touches** reads person, blocked_address.
    """
    found: set[uuid.UUID] = set()
    refused = and_(BlockedAddress.person_id == Person.id, BlockedAddress.email_folded == Person.email_folded)
    for some in chunks(person_ids):
        query = select(Person).outerjoin(BlockedAddress, refused)
        query = query.where(Person.id.in_(some), Person.email.is_not(None), BlockedAddress.id.is_(None))
        found |= {person.id for person in db.scalars(query) if person.is_working}
    return found


def language_of(db: Db, person: Person, wishes: Wishes) -> str:
    """Give the language for a person's mails: what they chose, else saw last, else speak, else English.

    **Touches** reads web_session.
    """
    query = select(WebSession.locale).where(
        WebSession.tenant_id == db.tenant_id,
        WebSession.person_id == person.id,
        WebSession.locale.is_not(None),
    )
    seen = db.scalars(query.order_by(WebSession.seen_at.desc()).limit(1)).first()
    return languages.first_translated([wishes.language, seen, *person.languages])


def reader_of(db: Db, person: Person, wishes: Wishes, public_url: str, quirks_of: QuirksOf) -> Reader:
    """Say who a letter is for and where its button leads.

    **Touches** reads enrolment, programme, mail_setup, lti_context and what belongs to it, web_session.
    """
    query = (
        select(Programme)
        .join(Enrolment, Enrolment.programme_id == Programme.id)
        .where(Enrolment.person_id == person.id)
        .order_by(Programme.starts_on.desc(), Programme.id.desc())
    )
    programme = db.scalars(query.limit(1)).first()
    url = activity_url(db, programme, quirks_of, public_url) if programme else None
    return Reader(
        person.preferred_name or person.given_name,
        language_of(db, person, wishes),
        programme.name if programme else None,
        url or public_url,
        in_lms=url is not None,
    )


def activity_url(db: Db, programme: Programme, quirks_of: QuirksOf, public_url: str) -> str | None:
    """Give the address of a programme's activity in the LMS: what the manager entered, else worked out.

    :param quirks_of: gives the dialect of a family of platforms.
    :param public_url: of the settings.
    :return: None when nobody entered it and the platform's dialect does not say how to make it.
    **Touches** reads mail_setup, lti_context, lti_platform, lti_resource_link.
    """
    entered = find_setup(db, programme.id)
    if entered is not None and entered.activity_url:
        return entered.activity_url
    query = (
        select(LtiPlatform, LtiContext, LtiResourceLink)
        .join(LtiContext, LtiContext.platform_id == LtiPlatform.id)
        .join(LtiResourceLink, LtiResourceLink.context_id == LtiContext.id)
        .where(LtiContext.id == programme.context_id)
        .order_by(LtiResourceLink.last_launch_at.desc(), LtiResourceLink.id)
    )
    row = db.execute(query.limit(1)).one_or_none()
    if row is None:
        return None
    platform, context, link = row
    pattern = quirks_of(platform.family).activity_url
    facts = {
        "issuer": platform.issuer.rstrip("/"),
        "context_id": context.context_id,
        "resource_link_id": link.resource_link_id,
        "course_url": context.course_url,
        "launch_url": quote(f"{public_url}/lti/launch", safe=""),
    }
    if not pattern or ("{course_url}" in pattern and context.course_url is None):
        return None
    return pattern.format(**facts)


def find_setup(db: Db, programme_id: uuid.UUID) -> MailSetup | None:
    """Give what a manager says about a programme's mails. **Touches** reads mail_setup."""
    return db.scalars(select(MailSetup).where(MailSetup.programme_id == programme_id)).one_or_none()


def find_choice(db: Db, person_id: uuid.UUID) -> MailChoice | None:
    """Give how a person wants to be told; None when they never said. **Touches** reads mail_choice."""
    return db.scalars(select(MailChoice).where(MailChoice.person_id == person_id)).one_or_none()


def own_address(db: Db, person_id: uuid.UUID | None, lti_user_id: uuid.UUID | None) -> str | None:
    """Give the address of whoever looks at a page: of the staff list, else of the LMS; None without one.

    **Touches** reads person, lti_user.
    """
    person = db.get(Person, person_id) if person_id else None
    user = db.get(LtiUser, lti_user_id) if lti_user_id else None
    return (person.email if person else None) or (user.email if user else None)


# ---- for the administrator ----


def count_mails(db: Db) -> dict[str, int]:
    """Count mails by state. **Touches** reads mail."""
    query = select(Mail.state, func.count()).group_by(Mail.state)
    return {row[0]: row[1] for row in db.execute(query)}


def list_unsent(db: Db, limit: int = 100) -> Sequence[Mail]:
    """List mails that wait or were given up: those with errors first, then what is due next.

    **Touches** reads mail.
    """
    query = select(Mail).where(Mail.state.in_(("waiting", "sending", "failed")))
    query = query.order_by(Mail.attempts == 0, Mail.due_at, Mail.id)
    return db.scalars(query.limit(limit)).all()


def list_blocked(db: Db) -> list[tuple[BlockedAddress, Person]]:
    """List the addresses that were refused, newest first, as long as they are the person's own still.

    **Touches** reads blocked_address, person.
    """
    query = select(BlockedAddress, Person).join(Person, Person.id == BlockedAddress.person_id)
    query = query.where(Person.email_folded == BlockedAddress.email_folded)
    return [(row[0], row[1]) for row in db.execute(query.order_by(BlockedAddress.blocked_at.desc()))]


def get_blocked(db: Db, blocked_address_id: uuid.UUID) -> BlockedAddress:
    """Give an address that was refused.

    :raises NotFoundError: there is none.
    **Touches** reads blocked_address.
    """
    row = db.get(BlockedAddress, blocked_address_id)
    if row is None:
        raise NotFoundError("address")
    return row


# ---- programme news ----


def list_channels(db: Db, programme_id: uuid.UUID) -> Sequence[NewsChannel]:
    """List a programme's channels, oldest first. **Touches** reads news_channel."""
    query = select(NewsChannel).where(NewsChannel.programme_id == programme_id)
    return db.scalars(query.order_by(NewsChannel.id)).all()


def get_channel(db: Db, news_channel_id: uuid.UUID) -> NewsChannel:
    """Give a channel.

    :raises NotFoundError: there is none.
    **Touches** reads news_channel.
    """
    channel = db.get(NewsChannel, news_channel_id)
    if channel is None:
        raise NotFoundError("channel")
    return channel


def list_news(db: Db, programme_id: uuid.UUID, limit: int = 50) -> Sequence[News]:
    """List a programme's news, newest first. **Touches** reads news."""
    query = select(News).where(News.programme_id == programme_id)
    return db.scalars(query.order_by(News.id.desc()).limit(limit)).all()


def get_news_for(db: Db, news_id: uuid.UUID, person_id: uuid.UUID) -> News:
    """Give news to somebody who is, or was asked to be, in its programme.

    :raises NotFoundError: there is none, or it is not for them.
    **Touches** reads news, enrolment.
    """
    query = select(News).join(Enrolment, Enrolment.programme_id == News.programme_id)
    query = query.where(News.id == news_id, Enrolment.person_id == person_id)
    news = db.scalars(query).one_or_none()
    if news is None:
        raise NotFoundError("news")
    return news


def people_of(db: Db, programme_id: uuid.UUID) -> list[uuid.UUID]:
    """List who takes part in a programme, but for those who only were invited.

    **Touches** reads enrolment.
    """
    taking_part: tuple[Any, ...] = ("started", "submitted", "completed")
    query = select(Enrolment.person_id).where(
        Enrolment.programme_id == programme_id, Enrolment.state.in_(taking_part)
    )
    return list(db.scalars(query.order_by(Enrolment.person_id)))
