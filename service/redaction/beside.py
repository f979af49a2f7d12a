"""Secrets in JSON whose name is a value itself, beside them: `{"name": "password", "value": …}`.

So write lists of variables, of form fields and of headers; and what FastAPI answers to input that is not valid, which
repeats it: `{"loc": ["body", "password"], "input": …}`.
"""

import re
from collections.abc import Iterable
from typing import Final, TypeAlias

from .escapes import said
from .json_text import STRING, value_edits
from .masks import Edit, mask
from .names import Names

Span: TypeAlias = tuple[int, int]
"""Where a value starts, and where it ends; 0 where its own end says so."""

_TOKEN: Final = re.compile(STRING + rb"(\s*+:\s*+)?+|([\[{])|[\]}]", re.DOTALL)
_LONGEST: Final = 64
# The last word of a key, however its words are held together.
_START: Final = rb"(?:.*(?:[^A-Za-z]|(?<=[a-z0-9])(?=[A-Z])))?"
_NAMES: Final = re.compile(
    _START + rb"(?i:name|key|field|loc|param|parameter|variable|header|property|attribute|label|type|id|k)", re.DOTALL
)
_VALUES: Final = re.compile(_START + rb"(?i:value|values|val|input|v)", re.DOTALL)
_ANY_VALUE: Final = re.compile(rb'(?i:value|values|val|input|v)"\s*+:')


class _Object:
    """What was read of an object, or of a list."""

    __slots__ = ("is_list", "named", "naming", "start", "values")

    def __init__(self, start: int, *, is_list: bool = False, naming: bool = False) -> None:
        self.start = start
        self.is_list = is_list
        self.naming = naming
        """Whether the next string, or each in a list, is a name."""
        self.named = False
        """Whether one of its names is sensitive."""
        self.values: dict[int, int] = {}
        """Where the values beside them start, and where those end that are objects and lists."""


def find(data: bytes, names: Names) -> list[Edit]:
    """Return the edits that mask values beside a sensitive name, in what is JSON as far as it goes."""
    if _ANY_VALUE.search(data) is None:
        return []
    spans: list[Span] = []
    around: list[_Object] = []
    current = _Object(0)
    for match in _TOKEN.finditer(data):
        content = match[1]
        if content is None:
            if match[4]:
                around.append(current)
                is_list = match[4] == b"["
                # The strings of a list are names if the key before it says so.
                current = _Object(match.start(), is_list=is_list, naming=is_list and current.naming)
            elif around:
                current = _left(current, around.pop(), match.end(), spans)
        elif match[3]:
            key = said(content) if len(content) <= _LONGEST else b""
            current.naming = _NAMES.fullmatch(key) is not None
            if _VALUES.fullmatch(key):
                current.values[match.end()] = 0
        elif current.naming:
            current.named = current.named or names[said(content)]
    while around:
        current = _left(current, around.pop(), len(data), spans)
    spans += _values(current)
    return _edits(data, spans)


def _left(inner: _Object, outer: _Object, stop: int, spans: list[Span]) -> _Object:
    """Note what is to be masked in the inner one, and return the outer one."""
    spans += _values(inner)
    if inner.start in outer.values:
        outer.values[inner.start] = stop
    if inner.is_list:
        outer.named = outer.named or inner.named
    return outer


def _values(current: _Object) -> Iterable[Span]:
    return current.values.items() if current.named else ()


def _edits(data: bytes, spans: list[Span]) -> list[Edit]:
    """Return the edits that mask the values, but those inside of others: each byte is masked once."""
    edits: list[Edit] = []
    done = 0
    for start, stop in sorted(spans):
        if start >= done:
            found = [(start, stop, b'"' + mask(data[start:stop]) + b'"')] if stop else value_edits(data, start)
            done = found[-1][1] if found else start
            edits += found
    return edits
