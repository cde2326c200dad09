"""Where files lie: in a folder, on an SFTP server, in a bucket, on the web."""

import fnmatch
import io
import os
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO, Protocol, cast
from urllib.parse import SplitResult, unquote, urlsplit

from connectors.tables import fatal
from rmplugin.api import FatalError, RetriableError, http

SUFFIXES = (".csv", ".xlsx")
MOST_BYTES = 1024 * 1024 * 1024
MOST_SECONDS = 1800.0
CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Found:
    """A file as a look finds it; two looks that find the same are equal.

    :param time: of its last change, seconds since 1970; None when the place does not say.
    :param tag: what else changes when the file does.
    """

    name: str
    size: int
    time: float | None
    tag: str = ""

    @property
    def rank(self) -> tuple[float, str]:
        """Give what orders files by age."""
        return self.time or 0.0, self.name


class Place(Protocol):
    """Where files lie.

    :ivar where: for messages; without passwords and queries.
    """

    where: str

    def find(self) -> list[Found]:
        """Give the files that could be meant, in any order; an empty list when there is none."""
        ...

    def look(self, found: Found) -> Found | None:
        """Look at a file again; None when it is gone."""
        ...

    def open(self, found: Found) -> BinaryIO:
        """Open it, or a copy that has no name."""
        ...

    def small(self, name: str) -> bytes | None:
        """Give the beginning of a small file beside; None when there is none."""
        ...

    def move(self, name: str, folder: str) -> None:
        """Move a file into a folder."""
        ...


def scheme_of(path: str) -> str:
    """Give the scheme of an address; "" for a path on this machine. **Touches** pure."""
    scheme, sign, _rest = path.partition("://")
    return scheme if sign else ""


def _meant(name: str, pattern: str) -> bool:
    if name.startswith("."):
        return False
    return fnmatch.fnmatchcase(name, pattern) if pattern else name.lower().endswith(SUFFIXES)


@contextmanager
def open_place(settings: Mapping[str, Any]) -> Iterator[Place]:
    """Go to where the files lie.

    :param settings: loaded by `FileSettings`.
    :raises RetriableError: out of reach for now.
    :raises FatalError: no access, a missing package, or another host key than declared.
    **Touches** the place.
    """
    scheme = scheme_of(settings["path"])
    if scheme == "":
        try:
            yield Folder(Path(settings["path"]))
        except FileNotFoundError:
            text = "There is no such file or folder. Make it, or change the setting `path`."
            raise fatal(settings["path"], text) from None
        except OSError as error:
            text = f"The file cannot be read, written or moved ({error.strerror}). Check its permissions."
            raise fatal(settings["path"], text) from None
    elif scheme == "sftp":
        with _open_sftp(settings) as place:
            yield place
    elif scheme == "s3":
        with _open_s3(settings) as place:
            yield place
    else:
        place = Web(settings)
        with place.copy:
            yield place


class Folder:
    """A file, the files of a folder, or those that match a pattern, on this machine."""

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        whole = path.is_dir()
        self._path = path if whole else path.parent
        self._pattern = "" if whole else path.name
        self._single = not whole and "*" not in path.name

    def find(self) -> list[Found]:
        """See `Place`. **Touches** reads the folder."""
        names = [self._pattern]
        if not self._single:
            names = [p.name for p in self._path.iterdir() if _meant(p.name, self._pattern)]
        if not names and not self._pattern:
            text = f"The folder {self._path} holds no *.csv file and no *.xlsx file. Check the export."
            raise fatal(self.where, text)
        return [found for name in names if (found := self._look(name)) is not None]

    def look(self, found: Found) -> Found | None:
        """See `Place`. **Touches** reads the folder."""
        return self._look(found.name)

    def _look(self, name: str) -> Found | None:
        try:
            facts = (self._path / name).stat()
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(facts.st_mode):
            return None
        return Found(name, facts.st_size, facts.st_mtime, f"{facts.st_ino} {facts.st_mtime_ns}")

    def open(self, found: Found) -> BinaryIO:
        """See `Place`; the file itself, which costs no copy. **Touches** opens the file."""
        return (self._path / found.name).open("rb")

    def small(self, name: str) -> bytes | None:
        """See `Place`. **Touches** reads the file."""
        try:
            with (self._path / name).open("rb") as file:
                return file.read(1000)
        except FileNotFoundError:
            return None

    def move(self, name: str, folder: str) -> None:
        """See `Place`; a relative folder lies in that of the files. **Touches** moves the file."""
        target = self._path / folder
        target.mkdir(exist_ok=True)
        shutil.move(self._path / name, target / name)

    def put(self, name: str, content: bytes) -> None:
        """Write a file that is there whole or not at all. **Touches** writes the file."""
        part = self._path / f".{name}.part"
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._path / name)

    def remove(self, name: str) -> None:
        """Remove a file. **Touches** the folder."""
        (self._path / name).unlink()


