"""One HTTP exchange on its way through: a tee on `receive` and `send` that changes nothing.

What runs here runs once for each request, between two stretches of the application's own code, and finds the
processor's caches full of that. So it is written for few calls and few objects: each costs more than it would in a
loop that measures it alone.
"""

from collections.abc import Awaitable
from contextvars import Token
from operator import itemgetter
from time import perf_counter
from typing import Any, Final

from starlette.types import Message, Receive, Scope, Send

from reqscope.bus import Event, EventBus, Running
from reqscope.bus.event import OVERHEAD

from . import correlation
from .bodies import Chunks
from .failures import keep
from .heads import BESIDE, encode, listed
from .ongoing import forget, leave, undo
from .plan import CapturePlan
from .replay_marks import Mark
from .routes import route_template
from .sealed import RawLine, SealedEnding, SealedExchange, weigh_lines

DISCONNECTED: Final = "client_disconnected"
CLIENT_CLOSED_REQUEST: Final = 499
SERVER_ERROR: Final = 500
"""What servers answer in the place of an application that raised, or returned without an answer."""

_NO_RESPONSE: Final = (0, b"", 0, None)

_NOT_SAID: Final = {"method": "GET", "query_string": b"", "client": None, "scheme": "http", "http_version": ""}
"""What stands for what a scope leaves out."""

_SHARED: Final[dict[Any, Any]] = {
    text: text for text in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "QUERY", "1.0", "1.1", "2", "3")
}
"""Servers make these texts anew for each request: what the ring keeps, and frees cold, had better be one for all."""

MAX_LINES: Final = 200
"""Log lines kept of one request."""

_described: Final = itemgetter("method", "path", "query_string", "client", "scheme", "http_version")
"""What a scope says of the request, in one call."""


