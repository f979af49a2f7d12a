"""A hundred and more secrets, sent to a real application, and looked for wherever captured text comes out."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests import nursery
from tests.conftest import PROVE
from tests.service.canaries import CANARIES, PLACES, Canary, Exchange

from .conftest import DEADLINE, Server, Start, run_app, wait_until

OpenPage = Callable[..., Page]

PLACES_EACH = len(PLACES) if PROVE else 1
"""How many places each canary is put in. The fast run takes turns, so that every place has several."""

WINDOW = 10
"""So many characters of a secret in a row are no coincidence, not even digits among the digits of a log."""

APP = """
import asyncio, json, logging, structlog
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute

gate = asyncio.Event()
shop = logging.getLogger("shop")
shop.setLevel(logging.INFO)
# The server prints tracebacks of the application's, which is not the monitor's doing.
logging.getLogger("uvicorn.error").addFilter(lambda record: False)

async def echo(request):
    body = await request.body()
    response = Response(body, media_type=request.headers.get("content-type"))
    response.raw_headers.extend(
        pair for pair in request.headers.raw if pair[0] in (b"set-cookie", b"location", b"note") or pair[0][:2] == b"x-"
    )
    return response

async def fail(request):
    text = (await request.body()).decode()
    shop.info("about to fail: %s", text)
    structlog.get_logger().warning("failing", reason=text)
    try:
        raise KeyError(text)
    except KeyError as error:
        raise RuntimeError(text) from error

async def wait(request):
    await gate.wait()
    return Response()

async def release(request):
    gate.set()
    return Response()

async def talk(socket):
    await socket.accept()
    await socket.send_text(await socket.receive_text())
    await socket.close()

app = Starlette(routes=[
    Route("/fail", fail, methods=["POST"]), Route("/wait/{rest:path}", wait), Route("/release", release),
    WebSocketRoute("/talk", talk), Route("/{rest:path}", echo, methods=["POST"]),
])
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("app")


@pytest.fixture(scope="module")
def watched(start: Start, folder: Path) -> Iterator[Server]:
    with run_app(start, folder, "echoing", APP, REQSCOPE_HISTORY="true") as running:
        yield running


@pytest.fixture(scope="module")
def collector(start: Start) -> Iterator[Server]:
    with start("serve") as running:
        yield running


def exchanges() -> Iterator[tuple[Canary, Exchange]]:
    """Each canary, in some or all of the places that it fits in."""
    places = list(PLACES.values())
    for number, canary in enumerate(CANARIES):
        turned = places[number % len(places) :] + places[: number % len(places)]
        fitting = (exchange for put in turned if (exchange := put(canary)) is not None)
        for exchange in islice(fitting, PLACES_EACH):
            yield canary, exchange


def leaks(output: str) -> list[str]:
    """Return the canaries of which a part is in `output`."""
    return [canary.name for canary in CANARIES if holds_part_of(canary.secret, output)]


def holds_part_of(secret: str, output: str) -> bool:
    # Whatever is as long as a window has one of these in it, and there are far fewer of them to look for.
    half = WINDOW // 2
    if not any(part in output for part in parts(secret, half, half)):
        return False
    return any(part in output for part in parts(secret, WINDOW, 1))


def parts(secret: str, length: int, step: int) -> list[str]:
    """Return the parts of that length which begin at every so many characters: all of a secret that is shorter."""
    return [secret[start : start + length] for start in range(0, max(1, len(secret) - length + 1), step)]


def send(client: httpx.Client, exchange: Exchange) -> None:
    """Send it to the application, which sends it back, and says and raises what is text."""
    target = quote(exchange.path or "/echo", safe="/;=:@").encode() + (b"?" + exchange.query if exchange.query else b"")
    url = client.base_url.copy_with(raw_path=target)
    headers = [*exchange.headers, (b"content-type", exchange.content_type)]
    headers = [pair for pair in headers if pair[0].lower() != b"host" and pair[1]]
    client.post(url, content=exchange.body, headers=headers)
    if exchange.text:
        client.post("/fail", content=exchange.text)


def everything(server: Server) -> dict[str, str]:
    """Return all that comes out of the control plane and the log, by where."""
    with httpx.Client(base_url=server.panel, timeout=DEADLINE) as client:
        events, after = list[str](), 0
        listed = list[str]()
        while True:
            answer = client.get("/api/events", params={"after": after, "limit": 1000})
            listed.append(answer.text)
            page = answer.json()["events"]
            events += [event["id"] for event in page]
            if not page:
                break
            after = answer.json()["next"]
        wait_until(lambda: events[-1] in server.log.read_text(), "the last line in the log")
        outputs = {name: client.get(f"/api/{name}").text for name in ("errors", "stats", "in-flight", "routes")}
        outputs["metrics"] = client.get("/metrics").text
        outputs["stream"] = client.get(
            "/api/events/stream", params={"backfill": len(events), "follow": "false"}, timeout=4 * DEADLINE
        ).text
        assert events[-1] in outputs["stream"]
        outputs |= {f"tail --{style}": tail(server, style, len(events)) for style in ("json", "logfmt", "pretty")}
        for kind in ("ndjson", "csv", "har"):
            exported = client.get("/api/export", params={"format": kind}, timeout=4 * DEADLINE)
            assert exported.status_code == 200, exported.text
            assert len(exported.text) > 100
            outputs[f"export, {kind}"] = exported.text
        for kind in ("curl", "httpie", "httpx"):
            copied = [client.get(f"/api/events/{event}/as/{kind}").text for event in events[:100]]
            outputs[f"copied as {kind}"] = "".join(copied)
        outputs["events"] = "".join(listed)
        outputs["details"] = "".join(client.get(f"/api/events/{event}").text for event in events)
        outputs["log"] = server.log.read_text()
        outputs["stderr"] = "".join(server.output)
        return outputs


