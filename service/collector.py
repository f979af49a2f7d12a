"""The collector: what answers where no application of the user's does."""

from fastapi import FastAPI, Request
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from reqscope.bus.encoding import encode

from .admin import answer_with_problems
from .admission import IngestGuard, MonitorAuth
from .capture import CaptureMiddleware
from .hosts import hosts_for
from .identity import Users
from .ingest import DataPlane
from .mock import MockApp, StubStore
from .monitor import Monitor, wrap
from .openapi import data_plane_document
from .origins import Origins
from .pipeline import Pipeline
from .problems import PROBLEM, problem
from .replay import Replay
from .settings import Settings


class _Collector(Monitor):
    def _replay(self, path: str) -> Replay | None:
        return None  # there is no application but the collector

    def _join_others(self) -> None:
        pass  # others join it, and not this way: `reqscope serve` reads a bridge


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the collector with the panel under `/reqscope`, as one application for a server of your own.

    `uvicorn --factory reqscope.service:create_app` serves both from one port. Where there are users of
    `reqscope user`, people sign in; without, the panel answers this machine only. Records come from this machine, or
    with a token of `reqscope token`.

    With `REQSCOPE_STUBS` the stubs there answer everything but the panel's and the collector's own paths.

    :raises OSError: the log file cannot be opened
    :raises PrivateFileError: the file of users or tokens cannot be used
    :raises StubError: a stub is wrong
    """
    app = fallback_app()
    settings = settings or Settings()
    stubs = stub_store(settings)
    if stubs is not None:
        wrap(app, lambda stack: MockApp(stubs, stack, panel="/reqscope"))
    auth: MonitorAuth = "users" if len(Users(settings.users_file)) else None
    monitor = _Collector(app, auth=auth, settings=settings, stubs=stubs)
    guard = IngestGuard(settings, by_request=True)
    hosts, origins = hosts_for(settings, bound=False), Origins(settings.allowed_hosts, settings.allowed_origins)

    def guarded(stack: ASGIApp) -> ASGIApp:
        # Outside the capture: within it, a record would be an event twice.
        plane = DataPlane(
            stack,
            monitor.bus,
            monitor.redaction,
            monitor.faults,
            monitor.exported,
            guard,
            hosts=hosts,
            origins=origins,
            sinks=monitor.sinks,
        )
        return answering_pages_of(origins, plane)

    wrap(app, guarded)
    return app


def stub_store(settings: Settings) -> StubStore | None:
    """Return the stubs that the settings name, if they do.

    :raises StubError: one is wrong
    """
    return None if settings.stubs is None else StubStore([settings.stubs], settings.redact)


def fallback_app() -> FastAPI:
    """Return an application that knows only that it is alive, and says what else there is."""
    app = FastAPI(title="Reqscope", docs_url=None, redoc_url=None, openapi_url=None)
    answer_with_problems(app)

    @app.get("/livez")
    async def livez() -> Response:
        return Response(encode({"status": "ok"}), media_type="application/json")

    @app.get("/openapi.json")
    async def document() -> Response:
        return Response(encode(data_plane_document(app.version)), media_type="application/json")

    @app.exception_handler(404)
    async def unknown(request: Request, error: Exception) -> Response:
        known = "send one record to POST /log, many to POST /events, and OTLP to POST /v1/traces or /v1/logs"
        detail = f"there is no {request.scope['path']}; {known}"
        return Response(problem(404, detail), 404, media_type=PROBLEM.decode())

    return app


def answering_pages_of(origins: Origins, app: ASGIApp) -> ASGIApp:
    """Return `app`, with the answers that let pages of the allowed sites send it records."""
    if not origins.allowed:
        return app
    return CORSMiddleware(app, allow_origins=origins.allowed, allow_methods=("POST",), allow_headers=("*",))


def data_plane(pipeline: Pipeline, app: ASGIApp) -> tuple[ASGIApp, CaptureMiddleware]:
    """Return the ingest routes in front of `app`, and the capture around `app`.

    What nobody asked for is an event too, so that a client that calls the wrong path is seen.
    """
    capture = pipeline.capture(app, ignore=["/livez"])
    guard = IngestGuard(pipeline.settings)
    hosts = hosts_for(pipeline.settings)
    origins = Origins(pipeline.settings.allowed_hosts, pipeline.settings.allowed_origins)
    plane = DataPlane(
        capture,
        pipeline.bus,
        pipeline.redaction,
        pipeline.faults,
        pipeline.exported,
        guard,
        hosts=hosts,
        origins=origins,
        sinks=pipeline.sinks,
    )
    return answering_pages_of(origins, plane), capture
