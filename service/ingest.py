"""The data plane: `POST /log`, `POST /events` and OTLP, as plain ASGI in front of an ordinary application."""

import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from anyio import to_thread
from anyio.lowlevel import checkpoint
from starlette.types import ASGIApp, Receive, Scope, Send

from reqscope.bus import Event, EventBus, SinkRunner
from reqscope.bus.encoding import encode
from reqscope.bus.event import Sealed

from .acks import acknowledging
from .batches import Batch, BatchError, read_batch
from .encodings import Undecodable, decode, known_encodings
from .exchange import DISCONNECTED
from .faults import Faults
from .hosts import Hosts
from .origins import Origins
from .otlp import SIGNALS, NotOtlp, OtlpCounts, Receiver
from .otlp_answers import JSON, PROTOBUF, refused
from .posted import ClientDisconnected, Post, Refusal
from .problems import PROBLEM, problem, respond
from .redaction import Redaction
from .routes import below_root
from .sealed import Gate, SealedRecord

ROUTES: Final = ("/log", "/events", *SIGNALS)
MAX_BODY: Final = 1 << 20
MAX_BATCH: Final = 8 << 20
_FOREIGN: Final = "a page of another site sent this; if it may, name that site in REQSCOPE_ALLOWED_ORIGINS"
_ECHO: Final = 1_000
_NO_TOKEN: Final = "send a token: Authorization: Bearer …, made by `reqscope token add NAME --scope ingest`"
_LARGE: Final = 1 << 20
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
        route = below_root(scope) if scope["type"] == "http" else ""
        answer = self._routes.get(route)
        if answer is None:
            await self._app(scope, receive, send)
            return
        post = Post(scope, receive, route, self._gate)
        try:
            self._admit(scope)
            await answer(post, send)
        except Refusal as refusal:
            await self._refuse(post, refusal, send)
        except ClientDisconnected:
            post.publish(self._bus, 499, error=DISCONNECTED)

    def _admit(self, scope: Scope) -> None:
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

    async def _refuse(self, post: Post, refusal: Refusal, send: Send) -> None:
        answer, content_type = problem(refusal.status, str(refusal)), PROBLEM
        if post.route in SIGNALS and post.content_type in (PROTOBUF, JSON):  # in the words of OTLP for who speaks them
            answer, content_type = refused(post.content_type, str(refusal)), post.content_type.encode()
        post.publish(self._bus, refusal.status).response_size = len(answer)
        await post.discard()
        # What is still to come is not read: closing is the only way not to be sent all of it.
        headers = (*refusal.headers, (b"connection", b"close"))
        await respond(send, refusal.status, answer, content_type, headers)

    async def _log(self, post: Post, send: Send) -> None:
        content = await post.read(MAX_BODY)
        async with acknowledging(post.query, self._sinks) as published:
            event = post.publish(self._bus, 200, content)
            published([event])
        answer = encode(Logged("logged", f"API received: {_echo(content)}", event.seq, self._bus.event_id(event)))
        event.response_size = len(answer)
        await respond(send, 200, answer)

    async def _events(self, post: Post, send: Send) -> None:
        content = await _decoded(post.headers, await post.read(MAX_BATCH))
        try:
            batch = await _read(content, post.content_type, post.client, self._record)
        except BatchError as error:
            raise Refusal(error.status, str(error)) from None
        await self._mask_routes(batch.events)
        async with acknowledging(post.query, self._sinks) as published:
            await self._publish(batch.events, published)
        counts = {"accepted": len(batch.events), "rejected": batch.rejected, "errors": batch.errors}
        if batch.rejected and not batch.events:
            answer = problem(400, "none of the records could be read", **counts)
            post.publish(self._bus, 400).response_size = len(answer)
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

    async def _export(self, post: Post, send: Send) -> None:
        content = await _decoded(post.headers, await post.read(MAX_BATCH))
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
