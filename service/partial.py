"""Whether this process is one of several, so that what it shows is not all."""

import inspect
import os
from typing import Any, Final

from .pipeline import Pipeline

_UVICORN: Final = "uvicorn.supervisors.multiprocess"
_GUNICORN: Final = "gunicorn.arbiter"


def one_of_several() -> bool:
    """Return whether uvicorn or gunicorn runs this process beside others of the kind.

    To be asked in the main thread. Neither says so in a documented way: who called whom tells.
    """
    frame: Any = inspect.currentframe()
    while frame is not None:
        name = frame.f_globals.get("__name__")
        if name == _UVICORN:  # which is not there for one worker
            return True
        if name == _GUNICORN and getattr(frame.f_locals.get("self"), "num_workers", 1) > 1:
            return True
        frame = frame.f_back
    return False


def partial_view(pipeline: Pipeline) -> str:
    """Return why the panel of this process does not show all requests; empty if it does."""
    if pipeline.publisher is not None:
        now = pipeline.publisher.statistics()
        text = f"This page shows worker {now.worker} alone: all of them are on the collector's page."
        if now.failing:
            text += f" Nothing can be handed over to it just now: {now.failing}."
        return text
    return _UNREPORTED.format(os.getpid()) if pipeline.one_of_several else ""


_UNREPORTED: Final = (
    "This page shows process {} alone, one of several workers: requests that the others got are not here. To see all, "
    "run `reqscope serve --collector unix:/tmp/reqscope.sock`, and set REQSCOPE_COLLECTOR=unix:/tmp/reqscope.sock "
    "for the application."
)
