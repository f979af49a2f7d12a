import gzip
import time
from collections.abc import AsyncGenerator, Callable
from functools import partial

import anyio
import anyio.lowlevel
import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import get_contextvars

from reqscope.bus import Event, EventBus, Failure, Running
from reqscope.service import CaptureMiddleware, Settings
from reqscope.service.faults import Faults
from reqscope.service.loglines import watching_logs
from reqscope.service.pipeline import Pipeline
from reqscope.service.sampling import Sampling

from .conftest import DEADLINE, MASK, Site, client, nothing, published, read_all, scope_of, serving, swallow, until

pytestmark = pytest.mark.anyio

Wrap = Callable[[ASGIApp], ASGIApp]


def copying(app: ASGIApp) -> ASGIApp:
    """Middleware that hands on a scope of its own."""

    async def copied(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "state": {}}, receive, send)

    return copied


class Relaying(BaseHTTPMiddleware):
    """Middleware that runs the application in another task."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        assert "host" in request.headers
        return await call_next(request)


def between() -> list[tuple[str, Wrap]]:
    """What may stand between two captures."""
    return [
        ("nothing", lambda app: app),
        ("a copied scope", copying),
        ("CORS", lambda app: CORSMiddleware(app, allow_origins=["*"])),
        ("CORS and a copied scope", lambda app: CORSMiddleware(copying(app), allow_origins=["*"])),
        ("gzip", lambda app: GZipMiddleware(app)),
        ("BaseHTTPMiddleware", lambda app: Relaying(app)),
        ("an application", lambda app: Starlette(routes=[Mount("/", app)])),
        ("a mount", lambda app: FastAPI(routes=[Mount("/sub", app)])),
    ]


class TestTwoOfThem:
    @pytest.mark.guarantees("F39")
    @pytest.mark.parametrize("wrap", [pytest.param(wrap, id=name) for name, wrap in between()])
    async def test_a_request_through_two_captures_with_one_bus_is_one_event(
        self, site: Site, bus: EventBus, wrap: Wrap
    ) -> None:
        async def page(request: Request) -> Response:
            return PlainTextResponse(await request.body())

        app = Starlette(routes=[Route("/{page:path}", page, methods=["POST"])])
        inner = CaptureMiddleware(app, bus)
        async with site.client(CaptureMiddleware(wrap(inner), bus)) as http:
            answer = await http.post("/sub/x", content=b"hello")
        (event,) = await published(bus)

        assert answer.text == "hello"
        assert (event.status, event.request_size, event.response_size) == (200, 5, 5)
        assert inner.statistics().faults == 0
        await until(lambda: len(bus.in_flight) == 0, "the request to have ended")

    async def test_so_is_one_whose_headers_were_read_from_a_copy_of_its_scope(self, site: Site, bus: EventBus) -> None:
        def wrap(app: ASGIApp) -> ASGIApp:
            return copying(CORSMiddleware(app, allow_origins=["*"]))

        async with site.client(CaptureMiddleware(wrap(CaptureMiddleware(PlainTextResponse("x"), bus)), bus)) as http:
            await http.get("/", headers={"origin": "http://example.org"})

        assert len(await published(bus)) == 1

    async def test_a_websocket_is_one_too(self, bus: EventBus) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "websocket.accept"})

        await CaptureMiddleware(copying(CaptureMiddleware(app, bus)), bus)(scope_of(type="websocket"), nothing, swallow)

        assert len(await published(bus)) == 1

    async def test_with_a_bus_each_both_see_it_and_neither_sees_it_twice(self, bus: EventBus) -> None:
        other = EventBus()
        app: ASGIApp = PlainTextResponse("hello")
        for each in (bus, other, bus, other):
            app = CaptureMiddleware(app, each)
        await app(scope_of(path="/x"), nothing, swallow)

        assert [event.path for each in (bus, other) for event in each.ring.since(0).events] == ["/x", "/x"]

    @pytest.mark.guarantees("F39")
    async def test_a_request_that_a_handler_makes_of_the_same_application_is_an_event_of_its_own(
        self, site: Site, bus: EventBus
    ) -> None:
        app = FastAPI()
        capture = CaptureMiddleware(app, bus)

        @app.get("/outer")
        async def outer() -> str:
            transport = httpx.ASGITransport(capture)
            async with httpx.AsyncClient(transport=transport, base_url="http://inner") as http:
                return f"outer and {(await http.get('/inner')).json()}"

        @app.get("/inner")
        async def inner() -> str:
            return "inner"

        async with site.client(capture) as http:
            assert (await http.get("/outer")).json() == "outer and inner"
        events = await published(bus, 2)

        assert [event.path for event in events] == ["/inner", "/outer"]
        assert events[0].request_id != events[1].request_id

    async def test_what_was_logged_and_is_bound_after_such_a_request_is_the_outer_ones_again(
        self, bus: EventBus
    ) -> None:
        import logging

        bound: list[object] = []
        shop = logging.getLogger("shop")

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["path"] == "/outer":
                await capture(scope_of(path="/inner"), nothing, swallow)
            bound.append(get_contextvars()["request_id"])
            shop.warning(scope["path"])
            await PlainTextResponse("x")(scope, receive, send)

        capture = CaptureMiddleware(app, bus)
        with watching_logs():
            await capture(scope_of(path="/outer"), nothing, swallow)
        inner, outer = bus.ring.since(0).events

        assert bound == [inner.request_id, outer.request_id]
        assert [[line.message for line in event.logs] for event in (inner, outer)] == [["/inner"], ["/outer"]]

    async def test_several_applications_in_one_process_each_see_their_own(self, anyio_backend: object) -> None:
        pipelines = [Pipeline(Settings(log="none")) for _ in range(3)]
        async with (
            serving(pipelines[0].capture(PlainTextResponse("0"))) as first,
            serving(pipelines[1].capture(PlainTextResponse("1"))) as second,
            serving(pipelines[2].capture(PlainTextResponse("2"))) as third,
            anyio.create_task_group() as tasks,
        ):

            async def ask(number: int, url: str) -> None:
                async with client(url) as http:
                    for count in range(10):
                        await http.get(f"/{number}/{count}")

            for number, url in enumerate((first, second, third)):
                tasks.start_soon(ask, number, url)

        for number, pipeline in enumerate(pipelines):
            assert [event.path for event in pipeline.bus.ring.since(0).events] == [f"/{number}/{n}" for n in range(10)]


class TestOneConnection:
    """Requests that a client sends ahead begin in the context of the one before."""

    @pytest.mark.guarantees("F34")
    async def test_a_long_row_of_requests_sent_ahead_is_seen_whole(self, bus: EventBus, parser: str) -> None:
        count, answers = 1_500, b""
        capture = CaptureMiddleware(PlainTextResponse("hello"), EventBus(capacity=2 * count))
        async with serving(capture, http=parser) as url:
            port = int(url.rpartition(":")[2])
            async with await anyio.connect_tcp("127.0.0.1", port) as connection, anyio.create_task_group() as tasks:
                requests = b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(count))
                tasks.start_soon(connection.send, requests + b"GET /last HTTP/1.0\r\n\r\n")
                answers = await read_all(connection)
        statistics = capture.statistics()

        assert answers.count(b"hello") == count + 1
        assert (statistics.faults, statistics.skipped, capture.bus.ring.last) == (0, 0, count + 1)

    async def test_what_the_first_was_bound_to_the_second_is_not(self, site: Site, bus: EventBus) -> None:
        bound: list[dict[str, object]] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            bound.append(get_contextvars())
            await PlainTextResponse("x")(scope, receive, send)

        async with site.connection(CaptureMiddleware(app, bus)) as connection:
            await connection.send(
                b"GET /1 HTTP/1.1\r\nHost: x\r\nx-request-id: one\r\n"
                b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n"
                b"GET /2 HTTP/1.0\r\nHost: x\r\nx-request-id: two\r\n\r\n"
            )
            await read_all(connection)

        assert [each["request_id"] for each in bound] == ["one", "two"]
        assert [each.get("trace_id", "") != "" for each in bound] == [True, False]


class TestInFlight:
    async def test_requests_are_told_oldest_first_while_they_run_with_what_is_known(
        self, site: Site, bus: EventBus
    ) -> None:
        gate, running = anyio.Event(), list[Running]()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await Request(scope, receive).body()
            await send({"type": "http.response.start", "status": 201})
            await send({"type": "http.response.body", "body": b"abc", "more_body": True})
            await gate.wait()
            await send({"type": "http.response.body", "body": b""})

        async with site.client(CaptureMiddleware(app, bus)) as http, anyio.create_task_group() as tasks:
            for number in range(3):
                ask = partial(http.post, content=b"12345", headers={"x-request-id": f"abc-{number}"})
                tasks.start_soon(ask, f"/{number}?token=s3cret")
                await until(
                    lambda: [running.response_size for running in bus.in_flight.oldest(9)] == [3] * (number + 1),  # noqa: B023
                    "the request to be answered in part",
                )
            running += bus.in_flight.oldest(9)
            gate.set()

        assert [each.path for each in running] == ["/0", "/1", "/2"]
        assert [each.request_id for each in running] == ["abc-0", "abc-1", "abc-2"]
        assert len({each.id for each in running}) == 3
        assert {each.query for each in running} == {"token=" + MASK(b"s3cret").decode()}
        assert {(each.kind, each.method, each.client, each.status) for each in running} == {
            ("request", "POST", "127.0.0.1", 201)
        }
        assert {(each.request_size, each.response_size) for each in running} == {(5, 3)}
        assert running[0].age >= running[1].age >= running[2].age >= 0
        assert running[0].time <= running[1].time <= running[2].time
        await until(lambda: len(bus.in_flight) == 0, "every request to have ended")

    @pytest.mark.parametrize("end", ["answers", "raises", "says nothing", "is cancelled", "fails afterwards"])
    async def test_whatever_the_end_it_is_gone_then(self, bus: EventBus, end: str) -> None:
        async def task() -> None:
            assert len(bus.in_flight) == 1
            raise LookupError

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            assert len(bus.in_flight) == 1
            match end:
                case "answers":
                    await PlainTextResponse("x")(scope, receive, send)
                case "raises":
                    raise LookupError
                case "is cancelled":
                    scope_.cancel()
                    await anyio.sleep_forever()
                case "fails afterwards":
                    await PlainTextResponse("x", background=BackgroundTask(task))(scope, receive, send)
                case _:
                    pass

        with anyio.CancelScope() as scope_:
            try:
                await CaptureMiddleware(app, bus)(scope_of(), nothing, swallow)
            except LookupError:
                assert end in ("raises", "fails afterwards")

        assert (len(bus.in_flight), bus.in_flight.oldest(9)) == (0, [])
        assert scope_.cancelled_caught == (end == "is cancelled")

    async def test_a_reader_is_woken_when_one_begins_and_when_it_ends(self, bus: EventBus) -> None:
        counts, gate = list[int](), anyio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await gate.wait()

        async def watch() -> None:
            while counts != [1, 0]:
                await bus.in_flight.wait_change()
                counts.append(len(bus.in_flight))

        with anyio.fail_after(DEADLINE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(watch)
                await anyio.wait_all_tasks_blocked()
                tasks.start_soon(CaptureMiddleware(app, bus), scope_of(), nothing, swallow)
                await until(lambda: counts == [1], "the reader to hear of it")
                gate.set()

        assert counts == [1, 0]


class TestClientsThatGo:
    @pytest.mark.guarantees("F29")
    async def test_one_that_the_application_does_not_notice_is_recorded_as_such(self, bus: EventBus) -> None:
        noticed = anyio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            # Without `receive`: nobody tells the application, and `send` does not raise.
            server = send.__self__.server_send.__self__  # type: ignore[attr-defined]
            await until(lambda: server.disconnected, "the server to notice")
            noticed.set()
            await PlainTextResponse("too late")(scope, receive, send)

        capture = CaptureMiddleware(app, bus)
        async with serving(capture) as url:
            port = int(url.rpartition(":")[2])
            async with await anyio.connect_tcp("127.0.0.1", port) as connection:
                await connection.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                await until(lambda: capture.statistics().in_flight == 1, "the request to arrive")
            (event,) = await published(bus)

        assert noticed.is_set()
        assert (event.status, event.error) == (499, "client_disconnected")

    @pytest.mark.guarantees("F29")
    async def test_an_exception_after_the_client_has_gone_is_grouped_as_what_it_is(self, bus: EventBus) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            raise ZeroDivisionError

        async def gone() -> Message:
            return {"type": "http.disconnect"}

        with pytest.raises(ZeroDivisionError):
            await CaptureMiddleware(app, bus)(scope_of(), gone, swallow)

        assert [group.type for group in bus.failures.latest()] == ["ZeroDivisionError"]


class TestBounds:
    async def test_log_lines_count_against_the_bound_of_the_ring(self, bus: EventBus) -> None:
        import logging

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            for _ in range(100):
                logging.getLogger("shop").warning("x" * 8_000)
            await PlainTextResponse("x")(scope, receive, send)

        with watching_logs():
            await CaptureMiddleware(app, bus)(scope_of(), nothing, swallow)

        assert bus.statistics().ring.held_bytes > 800_000


class TestSampled:
    @pytest.mark.guarantees("F32")
    async def test_a_background_task_that_fails_is_grouped_though_its_request_was_thinned_out(
        self, bus: EventBus
    ) -> None:
        async def task() -> None:
            raise LookupError

        app = PlainTextResponse("x", background=BackgroundTask(task))
        with pytest.raises(LookupError):
            await CaptureMiddleware(app, bus, sampling=Sampling(0.0))(scope_of(), nothing, swallow)

        assert bus.failures.statistics().noted == 1


class TestHeadersOfOtherKinds:
    async def test_a_packed_body_is_unpacked_whatever_the_case_of_the_header_that_says_so(self, bus: EventBus) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            headers = [(b"Content-Encoding", b"gzip"), (b"Content-Type", b"application/json")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": gzip.compress(b'{"password": "s3cret"}')})

        await CaptureMiddleware(app, bus, bodies="all")(scope_of(), nothing, swallow)
        (event,) = await published(bus)

        assert event.response_body is not None
        assert event.response_body.data == b'{"password": "' + MASK(b"s3cret") + b'"}'

    async def test_headers_that_can_be_read_only_once_are_no_fault(self, bus: EventBus) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": iter([(b"x-tenant", b"7")])})
            await send({"type": "http.response.body"})

        capture = CaptureMiddleware(app, bus)
        for _ in range(20):
            await capture(scope_of(), nothing, swallow)

        assert (capture.statistics().capturing, capture.statistics().skipped) == (True, 0)


@pytest.mark.parametrize(
    "anyio_backend",
    [
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
        pytest.param(("asyncio", {"use_uvloop": True}), id="asyncio+uvloop"),
        pytest.param(("trio", {}), id="trio"),
    ],
)
class TestEventLoops:
    """The capture needs no particular one."""

    async def test_requests_of_every_kind_are_seen(self, anyio_backend: object) -> None:
        bus, app, tasks_done = EventBus(), FastAPI(), list[int]()

        async def task() -> None:
            await anyio.lowlevel.checkpoint()
            tasks_done.append(len(bus.ring.since(0).events))

        @app.get("/items/{item}")
        async def item(item: int) -> Response:
            await anyio.lowlevel.checkpoint()
            return PlainTextResponse(str(item), background=BackgroundTask(task))

        @app.get("/threaded")
        def threaded() -> str:
            return str(get_contextvars()["request_id"])

        @app.get("/stream")
        async def stream() -> Response:
            async def chunks() -> AsyncGenerator[str]:
                for number in range(3):
                    await anyio.lowlevel.checkpoint()
                    yield str(number)

            return StreamingResponse(chunks())

        @app.post("/fails")
        async def fails() -> None:
            raise ZeroDivisionError

        transport = httpx.ASGITransport(CaptureMiddleware(app, bus, bodies="all"), raise_app_exceptions=False)
        with anyio.fail_after(DEADLINE):
            async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
                assert (await http.get("/items/5")).text == "5"
                request_id = (await http.get("/threaded")).json()
                assert (await http.get("/stream")).text == "012"
                assert (await http.post("/fails", content=b"12")).status_code == 500
        events = bus.ring.since(0).events

        assert [(event.route, event.status, event.error) for event in events] == [
            ("/items/{item}", 200, None),
            ("/threaded", 200, None),
            ("/stream", 200, None),
            ("/fails", 500, "ZeroDivisionError"),
        ]
        assert tasks_done == [1]
        assert events[1].request_id == request_id
        assert events[2].response_body is not None
        assert events[2].response_body.data == b"012"
        assert events[3].failure is not None
        assert (len(bus.in_flight), bus.failures.statistics().noted) == (0, 1)

    @pytest.mark.guarantees("F30")
    async def test_a_request_that_is_cancelled_is_seen_and_stays_cancelled(self, anyio_backend: object) -> None:
        bus = EventBus()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await anyio.sleep_forever()

        capture = CaptureMiddleware(app, bus)
        with anyio.fail_after(DEADLINE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(capture, scope_of(), nothing, swallow)
                await anyio.wait_all_tasks_blocked()
                assert len(bus.in_flight) == 1
                tasks.cancel_scope.cancel()
        (event,) = bus.ring.since(0).events

        assert (event.status, event.error in ("CancelledError", "Cancelled")) == (0, True)
        assert (len(bus.in_flight), capture.statistics().faults) == (0, 0)


class TestLoopLag:
    @pytest.mark.guarantees("F8")
    async def test_a_handler_that_blocks_the_loop_is_seen_beside_the_traffic(self) -> None:
        pipeline = Pipeline(Settings(log="none"))

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["path"] == "/blocks":
                time.sleep(0.4)  # noqa: ASYNC251 - this is what is to be seen
            await PlainTextResponse("x")(scope, receive, send)

        async with pipeline.running(), serving(pipeline.capture(app)) as url, client(url) as http:
            await http.get("/")
            await until(lambda: bool(pipeline.lag.snapshot().seconds), "the first sample")
            await http.get("/blocks")
            await until(lambda: pipeline.lag.snapshot().worst >= 0.2, "the block to be seen")
        worst = max(pipeline.lag.snapshot().seconds, key=lambda second: second.lag)

        assert 0.2 <= worst.lag == pipeline.lag.snapshot().worst


async def test_a_failure_has_a_place_in_an_event_of_its_own(bus: EventBus) -> None:
    """A producer of the application's own may report one too."""
    failure = Failure(type="ValueError", message="m", traceback="t", fingerprint="f")
    event = Event(time=1, error="ValueError", failure=failure)
    bus.publish(event)
    bus.failures.note(event)

    assert [(group.fingerprint, group.event) for group in bus.failures.latest()] == [("f", 1)]


async def test_faults_of_several_captures_may_be_counted_together() -> None:
    faults = Faults()
    captures = [CaptureMiddleware(PlainTextResponse("x"), EventBus(), faults=faults) for _ in range(2)]
    for capture in captures:
        await capture(scope_of(headers=None), nothing, swallow)

    assert [capture.statistics().kinds for capture in captures] == [{"begin: TypeError": 2}] * 2
