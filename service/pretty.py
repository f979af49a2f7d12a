"""An event as a line for people: aligned columns, colour on a terminal, and nothing that a terminal would obey."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from reqscope.bus.visible import visible

_RESET: Final = "\x1b[0m"
_DIM: Final = "\x1b[2m"
_COLOURS: Final = {"error": "\x1b[31m", "warning": "\x1b[33m", "info": "\x1b[32m"}
_METHOD_WIDTH: Final = 7
_TARGET_WIDTH: Final = 32
_LONGEST_BODY: Final = 200


class Pretty:
    """Writes events as lines.

    :param colour: whether to use colours, which never say what the text does not
    """

    def __init__(self, colour: bool) -> None:
        self._colour = colour

    def __call__(self, entry: Mapping[str, Any]) -> str:
        """Return the line of an event, as the API and the log write it. A field that is missing leaves a gap."""
        status = str(entry.get("http.response.status_code", "-"))
        columns = [
            self._painted(_clock(_text(entry, "timestamp")), _DIM),
            visible(_text(entry, "http.request.method") or "-").ljust(_METHOD_WIDTH),
            self._painted(visible(status).rjust(3), _COLOURS.get(_text(entry, "level"), "")),
            _duration(entry.get("duration")).rjust(8),
            _size(entry.get("http.response.body.size")).rjust(8),
            visible(_target(entry)).ljust(_TARGET_WIDTH),
        ]
        if client := _text(entry, "client.address"):
            columns.append(self._painted(visible(client), _DIM))
        if error := _text(entry, "error.type"):
            message = _text(entry, "exception.message")
            columns.append(self._painted(visible(f"{error}: {message}" if message else error), _COLOURS["error"]))
        if body := _text(entry, "body"):
            columns.append(self._painted(visible(_shortened(body)), _DIM))
        return "  ".join(columns)

    def _painted(self, text: str, colour: str) -> str:
        return f"{colour}{text}{_RESET}" if self._colour and colour else text


def _text(entry: Mapping[str, Any], name: str) -> str:
    value = entry.get(name, "")
    return value if isinstance(value, str) else str(value)


def _target(entry: Mapping[str, Any]) -> str:
    query = _text(entry, "url.query")
    path = _text(entry, "url.path") or "-"
    return f"{path}?{query}" if query else path


def _clock(timestamp: str) -> str:
    try:
        return datetime.fromisoformat(timestamp).astimezone().strftime("%H:%M:%S.%f")[:-3]
    except (ValueError, OverflowError):
        return visible(timestamp).ljust(12)


def _duration(seconds: object) -> str:
    if not isinstance(seconds, int | float):
        return "-"
    if seconds < 0.9995:
        return f"{seconds * 1_000:.1f} ms"
    return f"{seconds:.2f} s"


def _size(size: object) -> str:
    amount = size if isinstance(size, int | float) else 0
    for unit in ("B", "kB", "MB"):
        if amount < 1_000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1_000
    return f"{amount:.1f} GB"


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_BODY else f"{text[:_LONGEST_BODY]}…"
