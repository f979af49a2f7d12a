"""An event as a line of logfmt: `key=value` pairs, in the order that they came in."""

import re
from collections.abc import Mapping
from typing import Any, Final

from reqscope.bus.encoding import encode

_PLAIN: Final = re.compile(r'[^\s"=\\\0-\x1f\x7f-\x9f]+')
"""What needs no quotes, as in Go's logfmt."""


def logfmt(entry: Mapping[str, Any]) -> str:
    """Return one line. A value that needs quotes is written as JSON, in which no control character stands as it is."""
    return " ".join(f"{key}={_value(value)}" for key, value in entry.items() if _PLAIN.fullmatch(key))


def _value(value: object) -> str:
    if isinstance(value, str):
        written = encode(value).decode()
        return value if _PLAIN.fullmatch(value) and written == f'"{value}"' else written
    text = encode(value).decode()
    return text if _PLAIN.fullmatch(text) else encode(text).decode()
