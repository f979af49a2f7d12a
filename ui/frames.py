"""What the page is sent: frames, as small as a screen and never larger."""

import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from reqscope.bus import Event, EventBus, Filter, LoopLag, Running, SinkRunner, Stats
from reqscope.bus.encoding import encode
from reqscope.bus.stats import CLASSES, Second

from .pages import Pages
from .visitor import Visitor

MAX_ROWS: Final = 500
"""Rows in a frame."""

SAMPLE: Final = 50
"""Rows in a frame that cannot have all: the newest, and it is said how many are not shown. Nobody can follow these, and
each costs the application's time: its text has to be made safe to show."""

_TEXT: Final = 300
"""Characters of a text that a row shows; the detail has them all."""


SHOWN_RUNNING: Final = 8
LONG: Final = 0.4
"""Seconds after which a request that is still in flight is shown by itself; most have ended by then."""


class Health(NamedTuple):
    """What the page says of the monitor itself, beside what the bus knows."""

    faults: int = 0
    """Failures of the capture's own."""
    capturing: bool = True
    skipped: int = 0
    """Requests that passed unwatched while it was not."""
    last: str = ""
    """The latest fault, in words."""
    workers: dict[str, object] | None = None
    """What is known of the processes that report here; None where none do."""
    partial: str = ""
    """Why this is not all that the application gets, in words; empty when it is."""


class Frame(NamedTuple):
    """One message to a page, and how far the page has seen once it got it."""

    text: str
    to: int
    """Number of the last event it covers."""
    second: int
    """The last second it has numbers of, which may not be over yet."""


