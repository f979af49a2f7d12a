"""A way to a server that the test can spoil."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import anyio
import anyio.abc


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
