"""Run all benchmarks on SQLite and, where it is installed, on a throw-away PostgreSQL: `make bench`."""

import contextlib
import os
import subprocess
import sys

from tests.postgres import cluster, find_binaries

BENCHMARKS = (
    "launch",
    "launch_load",
    "roster",
    "matching",
    "matching_database",
    "match_pages",
    "journey_pages",
    "deliver",
    "award",
)


def main() -> int:
    binaries = find_binaries()
    with cluster(binaries) if binaries else contextlib.nullcontext(None) as url:
        environ = {**os.environ, **({"RM_BENCH_POSTGRES_URL": url} if url else {})}
        if url is None:
            print("PostgreSQL is not installed: SQLite only.")
        codes = []
        for name in BENCHMARKS:
            print(f"\n== {name}", flush=True)
            command = [sys.executable, "-m", f"benchmarks.{name}"]
            done = subprocess.run(command, env=environ, stderr=subprocess.PIPE, text=True, check=False)
            if done.returncode:
                # The log of the launches would hide the table; of a failure it is wanted.
                print(done.stderr[-5000:], file=sys.stderr)
            codes.append(done.returncode)
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
