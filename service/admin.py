"""The control plane: one FastAPI app that holds the query API and the panel. The composition root."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import asdict
from functools import partial
from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from .body_limit import BodyLimit
from .bridge.receiver import Receiver
from .export import export_router
from .history import History, history_router
from .hosts import HostGate, Hosts
from .identity import Everybody, Gate, Policy, SignIn, Tokens
from .identity.refusals import access_router
from .metrics import metrics_router
from .mock.api import mock_router, overview
from .mock.store import StubStore
from .mock.watch import watch
from .openapi import describe
from .origins import OriginGate, Origins
from .partial import partial_view
from .pipeline import Pipeline
from .problems import PROBLEM, problem
from .query import Statistics, query_router
from .replay import Replay
from .replay_api import replay_router
from .runs.api import runs_router
from .runs.recorder import RunRecorder
from .runs.store import RunStore
from .runs.stragglers import await_workers
from .security_headers import SecurityHeaders
from .stream import Streams, stream_router
from .system import system
from .workers_api import workers_router

MAX_BODY: Final = 4 << 20
"""Bytes of a request to the panel, as many as a request may be edited to have before it is sent again."""

_TOLD: Final = ("log", "capacity", "max_bytes", "bodies", "sample", "correlate", "capture_logs")
"""Settings that a run is kept with: those that what is measured may depend on."""


class ControlPlane:
    """The admin app, and the panel in it.

    :param capture: the statistics of what produces events here
    :param hosts: names it may be called by; without, any
    :param policy: who gets in; without, everybody
    :param replay: the way back into the application, if there is one
    :param stubs: what answers, where a service is mocked
    :param example: a command that sends a request, shown for as long as there is none
    :raises MissingDuckDB: the settings ask for history, and it is not installed
    :param receiver: what other processes report to, if they do
    """

    def __init__(
        self,
        pipeline: Pipeline,
        capture: Statistics,
        hosts: Hosts | None = None,
        policy: Policy | None = None,
        replay: Replay | None = None,
        *,
        receiver: Receiver | None = None,
        stubs: StubStore | None = None,
        example: str = "",
    ) -> None:
        from reqscope.ui import Health, Panel  # here, and only here, do the planes and the panel meet

        def health() -> Health:
            now = capture()
            shown = {name: now[name] for name in Health._fields if name in now}
            workers = None if receiver is None else receiver.summary()
            return Health(**shown, workers=workers, partial=partial_view(pipeline))

        self._pipeline = pipeline
        self._stubs = stubs
        self._streams = Streams(pipeline.bus)
        self._history = History(pipeline.settings.log_file) if pipeline.settings.history else None
        self._runs = _recorder(pipeline, capture, receiver)
        self.panel = Panel(
            pipeline.bus,
            pipeline.stats,
            pipeline.sinks,
            pipeline.lag,
            health,
            lambda: system(pipeline, capture()),
            None if stubs is None else partial(overview, stubs),
            replay=replay is not None and bool(replay.rules),
            example=example,
            runs=self._runs.overview,
        )
        gates = [
            Middleware(SecurityHeaders),
            Middleware(HostGate, hosts or Hosts()),
            Middleware(OriginGate, Origins(pipeline.settings.allowed_hosts)),
            Middleware(CORSMiddleware, allow_origins=()),  # none; and where it is, Gradio's own stays out
            Middleware(BodyLimit, MAX_BODY),
        ]
        self.app = FastAPI(title="Reqscope", docs_url=None, redoc_url=None, middleware=gates)
        self.app.include_router(export_router(pipeline.bus))  # before the query API, which answers the rest
        self.app.include_router(replay_router(replay))  # the same
        self.app.include_router(runs_router(self._runs))  # the same
        self.app.include_router(stream_router(self._streams))  # the same
        self.app.include_router(history_router(self._history))
        self.app.include_router(metrics_router(pipeline, capture, self._streams, lambda: self.panel.viewers))
        self.app.include_router(workers_router(receiver, pipeline))
        if stubs is not None:
            self.app.include_router(mock_router(stubs, pipeline.bus))
        self.app.include_router(query_router(pipeline, self._more(capture), receiver))
        answer_with_problems(self.app)
        self._guard(policy or Everybody())
        describe(self.app)
        self.panel.mount(self.app)

    def _guard(self, policy: Policy) -> None:
        """Let nobody in but whom `policy` knows, and programs with a token."""
        self.app.include_router(access_router())
        if (router := policy.router()) is not None:
            self.app.include_router(router)
        if isinstance(policy, SignIn):
            policy.sessions.on_end = self.panel.look_again
        tokens = Tokens(self._pipeline.settings.tokens_file)
        # The innermost: what looks at names, origins and headers stands outside, and sees its answers, too.
        self.app.user_middleware.append(Middleware(Gate, policy=policy, tokens=tokens))

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Run the pipeline's readers, the panel among them, and the history, for as long as the block lasts."""
        self._streams.open()
        beside = [] if self._stubs is None else [partial(watch, self._stubs)]
        history = self._history.running() if self._history else nullcontext()
        async with self._pipeline.running(self.panel.run, self._runs.run, beside=beside), history:
            yield

    def close(self) -> None:
        """Say goodbye to open pages and streams, so that a server that goes down need not wait for them."""
        self.panel.close()
        self._streams.close()

    def _more(self, capture: Statistics) -> Statistics:
        return lambda: {
            "capture": capture(),
            "viewers": self.panel.viewers,
            "streams": asdict(self._streams.statistics()),
            "history": self._history.statistics() if self._history else None,
        }


def _recorder(pipeline: Pipeline, capture: Statistics, receiver: Receiver | None) -> RunRecorder:
    settings = pipeline.settings
    return RunRecorder(
        pipeline.bus,
        pipeline.lag,
        RunStore(settings.runs_file),
        mask=pipeline.redaction.text,
        faults=lambda: pipeline.faults.statistics().total,
        settings={name: str(getattr(settings, name)) for name in _TOLD},
        skipped=lambda: capture().get("skipped", 0),
        stragglers=None if receiver is None else partial(await_workers, receiver.workers.rows),
        quiet=settings.run_quiet,
        detect=settings.detect_runs,
    )


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
