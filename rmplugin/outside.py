"""The way to addresses that anybody may type: to public hosts only, never into a private network."""

import ipaddress
import socket
from typing import Any

import requests
import urllib3

from rmplugin import http
from rmplugin.errors import FatalError

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def make_session() -> requests.Session:
    """Make a session for addresses that anybody may type: it connects to public hosts only.

    The connection goes to the very address that was checked, so that a name cannot change in between.
    **Touches** nothing yet.
    """
    session = http.make_session()
    adapter = _OutsideAdapter()
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def is_public(address: str) -> bool:
    """Tell whether an IP address belongs to the public internet, also when another one hides in it.

    **Source** RFC 4291 (mapped), RFC 3056 (6to4), RFC 6052 (NAT64), RFC 4380 (Teredo). **Touches** pure.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo and ip.teredo[1])
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None and not is_public(str(inner)):
            return False
    return ip.is_global and not ip.is_multicast


def _connect_outside(connection: urllib3.connection.HTTPConnection) -> socket.socket:
    """Connect to a public address of the host; refuse a host that has any other."""
    host, port = connection.host, connection.port
    try:
        found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError) as error:
        raise urllib3.exceptions.NameResolutionError(host, connection, socket.gaierror(str(error))) from error
    if not found or not all(is_public(address) for address in found):
        text = "This address leads into a private network. It was not opened; please give a public one."
        raise FatalError("The address", "GET", f"//{host}", None, text)
    try:
        return urllib3.util.connection.create_connection((found[0], port), connection.timeout)
    except OSError as error:
        raise urllib3.exceptions.NewConnectionError(connection, "no connection") from error


class _OutsideHttp(urllib3.connection.HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _connect_outside(self)


class _OutsideHttps(urllib3.connection.HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _connect_outside(self)


class _OutsideHttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _OutsideHttp


class _OutsideHttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _OutsideHttps


class _OutsideAdapter(requests.adapters.HTTPAdapter):
    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _OutsideHttpPool, "https": _OutsideHttpsPool}
