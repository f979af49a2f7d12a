"""Who gets in where nobody signs in: everybody, or whoever sits at this machine."""

from ipaddress import ip_address
from typing import Final, Protocol

from fastapi import APIRouter
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from .refusals import refuse
from .visits import User, Visit

_FORWARDING: Final = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")

_UNNAMED: Final = (
    "this panel answers this machine only, because nobody has said who else may see it. In the application, write "
    "Monitor(app, auth=lambda request: request.session.get('user'), login_url='/login') with what returns your "
    "user's name, or None for somebody unknown; or Monitor(app, auth='open') if everybody may see every request"
)


class Policy(Protocol):
    """Says whose a request is."""

    @property
    def public(self) -> frozenset[tuple[str, str]]:
        """Methods and paths that anybody may ask for, beside those that say the process is well."""
        ...

    def router(self) -> APIRouter | None:
        """Return the routes that signing in takes, if any."""

    async def visit(self, request: Request) -> Visit | Response | None:
        """Return who asks; None if that is not known, or what to answer in that case.

        The request has the host's scope where there is a host, and no body.
        """

    def challenge(self, scope: Scope) -> Response:
        """Return the answer to somebody unknown."""
        ...


class Everybody:
    """Lets everybody in, as an admin. For a panel that only this machine can reach, or by explicit wish."""

    public: frozenset[tuple[str, str]] = frozenset()

    def __init__(self, links: dict[str, str | int] | None = None) -> None:
        self._visit = Visit(User("", "admin"), links=links or {})

    def router(self) -> APIRouter | None:
        return None

    async def visit(self, request: Request) -> Visit | Response | None:
        return self._visit

    def challenge(self, scope: Scope) -> Response:
        return refuse(403, "nobody is let in", scope)


class ThisMachine(Everybody):
    """Lets in whoever asks from this machine directly, and nobody who comes through a proxy.

    An application is not told what address it listens on, so each request is looked at. A proxy on this machine
    that hides from the application that it is one cannot be told from a local client: name a policy there.
    """

    async def visit(self, request: Request) -> Visit | Response | None:
        return self._visit if is_direct(request.scope) else None

    def challenge(self, scope: Scope) -> Response:
        return refuse(403, _UNNAMED, scope)


def is_direct(scope: Scope) -> bool:
    """Whether a request comes from this machine, by a name of this machine, and through no proxy."""
    client = (scope.get("client") or ("",))[0]
    if client == "testclient":  # the peer of a socket is an address, so this is Starlette's TestClient
        return not _is_forwarded(scope)
    # Proxies that add no header still speak HTTP/1.0, which no browser or client does today, or pass the name on.
    old = scope["http_version"] in ("0.9", "1.0")
    return _is_loopback(client) and _is_local_name(scope) and not old and not _is_forwarded(scope)


def _is_forwarded(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return any(name in headers for name in _FORWARDING)


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
