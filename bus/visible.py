"""Text that may be printed, whatever was captured."""

import re
from typing import Final

_INVISIBLE: Final = re.compile(
    "[\0-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
"""Characters that a terminal takes for commands, that break or turn round a line, that cannot be seen, and those that
UTF-8 has no form for."""


def visible(text: str) -> str:
    """Return `text` on one line, with an escape such as `\\x1b` or `\\u202e` for each character that does not show."""
    return _INVISIBLE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
