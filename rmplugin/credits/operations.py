"""Credits."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rmplugin.db import Db


def on_session_confirmed(db: Db, payload: Mapping[str, Any], now: datetime) -> None:
    """Award."""


def on_progress_changed(db: Db, payload: Mapping[str, Any], now: datetime) -> None:
    """Update completion."""
