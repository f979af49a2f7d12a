"""The applications that play another service: ours, a bare route, and ours with the matching that others do.

Each is a factory for `benchmarks.server`.
"""

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.types import ASGIApp

from reqscope.service import Settings
from reqscope.service.collector import data_plane, fallback_app
from reqscope.service.mock import MockApp, StubStore
from reqscope.service.mock.files import parse
from reqscope.service.mock.matching import ReadyStub, StubIndex
from reqscope.service.mock.request import MockRequest
from reqscope.service.pipeline import Pipeline

STUBS = 1_000
ASKED = STUBS // 2
"""The stub that is asked for: half of all are before it."""


def path(n: int, alike: int = 1) -> str:
    """Return the path that a stub answers, below a first segment that it shares with so many."""
    return f"/s{n}" if alike == 1 else f"/g{n // alike}/s{n}"


def store(stubs: int = STUBS, alike: int = 1) -> StubStore:
    """Return so many stubs, the asked one halfway through, of which so many share method and first segment."""
    stub = "- {{request: {{method: POST, path: '{path}/{{id}}', json: {{amount: 5}}}}, response: {{json: {{n: {n}}}}}}}"
    found = StubStore()
    found.add_all(each.stub for each in parse("\n".join(stub.format(n=n, path=path(n, alike)) for n in range(stubs))))
    return found


class LinearIndex(StubIndex):
    """Every stub is a candidate, as where there is no index."""

    def candidates(self, request: MockRequest) -> Iterator[ReadyStub]:
        return (stub for stub in self.stubs if not stub.methods or request.method in stub.methods)


@asynccontextmanager
async def _mock(found: StubStore) -> AsyncGenerator[ASGIApp]:
    pipeline = Pipeline(Settings(log="none"))
    async with pipeline.running():
        yield data_plane(pipeline, MockApp(found, fallback_app()))[0]


@asynccontextmanager
async def reqscope_mock() -> AsyncGenerator[ASGIApp]:
    """Our mock with its 1 000 stubs as `reqscope serve --stubs` builds it: watched, statistics running, no log."""
    async with _mock(store()) as app:
        yield app


@asynccontextmanager
async def linear_mock() -> AsyncGenerator[ASGIApp]:
    """The same with each stub tried in turn."""
    found = store()
    found.index = LinearIndex(found.index.stubs)
    async with _mock(found) as app:
        yield app


@asynccontextmanager
async def fastapi_route() -> AsyncGenerator[ASGIApp]:
    """The bare part: one route that reads JSON and answers the same."""
    app = FastAPI()

    @app.post("/s500/{id}")
    async def route(id: str, amount: dict[str, int]) -> dict[str, int]:  # noqa: A002 - the template's name
        return {"n": ASKED}

    yield app
