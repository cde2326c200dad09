"""Writes the documents that follow from the code: `make docs`. A test fails when they are out of date."""

import importlib
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import click

from rmplugin.cli import rmplugin
from rmplugin.settings import SETTINGS
from tests.lti.conformance import VIEWS
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


LTI_HEAD = """# LTI 1.3 Advantage

The tool speaks LTI 1.3 Core, Deep Linking 2.0, Names and Role Provisioning Services 2.0, Assignment and
Grade Services 2.0.

- [Connect a learning platform](lti/connecting.md)
- [Launches without cookies](lti/cookies.md)
- [Who somebody is: from a launch to the HR roster](lti/identity.md)
- [Put links into a course](lti/content.md)
- [Check a connection before it goes live](lti/checking.md)
- [When a launch is refused](lti/troubleshooting.md)

## Conformance

Every case of the 1EdTech certification guide (bad payloads, valid teacher and student launches, deep
linking, services) and what else the specifications forbid, as a test of the whole application: the platform
asks to log in, the tool redirects, a really signed message is posted. Each test asserts the HTTP status and
the error code that stand here, that a page says in plain words what is wrong and whom to ask, quoting a
reference, and that the log has exactly one line about it: reference, registration, names of the claims, code,
and nothing personal. {count} cases; `make test TESTS=tests/lti` runs them.

Written by `make docs` from the marks of the tests.
"""

CASE_COLUMNS = """| case | what is sent, or looked at | answer | test |
| --- | --- | --- | --- |
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
            context = click.Context(command)
            inner = [(child, command.get_command(context, child)) for child in command.list_commands(context)]
            waiting = [(f"{name} {child}", found) for child, found in inner if found] + waiting


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


# In the order of the certification guide; what it does not ask for comes last.
CONFORMANCE = (
    "bad_payloads",
    "teacher_launches",
    "student_launches",
    "deep_linking",
    "services",
    "extra_negatives",
)


def conformance_cases() -> Iterator[tuple[str, dict[str, Any]]]:
    """Give every certification case: its test's place, and what its mark says.

    :raises ValueError: a test has no mark.
    """
    for part in CONFORMANCE:
        module = importlib.import_module(f"tests.lti.test_conformance_{part}")
        for name, test in vars(module).items():
            if name.startswith("test_"):
                (mark,) = [mark for mark in getattr(test, "pytestmark", []) if mark.name == "conformance"]
                yield f"test_conformance_{part}.py::{name}", mark.kwargs


def lti_document() -> str:
    cases = list(conformance_cases())
    parts = [LTI_HEAD.format(count=len(cases))]
    for suite, found in groupby(cases, key=lambda case: case[1]["suite"]):
        parts.append(f"\n### {suite}\n\n{CASE_COLUMNS}")
        for test, mark in found:
            sent = mark["sent"].replace("|", "\\|")
            parts.append(f"| {mark['case']} | {sent} | {answer_of(mark)} | `{test}` |\n")
    return "".join(parts)


def answer_of(mark: dict[str, Any]) -> str:
    if mark["shows"]:
        return f"opens: {VIEWS[mark['shows']][0]}"
    verb = "refused" if mark["status"] >= 400 else "held back with a page"
    return f"{verb}: {mark['code']}, {mark['status']}"


DOCUMENTS = {
    "docs/settings.md": settings_document,
    "docs/commands.md": commands_document,
    "docs/lti.md": lti_document,
}

if __name__ == "__main__":
    for name, write in DOCUMENTS.items():
        (ROOT / name).write_text(write(), encoding="utf-8")
        print(f"wrote {name}")
