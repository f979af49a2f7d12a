"""Keeps Gradio's hands off matplotlib while it waits for a frame of ours.

Around each step of a generator Gradio sets matplotlib's backend to `agg`, for functions that draw, and sets it back
afterwards. Steps of an endless stream last until the next frame, and those of many pages overlap: an application that
draws with another backend would find it changed under its hands. Where matplotlib is not installed, Gradio looks for it
on the disk each time, which is a quarter of what a frame costs.
"""

from contextvars import ContextVar
from types import TracebackType
from typing import Any, Final

from gradio import utils

_Original: Final[Any] = utils.MatplotlibBackendMananger  # their spelling
_streaming: Final[ContextVar[bool]] = ContextVar("reqscope_streaming", default=False)


class _Backend:
    """Does nothing round a stream of ours, and around all else what Gradio's own does."""

    def __init__(self) -> None:
        self._original = None if _streaming.get() else _Original()

    def __enter__(self) -> None:
        if self._original is not None:
            self._original.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._original is not None:
            self._original.__exit__(kind, error, trace)


def leave_backend_alone() -> None:
    """Say that the event of Gradio that runs this, a task of its own, does not draw."""
    _streaming.set(True)
    utils.MatplotlibBackendMananger = _Backend  # type: ignore[assignment,misc]
