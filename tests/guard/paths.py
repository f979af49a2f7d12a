"""The paths that are guarded, each as something to call that does it once. Only readers need an event loop."""

from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, cast

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reqscope.bus import Event, EventBus, Filter, Stats
from reqscope.bus.encoding import encode_lines
from reqscope.bus.entries import entries
from reqscope.service.batches import read_batch
from reqscope.service.bridge.carried import Sealer, Unsealer
from reqscope.service.bridge.ordering import Ordering
from reqscope.service.bridge.packed import Packed, Rules
from reqscope.service.capture import CaptureMiddleware
from reqscope.service.faults import Faults
from reqscope.service.redaction import Redaction
from reqscope.service.redaction.names import SENSITIVE
from reqscope.service.sealed import Gate, SealedExchange
from reqscope.ui.frames import Frames

from .work import Run

CAPACITY: Final = 64
"""Events that the rings here keep: they are full, as rings are."""

HEADERS: Final = [(b"host", b"127.0.0.1:8000"), (b"user-agent", b"guard/1"), (b"accept", b"application/json")]
_START: Final[Message] = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", b"17")],
}


def answering(*chunks: bytes) -> ASGIApp:
    """Return an application that reads its request and answers with these chunks."""
    bodies = [{"type": "http.response.body", "body": chunk, "more_body": True} for chunk in chunks[:-1]]
    bodies.append({"type": "http.response.body", "body": chunks[-1]})

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body", False):
            pass
        await send(_START)
        for body in bodies:
            await send(body)

    return app


def request(app: ASGIApp, *chunks: bytes) -> Run:
    """Return one request to `app` with a body of these chunks, from its scope to its end."""
    arriving = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    arriving.append({"type": "http.request", "body": b"", "more_body": False})

    async def send(message: Message) -> None:
        pass

    def run() -> None:
        waiting = iter(arriving)

        async def receive() -> Message:
            return next(waiting)

        _drive(cast(Coroutine[Any, Any, None], app(_scope(), receive, send)))

    return run


def captured(app: ASGIApp, **options: Any) -> CaptureMiddleware:
    """Return `app` watched, with a ring that is full."""
    capture = CaptureMiddleware(app, full_bus(), **options)
    fill = request(capture)
    for _ in range(CAPACITY):
        fill()
    return capture


def full_bus() -> EventBus:
    bus = EventBus(CAPACITY)
    for event in events(CAPACITY):
        bus.publish(event)
    return bus


def events(amount: int) -> list[Event]:
    """Return so many requests as capture makes them, opened."""
    return [
        Event(
            time=number, method="GET", path=f"/items/{number}", route="/items/{item}", status=200, total=0.01, size=500
        )
        for number in range(amount)
    ]


@asynccontextmanager
async def readers(bus: EventBus, amount: int, asleep: bool) -> AsyncGenerator[None]:
    """Attach so many readers that get nothing of what is published inside the block.

    :param asleep: have them wait for it, and be woken by the first event; otherwise they are busy with something else
    """
    async with AsyncExitStack() as stack, anyio.create_task_group() as tasks:
        for _ in range(amount):
            reader = await stack.enter_async_context(bus.subscribe())
            if asleep:
                tasks.start_soon(reader.receive)
        await anyio.wait_all_tasks_blocked()
        yield
        tasks.cancel_scope.cancel()


def publish(bus: EventBus, amount: int) -> Run:
    """Return publishing so many events, one by one."""
    made = events(amount)

    def run() -> None:
        for event in made:
            bus.publish(event)

    return run


def ingest(records: int) -> Run:
    """Return taking a batch of so many lines of JSON to the ring."""
    body = b"\n".join(
        b'{"event":"paid","url.path":"/orders/%d","http.response.status_code":201}' % n for n in range(records)
    )
    bus = full_bus()
    return lambda: bus.publish_all(read_batch(body, "application/x-ndjson", "10.0.0.7").events)


def packed(amount: int) -> Callable[[], bytes]:
    """Return packing so many captured events for another process of this user, still sealed."""
    redaction = Redaction()
    gate = Gate(redaction, Faults())
    sealer = Sealer(redaction, Rules(SENSITIVE, gate.body_cap))
    made = [
        Event(n, "request", "GET", "/{x}", 200, total=0.1, size=700, sealed=SealedExchange(gate, "/x", b"", b"", b""))
        for n in range(amount)
    ]
    return lambda: sealer.pack(Packed(worker="1", boot="cafe", number=1, after=0, events=made))


def taken_in(amount: int) -> Run:
    """Return taking in such a batch: from bytes to the ring, in order."""
    data, bus, unsealer = packed(amount)(), EventBus(10 * amount), Unsealer(Faults())
    unsealer.unpack(data)  # for the rules of the batch before

    def take() -> None:
        ordering = Ordering()
        ordering.add(unsealer.unpack(data).events, 0.0)
        bus.publish_all(ordering.rest())

    return take


def log_lines(amount: int) -> Run:
    """Return making log lines of so many events."""
    made = events(amount)
    return lambda: encode_lines(entries(made, "cafe"))


class Viewers:
    """Open pages with one filter, that all ask for what is new once there is something new."""

    def __init__(self, amount: int) -> None:
        self._amount = amount
        self._bus = full_bus()
        self._frames = Frames(self._bus, Stats(self._bus), sinks=[])
        self._passes = Filter.parse("method:GET")

    def __call__(self) -> None:
        after = self._bus.ring.last
        publish(self._bus, 20)()
        for _ in range(self._amount):
            self._frames.add(self._passes, after, 0, self._bus.ring.last)


def _scope() -> Scope:
    return {
        "type": "http",
        "method": "GET",
        "path": "/items/42",
        "raw_path": b"/items/42",
        "query_string": b"page=2",
        "root_path": "",
        "http_version": "1.1",
        "scheme": "http",
        "client": ("127.0.0.1", 50_000),
        "headers": [*HEADERS],
    }


def _drive(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run what never waits for anything."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits for something")
