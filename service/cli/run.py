"""`reqscope run`: somebody's application, watched."""

import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from msgspec.structs import replace

from reqscope.service.application import ApplicationError, load_application
from reqscope.service.settings import Settings
from reqscope.service.terminal import err, fail, notice

from .checks import check_collector, check_history, check_log, guarded
from .launch import announcer, launch, listen_on_both
from .options import Given, read_settings, settings_flags


@settings_flags(but="stubs")
def run(
    given: Given,
    target: Annotated[str, typer.Argument(metavar="MODULE:APP", help="The ASGI application, as for uvicorn.")],
    workers: Annotated[
        int, typer.Option(min=1, max=256, help="Processes that serve it. One panel shows the requests of all.")
    ] = 1,
    factory: Annotated[bool, typer.Option("--factory", help="APP is a function that returns the application.")] = False,
    app_dir: Annotated[Path, typer.Option(help="Where to look for MODULE.")] = Path(),
    reload: Annotated[bool, typer.Option("--reload", help="Start again when a file below --app-dir changes.")] = False,
) -> None:
    """Run an ASGI application, unchanged, and show the requests it gets."""
    settings = guarded(read_settings(given), ingest=False)
    if reload:
        _supervise(app_dir)
    if workers > 1:
        _run_workers(settings, target, factory=factory, app_dir=app_dir, workers=workers)
    check_collector(settings, listens=False)
    launch(settings, lambda: _load(target, factory=factory, app_dir=app_dir), ingest=False)


def _run_workers(settings: Settings, target: str, *, factory: bool, app_dir: Path, workers: int) -> NoReturn:
    if settings.collector:
        fail("--workers brings a collector of its own; leave --collector and REQSCOPE_COLLECTOR out", status=2)
    if settings.replay:
        err.print("--replay has no effect with --workers: nobody could say which of them a request comes back to.")
    check_history(settings)
    check_log(settings)
    api, panel = listen_on_both(settings)
    err.print(f"Reqscope is starting {workers} workers …", style="dim")
    from tempfile import TemporaryDirectory

    from reqscope.service.ports import url
    from reqscope.service.supervisor import Supervisor
    from reqscope.service.worker_process import Job

    with TemporaryDirectory(prefix="reqscope-") as folder:
        collector = Job(
            name="collector",
            settings=settings.model_dump(mode="json", exclude_unset=True),
            collector=f"unix:{folder}/collector.sock",
            api=api.fileno(),
            panel=panel.fileno(),
            workers=workers,
            target=target,
            factory=factory,
            app_dir=str(app_dir),
        )
        jobs = [collector, *(replace(collector, name=str(number)) for number in range(1, workers + 1))]
        announce = announcer(settings, ingest=False)
        status = Supervisor(jobs, lambda address: announce(url(api), address), notice).run()
    sys.exit(status)


def _load(target: str, *, factory: bool, app_dir: Path) -> Any:
    try:
        return load_application(target, factory=factory, folder=app_dir)
    except ApplicationError as error:
        sys.stderr.write(error.trace)
        fail(error)


def _supervise(directory: Path) -> NoReturn:
    from watchfiles import run_process

    command = [sys.argv[0], *(argument for argument in sys.argv[1:] if argument != "--reload")]
    run_process(directory, target=" ".join(map(repr, command)), target_type="command", sigint_timeout=5)
    sys.exit(0)
