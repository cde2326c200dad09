"""Connecting an LMS: the pages that it shows on the way, and the administrator's own."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from rmplugin.tenants.invites import INVITE_LIFE, create_invite
from rmplugin.tenants.models import LtiDeployment, LtiPlatform, PlatformInvite
from tests.factories.rows import read_rows
from tests.fakes.registration_platforms import SCOPES, Blackboard, Brightspace, Canvas, Moodle

TOOL = "http://localhost:5000"


@pytest.fixture
def make_invite(database, tenant, clock):
    def make(name=None) -> str:
        with database.transaction(tenant.id) as db:
            token, _row = create_invite(db, name, "command", clock.now)
        return f"/lti/register/{token}"

    return make


@pytest.fixture
def connect(app, runtime):
    """Go the whole way as the LMS would: ``connect(platform, path)`` gives the page before and the last."""

    def connect(platform, path):
        platform.mount(runtime.http)
        client = app.test_client()
        before = client.get(path, query_string=platform.query)
        hidden = dict(
            re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', before.get_data(as_text=True))
        )
        hidden = {name: value.replace("&amp;", "&") for name, value in hidden.items()}
        return before, client.post(path, data=hidden)

    return connect


def text_of(answer) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", answer.get_data(as_text=True)))


def test_invite_when_moodle_opens_it_asks_first_and_then_stores_all_that_was_agreed(
    connect, make_invite, database, tenant
):
    platform = Moodle()
    path = make_invite("our moodle")
    before, after = connect(platform, path)
    assert (before.status_code, after.status_code) == (200, 200)
    for word in ("https://moodle.school.example", "takes part", "grades", "e-mail", "employee number"):
        assert word in text_of(before)
    assert "frame-ancestors *" in before.headers["Content-Security-Policy"]
    [row] = read_rows(database, tenant, LtiPlatform)
    assert (row.name, row.family, row.issuer) == ("our moodle", "moodle", "https://moodle.school.example")
    assert row.client_id == "AbCdEfGhIjKlMn1"
    assert row.jwks_url.endswith("/mod/lti/certs.php")
    assert set(row.scopes) == set(SCOPES)
    [deployment] = read_rows(database, tenant, LtiDeployment)
    assert (deployment.deployment_id, deployment.state) == ("36", "approved")
    assert "pending until you activate it" in text_of(after)
    assert "data-lti-close" in after.get_data(as_text=True)


@pytest.mark.parametrize(
    ("kind", "word"),
    [(Canvas, "turn the key"), (Brightspace, "create a deployment"), (Blackboard, "Blackboard")],
)
def test_invite_when_another_lms_opens_it_says_what_comes_next_there(
    connect, make_invite, database, tenant, kind, word
):
    _before, after = connect(kind(), make_invite())
    assert word in text_of(after)
    assert "one click" in text_of(after)
    [row] = read_rows(database, tenant, LtiPlatform)
    assert row.token_audience == ("https://api.brightspace.com/auth/token" if kind is Brightspace else None)


def test_invite_when_only_looked_at_registers_nothing(app, runtime, make_invite, database, tenant):
    platform = Moodle()
    platform.mount(runtime.http)
    for _ in range(2):
        assert app.test_client().get(make_invite(), query_string=platform.query).status_code == 200
    assert platform.registered == []
    assert read_rows(database, tenant, LtiPlatform) == []


def test_invite_when_used_says_so_and_connects_nobody_else(connect, make_invite, database, tenant):
    path = make_invite()
    connect(Moodle(), path)
    other = Canvas()
    before, after = connect(other, path)
    assert (before.status_code, after.status_code) == (410, 410)
    assert "used before" in text_of(before)
    assert other.registered == []
    assert len(read_rows(database, tenant, LtiPlatform)) == 1


def test_invite_when_two_use_it_at_once_connects_one(app, runtime, make_invite, database, tenant):
    platforms = [Moodle(), Canvas(), Brightspace(), Blackboard()]
    path = make_invite()
    for platform in platforms:
        platform.mount(runtime.http)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda p: app.test_client().post(path, data=p.query).status_code, platforms))
    assert sorted(answers) == [200, 410, 410, 410]
    assert sum(len(platform.registered) for platform in platforms) == 1
    assert len(read_rows(database, tenant, LtiPlatform)) == 1


def test_invite_when_the_lms_fails_can_be_used_again(connect, make_invite, database, tenant):
    platform = Moodle()
    path = make_invite()
    platform.down = {"POST"}
    _before, after = connect(platform, path)
    assert after.status_code == 502
    assert "can be used again" in text_of(after)
    assert read_rows(database, tenant, PlatformInvite)[0].used_at is None
    platform.down = set()
    _before, after = connect(platform, path)
    assert after.status_code == 200


def test_invite_when_expired_or_made_up_is_refused(app, make_invite, clock):
    path = make_invite()
    client = app.test_client()
    clock.forward(seconds=INVITE_LIFE.total_seconds())
    assert client.get(path).status_code == 410
    assert client.post(path, data={"openid_configuration": "https://lms.example/"}).status_code == 410
    assert client.get("/lti/register/made-up").status_code == 404
    assert client.post("/lti/register/made-up").status_code == 404
    assert client.get("/lti/register").status_code == 404


def test_invite_when_opened_by_hand_says_where_to_paste_it(app, make_invite):
    path = make_invite()
    page = app.test_client().get(path)
    assert page.status_code == 200
    assert TOOL + path in page.get_data(as_text=True)
    for lms in ("Moodle", "Canvas", "Brightspace", "Blackboard"):
        assert lms in text_of(page)
    by_query = app.test_client().get("/lti/register", query_string={"invite": path.rpartition("/")[2]})
    assert by_query.status_code == 200


def test_invite_when_the_names_are_taken_finds_a_free_one(connect, make_invite, database, tenant):
    connect(Canvas(), make_invite())
    second = Canvas()
    second.answer = {"client_id": "10000000000099"}
    connect(second, make_invite())
    assert sorted(row.name for row in read_rows(database, tenant, LtiPlatform)) == [
        "Test University",
        "Test University 2",
    ]


def test_invite_when_the_answer_contradicts_another_registration_says_so(
    connect, make_invite, database, tenant
):
    connect(Blackboard(), make_invite())
    _before, after = connect(Blackboard(), make_invite())
    assert after.status_code == 409
    assert "remove it there" in text_of(after)
    assert len(read_rows(database, tenant, LtiPlatform)) == 1


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/x", "nonsense", "https://[", "x" * 10_000, "https://a\x00b/"]
)
def test_registration_when_the_lms_names_a_strange_address_is_a_plain_page(app, make_invite, url):
    path = make_invite()
    for answer in (
        app.test_client().get(path, query_string={"openid_configuration": url}),
        app.test_client().post(path, data={"openid_configuration": url}),
    ):
        assert answer.status_code in (400, 502)
        assert "can be used again" in text_of(answer)


def test_canvas_json_when_read_names_the_tools_addresses(app):
    document = app.test_client().get("/lti/canvas.json").json
    assert document["oidc_initiation_url"] == TOOL + "/lti/login"
    assert document["public_jwk_url"] == TOOL + "/lti/jwks"
    assert document["custom_fields"]["emp"] == "$Person.sourcedId"
    assert set(document["scopes"]) == set(SCOPES)


# ---- the administrator's pages ----

MOODLE_PAGE = (
    "Platform ID:\thttps://moodle.school.example\nClient ID:\tAbCdEfGhIjKlMn1\nDeployment ID:\t36\n"
    "Public keyset URL:\thttps://moodle.school.example/mod/lti/certs.php\n"
)


def test_platform_when_its_page_is_pasted_is_connected(admin, database, tenant):
    admin.get("/admin/platforms/new").submit("/admin/platforms", name="moodle", printed=MOODLE_PAGE)
    assert "moodle is connected" in admin.says()
    [row] = read_rows(database, tenant, LtiPlatform)
    assert (row.family, row.client_id) == ("moodle", "AbCdEfGhIjKlMn1")
    assert "36" in admin.says()


def test_platform_when_something_is_missing_comes_back_filled_with_the_fault_at_its_field(
    admin, database, tenant
):
    page = "https://moodle.school.example/mod/lti/certs.php"
    admin.get("/admin/platforms/new").submit("/admin/platforms", name="moodle", printed=page)
    assert admin.status == 422
    assert page in admin.text
    fields = next(form["fields"] for form in admin.forms() if form["action"] == "/admin/platforms")
    assert fields["issuer"] == ["https://moodle.school.example"]
    assert fields["name"] == ["moodle"]
    assert 'id="e-client_id"' in admin.text
    assert 'id="e-issuer"' not in admin.text
    admin.submit("/admin/platforms", client_id="typed-1")
    assert read_rows(database, tenant, LtiPlatform)[0].client_id == "typed-1"


def test_platform_when_typed_values_differ_from_the_text_the_typed_ones_win(admin, database, tenant):
    admin.get("/admin/platforms/new").submit(
        "/admin/platforms",
        name="m",
        printed=MOODLE_PAGE,
        client_id="typed-1",
        deployment_ids="7, 8",
        identity_sources=["sourcedid", "email"],
        allow_anonymous="true",
    )
    [row] = read_rows(database, tenant, LtiPlatform)
    assert (row.client_id, row.allow_anonymous) == ("typed-1", True)
    assert row.identity_sources == ["sourcedid", "email"]
    assert {d.deployment_id for d in read_rows(database, tenant, LtiDeployment)} == {"7", "8"}


def test_platform_when_its_name_is_taken_keeps_what_was_pasted(admin):
    for _ in range(2):
        admin.get("/admin/platforms/new").submit("/admin/platforms", name="moodle", printed=MOODLE_PAGE)
    assert admin.status == 422
    assert 'id="e-name"' in admin.text
    assert "AbCdEfGhIjKlMn1" in admin.text


def test_deployment_when_it_waits_is_approved_or_refused_by_one_click(admin, database, tenant, clock):
    admin.get("/admin/platforms/new").submit("/admin/platforms", name="moodle", printed=MOODLE_PAGE)
    [platform] = read_rows(database, tenant, LtiPlatform)
    with database.transaction(tenant.id) as db:
        for name in ("d2", "d3"):
            row = LtiDeployment(
                platform_id=platform.id, deployment_id=name, state="pending", first_seen_at=clock.now
            )
            db.add(row)
    admin.get("/admin")
    assert "d2" in admin.says()
    admin.submit("/approve")
    assert "Deployment d2 may launch now" in admin.says()
    admin.submit("/refuse")
    states = {d.deployment_id: d.state for d in read_rows(database, tenant, LtiDeployment)}
    assert states == {"36": "approved", "d2": "approved"}


def test_invite_when_made_on_the_page_is_shown_once_and_works(admin, connect, database, tenant):
    admin.get("/admin/invites").submit("/admin/invites", name="moodle")
    found = re.search(re.escape(TOOL) + r"(/lti/register/[\w-]+)", admin.text)
    assert found, admin.text
    assert found[0] not in admin.get("/admin/invites").text
    connect(Moodle(), found[1])
    assert "connected" in admin.get("/admin/invites").says()
    assert [row.name for row in read_rows(database, tenant, LtiPlatform)] == ["moodle"]
    assert found[1].rpartition("/")[2] not in {
        row.token_sha256 for row in read_rows(database, tenant, PlatformInvite)
    }


def test_invite_when_withdrawn_registers_nobody_and_stays_listed(admin, app, database, tenant):
    admin.get("/admin/invites").submit("/admin/invites", name="moodle")
    found = re.search(re.escape(TOOL) + r"(/lti/register/[\w-]+)", admin.text)
    assert found, admin.text
    assert app.test_client().get(found[1], base_url=TOOL).status_code != 404
    admin.get("/admin/invites").submit("/withdraw")
    assert "The invitation was withdrawn" in admin.says()
    assert "expired" in admin.says()
    assert "/withdraw" not in admin.text
    page = app.test_client().get(found[1], base_url=TOOL)
    assert page.status_code in (403, 404, 410)
    [row] = read_rows(database, tenant, PlatformInvite)
    assert admin.post(f"/admin/invites/{row.id}/withdraw").status == 409
