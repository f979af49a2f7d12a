import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reqscope.bus import Event, EventBus
from reqscope.service import CaptureMiddleware, Redaction
from reqscope.service.capture import CaptureStatistics
from reqscope.service.faults import Faults

from .conftest import (
    DEADLINE,
    MASK,
    Site,
    client,
    from_list,
    nothing,
    published,
    read_all,
    scope_of,
    serving,
    swallow,
    until,
)

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module", params=["httptools", "h11"])
def parser(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("static")
    (folder / "page.txt").write_text("static")
    return folder


def fastapi_app(folder: Path) -> FastAPI:
    """An application with a route of every kind."""
    app, inner, sub = FastAPI(), APIRouter(prefix="/things"), FastAPI()

    @app.get("/items/{item}")
    async def item(item: int) -> int:
        return item

    @app.get("/files/{path:path}")
    async def file(path: str) -> str:
        return path

    @app.get("/threaded")
    def threaded() -> str:
        return "from a thread"

    @inner.get("/{thing}")
    async def thing(thing: str) -> str:
        return thing

    @sub.get("/parts/{part}")
    async def part(part: str) -> str:
        return part

    app.include_router(inner, prefix="/v1")
    app.mount("/sub", sub)
    app.mount("/tenants/{tenant}", sub)
    app.mount("/static", StaticFiles(directory=folder))
    app.mount("/starlette", starlette_app(folder))
    return app


def starlette_app(folder: Path) -> Starlette:
    async def page(request: Request) -> Response:
        return PlainTextResponse("page")

    return Starlette(
        routes=[
            Route("/pages/{page}", page),
            Mount("/deep", routes=[Mount("/er", routes=[Route("/pages/{page:int}", page)])]),
            Mount("/static", StaticFiles(directory=folder)),
            Mount("/raw", PlainTextResponse("raw")),
        ]
    )


FASTAPI_ROUTES = [
    ("/items/5", 200, "/items/{item}"),
    ("/items/five", 422, "/items/{item}"),
    ("/files/a/b/c", 200, "/files/{path:path}"),
    ("/threaded", 200, "/threaded"),
    ("/v1/things/5", 200, "/v1/things/{thing}"),
    ("/sub/parts/5", 200, "/sub/parts/{part}"),
    ("/tenants/7/parts/5", 200, "/tenants/{tenant}/parts/{part}"),
    ("/static/page.txt", 200, "/static/{path}"),
    ("/starlette/pages/5", 200, "/starlette/pages/{page}"),
    ("/starlette/deep/er/pages/5", 200, "/starlette/deep/er/pages/{page:int}"),
    ("/nowhere", 404, None),
    ("/sub/nowhere", 404, None),
    ("/items/5/", 307, None),
]

STARLETTE_ROUTES = [
    ("/pages/5", 200, "/pages/{page}"),
    ("/deep/er/pages/5", 200, "/deep/er/pages/{page:int}"),
    ("/static/page.txt", 200, "/static/{path}"),
    ("/raw/5", 200, "/raw/{path}"),
    ("/nowhere", 404, None),
]


class TestRoutes:
    @pytest.mark.parametrize(("path", "status", "route"), FASTAPI_ROUTES)
    @pytest.mark.parametrize("outside", [False, True], ids=["as middleware", "around the application"])
    async def test_the_route_of_a_fastapi_application_is_its_template_with_every_prefix(
        self, site: Site, bus: EventBus, folder: Path, outside: bool, path: str, status: int, route: str | None
    ) -> None:
        app = fastapi_app(folder)
        if not outside:
            app.add_middleware(CaptureMiddleware, bus=bus)
        async with site.client(CaptureMiddleware(app, bus) if outside else app) as client:
            answer = await client.get(path)
        (event,) = await published(bus)

        assert answer.status_code == status
        assert (event.path, event.status, event.route) == (path, status, route)

    @pytest.mark.parametrize(("path", "status", "route"), STARLETTE_ROUTES)
    async def test_the_route_of_a_starlette_application_is_its_template_with_every_prefix(
        self, site: Site, bus: EventBus, folder: Path, path: str, status: int, route: str | None
    ) -> None:
        async with site.client(CaptureMiddleware(starlette_app(folder), bus)) as client:
            answer = await client.get(path)
        (event,) = await published(bus)

        assert answer.status_code == status
        assert (event.path, event.status, event.route) == (path, status, route)

    async def test_a_route_that_does_not_take_the_method_is_the_route_all_the_same(
        self, site: Site, bus: EventBus, folder: Path
    ) -> None:
        async with site.client(CaptureMiddleware(fastapi_app(folder), bus)) as client:
            assert (await client.delete("/items/5")).status_code == 405
        (event,) = await published(bus)

        assert (event.method, event.status, event.route) == ("DELETE", 405, "/items/{item}")

    async def test_an_application_without_routes_has_none(self, site: Site, bus: EventBus) -> None:
        async with site.client(CaptureMiddleware(PlainTextResponse("hello"), bus)) as client:
            await client.get("/anything")

        assert (await published(bus))[0].route is None

    async def test_under_a_root_path_the_path_has_it_and_the_route_does_not(
        self, bus: EventBus, folder: Path, parser: str
    ) -> None:
        paths = ["/items/5", "/sub/parts/5", "/starlette/deep/er/pages/5", "/nowhere"]
        app = CaptureMiddleware(fastapi_app(folder), bus, ignore=["/threaded"])
        async with serving(app, root_path="/tools", http=parser) as url, client(url) as http:
            for path in [*paths, "/threaded"]:
                await http.get(path)
        events = await published(bus, len(paths))

        assert [event.path for event in events] == [f"/tools{path}" for path in paths]
        assert [event.route for event in events] == [
            "/items/{item}",
            "/sub/parts/{part}",
            "/starlette/deep/er/pages/{page:int}",
            None,
        ]
        assert app.statistics().ignored == 1


class TestWhatIsSeen:
    async def test_an_exchange_is_one_event_with_all_that_is_known(self, site: Site, bus: EventBus) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            body = await Request(scope, receive).body()
            await PlainTextResponse(body * 2, 201, {"x-tenant": "7"})(scope, receive, send)

        async with site.client(CaptureMiddleware(app, bus)) as client:
            answer = await client.put(
                "/caf%C3%A9/a%20b%ff?page=2&api_key=s3cret", content=b"12345", headers={"user-agent": "test/1"}
            )
        (event,) = await published(bus)

        assert (event.kind, event.seq, event.method, event.status) == ("request", 1, "PUT", 201)
        assert (event.path, event.query) == ("/café/a b\ufffd", b"page=2&api_key=" + MASK(b"s3cret"))
        assert (event.client, event.scheme, event.http_version) == ("127.0.0.1", "http", "1.1")
        assert (event.request_size, event.response_size) == (5, 10)
        assert (event.error, event.body) == (None, b"")
        assert dict(event.request_headers)[b"user-agent"] == b"test/1"
        assert dict(event.response_headers)[b"x-tenant"] == b"7"
        assert answer.text == "1234512345"

    async def test_secrets_are_masked_in_the_event_and_untouched_on_the_wire(self, site: Site, bus: EventBus) -> None:
        received: list[tuple[bytes, bytes]] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            received.extend(scope["headers"])
            headers = [(b"Set-Cookie", b"a=1"), (b"X-One", b"1"), (b"SET-COOKIE", b"b=2"), (b"X-One", b"2")]
            await send({"type": "http.response.start", "status": 204, "headers": headers})
            await send({"type": "http.response.body"})

        async with site.connection(CaptureMiddleware(app, bus)) as connection:
            await connection.send(
                b"GET / HTTP/1.1\r\nHost: x\r\nCOOKIE: one\r\nX-Two: 1\r\ncookie: two\r\nX-API-Key: three\r\n"
                b"x-two: 2\r\nX_Api_Key: four\r\nConnection: close\r\n\r\n"
            )
            answer = await read_all(connection)
        (event,) = await published(bus)

        assert received == [
            (b"host", b"x"),
            (b"cookie", b"one"),
            (b"x-two", b"1"),
            (b"cookie", b"two"),
            (b"x-api-key", b"three"),
            (b"x-two", b"2"),
            (b"x_api_key", b"four"),
            (b"connection", b"close"),
        ]
        masked = {b"cookie", b"x-api-key", b"x_api_key"}
        assert event.request_headers == tuple(
            (name, MASK(value) if name in masked else value) for name, value in received
        )
        assert event.response_headers == (
            (b"Set-Cookie", b"a=" + MASK(b"1")),
            (b"X-One", b"1"),
            (b"SET-COOKIE", b"b=" + MASK(b"2")),
            (b"X-One", b"2"),
        )
        assert b"a=1" in answer
        assert b"b=2" in answer

    async def test_what_to_mask_can_be_chosen(self, site: Site, bus: EventBus) -> None:
        app = CaptureMiddleware(PlainTextResponse("hello"), bus, redaction=Redaction(["x-tenant"]))
        async with site.client(app) as client:
            await client.get("/?token=shown", headers={"x-tenant": "7", "authorization": "shown"})
        (event,) = await published(bus)

        assert event.query == b"token=shown"
        assert dict(event.request_headers)[b"x-tenant"] == MASK(b"7")
        assert dict(event.request_headers)[b"authorization"] == b"shown"

    async def test_a_body_that_the_application_does_not_read_is_not_counted(self, site: Site, bus: EventBus) -> None:
        async with site.client(CaptureMiddleware(PlainTextResponse("hello"), bus)) as client:
            await client.post("/", content=b"x" * 100)

        assert (await published(bus))[0].request_size == 0

    async def test_a_large_upload_and_download_pass_byte_for_byte_and_are_counted_from_their_chunks(
        self, site: Site, bus: EventBus
    ) -> None:
        chunk, count = bytes(range(256)) * 256, 512  # 32 MiB each way
        hashes = [hashlib.sha256() for _ in range(3)]

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(count):
                hashes[0].update(chunk)
                yield chunk

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            async for piece in Request(scope, receive).stream():
                hashes[1].update(piece)
            await StreamingResponse(chunks())(scope, receive, send)

        async with (
            site.client(CaptureMiddleware(app, bus)) as client,
            client.stream("POST", "/", content=chunks()) as answer,
        ):
            async for piece in answer.aiter_raw():
                hashes[2].update(piece)
        (event,) = await published(bus)

        assert event.request_size == event.response_size == len(chunk) * count
        one_way = hashlib.sha256(chunk * count).digest()
        assert [each.digest() for each in hashes[1:]] == [one_way, one_way]

    async def test_each_of_many_requests_at_once_is_one_event(self, site: Site, bus: EventBus) -> None:
        arrived, gate = [0], anyio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            arrived[0] += 1
            await gate.wait()
            await PlainTextResponse(scope["path"])(scope, receive, send)

        capture = CaptureMiddleware(app, bus)
        async with site.client(capture) as client, anyio.create_task_group() as tasks:
            for number in range(60):
                tasks.start_soon(client.get, f"/{number}")
            await until(lambda: arrived[0] == 60, "every request to have arrived")
            assert capture.statistics() == CaptureStatistics(in_flight=60, ignored=0, faults=0)
            gate.set()
        events = await published(bus, 60)

        assert sorted(event.path for event in events) == sorted(f"/{number}" for number in range(60))
        await until(lambda: capture.statistics().in_flight == 0, "every request to have ended")

    @pytest.mark.guarantees("F34")
    async def test_requests_on_one_connection_are_an_event_each(self, site: Site, bus: EventBus) -> None:
        async with site.connection(CaptureMiddleware(PlainTextResponse("hello"), bus)) as connection:
            await connection.send(b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n")
            await connection.send(b"GET /3 HTTP/1.0\r\n\r\n")
            answers = await read_all(connection)
        events = await published(bus, 3)

        assert answers.count(b"hello") == 3
        assert [(event.path, event.http_version) for event in events] == [("/1", "1.1"), ("/2", "1.1"), ("/3", "1.0")]

    async def test_the_first_chunk_of_a_stream_of_events_passes_before_the_second_is_made(
        self, site: Site, bus: EventBus
    ) -> None:
        read = anyio.Event()

        async def messages() -> AsyncGenerator[str]:
            yield "data: 1\n\n"
            await read.wait()
            yield "data: 2\n\n"

        app = CaptureMiddleware(StreamingResponse(messages(), media_type="text/event-stream"), bus)
        async with site.client(app) as client, client.stream("GET", "/") as answer:
            chunks = answer.aiter_text()
            assert await anext(chunks) == "data: 1\n\n"
            assert bus.ring.last == 0
            read.set()
            assert await anext(chunks) == "data: 2\n\n"
        (event,) = await published(bus)

        assert event.response_size == 18
        assert event.ttfb is not None
        assert event.total is not None
        assert event.ttfb < event.total


class TestClocks:
    async def test_the_first_byte_comes_before_the_last_and_that_before_the_application_returns(
        self, site: Site, bus: EventBus
    ) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await anyio.sleep(0.02)
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
            await anyio.sleep(0.02)
            await send({"type": "http.response.body", "body": b"1", "more_body": True})
            await send({"type": "http.response.body", "body": b"2"})
            await anyio.sleep(0.02)

        async with site.client(CaptureMiddleware(app, bus)) as client:
            await client.get("/")
        (event,) = await published(bus)
        await until(lambda: event.app is not None, "the application to return")

        assert event.ttfb is not None
        assert event.total is not None
        assert event.app is not None
        assert event.ttfb >= 0.015
        assert event.ttfb + 0.015 <= event.total
        assert event.total + 0.015 <= event.app < DEADLINE

    @pytest.mark.guarantees("F32")
    async def test_an_event_is_on_the_bus_before_its_background_task_ends(self, site: Site, bus: EventBus) -> None:
        gate, ended = anyio.Event(), anyio.Event()

        async def task() -> None:
            await gate.wait()
            ended.set()

        app = CaptureMiddleware(PlainTextResponse("hello", background=BackgroundTask(task)), bus)
        async with site.client(app) as client:
            await client.get("/")
            (event,) = await published(bus)
            assert (event.status, event.app, ended.is_set()) == (200, None, False)
            assert app.statistics().in_flight == 1
            gate.set()
            await until(lambda: event.app is not None, "the clock to be filled in")

        assert ended.is_set()
        assert event.app is not None
        assert event.total is not None
        assert event.app > event.total

    @pytest.mark.guarantees("F32")
    async def test_an_error_in_a_background_task_is_told_though_the_answer_was_sent(
        self, site: Site, bus: EventBus
    ) -> None:
        async def task() -> None:
            raise LookupError

        app = CaptureMiddleware(PlainTextResponse("hello", background=BackgroundTask(task)), bus)
        async with site.client(app) as client:
            assert (await client.get("/")).text == "hello"
        (event,) = await published(bus)
        await until(lambda: event.error is not None, "the error to be filled in")

        assert (event.status, event.error, bus.ring.last) == (200, "LookupError", 1)


class Witness:
    """Stands around the capture and remembers the exception that comes out."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.seen: BaseException | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.app(scope, receive, send)
        except BaseException as error:
            self.seen = error
            raise


class TestFailures:
    @pytest.mark.guarantees("F31")
    async def test_an_exception_passes_as_it_is_and_its_event_says_500_and_which(
        self, site: Site, bus: EventBus
    ) -> None:
        class Unlucky(Exception):
            pass

        error = Unlucky("on purpose")

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            raise error

        witness = Witness(CaptureMiddleware(app, bus))
        async with site.client(witness) as client:
            answer = await client.get("/")
        (event,) = await published(bus)

        assert witness.seen is error
        assert (error.__cause__, error.__context__) == (None, None)
        assert answer.status_code == event.status == 500
        assert event.error is not None
        assert event.error.endswith("Unlucky")
        assert event.ttfb is None
        assert event.app is not None

    async def test_an_exception_that_the_framework_answers_is_its_answer_and_the_exception(
        self, site: Site, bus: EventBus
    ) -> None:
        app = FastAPI()

        @app.get("/")
        async def fails() -> None:
            raise ZeroDivisionError("on purpose")

        async with site.client(CaptureMiddleware(app, bus)) as client:
            answer = await client.get("/")
        (event,) = await published(bus)
        await until(lambda: event.error is not None, "the error to be filled in")

        assert (answer.status_code, answer.text) == (500, "Internal Server Error")
        assert (event.status, event.error, event.route) == (500, "ZeroDivisionError", "/")

    @pytest.mark.guarantees("F31")
    async def test_an_error_after_the_response_began_keeps_the_status_that_was_sent(
        self, site: Site, bus: EventBus
    ) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 206, "headers": [(b"x-tenant", b"7")]})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
            raise RuntimeError("on purpose")

        async with site.client(CaptureMiddleware(app, bus)) as client:
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get("/")
        (event,) = await published(bus)

        assert (event.status, event.error, event.response_size) == (206, "RuntimeError", 4)
        assert event.response_headers == ((b"x-tenant", b"7"),)
        assert event.ttfb is not None

    @pytest.mark.guarantees("F31")
    async def test_an_application_that_returns_without_an_answer_is_one_that_failed(
        self, site: Site, bus: EventBus
    ) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            pass

        async with site.client(CaptureMiddleware(app, bus)) as client:
            answer = await client.get("/")
        (event,) = await published(bus)

        assert (answer.status_code, event.status) == (500, 500)

    @pytest.mark.guarantees("F29")
    async def test_a_client_that_goes_during_a_download_is_recorded_as_such(self, site: Site, bus: EventBus) -> None:
        async def endless() -> AsyncGenerator[bytes]:
            while True:
                yield bytes(1_000)
                await anyio.sleep(0.001)

        app = CaptureMiddleware(StreamingResponse(endless()), bus)
        async with site.client(app) as client, client.stream("GET", "/") as answer:
            await anext(answer.aiter_raw())
        (event,) = await published(bus)

        assert (event.status, event.error) == (499, "client_disconnected")
        assert event.response_size >= 1_000

    @pytest.mark.guarantees("F29")
    async def test_a_client_that_goes_during_an_upload_is_recorded_as_such(self, site: Site, bus: EventBus) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await Request(scope, receive).body()

        witness = Witness(CaptureMiddleware(app, bus))
        async with site.connection(witness) as connection:
            await connection.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf")
            await until(lambda: capture_of(witness).statistics().in_flight == 1, "the request to arrive")
        (event,) = await published(bus)

        assert (event.status, event.error, event.request_size) == (499, "client_disconnected", 4)
        assert isinstance(witness.seen, ClientDisconnect)

    @pytest.mark.guarantees("F29")
    async def test_a_client_that_goes_while_it_waits_is_recorded_as_such(self, site: Site, bus: EventBus) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        capture = CaptureMiddleware(app, bus)
        async with site.connection(capture) as connection:
            await connection.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await until(lambda: capture.statistics().in_flight == 1, "the request to arrive")
        (event,) = await published(bus)

        assert (event.status, event.error) == (499, "client_disconnected")

    @pytest.mark.guarantees("F29")
    async def test_a_client_that_goes_after_the_answer_is_none_that_went_away(self, site: Site, bus: EventBus) -> None:
        gone = anyio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await PlainTextResponse("hello")(scope, receive, send)
            assert (await receive())["type"] == "http.disconnect"
            gone.set()

        async with site.client(CaptureMiddleware(app, bus)) as client:
            await client.get("/")
            with anyio.fail_after(DEADLINE):
                await gone.wait()
        (event,) = await published(bus)
        await until(lambda: event.app is not None, "the application to return")

        assert (event.status, event.error) == (200, None)

    @pytest.mark.guarantees("F30")
    async def test_a_request_that_is_cancelled_is_recorded_and_stays_cancelled(self, bus: EventBus) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await anyio.sleep_forever()

        capture = CaptureMiddleware(app, bus)
        task = asyncio.ensure_future(capture(scope_of(), nothing, swallow))
        await until(lambda: capture.statistics().in_flight == 1, "the request to begin")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        (event,) = await published(bus)

        assert (event.status, event.error) == (0, "CancelledError")
        assert capture.statistics() == CaptureStatistics(in_flight=0, ignored=0, faults=0)


def capture_of(witness: Witness) -> CaptureMiddleware:
    assert isinstance(witness.app, CaptureMiddleware)
    return witness.app


class TestIgnoring:
    @pytest.mark.guarantees("79")
    @pytest.mark.parametrize(
        ("path", "ignored"),
        [
            ("/health", True),
            ("/health/", True),
            ("/health/live", True),
            ("/healthy", False),
            ("/a/health", False),
            ("/", False),
            ("/internal/panel/x", True),
            ("/internal", False),
            ("/Health", False),
        ],
    )
    async def test_what_is_under_an_ignored_prefix_is_passed_on_and_counted(
        self, site: Site, bus: EventBus, path: str, ignored: bool
    ) -> None:
        app = CaptureMiddleware(PlainTextResponse("hello"), bus, ignore=["/health", "/internal/panel/"])
        async with site.client(app) as client:
            assert (await client.get(path)).text == "hello"

        assert bus.ring.last == (not ignored)
        assert app.statistics() == CaptureStatistics(in_flight=0, ignored=ignored, faults=0)

    @pytest.mark.parametrize(
        ("root", "path", "ignored"),
        [
            ("/tools", "/tools/panel/x", True),
            ("/tools", "/panel/x", True),
            ("/tools", "/toolspanel", False),
            ("/panel", "/panel/x", False),
            ("/pa", "/panel/x", True),
            ("/tools/", "/tools//panel/x", True),
        ],
    )
    async def test_a_prefix_counts_below_the_root_path_whether_or_not_a_proxy_took_that_off(
        self, bus: EventBus, root: str, path: str, ignored: bool
    ) -> None:
        app = CaptureMiddleware(PlainTextResponse("hello"), bus, ignore=["/panel"])

        await app(scope_of(path=path, root_path=root), nothing, swallow)

        assert app.statistics().ignored == ignored


class TestPassingThrough:
    @pytest.mark.parametrize("kind", ["lifespan", "something new"])
    async def test_what_is_no_request_is_handed_on_as_the_very_same_objects(self, bus: EventBus, kind: str) -> None:
        seen: list[object] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            seen.extend((scope, receive, send))

        scope = {"type": kind}
        await CaptureMiddleware(app, bus)(scope, nothing, swallow)

        assert [id(each) for each in seen] == [id(scope), id(nothing), id(swallow)]
        assert bus.ring.last == 0

    @pytest.mark.guarantees("F25")
    async def test_a_lifespan_and_its_state_pass_the_capture(self, bus: EventBus, parser: str) -> None:
        steps: list[str] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                steps.append((await receive())["type"])
                scope["state"]["greeting"] = "hello"
                await send({"type": "lifespan.startup.complete"})
                steps.append((await receive())["type"])
                await send({"type": "lifespan.shutdown.complete"})
            else:
                await PlainTextResponse(scope["state"]["greeting"])(scope, receive, send)

        async with serving(CaptureMiddleware(app, bus), lifespan="on", http=parser) as url, client(url) as http:
            assert (await http.get("/")).text == "hello"

        assert steps == ["lifespan.startup", "lifespan.shutdown"]

    @pytest.mark.guarantees("F33")
    async def test_every_message_passes_as_the_very_same_object_in_order(self, bus: EventBus) -> None:
        incoming: list[Message] = [
            {"type": "http.request", "body": b"12", "more_body": True},
            {"type": "http.request"},
            {"type": "http.disconnect"},
        ]
        outgoing: list[Message] = [
            {"type": "http.response.debug", "info": {}},
            {"type": "http.response.early_hint", "links": []},
            {"type": "http.response.start", "status": 200, "headers": [], "trailers": True},
            {"type": "http.response.body", "body": b"1", "more_body": True},
            {"type": "http.response.body", "body": b"2"},
            {"type": "http.response.trailers", "headers": []},
            {"type": "something new"},
        ]
        received, sent = list[Message](), list[Message]()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            received.extend([await receive() for _ in incoming[:2]])
            for message in outgoing:
                await send(message)
            received.append(await receive())

        async def send(message: Message) -> None:
            sent.append(message)

        capture = CaptureMiddleware(app, bus)
        await capture(scope_of(), from_list(incoming), send)

        assert [id(message) for message in received] == [id(message) for message in incoming]
        assert [id(message) for message in sent] == [id(message) for message in outgoing]
        (event,) = await published(bus)
        assert (event.request_size, event.response_size, event.status, event.error) == (2, 2, 200, None)
        assert capture.statistics().faults == 0

    @pytest.mark.guarantees("F33")
    async def test_a_file_that_the_server_sends_by_itself_is_an_event_too(self, bus: EventBus) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.pathsend", "path": "/x"})
            assert bus.ring.last == 1

        await CaptureMiddleware(app, bus)(scope_of(), nothing, swallow)

        (event,) = await published(bus)
        assert (event.status, event.response_headers) == (200, ())

    async def test_a_server_that_makes_the_application_wait_still_does(self, bus: EventBus) -> None:
        drained, sent = anyio.Event(), list[str]()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200})
            sent.append("start")

        async def send(message: Message) -> None:
            await drained.wait()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(CaptureMiddleware(app, bus), scope_of(), nothing, send)
            await anyio.wait_all_tasks_blocked()
            assert sent == []
            drained.set()

        assert sent == ["start"]

    async def test_what_the_server_raises_reaches_the_application(self, bus: EventBus) -> None:
        caught: list[str] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            for call in (receive, lambda: send({"type": "http.response.start", "status": 200})):
                try:
                    await call()
                except OSError as error:
                    caught.append(str(error))

        async def fail(*_: object) -> Any:
            raise OSError("gone")

        capture = CaptureMiddleware(app, bus)
        await capture(scope_of(), fail, fail)

        assert caught == ["gone", "gone"]
        assert capture.statistics().faults == 0

    async def test_a_context_variable_that_the_application_sets_is_seen_around_the_capture(self, bus: EventBus) -> None:
        variable = ContextVar("variable", default="outside")

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            assert variable.get() == "server"
            variable.set("application")

        variable.set("server")
        await CaptureMiddleware(app, bus)(scope_of(), nothing, swallow)

        assert variable.get() == "application"

    async def test_a_peer_without_an_address_has_none(self, bus: EventBus) -> None:
        for scope in (scope_of(client=None), scope_of()):
            await CaptureMiddleware(PlainTextResponse("hello"), bus)(scope, nothing, swallow)

        assert [event.client for event in await published(bus, 2)] == ["", ""]


class Broken(EventBus):
    broken = True

    def publish(self, event: Event) -> int:
        if self.broken:
            raise RuntimeError("the bus broke")
        return super().publish(event)


def own(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what Reqscope itself has logged."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("reqscope")]


@pytest.mark.interpreted
class TestFaults:
    async def test_a_fault_of_our_own_is_counted_and_does_not_reach_the_application(
        self, site: Site, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def chunks() -> AsyncGenerator[bytes]:
            yield b"hel"
            yield b"lo"

        witness = Witness(StreamingResponse(chunks(), 201, {"x-tenant": "7"}))
        capture = CaptureMiddleware(witness, Broken())
        async with site.client(capture) as client:
            answer = await client.post("/", content=b"body")
            await until(lambda: capture.statistics().in_flight == 0, "the application to return")

        assert (answer.status_code, answer.text, answer.headers["x-tenant"]) == (201, "hello", "7")
        assert witness.seen is None
        statistics = capture.statistics()
        assert (statistics.faults, statistics.kinds) == (1, {"send: RuntimeError": 1})
        assert statistics.last == "send: RuntimeError: the bus broke"
        (warning,) = own(caplog)
        assert "the application is not affected" in warning

    async def test_a_fault_leaves_the_applications_own_exception_as_it_was(self, site: Site) -> None:
        error = ZeroDivisionError("on purpose")

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            raise error

        capture = CaptureMiddleware(app, Broken())
        witness = Witness(capture)
        async with site.client(witness) as client:
            assert (await client.get("/")).status_code == 500

        assert witness.seen is error
        assert capture.statistics().faults == 1

    @pytest.mark.parametrize("headers", [[(b"x",)], [None], 5, [(1, 2)], [("x-tenant", "7")]], ids=repr)
    async def test_headers_that_are_none_are_the_servers_to_judge(self, bus: EventBus, headers: object) -> None:
        sent: list[Message] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body"})

        async def send(message: Message) -> None:
            sent.append(message)

        capture = CaptureMiddleware(app, bus)
        await capture(scope_of(), nothing, send)

        assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
        assert sent[0]["headers"] is headers
        bus.ring.since(0)  # it is when an event is opened that its headers are looked at
        assert capture.statistics().faults >= 1
        assert capture.statistics().in_flight == 0

    @pytest.mark.guarantees("F31")
    async def test_messages_that_are_none_are_the_servers_to_judge(self, bus: EventBus) -> None:
        messages: list[Message] = [{}, {"type": "http.response.body", "body": 5}, {"type": "http.response.start"}]
        sent: list[Message] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            for _ in range(2):
                assert await receive() in ({}, {"type": "http.request", "body": None})
            for message in messages:
                await send(message)

        async def send(message: Message) -> None:
            sent.append(message)

        capture = CaptureMiddleware(app, bus)
        await capture(scope_of(), from_list([{}, {"type": "http.request", "body": None}]), send)

        assert sent == messages
        assert capture.statistics().faults == 5

    async def test_after_ten_faults_capture_is_off_for_half_a_minute_and_then_on_trial(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        now, answered, bus = [0.0], [0], Broken()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            answered[0] += 1
            await PlainTextResponse("hello")(scope, receive, send)

        capture = CaptureMiddleware(app, bus, faults=Faults(lambda: now[0]))
        for _ in range(1_000):
            await capture(scope_of(), nothing, swallow)

        statistics = capture.statistics()
        assert (statistics.faults, statistics.skipped, statistics.capturing) == (10, 990, False)
        told, off = own(caplog)
        assert "the bus broke" in told
        assert "capture is off for 30 seconds" in off

        now[0] = 30.0
        for _ in range(5):
            await capture(scope_of(), nothing, swallow)
        statistics = capture.statistics()
        assert (statistics.faults, statistics.skipped, statistics.capturing) == (11, 994, False)

        now[0], bus.broken = 60.0, False
        for _ in range(5):
            await capture(scope_of(), nothing, swallow)
        statistics = capture.statistics()
        assert (statistics.faults, statistics.skipped, statistics.capturing) == (11, 994, True)
        assert bus.ring.last == 5
        assert answered == [1_010]

    @pytest.mark.guarantees("F7")
    async def test_a_closed_bus_is_no_fault(self, site: Site, bus: EventBus, caplog: pytest.LogCaptureFixture) -> None:
        bus.close()
        capture = CaptureMiddleware(PlainTextResponse("hello"), bus)
        async with site.client(capture) as client:
            assert (await client.get("/")).text == "hello"

        assert (capture.statistics().faults, own(caplog), bus.statistics().refused) == (0, [], 1)
