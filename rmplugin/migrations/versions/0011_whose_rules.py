"""Which programme the change of a review is for; pairs that end with their programme, by nobody

Revision: 0011, after: 0010, made: 2026-11-26 11:00:00
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("matchmaking_review") as table:
        table.add_column(sa.Column("programme_after_id", sa.Uuid(), nullable=True))
        table.create_foreign_key(
            op.f("fk_matchmaking_review_programme_after_id_programme"),
            "programme",
            ["programme_after_id"],
            ["id"],
            ondelete="SET NULL",
        )
    op.create_index(
        op.f("ix_matchmaking_review_programme_after_id"), "matchmaking_review", ["programme_after_id"]
    )
    with op.batch_alter_table("closure") as table:
        table.alter_column("initiator_id", existing_type=sa.Uuid(), nullable=True)


def downgrade() -> None:
    op.execute("DELETE FROM closure WHERE initiator_id IS NULL")
    with op.batch_alter_table("closure") as table:
        table.alter_column("initiator_id", existing_type=sa.Uuid(), nullable=False)
    op.drop_index(op.f("ix_matchmaking_review_programme_after_id"), table_name="matchmaking_review")
    with op.batch_alter_table("matchmaking_review") as table:
        table.drop_constraint(op.f("fk_matchmaking_review_programme_after_id_programme"), type_="foreignkey")
        table.drop_column("programme_after_id")
