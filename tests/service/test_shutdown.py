"""The end of a host's server, which an open page or stream must not hold up, whatever brought it about."""

import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from reqscope.service import Monitor
from reqscope.service.launcher import Server

from .conftest import DEADLINE, client, config_in, until

pytestmark = pytest.mark.anyio


def host() -> FastAPI:
    app = FastAPI()

    @app.get("/hello")
    async def hello() -> str:
        return "hello"

    Monitor(app)
    return app


def configured(**options: Any) -> uvicorn.Config:
    """A server as a user would start it: it waits without end for what is open."""
    return uvicorn.Config(host(), port=0, lifespan="on", log_config=None, **options)


def address(server: uvicorn.Server) -> str:
    return f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"


@asynccontextmanager
async def running(server: Server) -> AsyncGenerator[httpx.AsyncClient]:
    """Run it, and see to it that it ends, also where a test fails."""

    async def serve() -> None:
        await server.serve()
        server.ended.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve)
        await server.ready.wait()
        try:
            async with client(address(server)) as http:
                yield http
        finally:
            server.should_exit = server.force_exit = True


@asynccontextmanager
async def a_stream(http: httpx.AsyncClient) -> AsyncGenerator[httpx.Response]:
    async with http.stream("GET", "/reqscope/api/events/stream") as stream:
        yield stream


@asynccontextmanager
async def a_page(http: httpx.AsyncClient) -> AsyncGenerator[httpx.Response]:
    """What the panel's page holds open: the stream of its frames."""
    page = config_in(await http.get("/reqscope/"))
    load = next(each for each in page["dependencies"] if each["targets"][0][1] == "load")
    join = {"data": [], "fn_index": load["id"], "session_hash": "a-page"}
    (await http.post("/reqscope/gradio_api/queue/join", json=join)).raise_for_status()
    async with http.stream("GET", "/reqscope/gradio_api/queue/data", params={"session_hash": "a-page"}) as stream:
        yield stream


@pytest.mark.guarantees("F23")
@pytest.mark.parametrize(("held", "http"), [(a_stream, "h11"), (a_page, "httptools")])
async def test_a_server_that_has_answered_as_many_requests_as_it_may_ends(held: Any, http: Any) -> None:
    server = Server(configured(http=http, limit_max_requests=20))
    async with running(server) as browser, held(browser) as stream:
        lines = stream.aiter_lines()
        assert await anext(lines)
        while server.server_state.total_requests < 20:
            assert (await browser.get("/hello")).status_code == 200

        with anyio.fail_after(DEADLINE):
            rest = [line async for line in lines]
            await server.ended.wait()
        assert held is a_stream or any("bye" in line for line in rest)
        assert not server.should_exit


@pytest.mark.guarantees("F23")
def test_a_server_in_a_thread_ends_too() -> None:
    """There no signal comes, and nobody handles one: tests run servers so."""
    server = uvicorn.Server(configured())
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        anyio.run(until, lambda: server.started, "the server to start")
        with httpx.stream("GET", f"{address(server)}/reqscope/api/events/stream", timeout=DEADLINE) as stream:
            server.should_exit = True
            for _ in stream.iter_lines():
                """It is told, and ends."""
        thread.join(DEADLINE)
        assert not thread.is_alive()
    finally:
        server.should_exit = server.force_exit = True


async def test_afterwards_the_server_is_as_it_was() -> None:
    server = Server(configured())
    async with running(server):
        assert "shutdown" in vars(server)
        server.should_exit = True
        await server.ended.wait()
    assert server.shutdown.__func__ is uvicorn.Server.shutdown  # type: ignore[attr-defined]  # of a method
