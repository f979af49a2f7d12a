"""Secrets in text of any shape, by the name before them: `name=value`, `"name": value`, `<name>value</name>`."""

import re
from typing import Final

from .masks import MASK, Edit, mask, masked, masking
from .names import Names
from .values import QUOTE, bare_end, container_end, quoted_end

# The name, the quote that closes it, and what stands between the two of them and the value. A name starts where a
# word does, so that a long word is read once.
_PAIR: Final = re.compile(
    rb"(?<![\w.\[\]%$\x80-\xff-])((?:[\w.\[\]%$\x80-\xff-]++|\\{1,8}+u[0-9a-fA-F]{4}){1,64}+)("
    + QUOTE
    + rb")?+(?(2)\s{0,64}+|[ \t]{0,8}+)(?:=>|:=|={1,3}+|:(?!:))(?(2)\s{0,64}+|[ \t]{0,8}+)"
)
_ESCAPED_BREAK: Final = re.compile(rb"\\[nrt]")
_ESCAPED_CHARACTER: Final = re.compile(rb"\\+u([0-9a-fA-F]{4})")
_TUPLE: Final = re.compile(rb"\([bru]{0,2}(?:" + QUOTE + rb")([\w.-]{1,64}+)(?:" + QUOTE + rb"),[ \t]{0,8}")
_QUOTE: Final = re.compile(rb"[bBrRuUfF]{0,2}(" + QUOTE + rb")")
_SCHEME: Final = re.compile(rb"(?:apikey|basic|bearer|token)(?: {1,8}+|%20|\+)(?=[^\s\"'&,;])", re.IGNORECASE)
_WHOLE_LINE: Final = (b"authorization", b"cookie", b"cookie2")
_LINE: Final = re.compile(rb"(?:[^\r\n\"'`\\]++|(?<=[= ])\"[^\"\r\n]*+\"?|\\(?![\"'`nr]))*+")
_COOKIE: Final = re.compile(rb"[^\s=;,]++=([^;,\s]++)")
_LINE_SCHEME: Final = re.compile(rb"[A-Za-z][A-Za-z0-9-]{0,19} +")
_ELEMENT: Final = re.compile(rb"<([A-Za-z_\x80-\xff][\w:.\x80-\xff-]*+)[^<>]*+>")
_CDATA: Final = re.compile(rb"\s*<!\[CDATA\[(.*?)(?:\]\]>\s*|\Z)", re.DOTALL)
_NULL: Final = (b"null", b"None", b"nil", b"undefined")


def find(data: bytes, names: Names) -> list[Edit]:
    """Return the edits that mask what stands behind a sensitive name, in text of no particular format."""
    edits = _pairs(data, names)
    if b"<" in data:
        edits += _elements(data, names)
    return edits


def _pairs(data: bytes, names: Names) -> list[Edit]:
    edits: list[Edit] = []
    position = 0
    while match := _PAIR.search(data, position):
        position = match.end()
        if names[_name(match)]:
            found, position = _value(data, position, match[1], quoted=match[2] is not None)
            edits += found
    if b"(" in data:
        for match in _TUPLE.finditer(data):
            if names[match[1]] and _QUOTE.match(data, match.end()):
                edits += _value(data, match.end(), match[1], quoted=True)[0]
    return edits


def _name(match: re.Match[bytes]) -> bytes:
    """Return the name as it reads, without the end of an escape before it: that of `\ntoken` is `token`."""
    spelled, start = match[1], match.start()
    if start and _ESCAPED_BREAK.match(match.string, start - 1):
        spelled = spelled[1:]
    return _ESCAPED_CHARACTER.sub(_character, spelled) if b"\\" in spelled else spelled


def _character(match: re.Match[bytes]) -> bytes:
    return chr(int(match[1], 16)).encode("utf-8", "replace")


def _value(data: bytes, start: int, name: bytes, *, quoted: bool) -> tuple[list[Edit], int]:
    """Return the edits for the value that starts here, and where to go on."""
    if quote := _QUOTE.match(data, start):
        stop, _ = quoted_end(data, quote.end(), quote[1])
        # What looks like an opening quote may be a closing one, so names are looked for in there too.
        return _string(data, quote.end(), stop), quote.end()
    if data[start : start + 1] in (b"{", b"[") and not data.startswith(MASK, start):
        stop = container_end(data, start)
        return [(start, stop, _quoted(mask(data[start:stop]), quoted=quoted))], stop
    if not quoted and name.lower().endswith(_WHOLE_LINE):
        return _line(data, start, name)
    return _bare(data, start, quoted=quoted)


def _quoted(new: bytes, *, quoted: bool) -> bytes:
    return b'"' + new + b'"' if quoted else new


def _string(data: bytes, start: int, stop: int) -> list[Edit]:
    scheme = _SCHEME.match(data, start, stop)
    return masking(data, scheme.end() if scheme else start, stop)


def _bare(data: bytes, start: int, *, quoted: bool) -> tuple[list[Edit], int]:
    scheme = None if quoted else _SCHEME.match(data, start)
    begin = scheme.end() if scheme else start
    stop = bare_end(data, begin)
    value = data[begin:stop]
    if not value or value in _NULL or masked(value):
        return [], stop
    return [(begin, stop, _quoted(mask(value), quoted=quoted))], stop


def _line(data: bytes, start: int, name: bytes) -> tuple[list[Edit], int]:
    """Return the edits for a header in text, whose value goes on to the end of the line."""
    match = _LINE.match(data, start)
    stop = match.end() if match else start
    while stop > start and data[stop - 1 : stop].isspace():
        stop -= 1
    if name.lower().endswith(b"authorization"):
        scheme = _LINE_SCHEME.match(data, start, stop)
        return masking(data, scheme.end() if scheme else start, stop), stop
    cookies = [pair.span(1) for pair in _COOKIE.finditer(data, start, stop)] or [(start, stop)]
    return [edit for cookie in cookies for edit in masking(data, *cookie)], stop


def _elements(data: bytes, names: Names) -> list[Edit]:
    edits: list[Edit] = []
    position = 0
    while match := _ELEMENT.search(data, position):
        position = match.end()
        if not match[0].endswith(b"/>") and names[match[1]]:
            stop = _element_end(data, position, match[1])
            edits += _content(data, position, stop)
            position = stop
    return edits


def _element_end(data: bytes, start: int, name: bytes) -> int:
    depth = 1
    for match in re.compile(rb"<(/?)%s(?![\w:.-])[^<>]*+" % re.escape(name)).finditer(data, start):
        if not match[0].endswith(b"/"):
            depth += -1 if match[1] else 1
        if not depth:
            return match.start()
    return len(data)


def _content(data: bytes, start: int, stop: int) -> list[Edit]:
    if cdata := _CDATA.match(data, start, stop):
        return masking(data, *cdata.span(1))
    while start < stop and data[start : start + 1].isspace():
        start += 1
    while stop > start and data[stop - 1 : stop].isspace():
        stop -= 1
    return masking(data, start, stop)
