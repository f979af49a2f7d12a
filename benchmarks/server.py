"""The process that serves one contender's application: `python -m benchmarks.server MODULE:FACTORY`."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import AbstractAsyncContextManager, contextmanager
from importlib import import_module
from typing import Any, Final, TypeAlias

import anyio
import psutil
import uvicorn
from starlette.types import ASGIApp

Factory: TypeAlias = Callable[[], AbstractAsyncContextManager[ASGIApp]]
"""Yields the application to serve, while whatever it needs beside it runs."""

CORE_SHARE: Final = "share of a core that the server got"
"""A metric: well below 1, the machine was busy with other things, and requests/s mean less than CPU per request."""


class Served:
    """A running server.

    :ivar port: where it answers
    """

    def __init__(self, process: "subprocess.Popen[str]", port: int) -> None:
        self.port = port
        self._process = psutil.Process(process.pid)

    def cpu(self) -> float:
        """Return the seconds of processor time it has used."""
        times = self._process.cpu_times()
        return float(times.user + times.system)


def pin(core: int, pid: int = 0) -> None:
    """Keep a process, this one by default, on one of its cores, where the system can: 0 for servers, 1 for load."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(pid))
        os.sched_setaffinity(pid, {cores[core % len(cores)]})


@contextmanager
def serving(factory: Factory) -> Generator[Served]:
    """Serve what `factory`, a function of some module, yields, in a process of its own."""
    reference = f"{factory.__module__}:{factory.__name__}"
    command = [sys.executable, "-m", "benchmarks.server", reference]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"{reference} did not start")
            yield Served(process, int(line))
        finally:
            end(process)


def end(process: "subprocess.Popen[Any]") -> None:
    """Ask `process` to end, and see to it that it does."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()


async def _serve(reference: str) -> None:
    module, _, name = reference.partition(":")
    factory: Factory = getattr(import_module(module), name)
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    async with factory() as app:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=1))
        print(listener.getsockname()[1], flush=True)  # it listens already: who connects now is served in a moment
        await server.serve(sockets=[listener])


if __name__ == "__main__":
    pin(0)
    anyio.run(_serve, sys.argv[1], backend_options={"use_uvloop": True})
