"""HR accounts: schedule, ranks by other words, checks, notices of HR systems

Revision: 0004, after: 0003, made: 2026-11-26 04:40:00
"""

import sqlalchemy as sa
from alembic import op

from rmplugin.db import UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def _table_of_account(name: str, *columns: sa.Column[str] | sa.Column[sa.DateTime], unique: str) -> None:
    op.create_table(
        name,
        sa.Column("account_id", sa.Uuid(), nullable=False),
        *columns,
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["hr_account.id"],
            name=op.f(f"fk_{name}_account_id_hr_account"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f(f"fk_{name}_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{name}")),
        sa.UniqueConstraint("account_id", unique, name=op.f(f"uq_{name}_account_id_{unique}")),
    )
    op.create_index(op.f(f"ix_{name}_tenant_id"), name, ["tenant_id"])


def upgrade() -> None:
    _table_of_account(
        "hr_notice",
        sa.Column("notice_sha256", sa.String(), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        unique="notice_sha256",
    )
    op.create_index(op.f("ix_hr_notice_received_at"), "hr_notice", ["received_at"])
    _table_of_account(
        "noticed_person", sa.Column("source_key", sa.String(), nullable=False), unique="source_key"
    )
    # Accounts that are there already are read by whatever reads them today; nothing is planned for them.
    with op.batch_alter_table("hr_account") as table:
        table.add_column(sa.Column("rank_by", sa.String(), nullable=False, server_default="grade"))
        table.add_column(sa.Column("schedule", sa.Integer(), nullable=True))
        table.add_column(sa.Column("next_run_at", UtcDateTime(), nullable=True))
        table.add_column(sa.Column("webhook_sha256", sa.String(), nullable=True))
        table.add_column(sa.Column("checked", sa.JSON(), nullable=True))
        table.create_check_constraint(
            op.f("ck_hr_account_rank_by"), "rank_by in ('grade', 'level', 'job_title')"
        )
        table.create_check_constraint(op.f("ck_hr_account_schedule"), "schedule > 0")
        table.create_unique_constraint(op.f("uq_hr_account_webhook_sha256"), ["webhook_sha256"])
        table.create_index(op.f("ix_hr_account_next_run_at"), ["next_run_at"])


def downgrade() -> None:
    with op.batch_alter_table("hr_account") as table:
        table.drop_index(op.f("ix_hr_account_next_run_at"))
        table.drop_constraint(op.f("uq_hr_account_webhook_sha256"), type_="unique")
        table.drop_constraint(op.f("ck_hr_account_schedule"), type_="check")
        table.drop_constraint(op.f("ck_hr_account_rank_by"), type_="check")
        for name in ("checked", "webhook_sha256", "next_run_at", "schedule", "rank_by"):
            table.drop_column(name)
    op.drop_table("noticed_person")
    op.drop_table("hr_notice")
