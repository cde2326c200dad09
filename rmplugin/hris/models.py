"""What HR systems send by themselves: notices that were taken, and the people whom they are about."""

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from rmplugin.db import Base, TenantOwned


class HrNotice(Base, TenantOwned):
    """A notice that was taken, so that the same one again does nothing.

    :ivar notice_sha256: digest of the source's id of it.
    """

    __tablename__ = "hr_notice"
    __table_args__ = (UniqueConstraint("account_id", "notice_sha256"),)
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("hr_account.id", ondelete="CASCADE"))
    notice_sha256: Mapped[str]
    received_at: Mapped[datetime] = mapped_column(index=True)


class NoticedPerson(Base, TenantOwned):
    """Somebody who changed in the HR system and has not been fetched since; many notices make one row.

    :ivar source_key: as `Person.source_key`; nobody of that key need be known.
    """

    __tablename__ = "noticed_person"
    __table_args__ = (UniqueConstraint("account_id", "source_key"),)
    account_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("hr_account.id", ondelete="CASCADE"))
    source_key: Mapped[str]
