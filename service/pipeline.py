"""The bus and its readers, run as one."""

import logging
import os
import socket
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager, nullcontext
from functools import cached_property
from typing import TypeAlias

import anyio
from starlette.types import ASGIApp

from reqscope.bus import EventBus, LoopLag, SinkRunner, Stats

from .access import instead_of_uvicorn
from .bridge.addresses import connect
from .bridge.carried import Sealer
from .bridge.packed import Rules
from .bridge.publisher import Publisher
from .capture import CaptureMiddleware
from .faults import Faults
from .loglines import watching_logs
from .logs import log_sinks
from .otlp import OtlpCounts
from .redaction import Redaction
from .replay_marks import Marks
from .sampling import Sampling
from .settings import Settings

Reader: TypeAlias = Callable[[], Coroutine[object, object, None]]

logger = logging.getLogger(__name__)

_DRAIN = 1.0
"""Seconds that sinks get to write what they hold, once no more can come."""


class Pipeline:
    """A bus with statistics and log sinks as the settings ask for.

    It may run more than once, one time after another, as an application in a test does.

    :param shown: whether anybody can look at events and numbers here. If not, there are no numbers, and events are
        gone once they are handed over
    :raises OSError: the log file cannot be opened for writing
    :raises LogSettingsError: the log cannot be as the settings want it
    """

    def __init__(self, settings: Settings, *, shown: bool = True) -> None:
        self.settings = settings
        self._shown = shown
        self.bus = EventBus(settings.capacity, settings.max_bytes, settings.max_age)
        self.lag = LoopLag(self.bus.in_flight.__len__)
        self.redaction = Redaction(settings.redact)
        self.faults = Faults()
        self.marks = Marks()
        self.exported = OtlpCounts()
        """What OpenTelemetry exporters sent, where the ingest routes are served."""
        self.publisher: Publisher | None = None
        """What hands over to a collector, if there is one. Without, this process shows itself what it captures."""
        self.one_of_several = False
        """Whether processes beside this one serve the same application."""
        self.sinks: list[SinkRunner] = []
        """Those of the present run, or of the last."""
        for sink in log_sinks(
            settings, self.bus.boot
        ):  # now, so that a log that cannot be written is an error before anything runs
            sink.close()

    @cached_property
    def stats(self) -> Stats:
        """Numbers over all events. Made when they are first asked for, which in a worker they never are."""
        return Stats(self.bus)

    def publish_as(self, worker: str = "") -> None:
        """Have what is captured handed over to the collector of the settings.

        :param worker: under which name; without it, the settings' one or the host's, with the process id
        :raises AddressError: there is no such collector
        """
        prefix = self.settings.worker or socket.gethostname()
        sealer = Sealer(self.redaction, Rules(self.settings.redact, self.settings.body_cap))
        # The name only once it runs: a server may fork in between.
        self.publisher = Publisher(
            self.bus,
            connect(self.settings.collector),
            lambda: worker or f"{prefix}-{os.getpid()}",
            sealer=sealer,
            alone=not self._shown,
        )

    def capture(self, app: ASGIApp, ignore: Iterable[str] = ()) -> CaptureMiddleware:
        """Return `app` watched as the settings ask for."""
        settings = self.settings
        return CaptureMiddleware(
            app,
            self.bus,
            redaction=self.redaction,
            faults=self.faults,
            ignore=ignore,
            bodies=settings.bodies,
            body_cap=settings.body_cap,
            sampling=self._sampling(),
            correlate=settings.correlate,
            echo=settings.echo_request_id,
            marks=self.marks,
        )

    @asynccontextmanager
    async def running(self, *readers: Reader, beside: Iterable[Reader] = ()) -> AsyncGenerator[None]:
        """Run statistics, sinks and other `readers` inside the block; at its end close the bus and drain them.

        :param beside: what has nothing to do with the bus, and is cancelled at the end
        """
        self.bus.open()
        self.sinks[:] = [
            SinkRunner(self.bus, sink, when_full=self.settings.log_when_full)
            for sink in log_sinks(self.settings, self.bus.boot)
        ]
        watch = watching_logs() if self.settings.capture_logs else nullcontext()
        access = instead_of_uvicorn() if self.settings.access_log else nullcontext()
        if self.publisher is not None:
            readers = (*readers, self.publisher.run)
        endless = anyio.CancelScope()
        async with anyio.create_task_group() as tasks:
            numbers = (self.lag.run, self.bus.failures.run) if self._shown else ()
            tasks.start_soon(_run_all, endless, (*numbers, *beside))
            counts = (self.stats.run,) if self._shown else ()
            for run in (*counts, *(sink.run for sink in self.sinks), *readers):
                tasks.start_soon(_guard, run)
            try:
                with watch, access:
                    yield
            finally:
                self.bus.close()
                endless.cancel()
                tasks.cancel_scope.deadline = anyio.current_time() + _DRAIN

    def reopen_logs(self) -> None:
        """Have log files opened anew, because they were moved. Returns at once."""
        for sink in self.sinks:
            sink.reopen()

    def _sampling(self) -> Sampling | None:
        settings = self.settings
        if settings.sample >= 1 and not settings.sample_routes:
            return None
        return Sampling(settings.sample, settings.sample_routes, settings.slow)


async def _run_all(until: anyio.CancelScope, runs: Iterable[Reader]) -> None:
    with until:
        async with anyio.create_task_group() as tasks:
            for run in runs:
                tasks.start_soon(_guard, run)


async def _guard(run: Reader) -> None:
    """One reader that fails ends alone: neither the application nor another reader hears of it."""
    try:
        await run()
    except Exception:
        logger.exception("a reader of the bus failed and is switched off: %r", run)
