"""Blackboard Learn."""

from collections.abc import Sequence

from rmplugin.api import PlatformQuirks, hookimpl

TOOL = "In Blackboard: Administrator Panel > LTI Tool Providers > (the tool) > Edit"


class Blackboard(PlatformQuirks):
    """Blackboard Learn, SaaS."""

    key = "blackboard"
    title = "Blackboard Learn"
    product_codes = ("BlackboardLearn", "Blackboard Learn")
    # Results that are asked for one person lack members.
    results_by_user = False
    # "User could not be found": nobody who gets grades in this course.
    refusals = {400: "enrol"}
    settings = {
        "client": (
            "The client id is the application id of the developer portal; in Blackboard the tool's status "
            "must be 'Approved'."
        ),
        "tool_keys": (
            "On the developer portal, the application's 'Tool JWKS URL' must be this tool's address."
        ),
        "roster": f"{TOOL}: set 'Allow Membership Service Access' to 'Yes'.",
        "grades": f"{TOOL}: set 'Allow grade service access' to 'Yes'.",
    }


@hookimpl
def rm_register_platform_quirks() -> Sequence[PlatformQuirks]:
    """Bring Blackboard."""
    return (Blackboard(),)
