"""Capture around an ASGI application, which changes nothing for it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from reqscope.bus import EventBus

from .beginning import begin
from .faults import Faults
from .plan import Bodies, CapturePlan
from .redaction import Redaction
from .replay_marks import Marks
from .sampling import Sampling
from .sealed import Gate


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
        self._plan = CapturePlan(
            bus,
            Gate(redaction or Redaction(), self.faults, body_cap),
            self.faults,
            marks or Marks(),
            sampling,
            tuple(prefix.rstrip("/") for prefix in ignore),
            bodies,
            correlate or echo,
            echo,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        exchange = begin(self._plan, scope, receive, send)
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
            ignored=self._plan.ignored,
            faults=faults.total,
            skipped=self._plan.skipped,
            capturing=faults.capturing,
            kinds=faults.kinds,
            last=faults.last,
        )
