"""The host application's own log-in: it says who asks, and where those go who are not known."""

import inspect
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from ipaddress import ip_address, ip_network
from typing import Annotated, Any, Final, TypeAlias

import anyio
from anyio import to_thread
from fastapi import APIRouter, Depends
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Scope

from .paths import here, is_local_path, wants_page, with_next
from .refusals import redirect, refuse, unknown
from .visits import User, Visit

Auth: TypeAlias = Callable[..., Any]
"""Given a request, returns a user's name, a `User`, or None; or a FastAPI dependency that does."""

CONFIRM: Final = 60.0
"""Seconds after which an open page has to show that its user is still signed in to the host."""

_ERRORS: Final = frozenset(each.value for each in HTTPStatus if each >= 400)

logger = logging.getLogger(__name__)


class HostLogin:
    """Lets in whom the host knows.

    :param auth: called with the request as the host's middleware leaves it, for every request to the panel. A function
        that is not async runs in a thread. A name is that of a viewer; return `User(name, "admin")` for an admin. A
        FastAPI dependency works as it does in a route, overrides included.
    :param login_url: where people go who are not known, with the way back as `next` in the query
    :param logout_url: where "Sign out" goes
    :param app_url: where "Open app" goes
    :param host: the application, for its dependency overrides
    :raises ValueError: a URL is not a path of the host's own
    """

    public: frozenset[tuple[str, str]] = frozenset()

    def __init__(
        self,
        auth: Auth,
        login_url: str | None = None,
        logout_url: str | None = None,
        app_url: str | None = None,
        host: Any = None,
    ) -> None:
        for name, url in (("login_url", login_url), ("logout_url", logout_url), ("app_url", app_url)):
            if url is not None and not is_local_path(url):
                raise ValueError(f"{name} is a path of the application's own such as '/login', not {url!r}")
        self._ask = _asker(auth, host)
        self._login_url = login_url
        self._links = {"sign_out": logout_url, "app": app_url}
        self._failing = False

    def router(self) -> APIRouter | None:
        return None

    async def visit(self, request: Request) -> Visit | Response | None:
        try:
            user = _user(await self._ask(request))
        except HTTPException as error:
            return None if error.status_code == 401 else _as_raised(error, request.scope)
        except Exception:  # it is the host's code, and whatever it raises lets nobody in
            logger.exception("the function given as auth= failed, so nobody is let in")
            return refuse(500, "the application cannot tell who asks: its log says why", request.scope)
        if user is None:
            return None
        root = _root(request.scope)
        links: dict[str, str | int] = {name: root + url for name, url in self._links.items() if url is not None}
        return Visit(
            user, session=user.name, wait_end=lambda: self._wait_end(request), confirm_every=CONFIRM, links=links
        )

    def challenge(self, scope: Scope) -> Response:
        if not wants_page(scope):
            return unknown(scope)
        if self._login_url is None:
            return refuse(401, "sign in to the application first, and come back", scope)
        return redirect(with_next(_root(scope) + self._login_url, here(scope)))

    async def _wait_end(self, request: Request) -> None:
        """Wait until the host does not know the user of a request any more."""
        while True:
            await anyio.sleep(CONFIRM)
            if not isinstance(await self.visit(request), Visit):
                return


def proxy_header(name: str, *, proxies: str) -> Callable[[Request], str | None]:
    """Return an `auth` that believes a header such as `X-Forwarded-User`, if a proxy that signs people in sends it.

    The proxy must take that header away from what clients send. Servers that believe `X-Forwarded-For` put the
    client's address in the place of the proxy's: for uvicorn, `--no-proxy-headers` turns that off.

    :param proxies: addresses and networks of the proxies, comma-separated
    :raises ValueError: those are not addresses, or there are none
    """
    networks = [ip_network(each.strip()) for each in proxies.split(",") if each.strip()]
    if not networks:
        raise ValueError("name the addresses of the proxies, such as proxies='10.0.0.5'")
    told = set[str]()

    def user(request: Request) -> str | None:
        sent = request.headers.getlist(name)
        if len(sent) != 1:
            return None
        peer = request.client.host if request.client else ""
        if _is_in(peer, networks):
            return sent[0].strip() or None
        if len(told) < 10 and peer not in told:
            told.add(peer)
            logger.warning("%s from %r is not believed: that is none of the proxies %s", name, peer, proxies)
        return None

    return user


def _is_in(peer: str, networks: list[Any]) -> bool:
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    return any(address in network for network in networks)


def _root(scope: Scope) -> str:
    """Return what the host is reached below, for a path of the host's."""
    root: str = scope.get("app_root_path", "")
    return root


def _user(answer: object) -> User | None:
    match answer:
        case None | "":
            return None
        case User():
            return answer
        case str():
            return User(answer)
        case _:
            raise TypeError(f"auth returns a name, a reqscope.service.User or None, and not {type(answer).__name__}")


def _as_raised(error: HTTPException, scope: Scope) -> Response:
    where = (error.headers or {}).get("location", "")
    if 300 <= error.status_code < 400 and where:
        return redirect(where) if wants_page(scope) else unknown(scope)
    status = error.status_code if error.status_code in _ERRORS else 403
    return refuse(status, str(error.detail), scope, dict(error.headers or {}))


def _asker(auth: Auth, host: Any) -> Callable[[Request], Awaitable[Any]]:
    if not _takes_a_request(auth):
        return _Dependency(auth, host).ask
    if inspect.iscoroutinefunction(auth) or inspect.iscoroutinefunction(getattr(auth, "__call__", None)):  # noqa: B004
        return auth

    async def in_a_thread(request: Request) -> Any:
        # It may look into a database, and every other request would wait meanwhile.
        answer = await to_thread.run_sync(auth, request)
        return await answer if inspect.isawaitable(answer) else answer

    return in_a_thread


def _takes_a_request(auth: Auth) -> bool:
    """Whether it is a plain function of a request, rather than a dependency that FastAPI has to fill in."""
    parameters = list(inspect.signature(auth, eval_str=True).parameters.values())
    needed = [each for each in parameters if each.default is each.empty and each.kind not in _VARIADIC]
    if len(parameters) != 1 or len(needed) != 1:
        return False
    kind = needed[0].annotation
    return kind is inspect.Parameter.empty or (isinstance(kind, type) and issubclass(Request, kind))


_VARIADIC: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class _Dependency:
    """A FastAPI dependency, filled in by a route that nobody can reach."""

    def __init__(self, dependency: Auth, host: Any) -> None:
        async def found(request: Request, user: Annotated[Any, Depends(dependency)]) -> Response:
            request.scope["reqscope.found"] = user
            return Response()

        provider = host if hasattr(host, "dependency_overrides") else None
        self._route = APIRoute("/", found, dependency_overrides_provider=provider)

    async def ask(self, request: Request) -> Any:
        scope = {**request.scope, "method": "GET", "reqscope.found": None}
        await self._route.app(scope, _nothing, _swallow)
        return scope["reqscope.found"]


async def _nothing() -> Message:
    return {"type": "http.request"}


async def _swallow(message: Message) -> None:
    """What the route answers is of no interest: it has left the user in the scope."""
