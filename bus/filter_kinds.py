"""The kinds of fields that a filter can look at, and how each is compared.

An event may be sealed. Fields that stand in it anyway do not open it, and say so by their cost.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from math import inf
from typing import Protocol, TypeAlias

from .event import Event
from .filter_numbers import Interval, Reader, compared, ends
from .filter_text import Test, contains, equals
from .filter_tree import FilterError, Term, Value

Predicate: TypeAlias = Callable[[Event], bool]


class Cost(IntEnum):
    """What asking costs. A filter asks the cheap ones first."""

    STANDS = 0
    """The answer stands in the event, sealed or not."""
    OPENS = 1
    """The event has to be opened."""
    SCANS = 2
    """Bodies or log lines have to be gone through."""


class Field(Protocol):
    """Something that a filter can look at."""

    @property
    def name(self) -> str: ...
    @property
    def example(self) -> str:
        """A term that makes sense."""
        ...

    @property
    def meaning(self) -> str:
        """What it is, in a few words."""
        ...

    @property
    def cost(self) -> Cost: ...
    @property
    def operators(self) -> tuple[str, ...]:
        """The operators it understands, the most useful one first."""
        ...

    @property
    def choices(self) -> tuple[str, ...]:
        """Values to suggest."""
        ...

    def predicate(self, term: Term) -> Predicate:
        """Return whether an event passes `term`.

        :raises FilterError: the term makes no sense
        """
        ...

    def written(self, value: str) -> str:
        """Return how a filter has to write what the API shows as `value`.

        :raises FilterError: no event has that value
        """
        ...


@dataclass(frozen=True, slots=True)
class Text:
    """A field with one text; an empty one says that the event has none."""

    name: str
    example: str
    meaning: str
    get: Callable[[Event], str]
    cost: Cost = Cost.STANDS
    fold: bool = True
    """Whether `:` compares in any case."""
    choices: tuple[str, ...] = ()
    closed: bool = False
    """Whether there is nothing beside `choices`."""
    present: Predicate | None = None
    """Whether the event has one, where that is cheaper to say than which. For a field that may be empty: always."""
    operators: tuple[str, ...] = (":", "~")

    def predicate(self, term: Term) -> Predicate:
        """See `Field`."""
        check_operator(self, term)
        if term.operator == "~":
            return tested(self.get, contains(term.values))
        for value in term.values if self.closed else ():
            self._check(value)
        if any(value.is_anything for value in term.values) and not self._needs_text(term):
            return self.present or tested(self.get, bool)
        return tested(self.get, equals(term.values, fold=self.fold))

    def written(self, value: str) -> str:
        """See `Field`."""
        return value

    def _needs_text(self, term: Term) -> bool:
        # A star alone asks for any; beside it, only the empty text still makes a difference.
        return any(value.pieces == ("",) for value in term.values)

    def _check(self, value: Value) -> None:
        if len(value.pieces) == 1 and value.text.lower() not in self.choices:
            known = ", ".join(self.choices)
            raise FilterError(f"{shortened(value.text)} is no {self.name}; there are {known}", value.position)


@dataclass(frozen=True, slots=True)
class Texts:
    """A field with any number of texts. An event passes if any of them does; one without any has an empty one."""

    name: str
    example: str
    meaning: str
    get: Callable[[Event], Sequence[str]]
    cost: Cost = Cost.SCANS
    fold: bool = True
    choices: tuple[str, ...] = ()
    operators: tuple[str, ...] = ("~", ":")

    def predicate(self, term: Term) -> Predicate:
        """See `Field`."""
        check_operator(self, term)
        if any(value.is_anything for value in term.values):
            return self._present(any(value.pieces == ("",) for value in term.values))
        test = contains(term.values) if term.operator == "~" else equals(term.values, fold=self.fold)
        get, without = self.get, test("")

        def passes(event: Event) -> bool:
            texts = get(event)
            return any(map(test, texts)) if texts else without

        return passes

    def written(self, value: str) -> str:
        """See `Field`."""
        return value

    def _present(self, without: bool) -> Predicate:
        get = self.get
        return lambda event: without or bool(get(event))


@dataclass(frozen=True, slots=True)
class Number:
    """A field with a number, or None where an event has none: that compares with nothing."""

    name: str
    example: str
    meaning: str
    get: Callable[[Event], float | None]
    read: Reader
    sort: str
    """What kind of number, with an example: `a size such as 10kB`."""
    bound: Reader | None = None
    """Reads the ends of a range, where they may be what a number alone may not."""
    dash: bool = True
    """Whether a range may be written with a dash."""
    least: float = -inf
    plain: Callable[[str], str | None] | None = None
    """How a number is written here that the API writes in another way."""
    cost: Cost = Cost.STANDS
    choices: tuple[str, ...] = ()
    operators: tuple[str, ...] = (">", ":", ">=", "<", "<=")

    def predicate(self, term: Term) -> Predicate:
        """See `Field`."""
        check_operator(self, term)
        return _within(self.get, list(self._intervals(term)))

    def written(self, value: str) -> str:
        """See `Field`."""
        written = value if self.read(value) is not None else self.plain and self.plain(value)
        if written is None:
            raise FilterError(f"{shortened(value)} is not {self.sort}", 0)
        return written

    def _intervals(self, term: Term) -> Iterator[Interval]:
        for value in term.values:
            position = value.position
            # A comma means nothing in a number, so it separates alternatives in quotes too.
            for text in value.text.split(","):
                yield self._interval(text, term.operator, position)
                position += len(text) + 1

    def _interval(self, text: str, operator: str, position: int) -> Interval:
        if operator != ":":
            return compared(self._one(text, position, self.read), operator, self.least)
        if text == "*":
            return self.least, inf
        if self.read(text) is None and (range_ := ends(text, self.dash)) is not None:
            return self._range(text, range_, position)
        return self._one(text, position, self.read)

    def _range(self, text: str, range_: tuple[str, str, int], position: int) -> Interval:
        first, last, cut = range_
        bound = self.bound or self.read
        open_ended = text != ".." and ".." in text
        low = self.least if open_ended and not first else self._one(first, position, bound)[0]
        high = inf if open_ended and not last else self._one(last, position + cut, bound)[1]
        if low > high:
            raise FilterError(f"{shortened(text)} ends before it begins; swap the two", position)
        return low, high

    def _one(self, text: str, position: int, read: Reader) -> Interval:
        if (interval := read(text)) is None:
            raise FilterError(f"{shortened(text)} is not {self.sort}", position)
        return interval


def check_operator(field: Field, term: Term) -> None:
    """Refuse an operator that `field` does not understand."""
    if term.operator not in field.operators:
        known = " ".join(field.operators)
        place = term.position + len(term.field)
        raise FilterError(f"{field.name} goes with {known} and not with {term.operator}: {field.example}", place)


def tested(get: Callable[[Event], str], test: Test) -> Predicate:
    """Return whether an event's text passes `test`."""
    return lambda event: test(get(event))


def _within(get: Callable[[Event], float | None], intervals: list[Interval]) -> Predicate:
    low, high = intervals[0]

    def one(event: Event) -> bool:
        number = get(event)
        return number is not None and low <= number <= high

    def several(event: Event) -> bool:
        number = get(event)
        return number is not None and any(low <= number <= high for low, high in intervals)

    return one if len(intervals) == 1 else several


def shortened(text: str) -> str:
    """Return `text` as a message shows it."""
    return repr(text if len(text) <= 40 else text[:39] + "…")
