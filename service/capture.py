"""Capture around an ASGI application, which changes nothing for it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from time import perf_counter, time_ns
from typing import Any, Literal, TypeAlias

from starlette.types import ASGIApp, Receive, Scope, Send

from reqscope.bus import EventBus

from . import correlation
from .bodies import Chunks
from .exchange import Exchange, numbers, place, undo, unended, unfinished
from .faults import Faults
from .heads import pack
from .redaction import Redaction
from .replay_marks import Marks
from .routes import below_root
from .sampling import Sampling
from .sealed import Gate
from .websocket import WebSocketExchange

Bodies: TypeAlias = Literal["off", "errors", "all"]

_EXCHANGES = {"http": Exchange, "websocket": WebSocketExchange}


@dataclass(frozen=True, slots=True)
class CaptureStatistics:
    """A snapshot of a capture middleware."""

    in_flight: int
    ignored: int
    faults: int
    """Failures of the capture itself, none of which the application saw."""
    skipped: int = 0
    """Requests that passed unwatched while capture was switched off by its circuit breaker."""
    capturing: bool = True
    kinds: dict[str, int] = field(default_factory=dict[str, int])
    """How many faults of each kind."""
    last: str = ""
    """The latest fault, in words."""


class CaptureMiddleware:
    """Publishes one event for each HTTP request to the application it wraps, and for each WebSocket.

    The application's messages, exceptions, context variables and cancellation pass through untouched, and no
    chunk waits. It needs no particular event loop. What fails in here is counted and logged once a minute, and the
    request goes on; what fails too often is switched off for a while.

    An event is published when the last byte of the response was handed over, or when the application ends
    without that. The clock `app` is filled in when the application returns.

    Two of them with the same bus, one somewhere within the other, make one event of a request.

    :param app: the application to watch
    :param bus: where events go; capture runs in the event loop that the bus belongs to
    :param redaction: what to mask
    :param faults: where its failures are counted, if that is shared
    :param ignore: path prefixes, below the root path, that are passed on unwatched
    :param bodies: whose bodies to keep: nobody's, those of requests that failed (a status of 400 or more, or an
        exception), or all
    :param body_cap: bytes to keep of a body
    :param sampling: what to keep; without it, everything
    :param correlate: bind `request_id`, `trace_id` and `span_id` to structlog's context variables
    :param echo: answer with the request's id in an `X-Request-ID` header
    :param marks: of requests that the monitor sends itself, which are always kept, with the bodies that there are
    """

    def __init__(
        self,
        app: ASGIApp,
        bus: EventBus,
        *,
        redaction: Redaction | None = None,
        faults: Faults | None = None,
        ignore: Iterable[str] = (),
        bodies: Bodies = "off",
        body_cap: int = 16 << 10,
        sampling: Sampling | None = None,
        correlate: bool = True,
        echo: bool = False,
        marks: Marks | None = None,
    ) -> None:
        self.app = app
        self.bus = bus
        self.faults = faults or Faults()
        self.gate = Gate(redaction or Redaction(), self.faults, body_cap)
        self.bodies = bodies
        self._body_cap = body_cap
        self.sampling = sampling
        self.correlate = correlate or echo
        self.echo = echo
        self._marks = marks or Marks()
        self._ignored_prefixes = tuple(prefix.rstrip("/") for prefix in ignore)
        self._ignored = 0
        self._skipped = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        exchange = self._begin(scope, receive, send)
        if exchange is None:
            return await self.app(scope, receive, send)
        try:
            result = await self.app(scope, exchange.receive, exchange.send)  # type: ignore[func-returns-value]
        except BaseException as error:
            exchange.end(error)
            raise
        exchange.end(None)
        return result  # an application has none, but if it does, the server is to judge that

    def statistics(self) -> CaptureStatistics:
        faults = self.faults.statistics()
        return CaptureStatistics(
            in_flight=len(self.bus.in_flight),
            ignored=self._ignored,
            faults=faults.total,
            skipped=self._skipped,
            capturing=faults.capturing,
            kinds=faults.kinds,
            last=faults.last,
        )

    def _begin(self, scope: Scope, receive: Receive, send: Send) -> Exchange | None:
        try:
            kind = _EXCHANGES.get(scope["type"])
            if kind is None or (self._ignored_prefixes and self._ignores(scope)):
                return None
            if self.faults.off and not self.faults.admits():
                self._skipped += 1
                return None
            latest = place.get()
            outer = unfinished(latest) if latest else None
            if outer is not None and outer.is_of(self.bus, scope):
                return None
            headers, number = scope["headers"], next(numbers)
            head, root = pack(headers), scope.get("root_path", "")
            request_id, bound, token = "", correlation.UNBOUND, None
            try:
                if self.correlate:
                    afresh = latest != 0 and (outer is None or outer.number != latest)
                    request_id, bound = correlation.begin(headers, head[0], number, afresh)
                token = place.set(number)
                exchange = kind(  # by position, as an event
                    self,
                    scope,
                    receive,
                    send,
                    outer,
                    root,
                    time_ns(),
                    perf_counter(),
                    head,
                    number,
                    request_id,
                    bound,
                    token,
                )
                if self.bodies != "off":
                    exchange.request_body, exchange.response_body = Chunks(self._body_cap), Chunks(self._body_cap)
                if self._marks.expected:
                    exchange.mark = self._marks.take(headers)
                unended[number] = exchange
                self.bus.in_flight.add(exchange)
                return exchange
            except Exception:
                undo(self.bus, number, (token, *bound))
                raise
        except Exception as error:
            self.faults.record("begin", error)
            return None

    def _ignores(self, scope: Scope) -> bool:
        path = below_root(scope)
        ignored = any(path == prefix or path.startswith(prefix + "/") for prefix in self._ignored_prefixes)
        self._ignored += ignored
        return ignored
