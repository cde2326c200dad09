"""Database revisions, and the one way to bring a database up to date."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Engine, inspect, text

if TYPE_CHECKING:
    from alembic.config import Config

VERSIONS = Path(__file__).parent / "versions"
REVISION = re.compile(r'^(revision|down_revision) = "(\w+)"', re.MULTILINE)


def _config() -> "Config":
    # Alembic is slow to load, and every command asks whether the database is up to date.
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(VERSIONS.parent))
    return config


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring a database to a revision.

    **Touches** the schema of the database.
    """
    _run("upgrade", engine, revision)


def downgrade(engine: Engine, revision: str) -> None:
    """Take a database back to a revision; "base" empties it.

    **Touches** the schema of the database.
    """
    _run("downgrade", engine, revision)


def _run(verb: Literal["upgrade", "downgrade"], engine: Engine, revision: str) -> None:
    from alembic import command

    config = _config()
    with engine.connect().execution_options(rm_write=True) as connection:
        config.attributes["connection"] = connection
        driver: Any = connection.connection.driver_connection
        is_sqlite = engine.dialect.name == "sqlite"
        if is_sqlite:
            # SQLite changes a table by making it anew; dropping the old one would delete all that refers to it.
            driver.execute("PRAGMA foreign_keys=OFF")
        try:
            getattr(command, verb)(config, revision)
            connection.commit()
        finally:
            connection.rollback()
            if is_sqlite:
                driver.execute("PRAGMA foreign_keys=ON")


def is_current(engine: Engine) -> bool:
    """Tell whether the database has every revision.

    **Touches** reads alembic_version.
    """
    found = [pair for path in VERSIONS.glob("*.py") for pair in REVISION.findall(path.read_text("utf-8"))]
    names = {name for kind, name in found if kind == "revision"}
    befores = {name for kind, name in found if kind == "down_revision"}
    with engine.connect().execution_options(rm_write=False) as connection:
        if not inspect(connection).has_table("alembic_version"):
            return False
        return connection.scalars(text("select version_num from alembic_version")).all() == [
            *(names - befores)
        ]
