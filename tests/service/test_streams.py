"""Streams of every kind through real servers, with capture and without it: nothing waits, and nothing piles up."""

import hashlib
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import anyio
import anyio.lowlevel
import psutil
import pytest
import structlog
from hypothesis import settings
from starlette.responses import FileResponse, PlainTextResponse, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reqscope.bus import EventBus
from reqscope.service import CaptureMiddleware

from .conftest import DEADLINE, Site, published, read_all, until

pytestmark = pytest.mark.anyio

PROVE: Final = settings.get_current_profile_name() == "prove"
MIB: Final = 1 << 20
MEASURED: Final[dict[str, str]] = {}

Watch: TypeAlias = Callable[[ASGIApp], ASGIApp]


@pytest.fixture(scope="module", params=["httptools", "h11"])
def parser(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module", autouse=True)
def figure(request: pytest.FixtureRequest, record_testsuite_property: Callable[[str, object], None]) -> Iterator[None]:
    """Tell at the end what was measured."""
    yield
    for name, value in MEASURED.items():
        record_testsuite_property(name, value)
    reporter: Any = request.config.pluginmanager.get_plugin("terminalreporter")
    terminal: Any = request.config.pluginmanager.get_plugin("capturemanager")
    with terminal.global_and_fixture_disabled():
        reporter.write_line("".join(f"\n{name}: {value}" for name, value in MEASURED.items()))


@pytest.fixture(params=["bare", "captured"])
def watch(request: pytest.FixtureRequest, bus: EventBus) -> Watch:
    """The application as it is, or with capture around it: what a test sees is the same."""
    if request.param == "bare":
        return lambda app: app
    return lambda app: CaptureMiddleware(app, bus, bodies="all")


async def answer_of(site: Site, app: ASGIApp, request: bytes) -> bytes:
    """Send the bytes of a request, and return those of the answer."""
    async with site.connection(app) as connection:
        await connection.send(request)
        return without_date(await read_all(connection))


def without_date(answer: bytes) -> bytes:
    lines = answer.split(b"\r\n")
    return b"\r\n".join(line for line in lines if not line.lower().startswith(b"date:"))


def get(path: str = "/", method: str = "GET", more: str = "Connection: close\r\n", body: bytes = b"") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode() + body


async def same_bytes(site: Site, bus: EventBus, app: ASGIApp, request: bytes) -> bytes:
    """Require that the answer on the wire is the same, byte for byte, with capture and without it."""
    bare = await answer_of(site, app, request)
    capture = CaptureMiddleware(app, bus, bodies="all")
    assert await answer_of(site, capture, request) == bare
    assert capture.statistics().faults == 0
    await until(lambda: capture.statistics().in_flight == 0, "the application to return")
    return bare


async def chunks() -> AsyncGenerator[bytes]:
    for number in range(3):
        yield b"chunk %d;" % number


class TestOnTheWire:
    @pytest.mark.guarantees("F33")
    @pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
    async def test_a_stream_has_the_same_chunks(self, site: Site, bus: EventBus, method: str) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await StreamingResponse(chunks())(scope, receive, send)

        bare = await same_bytes(site, bus, app, get(method=method))

        assert bare.count(b"8\r\nchunk") == (0 if method == "HEAD" else 3)
        assert bus.ring.last == 1

    @pytest.mark.guarantees("F33")
    @pytest.mark.parametrize("more", ["", "Range: bytes=2-9\r\n", 'If-None-Match: "never"\r\n'])
    async def test_a_file_is_the_same(self, site: Site, bus: EventBus, more: str) -> None:
        bare = await same_bytes(site, bus, FileResponse(__file__), get(more=f"{more}Connection: close\r\n"))

        assert bare.startswith(b"HTTP/1.1 206" if "Range" in more else b"HTTP/1.1 200")

    @pytest.mark.guarantees("F33")
    @pytest.mark.parametrize("status", [204, 304, 404, 500])
    async def test_an_answer_without_a_body_is_the_same(self, site: Site, bus: EventBus, status: int) -> None:
        await same_bytes(site, bus, PlainTextResponse(status_code=status), get())

    async def test_an_upload_begins_when_the_application_asks_for_it(self, site: Site, bus: EventBus) -> None:
        async def reads(scope: Scope, receive: Receive, send: Send) -> None:
            message = await receive()
            await PlainTextResponse(message["body"])(scope, receive, send)

        async def refuses(scope: Scope, receive: Receive, send: Send) -> None:
            await PlainTextResponse("no", 417)(scope, receive, send)

        request = get("/", "POST", "Content-Length: 4\r\nExpect: 100-continue\r\nConnection: close\r\n", b"body")
        assert (await same_bytes(site, bus, reads, request)).startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200")
        assert (await same_bytes(site, bus, refuses, request)).startswith(b"HTTP/1.1 417")

    @pytest.mark.guarantees("F33")
    @pytest.mark.parametrize(
        "messages",
        [
            [{"type": "http.response.early_hint", "links": [b"</a.css>"]}],
            [{"type": "http.response.start", "status": 200}, {"type": "http.response.pathsend", "path": __file__}],
            [
                {"type": "http.response.start", "status": 200, "trailers": True},
                {"type": "http.response.body", "body": b"x", "more_body": False},
                {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]},
            ],
        ],
        ids=["early hint", "pathsend", "trailers"],
    )
    async def test_what_the_server_does_not_know_it_refuses_the_same(
        self, site: Site, bus: EventBus, messages: list[Message]
    ) -> None:
        refusals: list[str] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                for message in messages:
                    await send(message)
            except RuntimeError as error:
                refusals.append(str(error))
                raise

        await same_bytes(site, bus, app, get())

        assert len(refusals) == 2
        assert refusals[0] == refusals[1]

    @pytest.mark.guarantees("F34")
    async def test_requests_on_one_connection_are_answered_the_same(self, site: Site, bus: EventBus) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            message = await receive()
            await PlainTextResponse(scope["path"].encode() + message["body"])(scope, receive, send)

        pipeline = b"".join(
            get(f"/{number}", "POST", f"Content-Length: {number % 3}\r\n", b"x" * (number % 3)) for number in range(20)
        )
        bare = await same_bytes(site, bus, app, pipeline + get("/last"))

        assert bare.count(b"HTTP/1.1 200") == 21
        assert [event.path for event in await published(bus, 21)] == [*(f"/{number}" for number in range(20)), "/last"]


