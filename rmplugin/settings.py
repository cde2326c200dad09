"""One table of settings, read once into a frozen object. A test checks `docs/settings.md` against it."""

import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from rmplugin.errors import ConfigError


class Setting(NamedTuple):
    """One row of the table.

    :param parse: turns the text into the value; raises ValueError with a sentence.
    :param default: text; None means "worked out from the others".
    :param secret: may be given as ``<NAME>_FILE`` and is never printed.
    """

    name: str
    parse: Callable[[str], Any]
    default: str | None
    help: str
    secret: bool = False


def _log_format(text: str) -> str:
    if text not in ("text", "json"):
        raise ValueError("must be text or json")
    return text


def _public_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
        raise ValueError("must be like https://mentoring.example.com, without a path")
    return f"{parts.scheme}://{parts.netloc}"


def _count(text: str) -> int:
    if not text.isdigit():
        raise ValueError("must be a whole number, 0 or more")
    return int(text)


def _mail_url(text: str) -> str | None:
    if not text:
        return None
    try:
        parts = urlsplit(text)
        usable = bool(parts.scheme and parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("must be like smtp://user:password@mail.example.com:587?from=mentoring@example.com")
    return text


SETTINGS = (
    Setting(
        "RM_DATA_DIR", Path, "./.data", "Folder for the database, the queue and the secret key by default."
    ),
    Setting(
        "RM_DATABASE_URL",
        str,
        None,
        "SQLAlchemy URL. Default: an SQLite file in RM_DATA_DIR. Production: postgresql+psycopg://…",
        secret=True,
    ),
    Setting(
        "RM_QUEUE_URL",
        str,
        None,
        "Queue of the worker. Default: an SQLite file in RM_DATA_DIR; or redis://…, postgresql://…",
        secret=True,
    ),
    Setting(
        "RM_PUBLIC_URL",
        _public_url,
        "http://localhost:5000",
        "Address under which browsers and the LMS reach the tool. LMSs want https.",
    ),
    Setting(
        "RM_SECRET_KEY",
        str,
        None,
        "Encrypts secrets at rest. Made by `rmplugin init` in RM_DATA_DIR/secret.key when absent.",
        secret=True,
    ),
    Setting(
        "RM_SMTP_URL",
        _mail_url,
        "",
        "Mail server: smtp://user:password@host:587?from=mentoring@example.com (STARTTLS when the server "
        "offers it), smtps:// for TLS from the start. Empty: notices stay in the tool.",
        secret=True,
    ),
    Setting("RM_LOG_FORMAT", _log_format, "text", "text for people, json for machines."),
    Setting(
        "RM_TRUSTED_PROXIES",
        _count,
        "0",
        "Number of reverse proxies in front whose X-Forwarded-* headers are believed.",
    ),
    Setting(
        "RM_KEY_ROTATION_DAYS",
        _count,
        "90",
        "Days after which the worker lets the next signing key sign; 0 leaves it to `rmplugin keys rotate`.",
    ),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """What this installation is told. Frozen: nothing changes it after the start.

    :param secret_key: url-safe base64 of 32 bytes (a Fernet key); None before `rmplugin init`.
    """

    data_dir: Path
    database_url: str = field(repr=False)
    queue_url: str = field(repr=False)
    public_url: str
    secret_key: str | None = field(repr=False)
    smtp_url: str | None = field(repr=False)
    log_format: str
    trusted_proxies: int
    key_rotation_days: int = 90

    @property
    def https(self) -> bool:
        """Tell whether browsers reach the tool by https."""
        return self.public_url.startswith("https:")

    @property
    def is_loopback(self) -> bool:
        """Tell whether only browsers on this machine reach the tool, which need no https for it."""
        return urlsplit(self.public_url).hostname in ("localhost", "127.0.0.1", "::1")


def read_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read and check all settings at once.

    :param environ: None for the process's own environment.
    :return: frozen settings; folders are not made.
    :raises ConfigError: lists every unknown name and every bad value.
    **Touches** the environment, `*_FILE` files and `RM_DATA_DIR/secret.key`, all read-only.
    """
    source = os.environ if environ is None else environ
    texts, faults = _texts(source)
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        text = texts.get(setting.name, setting.default)
        try:
            values[setting.name] = None if text is None else setting.parse(text)
        except ValueError as error:
            faults.append(f"{setting.name} {error}.")
    if faults:
        raise ConfigError(faults)
    data_dir: Path = values["RM_DATA_DIR"].expanduser().resolve()
    return Settings(
        data_dir=data_dir,
        database_url=values["RM_DATABASE_URL"] or f"sqlite:///{data_dir / 'rmplugin.sqlite3'}",
        queue_url=values["RM_QUEUE_URL"] or f"sqlite:///{data_dir / 'queue.sqlite3'}",
        public_url=values["RM_PUBLIC_URL"],
        secret_key=values["RM_SECRET_KEY"] or _stored_secret_key(data_dir),
        smtp_url=values["RM_SMTP_URL"],
        log_format=values["RM_LOG_FORMAT"],
        trusted_proxies=values["RM_TRUSTED_PROXIES"],
        key_rotation_days=values["RM_KEY_ROTATION_DAYS"],
    )


def _texts(source: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    allowed = {setting.name for setting in SETTINGS}
    files = {f"{setting.name}_FILE": setting.name for setting in SETTINGS if setting.secret}
    texts: dict[str, str] = {}
    faults: list[str] = []
    for name, value in source.items():
        if not name.startswith("RM_") or name.startswith(("RM_BENCH_", "RM_TEST_")):
            continue
        if name in allowed:
            texts[name] = value
        elif name in files:
            try:
                texts[files[name]] = Path(value).read_text(encoding="utf-8").strip()
            except OSError:
                faults.append(f"{name} names a file that cannot be read.")
        else:
            faults.append(f"{name} is not a setting; docs/settings.md lists them.")
    return texts, faults


def _stored_secret_key(data_dir: Path) -> str | None:
    path = data_dir / "secret.key"
    return path.read_text(encoding="ascii").strip() if path.exists() else None


def make_secret_key(data_dir: Path) -> None:
    """Write a new secret key for its owner's eyes only, unless there is one.

    **Touches** `RM_DATA_DIR/secret.key`.
    """
    from cryptography.fernet import Fernet

    data_dir.mkdir(parents=True, exist_ok=True)
    path = data_dir / "secret.key"
    if path.exists():
        return
    # Written beside and renamed, so that two processes that start at once agree on one key.
    draft = data_dir / f"secret.key.{secrets.token_hex(4)}"
    draft.touch(mode=0o600)
    draft.write_bytes(Fernet.generate_key())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
