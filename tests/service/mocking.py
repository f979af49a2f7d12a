"""Stubs from YAML, and a real server that answers with them."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from reqscope.bus import EventBus
from reqscope.service.collector import fallback_app
from reqscope.service.mock import MockApp, StubStore
from reqscope.service.mock.files import parse
from reqscope.service.mock.request import MockRequest
from reqscope.service.pipeline import Pipeline
from reqscope.service.settings import Settings

from .conftest import client, serving


def store_of(text: str) -> StubStore:
    """Return a store with the stubs of this text, the first tried first."""
    store = StubStore()
    store.add_all(each.stub for each in parse(text))
    return store


def asked(method: str = "GET", path: str = "/", body: Any = b"", **headers: Any) -> MockRequest:
    """Return a request; in names of headers `_` stands for `-`."""
    path, _, query = path.partition("?")
    pairs = tuple((name.replace("_", "-").encode(), value.encode()) for name, value in headers.items())
    return MockRequest(method, path, query.encode(), pairs, body)


def answered(store: StubStore, *request: Any, **headers: str) -> str | None:
    """Return the name of the stub that answers."""
    found = store.answer(asked(*request, **headers))
    return None if found is None else found[0].name


@asynccontextmanager
async def mocking(store: StubStore, **options: Any) -> AsyncGenerator[tuple[Any, EventBus]]:
    """Serve the stubs, watched as the command line has them watched, and give a client and the bus."""
    pipeline = Pipeline(Settings(log="none", bodies="all"))
    app = pipeline.capture(MockApp(store, fallback_app(), **options))
    async with pipeline.running(), serving(app) as url, client(url) as http:
        yield http, pipeline.bus
