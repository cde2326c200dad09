"""The command line as its user calls it: arguments in, exit code and words out."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from dataclasses import dataclass
from unittest import mock

from rmplugin.cli import main
from rmplugin.settings import Settings
from rmplugin.wiring import configure_logging


@dataclass
class Said:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err

    @property
    def json(self):
        return json.loads(self.out)


class Commands:
    """Calls `rmplugin` with settings of its own; the machine's RM_ variables are not seen."""

    def __init__(self, **environ: str) -> None:
        self.environ = environ

    @classmethod
    def of(cls, settings: Settings) -> Commands:
        """Give the commands of the installation that these settings describe."""
        assert settings.secret_key is not None
        return cls(
            RM_DATA_DIR=str(settings.data_dir),
            RM_DATABASE_URL=settings.database_url,
            RM_QUEUE_URL=settings.queue_url,
            RM_PUBLIC_URL=settings.public_url,
            RM_SECRET_KEY=settings.secret_key,
        )

    def __call__(self, *arguments: object, typed: str = "", **environ: str) -> Said:
        """Run one command.

        :param typed: what its user types; commands read it from standard input.
        :param environ: more environment variables.
        """
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RM_")}
        out, err = io.StringIO(), io.StringIO()
        code: object = 0
        with (
            mock.patch.dict(os.environ, kept | self.environ | environ, clear=True),
            mock.patch.object(sys, "argv", ["rmplugin", *map(str, arguments)]),
            mock.patch.object(sys, "stdin", io.StringIO(typed)),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                main()
            except SystemExit as end:
                code = end.code or 0
        # The command sent the log to its own standard error, which is gone.
        configure_logging("text")
        assert isinstance(code, int)
        return Said(code, out.getvalue(), err.getvalue())

    def do(self, *arguments: object, **options: str) -> Said:
        """Run a command that must succeed."""
        said = self(*arguments, **options)
        assert said.code == 0, said.text
        return said
