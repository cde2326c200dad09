"""Database revisions, and the one way to bring a database up to date."""

from pathlib import Path

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
    config = _config()
    with engine.connect().execution_options(rm_write=True) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.commit()


def downgrade(engine: Engine, revision: str) -> None:
    """Take a database back to a revision; "base" empties it.

    **Touches** the schema of the database.
    """
    config = _config()
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)
        connection.commit()


def is_current(engine: Engine) -> bool:
    """Tell whether the database has every revision.

    **Touches** reads alembic_version.
    """
    head = ScriptDirectory.from_config(_config()).get_current_head()
    with engine.connect().execution_options(rm_write=False) as connection:
        return MigrationContext.configure(connection).get_current_revision() == head
