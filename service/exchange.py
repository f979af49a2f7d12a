"""One HTTP exchange on its way through: a tee on `receive` and `send` that changes nothing.

What runs here runs once for each request, between two stretches of the application's own code, and finds the
processor's caches full of that. So it is written for few calls and few objects: each costs more than it would in a
loop that measures it alone.
"""

from collections.abc import Awaitable
from contextlib import suppress
from contextvars import ContextVar, Token
from itertools import count
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.types import Message, Receive, Scope, Send

from reqscope.bus import Event, EventBus, Running

from . import correlation
from .bodies import Chunks
from .failures import keep
from .heads import pack
from .replay_marks import Mark
from .routes import route_template
from .sealed import RawLine, SealedEnding, SealedExchange, weigh_lines

if TYPE_CHECKING:
    from .capture import CaptureMiddleware

DISCONNECTED: Final = "client_disconnected"
CLIENT_CLOSED_REQUEST: Final = 499
SERVER_ERROR: Final = 500
"""What servers answer in the place of an application that raised, or returned without an answer."""

MAX_LINES: Final = 200
"""Log lines kept of one request."""

place: ContextVar[int] = ContextVar("reqscope_exchange", default=0)
"""The number of the exchange that the code that runs belongs to.

A number, because servers keep the context of a request for as long as a timer of its connection runs: an exchange in
there would outlive its request by seconds, and with it all that it holds on to.
"""

unended: Final[dict[int, "Exchange"]] = {}
"""By number, exchanges whose application has not returned yet."""

numbers: Final = count(1)


def current() -> "Exchange | None":
    """Return the exchange that the code that runs belongs to: its log lines are shown beside it. Safe in any thread."""
    return unended.get(place.get())


