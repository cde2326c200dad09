"""What every registered dialect of a learning platform must keep to, and how platforms are recognised."""

import json
import re
from types import MappingProxyType
from typing import get_args

import pytest

from rmplugin.api import PlatformQuirks, hookimpl
from rmplugin.errors import ConfigError
from rmplugin.plugins import STANDARD, Plugins
from rmplugin.records import NextStep, SettingTopic
from rmplugin.tenants.operations import FAMILIES
from tests.rules.source import ROOT

PLUGINS = Plugins()
TOPICS = get_args(SettingTopic)


@pytest.fixture(params=sorted(PLUGINS.quirks))
def quirks(request) -> PlatformQuirks:
    return PLUGINS.quirks[request.param]


def test_quirks_when_registered_keep_the_protocol(quirks):
    assert isinstance(quirks, PlatformQuirks)
    assert quirks.key
    assert quirks.title
    for flag in (quirks.column_by_teacher, quirks.results_by_user):
        assert isinstance(flag, bool)
    assert quirks.no_test_column == "" or quirks.no_test_column.endswith(".")
    json.dumps(dict(quirks.score_members))
    assert set(quirks.refusals.values()) <= set(get_args(NextStep))
    assert all(400 <= status <= 599 for status in quirks.refusals)


def test_quirks_when_asked_for_a_setting_answer_in_whole_sentences(quirks):
    assert set(quirks.settings) <= set(TOPICS)
    for topic in TOPICS:
        sentence = PLUGINS.setting(quirks, topic)
        assert sentence.rstrip("'").endswith(".")
        assert sentence[0].isupper()


@pytest.mark.parametrize("family", ["moodle", "canvas"])
def test_quirks_of_moodle_and_canvas_name_every_setting_themselves(family):
    assert set(PLUGINS.quirks[family].settings) == set(TOPICS)


def test_quirks_when_they_add_to_a_score_leave_its_own_members_alone(quirks):
    own = {
        "userId",
        "activityProgress",
        "gradingProgress",
        "timestamp",
        "scoreGiven",
        "scoreMaximum",
        "comment",
    }
    assert not own & set(quirks.score_members)


@pytest.mark.parametrize(
    ("code", "family"),
    [
        ("moodle", "moodle"),
        ("Canvas", "canvas"),
        ("BlackboardLearn", "blackboard"),
        ("desire2learn", "brightspace"),
        ("Open edX", "openedx"),
        ("practice-lms", STANDARD),
        ("sakai", STANDARD),
        ("", STANDARD),
        (None, STANDARD),
    ],
)
def test_platform_when_it_says_what_it_is_is_recognised(code, family):
    assert PLUGINS.quirks_of(code).key == family


def test_families_when_offered_for_choice_hold_every_dialect_that_comes_with_the_tool():
    assert set(PLUGINS.quirks) <= set(FAMILIES)


class Totara(PlatformQuirks):
    """A dialect as a plug-in could bring it: it says what differs, and nothing else."""

    key, title, product_codes = "totara", "Totara", ("TotaraLearn",)
    settings = MappingProxyType({"roster": "In Totara: switch it on."})

    @hookimpl
    def rm_register_platform_quirks(self):
        return [self]


def test_quirks_when_a_plugin_brings_them_are_used_and_the_rest_is_standard():
    plugins = Plugins([Totara()])
    totara = plugins.quirks_of("totara learn")
    assert totara.key == "totara"
    assert (totara.column_by_teacher, totara.refusals, totara.score_members) == (False, {}, {})
    assert plugins.setting(totara, "roster") == "In Totara: switch it on."
    assert plugins.setting(totara, "grades") == plugins.quirks[STANDARD].settings["grades"]


def test_quirks_when_two_plugins_bring_one_family_stop_the_start():
    with pytest.raises(ConfigError, match="totara"):
        Plugins([Totara(), Totara()])


@pytest.mark.parametrize("family", ["moodle", "canvas"])
def test_settings_when_named_by_the_check_stand_in_its_document_too(family):
    document = (ROOT / "docs/lti/checking.md").read_text(encoding="utf-8")
    named = re.findall(r"'([A-Z][^']{2,}?)'(?!s)", " ".join(PLUGINS.quirks[family].settings.values()))
    assert len(named) > 10
    assert [name for name in named if name not in document] == []
