"""The view that the panel replaces: a list of lines, and a Gradio Textbox that fetches all of it once a second."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr
from fastapi import FastAPI, Request
from starlette.types import ASGIApp


@asynccontextmanager
async def polled() -> AsyncGenerator[ASGIApp]:
    """`POST /log` and the page at `/`, in one application."""
    lines: list[str] = []
    app = FastAPI()

    @app.post("/log")
    async def log(request: Request) -> dict[str, str]:
        body = (await request.body()).decode()
        lines.append(f"{datetime.now().astimezone():%H:%M:%S} {body}")
        return {"status": "logged", "message": f"API received: {body}"}

    def shown() -> str:
        return "\n".join(lines)

    blocks: gr.Blocks
    with gr.Blocks(title="Log", analytics_enabled=False) as blocks:
        box = gr.Textbox(label="Requests", lines=20, elem_id="log")
        gr.Timer(1).tick(shown, outputs=box)
    gr.mount_gradio_app(app, blocks, path="/")
    yield app
