"""What befalls whole processes: no descriptors, no memory, a stop, a fork, other clocks, clients that break off."""

import json
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest
from playwright.sync_api import Page, expect

from .conftest import DEADLINE, Server, Start, ending, find_line, lines_of, wait_until

OpenPage = Callable[..., Page]

APP = """
import logging, os, threading
from contextlib import asynccontextmanager
from fastapi import FastAPI

@asynccontextmanager
async def never_ending(app):
    yield
    import anyio
    await anyio.sleep_forever()

app = FastAPI()

@app.get("/fork")
def fork():
    child = os.fork()
    if child == 0:
        os._exit(7)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)

@app.get("/hello")
async def hello():
    return "hello"

hanging = FastAPI(lifespan=never_ending, routes=app.routes)

def talkative(logger, method, event_dict):
    logging.getLogger("shop").warning("wrote %s", event_dict["id"])
    return event_dict
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(APP)
    return tmp_path


def address(url: str) -> tuple[str, int]:
    return "127.0.0.1", int(url.rstrip("/").rpartition(":")[2])


def post(server: Server, text: str) -> int:
    status: int = httpx.post(f"{server.api}/log", content=text, timeout=DEADLINE).status_code
    return status


def bodies(server: Server) -> list[str]:
    """Return the bodies in the log, each line of which must be whole."""
    lines = server.log.read_text().split("\n")[:-1]  # behind the last line feed is what is being written
    return [json.loads(line).get("body", "") for line in lines]


def answers(url: str) -> bool:
    """Return whether anybody answers there, and be it that there is no such path."""
    try:
        httpx.get(f"{url}/livez", timeout=DEADLINE)
    except httpx.TransportError:
        return False
    return True


@contextmanager
def limited(server: Server, kind: int, soft: int) -> Generator[None]:
    """Give a process no more than that of something."""
    before = resource.prlimit(server.process.pid, kind)
    resource.prlimit(server.process.pid, kind, (soft, before[1]))
    try:
        yield
    finally:
        resource.prlimit(server.process.pid, kind, before)


@pytest.fixture
def server(start: Start) -> Iterator[Server]:
    with start("serve") as running:
        yield running
        assert not [line for line in running.output if "Traceback" in line]


@pytest.mark.guarantees("F20")
def test_without_descriptors_who_is_connected_is_served_and_everybody_is_once_there_are_some(server: Server) -> None:
    with httpx.Client(base_url=server.api, timeout=DEADLINE) as client:
        assert client.post("/log", content="before").status_code == 200
        wait_until(lambda: bodies(server) == ["before"], "the line")
        open_now = psutil.Process(server.process.pid).num_fds()
        with limited(server, resource.RLIMIT_NOFILE, open_now + 3), ExitStack() as stack:
            for _ in range(20):
                stack.enter_context(socket.create_connection(address(server.api)))
            wait_until(lambda: psutil.Process(server.process.pid).num_fds() == open_now + 3, "no descriptor to be left")
            assert client.post("/log", content="without").status_code == 200
            wait_until(lambda: bodies(server) == ["before", "without"], "the line, in the file that is open")
        assert post(server, "after") == 200
    wait_until(lambda: bodies(server) == ["before", "without", "after"], "the last line")
    assert server.stop() == 0


@pytest.mark.guarantees("F21")
def test_without_memory_requests_fail_alone_and_the_server_goes_on(start: Start) -> None:
    batch = b'{"n":"%s"}\n' % (b"x" * 700) * 10_000
    with start("serve", environment={"REQSCOPE_MAX_BYTES": str(1 << 30), "REQSCOPE_CAPACITY": "1000000"}) as server:
        space = psutil.Process(server.process.pid).memory_info().vms
        with limited(server, resource.RLIMIT_AS, space + (48 << 20)), httpx.Client(base_url=server.api) as client:
            statuses = set[int]()
            for _ in range(20):
                with suppress(httpx.TransportError):
                    statuses.add(client.post("/events", content=batch, timeout=DEADLINE).status_code)
            assert 500 in statuses or 503 in statuses, "there was memory enough"
        assert post(server, "after") == 200
        wait_until(lambda: "after" in bodies(server), "the last line")
        sink = server.stats()["sinks"][0]
        assert sink["reader"]["delivered"] == sink["written"] + sink["lost"] + sink["held"]
        assert server.stop() == 0


@pytest.mark.guarantees("F24")
def test_a_server_that_was_stopped_answers_everything_once_it_goes_on(server: Server, open_page: OpenPage) -> None:
    page = open_page(server.panel)
    server.process.send_signal(signal.SIGSTOP)
    wait_until(lambda: psutil.Process(server.process.pid).status() == psutil.STATUS_STOPPED, "it to stop")
    with ThreadPoolExecutor(20) as pool:
        waiting = [pool.submit(post, server, f"held-{number}") for number in range(20)]
        wait_until(lambda: sum(each.running() for each in waiting) == 20, "the requests to be under way")
        server.process.send_signal(signal.SIGCONT)
        assert {each.result() for each in waiting} == {200}
    expect(page.locator(".rq-row:visible")).to_have_count(20)
    wait_until(lambda: sorted(bodies(server)) == sorted(f"held-{number}" for number in range(20)), "each line, once")


@pytest.mark.guarantees("F23", "F42")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_ends_under_load_has_written_all_that_it_answered(start: Start, number: signal.Signals) -> None:
    acknowledged = list[str]()

    def hammer(server: Server, worker: int) -> None:
        with httpx.Client(base_url=server.api, timeout=DEADLINE) as client, suppress(httpx.TransportError):
            for each in range(10_000):
                if client.post("/log", content=f"{worker}-{each}").status_code != 200:
                    return
                acknowledged.append(f"{worker}-{each}")

    with start("serve") as server, ThreadPoolExecutor(8) as pool:
        for worker in range(8):
            pool.submit(hammer, server, worker)
        wait_until(lambda: len(acknowledged) > 200, "some requests")
        assert server.stop(number) == 0
    written = bodies(server)

    assert len(written) == len(set(written))
    assert set(acknowledged) <= set(written)
    assert not [line for line in server.output if "Traceback" in line]


@pytest.mark.guarantees("F23")
def test_a_second_signal_while_it_ends_does_no_harm(server: Server) -> None:
    with httpx.stream("GET", f"{server.panel}/api/events/stream", timeout=DEADLINE) as stream:
        assert stream.status_code == 200
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not answers(server.api), "it to take no more requests")
        assert server.stop() in (0, -signal.SIGTERM)  # there was nothing left to do
    assert not [line for line in server.output if "Traceback" in line]


@pytest.mark.guarantees("F25")
def test_an_application_that_never_ends_its_lifespan_is_ended_by_a_second_signal(start: Start, folder: Path) -> None:
    with start("run", "shop:hanging", "--app-dir", str(folder)) as server:
        assert httpx.get(f"{server.api}/hello").json() == "hello"
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not answers(server.api), "it to take no more requests")
        assert server.stop() == 0
        assert "/hello" in server.log.read_text()
        wait_until(lambda: any("never_ending" in line for line in server.output), "where it was waiting")


@pytest.mark.guarantees("F26")
def test_an_application_that_forks_is_seen_once_and_goes_on(start: Start, folder: Path) -> None:
    with start("run", "shop:app", "--app-dir", str(folder)) as server:
        for path in ("/fork", "/hello", "/fork"):
            assert httpx.get(server.api + path).is_success
        assert [event["url.path"] for event in server.events()] == ["/fork", "/hello", "/fork"]
        assert server.stop() == 0
    assert len(server.log.read_text().splitlines()) == 3


@pytest.mark.guarantees("F39")
def test_a_log_processor_that_logs_makes_no_line_of_its_own(start: Start, folder: Path) -> None:
    variables = {"REQSCOPE_LOG_PROCESSORS": "shop:talkative", "PYTHONPATH": str(folder)}
    with start("run", "shop:app", "--app-dir", str(folder), environment=variables) as server:
        for _ in range(5):
            httpx.get(f"{server.api}/hello")
        wait_until(lambda: sum("wrote" in line for line in server.output) == 5, "what the processor says")
        assert server.stop() == 0
    assert len(server.log.read_text().splitlines()) == 5


@pytest.mark.guarantees("F28")
@pytest.mark.prove
@pytest.mark.parametrize("offset", ["1000000000", "-1"])
def test_wherever_the_monotonic_clock_begins_no_age_or_duration_is_negative(tmp_path: Path, offset: str) -> None:
    namespace = ["unshare", "--time", "--monotonic", offset]
    if os.geteuid() or subprocess.run([*namespace, "true"], capture_output=True).returncode:
        pytest.skip("a clock of one's own needs root, and a kernel that has it")
    command = [
        sys.executable,
        "-m",
        "reqscope.service",
        "serve",
        "--api-port",
        "0",
        "--panel-port",
        "0",
        "--log",
        "none",
    ]
    process = subprocess.Popen([*namespace, "--", *command], stderr=subprocess.PIPE, cwd=tmp_path)
    with ending(process):
        output = lines_of(process)
        api, panel = (find_line(process, output, rf"{name}\s+(http://\S+)") for name in ("API", "Panel"))
        for _ in range(5):
            assert httpx.post(f"{api}/log", content="x").status_code == 200
        events = httpx.get(f"{panel}/api/events").json()["events"]
        stats = httpx.get(f"{panel}/api/stats").json()
        process.send_signal(signal.SIGTERM)
        process.wait(DEADLINE)

    assert [0 < event["duration"] < DEADLINE for event in events] == [True] * 5
    assert stats["statistics"]["events"] == 5
    assert '": -' not in json.dumps(stats)


@pytest.mark.guarantees("F29")
@pytest.mark.parametrize(
    "sent", [b"POST /log HTT", b"POST /log HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf"]
)
def test_a_client_that_resets_its_connection_is_an_event_if_it_had_asked_for_something(
    server: Server, sent: bytes
) -> None:
    with socket.create_connection(address(server.api)) as client:
        client.sendall(sent)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert post(server, "after") == 200
    begun = b"\r\n\r\n" in sent
    wait_until(lambda: len(server.events()) == 1 + begun, "the events")

    assert [event.get("http.response.status_code") for event in server.events()] in (
        [[499, 200], [200, 499]] if begun else [[200]]
    )


@pytest.mark.prove
@pytest.mark.guarantees("F36")
def test_more_connections_than_allowed_are_told_and_the_server_and_its_panel_go_on(server: Server) -> None:
    request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with ExitStack() as stack:
        held = [stack.enter_context(socket.create_connection(address(server.api))) for _ in range(2_000)]
        refused = 0
        for connection in held[1_000:]:
            connection.settimeout(DEADLINE)
            with suppress(ConnectionError):
                connection.sendall(request)
                refused += connection.recv(100).startswith(b"HTTP/1.1 503")
        assert refused > 0
        assert httpx.get(f"{server.panel}/livez").is_success
    wait_until(lambda: answers(server.api), "room for another client")
    assert post(server, "after") == 200


@pytest.mark.guarantees("62", "65")
def test_a_forged_address_or_method_changes_nothing(server: Server) -> None:
    forged = {
        "x-forwarded-for": "1.2.3.4, ::1, " + "x" * 10_000,
        "x-real-ip": "1.2.3.4",
        "forwarded": "for=1.2.3.4",
        "x-http-method-override": "DELETE",
        "x-original-url": "/admin",
    }
    assert httpx.post(f"{server.api}/log", content=b"x", headers=forged).status_code == 200
    (event,) = server.events()

    assert (event["client.address"], event["http.request.method"], event["url.path"]) == ("127.0.0.1", "POST", "/log")


@pytest.mark.guarantees("25")
def test_a_megabyte_without_a_space_is_shown_by_its_beginning_and_the_page_goes_on(
    server: Server, open_page: OpenPage
) -> None:
    page = open_page(server.panel)
    assert post(server, "x" * 1_000_000) == 200
    page.locator(".rq-row:visible").first.click()
    expect(page.locator(".rq-detail")).to_contain_text("x" * 1_000)
    assert post(server, "after") == 200
    expect(page.locator(".rq-row:visible")).to_have_count(2)
    page.keyboard.press("Escape")
    page.locator(".rq-row:visible").first.click()
    expect(page.locator(".rq-detail")).to_contain_text("after")
