"""Reqscope's own sign-in: configured users, or a link that works once."""

import hmac
import logging
import secrets
from collections.abc import Callable
from typing import Final

import anyio
from anyio import to_thread
from fastapi import APIRouter
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import Scope

from .clock import clock
from .lockout import Lockout
from .paths import here, wants_page, with_next
from .private_file import PrivateFileError
from .refusals import PAGE, page, redirect, unknown
from .sessions import LENGTH, Session, Sessions
from .users import MAX_NAME, MAX_PASSWORD, Users
from .visits import User, Visit

_WAITING: Final = 16
"""Sign-ins that may wait for their turn. A password takes some 50 ms of a core to look at."""

logger = logging.getLogger(__name__)


class TooBusyError(Exception):
    """More people sign in at once than can be looked at."""


class LockedError(Exception):
    """Too many passwords were wrong.

    :ivar seconds: how long until the next may be tried
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"{seconds:.0f} s to wait")
        self.seconds = seconds


class OneTimeLink:
    """Lets in one browser as an admin, and then the next with another link.

    :ivar announce: called with a path to open, and whether that is because the one before has been used
    """

    def __init__(self) -> None:
        self._token = secrets.token_urlsafe(32)
        self.announce: Callable[[str, bool], None] = lambda path, used: None

    @property
    def path(self) -> str:
        return f"/sign-in?link={self._token}"

    def use(self, token: str) -> bool:
        """Whether this is the token; it is not from now on. Takes the same time however much of it is right."""
        if not hmac.compare_digest(token.encode("utf-8", "replace"), self._token.encode()):
            return False
        self._token = secrets.token_urlsafe(32)
        self.announce(self.path, True)
        return True


class SignIn:
    """A policy with users and sessions of Reqscope's own.

    :param link: for the person at the terminal, where nobody is configured
    :param clock: the time in seconds
    """

    def __init__(
        self,
        users: Users,
        link: OneTimeLink | None = None,
        links: dict[str, str | int] | None = None,
        clock: Callable[[], float] = clock,
    ) -> None:
        self.users = users
        self.link = link
        self.sessions = Sessions(clock)
        self._lockout = Lockout(clock)
        self._links = links or {}
        self._limit: anyio.CapacityLimiter | None = None

    @property
    def public(self) -> frozenset[tuple[str, str]]:
        return frozenset({("GET", "/sign-in"), ("POST", "/sign-in"), ("POST", "/sign-out")})

    @property
    def entrance(self) -> str:
        """Where whoever starts the server is to begin, below its address."""
        return "" if self.link is None else self.link.path

    def show_link(self) -> None:
        """See to it that the terminal shows the link. Here it has from the start."""

    def router(self) -> APIRouter | None:
        from .signin_pages import sign_in_router

        return sign_in_router(self)

    async def visit(self, request: Request) -> Visit | Response | None:
        session = self.session_of(request.scope)
        if session is None:
            return None
        root: str = request.scope["root_path"]
        return Visit(
            session.user,
            session=session.key,
            is_live=lambda: self.sessions.is_live(session),
            wait_end=lambda: self.sessions.wait_end(session),
            links={"sign_out_post": f"{root}/sign-out", **self._links},
        )

    def challenge(self, scope: Scope) -> Response:
        if not wants_page(scope):
            return unknown(scope)
        if Headers(scope=scope).get("sec-fetch-site") == "cross-site":
            # A link from another site comes without the cookie, which is for requests from here only. Asking once
            # more from a page of our own brings it along.
            back = here(scope)
            again = page("again.html", title="Reqscope", root=scope["root_path"], refresh=back, url=back)
            return HTMLResponse(again, headers=PAGE)
        return redirect(with_next(f"{scope['root_path']}/sign-in", here(scope)))

    def session_of(self, scope: Scope) -> Session | None:
        name = Request(scope).cookies.get(cookie_name(scope))
        return self.sessions.use(name) if name else None

    async def verify(self, name: str, password: str, address: str) -> User | None:
        """Return the user of that name and password.

        :raises LockedError: there were too many failures
        :raises TooBusyError: too many others are signing in
        """
        name, password = name[: MAX_NAME + 1], password[: MAX_PASSWORD + 1]
        self._limit = self._limit or anyio.CapacityLimiter(1)
        if self._limit.statistics().tasks_waiting >= _WAITING:
            raise TooBusyError
        if seconds := self._lockout.attempt(name, address):
            raise LockedError(seconds)
        try:
            user = await to_thread.run_sync(self.users.verify, name, password, limiter=self._limit)
        except PrivateFileError as error:
            logger.error("nobody can sign in: %s", error)
            return None
        if user is not None:
            self._lockout.succeeded(name, address)
        return user

    @property
    def has_users(self) -> bool:
        try:
            return len(self.users) > 0
        except PrivateFileError as error:
            logger.error("nobody can sign in: %s", error)
            return True

    def begin(self, user: User, scope: Scope, response: Response, *, configured: bool) -> None:
        """Begin a session in the place of the one that the browser had.

        :param configured: whether it ends with that user's password, role or being there at all
        """
        self._end_of(scope)
        stamp = self._stamp(user.name)
        holds = (lambda: stamp is not None and self._stamp(user.name) == stamp) if configured else (lambda: True)
        name = self.sessions.begin(user, holds)
        _set_cookie(response, scope, name, int(LENGTH))

    def end(self, scope: Scope, response: Response) -> None:
        """End the browser's session."""
        self._end_of(scope)
        _set_cookie(response, scope, "", 0)

    def _end_of(self, scope: Scope) -> None:
        if name := Request(scope).cookies.get(cookie_name(scope)):
            self.sessions.end_named(name)

    def _stamp(self, name: str) -> str | None:
        try:
            return self.users.stamp(name)
        except PrivateFileError as error:
            logger.error("sessions end: %s", error)
            return None


def cookie_name(scope: Scope) -> str:
    """Return the name of the cookie: one for each port, because browsers send cookies to all ports of a host."""
    server = scope.get("server") or ("", None)
    prefix = "__Host-" if _is_secure(scope) else ""
    return f"{prefix}reqscope_{server[1] or 'session'}"


def _is_secure(scope: Scope) -> bool:
    return scope.get("scheme") in ("https", "wss")


def _set_cookie(response: Response, scope: Scope, value: str, max_age: int) -> None:
    secure = _is_secure(scope)
    path = "/" if secure else scope["root_path"] or "/"
    response.set_cookie(
        cookie_name(scope), value, max_age=max_age, path=path, secure=secure, httponly=True, samesite="strict"
    )
