"""A folder in which the commands of the documentation find what they speak of, and ports of their own."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import httpx

DEADLINE: Final = 60.0

_SHOP: Final = """
from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def home() -> dict[str, str]:
    return {"shop": "open"}


@app.post("/orders")
async def order() -> dict[str, int]:
    return {"order": 7}
"""
_STUBS: Final = "stubs:\n  - {name: health, request: {method: GET, path: /health}, response: {body: fine}}\n"
_REQUEST: Final = "GET /?token=canary HTTP/1.1\nHost: shop.example\nAuthorization: Bearer canary-canary\n\n"
_RECORDS: Final = '{"event":"paid","url.path":"/orders/7"}\n{"event":"sent","url.path":"/orders/8"}\n'
_LINE: Final = (
    '{"schema":1,"timestamp":"2026-11-21T10:55:28.039141Z","level":"error","event":"request","id":"a-1","seq":1,'
    '"http.request.method":"GET","http.route":"/","http.response.status_code":500,"duration":0.25,"error.type":"KeyError"}\n'
)


class Sandbox:
    """Runs commands as they stand in the documentation, but for ports and for paths below /tmp."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "shop").mkdir()
        files = {"shop/__init__.py": "", "shop/main.py": _SHOP, "stubs.yaml": _STUBS, "request.http": _REQUEST}
        files |= {"records.ndjson": _RECORDS, "requests.jsonl": _LINE, "reqscope.jsonl": _LINE}
        for name, text in files.items():
            (folder / name).write_text(text)
        self.ports = {name: _free_port() for name in ("8000", "7860", "8080")}

    def translated(self, command: str) -> str:
        """Return `command` for this sandbox."""
        for known, port in self.ports.items():
            command = re.sub(rf"\b{known}\b", str(port), command)
        return command.replace("/tmp/", f"{self.folder}/").replace("reqscope …", "reqscope config")

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
        with (self.folder / "server.log").open("w+b") as log:
            command = self.translated(command)
            process = self._start(f"exec env {command}", log.fileno())
            try:
                self._wait(process)
                yield
                assert process.poll() is None, f"{command} has ended: {self._printed()}"
                process.send_signal(signal.SIGINT)
                assert process.wait(DEADLINE) in (0, 130, -signal.SIGINT), f"{command}: {self._printed()}"
            finally:
                _end(process)

    def follow(self, command: str) -> None:
        """Run a command that goes on until it is interrupted, and see that it has something to print."""
        process = self._start(self.translated(command), subprocess.PIPE)
        killer = threading.Timer(DEADLINE, lambda: _end(process))
        killer.start()
        try:
            assert process.stdout is not None
            assert process.stdout.readline().strip(), command
        finally:
            killer.cancel()
            _end(process)
            process.communicate()

    def _wait(self, process: "subprocess.Popen[str]") -> None:
        deadline = time.monotonic() + DEADLINE
        while not any(_answers(port) for port in self.ports.values()):
            assert process.poll() is None, self._printed()
            assert time.monotonic() < deadline, f"it does not answer: {self._printed()}"
            threading.Event().wait(0.05)
        while not re.search(r"Panel|Uvicorn running|startup complete|mock", self._printed()):
            assert time.monotonic() < deadline, f"it does not say where it is: {self._printed()}"
            threading.Event().wait(0.05)

    def _printed(self) -> str:
        return (self.folder / "server.log").read_text("utf-8", "replace")

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "REQSCOPE_API_PORT": str(self.ports["8000"]),
            "REQSCOPE_PANEL_PORT": str(self.ports["7860"]),
            "REQSCOPE_URL": f"http://127.0.0.1:{self.ports['7860']}",
            "REQSCOPE_RUNS_FILE": str(self.folder / "runs.sqlite3"),
            "XDG_CONFIG_HOME": str(self.folder / "configuration"),
            "PYTHONPATH": str(self.folder),
            "NO_COLOR": "1",
        }

    def _start(self, command: str, output: int) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _end(process: "subprocess.Popen[str]") -> None:
    with suppress(ProcessLookupError):  # its session is this test's own
        os.killpg(process.pid, signal.SIGKILL)


def _answers(port: int) -> bool:
    try:
        httpx.get(f"http://127.0.0.1:{port}/", timeout=5, trust_env=False)
    except httpx.HTTPError:
        return False
    return True
