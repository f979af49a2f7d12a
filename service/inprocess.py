"""An application in this process, called as a server would call it, for an httpx client."""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

import anyio
import httpx
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from starlette.types import ASGIApp, Message, Scope

logger = logging.getLogger(__name__)

State: TypeAlias = Mapping[str, Any] | None

_WAITING: Final = 16
"""Requests that may wait to be begun."""


class InProcess(httpx.AsyncBaseTransport):
    """Sends requests to an ASGI application, of which a client that goes away early is told as by a server.

    Requests are begun in the context that `running` was entered in, and not in the caller's, whose context variables
    are not theirs. An application that fails is answered for with a 500, as servers do. The extension `scope` of a
    request holds what else the application is to find in its scope; `target`, if there, is sent as it is.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._state: State = None
        self._calls: MemoryObjectSendStream[_Call] | None = None

    @asynccontextmanager
    async def running(self, state: State) -> AsyncGenerator[None]:
        """Take requests inside the block, at whose end those that are not over are cancelled.

        :param state: what the application's lifespan yielded, of which each request gets a copy
        """
        self._state = state
        self._calls, calls = anyio.create_memory_object_stream[_Call](_WAITING)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._begin_each, calls, tasks)
            try:
                yield
            finally:
                self._calls.close()
                self._calls = None
                tasks.cancel_scope.cancel()

    async def _begin_each(self, calls: MemoryObjectReceiveStream["_Call"], tasks: TaskGroup) -> None:
        async with calls:
            async for call in calls:
                tasks.start_soon(call.run, self._app)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """:raises httpx.ConnectError: the application does not run"""
        if self._calls is None:
            raise httpx.ConnectError("it has not started, or is going down", request=request)
        call = _Call(self._scope(request), await request.aread())
        await self._calls.send(call)
        try:
            await call.started.wait()
        except BaseException:  # the caller waits no longer
            await call.aclose()
            raise
        return httpx.Response(call.status, headers=call.headers, stream=call)

    def _scope(self, request: httpx.Request) -> Scope:
        target: bytes = request.extensions.get("target", request.url.raw_path)
        path, _, query = target.partition(b"?")
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": request.url.scheme,
            "path": unquote(path.decode("ascii")),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "client": ("127.0.0.1", 0),
            "server": (request.url.host, request.url.port),
            "extensions": {},
            **request.extensions.get("scope", {}),
        }
        if self._state is not None:
            scope["state"] = dict(self._state)
        return scope


class _Call(httpx.AsyncByteStream):
    """One request, and its response as a stream of bytes. A chunk waits until the one before it was taken."""

    def __init__(self, scope: Scope, body: bytes) -> None:
        self.status = 500
        self.headers: list[tuple[bytes, bytes]] = [(b"content-type", b"text/plain; charset=utf-8")]
        self.started = anyio.Event()
        self._scope = scope
        self._body: bytes | None = body
        self._gone = anyio.Event()
        self._chunks: MemoryObjectReceiveStream[bytes]
        self._out: MemoryObjectSendStream[bytes]
        self._out, self._chunks = anyio.create_memory_object_stream[bytes](1)

    async def run(self, app: ASGIApp) -> None:
        """Call the application, and see that whoever waits for it is woken."""
        try:
            await app(self._scope, self._receive, self._send)
        except Exception:  # whatever it raises is its own: a server would log it, too, and go on
            logger.exception("the application failed on a request that was sent to it again")
        finally:
            self.started.set()
            self._out.close()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            yield chunk

    async def aclose(self) -> None:
        """The client goes away: the application is told, and what it still sends goes nowhere."""
        self._gone.set()
        self._chunks.close()

    async def _receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message.get("headers", ()))
        elif message["type"] == "http.response.body":
            self.started.set()
            try:
                await self._out.send(message.get("body", b""))
                if not message.get("more_body", False):
                    self._gone.set()  # nothing more is to come, in either direction
                    self._out.close()
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                await checkpoint()  # nobody listens any more, which an application need not know
