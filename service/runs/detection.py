"""Which run a request says it belongs to, and which load tool it comes from."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Final, NamedTuple, TypeVar

from reqscope.bus import Event
from reqscope.service.heads import peek
from reqscope.service.sealed import SealedEnding, SealedExchange

T = TypeVar("T")

HEADER: Final = b"x-reqscope-run"
_VEGETA: Final = b"x-vegeta-attack"
_MAX_NAME: Final = 100
_REMEMBERED: Final = 256

_BAGGAGE: Final = re.compile(rb"(?:^|,)\s*(?:reqscope\.run|test\.run\.id|k6\.test_run_id)\s*=\s*([^,;\s]+)")
"""https://www.w3.org/TR/baggage/#header-content; the last is what k6's pyroscope library sends."""

_K6_TRACE: Final = re.compile(rb"[0-9a-f]{2}-dc0718")
"""Trace ids of k6's tempo library begin so."""

_AGENTS: Final = (
    ("k6", re.compile(rb"(?:Grafana )?k6/")),
    ("hey", re.compile(rb"hey/")),
    ("oha", re.compile(rb"oha/")),
    ("vegeta", re.compile(rb"[Vv]egeta")),
    ("ab", re.compile(rb"ApacheBench/")),
    ("siege", re.compile(rb".*Siege/")),
    # Locust's plain client is python-requests, as half of the world's scripts are; only its fast one can be told.
    ("locust", re.compile(rb"(?:.*[Ll]ocust|python/gevent-http-client)")),
    ("jmeter", re.compile(rb".*JMeter")),
    ("wrk", re.compile(rb"wrk2?(?:/|$)")),
)

TOOLS: Final = tuple(tool for tool, _ in _AGENTS)


class Mark(NamedTuple):
    """What a request says of the run it is part of."""

    name: str
    """Empty where it names none, and only the tool is known."""
    tool: str
    origin: str


def marks_of(events: Iterable[Event]) -> Iterator[Mark | None]:
    """Yield the mark of each event, or None. Its text stays sealed.

    Most requests of a batch have the headers of another one, byte for byte: those are looked at once. They are not
    remembered for longer than the batch, because there are secrets among them.
    """
    known: dict[bytes, Mark | None] = {}
    for event in events:
        head = _raw_head(event)
        if head is None:
            yield _find(dict, event.request_headers)
        elif head in known:
            yield known[head]
        else:
            mark = known[head] = _find(peek, head)
            yield mark


def _find(read: Callable[[T], Mapping[bytes, bytes]], headers: T) -> Mark | None:
    try:
        return find_mark(read(headers))
    except (TypeError, ValueError, EOFError, AttributeError):  # not what a server sends; opening the event will say so
        return None


def find_mark(found: Mapping[bytes, bytes]) -> Mark | None:
    """Return what these request headers, whose names are in lower case, say of a run."""
    tool = _tool(found)
    if HEADER in found and (name := _clean(found[HEADER])):
        return Mark(name, tool, "header")
    if b"baggage" in found and (match := _BAGGAGE.search(found[b"baggage"])) and (name := _clean(match[1])):
        return Mark(name, tool or ("k6" if b"k6." in match[0] else ""), "baggage")
    if _VEGETA in found and (name := _clean(found[_VEGETA])):
        return Mark(name, "vegeta", "header")
    if b"x-vegeta-seq" in found:
        return Mark("", "vegeta", "header")
    if b"traceparent" in found and _K6_TRACE.match(found[b"traceparent"]):
        return Mark("", "k6", "trace")
    return Mark("", tool, "signature" if found.keys() == {b"host"} else "user-agent") if tool else None


def _tool(headers: Mapping[bytes, bytes]) -> str:
    agent = headers.get(b"user-agent")
    if agent is None:
        # wrk says nothing of itself, and nothing else at all.
        return "wrk" if headers.keys() == {b"host"} else ""
    return _agent_tool(agent)


@lru_cache(maxsize=_REMEMBERED)
def _agent_tool(agent: bytes) -> str:
    return next((tool for tool, pattern in _AGENTS if pattern.match(agent)), "")


def _clean(name: bytes) -> str:
    text = name.decode("utf-8", "replace").strip()
    return "".join(character if character.isprintable() else "�" for character in text)[:_MAX_NAME]


def _raw_head(event: Event) -> bytes | None:
    sealed = event.sealed
    while isinstance(sealed, SealedEnding):
        sealed = sealed.before
    return sealed.request_head if isinstance(sealed, SealedExchange) else None
