"""Accounts that take credits as events, brakes, deliveries of events

Revision: 0019, after: 0018, made: 2026-11-26 14:40:00
"""

import sqlalchemy as sa
from alembic import op

from rmplugin.db import UtcDateTime

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sink_account",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("sink", sa.String(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("secrets_locked", sa.LargeBinary(), nullable=True),
        sa.Column("takes", sa.JSON(), nullable=False),
        sa.Column("corrects", sa.Boolean(), nullable=False),
        sa.Column("takes_from", UtcDateTime(), nullable=False),
        sa.Column("paused_at", UtcDateTime(), nullable=True),
        sa.Column("recent_calls", sa.JSON(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_sink_account_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sink_account")),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_sink_account_tenant_id_name")),
    )
    op.create_index(op.f("ix_sink_account_tenant_id"), "sink_account", ["tenant_id"])
    op.create_table(
        "brake",
        sa.Column("sink", sa.String(), nullable=False),
        sa.Column("place_id", sa.Uuid(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("shut_until", UtcDateTime(), nullable=True),
        sa.Column("last_status", sa.Integer(), nullable=True),
        sa.Column("last_error", sa.String(), nullable=True),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_brake_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_brake")),
        sa.UniqueConstraint("tenant_id", "sink", "place_id", name=op.f("uq_brake_tenant_id_sink_place_id")),
    )
    op.create_index(op.f("ix_brake_tenant_id"), "brake", ["tenant_id"])
    with op.batch_alter_table("delivery") as batch:
        batch.add_column(sa.Column("account_id", sa.Uuid(), nullable=True))
        batch.add_column(sa.Column("waits_for_id", sa.Uuid(), nullable=True))
        batch.create_foreign_key(
            op.f("fk_delivery_account_id_sink_account"),
            "sink_account",
            ["account_id"],
            ["id"],
            ondelete="CASCADE",
        )
        batch.create_index("ix_delivery_account_state", ["account_id", "state", "next_at"])


def downgrade() -> None:
    op.execute("DELETE FROM delivery WHERE account_id IS NOT NULL")
    with op.batch_alter_table("delivery") as batch:
        batch.drop_index("ix_delivery_account_state")
        batch.drop_constraint(op.f("fk_delivery_account_id_sink_account"), type_="foreignkey")
        batch.drop_column("waits_for_id")
        batch.drop_column("account_id")
    op.drop_table("brake")
    op.drop_table("sink_account")
