"""How texts are made that are said alike everywhere."""

import pytest

from rmplugin.texts import duration


@pytest.mark.parametrize(
    ("minutes", "said"),
    [
        (0, "0 min"),
        (45, "45 min"),
        (60, "1 h 0 min"),
        (90, "1 h 30 min"),
        (-30, "-30 min"),
        (-90, "-1 h 30 min"),
    ],
)
def test_duration_when_said_has_hours_where_there_are_any(minutes, said):
    assert str(duration(minutes)) == said
