"""Who gets in where nobody signs in: everybody, or whoever runs the server and sits at its machine."""

from typing import Final, Protocol

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from .direct import is_own, own_users
from .refusals import refuse
from .visits import User, Visit

_UNNAMED: Final = (
    "this panel answers only who runs the application, from the same machine and through no proxy, because nobody has "
    "said who else may see it. In the application, write "
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
    """Lets in who runs this process and asks from this machine directly, and nobody who comes through a proxy.

    An application is not told what address it listens on, so each request is looked at. Where the system does not
    say whose a connection is, that is all users of this machine; and a proxy on it that hides from the application
    that it is one cannot be told from them: name a policy there.
    """

    async def visit(self, request: Request) -> Visit | Response | None:
        return self._visit if is_own(request.scope, own_users()) else None

    def challenge(self, scope: Scope) -> Response:
        return refuse(403, _UNNAMED, scope)
