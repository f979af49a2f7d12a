"""What has to hold before anything listens. Each check ends the command with what to do where it does not."""

from collections.abc import Generator
from contextlib import contextmanager

from rich.markup import escape

from reqscope.service.settings import Settings
from reqscope.service.terminal import err, fail


def guarded(settings: Settings, *, ingest: bool) -> Settings:
    """Refuse to listen where others can reach what asks nobody who they are."""
    from reqscope.service.admission import missing_credentials
    from reqscope.service.identity import PrivateFileError

    try:
        steps = missing_credentials(settings, ingest=ingest)
    except PrivateFileError as error:
        fail(error)
    if steps:
        fail(
            f"refusing to listen on {settings.host}, where others could see every request, without this first:\n"
            + "".join(f"  {step}\n" for step in steps)
            + "Or keep --host 127.0.0.1 and reach it through an SSH tunnel, or mount the panel in an application of\n"
            "your own; or pass --insecure if everyone who can reach this address may see and send everything."
        )
    if not settings.is_loopback and settings.insecure:
        err.print(
            f"[bold yellow]warning:[/] --insecure: whoever can reach {escape(settings.host)} may be asked for nothing.",
            soft_wrap=True,
        )
    return settings


def check_collector(settings: Settings, *, listens: bool) -> None:
    """Refuse an address of a collector that cannot be one.

    :param listens: it is to be read from, and not only handed to
    """
    if not settings.collector:
        return
    from reqscope.service.bridge.addresses import connect
    from reqscope.service.bridge.bridge import AddressError

    try:
        bridge = connect(settings.collector)
        if listens:
            bridge.check_readable()
    except AddressError as error:
        fail(f"--collector: {error}", status=2)


def check_history(settings: Settings) -> None:
    """Refuse history without what it reads, or without what it reads with."""
    from reqscope.service.history_sql import MissingDuckDB, require_duckdb

    if not settings.history:
        return
    try:
        require_duckdb()
    except MissingDuckDB as error:
        fail(error)
    if settings.log not in ("file", "both"):
        fail(f"history reads the log file, and log lines go to {settings.log}: use --log file or both")


def check_log(settings: Settings) -> None:
    """Refuse a log that cannot be written, before other processes would find that out."""
    from reqscope.service.logs import log_sinks

    with log_errors(settings):
        for sink in log_sinks(settings, "none"):
            sink.close()


@contextmanager
def log_errors(settings: Settings) -> Generator[None]:
    """End the command where the log, in here, turns out to be one that cannot be written."""
    from reqscope.service.logs import LogSettingsError

    try:
        yield
    except LogSettingsError as error:
        fail(error, status=2)
    except OSError as error:
        fail(f"cannot write to the log file {settings.log_file}: {error.strerror}; name another with --log-file")
