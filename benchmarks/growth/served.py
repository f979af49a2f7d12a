"""Costs of real servers: processes that are started as a user would start them, and loaded over HTTP.

The rate is given and not the highest there can be, so that a machine that has something else to do changes little.
"""

import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import httpx
import psutil

from benchmarks.load import loading, saturate, send_steadily
from benchmarks.server import Served, reqscope
from benchmarks.viewers import watching
from benchmarks.workloads import ready_made, request
from reqscope.bus import EventBus
from reqscope.service.bridge.publisher import Publisher
from reqscope.service.bridge.receiver import Receiver
from reqscope.service.bridge.unix import UnixBridge

from .cost import Growth

_GET: Final = request("GET", "/items/42?page=2")
_APPLICATION: Final = ("run", "benchmarks.capture_apps:shop", "--factory")
_SETTLE: Final = 1.5
"""Seconds between a change and the measurement."""
_SECONDS: Final = 2.5
"""Of one measurement, of which the least of three is taken."""
_TURNS: Final = 3
_STEADY: Final = 1_000
"""Events per second while pages look."""
_HANDED: Final = 5_000
"""Events per second that workers hand over, all together."""
_TICK: Final = 0.01


def _cpu(server: Served) -> float:
    """Return the seconds of processor time of a server and its children, by the nanosecond where Linux counts so."""
    return sum(_own(each) for each in (server.process, *server.process.children(recursive=True)))


def _own(process: psutil.Process) -> float:
    if tasks := list(Path(f"/proc/{process.pid}/task").glob("*/schedstat")):
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9
    times = process.cpu_times()
    return float(times.user + times.system)


def _request_by_rate(rate: int) -> float:
    with reqscope(*_APPLICATION) as server:
        send_steadily(server.port, _GET, rate, _SETTLE)
        return min(_sent(server, rate) for _ in range(_TURNS))


def _sent(server: Served, rate: int) -> float:
    used = _cpu(server)
    sent = send_steadily(server.port, _GET, rate, _SECONDS)
    return (_cpu(server) - used) / sent * 1e6


def _record_by_rate(rate: int) -> float:
    with reqscope() as server, watching(server.page, 1), loading(server.port, rate, batches=True):
        time.sleep(_SETTLE)
        return min(_taken_in(server) for _ in range(_TURNS))


def _taken_in(server: Served) -> float:
    before, used = _published(server), _cpu(server)
    time.sleep(_SECONDS)
    used = _cpu(server) - used
    return used / (_published(server) - before) * 1e6


def _published(server: Served) -> int:
    return int(httpx.get(f"{server.page}/api/stats").raise_for_status().json()["published"])


def _second_by_pages(pages: int) -> float:
    with reqscope() as server, watching(server.page, pages), loading(server.port, _STEADY, batches=True):
        time.sleep(_SETTLE)
        return min(_used(server) for _ in range(_TURNS))


def _used(server: Served) -> float:
    used, begun = _cpu(server), time.perf_counter()
    time.sleep(_SECONDS)
    return (_cpu(server) - used) / (time.perf_counter() - begun) * 1e3


def _request_by_workers(workers: int) -> float:
    with reqscope(*_APPLICATION, "--workers", str(workers)) as server:
        saturate(server.port, _GET, _SETTLE)
        return min(_answered(server) for _ in range(_TURNS))


def _answered(server: Served) -> float:
    used = _cpu(server)
    load = saturate(server.port, _GET, _SECONDS)
    return (_cpu(server) - used) / load.requests * 1e6


def _handed_by_workers(workers: int) -> float:
    return anyio.run(_handed_over, workers, backend_options={"use_uvloop": True})


async def _handed_over(workers: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        async with _bridged(f"{folder}/s", workers) as (buses, panel):
            return min([await _paced(buses, panel) for _ in range(_TURNS)])


@asynccontextmanager
async def _bridged(path: str, workers: int) -> AsyncGenerator[tuple[list[EventBus], EventBus]]:
    panel, buses = EventBus(), [EventBus() for _ in range(workers)]
    receiver = Receiver(panel, UnixBridge(path), workers)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(receiver.run)
        for number, bus in enumerate(buses):
            tasks.start_soon(Publisher(bus, UnixBridge(path), partial(str, number)).run)
        while receiver.workers.reporting < workers:  # noqa: ASYNC110 - before anything is measured
            await anyio.sleep(_TICK)
        yield buses, panel
        tasks.cancel_scope.cancel()


async def _paced(buses: list[EventBus], panel: EventBus) -> float:
    """Publish at the rate, round the workers, and return the microseconds of both ends for an event."""
    made = ready_made(int(_HANDED * _SECONDS))
    last = panel.ring.last + len(made)
    begun, used, sent = time.perf_counter(), time.process_time(), 0
    while panel.ring.last < last:
        due = min(len(made), int((time.perf_counter() - begun) * _HANDED))
        for number in range(sent, due):
            made[number].time, made[number].total = time.time_ns(), 0.0
            buses[number % len(buses)].publish(made[number])
        sent = due
        await anyio.sleep(_TICK)
    return (time.process_time() - used) / len(made) * 1e6


SERVED: Final = (
    Growth(
        "a request to a small FastAPI application in reqscope run",
        "requests per second",
        (10, 100, 1_000, 4_000),
        _request_by_rate,
        "All that the server does, the application's own part included, for requests that come in turn over one "
        "connection. What it does each second whatever comes is shared by all of them, and readers are woken once for "
        "many.",
    ),
    Growth(
        "a record posted to /events while a page is open",
        "records per second",
        (100, 1_000, 10_000, 50_000),
        _record_by_rate,
        "All that the server does, from the socket to the page. They come in a hundred batches a second, and the page "
        "gets at most eight frames a second, of at most 500 rows: the more come, the less each costs.",
    ),
    Growth(
        "a second of the server at 1 000 records per second",
        "open pages",
        (1, 4, 16, 64),
        _second_by_pages,
        "A frame is built once for all pages that show the same, and written to each of them: that is the part which "
        "grows.",
        "ms",
    ),
    Growth(
        "a request to a small FastAPI application, all processes",
        "workers",
        (1, 2, 4, 8),
        _request_by_workers,
        "With the application's own part. From two on, each worker packs its events for the process of the panel. "
        "More workers than cores take turns on them, and find the processor's caches full of each other.",
    ),
    Growth(
        "hand an event over to the panel's process, both ends",
        "workers",
        (1, 4, 16, 64),
        _handed_by_workers,
        "5 000 events per second of all workers together, over a Unix socket. A worker hands over what came in 20 ms: "
        "of 64 workers each batch has one or two events, so the number of batches is what grows.",
    ),
)