class TestPipelines:
    """uvicorn begins the next request of a pipeline in the context of the one before."""

    @pytest.mark.guarantees("F34")
    async def test_a_long_pipeline_is_captured_to_its_end(self, site: Site, bus: EventBus) -> None:
        capture = CaptureMiddleware(PlainTextResponse("hello"), bus)
        async with site.connection(capture) as connection, anyio.create_task_group() as tasks:
            tasks.start_soon(connection.send, get(more="") * 2_000 + get())
            assert (await read_all(connection)).count(b"hello") == 2_001

        assert capture.statistics().faults == 0
        assert bus.ring.last == 2_001

    @pytest.mark.guarantees("F34")
    async def test_a_request_in_a_pipeline_has_no_trace_of_the_one_before(self, site: Site, bus: EventBus) -> None:
        seen: list[dict[str, Any]] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            seen.append(structlog.contextvars.get_contextvars())
            await PlainTextResponse("hello")(scope, receive, send)

        traced = get(more=f"traceparent: 00-{'1' * 32}-{'2' * 16}-01\r\n")
        await answer_of(site, CaptureMiddleware(app, bus), traced + get())

        assert [sorted(each) for each in seen] == [["request_id", "span_id", "trace_id"], ["request_id"]]


class TestEvents:
    @pytest.mark.guarantees("F33")
    async def test_the_first_chunk_passes_before_the_second_is_made(self, site: Site, watch: Watch) -> None:
        read, made = anyio.Event(), list[int]()

        async def events() -> AsyncGenerator[str]:
            made.append(1)
            yield "data: 1\n\n"
            await read.wait()
            made.append(2)
            yield "data: 2\n\n"

        app = watch(StreamingResponse(events(), media_type="text/event-stream"))
        async with site.client(app) as client, client.stream("GET", "/") as answer:
            texts = answer.aiter_text()
            assert await anext(texts) == "data: 1\n\n"
            assert made == [1]
            read.set()
            assert await anext(texts) == "data: 2\n\n"

    @pytest.mark.guarantees("F33")
    @pytest.mark.prove
    async def test_the_first_byte_comes_as_soon_as_without_capture(
        self, site: Site, bus: EventBus, parser: str
    ) -> None:
        async def events() -> AsyncGenerator[str]:
            for number in range(3):
                yield f"data: {number}\n\n"
                await anyio.lowlevel.checkpoint()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await StreamingResponse(events(), media_type="text/event-stream")(scope, receive, send)

        times: dict[str, list[float]] = {"bare": [], "captured": []}
        watched: dict[str, ASGIApp] = {"bare": app, "captured": CaptureMiddleware(app, bus, bodies="all")}
        for _ in range(300):
            for name, each in watched.items():
                times[name].append(await first_byte(site, each))
        bare, captured = (sorted(each)[len(each) // 2] for each in times.values())
        MEASURED[f"first byte of a stream of events, {parser}"] = (
            f"median {captured * 1e6:.0f} µs, {(captured - bare) * 1e6:+.0f} µs with capture"
        )

        assert bus.ring.last == 300


async def first_byte(site: Site, app: ASGIApp) -> float:
    async with site.connection(app) as connection:
        begun = time.perf_counter()
        await connection.send(get())
        await connection.receive()
        taken = time.perf_counter() - begun
        await read_all(connection)
        return taken


_SLOW: Final = 64


async def slowly(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with more than any buffer holds."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(_SLOW):
        await send({"type": "http.response.body", "body": bytes(MIB), "more_body": True})
    await send({"type": "http.response.body"})


class TestBackpressure:
    @pytest.mark.guarantees("F33")
    async def test_a_client_that_does_not_read_makes_the_application_wait(self, site: Site, watch: Watch) -> None:
        sent = [0]

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            async def counting(message: Message) -> None:
                await send(message)
                sent[0] += 1

            await slowly(scope, receive, counting)

        async with site.connection(watch(app)) as connection:
            await connection.send(get())
            await connection.receive()
            await settled(sent)
            assert 0 < sent[0] < _SLOW // 2
            while sent[0] < _SLOW + 2:
                await connection.receive(MIB)


async def settled(count: list[int]) -> None:
    """Wait until a number no longer grows."""
    with anyio.fail_after(DEADLINE):
        before = -1
        while count[0] != before:
            before = count[0]
            await anyio.sleep(0.1)


Phase: TypeAlias = Literal["during the upload", "before the answer", "after its start", "during the download"]


class TestClientsThatGo:
    @pytest.mark.guarantees("F29")
    @pytest.mark.parametrize(
        "phase", ["during the upload", "before the answer", "after its start", "during the download"]
    )
    async def test_the_application_sees_the_same_when_its_client_goes(
        self, site: Site, bus: EventBus, phase: Phase
    ) -> None:
        seen = [await self.seen(site, app_around, phase) for app_around in (_as_it_is, _captured_on(bus))]

        assert seen[0] == seen[1]
        assert seen[0][-1] == ("receives", "http.disconnect")
        (event,) = await published(bus)
        assert (event.status, event.error) == (499, "client_disconnected")

    async def seen(self, site: Site, watch: Watch, phase: Phase) -> list[tuple[str, object]]:
        """Return what an application sees of a client that goes."""
        log: list[tuple[str, object]] = []
        reached, ended = anyio.Event(), anyio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                log.append(("receives", (await receive())["body"]))
                if phase in ("after its start", "during the download"):
                    await send({"type": "http.response.start", "status": 200, "headers": []})
                if phase == "during the download":
                    await send({"type": "http.response.body", "body": b"half", "more_body": True})
                reached.set()
                log.append(("receives", (await receive())["type"]))
                await send({"type": "http.response.body", "body": b"to nobody", "more_body": True})
            except BaseException as error:
                log.append(("catches", repr(error)))
                raise
            finally:
                ended.set()

        async with site.connection(watch(app)) as connection:
            length = 1_000 if phase == "during the upload" else 4
            await connection.send(get("/", "POST", f"Content-Length: {length}\r\n", b"half"))
            with anyio.fail_after(DEADLINE):
                await reached.wait()
        with anyio.fail_after(DEADLINE):
            await ended.wait()
        return [entry for entry in log if entry[0] != "catches"] if phase == "before the answer" else log


def _as_it_is(app: ASGIApp) -> ASGIApp:
    return app


def _captured_on(bus: EventBus) -> Watch:
    return lambda app: CaptureMiddleware(app, bus, bodies="all")


class TestSize:
    @pytest.mark.guarantees("F33")
    async def test_a_long_stream_passes_byte_for_byte_both_ways(self, site: Site, bus: EventBus) -> None:
        piece, count = bytes(range(256)) * 256, 128

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while (message := await receive()).get("more_body"):
                await send({"type": "http.response.body", "body": message["body"], "more_body": True})
            await send({"type": "http.response.body", "body": message["body"]})

        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(count):
                yield piece

        digest = hashlib.sha256()
        capture = CaptureMiddleware(app, bus, bodies="all")
        async with site.client(capture) as client, client.stream("POST", "/", content=pieces()) as answer:
            async for part in answer.aiter_raw():
                digest.update(part)
        (event,) = await published(bus)

        assert digest.digest() == hashlib.sha256(piece * count).digest()
        assert event.request_size == event.response_size == len(piece) * count
        assert event.request_body is not None
        assert event.response_body is not None
        assert len(event.request_body.data) <= event.request_body.captured == 16 << 10


@contextmanager
def server_process(parser: str, capture: str) -> Generator[tuple[int, psutil.Process]]:
    """Serve in a process of its own, and give its port and the process."""
    command = [sys.executable, str(Path(__file__).with_name("streaming_server.py")), parser, capture]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield int(process.stdout.readline()), psutil.Process(process.pid)
        finally:
            process.stdin.close()
            process.wait(DEADLINE)


@asynccontextmanager
async def connected(port: int) -> AsyncGenerator[anyio.abc.SocketStream]:
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        yield stream


async def exchange(port: int, upload: int, download: int) -> None:
    """Send so many bytes, and read so many."""
    piece = bytes(256 << 10)
    async with connected(port) as connection:
        head = get(f"/{download}", "POST", f"Content-Length: {upload}\r\nConnection: close\r\n")
        await connection.send(head)
        for begin in range(0, upload, len(piece)):
            await connection.send(piece[: min(len(piece), upload - begin)])
        received = -1
        data = await connection.receive(len(piece))
        while b"\r\n\r\n" not in data:
            data += await connection.receive(len(piece))
        assert b"x-read: %d\r\n" % upload in data.lower()
        received = len(data.partition(b"\r\n\r\n")[2])
        while received < download:
            received += len(await connection.receive(len(piece)))


def peak(process: psutil.Process) -> int:
    """Return the most memory that a process has had, in bytes, as far as the system tells; otherwise what it has."""
    status = Path(f"/proc/{process.pid}/status")
    if status.exists():
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) << 10
    return process.memory_info().rss


async def growth(parser: str, capture: str, size: int) -> int:
    """Return the bytes that a server's peak memory grows by, as streams of `size` bytes pass both ways."""
    with server_process(parser, capture) as (port, process):
        for _ in range(3):  # until what is allocated once is there
            await exchange(port, 4 * MIB, 4 * MIB)
        before = peak(process)
        await exchange(port, size, 0)
        await exchange(port, 0, size)
        return peak(process) - before


BARE: Final[dict[tuple[str, int], int]] = {}
"""What a server without capture grows by, by its parser and the size of the streams."""


@pytest.mark.timeout(1_200)
class TestMemory:
    @pytest.mark.guarantees("F33")
    @pytest.mark.parametrize(
        "size", [16 * MIB, pytest.param(1 << 30, marks=pytest.mark.prove)], ids=["16 MiB", "1 GiB"]
    )
    @pytest.mark.parametrize("bodies", ["off", "all"])
    async def test_a_stream_of_any_length_takes_no_more_memory_than_without_capture(
        self, parser: str, bodies: str, size: int
    ) -> None:
        if (parser, size) not in BARE:
            BARE[parser, size] = await growth(parser, "none", size)
        bare, captured = BARE[parser, size], await growth(parser, bodies, size)
        MEASURED[f"peak memory, {size // MIB} MiB both ways, {parser}, bodies={bodies}"] = (
            f"{bare / MIB:+.2f} MiB bare, {captured / MIB:+.2f} MiB captured"
        )

        assert captured - bare <= 2 * MIB