class Sftp:
    """The same on an SFTP server."""

    def __init__(self, sftp: Any, parts: SplitResult) -> None:
        self._sftp = sftp
        path = PurePosixPath(unquote(parts.path))
        self.where = f"sftp://{parts.hostname}{path}"
        whole = "*" not in path.name and stat.S_ISDIR(sftp.stat(str(path)).st_mode or 0)
        self._path = path if whole else path.parent
        self._pattern = "" if whole else path.name

    def find(self) -> list[Found]:
        """See `Place`. **Touches** lists the folder."""
        return [
            _of_sftp(facts.filename, facts)
            for facts in self._sftp.listdir_iter(str(self._path))
            if _meant(facts.filename, self._pattern) and stat.S_ISREG(facts.st_mode or stat.S_IFREG)
        ]

    def look(self, found: Found) -> Found | None:
        """See `Place`. **Touches** the server."""
        try:
            return _of_sftp(found.name, self._sftp.stat(str(self._path / found.name)))
        except FileNotFoundError:
            return None

    def open(self, found: Found) -> BinaryIO:
        """See `Place`. **Touches** copies the file."""
        with self._sftp.open(str(self._path / found.name), "rb") as remote:
            remote.prefetch(found.size)
            return _copy(self.where, iter(lambda: remote.read(65536), b""), found.size)

    def small(self, name: str) -> bytes | None:
        """See `Place`. **Touches** the server."""
        try:
            with self._sftp.open(str(self._path / name), "rb") as remote:
                return bytes(remote.read(1000))
        except FileNotFoundError:
            return None

    def move(self, name: str, folder: str) -> None:
        """See `Place`; a relative folder lies in that of the files. **Touches** moves the file."""
        target = self._path / folder
        try:
            self._sftp.stat(str(target))
        except FileNotFoundError:
            self._sftp.mkdir(str(target))
        self._rename(self._path / name, target / name)

    def put(self, name: str, content: bytes) -> None:
        """Write a file that is there whole or not at all. **Touches** the server."""
        part = self._path / f".{name}.part"
        with self._sftp.open(str(part), "wb") as remote:
            remote.write(content)
        self._rename(part, self._path / name)

    def remove(self, name: str) -> None:
        """Remove a file. **Touches** the server."""
        self._sftp.remove(str(self._path / name))

    def _rename(self, old: PurePosixPath, new: PurePosixPath) -> None:
        try:
            self._sftp.posix_rename(str(old), str(new))
        except OSError:
            # An extension of OpenSSH's, which replaces what is there; not every server knows it.
            self._sftp.rename(str(old), str(new))


def _of_sftp(name: str, facts: Any) -> Found:
    return Found(name, facts.st_size or 0, facts.st_mtime)


@contextmanager
def _open_sftp(settings: Mapping[str, Any]) -> Iterator[Place]:
    try:
        import paramiko
    except ImportError:
        raise _missing(settings["path"], "SFTP", "paramiko", "sftp") from None
    parts = urlsplit(settings["path"])
    where = f"sftp://{parts.hostname}{parts.path}"
    try:
        with (
            socket.create_connection((parts.hostname, parts.port or 22), CONNECT_SECONDS) as connection,
            paramiko.Transport(connection) as transport,
        ):
            transport.start_client(timeout=CONNECT_SECONDS)
            # Before anything secret is sent.
            _check_host_key(where, transport.get_remote_server_key().fingerprint, settings["host_key"])
            transport.auth_timeout = CONNECT_SECONDS
            if settings["private_key"]:
                transport.auth_publickey(unquote(parts.username or ""), _private_key(where, settings))
            else:
                transport.auth_password(unquote(parts.username or ""), settings["password"])
            sftp = paramiko.SFTPClient.from_transport(transport)
            assert sftp is not None
            cast("Any", sftp.get_channel()).settimeout(READ_SECONDS)
            yield Sftp(sftp, parts)
    except (paramiko.AuthenticationException, PermissionError):
        text = "The SFTP server refused the user, the password or key, or access to the folder. Check them."
        raise fatal(where, text) from None
    except FileNotFoundError:
        raise fatal(where, f"There is no file {where}. Check the path and the export.") from None
    except (paramiko.SSHException, EOFError, OSError):
        raise again(where, "The SFTP server did not answer, broke off, or failed.") from None


