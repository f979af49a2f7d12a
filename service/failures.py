"""What is kept of an exception: enough to print its traceback, and nothing that keeps its frames alive."""

import linecache
import os
import sys
import sysconfig
from collections.abc import Iterator
from hashlib import blake2s
from itertools import islice
from types import TracebackType
from typing import Final, NamedTuple

_MAX_FRAMES: Final = 60
_MAX_CHAIN: Final = 5
_MAX_MESSAGE: Final = 4_000

_LIBRARIES: Final = tuple(
    {os.path.join(path, "") for key in ("stdlib", "platstdlib", "purelib", "platlib") if (path := sysconfig.get_path(key))}
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


def keep(error: BaseException, depth: int = _MAX_CHAIN) -> Raised:
    """Return what can be told of `error`. Reads no source, so it is cheap enough for where the request ends."""
    explicit = error.__cause__ is not None
    cause = error.__cause__ if explicit or error.__suppress_context__ else error.__context__
    return Raised(
        _name(type(error)),
        _message(error),
        tuple(islice(_frames(error.__traceback__), _MAX_FRAMES)),
        keep(cause, depth - 1) if cause is not None and depth > 1 else None,
        explicit,
    )


def render(raised: Raised) -> str:
    """Return the traceback as Python prints it. Reads source files."""
    lines: list[str] = []
    if raised.cause is not None:
        link = "The above exception was the direct cause of the following exception:"
        if not raised.explicit:
            link = "During handling of the above exception, another exception occurred:"
        lines += [render(raised.cause), "", link, ""]
    if raised.frames:
        lines.append("Traceback (most recent call last):")
    for frame in raised.frames:
        lines.append(f'  File "{frame.file}", line {frame.line}, in {frame.function}')
        if source := linecache.getline(frame.file, frame.line).strip():
            lines.append(f"    {source}")
    lines.append(f"{raised.type}: {raised.message}" if raised.message else raised.type)
    return "\n".join(lines)


def fingerprint(raised: Raised, route: str | None) -> str:
    """Return a name for exceptions of this type that come from this line on this route."""
    place = next((frame for frame in reversed(raised.frames) if _is_own(frame)), None)
    if place is None and raised.frames:
        place = raised.frames[-1]
    return blake2s(repr((raised.type, route, place)).encode("utf-8", "backslashreplace"), digest_size=6).hexdigest()


def _frames(trace: TracebackType | None) -> Iterator[Frame]:
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_filename not in _OURS:
            yield Frame(code.co_filename, trace.tb_lineno, code.co_qualname)
        trace = trace.tb_next


def _is_own(frame: Frame) -> bool:
    """Whether the application's author wrote it, rather than that of a library."""
    return not (frame.file.startswith(("<frozen", *_LIBRARIES)))


def _name(kind: type[BaseException]) -> str:
    return kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"


def _message(error: BaseException) -> str:
    try:
        return str(error)[:_MAX_MESSAGE]
    except Exception:  # it is the application's code that runs here
        return "(its message cannot be read)"


_OURS: Final = frozenset(
    {sys.modules[__name__].__file__ or "", os.path.join(os.path.dirname(os.path.abspath(__file__)), "capture.py")}
)
"""Files whose frames are not told: the capture stands in every traceback and says nothing."""
