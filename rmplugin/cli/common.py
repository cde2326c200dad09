"""What all commands share: the runtime, the tenant, printing for people or as one JSON document."""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import structlog

from rmplugin.db import Db
from rmplugin.errors import ConfigError, InputError
from rmplugin.jobs import Runtime
from rmplugin.migrations import is_current
from rmplugin.programmes import models as _programmes  # noqa: F401 - Rows of lower capabilities refer to them.
from rmplugin.settings import read_settings
from rmplugin.tenants.models import Tenant
from rmplugin.tenants.queries import get_tenant
from rmplugin.wiring import configure_logging, make_runtime, make_worker

log = structlog.get_logger()

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
tenant_option = click.option("--tenant", metavar="SLUG", help="Company; not needed when there is only one.")


@contextmanager
def opened(*, migrated: bool = True) -> Iterator[Runtime]:
    """Give a runtime for one command.

    :param migrated: refuse to work on a database that `rmplugin init` has not brought up to date.
    :raises ConfigError: what is missing or wrong.
    **Touches** opens database and queue.
    """
    settings = read_settings()
    configure_logging(settings.log_format)
    runtime = make_runtime(settings)
    try:
        if migrated and not is_current(runtime.database.engine):
            raise ConfigError(["The database is not up to date: run `rmplugin init`."])
        yield runtime
    finally:
        runtime.database.close()


def find_tenant(runtime: Runtime, slug: str | None) -> Tenant:
    """Give the tenant that a command is about. **Touches** reads tenant."""
    with runtime.database.transaction(None, write=False) as db:
        return get_tenant(db, slug)


@contextmanager
def tenant_transaction(slug: str | None, *, write: bool = True) -> Iterator[tuple[Runtime, Db]]:
    """Open runtime and one transaction on the tenant's rows; the worker is told of what it has to do.

    **Touches** what the block does; the queue.
    """
    with opened() as runtime:
        tenant = find_tenant(runtime, slug)
        with runtime.database.transaction(tenant.id, write=write) as db:
            yield runtime, db
        if db.info.get("wake"):
            try:
                make_worker(runtime)["work"]()
            except Exception as error:  # noqa: BLE001 - every queue raises its own errors; the commit stands.
                log.warning("queue_down", error=type(error).__name__)


def show(document: Any, *, as_json: bool, human: Callable[[Any], str] | None = None) -> None:
    """Print a result.

    :param human: writes it for people; None prints a table of its rows, or its fields.
    **Touches** standard output.
    """
    if as_json:
        click.echo(json.dumps(document, indent=2, default=str, ensure_ascii=False))
    elif human is not None:
        click.echo(human(document))
    elif isinstance(document, Mapping):
        click.echo("\n".join(f"{name:<14} {_cell(value)}" for name, value in document.items()))
    else:
        click.echo(table(document))


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write rows as aligned columns. **Touches** pure."""
    if not rows:
        return "(none)"
    names = list(rows[0])
    cells = [names, *([_cell(row[name]) for name in names] for row in rows)]
    widths = [min(60, max(len(line[n]) for line in cells)) for n in range(len(names))]
    lines = ("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) for line in cells)
    return "\n".join(line.rstrip() for line in lines)


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_cell(inner)}" for name, inner in value.items()) or "-"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_cell, value)) or "-"
    return "-" if value is None else str(value)


def read_assignments(
    pairs: Sequence[str], option: str, example: str = "path=/data/people.csv"
) -> dict[str, Any]:
    """Read ``key=value`` options; a dotted key goes into a nested object.

    :param option: name for messages.
    :param example: what the command takes, for messages.
    :raises click.UsageError: there is no "=".
    **Touches** pure.
    """
    result: dict[str, Any] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not key:
            raise click.UsageError(f"{option} needs KEY=VALUE, for example {option} {example}.")
        place = result
        *outer, last = key.split(".")
        for part in outer:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise click.UsageError(f"{option} {key} goes into {part}, which has a value of its own.")
        place[last] = value
    return result


def merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Put new values over old ones, within nested objects, too. **Touches** pure."""
    found = dict(old)
    for key, value in new.items():
        both = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
        found[key] = merged(found[key], value) if both else value
    return found


def without(values: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Leave out keys; a dotted one is inside a nested object.

    :raises click.UsageError: one is not there.
    **Touches** pure.
    """
    found = merged({}, values)
    for name in names:
        place, (*outer, last) = found, name.split(".")
        for part in outer:
            place[part] = dict(place[part]) if isinstance(place.get(part), Mapping) else {}
            place = place[part]
        if last not in place:
            raise click.UsageError(f"--unset {name}: it is not set.")
        del place[last]
    return found


def flat(values: Mapping[str, Any], outer: str = "") -> Iterator[tuple[str, Any]]:
    """Give nested values by dotted keys. **Touches** pure."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{outer}{key}.")
        else:
            yield f"{outer}{key}", value


def read_file(path: Path) -> str:
    """Read a text file that somebody made with a spreadsheet.

    :raises InputError: it is not UTF-8.
    **Touches** reads the file.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            "not_utf8", f"{path.name} is not UTF-8 text. Nothing was changed. Save it as 'CSV UTF-8'."
        ) from error


def read_secrets(names: Sequence[str]) -> dict[str, str]:
    """Read secrets without taking them as arguments: KEY asks, KEY=@file and KEY=$VARIABLE read.

    :raises click.UsageError: a plain value was given, or the file or variable is not there.
    **Touches** the terminal, files and the environment.
    """
    found: dict[str, str] = {}
    for text in names:
        key, sign, where = text.partition("=")
        if not sign:
            found[key] = click.prompt(key, hide_input=True)
        elif where.startswith("@"):
            try:
                found[key] = Path(where[1:]).read_text(encoding="utf-8").strip()
            except OSError as error:
                raise click.UsageError(f"The file for {key} cannot be read.") from error
        elif where.startswith("$") and where[1:] in os.environ:
            found[key] = os.environ[where[1:]]
        else:
            raise click.UsageError(
                f"A secret is never a plain argument. Use --set-secret {key} (asks), {key}=@file or "
                f"{key}=$VARIABLE."
            )
    return found
