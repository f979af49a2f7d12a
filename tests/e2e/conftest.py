"""Real servers in processes of their own, and a real browser."""

import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests import nursery
from tests.nursery import Process

DEADLINE = 30.0
expect.set_options(timeout=DEADLINE * 1000)  # five seconds otherwise, and a machine that does other things takes longer
STARTUP = 120.0
"""Seconds for a process to start. It imports Gradio, which takes long on a machine that does other things."""


def wait_until(holds: Callable[[], bool], what: str, deadline: float = DEADLINE) -> None:
    """Wait for a condition outside of the browser, looking again every few milliseconds."""
    end = time.monotonic() + deadline
    while not holds():
        assert time.monotonic() < end, f"waited {deadline} s in vain: {what}"
        threading.Event().wait(0.02)


@dataclass
class Server:
    """A running `reqscope` or `uvicorn` process."""

    process: Process
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
NewPage = Callable[..., Page]


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
        process = nursery.start(
            *("reqscope.service", *command, *ports, *logging),
            stdout=subprocess.DEVNULL if stdout is None else stdout,
            env={"XDG_CONFIG_HOME": str(configuration or log.parent), **(environment or {})},
        )
        with ending(process):
            output = lines_of(process)
            api, panel = (find_line(process, output, rf"{name}\s+(http://\S+)") for name in ("API", "Panel"))
            yield Server(process, api, panel, log, output)

    return start_server


def run_app(
    start: Start, folder: Path, name: str, source: str, *options: str, **environment: str
) -> AbstractContextManager[Server]:
    """Start `reqscope run` with an application from its source, with its bodies captured and its runs in its folder."""
    (folder / f"{name}.py").write_text(source)
    given = {"REQSCOPE_BODIES": "all", "REQSCOPE_RUNS_FILE": str(folder / "runs.sqlite3"), **environment}
    return start("run", f"{name}:app", "--app-dir", str(folder), *options, environment=given)


@pytest.fixture(scope="session")
def start_uvicorn() -> Start:
    """Start `uvicorn ARGUMENTS` on a free port, and wait until it answers."""

    @contextmanager
    def start_server(*arguments: str, cwd: Path, panel: str = "/reqscope", port: int = 0) -> Generator[Server]:
        port = port or free_port()
        process = nursery.start("uvicorn", *arguments, "--port", str(port), "--log-level", "info", cwd=cwd)
        with ending(process):
            output = lines_of(process)
            find_line(process, output, "(Uvicorn running)")
            address = f"http://127.0.0.1:{port}"
            yield Server(process, address, address + panel, cwd / "events.jsonl", output)

    return start_server


@contextmanager
def ending(process: Process) -> Generator[None]:
    with process:
        try:
            yield
        finally:
            process.kill()


def lines_of(process: Process) -> list[str]:
    """Gather what the process prints, so that it never waits for a reader."""
    lines: list[str] = []
    stream = process.stderr
    assert stream is not None

    def read() -> None:
        with suppress(ValueError):  # the stream was closed while this waited for a line
            for line in iter(stream.readline, b""):
                lines.append(line.decode())  # noqa: PERF401 - each is to be seen as it comes

    threading.Thread(target=read, daemon=True).start()
    return lines


def find_line(process: Process, lines: list[str], pattern: str) -> str:
    found: list[str] = []

    def look() -> bool:
        assert process.poll() is None, "".join(lines)
        found.extend(match[1] for match in map(re.compile(pattern).search, list(lines)) if match)
        return bool(found)

    wait_until(look, f"{pattern} in the output", STARTUP)
    return found[0]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def browser() -> Generator[Browser]:
    with sync_playwright() as playwright:
        program = shutil.which("chromium-headless-shell") or shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def unused(browser: Browser) -> dict[str, list[BrowserContext]]:
    """Contexts that tests before have used, by their options: they have the panel's scripts in their caches."""
    return defaultdict(list)


@pytest.fixture
def new_page(browser: Browser, unused: dict[str, list[BrowserContext]]) -> Generator[NewPage]:
    """Open an empty page in a browser of its own that remembers nothing but what it may cache."""
    used: list[tuple[str, BrowserContext]] = []

    def open_empty(**options: Any) -> Page:
        options = {"viewport": {"width": 1440, "height": 900}, **options}
        key = repr(sorted(options.items()))
        context = unused[key].pop() if unused[key] else browser.new_context(**options)
        used.append((key, context))
        page = context.new_page()
        context.clear_cookies()
        stored = {"origin": "*", "storageTypes": "local_storage"}
        context.new_cdp_session(page).send("Storage.clearDataForOrigin", stored)
        return page

    yield open_empty
    for key, context in used:
        for page in context.pages:
            page.close()
        if context in browser.contexts:
            unused[key].append(context)


@pytest.fixture
def open_page(new_page: NewPage) -> Generator[Callable[..., Page]]:
    """Open the panel in a browser of its own, wait until it is live, and fail if anything in it went wrong."""
    errors: list[str] = []
    outside: list[str] = []
    pages: list[Page] = []

    def open_live(url: str, **options: Any) -> Page:
        page = new_page(**options)
        pages.append(page)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: outside.append(request.url) if is_outside(request.url) else None)
        page.goto(url)
        page.locator(".rq[data-state=live]").wait_for(timeout=DEADLINE * 1000)
        return page

    yield open_live
    for page in pages:
        page.close()
    assert errors == []
    assert outside == [], "the panel fetched something from elsewhere"


def is_outside(url: str) -> bool:
    return not re.match(r"(http://(127\.0\.0\.1|localhost)[:/]|data:|blob:)", url)
