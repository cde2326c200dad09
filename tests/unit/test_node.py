"""The independent judges are there, and a script that fails is a failure of its test."""

import json

import pytest

from tests.factories.node import SCRIPTS, run_node

pytestmark = pytest.mark.part("node")


def test_node_when_packages_are_locked_then_each_can_be_loaded():
    wanted = sorted(json.loads((SCRIPTS / "package.json").read_text())["dependencies"])
    assert run_node("load.mjs", {"packages": wanted}) == dict.fromkeys(wanted, True)


def test_node_when_a_package_is_missing_then_the_test_fails_with_its_name():
    with pytest.raises(AssertionError, match="no-such-package"):
        run_node("load.mjs", {"packages": ["no-such-package"]})
