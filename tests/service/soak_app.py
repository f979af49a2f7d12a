"""The application of the soak test. It counts what it is asked, and what the monitor says can be held to that."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import FastAPI, Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from reqscope.service import Monitor

shop = FastAPI()
served = 0


@shop.get("/items/{item}")
async def item(item: int) -> dict[str, int]:
    return {"item": item}


@shop.post("/orders")
async def order(request: Request) -> dict[str, int]:
    return {"received": len(await request.body())}


@shop.get("/fails")
async def fails() -> None:
    raise ZeroDivisionError("on purpose")


@shop.get("/stream")
async def stream() -> StreamingResponse:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 1_000
            await asyncio.sleep(0.005)

    return StreamingResponse(chunks())


@shop.get("/probe")
async def probe() -> dict[str, int]:
    return {"served": served, "tasks": len(asyncio.all_tasks())}


monitor = Monitor(shop)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Count, and pass on."""
    global served
    served += scope["type"] == "http" and not scope["path"].startswith("/reqscope")
    await shop(scope, receive, send)