def _check_host_key(where: str, shown: str, declared: str) -> None:
    if not declared:
        text = (
            f"No host key is declared. The server shows {shown}. Ask its administrator whether that is its "
        )
        raise fatal(where, f"{text}key, then set host_key to it.")
    if shown.rstrip("=") != declared.strip().rstrip("="):
        text = (
            f"The server shows the host key {shown}, which is not the declared one. Nothing was sent to it. "
        )
        raise fatal(
            where, f"{text}Somebody may stand in between: ask its administrator before you set host_key anew."
        )


def _private_key(where: str, settings: Mapping[str, Any]) -> Any:
    import paramiko

    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key(
                io.StringIO(settings["private_key"]), password=settings["password"] or None
            )
        except (paramiko.SSHException, ValueError):
            continue
    text = "The private key cannot be read. Give its whole text (Ed25519, ECDSA or RSA), and its password."
    raise fatal(where, text)


class S3:
    """Objects of a bucket whose keys begin in a way. An upload is there whole or not at all."""

    def __init__(self, client: Any, parts: SplitResult) -> None:
        self._client = client
        self._bucket = parts.hostname
        self._prefix = unquote(parts.path).lstrip("/")
        self.where = f"s3://{self._bucket}/{self._prefix}"

    def find(self) -> list[Found]:
        """See `Place`. **Touches** lists the bucket."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix
        )
        return [
            Found(item["Key"], item["Size"], item["LastModified"].timestamp(), item["ETag"])
            for page in pages
            for item in page.get("Contents", ())
            if item["Key"] == self._prefix or _meant(item["Key"].rpartition("/")[2], "")
        ]

    def look(self, found: Found) -> Found | None:
        """See `Place`. **Touches** the bucket."""
        facts = self._client.head_object(Bucket=self._bucket, Key=found.name)
        return Found(found.name, facts["ContentLength"], facts["LastModified"].timestamp(), facts["ETag"])

    def open(self, found: Found) -> BinaryIO:
        """See `Place`; only the very object that was found. **Touches** copies the object."""
        answer = self._client.get_object(Bucket=self._bucket, Key=found.name, IfMatch=found.tag)
        return _copy(self.where, answer["Body"].iter_chunks(65536), found.size)

    def small(self, name: str) -> bytes | None:
        """See `Place`. **Touches** the bucket."""
        try:
            return bytes(self._client.get_object(Bucket=self._bucket, Key=name)["Body"].read(1000))
        except self._client.exceptions.NoSuchKey:
            return None

    def move(self, name: str, folder: str) -> None:
        """Nothing is moved in S3; its own lifecycle rules do that. **Touches** nothing."""


@contextmanager
def _open_s3(settings: Mapping[str, Any]) -> Iterator[Place]:
    try:
        import boto3  # type: ignore[import-untyped]
        from botocore.config import Config  # type: ignore[import-untyped]
        from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]
    except ImportError:
        raise _missing(settings["path"], "S3", "boto3", "s3") from None
    where = settings["path"]
    try:
        client = boto3.session.Session(
            aws_access_key_id=settings["s3_access_key"],
            aws_secret_access_key=settings["s3_secret_key"],
            region_name=settings["s3_region"],
        ).client(
            "s3",
            endpoint_url=settings["s3_endpoint"] or None,
            config=Config(
                connect_timeout=CONNECT_SECONDS,
                read_timeout=READ_SECONDS,
                retries={"total_max_attempts": 3, "mode": "standard"},
                ignore_configured_endpoint_urls=True,
            ),
        )
        try:
            yield S3(client, urlsplit(where))
        finally:
            client.close()
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        code = error.response["Error"].get("Code")
        if status == 412 or (status == 404 and code != "NoSuchBucket"):
            raise written(where) from None
        if status == 429 or status >= 500:
            raise again(where, f"S3 answered {status}.") from None
        text = f"S3 refused ({status}). Check the bucket, the region, and that the key may list and read it."
        raise fatal(where, text) from None
    except BotoCoreError:
        raise again(where, "S3 did not answer, or broke off.") from None


class Web:
    """One file on the web. Only its answer tells what it is, so that it is fetched at the first look."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        parts = urlsplit(settings["path"])
        # What stands behind the question mark may be a key.
        self.where = f"{parts.scheme}://{parts.netloc}{parts.path}"
        self._path = parts.path
        self._query = f"?{parts.query}" if parts.query else ""
        self._name = PurePosixPath(unquote(parts.path)).name
        token = settings["token"]
        self._client = http.Client(
            parts.hostname or "",
            f"{parts.scheme}://{parts.netloc}",
            headers={"Authorization": f"Bearer {token}"} if token else {},
            auth=(settings["user"], settings["password"]) if settings["user"] else None,
            limits=http.Limits(seconds=MOST_SECONDS),
        )
        self.copy: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - `open_place` closes it.

    def find(self) -> list[Found]:
        """See `Place`. **Touches** fetches the file."""
        reply = self._client.download(f"{self._path}{self._query}", self.copy, MOST_BYTES)
        self.copy.seek(0)
        beginning = self.copy.read(512).lstrip(b"\xef\xbb\xbf \r\n\t")
        if beginning[:1] == b"<" or "text/html" in reply.headers.get("Content-Type", ""):
            raise reply.broken("answered with a page instead of the file; it may ask to sign in")
        size = self.copy.seek(0, os.SEEK_END)
        return [Found(self._name, size, _http_time(reply.headers), reply.headers.get("ETag", ""))]

    def look(self, found: Found) -> Found | None:
        """See `Place`; a server that knows no ETag cannot tell. **Touches** the server."""
        if not found.tag:
            return found
        asked = {"If-None-Match": found.tag}
        with tempfile.TemporaryFile() as other:
            reply = self._client.download(
                f"{self._path}{self._query}", other, MOST_BYTES, headers=asked, expect=(304,)
            )
            return found if reply.status == 304 or reply.headers.get("ETag") == found.tag else None

    def open(self, found: Found) -> BinaryIO:
        """See `Place`; what was fetched. **Touches** the copy."""
        del found
        self.copy.seek(0)
        return cast("BinaryIO", self.copy)

    def small(self, name: str) -> bytes | None:
        """See `Place`. **Touches** the server."""
        folder = self._path.rpartition("/")[0]
        reply = self._client.get(f"{folder}/{name}{self._query}", expect=(404,))
        return None if reply.status == 404 else reply.body[:1000]

    def move(self, name: str, folder: str) -> None:
        """Nothing is moved on the web. **Touches** nothing."""


