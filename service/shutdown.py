"""When the server that runs an application begins to end, which an application is not told.

A server waits for open answers before it ends an application's lifespan, and a live page is one: whoever holds some
open has to hear of it earlier, or the server never ends.
"""

import signal
import sys
import threading
from asyncio import all_tasks, current_task, get_running_loop
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def on_shutdown(callback: Callable[[], None]) -> Generator[None]:
    """Call `callback` in the event loop, once or more, when the server around this lifespan begins to end.

    That is when uvicorn says so, for whatever reason: a signal, `--limit-max-requests`, `should_exit`. Of other
    servers only what SIGINT and SIGTERM do is known.
    """
    with _on_signal(callback), _on_end_of_uvicorn(callback):
        yield


@contextmanager
def _on_end_of_uvicorn(callback: Callable[[], None]) -> Generator[None]:
    server = _uvicorn()
    if server is None:
        yield
        return
    shut_down = server.shutdown

    async def told(*arguments: Any, **options: Any) -> None:
        callback()
        await shut_down(*arguments, **options)

    server.shutdown = told
    try:
        yield
    finally:
        if server.__dict__.get("shutdown") is told:
            server.shutdown = shut_down


def _uvicorn() -> Any:
    """Return the uvicorn server that waits for this lifespan to begin, or None.

    Nothing leads from an application to its server. But the server is in one of the tasks, in a method that waits.
    """
    uvicorn = sys.modules.get("uvicorn")
    lifespan = next(_callers(current_task()), None)
    if uvicorn is None or lifespan is None:
        return None
    for task in all_tasks():
        for caller in _callers(task):
            if isinstance(caller, uvicorn.Server) and getattr(caller, "lifespan", None) is lifespan:
                return caller
    return None


def _callers(task: Any) -> Generator[Any]:
    """Give whose methods a task is in, the outermost first."""
    waiting = task.get_coro()
    while (frame := getattr(waiting, "cr_frame", None)) is not None:
        yield frame.f_locals.get("self")
        waiting = waiting.cr_await


@contextmanager
def _on_signal(callback: Callable[[], None]) -> Generator[None]:
    """Call `callback` in the event loop when the process is asked to end, before whoever else handles that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(callback)
        previous = before[signal.Signals(number)]
        if callable(previous):
            previous(number, frame)

    chained = [number for number, previous in before.items() if callable(previous)]
    for number in chained:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in chained:
            if signal.getsignal(number) is handle:
                signal.signal(number, before[number])
