"""Reqscope inside the user's own application."""

import signal
import threading
from asyncio import get_running_loop
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import asdict
from types import FrameType
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from reqscope.bus import EventBus

from .admin import ControlPlane
from .capture import CaptureMiddleware
from .faults import Faults
from .loglines import watching_logs
from .mock.store import StubStore
from .pipeline import Pipeline
from .redaction import Redaction
from .settings import Settings


class Monitor:
    """Capture, statistics, log sinks and the panel, attached to a FastAPI or Starlette application.

    Call it before the application starts. Capture stands outside all middleware, wherever that is added, and so
    sees what leaves the application, its answers to errors too. The panel is reached at `path`, also under a root
    path and behind a proxy. It asks nobody who they are, so an application that others can reach must guard that
    path itself.

    Log lines are off unless `settings` or `REQSCOPE_LOG` turn them on: the application's standard output is its own.

    :param app: the application, which goes on as before
    :param path: where the panel is mounted
    :param stubs: those of a mock that stands in front of the application, for the panel to show and to change
    :raises ValueError: `path` is not an absolute path below the root
    :raises OSError: the log file cannot be opened
    :raises RuntimeError: the application has started
    """

    def __init__(
        self,
        app: Starlette,
        path: str = "/reqscope",
        *,
        settings: Settings | None = None,
        stubs: StubStore | None = None,
    ) -> None:
        if not path.startswith("/") or path.strip("/") == "":
            raise ValueError(f"the panel needs a path below the root such as '/reqscope', not {path!r}")
        path = path.rstrip("/")
        self._pipeline = Pipeline(_quiet(settings or Settings()))
        self._capture: CaptureMiddleware | None = None
        self._control = ControlPlane(self._pipeline, self._capture_statistics, stubs=stubs)
        wrap(app, lambda stack: self._watched(stack, path))
        app.router.routes.insert(0, Mount(path, _rooted(self._control.app), name="reqscope"))
        self._chain_lifespan(app)

    @property
    def bus(self) -> EventBus:
        """The bus that captured events go to, for readers and publishers of your own."""
        return self._pipeline.bus

    @property
    def redaction(self) -> Redaction:
        """What is masked, for producers of your own."""
        return self._pipeline.redaction

    @property
    def faults(self) -> Faults:
        """Where failures of the monitor's own are counted, for producers of your own."""
        return self._pipeline.faults

    def _watched(self, stack: ASGIApp, path: str) -> CaptureMiddleware:
        self._capture = self._pipeline.capture(stack, [] if self._pipeline.settings.capture_panel else [path])
        return self._capture

    def _capture_statistics(self) -> dict[str, Any]:
        return {} if self._capture is None else asdict(self._capture.statistics())

    def _chain_lifespan(self, app: Starlette) -> None:
        host_lifespan = app.router.lifespan_context
        admin = self._control.app

        @asynccontextmanager
        async def lifespan(host: Any) -> AsyncGenerator[Any]:
            async with (
                self._control.running(),
                admin.router.lifespan_context(admin),
                host_lifespan(host) as state,
            ):
                # Once more, now that the application has had its say in how structlog is configured.
                watch = watching_logs() if self._pipeline.settings.capture_logs else nullcontext()
                with watch, _on_termination(self._control.close):
                    yield state

        app.router.lifespan_context = lifespan


def wrap(app: Starlette, wrapper: Callable[[ASGIApp], ASGIApp]) -> None:
    """Put `wrapper` round all of the application's middleware, also that which is added later.

    :raises RuntimeError: the application has started
    """
    if app.middleware_stack is not None:
        raise RuntimeError("the application has started: attach the monitor before")
    build = app.build_middleware_stack
    app.build_middleware_stack = lambda: wrapper(build())  # type: ignore[method-assign]


def _rooted(app: ASGIApp) -> ASGIApp:
    """Give `app`, mounted somewhere, paths that begin with the root path, as ASGI has it.

    Below an application that was told of a root path which its proxy takes off, they do not, and a mount
    finds none of its routes.
    """

    async def rooted(scope: Scope, receive: Receive, send: Send) -> None:
        outer = scope.get("app_root_path", "")
        if outer and not scope["path"].startswith(scope["root_path"]):
            scope = {**scope, "path": outer + scope["path"]}
        await app(scope, receive, send)

    return rooted


def _quiet(settings: Settings) -> Settings:
    return settings if "log" in settings.model_fields_set else settings.model_copy(update={"log": "none"})


@contextmanager
def _on_termination(callback: Callable[[], None]) -> Generator[None]:
    """Call `callback` in the event loop when the process is asked to end, before whoever else handles that.

    A server waits for open responses before it ends an application's lifespan, and a live page is one: without
    this, an open panel would keep the host from ever shutting down.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(callback)
        previous = before[signal.Signals(number)]
        if callable(previous):
            previous(number, frame)

    chained = [number for number, previous in before.items() if callable(previous)]
    for number in chained:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in chained:
            if signal.getsignal(number) is handle:
                signal.signal(number, before[number])
