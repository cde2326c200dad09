"""Where the LMS has the course's page, for the buttons in mails

Revision: 0025, after: 0024, made: 2026-11-26 17:50:00
"""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("lti_context", sa.Column("course_url", sa.String(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("lti_context") as batch:
        batch.drop_column("course_url")
