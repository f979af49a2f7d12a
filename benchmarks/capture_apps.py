"""The application that is watched: bare, inside our capture, and inside the least that a monitor could do.

Each is a factory for `benchmarks.server`.
"""

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import islice
from time import perf_counter
from typing import Any

from fastapi import FastAPI, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reqscope.service import Settings
from reqscope.service.pipeline import Pipeline

from .workloads import CAPACITY, events


def shop() -> FastAPI:
    """Return the small application that is watched."""
    app = FastAPI()

    @app.get("/items/{item}")
    async def item(item: int) -> dict[str, object]:
        return {"item": item, "name": "desk lamp", "price": 24.5, "stock": 12}

    @app.post("/orders")
    async def order(request: Request) -> dict[str, int]:
        return {"received": len(await request.body())}

    return app


@asynccontextmanager
async def bare_shop() -> AsyncGenerator[ASGIApp]:
    """The application and nothing round it."""
    yield shop()


@asynccontextmanager
async def captured_shop() -> AsyncGenerator[ASGIApp]:
    """The application inside our capture as it comes: headers kept, bodies not."""
    async with _captured(Settings(log="none", capacity=CAPACITY)) as app:
        yield app


@asynccontextmanager
async def both_shops() -> AsyncGenerator[ASGIApp]:
    """The application as it comes for `?page=2`, and bare for all else: one process, for load that takes turns."""
    bare = shop()
    async with _captured(Settings(log="none", capacity=CAPACITY)) as watched:

        async def either(scope: Scope, receive: Receive, send: Send) -> None:
            await (watched if scope.get("query_string") == b"page=2" else bare)(scope, receive, send)

        yield either


@asynccontextmanager
async def uncorrelated_shop() -> AsyncGenerator[ASGIApp]:
    """The same without request ids in structlog's context variables, which the other contenders do not give either."""
    async with _captured(Settings(log="none", capacity=CAPACITY, correlate=False)) as app:
        yield app


@asynccontextmanager
async def captured_errors_shop() -> AsyncGenerator[ASGIApp]:
    """The same as it comes, bodies of requests that failed kept; here none does."""
    async with _captured(Settings(log="none", capacity=CAPACITY, bodies="errors")) as app:
        yield app


@asynccontextmanager
async def captured_bodies_shop() -> AsyncGenerator[ASGIApp]:
    """The same as it comes, every body kept."""
    async with _captured(Settings(log="none", capacity=CAPACITY, bodies="all")) as app:
        yield app


@asynccontextmanager
async def _captured(settings: Settings) -> AsyncGenerator[ASGIApp]:
    """Watch the application as `settings` say, the ring full and statistics being counted."""
    pipeline = Pipeline(settings)
    for event in islice(events(), CAPACITY):
        pipeline.bus.publish(event)
    async with pipeline.running():
        yield pipeline.capture(shop())


@asynccontextmanager
async def minimum_shop() -> AsyncGenerator[ASGIApp]:
    """The least that a monitor could do: method, path, status and duration into a bounded deque."""
    kept = deque[tuple[Any, ...]]([("", "", 0, 0.0)] * CAPACITY, maxlen=CAPACITY)
    app = shop()

    async def capture(scope: Scope, receive: Receive, send: Send) -> None:
        begun = perf_counter()
        status = 0

        async def tee(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif not message.get("more_body", False):
                kept.append((scope["method"], scope["path"], status, perf_counter() - begun))
            await send(message)

        await app(scope, receive, tee if scope["type"] == "http" else send)

    yield capture
