"""Looks the locked packages up among the known vulnerabilities; without a network it says so and passes."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

SECONDS = 180
# Vulnerabilities that do not reach us, each with the reason; empty is best.
ACCEPTED: dict[str, str] = {}


def main() -> int:
    """Give 1 when a package that we ship or test with has a known vulnerability, else 0."""
    binaries = Path(sys.executable).parent
    with tempfile.TemporaryDirectory() as folder:
        locked, answer = Path(folder, "locked.txt"), Path(folder, "answer.json")
        # The group openedx is old on purpose and runs only in a test's own process, on loopback.
        export = [
            str(binaries / "uv"), "export", "--locked", "--quiet", "--no-emit-project", "--no-group",
            "openedx", "--format", "requirements-txt", "--output-file", str(locked),
        ]  # fmt: skip
        subprocess.run(export, check=True, stdout=subprocess.DEVNULL)
        audit = [
            str(binaries / "pip-audit"), "--requirement", str(locked), "--disable-pip", "--require-hashes",
            "--progress-spinner", "off", "--timeout", "10", "--format", "json", "--output", str(answer),
        ]  # fmt: skip
        try:
            run = subprocess.run(audit, check=False, capture_output=True, text=True, timeout=SECONDS)
            trouble = run.stderr.strip().splitlines()[-1:] or ["no answer"]
        except subprocess.TimeoutExpired:
            trouble = [f"no answer within {SECONDS} s"]
        if not answer.exists():
            print(f"WARNING: skipped, the vulnerability database was not reached ({trouble[0][:200]})")
            return 0
        packages = json.loads(answer.read_text(encoding="utf-8"))["dependencies"]
    found = [
        f"{package['name']} {package['version']}: {fault['id']}, fixed in {fault['fix_versions']}"
        for package in packages
        for fault in package.get("vulns", ())
        if fault["id"] not in ACCEPTED
    ]
    print(*found, f"{len(packages)} packages looked up, {len(found)} known vulnerabilities", sep=os.linesep)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