def tail(server: Server, style: str, lines: int) -> str:
    """Return what `reqscope tail` prints."""
    command = ["reqscope.service", "tail", f"--{style}", "-n", str(lines), "--url", server.panel]
    done = nursery.run(*command, timeout=4 * DEADLINE)
    done.check_returncode()
    assert done.stdout.count("\n") == lines
    return done.stdout + done.stderr


@pytest.mark.guarantees("43")
def test_no_canary_that_goes_through_a_watched_application_comes_out(watched: Server, open_page: OpenPage) -> None:
    page = open_page(watched.panel)
    run = httpx.post(f"{watched.panel}/api/runs", timeout=DEADLINE).json()["id"]
    sent = 0
    # Each on a connection of its own: the server closes one on which the application failed.
    with httpx.Client(
        base_url=watched.api, timeout=DEADLINE, limits=httpx.Limits(max_keepalive_connections=0)
    ) as client:
        for _, exchange in exchanges():
            send(client, exchange)
            sent += 1
    assert sent >= len(CANARIES) > 100

    outputs = everything(watched) | kept(watched, run)

    assert {name: found for name, output in outputs.items() if (found := leaks(output))} == {}
    assert "[redacted]#" in outputs["log"]
    assert "[redacted]#" in outputs["history"]
    assert "RuntimeError" in outputs["errors"]
    assert leaks(what_the_page_holds(page)) == []


def kept(server: Server, run: str) -> dict[str, str]:
    """Return what a load-test run and the history keep, by where."""
    with httpx.Client(base_url=server.panel, timeout=4 * DEADLINE) as client:
        assert client.post(f"/api/runs/{run}/end").status_code == 200
        reports = {
            f"report, {kind}": client.get(f"/api/runs/{run}/report", params={"format": kind}).text
            for kind in ("html", "json", "csv", "markdown")
        }
        answer = client.get("/api/history", params={"sql": "SELECT * FROM requests"})
        assert answer.status_code == 200, answer.text
        return reports | {"run": client.get(f"/api/runs/{run}").text, "history": answer.text}


def what_the_page_holds(page: Page) -> str:
    """Open a number of rows, and return all that is in the page and in its storage."""
    held: set[str] = set()  # of elements, as most stay the same
    expect(page.locator(".rq-row:visible").first).to_be_visible()
    page.locator('[data-id="pause"]').click()
    for _ in range(25):
        title = page.locator(".rq-detail h2")
        before = title.inner_text() if title.is_visible() else None
        page.keyboard.press("j")
        expect(page.locator(".rq-detail")).to_be_visible()
        page.wait_for_function("before => document.querySelector('.rq-detail')?.innerText !== before", arg=before)
        held.update(page.content().split(">"))
    held.add(page.evaluate("JSON.stringify([localStorage, sessionStorage, location.href, document.title])"))
    return "".join(held)


@pytest.mark.guarantees("43")
def test_no_canary_comes_out_while_its_request_is_in_flight(watched: Server, open_page: OpenPage) -> None:
    page = open_page(watched.panel)
    secrets = [exchange for _, exchange in exchanges() if exchange.query or exchange.path][:6]
    with ThreadPoolExecutor(len(secrets)) as pool:
        answers = [
            pool.submit(
                httpx.get,
                httpx.URL(watched.api).copy_with(
                    raw_path=b"/wait"
                    + exchange.path.encode("latin-1")
                    + (b"/x" if not exchange.path else b"")
                    + b"?"
                    + exchange.query
                ),
                timeout=DEADLINE,
            )
            for exchange in secrets
        ]
        try:
            running = page.locator(".rq-running li")
            expect(running).to_have_count(len(secrets), timeout=DEADLINE * 1000)
            shown = page.content() + httpx.get(f"{watched.panel}/api/in-flight").text
        finally:
            httpx.get(f"{watched.api}/release")
        assert [answer.result().status_code for answer in answers] == [200] * len(secrets)

    assert leaks(shown) == []
    assert "[redacted]" in shown


@pytest.mark.guarantees("43", "45")
def test_no_canary_that_is_posted_to_be_kept_comes_out(collector: Server) -> None:
    with httpx.Client(base_url=collector.api, timeout=DEADLINE) as client:
        for canary, exchange in exchanges():
            headers = {"content-type": exchange.content_type.decode()} if exchange.content_type else {}
            client.post("/log", content=exchange.body or exchange.text or canary.field, headers=headers)
            record = {
                canary.field: canary.text,
                "url.path": exchange.path,
                "http.route": exchange.path,
                "duration": 0.1,
                "error.type": exchange.text or None,
            }
            assert client.post("/events", content=json.dumps(record)).json()["accepted"] == 1

    outputs = everything(collector)

    assert {name: found for name, output in outputs.items() if (found := leaks(output))} == {}
