import json
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any

import anyio
import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from reqscope.service.inprocess import InProcess

from .conftest import DEADLINE

pytestmark = pytest.mark.anyio

secret: ContextVar[str] = ContextVar("secret", default="none")


def shop() -> FastAPI:
    app = FastAPI()

    @app.api_route("/seen/{rest:path}", methods=["GET", "POST"])
    async def seen(request: Request) -> dict[str, Any]:
        scope = request.scope
        return {
            **{name: scope[name] for name in ("method", "path", "scheme", "root_path", "client", "server")},
            "raw_path": scope["raw_path"].decode(),
            "query": scope["query_string"].decode(),
            "headers": [[name.decode(), value.decode()] for name, value in scope["headers"]],
            "body": (await request.body()).decode(),
            "state": getattr(request.state, "greeting", None),
            "context": secret.get(),
        }

    @app.get("/raises")
    async def raises() -> None:
        raise LookupError("on purpose")

    return app


def client(transport: InProcess) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


async def test_an_application_finds_what_a_server_would_give_it() -> None:
    inside = InProcess(shop())
    token = secret.set("the lifespan's")
    async with inside.running({"greeting": "hello"}):
        secret.set("the caller's")
        async with client(inside) as http:
            more = {"root_path": "/r", "client": ("10.0.0.9", 5), "server": ("10.0.0.1", 443), "scheme": "https"}
            extensions = {"target": b"/r/seen/a%20b?x=%2f", "scope": more}
            answer = await http.post("/", content="body", headers={"X-A": "1"}, extensions=extensions)

    secret.reset(token)
    seen = answer.json()
    assert (seen["method"], seen["path"], seen["raw_path"]) == ("POST", "/r/seen/a b", "/r/seen/a%20b")
    assert (seen["query"], seen["body"], seen["state"]) == ("x=%2f", "body", "hello")
    assert (seen["root_path"], seen["client"], seen["server"], seen["scheme"]) == (
        *("/r", ["10.0.0.9", 5], ["10.0.0.1", 443]),
        "https",
    )
    assert {"x-a", "host", "content-length"} <= {name for name, _ in seen["headers"]}
    assert seen["context"] == "the lifespan's"


async def test_requests_at_once_each_get_their_own_answer_and_their_own_copy_of_the_state() -> None:
    inside = InProcess(shop())
    answers: list[str] = []

    async def ask(name: str) -> None:
        answers.append((await http.get(f"/seen/{name}")).json()["path"])

    async with inside.running(None), client(inside) as http, anyio.create_task_group() as tasks:
        for number in range(40):
            tasks.start_soon(ask, str(number))

    assert sorted(answers) == sorted(f"/seen/{number}" for number in range(40))


async def test_one_that_raises_is_answered_for_with_a_500() -> None:
    async def raises(scope: Scope, receive: Receive, send: Send) -> None:
        raise LookupError("on purpose")

    for app in (shop(), raises):
        inside = InProcess(app)
        async with inside.running(None), client(inside) as http:
            assert (await http.get("/raises")).status_code == 500


async def test_a_response_comes_in_pieces_and_the_application_waits_for_whoever_reads_it() -> None:
    sent: list[int] = []

    async def pieces() -> AsyncIterator[bytes]:
        for number in range(100):
            sent.append(number)
            yield b"%d;" % number

    inside = InProcess(StreamingResponse(pieces()))
    async with inside.running(None), client(inside) as http, http.stream("GET", "/") as answer:
        stream = answer.aiter_raw()
        assert await anext(stream) == b"0;"
        assert len(sent) < 10
        assert b"".join([piece async for piece in stream]).endswith(b";99;")


async def test_who_goes_away_is_gone_and_the_application_ends_by_itself() -> None:
    told, ended = anyio.Event(), anyio.Event()

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "http.request"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        assert (await receive())["type"] == "http.disconnect"
        told.set()
        await send({"type": "http.response.body", "body": b"y"})
        ended.set()

    inside = InProcess(endless)
    async with inside.running(None), client(inside) as http:
        async with http.stream("GET", "/") as answer:
            assert answer.status_code == 200
        with anyio.fail_after(DEADLINE):
            await told.wait()
            await ended.wait()


async def test_who_is_cancelled_while_waiting_is_gone_too() -> None:
    told = anyio.Event()

    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        told.set()

    inside = InProcess(silent)
    async with inside.running(None), client(inside) as http:
        with anyio.move_on_after(0.01):
            await http.get("/")
        with anyio.fail_after(DEADLINE):
            await told.wait()


async def test_before_the_start_and_after_the_end_it_cannot_be_reached() -> None:
    inside = InProcess(Response("x"))
    async with client(inside) as http:
        with pytest.raises(httpx.ConnectError):
            await http.get("/")
        async with inside.running(None):
            assert (await http.get("/")).text == "x"
        with pytest.raises(httpx.ConnectError):
            await http.get("/")


async def test_the_end_does_not_wait_for_an_application_that_does() -> None:
    begun = anyio.Event()

    async def waits(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        await anyio.sleep_forever()

    inside = InProcess(waits)
    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as tasks, client(inside) as http:
            async with inside.running(None):
                tasks.start_soon(http.get, "/")
                await begun.wait()
            tasks.cancel_scope.cancel()


async def test_what_a_client_reads_is_json_as_ever() -> None:
    inside = InProcess(Response(json.dumps({"a": 1}), media_type="application/json"))
    async with inside.running(None), client(inside) as http:
        assert (await http.get("/")).json() == {"a": 1}
