"""What is kept of an exception: enough to print its traceback, and nothing that keeps its frames alive."""

import os
import sysconfig
from collections import deque
from collections.abc import Iterator
from hashlib import blake2s
from traceback import FrameSummary, StackSummary, TracebackException
from types import TracebackType
from typing import Final, NamedTuple

_MAX_FRAMES: Final = 60
"""Of one exception: the innermost, which say where it came from."""
_PER_FRAME: Final = 250
_MAX_CHAIN: Final = 5
_MAX_MEMBERS: Final = 5
_MAX_MESSAGE: Final = 4_000

_LIBRARIES: Final = tuple(
    {
        os.path.join(path, "")
        for key in ("stdlib", "platstdlib", "purelib", "platlib")
        if (path := sysconfig.get_path(key))
    }
)


class Frame(NamedTuple):
    """A line that an exception came through."""

    file: str
    line: int
    function: str


class Raised(NamedTuple):
    """An exception, without the objects that it holds on to."""

    type: str
    message: str
    frames: tuple[Frame, ...]
    """Outermost first."""
    cause: "Raised | None"
    explicit: bool
    """Whether the cause was named by `raise … from`."""
    notes: tuple[str, ...] = ()
    members: tuple["Raised", ...] = ()
    """The first exceptions of a group."""

    @property
    def weight(self) -> int:
        """Bytes that its traceback takes, near enough to bound memory by."""
        others = (*self.members, self.cause) if self.cause is not None else self.members
        own = len(self.message) + _PER_FRAME * len(self.frames) + sum(map(len, self.notes))
        return own + sum(other.weight for other in others)


def keep(error: BaseException, depth: int = _MAX_CHAIN) -> Raised:
    """Return what can be told of `error`. Reads no source, so it is cheap enough for where the request ends."""
    explicit = error.__cause__ is not None
    cause = error.__cause__ if explicit or error.__suppress_context__ else error.__context__
    return Raised(
        _name(type(error)),
        _text(error),
        tuple(deque(_frames(error.__traceback__), _MAX_FRAMES)),
        keep(cause, depth - 1) if cause is not None and depth > 1 else None,
        explicit,
        tuple(map(_text, getattr(error, "__notes__", ()))),
        _members(error, depth - 1),
    )


def render(raised: Raised) -> str:
    """Return the traceback as Python prints it, without the marks below its lines. Reads source files."""
    return "".join(_printable(raised).format()).removesuffix("\n")


def fingerprint(raised: Raised, route: str | None) -> str:
    """Return a name for exceptions of this type that come from this line on this route."""
    place = next((frame for frame in reversed(raised.frames) if _is_own(frame)), None)
    if place is None and raised.frames:
        place = raised.frames[-1]
    members = sorted({fingerprint(member, route) for member in raised.members})
    told = repr((raised.type, route, place, members))
    return blake2s(told.encode("utf-8", "backslashreplace"), digest_size=6).hexdigest()


def _frames(trace: TracebackType | None) -> Iterator[Frame]:
    while trace is not None:
        frame = trace.tb_frame
        if frame.f_globals.get("__name__") not in _OURS:
            code = frame.f_code
            yield Frame(code.co_filename, trace.tb_lineno, code.co_name)
        trace = trace.tb_next


def _members(error: BaseException, depth: int) -> tuple[Raised, ...]:
    if not isinstance(error, BaseExceptionGroup) or not depth:
        return ()
    return tuple([keep(member, depth) for member in error.exceptions[:_MAX_MEMBERS]])


def _printable(raised: Raised) -> TracebackException:
    """Return what Python prints from, made of what was kept."""
    kind = type(raised.type, (Exception,), {"__module__": "builtins", "__qualname__": raised.type})
    shown = TracebackException(kind, kind(raised.message), None)
    shown.stack = StackSummary.from_list([FrameSummary(*frame, lookup_line=False) for frame in raised.frames])
    if raised.notes:
        shown.__notes__ = list(raised.notes)
    if raised.members:
        shown.exceptions = [_printable(member) for member in raised.members]
    if raised.cause is not None:
        if raised.explicit:
            shown.__cause__ = _printable(raised.cause)
        else:
            shown.__context__ = _printable(raised.cause)
    return shown


def _is_own(frame: Frame) -> bool:
    """Whether the application's author wrote it, rather than that of a library."""
    return not (frame.file.startswith(("<frozen", *_LIBRARIES)))


def _name(kind: type[BaseException]) -> str:
    plain = kind.__module__ in ("builtins", "__main__")
    return kind.__qualname__ if plain else f"{kind.__module__}.{kind.__qualname__}"


def _text(value: object) -> str:
    try:
        return str(value)[:_MAX_MESSAGE]
    except Exception:  # it is the application's code that runs here
        return "(its message cannot be read)"


_OURS: Final = [f"{__package__}.{name}" for name in ("capture", "exchange", "websocket")]
"""Modules whose frames are not told: the capture stands in every traceback and says nothing."""
