"""JSON that is valid and safe to print, whatever was captured."""

import re
from collections.abc import Iterable
from typing import Final

import msgspec

_UNSAFE: Final = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
"""Characters that JSON may hold raw and a terminal or a line reader must not see: DEL, the C1 controls (U+009B
begins an escape sequence), line and paragraph separators, bidirectional marks, and the byte order mark."""

_encoder: Final = msgspec.json.Encoder()


def encode(value: object) -> bytes:
    """Return `value` as JSON on one line, in UTF-8.

    A lone surrogate, which UTF-8 has no form for, becomes the six characters of its escape; NaN and the
    infinities become null. Control, separator and bidirectional characters are escaped.

    :raises TypeError: a value has no JSON form
    """
    try:
        data = _encoder.encode(value)
    except UnicodeEncodeError:
        data = _encoder.encode(_without_surrogates(msgspec.to_builtins(value)))
    return _escape(data)


def encode_lines(values: Iterable[object]) -> bytes:
    """Return each value as `encode` does, and a line feed after each."""
    values = list(values)
    try:
        return _escape(_encoder.encode_lines(values))
    except UnicodeEncodeError:  # one bad value costs the batch its fast path, and nothing else
        return b"".join(encode(value) + b"\n" for value in values)


def _escape(data: bytes) -> bytes:
    if data.isascii() and b"\x7f" not in data:
        return data
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", data.decode()).encode()


def _without_surrogates(value: object) -> object:
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case dict():
            return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
        case list() | tuple():
            return [_without_surrogates(item) for item in value]
        case _:
            return value
