"""Keeps the processes of `reqscope run --workers` running: the workers, and the collector with the panel."""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import anyio
import msgspec
from anyio.abc import Process, TaskGroup

from .worker_process import STARTUP_FAILURE, Job

_WORKERS_END: Final = 1.4
_COLLECTOR_ENDS: Final = 1.3
"""Seconds that processes have to end by themselves. Together under the three that users wait for."""
_FIRST_RETRY: Final = 0.2
_LAST_RETRY: Final = 5.0
_STEADY: Final = 10.0
"""Seconds after which a process that ends is not one that keeps failing."""


class Supervisor:
    """Starts one process for each job, and again those that end unasked, until SIGINT or SIGTERM.

    It holds the listening sockets, so that clients are not refused while a process is replaced, and imports neither
    the application nor the panel. At the end workers finish before the collector does, so that it has all they sent.
    A second signal kills what is left.

    :param jobs: that of the collector first
    :param announce: called with the panel's address once all answer
    :param notice: called with what users should know
    """

    def __init__(
        self, jobs: Sequence[Job], announce: Callable[[str], None], notice: Callable[[str], None] = lambda text: None
    ) -> None:
        self._collector, *self._workers = jobs
        self._announce = announce
        self._notice = notice
        self._processes: dict[str, Process] = {}
        self._ended: dict[str, anyio.Event] = {job.name: anyio.Event() for job in jobs}
        self._ready: dict[str, anyio.Event] = {job.name: anyio.Event() for job in jobs}
        self._said: dict[str, str] = {}
        self._stop = anyio.Event()
        self._exit_code = 0

    def run(self) -> int:
        """Keep them running until a signal comes; return the exit status: 0, or that of a first start that failed."""
        anyio.run(self._run)
        return self._exit_code

    async def _run(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._stop_on_signal)
            tasks.start_soon(self._start, tasks)
            await self._stop.wait()
            await self._end(self._workers, _WORKERS_END)
            await self._end([self._collector], _COLLECTOR_ENDS)
            tasks.cancel_scope.cancel()

    async def _start(self, tasks: TaskGroup) -> None:
        first, *others = self._workers
        tasks.start_soon(self._keep, self._collector)
        tasks.start_soon(self._keep, first)
        await self._ready[first.name].wait()  # an application that does not start says so once, not once for each
        for job in others:
            tasks.start_soon(self._keep, job)
        for ready in self._ready.values():
            await ready.wait()
        self._announce(self._said[self._collector.name])

    async def _keep(self, job: Job) -> None:
        retry, first_time = _FIRST_RETRY, True
        while not self._stop.is_set():
            began = anyio.current_time()
            status = await self._run_once(job)
            if self._stop.is_set():
                break
            if first_time and status == STARTUP_FAILURE:
                self._exit_code = status
                self._stop.set()
                break
            first_time = False
            retry = _FIRST_RETRY if anyio.current_time() - began > _STEADY else min(retry * 2, _LAST_RETRY)
            self._notice(f"{_called(job)} {_how(status)}; it is started again")
            with anyio.move_on_after(retry):
                await self._stop.wait()
        self._ended[job.name].set()

    async def _run_once(self, job: Job) -> int:
        ready, told = os.pipe()
        try:
            command = [sys.executable, "-m", "reqscope.service.worker_process"]
            # In a session of its own: Ctrl-C in the terminal is for this process, which ends them in order.
            process = await anyio.open_process(
                command, stdout=None, stderr=None, pass_fds=(job.api, job.panel, told), start_new_session=True
            )
        finally:
            os.close(told)
        self._processes[job.name] = process
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch_ready, job, ready)
            assert process.stdin is not None
            with suppress(anyio.BrokenResourceError):  # it is dead already, which its status tells
                await process.stdin.send(msgspec.json.encode(msgspec.structs.replace(job, ready=told)) + b"\n")
            await process.wait()
            tasks.cancel_scope.cancel()
        assert process.returncode is not None
        return process.returncode

    async def _watch_ready(self, job: Job, ready: int) -> None:
        try:
            await anyio.wait_readable(ready)
            if line := os.read(ready, 4096):
                self._said[job.name] = line.decode().strip()
                self._ready[job.name].set()
        finally:
            os.close(ready)

    async def _stop_on_signal(self) -> None:
        has_terminal = sys.stderr is not None and sys.stderr.isatty()
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
            async for number in signals:
                if number == signal.SIGHUP and not has_terminal:  # log files were moved: they are the collector's
                    if (collector := self._processes.get(self._collector.name)) is not None:
                        _send(collector, number)
                    continue
                if self._stop.is_set():
                    for process in self._processes.values():
                        _send(process, signal.SIGKILL)
                self._stop.set()

    async def _end(self, jobs: Sequence[Job], patience: float) -> None:
        started = [job for job in jobs if job.name in self._processes]
        for job in started:
            _send(self._processes[job.name], signal.SIGTERM)
        with anyio.move_on_after(patience):
            for job in started:
                await self._ended[job.name].wait()
        for job in started:
            _send(self._processes[job.name], signal.SIGKILL)
            await self._ended[job.name].wait()


def _send(process: Process, number: signal.Signals) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):  # it ended just now
            process.send_signal(number)


def _called(job: Job) -> str:
    return "the collector" if job.is_collector else f"worker {job.name}"


def _how(status: int) -> str:
    return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
