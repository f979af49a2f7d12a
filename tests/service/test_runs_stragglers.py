"""Waiting for what other processes have not handed over yet."""

from collections.abc import Callable

import anyio
import pytest

from reqscope.service.bridge.packed import Packed
from reqscope.service.bridge.workers import Workers
from reqscope.service.runs.stragglers import await_workers

pytestmark = pytest.mark.anyio


def report(workers: Workers, name: str, heartbeat: float = 60.0) -> None:
    workers.hear(Packed(worker=name, boot=f"boot of {name}", number=0, after=0, host="here", heartbeat=heartbeat))


async def reports(workers: Workers, name: str, until: Callable[[], bool]) -> None:
    while not until():
        await anyio.sleep(0.03)
        report(workers, name)


async def test_every_worker_that_reports_is_waited_for_twice() -> None:
    workers = Workers(anyio.current_time)
    report(workers, "1")
    report(workers, "2")
    done, late = False, list[str]()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reports, workers, "1", lambda: done)
        tasks.start_soon(reports, workers, "2", lambda: done)
        late = await await_workers(workers.rows, patience=30)
        done = True

    assert late == []


async def test_one_that_is_silent_is_named_in_the_end() -> None:
    workers = Workers(anyio.current_time)
    report(workers, "1")
    report(workers, "silent")
    done, late = False, list[str]()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reports, workers, "1", lambda: done)
        late = await await_workers(workers.rows, patience=1)
        done = True

    assert "silent" in late


async def test_nobody_waits_for_one_that_has_ended() -> None:
    workers = Workers(anyio.current_time)
    report(workers, "1", heartbeat=0.0)

    assert await await_workers(workers.rows, patience=30) == []
