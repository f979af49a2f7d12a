from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.responses import PlainTextResponse

from reqscope.service import Settings, create_app
from reqscope.service.collector import data_plane, fallback_app
from reqscope.service.pipeline import Pipeline

from .conftest import MASK, Site, client, serving

pytestmark = pytest.mark.anyio


@pytest.fixture
async def collector(anyio_backend: object) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the collector as one application."""
    async with serving(create_app(Settings(log="none")), lifespan="on") as url, client(url) as http:
        yield http


async def events(http: httpx.AsyncClient) -> list[tuple[str, str, int]]:
    listed = (await http.get("/reqscope/api/events")).json()["events"]
    return [(each["event"], each.get("url.path", ""), each.get("http.response.status_code", 0)) for each in listed]


async def test_one_application_takes_records_and_shows_each_once(collector: httpx.AsyncClient) -> None:
    logged = await collector.post("/log", content="hello")
    accepted = await collector.post("/events", content=b'{"url.path":"/a"}\n{"url.path":"/b"}\n')
    page = await collector.get("/reqscope/")

    assert (logged.status_code, accepted.json()["accepted"], page.status_code) == (200, 2, 200)
    assert await events(collector) == [("log", "/log", 200), ("record", "/a", 0), ("record", "/b", 0)]


async def test_what_nobody_knows_is_answered_with_what_there_is_and_seen(collector: httpx.AsyncClient) -> None:
    answer = await collector.post("/lgo", content="hello")

    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    known = "send one record to POST /log, many to POST /events, and OTLP to POST /v1/traces or /v1/logs"
    assert answer.json()["detail"] == f"there is no /lgo; {known}"
    assert await events(collector) == [("request", "/lgo", 404)]


async def test_under_a_root_path_records_are_taken_too() -> None:
    app = create_app(Settings(log="none"))
    async with serving(app, lifespan="on", root_path="/tools") as url, client(url) as http:
        assert (await http.post("/log", content="hello")).status_code == 200
        assert (await http.post("/events", content=b"{}")).status_code == 200


async def test_a_server_can_make_the_collector_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQSCOPE_REDACT", "page")
    async with serving(create_app, factory=True, lifespan="on") as url, client(url) as http:
        await http.post("/log?page=1", content="hello")
        (event,) = (await http.get("/reqscope/api/events")).json()["events"]

    assert event["url.query"] == "page=" + MASK(b"1").decode()


class TestWhereNoApplicationIs:
    async def test_it_is_alive(self, site: Site) -> None:
        async with site.client(fallback_app()) as http:
            assert (await http.get("/livez")).json() == {"status": "ok"}

    @pytest.mark.parametrize(("method", "path", "status"), [("POST", "/livez", 405), ("GET", "/docs", 404)])
    async def test_every_error_is_a_problem(self, site: Site, method: str, path: str, status: int) -> None:
        async with site.client(fallback_app()) as http:
            answer = await http.request(method, path)

        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        assert answer.json()["status"] == status

    async def test_a_hostile_path_is_quoted_as_text_that_a_terminal_survives(self, site: Site) -> None:
        async with site.client(fallback_app()) as http:
            answer = await http.get("/%1b%5b2J%00%e2%80%ae")

        assert answer.json()["detail"].startswith("there is no /\x1b[2J\x00\u202e; ")
        assert not set(answer.content) & {0x00, 0x1B}
        assert b"\xe2\x80\xae" not in answer.content


class TestDataPlane:
    async def test_an_application_behind_the_ingest_routes_is_watched_and_they_are_not_twice(self, site: Site) -> None:
        pipeline = Pipeline(Settings(log="none", redact=("x-tenant",)))
        plane, capture = data_plane(pipeline, PlainTextResponse("app"))
        async with site.client(plane) as http:
            await http.post("/log", content="hello")
            assert (await http.get("/orders", headers={"x-tenant": "7"})).text == "app"
            await http.get("/livez")
        kept = pipeline.bus.ring.since(0).events

        assert [(event.kind, event.path) for event in kept] == [("log", "/log"), ("request", "/orders")]
        assert dict(kept[1].request_headers)[b"x-tenant"] == MASK(b"7")
        assert capture.statistics().ignored == 1
