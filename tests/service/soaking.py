"""What goes on during a soak: load, viewers, stuck readers, a broker and log files that come and go."""

import random
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import anyio
import httpx
import psutil

from .brokers import RedisBroker

Step = Callable[[], Awaitable[None]]


@dataclass
class Sample:
    """What a process holds."""

    memory: int
    descriptors: int
    threads: int


def sample(process: psutil.Process) -> Sample:
    with process.oneshot():
        return Sample(process.memory_info().rss, process.num_fds(), process.num_threads())


@dataclass
class Soak:
    """Everything at once, until it is told to end.

    :param app: where the watched application answers
    :param panel: where the panel does
    """

    app: str
    panel: str
    broker: RedisBroker
    log: Path
    restarts: int = 0
    viewers: int = 0
    moved: int = 0
    samples: dict[int, list[Sample]] = field(default_factory=dict[int, list[Sample]])
    chance: random.Random = field(default_factory=lambda: random.Random(7))

    async def run(self, seconds: float, *processes: psutil.Process) -> None:
        """Go on for so long, and sample `processes` each second."""
        stuck = [self._stuck() for _ in range(3)]
        try:
            async with httpx.AsyncClient(base_url=self.app, timeout=30, trust_env=False) as client:
                with anyio.move_on_after(seconds):
                    async with anyio.create_task_group() as tasks:
                        for _ in range(4):
                            tasks.start_soon(self._again, lambda: self._request(client))
                        tasks.start_soon(self._again, self._impatient)
                        for _ in range(3):
                            tasks.start_soon(self._again, self._view)
                        tasks.start_soon(self._again, self._move_log)
                        tasks.start_soon(self._again, lambda: self._restart_broker(seconds))
                        tasks.start_soon(self._again, lambda: self._sample(processes))
        finally:
            for each in stuck:
                each.close()

    async def _again(self, step: Step) -> None:
        while True:
            await step()

    async def _request(self, client: httpx.AsyncClient) -> None:
        match self.chance.randrange(10):
            case 0:
                # Behind a 500 for an exception, uvicorn closes the connection.
                await client.get("/fails", headers={"connection": "close"})
            case 1:
                await client.get("/stream")
            case 2 | 3:
                await client.post("/orders", content=self.chance.randbytes(self.chance.randrange(20_000)))
            case 4:
                await client.get("/nowhere")
            case _:
                await client.get(f"/items/{self.chance.randrange(1_000)}", params={"token": "canary"})

    async def _impatient(self) -> None:
        """Ask, and leave before the answer is there."""
        async with httpx.AsyncClient(base_url=self.app, timeout=30, trust_env=False) as client:
            with anyio.move_on_after(0.03):
                await client.get("/stream")
        await anyio.sleep(0.2)

    async def _view(self) -> None:
        """Look on for a while."""
        with suppress(httpx.HTTPError):
            async with httpx.AsyncClient(base_url=self.panel, timeout=30, trust_env=False) as client:
                with anyio.move_on_after(self.chance.uniform(0.2, 3)):
                    self.viewers += 1
                    async with client.stream("GET", "/api/events/stream", params={"backfill": 50}) as answer:
                        async for _ in answer.aiter_raw():
                            pass

    def _stuck(self) -> socket.socket:
        """Return somebody who asks for all that comes and reads none of it."""
        url = httpx.URL(self.panel)
        connection = socket.create_connection((url.host, url.port or 80))
        connection.sendall(f"GET /api/events/stream HTTP/1.1\r\nHost: {url.netloc.decode()}\r\n\r\n".encode())
        return connection

    async def _move_log(self) -> None:
        await anyio.sleep(3)
        with suppress(FileNotFoundError):
            self.log.rename(self.log.with_name(f"moved-{self.moved}.jsonl"))
            self.moved += 1

    async def _restart_broker(self, seconds: float) -> None:
        await anyio.sleep(max(4.0, min(60.0, seconds / 4)))
        with anyio.CancelScope(shield=True):
            await self.broker.kill()
            await anyio.sleep(1)
            await self.broker.start()
            self.restarts += 1

    async def _sample(self, processes: tuple[psutil.Process, ...]) -> None:
        for process in processes:
            self.samples.setdefault(process.pid, []).append(sample(process))
        await anyio.sleep(1)


def growth(samples: list[Sample]) -> float:
    """Return the mebibytes that a process grew by, from the second quarter of a run to its last."""
    memory, quarter = [each.memory for each in samples], len(samples) // 4
    early, late = memory[quarter : 2 * quarter], memory[-quarter:]
    return (sum(late) / len(late) - sum(early) / len(early)) / (1 << 20)


async def steady(read: Callable[[], Awaitable[object]], patience: float = 180.0) -> object:
    """Return what `read` gives once it has given the same for two seconds."""
    last, same = await read(), 0
    with anyio.fail_after(patience):
        for _ in count():
            await anyio.sleep(0.25)
            now = await read()
            last, same = now, same + 1 if now == last else 0
            if same == 8:
                break
    return last
