"""What identity providers sent, as the engine reads an HR system: a connector that comes with the core."""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import marshmallow as ma

from rmplugin.db import Database, Db
from rmplugin.errors import CursorExpiredError, InputError, SkippableRecordError
from rmplugin.hookspecs import hookimpl
from rmplugin.records import Capabilities, CheckResult, EmployeeRecord, RosterPage, SkippedRecord
from rmplugin.scim import queries
from rmplugin.scim.models import ScimResource
from rmplugin.scim.schemas import EMPLOYMENT
from rmplugin.scim_user import read_scim_user

KEY = "scim_server"
PAGE_SIZE = 1000
MAPPING = {
    "grade": f"{EMPLOYMENT}:grade",
    "location": f"{EMPLOYMENT}:location",
    "hire_date": f"{EMPLOYMENT}:hireDate",
    "termination_date": f"{EMPLOYMENT}:terminationDate",
}


class NoSettings(ma.Schema):
    """Nothing to declare: the identity provider is told our address and a token."""

    class Meta:
        """Unknown settings are refused, not dropped in silence."""

        unknown = ma.RAISE


@dataclass(frozen=True, slots=True)
class _Account:
    database: Database
    tenant_id: uuid.UUID
    account_id: uuid.UUID


class ScimServerConnector:
    """Reads the users whom an identity provider pushed to /scim/v2.

    :param account: whose; None for the connector as it is registered, which only describes itself.
    """

    key = KEY
    title = "SCIM 2.0 server (Microsoft Entra ID, Okta and others push to it)"
    settings_schema: type[ma.Schema] = NoSettings
    capabilities = Capabilities(incremental=True, deletes=True)

    def __init__(self, account: _Account | None = None) -> None:
        self._account = account

    def of(self, database: Database, tenant_id: uuid.UUID, account_id: uuid.UUID) -> "ScimServerConnector":
        """Give the connector of one account. **Touches** pure."""
        return ScimServerConnector(_Account(database, tenant_id, account_id))

    def check(self, settings: Mapping[str, Any]) -> list[CheckResult]:
        """Say whether a provider may come, and whether one came.

        **Touches** reads scim_token, scim_resource.
        """
        del settings
        with self._transaction() as (db, account_id):
            tokens, users = queries.count_tokens(db, account_id), queries.count_users(db, account_id)
        none = "There is none. Make one: rmplugin scim token NAME"
        empty = "None came yet. Start the provisioning of the identity provider."
        return [
            CheckResult("Token", ok=tokens > 0, advice=f"{tokens} good" if tokens else none),
            CheckResult("Users", ok=users > 0, advice=f"{users} so far" if users else empty),
        ]

    def read(self, settings: Mapping[str, Any], cursor: str | None) -> Iterator[RosterPage]:
        """Give what was pushed: all of it, or what changed since.

        :param cursor: number of the last change that was taken in.
        :raises CursorExpiredError: it is no such number.
        **Touches** reads scim_resource in one transaction, so that all pages are of one moment.
        """
        del settings
        after = None if cursor is None else int(cursor) if cursor.isdecimal() else -1
        with self._transaction() as (db, account_id):
            last = queries.last_change(db, account_id)
            if after is not None and not 0 <= after <= last:
                raise CursorExpiredError("SCIM server", "read", "", None)
            total = queries.count_users(db, account_id) if after is None else None
            keys = queries.keys_of_returned(db, account_id)
            page = RosterPage([], cursor=str(last), total=total)
            for row in queries.stream_users(db, account_id, after):
                _take(row, page, keys)
                if len(page.records) >= PAGE_SIZE:
                    yield page
                    page = RosterPage([], cursor=str(last), total=total)
            yield page

    @contextmanager
    def _transaction(self) -> Iterator[tuple[Db, uuid.UUID]]:
        if self._account is None:
            raise InputError(
                "scim_no_account", "The SCIM server is read by account only. Nothing was changed."
            )
        with self._account.database.transaction(self._account.tenant_id, write=False) as db:
            yield db, self._account.account_id


def _take(row: ScimResource, page: RosterPage, keys: Mapping[str, str]) -> None:
    key = row.former_key or str(row.id)
    if row.deleted_at is not None:
        # Whoever came back under another id has not left.
        if key not in keys.values() or row.former_key is not None:
            page.gone.append(key)
        return
    try:
        record = read_scim_user({**row.body, "id": key}, MAPPING)
    except SkippableRecordError as error:
        page.skipped.append(SkippedRecord(error.ref, error.field, error.reason, key))
        return
    page.records.append(_with_manager(record, keys))


def _with_manager(record: EmployeeRecord, keys: Mapping[str, str]) -> EmployeeRecord:
    boss = keys.get(record.manager_key or "")
    return replace(record, manager_key=boss) if boss else record


class ScimServerPlugin:
    """Brings the connector to the others."""

    @hookimpl
    def rm_register_hris_connectors(self) -> list[ScimServerConnector]:
        """Bring this connector."""
        return [ScimServerConnector()]
