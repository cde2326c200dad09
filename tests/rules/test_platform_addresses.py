"""Keys and tokens travel to a platform over https, or within this machine."""

import pytest

from rmplugin.errors import InputError
from rmplugin.tenants.operations import PlatformValues, check_platform_values


def values(address: str) -> PlatformValues:
    return PlatformValues(
        name="lms",
        issuer="https://lms.example",
        client_id="1",
        auth_url="https://lms.example/auth",
        token_url="https://lms.example/token",
        jwks_url=address,
    )


@pytest.mark.parametrize(
    "address", ["https://lms.example/jwks", "http://localhost:1/jwks", "http://[::1]/jwks"]
)
def test_address_when_nobody_on_the_way_can_read_it_is_taken(address):
    check_platform_values(values(address))


@pytest.mark.parametrize(
    "address", ["http://lms.example/jwks", "http://localhost.example/", "ftp://localhost/"]
)
def test_address_when_others_could_change_what_comes_is_refused(address):
    with pytest.raises(InputError) as caught:
        check_platform_values(values(address))
    assert set(caught.value.details) == {"jwks_url"}
