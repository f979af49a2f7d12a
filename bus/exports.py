"""Events as a file: lines of JSON, a table, or an HTTP archive, written piece by piece."""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, Protocol

import msgspec

from .encoding import encode
from .event import Event
from .schema import Detail, Summary, view

_FIELDS: Final = msgspec.structs.fields(Summary)
COLUMNS: Final = tuple(field.encode_name for field in _FIELDS)
"""Of the table: the names that the log, the API and the panel use."""

_FORMULA: Final = re.compile("[=+\\-@\t\r\n\0\uff1d\uff0b\uff0d\uff20]")
"""What a spreadsheet takes for the start of a formula, in its fullwidth forms too (ASVS 1.2.10)."""
_INVISIBLE: Final = re.compile(
    "[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
"""Characters that a terminal or a line reader must not see, and those that UTF-8 has no form for."""


class Export(Protocol):
    """A file in the making: its start, a piece for each event, and its end. Together they are valid, also when empty.

    An export holds one event at a time, and nothing of those that were before it.
    """

    media_type: str
    suffix: str

    def start(self) -> bytes:
        """Return what comes before all events."""
        ...

    def add(self, event: Event) -> bytes:
        """Return what an opened event adds, which may be nothing."""
        ...

    def end(self) -> bytes:
        """Return what comes after all events."""
        ...


def written(export: Export, events: Iterable[Event]) -> Iterator[bytes]:
    """Yield the file of these opened events, event by event."""
    yield export.start()
    yield from map(export.add, events)
    yield export.end()


class NdjsonExport:
    """A line of JSON for each event, the same that `/api/events/{id}` answers.

    :param boot: the bus's, for event ids
    """

    media_type = "application/x-ndjson"
    suffix = "ndjson"

    def __init__(self, boot: str) -> None:
        self._boot = boot

    def start(self) -> bytes:
        return b""

    def add(self, event: Event) -> bytes:
        return encode(view(event, self._boot, Detail)) + b"\n"

    def end(self) -> bytes:
        return b""


class CsvExport:
    """A table (RFC 4180, UTF-8) of what lists show, under the same names.

    A cell that a spreadsheet would take for a formula has a `'` in front. Characters that do not show are escaped.
    """

    media_type = "text/csv; charset=utf-8"
    suffix = "csv"

    def __init__(self, boot: str) -> None:
        self._boot = boot
        self._row = io.StringIO(newline="")
        self._writer = csv.writer(self._row)

    def start(self) -> bytes:
        return self._line(COLUMNS)

    def add(self, event: Event) -> bytes:
        shown: dict[str, Any] = msgspec.to_builtins(view(event, self._boot, Summary))
        return self._line(cell(shown.get(name, "")) for name in COLUMNS)

    def end(self) -> bytes:
        return b""

    def _line(self, cells: Iterable[str]) -> bytes:
        self._writer.writerow(cells)
        line = self._row.getvalue()
        self._row.seek(0)
        self._row.truncate()
        return line.encode()


def cell(value: object) -> str:
    """Return a value for a CSV cell: text that a spreadsheet would take for a formula has a `'` in front."""
    text = str(value)
    if not isinstance(value, str):
        return text
    return f"'{printable(text)}" if _FORMULA.match(text) else printable(text)


def printable(text: str) -> str:
    """Return `text` with what a terminal would obey, and what does not show, as escapes."""
    return _INVISIBLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
