"""Database revisions, and the one way to bring a database up to date."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring a database to a revision.

    **Touches** the schema of the database.
    """
    _run(command.upgrade, engine, revision)


def downgrade(engine: Engine, revision: str) -> None:
    """Take a database back to a revision; "base" empties it.

    **Touches** the schema of the database.
    """
    _run(command.downgrade, engine, revision)


def _run(verb: Callable[[Config, str], None], engine: Engine, revision: str) -> None:
    config = _config()
    with engine.connect().execution_options(rm_write=True) as connection:
        config.attributes["connection"] = connection
        driver: Any = connection.connection.driver_connection
        is_sqlite = engine.dialect.name == "sqlite"
        if is_sqlite:
            # SQLite changes a table by making it anew; dropping the old one would delete all that refers to it.
            driver.execute("PRAGMA foreign_keys=OFF")
        try:
            verb(config, revision)
            connection.commit()
        finally:
            connection.rollback()
            if is_sqlite:
                driver.execute("PRAGMA foreign_keys=ON")


def is_current(engine: Engine) -> bool:
    """Tell whether the database has every revision.

    **Touches** reads alembic_version.
    """
    head = ScriptDirectory.from_config(_config()).get_current_head()
    with engine.connect().execution_options(rm_write=False) as connection:
        return MigrationContext.configure(connection).get_current_revision() == head
