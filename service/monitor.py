"""Reqscope inside the user's own application."""

import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import asdict
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from reqscope.bus import EventBus, SinkRunner

from .admin import ControlPlane
from .admission import MonitorAuth, mounted_policy
from .capture import CaptureMiddleware
from .faults import Faults
from .hosts import Hosts, hosts_for
from .identity import HOST_SCOPE
from .inprocess import InProcess
from .loglines import watching_logs
from .mock.store import StubStore
from .otlp import OtlpCounts
from .partial import one_of_several, partial_view
from .pipeline import Pipeline
from .redaction import Redaction
from .replay import Replay
from .replay_rules import ReplayRules
from .settings import Settings
from .shutdown import on_shutdown

logger = logging.getLogger(__name__)


class Monitor:
    """Capture, statistics, log sinks and the panel, attached to a FastAPI or Starlette application.

    Call it before the application starts. Capture stands outside all middleware, wherever that is added, and so
    sees what leaves the application, its answers to errors too. The panel is reached at `path`, also under a root
    path and behind a proxy.

    Who may see it is for `auth` to say. Without, the panel answers only direct requests of the user who runs the
    application, from the same machine, and tells others what to write.

    Log lines are off unless `settings` or `REQSCOPE_LOG` turn them on: the application's standard output is its own.

    :param app: the application, which goes on as before
    :param path: where the panel is mounted
    :param stubs: those of a mock that stands in front of the application, for the panel to show and to change
    :param auth: who may see the panel: a function of the request, or a FastAPI dependency, that returns a user's name,
        a `User`, or None for somebody unknown. It is called, behind the application's middleware, for each request to
        the panel, and must not read the body. Or `"users"` for those of `reqscope user`, or `"open"` for everybody
    :param login_url: the application's own page that browsers go to which `auth` does not know. It gets the way back as
        `next` in the query, which is a path, and must check that it is before it redirects there
    :param logout_url: where the panel's "Sign out" goes
    :param app_url: where the panel's "Open app" goes
    :raises ValueError: `path` is not an absolute path below the root, or a URL is not a path of the application's own
    :raises AddressError: the settings name a collector that there is no way to
    :raises OSError: the log file cannot be opened
    :raises PrivateFileError: the file of users cannot be used
    :raises RuntimeError: the application has started
    """

    def __init__(
        self,
        app: Starlette,
        path: str = "/reqscope",
        *,
        auth: MonitorAuth = None,
        login_url: str | None = None,
        logout_url: str | None = None,
        app_url: str | None = None,
        settings: Settings | None = None,
        stubs: StubStore | None = None,
    ) -> None:
        if not path.startswith("/") or path.strip("/") == "":
            raise ValueError(f"the panel needs a path below the root such as '/reqscope', not {path!r}")
        path = path.rstrip("/")
        settings = _quiet(settings or Settings())
        policy = mounted_policy(auth, settings, login_url, logout_url, app_url, app)
        self._pipeline = Pipeline(settings)
        self._join_others()
        self._capture: CaptureMiddleware | None = None
        self._inside = InProcess(app)
        # Who must be known is known by a name: a page that has another name point here comes without its cookies.
        known = auth not in (None, "open") and not settings.allowed_hosts
        hosts = Hosts() if known else hosts_for(settings, bound=False)
        replay = self._replay(path)
        self._control = ControlPlane(self._pipeline, self._capture_statistics, hosts, policy, replay, stubs=stubs)
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

    @property
    def sinks(self) -> Sequence[SinkRunner]:
        """What writes the log, while it runs."""
        return self._pipeline.sinks

    @property
    def exported(self) -> OtlpCounts:
        """Where it is counted what OpenTelemetry exporters sent, for producers of your own."""
        return self._pipeline.exported

    def _replay(self, path: str) -> Replay | None:
        """The way back into the application, through all of its middleware and the capture around that."""
        rules, marks = ReplayRules(self._pipeline.settings.replay), self._pipeline.marks
        return Replay(self.bus, marks, rules, lambda: self._inside, "http://localhost", ignored=(path,))

    def _watched(self, stack: ASGIApp, path: str) -> CaptureMiddleware:
        self._capture = self._pipeline.capture(stack, [] if self._pipeline.settings.capture_panel else [path])
        return self._capture

    def _capture_statistics(self) -> dict[str, Any]:
        return {} if self._capture is None else asdict(self._capture.statistics())

    def _join_others(self) -> None:
        """Report to the collector if there is one; without, say so where it matters."""
        if self._pipeline.settings.collector:
            self._pipeline.publish_as()
        elif one_of_several():
            self._pipeline.one_of_several = True
            logger.warning(partial_view(self._pipeline))

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
                async with self._inside.running(state):
                    with watch, on_shutdown(self._control.close):
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
        # What `auth` is to see is the host's application and state, and not those of the panel.
        await app({**scope, HOST_SCOPE: scope}, receive, send)

    return rooted


def _quiet(settings: Settings) -> Settings:
    return settings if "log" in settings.model_fields_set else settings.model_copy(update={"log": "none"})
