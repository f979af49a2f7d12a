import gc
import json
import tracemalloc
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest
from anyio.lowlevel import checkpoint
from fastapi import FastAPI
from httpx_sse import EventSource, ServerSentEvent
from starlette.types import Message

from reqscope.bus import Event, EventBus, Filter
from reqscope.service.admin import answer_with_problems
from reqscope.service.stream import MAX_STREAMS, READER, EventStream, Streams, stream_router

from .conftest import DEADLINE, Site, scope_of, swallow, until

pytestmark = pytest.mark.anyio

PATH = "/api/events/stream"
PROBLEM = "application/problem+json"


@pytest.fixture
def bus() -> EventBus:
    return EventBus(capacity=1_000)


@pytest.fixture
def streams(bus: EventBus) -> Streams:
    return Streams(bus)


@pytest.fixture
async def api(site: Site, streams: Streams) -> AsyncIterator[httpx.AsyncClient]:
    async with site.client(app_of(streams)) as client:
        yield client
        streams.close()


def app_of(streams: Streams) -> FastAPI:
    app = FastAPI()
    app.include_router(stream_router(streams))
    answer_with_problems(app)
    return app


def publish(bus: EventBus, count: int = 1, **fields: Any) -> None:
    for _ in range(count):
        bus.publish(Event(time=1_700_000_000_000_000_000, **fields))


@asynccontextmanager
async def streaming(
    api: httpx.AsyncClient, position: str = "", **query: Any
) -> AsyncGenerator[AsyncIterator[ServerSentEvent]]:
    """Open a stream, and give its messages. Those without data, which move the position on only, are among them."""
    headers = {"last-event-id": position} if position else {}
    with anyio.fail_after(DEADLINE):
        async with api.stream("GET", PATH, params=query, headers=headers) as response:
            assert (response.status_code, response.headers["content-type"]) == (
                200,
                "text/event-stream; charset=utf-8",
            )
            yield EventSource(response).aiter_sse()


async def take(messages: AsyncIterator[ServerSentEvent], count: int) -> list[ServerSentEvent]:
    """Return the next messages that have data."""
    taken: list[ServerSentEvent] = []
    while len(taken) < count:
        message = await anext(messages)
        if message.data:
            taken.append(message)
    return taken


async def everything(api: httpx.AsyncClient, position: str = "", **query: Any) -> list[ServerSentEvent]:
    async with streaming(api, position, follow="false", **query) as messages:
        return [message async for message in messages if message.data]


def seqs(messages: list[ServerSentEvent]) -> list[int]:
    return [message.json()["seq"] for message in messages]


async def connected(bus: EventBus, count: int = 1) -> None:
    await until(lambda: len(bus.statistics().readers) == count, f"{count} streams")


class TestEvents:
    async def test_what_is_published_comes_as_the_line_that_the_log_has(
        self, api: httpx.AsyncClient, bus: EventBus
    ) -> None:
        async with streaming(api) as messages:
            await anext(messages)
            publish(bus, kind="record", path="/a", body=b"hello\nworld \xe2\x80\xa8", status=503)
            (message,) = await take(messages, 1)

        assert (message.event, message.id) == ("message", f"{bus.boot}:1")
        entry = message.json()
        assert (entry["id"], entry["url.path"], entry["level"]) == (f"{bus.boot}-1", "/a", "error")
        assert entry["body"] == "hello\nworld \u2028"
        assert "\u2028" not in message.data

    async def test_it_begins_with_what_comes_and_not_with_what_was(self, api: httpx.AsyncClient, bus: EventBus) -> None:
        publish(bus, 3)
        async with streaming(api) as messages:
            assert (await anext(messages)).id == f"{bus.boot}:3"
            publish(bus, 2)
            assert seqs(await take(messages, 2)) == [4, 5]

    async def test_many_come_in_order_and_without_holes(self, api: httpx.AsyncClient, bus: EventBus) -> None:
        async with streaming(api) as messages:
            await connected(bus)
            found = list[int]()
            for _ in range(20):
                publish(bus, 150)
                found += seqs(await take(messages, 150))

        assert found == [*range(1, 3_001)]

    async def test_only_what_passes_the_filter_is_sent(self, api: httpx.AsyncClient, bus: EventBus) -> None:
        async with streaming(api, filter="status:5xx -path:/health") as messages:
            await connected(bus)
            publish(bus, status=200)
            publish(bus, status=500, path="/health")
            publish(bus, status=502)
            assert seqs(await take(messages, 1)) == [3]

    async def test_events_that_are_large_are_all_sent(self, api: httpx.AsyncClient, bus: EventBus) -> None:
        publish(bus, 20, body=b"\x1b" * 100_000, kind="log")

        assert [len(message.json()["body"]) for message in await everything(api, backfill=20)] == [100_000] * 20


