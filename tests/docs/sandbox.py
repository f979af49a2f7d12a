"""A folder in which the commands of the documentation find what they speak of, and ports of their own."""

import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

DEADLINE: Final = 120.0

_SHOP: Final = """
import asyncio

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def home() -> dict[str, str]:
    return {"shop": "open"}


@app.get("/broken")
async def broken() -> None:
    await asyncio.sleep(0.3)
    raise ZeroDivisionError("on purpose")


@app.post("/orders")
async def order() -> dict[str, int]:
    return {"order": 7}
"""
_MONITORED: Final = (
    _SHOP
    + """

from reqscope.service import Monitor

monitor = Monitor(app)
"""
)
_STUBS: Final = "stubs:\n  - {name: health, request: {method: GET, path: /health}, response: {body: fine}}\n"
_REQUEST: Final = "GET /?token=canary HTTP/1.1\nHost: shop.example\nAuthorization: Bearer canary-canary\n\n"
_RECORDS: Final = '{"event":"paid","url.path":"/orders/7"}\n{"event":"sent","url.path":"/orders/8"}\n'
_LINE: Final = (
    '{"schema":1,"timestamp":"2026-11-21T10:55:28.039141Z","level":"error","event":"request","id":"a-1","seq":1,'
    '"http.request.method":"GET","http.route":"/","http.response.status_code":500,"duration":0.25,"error.type":"KeyError"}\n'
)


_DUCKDB: Final = """#!{python}
import sys, duckdb
print(duckdb.sql(sys.argv[2]))
"""
"""Stands in for DuckDB's own command, which is in no Python package: what it is asked is the same."""

_PASSWORD: Final = "a password for the test\n"


