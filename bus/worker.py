"""A thread of one's own for calls that may hang."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Generic, ParamSpec, TypeVar

import anyio
from anyio.lowlevel import current_token

P = ParamSpec("P")
T = TypeVar("T")


class Worker:
    """Makes calls in one thread, one after the other.

    anyio's pool is not for calls that may hang: its threads are shared with the application, whose own calls
    would wait for ours and ours for theirs, and Python waits for them before it exits. This thread is a daemon.

    :param name: what debuggers call the thread
    """

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Let the thread end when it has made the calls it was given."""
        self._calls.put(None)

    def post(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "Call[T]":
        """Make a call after those that were asked for before, without waiting for it."""
        call = Call(lambda: function(*args, **kwargs))
        self._calls.put(call.make)
        return call

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what the function returns, or raise what it raises.

        If cancelled, the call is abandoned: it is made all the same, and nobody hears how it went.
        """
        return await self.post(function, *args, **kwargs).outcome()

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call()


class Call(Generic[T]):
    """A call on its way. Made by `Worker.post`, in the event loop that will ask for its outcome."""

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._call_soon = thread_scheduler()
        self._done = anyio.Event()
        self._results: list[T] = []
        self._error: BaseException | None = None

    def make(self) -> None:
        """Make the call, in the worker's thread."""
        try:
            self._results.append(self._function())
        except BaseException as error:
            self._error = error
        with suppress(RuntimeError):  # the event loop is gone, and whoever waited with it
            self._call_soon(self._done.set)

    async def outcome(self) -> T:
        """Wait until the call was made, and return what it returned or raise what it raised."""
        await self._done.wait()
        if self._error is not None:
            raise self._error
        return self._results[0]


def thread_scheduler() -> Callable[[Callable[[], None]], object]:
    """Return the running event loop's way to call a function in it from another thread, without waiting."""
    token = current_token().native_token
    if isinstance(token, asyncio.AbstractEventLoop):
        return token.call_soon_threadsafe
    run_sync_soon: Callable[[Callable[[], None]], object] = token.run_sync_soon  # type: ignore[attr-defined]
    return run_sync_soon