class Exchange(msgspec.Struct, eq=False):
    """A request, and what has been seen of it.

    What the application calls keeps its own failures to itself.
    """

    capture: "CaptureMiddleware"
    scope: Scope
    server_receive: Receive
    server_send: Send
    outer: "Exchange | None"
    root: str
    started: int
    clock: float
    head: bytes
    weight: int
    """Bytes that the event counts for in the ring, as far as they are known."""
    number: int
    status: int = 0
    response_head: bytes = b""
    ttfb: float | None = None
    request_size: int = 0
    response_size: int = 0
    request_body: Chunks | None = None
    response_body: Chunks | None = None
    trailers: bool = False
    disconnected: bool = False
    request_id: str = ""
    lines: list[RawLine] | None = None
    token: Token[Any] | None = None
    bound: correlation.Tokens = ()
    event: Event | None = None
    stub: str | None = None
    """The name of the stub that answers, where a mock does."""
    fault: str = ""
    """How a mock breaks the connection, on purpose."""
    mark: Mark | None = None

    async def receive(self) -> Message:
        message = await self.server_receive()
        try:
            if message["type"] == "http.request":
                body = message.get("body", b"")
                self.request_size += len(body)
                if self.request_body is not None:
                    self.request_body.add(body)
            elif self.event is None:
                self.disconnected = True
        except Exception as error:
            self.capture.faults.record("receive", error)
        return message

    def send(self, message: Message) -> Awaitable[None]:
        # Not a coroutine: returning the server's own awaitable saves one for each message.
        try:
            kind = message["type"]
            if kind == "http.response.body":
                body = message.get("body", b"")
                self.response_size += len(body)
                if self.response_body is not None:
                    self.response_body.add(body)
                if not (message.get("more_body", False) or self.trailers):
                    self.publish(None)
            elif kind == "http.response.start":
                self.ttfb = perf_counter() - self.clock
                self.status = message["status"]
                self.response_head, weight = pack(message.get("headers", ()))
                self.weight += weight
                if "trailers" in message:
                    self.trailers = message["trailers"]
                if self.capture.echo:
                    message = correlation.echo(message, self.request_id)
            else:
                self.sending(kind, message)
        except Exception as error:
            self.capture.faults.record("send", error)
        return self.server_send(message)

    def sending(self, kind: str, message: Message) -> None:
        """Note a rarer message of the application's."""
        if kind == "http.response.trailers":
            ended = not message.get("more_trailers", False)
        else:
            ended = kind in ("http.response.pathsend", "http.response.zerocopysend") and not message.get("more_body")
        if ended:
            self.publish(None)

    def end(self, error: BaseException | None) -> None:
        """The application returned, or raised."""
        try:
            self.leave()
            event = self.event or self.publish(error)
            event.app = perf_counter() - self.clock
            if error is not None or self.lines is not None:
                self.amend(event, error)
            if self.mark is not None:
                self.mark.ended.set()
        except Exception as fault:
            self.capture.faults.record("end", fault)
            self.undo()

    def leave(self) -> None:
        """Leave nothing behind."""
        self.capture.bus.in_flight.discard(self)
        unended.pop(self.number, None)
        try:
            if self.token is not None:
                place.reset(self.token)
            for token in self.bound:
                token.var.reset(token)
        except ValueError:  # the application is driven from several contexts, each of which ends by itself
            pass

    def undo(self) -> None:
        """Leave nothing behind, after a fault: each by itself, as far as it is still there."""
        with suppress(Exception):
            unended.pop(self.number, None)
            self.capture.bus.in_flight.discard(self)
        for token in (self.token, *self.bound):
            with suppress(Exception):
                if token is not None:
                    token.var.reset(token)

    def publish(self, error: BaseException | None) -> Event:
        """Put the event on the bus, or have it counted only."""
        if self.event is not None:  # the application sends more than the protocol allows
            return self.event
        scope, capture = self.scope, self.capture
        total = perf_counter() - self.clock
        client = scope.get("client")
        self.event = event = Event(
            time=self.started,
            method=scope.get("method", "GET"),
            route=route_template(scope, self.root),
            status=self.status,
            client=client[0] if client else "",
            scheme=scope.get("scheme", "http"),
            http_version=scope.get("http_version", ""),
            request_size=self.request_size,
            response_size=self.response_size,
            ttfb=self.ttfb,
            total=total,
            stub=self.stub,
        )
        # uvicorn's `send` is a method of an object that knows whether anybody still waits for the answer; it tells
        # only applications that listen. Behind other middleware, or in another server, nobody knows.
        if getattr(getattr(self.server_send, "__self__", None), "disconnected", False) is True:
            self.disconnected = True
        if error is not None or self.disconnected or not event.status:
            self.blame(event, error)
        if self.mark is not None:
            event.replay_of, self.mark.event = self.mark.original, event
        if capture.sampling is None or self.mark is not None or capture.sampling.keeps(event):
            self.seal(event)
            capture.bus.publish(event)
        else:
            capture.bus.thin(event)
        return event

    def blame(self, event: Event, error: BaseException | None) -> None:
        """Say in the event what went wrong."""
        if self.fault:
            event.error = self.fault
            return
        if self.disconnected:
            event.status, event.error = CLIENT_CLOSED_REQUEST, DISCONNECTED
        elif error is not None:
            event.error = type(error).__qualname__
        if not event.status and (error is None or isinstance(error, Exception)):
            event.status = SERVER_ERROR

    def seal(self, event: Event) -> None:
        """Give the event what nobody may see before it passed the gate."""
        scope, capture = self.scope, self.capture
        path, query = scope["path"], scope.get("query_string", b"")
        sealed = SealedExchange(capture.gate, path, query, self.head, self.response_head, self.request_id)
        size = self.weight + len(path) + len(query)
        kept = capture.bodies == "all" or event.status >= 400 or event.error or self.mark is not None
        if self.request_body is not None and kept:
            sealed.request_body, sealed.response_body = self.request_body, self.response_body
            size += sum(len(body) for body in (self.request_body, self.response_body) if body is not None)
        if self.lines is not None:
            sealed.lines = tuple(self.lines)
            size += weigh_lines(sealed.lines)
        event.size, event.sealed = size, sealed

    def amend(self, event: Event, error: BaseException | None) -> None:
        """Add to the published event what was known only at the end."""
        bus = self.capture.bus
        raised = keep(error) if error is not None else None
        if error is not None and event.error is None:
            event.error = type(error).__qualname__
        before, lines = event.sealed, tuple(self.lines or ())
        known = len(before.lines) if isinstance(before, SealedExchange) else 0
        event.sealed = SealedEnding(self.capture.gate, before, raised, lines)
        bus.ring.grow(event, weigh_lines(lines[known:]) + (raised.weight if raised else 0))
        # A client that goes away, or a request that is cancelled, is no failure of the application's.
        if raised is not None and isinstance(error, Exception) and type(error).__name__ != "ClientDisconnect":
            bus.failures.note(event)

    def log(self, line: RawLine) -> None:
        """Keep a line that the application logged. Safe in any thread."""
        if self.lines is None:
            self.lines = []
        if len(self.lines) < MAX_LINES:
            self.lines.append(line)

    def is_of(self, bus: EventBus, scope: Scope) -> bool:
        """Whether this or an outer exchange is the one of that very request, on that bus."""
        exchange: Exchange | None = self
        while exchange is not None:
            if exchange.capture.bus is bus and _are_same(exchange.scope["headers"], scope["headers"]):
                return True
            exchange = exchange.outer
        return False

    def __repr__(self) -> str:
        # Whoever shows local variables, as error reporters do, is not to show what has not passed the gate.
        return "Exchange(…)"

    def running(self) -> Running:
        """See `reqscope.bus.inflight.Runner`."""
        scope, gate = self.scope, self.capture.gate
        client = scope.get("client")
        return Running(
            id=f"{id(self):x}",
            time=self.started,
            age=perf_counter() - self.clock,
            kind="request" if scope["type"] == "http" else "websocket",
            method=scope.get("method", "GET"),
            path=gate.path(scope["path"]),
            query=gate.query(scope.get("query_string", b"")).decode("latin-1"),
            client=client[0] if client else "",
            status=self.status,
            request_size=self.request_size,
            response_size=self.response_size,
            request_id=gate.text(self.request_id),
        )


def _are_same(one: Any, other: Any) -> bool:
    """Whether these are the headers of one request."""
    # Middleware may copy the scope, and the list of headers with it, but the pairs go along: nothing of ours needs to
    # be put into the scope. A request that a handler makes has headers of its own.
    return one is other or bool(one and other and one[0] is other[0])
