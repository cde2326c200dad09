"""Matchmaking reviews

Revision: 0008, after: 0007, made: 2026-11-26 08:00:00
"""

import sqlalchemy as sa
from alembic import op

from rmplugin.db import UtcDateTime

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "matchmaking_review",
        sa.Column("programme_id", sa.Uuid(), nullable=False),
        sa.Column("alarm", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("suspected", sa.String(), nullable=True),
        sa.Column("finding", sa.String(), nullable=True),
        sa.Column("change", sa.String(), nullable=True),
        sa.Column("owner", sa.String(), nullable=True),
        sa.Column("decided_on", sa.Date(), nullable=True),
        sa.Column("rule_set_before", sa.Integer(), nullable=False),
        sa.Column("rule_set_after", sa.Integer(), nullable=True),
        sa.Column("verdict", sa.JSON(), nullable=True),
        sa.Column("opened_at", UtcDateTime(), nullable=False),
        sa.Column("analysed_at", UtcDateTime(), nullable=True),
        sa.Column("decided_at", UtcDateTime(), nullable=True),
        sa.Column("applied_at", UtcDateTime(), nullable=True),
        sa.Column("verified_at", UtcDateTime(), nullable=True),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint(
            "alarm in ('rate', 'reason', 'run', 'segment')", name=op.f("ck_matchmaking_review_alarm")
        ),
        sa.CheckConstraint(
            "state in ('opened', 'analysed', 'decided', 'applied', 'verified')",
            name=op.f("ck_matchmaking_review_state"),
        ),
        sa.CheckConstraint(
            "(state in ('opened', 'analysed')) = (decided_at is null)"
            " and (decided_at is null) = (finding is null) and (decided_at is null) = (change is null)"
            " and (decided_at is null) = (owner is null) and (decided_at is null) = (decided_on is null)"
            " and (decided_at is null) = (rule_set_after is null)",
            name=op.f("ck_matchmaking_review_decided"),
        ),
        sa.ForeignKeyConstraint(
            ["programme_id"],
            ["programme.id"],
            name=op.f("fk_matchmaking_review_programme_id_programme"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["tenant.id"],
            name=op.f("fk_matchmaking_review_tenant_id_tenant"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_matchmaking_review")),
    )
    op.create_index(op.f("ix_matchmaking_review_programme_id"), "matchmaking_review", ["programme_id"])
    op.create_index(op.f("ix_matchmaking_review_tenant_id"), "matchmaking_review", ["tenant_id"])
    op.create_index(
        "uq_matchmaking_review_open",
        "matchmaking_review",
        ["programme_id", "alarm"],
        unique=True,
        sqlite_where=sa.text("state in ('opened', 'analysed')"),
        postgresql_where=sa.text("state in ('opened', 'analysed')"),
    )


def downgrade() -> None:
    op.drop_table("matchmaking_review")
