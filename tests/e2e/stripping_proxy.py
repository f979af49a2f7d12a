"""A reverse proxy that serves an application below a prefix, which it strips.

Run as `stripping_proxy.py UPSTREAM PREFIX PORT`.
"""

import sys

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route


def make_app(upstream: str, prefix: str) -> Starlette:
    client = httpx.AsyncClient(timeout=None)

    async def forward(request: Request) -> Response:
        url = upstream + request.scope["path"].removeprefix(prefix)
        sent = client.build_request(
            request.method, url, params=request.url.query, headers=request.headers.raw, content=await request.body()
        )
        answer = await client.send(sent, stream=True)
        kept = {name: value for name, value in answer.headers.items() if name in ("content-type", "content-encoding")}
        return StreamingResponse(answer.aiter_raw(), answer.status_code, kept, background=BackgroundTask(answer.aclose))

    return Starlette(routes=[Route(prefix + "/{path:path}", forward, methods=["GET", "POST"])])


if __name__ == "__main__":
    uvicorn.run(make_app(sys.argv[1], sys.argv[2]), port=int(sys.argv[3]), access_log=False)