def _http_time(headers: Mapping[str, str]) -> float | None:
    try:
        return parsedate_to_datetime(headers.get("Last-Modified", "")).timestamp()
    except ValueError:
        return None


def _copy(where: str, pieces: Iterable[bytes], size: int) -> BinaryIO:
    """Copy into a file without a name, so that nothing is left behind, whatever happens."""
    if size > MOST_BYTES:
        raise fatal(where, f"The file is larger than {MOST_BYTES:,} bytes. Check the export.")
    until, copied = time.monotonic() + MOST_SECONDS, tempfile.TemporaryFile()  # noqa: SIM115 - given back.
    for piece in pieces:
        copied.write(piece)
        if copied.tell() > size or time.monotonic() > until:
            break
    if copied.tell() != size:
        copied.close()
        raise written(where)
    copied.seek(0)
    return cast("BinaryIO", copied)


def _missing(where: str, what: str, package: str, extra: str) -> FatalError:
    text = f"{what} needs the package {package}. Install it: pip install 'rmplugin[{extra}]'."
    return fatal(where, text)


def written(where: str) -> RetriableError:
    """Make the error for a file that changed between two looks. **Touches** pure."""
    return again(where, "The file was being written while it was read.")


def again(where: str, text: str) -> RetriableError:
    """Make the error for what a later reading may find mended. **Touches** pure."""
    return RetriableError("file", "read", where, None, f"{text} Try again later.")
