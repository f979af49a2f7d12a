"""Everything at once for a long time: nothing grows, and in the end every request is accounted for.

`make soak MINUTES=30` runs it for so long; `make prove` for some seconds.
"""

import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import anyio
import httpx
import psutil
import pytest

from .brokers import RedisBroker, free_port
from .soaking import Sample, Soak, growth, sample, steady

MINUTES: Final = float(os.environ.get("REQSCOPE_SOAK_MINUTES") or 0)
SECONDS: Final = MINUTES * 60 or 20.0
WARM_UP: Final = min(60.0, SECONDS / 2)
PATIENCE: Final = 180.0
KEEP: Final = ("--timeout-keep-alive", "3600")
"""No connection is closed by the server in the moment in which the client asks again."""
MOST_GROWTH: Final = 16.0
"""Mebibytes. What leaks in a request shows as more within minutes."""

pytestmark = [pytest.mark.anyio, pytest.mark.prove, pytest.mark.timeout(MINUTES * 60 + 900)]


@asynccontextmanager
async def process(*command: str, answers: str, **environment: str) -> AsyncGenerator[psutil.Process]:
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    child = subprocess.Popen([sys.executable, "-m", *command], env={**os.environ, **environment}, **quiet)  # noqa: ASYNC220
    try:
        async with httpx.AsyncClient(trust_env=False) as client:
            with anyio.fail_after(PATIENCE):
                while not await _answers(client, answers):  # noqa: ASYNC110 - another process sets no event
                    await anyio.sleep(0.1)
        yield psutil.Process(child.pid)
    finally:
        child.kill()
        child.wait()


async def _answers(client: httpx.AsyncClient, address: str) -> bool:
    try:
        return (await client.get(address)).status_code == 200
    except httpx.HTTPError:
        return False


def lines_in(folder: Path) -> list[dict[str, Any]]:
    files = [*folder.glob("*.jsonl")]
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


async def test_nothing_grows_and_every_request_is_accounted_for(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    app_port, api_port, panel_port = free_port(), free_port(), free_port()
    address, panel = f"http://127.0.0.1:{app_port}", f"http://127.0.0.1:{panel_port}"
    app = ("uvicorn", "--app-dir", str(Path(__file__).parent), "soak_app:app", "--port", str(app_port), *KEEP)
    serve = ("reqscope.service", "serve", "--api-port", str(api_port), "--panel-port", str(panel_port), "--log", "none")
    small = {"REQSCOPE_CAPACITY": "500"}  # so that memory is full after seconds, and not after minutes
    log = {"REQSCOPE_LOG": "file", "REQSCOPE_LOG_FILE": str(logs / "requests.jsonl"), "REQSCOPE_LOG_KEEP_FILES": "0"}
    async with (
        RedisBroker(tmp_path) as broker,
        process(*serve, answers=f"{panel}/livez", REQSCOPE_COLLECTOR=broker.url, **small) as watcher,
        process(
            *app,
            answers=f"{address}/probe",
            REQSCOPE_COLLECTOR=broker.url,
            REQSCOPE_LOG_ROTATE_SIZE="1MB",
            **log,
            **small,
        ) as watched,
        httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as client,
    ):

        async def told() -> tuple[int, int, int]:
            """Events of the worker that the panel had, that it knows to be lost, and that it published."""
            rows = (await client.get(f"{panel}/api/workers")).json()["workers"]
            published = (await client.get(f"{panel}/api/stats")).json()["published"]
            return sum(row["events"] for row in rows), sum(row["lost"] for row in rows), published

        async def quiet() -> tuple[Sample, Sample, int]:
            await steady(told)
            tasks = (await client.get(f"{address}/probe")).json()["tasks"]
            return sample(watcher), sample(watched), tasks

        soak = Soak(address, panel, broker, logs / "requests.jsonl")
        await soak.run(WARM_UP)
        before = await quiet()
        soak.samples.clear()
        await soak.run(SECONDS, watcher, watched)
        after = await quiet()
        served = (await client.get(f"{address}/probe")).json()["served"]
        events, lost, published = await _at(told, served)
        await _written(logs, served)

        assert soak.restarts
        assert soak.moved
        assert soak.viewers
        assert events + lost == served
        assert published == events
        numbers = sorted(line["seq"] for line in lines_in(logs))
        assert numbers == list(range(1, served + 1)), "a line is missing, or there twice"
        for earlier, later in zip(before[:2], after[:2], strict=True):
            assert abs(later.descriptors - earlier.descriptors) <= 3
            assert abs(later.threads - earlier.threads) <= 2
        assert abs(after[2] - before[2]) <= 2
        grown = {pid: growth(samples) for pid, samples in soak.samples.items()}
        print(
            f"{served} requests, {lost} lost on the way, {soak.restarts} restarts, {soak.viewers} viewers, {grown} MiB"
        )
        assert max(grown.values()) < MOST_GROWTH, grown


async def _at(told: Any, served: int) -> tuple[int, int, int]:
    """Wait until all that was served is with the panel, or known to be lost."""
    with anyio.move_on_after(PATIENCE):
        while sum((await told())[:2]) < served:  # noqa: ASYNC110 - as above
            await anyio.sleep(0.1)
    result: tuple[int, int, int] = await told()
    return result


async def _written(logs: Path, lines: int) -> None:
    """Wait until the log, which a thread of its own writes, has so many lines."""
    with anyio.move_on_after(PATIENCE):
        while _lines(logs) < lines:  # noqa: ASYNC110 - as above
            await anyio.sleep(0.1)


def _lines(logs: Path) -> int:
    return sum(file.read_bytes().count(b"\n") for file in logs.glob("*.jsonl"))
