"""Runs of a real server: what begins them, what counts for them, and what is kept."""

import os
import sqlite3
import stat
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from fastapi import FastAPI, Request

from reqscope.bus import EventBus
from reqscope.service import Settings
from reqscope.service.admin import ControlPlane
from reqscope.service.pipeline import Pipeline

from .conftest import client, serving

pytestmark = pytest.mark.anyio


@dataclass
class Host:
    """An application, and the control plane of what watches it."""

    bus: EventBus
    app: httpx.AsyncClient
    panel: httpx.AsyncClient
    file: Path

    async def begin(self, **asked: Any) -> str:
        answer = await self.panel.post("/api/runs", json=asked)
        assert answer.status_code == 201, answer.text
        run_id: str = answer.json()["id"]
        return run_id

    async def end(self, run_id: str) -> dict[str, Any]:
        answer = await self.panel.post(f"/api/runs/{run_id}/end", json={})
        assert answer.status_code == 200, answer.text
        return await self.document(run_id)

    async def document(self, run_id: str) -> dict[str, Any]:
        answer = await self.panel.get(f"/api/runs/{run_id}")
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    async def overview(self) -> dict[str, Any]:
        overview: dict[str, Any] = (await self.panel.get("/api/runs")).json()
        return overview

    async def send(self, count: int, path: str = "/items/1", **headers: str) -> None:
        for _ in range(count):
            await self.app.get(path, headers=headers)

    async def kept(self, label: str) -> dict[str, Any]:
        """Wait until a run of that label has ended, and return its document."""
        with anyio.fail_after(20):
            while True:
                for run in (await self.overview())["past"]:
                    if run["label"] == label and run["state"] == "ended":
                        return await self.document(run["id"])
                await anyio.sleep(0.05)


def shop() -> FastAPI:
    app = FastAPI()

    @app.get("/items/{item}")
    async def item(item: int) -> dict[str, int]:
        return {"item": item}

    @app.get("/boom")
    async def boom() -> None:
        raise ValueError("the <b>shelf</b> broke")

    @app.post("/orders")
    async def order(request: Request) -> str:
        await request.body()
        return "ok"

    return app


@asynccontextmanager
async def hosting(file: Path, **settings: Any) -> AsyncGenerator[Host]:
    quick: dict[str, Any] = {"log": "none", "runs_file": file, "run_quiet": 0.3}
    pipeline = Pipeline(Settings(**(quick | settings)))
    capture = pipeline.capture(shop())
    control = ControlPlane(pipeline, lambda: {"skipped": capture.statistics().skipped})
    async with (
        control.running(),
        serving(capture) as api,
        serving(control.app, lifespan="on") as panel,
        client(api) as to_app,
        client(panel) as to_panel,
    ):
        yield Host(pipeline.bus, to_app, to_panel, file)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "runs.sqlite3"


async def test_a_run_counts_exactly_what_came_between_its_beginning_and_its_end(file: Path) -> None:
    async with hosting(file) as host:
        await host.send(3)
        run_id = await host.begin(label="main")
        await host.send(5)
        await host.send(2, "/missing")
        await host.send(1, "/boom")
        await host.app.post("/orders", content=b"12345")
        run = await host.end(run_id)
        await host.send(4)

    assert run["requests"] == 9
    assert run["statuses"] == {"200": 6, "404": 2, "500": 1}
    assert (run["errors"], run["received"], run["state"], run["label"]) == (1, 5, "ended", "main")
    assert {(route["method"], route["route"]): route["requests"] for route in run["routes"]} == {
        ("GET", "/items/{item}"): 5,
        ("GET", "(no route)"): 2,
        ("GET", "/boom"): 1,
        ("POST", "/orders"): 1,
    }
    assert sum(sum(second["classes"]) for second in run["seconds"]) == 9
    assert run["durations"]["count"] == sum(run["durations"]["buckets"].values()) == 9
    assert run["losses"]["missed"] == run["losses"]["refused"] == 0


async def test_what_the_ring_evicted_is_counted_all_the_same(file: Path) -> None:
    async with hosting(file, capacity=50) as host:
        run_id = await host.begin()
        await host.send(400)
        run = await host.end(run_id)

        assert host.bus.statistics().ring.evicted >= 350
    assert run["requests"] + run["losses"]["missed"] == 400
    assert run["losses"]["missed"] == 0


