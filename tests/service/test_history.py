from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx
import pytest
from fastapi import FastAPI

from reqscope.service import Monitor, Settings
from reqscope.service.admin import answer_with_problems
from reqscope.service.history import Busy, History, history_router
from reqscope.service.history_sql import HistoryError

from .conftest import Site, client, serving, until
from .history_logs import ROTATED, write_log

pytestmark = pytest.mark.anyio

ENDLESS = "SELECT sum(range % 7) FROM range(1000000000000000)"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    write_log(tmp_path / ROTATED, 20)
    return write_log(tmp_path / "requests.jsonl", 5, first=21)


@asynccontextmanager
async def asking(site: Site, history: History | None) -> AsyncGenerator[httpx.AsyncClient]:
    app = FastAPI()
    app.include_router(history_router(history))
    answer_with_problems(app)
    async with site.client(app) as http:
        yield http


async def test_an_answer_has_names_types_and_rows(site: Site, log: Path) -> None:
    history = History(log)
    async with history.running(), asking(site, history) as http:
        answer = await http.get(
            "/api/history", params={"sql": "SELECT seq, level FROM requests ORDER BY 1", "limit": 2}
        )

    assert answer.status_code == 200
    told = answer.json()
    assert told.pop("seconds") > 0
    assert told == {
        "columns": [{"name": "seq", "type": "BIGINT"}, {"name": "level", "type": "VARCHAR"}],
        "rows": [[1, "error"], [2, "info"]],
        "more": True,
    }


async def test_what_is_rotated_while_it_runs_becomes_parquet(log: Path) -> None:
    history = History(log)
    async with history.running():
        await until(lambda: history.statistics()["events"] == 20, "the rotated file to be converted")

    assert (log.parent / ROTATED).with_suffix(".parquet").exists()
    assert history.statistics() == {"files": 1, "events": 20, "unreadable": 0, "errors": {}}


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ({"sql": "SELECT nope FROM requests"}, 400, "nope"),
        ({"sql": "DROP VIEW requests"}, 400, "read-only"),
        ({"sql": "SELECT repeat('x', 17000000)"}, 400, "larger than"),
        ({"sql": "SELECT 1", "limit": "0"}, 422, "limit"),
        ({"sql": "x" * 10_001}, 422, "sql"),
        ({}, 422, "sql"),
    ],
    ids=["column", "write", "size", "limit", "length", "none"],
)
async def test_what_has_no_answer_is_a_problem_that_says_why(
    site: Site, log: Path, query: dict[str, str], status: int, words: str
) -> None:
    history = History(log)
    async with history.running(), asking(site, history) as http:
        answer = await http.get("/api/history", params=query)

    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert words in answer.json()["detail"]


async def test_a_question_without_end_is_interrupted_and_the_loop_turns_meanwhile(log: Path) -> None:
    history = History(log)
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await anyio.sleep(0.01)
            turns += 1

    async with history.running():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(turn)
            with pytest.raises(HistoryError, match=r"longer than 0\.5 s"):
                await history.ask(ENDLESS, 1, timeout=0.5)
            tasks.cancel_scope.cancel()
        after = await history.ask("SELECT 1", 1)

    assert turns > 10
    assert after.rows == [(1,)]


async def test_questions_that_nobody_waits_for_any_more_end_and_too_many_are_refused(log: Path) -> None:
    history = History(log)
    async with history.running():
        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(history.ask, ENDLESS, 1)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(Busy):
                await history.ask("SELECT 1", 1)
            tasks.cancel_scope.cancel()
        assert (await history.ask("SELECT 1", 1)).rows == [(1,)]


async def test_where_it_is_off_it_says_how_to_switch_it_on(site: Site) -> None:
    async with asking(site, None) as http:
        answer = await http.get("/api/history", params={"sql": "SELECT 1"})

    assert answer.status_code == 404
    assert "REQSCOPE_HISTORY=true" in answer.json()["detail"]


async def test_a_monitor_answers_over_the_log_that_it_writes(tmp_path: Path) -> None:
    app = FastAPI()
    Monitor(app, settings=Settings(log="file", log_file=tmp_path / "requests.jsonl", history=True))

    @app.get("/items/{item}")
    async def item(item: int) -> int:
        return item

    async with serving(app, lifespan="on") as url, client(url) as http:
        await http.get("/items/3")
        await until(lambda: (tmp_path / "requests.jsonl").stat().st_size > 0, "the line to be written")
        sql = 'SELECT "http.route", "http.response.status_code" FROM requests'
        answer = await http.get("/reqscope/api/history", params={"sql": sql})
        stats = (await http.get("/reqscope/api/stats")).json()

    assert answer.json()["rows"] == [["/items/{item}", 200]]
    assert stats["history"]["errors"] == {}
    assert stats["otlp"]["requests"] == 0
