"""Papers that people take along, and the key that signs them

Revision: 0020, after: 0019, made: 2026-11-26 15:00:00
"""

import uuid

import sqlalchemy as sa
from alembic import op

from rmplugin.db import UtcDateTime

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "issuer_key",
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("public_multibase", sa.String(), nullable=False),
        sa.Column("private_key_locked", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_issuer_key")),
        sa.UniqueConstraint("purpose", name=op.f("uq_issuer_key_purpose")),
    )
    op.create_table(
        "paper",
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("programme_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("says", sa.JSON(), nullable=False),
        sa.Column("shows", sa.JSON(), nullable=False),
        sa.Column("status_index", sa.Integer(), nullable=False),
        sa.Column("issued_at", UtcDateTime(), nullable=False),
        sa.Column("revoked_at", UtcDateTime(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("state in ('valid', 'revoked', 'erased')", name=op.f("ck_paper_state")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_paper_person_id_person")),
        sa.ForeignKeyConstraint(
            ["programme_id"], ["programme.id"], name=op.f("fk_paper_programme_id_programme")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_paper_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_paper")),
        sa.UniqueConstraint("tenant_id", "status_index", name=op.f("uq_paper_tenant_id_status_index")),
    )
    op.create_index(op.f("ix_paper_person_id"), "paper", ["person_id"])
    op.create_index(op.f("ix_paper_tenant_id"), "paper", ["tenant_id"])
    op.create_index(
        "uq_paper_valid",
        "paper",
        ["programme_id", "person_id"],
        unique=True,
        sqlite_where=sa.text("state = 'valid'"),
        postgresql_where=sa.text("state = 'valid'"),
    )
    _issue_to_those_who_have_completed()


def _issue_to_those_who_have_completed() -> None:
    completion = sa.table(
        "completion",
        sa.column("tenant_id", sa.Uuid()),
        sa.column("programme_id", sa.Uuid()),
        sa.column("person_id", sa.Uuid()),
        sa.column("met_at", UtcDateTime()),
    )
    event = sa.table(
        "outbox_event",
        sa.column("id", sa.Uuid()),
        sa.column("tenant_id", sa.Uuid()),
        sa.column("kind", sa.String()),
        sa.column("payload", sa.JSON()),
        sa.column("state", sa.String()),
        sa.column("attempts", sa.Integer()),
        sa.column("next_at", UtcDateTime()),
        sa.column("created_at", UtcDateTime()),
    )
    met = sa.select(completion).where(completion.c.met_at.is_not(None))
    for row in op.get_bind().execute(met).all():
        op.get_bind().execute(
            event.insert().values(
                id=uuid.uuid4(),
                tenant_id=row.tenant_id,
                kind="completion_met",
                payload={"programme_id": str(row.programme_id), "person_id": str(row.person_id)},
                state="pending",
                attempts=0,
                next_at=row.met_at,
                created_at=row.met_at,
            )
        )


def downgrade() -> None:
    op.drop_table("paper")
    op.drop_table("issuer_key")