async def test_percentiles_are_within_the_stated_error_of_those_of_the_events(file: Path) -> None:
    async with hosting(file) as host:
        run_id = await host.begin()
        first = host.bus.ring.last
        await host.send(300)
        await host.end(run_id)
        exact = sorted(event.total or 0.0 for event in host.bus.ring.since(first).events)
        found = (await host.panel.get(f"/api/runs/{run_id}/progress")).json()

    assert len(exact) == 300
    for name, fraction in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        assert found[name] == pytest.approx(exact[ceil(fraction * 300) - 1], rel=0.0101)
    assert found["maximum"] == pytest.approx(exact[-1])


async def test_failed_requests_are_kept_as_samples_with_what_was_raised(file: Path) -> None:
    async with hosting(file) as host:
        run_id = await host.begin()
        await host.send(5, "/boom")
        await host.send(1, "/missing?token=hunter2secret")
        run = await host.end(run_id)

    boom, missing = run["error_groups"]
    assert (boom["route"], boom["status"], boom["error"], boom["count"]) == ("/boom", 500, "ValueError", 5)
    assert len(boom["samples"]) == 3
    assert boom["samples"][0]["message"] == "the <b>shelf</b> broke"
    assert (missing["status"], missing["count"]) == (404, 1)
    assert "hunter2" not in str(run)


async def test_seconds_tell_how_the_process_was(file: Path) -> None:
    async with hosting(file) as host:
        run_id = await host.begin()

        async def sampled() -> bool:
            await host.send(1)
            seconds = (await host.document(run_id))["seconds"]
            return any(second["cpu"] is not None and second["lag"] is not None for second in seconds)

        with anyio.fail_after(20):
            while not await sampled():  # noqa: ASYNC110 - what is waited for sets no event
                await anyio.sleep(0.05)
        run = await host.end(run_id)

    sample = next(second for second in run["seconds"] if second["cpu"] is not None)
    assert sample["memory"] > 1 << 20
    assert 0 <= sample["cpu"] < 64


async def test_requests_that_name_a_run_make_one_which_ends_when_they_do(file: Path) -> None:
    async with hosting(file) as host:
        await host.send(4)
        await host.send(7, **{"x-reqscope-run": "nightly"})
        run = await host.kept("nightly")

    assert (run["requests"], run["origin"], run["state"]) == (7, "header", "ended")
    assert run["ended"] == run["last"]


@pytest.mark.parametrize(
    ("headers", "label", "tool"),
    [
        ({"baggage": "a=b, k6.test_run_id=42 ,c=d", "user-agent": "Grafana k6/1.0"}, "42", "k6"),
        ({"x-vegeta-attack": "spike"}, "spike", "vegeta"),
    ],
)
async def test_baggage_and_vegetas_header_name_runs_too(
    file: Path, headers: dict[str, str], label: str, tool: str
) -> None:
    async with hosting(file) as host:
        await host.send(3, **headers)
        run = await host.kept(label)

    assert (run["requests"], run["tool"]) == (3, tool)


async def test_a_load_tools_requests_make_a_run_when_they_are_many(file: Path) -> None:
    async with hosting(file) as host:
        await host.send(40, **{"user-agent": "hey/0.0.1"})
        await host.send(3, **{"user-agent": "ApacheBench/2.3"})
        run = await host.kept("hey")
        overview = await host.overview()

    assert (run["requests"], run["tool"], run["origin"]) == (40, "hey", "user-agent")
    assert [each["label"] for each in overview["past"] + overview["live"]] == ["hey"]


async def test_runs_at_the_same_time_are_kept_apart(file: Path) -> None:
    async with hosting(file) as host:
        mine = await host.begin(label="mine", tool="hey")
        marked = await host.begin(label="marked", only_marked=True)
        await host.send(5, **{"user-agent": "hey/0.0.1"})
        await host.send(30, **{"user-agent": "ApacheBench/2.3"})
        await host.send(6, **{"x-reqscope-run": "named", "user-agent": "hey/0.0.1"})
        await host.send(4, **{"x-reqscope-run": marked})
        counts = [(await host.end(run))["requests"] for run in (mine, marked)]
        counts += [(await host.kept(label))["requests"] for label in ("ab", "named")]

    assert counts == [5, 4, 30, 6]


async def test_nothing_begins_by_itself_when_that_is_switched_off(file: Path) -> None:
    async with hosting(file, detect_runs=False) as host:
        await host.send(30, **{"x-reqscope-run": "nightly"})
        overview = await host.overview()

    assert overview == {"live": [], "past": []}
    assert not file.exists()  # noqa: ASYNC240 - a test may block


async def test_requests_left_out_by_sampling_count_for_a_run_begun_by_hand(file: Path) -> None:
    async with hosting(file, sample=0.0, slow=100.0) as host:
        run_id = await host.begin()
        await host.send(20)
        run = await host.end(run_id)

        assert host.bus.ring.last == 0
    assert run["requests"] == 20