class TestBackfill:
    @pytest.mark.parametrize(
        ("count", "text", "expected"),
        [
            (0, "", []),
            (1, "", [30]),
            (5, "", [26, 27, 28, 29, 30]),
            (99, "", [*range(1, 31)]),
            (3, "status:404", [24, 27, 30]),
            (99, "status:404", [*range(3, 31, 3)]),
            (99, "status:500", []),
        ],
    )
    async def test_the_newest_that_pass_come_first_the_oldest_of_them_leading(
        self, api: httpx.AsyncClient, bus: EventBus, count: int, text: str, expected: list[int]
    ) -> None:
        for number in range(1, 31):
            publish(bus, status=200 if number % 3 else 404)

        assert seqs(await everything(api, backfill=count, filter=text)) == expected

    async def test_what_the_ring_no_longer_has_is_no_gap_in_it(self, site: Site) -> None:
        bus = EventBus(capacity=10)
        publish(bus, 50)
        async with site.client(app_of(Streams(bus))) as api:
            messages = await everything(api, backfill=100)

        assert seqs(messages) == [*range(41, 51)]

    async def test_then_it_follows(self, api: httpx.AsyncClient, bus: EventBus) -> None:
        publish(bus, 5)
        async with streaming(api, backfill=2) as messages:
            assert seqs(await take(messages, 2)) == [4, 5]
            publish(bus)
            assert seqs(await take(messages, 1)) == [6]

    async def test_without_following_it_ends_behind_what_there_was(self, api: httpx.AsyncClient, bus: EventBus) -> None:
        assert await everything(api, backfill=10) == []
        publish(bus, 3)
        assert seqs(await everything(api, backfill=10)) == [1, 2, 3]
        assert bus.statistics().readers == ()


class TestResuming:
    @pytest.mark.parametrize("how", ["header", "query", "number"])
    async def test_it_goes_on_behind_the_last_event_that_was_seen(
        self, api: httpx.AsyncClient, bus: EventBus, how: str
    ) -> None:
        publish(bus, 5)
        position = f"{bus.boot}:3"
        if how == "header":
            messages = await everything(api, position, backfill=5, after="1")
        else:
            messages = await everything(api, after=position if how == "query" else "3", backfill=5)

        assert seqs(messages) == [4, 5]

    async def test_what_was_evicted_meanwhile_is_a_gap_of_exactly_so_many(self, site: Site) -> None:
        bus = EventBus(capacity=10)
        publish(bus, 100)
        async with site.client(app_of(Streams(bus))) as api:
            gap, *messages = await everything(api, f"{bus.boot}:7")
            assert (gap.event, gap.json()) == ("gap", {"missed": 83, "restarted": False})
            assert gap.id == f"{bus.boot}:90"
            assert seqs(messages) == [*range(91, 101)]

            again = await everything(api, gap.id)
            assert seqs(again) == [*range(91, 101)], "who drops out behind the gap is not told of it once more"

    @pytest.mark.parametrize(("published", "missed"), [(0, 0), (4, 0), (25, 15)])
    async def test_another_life_of_the_bus_is_a_gap_and_then_everything_there_is(
        self, site: Site, published: int, missed: int
    ) -> None:
        bus = EventBus(capacity=10)
        publish(bus, published)
        async with site.client(app_of(Streams(bus))) as api:
            gap, *messages = await everything(api, "0123abcd:7")

        assert (gap.event, gap.json(), gap.id) == (
            "gap",
            {"missed": missed, "restarted": True},
            f"{bus.boot}:{missed}",
        )
        assert seqs(messages) == [*range(missed + 1, published + 1)]

    async def test_a_number_that_is_yet_to_come_is_of_another_life(self, api: httpx.AsyncClient, bus: EventBus) -> None:
        publish(bus, 2)
        gap, *messages = await everything(api, f"{bus.boot}:3")

        assert gap.json()["restarted"] is True
        assert seqs(messages) == [1, 2]

    async def test_a_filter_that_lets_nothing_pass_moves_the_position_on_all_the_same(
        self, api: httpx.AsyncClient, bus: EventBus
    ) -> None:
        async with streaming(api, filter="status:500") as messages:
            assert (await anext(messages)).id == f"{bus.boot}:0"
            publish(bus, 7, status=200)
            message = await anext(messages)

        assert (message.id, message.data) == (f"{bus.boot}:7", "")

    @pytest.mark.parametrize("position", ["x", "a:b:1", "-1", "1:", ":", "1" * 30, "é:1", "1 2"])
    async def test_a_position_that_is_none_is_refused(self, api: httpx.AsyncClient, position: str) -> None:
        answer = await api.get(PATH, params={"after": position})

        assert (answer.status_code, answer.headers["content-type"]) == (400, PROBLEM)
        assert "Last-Event-ID" in answer.json()["detail"]


