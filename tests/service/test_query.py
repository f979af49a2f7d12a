import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.responses import PlainTextResponse

from reqscope.bus import Event, Failure, Filter, Running
from reqscope.service import Settings
from reqscope.service.admin import answer_with_problems
from reqscope.service.pipeline import Pipeline
from reqscope.service.query import MAX_LIMIT, query_router

from .conftest import MASK, Site, nothing, scope_of, swallow, until

pytestmark = pytest.mark.anyio

PROBLEM = "application/problem+json"


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline(Settings(log="none", capacity=500))


@pytest.fixture
async def api(site: Site, pipeline: Pipeline) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the query API of `pipeline`."""
    async with site.client(api_of(pipeline)) as client:
        yield client


def api_of(pipeline: Pipeline) -> FastAPI:
    app = FastAPI()
    app.include_router(query_router(pipeline, lambda: {"capture": {"in_flight": 3}}))
    answer_with_problems(app)
    return app


def publish(pipeline: Pipeline, count: int, **fields: Any) -> None:
    for _ in range(count):
        pipeline.bus.publish(Event(time=1_700_000_000_000_000_000, **fields))


async def get(api: httpx.AsyncClient, path: str, **query: Any) -> Any:
    answer = await api.get(path, params=query)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    return answer.json()


async def problem(api: httpx.AsyncClient, path: str, status: int, **query: Any) -> str:
    """Return what the problem says that this request is answered with."""
    answer = await api.get(path, params=query)
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)
    assert answer.json()["status"] == status
    detail: str = answer.json()["detail"]
    return detail


def seqs(page: Any) -> list[int]:
    return [event["seq"] for event in page["events"]]


class TestEvents:
    async def test_without_a_cursor_the_newest_come_oldest_first(
        self, api: httpx.AsyncClient, pipeline: Pipeline
    ) -> None:
        publish(pipeline, 250)

        page = await get(api, "/api/events")
        assert (seqs(page), page["missed"], page["next"]) == ([*range(151, 251)], 0, 250)
        page = await get(api, "/api/events", limit=2)
        assert (seqs(page), page["missed"], page["next"]) == ([249, 250], 0, 250)

    async def test_before_anything_happened_there_is_nothing_and_a_place_to_go_on_from(
        self, api: httpx.AsyncClient
    ) -> None:
        for query in ({}, {"after": 0}, {"after": 5}, {"filter": "status:200"}):
            assert await get(api, "/api/events", **query) == {"events": [], "missed": 0, "next": 0}

    @pytest.mark.parametrize("limit", [1, 7, 100, MAX_LIMIT])
    @pytest.mark.parametrize("text", ["", "status:404", "path:/3* -status:404", "nothing"])
    async def test_pages_cover_everything_that_passes_once_and_in_order(
        self, api: httpx.AsyncClient, pipeline: Pipeline, limit: int, text: str
    ) -> None:
        for number in range(40):
            publish(pipeline, 1, path=f"/{number}", status=404 if number % 3 else 200)
        expected = [event.seq for event in pipeline.bus.ring.since(0).events if Filter.parse(text)(event)]

        found, cursor, pages = list[int](), 0, 0
        while cursor < pipeline.bus.ring.last:
            page = await get(api, "/api/events", after=cursor, limit=limit, filter=text)
            assert len(page["events"]) <= limit
            assert page["missed"] == 0
            assert page["next"] > cursor
            found.extend(seqs(page))
            cursor, pages = page["next"], pages + 1

        assert found == expected
        assert pages <= len(expected) // limit + 1
        assert await get(api, "/api/events", after=cursor) == {"events": [], "missed": 0, "next": cursor}

    async def test_what_comes_between_two_pages_is_on_the_second(
        self, api: httpx.AsyncClient, pipeline: Pipeline
    ) -> None:
        publish(pipeline, 3)
        first = await get(api, "/api/events", after=0, limit=2)
        publish(pipeline, 2)
        second = await get(api, "/api/events", after=first["next"])

        assert seqs(first) + seqs(second) == [1, 2, 3, 4, 5]

    async def test_what_was_evicted_before_it_was_read_is_counted(self, site: Site) -> None:
        pipeline = Pipeline(Settings(log="none", capacity=10))
        publish(pipeline, 25)
        async with site.client(api_of(pipeline)) as api:
            page = await get(api, "/api/events", after=5, limit=4)
            assert (seqs(page), page["missed"], page["next"]) == ([16, 17, 18, 19], 10, 19)
            page = await get(api, "/api/events", after=page["next"])
            assert (seqs(page), page["missed"], page["next"]) == ([20, 21, 22, 23, 24, 25], 0, 25)

    @pytest.mark.parametrize("cursor", [4, 10_000, 2**63, 10**30])
    async def test_a_cursor_of_an_earlier_life_is_ahead_and_starts_over(
        self, api: httpx.AsyncClient, pipeline: Pipeline, cursor: int
    ) -> None:
        publish(pipeline, 3)

        page = await get(api, "/api/events", after=cursor)

        assert (seqs(page), page["missed"], page["next"]) == ([1, 2, 3], 0, 3)

    async def test_a_list_shows_everything_but_headers_and_bodies(
        self, api: httpx.AsyncClient, pipeline: Pipeline
    ) -> None:
        headers = ((b"user-agent", b"test/1"), (b"x", b"caf\xe9"))
        publish(pipeline, 1, method="GET", path="/é", query=b"a=\xff", status=503, total=0.25, request_headers=headers)
        pipeline.bus.publish(Event(time=1_700_000_000_000_000_000, kind="log", body=b"secret body"))

        first, second = (await get(api, "/api/events"))["events"]

        assert first == {
            "timestamp": "2023-11-14T22:13:20.000000Z",
            "level": "error",
            "event": "request",
            "id": f"{pipeline.bus.boot}-1",
            "seq": 1,
            "http.request.method": "GET",
            "url.path": "/é",
            "url.query": "a=ÿ",
            "http.response.status_code": 503,
            "user_agent.original": "test/1",
            "duration": 0.25,
        }
        assert second.keys() == {"timestamp", "level", "event", "id", "seq"}

    @pytest.mark.parametrize(
        ("text", "words", "character"),
        [
            ("status:999", "'999' is not a status", 8),
            ('path:/x "open', "this quote is not closed", 9),
            ("colour:red", "there is no field 'colour'", 1),
        ],
    )
    async def test_a_filter_that_cannot_be_read_is_a_problem_that_points_at_it(
        self, api: httpx.AsyncClient, text: str, words: str, character: int
    ) -> None:
        detail = await problem(api, "/api/events", 400, filter=text)

        assert words in detail
        assert detail.endswith(f"at character {character}")

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("after", "x"),
            ("after", "-1"),
            ("after", "1.5"),
            ("after", "1" + "0" * 5_000),
            ("limit", "0"),
            ("limit", "1001"),
            ("limit", "many"),
            ("filter", "x" * 10_001),
        ],
    )
    async def test_a_value_of_the_wrong_type_or_size_is_a_problem_that_names_it(
        self, api: httpx.AsyncClient, name: str, value: str
    ) -> None:
        assert (await problem(api, "/api/events", 422, **{name: value})).startswith(f"query.{name}: ")

    @pytest.mark.guarantees("F40", "42")
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
    async def test_no_text_for_a_filter_is_answered_with_an_error_of_ours(
        self, api: httpx.AsyncClient, text: str
    ) -> None:
        answer = await api.get("/api/events", params={"filter": text})

        assert answer.status_code in (200, 400)
        assert json.loads(answer.content)


class TestOneEvent:
    async def test_it_is_found_by_its_name_with_headers_and_body(
        self, api: httpx.AsyncClient, pipeline: Pipeline
    ) -> None:
        headers = ((b"accept", b"a"), (b"x", b"caf\xe9"), (b"accept", b"b"))
        publish(pipeline, 1, request_headers=headers, response_headers=headers[:1], body="grüße\x00".encode())

        found = await get(api, f"/api/events/{pipeline.bus.boot}-1")

        assert found["http.request.headers"] == [["accept", "a"], ["x", "café"], ["accept", "b"]]
        assert found["http.response.headers"] == [["accept", "a"]]
        assert found["body"] == "grüße\x00"

    @pytest.mark.parametrize(
        "name",
        [
            *("{boot}-0", "{boot}-4", "{boot}--1", "{boot}-", "{boot}", "{boot}-1x", "{boot}-1%0a", "{boot}- 1"),
            *("{boot}-²", "{boot}-٣", "{boot}-1" + "0" * 30, "00000000-1", "-1", "1", "%00", "%ff", "a/b"),
        ],
    )
    async def test_a_name_of_no_event_is_a_problem(self, api: httpx.AsyncClient, pipeline: Pipeline, name: str) -> None:
        publish(pipeline, 3)

        answer = await api.get("/api/events/" + name.format(boot=pipeline.bus.boot))

        assert (answer.status_code, answer.headers["content-type"]) == (404, PROBLEM)

    async def test_an_event_that_was_evicted_is_not_found(self, site: Site) -> None:
        pipeline = Pipeline(Settings(log="none", capacity=2))
        publish(pipeline, 3)
        async with site.client(api_of(pipeline)) as api:
            assert "no longer" in await problem(api, f"/api/events/{pipeline.bus.boot}-1", 404)
            assert (await get(api, f"/api/events/{pipeline.bus.boot}-2"))["seq"] == 2


class TestStats:
    async def test_nothing_is_unaccounted_for(self, site: Site, tmp_path: Path) -> None:
        pipeline = Pipeline(Settings(log="file", log_file=tmp_path / "log", capacity=50))
        async with (
            pipeline.running(),
            pipeline.bus.subscribe(limit=7, name="slow") as slow,
            site.client(api_of(pipeline)) as api,
        ):
            for total in (30, 100, 400):
                publish(pipeline, total - pipeline.bus.ring.last, status=200)
                slow.receive_nowait()
                stats = await get(api, "/api/stats")

                assert stats["published"] == total == stats["kept"] + stats["evicted"]
                readers = {reader["name"]: reader for reader in stats["readers"]}
                assert readers.keys() == {"stats", "slow", f"sink:file:{tmp_path / 'log'}"}
                for reader in readers.values():
                    assert reader["delivered"] + reader["missed"] + reader["pending"] == total
                (sink,) = stats["sinks"]
                assert sink["written"] + sink["lost"] + sink["held"] == sink["reader"]["delivered"]
                assert stats["statistics"]["events"] + stats["statistics"]["missed"] == total
        assert readers["slow"]["delivered"] == 3 * 7
        assert readers["slow"]["missed"] > 0

    async def test_they_tell_the_bounds_the_producers_and_the_latencies(
        self, api: httpx.AsyncClient, pipeline: Pipeline
    ) -> None:
        publish(pipeline, 1, status=200, total=0.5)
        publish(pipeline, 1, status=503)

        stats = await get(api, "/api/stats")

        assert (stats["boot"], stats["capacity"], stats["max_age"]) == (pipeline.bus.boot, 500, None)
        assert stats["capture"] == {"in_flight": 3}
        assert (stats["refused"], stats["sinks"], stats["readers"]) == (0, [], [])
        assert stats["statistics"]["classes"] == {"2xx": 1, "3xx": 0, "4xx": 0, "5xx": 1, "other": 0}
        assert stats["statistics"]["latency"]["p99"] == pytest.approx(0.5, rel=0.01)

    async def test_what_is_refused_after_the_end_is_counted(self, api: httpx.AsyncClient, pipeline: Pipeline) -> None:
        publish(pipeline, 1)
        pipeline.bus.close()
        publish(pipeline, 2)

        stats = await get(api, "/api/stats")

        assert (stats["published"], stats["refused"]) == (1, 2)


class Runner:
    """A request that runs until somebody says otherwise."""

    def __init__(self, number: int) -> None:
        self.number = number

    def running(self) -> Running:
        return Running(id=f"r{self.number}", time=7, age=1.5, kind="request", method="GET", path=f"/{self.number}")


class TestInFlight:
    async def test_the_oldest_come_first_with_how_many_there_are_in_all(
        self, api: httpx.AsyncClient, pipeline: Pipeline
    ) -> None:
        assert await get(api, "/api/in-flight") == {"in_flight": [], "count": 0}
        for number in range(150):
            pipeline.bus.in_flight.add(Runner(number))

        page = await get(api, "/api/in-flight")
        assert ([each["path"] for each in page["in_flight"]], page["count"]) == ([f"/{n}" for n in range(100)], 150)
        page = await get(api, "/api/in-flight", limit=1)
        assert page["in_flight"] == [
            {"id": "r0", "time": 7, "age": 1.5, "kind": "request", "method": "GET", "path": "/0"}
        ]

    @pytest.mark.parametrize("limit", ["0", "1001", "many"])
    async def test_a_limit_that_is_none_is_a_problem_that_names_it(self, api: httpx.AsyncClient, limit: str) -> None:
        assert (await problem(api, "/api/in-flight", 422, limit=limit)).startswith("query.limit: ")


class TestErrors:
    async def test_they_are_grouped_with_the_latest_first(self, api: httpx.AsyncClient, pipeline: Pipeline) -> None:
        nothing = {"fields": [], "answers": 0, "unnamed": 0}
        assert await get(api, "/api/errors") == {"errors": [], "refused": nothing}
        for number, fingerprint in enumerate("aba"):
            failure = Failure(type="ValueError", message=f"m{number}", traceback=f"t{number}", fingerprint=fingerprint)
            event = Event(time=number * 1_000_000_000, route="/x", error="ValueError", failure=failure)
            pipeline.bus.publish(event)
            pipeline.bus.failures.note(event)

        first, second = (await get(api, "/api/errors"))["errors"]

        assert first == {
            "exception.fingerprint": "a",
            "error.type": "ValueError",
            "http.route": "/x",
            "exception.message": "m2",
            "exception.stacktrace": "t2",
            "count": 2,
            "first": "1970-01-01T00:00:00Z",
            "last": "1970-01-01T00:00:02Z",
            "id": f"{pipeline.bus.boot}-3",
        }
        assert (second["exception.fingerprint"], second["count"]) == ("b", 1)
        stats = await get(api, "/api/stats")
        assert stats["failures"] == {
            "noted": 3,
            "grouped": 3,
            "waiting": 0,
            "lost": 0,
            "groups": 2,
            "forgotten": 0,
        }
        assert stats["loop_lag"] == {"now": 0.0, "worst": 0.0, "seconds": []}


class TestCaptured:
    """Events that come sealed."""

    async def test_lists_details_and_filters_open_what_they_show(self, site: Site, pipeline: Pipeline) -> None:
        capture = pipeline.capture(PlainTextResponse("hello"))
        for number in range(3):
            headers = [(b"host", b"example.org"), (b"cookie", b"id=s3cret")]
            await capture(scope_of(path=f"/orders/{number}", headers=headers), nothing, swallow)
        assert all(event.sealed for event in pipeline.bus.ring.since(0, sealed=True).events)

        async with site.client(api_of(pipeline)) as api:
            (found,) = (await get(api, "/api/events", filter="path:/orders/2"))["events"]
            detail = await get(api, f"/api/events/{pipeline.bus.boot}-1")
            listed = (await get(api, "/api/events"))["events"]

        assert (found["url.path"], found["server.address"]) == ("/orders/2", "example.org")
        assert detail["http.request.headers"] == [["host", "example.org"], ["cookie", "id=" + MASK(b"s3cret").decode()]]
        assert [event["url.path"] for event in listed] == ["/orders/0", "/orders/1", "/orders/2"]

    async def test_a_search_by_numbers_opens_only_what_it_found(self, site: Site, pipeline: Pipeline) -> None:
        for status in (200, 503, 200):
            await pipeline.capture(PlainTextResponse("hello", status))(scope_of(), nothing, swallow)

        async with site.client(api_of(pipeline)) as api:
            assert seqs(await get(api, "/api/events", filter="status:503")) == [2]

        sealed = [event.sealed is not None for event in pipeline.bus.ring.since(0, sealed=True).events]
        assert sealed == [True, False, True]


class TestHealth:
    async def test_while_it_runs_it_is_alive_and_ready(self, api: httpx.AsyncClient) -> None:
        assert await get(api, "/livez") == {"status": "ok"}
        assert await get(api, "/readyz") == {"status": "ok", "failing": []}

    async def test_once_the_bus_is_closed_it_is_alive_and_not_ready(
        self, api: httpx.AsyncClient, pipeline: Pipeline
    ) -> None:
        pipeline.bus.close()

        answer = await api.get("/readyz")

        assert (answer.status_code, answer.json()) == (503, {"status": "closed"})
        assert await get(api, "/livez") == {"status": "ok"}

    @pytest.mark.guarantees("F9")
    async def test_a_log_on_a_full_disk_is_named_and_events_are_still_taken(
        self, site: Site, caplog: pytest.LogCaptureFixture
    ) -> None:
        pipeline = Pipeline(Settings(log="file", log_file=Path("/dev/full")))
        async with pipeline.running(), site.client(api_of(pipeline)) as api:
            publish(pipeline, 3)
            await until(lambda: pipeline.sinks[0].statistics().failing, "the sink to fail")

            assert await get(api, "/readyz") == {"status": "degraded", "failing": ["file:/dev/full"]}
            publish(pipeline, 2)
            assert seqs(await get(api, "/api/events")) == [1, 2, 3, 4, 5]
            await until(lambda: pipeline.sinks[0].statistics().lost == 5, "the loss to be counted")

        (warning,) = [record for record in caplog.records if record.name.startswith("reqscope")]
        assert "file:/dev/full cannot write: OSError" in warning.getMessage()


async def test_numbers_by_route_are_those_of_a_window_or_of_all_the_time(
    api: httpx.AsyncClient, pipeline: Pipeline
) -> None:
    for route in ("/a", "/b", "/a"):
        pipeline.bus.publish(Event(time=0, method="GET", route=route, status=200, total=0.5))

    for query in ({}, {"window": 60}):
        rows = (await get(api, "/api/routes", **query))["routes"]
        assert [(row["method"], row["route"], row["count"]) for row in rows] == [("GET", "/a", 2), ("GET", "/b", 1)]
    assert (await api.get("/api/routes", params={"window": 7})).status_code == 400


async def test_the_api_describes_itself(api: httpx.AsyncClient) -> None:
    described = await get(api, "/openapi.json")

    assert described["paths"].keys() == {
        *("/api/events", "/api/events/{event_id}", "/api/in-flight", "/api/errors", "/api/routes", "/api/stats"),
        *("/livez", "/readyz"),
    }
    assert all("summary" in path["get"] for path in described["paths"].values())


@pytest.mark.guarantees("F1")
async def test_readers_over_http_disturb_no_one(api: httpx.AsyncClient, pipeline: Pipeline) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(30):
            publish(pipeline, 10)
            tasks.start_soon(api.get, "/api/events")

    assert pipeline.bus.statistics().readers == ()
    assert seqs(await get(api, "/api/events", after=0, limit=1_000)) == [*range(1, 301)]
