"""Clients that hold a connection: how long they may, and that nobody else notices."""

import socket
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest
from anyio.abc import SocketStream
from anyio.lowlevel import checkpoint
from starlette.types import Receive, Scope, Send

from reqscope.service.launcher import bounded
from reqscope.service.limits import Limits

from .conftest import DEADLINE, client, read_all, serving, until

pytestmark = pytest.mark.anyio

HEAD = b"Host: localhost\r\n"
LARGE = 16 << 20


@pytest.fixture(scope="module", params=["httptools", "h11"])
def parser(request: pytest.FixtureRequest) -> str:
    parser: str = request.param
    return parser


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with what it was sent, with many bytes, or with pieces until the client is gone."""
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more and scope["path"] != "/unread":
        message = await receive()
        more = message.get("more_body", False)
        body += message.get("body", b"")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/large":
        for _ in range(LARGE >> 16):
            await send({"type": "http.response.body", "body": bytes(1 << 16), "more_body": True})
    names = b",".join(name for name, _ in scope["headers"])
    await send({"type": "http.response.body", "body": body + b" " + names})


class Port:
    """A server with limits, and bare connections to it."""

    def __init__(self, url: str, limits: Limits) -> None:
        self.url = url
        self.limits = limits
        self.number = int(url.rpartition(":")[2])

    @asynccontextmanager
    async def connection(self, *sent: bytes) -> AsyncGenerator[SocketStream]:
        async with await anyio.connect_tcp("127.0.0.1", self.number) as stream:
            for data in sent:
                await stream.send(data)
            yield stream

    async def answer(self, *sent: bytes) -> bytes:
        async with self.connection(*sent) as stream:
            return await read_all(stream)


@asynccontextmanager
async def limited(parser: Any, application: Any = app, **limits: Any) -> AsyncGenerator[Port]:
    chosen = Limits(**limits)
    async with serving(application, http=bounded(chosen, parser), timeout_keep_alive=1) as url:
        yield Port(url, chosen)


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


async def dripped(stream: anyio.abc.SocketStream, piece: bytes) -> bytes:
    """Send a piece now and then until there is an answer, and return that."""
    with anyio.fail_after(DEADLINE):
        while True:
            with anyio.move_on_after(0.02):
                return await stream.receive()
            await stream.send(piece)


class TestHead:
    @pytest.mark.guarantees("F35")
    async def test_one_that_is_never_whole_is_answered_and_cut_off(self, parser: str) -> None:
        async with limited(parser, head_time=0.2) as port:
            answer = await port.answer(b"GET / HTTP/1.1\r\nHost")

        assert status_of(answer) == 408
        assert b"application/problem+json" in answer
        assert b"the headers took longer than 0.2 seconds" in answer
        assert port.limits.refused == {408: 1}

    @pytest.mark.guarantees("F35", "74")
    async def test_a_byte_now_and_then_gains_no_time(self, parser: str) -> None:
        async with limited(parser, head_time=0.3) as port, port.connection(b"GET / HTTP/1.1\r\n") as stream:
            assert status_of(await dripped(stream, b"X")) == 408

    @pytest.mark.guarantees("F35")
    async def test_a_connection_on_which_nothing_comes_is_closed_without_a_word(self, parser: str) -> None:
        async with limited(parser, head_time=0.2) as port:
            assert await port.answer() == b""

    async def test_the_second_on_a_connection_has_as_much_time_as_the_first(self, parser: str) -> None:
        async with limited(parser, head_time=0.2) as port:
            answer = await port.answer(b"GET / HTTP/1.1\r\n%s\r\n" % HEAD, b"GET / HT")

        assert answer.startswith(b"HTTP/1.1 200")
        assert b"HTTP/1.1 408" in answer

    async def test_while_an_answer_is_under_way_the_next_may_wait(self, parser: str) -> None:
        begun, go_on = anyio.Event(), anyio.Event()

        async def slow(scope: Scope, receive: Receive, send: Send) -> None:
            begun.set()
            await go_on.wait()
            await app(scope, receive, send)

        request = b"GET / HTTP/1.1\r\n%s\r\n" % HEAD
        async with limited(parser, slow, head_time=0.1) as port, port.connection(request) as stream:
            await begun.wait()
            await stream.send(request[:9])
            with anyio.move_on_after(0.4):  # four times as long as a head may take
                await stream.receive()
                pytest.fail("there was an answer too soon")
            go_on.set()
            await stream.send(request[9:])
            answer = b""
            with anyio.fail_after(DEADLINE):
                while answer.count(b"HTTP/1.1 200") < 2:
                    answer += await stream.receive()


class TestBody:
    @pytest.mark.guarantees("F35", "74")
    async def test_one_that_stops_is_answered_and_the_application_hears_that_the_client_is_gone(
        self, parser: str
    ) -> None:
        heard = list[str]()

        async def reader(scope: Scope, receive: Receive, send: Send) -> None:
            while (message := await receive())["type"] == "http.request":
                await checkpoint()
            heard.append(message["type"])

        async with limited(parser, reader, body_time=0.2) as port:
            answer = await port.answer(b"POST / HTTP/1.1\r\n%sContent-Length: 5\r\n\r\nhe" % HEAD)
            await until(lambda: bool(heard), "the application to hear of it")

        assert status_of(answer) == 408
        assert heard == ["http.disconnect"]

    @pytest.mark.guarantees("F35", "74")
    @pytest.mark.parametrize("framing", [b"Content-Length: 1000000", b"Transfer-Encoding: chunked"])
    async def test_a_byte_now_and_then_gains_no_time(self, parser: str, framing: bytes) -> None:
        head = b"POST / HTTP/1.1\r\n%s%s\r\n\r\n" % (HEAD, framing)
        async with limited(parser, body_time=0.3) as port, port.connection(head) as stream:
            assert status_of(await dripped(stream, b"1\r\nx\r\n")) == 408

    @pytest.mark.guarantees("54")
    async def test_the_time_of_the_server_that_parses_is_not_the_clients(self, parser: str) -> None:
        head = b"POST / HTTP/1.1\r\n%sConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n" % HEAD
        async with limited(parser, body_time=0.3) as port:
            answer = await port.answer(head + b"1\r\nx\r\n" * 150_000 + b"0\r\n\r\n")

        assert status_of(answer) == 200

    async def test_what_is_sent_beside_an_answer_that_has_begun_is_cut_off_without_a_second_one(
        self, parser: str
    ) -> None:
        async def eager(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"early", "more_body": True})
            while (await receive())["type"] == "http.request":
                await checkpoint()

        async with limited(parser, eager, body_time=0.2) as port:
            answer = await port.answer(b"POST / HTTP/1.1\r\n%sContent-Length: 5\r\n\r\nhe" % HEAD)

        assert answer.count(b"HTTP/1.1") == 1
        assert b"early" in answer

    async def test_without_a_limit_the_application_has_all_the_time(self, parser: str) -> None:
        head = b"POST / HTTP/1.1\r\n%sConnection: close\r\nContent-Length: 5\r\n\r\n" % HEAD
        async with limited(parser, body_time=None) as port, port.connection(head + b"he") as stream:
            with anyio.move_on_after(0.3):
                await stream.receive()
                pytest.fail("there was an answer too soon")
            await stream.send(b"llo")

            assert b"hello" in await read_all(stream)

    @pytest.mark.guarantees("54", "56")
    async def test_trailers_do_not_become_headers(self, parser: str) -> None:
        head = b"POST / HTTP/1.1\r\n%sConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n" % HEAD
        async with limited(parser) as port:
            answer = await port.answer(head + b"5\r\nhello\r\n", b"0\r\nAuthorization: x\r\n\r\n")

        assert b"hello host,connection,transfer-encoding" in answer.lower()

    async def test_one_that_nobody_reads_leaves_the_connection_to_the_next_request(self, parser: str) -> None:
        request = b"POST /unread HTTP/1.1\r\n%sContent-Length: 5\r\n\r\n" % HEAD
        async with limited(parser) as port:
            last = b"GET / HTTP/1.1\r\n%sConnection: close\r\n\r\n" % HEAD
            answer = await port.answer(request, b"he", b"llo", last)

        assert answer.count(b"HTTP/1.1 200") == 2


class TestReader:
    @staticmethod
    def deaf(port: Port, request: bytes) -> socket.socket:
        """Return a connection that asks, and reads nothing."""
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", port.number))
        connection.send(request)
        return connection

    @pytest.mark.guarantees("F35")
    async def test_one_that_takes_nothing_is_dropped(self, parser: str) -> None:
        ended = anyio.Event()

        async def noted(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await app(scope, receive, send)
            finally:
                ended.set()

        async with limited(parser, noted, send_time=0.2) as port:
            with self.deaf(port, b"GET /large HTTP/1.1\r\n%s\r\n" % HEAD), anyio.fail_after(DEADLINE):
                await ended.wait()

        assert port.limits.refused == {408: 1}

    @pytest.mark.guarantees("F35")
    async def test_one_that_takes_its_time_gets_everything(self, parser: str) -> None:
        request = b"GET /large HTTP/1.1\r\n%sConnection: close\r\n\r\n" % HEAD
        async with limited(parser, send_time=0.5) as port, port.connection(request) as stream:
            received = 0
            with anyio.fail_after(DEADLINE):
                while True:
                    try:
                        received += len(await stream.receive(1 << 20))
                    except anyio.EndOfStream:
                        break
                    await anyio.sleep(0.01)  # which is its time

        assert received > LARGE
        assert not port.limits.refused


class TestConnections:
    @pytest.mark.guarantees("F36")
    async def test_one_too_many_is_told_when_to_come_again(self, parser: str) -> None:
        async with limited(parser, connections=2) as port, client(port.url) as http:
            async with port.connection(b"GET"), port.connection(b"GET"):
                answer = await port.answer(b"GET / HTTP/1.1\r\n%s\r\n" % HEAD)
                assert status_of(answer) == 503
                assert b"retry-after: 1\r\n" in answer
            with anyio.fail_after(DEADLINE):
                while (await http.get("/")).status_code != 200:
                    await checkpoint()

    @pytest.mark.guarantees("F36")
    async def test_far_too_many_are_dropped_and_the_server_goes_on(self, parser: str) -> None:
        async with limited(parser, connections=2) as port, client(port.url) as http:
            with ExitStack() as stack:
                for _ in range(200):
                    stack.enter_context(socket.create_connection(("127.0.0.1", port.number)))
                await until(lambda: port.limits.refused[503] >= 60, "the others to be told")
            with anyio.fail_after(DEADLINE):
                while (await http.get("/")).status_code != 200:
                    await checkpoint()

    @pytest.mark.guarantees("F23")
    async def test_the_server_ends_although_clients_hold_on(self, parser: str) -> None:
        with ExitStack() as stack, anyio.fail_after(DEADLINE):
            async with limited(parser) as port:
                for request in (b"GET / HT", b"\x16\x03\x01", b"POST / HTTP/1.1\r\n%sContent-Length: 5\r\n\r\n" % HEAD):
                    connection = stack.enter_context(socket.create_connection(("127.0.0.1", port.number)))
                    connection.send(request)
                async with client(port.url) as http:
                    await http.get("/")


SLOW = (
    b"GET / HTTP/1.1\r\nX: ",
    b"POST / HTTP/1.1\r\n%sContent-Length: 1000\r\n\r\nx" % HEAD,
    b"GET /large HTTP/1.1\r\n%s\r\n" % HEAD,
)
"""Ways to hold a connection: with a head, with a body, with an answer that is not read."""


@pytest.mark.guarantees("F35")
async def test_two_hundred_slow_clients_do_not_keep_another_from_its_answers(parser: str) -> None:
    async with limited(parser, head_time=1.0, body_time=1.0, send_time=1.0) as port, client(port.url) as http:
        with ExitStack() as stack:
            held = [stack.enter_context(TestReader.deaf(port, SLOW[number % len(SLOW)])) for number in range(200)]
            answers: list[httpx.Response] = [await http.get("/") for _ in range(50)]

            assert {answer.status_code for answer in answers} == {200}
            await until(lambda: port.limits.refused[408] == len(held), "every slow client to be cut off")
