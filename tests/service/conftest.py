"""A real server in the event loop of the test, and ways to wait for what it does."""

import json
import os
import socket
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reqscope.bus import Event, EventBus
from reqscope.service import Redaction
from reqscope.service.launcher import Server
from tests import nursery

DEADLINE = 20.0

MASK = Redaction().mask
"""What stands in the place of a secret, in this process."""


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The event loop that uvicorn and the command line choose."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No setting of whoever runs the tests has a say in them."""
    for name in [*os.environ]:
        if name.upper().startswith("REQSCOPE_") or name in ("API_PORT", "GRADIO_PORT"):
            monkeypatch.delenv(name)
    # Nor has who they let in to a panel of their own.
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.getbasetemp() / "no-configuration"))


@pytest.fixture(autouse=True)
def quick_panels() -> None:
    if nursery.quicken_panels():
        nursery.spare_the_collector()


class Clock:
    """A time in seconds that stands still until a test moves it."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def until(holds: Callable[[], bool], what: str) -> None:
    """Wait for a condition."""
    with anyio.move_on_after(DEADLINE):
        while not holds():  # noqa: ASYNC110 - what is waited for sets no event
            await anyio.sleep(0.002)
        return
    pytest.fail(f"waited {DEADLINE} s in vain: {what}")


async def published(bus: EventBus, count: int = 1) -> list[Event]:
    """Wait until the bus has had at least so many events, and return those that it keeps."""
    await until(lambda: bus.ring.last >= count, f"{count} events on the bus")
    return bus.ring.since(0).events


def client(url: str, **options: Any) -> httpx.AsyncClient:
    """Return a client for that server alone, with connections of its own. It loads no certificates: that takes long."""
    return httpx.AsyncClient(base_url=url, timeout=DEADLINE, trust_env=False, verify=False, **options)


def config_in(page: httpx.Response) -> Any:
    """Return what Gradio made a page from: its components, and whom it takes the client for."""
    return json.loads(page.text.partition("window.gradio_config = ")[2].partition(";</script>")[0])


async def read_all(connection: anyio.abc.ByteReceiveStream) -> bytes:
    """Return everything until the other side closes the connection."""
    data = b""
    with anyio.fail_after(DEADLINE):
        while True:
            try:
                data += await connection.receive()
            except anyio.EndOfStream:
                return data


def scope_of(**more: Any) -> Scope:
    """Return the scope of a request, for an application that no server is in front of."""
    return {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "http_version": "1.1",
        "headers": [],
        **more,
    }


async def nothing() -> Message:
    """Receive an empty body."""
    return {"type": "http.request"}


async def swallow(message: Message) -> None:
    """Send nothing to nobody."""


def from_list(messages: Iterable[Message]) -> Receive:
    """Receive these messages."""
    waiting = iter(messages)

    async def receive() -> Message:
        return next(waiting)

    return receive


class Prompt(Server):
    """Ends when it is asked to, and not when uvicorn looks for that, every tenth of a second."""

    async def main_loop(self) -> None:
        while not await self.on_tick(0):  # noqa: ASYNC110 - it is a flag
            await anyio.sleep(0.005)


@asynccontextmanager
async def serving(app: Any, **options: Any) -> AsyncGenerator[str]:
    """Serve `app` with uvicorn on a free port, and give its address once it answers."""
    quick: dict[str, Any] = {"lifespan": "off", "log_config": None, "timeout_graceful_shutdown": 1}
    server = Prompt(uvicorn.Config(app, **(quick | options)))
    with socket.create_server(("127.0.0.1", 0)) as listener:

        async def serve() -> None:
            try:
                await server.serve([listener])
            finally:
                server.ended.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(serve)
            with anyio.fail_after(DEADLINE):
                await server.ready.wait()
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                server.should_exit = True
                with anyio.CancelScope(shield=True):  # a test that failed leaves no socket open either
                    await server.ended.wait()


class Site:
    """A server that stays, in front of the application that each test sets."""

    def __init__(self, parser: str) -> None:
        self.parser = parser
        self.url = ""
        self.app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)

    def client(self, app: ASGIApp) -> httpx.AsyncClient:
        """Serve `app` from now on, and return a client for it."""
        self.app = app
        return client(self.url)

    @asynccontextmanager
    async def connection(self, app: ASGIApp) -> AsyncGenerator[anyio.abc.SocketStream]:
        """Serve `app` from now on, and return a bare connection to it, for what no client would send."""
        self.app = app
        async with await anyio.connect_tcp("127.0.0.1", int(self.url.rpartition(":")[2])) as stream:
            yield stream


@pytest.fixture(scope="module")
def parser() -> str:
    """Which of uvicorn's HTTP parsers to use. Modules for which it matters use both."""
    return "httptools"


@pytest.fixture(scope="module")
async def site(anyio_backend: object, parser: str) -> AsyncGenerator[Site]:
    site = Site(parser)
    async with serving(site, http=parser) as site.url:
        yield site


@pytest.fixture
def bus() -> Iterator[EventBus]:
    bus = EventBus()
    yield bus
    bus.close()
