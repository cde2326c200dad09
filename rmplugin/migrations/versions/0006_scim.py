"""SCIM server: what identity providers sent, and their tokens

Revision: 0006, after: 0005, made: 2026-11-26 04:30:00
"""

import sqlalchemy as sa
from alembic import op

from rmplugin.db import UtcDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "scim_token",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("token_sha256", sa.String(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["hr_account.id"],
            name=op.f("fk_scim_token_account_id_hr_account"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_scim_token_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scim_token")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_scim_token_token_sha256")),
    )
    op.create_index(op.f("ix_scim_token_account_id"), "scim_token", ["account_id"])
    op.create_index(op.f("ix_scim_token_tenant_id"), "scim_token", ["tenant_id"])
    op.create_table(
        "scim_resource",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("former_key", sa.String(), nullable=True),
        sa.Column("external_id", sa.String(), nullable=True),
        sa.Column("employee_number", sa.String(), nullable=True),
        sa.Column("user_name_folded", sa.String(), nullable=True),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("change", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("deleted_at", UtcDateTime(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("kind in ('User', 'Group')", name=op.f("ck_scim_resource_kind")),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["hr_account.id"],
            name=op.f("fk_scim_resource_account_id_hr_account"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_scim_resource_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scim_resource")),
        sa.UniqueConstraint(
            "account_id", "user_name_folded", name=op.f("uq_scim_resource_account_id_user_name_folded")
        ),
    )
    op.create_index("ix_scim_resource_account_change", "scim_resource", ["account_id", "change"])
    op.create_index("ix_scim_resource_account_external_id", "scim_resource", ["account_id", "external_id"])
    op.create_index(op.f("ix_scim_resource_tenant_id"), "scim_resource", ["tenant_id"])


def downgrade() -> None:
    op.drop_table("scim_resource")
    op.drop_table("scim_token")
