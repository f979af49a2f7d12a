"""The collector: what answers where no application of the user's does."""

from fastapi import FastAPI, Request
from starlette.responses import Response
from starlette.types import ASGIApp

from reqscope.bus.encoding import encode

from .admin import answer_with_problems
from .capture import CaptureMiddleware
from .ingest import DataPlane
from .mock import MockApp, StubStore
from .monitor import Monitor, wrap
from .pipeline import Pipeline
from .problems import PROBLEM, problem
from .settings import Settings


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the collector with the panel under `/reqscope`, as one application for a server of your own.

    `uvicorn --factory reqscope.service:create_app` serves both from one port.

    With `REQSCOPE_STUBS` the stubs there answer everything but the panel's and the collector's own paths.

    :raises OSError: the log file cannot be opened
    :raises StubError: a stub is wrong
    """
    app = fallback_app()
    settings = settings or Settings()
    stubs = stub_store(settings)
    if stubs is not None:
        wrap(app, lambda stack: MockApp(stubs, stack, panel="/reqscope"))
    monitor = Monitor(app, settings=settings, stubs=stubs)
    # Outside the capture: within it, a record would be an event twice.
    wrap(app, lambda stack: DataPlane(stack, monitor.bus, monitor.redaction, monitor.faults))
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

    @app.exception_handler(404)
    async def unknown(request: Request, error: Exception) -> Response:
        detail = f"there is no {request.scope['path']}; send one record to POST /log, many to POST /events"
        return Response(problem(404, detail), 404, media_type=PROBLEM.decode())

    return app


def data_plane(pipeline: Pipeline, app: ASGIApp) -> tuple[DataPlane, CaptureMiddleware]:
    """Return the ingest routes in front of `app`, and the capture around `app`.

    What nobody asked for is an event too, so that a client that calls the wrong path is seen.
    """
    capture = pipeline.capture(app, ignore=["/livez"])
    return DataPlane(capture, pipeline.bus, pipeline.redaction, pipeline.faults), capture
