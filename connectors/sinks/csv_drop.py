"""Credits as files in a folder or on an SFTP server, in the shapes that learning systems import.

Each delivery is a file of its own, that appears whole and is never changed; their names sort in the order in
which they were written. Whoever imports may take them away. A record that was handed over before is first
looked for in the files that lie there, so that no line is written twice, in whatever company it comes again.
"""

import csv
import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, time, timedelta
from typing import Any
from urllib.parse import urlsplit

import marshmallow as ma

from connectors.events import EVERYTHING, name_person
from connectors.places import Folder, Sftp, open_place, scheme_of
from connectors.values import Strict
from rmplugin.api import (
    CheckResult,
    CreditKind,
    CreditRecord,
    CreditSink,
    FatalError,
    RetriableError,
    SinkAnswer,
    hookimpl,
    shapes,
)

# With a time of the day, files are written from then on for so long.
OPEN_FOR = timedelta(hours=1)
PROBE = ".rmplugin-check"
OUT_OF_REACH = "The folder for files is out of reach at the moment. It is tried again by itself."
NO_ACCESS = (
    "The folder for files takes none. An administrator should check its path and permissions, then send this "
    "again."
)
NEXT_FILE = "It waits for the next file."
UNSURE = (
    "It is not known whether this was imported: its file may have been written and taken away. Look in the "
    "system that imports the files. Send it again only if it is not there."
)
TAKES_AWAY = "The system that imports the files takes nothing back by file. Correct it there by hand."


class DropSettings(Strict):
    """What an administrator enters."""

    path = ma.fields.String(
        required=True,
        validate=ma.validate.Length(min=1),
        metadata={"help": "a folder on this machine, or sftp://user@host/folder"},
    )
    shape = ma.fields.String(
        load_default="generic",
        validate=ma.validate.OneOf(sorted(shapes.SHAPES)),
        metadata={"help": f"columns: {', '.join(sorted(shapes.SHAPES))}"},
    )
    person = ma.fields.String(
        load_default="number",
        validate=ma.validate.OneOf(["number", "email"]),
        metadata={"help": "how the other system knows people: by employee number or by email"},
    )
    name = ma.fields.String(
        load_default="credits",
        validate=ma.validate.Regexp(r"\A[A-Za-z0-9_-]{1,40}\Z"),
        metadata={"help": "beginning of the files' names"},
    )
    at = ma.fields.Time(
        format="%H:%M",
        load_default=None,
        allow_none=True,
        metadata={"help": "time of the day (UTC) at which files are written, such as 02:00; none: at once"},
    )
    password = ma.fields.String(
        load_default="", metadata={"secret": True, "help": "password, or that of the private key; SFTP"}
    )
    private_key = ma.fields.String(
        load_default="", metadata={"secret": True, "lines": True, "help": "text of the private key; SFTP"}
    )
    host_key = ma.fields.String(
        load_default="",
        metadata={"help": "fingerprint of the server's key, SHA256:…; needed for SFTP, a check shows it"},
    )

    @ma.validates("path")
    def check_path(self, value: str, **_options: Any) -> None:
        """Refuse what is neither a folder nor SFTP, or holds a password.

        :raises marshmallow.ValidationError: it is.
        **Touches** pure.
        """
        scheme, parts = scheme_of(value), urlsplit(value)
        if scheme and (scheme != "sftp" or not parts.hostname or not parts.username or parts.password):
            raise ma.ValidationError(
                "Enter a folder on this machine or sftp://user@host/folder; the password has its own setting."
            )


