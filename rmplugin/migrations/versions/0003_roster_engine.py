"""The roster engine: people who are missing, dates ahead, one person in two accounts, dropped runs

Revision: 0003, after: 0002, made: 2026-11-26 04:35:00
"""

import sqlalchemy as sa
from alembic import op

from rmplugin.db import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

NEW = ("kept_apart", "same_person_id", "missing_runs", "missing_since", "changes_on", "employments", "skills",
       "legal_entity", "level", "email_reused", "former_emails")  # fmt: skip


def upgrade() -> None:
    op.create_table(
        "roster_future",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("source_key", sa.String(), nullable=False),
        sa.Column("effective_on", sa.Date(), nullable=False),
        sa.Column("record", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["hr_account.id"],
            name=op.f("fk_roster_future_account_id_hr_account"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_roster_future_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_roster_future")),
        sa.UniqueConstraint(
            "account_id",
            "source_key",
            "effective_on",
            name=op.f("uq_roster_future_account_id_source_key_effective_on"),
        ),
    )
    op.create_index(op.f("ix_roster_future_effective_on"), "roster_future", ["effective_on"])
    op.create_index(op.f("ix_roster_future_tenant_id"), "roster_future", ["tenant_id"])
    with op.batch_alter_table("person") as table:
        for name in ("former_emails", "skills", "employments"):
            table.add_column(sa.Column(name, sa.JSON(), nullable=False, server_default="[]"))
        for name in ("email_reused", "kept_apart"):
            table.add_column(sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false()))
        table.add_column(sa.Column("level", sa.String(), nullable=True))
        table.add_column(sa.Column("legal_entity", sa.String(), nullable=True))
        table.add_column(sa.Column("changes_on", sa.Date(), nullable=True))
        table.add_column(sa.Column("missing_since", UtcDateTime(), nullable=True))
        table.add_column(sa.Column("missing_runs", sa.Integer(), nullable=False, server_default="0"))
        table.add_column(sa.Column("same_person_id", sa.Uuid(), nullable=True))
        table.create_foreign_key(
            op.f("fk_person_same_person_id_person"), "person", ["same_person_id"], ["id"], ondelete="SET NULL"
        )
        table.create_index(op.f("ix_person_same_person_id"), ["same_person_id"])
        table.create_index(op.f("ix_person_changes_on"), ["changes_on"])
        table.drop_constraint(op.f("ck_person_lifecycle"), type_="check")
        table.create_check_constraint(
            op.f("ck_person_lifecycle"), "lifecycle in ('present', 'missing', 'tombstoned')"
        )
    with op.batch_alter_table("roster_run") as table:
        table.drop_constraint(op.f("ck_roster_run_status"), type_="check")
        table.create_check_constraint(
            op.f("ck_roster_run_status"), "status in ('running', 'complete', 'held', 'failed', 'dropped')"
        )

    # Whether a run is at work, its row and the account's lock say.
    op.drop_column("hr_account", "running_since")


def downgrade() -> None:
    op.add_column("hr_account", sa.Column("running_since", UtcDateTime(), nullable=True))
    # Whoever was missing counted as at work; a dropped run had changed nobody.
    op.execute("UPDATE person SET lifecycle = 'present' WHERE lifecycle = 'missing'")
    op.execute("UPDATE roster_run SET status = 'held' WHERE status = 'dropped'")
    with op.batch_alter_table("roster_run") as table:
        table.drop_constraint(op.f("ck_roster_run_status"), type_="check")
        table.create_check_constraint(
            op.f("ck_roster_run_status"), "status in ('running', 'complete', 'held', 'failed')"
        )
    with op.batch_alter_table("person") as table:
        table.drop_constraint(op.f("ck_person_lifecycle"), type_="check")
        table.create_check_constraint(op.f("ck_person_lifecycle"), "lifecycle in ('present', 'tombstoned')")
        table.drop_index(op.f("ix_person_changes_on"))
        table.drop_index(op.f("ix_person_same_person_id"))
        table.drop_constraint(op.f("fk_person_same_person_id_person"), type_="foreignkey")
        for name in NEW:
            table.drop_column(name)
    op.drop_table("roster_future")
