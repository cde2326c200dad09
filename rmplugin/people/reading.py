"""One reading of an HR system into a staging file, whatever its connector does."""

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from rmplugin.errors import CursorExpiredError, RmError
from rmplugin.people.roster import Staging
from rmplugin.records import HrisConnector
from rmplugin.texts import Text, joined

log = structlog.get_logger()


@dataclass
class Reading:
    """One reading of a source into the staging file.

    :ivar cursor: from where changes are read; None for everything.
    """

    connector: HrisConnector
    settings: Mapping[str, Any]
    staging: Staging
    cursor: str | None
    on_page: Callable[[int, int | None], None]

    @property
    def everybody(self) -> bool:
        """Tell whether the reading gives everybody, so that absence means something."""
        can = self.connector.capabilities
        reads_all = self.cursor is None or not can.incremental
        return bool(self.settings.get("full", True)) and can.full_is_complete and reads_all

    @property
    def mode(self) -> str:
        """Give the mode of the run, as `RosterRun` names it."""
        return "full" if self.everybody else "incremental"

    def read(self) -> Text | None:
        """Read all pages; begin anew, with everybody, when the source has forgotten the cursor.

        :return: why it failed, in plain words; None when it did not.
        **Touches** the connector's system, the staging file.
        """
        try:
            try:
                self._read_pages()
            except CursorExpiredError:
                log.info("roster_cursor_expired", connector=self.connector.key)
                self.cursor = None
                self.staging.start_again()
                self._read_pages()
        except RmError as error:
            log.warning("roster_read_failed", connector=self.connector.key, code=error.code)
            said = error.message_for_user
            return said if "Nobody was changed" in said else joined([said, "Nobody was changed."])
        except sqlite3.Error as error:
            log.error("roster_staging_failed", connector=self.connector.key, error=type(error).__name__)
            return Text(
                "What was read could not be kept on this machine's disk; its folder for temporary files may "
                "be full. Nobody was changed. Make room and try again."
            )
        except Exception as error:  # noqa: BLE001 - a plug-in may raise anything; the run must end as failed.
            log.error("roster_read_crashed", connector=self.connector.key, error=type(error).__name__)
            return Text(
                "The connector '%(connector)s' stopped with an unexpected error (%(error)s). Nobody was "
                "changed. Try again; if it happens again, tell the connector's author.",
                connector=self.connector.key,
                error=type(error).__name__,
            )
        return None

    def _read_pages(self) -> None:
        for page in self.connector.read(self.settings, self.cursor):
            self.staging.add_page(page, newest_wins=not self.everybody)
            self.on_page(self.staging.seen, self.staging.total)