class Sandbox:
    """Runs commands as they stand in the documentation, but for ports and for paths below /tmp."""

    def __init__(self, folder: Path, files: Mapping[str, str]) -> None:
        self.folder = folder
        self._short = Path(tempfile.mkdtemp())  # a socket's address has room for a hundred characters
        self._servers = 0
        (folder / "shop").mkdir()
        (folder / "bin").mkdir()
        self._stand_in("duckdb", _DUCKDB.format(python=sys.executable))
        self._stand_in("uvicorn", f'#!/bin/sh\nexec {sys.executable} -m uvicorn "$@"\n')
        own = {"shop/__init__.py": "", "shop/main.py": _SHOP, "stubs.yaml": _STUBS, "request.http": _REQUEST}
        own |= {"records.ndjson": _RECORDS, "requests.jsonl": _LINE, "reqscope.jsonl": _LINE}
        own |= {".curlrc": "fail-with-body\n"}  # an answer that is an error fails the command, too
        for name, text in {**own, **files}.items():
            (folder / name).write_text(text)
        self.ports = {name: _free_port() for name in ("8000", "7860", "8001", "8080")}

    @property
    def api(self) -> str:
        """Where the application is."""
        return f"http://127.0.0.1:{self.ports['8000']}"

    @property
    def panel(self) -> str:
        """Where the panel on a port of its own is."""
        return f"http://127.0.0.1:{self.ports['7860']}"

    @property
    def path(self) -> str:
        """Where commands are looked for."""
        return f"{self.folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"

    def monitor_the_shop(self) -> None:
        """Have the application use `Monitor`, where the commands speak of one that does."""
        (self.folder / "shop" / "main.py").write_text(_MONITORED)

    def printed(self) -> str:
        """Return what the servers have printed so far."""
        return "".join(file.read_text() for file in sorted(self.folder.glob("server-*.log")))

    def _stand_in(self, program: str, text: str) -> None:
        file = self.folder / "bin" / program
        file.write_text(text)
        file.chmod(0o755)

    def translated(self, command: str) -> str:
        """Return `command` for this sandbox."""
        for known, port in self.ports.items():
            command = re.sub(rf"\b{known}\b", str(port), command)
        if "uvicorn " in command and "--port" not in command:
            command += f" --port {self.ports['8000']}"
        return (
            command.replace("/tmp/", f"{self._short}/")
            .replace("reqscope …", "reqscope config")
            .replace("-d30s", "-d1s")
            .replace("-d10s", "-d1s")
        )

    def run(self, command: str) -> str:
        """Run a command that ends, and return what it prints.

        :raises AssertionError: it fails
        """
        process = self._start(self.translated(command), subprocess.PIPE)
        try:
            printed, _ = process.communicate(timeout=DEADLINE)
        finally:
            _end(process)
        assert process.returncode == 0, f"{command}: status {process.returncode}: {printed}"
        return printed

    @contextmanager
    def serving(self, command: str) -> Generator[None]:
        """Run a command that serves until it is interrupted, once it answers.

        :raises AssertionError: it ends by itself, or otherwise than by itself when it is interrupted
        """
        self._servers += 1
        printed = self.folder / f"server-{self._servers}.log"
        with printed.open("w+b") as log:
            command = self.translated(command)
            process = self._start(f"exec env {command}", log.fileno())
            try:
                self._wait(command, process, printed)
                yield
                assert process.poll() is None, f"{command} has ended: {printed.read_text()}"
                process.send_signal(signal.SIGINT)
                assert process.wait(DEADLINE) in (0, 130, -signal.SIGINT), f"{command}: {printed.read_text()}"
            finally:
                _end(process)
                process.wait()

    def follow(self, command: str) -> None:
        """Run a command that goes on until it is interrupted, on a terminal, and see that it has something to print."""
        terminal, other_end = os.openpty()
        process = self._start(self.translated(command), other_end)
        try:
            printed, end = b"", time.monotonic() + DEADLINE
            while not printed.strip() and time.monotonic() < end:
                if select.select([terminal], [], [], 1.0)[0]:
                    printed += os.read(terminal, 4_096)
            assert printed.strip(), f"{command} prints nothing"
        finally:
            _end(process)
            process.wait()
            os.close(terminal)
            os.close(other_end)

    def _wait(self, command: str, process: "subprocess.Popen[str]", printed: Path) -> None:
        """Wait until a server of ours says where it is, and another answers: its logging may have it say nothing."""
        port = re.search(r"uvicorn .*--port (\d+)", command)
        wait_until(
            lambda: process.poll() is not None or (_listens(int(port[1])) if port else "Panel" in printed.read_text()),
            lambda: f"{command} does not serve: {printed.read_text()}",
        )
        assert process.poll() is None, printed.read_text()

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PATH": self.path,
            "REQSCOPE_API_PORT": str(self.ports["8000"]),
            "REQSCOPE_PANEL_PORT": str(self.ports["7860"]),
            "REQSCOPE_URL": self.panel,
            "REQSCOPE_RUNS_FILE": str(self.folder / "runs.sqlite3"),
            "XDG_CONFIG_HOME": str(self.folder / "configuration"),
            "PYTHONPATH": str(self.folder),
            "CURL_HOME": str(self.folder),
            "NO_COLOR": "1",
        }

    def _start(self, command: str, output: int) -> "subprocess.Popen[str]":
        (self.folder / "typed").write_text(_PASSWORD * 2)
        with (self.folder / "typed").open() as typed:
            return subprocess.Popen(
                ["bash", "-c", command],
                cwd=self.folder,
                env=self._environment(),
                stdin=typed,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )


def wait_until(holds: Callable[[], bool], says: Callable[[], str]) -> None:
    """Wait for a condition.

    :raises AssertionError: it does not come to hold, and what to say then
    """
    deadline = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < deadline, says()
        threading.Event().wait(0.05)


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _end(process: "subprocess.Popen[str]") -> None:
    with suppress(ProcessLookupError):  # its session is this test's own
        os.killpg(process.pid, signal.SIGKILL)
