"""Runs Ralph, a learning record store, on a free port of loopback: serve.py USER PASSWORD.

It writes the port to its output, and keeps statements in files of the working directory. It is run by the
Python of Ralph's own environment.
"""

import socket
import sys

from ralph.backends.data.base import BaseOperationType
from ralph.backends.lrs.fs import FSLRSBackend
from ralph.cli import cli


def serve(user: str, password: str) -> None:
    # Else the second request that writes anything fails. It has to be said before the interface is imported.
    FSLRSBackend.default_operation_type = BaseOperationType.APPEND
    import uvicorn
    from ralph.api import app

    account = ["--username", user, "--password", password, "--scope", "all", "--write-to-disk"]
    agent = ["--agent-ifi-account", "rmplugin", "https://acme.example"]
    cli(["auth", *account, *agent], standalone_mode=False)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(128)
        sys.stdout.write(f"{listening.getsockname()[1]}\n")
        sys.stdout.flush()
        uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run([listening])


serve(*sys.argv[1:])
