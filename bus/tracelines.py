"""The log lines that were exported with a request's trace: OpenTelemetry sends them apart from its span."""

from itertools import islice
from typing import Final

from .event import Event
from .ring import RingBuffer

MAX_LINES: Final = 200
_MAX_LOOKED_AT: Final = 50_000
"""Events behind which no line is looked for: a detail that is opened must not hold up the event loop."""


def trace_lines(ring: RingBuffer, event: Event) -> list[Event]:
    """Return the exported log lines of the trace of an opened `event`, oldest first, the latest 200 of them.

    Found when they are asked for, because they come before or after the request, in batches of their own.
    """
    trace, last = event.trace_id, ring.last
    if not trace or is_line(event):
        return []
    newest = reversed(ring.since(max(ring.first - 1, last - _MAX_LOOKED_AT), sealed=True).events)
    found = (other for other in newest if other.trace_id == trace and is_line(other))
    return [*islice(found, MAX_LINES)][::-1]


def is_line(event: Event) -> bool:
    """Return whether `event` is a log line that was exported, and no request."""
    return event.severity != ""
