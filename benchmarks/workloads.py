"""What is sent and published: the same bytes and events on every run."""

import re
from collections.abc import Iterator
from itertools import count, cycle, islice
from typing import Final

import msgspec

from reqscope.bus import Event
from reqscope.bus.event import Headers

EPOCH: Final = 1_767_225_600_000_000_000
"""The time of the first event: the beginning of 2026, in nanoseconds."""

CAPACITY: Final = 10_000
"""Events that every bounded store here keeps."""

BATCH: Final = 1_000
"""Records in a batch: what a sink gets at once, and what one `POST /events` carries."""

TEXT: Final = b"order 4711 was paid by card, 3 items, delivery to the second address on file, as a gift, no invoice"


class Record(msgspec.Struct, gc=False):
    """A record of a batch, as a contender that decodes into types would declare it."""

    timestamp: str
    level: str
    event: str
    method: str = msgspec.field(name="http.request.method")
    path: str = msgspec.field(name="url.path")
    status: int = msgspec.field(name="http.response.status_code")
    client: str = msgspec.field(name="client.address")
    duration: float


def headers(number: int) -> Headers:
    """Return what a browser might send. Nothing is shared between two requests, as on the wire."""
    return (
        (b"host", b"127.0.0.1:%d" % (number % 60_000)),
        (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64) benchmark/%d" % number),
        (b"accept", b"application/json;v=%d" % number),
        (b"x-request-id", b"%016x" % number),
    )


def events() -> Iterator[Event]:
    """Yield captured requests without end, each its own object, as the capture makes them."""
    for number in count():
        yield Event(
            time=EPOCH + number * 1_000_000,
            method="GET",
            path=f"/items/{number}",
            query=b"page=2",
            route="/items/{item}",
            status=503 if number % 50 == 0 else 200,
            client="127.0.0.1",
            scheme="http",
            http_version="1.1",
            request_headers=headers(number),
            response_headers=((b"content-length", b"%d" % number), (b"content-type", b"application/json")),
            response_size=number % 2_000,
            ttfb=0.001,
            total=0.001 + number % 100 / 10_000,
        )


def ready_made(amount: int) -> list[Event]:
    """Return so many events whose size is known, to be published in turn for ever by a ring of half as many."""
    made = list(islice(events(), amount))
    for event in made:
        event.size = event.measure()
    return made


def chunks(pool: list[Event], amount: int, size: int) -> Iterator[list[Event]]:
    """Yield `amount` events of `pool`, again and again from its beginning, `size` at a time."""
    turns = cycle([pool[start : start + size] for start in range(0, len(pool), size)])
    return islice(turns, amount // size)


def records() -> list[bytes]:
    """Return a batch of records as JSON objects of about 200 bytes."""
    return [
        msgspec.json.encode(
            Record(
                "2026-01-01T00:00:00.000000Z",
                "info",
                f"order {n} was paid",
                "POST",
                f"/orders/{n}",
                201,
                "10.0.0.7",
                0.0125,
            )
        )
        for n in range(BATCH)
    ]


def stamped(first: float, amount: int) -> bytes:
    """Return a batch of such records as NDJSON, whose paths say when they were sent: seconds and microseconds.

    :param first: seconds since the epoch; each record behind the first is called a microsecond later
    """
    microseconds = range(start := int(first * 1e6), start + amount)
    return b"\n".join(
        b'{"timestamp":"2026-01-01T00:00:00.000000Z","level":"info","event":"order was paid",'
        b'"http.request.method":"POST","url.path":"/t/%d/%06d","http.response.status_code":201,'
        b'"client.address":"10.0.0.7","duration":0.0125}' % divmod(each, 1_000_000)
        for each in microseconds
    )


STAMP: Final = re.compile(rb"/t/(\d{10})/(\d{6})")
"""Finds those times, in whatever they are shown in."""


def request(method: str, path: str, body: bytes = b"", content_type: str = "text/plain") -> bytes:
    """Return a whole HTTP/1.1 request with the headers that clients send."""
    head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nuser-agent: benchmark/1\r\naccept: */*\r\n"
    if body:
        head += f"content-type: {content_type}\r\ncontent-length: {len(body)}\r\n"
    return f"{head}\r\n".encode() + body
