"""From the bus to any number of open pages, without polling."""

import secrets
from collections.abc import Callable
from typing import Final

import anyio

from reqscope.bus import EventBus, Filter

from .frames import LONG, Frame, Frames
from .pages import LIVE
from .visitor import Anybody, Visitor

FRAME_INTERVAL: Final = 0.125
"""Seconds between two frames at the least. What comes after a quiet spell is sent at once."""

PAGE_INTERVAL: Final = 1.0
"""Seconds between two frames of a page other than the live view. They are whole pages."""

HEARTBEAT: Final = 5.0
"""Seconds of quiet after which a page gets a sign of life, and a closed one is found out."""

_AT_ONCE: Final = 8
"""Pages woken together: with many, the application gets its turn between two groups."""

_STAGGER: Final = 0.004
_CONGESTED: Final = 0.05


class Viewer:
    """One open page: what it shows and how far it has seen."""

    def __init__(self, passes: Filter, visitor: Visitor) -> None:
        self.visitor = visitor
        self.confirmed = anyio.current_time()
        """When a request last showed that the visitor is still signed in."""
        self.asked = False
        """The page was asked for such a request."""
        self.token = secrets.token_urlsafe(16)
        """The page steers its view by this name, which nobody else can guess."""
        self.passes = passes
        self.cursor = 0
        self.second = 0
        self.stale = True
        """The page needs a full frame."""
        self.paused = False
        self.waiting = 0
        self.counted = 0
        self.closed = False
        self.page = LIVE
        """Which page is looked at; other pages than the live view get no rows."""
        self.window: int | None = None
        """Seconds that the numbers of a page are of."""
        self.not_before = 0.0
        """When a page other than the live view may have its next frame, which is the whole page."""
        self.overdue = 0.0
        """When it needs one for a sign of life."""
        self.running: tuple[str, ...] = ()
        """Which requests the page was told are in flight."""
        self.wake = anyio.Event()

    def show(self, passes: Filter) -> None:
        """Change the filter: the page gets a full frame."""
        self.passes = passes
        self.stale = True
        self.wake.set()

    def turn_to(self, page: str, window: int | None) -> None:
        """Look at another page: it gets a full frame at once."""
        self.page, self.window = page, window
        self.stale = True
        self.wake.set()

    def pause(self, paused: bool) -> None:
        """Hold the view at the last event it was sent, or go on from there."""
        if paused and not self.paused:
            self.waiting, self.counted = 0, self.cursor
        self.paused = paused
        self.wake.set()

    def confirm(self) -> None:
        """Note that the visitor is still signed in."""
        self.confirmed = anyio.current_time()
        self.asked = False

    # Sessions of our own say when they end: `look_again` wakes the page, and no time has to pass. `confirm_every` is
    # for the log-in of a host application. Nothing tells when that signs somebody out, and only a request of the
    # browser's, with the cookies that it has by then, can be asked about. So the page is asked for one when the time is
    # up, and that is a deadline of its stream's: nothing runs in between, and what the page shows does not wait for it.

    def overdue_by(self) -> float:
        """Return for how many seconds the page should have shown that; less than 0 if it need not yet."""
        every = self.visitor.confirm_every
        return -1.0 if every is None else anyio.current_time() - self.confirmed - every

    def until_look(self) -> float:
        """Return the seconds until that is to be looked at again."""
        every = self.visitor.confirm_every
        return HEARTBEAT if every is None else max(0.0, (every if self.asked else 0.0) - self.overdue_by())

    def is_welcome(self) -> bool:
        """Whether the visitor is, as far as can be known, still signed in."""
        return self.visitor.is_live() and self.overdue_by() < (self.visitor.confirm_every or 1.0)

    def close(self) -> None:
        """Let the page's stream end."""
        self.closed = True
        self.wake.set()


