"""Documents: their links lead somewhere, and the commands, options, settings and targets they name exist."""

import re
import shlex

import click
import pytest

from rmplugin.cli import rmplugin
from rmplugin.settings import SETTINGS
from tests.rules.documents import CONFORMANCE, DOCUMENTS
from tests.rules.source import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in PAGES}
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
SETTING_NAMES = {name for s in SETTINGS for name in (s.name, f"{s.name}_FILE" if s.secret else s.name)}


def broken_links(name: str, text: str) -> list[str]:
    """Give the relative links of a page that lead nowhere."""
    found = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        target, _sign, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        path = ((ROOT / name).parent / target).resolve() if target else ROOT / name
        if not path.exists() or (anchor and anchor not in anchors(path.read_text(encoding="utf-8"))):
            found.append(link)
    return found


def anchors(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def calls_in(text: str) -> list[list[str]]:
    """Give every call of a command in code blocks and code words, as lists of words."""
    blocks = re.findall(r"^ *```(?:sh|text)?\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"`(rmplugin [^`]+|make [^`]+)`", text)
    named = [line for line in lines if line.strip().startswith(("rmplugin ", "make "))]
    return [shlex.split(line.split(" #")[0]) for line in named]


def wrong_call(words: list[str]) -> str | None:
    """Say what is wrong with a call; None when it could be made."""
    if words[0] == "make":
        strangers = [word for word in words[1:] if "=" not in word and word not in TARGETS]
        return f"make has no target {strangers}" if strangers else None
    command: click.Command = rmplugin
    for word in words[1:]:
        if isinstance(command, click.Group) and not word.startswith("-"):
            found = command.get_command(click.Context(command), word)
            if found is None:
                return f"no command '{word}'"
            command = found
        elif word.startswith("--"):
            options = {opt for param in command.params for opt in param.opts} | {"--help", "--version"}
            if word.partition("=")[0] not in options:
                return f"no option '{word}'"
    return None


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_links_when_followed_lead_somewhere(name):
    assert broken_links(name, TEXTS[name]) == []


@pytest.mark.parametrize("name", sorted(set(TEXTS) - {"docs/commands.md"}))
def test_calls_when_documented_can_be_made(name):
    wrong = [f"{' '.join(call)}: {fault}" for call in calls_in(TEXTS[name]) if (fault := wrong_call(call))]
    assert wrong == []


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_settings_when_named_exist(name):
    assert set(re.findall(r"\bRM_[A-Z_]*[A-Z]\b", TEXTS[name])) <= SETTING_NAMES


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_document_when_it_follows_from_the_code_is_up_to_date(name):
    assert TEXTS[name] == DOCUMENTS[name](), "run `make docs`"


def test_conformance_tests_when_added_are_in_the_table():
    found = (ROOT / "tests" / "lti").glob("test_conformance_*.py")
    assert {path.stem for path in found} == {f"test_conformance_{part}" for part in CONFORMANCE}


def test_files_when_named_in_documents_exist():
    named = {
        word
        for text in TEXTS.values()
        for word in re.findall(r"`((?:rmplugin|connectors|lti|tests|docs|benchmarks)/[\w./-]*)`", text)
    }
    assert len(named) > 10
    assert [word for word in sorted(named) if not (ROOT / word).exists()] == []


def test_read_me_when_read_names_both_commands_and_every_connector_setting():
    calls = [call[:2] for call in calls_in(TEXTS["README.md"])]
    assert ["make", "demo"] in calls
    assert ["make", "test"] in calls


def test_rules_when_a_document_is_wrong_find_it():
    assert broken_links("README.md", "[a](docs/none.md) [b](README.md#nowhere)") == [
        "docs/none.md",
        "README.md#nowhere",
    ]
    assert wrong_call(["rmplugin", "hris", "dance"]) == "no command 'dance'"
    assert wrong_call(["rmplugin", "hris", "sync", "x", "--twice"]) == "no option '--twice'"
    assert wrong_call(["make", "tea"]) == "make has no target ['tea']"
    assert calls_in("```sh\nrmplugin hris \\\n  sync  # x\n```") == [["rmplugin", "hris", "sync"]]
