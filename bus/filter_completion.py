"""What could be typed next in a filter."""

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Final, NamedTuple, TypeAlias

from .filter_fields import ALIASES, FIELDS, HEADER, PREFIX, find
from .filter_syntax import MAX_LENGTH
from .filter_tree import FIELD, KEYWORDS, FilterError, Value, write_value

MAX_COMPLETIONS: Final = 30
_MAX_VALUES: Final = 1_000
"""Values that are asked for: there may be as many as somebody likes to send."""

_QUOTED: Final = r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)'
_WORD: Final = re.compile(rf'(?:{_QUOTED}|[^\s"()])*+', re.DOTALL)
_ALTERNATIVE: Final = re.compile(rf'(?:{_QUOTED}|[^\s"(),])*+', re.DOTALL)

Values: TypeAlias = Callable[[str], Iterable[str]]
"""Returns values of a field that have been seen, the most useful first; for `header`, names of headers."""


class Completion(NamedTuple):
    """One thing that could stand between `start` and `end`."""

    start: int
    end: int
    insert: str
    description: str


def complete(text: str, cursor: int, values: Values | None = None) -> list[Completion]:
    """Return what the word at `cursor` could become, the likeliest first and at most `MAX_COMPLETIONS`.

    Never raises, whatever the text is: it is being typed.

    :param values: values of a field that have been seen; without it, only those that are known beforehand
    """
    text = text[:MAX_LENGTH]
    cursor = max(0, min(cursor, len(text)))
    start, end = _around(_WORD, text, 0, cursor)
    start += start < cursor and text[start] == "-"
    head = FIELD.match(text, start, end)
    if head is None or cursor < head.end():
        found = _names(text[start:cursor].lower(), values, "" if head else None)
        return _choose(found, start, start + len(head["name"]) if head else end)
    start, end = _around(_ALTERNATIVE, text[:end], head.end(), cursor)
    return _choose(_values(head, text[start:cursor], values), start, end)


def _around(pattern: re.Pattern[str], text: str, start: int, cursor: int) -> tuple[int, int]:
    """Return where what `pattern` finds at the cursor begins and ends."""
    while True:
        match = pattern.match(text, start)
        end = match.end() if match else start
        if cursor <= end or end >= len(text):
            return min(start, cursor), end
        start = end + 1


def _choose(found: Iterable[tuple[str, str]], start: int, end: int) -> list[Completion]:
    unique = {insert: Completion(start, end, insert, description) for insert, description in found}
    return list(islice(unique.values(), MAX_COMPLETIONS))


def _names(typed: str, values: Values | None, operator: str | None) -> Iterator[tuple[str, str]]:
    """Go through the fields whose name has `typed` in it, and the keywords.

    :param operator: what to put behind a name; None for what goes best with it
    """
    if typed.startswith(PREFIX):
        names = islice(values("header"), _MAX_VALUES) if values else ()
        known = [(PREFIX + name.lower(), ":" if operator is None else operator, HEADER.meaning) for name in names]
    else:
        known = [
            (field.name, field.operators[0] if operator is None else operator, f"{field.meaning}: {field.example}")
            for field in FIELDS
        ]
        known.append((PREFIX, "", f"{HEADER.meaning}: {HEADER.example}"))
        known += [(keyword, " ", _KEYWORDS[keyword]) for keyword in KEYWORDS if typed and operator is None]
    for name, following, meaning in _ranked(known, typed):
        yield name + following, meaning


_KEYWORDS: Final = {
    "AND": "both; the same as nothing between two terms",
    "OR": "one or the other",
    "NOT": "everything else; the same as a minus sign",
}


def _ranked(known: list[tuple[str, str, str]], typed: str) -> Iterator[tuple[str, str, str]]:
    # What begins so comes before what has it in the middle.
    for first in (True, False):
        for each in known:
            place = each[0].lower().find(typed)
            if place >= 0 and (place == 0) == first:
                yield each


def _values(head: re.Match[str], typed: str, values: Values | None) -> Iterator[tuple[str, str]]:
    name, operator = head["name"].lower(), head["operator"]
    try:
        field = find(name)
    except FilterError:
        return
    seen = islice(values(ALIASES.get(name, name)), _MAX_VALUES) if values else ()
    known = [(value, "", "") for value in chain(field.choices, seen)]
    for value, _, _ in _ranked(known, typed.removeprefix('"').lower()):
        yield write_value(Value((value,)), operator), field.meaning
