"""Where log lines go, as the settings ask for."""

import logging
import os
from collections.abc import Callable, Iterable
from typing import Final, cast

from structlog.typing import Processor
from uvicorn.importer import ImportFromStringError, import_from_string

from reqscope.bus import JsonLogSink, LogFile, Retention, Rotation, Sink
from reqscope.bus.ecs import ecs
from reqscope.bus.lines import LineStream
from reqscope.bus.rotated import compressor

from .access import AccessSink
from .console import ConsoleSink
from .renderers import pretty
from .settings import Settings

logger = logging.getLogger(__name__)

_STDOUT: Final = 1
_DAY: Final = 86_400


class LogSettingsError(Exception):
    """The log cannot be as the settings want it. The message names the setting and says what to do."""


def log_sinks(settings: Settings, boot: str) -> list[Sink]:
    """Return the sinks that the settings ask for.

    :param boot: the bus's, for event ids
    :raises OSError: the log file cannot be opened for writing
    :raises LogSettingsError: a processor cannot be imported
    """
    sinks = list[Sink]()
    if settings.log == "none" and not settings.access_log:
        return sinks
    processors = list(_processors(settings))
    if settings.log in ("stdout", "both"):
        sinks += _on_stdout(lambda: _stdout(settings, boot, processors))
    elif settings.access_log:
        sinks += _on_stdout(lambda: AccessSink(boot, _stdout(settings, boot, processors)))
    if settings.log in ("file", "both"):
        sinks.append(JsonLogSink.to_file(_file(settings), boot, processors))
    return sinks


def _on_stdout(make: Callable[[], Sink]) -> list[Sink]:
    try:
        return [make()]
    except OSError:
        logger.warning("there is no standard output, so no log lines go there")
        return []


def _stdout(settings: Settings, boot: str, processors: list[Processor]) -> Sink:
    terminal = os.isatty(_STDOUT)
    if settings.log_format == "pretty" or (settings.log_format == "auto" and terminal):
        return ConsoleSink("stdout", boot, LineStream.stdout(), pretty(terminal))
    return JsonLogSink.to_stdout(boot, processors)


def _file(settings: Settings) -> LogFile:
    rotation = Rotation(settings.log_rotate_size or None, settings.log_rotate_every or None)
    retention = Retention(
        settings.log_keep_files or None, settings.log_keep_days * _DAY or None, settings.log_min_free or None
    )
    packed = settings.log_compress == "zstd"
    if packed:
        try:
            compressor()
        except ImportError as error:
            raise LogSettingsError(f"REQSCOPE_LOG_COMPRESS=zstd: {error}") from None
    return LogFile(settings.log_file, rotation, retention, fsync=settings.log_fsync, packed=packed)


def _processors(settings: Settings) -> Iterable[Processor]:
    if settings.log_schema == "ecs":
        yield ecs
    for name in settings.log_processors:
        try:
            processor = import_from_string(name)
        except (ImportFromStringError, ImportError) as error:
            raise LogSettingsError(f"REQSCOPE_LOG_PROCESSORS={name}: {error}") from None
        if not callable(processor):
            raise LogSettingsError(f"REQSCOPE_LOG_PROCESSORS={name}: that is no processor, because it cannot be called")
        yield cast(Processor, processor)
