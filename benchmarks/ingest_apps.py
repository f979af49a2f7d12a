"""The applications that take records in: ours, the bare part, and what others do instead.

Each is a factory for `benchmarks.server`. All but ours keep what they get in a bounded deque as long as our ring.
"""

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated

import msgspec
from fastapi import FastAPI, Request
from pydantic import BaseModel, Field
from starlette.types import ASGIApp, Receive, Scope, Send

from reqscope.service import Settings
from reqscope.service.collector import data_plane, fallback_app
from reqscope.service.pipeline import Pipeline

from .workloads import CAPACITY, Record

_encode = msgspec.json.encode


class PydanticRecord(BaseModel):
    """A record as a FastAPI application would declare it."""

    timestamp: str
    level: str
    event: str
    method: Annotated[str, Field(alias="http.request.method")]
    path: Annotated[str, Field(alias="url.path")]
    status: Annotated[int, Field(alias="http.response.status_code")]
    client: Annotated[str, Field(alias="client.address")]
    duration: float


@asynccontextmanager
async def reqscope_ingest() -> AsyncGenerator[ASGIApp]:
    """Our data plane as `reqscope serve` builds it, statistics running, no log, no panel."""
    pipeline = Pipeline(Settings(log="none"))
    async with pipeline.running():
        yield data_plane(pipeline, fallback_app())[0]


@asynccontextmanager
async def reqscope_ingest_to_file() -> AsyncGenerator[ASGIApp]:
    """The same with JSON lines to the file that `REQSCOPE_LOG_FILE` names."""
    pipeline = Pipeline(Settings(log="file"))
    async with pipeline.running():
        yield data_plane(pipeline, fallback_app())[0]


@asynccontextmanager
async def raw_log() -> AsyncGenerator[ASGIApp]:
    """The limit: an ASGI callable that keeps the body and echoes it."""
    kept = deque[bytes](maxlen=CAPACITY)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = await _body(scope, receive)
        kept.append(body)
        await _answer(send, _encode({"status": "logged", "message": f"API received: {body.decode()}"}))

    yield app


@asynccontextmanager
async def fastapi_log() -> AsyncGenerator[ASGIApp]:
    """The ordinary way: a FastAPI route that reads the body, keeps it and returns a dict."""
    kept = deque[bytes](maxlen=CAPACITY)
    app = FastAPI()

    @app.post("/log")
    async def log(request: Request) -> dict[str, str]:
        body = await request.body()
        kept.append(body)
        return {"status": "logged", "message": f"API received: {body.decode()}"}

    yield app


def _joined_log(lines_kept: int) -> FastAPI:
    lines = [f"12:00:00 line {number} that was logged some time before" for number in range(lines_kept)]
    app = FastAPI()

    @app.post("/log")
    async def log(request: Request) -> dict[str, str]:
        body = (await request.body()).decode()
        lines.append(f"12:00:00 {body}")
        shown = "\n".join(lines)
        # Held at its length, so that the number means something; left alone it grows, and slows down with it.
        lines.pop()
        return {"status": "logged", "message": f"API received: {body}", "characters": str(len(shown))}

    return app


@asynccontextmanager
async def joined_log_1_000() -> AsyncGenerator[ASGIApp]:
    """The simplest log view: a list of lines, joined into one text on each request; 1 000 lines kept."""
    yield _joined_log(1_000)


@asynccontextmanager
async def joined_log_10_000() -> AsyncGenerator[ASGIApp]:
    """The same with 10 000 lines."""
    yield _joined_log(10_000)


@asynccontextmanager
async def raw_batch() -> AsyncGenerator[ASGIApp]:
    """The limit for batches: an ASGI callable that decodes lines or an array into typed records and keeps them."""
    kept = deque[Record](maxlen=CAPACITY)
    decoder = msgspec.json.Decoder(Record)
    array_decoder = msgspec.json.Decoder(list[Record])

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = await _body(scope, receive)
        records = array_decoder.decode(body) if body.startswith(b"[") else decoder.decode_lines(body)
        kept.extend(records)
        await _answer(send, _encode({"accepted": len(records)}))

    yield app


@asynccontextmanager
async def pydantic_batch() -> AsyncGenerator[ASGIApp]:
    """The ordinary way for batches: a FastAPI route that takes a list of models."""
    kept = deque[PydanticRecord](maxlen=CAPACITY)
    app = FastAPI()

    @app.post("/events")
    async def batch(records: list[PydanticRecord]) -> dict[str, int]:
        kept.extend(records)
        return {"accepted": len(records)}

    yield app


async def _body(scope: Scope, receive: Receive) -> bytes:
    assert scope["type"] == "http"  # a server that offers a lifespan takes this for "no, thank you"
    chunks: list[bytes] = []
    while True:
        message = await receive()
        chunks.append(message["body"])
        if not message["more_body"]:
            return b"".join(chunks)


async def _answer(send: Send, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
