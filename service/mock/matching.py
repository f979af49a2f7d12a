"""From a request to the stub that answers it, past those that cannot."""

from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from operator import attrgetter
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from .answer import ReadyResponse
from .conditions import conditions, path_matcher
from .paths import first_segment
from .request import MockRequest
from .stub import Stub

Rank = tuple[int, int, int]
_ANY: Final = "*"
_NEAREST: Final = 3
_MOST_COMPARED: Final = 2_000
_FITS: Final = 3.0
"""What a path that fits counts for; one that is like it counts for less."""
rank = attrgetter("rank")


class Source(NamedTuple):
    """Where a stub is from."""

    file: Path | None = None
    """None where it was added through the API."""
    line: int = 0
    root: Path | None = None
    """The folder that its files may be in."""


class ReadyStub:
    """A stub made ready: patterns compiled, bodies encoded, files read.

    :param order: its place among those of the same priority
    :param key: what the API calls it: unique, and the same for as long as the stub has its name in its file
    :raises ValueError: it cannot be made ready, saying why
    """

    def __init__(self, stub: Stub, source: Source, order: int = 0, key: str = "") -> None:
        self.stub = stub
        self.source = source
        self.name = stub.name
        self.place(order, key)
        self.methods = list(stub.request.method)
        self.path = stub.request.path or stub.request.path_regex or "/{path}"
        """What a route template is to an application."""
        self.parts = self.path.strip("/").split("/")
        self.conditions = conditions(stub.request)
        self.values = path_matcher(stub.request)
        base = source.file.parent if source.file is not None else None
        self.responses = [ReadyResponse(each, source.root, base) for each in stub.answers]
        self.enabled = stub.enabled

    def place(self, order: int, key: str) -> None:
        """Give it its place and its key. Those of the API come before those of files."""
        self.rank: Rank = (self.stub.priority, 0 if self.source.file is None else 1, order)
        self.key = key

    def takes(self, request: MockRequest) -> bool:
        """Whether path and conditions hold; the method is the index's business."""
        values = self.values(request.path)
        if values is None:
            return False
        for condition in self.conditions:
            if not condition.holds(request):
                return False
        request.path_values = values
        return True

    @property
    def segment(self) -> str:
        """The first segment of every path that it takes, or `*`."""
        segment = first_segment(self.stub.request.path or "/{any}")
        return _ANY if "{" in segment else segment


class StubIndex:
    """Stubs by method and first path segment, in the order in which they are tried. Never changed, only replaced."""

    def __init__(self, stubs: Iterable[ReadyStub]) -> None:
        self.stubs = sorted(stubs, key=rank)
        self._by: dict[tuple[str, str], list[ReadyStub]] = {}
        for stub in self.stubs:
            for method in stub.methods or [_ANY]:
                self._by.setdefault((method, stub.segment), []).append(stub)

    def candidates(self, request: MockRequest) -> Iterator[ReadyStub]:
        """Return the stubs whose method and first segment fit, in the order in which they are to be tried."""
        segment, by = first_segment(request.path), self._by
        places = ((request.method, segment), (request.method, _ANY), (_ANY, segment), (_ANY, _ANY))
        lists = [found for place in places if (found := by.get(place))]
        return iter(lists[0] if len(lists) == 1 else merge(*lists, key=rank))


class Verdict(msgspec.Struct, frozen=True):
    """Whether one part of a request fits a stub."""

    field: str
    fits: bool
    expected: str
    actual: str


class Miss(msgspec.Struct, frozen=True):
    """A stub that did not answer, and why."""

    stub: str
    key: str
    verdicts: list[Verdict]


def explain(stub: ReadyStub, request: MockRequest, shown: MockRequest, state: str) -> list[Verdict]:
    """Return, field by field, whether the request fits.

    :param shown: the request with its secrets masked, of which values may be told
    :param state: in words, why the stub does not answer now, if there is a reason beside the request
    """
    verdicts = [
        Verdict(
            "method",
            not stub.methods or request.method in stub.methods,
            ", ".join(stub.methods) or "any",
            shown.method,
        ),
        Verdict("path", stub.values(request.path) is not None, stub.path, shown.path),
        *(Verdict(each.field, each.holds(request), each.expected, each.actual(shown)) for each in stub.conditions),
    ]
    if state:
        verdicts.append(Verdict("state", False, "ready to answer", state))
    return verdicts


def nearest(
    stubs: Iterable[ReadyStub], request: MockRequest, shown: MockRequest, state: Callable[[ReadyStub], str]
) -> list[Miss]:
    """Return the stubs that come nearest to the request, the nearest first.

    :param state: in words, why a stub does not answer now, whatever the request; empty if it would
    """
    parts = request.path.strip("/").split("/")
    scored = sorted(
        (
            (_score(stub, request, parts), -number, stub)
            for number, stub in zip(range(_MOST_COMPARED), stubs, strict=False)
        ),
        key=lambda each: each[:2],
        reverse=True,
    )
    return [
        Miss(stub.name, stub.key, explain(stub, request, shown, state(stub)))
        for score, _, stub in scored[:_NEAREST]
        if score > 0
    ]


def _score(stub: ReadyStub, request: MockRequest, parts: list[str]) -> float:
    method = 1.0 if not stub.methods or request.method in stub.methods else 0.0
    path = _FITS if stub.values(request.path) is not None else 2 * _likeness(stub.parts, parts)
    if path <= 0:
        return 0.0
    if path < _FITS:
        return method + path
    held = sum(each.holds(request) for each in stub.conditions)
    return method + path + held / (len(stub.conditions) or 1)


def _likeness(ours: list[str], theirs: list[str]) -> float:
    """Return the share of segments that are the same, or nearly so; 0 if none but those of names are."""
    likeness = [_segment_likeness(one, other) for one, other in zip(ours, theirs, strict=False)]
    if not any(each for one, each in zip(ours, likeness, strict=False) if not one.startswith("{")):
        return 0.0
    return sum(likeness) / max(len(ours), len(theirs))


def _segment_likeness(one: str, other: str) -> float:
    if one == other:
        return 1.0
    if one.startswith("{"):
        return 0.5
    short, long = sorted((one.lower(), other.lower()), key=len)
    return 0.6 if short and (long.startswith(short) or sorted(short) == sorted(long)) else 0.0
