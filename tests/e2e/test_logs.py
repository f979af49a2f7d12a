"""Log files and the access log of real servers: moved, filled up, stuck, and read on a terminal."""

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import nursery

from .conftest import Server, ending, find_line, free_port, lines_of, wait_until

APP = """
from fastapi import FastAPI
from reqscope.service import Monitor

app = FastAPI()

@app.get("/hello/{name}")
async def hello(name: str):
    return {"hello": name}

plain = FastAPI(routes=app.routes)
Monitor(app)

def add_version(logger, method, event_dict):
    return {**event_dict, "version": "1.2"}
"""
FORMAT = '%(client_addr)s "%(request_line)s" %(status_code)s took %(duration)s'
PLAIN = {"TERM": "xterm", "NO_COLOR": ""}
LOG_CONFIG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"access": {"()": "uvicorn.logging.AccessFormatter", "fmt": FORMAT, "use_colors": False}},
    "handlers": {"access": {"class": "logging.StreamHandler", "formatter": "access", "stream": "ext://sys.stdout"}},
    "loggers": {
        "reqscope.access": {"handlers": ["access"], "level": "INFO", "propagate": False},
        "uvicorn.access": {"handlers": ["access"], "level": "INFO", "propagate": False},
    },
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(APP)
    (tmp_path / "log.json").write_text(json.dumps(LOG_CONFIG))
    return tmp_path


@contextmanager
def reqscope(
    *command: str, cwd: Path, stdout: int = subprocess.DEVNULL, environment: dict[str, str] | None = None
) -> Generator[Server]:
    process = nursery.start(
        *("reqscope.service", *command, "--api-port", "0", "--panel-port", "0"),
        stdout=stdout,
        cwd=cwd,
        env=environment,
    )
    with ending(process):
        output = lines_of(process)
        api, panel = (find_line(process, output, rf"{name}\s+(http://\S+)") for name in ("API", "Panel"))
        yield Server(process, api, panel, cwd / "requests.jsonl", output)


@contextmanager
def uvicorn(*arguments: str, cwd: Path, **variables: str) -> Generator[Server]:
    port = free_port()
    process = nursery.start(
        *("uvicorn", *arguments, "--port", str(port)),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=cwd,
        env=variables,
    )
    address = f"http://127.0.0.1:{port}"
    with ending(process):
        wait_until(lambda: answers(address), "the server to answer")
        yield Server(process, address, address + "/reqscope", cwd)


def answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/reqscope/livez").is_success
    except httpx.TransportError:
        return False


def bodies(log: Path) -> list[str]:
    return [json.loads(line)["body"] for line in log.read_text().splitlines()] if log.exists() else []


@pytest.mark.guarantees("F16", "F23")
def test_a_log_is_rotated_kept_and_packed_as_the_environment_says_and_begun_anew_on_sighup(folder: Path) -> None:
    variables = {"ROTATE_SIZE": "5kB", "KEEP_FILES": "3", "COMPRESS": "zstd", "PROCESSORS": "shop:add_version"}
    environment = {f"REQSCOPE_LOG_{name}": value for name, value in variables.items()}
    with reqscope(
        "serve", "--log", "file", "--log-file", "requests.jsonl", cwd=folder, environment=environment
    ) as server:
        for number in range(8):
            httpx.post(f"{server.api}/log", content=str(number) + "x" * 3_000)
            wait_until(lambda: server.stats()["sinks"][0]["written"] == number + 1, "the line")  # noqa: B023
        wait_until(lambda: len([*folder.glob("requests.*Z.jsonl.zst")]) == 3, "three packed files")
        assert json.loads(server.log.read_text().splitlines()[-1])["version"] == "1.2"

        moved = server.log.rename(folder / "moved")
        server.process.send_signal(signal.SIGHUP)
        wait_until(server.log.exists, "a new file")
        httpx.post(f"{server.api}/log", content="after")
        wait_until(lambda: bodies(server.log) == ["after"], "the line in the new file")
        assert server.stop() == 0

    assert bodies(moved) == ["7" + "x" * 3_000]


