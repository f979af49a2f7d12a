"""The one way into the control plane: nothing behind it answers somebody who is not known."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import anyio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reqscope.service.routes import below_root

from .policies import Policy
from .private_file import PrivateFileError
from .refusals import refuse, unknown
from .tokens import PREFIX, Tokens, bearer
from .visits import ADMINS_ONLY, VISIT, User, Visit

PUBLIC: Final = frozenset((method, path) for method in ("GET", "HEAD") for path in ("/livez", "/readyz", "/access.css"))
"""What anybody may ask for: whether the process is well, and how a refusal looks."""

HOST_SCOPE: Final = "reqscope.host"
"""Where a panel that is mounted keeps the scope as its host left it."""

_SAFE: Final = ("GET", "HEAD", "OPTIONS")
_GRACE: Final = 1.0
"""Seconds for a stream to end by itself, with a last word, once its session has."""
_LOOK_AGAIN: Final = 5.0
"""Seconds after which an open stream looks whether its token is still one."""
_RESUMED: Final = "/api/events/stream"
"""What a client goes on with in a new request, behind the event that came last."""

logger = logging.getLogger(__name__)


class Gate:
    """ASGI middleware that asks `policy` about every request and WebSocket but those that are public.

    Those are let through by method and path, so what is added behind it is closed until somebody says otherwise.
    Below `/api/` whatever is not for reading needs an admin. A stream that is open when its session ends, or when its
    token is removed, is cut off. So is one of events after a while where only a new request tells who it is: its client
    makes that, and misses nothing.

    :param tokens: those of programs, which get in to the API under any policy
    """

    def __init__(self, app: ASGIApp, policy: Policy, tokens: Tokens) -> None:
        self._app = app
        self._policy = policy
        self._tokens = tokens
        self._public = PUBLIC | policy.public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or (scope.get("method"), below_root(scope)) in self._public:
            await self._app(scope, receive, send)
            return
        path = below_root(scope)
        found = await self._judge(scope, path)
        if isinstance(found, Visit):
            length = found.confirm_every if path == _RESUMED else None
            await self._admit(found, length, {**scope, VISIT: found}, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await found(scope, receive, send)

    async def _judge(self, scope: Scope, path: str) -> Visit | Response:
        token = bearer(scope)
        if token is not None and token.startswith(PREFIX.encode()):
            found: Visit | Response | None = self._visit_with(token) or unknown(scope)
        else:
            found = await self._policy.visit(_request(scope))
        if found is None:
            return self._policy.challenge(scope)
        return found if isinstance(found, Response) else _permitted(found, scope, path)

    def _visit_with(self, token: bytes) -> Visit | None:
        try:
            known = self._tokens.find(token)
        except PrivateFileError as error:
            logger.error("no token is believed: %s", error)
            return None
        if known is None or not known.allows("read"):
            return None
        user = User(known.name, "admin" if known.allows("admin") else "viewer")
        return Visit(user, f"token {known.name}", wait_end=lambda: self._wait_removal(token), only_api=True)

    async def _wait_removal(self, token: bytes) -> None:
        """Wait until a token lets nobody in any more."""
        while self._visit_with(token) is not None:  # noqa: ASYNC110 - a file tells nobody that it has changed
            await anyio.sleep(_LOOK_AGAIN)

    async def _admit(self, visit: Visit, length: float | None, scope: Scope, receive: Receive, send: Send) -> None:
        if visit.wait_end is None:
            await self._app(scope, receive, send)
            return
        failure: Exception | None = None
        answer = _Answer(send)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_cut_off, visit.wait_end, length, tasks.cancel_scope)
            try:
                await self._app(scope, receive, answer)
            except Exception as error:  # raised again below, and not in a group, which nobody expects
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure
        await answer.finish()


class _Answer:
    """Sends an answer on, and ends one that was cut off, which servers log as a fault of the application's."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._open = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            # What has announced its length cannot end early: there the connection has to break.
            self._open = all(name.lower() != b"content-length" for name, _ in message.get("headers", ()))
        elif message["type"] == "http.response.body":
            self._open = self._open and message.get("more_body", False)
        await self._send(message)

    async def finish(self) -> None:
        if self._open:
            await self._send({"type": "http.response.body", "body": b""})


async def _cut_off(wait_end: Callable[[], Awaitable[None]], length: float | None, stream: anyio.CancelScope) -> None:
    with anyio.move_on_after(length):
        await wait_end()
    await anyio.sleep(_GRACE)
    stream.cancel()


def _permitted(visit: Visit, scope: Scope, path: str) -> Visit | Response:
    api = path.startswith("/api/")
    if visit.only_api and not api and path != "/metrics":
        return refuse(403, "a token is for /api/ and /metrics; the panel is for people", scope)
    if api and not visit.is_admin and scope.get("method", "GET") not in _SAFE:
        return refuse(403, ADMINS_ONLY, scope)
    return visit


def _request(scope: Scope) -> Request:
    outer: dict[str, Any] = dict(scope.get(HOST_SCOPE, scope))
    # A policy is a function of a request; a WebSocket is one as well, until it is taken.
    return Request(outer if outer["type"] == "http" else {**outer, "type": "http", "method": "GET"})
