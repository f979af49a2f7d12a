from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from reqscope.bus import Event, EventBus
from reqscope.service import CaptureMiddleware
from reqscope.service.sampling import Sampling

from .conftest import DEADLINE, MASK, Site, from_list, published, scope_of, swallow, until

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def connected(site: Site, app: ASGIApp, path: str = "/", **options: Any) -> AsyncGenerator[ClientConnection]:
    """Serve `app` from now on, and give a WebSocket to it."""
    site.app = app
    async with connect(site.url.replace("http", "ws") + path, proxy=None, **options) as socket:
        yield socket


async def only(bus: EventBus) -> Event:
    (event,) = await published(bus)
    await until(lambda: event.app is not None, "the application to return")
    return event.open()


def echo_app() -> FastAPI:
    app = FastAPI()

    @app.websocket("/rooms/{room}")
    async def echo(socket: WebSocket, room: str) -> None:
        await socket.accept(headers=[(b"x-room", room.encode())])
        try:
            while True:
                message = await socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                if message.get("text") is not None:
                    await socket.send_text(message["text"] * 2)
                else:
                    await socket.send_bytes(message["bytes"])
        except WebSocketDisconnect:
            pass

    return app


async def test_a_websocket_is_one_event_when_it_ends_with_all_that_is_known(site: Site, bus: EventBus) -> None:
    capture = CaptureMiddleware(echo_app(), bus)
    async with connected(
        site, capture, "/rooms/7?token=s3cret", additional_headers={"authorization": "Bearer s3cret"}
    ) as socket:
        await socket.send("é" * 3)
        assert await socket.recv() == "é" * 6
        await socket.send(b"1234")
        assert await socket.recv() == b"1234"
        assert bus.ring.last == 0
        (running,) = bus.in_flight.oldest(10)
        assert (running.kind, running.path, running.status) == ("websocket", "/rooms/7", 101)
        assert running.query == "token=" + MASK(b"s3cret").decode()
        await socket.close(4001)
    event = await only(bus)

    assert (event.kind, event.method, event.path, event.route) == ("websocket", "GET", "/rooms/7", "/rooms/{room}")
    assert event.query == b"token=" + MASK(b"s3cret")
    assert (event.status, event.error, event.close_code) == (101, None, 4001)
    assert (event.messages_received, event.request_size) == (2, 6 + 4)
    assert (event.messages_sent, event.response_size) == (2, 12 + 4)
    assert (event.client, event.scheme, event.http_version) == ("127.0.0.1", "ws", "1.1")
    assert dict(event.request_headers)[b"authorization"] == b"Bearer " + MASK(b"s3cret")
    assert dict(event.response_headers) == {b"x-room": b"7"}
    assert event.ttfb is not None
    assert event.total is not None
    assert event.app is not None
    assert 0 < event.ttfb < event.total <= event.app
    assert (bus.ring.last, len(bus.in_flight), capture.statistics().faults) == (1, 0, 0)


async def test_messages_are_counted_and_their_bytes_as_they_are_in_utf_8(site: Site, bus: EventBus) -> None:
    texts: list[str | bytes] = ["", "a", "ä€😀", b"", b"\xff" * 1_000, "x" * 100_000]
    async with connected(site, CaptureMiddleware(echo_app(), bus), "/rooms/1") as socket:
        for text in texts:
            await socket.send(text)
            await socket.recv()
    event = await only(bus)

    sizes = [len(text.encode() if isinstance(text, str) else text) for text in texts]
    assert (event.messages_received, event.messages_sent) == (6, 6)
    assert event.request_size == sum(sizes)
    assert event.response_size == sum(
        size * (2 if isinstance(text, str) else 1) for size, text in zip(sizes, texts, strict=True)
    )


async def test_a_server_that_closes_says_with_which_code(site: Site, bus: EventBus) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 4321})
        while (await receive())["type"] != "websocket.disconnect":
            pass

    async with connected(site, CaptureMiddleware(app, bus)) as socket:
        await socket.wait_closed()
        assert socket.close_code == 4321
    event = await only(bus)

    assert (event.status, event.close_code, event.error) == (101, 4321, None)


