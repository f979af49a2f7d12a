"""Whatever is posted to `/log` is kept as it came, and harms neither the line nor the answer that it comes out in."""

import base64
import json
import time
import unicodedata
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, BinaryIO

import anyio
import httpx
import pytest
from fastapi import FastAPI

from reqscope.bus.logentry import VERSION
from reqscope.service import Settings
from reqscope.service.collector import data_plane, fallback_app
from reqscope.service.launcher import bounded
from reqscope.service.limits import strict_limits
from reqscope.service.pipeline import Pipeline
from reqscope.service.query import query_router

from .conftest import DEADLINE, client, published, serving
from .hostile_bodies import BODIES, DOCUMENTS, JSON, ROWS, Body

pytestmark = pytest.mark.anyio

STEERS = ("Cc", "Cs", "Zl", "Zp", "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
"""Categories and directions of characters that end a line, begin a command of a terminal's, or turn text round."""


def is_plain(text: bytes) -> bool:
    """Return whether it is one line that no display obeys."""
    kinds = {kind(each) for each in set(text.decode()) for kind in (unicodedata.category, unicodedata.bidirectional)}
    return kinds.isdisjoint(STEERS)


@pytest.fixture(scope="module", params=["httptools", pytest.param("h11", marks=pytest.mark.prove)])
def parser(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


class Collector:
    """A collector with a log file, and a client of it and of its API."""

    def __init__(self, pipeline: Pipeline, data: httpx.AsyncClient, api: httpx.AsyncClient, log: BinaryIO) -> None:
        self.bus = pipeline.bus
        self.data = data
        self.api = api
        self._log = log
        self._rest = b""
        self._lines: dict[int, bytes] = {}

    async def line(self, seq: int) -> bytes:
        """Wait for the line of an event. Each line that was read until then was whole."""
        with anyio.fail_after(DEADLINE):
            while seq not in self._lines:
                *lines, self._rest = (self._rest + self._log.read()).split(b"\n")
                self._lines |= {strictly(line)["seq"]: line for line in lines}
                await anyio.sleep(0.002)
        return self._lines.pop(seq)

    async def detail(self, name: str) -> Any:
        answer = await self.api.get(f"/api/events/{name}")
        assert answer.status_code == 200
        return strictly(answer.content)


def strictly(text: bytes) -> Any:
    """Read JSON that has no NaN in it."""

    def fail(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=fail)


@pytest.fixture(scope="module")
async def collector(
    anyio_backend: object, parser: Any, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Collector]:
    """The data plane of `reqscope serve`, with the limits that it has."""
    log = tmp_path_factory.mktemp("log") / "requests.jsonl"
    settings = Settings(log="file", log_file=log)
    pipeline, api = Pipeline(settings), FastAPI()
    api.include_router(query_router(pipeline, dict))
    app, _ = data_plane(pipeline, fallback_app())
    inside = httpx.ASGITransport(api)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reqscope.bus.sinks._LINGER", 0.002)  # hundreds of tests wait for a line, one after the other
        async with (
            pipeline.running(),
            serving(app, http=bounded(strict_limits(settings), parser), lifespan="on") as url,
            client(url) as data,
            httpx.AsyncClient(transport=inside, base_url="http://localhost") as reading,
        ):
            with Path(log).open("rb") as file:  # noqa: ASYNC230 - a file of a few lines
                yield Collector(pipeline, data, reading, file)


def headers_of(body: Body) -> dict[str, str]:
    wanted = {"content-type": body.content_type, "content-encoding": body.encoding}
    return {name: value for name, value in wanted.items() if value}


@pytest.mark.parametrize("row", ROWS)
async def test_it_is_kept_as_it_came_and_comes_out_as_text(collector: Collector, row: str) -> None:
    before = time.time_ns()
    answers = [await collector.data.post("/log", content=each.sent, headers=headers_of(each)) for each in BODIES[row]]
    after = time.time_ns()

    for body, answer in zip(BODIES[row], answers, strict=True):
        assert answer.status_code == 200
        assert is_plain(answer.content)
        seq = answer.json()["seq"]
        event, line = collector.bus.ring.since(seq - 1).events[0], await collector.line(seq)
        assert (event.kind, event.status, event.body) == ("log", 200, body.sent)
        assert before <= event.time <= after
        assert is_plain(line)
        entry, detail = strictly(line), await collector.detail(answer.json()["id"])
        del detail["http.request.headers"]
        assert entry == detail | {"schema": VERSION}
        assert (entry["seq"], entry["level"]) == (seq, "info")
        shown = entry["body"].encode() if "body" in entry else base64.b64decode(entry.get("body_base64", ""))
        assert shown == body.sent


@pytest.mark.parametrize("row", ROWS)
async def test_as_a_record_it_is_taken_or_refused_and_never_an_error_of_ours(collector: Collector, row: str) -> None:
    last = collector.bus.ring.last
    for body in BODIES[row]:
        answer = await collector.data.post("/events", content=body.sent, headers=headers_of(body))

        assert answer.status_code in (200, 400, 413, 415, 422)
        assert is_plain(answer.content)
        assert strictly(answer.content)
    for event in collector.bus.ring.since(last).events:
        assert is_plain(await collector.line(event.seq))


@pytest.mark.guarantees("26")
@pytest.mark.parametrize("kind", ["y", "n"])
async def test_a_document_is_a_record_only_if_it_is_json(collector: Collector, kind: str) -> None:
    for name, text in DOCUMENTS.items():
        document = text.encode("latin-1")
        if name.startswith(kind) and (kind == "n" or isinstance(json.loads(document), dict)):
            answer = await collector.data.post("/events", content=document, headers={"content-type": JSON})
            assert answer.json().get("accepted", 0) == (kind == "y"), name


@pytest.mark.guarantees("12", "43")
async def test_both_of_two_secrets_of_one_name_are_masked(collector: Collector) -> None:
    answer = await collector.data.post("/log", content=b'{"password":"first-one","password":"second-one"}')

    for shown in (
        await collector.line(answer.json()["seq"]),
        str(await collector.detail(answer.json()["id"])).encode(),
    ):
        assert shown.count(b"[redacted]") == 2
        assert b"first-one" not in shown
        assert b"second-one" not in shown


@pytest.mark.guarantees("3")
@pytest.mark.parametrize(
    "headers", [{"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}, {"origin": "null"}]
)
async def test_of_what_another_sites_page_sends_only_the_refusal_is_kept(
    collector: Collector, headers: dict[str, str]
) -> None:
    last = collector.bus.ring.last
    for path in ("/log", "/events"):
        answer = await collector.data.post(path, content=b'{"a":1}', headers={"content-type": "text/plain", **headers})
        assert answer.status_code == 403
    events = collector.bus.ring.since(last).events

    assert [(event.kind, event.status, event.body) for event in events] == [("request", 403, b"")] * 2


HEADERS = [
    (b"user-agent", b'{"level":"error","event":"fake"}', "34"),
    (b"user-agent", b"%s {0} {{7*7}} ${jndi:ldap://x}", "35"),
    (b"referer", b"<script>alert(1)</script>", "36"),
    (b"x-name", b"' OR 1=1-- $(id) ../../etc/passwd", "40"),
    (b"x-name", b"=cmd|'/c calc'!A1", "39"),
    (b"x-name", b"\xff\xfe \x80\x9b31m", "32"),
    (b"x-name", "ü \u202e \U0001f4a9".encode(), "22"),
]


@pytest.mark.parametrize(
    ("name", "value"), [pytest.param(name, value, marks=pytest.mark.guarantees(row)) for name, value, row in HEADERS]
)
async def test_a_header_is_text_and_nothing_else(collector: Collector, name: bytes, value: bytes) -> None:
    answer = await collector.data.post("/log", content=b"x", headers=[(name, value)])
    detail = await collector.detail(answer.json()["id"])
    line = await collector.line(answer.json()["seq"])

    assert [name.decode(), value.decode("latin-1")] in detail["http.request.headers"]
    assert is_plain(line)
    assert strictly(line)["level"] == "info"


@pytest.mark.guarantees("56")
async def test_every_header_of_a_name_is_kept_as_it_is_spelt(collector: Collector) -> None:
    sent = [(b"x-many", b"%d" % number) for number in range(80)] + [(b"x_y", b"1"), (b"x-y", b"2"), (b"x-raw", b"\xff")]
    answer = await collector.data.post("/log", content=b"x", headers=sent)
    (event,) = collector.bus.ring.since(answer.json()["seq"] - 1).events

    assert [pair for pair in event.request_headers if pair[0].startswith((b"x-", b"x_"))] == sent


@pytest.mark.guarantees("58")
async def test_a_query_of_thousands_of_parameters_is_kept_as_it_came(collector: Collector) -> None:
    query = "&".join(f"a%5B{number}%5D={number}" for number in range(2_000))
    answer = await collector.data.post(f"/log?{query}", content=b"x")
    (event,) = collector.bus.ring.since(answer.json()["seq"] - 1).events

    assert event.query.decode() == query


PATHS = (
    "%0d%0aINFO%20fake",
    "%1b[2J",
    "%ff%00",
    "..%2f..%2fetc/passwd",
    "%25%32%65",
    "<script>",
    "'%20OR%201=1--",
    ";p=1",
)


@pytest.mark.guarantees("30", "40", "57")
@pytest.mark.parametrize("path", PATHS)
async def test_a_path_that_is_not_there_is_seen_and_stays_one_line(collector: Collector, path: str) -> None:
    last = collector.bus.ring.last
    answer = await collector.data.get(httpx.URL(collector.data.base_url, raw_path=b"/" + path.encode()))
    (event,) = collector.bus.ring.since(last).events
    line = await collector.line(event.seq)

    assert (answer.status_code, event.status) == (404, 404)
    assert is_plain(answer.content)
    assert is_plain(line)
    assert strictly(line)["url.path"] == event.path


@pytest.mark.guarantees("70")
async def test_of_a_batch_that_breaks_off_nothing_is_taken(collector: Collector) -> None:
    last, port = collector.bus.ring.last, collector.data.base_url.port
    assert port is not None
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(
            b'POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{"n":1}\n{"n":2}\n{"n"'
        )
    *_, event = await published(collector.bus, last + 1)

    assert (collector.bus.ring.last, event.seq) == (last + 1, last + 1)
    assert (event.kind, event.path, event.status, event.error) == ("request", "/events", 499, "client_disconnected")
