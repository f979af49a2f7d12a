"""What stands between workers and a panel, started for one measurement."""

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, suppress
from tempfile import TemporaryDirectory
from typing import TypeAlias

import psutil

from .contenders import Unavailable
from .server import end, free_port

Broker: TypeAlias = Callable[[], AbstractContextManager[tuple[str, psutil.Process | None]]]
"""Yields an address, and the server that is there, if it takes one."""


@contextmanager
def unix() -> Generator[tuple[str, psutil.Process | None]]:
    with TemporaryDirectory() as folder:
        yield f"unix:{folder}/collector.sock", None


@contextmanager
def redis() -> Generator[tuple[str, psutil.Process | None]]:
    port = free_port()
    with TemporaryDirectory() as folder:
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        with _running("redis-server", options, port) as process:
            yield f"redis://127.0.0.1:{port}/0", process


@contextmanager
def nats() -> Generator[tuple[str, psutil.Process | None]]:
    port = free_port()
    with TemporaryDirectory() as folder:
        options = ["-js", "-a", "127.0.0.1", "-p", str(port), "-sd", folder]
        with _running("nats-server", options, port) as process:
            yield f"nats://127.0.0.1:{port}", process


@contextmanager
def _running(program: str, options: list[str], port: int) -> Generator[psutil.Process]:
    if shutil.which(program) is None:
        raise Unavailable(f"there is no {program}; install it: python tests/service/install_servers.py")
    quiet = subprocess.DEVNULL
    with subprocess.Popen([program, *options], stdout=quiet, stderr=quiet) as process:
        try:
            _wait_for(port)
            yield psutil.Process(process.pid)
        finally:
            end(process)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        time.sleep(0.02)
    raise RuntimeError("the broker did not start")
