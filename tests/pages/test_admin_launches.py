"""The administrator's pages: the one-time link, why launches were refused, one registration and its check."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from lti.routes import AttemptInfo
from rmplugin import web
from rmplugin.audit import AuditEntry
from rmplugin.logins import WebSession
from rmplugin.tenants.models import LaunchAttempt
from rmplugin.tenants.operations import record_attempt
from rmplugin.tenants.tasks import run_asked_checks
from tests.factories.commands import Commands
from tests.factories.launches import TOOL, register
from tests.fakes.lti_platform import CLAIM


@pytest.fixture
def registration(platform, database, tenant, clock):
    return register(database, tenant, platform, clock.now, name="moodle")


@pytest.fixture
def rm(settings):
    return Commands.of(settings)


@pytest.fixture
def keep(database, clock):
    """Keep an attempt: ``keep("REF", "kid_unknown", platform, kid="abc")``."""

    def keep(reference, code, platform=None, *, tenant_id=None, claims=None, **details) -> LaunchAttempt:
        owner = platform.tenant_id if platform else tenant_id
        key = str(platform.id) if platform else None
        info = AttemptInfo(reference, "launch", clock.now, key, (), code, details, claims or {})
        with database.transaction(None) as db:
            record_attempt(db, owner, platform.id if platform else None, info)
        with database.transaction(None, write=False) as db:
            return db.scalars(select(LaunchAttempt).where(LaunchAttempt.reference == reference)).one()

    return keep


def test_launches_when_listed_say_platform_code_and_cause_in_a_line(admin, keep, registration):
    keep("AAAAAAAA", "kid_unknown", registration, kid="abc", key_set="https://lms.example/certs")
    keep("BBBBBBBB", "ok", registration, identity="no_match")
    keep("CCCCCCCC", "issuer_unknown", issuer="https://other.example")
    words = admin.get("/admin/launches").says()
    assert "moodle AAAAAAAA kid_unknown The platform signs with a key (kid 'abc')" in words
    assert "unknown CCCCCCCC issuer_unknown No registration has the issuer https://other.example" in words
    assert "BBBBBBBB" not in words
    words = admin.get("/admin/launches?show=all").says()
    assert "BBBBBBBB ok The HR id or e-mail address of the launch is nobody's" in words
    words = admin.get(f"/admin/launches?show=all&platform={registration.id}").says()
    assert "AAAAAAAA" in words
    assert "CCCCCCCC" not in words
    assert admin.get("/admin/launches?show=nonsense&platform=x").status == 200


def test_launches_when_a_reference_is_typed_in_find_it_whatever_else_is_asked(admin, keep, registration):
    keep("K7QX2MHB", "ok", registration)
    keep("AAAAAAAA", "kid_unknown", registration)
    words = admin.get("/admin/launches?show=refused&reference=+k7qx2mhb+").says()
    assert "K7QX2MHB ok" in words
    assert "AAAAAAAA" not in words
    assert "no attempt with the reference ZZZ" in admin.get("/admin/launches?reference=ZZZ").says()


def test_launch_when_opened_shows_claims_as_a_tree_details_and_what_to_do(admin, keep, registration):
    claims = {"sub": "text, 1 character", CLAIM + "custom": {"emp": "$X"}, CLAIM + "roles": ["a", "b"]}
    row = keep("AAAAAAAA", "deployment_pending", registration, claims=claims, deployment_id="7", kid="abc")
    page = admin.get(f"/admin/launches/{row.id}")
    words = page.says()
    assert "The deployment 7 waits for approval." in words
    assert "What the person read The activity was added in a new place" in words
    assert "kid : abc" in words
    assert f"custom {CLAIM}custom emp : $X" in words
    assert "a, b" in words
    assert f'href="/admin/platforms/{registration.id}"' in page.text
    ok = keep("BBBBBBBB", "ok", registration)
    assert "Taken in, nothing is missing" in admin.get(f"/admin/launches/{ok.id}").says()


def test_attempts_of_nobody_when_there_are_two_companies_are_shown_to_neither(
    admin, keep, database, clock, rm
):
    row = keep("CCCCCCCC", "issuer_unknown")
    assert admin.get(f"/admin/launches/{row.id}").status == 200
    rm.do("init", "--tenant", "rival")
    assert admin.get(f"/admin/launches/{row.id}").status == 404
    assert "CCCCCCCC" not in admin.get("/admin/launches").text
    # Who has the command line has the whole installation.
    (line,) = rm.do("platform", "launches", "--tenant", "acme", "--json").json
    assert line["reference"] == "CCCCCCCC"


def test_attempts_of_another_company_when_asked_for_are_not_found(admin, keep, other_tenant, rm):
    row = keep("DDDDDDDD", "kid_unknown", tenant_id=other_tenant.id)
    assert admin.get(f"/admin/launches/{row.id}").status == 404
    assert "DDDDDDDD" not in admin.get("/admin/launches?reference=DDDDDDDD&show=all").text.replace(
        'value="DDDDDDDD"', ""
    ).replace("reference DDDDDDDD", "")
    assert rm.do("platform", "launches", "--tenant", "acme", "--json").json == []
    assert len(rm.do("platform", "launches", "--tenant", "rival", "--json").json) == 1


def test_command_launches_when_called_filters_and_explains(rm, keep, registration):
    keep("AAAAAAAA", "kid_unknown", registration, kid="abc", key_set="https://lms.example/certs")
    keep("BBBBBBBB", "ok", registration)
    keep("CCCCCCCC", "issuer_unknown")
    rows = rm.do("platform", "launches", "moodle", "--json").json
    assert [(row["reference"], row["platform"]) for row in rows] == [
        ("BBBBBBBB", "moodle"), ("AAAAAAAA", "moodle"),
    ]  # fmt: skip
    (row,) = rm.do("platform", "launches", "moodle", "--refused", "--json").json
    assert "kid 'abc'" in row["diagnosis"][0]
    assert row["details"]["kid"] == "abc"
    said = rm.do("platform", "launches", "--reference", "cccccccc").out
    assert "CCCCCCCC  (unknown platform)  issuer_unknown\n    No registration" in said
    assert rm.do("platform", "launches", "--reference", "ZZ").out == "(none)\n"
    assert rm("platform", "launches", "canvas").code == 1


def test_platform_page_when_opened_shows_facts_deployments_and_last_launches(
    admin, keep, registration, platform
):
    keep("AAAAAAAA", "kid_unknown", registration)
    words = admin.get(f"/admin/platforms/{registration.id}").says()
    for fact in (
        platform.issuer,
        platform.client_id,
        platform.base + "/jwks",
        "36 (approved)",
        "Not checked yet",
        "AAAAAAAA",
    ):
        assert fact in words


def test_check_when_asked_for_runs_in_the_worker_and_its_findings_are_shown(
    admin, registration, runtime, platform, database, tenant
):
    page = f"/admin/platforms/{registration.id}"
    admin.get(page).submit("/check")
    assert platform.requests == []
    assert "The check is running" in admin.says()
    assert 'hx-trigger="every 2s"' in admin.text
    run_asked_checks(runtime)
    words = admin.get(page).says()
    assert "Last check: Mon 23 Nov 2026, 09:00 (UTC)" in words
    assert "in order : key set." in words
    assert "hx-trigger" not in admin.text
    asked = len(platform.requests)
    run_asked_checks(runtime)
    assert len(platform.requests) == asked > 0
    with database.transaction(tenant.id, write=False) as db:
        deeds = db.scalars(select(AuditEntry).where(AuditEntry.action == "platform.check")).all()
    assert [deed.actor.split(":")[0] for deed in deeds] == ["administrator"]


def test_check_when_the_worker_does_not_run_is_said_and_not_waited_for_for_ever(admin, registration, clock):
    page = f"/admin/platforms/{registration.id}"
    admin.get(page).submit("/check")
    clock.forward(minutes=2)
    assert "Is `rmplugin worker` running?" in admin.get(page).says()
    assert "hx-trigger" not in admin.text


def test_check_when_the_platform_is_gone_ends_all_the_same(admin, registration, runtime, rm):
    admin.get(f"/admin/platforms/{registration.id}").submit("/check")
    rm.do("platform", "remove", "moodle", "--yes")
    run_asked_checks(runtime)
    run_asked_checks(runtime)
    assert admin.get(f"/admin/platforms/{registration.id}").status == 404


# ---- the one-time link ----


def open_link(app, url):
    client = app.test_client()
    return client, client.get(url.removeprefix(TOOL), base_url=TOOL)


def test_admin_link_when_opened_shows_the_platforms_and_reloading_works(app, clock, rm, registration):
    link = rm.do("admin-link", "--json").json
    assert link["url"].startswith(f"{TOOL}/entry/")
    # The command tells the machine's time; so does the app here.
    clock.now = datetime.now(UTC)
    client, page = open_link(app, link["url"])
    text = page.get_data(as_text=True)
    assert page.status_code == 200
    assert "<h1>Learning platforms</h1>" in text
    assert 'data-settle="/admin"' in text
    assert 'href="/admin/launches"' in text
    cookie = client.get_cookie(web.COOKIE, domain="localhost")
    assert cookie.secure
    assert cookie.http_only
    header = {"Cookie": f"{web.COOKIE}={cookie.value}"}
    fresh = app.test_client(use_cookies=False)
    assert fresh.get("/admin", headers=header, base_url=TOOL).status_code == 200
    home = fresh.get("/home", headers=header, base_url=TOOL)
    assert home.status_code == 403
    assert '<a class="btn btn-primary" href="/admin">' in home.get_data(as_text=True)


def test_admin_link_when_used_or_too_old_says_to_run_the_command_again(app, clock, rm, tenant):
    used, late = (rm.do("admin-link", "--json").json["url"] for _ in range(2))
    clock.now = datetime.now(UTC)
    assert open_link(app, used)[1].status_code == 200
    clock.forward(minutes=16)
    for url in (used, late):
        _client, page = open_link(app, url)
        text = page.get_data(as_text=True)
        assert page.status_code == 401
        assert "rmplugin admin-link" in text
        assert "course" not in text


def test_admin_page_when_the_session_has_ended_says_to_run_the_command_again(admin, app, clock):
    clock.forward(hours=3)
    assert "rmplugin admin-link" in admin.get("/admin").says()
    assert admin.status == 401
    assert "rmplugin admin-link" in app.test_client().get("/admin/launches").get_data(as_text=True)


def test_admin_link_when_it_waited_for_most_of_a_day_opens_a_whole_session(app, clock, rm, tenant):
    link = rm.do("admin-link", "--ttl", "24h", "--json").json
    clock.now = datetime.now(UTC)
    clock.forward(hours=23)
    client, page = open_link(app, link["url"])
    assert page.status_code == 200
    clock.forward(hours=1)
    assert client.get("/admin", base_url="https://localhost").status_code == 200


def test_admin_link_when_made_is_written_down_without_its_code(database, tenant, rm):
    said = rm.do("admin-link", "--ttl", "2h")
    assert said.out.startswith("Open this once, before ")
    code = said.out.strip().rpartition("/")[2]
    with database.transaction(tenant.id, write=False) as db:
        deed = db.scalars(select(AuditEntry).where(AuditEntry.action == "admin_link")).one()
        session = db.scalars(select(WebSession)).one()
    assert (deed.actor, deed.details) == ("command", {"minutes": 120})
    assert session.is_administrator
    assert code not in (session.entry_sha256, session.token_sha256)


@pytest.mark.parametrize("ttl", ["0m", "25h", "15", "-5m", "1d", "99999m"])
def test_admin_link_when_the_time_is_nonsense_is_refused(rm, tenant, ttl):
    said = rm("admin-link", f"--ttl={ttl}")
    assert said.code == 2
    assert "24h at most" in said.err
