"""Reads of the accounts that credits are told to."""

import uuid
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select

from rmplugin.db import Db
from rmplugin.destinations.models import Brake, SinkAccount
from rmplugin.errors import NotFoundError


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


def shut_brakes(db: Db, now: datetime, place_ids: Sequence[uuid.UUID] | None = None) -> Sequence[Brake]:
    """List what is left alone for the moment, because it does not answer.

    :param place_ids: accounts and courses; None for all.
    **Touches** reads brake.
    """
    query = select(Brake).where(Brake.shut_until > now).order_by(Brake.shut_until)
    if place_ids is not None:
        query = query.where(Brake.place_id.in_(place_ids))
    return db.scalars(query).all()
