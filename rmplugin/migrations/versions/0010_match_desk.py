"""Numbers about whole pools, and what managers changed in a run, so that it can be undone

Revision: 0010, after: 0009, made: 2026-11-26 08:40:00
"""

import sqlalchemy as sa
from alembic import op

from rmplugin.db import UtcDateTime

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "match_count",
        sa.Column("programme_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("question", sa.JSON(), nullable=False),
        sa.Column("answer", sa.JSON(), nullable=True),
        sa.Column("asked_at", UtcDateTime(), nullable=False),
        sa.Column("counted_at", UtcDateTime(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("kind in ('health', 'trial')", name=op.f("ck_match_count_kind")),
        sa.ForeignKeyConstraint(
            ["programme_id"],
            ["programme.id"],
            name=op.f("fk_match_count_programme_id_programme"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_match_count_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_match_count")),
        sa.UniqueConstraint("programme_id", "kind", name=op.f("uq_match_count_programme_id_kind")),
    )
    op.create_index(op.f("ix_match_count_tenant_id"), "match_count", ["tenant_id"])
    with op.batch_alter_table("match_run") as table:
        table.add_column(sa.Column("changes", sa.JSON(), nullable=False, server_default="[]"))
    with op.batch_alter_table("match_run") as table:
        table.alter_column("changes", server_default=None)
    columns = ["tenant_id", "run_id", "state", "mentor_id", "mentee_id", "score"]
    op.create_index("ix_proposal_of_run", "proposal", columns)


def downgrade() -> None:
    op.drop_index("ix_proposal_of_run", table_name="proposal")
    with op.batch_alter_table("match_run") as table:
        table.drop_column("changes")
    op.drop_index(op.f("ix_match_count_tenant_id"), table_name="match_count")
    op.drop_table("match_count")
