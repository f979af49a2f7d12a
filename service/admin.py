"""The control plane: one FastAPI app that holds the query API and the panel. The composition root."""

from contextlib import AbstractAsyncContextManager
from dataclasses import asdict
from functools import partial

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import Response

from .export import export_router
from .metrics import metrics_router
from .mock.api import mock_router, overview
from .mock.store import StubStore
from .mock.watch import watch
from .pipeline import Pipeline
from .problems import PROBLEM, problem
from .query import Statistics, query_router
from .stream import Streams, stream_router
from .system import system

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")


class ControlPlane:
    """The admin app, and the panel in it.

    :param capture: the statistics of what produces events here
    :param hosts: names it may be called by; without, any. A page elsewhere that had its own name point to
        this machine could read everything otherwise.
    :param stubs: what answers, where a service is mocked
    """

    def __init__(
        self, pipeline: Pipeline, capture: Statistics, hosts: tuple[str, ...] = (), stubs: StubStore | None = None
    ) -> None:
        from reqscope.ui import Health, Panel  # here, and only here, do the planes and the panel meet

        def health() -> Health:
            now = capture()
            return Health(**{name: now[name] for name in Health._fields if name in now})

        self._pipeline = pipeline
        self._stubs = stubs
        self._streams = Streams(pipeline.bus)
        self.panel = Panel(
            pipeline.bus,
            pipeline.stats,
            pipeline.sinks,
            pipeline.lag,
            health,
            lambda: system(pipeline, capture()),
            None if stubs is None else partial(overview, stubs),
        )
        self.app = FastAPI(title="Reqscope", docs_url=None, redoc_url=None)
        self.app.include_router(export_router(pipeline.bus))  # before the query API, which answers the rest
        self.app.include_router(stream_router(self._streams))  # the same
        self.app.include_router(metrics_router(pipeline, capture, self._streams, lambda: self.panel.viewers))
        if stubs is not None:
            self.app.include_router(mock_router(stubs, pipeline.bus))
        self.app.include_router(query_router(pipeline, self._more(capture)))
        answer_with_problems(self.app)
        if hosts:
            self.app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
        self.panel.mount(self.app)

    def running(self) -> AbstractAsyncContextManager[None]:
        """Run the pipeline's readers, the panel among them, for as long as the block lasts."""
        self._streams.open()
        beside = [] if self._stubs is None else [partial(watch, self._stubs)]
        return self._pipeline.running(self.panel.run, beside=beside)

    def close(self) -> None:
        """Say goodbye to open pages and streams, so that a server that goes down need not wait for them."""
        self.panel.close()
        self._streams.close()

    def _more(self, capture: Statistics) -> Statistics:
        return lambda: {
            "capture": capture(),
            "viewers": self.panel.viewers,
            "streams": asdict(self._streams.statistics()),
        }


def answer_with_problems(app: FastAPI) -> None:
    """Make every error answer of `app` a problem document."""

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        body = problem(error.status_code, str(error.detail))
        return Response(body, error.status_code, error.headers, PROBLEM.decode())

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return Response(problem(422, f"{where}: {first['msg']}"), 422, media_type=PROBLEM.decode())
