"""Open edX, with its LTI consumer block."""

from collections.abc import Sequence

from rmplugin.api import PlatformQuirks, hookimpl

BLOCK = "In Open edX Studio: Edit the LTI Consumer block"


class OpenEdx(PlatformQuirks):
    """Open edX, lti-consumer-xblock 11."""

    key = "openedx"
    title = "Open edX"
    product_codes = ("openedx", "edx")
    # lti-consumer-xblock 11.4.4 answers 403 to every DELETE of a line item, whatever the scopes.
    no_test_column = "Open edX lets no tool delete a column, so the test column would stay."
    # It answers 500 for a person whom it does not know.
    refusals = {500: "persist"}
    # A link's id is the place of its block, to which this page leads through the course.
    activity_url = "{issuer}/courses/{context_id}/jump_to/{resource_link_id}"
    settings = {
        "address": (f"{BLOCK}: 'Tool Launch URL', 'Tool Initiate Login URL' and 'Registered Redirect URIs'."),
        "tool_keys": (
            f"{BLOCK}: 'Tool Public Key Mode' must be 'Keyset URL' and 'Tool Keyset URL' this tool's address."
        ),
        "roster": f"{BLOCK}: switch on 'Enable LTI NRPS'.",
        "grades": (
            f"{BLOCK}: set 'LTI Assignment and Grades Service' to 'Allow tools to submit grades only "
            "(declarative)' or 'Allow tools to manage and submit grade (programmatic)'."
        ),
        "column": f"{BLOCK}: set 'Scored' to 'True'.",
        "frame": f"Until then: {BLOCK}: set 'LTI Launch Target' to 'New Window'.",
    }


@hookimpl
def rm_register_platform_quirks() -> Sequence[PlatformQuirks]:
    """Bring Open edX."""
    return (OpenEdx(),)
