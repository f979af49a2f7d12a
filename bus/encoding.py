"""JSON that is valid and safe to print, whatever was captured."""

import re
from collections.abc import Iterable
from typing import Final, cast

import msgspec

_UNSAFE: Final = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
"""Characters that JSON may hold raw and a terminal or a line reader must not see: DEL, the C1 controls (U+009B
begins an escape sequence), line and paragraph separators, bidirectional marks, and the byte order mark."""

_DELETE: Final = 0x7F
"""As a number: of bytes in bytes, Python 3.11 raises an exception inside before it looks."""

_DEEPEST: Final = 64
_LONGEST_INTEGER: Final = 13_000
"""Bits. Python refuses to print integers of more than 4300 digits, and few readers take them."""

_REFUSALS: Final = (TypeError, ValueError, RecursionError)
"""What encoders raise: a lone surrogate is a ValueError."""

_strict: Final = msgspec.json.Encoder()
_lenient: Final = msgspec.json.Encoder(enc_hook=repr)


def encode(value: object) -> bytes:
    """Return `value` as JSON on one line, in UTF-8.

    A lone surrogate, which UTF-8 has no form for, becomes the six characters of its escape; NaN and the infinities
    become null. Control, separator and bidirectional characters are escaped. What is nested too deeply, or holds
    itself, is cut, and an integer of thousands of digits becomes text.

    :raises TypeError: a value has no JSON form
    """
    return _escape(_encode(value, _strict))


def encode_lines(values: Iterable[object], *, lenient: bool = False) -> bytes:
    """Return each value as `encode` does, and a line feed after each.

    :param lenient: show what has no JSON form as Python would
    """
    values = list(values)
    encoder = _lenient if lenient else _strict
    try:
        return _escape(encoder.encode_lines(values))
    except _REFUSALS:  # one bad value costs the batch its fast path, and nothing else
        return b"".join(_escape(_encode(value, encoder)) + b"\n" for value in values)


def _encode(value: object, encoder: msgspec.json.Encoder) -> bytes:
    try:
        return encoder.encode(value)
    except _REFUSALS:
        return encoder.encode(_encodable(value, encoder, _DEEPEST))


def _escape(data: bytes) -> bytes:
    if data.isascii() and _DELETE not in data:
        return data
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", data.decode()).encode()


def _encodable(value: object, encoder: msgspec.json.Encoder, depth: int) -> object:
    """Return `value` without what stops the encoder."""
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case int() if value.bit_length() > _LONGEST_INTEGER:
            return hex(value)
        case None | int() | float() | bytes() | msgspec.Raw():
            return value
        case _ if depth == 0:
            return "…"
        case dict():
            pairs = cast("dict[object, object]", value).items()
            return {_key(key, encoder): _encodable(item, encoder, depth - 1) for key, item in pairs}
        case list() | tuple() | set() | frozenset():
            return [_encodable(item, encoder, depth - 1) for item in cast("Iterable[object]", value)]
        case _:
            return _encodable(msgspec.to_builtins(value, enc_hook=encoder.enc_hook), encoder, depth - 1)


def _key(key: object, encoder: msgspec.json.Encoder) -> object:
    if isinstance(key, str | int | float) or encoder.enc_hook is None:
        return _encodable(key, encoder, 0)
    return _encodable(str(key), encoder, 0)
