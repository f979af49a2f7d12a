"""Open pages without a browser: any number of clients in one process that speak Gradio's protocol as its page does.

They read and count, and look for the times that `workloads.stamped` wrote into records; nothing else is parsed, so
that fifty of them need little of the core that the load has.
"""

import json
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Final
from urllib.parse import urlsplit
from urllib.request import urlopen

import anyio
from anyio import to_thread
from anyio.abc import ByteStream
from anyio.streams.buffered import BufferedByteReceiveStream

from .server import pin
from .workloads import STAMP, request

_END: Final = b"\r\n\r\n"
_MESSAGE_END: Final = b"\n\n"
_LARGEST: Final = 1 << 30


@dataclass
class Watched:
    """What some viewers got since they were last asked."""

    viewers: int
    seconds: float
    messages: int = 0
    size: int = 0
    """Bytes, as they came over the wire."""
    frames: int = 0
    """Messages that bring something to show, and heartbeats of the page's own."""
    delays: list[float] = field(default_factory=list[float])
    """Seconds from sending a record to having it, for each record and viewer; ascending."""

    def quantile(self, fraction: float) -> float:
        """Return the delay that so many of them stay below; infinite if nothing came."""
        last = len(self.delays) - 1
        return self.delays[min(last, int(fraction * len(self.delays)))] if self.delays else float("inf")


class Viewers:
    """Viewers in a process of their own, until `watching` ends."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def read(self) -> Watched:
        """Return what they got since this was last called.

        :raises RuntimeError: one of them failed; its message is on standard error
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            print("read", file=self._process.stdin, flush=True)
        if not (line := self._process.stdout.readline()):
            raise RuntimeError("the viewers ended early")
        return Watched(**json.loads(line))


@contextmanager
def watching(page: str, count: int) -> Generator[Viewers]:
    """Have so many viewers look at a page that pushes to them, or that polls once a second."""
    command = [sys.executable, "-m", "benchmarks.viewers", page, str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            viewers = Viewers(process)
            viewers.read()  # answered once they are all there
            yield viewers
        finally:
            process.kill()


class _Viewer:
    """One page."""

    def __init__(self, number: int, page: str, watched: Watched) -> None:
        self._session = f"viewer{number}"
        address = urlsplit(page)
        self._host, self._port = address.hostname or "", address.port or 80
        self._watched = watched
        self._latest = b"/t/%d/%06d" % divmod(int(time.time() * 1e6), 1_000_000)

    async def push(self, event: int, begun: anyio.Event) -> None:
        """Read the endless stream of `event`."""
        async with await anyio.connect_tcp(self._host, self._port) as connection:
            stream = BufferedByteReceiveStream(connection)
            await self._start(connection, stream, event)
            while True:
                await self._message(stream)
                begun.set()

    async def poll(self, event: int, begun: anyio.Event) -> None:
        """Ask for `event` once a second, as a page with a timer does: not again while an answer is on its way."""
        async with await anyio.connect_tcp(self._host, self._port) as connection:
            stream = BufferedByteReceiveStream(connection)
            while True:
                due = anyio.current_time() + 1
                await self._start(connection, stream, event)
                while b'"close_stream"' not in await self._message(stream):
                    pass
                await stream.receive_until(b"0" + _END, _LARGEST)
                begun.set()
                await anyio.sleep_until(due)

    async def _start(self, connection: ByteStream, stream: BufferedByteReceiveStream, event: int) -> None:
        body = json.dumps({"data": [], "fn_index": event, "session_hash": self._session}).encode()
        join = request("POST", "/gradio_api/queue/join", body, "application/json")
        head = await _ask(connection, stream, join)
        at = head.lower().index(b"content-length: ") + 16
        await stream.receive_exactly(int(head[at:].split(b"\r\n")[0]))
        await _ask(connection, stream, request("GET", f"/gradio_api/queue/data?session_hash={self._session}"))

    async def _message(self, stream: BufferedByteReceiveStream) -> bytes:
        message = await stream.receive_until(_MESSAGE_END, _LARGEST)
        now, watched = time.time(), self._watched
        watched.messages += 1
        watched.size += len(message)
        watched.frames += b'"process_generating"' in message or b'"process_completed"' in message
        before = self._latest
        # A text of all lines there ever were has the new ones behind those that this viewer knows.
        stamps = {stamp[0]: stamp for stamp in STAMP.finditer(message, max(0, message.rfind(before)))}
        for text, stamp in stamps.items():
            if text > before:
                watched.delays.append(now - int(stamp[1]) - int(stamp[2]) / 1e6)
        self._latest = max(stamps, default=before)
        return message


async def _ask(connection: ByteStream, stream: BufferedByteReceiveStream, asked: bytes) -> bytes:
    """Send a request and return the head of the answer."""
    await connection.send(asked)
    head = await stream.receive_until(_END, _LARGEST)
    if not head.startswith(b"HTTP/1.1 2"):
        raise RuntimeError(f"the server answered {head!r}")
    return head


def _events(page: str) -> dict[str, int]:
    with urlopen(page) as answer:
        config = answer.read().partition(b"window.gradio_config = ")[2].partition(b";</script>")[0]
    return {each["targets"][0][1]: each["id"] for each in json.loads(config)["dependencies"]}


async def _watch(page: str, count: int) -> None:
    events = await to_thread.run_sync(_events, page)
    watched = Watched(count, 0.0)
    since = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        begun = [anyio.Event() for _ in range(count)]
        for number, each in enumerate(begun):
            viewer = _Viewer(number, page, watched)
            if "load" in events:
                tasks.start_soon(viewer.push, events["load"], each)
            else:
                tasks.start_soon(viewer.poll, events["tick"], each)
            await anyio.sleep(1 / count)  # pages are not opened at the same moment
        for each in begun:
            await each.wait()
        while await to_thread.run_sync(sys.stdin.readline):
            now = time.perf_counter()
            watched.seconds, since = now - since, now
            watched.delays.sort()
            print(json.dumps(asdict(watched)), flush=True)
            watched.messages = watched.size = watched.frames = 0
            watched.delays = []
        tasks.cancel_scope.cancel()


if __name__ == "__main__":  # python -m benchmarks.viewers PAGE COUNT
    pin(1)
    anyio.run(_watch, sys.argv[1], int(sys.argv[2]), backend_options={"use_uvloop": True})
