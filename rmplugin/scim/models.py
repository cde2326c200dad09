"""What identity providers sent, and the tokens with which they may."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from rmplugin.db import Base, HasId, TenantOwned


class ScimToken(Base, HasId):
    """A bearer token of an HR account; here is only its digest. It says whose request it is."""

    __tablename__ = "scim_token"
    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenant.id", ondelete="CASCADE"), index=True)
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("hr_account.id", ondelete="CASCADE"), index=True)
    token_sha256: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime]


class ScimResource(Base, TenantOwned):
    """A user or a group of an identity provider.

    :ivar kind: User or Group.
    :ivar former_key: the person's key in the roster when they were deleted and came back; None for the id.
    :ivar external_id, employee_number: as in the body; kept when the user is deleted, to know who comes back.
    :ivar user_name_folded: casefolded userName of a user who is not deleted; else None.
    :ivar body: attributes as `schemas` has them; empty once deleted.
    :ivar version: grows with every change; the ETag.
    :ivar change: number of the account's change that made it so; grows in the order of the commits.
    """

    __tablename__ = "scim_resource"
    __table_args__ = (
        UniqueConstraint("account_id", "user_name_folded"),
        Index("ix_scim_resource_account_change", "account_id", "change"),
        Index("ix_scim_resource_account_external_id", "account_id", "external_id"),
        CheckConstraint("kind in ('User', 'Group')", name="kind"),
    )
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("hr_account.id", ondelete="CASCADE"))
    kind: Mapped[str]
    former_key: Mapped[str | None]
    external_id: Mapped[str | None]
    employee_number: Mapped[str | None]
    user_name_folded: Mapped[str | None]
    body: Mapped[dict[str, Any]]
    version: Mapped[int]
    change: Mapped[int]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]
