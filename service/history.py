"""History while the servers run: rotated files become Parquet, and questions are answered, off the event loop."""

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any, Final

import anyio
from fastapi import APIRouter, HTTPException, Query
from starlette.responses import Response

from reqscope.bus.worker import Worker

from .history_files import Converted
from .history_output import as_json
from .history_sql import MAX_SQL, HistoryError, Question, Result, Stopped, convert_rotated, require_duckdb

logger = logging.getLogger(__name__)

MAX_ROWS: Final = 10_000
TIMEOUT: Final = 10.0
_MAX_WAITING: Final = 4
_MAX_ANSWER: Final = 16 << 20
_STOP_EVERY: Final = 0.2
_LOOK_EVERY: Final = 10.0
"""Seconds between two looks for rotated files: the log may be rotated by another program."""


class History:
    """Answers SQL over a log file and those rotated from it, one question at a time.

    Run `running` around what uses it.

    :raises MissingDuckDB: DuckDB is not installed
    """

    def __init__(self, log_file: Path) -> None:
        require_duckdb()
        self._log_file = log_file
        self._answers: Worker | None = None
        self._waiting = 0
        self._converted = Converted()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Inside the block, answer questions, and turn into Parquet what is rotated."""
        self._answers, conversions = Worker("reqscope history"), Worker("reqscope parquet")
        for worker in (self._answers, conversions):
            worker.start()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._convert_all, conversions)
                yield
                tasks.cancel_scope.cancel()
        finally:
            self._answers.stop()
            conversions.stop()
            self._answers = None

    async def ask(self, sql: str, limit: int, timeout: float = TIMEOUT) -> Result:  # noqa: ASYNC109 - it interrupts DuckDB, which a cancel scope cannot
        """Return the first rows of an answer.

        If cancelled, the question is interrupted in its thread, and the next one is not held up.

        :raises HistoryError: it has no answer, or none within `timeout` seconds
        :raises Busy: too many others wait for theirs
        """
        if self._answers is None or self._waiting >= _MAX_WAITING:
            raise Busy
        question = Question(self._log_file, sql)
        call = self._answers.post(question.run, limit)
        self._waiting += 1
        try:
            with anyio.move_on_after(timeout):
                return await call.outcome()
            while True:  # again and again: one that has only just begun does not hear it
                question.stop()
                with anyio.move_on_after(_STOP_EVERY):
                    return await call.outcome()
        except Stopped:
            raise HistoryError(f"it took longer than {timeout:g} s and was interrupted") from None
        finally:
            self._waiting -= 1
            question.stop()

    def statistics(self) -> dict[str, Any]:
        """Return what was converted since the start."""
        return asdict(self._converted)

    async def _convert_all(self, worker: Worker) -> None:
        while True:
            try:
                self._note(await worker.call(convert_rotated, self._log_file))
            except OSError as error:  # the folder may come, or be readable again
                self._note(Converted(errors={str(self._log_file.parent): str(error)}))
            await anyio.sleep(_LOOK_EVERY)

    def _note(self, done: Converted) -> None:
        total = self._converted
        for name in done.errors.keys() - total.errors.keys():
            logger.warning("%s has not become Parquet: %s", name, done.errors[name])
        self._converted = Converted(
            total.files + done.files, total.events + done.events, total.unreadable + done.unreadable, done.errors
        )


class Busy(Exception):
    """Too many questions at once."""


def history_router(history: History | None) -> APIRouter:
    """Return the route of the control plane that answers SQL.

    :param history: None where it is off, which the route then says
    """
    router = APIRouter()

    @router.get("/api/history", summary="SQL over the log files: one SELECT from the table `requests`")
    async def ask(
        sql: Annotated[str, Query(description="such as `SELECT count(*) FROM requests`", max_length=MAX_SQL)],
        limit: Annotated[int, Query(ge=1, le=MAX_ROWS)] = 1_000,
    ) -> Response:
        if history is None:
            raise HTTPException(404, "history is off: set REQSCOPE_HISTORY=true, and --log file or both")
        began = perf_counter()
        try:
            result = await history.ask(sql, limit)
        except HistoryError as error:
            raise HTTPException(400, str(error)) from None
        except Busy:
            raise HTTPException(503, "too many questions at once", {"retry-after": "1"}) from None
        answer = as_json(result, seconds=round(perf_counter() - began, 6))
        if len(answer) > _MAX_ANSWER:
            raise HTTPException(400, f"the answer is larger than {_MAX_ANSWER} bytes; select less, or lower the limit")
        return Response(answer, media_type="application/json")

    return router
