"""Alembic's entry: runs on the connection that `rmplugin.migrations` hands over."""

from importlib import import_module

from alembic import context

from rmplugin.db import Base

for module in (
    "audit",
    "notify",
    "jobs",
    "logins",
    "tenants.models",
    "people.models",
    "scim.models",
    "programmes.models",
    "matching.models",
    "agreements.models",
    "goals.models",
    "sessions.models",
    "checkins.models",
    "aims.models",
    "safeguards.models",
    "introductions.models",
    "credits.models",
):
    import_module(f"rmplugin.{module}")

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
