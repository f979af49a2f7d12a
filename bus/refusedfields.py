"""Fields that validation refused, as FastAPI names them in its answers of 422."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from time import perf_counter
from typing import Final

import msgspec

from .event import Event
from .ring import RingBuffer
from .schema import NAMES

_UNPROCESSABLE: Final = 422
_MOST: Final = 500
_OPENING: Final = 0.005
"""Seconds of opening answers in one go, in which the event loop gets no turn. What is open stays so: who looks again
sees further back."""
_LONGEST: Final = 200
"""Characters of a name or a reason, which clients may have a part in."""


class RefusedField(msgspec.Struct, kw_only=True, rename=NAMES, gc=False):
    """A field of one route that was refused for one reason."""

    method: str
    route: str | None
    field: str
    """Where it stood, from the part of the request on: `body.items[].price`, `query.page`."""
    reason: str
    """Pydantic's type of the error, such as `missing`."""
    message: str
    """Of the latest."""
    count: int
    """Answers that named it so."""
    last: datetime
    """When the request of the latest one began."""
    id: str
    """Of the latest one's event."""


class RefusedFields(msgspec.Struct, gc=False):
    """What the latest answers of 422 say, the field that most of them name first.

    `answers = named + unnamed`, always.
    """

    fields: list[RefusedField]
    answers: int
    """Those that were looked at: of the latest 500 that the ring has as many as could be opened in a moment."""
    unnamed: int
    """Those of which no body was captured, or one that names no fields."""


class _Problem(msgspec.Struct, gc=False):
    loc: list[str | int]
    type: str = ""
    msg: str = ""


class _Answer(msgspec.Struct, gc=False):
    """See https://fastapi.tiangolo.com/tutorial/handling-errors/: the default answer, which few applications change."""

    detail: list[_Problem]


_read: Final = msgspec.json.Decoder(_Answer).decode


def refused_fields(ring: RingBuffer, boot: str) -> RefusedFields:
    """Return which fields the answers of 422 that `ring` still has say were refused.

    Looked up when somebody asks: nothing is counted for the rest of the time. For the event loop's thread.

    :param boot: names the bus, for the ids of events
    """
    events = [event for event in ring.since(ring.first - 1, sealed=True).events if event.status == _UNPROCESSABLE]
    found: dict[tuple[str, str | None, str, str], RefusedField] = {}
    answers = unnamed = 0
    deadline = perf_counter() + _OPENING
    for event in events[: -_MOST - 1 : -1]:
        if event.sealed is not None and perf_counter() > deadline:
            break
        problems = {(_name(problem), problem.type[:_LONGEST]): problem for problem in _problems(event.open())}
        answers += 1
        unnamed += not problems
        for (name, reason), problem in problems.items():
            key = (event.method, event.route, name, reason)
            if key not in found:
                found[key] = _field(event, name, reason, problem, boot)
            found[key].count += 1
    fields = sorted(found.values(), key=lambda field: (field.count, field.last), reverse=True)
    return RefusedFields(fields, answers, unnamed)


def _field(event: Event, name: str, reason: str, problem: _Problem, boot: str) -> RefusedField:
    return RefusedField(
        method=event.method,
        route=event.route,
        field=name,
        reason=reason,
        message=problem.msg[:_LONGEST],
        count=0,
        last=datetime.fromtimestamp(event.time / 1e9, UTC),
        id=f"{boot}-{event.seq}",
    )


def _problems(event: Event) -> Sequence[_Problem]:
    body = event.response_body
    try:
        return _read(body.data).detail if body is not None else ()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()


def _name(problem: _Problem) -> str:
    return "".join(_steps(problem))[:_LONGEST] or "(all of it)"


def _steps(problem: _Problem) -> Iterator[str]:
    for number, step in enumerate(problem.loc):
        if isinstance(step, str):
            yield f".{step}" if number else step
        elif problem.type != "json_invalid":  # there the number is a place in the text
            yield "[]"
