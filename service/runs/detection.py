"""Which run a request says it belongs to, and which load tool it comes from."""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
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


_WRK: Final = Mark("", "wrk", "signature")
_WRK_SENDS: Final = {b"host"}


def by_mark(events: Sequence[Event]) -> Mapping[Mark | None, Sequence[Event]]:
    """Return the events of a batch by what each says of a run, None where that is nothing. Their text stays sealed.

    Most requests of a batch have the headers of another one, byte for byte: those are looked at once. They are not
    remembered for longer than the batch, because there are secrets among them.
    """
    heads = _heads(events)
    first = heads[:1]
    distinct = first if heads == first * len(heads) else set(heads)  # comparing costs a tenth of hashing
    known = {head: None if head is None else _find(peek, head) for head in distinct}
    if len(set(known.values())) == 1 and None not in known:
        return {known[heads[0]]: events}
    found: defaultdict[Mark | None, list[Event]] = defaultdict(list)
    for head, event in zip(heads, events, strict=True):
        found[known[head] if head is not None else _find_opened(event)].append(event)
    return found


def _heads(events: Sequence[Event]) -> list[bytes | None]:
    """Return the headers of each as they were packed, and None where they can be read."""
    try:
        return [event.sealed.request_head for event in events]  # type: ignore[union-attr]
    except AttributeError:  # some were opened, or have a seal of another kind
        return [_head(event) for event in events]


def _head(event: Event) -> bytes | None:
    sealed = event.sealed
    while isinstance(sealed, SealedEnding):
        sealed = sealed.before
    return sealed.request_head if isinstance(sealed, SealedExchange) else None


def _find(read: Callable[[T], Mapping[bytes, bytes]], headers: T) -> Mark | None:
    try:
        return find_mark(read(headers))
    except (TypeError, ValueError, EOFError, AttributeError):  # not what a server sends; opening the event will say so
        return None


def _find_opened(event: Event) -> Mark | None:
    return _find(dict, event.request_headers) if event.request_headers else None


def find_mark(found: Mapping[bytes, bytes]) -> Mark | None:
    """Return what these request headers, whose names are in lower case, say of a run."""
    agent = found.get(b"user-agent")
    # wrk says nothing of itself, and nothing else at all.
    unnamed = _of_agent(agent) if agent is not None else _WRK if set(found) == _WRK_SENDS else None
    tool = unnamed.tool if unnamed is not None else ""
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
    return unnamed


@lru_cache(maxsize=_REMEMBERED)
def _of_agent(agent: bytes) -> Mark | None:
    tool = next((tool for tool, pattern in _AGENTS if pattern.match(agent)), None)
    return None if tool is None else Mark("", tool, "user-agent")


def _clean(name: bytes) -> str:
    text = name.decode("utf-8", "replace").strip()
    return "".join(character if character.isprintable() else "�" for character in text)[:_MAX_NAME]
