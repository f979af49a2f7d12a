"""Whether the mock was asked what it should have been, answered like an assertion in a test."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from .matching import Miss, ReadyStub, Source, explain
from .request import MockRequest
from .store import StubStore
from .stub import Stub, StubRequest

_NEAREST: Final = 3
_MOST_EXPLAINED: Final = 500


class Count(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How often."""

    at_least: int = 1
    at_most: int | None = None


class Verify(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What to look for among the requests that came: one kind of them and how often, or several in their order."""

    request: StubRequest | UnsetType = UNSET
    stub: str | None = None
    """Only those that the stub of this name answered."""
    count: int | Count = msgspec.field(default_factory=Count)
    order: list[StubRequest] | UnsetType = UNSET

    def __post_init__(self) -> None:
        if self.order is not UNSET and (self.request is not UNSET or self.stub is not None):
            raise ValueError("order stands alone")


class Verdict(msgspec.Struct, kw_only=True):
    """The answer."""

    ok: bool
    message: str
    count: int
    """How many of the requests that are remembered were so."""
    nearest: list[Miss] = []
    """The requests that come nearest to it, by their method and path, and what is other in them."""


def verify(store: StubStore, wanted: Verify) -> Verdict:
    """Look for requests.

    :raises ValueError: a pattern or a JSONPath is wrong
    """
    requests = store.journal.requests()
    if wanted.order is not UNSET:
        return _order(store, wanted.order, requests)
    request = StubRequest() if wanted.request is UNSET else wanted.request
    pattern = _ready(request)
    found = [each for each in requests if _is(pattern, each) and (wanted.stub is None or each.stub == wanted.stub)]
    count = wanted.count
    least, most = (count, count) if isinstance(count, int) else (count.at_least, count.at_most)
    ok = least <= len(found) and (most is None or len(found) <= most)
    message = f"{_name(pattern)} was asked {_times(len(found))}, and should have been {_wanted(least, most)}"
    if ok:
        return Verdict(ok=True, message=f"{_name(pattern)} was asked {_times(len(found))}", count=len(found))
    if store.journal.dropped:
        message += f" (of the requests, {store.journal.dropped} were too long ago to be remembered)"
    misses = _nearest(store, pattern, [each for each in requests if each not in found]) if len(found) < least else []
    for miss in misses:
        message += f"\n  {miss.stub}: " + "; ".join(
            f"{each.field} is {each.actual}, not {each.expected}" for each in miss.verdicts if not each.fits
        )
    return Verdict(ok=False, message=message, count=len(found), nearest=misses)


def _order(store: StubStore, wanted: Sequence[StubRequest], requests: list[MockRequest]) -> Verdict:
    patterns = [_ready(each) for each in wanted]
    left, found = iter(requests), 0
    for pattern in patterns:
        if not any(_is(pattern, each) for each in left):
            message = f"{_name(pattern)} did not come as number {found + 1} in the order"
            if any(_is(pattern, each) for each in requests):
                message += "; it came, but before the others"
                return Verdict(ok=False, message=message, count=found)
            return Verdict(ok=False, message=message, count=found, nearest=_nearest(store, pattern, requests))
        found += 1
    return Verdict(ok=True, message=f"all {found} came in this order", count=found)


def _ready(request: StubRequest) -> ReadyStub:
    return ReadyStub(Stub(request=request), Source())


def _is(pattern: ReadyStub, request: MockRequest) -> bool:
    if pattern.methods and request.method not in pattern.methods:
        return False
    return pattern.values(request.path) is not None and all(each.holds(request) for each in pattern.conditions)


def _nearest(store: StubStore, pattern: ReadyStub, requests: list[MockRequest]) -> list[Miss]:
    requests = requests[-_MOST_EXPLAINED:]
    # Those of another path are worth a word only where there are none of this one.
    requests = [each for each in requests if pattern.values(each.path) is not None] or requests
    scored = [
        (sum(each.fits for each in explain(pattern, request, request, "")), number, request)
        for number, request in enumerate(requests)
    ]
    best = sorted(scored, key=lambda each: each[:2], reverse=True)[:_NEAREST]
    misses: list[Miss] = []
    for score, _, request in best:
        if score:
            shown = store.masked(request)
            misses.append(Miss(f"{shown.method} {shown.path}", "", explain(pattern, request, shown, "")))
    return misses


def _name(pattern: ReadyStub) -> str:
    conditions = " and ".join(f"{each.field} {each.expected}" for each in pattern.conditions)
    return f"{','.join(pattern.methods) or 'ANY'} {pattern.stub.request.path or pattern.path}" + (
        f" with {conditions}" if conditions else ""
    )


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")


def _wanted(least: int, most: int | None) -> str:
    if most is None:
        return f"at least {_times(least)}"
    if least == most:
        return _times(least)
    return f"from {least} to {most} times"


def read_verify(content: bytes) -> Verify:
    """Return what a request to the API asks.

    :raises msgspec.ValidationError: it says something else
    """
    wanted: Verify = msgspec.json.decode(content, type=Verify)
    return wanted


def request_of(method: str | None, path: str | None, conditions: dict[str, Any]) -> StubRequest:
    """Return the pattern of requests that Python code names by keyword arguments.

    :raises msgspec.ValidationError: an argument is none
    """
    given = {"method": method, "path": path, **conditions}
    return msgspec.convert({key: value for key, value in given.items() if value is not None}, StubRequest)
