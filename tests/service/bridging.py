"""Workers and panels in one event loop, with a real bridge between them."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio

from reqscope.bus import Event, EventBus
from reqscope.service.bridge.bridge import Bridge
from reqscope.service.bridge.publisher import Publisher
from reqscope.service.bridge.receiver import Receiver

from .conftest import until


@asynccontextmanager
async def worker(bridge: Bridge, name: str = "1", spool: int = 16 << 20) -> AsyncGenerator[tuple[EventBus, Publisher]]:
    bus = EventBus(100_000)
    publisher = Publisher(bus, bridge, lambda: name, spool)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(publisher.run)
        yield bus, publisher
        bus.close()


@asynccontextmanager
async def panel(bridge: Bridge, expected: int = 0) -> AsyncGenerator[tuple[EventBus, Receiver]]:
    bus = EventBus(100_000)
    receiver = Receiver(bus, bridge, expected)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(receiver.run)
        yield bus, receiver
        tasks.cancel_scope.cancel()
    await bridge.aclose()


def event(number: int, **more: Any) -> Event:
    return Event(time=number * 1_000_000, path=f"/{number}", status=200, **more)


def paths(bus: EventBus) -> list[str]:
    return [each.path for each in bus.ring.since(0).events]


def expected_paths(count: int) -> list[str]:
    return [f"/{number}" for number in range(count)]


def lost(receiver: Receiver) -> int:
    return sum(row.lost for row in receiver.workers.rows())


async def arrived(bus: EventBus, count: int) -> None:
    await until(lambda: bus.ring.last >= count, f"{count} events in the panel")
