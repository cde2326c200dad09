"""Moodle, as measured on 5.1.3; the names of its settings are those of its English language pack."""

from collections.abc import Sequence

from rmplugin.api import PlatformQuirks, hookimpl

TOOL = (
    "In Moodle: Site administration > Plugins > Activity modules > External tool > Manage tools > (the tool)"
)


class Moodle(PlatformQuirks):
    """Moodle 4.1 and later."""

    key = "moodle"
    title = "Moodle"
    # Its completion follows only the column of the activity itself.
    column_by_teacher = True
    # A stale score is 409 there; 400 means teachers and administrators, who get no grades.
    refusals = {400: "enrol"}
    # The id of a link is that of its activity, which this page takes instead of a course module's.
    activity_url = "{issuer}/mod/lti/view.php?l={resource_link_id}"
    settings = {
        "address": (f"{TOOL}: 'Tool URL', 'Initiate login URL', 'Public keyset' and 'Redirection URI(s)'."),
        "client": (
            f"{TOOL} > View configuration details: compare 'Client ID'. A tool that registered itself "
            "stays pending until you press 'Activate'."
        ),
        "tool_keys": (
            f"{TOOL}: 'Public key type' must be 'Keyset URL' and 'Public keyset' this tool's address. "
            "Moodle's server must reach it: Site administration > General > Security > HTTP security, "
            "'cURL blocked hosts list' and 'cURL allowed ports list' (by default Moodle calls no private "
            "addresses, and only ports 80 and 443)."
        ),
        "platform_keys": f"{TOOL} > View configuration details: compare 'Public keyset URL'.",
        "token": f"{TOOL} > View configuration details: compare 'Access token URL'.",
        "roster": (
            f"{TOOL} > Services: set 'IMS LTI Names and Role Provisioning' to 'Use this service to "
            "retrieve members' information as per privacy settings'."
        ),
        "grades": (
            f"{TOOL} > Services: set 'IMS LTI Assignment and Grade Services' to 'Use this service for "
            "grade sync and column management', and under Privacy 'Accept grades from the tool' to "
            "'Always'."
        ),
        "column": (
            "In the course: Edit settings of the activity > Grade: set 'Type' to 'Point', and under "
            "Privacy tick that the tool may add grades in the gradebook. 'Accept grades from the tool' of "
            "the tool must not be 'Never'."
        ),
        "frame": f"Until then: {TOOL}: set 'Default launch container' to 'New window'.",
    }


@hookimpl
def rm_register_platform_quirks() -> Sequence[PlatformQuirks]:
    """Bring Moodle."""
    return (Moodle(),)