@pytest.mark.guarantees("F13")
@pytest.mark.prove
def test_a_log_file_that_nobody_takes_lines_from_holds_up_neither_the_api_nor_the_end(folder: Path) -> None:
    os.mkfifo(folder / "requests.jsonl")
    command = ("serve", "--log", "file", "--log-file", "requests.jsonl")
    with reqscope(*command, cwd=folder) as server, httpx.Client(base_url=server.api) as client:
        for _ in range(200):  # a pipe holds 64 KiB
            assert client.post("/log", content=b"x" * 1_000).status_code == 200
        sink = server.stats()["sinks"][0]
        assert sink["held"] > 0
        assert sink["reader"]["delivered"] == sink["written"] + sink["lost"] + sink["held"]
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(10) == 0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 128 KiB."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(path)]
    if os.geteuid() or not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root, and a machine that lets it")
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.mark.guarantees("F9")
@pytest.mark.prove
def test_a_full_disk_is_shown_changes_no_answer_and_is_forgotten_when_there_is_room(folder: Path, disk: Path) -> None:
    filler, log = disk / "filler", disk / "requests.jsonl"
    filler.write_bytes(b"x" * 90_000)
    with (
        reqscope("serve", "--log", "file", "--log-file", str(log), cwd=folder) as server,
        httpx.Client(base_url=server.api) as client,
    ):
        statuses = {client.post("/log", content=b"x" * 1_000).status_code for _ in range(100)}
        wait_until(lambda: server.stats()["sinks"][0]["held"] == 0, "all to be written or lost")
        sink = server.stats()["sinks"][0]

        assert statuses == {200}
        assert sink["written"] == len(bodies(log))
        assert sink["lost"] == 100 - sink["written"] > 0
        assert httpx.get(f"{server.panel}/readyz").json()["status"] == "degraded"

        filler.unlink()
        client.post("/log", content="again")
        wait_until(lambda: bodies(log)[-1] == "again", "the line after it")
        assert httpx.get(f"{server.panel}/readyz").status_code == 200
        assert server.stop() == 0
    assert len([line for line in server.output if "No space left on device" in line]) == 1


@contextmanager
def terminal() -> Generator[tuple[int, Callable[[], str]]]:
    """A terminal for a program, and what it shows so far."""
    ours, theirs = pty.openpty()
    shown = bytearray()
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            if select.select([ours], [], [], 0.02)[0]:
                shown.extend(os.read(ours, 65_536))

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield theirs, lambda: shown.decode()
    finally:
        over.set()
        thread.join()
        os.close(ours)
        os.close(theirs)


@pytest.mark.guarantees("31")
def test_people_on_a_terminal_get_lines_to_read_and_no_control_characters(
    folder: Path,
) -> None:
    with (
        terminal() as (stdout, shown),
        reqscope(
            "run", "shop:plain", "--log", "none", "--access-log", cwd=folder, stdout=stdout, environment=PLAIN
        ) as server,
    ):
        httpx.get(f"{server.api}/hello/%1b%5B2J")
        wait_until(lambda: "/hello/" in shown(), "the line")
        assert server.stop() == 0

    line = next(line for line in shown().splitlines() if "/hello/" in line)
    assert re.search(r"GET +\x1b\[32m200\x1b\[0m +\d+\.\d ms +\d+ B  /hello/\\x1b\[2J", line)


def test_the_access_log_takes_the_place_of_uvicorns_in_a_plain_uvicorn(folder: Path) -> None:
    with uvicorn("shop:app", cwd=folder, REQSCOPE_ACCESS_LOG="1") as server:
        httpx.get(f"{server.api}/hello/bob")
        server.stop()
        assert server.process.stdout is not None
        lines = server.process.stdout.read().decode().splitlines()

    entries = [json.loads(line) for line in lines if line.startswith("{")]
    assert [entry["url.path"] for entry in entries] == ["/hello/bob"]
    assert entries[0]["duration"] > 0
    assert not [line for line in lines if '"GET /hello/bob HTTP/1.1" 200 OK' in line]


def test_a_logging_configuration_gets_the_access_log_as_it_gets_uvicorns(folder: Path) -> None:
    with uvicorn("shop:app", "--log-config", "log.json", cwd=folder, REQSCOPE_ACCESS_LOG="1") as server:
        httpx.get(f"{server.api}/hello/bob?x=1")
        server.stop()
        assert server.process.stdout is not None
        lines = [line for line in server.process.stdout.read().decode().splitlines() if "bob" in line]

    assert len(lines) == 1
    assert re.fullmatch(r'127\.0\.0\.1 "GET /hello/bob\?x=1 HTTP/1\.1" 200 OK took 0\.\d+', lines[0])
