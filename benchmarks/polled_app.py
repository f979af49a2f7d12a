"""The views that the panel replaces: a list of lines, and a component that fetches it once a second."""

import os
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr
import msgspec
from fastapi import FastAPI, Request
from starlette.types import ASGIApp

from .workloads import Record

_SHOWN: Final = 500
"""Rows of the table: as many as our panel gets in a frame at the most."""

_HEAD: Final = ["time", "level", "event", "method", "path", "status", "client", "duration"]
_records: Final = msgspec.json.Decoder(Record)


@asynccontextmanager
async def polled() -> AsyncGenerator[ASGIApp]:
    """`POST /log`, `POST /events` and the page at `/`, in one application: every line there was, in a Textbox."""
    lines: list[str] = []
    app = FastAPI()

    def log(text: str) -> None:
        lines.append(f"{datetime.now().astimezone():%H:%M:%S} {text}")

    @app.post("/log")
    async def _(request: Request) -> dict[str, str]:
        body = (await request.body()).decode()
        log(body)
        return {"status": "logged", "message": f"API received: {body}"}

    @app.post("/events")
    async def _(request: Request) -> dict[str, int]:
        batch = (await request.body()).decode().splitlines()
        for line in batch:
            log(line)
        return {"accepted": len(batch)}

    def shown() -> str:
        return "\n".join(lines)

    blocks: gr.Blocks
    with gr.Blocks(title="Log", analytics_enabled=False) as blocks:
        box = gr.Textbox(label="Requests", lines=20, elem_id="log")
        gr.Timer(1).tick(shown, outputs=box, concurrency_limit=None)
    gr.mount_gradio_app(app, blocks, path="/")
    yield app


@asynccontextmanager
async def polled_table() -> AsyncGenerator[ASGIApp]:
    """`POST /events` and the page at `/`, in one application: the latest records in a Dataframe, newest first."""
    latest: deque[Record] = deque(maxlen=_SHOWN)
    app = FastAPI()

    @app.post("/events")
    async def _(request: Request) -> dict[str, int]:
        batch = _records.decode_lines(await request.body())
        latest.extend(batch)
        return {"accepted": len(batch)}

    def shown() -> list[list[object]]:
        return [list(msgspec.structs.astuple(record)) for record in reversed(list(latest))]

    blocks: gr.Blocks
    with gr.Blocks(title="Log", analytics_enabled=False) as blocks:
        table = gr.Dataframe(headers=_HEAD, interactive=False, elem_id="log")
        gr.Timer(1).tick(shown, outputs=table, concurrency_limit=None)
    gr.mount_gradio_app(app, blocks, path="/")
    yield app
