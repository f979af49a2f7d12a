"""Two servers in one event loop: the API on its port, the panel on its own."""

import gc
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from typing import Any, Literal, TypeAlias

import anyio
import uvicorn
from anyio.abc import TaskGroup
from starlette.types import ASGIApp

from .admin import ControlPlane
from .limits import Limits
from .server_log import server_log

_GOODBYE = 0.25
"""Seconds for open pages to be told that the server goes down."""

_GRACE = 1
"""Seconds for open requests to end before they are cancelled."""
_PATIENCE = 2
"""Seconds for an application to end its lifespan after a second signal."""

Background: TypeAlias = Callable[[], Coroutine[object, object, None]]


class Server(uvicorn.Server):
    """A uvicorn server that leaves signals to whoever started it: two of them would each take the other's."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = anyio.Event()
        self.ended = anyio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


class Launcher:
    """Runs the data plane and the control plane until SIGINT or SIGTERM, and ends both in order.

    First the open pages are told, then both servers stop, then log sinks write what they hold. A second
    signal does not wait for an application that never ends its lifespan.

    :param data: what the data plane serves; None where other processes do
    :param limits: what clients of the data plane may do; without, the default
    :param control_limits: what clients of the control plane may do
    :param lifespan: whether the data plane's application must have one
    :param trusted_proxies: whose forwarding headers are believed; nobody's by default, because a client
        could name itself otherwise
    :param background: what to run beside the servers, once they answer
    :param announce: called once they answer
    :param reopen_logs: called on SIGHUP. Started from a terminal, that signal says that it is gone, and ends both
    """

    def __init__(
        self,
        data: ASGIApp | None,
        data_socket: socket.socket,
        control: ControlPlane,
        control_socket: socket.socket,
        *,
        limits: Limits | None = None,
        control_limits: Limits | None = None,
        lifespan: Literal["on", "auto"] = "on",
        trusted_proxies: str = "",
        background: Sequence[Background] = (),
        announce: Callable[[], None] = lambda: None,
        reopen_logs: Callable[[], None] = lambda: None,
    ) -> None:
        self._control = control
        self._background = background
        self._announce = announce
        self._reopen_logs = reopen_logs
        self._servers = {make_server(control.app, "on", trusted_proxies, control_limits): control_socket}
        if data is not None:
            self._servers = {make_server(data, lifespan, trusted_proxies, limits): data_socket, **self._servers}
        self._exit_code = 0
        self._stop = anyio.Event()
        self._stop_now = anyio.Event()

    def run(self) -> int:
        """Serve until a signal comes, and return the exit status: 0, or 3 when an application did not start."""
        anyio.run(self._serve, backend_options={"use_uvloop": find_spec("uvloop") is not None})
        return self._exit_code

    async def _serve(self) -> None:
        async with self._control.running(), anyio.create_task_group() as tasks:
            tasks.start_soon(self._stop_on_signal)
            for server, listener in self._servers.items():
                tasks.start_soon(self._serve_one, server, listener)
            tasks.start_soon(self._begin, tasks)
            await self._stop.wait()
            await self._stop_servers()
            tasks.cancel_scope.cancel()

    async def _begin(self, tasks: TaskGroup) -> None:
        for server in self._servers:
            await server.ready.wait()
        spare_the_collector()
        self._announce()
        for run in self._background:
            tasks.start_soon(run)

    async def _serve_one(self, server: Server, listener: socket.socket) -> None:
        try:
            await server.serve(sockets=[listener])
        except SystemExit as exit_:  # how uvicorn reports an application that did not start
            self._exit_code = exit_.code if isinstance(exit_.code, int) else 1
        finally:
            server.ended.set()
            self._stop.set()

    async def _stop_on_signal(self) -> None:
        has_terminal = sys.stderr is not None and sys.stderr.isatty()
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
            async for number in signals:
                if number == signal.SIGHUP and not has_terminal:
                    self._reopen_logs()
                    continue
                if self._stop.is_set():
                    self._stop_now.set()
                self._stop.set()

    async def _stop_servers(self) -> None:
        self._control.close()
        with anyio.move_on_after(_GOODBYE):
            await self._control.panel.wait_empty()
        for server in self._servers:
            server.should_exit = True
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._give_up, tasks.cancel_scope)
            for server in self._servers:
                await server.ended.wait()
            tasks.cancel_scope.cancel()

    async def _give_up(self, waiting: anyio.CancelScope) -> None:
        # Not by uvicorn's `force_exit`, which would not even tell the application to end.
        await self._stop_now.wait()
        await anyio.sleep(_PATIENCE)
        waiting.cancel()


def bounded(limits: Limits, parser: Literal["httptools", "h11"] | None = None) -> Any:
    """Return what makes uvicorn's HTTP protocol keep to `limits`, for `uvicorn.Config(http=…)`.

    :param parser: which to use; without, httptools where it is installed, as uvicorn does
    """
    if parser == "h11" or (parser is None and find_spec("httptools") is None):
        from .bounded_h11 import BoundedH11

        return partial(BoundedH11, limits=limits)
    from .bounded_httptools import BoundedHttpTools

    return partial(BoundedHttpTools, limits=limits)


def spare_the_collector() -> None:
    """Have garbage collections pass over all that was loaded so far, which lives as long as the process.

    The panel's modules would otherwise make each full collection, and so the longest pause of the application's,
    several times as long as it is without a monitor.
    """
    gc.collect()
    gc.freeze()


def make_server(app: Any, lifespan: Literal["on", "auto"], trusted_proxies: str, limits: Limits | None) -> Server:
    """Return a server for `app` that logs only what is wrong, and soon gives up on requests that do not end."""
    return Server(
        uvicorn.Config(
            app,
            http=bounded(limits or Limits()),
            lifespan=lifespan,
            log_config=server_log(),
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=bool(trusted_proxies),
            forwarded_allow_ips=trusted_proxies,
            timeout_graceful_shutdown=_GRACE,
        )
    )