async def test_a_handshake_that_is_refused_is_a_403(site: Site, bus: EventBus) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.close", "code": 4000})

    with pytest.raises(InvalidStatus) as refused:
        async with connected(site, CaptureMiddleware(app, bus)):
            pass
    event = await only(bus)

    assert refused.value.response.status_code == 403
    assert (event.kind, event.status, event.close_code, event.error) == ("websocket", 403, None, None)
    assert event.ttfb is not None


@pytest.mark.guarantees("F33")
async def test_a_handshake_that_is_answered_is_that_answer(site: Site, bus: EventBus) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("sign in first", 401, {"x-why": "token"})(scope, receive, send)

    with pytest.raises(InvalidStatus) as refused:
        async with connected(site, CaptureMiddleware(app, bus)):
            pass
    event = await only(bus)

    assert (refused.value.response.status_code, refused.value.response.body) == (401, b"sign in first")
    assert (event.status, event.response_size, event.messages_sent) == (401, 13, 0)
    assert dict(event.response_headers)[b"x-why"] == b"token"


async def test_a_route_that_is_not_there_is_a_refusal_without_a_route(site: Site, bus: EventBus) -> None:
    with pytest.raises(InvalidStatus):
        async with connected(site, CaptureMiddleware(echo_app(), bus), "/nowhere"):
            pass
    event = await only(bus)

    assert (event.kind, event.path, event.status, event.route) == ("websocket", "/nowhere", 403, None)


async def test_an_exception_in_an_open_websocket_is_told_with_its_traceback(site: Site, bus: EventBus) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        raise ZeroDivisionError("on purpose")

    async with connected(site, CaptureMiddleware(app, bus)) as socket:
        with pytest.raises(ConnectionClosed):
            await socket.recv()
    event = await only(bus)

    assert (event.status, event.error) == (101, "ZeroDivisionError")
    assert event.failure is not None
    assert event.failure.message == "on purpose"
    assert [group.type for group in bus.failures.latest()] == ["ZeroDivisionError"]


async def test_an_exception_before_the_handshake_is_answered_is_a_500(site: Site, bus: EventBus) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError

    with pytest.raises(InvalidStatus) as refused:
        async with connected(site, CaptureMiddleware(app, bus)):
            pass
    event = await only(bus)

    assert refused.value.response.status_code == 500
    assert (event.status, event.error, event.close_code) == (500, "ZeroDivisionError", None)


@pytest.mark.guarantees("F29")
async def test_a_connection_that_drops_is_an_end_with_a_code_for_that(site: Site, bus: EventBus) -> None:
    async with connected(site, CaptureMiddleware(echo_app(), bus), "/rooms/1") as socket:
        await socket.send("hello")
        await socket.recv()
        socket.transport.abort()
    event = await only(bus)

    assert (event.status, event.error, event.messages_received) == (101, None, 1)
    assert event.close_code in (1005, 1006)
    assert len(bus.in_flight) == 0


@pytest.mark.guarantees("F29")
async def test_a_client_that_goes_before_the_handshake_is_answered_is_recorded_as_such(
    site: Site, bus: EventBus
) -> None:
    kinds: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(2):
            kinds.append((await receive())["type"])  # noqa: PERF401 - one at a time, for who waits for the first

    async with site.connection(CaptureMiddleware(app, bus)) as connection:
        await connection.send(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        await until(lambda: kinds == ["websocket.connect"], "the handshake to arrive")
    event = await only(bus)

    assert kinds == ["websocket.connect", "websocket.disconnect"]
    assert (event.kind, event.status, event.error) == ("websocket", 499, "client_disconnected")


async def test_a_client_that_goes_before_the_answer_is_told_though_the_application_raises_for_it(
    bus: EventBus,
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await receive()
        raise WebSocketDisconnect(1006)

    messages: list[Message] = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1006}]
    with pytest.raises(WebSocketDisconnect):
        await CaptureMiddleware(app, bus)(scope_of(type="websocket"), from_list(messages), swallow)
    event = await only(bus)

    assert (event.status, event.error) == (499, "client_disconnected")


async def test_an_application_that_returns_without_an_answer_is_one_that_failed(bus: EventBus) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()

    messages: list[Message] = [{"type": "websocket.connect"}]
    await CaptureMiddleware(app, bus)(scope_of(type="websocket"), from_list(messages), swallow)

    assert (await only(bus)).status == 500


