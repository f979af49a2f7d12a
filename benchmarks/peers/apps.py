"""The watched application inside each peer, set up as the peer's own documentation does it.

Each is a factory for `benchmarks.server`. What a peer writes goes to a file in a directory of its own; nothing is sent
anywhere.
"""

import logging
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from benchmarks.capture_apps import shop

ACCESS: Final = "benchmarks.access"


@asynccontextmanager
async def structlog_recipe() -> AsyncGenerator[ASGIApp]:
    """The usual recipe: a line of JSON for each request, from a BaseHTTPMiddleware."""
    with TemporaryDirectory() as folder:
        logger = _json_logger(folder)

        class Logging(BaseHTTPMiddleware):
            async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
                structlog.contextvars.clear_contextvars()
                begun = time.perf_counter()
                response = await call_next(request)
                _log(logger, request.scope, response.status_code, begun)
                return response

        app = shop()
        app.add_middleware(Logging)
        yield app


@asynccontextmanager
async def structlog_asgi() -> AsyncGenerator[ASGIApp]:
    """The same line from a middleware that is a plain ASGI application."""
    with TemporaryDirectory() as folder:
        logger, app = _json_logger(folder), shop()

        async def watched(scope: Scope, receive: Receive, send: Send) -> None:
            structlog.contextvars.clear_contextvars()
            begun, status = time.perf_counter(), 0

            async def tee(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                await send(message)

            await app(scope, receive, tee)
            if scope["type"] == "http":
                _log(logger, scope, status, begun)

        yield watched


@asynccontextmanager
async def uvicorn_access_log() -> AsyncGenerator[ASGIApp]:
    """Uvicorn's access log, as it comes, to a file."""
    from uvicorn.logging import AccessFormatter

    with TemporaryDirectory() as folder:
        handler = logging.FileHandler(Path(folder) / "access.log")
        handler.setFormatter(AccessFormatter('%(levelprefix)s %(client_addr)s - "%(request_line)s" %(status_code)s'))
        logger = logging.getLogger("uvicorn.access")
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        yield shop()


async def _radar(url: str) -> FastAPI:
    from fastapi_radar import Radar  # type: ignore[import-not-found, unused-ignore]
    from sqlalchemy import create_engine  # type: ignore[import-not-found, unused-ignore]

    app = shop()
    radar = Radar(app, storage_engine=create_engine(url))
    radar.create_tables()
    return app


@asynccontextmanager
async def fastapi_radar_duckdb() -> AsyncGenerator[ASGIApp]:
    """fastapi-radar on its default, a DuckDB file."""
    with TemporaryDirectory() as folder:
        yield await _radar(f"duckdb:///{folder}/radar.duckdb")


@asynccontextmanager
async def fastapi_radar_sqlite() -> AsyncGenerator[ASGIApp]:
    """fastapi-radar on an SQLite file."""
    with TemporaryDirectory() as folder:
        yield await _radar(f"sqlite:///{folder}/radar.sqlite3")


@asynccontextmanager
async def prometheus_instrumentator() -> AsyncGenerator[ASGIApp]:
    """prometheus-fastapi-instrumentator: histograms by route, which nobody asks for meanwhile."""
    from prometheus_fastapi_instrumentator import Instrumentator  # type: ignore[import-not-found, unused-ignore]

    app = shop()
    Instrumentator().instrument(app).expose(app)
    yield app


@asynccontextmanager
async def opentelemetry() -> AsyncGenerator[ASGIApp]:
    """OpenTelemetry's instrumentation of FastAPI: spans are made, and go nowhere."""
    yield _traced()


@asynccontextmanager
async def opentelemetry_server_spans() -> AsyncGenerator[ASGIApp]:
    """The same without a span for each message received and sent."""
    yield _traced(exclude_spans=["receive", "send"])


def _traced(**options: Any) -> FastAPI:
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
    from opentelemetry.sdk.trace import TracerProvider

    app = shop()
    FastAPIInstrumentor.instrument_app(app, tracer_provider=TracerProvider(), **options)
    return app


@asynccontextmanager
async def logfire() -> AsyncGenerator[ASGIApp]:
    """Logfire, sending nothing and printing nothing."""
    import logfire  # type: ignore[import-not-found, unused-ignore]

    app = shop()
    logfire.configure(send_to_logfire=False, console=False)
    logfire.instrument_fastapi(app)
    yield app


@asynccontextmanager
async def correlation_id() -> AsyncGenerator[ASGIApp]:
    """asgi-correlation-id: an id for each request, and nothing else."""
    from asgi_correlation_id import CorrelationIdMiddleware  # type: ignore[import-not-found, unused-ignore]

    app = shop()
    app.add_middleware(CorrelationIdMiddleware)
    yield app


def _json_logger(folder: str) -> Any:
    # It is closed by the end of the process.
    file = (Path(folder) / "requests.jsonl").open("w", encoding="utf-8")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file),
        cache_logger_on_first_use=True,
    )
    return structlog.get_logger(ACCESS)


def _log(logger: Any, scope: Scope, status: int, begun: float) -> None:
    logger.info(
        "request",
        method=scope["method"],
        path=scope["path"],
        query=scope["query_string"].decode("latin-1"),
        status=status,
        client=scope["client"][0],
        duration=time.perf_counter() - begun,
    )
