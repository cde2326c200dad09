"""A learning platform that keeps to the standard, and general words for every setting."""

from collections.abc import Sequence

from rmplugin.api import PlatformQuirks, hookimpl


class Generic(PlatformQuirks):
    """A platform of which nothing special is known."""

    key = "generic"
    title = "Another learning platform"
    settings = {
        "address": (
            "Enter the tool's https addresses (launch, login, key set) in its registration in the LMS."
        ),
        "client": "Compare the client id here with the one in the LMS, and switch the tool on there.",
        "tool_keys": (
            "Enter the tool's key set address in its registration in the LMS, and let the LMS's server "
            "reach it: firewall, DNS, certificate."
        ),
        "platform_keys": ("Compare the key set address here with the one that the LMS prints for the tool."),
        "token": "Compare the access token address here with the one that the LMS prints for the tool.",
        "roster": (
            "Allow the tool Names and Role Provisioning Services (NRPS) in its registration in the LMS."
        ),
        "grades": (
            "Allow the tool Assignment and Grade Services (AGS) with line items, results and scores in "
            "its registration in the LMS."
        ),
        "column": "Switch grades on for the activity in the course.",
        "frame": "Until then, let the LMS open the tool in a new window.",
    }


@hookimpl
def rm_register_platform_quirks() -> Sequence[PlatformQuirks]:
    """Bring the standard."""
    return (Generic(),)
