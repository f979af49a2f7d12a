"""Text as it reads once its escapes are undone, with the way back to how it was spelled."""

import re
from array import array
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from .masks import Edit

_JSON: Final = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_PERCENT: Final = re.compile(rb"%([0-9a-fA-F]{2})")
_PERCENT_OR_PLUS: Final = re.compile(rb"%([0-9a-fA-F]{2})|\+")
_CONTROL: Final = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}


class Unescaped(NamedTuple):
    """A text without its escapes."""

    text: bytes
    origins: "array[int]"
    """For each byte of the text, and for its end, where it was in what was unescaped."""
    escape: Callable[[bytes], bytes]
    """Spells what is put in as the surroundings demand."""

    def back(self, edits: Iterable[Edit]) -> list[Edit]:
        """Return edits of the text as edits of what it was unescaped from."""
        origins, escape = self.origins, self.escape
        return [(origins[start], origins[stop], escape(new)) for start, stop, new in edits]


def without_backslashes(data: bytes) -> Unescaped:
    """Undo the escapes inside a JSON string."""
    return _unescaped(data, _JSON, _json_character, _with_backslashes)


def said(content: bytes) -> bytes:
    """Return what a JSON string says, given what stands between its quotes."""
    return without_backslashes(content).text if b"\\" in content else content


def without_percent(data: bytes, *, plus: bool = False) -> Unescaped:
    """Undo percent-encoding once.

    :param plus: whether `+` is a space, as it is in forms and queries
    """
    return _unescaped(data, _PERCENT_OR_PLUS if plus else _PERCENT, _percent_character, _with_percent)


def percent_encoded(data: bytes) -> bool:
    """Return whether there is any percent-encoding to undo."""
    return b"%" in data and _PERCENT.search(data) is not None


def _unescaped(
    data: bytes,
    pattern: re.Pattern[bytes],
    character: Callable[[re.Match[bytes]], bytes],
    escape: Callable[[bytes], bytes],
) -> Unescaped:
    pieces: list[bytes] = []
    origins = array("Q")
    done = 0
    for match in pattern.finditer(data):
        start = match.start()
        new = character(match)
        pieces += data[done:start], new
        origins.extend(range(done, start))
        origins.extend([start] * len(new))
        done = match.end()
    pieces.append(data[done:])
    origins.extend(range(done, len(data) + 1))
    return Unescaped(b"".join(pieces), origins, escape)


def _json_character(match: re.Match[bytes]) -> bytes:
    point, other = match.groups()
    if point is None:
        return _CONTROL.get(other, other)
    return chr(int(point, 16)).encode("utf-8", "surrogatepass")


def _percent_character(match: re.Match[bytes]) -> bytes:
    return bytes.fromhex(match[1].decode()) if match[1] else b" "


def _with_backslashes(data: bytes) -> bytes:
    return data.replace(b"\\", b"\\\\").replace(b'"', b'\\"')


def _with_percent(data: bytes) -> bytes:
    return data.replace(b"\\", b"%5C").replace(b'"', b"%22")
