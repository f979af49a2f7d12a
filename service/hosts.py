"""The names that a server may be called by.

A page elsewhere can have a name of its own point to this machine (DNS rebinding). To the browser, that page and this
server are then one site, and only the name in the request tells them apart.
"""

import re
from collections.abc import Iterable
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from .problems import refuse
from .settings import Settings

LOOPBACK_HOSTS: Final = ("localhost", "127.0.0.1", "[::1]")
ANY_HOST: Final = ("*",)

_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_-][a-z0-9_.-]*?)\.?(?::[0-9]*)?")


class Hosts:
    """The names that are good, beside the address that the request came to.

    :param names: without port; `*` makes all of them good
    """

    def __init__(self, names: Iterable[str] = ANY_HOST) -> None:
        self._names = frozenset(name.lower() for name in names)
        self._passed: tuple[list[bytes], object] | None = None
        """What passed last, and at which address: it mostly comes again, and to read a name takes microseconds."""

    def refusal(self, scope: Scope) -> str | None:
        """Return why a request is refused, in one sentence, or None if its name is good."""
        if "*" in self._names:
            return None
        given = [value for name, value in scope["headers"] if name == b"host"]
        server = scope.get("server")
        if self._passed == (given, server):
            return None
        match = _HOST.fullmatch(given[0].decode("latin-1").lower()) if len(given) == 1 else None
        if match is None:
            return "the Host header is missing, given twice, or not the name of a host"
        if match[1] in self._names or (server and match[1].strip("[]") == server[0]):
            self._passed = given, server
            return None
        return f"this is not {match[1]}; if it is called so, name it in REQSCOPE_ALLOWED_HOSTS"


def hosts_for(settings: Settings, *, bound: bool = True) -> Hosts:
    """Return the names that `settings` allow.

    :param bound: whether the server listens where `settings` say. Elsewhere, as in an application of the user's, it
        is not known who can reach it, and only the names of this machine go without saying.
    """
    if bound and not settings.is_loopback and not settings.allowed_hosts:
        return Hosts()
    return Hosts((*LOOPBACK_HOSTS, *settings.allowed_hosts))


class HostGate:
    """Answers 400 to requests that name another host."""

    def __init__(self, app: ASGIApp, hosts: Hosts) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._hosts.refusal(scope) if scope["type"] in ("http", "websocket") else None
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await refuse(scope, send, 400, refusal)
