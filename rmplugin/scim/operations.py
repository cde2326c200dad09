"""What identity providers change, one function per verb; the engine takes it in soon after."""

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select

from rmplugin import audit, jobs
from rmplugin.db import Db, Secrets, new_id
from rmplugin.errors import ConflictError
from rmplugin.logins import digest, new_token
from rmplugin.records import HrisConnector
from rmplugin.scim import queries
from rmplugin.scim.models import ScimResource, ScimToken
from rmplugin.scim.patches import apply_patch
from rmplugin.scim.schemas import ENTERPRISE, Kind, ScimError, check_resource, clean_resource
from rmplugin.tenants.models import HrAccount
from rmplugin.tenants.operations import add_account

# A burst of requests is taken in by one run this long after it began.
SOON = timedelta(seconds=30)
# A request is committed this long after it began at the latest, or else the next run takes it in.
LONGEST_REQUEST = timedelta(seconds=10)


def issue_token(
    db: Db, name: str, connector: HrisConnector, secrets_box: Secrets, now: datetime, actor: str = "command"
) -> str:
    """Make a bearer token for an HR account, and the account when there is none. Older tokens stay good.

    :param connector: the one that reads what identity providers sent.
    :return: the token; only its digest is kept.
    :raises ConflictError: the account reads another system.
    **Touches** writes hr_account, scim_token, audit_entry.
    """
    account = db.scalars(select(HrAccount).where(HrAccount.name == name)).one_or_none()
    if account is None:
        account = add_account(db, name, connector, {}, {}, secrets_box, now)
    if account.connector != connector.key:
        raise ConflictError(
            "account_not_scim",
            f"The HR account '{name}' reads another system ({account.connector}). Nothing was changed. "
            "Choose another name for the identity provider.",
        )
    token = f"scim_{new_token()}"
    db.add(
        ScimToken(tenant_id=db.tenant_id, account_id=account.id, token_sha256=digest(token), created_at=now)
    )
    audit.record(db, actor, "scim_token.issue", account.id, now)
    return token


def revoke_tokens(
    db: Db, account: HrAccount, now: datetime, actor: str = "command", *, keep_newest: bool
) -> int:
    """Make an account's tokens useless.

    :param keep_newest: all but the one that was made last.
    :return: how many.
    **Touches** deletes scim_token, writes audit_entry.
    """
    mine = (ScimToken.tenant_id == db.tenant_id, ScimToken.account_id == account.id)
    newest_first = select(ScimToken.id).where(*mine).order_by(ScimToken.id.desc())
    doomed = list(db.scalars(newest_first))[1 if keep_newest else 0 :]
    db.execute(delete(ScimToken).where(*mine, ScimToken.id.in_(doomed)))
    audit.record(db, actor, "scim_token.revoke", account.id, now, tokens=len(doomed))
    return len(doomed)


def create(db: Db, account_id: uuid.UUID, kind: Kind, data: Any, now: datetime) -> ScimResource:
    """Store a new resource.

    Somebody who was deleted and comes back with the same externalId is the same person, unless the employee
    numbers say otherwise.

    :param data: the decoded body.
    :raises ScimError: it cannot be used, or the userName is taken.
    **Source** RFC 7644, section 3.3. **Touches** writes scim_resource, outbox_event.
    """
    body = clean_resource(kind, data)
    row = ScimResource(id=new_id(), account_id=account_id, kind=kind.name, body={}, version=0, created_at=now)
    change = _next_change(db, account_id)
    _store(db, row, kind, body, change, now)
    former = queries.find_deleted(db, account_id, row.external_id) if row.external_id else None
    if former is not None and row.employee_number in (None, former.employee_number):
        row.former_key = former.former_key or str(former.id)
        # The deleted one must not be said to be gone by a later reading.
        former.external_id = None
    db.add(row)
    db.flush()
    return row


