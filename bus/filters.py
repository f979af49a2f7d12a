"""Which events a view shows.

A filter is words, and an event passes if all of them do:

    status:404    status:5xx    status:4xx,5xx    method:POST,PUT    path:/api/*    -path:/health    orders

A bare word is looked for anywhere in the path, in any case. `*` in a path stands for anything. A minus sign in
front turns a word round. Quotes hold what has spaces in it.
"""

import re
from collections.abc import Callable
from typing import Final, Self

from .event import Event

Predicate = Callable[[Event], bool]

_FIELD: Final = re.compile(r"(?P<minus>-?+)(?:(?P<field>[A-Za-z_.]++):)?+")
_WORD: Final = re.compile(_FIELD.pattern + r'(?:"(?P<quoted>[^"]*)"|(?P<plain>[^\s"]+))')
_STATUS: Final = re.compile(r"[1-5](?:xx|\d\d)")


class FilterError(ValueError):
    """A filter that cannot be read.

    :ivar position: where in the text it goes wrong, counted from 0
    """

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


class Filter:
    """A parsed filter, callable with an event. Filters of equal text are equal, so that views can share work."""

    def __init__(self, text: str, predicates: tuple[Predicate, ...]) -> None:
        self.text = text
        self._predicates = predicates

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a filter; the empty one passes everything.

        :raises FilterError: with the position of what is wrong
        """
        words: list[str] = []
        predicates: list[Predicate] = []
        position = 0
        while position < len(text):
            if text[position].isspace():
                position += 1
                continue
            word = _WORD.match(text, position)
            if word is None:
                field = _FIELD.match(text, position)
                place = field.end() if field else position
                quoted = text[place : place + 1] == '"'
                raise FilterError("this quote is not closed" if quoted else "a value is missing here", place)
            words.append(word[0])
            predicates.append(_predicate(word))
            position = word.end()
        return cls(" ".join(words), tuple(predicates))

    def __call__(self, event: Event) -> bool:
        return all(predicate(event) for predicate in self._predicates)

    def __bool__(self) -> bool:
        """Whether there is anything to filter by."""
        return bool(self._predicates)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Filter) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


def _predicate(word: re.Match[str]) -> Predicate:
    field = word["field"]
    value: str = word["quoted"] if word["quoted"] is not None else word["plain"]
    if field is None:
        predicate = _contains(value)
    elif field in _FIELDS:
        predicate = _FIELDS[field](value, word.start("quoted" if word["quoted"] is not None else "plain"))
    else:
        raise FilterError(f"there is no field {field!r}; there are {', '.join(_FIELDS)}", word.start("field"))
    return (lambda event: not predicate(event)) if word["minus"] else predicate


def _contains(value: str) -> Predicate:
    needle = value.casefold()
    return lambda event: needle in event.open().path.casefold()


def _path(value: str, position: int) -> Predicate:
    first, *middle = value.split("*")
    if not middle:
        return lambda event: event.open().path == value
    last = middle.pop()

    # Not a regular expression: one with many stars takes for ever on the wrong path, and both come from outside.
    def matches(event: Event) -> bool:
        path, start = event.open().path, len(first)
        end = len(path) - len(last)
        if start > end or not path.startswith(first) or not path.endswith(last):
            return False
        for part in middle:
            start = path.find(part, start, end)
            if start < 0:
                return False
            start += len(part)
        return True

    return matches


def _method(value: str, position: int) -> Predicate:
    methods = frozenset(value.upper().split(",")) - {""}
    return lambda event: event.method in methods


def _status(value: str, position: int) -> Predicate:
    exact, classes = set[int](), set[int]()
    for part in value.lower().split(","):
        if not _STATUS.fullmatch(part):
            raise FilterError(f"{part!r} is not a status such as 404 or 5xx", position)
        position += len(part) + 1
        if part.endswith("xx"):
            classes.add(int(part[0]))
        else:
            exact.add(int(part))
    return lambda event: event.status in exact or event.status // 100 in classes


_FIELDS: Final[dict[str, Callable[[str, int], Predicate]]] = {
    "status": _status,
    "method": _method,
    "path": _path,
}
