"""What no client should send, over real sockets and both parsers: an answer, no traceback, a server that goes on."""

import logging
import random
import re
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import suppress
from typing import Any, Final, NamedTuple

import anyio
import httpx
import pytest
from anyio.abc import SocketStream
from hypothesis import settings

from reqscope.bus import EventBus
from reqscope.service import Settings
from reqscope.service.collector import data_plane, fallback_app
from reqscope.service.launcher import bounded
from reqscope.service.limits import Limits
from reqscope.service.pipeline import Pipeline

from .conftest import DEADLINE, client, serving

PROVE: Final = settings.get_current_profile_name() == "prove"

pytestmark = pytest.mark.anyio

HEAD = b"Host: localhost\r\n"
POST = b"POST /log HTTP/1.1\r\n" + HEAD
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
LIMITS = Limits(head_time=0.5, body_time=0.5)
LARGEST = LIMITS.head


def get(target: bytes = b"/livez", *headers: bytes, host: bytes = HEAD) -> bytes:
    return b"GET %s HTTP/1.1\r\n%s%s\r\n" % (target, host, b"".join(header + b"\r\n" for header in headers))


class Row(NamedTuple):
    """What is sent, the statuses that may come back, and what that proves; 0 is a connection closed without one."""

    sent: bytes
    statuses: set[int]
    proves: pytest.MarkDecorator


