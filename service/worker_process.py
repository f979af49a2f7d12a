"""What one process of `reqscope run --workers` does: a worker that serves the application, or the panel of them all."""

import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import anyio
import msgspec

from .application import ApplicationError, load_application
from .launcher import make_server, spare_the_collector
from .limits import open_limits
from .pipeline import Pipeline
from .settings import Settings

STARTUP_FAILURE: Final = 3
"""Exit status of a process that will not start however often it is tried; uvicorn's too."""


class Job(msgspec.Struct, kw_only=True):
    """What a process is to do. It stands on the first line of its standard input, which ends when its parent does."""

    name: str
    settings: dict[str, Any]
    """Those that were given; all others are read from the environment again."""
    collector: str
    """Address of the bridge to the collector."""
    api: int
    """File descriptor of the socket that the application is served on."""
    panel: int
    ready: int = -1
    """File descriptor to write a line to once it answers: the collector that of the panel's address."""
    workers: int
    target: str
    factory: bool = False
    app_dir: str = "."

    @property
    def is_collector(self) -> bool:
        return self.name == "collector"


def main() -> None:
    """Do the job on standard input, until SIGTERM or the end of whoever started it."""
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    given: dict[str, Any] = {**job.settings, "collector": job.collector}
    settings = Settings(**given)
    if not job.is_collector:
        sys.exit(_work(job, settings))
    status = _collect(job, settings)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # all is done and written, and taking the panel's modules apart would take half a second


def _collect(job: Job, settings: Settings) -> int:
    from .cli.launch import announce_link
    from .standalone import workers_panel

    api, panel = socket.socket(fileno=job.api), socket.socket(fileno=job.panel)
    launcher = workers_panel(
        settings,
        api,
        panel,
        expected=job.workers,
        announce=lambda address: _tell_ready(job, address),
        announce_link=announce_link,
    )
    return launcher.run()


def _work(job: Job, settings: Settings) -> int:
    # Log lines are the collector's: it has the events of all.
    settings = settings.model_copy(update={"log": "none"})
    pipeline = Pipeline(settings, shown=False)
    pipeline.publish_as(job.name)
    app = _load(job)
    return anyio.run(_serve, pipeline, app, job, backend_options={"use_uvloop": find_spec("uvloop") is not None})


async def _serve(pipeline: Pipeline, app: Any, job: Job) -> int:
    server = make_server(
        pipeline.capture(app), "auto", pipeline.settings.trusted_proxies, open_limits(pipeline.settings)
    )
    status = 0

    async def serve() -> None:
        nonlocal status
        try:
            await server.serve(sockets=[socket.socket(fileno=job.api)])
        except SystemExit as exit_:  # how uvicorn reports an application that did not start
            status = exit_.code if isinstance(exit_.code, int) else 1
        server.ended.set()

    async def stop_on_signal() -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                server.force_exit = server.should_exit
                server.should_exit = True

    async def tell_ready() -> None:
        await server.ready.wait()
        spare_the_collector()
        _tell_ready(job)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stop_on_signal)
        async with pipeline.running():
            tasks.start_soon(serve)
            tasks.start_soon(tell_ready)
            await server.ended.wait()
        tasks.cancel_scope.cancel()
    return status


def _load(job: Job) -> Any:
    try:
        return load_application(job.target, factory=job.factory, folder=Path(job.app_dir))
    except ApplicationError as error:  # another start would raise it again
        sys.stderr.write(f"{error.trace}error: {error}\n")
        sys.exit(STARTUP_FAILURE)


def _tell_ready(job: Job, address: str = "") -> None:
    with suppress(OSError):
        os.write(job.ready, address.encode() + b"\n")
        os.close(job.ready)


def _end_with_parent() -> None:
    # Not by the buffered reader: a thread that waits in it holds a lock that the interpreter needs at its end.
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
