"""D2L Brightspace."""

from collections.abc import Sequence

from rmplugin.api import PlatformQuirks, hookimpl

TOOL = "In Brightspace: Admin Tools > Manage Extensibility > LTI Advantage > (the tool)"


class Brightspace(PlatformQuirks):
    """D2L Brightspace."""

    key = "brightspace"
    title = "D2L Brightspace"
    product_codes = ("desire2learn", "d2l")
    # 403 is for somebody who is not enrolled; 404 for one who is not known, or for the column.
    refusals = {403: "enrol"}
    settings = {
        "client": f"{TOOL}: compare 'Client Id'; the registration and its deployment must be enabled.",
        "tool_keys": f"{TOOL}: 'Keyset URL' must be this tool's address.",
        "token": (
            f"{TOOL}: compare 'Brightspace OAuth2 Access Token URL'; the token audience here must be "
            "https://api.brightspace.com/auth/token."
        ),
        "roster": f"{TOOL} > Extensions: tick 'Names and Roles Provisioning Services'.",
        "grades": f"{TOOL} > Extensions: tick 'Assignment and Grades Services'.",
    }


@hookimpl
def rm_register_platform_quirks() -> Sequence[PlatformQuirks]:
    """Bring Brightspace."""
    return (Brightspace(),)
