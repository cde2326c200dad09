"""Which of a programme's topics a session is about

Revision: 0022, after: 0021, made: 2026-11-26 15:10:00
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("mentoring_session", sa.Column("topic", sa.String(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("mentoring_session") as batch:
        batch.drop_column("topic")
