"""The total of a run of 20,000 pairs is more than 32 bits hold

Revision: 0023, after: 0022, made: 2026-11-26 14:50:00
"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("match_run") as table:
        table.alter_column("total_score", type_=sa.BigInteger(), existing_type=sa.Integer())


def downgrade() -> None:
    with op.batch_alter_table("match_run") as table:
        table.alter_column("total_score", type_=sa.Integer(), existing_type=sa.BigInteger())
