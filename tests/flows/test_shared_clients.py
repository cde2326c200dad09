"""Two companies behind one issuer and one client (Blackboard): each gets its own people only."""

import pytest
from sqlalchemy import select

from rmplugin.errors import ConflictError, InputError
from rmplugin.people.models import LtiUser
from rmplugin.tenants.models import LtiDeployment, LtiPlatform
from rmplugin.tenants.operations import (
    PlatformValues,
    add_platform,
    approve_deployments,
    change_platform,
    refuse_deployment,
)
from tests.factories.launches import Launcher, hire, register
from tests.fakes.lti_platform import CLAIM

DEPLOYMENT = CLAIM + "deployment_id"


@pytest.fixture
def both(platform, database, tenant, other_tenant, clock):
    """Acme's deployment is 36, the rival's is d2."""
    mine = register(database, tenant, platform, clock.now)
    theirs = register(database, other_tenant, platform, clock.now, deployments=("d2",))
    return mine, theirs


@pytest.fixture
def lms(app, platform, both):
    return Launcher(app, platform)


def subs(database, tenant) -> list[str]:
    with database.transaction(tenant.id, write=False) as db:
        return sorted(user.sub for user in db.scalars(select(LtiUser)))


def states(database, tenant) -> dict[str, str]:
    with database.transaction(tenant.id, write=False) as db:
        return {d.deployment_id: d.state for d in db.scalars(select(LtiDeployment))}


@pytest.mark.parametrize("hint", ["36", "d2", None])
def test_launch_when_two_companies_share_a_client_reaches_the_one_whose_deployment_signed(
    lms, database, tenant, other_tenant, clock, hint
):
    hire(database, tenant, clock.now, employee_number="E-1001")
    hire(database, other_tenant, clock.now, employee_number="E-1001")
    client = lms.app.test_client()
    query = lms.begin(client, lti_deployment_id=hint)
    assert lms.post(client, query, **{DEPLOYMENT: "d2"}).status_code == 303
    assert (subs(database, tenant), subs(database, other_tenant)) == ([], ["7"])


def test_launch_when_nobody_knows_the_deployment_waits_at_one_and_is_not_the_others(
    lms, database, tenant, other_tenant
):
    page = lms.launch(**{DEPLOYMENT: "d3"})
    assert page.status_code == 403
    assert "must be approved first" in page.get_data(as_text=True)
    assert states(database, tenant) == {"36": "approved", "d3": "pending"}
    assert states(database, other_tenant) == {"d2": "approved"}


def test_deployment_when_another_company_has_it_cannot_be_approved(lms, both, database, tenant, clock):
    mine, _theirs = both
    with database.transaction(tenant.id) as db:
        # As if it had waited here before the other company registered it.
        db.add(
            LtiDeployment(platform_id=mine.id, deployment_id="d2", state="pending", first_seen_at=clock.now)
        )
    with database.transaction(tenant.id) as db:
        assert approve_deployments(db, mine, None, "command", clock.now) == []
    with pytest.raises(ConflictError), database.transaction(tenant.id) as db:
        approve_deployments(db, mine, "d2", "command", clock.now)
    lms.launch(**{DEPLOYMENT: "d2"})
    assert states(database, tenant)["d2"] == "pending"
    assert subs(database, tenant) == []


def test_deployment_when_it_waits_elsewhere_can_be_refused_there_and_then_registered(
    lms, both, database, tenant, other_tenant, platform, clock
):
    lms.launch(**{DEPLOYMENT: "d3"})
    with pytest.raises(ConflictError) as caught:
        register(database, other_tenant, platform, clock.now, deployments=("d3",), name="second")
    assert "d3" in caught.value.message_for_user
    assert "Acme" not in caught.value.message_for_user
    with database.transaction(tenant.id) as db:
        waiting = db.scalars(select(LtiDeployment).where(LtiDeployment.deployment_id == "d3")).one()
        refuse_deployment(db, waiting, "command", clock.now)
    register(database, other_tenant, platform, clock.now, deployments=("d3",), name="second")
    assert states(database, other_tenant) == {"d2": "approved", "d3": "approved"}


def values(platform, **changes) -> PlatformValues:
    fields = {
        "name": "third",
        "issuer": platform.issuer,
        "client_id": platform.client_id,
        "auth_url": platform.base + "/auth",
        "token_url": platform.base + "/token",
        "jwks_url": platform.base + "/jwks",
        "deployment_ids": ("d9",),
    }
    return PlatformValues(**{**fields, **changes})


@pytest.mark.parametrize(
    ("changes", "code", "word"),
    [
        ({"jwks_url": "https://evil.example/jwks"}, "platform_contradicts", "jwks_url"),
        ({"auth_url": "https://evil.example/auth"}, "platform_contradicts", "auth_url"),
        ({"deployment_ids": ()}, "deployment_needed", "deployment"),
        ({"deployment_ids": ("d9", "36")}, "deployment_taken", "36"),
        ({"name": "lms"}, "platform_taken", "name"),
    ],
)
def test_registration_when_it_contradicts_another_companys_is_refused_without_naming_it(
    both, database, other_tenant, platform, clock, changes, code, word
):
    with pytest.raises(ConflictError) as caught, database.transaction(other_tenant.id) as db:
        add_platform(db, values(platform, **changes), clock.now)
    assert caught.value.code == code
    assert word in caught.value.message_for_user
    assert "acme" not in caught.value.message_for_user.casefold()
    with database.transaction(other_tenant.id, write=False) as db:
        assert [row.name for row in db.scalars(select(LtiPlatform))] == ["lms"]


def test_registration_when_changed_keeps_to_what_the_others_say(both, database, tenant, clock):
    with database.transaction(tenant.id) as db:
        platform = db.scalars(select(LtiPlatform)).one()
        changes = {"allow_anonymous": True, "identity_sources": ["email"]}
        change_platform(db, platform, changes, "command", clock.now)
    with database.transaction(tenant.id) as db:
        platform = db.scalars(select(LtiPlatform)).one()
        assert (platform.allow_anonymous, platform.identity_sources) == (True, ["email"])
        with pytest.raises(ConflictError):
            change_platform(db, platform, {"jwks_url": "https://evil.example/"}, "command", clock.now)
        with pytest.raises(InputError):
            change_platform(db, platform, {"token_url": "nowhere"}, "command", clock.now)
