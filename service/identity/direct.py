"""Which requests come from this machine directly, and which of those from whoever runs this process."""

import os
import struct
from collections.abc import Collection
from ipaddress import ip_address
from typing import Final

from starlette.datastructures import Headers
from starlette.types import Scope

from .peers import Address, can_tell_users, user_of

ROOT: Final = 0

_FORWARDING: Final = ("forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip")
"""What proxies and tunnels add, beside everything that begins with `x-forwarded-`."""


def own_users() -> frozenset[int]:
    """Return the ids of the users who are asked nothing: who runs this process, and root, who could read it anyway."""
    return frozenset({os.geteuid(), ROOT})


def is_own(scope: Scope, users: Collection[int]) -> bool:
    """Whether a request is direct, and one of `users` has its connection.

    That is what tells a proxy on this machine which hides that it is one: its connections are those of another user.
    Where there is no way to tell whose a connection is, as on macOS, or no connection, as in tests, direct is enough.
    """
    if not is_direct(scope):
        return False
    connection = _connection(scope)
    if connection is None or not can_tell_users():
        return True
    try:
        return user_of(*connection) in users
    except (OSError, struct.error):  # it can be told, but not now
        return False


def is_direct(scope: Scope) -> bool:
    """Whether a request comes from this machine, by a name of this machine, and through no proxy."""
    client = (scope.get("client") or ("",))[0]
    if client == "testclient":  # the peer of a socket is an address, so this is Starlette's TestClient
        return not _is_forwarded(scope)
    # Many proxies that add no header speak HTTP/1.0, which no browser or client does today, or pass the name on. nginx
    # has done neither since 1.29.7, if it is told nothing but where to pass requests: see `is_own`.
    old = scope["http_version"] in ("0.9", "1.0")
    return _is_loopback(client) and _is_local_name(scope) and not old and not _is_forwarded(scope)


def _connection(scope: Scope) -> tuple[Address, Address] | None:
    """Return both ends of a TCP connection, the client's first; None if the request came over none."""
    ends = list[Address]()
    for name in ("client", "server"):
        host, port = (scope.get(name) or ("", None))[:2]
        try:
            ip_address(host)
        except ValueError:
            return None
        if port is None:
            return None
        ends.append((host, port))
    return ends[0], ends[1]


def _is_forwarded(scope: Scope) -> bool:
    return any(name in _FORWARDING or name.startswith("x-forwarded-") for name in Headers(scope=scope))


def _is_local_name(scope: Scope) -> bool:
    hosts = Headers(scope=scope).getlist("host")
    if len(hosts) != 1:
        return False
    name = hosts[0].rpartition(":")[0] if hosts[0].rpartition(":")[2].isdigit() else hosts[0]
    return name.lower() == "localhost" or _is_loopback(name.strip("[]"))


def _is_loopback(text: str) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