async def test_runs_outlive_the_process_in_a_file_that_is_its_owners_alone(file: Path) -> None:
    before = os.umask(0)
    try:
        async with hosting(file) as host:
            run_id = await host.begin(label="main")
            await host.send(3)
            await host.end(run_id)
    finally:
        os.umask(before)
    async with hosting(file) as host:
        again = await host.document(run_id)

    assert again["requests"] == 3
    assert stat.S_IMODE(file.stat().st_mode) == 0o600  # noqa: ASYNC240 - the same
    with closing(sqlite3.connect(file)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_a_run_that_is_live_when_the_server_ends_is_kept_as_interrupted(file: Path) -> None:
    async with hosting(file) as host:
        run_id = await host.begin(label="main")
        await host.send(3)
    async with hosting(file) as host:
        run = await host.document(run_id)

    assert (run["state"], run["requests"]) == ("interrupted", 3)


async def test_a_file_that_cannot_be_used_loses_no_run_while_the_process_lives(tmp_path: Path) -> None:
    file = tmp_path / "runs.sqlite3"
    file.write_text("this is no database, and is not to be touched" * 40)
    async with hosting(file) as host:
        run_id = await host.begin(label="main")
        await host.send(3)
        run = await host.end(run_id)
        listed = (await host.overview())["past"]

    assert run["requests"] == 3
    assert [each["id"] for each in listed] == [run_id]
    assert file.read_text().startswith("this is no database")


async def test_thresholds_are_judged_at_the_end_against_the_pinned_baseline(file: Path) -> None:
    async with hosting(file) as host:
        first = await host.begin(label="first")
        await host.send(30)
        await host.end(first)
        assert (await host.panel.put("/api/baselines/main", json={"run": first})).status_code == 204
        second = await host.begin(
            baseline="main", thresholds=["p(50)<+100000%", "rate(5xx)<0.01", "count>1000", "p(99)<+10%"]
        )
        await host.send(30)
        live = (await host.panel.get(f"/api/runs/{second}/progress")).json()
        run = await host.end(second)

    assert [each["judgement"] for each in run["results"]] == ["passed", "passed", "failed", "unclear"]
    assert "too few samples" in run["results"][3]["detail"]
    assert [each["threshold"] for each in live["results"]] == ["rate(5xx)<0.01", "count>1000"]


MISTAKES: list[tuple[str, str, object, int, str]] = [
    ("POST", "/api/runs", {"thresholds": ["p95 < 5"]}, 422, "p(95)<500"),
    ("POST", "/api/runs", {"baseline": "none"}, 409, "none"),
    ("POST", "/api/runs", {"labels": "x"}, 422, "labels"),
    ("POST", "/api/runs/nothing/end", {}, 404, "nothing"),
    ("GET", "/api/runs/nothing", None, 404, "nothing"),
    ("GET", "/api/runs/nothing/report", None, 404, "nothing"),
    ("GET", "/api/runs/compare?run=a", None, 422, "run"),
    ("POST", "/api/runs/import", {"format": "reqscope.run", "version": 2}, 422, "version 2"),
    ("POST", "/api/runs/import", {"format": "har"}, 422, "not a run"),
    ("PUT", "/api/baselines/main", {"run": "nothing"}, 404, "nothing"),
    ("DELETE", "/api/runs/nothing", None, 404, "nothing"),
]


async def test_mistakes_are_answered_with_problems_that_say_what_they_are(file: Path) -> None:
    async with hosting(file) as host:
        for method, path, body, status, says in MISTAKES:
            answer = await host.panel.request(method, path, json=body)

            assert answer.status_code == status, answer.text
            assert answer.headers["content-type"] == "application/problem+json"
            assert says in answer.json()["detail"]


async def test_another_sites_page_can_neither_begin_nor_end_runs(file: Path) -> None:
    async with hosting(file) as host:
        run_id = await host.begin()
        begun = await host.panel.post("/api/runs", headers={"sec-fetch-site": "cross-site"})
        ended = await host.panel.post(f"/api/runs/{run_id}/end", headers={"origin": "http://evil.example"})

    assert (begun.status_code, ended.status_code) == (403, 403)


async def test_an_exported_run_is_imported_as_it_was(file: Path, tmp_path: Path) -> None:
    async with hosting(file) as host:
        run_id = await host.begin(label="main")
        await host.send(3)
        document = await host.end(run_id)
    async with hosting(tmp_path / "other.sqlite3") as host:
        assert (await host.panel.post("/api/runs/import", json=document)).status_code == 201
        again = await host.document(run_id)

    assert again == document
    assert (again["format"], again["version"]) == ("reqscope.run", 1)