class Exchange:
    """A request, and what has been seen of it.

    What the application calls keeps its own failures to itself.
    """

    # All are set for each request: reading what only the class has costs Python more than setting it.
    __slots__ = (
        "bound",
        "clock",
        "disconnected",
        "event",
        "fault",
        "head",
        "headers",
        "lines",
        "mark",
        "number",
        "outer",
        "plan",
        "request_body",
        "request_id",
        "request_size",
        "response",
        "response_body",
        "response_size",
        "root",
        "scope",
        "server_receive",
        "server_send",
        "started",
        "stub",
        "token",
        "trailers",
    )

    plan: CapturePlan
    scope: Scope
    server_receive: Receive
    server_send: Send
    outer: "Exchange | None"
    root: str
    started: int
    clock: float
    head: bytes
    headers: int
    """How many the request has."""
    number: int
    request_id: str
    bound: correlation.Tokens
    token: Token[int]
    response: tuple[int, bytes, int, float | None]
    """Status, headers and how many, and when it began, in seconds from `clock`."""
    request_size: int
    response_size: int
    trailers: bool
    disconnected: bool
    request_body: Chunks | None
    response_body: Chunks | None
    lines: list[RawLine] | None
    event: Event | None
    mark: Mark | None
    stub: str | None
    """The name of the stub that answers, where a mock does."""
    fault: str
    """How a mock breaks the connection, on purpose."""

    def begin(
        self,
        plan: CapturePlan,
        scope: Scope,
        receive: Receive,
        send: Send,
        outer: "Exchange | None",
        root: str,
        started: int,
        clock: float,
        head: bytes,
        headers: int,
        number: int,
        request_id: str,
        bound: correlation.Tokens,
        token: Token[int],
    ) -> None:
        """Set every field. Not `__init__`, because Python calls a method at less cost."""
        self.plan = plan
        self.scope = scope
        self.server_receive = receive
        self.server_send = send
        self.outer = outer
        self.root = root
        self.started = started
        self.clock = clock
        self.head = head
        self.headers = headers
        self.number = number
        self.request_id = request_id
        self.bound = bound
        self.token = token
        self.response = _NO_RESPONSE
        self.request_size = self.response_size = 0
        self.trailers = self.disconnected = False
        self.request_body = self.response_body = None
        self.lines = self.event = self.mark = self.stub = None
        self.fault = ""

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
            self.plan.faults.record("receive", error)
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
                ttfb = perf_counter() - self.clock
                headers = message.get("headers", ())
                if type(headers) is not list:
                    headers = listed(headers)
                self.response = message["status"], encode(headers), len(headers), ttfb
                if "trailers" in message:
                    self.trailers = message["trailers"]
                if self.plan.echo:
                    message = correlation.echo(message, self.request_id)
            else:
                self.sending(kind, message)
        except Exception as error:
            self.plan.faults.record("send", error)
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
            self.plan.bus.in_flight.discard(self)
            forget(self.number, None)
            try:
                leave(self.token)
                for token in self.bound:
                    token.var.reset(token)
            except ValueError:  # the application is driven from several contexts, each of which ends by itself
                pass
            event = self.event or self.publish(error)
            event.app = perf_counter() - self.clock
            if error is not None or self.lines is not None:
                self.amend(event, error)
            if self.mark is not None:
                self.mark.ended.set()
        except Exception as fault:
            self.plan.faults.record("end", fault)
            undo(self.plan.bus, self.number, (self.token, *self.bound))

    def publish(self, error: BaseException | None) -> Event:
        """Put the event on the bus, or have it counted only."""
        if self.event is not None:  # the application sends more than the protocol allows
            return self.event
        total = perf_counter() - self.clock
        scope, plan, reason = self.scope, self.plan, None
        head, (status, response_head, more, ttfb) = self.head, self.response
        try:
            described = _described(scope)
        except KeyError:
            described = _described({**_NOT_SAID, **scope})
        method, path, query, client, scheme, http_version = described
        # uvicorn's `send` is a method of an object that knows whether anybody still waits for the answer; it tells
        # only applications that listen. Behind other middleware, or in another server, nobody knows.
        try:
            gone = self.server_send.__self__.disconnected  # type: ignore[attr-defined]
        except AttributeError:
            gone = False
        if gone is True:
            self.disconnected = True
        if error is not None or self.disconnected or not status:
            status, reason = self.blame(status, error)
        sealed = SealedExchange(plan.gate, path, query, head, response_head, self.request_id)
        size = BESIDE * (self.headers + more) + len(head) + len(response_head) + len(path) + len(query) + OVERHEAD
        if self.request_body is not None or self.lines is not None:
            size += self.seal_more(sealed, status >= 400 or reason is not None)
        self.event = event = Event(  # by position: naming the fields costs half as much again as making the event
            self.started,
            "request",
            _SHARED.get(method, method),
            route_template(scope, self.root),
            status,
            client[0] if client else "",
            scheme,
            _SHARED.get(http_version, http_version),
            self.request_size,
            self.response_size,
            ttfb,
            total,
            reason,
            size,
            sealed,
        )
        if self.stub is not None:
            event.stub = self.stub
        if self.mark is not None:
            event.replay_of, self.mark.event = self.mark.original, event
        if plan.sampling is None or self.mark is not None or plan.sampling.keeps(event):
            plan.bus.publish(event)
        else:
            plan.bus.thin(event)
        return event

    def blame(self, status: int, error: BaseException | None) -> tuple[int, str | None]:
        """Return the status that the request ends with, and what went wrong."""
        if self.fault:
            return status, self.fault
        if self.disconnected:
            return CLIENT_CLOSED_REQUEST, DISCONNECTED
        return unanswered(status, error)

    def seal_more(self, sealed: SealedExchange, failed: bool) -> int:
        """Add bodies and log lines to what nobody may see yet, and return the bytes that they take."""
        size = 0
        if self.request_body is not None and (failed or self.plan.bodies == "all" or self.mark is not None):
            sealed.request_body, sealed.response_body = self.request_body, self.response_body
            size += sum(len(body) for body in (self.request_body, self.response_body) if body is not None)
        if self.lines is not None:
            sealed.lines = tuple(self.lines)
            size += weigh_lines(sealed.lines)
        return size

    def amend(self, event: Event, error: BaseException | None) -> None:
        """Add to the published event what was known only at the end."""
        bus = self.plan.bus
        raised = keep(error) if error is not None else None
        if error is not None and event.error is None:
            event.error = type(error).__qualname__
        before, lines = event.sealed, tuple(self.lines or ())
        known = len(before.lines) if isinstance(before, SealedExchange) else 0
        event.sealed = SealedEnding(self.plan.gate, before, raised, lines)
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
            if exchange.plan.bus is bus and _are_same(exchange.scope["headers"], scope["headers"]):
                return True
            exchange = exchange.outer
        return False

    def __repr__(self) -> str:
        # Whoever shows local variables, as error reporters do, is not to show what has not passed the gate.
        return "Exchange(…)"

    def running(self) -> Running:
        """See `reqscope.bus.inflight.Runner`."""
        scope, gate = self.scope, self.plan.gate
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
            status=self.response[0],
            request_size=self.request_size,
            response_size=self.response_size,
            request_id=gate.text(self.request_id),
        )


def unanswered(status: int, error: BaseException | None) -> tuple[int, str | None]:
    """Return the status that the server gives where the application gave none, and the type of the exception.

    None where the server is being stopped: then it answers nothing.
    """
    if not status and (error is None or isinstance(error, Exception)):
        status = SERVER_ERROR
    return status, type(error).__qualname__ if error is not None else None


def _are_same(one: Any, other: Any) -> bool:
    """Whether these are the headers of one request."""
    # Middleware may copy the scope, and the list of headers with it, but the pairs go along: nothing of ours needs to
    # be put into the scope. A request that a handler makes has headers of its own.
    return one is other or bool(one and other and one[0] is other[0])
