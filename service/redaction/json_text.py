"""Secrets in JSON, by the key before them. It reads the bytes as they are, so all else stays as it was spelled."""

import re
from collections.abc import Callable
from typing import Final, TypeAlias

from .escapes import said, without_backslashes
from .masks import Edit, mask, masked
from .names import Names

Inner: TypeAlias = Callable[[bytes, bool], list[Edit]]
"""Finds secrets in what a string says. The flag says whether the string's end was cut off."""

STRING: Final = rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)("|\\?\Z)'
_TOKEN: Final = re.compile(STRING + rb"(\s*+:\s*+)?+|[^\s\"\[\]{},:]++(?:[ \t]++[^\s\"\[\]{},:]++)*+", re.DOTALL)
_VALUE: Final = re.compile(STRING + rb"|([\[{])|[^\s,\]}\"\[{][^,\]}\"\r\n]*+", re.DOTALL)
_BRACKET: Final = re.compile(STRING + rb"|[\[{]|[\]}]", re.DOTALL)
_SCALAR: Final = re.compile(
    rb"-?[0-9]++(?:\.[0-9]*+)?+(?:[eE][+-]?[0-9]*+)?+|true|false|null|-|t|tr|tru|f|fa|fal|fals|n|nu|nul"
)
SHORTEST_SECRET: Final = 5
_SHORTEST_CARD: Final = 13


def find(data: bytes, names: Names, inner: Inner, *, cut: bool = False) -> tuple[list[Edit], bool]:
    """Return the edits that mask secrets, and whether this is JSON throughout, as far as it goes.

    What is not may have been read out of step: a quote that is missing makes keys look like values. Several documents
    one after another are fine, and so is one whose end is missing.

    :param cut: whether the end is known to be missing, so that a number there may go on
    """
    edits: list[Edit] = []
    numbers: list[Edit] = []
    sure = True
    position = 0
    while match := _TOKEN.search(data, position):
        position = match.end()
        content = match[1]
        if content is None:
            if _SCALAR.fullmatch(match[0]):
                numbers += _number(match, inner, cut=cut and position == len(data))
            else:
                sure = False
        elif match[3] and names[said(content)]:
            found, position = _value(data, position)
            edits += found
        elif len(content) >= SHORTEST_SECRET:
            edits += _string(content, match.start(1), inner, cut=not match[2] or match[2] == b"\\")
    return (edits + numbers if sure else edits), sure


def _string(content: bytes, start: int, inner: Inner, *, cut: bool) -> list[Edit]:
    if b"\\" in content:
        unescaped = without_backslashes(content)
        found = unescaped.back(inner(unescaped.text, cut))
    else:
        found = inner(content, cut)
    return [(start + first, start + last, new) for first, last, new in found]


def _number(match: re.Match[bytes], inner: Inner, *, cut: bool) -> list[Edit]:
    """Return the edit that makes a string of a number that is a card's. Nothing else a number says is secret."""
    token = match[0]
    secret = (cut or len(token) >= _SHORTEST_CARD) and inner(token, cut)
    return [(*match.span(), b'"' + mask(token) + b'"')] if secret else []


def value_edits(data: bytes, start: int) -> list[Edit]:
    """Return the edit that masks the value which starts here, if there is anything to mask."""
    return _value(data, start)[0]


def _value(data: bytes, start: int) -> tuple[list[Edit], int]:
    """Return the edit that masks the value of a sensitive key, and where the value ends."""
    match = _VALUE.match(data, start)
    if match is None:
        return [], start
    content = match[1]
    if content is not None:
        keep = not content or masked(content)
        return [] if keep else [(*match.span(1), mask(said(content)))], match.end()
    stop = _container_end(data, start) if match[3] else start + len(match[0].rstrip())
    value = data[start:stop]
    keep = value == b"null" or masked(value)
    return [] if keep else [(start, stop, b'"' + mask(value) + b'"')], stop


def _container_end(data: bytes, start: int) -> int:
    depth = 0
    for match in _BRACKET.finditer(data, start):
        if match[0] in (b"{", b"["):
            depth += 1
        elif match[0] in (b"}", b"]"):
            depth -= 1
            if not depth:
                return match.end()
    return len(data)
