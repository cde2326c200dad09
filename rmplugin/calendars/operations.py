"""Invitations to sessions, and feeds: made, made anew, taken back."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from rmplugin import audit, languages
from rmplugin.calendars import ics, queries
from rmplugin.calendars.models import CalendarFeed
from rmplugin.db import Db
from rmplugin.logins import digest, new_token
from rmplugin.mailing import operations as mails
from rmplugin.mailing.queries import reader_of, wishes_of
from rmplugin.mailing.store import Post
from rmplugin.matching.models import Pairing
from rmplugin.people.models import Person
from rmplugin.sessions.models import MentoringSession
from rmplugin.sessions.queries import ends_at
from rmplugin.texts import Text

SUMMARY = Text("Mentoring session")


def on_session_event(
    db: Db, payload: Mapping[str, Any], now: datetime, *, kind: str, post: Post | None
) -> None:
    """Mail both people of a session what it means for their calendars.

    :param payload: session_id, sequence. When the session has changed again since, the later event tells it.
    :param kind: session_planned, session_moved or session_cancelled.
    :param post: None when there is no mail server; the feed has it all the same.
    **Touches** writes mail.
    """
    session = db.get(MentoringSession, uuid.UUID(payload["session_id"]))
    if post is None or session is None or session.sequence != payload["sequence"] or ends_at(session) <= now:
        return
    pairing = db.get_one(Pairing, session.pairing_id)
    people = [db.get_one(Person, person) for person in (pairing.mentor_id, pairing.mentee_id)]
    attendees = [person.email for person in people if person.email]
    for person in people:
        frame = frame_of(db, person, post)
        meeting = queries.meeting_of(session)
        document = ics.invitation(meeting, frame, organizer=post.sender, attendees=attendees, now=now)
        mails.invite(db, person.id, kind, f"session/{session.id}", document, session.starts_at, now)


def frame_of(db: Db, person: Person, post: Post) -> ics.Frame:
    """Say in which zone and language a person's calendar is written, and where it leads.

    **Touches** reads what `reader_of` reads.
    """
    wishes = wishes_of(db, [person.id])[person.id]
    reader = reader_of(db, person, wishes, post.public_url, post.quirks_of)
    host = urlsplit(post.public_url).hostname or "localhost"
    summary = languages.translator(reader.language)(SUMMARY)
    return ics.Frame(host=host, zone=wishes.quiet.zone, url=reader.url, summary=summary)


def make_feed(db: Db, person_id: uuid.UUID, actor: str, now: datetime) -> str:
    """Give a person a feed; an address that they had before does nothing any more.

    :return: the secret in the address, which is stored nowhere.
    **Touches** writes calendar_feed, audit_entry.
    """
    token = new_token()
    row = queries.find_feed(db, person_id)
    if row is None:
        row = CalendarFeed(person_id=person_id)
        db.add(row)
    row.token_sha256, row.made_at = digest(token), now
    audit.record(db, actor, "calendar_feed.make", person_id, now)
    return token


def revoke_feed(db: Db, person_id: uuid.UUID, actor: str, now: datetime) -> None:
    """Make a person's address worthless. Without one, nothing changes.

    **Touches** deletes from calendar_feed; writes audit_entry.
    """
    row = queries.find_feed(db, person_id)
    if row is not None:
        db.delete(row)
        audit.record(db, actor, "calendar_feed.revoke", person_id, now)
