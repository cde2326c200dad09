"""The SCIM server before an independently written tester of SCIM servers."""

import pytest
from scim2_client.engines.wsgi import WSGISCIMClient
from scim2_tester import Status, check_server

from tests.factories.scim import Provider


@pytest.fixture
def results(app, runtime, tenant, clock):
    provider = Provider(app, runtime, tenant, clock)
    headers = {"Authorization": f"Bearer {provider.token}"}
    client = WSGISCIMClient(app, base_url="http://localhost:5000/scim/v2", headers=headers)
    return check_server(client)


def test_scim_server_when_tested_by_scim2_tester_passes_every_check(results):
    bad = [f"{r.status.name} {r.title}: {r.reason}" for r in results if r.status is not Status.SUCCESS]
    assert bad == []
    assert len(results) > 100