@pytest.mark.guarantees("F33")
async def test_every_message_passes_as_the_very_same_object_in_order(bus: EventBus) -> None:
    incoming: list[Message] = [
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "text": "é", "bytes": None},
        {"type": "websocket.receive", "bytes": b"12"},
        {"type": "websocket.receive", "text": "\ud800"},
        {"type": "something new"},
        {"type": "websocket.disconnect", "code": 1001},
    ]
    outgoing: list[Message] = [
        {"type": "websocket.accept", "subprotocol": "x", "headers": []},
        {"type": "websocket.send", "text": "abc"},
        {"type": "websocket.send", "bytes": b"abcd", "text": None},
        {"type": "something new"},
    ]
    received, sent = list[Message](), list[Message]()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in outgoing:
            await send(message)
        received.extend([await receive() for _ in incoming])

    async def send(message: Message) -> None:
        sent.append(message)

    capture = CaptureMiddleware(app, bus)
    await capture(scope_of(type="websocket"), from_list(incoming), send)
    event = await only(bus)

    assert [id(message) for message in received] == [id(message) for message in incoming]
    assert [id(message) for message in sent] == [id(message) for message in outgoing]
    assert (event.messages_received, event.request_size) == (3, 2 + 2 + 3)
    assert (event.messages_sent, event.response_size) == (2, 7)
    assert (event.close_code, capture.statistics().faults) == (1001, 0)


async def test_messages_that_are_none_are_the_servers_to_judge(bus: EventBus) -> None:
    outgoing: list[Message] = [{}, {"type": "websocket.send", "bytes": 5}, {"type": "websocket.accept", "headers": 5}]
    incoming: list[Message] = [{}, {"type": "websocket.receive", "text": 5}]
    sent: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in outgoing:
            await send(message)
        assert [await receive() for _ in incoming] == incoming

    async def send(message: Message) -> None:
        sent.append(message)

    capture = CaptureMiddleware(app, bus)
    await capture(scope_of(type="websocket"), from_list(incoming), send)

    assert sent == outgoing
    assert capture.statistics().faults == 5
    assert len(await published(bus)) == 1


@pytest.mark.parametrize("bodies", ["errors", "all"])
async def test_no_message_is_kept_as_a_body(bus: EventBus, bodies: Any) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "hello"})
        await receive()
        raise ZeroDivisionError

    messages: list[Message] = [{"type": "websocket.receive", "text": "hello"}]
    with pytest.raises(ZeroDivisionError):
        await CaptureMiddleware(app, bus, bodies=bodies)(scope_of(type="websocket"), from_list(messages), swallow)
    event = await only(bus)

    assert (event.request_body, event.response_body) == (None, None)


async def test_a_websocket_may_be_thinned_out_and_one_that_failed_is_kept(bus: EventBus) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/refused":
            await send({"type": "websocket.close"})
        else:
            await send({"type": "websocket.accept"})

    capture = CaptureMiddleware(app, bus, sampling=Sampling(0.0))
    for path in ("/open", "/refused", "/open"):
        await capture(scope_of(type="websocket", path=path), from_list([]), swallow)

    assert [(event.kind, event.path) for event in bus.ring.since(0).events] == [("websocket", "/refused")]
    assert bus.statistics().thinned == 2


async def test_many_at_once_are_an_event_each(site: Site, bus: EventBus) -> None:
    site.app = CaptureMiddleware(echo_app(), bus)
    open_ones, gate = [0], anyio.Event()

    async def talk(number: int) -> None:
        async with connect(f"{site.url.replace('http', 'ws')}/rooms/{number}", proxy=None) as socket:
            for _ in range(number):
                await socket.send("12")
                await socket.recv()
            open_ones[0] += 1
            await gate.wait()

    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(talk, number)
            await until(lambda: open_ones[0] == 20, "all to have talked")
            assert len(bus.in_flight) == 20
            gate.set()
    events = await published(bus, 20)

    assert sorted((event.path, event.messages_received) for event in events) == sorted(
        (f"/rooms/{number}", number) for number in range(20)
    )
    await until(lambda: len(bus.in_flight) == 0, "all to have ended")
