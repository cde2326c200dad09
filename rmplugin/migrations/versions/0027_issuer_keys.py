"""Keys that signed badges before stay published

Revision: 0027, after: 0026, made: 2026-11-26 18:30:00
"""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("issuer_key") as batch:
        batch.alter_column("purpose", existing_type=sa.String(), nullable=True)
        batch.alter_column("private_key_locked", existing_type=sa.LargeBinary(), nullable=True)


def downgrade() -> None:
    op.execute("DELETE FROM issuer_key WHERE purpose IS NULL OR private_key_locked IS NULL")
    with op.batch_alter_table("issuer_key") as batch:
        batch.alter_column("private_key_locked", existing_type=sa.LargeBinary(), nullable=False)
        batch.alter_column("purpose", existing_type=sa.String(), nullable=False)
