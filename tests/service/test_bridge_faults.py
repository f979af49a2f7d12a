"""Redis that is down, killed, frozen, full, trimmed, made anew, locked or slow: nobody waits, and nothing is untold."""

import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter

import anyio
import pytest

from reqscope.bus import EventBus
from reqscope.service.bridge.bridge import AddressError, connect
from reqscope.service.bridge.redis_streams import STREAM

from .bridging import arrived, event, expected_paths, lost, panel, paths, worker
from .conftest import until
from .redis_server import Proxy, RedisServer

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def load(bus: EventBus, count: int) -> AsyncGenerator[Callable[[], int]]:
    """Publish events one after the other beside the block, and wait for the last of them at its end."""
    published = 0

    async def publish() -> None:
        nonlocal published
        for number in range(count):
            bus.publish(event(number))
            published += 1
            await anyio.sleep(0.001)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(publish)
        yield lambda: published


async def test_a_server_that_comes_up_late_gets_everything(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    async with panel(connect(server.url)) as (shown, receiver), worker(connect(server.url)) as (bus, publisher):
        for number in range(100):
            bus.publish(event(number))
        await until(lambda: bool(receiver.summary()["failing"] and publisher.statistics().failing), "both say so")
        async with server:
            await arrived(shown, 100)
            await until(lambda: not publisher.statistics().failing, "the worker is content")

            assert paths(shown) == expected_paths(100)
            assert (lost(receiver), receiver.summary()["failing"]) == (0, "")


async def test_a_server_that_is_killed_under_load_and_has_forgotten_everything_costs_no_event(tmp_path: Path) -> None:
    async with (
        RedisServer(tmp_path) as server,
        panel(connect(server.url)) as (shown, receiver),
        worker(connect(server.url)) as (bus, publisher),
    ):
        async with load(bus, 600) as published:
            await until(lambda: published() > 200, "some of them")
            await arrived(shown, 100)
            await until(lambda: shown.ring.last >= published() - 1 or published() > 500, "a moment of calm")
            await server.kill()
            await until(lambda: publisher.statistics().failing != "", "it is noticed")
            await server.start()
        # What the server had taken and nobody had read is gone with it: that is told to the event.
        await until(lambda: shown.ring.last + lost(receiver) >= 600, "every event shown, or told to be lost")

        assert shown.ring.last + lost(receiver) == 600
        assert len(set(paths(shown))) == shown.ring.last


async def test_a_server_that_is_frozen_holds_up_nobody(tmp_path: Path) -> None:
    async with (
        RedisServer(tmp_path) as server,
        panel(connect(server.url)) as (shown, receiver),
        worker(connect(server.url)) as (bus, publisher),
    ):
        bus.publish(event(0))
        await arrived(shown, 1)
        server.send(signal.SIGSTOP)
        slowest = 0.0
        for number in range(1, 200):
            begin = perf_counter()
            bus.publish(event(number))
            slowest = max(slowest, perf_counter() - begin)
            await anyio.lowlevel.checkpoint()
        await until(lambda: bool(publisher.statistics().failing), "the worker says so")
        server.send(signal.SIGCONT)
        await arrived(shown, 200)

        assert paths(shown) == expected_paths(200)
        assert lost(receiver) == 0
        assert slowest < 0.5  # where a publisher that waited for the server would have taken seconds


async def test_a_full_server_is_like_one_that_is_down(tmp_path: Path) -> None:
    async with (
        RedisServer(tmp_path, "--maxmemory-policy", "noeviction") as server,
        panel(connect(server.url)) as (shown, receiver),
        worker(connect(server.url)) as (bus, publisher),
    ):
        await server.command("CONFIG", "SET", "maxmemory", "1mb")
        for number in range(100):
            bus.publish(event(number))
        await until(lambda: "maxmemory" in publisher.statistics().failing, "the worker says so")
        await server.command("CONFIG", "SET", "maxmemory", "0")
        await arrived(shown, 100)

        assert (paths(shown), lost(receiver)) == (expected_paths(100), 0)


async def test_what_was_trimmed_away_before_it_was_read_is_counted_to_the_event(tmp_path: Path) -> None:
    async with RedisServer(tmp_path) as server:
        proxy = Proxy(server.port)
        async with (
            proxy.running(),
            panel(connect(f"redis://127.0.0.1:{proxy.port}/0")) as (shown, receiver),
            worker(connect(server.url)) as (bus, publisher),
        ):
            bus.publish(event(0))
            await arrived(shown, 1)
            proxy.delay = 0.6  # the panel falls behind
            for number in range(1, 100):
                bus.publish(event(number))
                await anyio.sleep(0.005)
            await until(lambda: publisher.statistics().handed_over == 100, "all of them there")
            await server.command("XTRIM", STREAM, "MAXLEN", "1")
            proxy.delay = 0.0
            bus.publish(event(100))
            await until(lambda: shown.ring.last + lost(receiver) == 101, "every event shown, or told to be lost")

            assert lost(receiver) > 0
            assert paths(shown)[-1] == "/100"


async def test_a_stream_that_is_made_anew_with_lower_ids_is_read_from_its_beginning(tmp_path: Path) -> None:
    async with (
        RedisServer(tmp_path) as server,
        panel(connect(server.url)) as (shown, receiver),
        worker(connect(server.url)) as (bus, _),
    ):
        # As from a server whose clock was ahead.
        await server.command("XADD", STREAM, "99999999999999-0", "d", "no batch")
        await until(lambda: receiver.summary()["unreadable"] == 1, "it is read")
        await server.command("DEL", STREAM)
        bus.publish(event(0))
        await arrived(shown, 1)

        assert paths(shown) == ["/0"]


async def test_a_wrong_password_is_said_in_words_and_waits_for_the_right_one(tmp_path: Path) -> None:
    async with RedisServer(tmp_path, "--requirepass", "right") as server:
        wrong = server.url.replace("//", "//:wrong@")
        async with panel(connect(wrong)) as (_, receiver), worker(connect(wrong)) as (bus, publisher):
            bus.publish(event(0))
            await until(lambda: bool(publisher.statistics().failing and receiver.summary()["failing"]), "both say so")

            failing = publisher.statistics().failing + receiver.summary()["failing"]
            assert "password" in failing.lower()
            assert "wrong@" not in failing


async def test_a_slow_network_delays_and_loses_nothing(tmp_path: Path) -> None:
    async with RedisServer(tmp_path) as server:
        proxy = Proxy(server.port)
        proxy.delay = 0.05
        async with proxy.running():
            address = f"redis://127.0.0.1:{proxy.port}/0"
            async with panel(connect(address)) as (shown, receiver), worker(connect(address)) as (bus, _):
                async with load(bus, 300):
                    pass
                await arrived(shown, 300)

                assert (paths(shown), lost(receiver)) == (expected_paths(300), 0)


@pytest.mark.parametrize("address", ["", "unix:", "kafka://x", "/run/x.sock", "redis://host:port/0"])
def test_an_address_that_leads_nowhere_says_what_to_write(address: str) -> None:
    with pytest.raises(AddressError, match="write"):
        connect(address)
