"""Programs of npm that judge what the tool gives out: they are not ours, and no part of the product."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).resolve().parent.parent / "node"
# `make environment` puts the packages of tests/node/package-lock.json there, outside of what git sees.
INSTALLED = Path(sys.prefix) / "node"


def find_node() -> bool:
    """Say whether Node.js and exactly the locked packages are there."""
    marker = INSTALLED / "installed.json"
    return (
        shutil.which("node") is not None
        and marker.exists()
        and marker.read_bytes() == (SCRIPTS / "package-lock.json").read_bytes()
    )


def run_node(script: str, document: Any, *, seconds: float = 90) -> Any:
    """Run a script of tests/node: it reads JSON from its standard input and writes JSON to its output.

    :param script: name of the file ("verify_badge.mjs").
    :raises AssertionError: it failed; what it said is in the message.
    """
    # Given as text, a script finds its packages in the working directory.
    code = (SCRIPTS / script).read_text(encoding="utf-8")
    done = subprocess.run(
        ["node", "--input-type=module", "--eval", code],
        input=json.dumps(document),
        capture_output=True,
        text=True,
        check=False,
        cwd=INSTALLED,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)