guarantees = pytest.mark.guarantees
CORPUS = {
    # Heads that are too large.
    "100 headers": Row(get(b"/livez", *[b"X-%d: y" % n for n in range(99)]), {200}, guarantees("46")),
    "101 headers": Row(get(b"/livez", *[b"X-%d: y" % n for n in range(100)]), {431}, guarantees("46")),
    "1 000 headers": Row(get(b"/livez", *[b"X-%d: y" % n for n in range(999)]), {431}, guarantees("46")),
    "100 000 headers": Row(get(b"/livez", *[b"X-%d: y" % n for n in range(99_999)]), {431}, guarantees("46")),
    "1 000 headers of one name": Row(get(b"/livez", *[b"X: y"] * 1_000), {431}, guarantees("46", "56")),
    "a header of 1 MB": Row(get(b"/livez", b"X: " + b"y" * 1_000_000), {431}, guarantees("47")),
    "a header of 20 MB": Row(get(b"/livez", b"X: " + b"y" * 20_000_000), {431}, guarantees("47")),
    "a name of 1 MB": Row(get(b"/livez", b"x" * 1_000_000 + b": y"), {431}, guarantees("47")),
    "a header without end": Row(b"GET / HTTP/1.1\r\nX: " + b"y" * 300_000, {431}, guarantees("47")),
    "an address of 64 KiB": Row(get(b"/" + b"a" * LARGEST), {414}, guarantees("48")),
    "a query of 64 KiB": Row(get(b"/?" + b"a" * LARGEST), {414}, guarantees("48")),
    "an address of 1 MB": Row(get(b"/" + b"a" * 1_000_000), {414}, guarantees("47")),
    "an address without end": Row(b"GET /" + b"a" * 1_000_000, {414}, guarantees("47")),
    "a method without end": Row(b"G" * 1_000_000, {400, 414}, guarantees("47")),
    "7 000 parameters": Row(get(b"/livez?" + b"&".join(b"a%d=b" % n for n in range(7_000))), {200}, guarantees("58")),
    # Who is asked.
    "no Host": Row(get(host=b""), {400}, guarantees("49")),
    "no Host in HTTP/1.0": Row(b"GET /livez HTTP/1.0\r\n\r\n", {200}, guarantees("49")),
    "two Hosts": Row(get(b"/livez", b"Host: localhost"), {400}, guarantees("49")),
    "two Hosts in HTTP/1.0": Row(b"GET /livez HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", {400}, guarantees("49")),
    "a Host that is a path": Row(get(host=b"Host: a/b?c@d\r\n"), {400}, guarantees("49")),
    "a Host with a space": Row(get(host=b"Host: a b\r\n"), {400}, guarantees("49")),
    "a Host with a comma": Row(get(host=b"Host: localhost, evil\r\n"), {400}, guarantees("49")),
    "a Host with a user": Row(get(host=b"Host: x@localhost\r\n"), {400}, guarantees("49")),
    "another Host": Row(
        POST.replace(b"localhost", b"rebind.evil") + b"Content-Length: 1\r\n\r\nx", {400}, guarantees("49")
    ),
    "a Host that begins well": Row(
        POST.replace(b"localhost", b"localhost.evil.com") + b"Content-Length: 1\r\n\r\nx", {400}, guarantees("49")
    ),
    # What is asked for.
    "an address of somebody else": Row(get(b"http://evil.example/x"), {400}, guarantees("50")),
    "an address that is a user": Row(get(b"@evil.com"), {400}, guarantees("50")),
    "an address that is a word": Row(get(b"livez"), {400}, guarantees("50")),
    "no address": Row(b"GET  HTTP/1.1\r\n" + HEAD + b"\r\n", {400}, guarantees("50")),
    "a whole address": Row(
        get(b"http://localhost/livez"), {200, 404}, guarantees("50")
    ),  # 404: h11 leaves it to the application
    "OPTIONS *": Row(b"OPTIONS * HTTP/1.1\r\n" + HEAD + b"\r\n", {400, 404, 405}, guarantees("50")),
    "CONNECT": Row(b"CONNECT evil.example:443 HTTP/1.1\r\n" + HEAD + b"\r\n", {400}, guarantees("50")),
    "CONNECT to a path": Row(b"CONNECT / HTTP/1.1\r\n" + HEAD + b"\r\n", {400, 404}, guarantees("50")),
    "an unknown method": Row(b"FOO / HTTP/1.1\r\n" + HEAD + b"\r\n", {400, 404, 405}, guarantees("50")),
    "a method in lower case": Row(b"get /livez HTTP/1.1\r\n" + HEAD + b"\r\n", {400, 405}, guarantees("50")),
    "a method with control characters": Row(b"G\x1bT / HTTP/1.1\r\n" + HEAD + b"\r\n", {400}, guarantees("50")),
    "two slashes": Row(get(b"//livez"), {404}, guarantees("57")),
    "a way up": Row(get(b"/../../etc/passwd"), {404}, guarantees("57")),
    "an encoded way up": Row(get(b"/%2e%2e/%2e%2e/etc/passwd"), {404}, guarantees("57")),
    "encoded bytes that are no text": Row(get(b"/%ff%00%0d%0a"), {404}, guarantees("57")),
    "encoded twice": Row(get(b"/%25%32%65"), {404}, guarantees("57")),
    "raw UTF-8": Row(get("/ü".encode()), {400}, guarantees("57")),
    "a raw escape": Row(get(b"/\x1b[2J"), {400}, guarantees("57")),
    "a raw NUL": Row(get(b"/\x00"), {400}, guarantees("57")),
    "a fragment": Row(get(b"/livez#x"), {200, 400, 404}, guarantees("50")),
    "another address in headers": Row(
        get(
            b"/livez",
            b"X-Original-URL: /admin",
            b"X-HTTP-Method-Override: DELETE",
            b"X-Forwarded-For: " + b"1" * 10_000,
        ),
        {200},
        guarantees("65", "62"),
    ),
    # How headers are written.
    "a NUL in a header": Row(get(b"/livez", b"X: a\x00b"), {400}, guarantees("55")),
    "a carriage return in a header": Row(get(b"/livez", b"X: a\rb"), {400}, guarantees("55")),
    "a header over two lines": Row(get(b"/livez", b"X: a\r\n b"), {400}, guarantees("55")),
    "a space before the colon": Row(get(b"/livez", b"X : a"), {400}, guarantees("55")),
    "no colon": Row(get(b"/livez", b"X"), {400}, guarantees("55")),
    "no name": Row(get(b"/livez", b": a"), {400}, guarantees("56")),
    "line feeds alone": Row(b"GET /livez HTTP/1.1\nHost: localhost\n\n", {400}, guarantees("55")),
    "one line feed alone": Row(b"GET /livez HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n", {400}, guarantees("55")),
    "bytes that are no text": Row(get(b"/livez", b"X: \xff\xfe", "Y: ü".encode()), {200}, guarantees("56")),
    "an underscore": Row(get(b"/livez", b"X_Y: a", b"X-Y: b"), {200}, guarantees("56")),
    "ranges": Row(
        get(b"/livez", b"Range: bytes=0-1,1-2,2-3", b"If-None-Match: *", b"Accept-Encoding: gzip;q=1.0"),
        {200},
        guarantees("64"),
    ),
    # How a body is framed.
    "both lengths": Row(
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400}, guarantees("51")
    ),
    "two lengths": Row(POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxy", {400}, guarantees("52")),
    "the same length twice": Row(POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", {400}, guarantees("52")),
    "a list of lengths": Row(POST + b"Content-Length: 5, 5\r\n\r\nhello", {400}, guarantees("52")),
    "a negative length": Row(POST + b"Content-Length: -1\r\n\r\n", {400}, guarantees("52")),
    "a signed length": Row(POST + b"Content-Length: +5\r\n\r\nhello", {400}, guarantees("52")),
    "a length that is a word": Row(POST + b"Content-Length: five\r\n\r\nhello", {400}, guarantees("52")),
    "a hexadecimal length": Row(POST + b"Content-Length: 0x5\r\n\r\nhello", {400}, guarantees("52")),
    "a length of 10^23": Row(POST + b"Content-Length: 1" + b"0" * 23 + b"\r\n\r\nx", {400, 413}, guarantees("52")),
    "a length of 2^63-1": Row(POST + b"Content-Length: 9223372036854775807\r\n\r\nx", {413}, guarantees("53")),
    "a length of 1 GiB": Row(POST + b"Content-Length: 1073741824\r\n\r\nx", {413}, guarantees("24")),
    "a length of 1 GiB that waits to be told to go on": Row(
        POST + b"Expect: 100-continue\r\nContent-Length: 1073741824\r\n\r\n", {413}, guarantees("60")
    ),
    "another encoding": Row(POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", {400, 501}, guarantees("54")),
    "chunked twice": Row(
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        {400, 501},
        guarantees("54"),
    ),
    "an encoding with a tab": Row(POST + b"Transfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n", {200, 400}, guarantees("54")),
    "an encoding that hides": Row(POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", {400, 501}, guarantees("54")),
    "chunks in HTTP/1.0": Row(
        b"POST /log HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400}, guarantees("51")
    ),
    "a chunk size that is a word": Row(CHUNKED + b"xyz\r\nhello\r\n0\r\n\r\n", {400}, guarantees("54")),
    "a negative chunk size": Row(CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n", {400}, guarantees("54")),
    "a chunk size beyond 64 bits": Row(CHUNKED + b"f" * 17 + b"\r\nhello", {400, 408, 413}, guarantees("54")),
    "a chunk without its end": Row(CHUNKED + b"5\r\nhelloX0\r\n\r\n", {400}, guarantees("54")),
    "a chunk extension of 1 MB": Row(
        CHUNKED + b"5;x=" + b"y" * 1_000_000 + b"\r\nhello\r\n0\r\n\r\n", {400, 431}, guarantees("54")
    ),
    "a trailer of 1 MB": Row(CHUNKED + b"0\r\nX: " + b"y" * 1_000_000 + b"\r\n\r\n", {200, 400, 431}, guarantees("54")),
    "trailers": Row(CHUNKED + b"5\r\nhello\r\n0\r\nHost: evil\r\nX: y\r\n\r\n", {200}, guarantees("54")),
    "100 000 tiny chunks": Row(CHUNKED + b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n", {200}, guarantees("54")),
    "more than the limit in chunks": Row(
        CHUNKED + b"10000\r\n%s\r\n" % (b"x" * 65536) * 17 + b"0\r\n\r\n", {413}, guarantees("54")
    ),
    "less than was said": Row(POST + b"Content-Length: 5\r\n\r\nhe", {408}, guarantees("60", "F35")),
    "a body with GET": Row(
        b"GET /livez HTTP/1.1\r\n" + HEAD + b"Content-Length: 5\r\n\r\nhello", {200}, guarantees("61")
    ),
    "a body with HEAD": Row(
        b"HEAD /livez HTTP/1.1\r\n" + HEAD + b"Content-Length: 5\r\n\r\nhello", {200, 405}, guarantees("61")
    ),
    # What is no HTTP/1.1.
    "HTTP/0.9": Row(b"GET /livez\r\n", {400, 408}, guarantees("59")),
    "HTTP/0.9, and a line more": Row(b"GET /livez\r\n\r\n", {400}, guarantees("59")),
    "HTTP/2.0 in words": Row(b"GET /livez HTTP/2.0\r\n" + HEAD + b"\r\n", {400}, guarantees("59")),
    "HTTP/9.9": Row(b"GET /livez HTTP/9.9\r\n" + HEAD + b"\r\n", {400}, guarantees("59")),
    "HTTP of no version": Row(b"GET /livez HTTP\r\n" + HEAD + b"\r\n", {400}, guarantees("59")),
    "the preface of HTTP/2": Row(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400}, guarantees("59")),
    "TLS": Row(bytes.fromhex("16030100c8010000c40303") + bytes(200), {400}, guarantees("59")),
    "SSH": Row(b"SSH-2.0-OpenSSH_9.2\r\n", {400, 408}, guarantees("59")),
    "a proxy's line": Row(b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + get(), {400}, guarantees("59")),
    "zeros": Row(bytes(1000), {400}, guarantees("59")),
    "empty lines": Row(b"\r\n" * 10, {0, 400, 408}, guarantees("59")),
    "half a head": Row(b"GET / HTTP/1.1\r\nHost: loc", {408}, guarantees("59", "F35")),
    "nothing": Row(b"", {0}, guarantees("59", "F35")),
    # Other protocols over this one.
    "an upgrade to HTTP/2": Row(
        get(b"/livez", b"Connection: Upgrade", b"Upgrade: h2c", b"HTTP2-Settings: AA"), {200}, guarantees("63")
    ),
    "an upgrade to a WebSocket": Row(
        get(
            b"/log",
            b"Connection: Upgrade",
            b"Upgrade: websocket",
            b"Sec-WebSocket-Version: 13",
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ),
        {403, 404},
        guarantees("63"),
    ),
    "an upgrade to a broken WebSocket": Row(
        get(b"/log", b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Key: x"),
        {400, 404, 426},
        guarantees("63"),
    ),
    # Several at once.
    "one behind another": Row(get() * 3, {200}, guarantees("F34")),
    "nonsense behind a request": Row(get() + b"\x16\x03\x01" * 100, {200, 400}, guarantees("59", "F34")),
    "a body that is a request": Row(
        POST + b"Content-Length: %d\r\n\r\n%s" % (len(get()), get()), {200}, guarantees("F34")
    ),
}


@pytest.fixture(scope="module", params=["httptools", "h11"])
def parser(request: pytest.FixtureRequest) -> str:
    parser: str = request.param
    return parser


class Target(NamedTuple):
    url: str
    bus: EventBus


@pytest.fixture(scope="module")
async def target(anyio_backend: object, parser: Any) -> AsyncGenerator[Target]:
    """The data plane of `reqscope serve`."""
    pipeline = Pipeline(Settings(log="none"))
    app, _ = data_plane(pipeline, fallback_app())
    async with (
        pipeline.running(),
        serving(app, http=bounded(LIMITS, parser), lifespan="on", timeout_keep_alive=0.05) as url,
    ):
        yield Target(url, pipeline.bus)


@pytest.fixture(autouse=True)
def no_failure_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    failures = [record for record in caplog.get_records("call") if record.levelno >= logging.ERROR or record.exc_info]
    assert not failures, failures[0].getMessage()


async def answers(target: Target, sent: bytes, piece: int = 1 << 20) -> bytes:
    """Return what comes back until the server closes, or until it has answered what it keeps open."""
    received = bytearray()
    port = int(target.url.rpartition(":")[2])
    async with await anyio.connect_tcp("127.0.0.1", port) as stream, anyio.create_task_group() as tasks:
        tasks.start_soon(_send, stream, sent, piece)
        with anyio.fail_after(DEADLINE), suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            while True:
                received += await stream.receive()
        tasks.cancel_scope.cancel()
    return bytes(received)


async def _send(stream: SocketStream, data: bytes, piece: int) -> None:
    with suppress(anyio.BrokenResourceError):
        for start in range(0, len(data), piece):
            await stream.send(data[start : start + piece])


async def is_alive(target: Target) -> bool:
    """Ask until there is an answer: on a busy machine this client, too, is slower than these limits allow."""
    with anyio.fail_after(DEADLINE):
        while True:
            with suppress(httpx.TransportError):
                async with client(target.url) as http:
                    return (await http.get("/livez")).status_code == 200


def statuses(received: bytes) -> list[int]:
    found = [int(status) for status in re.findall(rb"^HTTP/1\.1 (\d+) ", received, re.MULTILINE)]
    return [status for status in found if status != 100] or [0]


def named(names: Iterable[str]) -> list[object]:
    return [pytest.param(name, marks=CORPUS[name].proves) for name in names]


@pytest.mark.parametrize("name", named(CORPUS))
async def test_it_gets_an_answer_and_the_server_goes_on(target: Target, name: str) -> None:
    row = CORPUS[name]

    found = statuses(await answers(target, row.sent))

    assert set(found) <= row.statuses
    assert await is_alive(target)


@pytest.mark.parametrize("name", named(name for name, row in CORPUS.items() if len(row.sent) < 300 or PROVE))
async def test_it_gets_the_same_answer_in_pieces(target: Target, name: str) -> None:
    row = CORPUS[name]

    found = statuses(await answers(target, row.sent, piece=max(1, len(row.sent) // 50)))

    # A busy machine takes longer for what is large than these limits allow.
    assert set(found) <= row.statuses | ({408} if len(row.sent) > 100_000 else set())


@pytest.mark.guarantees("50", "54", "55", "59")
@pytest.mark.parametrize("batch", range(100 if PROVE else 5))
async def test_whatever_is_broken_in_a_good_request_never_breaks_the_server(target: Target, batch: int) -> None:
    async def send(seed: int) -> None:
        found = statuses(await answers(target, broken(seed)))
        assert all(status < 500 or status == 501 for status in found), seed

    async with anyio.create_task_group() as tasks:
        for number in range(40):
            tasks.start_soon(send, batch * 40 + number)


def broken(seed: int) -> bytes:
    """Return a request in which a few bytes are changed, missing, added or repeated."""
    chance = random.Random(seed)
    whole = [get(), CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", POST + b"Content-Length: 5\r\n\r\nhello"]
    request = bytearray(chance.choice(whole))
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(request))
        match chance.randrange(4):
            case 0:
                request[at] = chance.randrange(256)
            case 1:
                del request[at : at + chance.randrange(1, 9)]
            case 2:
                request[at:at] = bytes(chance.choices(b"\r\n\x00\x1b: ;,\xff0aG", k=chance.randrange(1, 9)))
            case _:
                request += request[at:]
    return bytes(request)
