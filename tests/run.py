"""`make test`: the whole suite on SQLite, then everything that uses a database on PostgreSQL."""

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.parts import IN_CI, PARTS
from tests.postgres import cluster, find_binaries

NO_TESTS = 5  # pytest's exit code when it collected none.
MEMORY, ROOM = Path("/dev/shm"), 4 * 2**30


@contextlib.contextmanager
def in_memory() -> Iterator[list[str]]:
    """Let CI keep the tests' files in memory where there is room: SQLite waits for a disk at every commit."""
    if not (IN_CI and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM):
        yield []
        return
    with tempfile.TemporaryDirectory(prefix="rm-tests-", dir=MEMORY, ignore_cleanup_errors=True) as folder:
        yield [f"--basetemp={folder}/tests"]


def run_pytest(engine: str, workers: int, arguments: list[str], **environment: str) -> int:
    """Run the suite on one database and give pytest's exit code."""
    print(f"== tests on {engine}", flush=True)
    started = time.monotonic()
    # Tests of one browser group share a running demo, so they stay on one worker.
    spread = [f"--numprocesses={workers}", "--dist=loadgroup"]
    with in_memory() as folder:
        command = [sys.executable, "-m", "pytest", *spread, *folder, *arguments]
        code = subprocess.run(
            command, env=os.environ | {"RM_TEST_DATABASE": engine} | environment, check=False
        ).returncode
    print(f"== tests on {engine}: exit code {code}, {time.monotonic() - started:.0f} s", flush=True)
    return code


def main() -> int:
    """Run both, name what was missing, and fail when a test failed or, in CI, anything was missing."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--workers", type=int, default=3, help="test processes at a time")
    parser.add_argument("--only", choices=["sqlite", "postgresql"], help="one database instead of both")
    options, rest = parser.parse_known_args()
    # A polite end of ours must also be the end of the cluster that we started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    failed = []
    if options.only != "postgresql" and run_pytest("sqlite", options.workers, rest) != 0:
        failed.append("sqlite")
    binaries = find_binaries()
    if options.only != "sqlite" and binaries is not None:
        extra = [] if options.only else ["--database-only"]
        with cluster(binaries) as url:
            code = run_pytest("postgresql", options.workers, [*extra, *rest], RM_TEST_POSTGRES_URL=url)
        # A selection of tests (TESTS=…) may hold none that uses a database.
        if code not in ((0, NO_TESTS) if rest else (0,)):
            failed.append("postgresql")
    missing = {name: reason for name, (present, reason) in PARTS.items() if not present()}
    for name, reason in missing.items():
        print(f"PART NOT RUN: {name}: {reason}" + (" (a failure where CI=true)" if IN_CI else ""))
    if failed:
        print(f"FAILED on {' and '.join(failed)}")
    return 1 if failed or (IN_CI and missing) else 0


if __name__ == "__main__":
    sys.exit(main())
