"""Addresses that anybody may type never lead into a private network."""

import ipaddress
import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmplugin import http, outside
from rmplugin.errors import FatalError

PRIVATE = [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "::1",
    "::",
    "fe80::1%eth0",
    "fd00::1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_address_when_private_or_hidden_in_another_is_not_public(address):
    assert not outside.is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_address_when_public_is_public(address):
    assert outside.is_public(address)


@given(st.ip_addresses(v=4))
def test_address_when_mapped_into_ipv6_is_judged_like_itself(ip):
    assert outside.is_public(f"::ffff:{ip}") == outside.is_public(str(ip))
    assert not (outside.is_public(str(ip)) and not ipaddress.ip_address(str(ip)).is_global)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "0x7f000001", "2130706433"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_request_when_the_host_is_private_never_reaches_it(host, scheme):
    reached = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.3)
        port = server.getsockname()[1]
        client = http.Client(
            "The calendar",
            f"{scheme}://{host}:{port}",
            session=outside.make_session(),
            limits=http.Limits(tries=1, seconds=5),
        )
        with pytest.raises(FatalError, match="private network"):
            client.get("/a.ics")
        try:
            server.accept()[0].close()
            reached.set()
        except TimeoutError:
            pass
    assert not reached.is_set()
