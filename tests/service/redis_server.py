"""A real Redis of the test's own, and a way to it that the test can spoil."""

import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
import anyio.abc
import pytest
from redis.asyncio import Redis

DEADLINE = 20.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RedisServer:
    """A `redis-server` on a free port, that can be killed, frozen and started again."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        program = shutil.which("redis-server")
        if program is None:
            pytest.fail("there is no redis-server: python tests/service/install_servers.py")
        command = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._folder)]
        command += self._options
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: ASYNC220 - it returns at once
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

    def client(self) -> Redis:
        return Redis.from_url(self.url, protocol=2)

    async def command(self, *command: str | int) -> None:
        client = self.client()
        await client.execute_command(*command)  # type: ignore[no-untyped-call]
        await client.aclose()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kill()


class Proxy:
    """A TCP proxy that can be slow, and can lose what the server answers after it was asked."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self.delay = 0.0
        self.lose_answers = 0
        """So many answers are not passed on; the connection is closed in their stead."""
        self._target = target

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
            self.port = listener.extra(anyio.abc.SocketAttribute.local_port)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(listener.serve, self._serve)
                yield
                tasks.cancel_scope.cancel()

    async def _serve(self, client: anyio.abc.SocketStream) -> None:
        server = await anyio.connect_tcp("127.0.0.1", self._target)
        async with client, server, anyio.create_task_group() as tasks:
            tasks.start_soon(self._pump, client, server, False, tasks)
            tasks.start_soon(self._pump, server, client, True, tasks)

    async def _pump(
        self, source: anyio.abc.ByteStream, sink: anyio.abc.ByteStream, answers: bool, tasks: anyio.abc.TaskGroup
    ) -> None:
        with suppress(anyio.BrokenResourceError, anyio.EndOfStream, anyio.ClosedResourceError):
            while True:
                data = await source.receive()
                await anyio.sleep(self.delay)
                if answers and self.lose_answers:
                    self.lose_answers -= 1
                    break
                await sink.send(data)
        tasks.cancel_scope.cancel()
