"""What the application logs during a request, to be shown beside it.

Neither a handler nor a logger of the application's is changed: a handler of ours on the root logger would switch off
Python's last resort, and `logging.basicConfig`.
"""

import logging
import threading
import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager
from time import time_ns
from typing import Any, Final

import structlog
from structlog.typing import EventDict

from .ongoing import current
from .sealed import RawLine

_MAX_MESSAGE: Final = 8_000
_NOT_THE_APPLICATIONS: Final = ("reqscope", "uvicorn.access")

_watchers = 0


class _Latest(threading.local):
    """The record that this thread noted last: one passes twice where somebody has put a factory round ours."""

    record: Callable[[], logging.LogRecord | None] = staticmethod(lambda: None)

    def is_again(self, record: logging.LogRecord) -> bool:
        if self.record() is record:
            return True
        self.record = weakref.ref(record)
        return False


_latest = _Latest()


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
        record = inner(*args, **kwargs)
        _note_record(record)
        return record

    # It stays when the last block ends: somebody may have put one of their own round it, and it does nothing then.
    factory.is_reqscope = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(factory)


def _note_record(record: logging.LogRecord) -> None:
    try:
        if not _watchers or (exchange := current()) is None or _latest.is_again(record):
            return
        # A record without a name is none that was logged: `logging.makeLogRecord` fills it in later.
        if record.name and not record.name.startswith(_NOT_THE_APPLICATIONS):
            exchange.log(_line(record.levelname.lower(), record.name, _message(record)))
    except Exception as error:
        _count(error)


def _count(error: Exception) -> None:
    if (exchange := current()) is not None:
        exchange.plan.faults.record("log line", error)


def _message(record: logging.LogRecord) -> str:
    if isinstance(record.msg, dict):
        return _rendered(record.msg)
    try:
        return record.getMessage()
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
        if (exchange := current()) is not None and not isinstance(logger, logging.Logger):
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
