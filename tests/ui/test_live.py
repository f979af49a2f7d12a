import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from anyio.abc import TaskGroup
from trio.testing import MockClock

from reqscope.bus import Event, EventBus, Filter, Running, Stats
from reqscope.ui import LiveFeed
from reqscope.ui.frames import Frame, Frames
from reqscope.ui.live import FRAME_INTERVAL, HEARTBEAT, PAGE_INTERVAL, Viewer
from reqscope.ui.pages import LIVE
from reqscope.ui.visitor import Anybody

pytestmark = pytest.mark.anyio

EVERYTHING = Filter.parse("")


@pytest.fixture(params=["real time", "virtual time"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """A real event loop, and one in which time passes when every task waits, and so exactly."""
    if request.param == "virtual time":
        return "trio", {"clock": MockClock(autojump_threshold=0)}
    return "asyncio", {"use_uvloop": True}


class Counting(Frames):
    """Frames that tell how many were asked for and how many were built."""

    asked = 0

    def __init__(self, bus: EventBus) -> None:
        super().__init__(bus, Stats(bus), [])
        self.built: list[Frame] = []

    def add(self, passes: Filter, after: int, second: int, head: int) -> Frame:
        self.asked += 1
        frame = super().add(passes, after, second, head)
        if not any(frame is each for each in self.built):
            self.built.append(frame)
        return frame


class Page:
    """A page that reads its stream, as Gradio does for it."""

    def __init__(self, feed: LiveFeed, text: str = "", congested: Callable[[], bool] = lambda: False) -> None:
        self.feed = feed
        self.viewer: Viewer = feed.open(Filter.parse(text))
        self.congested = congested
        self.frames: list[Any] = []
        self.arrived: list[float] = []

    async def next(self) -> Any:
        """Return the next frame, or None at the end of the stream."""
        with anyio.fail_after(20):
            text = await self.feed.next_frame(self.viewer, self.congested)
        return None if text is None else json.loads(text)

    async def read(self) -> None:
        while (frame := await self.next()) is not None:
            self.frames.append(frame)
            self.arrived.append(anyio.current_time())


@pytest.fixture
async def tasks(anyio_backend: object) -> AsyncGenerator[TaskGroup]:
    async with anyio.create_task_group() as tasks:
        yield tasks
        tasks.cancel_scope.cancel()


@pytest.fixture
async def feed(bus: EventBus, tasks: TaskGroup) -> LiveFeed:
    return await running(LiveFeed(bus, Counting(bus)), tasks)


async def running(feed: LiveFeed, tasks: TaskGroup) -> LiveFeed:
    tasks.start_soon(feed.run)
    await wait_all_tasks_blocked()
    return feed


def publish(bus: EventBus, count: int = 1, path: str = "/", status: int = 200) -> None:
    for _ in range(count):
        bus.publish(Event(time=1_700_000_000_000_000_000, path=path, status=status))


def seqs(frame: Any) -> list[int]:
    return [row[0] for row in frame["rows"]]


class TestFrames:
    async def test_a_page_begins_with_all_that_the_ring_has(self, bus: EventBus, feed: LiveFeed) -> None:
        publish(bus, 3)
        frame = await Page(feed).next()

        assert (frame["kind"], seqs(frame)) == ("full", [1, 2, 3])

    async def test_a_filter_that_nothing_passes_still_moves_the_counts(self, bus: EventBus, feed: LiveFeed) -> None:
        page = Page(feed, "status:404")
        await page.next()
        publish(bus, 2)
        frame = await page.next()

        assert (frame["rows"], frame["counts"]["received"]) == ([], 2)

    @pytest.mark.guarantees("F5")
    async def test_a_frame_that_was_cancelled_is_in_the_next(self, bus: EventBus, feed: LiveFeed) -> None:
        page = Page(feed)
        await page.next()
        with anyio.move_on_after(0.01):
            await page.next()
        publish(bus, 2)
        frame = await page.next()

        assert seqs(frame) == [1, 2]

    async def test_equal_frames_are_built_once_for_all_pages(self, bus: EventBus, tasks: TaskGroup) -> None:
        frames = Counting(bus)
        feed = await running(LiveFeed(bus, frames), tasks)
        pages = [Page(feed, text) for text in ["", "", "status:200", " status:200 "] * 10]
        for page in pages:
            tasks.start_soon(page.read)
        await wait_all_tasks_blocked()
        publish(bus, 5)
        with anyio.fail_after(20):
            while not all(len(page.frames) >= 2 for page in pages):  # noqa: ASYNC110 - pages set no event
                await anyio.sleep(0.001)

        assert all(seqs(page.frames[1]) == [1, 2, 3, 4, 5] for page in pages)
        assert frames.asked == 40
        # Two filters, and the second may have changed while the pages got their first frame.
        assert len(frames.built) <= 4


class TestSteering:
    async def test_a_changed_filter_is_a_full_frame_of_what_passes(self, bus: EventBus, feed: LiveFeed) -> None:
        publish(bus, 2, status=404)
        publish(bus, 3)
        page = Page(feed)
        await page.next()
        page.viewer.show(Filter.parse("status:404"))
        frame = await page.next()
        publish(bus)
        publish(bus, status=404)
        added = await page.next()

        assert (frame["kind"], seqs(frame)) == ("full", [1, 2])
        assert (added["kind"], seqs(added)) == ("add", [7])

    async def test_a_paused_page_is_told_how_many_are_new_and_gets_them_when_it_goes_on(
        self, bus: EventBus, feed: LiveFeed
    ) -> None:
        publish(bus, 2)
        page = Page(feed)
        await page.next()
        page.viewer.pause(True)
        publish(bus, 3)
        first = await page.next()
        publish(bus, 4)
        second = await page.next()
        page.viewer.pause(False)
        resumed = await page.next()
        publish(bus)
        live = await page.next()

        assert [(frame["kind"], frame["new"]) for frame in (first, second)] == [("paused", 3), ("paused", 7)]
        assert (resumed["kind"], seqs(resumed)) == ("add", [*range(3, 10)])
        assert (live["kind"], seqs(live)) == ("add", [10])

    async def test_only_what_passes_the_filter_counts_as_new(self, bus: EventBus, feed: LiveFeed) -> None:
        page = Page(feed, "status:404")
        await page.next()
        page.viewer.pause(True)
        publish(bus, 3)
        publish(bus, 2, status=404)
        frame = await page.next()

        assert (frame["kind"], frame["new"]) == ("paused", 2)

    async def test_what_was_evicted_during_a_pause_is_counted_as_new_and_then_as_missed(self, tasks: TaskGroup) -> None:
        bus = EventBus(capacity=5)
        feed = await running(LiveFeed(bus, Counting(bus)), tasks)
        page = Page(feed)
        await page.next()
        page.viewer.pause(True)
        publish(bus, 12)
        paused = await page.next()
        page.viewer.pause(False)
        resumed = await page.next()

        assert paused["new"] == 12
        assert (seqs(resumed), resumed["missed"]) == ([8, 9, 10, 11, 12], 7)

    async def test_pausing_twice_counts_once_and_pausing_anew_counts_from_there(
        self, bus: EventBus, feed: LiveFeed
    ) -> None:
        page = Page(feed)
        await page.next()
        page.viewer.pause(True)
        publish(bus, 3)
        await page.next()
        page.viewer.pause(True)
        publish(bus, 1)
        again = await page.next()
        page.viewer.pause(False)
        await page.next()
        page.viewer.pause(True)
        publish(bus, 2)
        anew = await page.next()

        assert (again["new"], anew["new"]) == (4, 2)

    async def test_a_filter_that_is_changed_during_a_pause_is_of_what_is_held_and_of_what_waits(
        self, bus: EventBus, feed: LiveFeed
    ) -> None:
        publish(bus, 2, status=404)
        publish(bus, 1, status=200)
        page = Page(feed)
        await page.next()
        page.viewer.pause(True)
        publish(bus, 3, status=404)
        publish(bus, 1, status=200)
        await page.next()
        page.viewer.show(Filter.parse("status:404"))
        frame, paused = await page.next(), await page.next()
        page.viewer.pause(False)
        resumed = await page.next()

        assert (frame["kind"], seqs(frame), frame["to"]) == ("full", [1, 2], 3)
        assert (paused["kind"], paused["new"]) == ("paused", 3)
        assert (resumed["kind"], seqs(resumed)) == ("add", [4, 5, 6])

    async def test_a_view_that_is_opened_paused_holds_that_place_and_goes_on_from_there(
        self, bus: EventBus, feed: LiveFeed
    ) -> None:
        publish(bus, 5)
        page = Page(feed)
        page.viewer = feed.open(EVERYTHING, paused_at=3)
        frame, paused = await page.next(), await page.next()
        page.viewer.pause(False)
        resumed = await page.next()

        assert (frame["kind"], seqs(frame)) == ("full", [1, 2, 3])
        assert (paused["kind"], paused["new"]) == ("paused", 2)
        assert (resumed["kind"], seqs(resumed), resumed["missed"]) == ("add", [4, 5], 0)

    async def test_another_page_that_is_looked_at_during_a_pause_does_not_move_the_live_view(
        self, bus: EventBus, feed: LiveFeed
    ) -> None:
        publish(bus, 2)
        page = Page(feed)
        await page.next()
        page.viewer.pause(True)
        publish(bus, 2)
        await page.next()
        page.viewer.turn_to("routes", None)
        assert (await page.next())["kind"] == "page"
        page.viewer.turn_to(LIVE, None)
        held = await page.next()

        assert (held["kind"], seqs(held)) == ("full", [1, 2])

    async def test_a_page_that_says_what_it_has_seen_gets_the_rest_and_is_told_what_it_missed(
        self, bus: EventBus, feed: LiveFeed
    ) -> None:
        publish(bus, 5)
        page = Page(feed)
        page.viewer = feed.open(EVERYTHING, after=3)
        frame = await page.next()

        assert (frame["kind"], seqs(frame), frame["missed"]) == ("add", [4, 5], 0)

    async def test_a_page_is_found_by_its_name_as_long_as_it_is_open(self, feed: LiveFeed) -> None:
        one, other = Page(feed), Page(feed)
        names = {one.viewer.token, other.viewer.token}
        assert (len(names), len(feed)) == (2, 2)
        assert all(len(name) >= 20 for name in names)
        assert feed.find(one.viewer.token) is one.viewer
        assert feed.find("") is None

        feed.drop(one.viewer)
        assert feed.find(one.viewer.token) is None
        assert feed.find(other.viewer.token) is other.viewer
        assert len(feed) == 1


class TestTransport:
    async def test_a_page_that_congests_holds_up_no_other(
        self, bus: EventBus, tasks: TaskGroup, feed: LiveFeed
    ) -> None:
        stuck = Page(feed, congested=lambda: True)
        tasks.start_soon(stuck.read)
        page = Page(feed)
        await page.next()
        publish(bus, 3)
        frame = await page.next()
        feed.drop(stuck.viewer)

        assert seqs(frame) == [1, 2, 3]
        assert stuck.frames == []


class TestEnd:
    async def test_closing_says_goodbye_to_every_page_and_ends_its_stream(
        self, tasks: TaskGroup, feed: LiveFeed
    ) -> None:
        pages = [Page(feed) for _ in range(20)]
        for page in pages:
            tasks.start_soon(page.read)
        await wait_all_tasks_blocked()
        feed.close()
        await wait_all_tasks_blocked()

        assert [page.frames[-1] for page in pages] == [{"kind": "bye"}] * 20

    async def test_a_page_that_opens_too_late_is_told_so(self, feed: LiveFeed) -> None:
        feed.close()
        page = Page(feed)

        assert await page.next() == {"kind": "bye"}
        assert await page.next() is None

    async def test_a_page_that_closes_itself_ends_without_a_word(self, tasks: TaskGroup, feed: LiveFeed) -> None:
        page = Page(feed)
        tasks.start_soon(page.read)
        await wait_all_tasks_blocked()
        page.viewer.close()
        await wait_all_tasks_blocked()

        assert [frame["kind"] for frame in page.frames] == ["full"]

    async def test_waiting_for_all_pages_to_go_ends_with_the_last(self, tasks: TaskGroup, feed: LiveFeed) -> None:
        steps: list[str] = []

        async def wait(feed: LiveFeed) -> None:
            await feed.wait_empty()
            steps.append("empty")

        with anyio.fail_after(5):
            await feed.wait_empty()
        viewers = [feed.open(EVERYTHING) for _ in range(3)]
        tasks.start_soon(wait, feed)
        for viewer in viewers:
            await wait_all_tasks_blocked()
            steps.append("drop")
            feed.drop(viewer)
        feed.drop(viewers[0])
        await wait_all_tasks_blocked()

        assert steps == ["drop", "drop", "drop", "empty"]

    async def test_the_feed_ends_with_the_bus_and_is_a_reader_until_then(self, bus: EventBus, feed: LiveFeed) -> None:
        assert [reader.name for reader in bus.statistics().readers] == ["panel"]
        bus.close()
        await wait_all_tasks_blocked()
        assert bus.statistics().readers == ()


class Somebody(Anybody):
    """A visitor who can be signed out."""

    name = "alice"
    signed_in = True

    def __init__(self, confirm_every: float | None = None) -> None:
        self.confirm_every = confirm_every

    def is_live(self) -> bool:
        return self.signed_in


class TestVisitors:
    """Who looks at a page may be signed out while it is open."""

    @staticmethod
    def page(feed: LiveFeed, visitor: Somebody) -> Page:
        page = Page(feed)
        page.viewer.visitor = visitor
        return page

    async def test_a_page_hears_of_it_at_once_and_gets_nothing_more(
        self, bus: EventBus, feed: LiveFeed, tasks: TaskGroup
    ) -> None:
        visitor = Somebody()
        page, other = self.page(feed, visitor), Page(feed)
        tasks.start_soon(page.read)
        await other.next()
        await wait_all_tasks_blocked()

        visitor.signed_in = False
        feed.look_again()
        publish(bus)

        assert seqs(await other.next()) == [1]
        await wait_all_tasks_blocked()
        assert [frame["kind"] for frame in page.frames] == ["full", "signed-out"]
        assert page.viewer.closed

    async def test_without_a_word_it_is_found_out_before_the_next_frame(self, bus: EventBus, feed: LiveFeed) -> None:
        visitor = Somebody()
        page = self.page(feed, visitor)
        await page.next()

        visitor.signed_in = False
        publish(bus)

        assert (await page.next())["kind"] == "signed-out"
        assert await page.next() is None


class TestConfirmation:
    """Where only a request can tell whether somebody is still signed in."""

    @pytest.fixture
    def anyio_backend(self) -> tuple[str, dict[str, Any]]:
        return "trio", {"clock": MockClock(autojump_threshold=0)}

    async def test_a_page_is_asked_for_one_in_time_and_stays_open_if_it_sends_it(self, feed: LiveFeed) -> None:
        page, start = TestVisitors.page(feed, Somebody(confirm_every=60)), anyio.current_time()
        asked: list[float] = []
        while anyio.current_time() < start + 200:
            frame = await page.next()
            if frame["kind"] == "confirm":
                asked.append(anyio.current_time() - start)
                page.viewer.confirm()

        assert asked == pytest.approx([60, 120, 180])

    async def test_a_page_that_does_not_answer_is_ended_a_minute_later(self, feed: LiveFeed) -> None:
        page, start = TestVisitors.page(feed, Somebody(confirm_every=60)), anyio.current_time()
        with anyio.fail_after(1_000):
            await page.read()

        kinds = [frame["kind"] for frame in page.frames]
        assert kinds.count("confirm") == 1
        assert kinds[-1] == "signed-out"
        assert anyio.current_time() - start == pytest.approx(120)

    async def test_whoever_steers_the_page_need_not_be_asked(self, feed: LiveFeed) -> None:
        page = TestVisitors.page(feed, Somebody(confirm_every=60))
        start = anyio.current_time()
        while anyio.current_time() < start + 200:
            assert (await page.next())["kind"] in ("full", "heartbeat")
            page.viewer.confirm()


class TestTime:
    """What takes seconds, in virtual time."""

    @pytest.fixture
    def anyio_backend(self) -> tuple[str, dict[str, Any]]:
        return "trio", {"clock": MockClock(autojump_threshold=0)}

    async def test_a_lone_event_is_a_frame_at_once(self, bus: EventBus, feed: LiveFeed) -> None:
        page = Page(feed)
        await page.next()
        await anyio.sleep(1)
        began = anyio.current_time()
        publish(bus)
        frame = await page.next()
        took = anyio.current_time() - began

        assert (frame["kind"], seqs(frame)) == ("add", [1])
        assert took == 0

    async def test_a_page_that_fell_behind_goes_on_from_where_it_stood(self, bus: EventBus, feed: LiveFeed) -> None:
        page = Page(feed)
        await page.next()
        for count in (3, 4, 5):
            publish(bus, count)
            await anyio.sleep(2 * FRAME_INTERVAL)
        frame = await page.next()

        assert seqs(frame) == [*range(1, 13)]
        assert frame["missed"] == 0

    async def test_a_congested_page_gets_one_frame_with_everything_once_it_can(
        self, bus: EventBus, tasks: TaskGroup, feed: LiveFeed
    ) -> None:
        stuck = [False]
        page = Page(feed, congested=lambda: stuck[0])
        await page.next()
        stuck[0] = True
        tasks.start_soon(page.read)
        for _ in range(5):
            publish(bus, 10)
            await anyio.sleep(FRAME_INTERVAL)
        assert page.frames == []
        stuck[0] = False
        await anyio.sleep(FRAME_INTERVAL)
        feed.drop(page.viewer)

        (frame,) = page.frames
        assert seqs(frame) == [*range(1, 51)]

    async def test_in_a_quiet_time_there_is_a_sign_of_life_every_five_seconds_and_nothing_else(
        self, bus: EventBus, tasks: TaskGroup, feed: LiveFeed
    ) -> None:
        publish(bus, 3)
        page = Page(feed)
        began = anyio.current_time()
        tasks.start_soon(page.read)
        await anyio.sleep(16)
        feed.drop(page.viewer)

        assert HEARTBEAT == 5
        assert [frame["kind"] for frame in page.frames] == ["full", "heartbeat", "heartbeat", "heartbeat"]
        assert [arrived - began for arrived in page.arrived] == [0, 5, 10, 15]
        assert all("rows" not in frame for frame in page.frames[1:])

    async def test_a_sign_of_life_is_due_five_seconds_after_the_last_frame(
        self, bus: EventBus, tasks: TaskGroup, feed: LiveFeed
    ) -> None:
        page = Page(feed)
        began = anyio.current_time()
        tasks.start_soon(page.read)
        await anyio.sleep(4)
        publish(bus)
        await anyio.sleep(6)
        feed.drop(page.viewer)

        assert [frame["kind"] for frame in page.frames] == ["full", "add", "heartbeat"]
        assert [arrived - began for arrived in page.arrived] == [0, 4, 9]

    async def test_a_paused_page_gets_signs_of_life_and_loses_nothing_by_them(
        self, bus: EventBus, feed: LiveFeed
    ) -> None:
        page = Page(feed)
        await page.next()
        page.viewer.pause(True)
        assert (await page.next())["kind"] == "heartbeat"
        publish(bus, 2)
        assert (await page.next())["new"] == 2
        assert (await page.next())["kind"] == "heartbeat"
        page.viewer.pause(False)
        assert seqs(await page.next()) == [1, 2]

    async def test_frames_of_a_steady_stream_come_eight_times_a_second(
        self, bus: EventBus, tasks: TaskGroup, feed: LiveFeed
    ) -> None:
        page = Page(feed)
        tasks.start_soon(page.read)
        await anyio.sleep(1)
        for _ in range(1_000):
            publish(bus)
            await anyio.sleep(0.001)
        await anyio.sleep(1)
        feed.drop(page.viewer)

        gaps = [later - earlier for earlier, later in zip(page.arrived[1:], page.arrived[2:], strict=False)]
        assert len(gaps) == 8
        assert gaps == pytest.approx([FRAME_INTERVAL] * 8)

    async def test_many_pages_are_woken_in_groups_and_all_within_a_frame(
        self, bus: EventBus, tasks: TaskGroup, feed: LiveFeed
    ) -> None:
        pages = [Page(feed) for _ in range(100)]
        for page in pages:
            tasks.start_soon(page.read)
        await anyio.sleep(1)
        published = anyio.current_time()
        publish(bus)
        await anyio.sleep(1)
        for page in pages:
            feed.drop(page.viewer)

        late = [page.arrived[1] - published for page in pages]
        assert late[0] == 0
        assert late == sorted(late)
        assert 0.02 < late[-1] < FRAME_INTERVAL


class Slow:
    """A request that began just now, and takes long."""

    def __init__(self) -> None:
        self.began = anyio.current_time()

    def running(self) -> Running:
        age = anyio.current_time() - self.began
        return Running(id="1", time=0, age=age, kind="request", method="GET", path="/slow")


class TestInFlight:
    async def test_what_takes_long_is_told_while_it_runs_and_when_it_has_ended(
        self, bus: EventBus, feed: LiveFeed
    ) -> None:
        page, slow = Page(feed), Slow()
        await page.next()

        bus.in_flight.add(slow)
        frame = await page.next()
        assert (frame["kind"], [row[3] for row in frame["running"]]) == ("running", ["/slow"])

        bus.in_flight.discard(slow)
        frame = await page.next()
        assert (frame["kind"], frame["running"]) == ("running", [])

    async def test_what_ends_soon_is_not_told(self, bus: EventBus, feed: LiveFeed) -> None:
        page, quick = Page(feed), Slow()
        await page.next()

        bus.in_flight.add(quick)
        bus.in_flight.discard(quick)

        assert (await page.next())["kind"] == "heartbeat"

    async def test_a_paused_page_is_told_too(self, bus: EventBus, feed: LiveFeed) -> None:
        page = Page(feed)
        await page.next()
        page.viewer.pause(True)

        bus.in_flight.add(Slow())
        frame = await page.next()

        assert (frame["kind"], frame["new"], len(frame["running"])) == ("paused", 0, 1)


class TestPages:
    """Views other than the live one: whole pages, at most one a second."""

    async def test_a_page_is_sent_at_once_and_again_when_something_happened(
        self, bus: EventBus, feed: LiveFeed
    ) -> None:
        page = Page(feed)
        page.viewer.turn_to("routes", 60)
        first = await page.next()
        bus.publish(Event(time=0, method="GET", route="/a", status=200, total=0.5))
        second = await page.next()

        assert (first["kind"], first["page"], first["content"]) == ("page", "routes", [])
        assert [row[:3] for row in second["content"]] == [["GET", "/a", 1]]

    async def test_frames_of_a_page_keep_their_distance(self, bus: EventBus, feed: LiveFeed, tasks: TaskGroup) -> None:
        page = Page(feed)
        page.viewer.turn_to("errors", None)
        tasks.start_soon(page.read)
        with anyio.move_on_after(3 * PAGE_INTERVAL):
            while True:
                publish(bus)
                await anyio.sleep(FRAME_INTERVAL)

        gaps = [later - earlier for earlier, later in zip(page.arrived, page.arrived[1:], strict=False)]
        assert gaps
        assert min(gaps) >= PAGE_INTERVAL * 0.9

    async def test_a_quiet_page_gets_a_sign_of_life(self, feed: LiveFeed) -> None:
        page = Page(feed)
        page.viewer.turn_to("system", None)

        assert [(await page.next())["kind"] for _ in range(2)] == ["page", "page"]

    async def test_a_paused_page_stands_still(self, bus: EventBus, feed: LiveFeed) -> None:
        page = Page(feed)
        page.viewer.turn_to("routes", None)
        await page.next()
        page.viewer.pause(True)
        publish(bus)

        assert (await page.next())["kind"] == "heartbeat"

    async def test_back_in_the_live_view_all_rows_are_there(self, bus: EventBus, feed: LiveFeed) -> None:
        page = Page(feed)
        page.viewer.turn_to("flight", None)
        await page.next()
        publish(bus, 3)
        page.viewer.turn_to(LIVE, None)

        frame = await page.next()
        while frame["kind"] == "page":  # one that was under way
            frame = await page.next()
        assert (frame["kind"], seqs(frame)) == ("full", [1, 2, 3])

    async def test_what_is_in_flight_is_a_page_of_its_own(self, bus: EventBus, feed: LiveFeed) -> None:
        page = Page(feed)
        page.viewer.turn_to("flight", None)
        assert (await page.next())["content"] == []

        bus.in_flight.add(Slow())

        frame = await page.next()
        assert [row["path"] for row in frame["content"]] == ["/slow"]
