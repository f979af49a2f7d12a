"""Event streams and the end of the server that sends them."""

import json
import signal
import socket
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser

from .conftest import DEADLINE, Server, Start, free_port, wait_until

APP = """
from fastapi import FastAPI
from reqscope.service import Monitor

app = FastAPI()
Monitor(app)

@app.get("/hello")
async def hello():
    return "hello"
"""


def readers(server: Server) -> list[str]:
    return [reader["name"] for reader in server.stats()["readers"]]


@pytest.mark.guarantees("F23")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_that_goes_down_sends_what_there_is_and_waits_for_no_stream(
    start: Start, number: signal.Signals
) -> None:
    with start("serve") as server, httpx.Client(timeout=DEADLINE) as client:
        with client.stream("GET", f"{server.panel}/api/events/stream") as response:
            wait_until(lambda: "stream" in readers(server), "the stream")
            for _ in range(3):
                httpx.post(f"{server.api}/log", content="x")
            server.process.send_signal(number)
            lines = [line for line in response.iter_lines() if line.startswith("data: ")]
        assert server.process.wait(DEADLINE) == 0

    assert [json.loads(line.removeprefix("data: "))["seq"] for line in lines] == [1, 2, 3]


@pytest.mark.guarantees("F23")
def test_a_client_that_does_not_read_costs_no_memory_and_does_not_hold_up_the_end(start: Start) -> None:
    with start("serve") as server, socket.create_connection(address(server)) as stuck:
        stuck.sendall(b"GET /api/events/stream HTTP/1.1\r\nhost: localhost\r\n\r\n")
        wait_until(lambda: "stream" in readers(server), "the stream")
        records = b'{"url.path":"/x","padding":"%s"}\n' % (b"x" * 800) * 5_000

        def post(times: int) -> int:
            for _ in range(times):
                assert httpx.post(f"{server.api}/events", content=records, timeout=DEADLINE).status_code == 200
            return server.memory()

        before = post(8)  # until what the server has once and for all is there
        after = post(4)

        (reader,) = [reader for reader in server.stats()["readers"] if reader["name"] == "stream"]
        assert reader["missed"] > 40_000
        assert reader["delivered"] + reader["missed"] + reader["pending"] == 60_000
        assert after - before < 16 << 20, "the ring holds 14 MB, and as much more went past the client"
        assert server.stop() == 0


@pytest.mark.guarantees("F23")
def test_a_host_application_ends_though_a_stream_is_open(start_uvicorn: Start, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(APP)
    with (
        start_uvicorn("shop:app", cwd=tmp_path) as server,
        httpx.Client(timeout=DEADLINE) as client,
        client.stream("GET", f"{server.panel}/api/events/stream", params={"backfill": 5}) as response,
    ):
        assert httpx.get(f"{server.api}/hello").json() == "hello"
        server.process.send_signal(signal.SIGINT)
        lines = [line for line in response.iter_lines() if line.startswith("data: ")]
        assert server.process.wait(DEADLINE) in (0, -signal.SIGINT)

    assert [json.loads(line.removeprefix("data: "))["url.path"] for line in lines] == ["/hello"]


def address(server: Server) -> tuple[str, int]:
    parts = urlsplit(server.panel)
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port


def test_a_browser_takes_up_its_stream_by_itself_when_the_server_starts_again(
    start: Start, browser: Browser, tmp_path: Path
) -> None:
    port = free_port()
    page = browser.new_page()
    with start("serve", panel_port=port) as server:
        # A page of the same origin whose policy lets it listen; the panel's own would come back by itself, too.
        page.route("**/blank", lambda route: route.fulfill(content_type="text/html", body=""))
        page.goto(f"{server.panel}/blank")
        page.evaluate(LISTEN)
        page.wait_for_function("seen.includes('open')")
        httpx.post(f"{server.api}/log", content="first life")
        page.wait_for_function("seen.includes('first life')")
        server.stop()
        with start("serve", panel_port=port) as again:
            page.wait_for_function("seen.some(each => each.restarted)", timeout=DEADLINE * 1_000)
            httpx.post(f"{again.api}/log", content="second life")
            page.wait_for_function("seen.includes('second life')")

    assert page.evaluate("seen") == ["open", "first life", "open", {"missed": 0, "restarted": True}, "second life"]
    page.close()


LISTEN = """() => {
    window.seen = [];
    const source = new EventSource('/api/events/stream');
    source.onopen = () => seen.push('open');
    source.onmessage = message => seen.push(JSON.parse(message.data).body);
    source.addEventListener('gap', message => seen.push(JSON.parse(message.data)));
}"""
