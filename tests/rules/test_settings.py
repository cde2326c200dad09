"""Settings: one table, one reader, secrets never shown."""

import ast
import io
import re

import pytest
import structlog

from rmplugin.db import Secrets
from rmplugin.errors import ConfigError
from rmplugin.settings import SETTINGS, Settings, read_settings
from tests.conftest import SECRET_KEY
from tests.rules.source import ROOT, parse, place, python_files

# The only readers of the environment: the settings, a secret that an administrator points a command at, and
# the demo, which hands its own environment on to the processes that it starts.
READERS = {"rmplugin/settings.py", "rmplugin/cli/common.py", "rmplugin/cli/demo.py"}
PASSWORD = "hunter2-not-for-logs"


def documented() -> dict[str, str]:
    """Read the table of the document: name -> its line."""
    lines = (ROOT / "docs/settings.md").read_text(encoding="utf-8").splitlines()
    return {match[1]: line for line in lines if (match := re.match(r"\| `(RM_\w+)` \|", line))}


def test_settings_when_documented_are_all_of_them():
    assert set(documented()) == {setting.name for setting in SETTINGS}


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_setting_when_documented_says_default_help_and_secrecy(setting):
    line = documented()[setting.name]
    assert setting.help.replace("|", "\\|") in line
    assert not setting.default or f"`{setting.default}`" in line
    assert ("`_FILE`" in line) == setting.secret


def test_settings_when_a_name_is_unknown_refuse_to_start_and_list_every_fault():
    with pytest.raises(ConfigError) as caught:
        read_settings({"RM_DATABSE_URL": "x", "RM_LOG_FORMAT": "xml", "RM_TRUSTED_PROXIES": "-1"})
    assert len(caught.value.faults) == 3
    assert "RM_DATABSE_URL" in str(caught.value)


def test_settings_when_a_secret_comes_as_a_file_are_read_from_it(tmp_path):
    path = tmp_path / "key"
    path.write_text(SECRET_KEY + "\n")
    assert (
        read_settings({"RM_SECRET_KEY_FILE": str(path), "RM_DATA_DIR": str(tmp_path)}).secret_key
        == SECRET_KEY
    )


def test_settings_when_printed_show_no_secret(tmp_path):
    settings = read_settings(
        {
            "RM_DATA_DIR": str(tmp_path),
            "RM_DATABASE_URL": f"postgresql+psycopg://rm:{PASSWORD}@db/rm",
            "RM_QUEUE_URL": f"redis://:{PASSWORD}@queue/0",
            "RM_SMTP_URL": f"smtp://rm:{PASSWORD}@mail:25",
            "RM_SECRET_KEY": SECRET_KEY,
        }
    )
    for text in (repr(settings), str(settings), f"{settings}"):
        assert PASSWORD not in text
        assert SECRET_KEY not in text


def test_settings_when_logged_show_no_secret(tmp_path):
    out = io.StringIO()
    settings = read_settings({"RM_DATA_DIR": str(tmp_path), "RM_SMTP_URL": f"smtp://rm:{PASSWORD}@mail"})
    structlog.wrap_logger(
        structlog.PrintLogger(out), processors=[structlog.processors.JSONRenderer(default=repr)]
    ).info("started", settings=settings, secrets=Secrets(SECRET_KEY))
    assert "Settings(" in out.getvalue()
    assert PASSWORD not in out.getvalue()
    assert SECRET_KEY not in out.getvalue()


def test_secret_settings_when_declared_are_hidden_fields():
    hidden = {name for name, field in Settings.__dataclass_fields__.items() if not field.repr}
    assert hidden == {setting.name.removeprefix("RM_").lower() for setting in SETTINGS if setting.secret}


def test_environment_when_read_is_read_by_the_settings_only():
    readers = set()
    for path in python_files():
        for node in ast.walk(parse(path)):
            is_os = (
                isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os"
            )
            imported = isinstance(node, ast.ImportFrom) and node.module == "os"
            if (is_os and node.attr in ("environ", "getenv", "environb", "putenv")) or (
                imported and {alias.name for alias in node.names} & {"environ", "getenv"}
            ):
                readers.add(place(path))
    assert readers <= READERS
    assert "rmplugin/settings.py" in readers
