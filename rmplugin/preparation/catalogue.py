"""The modules of the preparation; their words are templates of the same names."""

from dataclasses import dataclass

from rmplugin.texts import Text

BOTH = ("mentor", "mentee")
ANSWERS = ("a", "b", "c")


@dataclass(frozen=True, slots=True)
class Module:
    """A few minutes of reading with one question to practise.

    :param roles: for whom it is.
    """

    key: str
    title: str
    minutes: int = 4
    roles: tuple[str, ...] = BOTH


MODULES = (
    Module("safety", Text("Feeling safe with each other")),
    Module("listening", Text("Listening")),
    Module("feedback_up", Text("Giving feedback upwards"), roles=("mentor",)),
    Module("feedback_receive", Text("Receiving feedback"), roles=("mentee",)),
    Module("confidentiality", Text("Confidentiality and its limits")),
    Module("first_session", Text("The first session")),
)
BY_KEY = {module.key: module for module in MODULES}


def modules_for(role: str) -> list[Module]:
    """List the modules of a role, in the order in which they are read. **Touches** pure."""
    return [module for module in MODULES if role in module.roles]
