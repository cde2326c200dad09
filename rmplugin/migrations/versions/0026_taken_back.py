"""A completion knows how many lines had taken credit away when it was last seen to be met

Revision: 0026, after: 0025, made: 2026-11-26 18:00:00
"""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

# Of those that were met before, the clock is all that there is to go by.
BEFORE = """
    UPDATE completion SET taken_back = (
        SELECT count(*) FROM credit_entry
        WHERE credit_entry.programme_id = completion.programme_id
        AND credit_entry.person_id = completion.person_id
        AND credit_entry.minutes < 0 AND credit_entry.created_at < completion.met_at
    ) WHERE met_at IS NOT NULL
"""


def upgrade() -> None:
    with op.batch_alter_table("completion") as batch:
        batch.add_column(sa.Column("taken_back", sa.Integer(), nullable=False, server_default="0"))
    op.execute(BEFORE)
    with op.batch_alter_table("completion") as batch:
        batch.alter_column("taken_back", server_default=None)


def downgrade() -> None:
    op.drop_column("completion", "taken_back")
