"""Canvas; the names of its settings are those of its English pages."""

from collections.abc import Sequence

from rmplugin.api import PlatformQuirks, hookimpl

KEY = "In Canvas: Admin > Developer Keys > (the tool's LTI key)"
SUBMISSION = "https://canvas.instructure.com/lti/submission"


class Canvas(PlatformQuirks):
    """Canvas by Instructure, hosted or one's own."""

    key = "canvas"
    title = "Canvas"
    # A line item that a tool makes is an assignment of its own, which learners see and get notices of.
    column_by_teacher = True
    no_test_column = "Canvas would show the test column to learners as an assignment."
    # Without it, each score counts as a new attempt, and is refused when the attempts are used up.
    score_members = {SUBMISSION: {"new_submission": False}}
    # Canvas opens a tool by the address that it is registered with, in a page of its own and not in a frame.
    activity_url = "{course_url}/external_tools/retrieve?display=borderless&url={launch_url}"
    settings = {
        "address": (
            f"{KEY}: 'Target Link URI', 'OpenID Connect Initiation Url', 'Public JWK URL' and 'Redirect "
            "URIs'."
        ),
        "client": (
            f"{KEY}: the client id is the number in the column 'Details'; 'State' must be 'On', and the "
            "tool must be installed under Settings > Apps."
        ),
        "tool_keys": (
            f"{KEY}: 'JWK Method' must be 'Public JWK URL' and 'Public JWK URL' this tool's address, which "
            "Canvas must reach from the internet."
        ),
        "platform_keys": (
            "Hosted Canvas publishes its keys at https://sso.canvaslms.com/api/lti/security/jwks; your "
            "own server at its address and /api/lti/security/jwks."
        ),
        "token": "The token address is that of your Canvas and /login/oauth2/token.",
        "roster": (
            f"{KEY} > LTI Advantage Services: switch on 'Can retrieve user data associated with the "
            "context the tool is installed in.'"
        ),
        "grades": (
            f"{KEY} > LTI Advantage Services: switch on 'Can create and view assignment data in the "
            "gradebook associated with the tool.', 'Can view submission data for assignments associated "
            "with the tool.' and 'Can create and update submission results for assignments associated "
            "with the tool.'"
        ),
        "column": (
            "In the course: Assignments > + Assignment > 'Submission Type': 'External Tool', find the "
            "tool, and give 'Points'."
        ),
        "frame": "Until then: in the assignment, tick 'Load This Tool In A New Tab'.",
    }


@hookimpl
def rm_register_platform_quirks() -> Sequence[PlatformQuirks]:
    """Bring Canvas."""
    return (Canvas(),)