def replace(
    db: Db,
    account_id: uuid.UUID,
    kind: Kind,
    resource_id: str,
    data: Any,
    if_match: str | None,
    now: datetime,
) -> ScimResource:
    """Replace a resource. Leaving out `active` leaves it as it was: nobody leaves or comes back by that.

    :param data: the decoded body.
    :param if_match: the header; None without it.
    :raises ScimError: see `create`; 404, 412.
    **Source** RFC 7644, section 3.5.1. **Touches** writes scim_resource, outbox_event.
    """
    change = _next_change(db, account_id)
    row = _expected(db, account_id, kind, resource_id, if_match)
    body = clean_resource(kind, data)
    if "active" in row.body:
        body.setdefault("active", row.body["active"])
    _store(db, row, kind, body, change, now)
    return row


def patch(
    db: Db,
    account_id: uuid.UUID,
    kind: Kind,
    resource_id: str,
    data: Any,
    if_match: str | None,
    now: datetime,
) -> ScimResource:
    """Change parts of a resource.

    :param data: the decoded PatchOp.
    :param if_match: the header; None without it.
    :raises ScimError: see `create`; 404, 412.
    **Source** RFC 7644, section 3.5.2. **Touches** writes scim_resource, outbox_event.
    """
    change = _next_change(db, account_id)
    row = _expected(db, account_id, kind, resource_id, if_match)
    _store(db, row, kind, apply_patch(kind, row.body, data), change, now)
    return row


def remove(
    db: Db, account_id: uuid.UUID, kind: Kind, resource_id: str, if_match: str | None, now: datetime
) -> None:
    """Delete a resource. Its data go; id, externalId and employee number stay, to know who comes back.

    :param if_match: the header; None without it.
    :raises ScimError: 404, 412.
    **Source** RFC 7644, section 3.6. **Touches** writes scim_resource, outbox_event.
    """
    change = _next_change(db, account_id)
    row = _expected(db, account_id, kind, resource_id, if_match)
    row.body, row.user_name_folded = {}, None
    row.change, row.updated_at, row.deleted_at = change, now, now
    _announce(db, kind, account_id, now)


def _next_change(db: Db, account_id: uuid.UUID) -> int:
    """Hold the account, so that changes are numbered in the order of their commits, and give the next number.

    People may be written meanwhile: the lock does not bar rows that refer to the account.
    """
    account = select(HrAccount.id).where(HrAccount.id == account_id)
    db.execute(account.with_for_update(key_share=True))
    return queries.last_change(db, account_id) + 1


def _expected(
    db: Db, account_id: uuid.UUID, kind: Kind, resource_id: str, if_match: str | None
) -> ScimResource:
    row = queries.get_resource(db, account_id, kind, resource_id)
    known = [tag.strip().removeprefix("W/").strip('"') for tag in (if_match or "*").split(",")]
    if "*" not in known and str(row.version) not in known:
        raise ScimError(412, None, "The resource was changed meanwhile. Nothing was changed. Read it again.")
    return row


def _store(
    db: Db, row: ScimResource, kind: Kind, body: Mapping[str, Any], change: int, now: datetime
) -> None:
    check_resource(kind, body)
    name = body.get("userName")
    if name is not None:
        other = queries.find_same_name(db, row.account_id, name)
        if other is not None and other.id != row.id:
            raise ScimError(409, "uniqueness", "Another user has this userName. Nothing was changed.")
        row.user_name_folded = name.casefold()
    if row.version and row.body == body:
        # Providers send everything again and again; what is the same needs no run.
        return
    row.body, row.version, row.change, row.updated_at = dict(body), row.version + 1, change, now
    row.external_id = body.get("externalId")
    row.employee_number = body.get(ENTERPRISE, {}).get("employeeNumber")
    _announce(db, kind, row.account_id, now)


def _announce(db: Db, kind: Kind, account_id: uuid.UUID, now: datetime) -> None:
    """Have the engine take in what changed; one event is enough for all changes until then."""
    if kind.name == "User" and not queries.is_event_waiting(
        db, account_id, now + LONGEST_REQUEST, now + SOON
    ):
        jobs.enqueue(db, queries.CHANGED, now + SOON, account_id=str(account_id))
