"""The data plane: `POST /log`, `POST /events` and OTLP, as plain ASGI in front of an ordinary application."""

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

import anyio
import msgspec
from anyio import to_thread
from anyio.lowlevel import checkpoint
from starlette.types import ASGIApp, Receive, Scope, Send

from reqscope.bus import Event, EventBus, SinkRunner
from reqscope.bus.encoding import encode
from reqscope.bus.event import OVERHEAD, Sealed

from .acks import AckError, acknowledging
from .batches import Batch, BatchError, read_batch
from .encodings import Undecodable, decode, known_encodings
from .exchange import DISCONNECTED
from .faults import Faults
from .heads import BESIDE, listed, pack
from .hosts import Hosts
from .origins import Origins
from .otlp import SIGNALS, NotOtlp, OtlpCounts, Receiver
from .otlp_answers import JSON, PROTOBUF, refused
from .problems import PROBLEM, problem, respond
from .redaction import Redaction
from .routes import below_root
from .sealed import Gate, SealedExchange, SealedRecord

ROUTES: Final = ("/log", "/events", *SIGNALS)
MAX_BODY: Final = 1 << 20
MAX_BATCH: Final = 8 << 20
_FOREIGN: Final = "a page of another site sent this; if it may, name that site in REQSCOPE_ALLOWED_ORIGINS"
_ECHO: Final = 1_000
_NO_TOKEN: Final = "send a token: Authorization: Bearer …, made by `reqscope token add NAME --scope ingest`"
_LARGE: Final = 1 << 20
_MAX_DISCARDED: Final = 64 << 20
_DISCARD_FOR: Final = 2.0
_PUBLISH_AT_ONCE: Final = 1_000
"""Events published before the event loop gets a turn, so that readers keep up with a large batch."""
_TURN: Final = 0.002
"""Seconds of masking before the same."""


class Logged(msgspec.Struct):
    """The answer to `POST /log`."""

    status: str
    message: str
    seq: int
    id: str


