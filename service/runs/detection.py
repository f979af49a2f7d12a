"""Which run a request says it belongs to, and which load tool it comes from."""

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from reqscope.bus import Event
from reqscope.service.heads import unpack
from reqscope.service.sealed import SealedEnding, SealedExchange

HEADER: Final = b"x-reqscope-run"
_VEGETA: Final = b"x-vegeta-attack"
_MAX_NAME: Final = 100
_REMEMBERED: Final = 4_096

_BAGGAGE: Final = re.compile(rb"(?:^|,)\s*(?:reqscope\.run|test\.run\.id|k6\.test_run_id)\s*=\s*([^,;\s]+)")
"""https://www.w3.org/TR/baggage/#header-content; the last is what k6's pyroscope library sends."""

_K6_TRACE: Final = re.compile(rb"[0-9a-f]{2}-dc0718")
"""Trace ids of k6's tempo library begin so."""

_AGENTS: Final = (
    ("k6", re.compile(rb"(?:Grafana )?k6/")),
    ("hey", re.compile(rb"hey/")),
    ("oha", re.compile(rb"oha/")),
    ("vegeta", re.compile(rb"vegeta", re.IGNORECASE)),
    ("ab", re.compile(rb"ApacheBench/")),
    ("siege", re.compile(rb".*Siege/")),
    # Locust's plain client is python-requests, as half of the world's scripts are; only its fast one can be told.
    ("locust", re.compile(rb"(?:.*locust|python/gevent-http-client)", re.IGNORECASE)),
    ("jmeter", re.compile(rb".*JMeter", re.IGNORECASE)),
    ("wrk", re.compile(rb"wrk2?(?:/|$)")),
)

TOOLS: Final = tuple(tool for tool, _ in _AGENTS)


class Mark(NamedTuple):
    """What a request says of the run it is part of."""

    name: str
    """Empty where it names none, and only the tool is known."""
    tool: str
    origin: str


class Detector:
    """Finds the marks of requests, of sealed ones too. Those of one tool have equal headers, so most are known."""

    def __init__(self) -> None:
        self._known: dict[int, Mark | None] = {}

    def mark(self, event: Event) -> Mark | None:
        """Return the mark of `event`, or None. Its text stays sealed."""
        head = _raw_head(event)
        if head is None:
            return find_mark(event.request_headers)
        key = hash(head)  # and not the head itself, which may hold secrets that nobody is to keep
        if key in self._known:
            return self._known[key]
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        try:
            mark = find_mark(unpack(head))
        except (TypeError, ValueError, EOFError):  # not what a server sends, and opening the event will say so
            mark = None
        self._known[key] = mark
        return mark


def find_mark(headers: Iterable[tuple[bytes, bytes]]) -> Mark | None:
    """Return what these request headers, whose names are in lower case, say of a run."""
    found: Mapping[bytes, bytes] = dict(headers)
    tool = _tool(found)
    if name := _clean(found.get(HEADER, b"")):
        return Mark(name, tool, "header")
    if (match := _BAGGAGE.search(found.get(b"baggage", b""))) and (name := _clean(match[1])):
        return Mark(name, tool or ("k6" if b"k6." in match[0] else ""), "baggage")
    if name := _clean(found.get(_VEGETA, b"")):
        return Mark(name, "vegeta", "header")
    if b"x-vegeta-seq" in found:
        return Mark("", "vegeta", "header")
    if _K6_TRACE.match(found.get(b"traceparent", b"")):
        return Mark("", "k6", "trace")
    return Mark("", tool, "signature" if found.keys() == {b"host"} else "user-agent") if tool else None


def _tool(headers: Mapping[bytes, bytes]) -> str:
    agent = headers.get(b"user-agent")
    if agent is None:
        # wrk says nothing of itself, and nothing else at all.
        return "wrk" if headers.keys() == {b"host"} else ""
    return next((tool for tool, pattern in _AGENTS if pattern.match(agent)), "")


def _clean(name: bytes) -> str:
    text = name.decode("utf-8", "replace").strip()
    return "".join(character if character.isprintable() else "�" for character in text)[:_MAX_NAME]


def _raw_head(event: Event) -> bytes | None:
    sealed = event.sealed
    while isinstance(sealed, SealedEnding):
        sealed = sealed.before
    return sealed.request_head if isinstance(sealed, SealedExchange) else None
