"""Ralph: a learning record store that others wrote, run as a program."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "lrs"
# `make environment` puts it there: its packages would not get on with ours.
INSTALLED = Path(sys.prefix) / "lrs"
USER, PASSWORD = "acme", "lrs-password"


def find_ralph() -> bool:
    """Say whether exactly the locked version is there."""
    marker = INSTALLED / "installed.txt"
    return marker.exists() and marker.read_bytes() == (FOLDER / "requirements.txt").read_bytes()


class Ralph:
    """A running one.

    :ivar url: address of its xAPI interface.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self._folder = folder

    def statements(self) -> list[dict]:
        """Give what it holds, as it came; it keeps voided statements where they are."""
        found = []
        for path in sorted(self._folder.rglob("*.jsonl")):
            found += [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return found

    def forget(self) -> None:
        """Empty it."""
        for path in self._folder.rglob("*.jsonl"):
            path.unlink()


@contextmanager
def run_ralph(folder: Path) -> Iterator[Ralph]:
    """Run Ralph with one account, its files in a folder."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("RM_", "RALPH_"))}
    environ |= {
        "RALPH_APP_DIR": str(folder),
        "RALPH_BACKENDS__LRS__FS__DEFAULT_DIRECTORY_PATH": str(folder / "statements"),
        "RALPH_BACKENDS__DATA__FS__DEFAULT_DIRECTORY_PATH": str(folder / "statements"),
        "RALPH_RUNSERVER_BACKEND": "fs",
    }
    (folder / "statements").mkdir()
    with (folder / "ralph.log").open("wb") as log:
        server = subprocess.Popen(
            [INSTALLED / "bin" / "python", FOLDER / "serve.py", USER, PASSWORD],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=folder,
            env=environ,
        )
    try:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        assert port, (folder / "ralph.log").read_text(encoding="utf-8")
        yield Ralph(f"http://127.0.0.1:{port}/xAPI", folder)
    finally:
        server.kill()
        server.communicate()
