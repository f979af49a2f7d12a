"""Real brokers of the test's own: they can be killed, frozen, filled, emptied and started again."""

import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio
import nats
import pytest
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, StreamConfig
from redis.asyncio import Redis

from reqscope.service.bridge import nats_jetstream, redis_streams

DEADLINE = 20.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Broker:
    """A server on a free port, with what only its own tools can do to it.

    :param password: what it asks for, if it asks
    """

    program: str
    scheme: str

    def __init__(self, folder: Path, password: str = "") -> None:
        self.port = free_port()
        self.password = password
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self.at(self.port, self.password)

    def at(self, port: int, password: str = "") -> str:
        """Return the address with another port or password."""
        raise NotImplementedError

    def options(self) -> list[str]:
        raise NotImplementedError

    async def start(self) -> None:
        program = shutil.which(self.program)
        if program is None:
            pytest.fail(f"there is no {self.program}: python tests/service/install_servers.py")
        command = [program, *self.options()]
        # It returns at once. NATS writes its log to standard error.
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: ASYNC220
        with anyio.fail_after(DEADLINE):
            while True:
                with suppress(OSError):
                    await (await anyio.connect_tcp("127.0.0.1", self.port)).aclose()
                    return
                await anyio.sleep(0.01)

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(DEADLINE)
            self._process = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kill()

    async def fill(self) -> str:
        """Have it refuse batches; returns a word of what it says then."""
        raise NotImplementedError

    async def make_room(self) -> None:
        raise NotImplementedError

    async def trim(self) -> None:
        """Keep the newest batch only."""
        raise NotImplementedError

    async def remake(self) -> None:
        """Delete the stream, so that it is made anew with lower numbers."""
        raise NotImplementedError


class RedisBroker(Broker):
    """It keeps nothing on disk."""

    program, scheme = "redis-server", "redis"

    def at(self, port: int, password: str = "") -> str:
        return f"redis://{f':{password}@' if password else ''}127.0.0.1:{port}/0"

    def options(self) -> list[str]:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._folder)]
        return [*options, "--maxmemory-policy", "noeviction", "--requirepass", self.password]

    async def fill(self) -> str:
        await self.command("CONFIG", "SET", "maxmemory", "1mb")
        return "maxmemory"

    async def make_room(self) -> None:
        await self.command("CONFIG", "SET", "maxmemory", "0")

    async def trim(self) -> None:
        await self.command("XTRIM", redis_streams.STREAM, "MAXLEN", "1")

    async def remake(self) -> None:
        # As from a server whose clock was ahead.
        await self.command("XADD", redis_streams.STREAM, "99999999999999-0", "d", "no batch")
        await self.command("DEL", redis_streams.STREAM)

    async def batches(self) -> int:
        """Return how many batches the stream has."""
        return int(await self.command("XLEN", redis_streams.STREAM))

    async def command(self, *command: str | int) -> Any:
        client = Redis.from_url(self.url, protocol=2)
        answer = await client.execute_command(*command)  # type: ignore[no-untyped-call]  # it has no types
        await client.aclose()
        return answer


class NatsBroker(Broker):
    """It keeps its streams on disk."""

    program, scheme = "nats-server", "nats"
    streams = True

    def at(self, port: int, password: str = "") -> str:
        return f"nats://{f'user:{password}@' if password else ''}127.0.0.1:{port}"

    def options(self) -> list[str]:
        options = [
            "-a",
            "127.0.0.1",
            "-p",
            str(self.port),
            "-sd",
            str(self._folder),
            *(["-js"] if self.streams else []),
        ]
        return [*options, *(["--user", "user", "--pass", self.password] if self.password else [])]

    async def fill(self) -> str:
        await self._configure(discard=DiscardPolicy.NEW, max_msgs=1)
        return "maximum"

    async def make_room(self) -> None:
        await self._configure()

    async def trim(self) -> None:
        async with self._streams() as streams:
            await streams.purge_stream(nats_jetstream.STREAM, keep=1)

    async def remake(self) -> None:
        async with self._streams() as streams:
            await streams.delete_stream(nats_jetstream.STREAM)

    async def _configure(self, **limits: object) -> None:
        config = StreamConfig(
            name=nats_jetstream.STREAM,
            subjects=[f"{nats_jetstream.STREAM}.batches"],
            max_msgs=nats_jetstream.RETAINED,
            max_bytes=nats_jetstream.RETAINED_BYTES,
        )
        async with self._streams() as streams:
            await streams.update_stream(config.evolve(**limits))

    @asynccontextmanager
    async def _streams(self) -> AsyncGenerator[JetStreamContext]:
        client = await nats.connect(self.url)
        yield client.jetstream()
        await client.close()


BROKERS: dict[str, type[Broker]] = {"redis": RedisBroker, "nats": NatsBroker}
