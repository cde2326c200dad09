"""The commands for identity providers."""

import pytest

from tests.factories.commands import Commands


@pytest.fixture
def rm(settings, runtime):
    commands = Commands.of(settings)
    commands.do("init", "--tenant", "acme", "--name", "Acme")
    return commands


def test_scim_token_when_made_opens_the_server_until_it_is_revoked(rm, app):
    def status(token):
        headers = {"Authorization": f"Bearer {token}"}
        return app.test_client().get("/scim/v2/Users", headers=headers).status_code

    old = rm("scim", "token", "entra", "--json").json
    assert set(old) == {"token", "url"}
    assert old["url"] == "http://localhost:5000/scim/v2"
    new = rm("scim", "token", "entra", "--json").json
    assert [status(one["token"]) for one in (old, new)] == [200, 200]
    assert rm("scim", "revoke", "entra", "--json").json == {"revoked": 1}
    assert [status(one["token"]) for one in (old, new)] == [401, 200]
    assert rm("scim", "revoke", "entra", "--all", "--json").json == {"revoked": 1}
    assert status(new["token"]) == 401
    listed = {row["name"]: row["connector"] for row in rm("hris", "list", "--json").json}
    assert listed["entra"] == "scim_server"
    assert "scim_server" in [row["key"] for row in rm("hris", "connectors", "--json").json]