class CsvDrop:
    """Files for systems that import them."""

    key = "csv"
    title = "CSV files"
    settings_schema: type[ma.Schema] = DropSettings
    takes: frozenset[CreditKind] = EVERYTHING
    # A shape whose system takes nothing back is told so record by record.
    corrects = True
    batch = 500
    calls_per_minute: int | None = None

    def check(self, settings: Mapping[str, Any]) -> list[CheckResult]:
        """Say whether files can be written; one is, and is removed again.

        :param settings: loaded by `DropSettings`.
        **Touches** the folder or the server.
        """
        try:
            with _open_folder(settings) as folder:
                folder.put(PROBE, b"")
                folder.remove(PROBE)
        except (RetriableError, FatalError) as error:
            return [CheckResult("Folder", ok=False, advice=error.message_for_user)]
        return [CheckResult("Folder", ok=True, advice="Files can be written.")]

    def deliver(
        self, settings: Mapping[str, Any], records: Sequence[CreditRecord], now: datetime
    ) -> Sequence[SinkAnswer]:
        """Write a file. **Touches** the folder or the server."""
        shape = shapes.SHAPES[settings["shape"]]
        wait = _seconds_until(settings["at"], now)
        if wait:
            late = SinkAnswer(outcome="retry", message_for_user=NEXT_FILE, retry_after=wait)
            return [late] * len(records)
        answers, lines = dict[str, SinkAnswer](), dict[str, tuple[str, ...]]()
        for record in records:
            person = name_person(record, settings)
            if isinstance(person, SinkAnswer):
                answers[record.id] = person
            elif not shape.can_say(record):
                answers[record.id] = SinkAnswer(outcome="needs_human", message_for_user=TAKES_AWAY)
            else:
                lines[record.id] = shape.line(record, person)
        sent = [record for record in records if record.id in lines]
        answers |= _write(settings, shape, sent, lines, now)
        return [answers[record.id] for record in records]


def _write(
    settings: Mapping[str, Any],
    shape: shapes.Shape,
    records: Sequence[CreditRecord],
    lines: Mapping[str, tuple[str, ...]],
    now: datetime,
) -> dict[str, SinkAnswer]:
    """Write the lines that lie in no file yet; what becomes of each record."""
    answers, began = dict[str, SinkAnswer](), False
    try:
        with _open_folder(settings) as folder:
            if any(record.attempts > 1 for record in records):
                lying = _lying(folder)
                answers = {
                    record.id: SinkAnswer(outcome="delivered", remote_ref=lying[lines[record.id]])
                    for record in records
                    if lines[record.id] in lying
                }
            if not shape.knows_again:
                taken = SinkAnswer(outcome="needs_human", message_for_user=UNSURE, unsure=True)
                answers = {one.id: taken for one in records if one.unanswered} | answers
            new = [record for record in records if record.id not in answers]
            if new:
                content = shape.file([lines[record.id] for record in new])
                digest = hashlib.sha256(content).hexdigest()[:8]
                name = f"{settings['name']}-{now.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}-{digest}.csv"
                began = True
                folder.put(name, content)
                answers |= {one.id: SinkAnswer(outcome="delivered", remote_ref=name) for one in new}
    except RetriableError:
        unsure = began and not shape.knows_again
        failed = SinkAnswer(
            outcome="needs_human" if unsure else "retry",
            message_for_user=UNSURE if unsure else OUT_OF_REACH,
            unsure=unsure,
        )
        answers = {one.id: failed for one in records} | answers
    except FatalError:
        failed = SinkAnswer(outcome="needs_human", message_for_user=NO_ACCESS, status=403)
        answers = {one.id: failed for one in records} | answers
    return answers


@contextmanager
def _open_folder(settings: Mapping[str, Any]) -> Iterator[Folder | Sftp]:
    """Open the folder, with our files in it."""
    files = f"{settings['path'].rstrip('/')}/{settings['name']}-*.csv"
    with open_place({**settings, "path": files}) as place:
        assert isinstance(place, Folder | Sftp)
        yield place


def _lying(folder: Folder | Sftp) -> dict[tuple[str, ...], str]:
    """Give every line of the files of ours that lie there, and its file."""
    lying = dict[tuple[str, ...], str]()
    for found in folder.find():
        with folder.open(found) as file:
            text = io.TextIOWrapper(file, encoding="utf-8", errors="replace", newline="")
            lying |= {tuple(line): found.name for line in csv.reader(text)}
    return lying


def _seconds_until(at: time | None, now: datetime) -> float | None:
    """Give how long it is until files are written; None while they are."""
    if at is None:
        return None
    begins = datetime.combine(now.date(), at, UTC)
    if timedelta(0) <= (now - begins) % timedelta(days=1) < OPEN_FOR:
        return None
    return ((begins - now) % timedelta(days=1)).total_seconds()


@hookimpl
def rm_register_completion_sinks() -> Sequence[CreditSink]:
    """Bring files."""
    return (CsvDrop(),)
