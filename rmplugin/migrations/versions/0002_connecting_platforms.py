"""Connecting platforms: invites, launch attempts, course rosters, administrators' sessions

Revision: 0002, after: 0001, made: 2026-11-26 00:32:26.876756
"""

import sqlalchemy as sa
from alembic import op

from rmplugin.db import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SOURCES = '["custom", "sourcedid", "org_defined_id", "username", "email"]'


def upgrade() -> None:
    op.create_table(
        "launch_attempt",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=True),
        sa.Column("platform_id", sa.Uuid(), nullable=True),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("claims", sa.JSON(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["platform_id"],
            ["lti_platform.id"],
            name=op.f("fk_launch_attempt_platform_id_lti_platform"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_launch_attempt_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_launch_attempt")),
        sa.UniqueConstraint("reference", name=op.f("uq_launch_attempt_reference")),
    )
    op.create_index(op.f("ix_launch_attempt_at"), "launch_attempt", ["at"])
    op.create_index("ix_launch_attempt_tenant_at", "launch_attempt", ["tenant_id", "at"])
    op.create_table(
        "platform_invite",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("token_sha256", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("used_at", UtcDateTime(), nullable=True),
        sa.Column("platform_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(
            ["platform_id"],
            ["lti_platform.id"],
            name=op.f("fk_platform_invite_platform_id_lti_platform"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_platform_invite_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_platform_invite")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_platform_invite_token_sha256")),
    )
    op.create_index(op.f("ix_platform_invite_tenant_id"), "platform_invite", ["tenant_id"])

    with op.batch_alter_table("course_member") as table:
        table.add_column(sa.Column("status", sa.String(), nullable=False, server_default="Active"))
        table.add_column(sa.Column("in_roster_at", UtcDateTime(), nullable=True))
        table.alter_column("last_launch_at", existing_type=UtcDateTime(), nullable=True)
        table.create_check_constraint(
            op.f("ck_course_member_status"), "status in ('Active', 'Inactive', 'Deleted')"
        )
    with op.batch_alter_table("lti_context") as table:
        table.add_column(sa.Column("history", sa.JSON(), nullable=False, server_default="[]"))
        table.add_column(sa.Column("copy_state", sa.String(), nullable=True))
        table.add_column(sa.Column("roster_read_at", UtcDateTime(), nullable=True))
        table.add_column(sa.Column("roster_problem", sa.String(), nullable=True))
        table.add_column(sa.Column("roster_link", sa.String(), nullable=True))
        table.create_check_constraint(op.f("ck_lti_context_copy_state"), "copy_state in ('carried', 'fresh')")
    with op.batch_alter_table("lti_platform") as table:
        table.add_column(sa.Column("identity_sources", sa.JSON(), nullable=False, server_default=SOURCES))
        table.add_column(sa.Column("scopes", sa.JSON(), nullable=True))
        table.add_column(
            sa.Column("allow_anonymous", sa.Boolean(), nullable=False, server_default=sa.false())
        )
        table.drop_constraint(op.f("uq_lti_platform_issuer_client_id"), type_="unique")
        table.create_index("ix_lti_platform_issuer_client_id", ["issuer", "client_id"])
    with op.batch_alter_table("lti_resource_link") as table:
        table.add_column(sa.Column("history", sa.JSON(), nullable=False, server_default="[]"))
        table.add_column(
            sa.Column("line_item_is_ours", sa.Boolean(), nullable=False, server_default=sa.false())
        )
    with op.batch_alter_table("lti_user") as table:
        table.add_column(sa.Column("is_test", sa.Boolean(), nullable=False, server_default=sa.false()))
        table.add_column(sa.Column("claimed_person_id", sa.Uuid(), nullable=True))
        table.create_foreign_key(
            op.f("fk_lti_user_claimed_person_id_person"),
            "person",
            ["claimed_person_id"],
            ["id"],
            ondelete="SET NULL",
        )
        table.create_index(op.f("ix_lti_user_claimed_person_id"), ["claimed_person_id"])
        table.alter_column("last_launch_at", existing_type=UtcDateTime(), nullable=True)
        table.drop_constraint(op.f("ck_lti_user_link_state"), type_="check")
        table.create_check_constraint(
            op.f("ck_lti_user_link_state"), "link_state in ('unlinked', 'confirmed', 'conflict', 'revoked')"
        )
    op.execute("UPDATE lti_user SET link_source = 'custom' WHERE link_source = 'employee_number'")
    with op.batch_alter_table("web_session") as table:
        table.add_column(
            sa.Column("entry_until", UtcDateTime(), nullable=False, server_default="1970-01-01 00:00:00")
        )
        table.add_column(
            sa.Column("is_administrator", sa.Boolean(), nullable=False, server_default=sa.false())
        )
        table.add_column(sa.Column("start_path", sa.String(), nullable=True))
        table.add_column(sa.Column("locale", sa.String(), nullable=True))
        table.alter_column("lti_user_id", existing_type=sa.Uuid(), nullable=True)


def downgrade() -> None:
    op.execute("DELETE FROM web_session WHERE lti_user_id IS NULL")
    with op.batch_alter_table("web_session") as table:
        table.alter_column("lti_user_id", existing_type=sa.Uuid(), nullable=False)
        for name in ("locale", "start_path", "is_administrator", "entry_until"):
            table.drop_column(name)
    op.execute("UPDATE lti_user SET link_source = 'employee_number' WHERE link_source = 'custom'")
    op.execute("UPDATE lti_user SET link_state = 'unlinked' WHERE link_state = 'revoked'")
    # Whoever only stood in a course's roster was not known before.
    op.execute("DELETE FROM course_member WHERE last_launch_at IS NULL")
    op.execute("DELETE FROM lti_user WHERE last_launch_at IS NULL")
    with op.batch_alter_table("lti_user") as table:
        table.drop_constraint(op.f("ck_lti_user_link_state"), type_="check")
        table.create_check_constraint(
            op.f("ck_lti_user_link_state"), "link_state in ('unlinked', 'confirmed', 'conflict')"
        )
        table.alter_column("last_launch_at", existing_type=UtcDateTime(), nullable=False)
        table.drop_index(op.f("ix_lti_user_claimed_person_id"))
        table.drop_constraint(op.f("fk_lti_user_claimed_person_id_person"), type_="foreignkey")
        table.drop_column("claimed_person_id")
        table.drop_column("is_test")
    with op.batch_alter_table("lti_resource_link") as table:
        table.drop_column("line_item_is_ours")
        table.drop_column("history")
    with op.batch_alter_table("lti_platform") as table:
        table.drop_index("ix_lti_platform_issuer_client_id")
        table.create_unique_constraint(op.f("uq_lti_platform_issuer_client_id"), ["issuer", "client_id"])
        for name in ("allow_anonymous", "scopes", "identity_sources"):
            table.drop_column(name)
    with op.batch_alter_table("lti_context") as table:
        table.drop_constraint(op.f("ck_lti_context_copy_state"), type_="check")
        for name in ("roster_link", "roster_problem", "roster_read_at", "copy_state", "history"):
            table.drop_column(name)
    with op.batch_alter_table("course_member") as table:
        table.drop_constraint(op.f("ck_course_member_status"), type_="check")
        table.alter_column("last_launch_at", existing_type=UtcDateTime(), nullable=False)
        table.drop_column("in_roster_at")
        table.drop_column("status")
    op.drop_table("platform_invite")
    op.drop_table("launch_attempt")
