import csv
import io
import json
import os
import re
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Message

from reqscope.bus import Body, Event, EventBus
from reqscope.bus.encoding import encode
from reqscope.bus.event import Glance
from reqscope.bus.schema import Detail, view
from reqscope.service import Redaction
from reqscope.service.admin import answer_with_problems
from reqscope.service.capture import CaptureMiddleware
from reqscope.service.export import export_router

from .conftest import DEADLINE, Site, nothing, published, scope_of

pytestmark = pytest.mark.anyio

PROBLEM = "application/problem+json"
SAVED = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


@pytest.fixture
async def api(site: Site, bus: EventBus) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the export routes of `bus`."""
    async with site.client(api_of(bus)) as client:
        yield client


def api_of(bus: EventBus) -> FastAPI:
    app = FastAPI()
    app.include_router(export_router(bus))
    answer_with_problems(app)
    return app


def publish(bus: EventBus, count: int, **fields: Any) -> None:
    for _ in range(count):
        bus.publish(Event(time=1_700_000_000_000_000_000, **fields))


async def problem(api: httpx.AsyncClient, path: str, status: int, **query: Any) -> str:
    """Return what the problem says that this request is answered with."""
    answer = await api.get(path, params=query)
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)
    detail: str = answer.json()["detail"]
    return detail


async def seqs(api: httpx.AsyncClient, **query: Any) -> list[int]:
    """Return the numbers of the events that an export has."""
    answer = await api.get("/api/export", params={"format": "ndjson"} | query)
    assert answer.status_code == 200
    return [json.loads(line)["seq"] for line in answer.text.splitlines()]


class Opens:
    """A seal that fills in a path."""

    def open(self, event: Event) -> None:
        event.path = f"/opened/{event.seq}"

    def glance(self, event: Event) -> Glance:
        return event.open().glance()


class TestExport:
    @pytest.mark.guarantees("41")
    @pytest.mark.parametrize(
        ("name", "media_type"),
        [("ndjson", "application/x-ndjson"), ("csv", "text/csv; charset=utf-8"), ("har", "application/json")],
    )
    async def test_an_export_is_a_file_to_save_with_a_name_of_our_own(
        self, api: httpx.AsyncClient, bus: EventBus, name: str, media_type: str
    ) -> None:
        publish(bus, 1, path='/"; filename="evil.exe"')
        answer = await api.get("/api/export", params={"format": name})

        assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
        assert answer.headers.items() >= SAVED.items()
        said = answer.headers["content-disposition"]
        assert re.fullmatch(rf'attachment; filename="reqscope-\d{{8}}-\d{{6}}\.{name}"', said)

    async def test_lines_are_what_the_api_answers_about_each_event(self, api: httpx.AsyncClient, bus: EventBus) -> None:
        publish(bus, 3, path="/é\n", request_body=Body(data=b"\xff", captured=1))
        answer = await api.get("/api/export", params={"format": "ndjson"})
        events = bus.ring.since(0).events
        assert answer.content == b"".join(encode(view(event, bus.boot, Detail)) + b"\n" for event in events)

    async def test_every_format_has_all_that_the_filter_selects_oldest_first(
        self, api: httpx.AsyncClient, bus: EventBus
    ) -> None:
        for number in range(60):
            publish(bus, 1, path=f"/{number}", status=404 if number % 3 else 200)
        expected = [number + 1 for number in range(60) if number % 3]

        async def text(name: str) -> str:
            return (await api.get("/api/export", params={"format": name, "filter": "status:404"})).text

        assert [json.loads(line)["seq"] for line in (await text("ndjson")).splitlines()] == expected
        table = csv.DictReader(io.StringIO(await text("csv"), newline=""))
        assert [int(row["seq"]) for row in table] == expected
        entries = json.loads(await text("har"))["log"]["entries"]
        assert [entry["_reqscope"]["seq"] for entry in entries] == expected

    async def test_with_a_limit_it_is_the_newest(self, api: httpx.AsyncClient, bus: EventBus) -> None:
        for number in range(30):
            publish(bus, 1, status=404 if number % 2 else 200)
        assert await seqs(api, limit=3) == [28, 29, 30]
        assert await seqs(api, limit=3, filter="status:200") == [25, 27, 29]
        assert await seqs(api, limit=1_000_000) == [*range(1, 31)]

    async def test_of_a_ring_that_has_evicted_it_has_what_is_left(self, site: Site) -> None:
        bus = EventBus(capacity=10)
        publish(bus, 25)
        async with site.client(api_of(bus)) as api:
            assert await seqs(api) == [*range(16, 26)]

    @pytest.mark.parametrize("query", [{}, {"filter": "path:/nowhere"}, {"limit": 5}])
    async def test_without_events_every_format_is_valid(
        self, api: httpx.AsyncClient, bus: EventBus, query: dict[str, Any]
    ) -> None:
        if query.get("filter"):
            publish(bus, 5, path="/somewhere")
        assert await seqs(api, **query) == []
        table = (await api.get("/api/export", params={"format": "csv", **query})).text
        assert len(table.splitlines()) == 1
        archive = (await api.get("/api/export", params={"format": "har", **query})).json()
        assert archive["log"]["entries"] == []

    async def test_sealed_events_are_opened_on_the_way(self, api: httpx.AsyncClient, bus: EventBus) -> None:
        for _ in range(3):
            bus.publish(Event(time=1, sealed=Opens()))
        answer = await api.get("/api/export", params={"format": "ndjson", "filter": "path:/opened/2"})
        assert [json.loads(line)["url.path"] for line in answer.text.splitlines()] == ["/opened/2"]

    async def test_a_filter_that_cannot_be_read_is_a_problem_that_says_where(self, api: httpx.AsyncClient) -> None:
        detail = await problem(api, "/api/export", 400, format="csv", filter="status:404 status:no")
        assert detail.startswith("filter: ")
        assert re.search(r", at character \d+$", detail)

    @pytest.mark.parametrize("query", [{}, {"format": "xml"}, {"format": "../csv"}, {"format": "csv", "limit": 0}])
    async def test_what_is_no_format_or_limit_is_refused(self, api: httpx.AsyncClient, query: dict[str, Any]) -> None:
        assert await problem(api, "/api/export", 422, **query)

    async def test_it_is_written_in_pieces_between_which_the_event_loop_turns(self, bus: EventBus) -> None:
        """Nobody has to read it to the end, and what is published meanwhile is not in it."""
        publish(bus, 2_000, path="/x" * 1_000)
        pieces, turns, ended = list[int](), 0, anyio.Event()

        async def send(message: Message) -> None:
            if body := message.get("body"):
                pieces.append(len(body))
                publish(bus, 1)  # for ever, if it were seen
            if message["type"] == "http.response.body" and not message.get("more_body"):
                ended.set()

        async def turn() -> None:
            nonlocal turns
            while not ended.is_set():
                turns += 1
                await anyio.lowlevel.checkpoint()

        scope = scope_of(path="/api/export", query_string=b"format=ndjson", raw_path=b"/api/export")
        with anyio.fail_after(DEADLINE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(turn)
                await api_of(bus)(scope, waiting, send)
        assert len(pieces) > 1
        assert turns >= len(pieces)
        assert sum(pieces) < 2_000 * 2_500


async def waiting() -> Message:
    """Receive nothing: the client stays."""
    await anyio.sleep_forever()
    return await nothing()


class TestCopy:
    @pytest.mark.parametrize(("client", "start"), [("curl", "curl "), ("httpie", "http "), ("httpx", "import httpx")])
    async def test_a_request_is_answered_as_plain_text(
        self, api: httpx.AsyncClient, bus: EventBus, client: str, start: str
    ) -> None:
        publish(bus, 1, method="GET", path="/<script>", scheme="https", request_headers=((b"host", b"example.org"),))
        answer = await api.get(f"/api/events/{bus.boot}-1/as/{client}")

        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
        assert answer.headers.items() >= SAVED.items()
        assert answer.text.startswith(start)
        assert "https://example.org/%3Cscript%3E" in answer.text

    async def test_it_goes_where_one_says(self, api: httpx.AsyncClient, bus: EventBus) -> None:
        publish(bus, 1, method="GET", path="/a", request_headers=((b"host", b"example.org"),))
        answer = await api.get(f"/api/events/{bus.boot}-1/as/curl", params={"base_url": "http://127.0.0.1:1/b"})
        assert "http://127.0.0.1:1/b/a" in answer.text

    async def test_what_cannot_be_copied_is_a_problem_that_says_why(
        self, api: httpx.AsyncClient, bus: EventBus
    ) -> None:
        publish(bus, 1, kind="websocket", scheme="ws", request_headers=((b"host", b"h"),))
        publish(bus, 1, method="GET", request_headers=((b"host", b"a b"),))
        assert "base_url" in await problem(api, f"/api/events/{bus.boot}-1/as/curl", 409)
        assert "websocket" in await problem(api, f"/api/events/{bus.boot}-1/as/curl", 409, base_url="http://h")
        assert "base_url" in await problem(api, f"/api/events/{bus.boot}-2/as/curl", 409)
        assert "base_url" in await problem(api, f"/api/events/{bus.boot}-2/as/curl", 409, base_url="file:///etc")

    async def test_an_event_that_is_gone_or_a_client_that_is_none_is_a_problem(
        self, api: httpx.AsyncClient, bus: EventBus
    ) -> None:
        publish(bus, 1)
        assert "ring" in await problem(api, f"/api/events/{bus.boot}-2/as/curl", 404)
        assert await problem(api, f"/api/events/{bus.boot}-1/as/wget", 422)

    async def test_a_copied_request_is_captured_as_the_first_one_was(self, site: Site, bus: EventBus) -> None:
        """All the way round: a real request, its capture, the route, a real shell and curl, and its capture."""
        capture = CaptureMiddleware(reading, bus, redaction=Redaction(()), bodies="all")
        headers = {"x-odd": "'$(id)`\\", "cookie": "a=1; b='!"}
        async with site.client(capture) as client:
            await client.post("/a b/é'/%25?q='%27%2f", content=b"@\0\r\n'\xff", headers=headers)
            (first,) = await published(bus)
        async with site.client(api_of(bus)) as api:
            command = (await api.get(f"/api/events/{bus.boot}-1/as/curl")).text
        async with site.client(capture):
            await anyio.run_process(["bash", "--norc", "-c", command], env={"PATH": os.environ["PATH"]})
            second = (await published(bus, 2))[1]

        assert captured(second) == captured(first)


async def reading(scope: Any, receive: Any, send: Any) -> None:
    await Request(scope, receive).body()
    await PlainTextResponse("read")(scope, receive, send)


def captured(event: Event) -> tuple[object, ...]:
    """Return what a copied request shares with its original: all but who made the connection."""
    headers = sorted(header for header in event.request_headers if header[0] != b"connection")
    body = event.request_body and event.request_body.data
    return event.method, event.path, event.query, headers, body, event.request_size
