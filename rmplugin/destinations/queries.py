"""Reads of the accounts that credits are told to."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import or_, select

from rmplugin.db import Db
from rmplugin.destinations.models import Brake, SinkAccount
from rmplugin.errors import NotFoundError

# A failure that nothing followed says little after so long.
LATELY = timedelta(days=1)


def list_accounts(db: Db) -> Sequence[SinkAccount]:
    """List the tenant's accounts by name. **Touches** reads sink_account."""
    return db.scalars(select(SinkAccount).order_by(SinkAccount.name)).all()


def get_account(db: Db, name: str) -> SinkAccount:
    """Give an account by its name.

    :raises NotFoundError: the tenant has none of that name.
    **Touches** reads sink_account.
    """
    account = db.scalars(select(SinkAccount).where(SinkAccount.name == name)).one_or_none()
    if account is None:
        raise NotFoundError("account", typed=name)
    return account


def shut_brakes(db: Db, now: datetime) -> Sequence[Brake]:
    """List what is left alone for the moment, because it does not answer. **Touches** reads brake."""
    return db.scalars(select(Brake).where(Brake.shut_until > now).order_by(Brake.shut_until)).all()


def brakes_of(db: Db, now: datetime, place_ids: Sequence[uuid.UUID]) -> Mapping[uuid.UUID, Brake]:
    """Give what is left alone for the moment, and what answered badly lately and is tried all the same.

    :param place_ids: accounts and courses.
    :return: place -> its brake.
    **Touches** reads brake.
    """
    lately = or_(Brake.shut_until > now, Brake.updated_at > now - LATELY)
    query = select(Brake).where(Brake.place_id.in_(place_ids), lately)
    return {brake.place_id: brake for brake in db.scalars(query)}