class LiveFeed:
    """Wakes the open pages when there is something new, and says what each is to be sent.

    Run `run` in a task group. All else is to be called in the same event loop.
    """

    def __init__(self, bus: EventBus, frames: Frames) -> None:
        self._bus = bus
        self._frames = frames
        self._viewers: dict[str, Viewer] = {}
        self._head = bus.ring.last
        """Newest event when pages were last woken. They are served up to here, so that they ask for equal frames."""
        self._running: tuple[str, ...] = ()
        """What was in flight for long when that was last looked at."""
        self._closing = False
        self._dropped = anyio.Event()

    async def run(self) -> None:
        """Wake pages until the bus is closed."""
        self._closing = False
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch_in_flight)
            async with self._bus.subscribe(linger=FRAME_INTERVAL, name="panel", sealed=True) as subscription:
                async for batch in subscription:
                    self._head = batch.next
                    await self._wake_all()
            tasks.cancel_scope.cancel()

    def open(
        self,
        passes: Filter,
        paused_at: int | None = None,
        after: int | None = None,
        visitor: Visitor | None = None,
    ) -> Viewer:
        """Begin to serve a page. To be ended with `drop`.

        :param paused_at: the view is paused, and this is the last event it shows
        :param after: the page has seen everything up to this event, and needs no full frame
        :param visitor: who looks at it; without, anybody
        """
        viewer = Viewer(passes, visitor or Anybody())
        seen = paused_at if paused_at is not None else after
        if seen is not None:
            viewer.cursor = viewer.counted = seen
            viewer.paused, viewer.stale = paused_at is not None, after is None
        self._viewers[viewer.token] = viewer
        return viewer

    def drop(self, viewer: Viewer) -> None:
        self._viewers.pop(viewer.token, None)
        viewer.close()
        dropped, self._dropped = self._dropped, anyio.Event()
        dropped.set()

    def find(self, token: str) -> Viewer | None:
        """Return the page of that name, if it is open."""
        return self._viewers.get(token)

    def close(self) -> None:
        """Tell every page that the server goes down, and end their streams."""
        self._closing = True
        for viewer in self._viewers.values():
            viewer.wake.set()

    def look_again(self) -> None:
        """Have each page see whether its visitor is still signed in."""
        for viewer in self._viewers.values():
            viewer.wake.set()

    async def wait_empty(self) -> None:
        """Wait until no page is open."""
        while self._viewers:
            await self._dropped.wait()

    def __len__(self) -> int:
        """How many pages are open."""
        return len(self._viewers)

    async def next_frame(self, viewer: Viewer, congested: Callable[[], bool]) -> str | None:
        """Wait until the page needs a frame, and return it; None when its stream is to end.

        Safe to cancel: what was not returned is in the next frame.

        :param congested: whether frames sent before have not left yet. The transport has no way to wait for
            that, so this looks again every 50 ms, and then one frame holds all that has gathered.
        """
        while not viewer.closed:
            if self._closing:
                viewer.closed = True
                return self._frames.bye()
            if not viewer.is_welcome():
                viewer.closed = True
                return self._frames.signed_out()
            if congested():
                await anyio.sleep(_CONGESTED)
            elif viewer.overdue_by() >= 0 and not viewer.asked:
                viewer.asked = True
                return self._frames.confirm()
            elif (frame := self._frame(viewer)) is not None:
                return frame
            else:
                with anyio.move_on_after(self._patience(viewer)) as quiet:
                    await viewer.wake.wait()
                viewer.wake = anyio.Event()
                if quiet.cancelled_caught and (viewer.page == LIVE or viewer.paused):
                    return _sent(viewer, self._frames.still("heartbeat", viewer.cursor, viewer.second))
        return None

    def _patience(self, viewer: Viewer) -> float:
        """How long to wait for something new, in seconds."""
        behind = viewer.page != LIVE and not viewer.paused and self._has_news(viewer)
        patience = max(0.0, viewer.not_before - anyio.current_time()) if behind else HEARTBEAT
        return min(patience, viewer.until_look())

    def _frame(self, viewer: Viewer) -> str | None:
        if viewer.page != LIVE:
            return self._page(viewer)
        if viewer.stale:
            frame = self._frames.full(viewer.passes, self._head, viewer.cursor if viewer.paused else None)
            viewer.stale, viewer.waiting, viewer.counted = False, 0, frame.to
        elif viewer.running != self._running and not viewer.paused:
            frame = self._frames.running(viewer.cursor, viewer.second, self._running)
        elif viewer.paused:
            if viewer.counted >= self._head and viewer.running == self._running:
                return None
            self._count_waiting(viewer)
            frame = self._frames.still("paused", viewer.cursor, viewer.second, new=viewer.waiting)
        elif viewer.cursor >= self._head:
            return None
        else:
            frame = self._frames.add(viewer.passes, viewer.cursor, viewer.second, self._head)
        viewer.running = self._running
        return _sent(viewer, frame)

    def _page(self, viewer: Viewer) -> str | None:
        now = anyio.current_time()
        due = now >= viewer.overdue or (self._has_news(viewer) and now >= viewer.not_before)
        if not viewer.stale and (viewer.paused or not due):
            return None
        viewer.stale, viewer.running = False, self._running
        viewer.not_before, viewer.overdue = now + PAGE_INTERVAL, now + HEARTBEAT
        cursor = viewer.cursor
        text = _sent(viewer, self._frames.page(viewer.page, viewer.window, self._head, viewer.second))
        if viewer.paused:
            viewer.cursor = cursor  # the live view goes on from there
        return text

    def _has_news(self, viewer: Viewer) -> bool:
        return viewer.cursor < self._head or viewer.running != self._running

    def _count_waiting(self, viewer: Viewer) -> None:
        batch = self._bus.ring.since(viewer.counted, sealed=True)
        passing = sum(map(viewer.passes.passes, batch.events)) if viewer.passes else len(batch.events)
        viewer.waiting += batch.missed + passing
        viewer.counted = batch.next

    async def _watch_in_flight(self) -> None:
        """Wake pages when what has been in flight for long is not what they show. A frame for rows tells it as well."""
        while True:
            await self._bus.in_flight.wait_change()
            await anyio.sleep(LONG + FRAME_INTERVAL)  # what began just now is long in flight by then, or has ended
            self._running = tuple(running.id for running in self._frames.long_running()) if self._viewers else ()
            if any(viewer.running != self._running for viewer in self._viewers.values()):
                await self._wake_all()

    async def _wake_all(self) -> None:
        viewers = list(self._viewers.values())
        for start in range(0, len(viewers), _AT_ONCE):
            if start:
                await anyio.sleep(_STAGGER)
            for viewer in viewers[start : start + _AT_ONCE]:
                viewer.wake.set()


def _sent(viewer: Viewer, frame: Frame) -> str:
    viewer.cursor, viewer.second = frame.to, frame.second
    return frame.text
