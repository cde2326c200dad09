"""Files that HR systems deliver: chosen, whole, at rest, and never an older one after a newer one.

Where they lie makes no difference: `connectors.places` gives open files that hold still.
"""

import hashlib
import json
import re
import time
from collections.abc import Generator, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

import marshmallow as ma

from connectors.places import Folder, Found, Place, again, open_place, scheme_of, written
from connectors.tables import fatal
from connectors.values import LOOPBACK

SCHEMES = ("sftp", "s3", "https", "http")


class FileSettings(ma.Schema):
    """What an administrator declares about where the files lie."""

    path = ma.fields.String(
        required=True,
        validate=ma.validate.Length(min=1),
        metadata={
            "help": "a file, a folder (its newest *.csv or *.xlsx), a pattern (/data/people-*.csv), "
            "sftp://user@host/folder/people-*.csv, s3://bucket/prefix, or https://host/people.csv"
        },
    )
    marker = ma.fields.String(
        load_default="",
        metadata={
            "help": "ending of the file that says that another is complete, such as .done; when it holds a "
            "sha256, as .sha256 does, that is compared"
        },
    )
    settle_seconds = ma.fields.Float(
        load_default=0.1,
        validate=ma.validate.Range(0, 300),
        metadata={"help": "a file that is younger is left alone so long, and must then be the same"},
    )
    archive = ma.fields.String(
        load_default="", metadata={"help": "folder that files move to once a newer one came; local, SFTP"}
    )
    user = ma.fields.String(load_default="", metadata={"help": "user name; HTTPS"})
    password = ma.fields.String(
        load_default="",
        metadata={"help": "password, or that of the private key; SFTP, HTTPS", "secret": True},
    )
    token = ma.fields.String(
        load_default="", metadata={"help": "bearer token instead of a password; HTTPS", "secret": True}
    )
    private_key = ma.fields.String(
        load_default="", metadata={"help": "text of the private key; SFTP", "secret": True, "lines": True}
    )
    host_key = ma.fields.String(
        load_default="",
        metadata={"help": "fingerprint of the server's key, SHA256:…; needed for SFTP, a check shows it"},
    )
    s3_endpoint = ma.fields.String(
        load_default="", metadata={"help": "address of an S3 service that is not Amazon's"}
    )
    s3_region = ma.fields.String(load_default="us-east-1", metadata={"help": "region of the bucket; S3"})
    s3_access_key = ma.fields.String(load_default="", metadata={"help": "id of the access key; S3"})
    s3_secret_key = ma.fields.String(
        load_default="", metadata={"help": "secret access key; S3", "secret": True}
    )

    @ma.validates("path")
    def check_path(self, value: str, **_options: Any) -> None:
        """Refuse places that cannot be read, or not safely.

        :raises marshmallow.ValidationError: another scheme, no encryption, or a password in the address.
        **Touches** pure.
        """
        scheme, sign, _rest = value.partition("://")
        if not sign:
            return
        if scheme not in SCHEMES:
            raise ma.ValidationError(
                "The path is none of sftp://, s3://, https://, or a path on this machine."
            )
        _check_encrypted(value)
        parts = urlsplit(value)
        if (
            not parts.hostname
            or parts.password is not None
            or (parts.username is not None) != (scheme == "sftp")
        ):
            raise ma.ValidationError(
                "An address needs a host. The user of SFTP stands in it (sftp://user@host/folder), that of "
                "HTTPS in the setting user, and a password only in the setting password."
            )

    @ma.validates("s3_endpoint")
    def check_endpoint(self, value: str, **_options: Any) -> None:
        """Refuse an endpoint without encryption. **Touches** pure."""
        if value:
            _check_encrypted(value)

    @ma.validates_schema
    def check_together(self, data: Mapping[str, Any], **_options: Any) -> None:
        """Refuse settings that the place cannot fulfil.

        :raises marshmallow.ValidationError: S3 without keys, or an archive where nothing can be moved.
        **Touches** pure.
        """
        scheme = scheme_of(data["path"])
        if scheme == "s3" and not (data["s3_access_key"] and data["s3_secret_key"]):
            raise ma.ValidationError("S3 needs s3_access_key and s3_secret_key.", "s3_access_key")
        if data["archive"] and scheme not in ("", "sftp"):
            raise ma.ValidationError("Files are archived in folders and on SFTP only.", "archive")


@dataclass(frozen=True, slots=True)
class Delivery:
    """A file that can be read.

    :param file: at its beginning.
    :param where: its place and name, for messages.
    :param cursor: what the next reading has to know of this one.
    :param seen: what was found, for an administrator.
    """

    file: BinaryIO
    where: str
    cursor: str
    seen: str


@dataclass(frozen=True, slots=True)
class LastRead:
    """The file that was read last.

    :param place: a cursor of another place means nothing here.
    """

    place: str
    name: str
    size: int
    time: float | None
    sha256: str

    @property
    def rank(self) -> tuple[float, str]:
        """Give what orders files by age."""
        return self.time or 0.0, self.name

    @classmethod
    def of(cls, cursor: str | None, place: str) -> "LastRead | None":
        """Read a cursor; None when it is of another place or another making. **Touches** pure."""
        try:
            last = cls(**json.loads(cursor or ""))
        except (ValueError, TypeError):
            return None
        return last if last.place == place else None