class Frames:
    """Builds frames as JSON text, each once for all viewers that need the same one."""

    _REMEMBERED: Final = 64

    def __init__(
        self,
        bus: EventBus,
        stats: Stats,
        sinks: Sequence[SinkRunner],
        lag: LoopLag | None = None,
        health: Callable[[], Health] = Health,
        pages: Pages | None = None,
    ) -> None:
        self._bus = bus
        self._stats = stats
        self._sinks = sinks
        self._lag = lag
        self._health = health
        self._pages = pages or Pages(bus, stats)
        self._built: dict[tuple[object, ...], Frame] = {}

    def hello(self, token: str, visitor: Visitor, paused: bool = False, example: str = "") -> str:
        """The first frame of a stream: the name by which the page steers its view, who looks, and if it is paused."""
        user = {"name": visitor.name, "admin": visitor.is_admin, "links": visitor.links}
        return _json(
            "hello", token=token, boot=self._bus.boot, classes=CLASSES, user=user, paused=paused, example=example
        )

    def full(self, passes: Filter, head: int, until: int | None = None) -> Frame:
        """The newest rows that pass, up to event number `head` at the least, and all the history there is.

        :param until: the last event there was when the view was paused
        """
        return self._once(("full", passes, head, until), lambda: self._rows("full", passes, None, 0, until))

    def add(self, passes: Filter, after: int, second: int, head: int) -> Frame:
        """The rows behind event number `after` that pass, and the numbers from `second` on."""
        key = ("add", passes, after, second, head)
        return self._once(key, lambda: self._rows("add", passes, after, second))

    def running(self, to: int, second: int, running: tuple[str, ...]) -> Frame:
        """No rows: what has been in flight for long, now that this is `running`."""
        key = ("running", to, second, running, int(time.time()))  # it says how old each is
        return self._once(key, lambda: self.still("running", to, second))

    def still(self, kind: str, to: int, second: int, **more: object) -> Frame:
        """No rows: a heartbeat in a quiet time, or what is new behind a view that is paused."""
        now = int(time.time())
        text = _json(
            kind,
            counts=self._counts(),
            running=self._running(),
            now=now,
            seconds=self._seconds(second),
            vitals=self._vitals(second),
            **more,
        )
        return Frame(text, to, now)

    def page(self, name: str, window: int | None, head: int, second: int) -> Frame:
        """What another page than the live view shows, up to event number `head` at the least."""
        now = int(time.time())

        def build() -> Frame:
            return self.still("page", head, second, page=name, content=self._pages.content(name, window))

        if name == "runs":  # what is done there is to show at once, and not a second later
            return build()
        return self._once(("page", name, window, head, second, now), build)

    def bye(self) -> str:
        """The last frame before the server goes down."""
        return _json("bye")

    def signed_out(self) -> str:
        """The last frame for somebody whose session has ended."""
        return _json("signed-out")

    def confirm(self) -> str:
        """Ask the page for a request that shows that its visitor is still signed in."""
        return _json("confirm")

    def _once(self, key: tuple[object, ...], build: Callable[[], Frame]) -> Frame:
        frame = self._built.get(key)
        if frame is None:
            if len(self._built) >= self._REMEMBERED:
                self._built.clear()
            frame = self._built[key] = build()
        return frame

    def _rows(self, kind: str, passes: Filter, after: int | None, second: int, until: int | None = None) -> Frame:
        ring = self._bus.ring
        batch = ring.since(ring.first - 1 if after is None else after, sealed=True)
        events = list(filter(passes.passes, batch.events)) if passes else batch.events
        if until is not None:
            events = [event for event in events if event.seq <= until]
        to = batch.next if until is None else until
        shown = events[-(MAX_ROWS if after is None or len(events) <= MAX_ROWS else SAMPLE) :]
        left_out = len(events) - len(shown)
        now = int(time.time())
        text = _json(
            kind,
            to=to,
            missed=batch.missed,
            hidden=0 if after is None else left_out,
            older=left_out if after is None else 0,
            rows=[_row(event) for event in shown],
            counts=self._counts(),
            running=self._running(),
            now=now,
            seconds=self._seconds(second),
            vitals=self._vitals(second),
        )
        return Frame(text, to, now)

    def _seconds(self, second: int) -> list[object]:
        return [_second(each) for each in self._stats.seconds(second - 1)]

    def _vitals(self, second: int) -> list[object]:
        """Second, milliseconds that the event loop was late, and requests in flight."""
        seconds = self._lag.snapshot(second - 1).seconds if self._lag is not None else ()
        return [(each.time, round(each.lag * 1_000, 1), each.in_flight) for each in seconds]

    def long_running(self) -> list[Running]:
        """The oldest of the requests that have been in flight for long."""
        return [running for running in self._bus.in_flight.oldest(SHOWN_RUNNING) if running.age >= LONG]

    def _running(self) -> list[object]:
        return [_running_row(running) for running in self.long_running()]

    def _counts(self) -> dict[str, object]:
        ring = self._bus.ring.statistics()
        health = self._health()
        sinks = [sink.statistics() for sink in self._sinks]
        return {
            "received": ring.published,
            "kept": ring.kept,
            "evicted": ring.evicted,
            "oldest": ring.oldest_time // 1_000_000 if ring.oldest_time else None,
            "lost": sum(sink.lost + sink.reader.missed for sink in sinks),
            "failing": [sink.name for sink in sinks if sink.failing],
            "in_flight": len(self._bus.in_flight) + _in_flight(health),
            "thinned": self._bus.thinned,
            "lag": None if self._lag is None else round(self._lag.snapshot().now * 1_000, 1),
            **health._asdict(),
        }


def _in_flight(health: Health) -> int:
    elsewhere = (health.workers or {}).get("in_flight", 0)
    return elsewhere if isinstance(elsewhere, int) else 0


def _json(kind: str, **content: object) -> str:
    return encode({"kind": kind, **content}).decode()


def _row(event: Event) -> tuple[object, ...]:
    """The cells in the order that the page's table knows. Times in milliseconds."""
    text = event.glance()
    return (
        event.seq,
        event.time // 1_000_000,
        event.kind,
        event.method[:_TEXT],
        text.path[:_TEXT],
        text.query[:_TEXT].decode("latin-1"),
        event.status,
        None if event.total is None else round(event.total * 1_000, 3),
        event.response_size,
        event.client[:_TEXT],
        text.route and text.route[:_TEXT],
        text.error and text.error[:_TEXT],
        text.body[:_TEXT].decode("utf-8", "replace"),
        1 if event.replay_of else 0,
        event.severity,
        event.stub and event.stub[:_TEXT],
        event.worker[:_TEXT],
    )


def _running_row(running: Running) -> tuple[object, ...]:
    return (
        running.id,
        round(running.age * 1_000),
        "WebSocket" if running.kind == "websocket" else running.method[:_TEXT],
        running.path[:_TEXT],
        running.query[:_TEXT],
        running.client[:_TEXT],
        running.status,
        running.response_size,
        running.worker[:_TEXT],
    )


def _second(second: Second) -> tuple[object, ...]:
    latency = second.latency
    return (second.time, *second.classes, latency.p50, latency.p95, latency.p99)
