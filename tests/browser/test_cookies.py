"""Launches without cookies: which rung of the ladder carries a launch, by cookie regime and by platform."""

from urllib.parse import urlsplit

import pytest

from tests.browser.conftest import Person

pytestmark = [
    pytest.mark.part("chromium"),
    pytest.mark.xdist_group("browser"),
    pytest.mark.timeout(120),
    pytest.mark.enable_socket,
]

# The pages of one course of the practice LMS offer platform storage, as Canvas, those of the other do not, as Moodle.
PLAIN, STORING = "101", "102"


def watch_addresses(person: Person) -> list[str]:
    """Collect the paths of the protocol that the browser asks for from now on, in every tab."""
    paths: list[str] = []

    def note(request):
        path = urlsplit(request.url).path
        if path.startswith("/lti/") and request.url.startswith(person.demo.tool):
            paths.append("/".join(path.split("/")[:3]))

    person.context.on("request", note)
    return paths


@pytest.mark.parametrize("course", [PLAIN, STORING])
@pytest.mark.parametrize("regime", ["allowed", "third-party blocked", "phase-out"])
def test_launch_when_the_browser_sends_partitioned_cookies_is_carried_by_the_cookie(
    demo, open_as, regime, course
):
    person = open_as(demo.company.by_hand[0], regime)
    paths = watch_addresses(person)
    person.open_tool(course)
    assert person.at().startswith("/entry/")
    script = ["/lti/storage.js"] if course == STORING else []
    assert paths == ["/lti/login", *script, "/lti/launch"]


def test_launch_when_no_cookie_is_kept_is_carried_by_the_storage_of_the_platform(demo, open_as):
    person = open_as(demo.company.by_hand[0], "blocked everywhere")
    paths = watch_addresses(person)
    person.open_tool(STORING)
    assert person.at().startswith("/entry/")
    print(paths)
    print(person.says())
    assert 0
