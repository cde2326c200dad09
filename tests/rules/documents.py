"""Writes the documents that follow from the code: `make docs`. A test fails when they are out of date."""

from collections.abc import Iterator

import click

from rmplugin.cli import rmplugin
from rmplugin.settings import SETTINGS
from tests.rules.source import ROOT

SETTINGS_HEAD = """# Settings

Read once, at the start, from the environment. An unknown name that begins with `RM_` refuses to start, and
all faults are listed at once. Where a `_FILE` name is given, the value can lie in a file, such as a mounted
secret, that the name points to. Values that differ between companies (HR accounts, programmes) are no
settings; they are in the database.

Written by `make docs` from the table in `rmplugin/settings.py`.

| name | default | meaning | from a file |
| --- | --- | --- | --- |
"""
COMMANDS_HEAD = """# Commands

Every command has `--help`. They exit with 0 when all went well, 1 when it failed, 2 when they were called
wrongly. With `--json` they print one JSON document. Secrets are never plain arguments: `--set-secret KEY`
asks, `KEY=@file` and `KEY=$VARIABLE` read. The settings come from the environment
([settings.md](settings.md)).

Written by `make docs` from the commands' own help.
"""


def settings_document() -> str:
    rows = []
    for setting in SETTINGS:
        default = (
            f"`{setting.default}`"
            if setting.default
            else "(see meaning)"
            if setting.default is None
            else "(empty)"
        )
        file = "`_FILE`" if setting.secret else ""
        rows.append(f"| `{setting.name}` | {default} | {setting.help.replace('|', chr(92) + '|')} | {file} |")
    return SETTINGS_HEAD + "\n".join(rows) + "\n"


def commands() -> Iterator[tuple[str, click.Command]]:
    """Give every command with its whole name, groups first."""
    waiting: list[tuple[str, click.Command]] = [("rmplugin", rmplugin)]
    while waiting:
        name, command = waiting.pop(0)
        yield name, command
        if isinstance(command, click.Group):
            inner = [(f"{name} {child}", command.commands[child]) for child in sorted(command.commands)]
            waiting = inner + waiting


def commands_document() -> str:
    parts = [COMMANDS_HEAD]
    # As a user calls them: all take over the options for help of `rmplugin` itself.
    settings = rmplugin.context_settings
    for name, command in commands():
        context = click.Context(
            command, info_name=name, terminal_width=100, max_content_width=100, **settings
        )
        parts.append(f"\n## `{name}`\n\n```text\n{command.get_help(context).rstrip()}\n```\n")
    return "".join(parts)


DOCUMENTS = {"docs/settings.md": settings_document, "docs/commands.md": commands_document}

if __name__ == "__main__":
    for name, write in DOCUMENTS.items():
        (ROOT / name).write_text(write(), encoding="utf-8")
        print(f"wrote {name}")