class DataPlane:
    """Answers the ingest routes itself, and hands every other request to `app`.

    :param app: everything else, lifespan included
    :param redaction: what to mask in posted records before anybody sees them
    :param faults: where its failures are counted
    :param exported: where it is counted what OpenTelemetry exporters sent
    :param guard: whether a request may send records
    :param hosts: the names that records may be sent to; without, any
    :param origins: whose pages may have a browser send records; without, its own
    :param sinks: what a client that asks for `ack=disk` waits for
    """

    def __init__(
        self,
        app: ASGIApp,
        bus: EventBus,
        redaction: Redaction | None = None,
        faults: Faults | None = None,
        exported: OtlpCounts | None = None,
        guard: Callable[[Scope], bool] = lambda scope: True,
        *,
        hosts: Hosts | None = None,
        origins: Origins | None = None,
        sinks: Sequence[SinkRunner] = (),
    ) -> None:
        self._app = app
        self._guard = guard
        self._bus = bus
        self._gate = Gate(redaction or Redaction(), faults or Faults())
        self._record = SealedRecord(self._gate)
        self._receiver = Receiver(self._gate, exported)
        answers = (self._log, self._events, *[self._export] * len(SIGNALS))
        self._routes = dict(zip(ROUTES, answers, strict=True))
        self._hosts = hosts or Hosts()
        self._origins = origins or Origins()
        self._sinks = sinks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._routes.get(below_root(scope)) if scope["type"] == "http" else None
        if route is None:
            await self._app(scope, receive, send)
            return
        post = _Post(self._bus, self._gate, scope)
        body = _Body(post.headers, receive)
        try:
            if self._bus.closed:
                raise Refusal(503, "the monitor is going down", ((b"retry-after", b"1"),))
            if (refusal := self._hosts.refusal(scope)) is not None:
                raise Refusal(400, refusal)
            if self._origins.is_foreign(scope):
                raise Refusal(403, _FOREIGN)
            if not self._guard(scope):
                raise Refusal(401, _NO_TOKEN, ((b"www-authenticate", b'Bearer realm="reqscope"'),))
            if scope["method"] != "POST":
                raise Refusal(405, f"{scope['path']} takes POST only", ((b"allow", b"POST"),))
            await route(post, body, send)
        except Refusal as refusal:
            answer, content_type = post.refused(refusal)
            post.publish(refusal.status).response_size = len(answer)
            await body.discard()
            # What is still to come is not read: closing is the only way not to be sent all of it.
            headers = (*refusal.headers, (b"connection", b"close"))
            await respond(send, refusal.status, answer, content_type, headers)
        except ClientDisconnected:
            post.publish(499, error=DISCONNECTED)

    async def _log(self, post: "_Post", body: "_Body", send: Send) -> None:
        content = await body.read(MAX_BODY)
        async with self._acknowledging(post) as published:
            event = post.publish(200, content)
            published([event])
        answer = encode(Logged("logged", f"API received: {_echo(content)}", event.seq, self._bus.event_id(event)))
        event.response_size = len(answer)
        await respond(send, 200, answer)

    async def _events(self, post: "_Post", body: "_Body", send: Send) -> None:
        content = await _decoded(post.headers, await body.read(MAX_BATCH))
        try:
            batch = await _read(content, post.content_type, post.client, self._record)
        except BatchError as error:
            raise Refusal(error.status, str(error)) from None
        await self._mask_routes(batch.events)
        async with self._acknowledging(post) as published:
            await self._publish(batch.events, published)
        counts = {"accepted": len(batch.events), "rejected": batch.rejected, "errors": batch.errors}
        if batch.rejected and not batch.events:
            answer = problem(400, "none of the records could be read", **counts)
            post.publish(400).response_size = len(answer)
            await respond(send, 400, answer, PROBLEM)
        else:
            await respond(send, 200, encode(counts))

    async def _mask_routes(self, events: Sequence[Event]) -> None:
        """Mask secrets in routes now: statistics by route read them in events that nobody has opened."""
        masked = dict[str | None, str | None]()
        turn = time.perf_counter() + _TURN
        for route in {event.route for event in events}:
            masked[route] = self._gate.path(route) if route else route
            if time.perf_counter() > turn:
                await checkpoint()
                turn = time.perf_counter() + _TURN
        if any(masked):
            for event in events:
                event.route = masked[event.route]

    async def _export(self, post: "_Post", body: "_Body", send: Send) -> None:
        content = await _decoded(post.headers, await body.read(MAX_BATCH))
        try:
            received = await self._receiver.receive(post.route, post.content_type, content)
        except NotOtlp as error:
            raise Refusal(error.status, str(error)) from None
        await self._publish(received.events)
        for event in received.unhandled:
            self._bus.failures.note(event)
        await respond(send, 200, received.answer, received.content_type.encode())

    async def _publish(
        self, events: Sequence[Event], published: Callable[[Sequence[Event]], None] = lambda events: None
    ) -> None:
        for start in range(0, len(events), _PUBLISH_AT_ONCE):
            if start:
                await checkpoint()
            some = events[start : start + _PUBLISH_AT_ONCE]
            self._bus.publish_all(some)
            published(some)

    @asynccontextmanager
    async def _acknowledging(self, post: "_Post") -> AsyncGenerator[Callable[[Sequence[Event]], None]]:
        """At the end of the block, wait until what was published in it is on the disk, if the client asked for that."""
        try:
            async with acknowledging(post.query, self._sinks) as published:
                yield published
        except AckError as error:
            headers = ((b"retry-after", b"1"),) if error.status == 503 else ()
            raise Refusal(error.status, str(error), headers) from None


