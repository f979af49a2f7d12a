"""A server in a process of its own, whose memory can be read: `python streaming_server.py <parser> <capture>`.

It says its port on its standard output, and ends with its standard input.
"""

import asyncio
import sys
import threading
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from reqscope.bus import EventBus
from reqscope.service import CaptureMiddleware

CHUNK = bytes(range(256)) * 256


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Read a body of any length, then answer with as many bytes as the path says."""
    size = 0
    while True:
        message = await receive()
        size += len(message["body"])
        if not message.get("more_body"):
            break
    left = int(scope["path"][1:])
    headers = [(b"content-length", str(left).encode()), (b"x-read", str(size).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    while left:
        # Each chunk is a new object, as it is in an application that makes something.
        chunk = bytes(bytearray(CHUNK[: min(left, len(CHUNK))]))
        left -= len(chunk)
        await send({"type": "http.response.body", "body": chunk, "more_body": bool(left)})


async def serve(parser: Any, capture: Any) -> None:
    watched: ASGIApp = app if capture == "none" else CaptureMiddleware(app, EventBus(), bodies=capture)
    config = uvicorn.Config(watched, port=0, http=parser, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    print(server.servers[0].sockets[0].getsockname()[1], flush=True)

    def wait_for_the_end() -> None:
        sys.stdin.read()
        server.should_exit = True

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    await serving


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
