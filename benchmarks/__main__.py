"""Run all benchmarks, on SQLite and, where its server is installed, on a throw-away PostgreSQL: `make bench`."""

import contextlib
import os
import subprocess
import sys

from tests.postgres import cluster, find_binaries

BENCHMARKS = ("launch", "roster")


def main() -> int:
    binaries = find_binaries()
    with cluster(binaries) if binaries else contextlib.nullcontext(None) as url:
        environ = {**os.environ, **({"RM_BENCH_POSTGRES_URL": url} if url else {})}
        if url is None:
            print("PostgreSQL is not installed: SQLite only.")
        codes = []
        for name in BENCHMARKS:
            print(f"\n== {name}", flush=True)
            # The log of the launches would only hide the table.
            command = [sys.executable, "-m", f"benchmarks.{name}"]
            codes.append(
                subprocess.run(command, env=environ, stderr=subprocess.DEVNULL, check=False).returncode
            )
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
