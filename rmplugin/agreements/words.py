"""What two drafts say: where they differ, what one agreement could say, and where not to meet. Pure."""

import re
from collections.abc import Collection, Mapping
from datetime import date
from typing import Any

from rmplugin.agreements.queries import FIELDS

# Of these, both people's words stand in the agreement, each under its name.
JOINED = ("hopes", "boundaries", "confidentiality", "feedback")
_OFFICE = r"(?:corner |private )?(?:office|room|desk|floor)\b"
_BUREAU = r"(?:büro|buero|zimmer|schreibtisch)\b"
_OWNERS = r"(?:my|his|her|their|your|the (?:boss|director|vp|ceo|head)['’]?s)"
_BESITZER = r"(?:mein\w*|dein\w*|sein\w*|ihr\w*)"
SENIOR_PLACES = re.compile(
    rf"{_OWNERS} (?:own )?{_OFFICE}|{_BESITZER} (?:eigene\w* )?{_BUREAU}|corner office"
    r"|executive (?:floor|suite)|board ?room|chefb(?:ü|ue)ro|chefetage|vorstands(?:b(?:ü|ue)ro|etage|zimmer)"
    r"|^(?:the )?office$|^(?:im )?b(?:ü|ue)ro$",
    re.IGNORECASE,
)


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> set[str]:
    """Name the fields in which two drafts differ; spaces and capitals make no difference.

    **Touches** pure.
    """
    return {name for name in FIELDS if _plain(one[name]) != _plain(other[name])}


def _plain(value: Any) -> Any:
    return " ".join(value.split()).casefold() if isinstance(value, str) else value


def merged(drafts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Propose one agreement of two drafts. Where they differ, the smaller demand on both people's time.

    :param drafts: name of the person -> what they expect, for two people.
    :return: a value per field.
    **Touches** pure.
    """
    first, second = drafts.values()
    values = {
        "cadence_weeks": max(first["cadence_weeks"], second["cadence_weeks"]),
        "session_minutes": min(first["session_minutes"], second["session_minutes"]),
        "medium": first["medium"] if first["medium"] == second["medium"] else "mixed",
        "ends_on": min(_day(first), _day(second)),
        "place": _both(drafts, "place", " / ", named=False),
    }
    return values | {name: _both(drafts, name, "\n", named=True) for name in JOINED}


def _day(values: Mapping[str, Any]) -> date:
    day: date = values["ends_on"]
    return day


def _both(drafts: Mapping[str, Mapping[str, Any]], field: str, between: str, *, named: bool) -> str:
    said = {name: str(draft[field]).strip() for name, draft in drafts.items()}
    if len({_plain(text) for text in said.values()}) == 1:
        return next(iter(said.values()))
    return between.join(f"{name}: {text}" if named else text for name, text in said.items())


def sounds_like_office(place: str, names: Collection[str]) -> bool:
    """Tell whether a place reads like the senior's own office, where talking openly is harder.

    :param place: as it was typed, in English or German.
    :param names: of the senior: display name, given name, family name.
    **Touches** pure.
    """
    if SENIOR_PLACES.search(place):
        return True
    known = "|".join(re.escape(name) for name in names if name)
    if not known:
        return False
    theirs = (
        rf"\b(?:{known})['’]?s? (?:own )?(?:{_OFFICE}|{_BUREAU})|{_BUREAU} von (?:{known})|bei (?:{known})\b"
    )
    return re.search(theirs, place, re.IGNORECASE) is not None
