"""`rmplugin platform check` and `doctor`: each fault of a connection is found and the setting is named."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from urllib.error import URLError

import pytest
import responses
from sqlalchemy import select

from lti.ags import SCOPE_LINE_ITEM, SCOPE_LINE_ITEM_READ, SCOPE_RESULT, SCOPE_SCORE
from lti.nrps import SCOPE_MEMBERSHIP
from rmplugin.app import create_app
from rmplugin.tenants.checks import SELF_TEST
from rmplugin.tenants.models import LtiContext, LtiPlatform, LtiResourceLink
from rmplugin.tenants.tasks import check_platform
from rmplugin.wiring import make_runtime, utc_now
from tests.conftest import Clock
from tests.factories.commands import Commands
from tests.factories.credits import make_course
from tests.factories.door import Door
from tests.fakes.ags_platform import AgsPlatform
from tests.fakes.lti_platform import RESULTS, Refused

SCOPES = [SCOPE_SCORE, SCOPE_RESULT, SCOPE_LINE_ITEM, SCOPE_LINE_ITEM_READ]
BOTH = pytest.mark.parametrize("family", ["moodle", "canvas"])


@pytest.fixture
def clock():
    # Servers tell the real time in their answers.
    return Clock(datetime.now(UTC))


@pytest.fixture
def door():
    door = Door()
    yield door
    door.close()


@pytest.fixture
def settings(settings, door):
    return replace(settings, public_url=door.url)


@pytest.fixture
def app(settings, runtime, door):
    door.app = create_app(settings, runtime=runtime)
    return door.app


class Site:
    """A tool that is registered with a strict platform, and a course in which somebody launched."""

    def __init__(self, runtime, tenant, clock, lms) -> None:
        self.runtime, self.tenant, self.clock, self.lms = runtime, tenant, clock, lms
        with self.db() as db:
            course = make_course(db, clock.now, lms.base, lms.line_item_url, scopes=SCOPES)
            course.context.memberships_url = lms.base + "/nrps/members?id=3"
            course.link.line_items_url = lms.base + "/ags/lineitems?type_id=36"

    def db(self):
        return self.runtime.database.transaction(self.tenant.id)

    def set(self, model, **values) -> None:
        with self.db() as db:
            row = db.scalars(select(model)).one()
            for name, value in values.items():
                setattr(row, name, value)

    def findings(self, family="moodle", *, read_only=False):
        self.set(LtiPlatform, family=family)
        return check_platform(self.runtime, self.tenant.id, "lms", read_only=read_only)

    def check(self, family="moodle", **options):
        return {finding.what: finding for finding in self.findings(family, **options)}

    def faults(self, family="moodle", **options):
        """Give what is to be fixed."""
        return {f.what: f.advice for f in self.findings(family, **options) if not f.ok}


@pytest.fixture
def lms(runtime, tool_keys, clock):
    with AgsPlatform(runtime, clock) as platform:
        platform.members = [
            {"user_id": "t", "roles": ["Instructor"], "status": "Active"},
            {"user_id": "gone", "roles": ["Learner"], "status": "Inactive"},
            {"user_id": "u-1", "roles": ["Learner"], "status": "Active", "name": "Ada Byron"},
        ]
        yield platform


@pytest.fixture
def site(runtime, tenant, clock, lms, app):
    return Site(runtime, tenant, clock, lms)


def test_check_when_all_is_well_tries_the_gradebook_and_leaves_nothing_behind(site, lms):
    before = dict(lms.line_items)
    found = site.check()
    assert site.faults() == {}
    assert set(found) >= {
        "key set",
        "access token",
        "scopes",
        "roster (NRPS)",
        "gradebook (AGS)",
        SELF_TEST,
        "frame",
    }
    assert "written, read and deleted" in found[SELF_TEST].advice
    assert lms.taken[0] == ("u-1", 1)
    assert lms.line_items == before
    assert lms.refusals == []
    assert not any("Ada" in finding.advice or "u-1" in finding.advice for finding in found.values())


def test_check_when_read_only_leaves_the_gradebook_alone(site, lms):
    assert SELF_TEST not in site.check(read_only=True)
    assert [path for method, path in lms.requests if method != "GET" and path != "/token"] == []


def test_check_on_canvas_makes_no_column_that_learners_would_see(site, lms):
    found = site.check("canvas")
    assert found[SELF_TEST].ok
    assert "Canvas would show" in found[SELF_TEST].advice
    assert found["gradebook (AGS)"].ok
    assert lms.pushes == []


@pytest.mark.parametrize(
    ("family", "setting"),
    [("moodle", "Public keyset URL"), ("canvas", "sso.canvaslms.com/api/lti/security/jwks")],
)
def test_check_when_the_key_set_is_unreachable_names_its_address(site, lms, family, setting):
    for answer in ((503, {}), (200, {})):
        lms.outage["jwks"] = answer
        assert setting in site.faults(family)["key set"]


@pytest.mark.parametrize(
    ("family", "setting"),
    [("moodle", "compare 'Client ID'"), ("canvas", "Developer Keys > (the tool's LTI key)")],
)
def test_check_when_the_client_is_refused_says_so_in_the_platforms_words(site, lms, family, setting):
    answer = {"error": "invalid_client", "error_description": "No such tool"}
    lms.token_answer = (400, json.dumps(answer))
    faults = site.faults(family)
    assert set(faults) == {"access token"}
    advice = faults["access token"]
    assert "invalid_client: No such tool" in advice
    assert "client id client-1" in advice
    assert setting in advice


@pytest.mark.parametrize(
    ("family", "setting"),
    [("moodle", "cURL blocked hosts list"), ("canvas", "'Public JWK URL' this tool's address")],
)
def test_check_when_the_lms_cannot_read_the_tools_keys_names_what_keeps_it(site, lms, door, family, setting):
    def unreachable():
        raise URLError("blocked")

    lms.tool_jwks = unreachable
    advice = site.faults(family)["access token"]
    assert f"cannot read this tool's keys at {door.url}/lti/jwks" in advice
    assert setting in advice


@pytest.mark.parametrize(
    ("family", "settings_named"),
    [
        ("moodle", ("IMS LTI Names and Role Provisioning", "IMS LTI Assignment and Grade Services")),
        ("canvas", ("LTI Advantage Services", "Can retrieve user data")),
    ],
)
def test_check_when_a_scope_is_refused_names_the_services(site, lms, family, settings_named):
    lms.token_answer = (400, '{"error": "invalid_scope"}')
    advice = site.faults(family)["access token"]
    assert all(setting in advice for setting in settings_named)


@BOTH
@pytest.mark.parametrize("words", ["iat is in the future", "Token expired", "Please check the clock"])
def test_check_when_the_token_is_refused_for_its_time_speaks_of_clocks(site, lms, family, words):
    lms.token_answer = (400, json.dumps({"error": "invalid_request", "error_description": words}))
    advice = site.faults(family)["access token"]
    assert words in advice
    assert "time server" in advice


@pytest.mark.parametrize(("shift", "words"), [(-120, "s behind"), (120, "s ahead of")])
def test_check_when_the_clocks_differ_says_by_how_much(site, clock, shift, words):
    clock.forward(seconds=shift)
    advice = site.faults()["clock"]
    assert words in advice
    assert "time server" in advice


@pytest.mark.parametrize(
    ("family", "setting"), [("moodle", "Access token URL"), ("canvas", "/login/oauth2/token")]
)
def test_check_when_the_token_address_does_not_answer_names_it(site, family, setting):
    site.set(LtiPlatform, token_url="http://127.0.0.1:9/token")
    assert setting in site.faults(family)["access token"]


@pytest.mark.parametrize(
    ("family", "setting"),
    [("moodle", "grade sync and column management"), ("canvas", "Can create and update submission results")],
)
def test_check_when_the_launch_offers_too_little_names_what_is_missing(site, family, setting):
    site.set(LtiResourceLink, scopes=[SCOPE_RESULT, SCOPE_LINE_ITEM_READ])
    site.set(LtiPlatform, scopes=[SCOPE_SCORE, SCOPE_RESULT])
    advice = site.faults(family)["scopes"]
    assert "may not" not in advice
    assert "let the tool write scores." in advice
    assert "granted when the tool was registered" in advice
    assert setting in advice


def test_check_when_nobody_launched_compares_the_registrations_scopes_and_asks_for_a_launch(site, lms):
    with site.db() as db:
        db.delete(db.scalars(select(LtiContext)).one())
    site.set(LtiPlatform, scopes=[SCOPE_MEMBERSHIP])
    faults = site.faults()
    assert "write scores, read results" in faults["scopes"]
    assert "Nobody has launched" in faults["course"]
    site.set(LtiPlatform, scopes=None)
    assert set(site.faults()) == {"course"}


@pytest.mark.parametrize(
    ("family", "setting"),
    [("moodle", "IMS LTI Assignment and Grade Services"), ("canvas", "LTI Advantage Services")],
)
def test_check_when_the_token_is_good_for_less_than_asked_says_for_what(site, lms, family, setting):
    lms.granted = {SCOPE_MEMBERSHIP, SCOPE_RESULT, SCOPE_LINE_ITEM}
    advice = site.faults(family)["access token"]
    assert "may not write scores." in advice
    assert setting in advice


@pytest.mark.parametrize(
    ("family", "setting"),
    [("moodle", "IMS LTI Names and Role Provisioning"), ("canvas", "Can retrieve user data")],
)
def test_check_when_the_roster_is_off_or_refused_names_the_service(site, lms, family, setting):
    lms.outage["nrps"] = (403, {})
    assert setting in site.faults(family)["roster (NRPS)"]
    site.set(LtiContext, memberships_url=None)
    assert "offered no roster" in site.faults(family)["roster (NRPS)"]
    assert setting in site.faults(family)["roster (NRPS)"]


def test_check_when_nobody_answers_at_the_rosters_address_blames_no_setting(site):
    site.set(LtiContext, memberships_url="http://127.0.0.1:9/memberships")
    advice = site.faults("moodle")["roster (NRPS)"]
    assert advice.endswith("See whether the LMS runs, and whether this machine reaches it.")
    assert "IMS LTI Names and Role" not in advice


@pytest.mark.parametrize(
    ("family", "setting"),
    [("moodle", "'Accept grades from the tool'"), ("canvas", "Can create and view assignment data")],
)
def test_check_when_the_gradebook_is_off_names_the_service(site, family, setting):
    site.set(LtiResourceLink, line_item_url=None, line_items_url=None, scopes=[])
    advice = site.faults(family)["gradebook (AGS)"]
    assert "offered no gradebook" in advice
    assert setting in advice


@pytest.mark.parametrize(
    ("family", "setting"), [("moodle", "'Type' to 'Point'"), ("canvas", "'External Tool'")]
)
def test_check_when_the_activity_has_no_column_tells_teachers_where(site, lms, family, setting):
    site.set(LtiResourceLink, line_item_url=lms.line_item_url.replace("/1/", "/77/"))
    assert setting in site.faults(family)["gradebook (AGS)"]
    site.set(LtiResourceLink, line_item_url=None)
    assert setting in site.faults(family)["gradebook (AGS)"]
    generic = site.check("brightspace")["gradebook (AGS)"]
    assert (generic.ok, generic.advice) == (
        True,
        "The activity has no column yet; the tool makes one with the first grade.",
    )


@pytest.mark.parametrize(
    ("family", "setting"),
    [("moodle", "IMS LTI Assignment and Grade Services"), ("generic", "Assignment and Grade Services (AGS)")],
)
def test_check_when_no_score_can_be_written_says_so_and_cleans_up(site, lms, family, setting):
    before = dict(lms.line_items)
    lms.refuse_scores = 403
    advice = site.faults(family)[SELF_TEST]
    assert advice.startswith("No score can be written")
    assert setting in advice
    assert lms.line_items == before


def test_check_when_canvas_lets_no_scores_be_written_finds_it_by_the_scopes(site):
    site.set(LtiResourceLink, scopes=[SCOPE_RESULT, SCOPE_LINE_ITEM])
    assert "Can create and update submission results" in site.faults("canvas")["scopes"]


def refuse(lms, *which):
    """Let the platform refuse calls by method and end of the path."""
    route = lms.route

    def refusing(method, path, *rest):
        if any(method == verb and path.endswith(end) for verb, end in which):
            raise Refused(403, "forbidden")
        return route(method, path, *rest)

    lms.route = refusing


@pytest.mark.parametrize(
    ("which", "words"),
    [
        (("POST", "/lineitems"), "No column can be made"),
        (("GET", "/results"), "cannot be read"),
        (("DELETE", "/LineItem"), "could not be deleted; do it by hand"),
    ],
)
def test_check_when_a_step_of_the_self_test_fails_names_the_step(site, lms, which, words):
    refuse(lms, which)
    advice = site.faults()[SELF_TEST]
    assert words in advice
    assert "IMS LTI Assignment and Grade Services" in advice


def test_check_when_another_score_comes_back_says_so(site, lms):
    lms._results = lambda *_: (200, RESULTS, "[]", {})
    assert "another one came back" in site.faults()[SELF_TEST]


def test_check_when_the_roster_names_no_learner_asks_for_one(site, lms):
    lms.members = lms.members[:2]
    assert "Enrol one" in site.faults()[SELF_TEST]


def test_check_when_the_lms_is_down_says_try_again_and_blames_no_setting(site, lms):
    lms.outage["nrps"] = (503, {})
    advice = site.faults()["roster (NRPS)"]
    assert "Try again later" in advice
    assert "Services" not in advice


@pytest.mark.parametrize(
    ("family", "setting"), [("moodle", "'Redirection URI(s)'"), ("canvas", "'Target Link URI'")]
)
def test_check_when_the_tool_is_not_https_says_where_its_addresses_stand(
    site, settings, clock, family, setting
):
    site.set(LtiPlatform, family=family)
    runtime = make_runtime(replace(settings, public_url="http://tool.example"), clock=clock)
    try:
        with responses.RequestsMock(assert_all_requests_are_fired=False) as net:
            net.add_passthru("http://127.0.0.1")
            net.get("http://tool.example/", body="")
            net.get("http://tool.example/lti/jwks", json={"keys": []})
            found = check_platform(runtime, site.tenant.id, "lms")
    finally:
        runtime.database.close()
        runtime.queue.storage.close()
    advice = next(f.advice for f in found if f.what == "public URL")
    assert "http://tool.example is not https" in advice
    assert setting in advice


@pytest.mark.parametrize(
    "header",
    [
        {"X-Frame-Options": "SAMEORIGIN"},
        {"Content-Security-Policy": "default-src *; frame-ancestors 'self'"},
        {"Content-Security-Policy": "frame-ancestors 'none'"},
        {"Content-Security-Policy": "frame-ancestors *, frame-ancestors https://*.example.org http:/x"},
    ],
)
@pytest.mark.parametrize(
    ("family", "setting"),
    [("moodle", "'Default launch container' to 'New window'"), ("canvas", "'Load This Tool In A New Tab'")],
)
def test_check_when_a_proxy_forbids_the_frame_names_the_header_and_the_way_around(
    site, door, header, family, setting
):
    door.added = header
    advice = site.faults(family)["frame"]
    assert next(iter(header)) in advice
    assert setting in advice


@pytest.mark.parametrize(
    "sources",
    ["*", "http:", "http://127.0.0.1:{port}", "'self' https://x.example 127.0.0.1:{port}", "http://127.0.*"],
)
def test_check_when_the_frame_is_allowed_says_nothing(site, door, lms, sources):
    door.added = {
        "Content-Security-Policy": f"frame-ancestors {sources}".format(port=lms.base.rpartition(":")[2])
    }
    assert site.faults() == {}


def test_check_when_the_tools_own_address_is_not_the_tools_says_so(site, app, door, settings, clock):
    app.view_functions["lti.jwks"] = lambda: {"keys": []}
    assert "without this tool's keys" in site.faults()["public URL"]
    door.close()
    elsewhere = replace(settings, public_url="http://127.0.0.1:9")
    runtime = make_runtime(elsewhere, clock=clock)
    try:
        found = [f.advice for f in check_platform(runtime, site.tenant.id, "lms") if f.what == "public URL"]
    finally:
        runtime.database.close()
        runtime.queue.storage.close()
    assert "does not answer" in found[-1]


def test_commands_when_something_is_to_be_fixed_end_with_1_and_list_it(site, settings, lms, door):
    # Commands go by the real time, which must not run away from the platform's.
    lms.clock = utc_now
    rm = Commands.of(settings)
    assert rm("platform", "check", "lms").code == 0
    door.added = {"X-Frame-Options": "DENY"}
    checked = rm("platform", "check", "lms", "--json")
    assert checked.code == 1
    assert all(set(line) == {"what", "ok", "advice"} for line in checked.json)
    assert [line["what"] for line in checked.json if not line["ok"]] == ["frame"]
    assert SELF_TEST in {line["what"] for line in checked.json}
    pushes = len(lms.pushes)
    read_only = rm("platform", "check", "lms", "--read-only")
    assert "FIX  frame" in read_only.out
    doctor = rm("doctor", "--json").json
    assert {line["what"] for line in doctor} >= {
        "platform lms: roster (NRPS)",
        "platform lms: access token",
        "frame",
    }
    assert [line["what"] for line in doctor if not line["ok"]] == ["frame"]
    assert len(lms.pushes) == pushes
