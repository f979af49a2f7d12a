"""The access log: what uvicorn prints for each request, with durations and with fields."""

import logging
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote

import msgspec

from reqscope.bus import Event, Sink
from reqscope.bus.entries import entries

NAME: Final = "reqscope.access"
_MESSAGE: Final = '%s - "%s %s HTTP/%s" %d'
"""With these five arguments, as uvicorn's formatter of access lines wants them."""

_QUERY: Final = "!$%&'()*+,-./:;=?@_~"
"""What stays of a query string, which came encoded."""


class AccessSink:
    """Hands requests to the handlers of the logger `reqscope.access`, or if it has none, to a sink.

    A logging configuration that names this logger gets records as uvicorn's own are, which its `AccessFormatter`
    takes, and finds each field of a log line as an attribute. Handlers are called in the sink's thread.

    :param instead: what prints requests where nobody configured the logger
    """

    name = "access"

    def __init__(self, boot: str, instead: Sink) -> None:
        self._boot = boot
        self._instead = instead
        self._logger = logging.getLogger(NAME)

    def write(self, events: list[Event]) -> int:
        requests = [event for event in events if event.kind in ("request", "websocket")]
        if not self._logger.handlers:
            return self._instead.write(requests) + len(events) - len(requests)
        for event, entry in zip(requests, entries(requests, self._boot), strict=True):
            self._hand_over(event, msgspec.to_builtins(entry))
        return len(events)

    def close(self) -> None:
        self._instead.close()

    def _hand_over(self, event: Event, fields: dict[str, Any]) -> None:
        level = logging.getLevelNamesMapping()[fields["level"].upper()]
        if not self._logger.isEnabledFor(level):
            return
        target = quote(event.path, errors="replace") + (f"?{quote(event.query, safe=_QUERY)}" if event.query else "")
        words = (event.client, event.method, target, event.http_version, event.status)
        record = self._logger.makeRecord(NAME, level, "(reqscope)", 0, _MESSAGE, words, None, extra=fields)
        record.created = event.time / 1e9
        self._logger.handle(record)


@contextmanager
def instead_of_uvicorn() -> Generator[None]:
    """Silence uvicorn's own access log inside the block."""
    logger = logging.getLogger("uvicorn.access")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
