"""Capture around an ASGI application: a tee on `receive` and `send` that changes nothing."""

import logging
import time
from collections.abc import Awaitable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reqscope.bus import Event, EventBus

from .redaction import Redaction
from .routes import below_root, route_template

DISCONNECTED: Final = "client_disconnected"
_CLIENT_CLOSED_REQUEST: Final = 499
_SERVER_ERROR: Final = 500
"""What servers answer in the place of an application that raised, or returned without an answer."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CaptureStatistics:
    """A snapshot of a capture middleware."""

    in_flight: int
    ignored: int
    faults: int
    """Failures of the capture itself, none of which the application saw."""


class CaptureMiddleware:
    """Publishes one event for each HTTP request to the application it wraps.

    The application's messages, exceptions, context variables and cancellation pass through untouched, and no
    chunk waits. What fails in here is counted and logged once a minute, and the request goes on.

    An event is published when the last byte of the response was handed over, or when the application ends
    without that. The clock `app` is filled in when the application returns.

    :param app: the application to watch
    :param bus: where events go; capture runs in the event loop that the bus belongs to
    :param redaction: what to mask in headers and query
    :param ignore: path prefixes, below the root path, that are passed on unwatched
    """

    def __init__(
        self, app: ASGIApp, bus: EventBus, *, redaction: Redaction | None = None, ignore: Iterable[str] = ()
    ) -> None:
        self.app = app
        self.bus = bus
        self.redaction = redaction or Redaction()
        self._ignored_prefixes = tuple(prefix.rstrip("/") for prefix in ignore)
        self._in_flight = 0
        self._ignored = 0
        self._faults = 0
        self._logged_at = float("-inf")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (self._ignored_prefixes and self._ignores(scope)):
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(self, scope, receive, send)
        self._in_flight += 1
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except BaseException as error:
            exchange.end(error)
            raise
        else:
            exchange.end(None)
        finally:
            self._in_flight -= 1

    def fault(self, error: Exception) -> None:
        """Count a failure of our own, and log it if a minute has passed since the last one was."""
        self._faults += 1
        now = time.monotonic()
        if now - self._logged_at >= 60:
            self._logged_at = now
            with suppress(Exception):  # not even a broken log set-up may reach the application
                logger.warning("capture failed %d times, the application is not affected: %r", self._faults, error)

    def statistics(self) -> CaptureStatistics:
        return CaptureStatistics(self._in_flight, self._ignored, self._faults)

    def _ignores(self, scope: Scope) -> bool:
        path = below_root(scope)
        ignored = any(path == prefix or path.startswith(prefix + "/") for prefix in self._ignored_prefixes)
        self._ignored += ignored
        return ignored


class _Exchange:
    """One request on its way through, and what has been seen of it."""

    __slots__ = (
        "_capture",
        "_clock",
        "_disconnected",
        "_event",
        "_headers",
        "_receive",
        "_request_size",
        "_response_size",
        "_root",
        "_scope",
        "_send",
        "_started",
        "_status",
        "_ttfb",
    )

    def __init__(self, capture: CaptureMiddleware, scope: Scope, receive: Receive, send: Send) -> None:
        self._capture = capture
        self._scope = scope
        self._receive = receive
        self._send = send
        self._started = time.time_ns()
        self._clock = time.perf_counter()
        self._root = scope.get("root_path", "")
        self._status = 0
        self._headers: Iterable[tuple[bytes, bytes]] = ()
        self._ttfb: float | None = None
        self._request_size = 0
        self._response_size = 0
        self._disconnected = False
        self._event: Event | None = None

    async def receive(self) -> Message:
        message = await self._receive()
        try:
            if message["type"] == "http.request":
                self._request_size += len(message.get("body", b""))
            elif self._event is None:
                self._disconnected = True
        except Exception as error:
            self._capture.fault(error)
        return message

    def send(self, message: Message) -> Awaitable[None]:
        # Not a coroutine: returning the server's own awaitable saves one for each message.
        try:
            self._see(message)
        except Exception as error:
            self._capture.fault(error)
        return self._send(message)

    def end(self, error: BaseException | None) -> None:
        """The application returned, or raised."""
        try:
            event = self._event or self._publish(error)
            event.app = time.perf_counter() - self._clock
            if error is not None and event.error is None:
                event.error = type(error).__qualname__
        except Exception as fault:
            self._capture.fault(fault)

    def _see(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.body":
            self._response_size += len(message.get("body", b""))
            if not message.get("more_body", False):
                self._publish(None)
        elif kind == "http.response.start":
            self._ttfb = time.perf_counter() - self._clock
            self._status = message["status"]
            self._headers = message.get("headers", ())
        elif kind == "http.response.pathsend":
            self._publish(None)

    def _publish(self, error: BaseException | None) -> Event:
        scope, capture = self._scope, self._capture
        total = time.perf_counter() - self._clock
        client = scope.get("client")
        event = Event(
            time=self._started,
            method=scope["method"],
            path=scope["path"],
            query=capture.redaction.query(scope["query_string"]),
            route=route_template(scope, self._root),
            status=self._status,
            client=client[0] if client else "",
            scheme=scope.get("scheme", "http"),
            http_version=scope["http_version"],
            request_headers=capture.redaction.headers(scope["headers"]),
            response_headers=capture.redaction.headers(self._headers),
            request_size=self._request_size,
            response_size=self._response_size,
            ttfb=self._ttfb,
            total=total,
        )
        if error is not None or self._disconnected:
            self._blame(event, error)
        elif not event.status:
            event.status = _SERVER_ERROR
        self._event = event
        capture.bus.publish(event)
        return event

    def _blame(self, event: Event, error: BaseException | None) -> None:
        if self._disconnected:
            event.status, event.error = _CLIENT_CLOSED_REQUEST, DISCONNECTED
        elif error is not None:
            event.error = type(error).__qualname__
            if not event.status and isinstance(error, Exception):
                event.status = _SERVER_ERROR