class Refusal(Exception):
    """A request that gets a problem answer.

    :ivar status: its HTTP status
    """

    def __init__(self, status: int, detail: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers


class ClientDisconnected(Exception):
    """The client went away before it had sent everything."""


class _Post:
    """One request to an ingest route, as far as its event needs it."""

    __slots__ = ("_bus", "_clock", "_gate", "_scope", "_time", "client", "headers", "route")

    def __init__(self, bus: EventBus, gate: Gate, scope: Scope) -> None:
        self._bus = bus
        self._gate = gate
        self._scope = scope
        self._time = time.time_ns()
        self._clock = time.perf_counter()
        peer = scope.get("client")
        self.client: str = peer[0] if peer else ""
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.route = below_root(scope)

    @property
    def query(self) -> bytes:
        query: bytes = self._scope["query_string"]
        return query

    @property
    def content_type(self) -> str:
        """Without its parameters."""
        return self.headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")

    def refused(self, refusal: Refusal) -> tuple[bytes, bytes]:
        """Return the body and the type of a refusal: in the words of OTLP for who speaks them."""
        if self.route in SIGNALS and self.content_type in (PROTOBUF, JSON):
            return refused(self.content_type, str(refusal)), self.content_type.encode()
        return problem(refusal.status, str(refusal)), PROBLEM

    def publish(self, status: int, body: bytes = b"", error: str | None = None) -> Event:
        scope = self._scope
        path, query = scope["path"], scope["query_string"]
        headers = listed(scope["headers"])
        head = pack(headers)
        event = Event(
            time=self._time,
            kind="log" if status == 200 else "request",
            method=scope["method"],
            route=self.route,
            status=status,
            client=self.client,
            scheme=scope.get("scheme", "http"),
            http_version=scope["http_version"],
            request_size=len(body),
            total=time.perf_counter() - self._clock,
            error=error,
            size=OVERHEAD + len(path) + len(query) + len(head) + BESIDE * len(headers) + len(body),
            sealed=SealedExchange(self._gate, path, query, head, b"", body=body),
        )
        self._bus.publish(event)
        return event


class _Body:
    """The body of a request, which can be read once."""

    __slots__ = ("_declared", "_ended", "_expects", "_receive")

    def __init__(self, headers: dict[bytes, bytes], receive: Receive) -> None:
        self._receive = receive
        self._declared = headers.get(b"content-length", b"0")
        self._expects = b"expect" in headers
        self._ended = False

    async def read(self, limit: int) -> bytes:
        """Read all of it, refusing as early as possible one that is too large."""
        too_large = Refusal(413, f"the body is larger than {limit} bytes")
        if not self._declared.isdigit():
            raise Refusal(400, "Content-Length is not a number")
        if self._is_beyond(limit):
            raise too_large
        chunks: list[bytes] = []
        size = 0
        while not self._ended:
            chunk = await self._next()
            size += len(chunk)
            if size > limit:
                raise too_large
            chunks.append(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def discard(self) -> None:
        """Read what a refused client still sends, within reason: many hear an answer only when they have sent all."""
        if self._expects or not self._declared.isdigit() or self._is_beyond(_MAX_DISCARDED):
            return
        left = _MAX_DISCARDED
        with anyio.move_on_after(_DISCARD_FOR), suppress(ClientDisconnected):
            while left > 0 and not self._ended:
                left -= len(await self._next())

    def _is_beyond(self, limit: int) -> bool:
        return len(self._declared) > 19 or int(self._declared) > limit

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] != "http.request":
            raise ClientDisconnected
        self._ended = not message.get("more_body", False)
        chunk: bytes = message.get("body", b"")
        return chunk


async def _read(content: bytes, content_type: str, client: str, sealed: Sealed) -> Batch:
    """Read a batch, a large one in a thread: some take a second, and the event loop gets its turns meanwhile."""
    if len(content) <= _LARGE:
        return read_batch(content, content_type, client, sealed)
    return await to_thread.run_sync(read_batch, content, content_type, client, sealed)


async def _decoded(headers: dict[bytes, bytes], body: bytes) -> bytes:
    encoding = headers.get(b"content-encoding", b"identity").strip().lower().decode("latin-1")
    if encoding == "identity":
        return body
    try:
        return await to_thread.run_sync(decode, body, encoding, MAX_BATCH)
    except Undecodable as error:
        known = ((b"accept-encoding", ", ".join(known_encodings()).encode()),) if error.status == 415 else ()
        raise Refusal(error.status, str(error), known) from None


def _echo(body: bytes) -> str:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return f"{len(body)} bytes"
    return text if len(text) <= _ECHO else f"{text[:_ECHO]}… ({len(body)} bytes)"
