"""Text in which there is nothing to look for, told at a glance: numbers, short words, versions, most paths."""

import re
from typing import Final

_WORDS: Final = re.compile(rb"[\w-]{0,15}+(?:[/.][\w-]{0,15}+)*+")
_PAIRS: Final = re.compile(rb"[\w-]{0,15}+(?:[/.=&,;:][\w-]{0,15}+)*+")
"""No key has less than 16 letters, digits, dashes and underscores in a row."""

_CARD: Final = 13
"""Digits in the shortest card number."""

_NO_DIGITS: Final = bytes(byte for byte in range(256) if byte not in b"0123456789")
_WEBHOOK: Final = b".slack.com/"
_MARKER: Final = b"Key="


def plain(data: bytes) -> bool:
    """Return whether this can be no secret, and hold none, unless the name it stands under says so.

    Without `=`, `:`, `<` or `(` there is no name with a value in it, without a space, `+` or `%` no credential behind
    its scheme, without `@` no password in a URL, and no encoding either.
    """
    return _WORDS.fullmatch(data) is not None and not _has_card(data) and data.find(_WEBHOOK) < 0


def plain_looks(data: bytes) -> bool:
    """Return whether nothing in this looks like a secret, whatever the names in it say."""
    found = data.find  # twice as quick as `in`, which asks first whether it is a number
    looks_plain = _PAIRS.fullmatch(data) is not None and not _has_card(data)
    return looks_plain and found(_WEBHOOK) < 0 and found(_MARKER) < 0


def _has_card(data: bytes) -> bool:
    """Return whether there are digits enough."""
    return len(data) >= _CARD and len(data.translate(None, _NO_DIGITS)) >= _CARD
