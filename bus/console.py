"""Events for people: one short line each, on a terminal."""

import os
import re
from datetime import datetime
from typing import Final

from .entries import entries
from .event import Event
from .lines import LineStream
from .schema import Entry

_UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_LONGEST: Final = 400
"""Characters of a record, of which a terminal is to show the beginning only."""

_PLAIN, _DIM, _BOLD, _RED, _GREEN, _YELLOW, _CYAN = "", "2", "1", "31", "32", "33", "36"
_BY_CLASS: Final = {1: _CYAN, 2: _GREEN, 3: _CYAN, 4: _YELLOW, 5: _RED}


class ConsoleSink:
    """Prints a line for each event: when, status, how long, how much, who asked, and for what.

    What was captured reaches the terminal without the characters that it would obey.

    :param name: what statistics call the sink
    :param stream: closed with the sink
    :param colour: whether to colour lines, with the escape sequences of ANSI terminals
    """

    def __init__(self, name: str, stream: LineStream, *, colour: bool) -> None:
        self.name = name
        self._stream = stream
        self._paint = _paint if colour else _no_paint

    def write(self, events: list[Event]) -> int:
        self._stream.write("".join(map(self._line, events)).encode())
        return len(events)

    def close(self) -> None:
        self._stream.close()

    def _line(self, event: Event) -> str:
        paint = self._paint
        when = paint(f"{datetime.fromtimestamp(event.time / 1e9):%H:%M:%S.%f}"[:-3], _DIM)  # noqa: DTZ006 - people's
        if not event.method:
            return f"{when} {event.kind:<6} {printable(_record(event))}\n"
        status = paint(f"{event.status or '-':>3}", _BY_CLASS.get(event.status // 100, _PLAIN))
        numbers = f"{_duration(event.total):>9} {_size(event.response_size):>8}"
        query = f"?{event.query.decode('latin-1')}" if event.query else ""
        asked = f"{paint(printable(event.method), _BOLD)} {printable(event.path + query)}"
        error = " " + paint(printable(event.error), _RED) if event.error else ""
        return f"{when} {status} {numbers}  {printable(event.client or '-')}  {asked}{error}\n"


def printable(text: str) -> str:
    """Return `text` with what a terminal obeys, or cannot show, as escapes."""
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def coloured(descriptor: int) -> bool:
    """Return whether lines for this terminal may have colours: https://no-color.org"""
    return os.isatty(descriptor) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _record(event: Event) -> str:
    (entry,) = entries([event], "")
    text = (isinstance(entry, Entry) and (entry.body or entry.body_base64)) or ""
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _size(size: int) -> str:
    if size < 1000:
        return f"{size} B"
    if size < 10**6:
        return f"{size / 1e3:.1f} kB"
    return f"{size / 1e6:.1f} MB" if size < 10**9 else f"{size / 1e9:.1f} GB"


def _paint(text: str, colour: str) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if colour else text


def _no_paint(text: str, colour: str) -> str:
    return text
