"""Real servers in processes of their own, and a real browser."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

DEADLINE = 30.0


def wait_until(holds: Callable[[], bool], what: str, deadline: float = DEADLINE) -> None:
    """Wait for a condition outside of the browser, looking again every few milliseconds."""
    end = time.monotonic() + deadline
    while not holds():
        assert time.monotonic() < end, f"waited {deadline} s in vain: {what}"
        threading.Event().wait(0.02)


@dataclass
class Server:
    """A running `reqscope` or `uvicorn` process."""

    process: subprocess.Popen[bytes]
    api: str
    panel: str
    log: Path
    output: list[str] = field(default_factory=list)

    def events(self, **query: Any) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = httpx.get(f"{self.panel}/api/events", params=query).json()["events"]
        return events

    def stats(self) -> dict[str, Any]:
        stats: dict[str, Any] = httpx.get(f"{self.panel}/api/stats").json()
        return stats

    def memory(self) -> int:
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end, and return its exit status."""
        self.process.send_signal(number)
        return self.process.wait(DEADLINE)


Start = Callable[..., AbstractContextManager[Server]]


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Start `reqscope COMMAND`, and wait until it says where it is. It logs to a file, or else to `stdout`."""

    @contextmanager
    def start_server(
        *command: str,
        api_port: int = 0,
        panel_port: int = 0,
        stdout: int | None = None,
        configuration: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Generator[Server]:
        log = tmp_path_factory.mktemp("log") / "events.jsonl"
        ports = ["--api-port", str(api_port), "--panel-port", str(panel_port)]
        logging = ["--log", "file" if stdout is None else "stdout", "--log-file", str(log)]
        process = subprocess.Popen(
            [sys.executable, "-m", "reqscope.service", *command, *ports, *logging],
            stdout=subprocess.DEVNULL if stdout is None else stdout,
            stderr=subprocess.PIPE,
            env={**os.environ, "XDG_CONFIG_HOME": str(configuration or log.parent), **(environment or {})},
        )
        with ending(process):
            output = lines_of(process)
            api, panel = (find_line(process, output, rf"{name}\s+(http://\S+)") for name in ("API", "Panel"))
            yield Server(process, api, panel, log, output)

    return start_server


@pytest.fixture(scope="session")
def start_uvicorn() -> Start:
    """Start `uvicorn ARGUMENTS` on a free port, and wait until it answers."""

    @contextmanager
    def start_server(*arguments: str, cwd: Path, panel: str = "/reqscope", port: int = 0) -> Generator[Server]:
        port = port or free_port()
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", *arguments, "--port", str(port), "--log-level", "info"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=cwd,
        )
        with ending(process):
            output = lines_of(process)
            find_line(process, output, "(Uvicorn running)")
            address = f"http://127.0.0.1:{port}"
            yield Server(process, address, address + panel, cwd / "events.jsonl", output)

    return start_server


@contextmanager
def ending(process: subprocess.Popen[bytes]) -> Generator[None]:
    with process:
        try:
            yield
        finally:
            process.kill()


def lines_of(process: subprocess.Popen[bytes]) -> list[str]:
    """Gather what the process prints, so that it never waits for a reader."""
    lines: list[str] = []
    stream = process.stderr
    assert stream is not None

    def read() -> None:
        for line in iter(stream.readline, b""):
            lines.append(line.decode())  # noqa: PERF401 - each is to be seen as it comes

    threading.Thread(target=read, daemon=True).start()
    return lines


def find_line(process: subprocess.Popen[bytes], lines: list[str], pattern: str) -> str:
    found: list[str] = []

    def look() -> bool:
        assert process.poll() is None, "".join(lines)
        found.extend(match[1] for match in map(re.compile(pattern).search, list(lines)) if match)
        return bool(found)

    wait_until(look, f"{pattern} in the output")
    return found[0]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def browser() -> Generator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser) -> Generator[Callable[..., Page]]:
    """Open the panel in a browser of its own, wait until it is live, and fail if anything in it went wrong."""
    errors: list[str] = []
    outside: list[str] = []
    with ExitStack() as stack:

        def open_live(url: str, **options: Any) -> Page:
            context = stack.enter_context(browser.new_context(viewport={"width": 1440, "height": 900}, **options))
            page = context.new_page()
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on("request", lambda request: outside.append(request.url) if is_outside(request.url) else None)
            page.goto(url)
            page.locator(".rq[data-state=live]").wait_for(timeout=DEADLINE * 1000)
            return page

        yield open_live
    assert errors == []
    assert outside == [], "the panel fetched something from elsewhere"


def is_outside(url: str) -> bool:
    return not re.match(r"(http://(127\.0\.0\.1|localhost)[:/]|data:|blob:)", url)
