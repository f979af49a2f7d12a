"""What the application logs during a request, to be shown beside it.

Neither a handler nor a logger of the application's is changed: a handler of ours on the root logger would switch off
Python's last resort, and `logging.basicConfig`.
"""

import logging
import threading
from collections.abc import Generator
from contextlib import contextmanager
from time import time_ns
from typing import Any, Final

import structlog
from structlog.typing import EventDict

from .exchange import Exchange, current
from .sealed import RawLine

_MAX_MESSAGE: Final = 8_000
_NOT_THE_APPLICATIONS: Final = ("reqscope", "uvicorn.access")

_watchers = 0


class _Making(threading.local):
    """Whether a record is being made in this thread, and a factory of ours further out will see it."""

    record = False


_making = _Making()


@contextmanager
def watching_logs() -> Generator[None]:
    """Inside the block, keep the lines that the standard library's loggers and structlog's write during requests.

    Only lines that the application's own configuration lets through. structlog is watched as it is configured when the
    block begins. Blocks may overlap.
    """
    global _watchers
    _watchers += 1
    _watch_logging()
    _watch_structlog()
    try:
        yield
    finally:
        _watchers -= 1
        if not _watchers:
            _leave_structlog()


def _watch_logging() -> None:
    inner = logging.getLogRecordFactory()
    if getattr(inner, "is_reqscope", False):
        return

    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
        exchange = _begin_record()
        if exchange is None:
            return inner(*args, **kwargs)
        try:
            record = inner(*args, **kwargs)
        finally:
            _making.record = False
        _note_record(exchange, record)
        return record

    # It stays when the last block ends: somebody may have put one of their own round it, and it does nothing then.
    factory.is_reqscope = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(factory)


def _begin_record() -> Exchange | None:
    """Return the exchange that a record is to be noted in, and remember that it is being made."""
    try:
        if not _watchers or _making.record or (exchange := current.get()) is None:
            return None
        _making.record = True
        return exchange
    except Exception as error:
        _count(error)
        return None


def _count(error: Exception) -> None:
    if (exchange := current.get()) is not None:
        exchange.capture.faults.record("log line", error)


def _note_record(exchange: Exchange, record: logging.LogRecord) -> None:
    try:
        # A record without a name is none that was logged: `logging.makeLogRecord` fills it in later.
        if record.name and not record.name.startswith(_NOT_THE_APPLICATIONS):
            exchange.log(_line(record.levelname.lower(), record.name, _message(record)))
    except Exception as error:
        exchange.capture.faults.record("log line", error)


def _message(record: logging.LogRecord) -> str:
    try:
        return _rendered(record.msg) if isinstance(record.msg, dict) else record.getMessage()
    except Exception:  # arguments that do not fit are the application's mistake, of which `logging` tells
        return str(record.msg)


def _watch_structlog() -> None:
    # In place, before the renderer: loggers that exist already hold on to this very list.
    processors = structlog.get_config()["processors"]
    if isinstance(processors, list) and processors and note_line not in processors:
        processors.insert(len(processors) - 1, note_line)


def _leave_structlog() -> None:
    processors = structlog.get_config()["processors"]
    if isinstance(processors, list) and note_line in processors:
        processors.remove(note_line)


def note_line(logger: object, method: str, event_dict: EventDict) -> EventDict:
    """Keep a line for the request it belongs to. A structlog processor, for a chain that is configured late."""
    # What goes on to the standard library's logging is seen there.
    try:
        if (exchange := current.get()) is not None and not isinstance(logger, logging.Logger):
            exchange.log(_line(method, str(event_dict.get("logger", "")), _rendered(event_dict)))
    except Exception as error:
        _count(error)
    return event_dict


def _line(level: str, logger: str, message: str) -> RawLine:
    return time_ns(), level, logger, message[:_MAX_MESSAGE]


def _rendered(event_dict: Any) -> str:
    known = ("event", "level", "logger", "timestamp", "request_id", "trace_id", "span_id")
    more = [
        f"{key}={value!r}" for key, value in event_dict.items() if key not in known and not str(key).startswith("_")
    ]
    return " ".join([str(event_dict.get("event", "")), *more])
