"""Reads about busy calendars."""

import uuid
from collections.abc import Collection
from datetime import datetime

from sqlalchemy import select

from rmplugin.db import Db
from rmplugin.freebusy.models import BusyCalendar
from rmplugin.freebusy.parsing import Span


def find_calendar(db: Db, person_id: uuid.UUID) -> BusyCalendar | None:
    """Give the calendar that a person named; None when they named none.

    **Touches** reads busy_calendar.
    """
    return db.scalars(select(BusyCalendar).where(BusyCalendar.person_id == person_id)).one_or_none()


def busy_of(db: Db, person_ids: Collection[uuid.UUID]) -> list[Span]:
    """Give when one of these people is busy by their calendars, as far as they gave some.

    :return: aware UTC, in no order. For suggestions only: it says nothing about who it is.
    **Touches** reads busy_calendar.
    """
    query = select(BusyCalendar.busy).where(BusyCalendar.person_id.in_(person_ids))
    return [
        (datetime.fromisoformat(begin), datetime.fromisoformat(end))
        for busy in db.scalars(query)
        for begin, end in busy
    ]
