"""Feeds, asked for by calendar programs, which have no session here."""

from sqlalchemy import select

from rmplugin.calendars import ics, operations, queries
from rmplugin.calendars.models import CalendarFeed
from rmplugin.jobs import Runtime
from rmplugin.logins import digest
from rmplugin.mailing.tasks import make_post
from rmplugin.people.models import Person


def read_feed(runtime: Runtime, token: str) -> str | None:
    """Write the feed of an address.

    :return: None when nobody has that address, or its person has left.
    **Touches** reads calendar_feed, and sessions of its person.
    """
    with runtime.database.unbound(write=False) as db:
        feed = db.scalars(select(CalendarFeed).where(CalendarFeed.token_sha256 == digest(token))).first()
    if feed is None:
        return None
    now = runtime.clock()
    with runtime.database.transaction(feed.tenant_id, write=False) as db:
        person = db.get_one(Person, feed.person_id)
        if person.has_left:
            return None
        meetings = queries.meetings_of(db, person.id, now)
        return ics.feed(
            meetings, operations.frame_of(db, person, make_post(runtime.settings, runtime.plugins)), now
        )
