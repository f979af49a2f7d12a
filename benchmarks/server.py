"""The process that serves one contender's application: `python -m benchmarks.server MODULE:FACTORY [access-log]`."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import AbstractAsyncContextManager, contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Final, TypeAlias

import anyio
import psutil
import uvicorn
from starlette.types import ASGIApp

Factory: TypeAlias = Callable[[], AbstractAsyncContextManager[ASGIApp]]
"""Yields the application to serve, while whatever it needs beside it runs."""

_ADDRESS: Final = re.compile(r"(Panel|API)\s+(http://\S+:(\d+))")

CORE_SHARE: Final = "share of a core that the server got"
"""A metric: well below 1, the machine was busy with other things, and requests/s mean less than CPU per request."""


class Served:
    """A running server.

    :ivar port: where it answers
    :ivar page: the address of its page, if it has one
    :ivar process: it, or the parent of all that serve
    """

    def __init__(self, process: int, port: int, page: str = "") -> None:
        self.port = port
        self.page = page or f"http://127.0.0.1:{port}"
        self.process = psutil.Process(process)

    def cpu(self) -> float:
        """Return the seconds of processor time it has used."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def memory(self) -> int:
        """Return the bytes of memory it holds now."""
        return int(self.process.memory_info().rss)


def pin(core: int, pid: int = 0) -> None:
    """Keep a process, this one by default, on one of its cores, where the system can: 0 for servers, 1 for load."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(pid))
        os.sched_setaffinity(pid, {cores[core % len(cores)]})


@contextmanager
def serving(factory: Factory, *, access_log: bool = False) -> Generator[Served]:
    """Serve what `factory`, a function of some module, yields, in a process of its own.

    :param access_log: let uvicorn write its own, to where the factory has it written
    """
    reference = f"{factory.__module__}:{factory.__name__}"
    command = [sys.executable, "-m", "benchmarks.server", reference, *(["access-log"] if access_log else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"{reference} did not start")
            yield Served(process.pid, int(line))
        finally:
            end(process)


@contextmanager
def reqscope(*arguments: str) -> Generator[Served]:
    """Run `reqscope serve`, or what `arguments` say instead, as a user would who wants no log."""
    options = ["--api-port", "0", "--panel-port", "0", "--log", "none"]
    command = [sys.executable, "-m", "reqscope.service", *(arguments or ("serve",)), *options]
    with NamedTemporaryFile() as printed, subprocess.Popen(command, stderr=printed) as process:
        try:
            found = _addresses(Path(printed.name), process)
            pin(0, process.pid)
            yield Served(process.pid, int(found["API"][3]), found["Panel"][2])
        finally:
            end(process)


def _addresses(printed: Path, process: "subprocess.Popen[bytes]") -> dict[str, re.Match[str]]:
    deadline = time.monotonic() + 180  # workers, too, on a machine that has other things to do
    while time.monotonic() < deadline and process.poll() is None:
        found = {match[1]: match for match in _ADDRESS.finditer(printed.read_text())}
        if len(found) == 2:
            return found
        time.sleep(0.1)
    raise RuntimeError(f"reqscope did not start: {printed.read_text()}")


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def end(process: "subprocess.Popen[Any]") -> None:
    """Ask `process` to end, and see to it that it does."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()


async def _serve(reference: str, access_log: bool) -> None:
    module, _, name = reference.partition(":")
    factory: Factory = getattr(import_module(module), name)
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    async with factory() as app:
        logs: dict[str, Any] = {"log_config": None} if access_log else {"log_level": "warning"}
        server = uvicorn.Server(uvicorn.Config(app, access_log=access_log, timeout_graceful_shutdown=1, **logs))
        print(listener.getsockname()[1], flush=True)  # it listens already: who connects now is served in a moment
        await server.serve(sockets=[listener])


if __name__ == "__main__":
    pin(0)
    anyio.run(_serve, sys.argv[1], sys.argv[2:] == ["access-log"], backend_options={"use_uvloop": True})
