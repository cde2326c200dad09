"""PostgreSQL finds the users of a person also before it has looked at how many there are

Revision: 0024, after: 0023, made: 2026-11-26 16:20:00
"""

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_lti_user_person_id", table_name="lti_user")
    op.create_index("ix_lti_user_person_id", "lti_user", ["person_id", "tenant_id"])


def downgrade() -> None:
    op.drop_index("ix_lti_user_person_id", table_name="lti_user")
    op.create_index("ix_lti_user_person_id", "lti_user", ["person_id"])
