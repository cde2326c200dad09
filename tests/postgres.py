"""A PostgreSQL cluster of our own for a test run: loopback only, in a temporary folder, gone afterwards."""

import argparse
import contextlib
import ctypes
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg

START_SECONDS = 60
PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux's prctl.


def find_binaries() -> Path | None:
    """Find the folder with `initdb` and `postgres`, the newest version first; None when there is none."""
    places = [
        *sorted(
            Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: _number(p.parent.name), reverse=True
        ),
        *(Path(found).resolve().parent for found in [shutil.which("initdb")] if found),
        *Path("/opt/homebrew/opt").glob("postgresql*/bin"),
    ]
    return next((p for p in places if (p / "initdb").exists() and (p / "postgres").exists()), None)


def _number(name: str) -> int:
    return int(name) if name.isdigit() else 0


@contextlib.contextmanager
def cluster(binaries: Path) -> Iterator[str]:
    """Run a cluster and give its SQLAlchemy URL; it is stopped and removed whatever happens."""
    folder = Path(tempfile.mkdtemp(prefix="rm-postgres-"))
    password = secrets.token_urlsafe(16)
    (folder / "password").write_text(password, encoding="ascii")
    identity = _identity()
    if identity:
        os.chown(folder, identity["user"], identity["group"])
        os.chown(folder / "password", identity["user"], identity["group"])
    server = None
    try:
        _initialise(binaries, folder, identity)
        server, port = _start(binaries, folder, identity, password)
        yield f"postgresql+psycopg://postgres:{password}@127.0.0.1:{port}/postgres"
    finally:
        if server is not None:
            _stop(server)
        shutil.rmtree(folder, ignore_errors=True)


def _identity() -> dict:
    """PostgreSQL refuses to run as root; give the user that runs it then."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise RuntimeError("neither the user postgres nor nobody exists")


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C", "TZ": "UTC"}


def _initialise(binaries: Path, folder: Path, identity: dict) -> None:
    subprocess.run(
        [
            str(binaries / "initdb"),
            f"--pgdata={folder / 'data'}",
            "--username=postgres",
            "--encoding=UTF8",
            "--locale=C",
            "--auth=password",
            f"--pwfile={folder / 'password'}",
            "--no-sync",
        ],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        cwd=folder,
        env=_environment(),
        **identity,
    )


def _start(binaries: Path, folder: Path, identity: dict, password: str) -> tuple[subprocess.Popen, int]:
    for _attempt in range(3):
        # Somebody else may take the free port before the server does; then another one is tried.
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        log = (folder / "log").open("ab")
        options = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": "",
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "max_connections": 300,
            "autovacuum": "off",
        }
        server = subprocess.Popen(
            [
                str(binaries / "postgres"),
                "-D",
                str(folder / "data"),
                *(f"--{name}={value}" for name, value in options.items()),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            env=_environment(),
            preexec_fn=_die_with_parent(),
            **identity,
        )
        log.close()
        if _answers(server, port, password):
            return server, port
        _stop(server)
    raise RuntimeError("PostgreSQL did not start:\n" + (folder / "log").read_text(errors="replace")[-2000:])


def _die_with_parent() -> Callable[[], None] | None:
    """Even a parent that is killed leaves no server behind, where the system can promise that."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(PARENT_DEATH_SIGNAL, signal.SIGINT)


def _answers(server: subprocess.Popen, port: int, password: str) -> bool:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and server.poll() is None:
        try:
            psycopg.connect(
                host="127.0.0.1", port=port, user="postgres", password=password, dbname="postgres"
            ).close()
        except psycopg.OperationalError:
            time.sleep(0.1)
        else:
            return True
    return False


def _stop(server: subprocess.Popen) -> None:
    if server.poll() is None:
        server.send_signal(signal.SIGINT)  # "fast" shutdown: connections are cut.
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
    server.wait()


def main() -> int:
    """Run a command with RM_TEST_POSTGRES_URL set: ``python -m tests.postgres .venv/bin/pytest …``."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    command = parser.parse_args().command
    binaries = find_binaries()
    if binaries is None:
        print("PostgreSQL is not installed.", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with cluster(binaries) as url:
        environment = os.environ | {"RM_TEST_DATABASE": "postgresql", "RM_TEST_POSTGRES_URL": url}
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
