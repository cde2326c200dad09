"""First tables

Revision: 0001, after: , made: 2026-11-23 15:28:31.959631
"""

import sqlalchemy as sa
from alembic import op

from rmplugin.db import UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SQLITE_TRIGGERS = [
    f"""CREATE TRIGGER credit_entry_no_{verb.lower()} BEFORE {verb} ON credit_entry
    BEGIN SELECT RAISE(ABORT, 'the credit ledger is append-only'); END"""
    for verb in ("UPDATE", "DELETE")
]
POSTGRESQL_TRIGGERS = [
    """CREATE FUNCTION credit_entry_refuse() RETURNS trigger AS $$
    BEGIN RAISE EXCEPTION 'the credit ledger is append-only'; END $$ LANGUAGE plpgsql""",
    """CREATE TRIGGER credit_entry_append_only BEFORE UPDATE OR DELETE ON credit_entry
    FOR EACH ROW EXECUTE FUNCTION credit_entry_refuse()""",
]


def upgrade() -> None:
    op.create_table(
        "lti_cache",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("value_locked", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_lti_cache")),
    )
    with op.batch_alter_table("lti_cache", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_lti_cache_expires_at"), ["expires_at"], unique=False)

    op.create_table(
        "lti_login",
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("nonce", sa.String(), nullable=False),
        sa.Column("platform_key", sa.String(), nullable=False),
        sa.Column("target_link_uri", sa.String(), nullable=False),
        sa.Column("flow", sa.String(), nullable=False),
        sa.Column("issued_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("state", name=op.f("pk_lti_login")),
    )
    with op.batch_alter_table("lti_login", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_lti_login_expires_at"), ["expires_at"], unique=False)

    op.create_table(
        "posted_form",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("posted_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_posted_form")),
    )
    with op.batch_alter_table("posted_form", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_posted_form_posted_at"), ["posted_at"], unique=False)

    op.create_table(
        "tenant",
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenant")),
        sa.UniqueConstraint("slug", name=op.f("uq_tenant_slug")),
    )
    op.create_table(
        "tool_key",
        sa.Column("kid", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("private_key_locked", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("state_since", UtcDateTime(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("state in ('next', 'current', 'retiring')", name=op.f("ck_tool_key_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tool_key")),
        sa.UniqueConstraint("kid", name=op.f("uq_tool_key_kid")),
    )
    op.create_table(
        "audit_entry",
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=True),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_audit_entry_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entry")),
    )
    with op.batch_alter_table("audit_entry", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_audit_entry_tenant_id"), ["tenant_id"], unique=False)

    op.create_table(
        "hr_account",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("connector", sa.String(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("secrets_locked", sa.LargeBinary(), nullable=True),
        sa.Column("grade_ranks", sa.JSON(), nullable=False),
        sa.Column("cursor", sa.String(), nullable=True),
        sa.Column("running_since", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_hr_account_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hr_account")),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_hr_account_tenant_id_name")),
    )
    with op.batch_alter_table("hr_account", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_hr_account_tenant_id"), ["tenant_id"], unique=False)

    op.create_table(
        "lti_platform",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("issuer", sa.String(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("auth_url", sa.String(), nullable=False),
        sa.Column("token_url", sa.String(), nullable=False),
        sa.Column("jwks_url", sa.String(), nullable=False),
        sa.Column("token_audience", sa.String(), nullable=True),
        sa.Column("family", sa.String(), nullable=False),
        sa.Column("employee_number_params", sa.JSON(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_lti_platform_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lti_platform")),
        sa.UniqueConstraint("issuer", "client_id", name=op.f("uq_lti_platform_issuer_client_id")),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_lti_platform_tenant_id_name")),
    )
    with op.batch_alter_table("lti_platform", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_lti_platform_tenant_id"), ["tenant_id"], unique=False)

    op.create_table(
        "notice",
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("read_at", UtcDateTime(), nullable=True),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_notice_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice")),
    )
    with op.batch_alter_table("notice", schema=None) as batch_op:
        batch_op.create_index("ix_notice_person", ["person_id", "read_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_notice_tenant_id"), ["tenant_id"], unique=False)

    op.create_table(
        "outbox_event",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", UtcDateTime(), nullable=False),
        sa.Column("last_error", sa.String(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("done_at", UtcDateTime(), nullable=True),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("state in ('pending', 'done', 'dead')", name=op.f("ck_outbox_event_state")),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_outbox_event_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox_event")),
    )
    with op.batch_alter_table("outbox_event", schema=None) as batch_op:
        batch_op.create_index("ix_outbox_event_state_next", ["state", "next_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_outbox_event_tenant_id"), ["tenant_id"], unique=False)

    op.create_table(
        "skill",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("theme", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("kind in ('skill', 'perspective')", name=op.f("ck_skill_kind")),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_skill_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_skill")),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_skill_tenant_id_name")),
    )
    with op.batch_alter_table("skill", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_skill_tenant_id"), ["tenant_id"], unique=False)

    op.create_table(
        "web_session",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("token_sha256", sa.String(), nullable=False),
        sa.Column("entry_sha256", sa.String(), nullable=True),
        sa.Column("lti_user_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=True),
        sa.Column("context_id", sa.Uuid(), nullable=True),
        sa.Column("is_manager", sa.Boolean(), nullable=False),
        sa.Column("display_name", sa.String(), nullable=False),
        sa.Column("frame_origins", sa.JSON(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_web_session_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_web_session")),
        sa.UniqueConstraint("entry_sha256", name=op.f("uq_web_session_entry_sha256")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_web_session_token_sha256")),
    )
    with op.batch_alter_table("web_session", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_web_session_seen_at"), ["seen_at"], unique=False)

    op.create_table(
        "lti_context",
        sa.Column("platform_id", sa.Uuid(), nullable=False),
        sa.Column("deployment_id", sa.String(), nullable=False),
        sa.Column("context_id", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=True),
        sa.Column("memberships_url", sa.String(), nullable=True),
        sa.Column("last_launch_at", UtcDateTime(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["platform_id"],
            ["lti_platform.id"],
            name=op.f("fk_lti_context_platform_id_lti_platform"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_lti_context_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lti_context")),
        sa.UniqueConstraint(
            "platform_id",
            "deployment_id",
            "context_id",
            name=op.f("uq_lti_context_platform_id_deployment_id_context_id"),
        ),
    )
    with op.batch_alter_table("lti_context", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_lti_context_tenant_id"), ["tenant_id"], unique=False)

    op.create_table(
        "lti_deployment",
        sa.Column("platform_id", sa.Uuid(), nullable=False),
        sa.Column("deployment_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("first_seen_at", UtcDateTime(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("state in ('approved', 'pending')", name=op.f("ck_lti_deployment_state")),
        sa.ForeignKeyConstraint(
            ["platform_id"],
            ["lti_platform.id"],
            name=op.f("fk_lti_deployment_platform_id_lti_platform"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_lti_deployment_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lti_deployment")),
        sa.UniqueConstraint(
            "platform_id", "deployment_id", name=op.f("uq_lti_deployment_platform_id_deployment_id")
        ),
    )
    with op.batch_alter_table("lti_deployment", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_lti_deployment_tenant_id"), ["tenant_id"], unique=False)

    op.create_table(
        "person",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("source_key", sa.String(), nullable=False),
        sa.Column("employee_number", sa.String(), nullable=True),
        sa.Column("user_name", sa.String(), nullable=True),
        sa.Column("email", sa.String(), nullable=True),
        sa.Column("email_folded", sa.String(), nullable=True),
        sa.Column("given_name", sa.String(), nullable=True),
        sa.Column("family_name", sa.String(), nullable=True),
        sa.Column("preferred_name", sa.String(), nullable=True),
        sa.Column("display_name", sa.String(), nullable=False),
        sa.Column("job_title", sa.String(), nullable=True),
        sa.Column("grade", sa.String(), nullable=True),
        sa.Column("seniority_rank", sa.Integer(), nullable=True),
        sa.Column("department", sa.String(), nullable=True),
        sa.Column("division", sa.String(), nullable=True),
        sa.Column("cost_center", sa.String(), nullable=True),
        sa.Column("location", sa.String(), nullable=True),
        sa.Column("city", sa.String(), nullable=True),
        sa.Column("country", sa.String(), nullable=True),
        sa.Column("time_zone", sa.String(), nullable=True),
        sa.Column("manager_key", sa.String(), nullable=True),
        sa.Column("manager_email", sa.String(), nullable=True),
        sa.Column("manager_name", sa.String(), nullable=True),
        sa.Column("manager_id", sa.Uuid(), nullable=True),
        sa.Column("manager_state", sa.String(), nullable=False),
        sa.Column("employment_type", sa.String(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("status_raw", sa.String(), nullable=True),
        sa.Column("hire_date", sa.Date(), nullable=True),
        sa.Column("termination_date", sa.Date(), nullable=True),
        sa.Column("languages", sa.JSON(), nullable=False),
        sa.Column("lifecycle", sa.String(), nullable=False),
        sa.Column("row_hash", sa.String(), nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("lifecycle in ('present', 'tombstoned')", name=op.f("ck_person_lifecycle")),
        sa.CheckConstraint("seniority_rank between 0 and 100", name=op.f("ck_person_seniority_rank")),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["hr_account.id"],
            name=op.f("fk_person_account_id_hr_account"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["manager_id"], ["person.id"], name=op.f("fk_person_manager_id_person"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_person_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_person")),
        sa.UniqueConstraint("account_id", "source_key", name=op.f("uq_person_account_id_source_key")),
    )
    with op.batch_alter_table("person", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_person_manager_id"), ["manager_id"], unique=False)
        batch_op.create_index("ix_person_tenant_email_folded", ["tenant_id", "email_folded"], unique=False)
        batch_op.create_index(
            "ix_person_tenant_employee_number", ["tenant_id", "employee_number"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_person_tenant_id"), ["tenant_id"], unique=False)

    op.create_table(
        "roster_run",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("skipped", sa.JSON(), nullable=False),
        sa.Column("notes", sa.JSON(), nullable=False),
        sa.Column("held_reason", sa.String(), nullable=True),
        sa.Column("cursor", sa.String(), nullable=True),
        sa.Column("shrink_accepted", sa.Boolean(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint(
            "status in ('running', 'complete', 'held', 'failed')", name=op.f("ck_roster_run_status")
        ),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["hr_account.id"],
            name=op.f("fk_roster_run_account_id_hr_account"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_roster_run_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_roster_run")),
    )
    with op.batch_alter_table("roster_run", schema=None) as batch_op:
        batch_op.create_index("ix_roster_run_account_started", ["account_id", "started_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_roster_run_tenant_id"), ["tenant_id"], unique=False)

    op.create_table(
        "lti_resource_link",
        sa.Column("context_id", sa.Uuid(), nullable=False),
        sa.Column("resource_link_id", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=True),
        sa.Column("line_item_url", sa.String(), nullable=True),
        sa.Column("line_items_url", sa.String(), nullable=True),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("last_launch_at", UtcDateTime(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["context_id"],
            ["lti_context.id"],
            name=op.f("fk_lti_resource_link_context_id_lti_context"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["tenant.id"],
            name=op.f("fk_lti_resource_link_tenant_id_tenant"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lti_resource_link")),
        sa.UniqueConstraint(
            "context_id", "resource_link_id", name=op.f("uq_lti_resource_link_context_id_resource_link_id")
        ),
    )
    with op.batch_alter_table("lti_resource_link", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_lti_resource_link_tenant_id"), ["tenant_id"], unique=False)

    op.create_table(
        "lti_user",
        sa.Column("platform_id", sa.Uuid(), nullable=False),
        sa.Column("sub", sa.String(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=True),
        sa.Column("link_state", sa.String(), nullable=False),
        sa.Column("link_source", sa.String(), nullable=True),
        sa.Column("link_problem", sa.String(), nullable=True),
        sa.Column("name", sa.String(), nullable=True),
        sa.Column("email", sa.String(), nullable=True),
        sa.Column("last_launch_at", UtcDateTime(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint(
            "link_state in ('unlinked', 'confirmed', 'conflict')", name=op.f("ck_lti_user_link_state")
        ),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_lti_user_person_id_person"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["platform_id"],
            ["lti_platform.id"],
            name=op.f("fk_lti_user_platform_id_lti_platform"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_lti_user_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lti_user")),
        sa.UniqueConstraint("platform_id", "sub", name=op.f("uq_lti_user_platform_id_sub")),
    )
    with op.batch_alter_table("lti_user", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_lti_user_person_id"), ["person_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_lti_user_tenant_id"), ["tenant_id"], unique=False)

    op.create_table(
        "person_skill",
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("skill_id", sa.Uuid(), nullable=False),
        sa.Column("direction", sa.String(), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=True),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("direction in ('offered', 'wanted')", name=op.f("ck_person_skill_direction")),
        sa.CheckConstraint("level between 0 and 4", name=op.f("ck_person_skill_level")),
        sa.CheckConstraint("priority between 1 and 3", name=op.f("ck_person_skill_priority")),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_person_skill_person_id_person"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["skill_id"], ["skill.id"], name=op.f("fk_person_skill_skill_id_skill"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_person_skill_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_person_skill")),
        sa.UniqueConstraint(
            "person_id", "skill_id", "direction", name=op.f("uq_person_skill_person_id_skill_id_direction")
        ),
    )
    with op.batch_alter_table("person_skill", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_person_skill_tenant_id"), ["tenant_id"], unique=False)

    op.create_table(
        "profile",
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("languages", sa.JSON(), nullable=False),
        sa.Column("work_days", sa.JSON(), nullable=False),
        sa.Column("work_from_minute", sa.Integer(), nullable=False),
        sa.Column("work_to_minute", sa.Integer(), nullable=False),
        sa.Column("time_zone", sa.String(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("work_from_minute < work_to_minute", name=op.f("ck_profile_work_order")),
        sa.CheckConstraint("work_from_minute between 0 and 1439", name=op.f("ck_profile_work_from")),
        sa.CheckConstraint("work_to_minute between 1 and 1440", name=op.f("ck_profile_work_to")),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_profile_person_id_person"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_profile_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_profile")),
        sa.UniqueConstraint("person_id", name=op.f("uq_profile_person_id")),
    )
    with op.batch_alter_table("profile", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_profile_tenant_id"), ["tenant_id"], unique=False)

    op.create_table(
        "programme",
        sa.Column("context_id", sa.Uuid(), nullable=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("template", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("sponsor", sa.String(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=False),
        sa.Column("ends_on", sa.Date(), nullable=False),
        sa.Column("cadence_weeks", sa.Integer(), nullable=False),
        sa.Column("allowance_minutes", sa.Integer(), nullable=False),
        sa.Column("session_minutes", sa.Integer(), nullable=False),
        sa.Column("mentee_min_rank", sa.Integer(), nullable=False),
        sa.Column("mentor_max_rank", sa.Integer(), nullable=False),
        sa.Column("mentor_max_tenure_months", sa.Integer(), nullable=True),
        sa.Column("min_sessions", sa.Integer(), nullable=False),
        sa.Column("min_minutes", sa.Integer(), nullable=False),
        sa.Column("needs_goal_review", sa.Boolean(), nullable=False),
        sa.Column("needs_agreement", sa.Boolean(), nullable=False),
        sa.Column("topics", sa.JSON(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint(
            "state in ('draft', 'enrolling', 'running', 'concluding', 'archived')",
            name=op.f("ck_programme_state"),
        ),
        sa.CheckConstraint("mentee_min_rank between 0 and 100", name=op.f("ck_programme_mentee_rank")),
        sa.CheckConstraint("mentor_max_rank between 0 and 100", name=op.f("ck_programme_mentor_rank")),
        sa.CheckConstraint("starts_on < ends_on", name=op.f("ck_programme_dates")),
        sa.ForeignKeyConstraint(
            ["context_id"],
            ["lti_context.id"],
            name=op.f("fk_programme_context_id_lti_context"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_programme_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_programme")),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_programme_tenant_id_name")),
    )
    with op.batch_alter_table("programme", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_programme_tenant_id"), ["tenant_id"], unique=False)

    op.create_table(
        "completion",
        sa.Column("programme_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("percent", sa.Integer(), nullable=False),
        sa.Column("minutes", sa.Integer(), nullable=False),
        sa.Column("criteria", sa.JSON(), nullable=False),
        sa.Column("met_at", UtcDateTime(), nullable=True),
        sa.Column("policy_version", sa.Integer(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("percent between 0 and 100", name=op.f("ck_completion_percent")),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_completion_person_id_person"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["programme_id"],
            ["programme.id"],
            name=op.f("fk_completion_programme_id_programme"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_completion_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_completion")),
        sa.UniqueConstraint("programme_id", "person_id", name=op.f("uq_completion_programme_id_person_id")),
    )
    with op.batch_alter_table("completion", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_completion_tenant_id"), ["tenant_id"], unique=False)

    op.create_table(
        "course_member",
        sa.Column("context_id", sa.Uuid(), nullable=False),
        sa.Column("lti_user_id", sa.Uuid(), nullable=False),
        sa.Column("roles", sa.JSON(), nullable=False),
        sa.Column("is_learner", sa.Boolean(), nullable=False),
        sa.Column("graded_link_id", sa.Uuid(), nullable=True),
        sa.Column("launch_sha256", sa.String(), nullable=False),
        sa.Column("last_launch_at", UtcDateTime(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["context_id"],
            ["lti_context.id"],
            name=op.f("fk_course_member_context_id_lti_context"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["graded_link_id"],
            ["lti_resource_link.id"],
            name=op.f("fk_course_member_graded_link_id_lti_resource_link"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["lti_user_id"],
            ["lti_user.id"],
            name=op.f("fk_course_member_lti_user_id_lti_user"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_course_member_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_course_member")),
        sa.UniqueConstraint(
            "context_id", "lti_user_id", name=op.f("uq_course_member_context_id_lti_user_id")
        ),
    )
    with op.batch_alter_table("course_member", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_course_member_lti_user_id"), ["lti_user_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_course_member_tenant_id"), ["tenant_id"], unique=False)

    op.create_table(
        "delivery",
        sa.Column("sink", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("programme_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("idempotency_key", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", UtcDateTime(), nullable=False),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("last_status", sa.Integer(), nullable=True),
        sa.Column("last_error", sa.String(), nullable=True),
        sa.Column("remote_ref", sa.String(), nullable=True),
        sa.Column("sent_timestamp", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint(
            "state in ('pending', 'in_flight', 'delivered', 'retry', 'blocked', 'superseded', 'needs_human', 'dead')",
            name=op.f("ck_delivery_state"),
        ),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_delivery_person_id_person"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["programme_id"],
            ["programme.id"],
            name=op.f("fk_delivery_programme_id_programme"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_delivery_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_delivery_idempotency_key")),
    )
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_delivery_person_id"), ["person_id"], unique=False)
        batch_op.create_index("ix_delivery_state_next", ["state", "next_at"], unique=False)
        batch_op.create_index("ix_delivery_subject", ["sink", "subject"], unique=False)
        batch_op.create_index(batch_op.f("ix_delivery_tenant_id"), ["tenant_id"], unique=False)

    op.create_table(
        "enrolment",
        sa.Column("programme_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("capacity", sa.Integer(), nullable=False),
        sa.Column("motivation_level", sa.Integer(), nullable=True),
        sa.Column("motivation", sa.String(), nullable=True),
        sa.Column("decline_reason", sa.String(), nullable=True),
        sa.Column("active_pairings", sa.Integer(), nullable=False),
        sa.Column("consented_at", UtcDateTime(), nullable=True),
        sa.Column("invited_at", UtcDateTime(), nullable=True),
        sa.Column("submitted_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("role in ('mentor', 'mentee')", name=op.f("ck_enrolment_role")),
        sa.CheckConstraint(
            "state in ('invited', 'started', 'submitted', 'declined', 'withdrawn', 'completed')",
            name=op.f("ck_enrolment_state"),
        ),
        sa.CheckConstraint("active_pairings >= 0", name=op.f("ck_enrolment_active_pairings")),
        sa.CheckConstraint("capacity between 1 and 3", name=op.f("ck_enrolment_capacity")),
        sa.CheckConstraint("motivation_level between 1 and 5", name=op.f("ck_enrolment_motivation_level")),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_enrolment_person_id_person"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["programme_id"],
            ["programme.id"],
            name=op.f("fk_enrolment_programme_id_programme"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_enrolment_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_enrolment")),
        sa.UniqueConstraint("programme_id", "person_id", name=op.f("uq_enrolment_programme_id_person_id")),
    )
    with op.batch_alter_table("enrolment", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_enrolment_person_id"), ["person_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_enrolment_tenant_id"), ["tenant_id"], unique=False)

    op.create_table(
        "match_run",
        sa.Column("programme_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("objective", sa.String(), nullable=False),
        sa.Column("rules", sa.JSON(), nullable=False),
        sa.Column("weights", sa.JSON(), nullable=False),
        sa.Column("inputs_hash", sa.String(), nullable=True),
        sa.Column("mentors", sa.Integer(), nullable=False),
        sa.Column("mentees", sa.Integer(), nullable=False),
        sa.Column("total_score", sa.Integer(), nullable=False),
        sa.Column("proved", sa.Boolean(), nullable=False),
        sa.Column("gap", sa.Double(), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("unmatched", sa.JSON(), nullable=False),
        sa.Column("failure", sa.String(), nullable=True),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.Column("released_at", UtcDateTime(), nullable=True),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint(
            "state in ('queued', 'solved', 'released', 'dropped', 'failed')", name=op.f("ck_match_run_state")
        ),
        sa.ForeignKeyConstraint(
            ["programme_id"],
            ["programme.id"],
            name=op.f("fk_match_run_programme_id_programme"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_match_run_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_match_run")),
    )
    with op.batch_alter_table("match_run", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_match_run_programme_id"), ["programme_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_match_run_tenant_id"), ["tenant_id"], unique=False)

    op.create_table(
        "programme_skill",
        sa.Column("programme_id", sa.Uuid(), nullable=False),
        sa.Column("skill_id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["programme_id"],
            ["programme.id"],
            name=op.f("fk_programme_skill_programme_id_programme"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["skill_id"], ["skill.id"], name=op.f("fk_programme_skill_skill_id_skill"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_programme_skill_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_programme_skill")),
        sa.UniqueConstraint(
            "programme_id", "skill_id", name=op.f("uq_programme_skill_programme_id_skill_id")
        ),
    )
    with op.batch_alter_table("programme_skill", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_programme_skill_tenant_id"), ["tenant_id"], unique=False)

    op.create_table(
        "proposal",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("programme_id", sa.Uuid(), nullable=False),
        sa.Column("mentor_id", sa.Uuid(), nullable=False),
        sa.Column("mentee_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("pinned", sa.Boolean(), nullable=False),
        sa.Column("score", sa.Integer(), nullable=False),
        sa.Column("contributions", sa.JSON(), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("mentor_answer", sa.String(), nullable=True),
        sa.Column("mentee_answer", sa.String(), nullable=True),
        sa.Column("mentor_answered_at", UtcDateTime(), nullable=True),
        sa.Column("mentee_answered_at", UtcDateTime(), nullable=True),
        sa.Column("decline_reason", sa.String(), nullable=True),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("mentee_answer in ('yes', 'no')", name=op.f("ck_proposal_mentee_answer")),
        sa.CheckConstraint("mentor_answer in ('yes', 'no')", name=op.f("ck_proposal_mentor_answer")),
        sa.CheckConstraint(
            "state in ('proposed', 'dropped', 'released', 'accepted', 'declined', 'expired', 'void')",
            name=op.f("ck_proposal_state"),
        ),
        sa.ForeignKeyConstraint(
            ["mentee_id"], ["person.id"], name=op.f("fk_proposal_mentee_id_person"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["mentor_id"], ["person.id"], name=op.f("fk_proposal_mentor_id_person"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["programme_id"],
            ["programme.id"],
            name=op.f("fk_proposal_programme_id_programme"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["match_run.id"], name=op.f("fk_proposal_run_id_match_run"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_proposal_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_proposal")),
        sa.UniqueConstraint(
            "run_id", "mentor_id", "mentee_id", name=op.f("uq_proposal_run_id_mentor_id_mentee_id")
        ),
    )
    with op.batch_alter_table("proposal", schema=None) as batch_op:
        batch_op.create_index("ix_proposal_mentee", ["mentee_id", "state"], unique=False)
        batch_op.create_index("ix_proposal_mentor", ["mentor_id", "state"], unique=False)
        batch_op.create_index(batch_op.f("ix_proposal_programme_id"), ["programme_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_proposal_tenant_id"), ["tenant_id"], unique=False)

    op.create_table(
        "pairing",
        sa.Column("programme_id", sa.Uuid(), nullable=False),
        sa.Column("proposal_id", sa.Uuid(), nullable=False),
        sa.Column("mentor_id", sa.Uuid(), nullable=False),
        sa.Column("mentee_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("state in ('active', 'ended', 'completed')", name=op.f("ck_pairing_state")),
        sa.CheckConstraint("mentor_id <> mentee_id", name=op.f("ck_pairing_two_people")),
        sa.ForeignKeyConstraint(
            ["mentee_id"], ["person.id"], name=op.f("fk_pairing_mentee_id_person"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["mentor_id"], ["person.id"], name=op.f("fk_pairing_mentor_id_person"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["programme_id"],
            ["programme.id"],
            name=op.f("fk_pairing_programme_id_programme"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["proposal_id"], ["proposal.id"], name=op.f("fk_pairing_proposal_id_proposal"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_pairing_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pairing")),
        sa.UniqueConstraint("proposal_id", name=op.f("uq_pairing_proposal_id")),
    )
    with op.batch_alter_table("pairing", schema=None) as batch_op:
        batch_op.create_index("ix_pairing_mentee", ["mentee_id", "state"], unique=False)
        batch_op.create_index("ix_pairing_mentor", ["mentor_id", "state"], unique=False)
        batch_op.create_index(batch_op.f("ix_pairing_programme_id"), ["programme_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_pairing_tenant_id"), ["tenant_id"], unique=False)
        batch_op.create_index(
            "uq_pairing_active",
            ["programme_id", "mentor_id", "mentee_id"],
            unique=True,
            sqlite_where=sa.text("state = 'active'"),
            postgresql_where=sa.text("state = 'active'"),
        )

    op.create_table(
        "agreement",
        sa.Column("pairing_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("cadence_weeks", sa.Integer(), nullable=False),
        sa.Column("session_minutes", sa.Integer(), nullable=False),
        sa.Column("medium", sa.String(), nullable=False),
        sa.Column("place", sa.String(), nullable=False),
        sa.Column("hopes", sa.String(), nullable=False),
        sa.Column("boundaries", sa.String(), nullable=False),
        sa.Column("confidentiality", sa.String(), nullable=False),
        sa.Column("ends_on", sa.Date(), nullable=False),
        sa.Column("written_by", sa.Uuid(), nullable=False),
        sa.Column("mentor_signed_at", UtcDateTime(), nullable=True),
        sa.Column("mentee_signed_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint(
            "medium in ('video', 'in_person', 'phone', 'mixed')", name=op.f("ck_agreement_medium")
        ),
        sa.CheckConstraint("state in ('open', 'signed', 'superseded')", name=op.f("ck_agreement_state")),
        sa.ForeignKeyConstraint(
            ["pairing_id"], ["pairing.id"], name=op.f("fk_agreement_pairing_id_pairing"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_agreement_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["written_by"], ["person.id"], name=op.f("fk_agreement_written_by_person"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agreement")),
        sa.UniqueConstraint("pairing_id", "version", name=op.f("uq_agreement_pairing_id_version")),
    )
    with op.batch_alter_table("agreement", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_agreement_tenant_id"), ["tenant_id"], unique=False)

    op.create_table(
        "checkin",
        sa.Column("pairing_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("wave", sa.Integer(), nullable=False),
        sa.Column("answers", sa.JSON(), nullable=False),
        sa.Column("satisfaction", sa.Integer(), nullable=False),
        sa.Column("words_locked", sa.LargeBinary(), nullable=True),
        sa.Column("answered_at", UtcDateTime(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("satisfaction between 1 and 5", name=op.f("ck_checkin_satisfaction")),
        sa.ForeignKeyConstraint(
            ["pairing_id"], ["pairing.id"], name=op.f("fk_checkin_pairing_id_pairing"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_checkin_person_id_person"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_checkin_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_checkin")),
        sa.UniqueConstraint(
            "pairing_id", "person_id", "wave", name=op.f("uq_checkin_pairing_id_person_id_wave")
        ),
    )
    with op.batch_alter_table("checkin", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_checkin_pairing_id"), ["pairing_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_checkin_tenant_id"), ["tenant_id"], unique=False)

    op.create_table(
        "closure",
        sa.Column("pairing_id", sa.Uuid(), nullable=False),
        sa.Column("initiator_id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("next_choice", sa.String(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint(
            "next_choice in ('rematch', 'pause', 'leave')", name=op.f("ck_closure_next_choice")
        ),
        sa.ForeignKeyConstraint(
            ["initiator_id"], ["person.id"], name=op.f("fk_closure_initiator_id_person"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["pairing_id"], ["pairing.id"], name=op.f("fk_closure_pairing_id_pairing"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_closure_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_closure")),
        sa.UniqueConstraint("pairing_id", name=op.f("uq_closure_pairing_id")),
    )
    with op.batch_alter_table("closure", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_closure_tenant_id"), ["tenant_id"], unique=False)

    op.create_table(
        "goal",
        sa.Column("pairing_id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("reviewed_at", UtcDateTime(), nullable=True),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("state in ('open', 'reviewed', 'dropped')", name=op.f("ck_goal_state")),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["person.id"], name=op.f("fk_goal_owner_id_person"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["pairing_id"], ["pairing.id"], name=op.f("fk_goal_pairing_id_pairing"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_goal_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_goal")),
    )
    with op.batch_alter_table("goal", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_goal_pairing_id"), ["pairing_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_goal_tenant_id"), ["tenant_id"], unique=False)

    op.create_table(
        "mentoring_session",
        sa.Column("pairing_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("starts_at", UtcDateTime(), nullable=False),
        sa.Column("planned_minutes", sa.Integer(), nullable=False),
        sa.Column("medium", sa.String(), nullable=False),
        sa.Column("place", sa.String(), nullable=False),
        sa.Column("agenda", sa.String(), nullable=False),
        sa.Column("planned_by", sa.Uuid(), nullable=False),
        sa.Column("moves", sa.Integer(), nullable=False),
        sa.Column("cancelled_by", sa.Uuid(), nullable=True),
        sa.Column("counted_minutes", sa.Integer(), nullable=True),
        sa.Column("confirmed_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint(
            "(state = 'confirmed') = (counted_minutes is not null)", name=op.f("ck_mentoring_session_counted")
        ),
        sa.CheckConstraint(
            "state in ('scheduled', 'claimed', 'disputed', 'confirmed', 'cancelled')",
            name=op.f("ck_mentoring_session_state"),
        ),
        sa.CheckConstraint(
            "planned_minutes between 5 and 480", name=op.f("ck_mentoring_session_planned_minutes")
        ),
        sa.ForeignKeyConstraint(
            ["cancelled_by"],
            ["person.id"],
            name=op.f("fk_mentoring_session_cancelled_by_person"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["pairing_id"],
            ["pairing.id"],
            name=op.f("fk_mentoring_session_pairing_id_pairing"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["planned_by"],
            ["person.id"],
            name=op.f("fk_mentoring_session_planned_by_person"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["tenant.id"],
            name=op.f("fk_mentoring_session_tenant_id_tenant"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mentoring_session")),
    )
    with op.batch_alter_table("mentoring_session", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_mentoring_session_pairing_id"), ["pairing_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_mentoring_session_tenant_id"), ["tenant_id"], unique=False)

    op.create_table(
        "credit_entry",
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("programme_id", sa.Uuid(), nullable=False),
        sa.Column("pairing_id", sa.Uuid(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("minutes", sa.Integer(), nullable=False),
        sa.Column("amount_hundredths", sa.Integer(), nullable=False),
        sa.Column("uncapped_hundredths", sa.Integer(), nullable=False),
        sa.Column("cap_applied", sa.String(), nullable=True),
        sa.Column("policy", sa.String(), nullable=False),
        sa.Column("policy_version", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("reverses_id", sa.Uuid(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("evidence_sha256", sa.String(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("kind in ('award', 'reversal', 'adjustment')", name=op.f("ck_credit_entry_kind")),
        sa.CheckConstraint("role in ('mentor', 'mentee')", name=op.f("ck_credit_entry_role")),
        sa.ForeignKeyConstraint(
            ["pairing_id"], ["pairing.id"], name=op.f("fk_credit_entry_pairing_id_pairing")
        ),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_credit_entry_person_id_person")),
        sa.ForeignKeyConstraint(
            ["programme_id"], ["programme.id"], name=op.f("fk_credit_entry_programme_id_programme")
        ),
        sa.ForeignKeyConstraint(
            ["reverses_id"], ["credit_entry.id"], name=op.f("fk_credit_entry_reverses_id_credit_entry")
        ),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["mentoring_session.id"],
            name=op.f("fk_credit_entry_session_id_mentoring_session"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_credit_entry_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_entry")),
        sa.UniqueConstraint("reverses_id", name=op.f("uq_credit_entry_reverses_id")),
    )
    with op.batch_alter_table("credit_entry", schema=None) as batch_op:
        batch_op.create_index("ix_credit_entry_person_programme", ["person_id", "programme_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_credit_entry_tenant_id"), ["tenant_id"], unique=False)
        batch_op.create_index(
            "uq_credit_entry_award",
            ["session_id", "person_id", "unit"],
            unique=True,
            sqlite_where=sa.text("kind = 'award'"),
            postgresql_where=sa.text("kind = 'award'"),
        )

    op.create_table(
        "goal_progress",
        sa.Column("goal_id", sa.Uuid(), nullable=False),
        sa.Column("attainment", sa.Integer(), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("is_review", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("written_by", sa.Uuid(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint(
            "reason in ('time', 'access', 'relevance', 'fit', 'goal_changed', 'outside_event')",
            name=op.f("ck_goal_progress_reason"),
        ),
        sa.CheckConstraint("attainment between -2 and 2", name=op.f("ck_goal_progress_attainment")),
        sa.ForeignKeyConstraint(
            ["goal_id"], ["goal.id"], name=op.f("fk_goal_progress_goal_id_goal"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_goal_progress_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["written_by"], ["person.id"], name=op.f("fk_goal_progress_written_by_person"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_goal_progress")),
    )
    with op.batch_alter_table("goal_progress", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_goal_progress_goal_id"), ["goal_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_goal_progress_tenant_id"), ["tenant_id"], unique=False)

    op.create_table(
        "goal_version",
        sa.Column("goal_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("theme", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("baseline", sa.String(), nullable=False),
        sa.Column("level_minus_2", sa.String(), nullable=False),
        sa.Column("level_minus_1", sa.String(), nullable=False),
        sa.Column("level_0", sa.String(), nullable=False),
        sa.Column("level_plus_1", sa.String(), nullable=False),
        sa.Column("level_plus_2", sa.String(), nullable=False),
        sa.Column("due_on", sa.Date(), nullable=False),
        sa.Column("written_by", sa.Uuid(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint(
            "theme in ('organisation', 'outside_world', 'technology', 'own')",
            name=op.f("ck_goal_version_theme"),
        ),
        sa.ForeignKeyConstraint(
            ["goal_id"], ["goal.id"], name=op.f("fk_goal_version_goal_id_goal"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_goal_version_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["written_by"], ["person.id"], name=op.f("fk_goal_version_written_by_person"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_goal_version")),
        sa.UniqueConstraint("goal_id", "version", name=op.f("uq_goal_version_goal_id_version")),
    )
    with op.batch_alter_table("goal_version", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_goal_version_tenant_id"), ["tenant_id"], unique=False)

    op.create_table(
        "session_claim",
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("minutes", sa.Integer(), nullable=False),
        sa.Column("claimed_at", UtcDateTime(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("minutes between 1 and 480", name=op.f("ck_session_claim_minutes")),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_session_claim_person_id_person"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["mentoring_session.id"],
            name=op.f("fk_session_claim_session_id_mentoring_session"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_session_claim_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_session_claim")),
        sa.UniqueConstraint("session_id", "person_id", name=op.f("uq_session_claim_session_id_person_id")),
    )
    with op.batch_alter_table("session_claim", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_session_claim_tenant_id"), ["tenant_id"], unique=False)

    sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in SQLITE_TRIGGERS if sqlite else POSTGRESQL_TRIGGERS:
        op.execute(statement)


def downgrade() -> None:
    with op.batch_alter_table("session_claim", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_session_claim_tenant_id"))

    op.drop_table("session_claim")
    with op.batch_alter_table("goal_version", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_goal_version_tenant_id"))

    op.drop_table("goal_version")
    with op.batch_alter_table("goal_progress", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_goal_progress_tenant_id"))
        batch_op.drop_index(batch_op.f("ix_goal_progress_goal_id"))

    op.drop_table("goal_progress")
    with op.batch_alter_table("credit_entry", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_credit_entry_award",
            sqlite_where=sa.text("kind = 'award'"),
            postgresql_where=sa.text("kind = 'award'"),
        )
        batch_op.drop_index(batch_op.f("ix_credit_entry_tenant_id"))
        batch_op.drop_index("ix_credit_entry_person_programme")

    op.drop_table("credit_entry")
    with op.batch_alter_table("mentoring_session", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_mentoring_session_tenant_id"))
        batch_op.drop_index(batch_op.f("ix_mentoring_session_pairing_id"))

    op.drop_table("mentoring_session")
    with op.batch_alter_table("goal", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_goal_tenant_id"))
        batch_op.drop_index(batch_op.f("ix_goal_pairing_id"))

    op.drop_table("goal")
    with op.batch_alter_table("closure", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_closure_tenant_id"))

    op.drop_table("closure")
    with op.batch_alter_table("checkin", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_checkin_tenant_id"))
        batch_op.drop_index(batch_op.f("ix_checkin_pairing_id"))

    op.drop_table("checkin")
    with op.batch_alter_table("agreement", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_agreement_tenant_id"))

    op.drop_table("agreement")
    with op.batch_alter_table("pairing", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_pairing_active",
            sqlite_where=sa.text("state = 'active'"),
            postgresql_where=sa.text("state = 'active'"),
        )
        batch_op.drop_index(batch_op.f("ix_pairing_tenant_id"))
        batch_op.drop_index(batch_op.f("ix_pairing_programme_id"))
        batch_op.drop_index("ix_pairing_mentor")
        batch_op.drop_index("ix_pairing_mentee")

    op.drop_table("pairing")
    with op.batch_alter_table("proposal", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_proposal_tenant_id"))
        batch_op.drop_index(batch_op.f("ix_proposal_programme_id"))
        batch_op.drop_index("ix_proposal_mentor")
        batch_op.drop_index("ix_proposal_mentee")

    op.drop_table("proposal")
    with op.batch_alter_table("programme_skill", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_programme_skill_tenant_id"))

    op.drop_table("programme_skill")
    with op.batch_alter_table("match_run", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_match_run_tenant_id"))
        batch_op.drop_index(batch_op.f("ix_match_run_programme_id"))

    op.drop_table("match_run")
    with op.batch_alter_table("enrolment", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_enrolment_tenant_id"))
        batch_op.drop_index(batch_op.f("ix_enrolment_person_id"))

    op.drop_table("enrolment")
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_delivery_tenant_id"))
        batch_op.drop_index("ix_delivery_subject")
        batch_op.drop_index("ix_delivery_state_next")
        batch_op.drop_index(batch_op.f("ix_delivery_person_id"))

    op.drop_table("delivery")
    with op.batch_alter_table("course_member", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_course_member_tenant_id"))
        batch_op.drop_index(batch_op.f("ix_course_member_lti_user_id"))

    op.drop_table("course_member")
    with op.batch_alter_table("completion", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_completion_tenant_id"))

    op.drop_table("completion")
    with op.batch_alter_table("programme", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_programme_tenant_id"))

    op.drop_table("programme")
    with op.batch_alter_table("profile", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_profile_tenant_id"))

    op.drop_table("profile")
    with op.batch_alter_table("person_skill", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_person_skill_tenant_id"))

    op.drop_table("person_skill")
    with op.batch_alter_table("lti_user", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_lti_user_tenant_id"))
        batch_op.drop_index(batch_op.f("ix_lti_user_person_id"))

    op.drop_table("lti_user")
    with op.batch_alter_table("lti_resource_link", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_lti_resource_link_tenant_id"))

    op.drop_table("lti_resource_link")
    with op.batch_alter_table("roster_run", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_roster_run_tenant_id"))
        batch_op.drop_index("ix_roster_run_account_started")

    op.drop_table("roster_run")
    with op.batch_alter_table("person", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_person_tenant_id"))
        batch_op.drop_index("ix_person_tenant_employee_number")
        batch_op.drop_index("ix_person_tenant_email_folded")
        batch_op.drop_index(batch_op.f("ix_person_manager_id"))

    op.drop_table("person")
    with op.batch_alter_table("lti_deployment", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_lti_deployment_tenant_id"))

    op.drop_table("lti_deployment")
    with op.batch_alter_table("lti_context", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_lti_context_tenant_id"))

    op.drop_table("lti_context")
    with op.batch_alter_table("web_session", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_web_session_seen_at"))

    op.drop_table("web_session")
    with op.batch_alter_table("skill", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_skill_tenant_id"))

    op.drop_table("skill")
    with op.batch_alter_table("outbox_event", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_outbox_event_tenant_id"))
        batch_op.drop_index("ix_outbox_event_state_next")

    op.drop_table("outbox_event")
    with op.batch_alter_table("notice", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_notice_tenant_id"))
        batch_op.drop_index("ix_notice_person")

    op.drop_table("notice")
    with op.batch_alter_table("lti_platform", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_lti_platform_tenant_id"))

    op.drop_table("lti_platform")
    with op.batch_alter_table("hr_account", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_hr_account_tenant_id"))

    op.drop_table("hr_account")
    with op.batch_alter_table("audit_entry", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_audit_entry_tenant_id"))

    op.drop_table("audit_entry")
    op.drop_table("tool_key")
    op.drop_table("tenant")
    with op.batch_alter_table("posted_form", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_posted_form_posted_at"))

    op.drop_table("posted_form")
    with op.batch_alter_table("lti_login", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_lti_login_expires_at"))

    op.drop_table("lti_login")
    with op.batch_alter_table("lti_cache", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_lti_cache_expires_at"))

    op.drop_table("lti_cache")
    if op.get_bind().dialect.name != "sqlite":
        op.execute("DROP FUNCTION credit_entry_refuse")
