"""Introductions, drafts of agreements, weights of goals, check-ins that ask, care tasks, aims, safeguards

Revision: 0014, after: 0013, made: 2026-11-26 11:00:00
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from rmplugin.db import UtcDateTime

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

# Tables in the order in which they are made: name -> table that each key points to, by column.
TABLES = {
    "contact_person": {"programme_id": "programme", "person_id": "person"},
    "agreement_draft": {"pairing_id": "pairing", "person_id": "person"},
    "care_task": {"pairing_id": "pairing"},
    "checkin_ask": {"pairing_id": "pairing", "person_id": "person"},
    "intro_answer": {"pairing_id": "pairing", "person_id": "person"},
    "leadership_aim": {"pairing_id": "pairing", "person_id": "person"},
    "safeguard_case": {"pairing_id": "pairing", "reporter_id": "person", "handler_id": "person"},
    "aim_rating": {"aim_id": "leadership_aim"},
}
# Columns with what is in them in rows of before.
ADDED: tuple[tuple[str, str, Any, Any], ...] = (
    ("agreement", "feedback", sa.String(), ""),
    ("checkin", "shared", sa.Boolean(), sa.false()),
    ("goal_progress", "is_mid", sa.Boolean(), sa.false()),
    ("goal_version", "weight", sa.Integer(), "1"),
)


def _make(
    name: str, *columns: Any, unique: tuple[str, ...] = (), checks: dict[str, str], indexes: str = ""
) -> None:
    keys = {"tenant_id": "tenant", **TABLES[name]}
    constraints: list[Any] = [sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{name}"))]
    constraints += [
        sa.ForeignKeyConstraint(
            [column], [f"{there}.id"], name=op.f(f"fk_{name}_{column}_{there}"), ondelete="CASCADE"
        )
        for column, there in keys.items()
    ]
    constraints += [sa.CheckConstraint(rule, name=op.f(f"ck_{name}_{word}")) for word, rule in checks.items()]
    if unique:
        constraints.append(sa.UniqueConstraint(*unique, name=op.f(f"uq_{name}_{'_'.join(unique)}")))
    op.create_table(
        name,
        sa.Column("id", sa.Uuid(), nullable=False),
        *(sa.Column(column, sa.Uuid(), nullable=False) for column in keys),
        *columns,
        *constraints,
    )
    for column in ("tenant_id", *indexes.split()):
        op.create_index(op.f(f"ix_{name}_{column}"), name, [column])


def _words(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.String(), nullable=False) for name in names]


def _numbers(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.Integer(), nullable=False) for name in names]


def _moments(*names: str) -> list[sa.Column[Any]]:
    """Make columns of moments; a name with a question mark may be empty."""
    return [sa.Column(name.rstrip("?"), UtcDateTime(), nullable=name.endswith("?")) for name in names]


def _rename_answer(old: str, new: str) -> None:
    checkin = sa.table("checkin", sa.column("id", sa.Uuid()), sa.column("answers", sa.JSON()))
    bind = op.get_bind()
    for row in bind.execute(sa.select(checkin.c.id, checkin.c.answers)).all():
        answers = dict(row.answers)
        if old in answers:
            answers[new] = answers.pop(old)
            bind.execute(checkin.update().where(checkin.c.id == row.id).values(answers=answers))


def upgrade() -> None:
    pair = ("pairing_id", "person_id")
    _make("contact_person", *_moments("created_at"), unique=("programme_id", "person_id"), checks={})
    _make(
        "agreement_draft",
        *_numbers("cadence_weeks", "session_minutes"),
        *_words("medium", "place", "hopes", "boundaries", "confidentiality", "feedback"),
        sa.Column("ends_on", sa.Date(), nullable=False),
        *_moments("submitted_at?", "updated_at"),
        unique=pair,
        checks={"medium": "medium in ('video', 'in_person', 'phone', 'mixed')"},
    )
    _make(
        "care_task",
        *_words("kind"),
        *_numbers("wave"),
        *_moments("created_at", "done_at?"),
        sa.Column("done_by", sa.String(), nullable=True),
        unique=("pairing_id", "kind", "wave"),
        checks={"kind": "kind in ('gap', 'energy')"},
    )
    _make(
        "checkin_ask",
        *_numbers("wave"),
        *_moments("asked_at", "reminded_at?", "expired_at?"),
        unique=(*pair, "wave"),
        checks={},
    )
    _make(
        "intro_answer",
        *_numbers("turn"),
        *_words("answer"),
        *_moments("answered_at"),
        unique=(*pair, "turn"),
        checks={"turn": "turn between 1 and 2", "answer": "answer in ('yes', 'unsure', 'no')"},
    )
    _make(
        "leadership_aim",
        *_words("aim", "words", "observation"),
        *_moments("created_at"),
        unique=("pairing_id",),
        checks={"observation": "observation in ('none', 'asked', 'agreed', 'declined')"},
    )
    _make(
        "safeguard_case",
        sa.Column("words_locked", sa.LargeBinary(), nullable=False),
        sa.Column("nameless", sa.Boolean(), nullable=False),
        *_words("state"),
        *_moments("created_at", "updated_at"),
        checks={"state": "state in ('open', 'triaged', 'acting', 'closed')"},
        indexes="pairing_id reporter_id handler_id",
    )
    _make(
        "aim_rating",
        *_words("moment", "rater"),
        *_numbers("rating"),
        *_words("note"),
        *_moments("rated_at"),
        unique=("aim_id", "moment", "rater"),
        checks={
            "moment": "moment in ('start', 'mid', 'end')",
            "rater": "rater in ('mentor', 'mentee')",
            "rating": "rating between 1 and 5",
        },
    )
    for name, column, kind, before in ADDED:
        with op.batch_alter_table(name) as table:
            table.add_column(sa.Column(column, kind, nullable=False, server_default=before))
        with op.batch_alter_table(name) as table:
            table.alter_column(column, server_default=None)
    with op.batch_alter_table("goal_version") as table:
        table.create_check_constraint(op.f("ck_goal_version_weight"), "weight between 1 and 3")
    with op.batch_alter_table("pairing") as table:
        table.add_column(sa.Column("introduced_at", UtcDateTime(), nullable=True))
    # The pairs of before never had an introduction, and go on.
    op.execute("UPDATE pairing SET introduced_at = started_at")
    _rename_answer("satisfaction", "fit")


def downgrade() -> None:
    _rename_answer("fit", "satisfaction")
    with op.batch_alter_table("pairing") as table:
        table.drop_column("introduced_at")
    with op.batch_alter_table("goal_version") as table:
        table.drop_constraint(op.f("ck_goal_version_weight"), type_="check")
    for name, column, _kind, _before in reversed(ADDED):
        with op.batch_alter_table(name) as table:
            table.drop_column(column)
    for name in reversed(TABLES):
        op.drop_table(name)