class TestRefusals:
    @pytest.mark.parametrize(
        ("query", "status", "words"),
        [
            ({"filter": "statsu:500"}, 400, "at character 1"),
            ({"backfill": "-1"}, 422, "query.backfill"),
            ({"backfill": "many"}, 422, "query.backfill"),
            ({"follow": "perhaps"}, 422, "query.follow"),
        ],
    )
    async def test_what_means_nothing_is_a_problem(
        self, api: httpx.AsyncClient, query: dict[str, str], status: int, words: str
    ) -> None:
        answer = await api.get(PATH, params=query)

        assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)
        assert words in answer.json()["detail"]

    async def test_beyond_so_many_streams_there_are_no_more(
        self, api: httpx.AsyncClient, streams: Streams, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("reqscope.service.stream.MAX_STREAMS", 1)
        assert MAX_STREAMS > 1
        async with streaming(api):
            answer = await api.get(PATH)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")

    async def test_a_bus_that_is_closed_has_no_streams(self, api: httpx.AsyncClient, bus: EventBus) -> None:
        bus.close()
        assert (await api.get(PATH)).status_code == 503


class TestSignsOfLife:
    async def test_when_it_is_quiet_a_comment_comes_with_the_position(self, site: Site, bus: EventBus) -> None:
        publish(bus, 3)
        streams = Streams(bus, heartbeat=0.05)
        async with site.client(app_of(streams)) as api, api.stream("GET", PATH) as response:
            text = ""
            with anyio.fail_after(DEADLINE):
                async for piece in response.aiter_text():
                    text += piece
                    if text.count(": alive\n") == 4:
                        break
            streams.close()

        assert text == "retry: 1000\n" + f": alive\nid: {bus.boot}:3\n\n" * 4


class TestEnds:
    async def test_when_the_client_leaves_its_reader_is_gone_and_what_it_had_stays_counted(
        self, api: httpx.AsyncClient, streams: Streams, bus: EventBus
    ) -> None:
        async with streaming(api) as messages:
            await connected(bus)
            publish(bus, 5)
            await take(messages, 5)
            assert [reader.name for reader in bus.statistics().readers] == [READER]
            assert streams.statistics().open == 1
        await until(lambda: not bus.statistics().readers, "the reader's end")

        now = streams.statistics()
        assert (now.open, now.ended_delivered, now.ended_missed) == (0, 5, 0)

    async def test_closing_sends_what_there_is_and_ends_the_stream_properly(
        self, api: httpx.AsyncClient, streams: Streams, bus: EventBus
    ) -> None:
        async with streaming(api) as messages:
            await connected(bus)
            publish(bus)
            await take(messages, 1)
            publish(bus, 3)  # within the time that the reader lingers
            streams.close()
            assert seqs([message async for message in messages if message.data]) == [2, 3, 4]
        assert (await api.get(PATH)).status_code == 503

        streams.open()
        assert seqs(await everything(api, backfill=1)) == [4]

    async def test_a_stream_that_begins_while_all_are_closed_ends(self, bus: EventBus, streams: Streams) -> None:
        stream = EventStream(streams, Filter.parse(""), 0, restarted=False, follow=True)
        streams.close()

        with anyio.fail_after(DEADLINE):
            await stream(scope_of(), anyio.sleep_forever, swallow)  # type: ignore[arg-type]  # it never returns
        assert len(streams) == 0

    async def test_a_server_that_raises_when_the_client_is_gone_hears_of_no_failure(
        self, bus: EventBus, streams: Streams
    ) -> None:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            if len(sent) == 2:
                raise BrokenPipeError
            sent.append(message)

        stream = EventStream(streams, Filter.parse(""), 0, restarted=False, follow=True)
        publish(bus)
        with anyio.fail_after(DEADLINE):
            await stream(scope_of(), anyio.sleep_forever, send)  # type: ignore[arg-type]  # it never returns

        assert len(sent) == 2
        assert bus.statistics().readers == ()

    async def test_the_end_of_the_bus_is_the_end_of_the_stream(self, api: httpx.AsyncClient, bus: EventBus) -> None:
        async with streaming(api) as messages:
            await connected(bus)
            publish(bus, 2)
            bus.close()
            assert seqs([message async for message in messages if message.data]) == [1, 2]


class TestSlowReaders:
    @pytest.fixture
    async def stuck(self, site: Site, streams: Streams, bus: EventBus) -> AsyncIterator[anyio.abc.SocketStream]:
        """A client that asked for everything, and does not read."""
        async with site.connection(app_of(streams)) as connection:
            await connection.send(b"GET /api/events/stream?after=0 HTTP/1.1\r\nhost: localhost\r\n\r\n")
            await connected(bus)
            yield connection

    @pytest.mark.guarantees("F1", "F38")
    async def test_one_that_does_not_read_misses_exactly_what_the_ring_evicts(
        self, stuck: anyio.abc.SocketStream, bus: EventBus
    ) -> None:
        total = 0
        with anyio.fail_after(DEADLINE):
            while bus.statistics().readers[0].missed < 5_000:
                publish(bus, 200, kind="log", body=b"x" * 5_000)
                total += 200
                await checkpoint()
        reader = bus.statistics().readers[0]
        assert reader.delivered + reader.missed + reader.pending == total

        received = b""
        with anyio.fail_after(DEADLINE):
            while f'"seq":{total},'.encode() not in received:
                received += await stuck.receive(1 << 20)

        blocks = [line for line in received.split(b"\n") if line.startswith(b"data: ")]
        told = [json.loads(line.removeprefix(b"data: ")) for line in blocks]
        missed = sum(message.get("missed", 0) for message in told)
        shown = [message["seq"] for message in told if "seq" in message]
        assert missed >= 5_000
        assert len(shown) + missed == total
        assert shown == sorted(set(shown))

    @pytest.mark.guarantees("F1", "F38")
    async def test_one_that_does_not_read_holds_no_events(self, stuck: anyio.abc.SocketStream, bus: EventBus) -> None:
        async def lap() -> None:
            for _ in range(20):
                publish(bus, 50, kind="log", body=b"x" * 20_000)
                await checkpoint()

        while bus.statistics().readers[0].missed == 0:
            await lap()
        gc.collect()
        tracemalloc.start()
        try:
            await lap()
            first = tracemalloc.get_traced_memory()[0]
            for _ in range(10):
                await lap()
            grown = tracemalloc.get_traced_memory()[0] - first
        finally:
            tracemalloc.stop()

        assert bus.statistics().readers[0].missed > 5_000
        assert grown < 4_000_000, "a ring full is 20 MB"

    @pytest.mark.guarantees("F1", "F23")
    async def test_one_that_does_not_read_does_not_hold_up_the_end(
        self, stuck: anyio.abc.SocketStream, bus: EventBus, streams: Streams
    ) -> None:
        with anyio.fail_after(DEADLINE):
            while bus.statistics().readers[0].missed == 0:
                publish(bus, 200, kind="log", body=b"x" * 5_000)
                await checkpoint()
            streams.close()
            await until(lambda: len(streams) == 0, "the end of the stream")