def deliveries(settings: Mapping[str, Any], cursor: str | None) -> Generator[Delivery]:
    """Give the newest complete file; when files hold changes only, each one that is new, the newest first.

    The same file again is given again: reading is cheap, and its cursor is the same, which tells the core
    that there is nothing new in it.

    :param settings: loaded by `FileSettings`, and `full`.
    :param cursor: of the last delivery that was stored; None for whatever is there.
    :raises RetriableError: incomplete, being written, or out of reach for now.
    :raises FatalError: no file, no access, or an older file than the last one.
    **Touches** the place; files without a name; moves what a newer file replaces when there is an archive.
    """
    with open_place(settings) as place:
        last, now = LastRead.of(cursor, place.where), ""
        found = place.find()
        chosen = _choose(place, found, settings, last)
        for one, declared in chosen:
            _settle(place, one, settings["settle_seconds"])
            with place.open(one) as file:
                if place.look(one) != one:
                    raise written(place.where)
                digest = hashlib.file_digest(cast("Any", file), "sha256").hexdigest()
                file.seek(0)
                _check(place.where, one, digest, declared, last)
                now = now or _cursor(place.where, one, digest)
                yield Delivery(file, place.where, now, _seen(place.where, one))
                # Elsewhere a copy was read.
                if isinstance(place, Folder) and place.look(one) != one:
                    raise written(place.where)
        if settings["archive"] and last:
            _archive(place, found, {one.name for one, _declared in chosen}, last, settings["archive"])


def _choose(
    place: Place, found: list[Found], settings: Mapping[str, Any], last: LastRead | None
) -> list[tuple[Found, str]]:
    """Give the files to read, each with the sha256 that its marker declares or ""."""
    if not found:
        raise fatal(place.where, f"There is no file {place.where}. Check the path and the export.")
    newest_first = sorted(found, key=lambda one: one.rank, reverse=True)
    if settings["full"]:
        for one in newest_first:
            declared = _declared(place, one.name, settings["marker"])
            if declared is not None:
                return [(one, declared)]
    else:
        new = [one for one in newest_first if last is None or one.rank > last.rank] or newest_first[:1]
        oldest_first = ((one, _declared(place, one.name, settings["marker"])) for one in reversed(new))
        # A file that is not complete holds up those after it: a change must not overtake an earlier one.
        whole = [(one, text) for one, text in takewhile(lambda pair: pair[1] is not None, oldest_first)]
        if whole:
            return [(one, declared or "") for one, declared in reversed(whole)]
    text = f"No file has its {settings['marker']} beside it, so none is complete. Try again after the export."
    raise again(place.where, text)


def _declared(place: Place, name: str, marker: str) -> str | None:
    """Give the sha256 that the marker beside a file holds, "" for none; None when there is no marker."""
    if not marker:
        return ""
    for beside in (f"{name}{marker}", f"{name.rpartition('.')[0]}{marker}"):
        content = place.small(beside)
        if content is not None:
            digest = re.match(rb"\\?([0-9a-f]{64})\b", content.strip().lower())
            return digest[1].decode() if digest else ""
    return None


def _settle(place: Place, found: Found, seconds: float) -> None:
    """Let a young file come to rest; clocks that differ by more than the wait say nothing about its age."""
    age = seconds if found.time is None else abs(time.time() - found.time)
    if age < seconds:
        time.sleep(seconds - age)
        if place.look(found) != found:
            raise written(place.where)


def _check(where: str, found: Found, digest: str, declared: str, last: LastRead | None) -> None:
    if found.size == 0:
        text = "The file is empty (0 bytes): it is not written yet, or the export failed. Look at the export."
        raise again(where, text)
    if declared and declared != digest:
        text = "The file is not the one that its marker declares (sha256): it is cut off or was replaced."
        raise again(where, f"{text} Look at the export.")
    if last and last.time and found.time and found.time < last.time and digest != last.sha256:
        raise fatal(
            where,
            f"The newest file, of {_moment(found.time)}, is older than the one that was read last, of "
            f"{_moment(last.time)}. Deliver the newer one again; a full run (--full) reads the older one.",
        )


def _archive(place: Place, found: Iterable[Found], kept: set[str], last: LastRead, folder: str) -> None:
    """Move what was stored by an earlier run, or lies behind it; this run's files may still be needed."""
    for one in found:
        # Whoever delivers may just now have put a new file there under the old name.
        if one.name not in kept and one.rank <= last.rank and place.look(one) == one:
            place.move(one.name, folder)


def _cursor(where: str, found: Found, digest: str) -> str:
    return json.dumps(asdict(LastRead(where, found.name, found.size, found.time, digest)))


def _seen(where: str, found: Found) -> str:
    changed = f", changed {_moment(found.time)}" if found.time else ""
    inside = "" if where.endswith(found.name) else f": {found.name}"
    return f"{where}{inside}, {found.size:,} bytes{changed}"


def _moment(seconds: float | None) -> str:
    return f"{datetime.fromtimestamp(seconds or 0, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _check_encrypted(url: str) -> None:
    if urlsplit(url).scheme == "http" and urlsplit(url).hostname not in LOOPBACK:
        raise ma.ValidationError(
            "The address must begin with https://, so that nobody on the way can read it."
        )
