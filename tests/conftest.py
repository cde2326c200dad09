"""Fixtures of all tests: a real database per test, an app with a clock that stands still, browsers."""

import gc
import os
import shutil
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from cryptography.fernet import Fernet
from flask import Flask
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from rmplugin import migrations
from rmplugin.app import create_app
from rmplugin.cli import COLLECT_AFTER
from rmplugin.db import Base, Database, Secrets
from rmplugin.jobs import Runtime
from rmplugin.settings import Settings
from rmplugin.tenants.keys import ensure_tool_keys
from rmplugin.tenants.models import Tenant
from rmplugin.tenants.operations import ensure_tenant
from rmplugin.wiring import make_runtime
from tests.factories.browser import Browser
from tests.factories.launches import Launcher, register
from tests.fakes.lti_platform import LtiPlatform, make_key
from tests.once import (
    CompiledTemplates,
    compile_routes_once,
    compile_statements_once,
    make_tool_keys_once,
    read_entry_points_once,
    read_hooks_once,
)

# As in our programs: most of what the collector would look at again and again is the tests themselves.
gc.set_threshold(*COLLECT_AFTER)
compile_routes_once()
read_entry_points_once()
read_hooks_once()
make_tool_keys_once()

# No test is timed. In CI the examples are the same each time, so that a failure belongs to the change.
hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") == "true" else "here")

SECRET_KEY = Fernet.generate_key().decode()
START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
# "postgresql" runs the suite there: RM_TEST_POSTGRES_URL names a server on which databases can be made.
ENGINE = os.environ.get("RM_TEST_DATABASE", "sqlite")


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> datetime:
        self.now += timedelta(**by)
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock(START)


@pytest.fixture(scope="session")
def _template(tmp_path_factory) -> Iterator[str]:
    """Migrate one database per test process; tests work on copies (SQLite) or on it, emptied (PostgreSQL)."""
    if ENGINE == "sqlite":
        path = tmp_path_factory.mktemp("template") / "template.sqlite3"
        database = Database(f"sqlite:///{path}", Secrets(SECRET_KEY))
        migrations.upgrade(database.engine)
        with database.engine.connect() as connection:
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.exec_driver_sql("BEGIN")
        database.close()
        compile_statements_once(database.engine)
        yield str(path)
        return
    server = make_url(os.environ["RM_TEST_POSTGRES_URL"])
    name = f"rm_test_{uuid.uuid4().hex[:12]}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    url = server.set(database=name).render_as_string(hide_password=False)
    database = Database(url, Secrets(SECRET_KEY))
    migrations.upgrade(database.engine)
    database.close()
    compile_statements_once(database.engine)
    yield url
    with admin.connect() as connection:
        connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
    admin.dispose()


@pytest.fixture
def database_url(_template, tmp_path) -> Iterator[str]:
    """Give the URL of an empty, migrated database that belongs to this test alone."""
    if ENGINE == "sqlite":
        path = tmp_path / "test.sqlite3"
        shutil.copy(_template, path)
        yield f"sqlite:///{path}"
        return
    yield _template
    engine = create_engine(_template)
    names = [table.name for table in Base.metadata.sorted_tables]
    # Truncating a table costs more than deleting the few rows of a test, so only what is filled is emptied.
    filled = " UNION ALL ".join(f"SELECT '{name}' WHERE EXISTS (SELECT FROM \"{name}\")" for name in names)
    with engine.begin() as connection:
        # Without triggers: the ledger refuses to be deleted from.
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        for name in connection.scalars(text(filled)).all():
            connection.execute(text(f'DELETE FROM "{name}"'))
    engine.dispose()


@pytest.fixture
def settings(database_url, tmp_path) -> Settings:
    return Settings(
        data_dir=Path(tmp_path),
        database_url=database_url,
        queue_url=f"sqlite:///{tmp_path / 'queue.sqlite3'}",
        public_url="http://localhost:5000",
        secret_key=SECRET_KEY,
        smtp_url=None,
        log_format="text",
        trusted_proxies=0,
    )


@pytest.fixture
def plugins() -> list[Any]:
    """Give the plug-ins that no package brings; a test module that has some says so."""
    return []


@pytest.fixture
def runtime(settings, clock, plugins) -> Iterator[Runtime]:
    runtime = make_runtime(settings, plugins=plugins, clock=clock)
    yield runtime
    runtime.database.close()
    runtime.queue.storage.close()


@pytest.fixture
def database(runtime) -> Database:
    return runtime.database


@pytest.fixture
def tenant(runtime, clock) -> Tenant:
    """Give a tenant with tool keys."""
    with runtime.database.transaction(None) as db:
        return ensure_tenant(db, "acme", "Acme", clock.now)


@pytest.fixture
def other_tenant(runtime, clock) -> Tenant:
    with runtime.database.transaction(None) as db:
        return ensure_tenant(db, "rival", "Rival", clock.now)


@pytest.fixture
def tool_keys(runtime, clock) -> None:
    with runtime.database.transaction(None) as db:
        ensure_tool_keys(db, runtime.database.secrets, clock.now)


@pytest.fixture
def app(settings, runtime) -> Flask:
    app = create_app(settings, runtime=runtime)
    app.testing = True
    app.jinja_env.bytecode_cache = CompiledTemplates()
    return app


@pytest.fixture
def sign_in(app, runtime, clock):
    """Open browsers: ``sign_in(person=..., manager=True)`` gives one that is signed in."""

    def open_browser(
        tenant: Tenant, person=None, *, manager: bool = False, context=None, lti_user=None
    ) -> Browser:
        return Browser.signed_in(app, runtime, tenant, person, manager, context, lti_user, clock.now)

    return open_browser


@pytest.fixture
def admin(app, runtime, tenant, clock) -> Browser:
    """Open the browser of somebody who came by `rmplugin admin-link`."""
    return Browser.signed_in(app, runtime, tenant, None, False, None, None, clock.now, administrator=True)


@pytest.fixture(scope="session")
def platform_key():
    """Give the key of the strict LTI platform; making one is slow."""
    return make_key("Kid-App")


@pytest.fixture
def platform(platform_key, runtime, tool_keys, clock) -> Iterator[LtiPlatform]:
    """Run a strict LTI platform, which the tool does not know yet."""
    with LtiPlatform(platform_key, lambda: {"keys": []}, clock) as running:
        yield running


@pytest.fixture
def registration(platform, tenant, database, clock):
    """Register the tool of the tenant with the platform."""
    return register(database, tenant, platform, clock.now)


@pytest.fixture
def lms(app, platform, registration) -> Launcher:
    """Launch the whole application from the platform: ``lms.launch(**claims)``."""
    return Launcher(app, platform)
